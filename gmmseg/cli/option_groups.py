"""The options that commands share, and the option values of the library made of them.

Every group is the twin of one dataclass: an argument for each field, stored under the field's
name, with the dataclass's own default.
"""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace, _ArgumentGroup
from dataclasses import fields, replace
from typing import Any, TypeVar

from gmmseg.cli.config import add_config
from gmmseg.cli.console import Console
from gmmseg.cli.values import (
    comma_separated,
    number_or_nan,
    positive_integer,
    size,
)
from gmmseg.image import AXES
from gmmseg.io import ReadOptions
from gmmseg.io.raster_scene import RESAMPLING, SceneOptions
from gmmseg.outputs import PROBABILITY_FORMATS, OutputOptions
from gmmseg.streaming import StreamOptions

__all__ = [
    "add_inputs",
    "add_messages",
    "add_model_outputs",
    "add_outputs",
    "add_pixels",
    "add_reading",
    "add_scenes",
    "add_streaming",
    "add_threads",
    "changed",
    "console_of",
    "options_of",
]

Options = TypeVar("Options")


def options_of(args: Namespace, kind: type[Options]) -> Options:
    """The options of `kind`; what the command has no argument for stays at its default."""
    return changed(args, kind())


def changed(args: Namespace, options: Options) -> Options:
    """`options` with what stands in `args` in place of what they had."""
    names = (field.name for field in fields(options))  # type: ignore[arg-type]
    chosen: dict[str, Any] = {name: getattr(args, name) for name in names if hasattr(args, name)}
    return replace(options, **chosen)  # type: ignore[type-var]


def console_of(args: Namespace) -> Console:
    """Where this run tells how it goes."""
    return Console(quiet=args.quiet, verbose=args.verbose, progress=args.progress)


