"""Export label maps to other programs: the name of the output tells the format.

Several label maps go into one COCO file, one file of contours, or one folder of masks; polygons and
tables are of one map.

    gmmseg export photo_labels.png --to coco.json
    gmmseg export out/*_labels.png --to train_coco.json --names soil,crop --polygons
    gmmseg export photo_labels.png --to contours.json   for OpenCV (cv2.drawContours)
    gmmseg export photo_labels.png --to masks/          a mask of 0 and 255 for each class
    gmmseg export scene_labels.tif --to classes.gpkg --min-area '0.5 ha' --simplify 1
    gmmseg export scene_labels.tif --to parcels.csv --zones parcels.gpkg --zone-field owner
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from gmmseg.cli import option_groups as groups
from gmmseg.cli.console import Console
from gmmseg.cli.destinations import check_not_an_input
from gmmseg.cli.inputs import find_inputs
from gmmseg.cli.values import area, comma_separated, positive_integer
from gmmseg.errors import InvalidParameterError
from gmmseg.export import EXPORTS, ExportOptions, export_labels, format_of
from gmmseg.io import printable
from gmmseg.vectors import VECTORS, VectorOptions, export_polygons
from gmmseg.zonal import export_table

__all__ = ["add_arguments", "add_vectors", "run"]

_TABLE = ".csv"


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
        help=f"what to write; its name ends as the format does. {listed}; "
        f"{', '.join(VECTORS)}: polygons; {_TABLE}: how much there is of each class",
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
        "--zones",
        metavar="FILE",
        help="polygons, or a raster of whole numbers; the table is written for each of these zones",
    )
    group.add_argument(
        "--zone-field",
        metavar="NAME",
        help="attribute that names the polygons (default: numbers from 1 in their order)",
    )


def run(args: Namespace) -> int:
    """Read, write."""
    suffix = Path(args.output).suffix.lower()
    of_maps = suffix in (*VECTORS, _TABLE)
    if not of_maps:
        _check_format(args.output)
    if args.zones and suffix != _TABLE:
        raise InvalidParameterError("--zones belongs to tables: end the name of --to in .csv.")
    if args.zone_field and not args.zones:
        raise InvalidParameterError("--zone-field names the zones of --zones FILE: give that too.")
    paths = [source.path for source in find_inputs(args.inputs)]
    inputs = [path for path in paths if path is not None]
    if len(inputs) < len(paths):
        raise InvalidParameterError("LABELS must be files: - is no label map.")
    read = [*inputs, *([Path(args.zones)] if args.zones else [])]
    check_not_an_input([Path(args.output)], read)
    console = Console(progress=False)
    with console.telling_of_compilation():
        if of_maps:
            _export_map(args, inputs, console, table=suffix == _TABLE)
        else:
            options = ExportOptions(
                names=args.names,
                min_area=args.min_pixels,
                polygons=args.polygons,
                max_pixels=args.max_pixels,
            )
            export_labels(inputs, args.output, options, overwrite=args.overwrite)
    return 0


def _check_format(output: str) -> None:
    try:
        format_of(output)
    except InvalidParameterError as error:
        endings = ", ".join((*VECTORS, _TABLE))
        raise InvalidParameterError(f"{error} Polygons and tables: {endings}.") from error


def _export_map(args: Namespace, inputs: Sequence[Path], console: Console, *, table: bool) -> None:
    """Polygons or areas of one map."""
    if len(inputs) > 1:
        raise InvalidParameterError(
            f"polygons and tables are of one label map, got {len(inputs)}: export them one by one."
        )
    (labels,), output = inputs, Path(args.output)
    options = groups.options_of(args, VectorOptions)
    if table:
        n = export_table(
            labels,
            output,
            options,
            zones=args.zones,
            zone_field=args.zone_field,
            overwrite=args.overwrite,
        )
        console.say(f"{n} zones -> {printable(output)}")
    else:
        n = export_polygons(labels, output, options, overwrite=args.overwrite)
        console.say(f"{n} polygons -> {printable(output)}")
