"""Export label maps to other programs.

The name of the output tells the format; several label maps go into one output.

gmmseg export photo_labels.png --to coco.json
gmmseg export out/*_labels.png --to train_coco.json --names soil,crop --polygons
gmmseg export photo_labels.png --to contours.json   for OpenCV (cv2.drawContours)
gmmseg export photo_labels.png --to masks/          a mask of 0 and 255 for each class
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from gmmseg.cli import option_groups as groups
from gmmseg.cli.console import Console
from gmmseg.cli.destinations import check_not_an_input
from gmmseg.cli.inputs import find_inputs
from gmmseg.cli.values import comma_separated, positive_integer
from gmmseg.errors import InvalidParameterError
from gmmseg.export import EXPORTS, ExportOptions, export_labels, format_of

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg export`` takes."""
    default = ExportOptions()
    parser.usage = "gmmseg export LABELS... --to OUT [options]"
    parser.add_argument(
        "inputs", nargs="+", metavar="LABELS", help="label maps, or quoted patterns of them"
    )
    listed = "; ".join(f"{ending}: {export.summary}" for ending, export in EXPORTS.items())
    parser.add_argument(
        "--to",
        dest="output",
        metavar="OUT",
        required=True,
        help=f"what to write; its name ends as the format does. {listed}",
    )
    parser.add_argument(
        "--names",
        metavar="NAME[,NAME...]",
        type=comma_separated(str, "names of classes"),
        default=default.names,
        help="names of the classes 1, 2, ... (default: class 1, class 2, ...)",
    )
    parser.add_argument(
        "--polygons",
        action="store_true",
        default=default.polygons,
        help="coco.json: polygons along the edges of the pixels instead of run lengths",
    )
    parser.add_argument(
        "--min-pixels",
        dest="min_area",
        metavar="N",
        type=positive_integer,
        default=default.min_area,
        help="coco.json: leave out connected components of fewer pixels",
    )
    parser.add_argument(
        "--max-pixels",
        metavar="N",
        type=positive_integer,
        default=default.max_pixels,
        help="refuse label maps that declare more pixels (default: what fits into half of the "
        "free memory)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def run(args: Namespace) -> int:
    """Read, write."""
    format_of(args.output)
    paths = [source.path for source in find_inputs(args.inputs)]
    if None in paths:
        raise InvalidParameterError("LABELS must be files: - is no label map.")
    inputs = [path for path in paths if path is not None]
    check_not_an_input([Path(args.output)], inputs)
    with Console(progress=False).telling_of_compilation():
        options = groups.options_of(args, ExportOptions)
        export_labels(inputs, args.output, options, overwrite=args.overwrite)
    return 0