def add_inputs(parser: ArgumentParser) -> None:
    """The images."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="image files, quoted patterns such as 'scans/*.png', or - for standard input",
    )


def add_reading(parser: ArgumentParser) -> None:
    """`ReadOptions`."""
    default = ReadOptions()
    group = parser.add_argument_group("reading")
    group.add_argument(
        "--axes",
        choices=AXES,
        default=default.axes,
        help="meaning of the axes of a stack, where the file does not settle it: Z planes, "
        "Y rows, X columns, C bands",
    )
    group.add_argument(
        "--frame",
        metavar="N",
        type=int,
        default=default.frame,
        help="the frame or page to read, from 0",
    )
    group.add_argument(
        "--nodata",
        metavar="VALUE",
        type=number_or_nan,
        default=default.nodata,
        help="this value of a band means that it was not observed (see --gaps); a number or nan",
    )
    group.add_argument(
        "--no-exif",
        dest="exif",
        action="store_false",
        default=default.exif,
        help="do not turn the image upright as its EXIF orientation says",
    )
    group.add_argument(
        "--keep-alpha",
        action="store_true",
        default=default.keep_alpha,
        help="take the alpha channel as a band; otherwise pixels of alpha 0 are left out",
    )
    group.add_argument(
        "--indexed",
        action="store_true",
        default=default.indexed,
        help="read the indices of a palette image, not its colours",
    )
    group.add_argument(
        "--max-pixels",
        metavar="N",
        type=positive_integer,
        default=default.max_pixels,
        help="refuse images that declare more pixels (default: what fits into half of the free "
        "memory)",
    )


def add_pixels(parser: ArgumentParser) -> None:
    """Which pixels are used, and how large they are."""
    group = parser.add_argument_group("pixels")
    group.add_argument(
        "--mask",
        metavar="FILE",
        help="an image of the same size: only pixels that are not 0 in it are used",
    )
    group.add_argument(
        "--spacing",
        metavar="S[,S...]",
        type=comma_separated(float, "sizes of a pixel"),
        help="size of a pixel along rows and columns (planes first in a volume), or one for "
        "all; the table then tells areas",
    )


def add_outputs(parser: ArgumentParser) -> None:
    """`OutputOptions`, and where the files go."""
    default = OutputOptions()
    group = parser.add_argument_group("outputs")
    group.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="a folder; for a single input also the name of the label map, ending in .png, "
        ".tif, .nii.gz or .ome.zarr, or - for standard output (default: beside the input)",
    )
    group.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    group.add_argument(
        "--overlay",
        action=BooleanOptionalAction,
        default=default.overlay,
        help="the picture with its classes in colour and a legend (default: written)",
    )
    group.add_argument(
        "--masks",
        action="store_true",
        default=default.masks,
        help="a mask of 0 and 255 for each class",
    )
    group.add_argument(
        "--probabilities",
        "--posteriors",
        nargs="?",
        const=PROBABILITY_FORMATS[0],
        choices=PROBABILITY_FORMATS,
        default=default.probabilities,
        help="soft masks: one tif with a band for each class (float32), one npz, or a png of 16 "
        "bits for each class (if no value is given: %(const)s)",
    )
    group.add_argument(
        "--entropy",
        action="store_true",
        default=default.entropy,
        help="a map of how ambiguous each pixel is, 0 to 1 (float32 tif)",
    )
    group.add_argument(
        "--novelty",
        action="store_true",
        default=default.novelty,
        help="a map of how badly every class explains each pixel, 0 to 1 (float32 tif)",
    )
    group.add_argument(
        "--regions",
        action="store_true",
        default=default.regions,
        help="a map in which every connected region has its own number, from 1 (16 bits)",
    )
    group.add_argument(
        "--cog",
        action="store_true",
        help="maps on earth as cloud-optimised GeoTIFF, with overviews (extra geo)",
    )


def add_scenes(parser: ArgumentParser) -> None:
    """`SceneOptions` and `StreamOptions`."""
    scene = SceneOptions()
    group = parser.add_argument_group("scenes on earth (extra geo)")
    group.add_argument(
        "--stack",
        action="store_true",
        help="the inputs, or the band files of a folder, are the bands of one scene",
    )
    group.add_argument(
        "--resample",
        choices=RESAMPLING,
        default=scene.resample,
        help="bring bands of another resolution to the grid of the first one (otherwise refused)",
    )
    group.add_argument(
        "--scale",
        metavar="S",
        type=float,
        default=scene.scale,
        help="values are numbers times S, where a file does not tell it itself: 0.0000275 for "
        "reflectances of Landsat, with --offset=-0.2; 0.0001 for Sentinel-2",
    )
    group.add_argument(
        "--offset",
        metavar="O",
        type=float,
        default=scene.offset,
        help="added to scaled values: --offset=-0.1 for Sentinel-2 since 2022",
    )
    group.add_argument(
        "--allow-remote",
        action="store_true",
        default=scene.allow_remote,
        help="inputs may be https:// and other places that GDAL reads from",
    )
    add_streaming(group)


def add_streaming(group: _ArgumentGroup, whose: str = "") -> None:
    """`StreamOptions`; `whose` tells what the memory is that of."""
    stream = StreamOptions()
    group.add_argument(
        "--memory",
        metavar="SIZE",
        type=size,
        default=stream.memory,
        help="a scene that would need more is read strip by strip, in every pass "
        f"(default: 1GiB{whose})",
    )
    group.add_argument(
        "--tile",
        metavar="ROWS",
        type=positive_integer,
        default=stream.tile,
        help="rows of such a strip; the result does not depend on it (default: by --memory)",
    )


def add_model_outputs(parser: ArgumentParser) -> None:
    """The model as a file."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--save-model",
        action="store_true",
        default=OutputOptions().save_model,
        help="write the model to <stem>.gmm.json, for gmmseg apply",
    )
    group.add_argument(
        "--model",
        metavar="FILE",
        dest="model_file",
        help="write the model to FILE (a single input)",
    )


def add_threads(parser: ArgumentParser) -> None:
    """How many threads."""
    parser.add_argument(
        "--threads",
        metavar="N",
        type=positive_integer,
        help="threads to use; the result does not depend on it (default: all CPUs allowed)",
    )


def add_messages(parser: ArgumentParser) -> None:
    """What is told and how."""
    group = parser.add_argument_group("messages")
    group.add_argument(
        "--json",
        action="store_true",
        help="results as JSON on stdout, one object on a line for each input",
    )
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="nothing but errors")
    loudness.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="tell more; -vv also where in the program an error came up",
    )
    group.add_argument(
        "--no-progress",
        dest="progress",
        action="store_false",
        help="no progress bars (there are none anyway where stderr is not a terminal)",
    )
    group.add_argument(
        "--log-file",
        metavar="FILE",
        help="append all messages to FILE, with times, those that are not shown too",
    )
    add_config(parser)
