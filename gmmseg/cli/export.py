"""Export label maps as polygons or tables: the name of the output tells the format.

gmmseg export scene_labels.tif --to classes.gpkg --min-area '0.5 ha' --simplify 1
gmmseg export scene_labels.tif --to classes.geojson --names water,forest,fields
gmmseg export scene_labels.tif --to parcels.csv --zones parcels.gpkg
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from gmmseg.cli import option_groups as groups
from gmmseg.cli.console import Console
from gmmseg.cli.destinations import check_not_an_input
from gmmseg.cli.values import area, comma_separated
from gmmseg.errors import InvalidParameterError
from gmmseg.io import printable
from gmmseg.vectors import VECTORS, VectorOptions, export_polygons, export_table

__all__ = ["add_arguments", "add_vectors", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg export`` takes."""
    parser.usage = "gmmseg export LABELS --to OUT [options]"
    parser.add_argument("labels", metavar="LABELS", help="a label map")
    parser.add_argument(
        "--to",
        dest="output",
        metavar="OUT",
        required=True,
        help="polygons: .gpkg or .geojson; how much there is of each class: .csv",
    )
    parser.add_argument(
        "--names",
        metavar="NAME[,NAME...]",
        type=comma_separated(str, "names of classes"),
        default=VectorOptions().names,
        help="names of the classes 1, 2, ... (default: class 1, class 2, ...)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    add_vectors(parser)


def add_vectors(parser: ArgumentParser) -> None:
    """`VectorOptions`."""
    default = VectorOptions()
    group = parser.add_argument_group("polygons and areas (extra geo)")
    group.add_argument(
        "--min-area",
        metavar="AREA",
        type=area,
        default=default.min_area,
        help="smallest mapping unit, in pixels or such as '0.5 ha': smaller regions are given to "
        "the class with the longest border",
    )
    group.add_argument(
        "--simplify",
        metavar="PIXELS",
        type=float,
        default=default.simplify,
        help="smooth the stairs of the pixels; neighbours keep common borders (default: off)",
    )
    group.add_argument(
        "--dissolve",
        action="store_true",
        default=default.dissolve,
        help="one multipolygon for each class",
    )
    group.add_argument(
        "--zones", metavar="FILE", help="polygons; the table is written for each of them"
    )


def run(args: Namespace) -> int:
    """Read, write."""
    labels, output = Path(args.labels), Path(args.output)
    read = [labels, *([Path(args.zones)] if args.zones else [])]
    check_not_an_input([output], read)
    options = groups.options_of(args, VectorOptions)
    suffix = output.suffix.lower()
    if suffix not in (*VECTORS, ".csv"):
        raise InvalidParameterError(
            f"the name {printable(output.name)} tells no format: end it in "
            f"{', '.join(VECTORS)} or .csv."
        )
    if args.zones and suffix != ".csv":
        raise InvalidParameterError("--zones belongs to tables: end the name of --to in .csv.")
    console = Console()
    with console.telling_of_compilation():
        if suffix == ".csv":
            n = export_table(labels, output, options, zones=args.zones, overwrite=args.overwrite)
            console.say(f"{n} zones -> {printable(output)}")
        else:
            n = export_polygons(labels, output, options, overwrite=args.overwrite)
            console.say(f"{n} polygons -> {printable(output)}")
    return 0
