"""Convert a model to or from the formats of other programs.

The format of OUT is known by its ending, that of MODEL by its content; --to and --from say it.

    gmmseg convert scan.gmm.json scan.yml          for OpenCV's cv::ml::EM
    gmmseg convert scene.gmm.json scene.gsg        a signature file of ArcGIS
    gmmseg convert scene.gmm.json scene --to grass a signature file of GRASS
    gmmseg convert scene.gsg scene.gmm.json        and back: then gmmseg apply scene.gmm.json
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from gmmseg.bridges.formats import FORMATS, dumps, format_by_ending, read_model, write_model
from gmmseg.cli.console import print_bytes
from gmmseg.cli.destinations import check_not_an_input
from gmmseg.errors import InvalidParameterError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg convert`` takes."""
    parser.usage = "gmmseg convert MODEL OUT [--from F] [--to F] [--overwrite]"
    parser.add_argument("model_used", metavar="MODEL", help="a model of gmmseg or another program")
    parser.add_argument("output", metavar="OUT", help="the file to write; - for standard output")
    listed = "; ".join(f"{name}: {format_.summary}" for name, format_ in FORMATS.items())
    parser.add_argument(
        "--to", choices=FORMATS, help=f"format of OUT (default: by its ending). {listed}"
    )
    parser.add_argument(
        "--from",
        dest="origin",
        choices=FORMATS,
        help="format of MODEL (default: recognised by its content)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")


def run(args: Namespace) -> int:
    """Read, write."""
    if args.output == "-":
        if args.to is None:
            raise InvalidParameterError("standard output has no ending: say the format with --to.")
        print_bytes(dumps(read_model(args.model_used, args.origin), args.to).encode("utf-8"))
        return 0
    check_not_an_input([Path(args.output)], [Path(args.model_used)])
    to = args.to or format_by_ending(args.output)
    model = read_model(args.model_used, args.origin)
    write_model(model, args.output, to, overwrite=args.overwrite)
    return 0
