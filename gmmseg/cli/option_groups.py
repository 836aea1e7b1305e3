"""The options that commands share, and the option values of the library made of them.

Every group is the twin of one dataclass: an argument for each field, stored under the field's
name, with the dataclass's own default.
"""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace, _ArgumentGroup
from dataclasses import fields, replace
from typing import Any, TypeVar

from gmmseg.cli.console import Console
from gmmseg.cli.values import comma_separated, number_or_auto, number_or_nan, positive_integer
from gmmseg.feature_spec import COLOUR_SPACES, FeatureSpec
from gmmseg.image import AXES
from gmmseg.io import ReadOptions
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.options import CRITERIA, EMOptions
from gmmseg.mixture.seeding import STARTS
from gmmseg.outputs import PROBABILITY_FORMATS, OutputOptions
from gmmseg.smoothing import METHODS, SmoothingOptions

__all__ = [
    "add_classes",
    "add_em",
    "add_features",
    "add_inputs",
    "add_messages",
    "add_model_outputs",
    "add_outputs",
    "add_pixels",
    "add_reading",
    "add_smoothing",
    "add_threads",
    "console_of",
    "options_of",
    "smoothing_of",
]

Options = TypeVar("Options")


def options_of(args: Namespace, kind: type[Options]) -> Options:
    """The options of `kind`; what the command has no argument for stays at its default."""
    names = (field.name for field in fields(kind))  # type: ignore[arg-type]
    chosen: dict[str, Any] = {name: getattr(args, name) for name in names if hasattr(args, name)}
    return kind(**chosen)


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


def add_classes(parser: ArgumentParser) -> None:
    """The number of classes."""
    parser.add_argument(
        "-k",
        "--components",
        "-n",
        "--classes",
        dest="k",
        metavar="K",
        type=positive_integer,
        required=True,
        help="number of classes",
    )


def add_features(parser: ArgumentParser) -> None:
    """`FeatureSpec`."""
    default = FeatureSpec()
    scales = comma_separated(float, "scales in pixels")
    group = parser.add_argument_group("features: what pixels are told apart by")
    group.add_argument(
        "--colour-space",
        "--color-space",
        choices=COLOUR_SPACES,
        default=default.colour_space,
        help="auto is lab for 8 and 16-bit colour pictures, otherwise the bands as they are "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--bands",
        metavar="B[,B...]",
        type=comma_separated(int, "band numbers"),
        default=default.bands,
        help="bands to use, from 1, in this order (default: all)",
    )
    group.add_argument(
        "--position",
        metavar="W",
        type=float,
        default=default.position,
        help="use the place in the image too; its weight against 1 for colour in the start of "
        "EM (default: %(default)g, none)",
    )
    group.add_argument(
        "--local-mean",
        metavar="S[,S...]",
        type=scales,
        default=default.local_mean,
        help="use local means too: sigma of their windows in pixels (default: none)",
    )
    group.add_argument(
        "--local-std",
        metavar="S[,S...]",
        type=scales,
        default=default.local_std,
        help="use local standard deviations (texture) too: sigma of their windows in pixels "
        "(default: none)",
    )


def add_em(parser: ArgumentParser) -> None:
    """`EMOptions`."""
    default = EMOptions()
    group = parser.add_argument_group("fitting: expectation maximisation")
    group.add_argument(
        "--covariance",
        dest="covariance_type",
        choices=tuple(COVARIANCE_TYPES),
        default=default.covariance_type,
        help="shape of the classes in feature space (default: %(default)s)",
    )
    group.add_argument(
        "--init",
        choices=tuple(STARTS),
        default=default.init,
        help="how EM starts (default: %(default)s)",
    )
    group.add_argument(
        "--n-init",
        metavar="N",
        type=positive_integer,
        default=default.n_init,
        help="number of starts, of which the best fit is kept (default: %(default)s)",
    )
    _add_convergence(group, default)
    group.add_argument(
        "--reg-covar",
        metavar="R",
        type=float,
        default=default.reg_covar,
        help="added to every variance, relative to that of the feature (default: %(default)s)",
    )
    group.add_argument(
        "--seed",
        dest="rng",
        metavar="N",
        type=int,
        default=default.rng,
        help="seed of the starts: the same seed gives the same result (default: %(default)s)",
    )
    group.add_argument(
        "--strict", action="store_true", help="exit with 1 when EM does not converge"
    )


def _add_convergence(group: _ArgumentGroup, default: EMOptions) -> None:
    group.add_argument(
        "--tol",
        metavar="T",
        type=float,
        default=default.tol,
        help="converged when an iteration changes less than this (default: %(default)s)",
    )
    group.add_argument(
        "--criterion",
        choices=CRITERIA,
        default=default.criterion,
        help="what has to change less: the mean log-likelihood, or every parameter "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--max-iter",
        metavar="N",
        type=positive_integer,
        default=default.max_iter,
        help="most EM iterations (default: %(default)s)",
    )
    group.add_argument(
        "--no-accelerate",
        dest="accelerate",
        action="store_false",
        help="EM step by step, without leaps: the same optimum in more iterations",
    )
    group.add_argument(
        "--gap",
        metavar="G",
        type=float,
        default=default.gap,
        help="images of many different pixels are fitted by a sample first, then by passes over "
        "all pixels until the mean log-likelihood is this near to its maximum "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--exact",
        dest="gap",
        action="store_const",
        const=0.0,
        help="fit all pixels from the start: --gap 0",
    )


def add_smoothing(parser: ArgumentParser) -> None:
    """`SmoothingOptions`."""
    default = SmoothingOptions()
    group = parser.add_argument_group("smoothing: neighbouring pixels tend to be of one class")
    group.add_argument(
        "--smooth",
        dest="beta",
        metavar="BETA",
        type=number_or_auto,
        default=default.beta,
        help="what a neighbour of the same class is worth, in nats; about 1 for pictures, 0.3 for "
        "volumes; auto estimates it from each image (default: %(default)g, off)",
    )
    group.add_argument(
        "--neighbours",
        "--neighbors",
        metavar="N",
        type=positive_integer,
        default=default.neighbours,
        help="4 or 8 of a pixel, 6, 18 or 26 of a voxel (default: all that touch)",
    )
    group.add_argument(
        "--contrast",
        metavar="C",
        type=float,
        default=default.contrast,
        help="how much edges in the image weaken the ties across them; 1 as GrabCut does "
        "(default: %(default)g, not at all)",
    )
    group.add_argument(
        "--sweeps",
        metavar="N",
        type=positive_integer,
        default=default.sweeps,
        help="most sweeps over the image (default: %(default)s)",
    )
    group.add_argument(
        "--smooth-tol",
        dest="smooth_tol",
        metavar="T",
        type=float,
        default=default.tol,
        help="sweeps end when one moves less than this share of the probability "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--smooth-method",
        dest="method",
        choices=METHODS,
        default=default.method,
        help="mean fields keep probabilities, iterated conditional modes decide "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--smooth-inside",
        dest="inside",
        action="store_true",
        default=default.inside,
        help="let neighbours count while fitting, too: EM with a hidden Markov random field",
    )


def smoothing_of(args: Namespace) -> SmoothingOptions:
    """The options of smoothing; their tolerance shares its name with that of the fit."""
    return replace(options_of(args, SmoothingOptions), tol=args.smooth_tol)


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
        help="leave out pixels with this value in any band; a number or nan",
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
        help="a folder; for a single input also the name of the label map, ending in .png or "
        ".tif, or - for standard output (default: beside the input)",
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
    loudness.add_argument("-v", "--verbose", action="store_true", help="tell more")
    group.add_argument(
        "--no-progress",
        dest="progress",
        action="store_false",
        help="no progress bars (there are none anyway where stderr is not a terminal)",
    )
