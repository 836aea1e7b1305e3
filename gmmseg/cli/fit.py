"""Fit one model to many images, so that a label means the same in all of them.

gmmseg fit 'scans/*.tif' -k 4 -o scan.gmm.json
gmmseg apply scan.gmm.json 'scans/*.tif'
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from gmmseg.cli import option_groups as groups
from gmmseg.cli import segment_options
from gmmseg.cli.console import Console, print_json
from gmmseg.cli.destinations import check_not_an_input
from gmmseg.cli.inputs import find_inputs, read_input
from gmmseg.errors import InvalidDataError
from gmmseg.io import ReadOptions, printable
from gmmseg.model import Model
from gmmseg.outputs import check_outputs
from gmmseg.pipeline import fit

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg fit`` takes."""
    parser.usage = "gmmseg fit INPUT... -k K -o MODEL.gmm.json [options]"
    groups.add_inputs(parser)
    segment_options.add_classes(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="MODEL",
        required=True,
        help="the model file to write, by custom *.gmm.json",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a model that exists")
    groups.add_threads(parser)
    segment_options.add_preset(parser)
    groups.add_pixels(parser)
    groups.add_reading(parser)
    groups.add_messages(parser)


def run(args: Namespace) -> int:
    """Fit the model. One image that cannot be read fails all: a model of the rest is another."""
    console = groups.console_of(args)
    options = segment_options.segment_options(args)
    reading = groups.options_of(args, ReadOptions)
    inputs, output = find_inputs(args.inputs), Path(args.output)
    check_not_an_input([output], [source.path for source in inputs if source.path])
    check_outputs({"model": output}, overwrite=args.overwrite)
    images = [read_input(source, args, reading) for source in console.each(inputs)]
    with console.telling_of_compilation(), console.iterations() as callback:
        model = fit(images, args.k, options(images[0]), threads=args.threads, callback=callback)
    model.save(output, overwrite=args.overwrite)
    _tell(console, model, output, args)
    if args.strict and not model.provenance["fit"]["converged"]:
        raise InvalidDataError("EM did not converge, and --strict takes that as a failure.")
    return 0


def _tell(console: Console, model: Model, output: Path, args: Namespace) -> None:
    found = model.provenance["fit"]
    if not found["converged"]:
        console.warn(
            f"EM did not converge in {found['n_iter']} iterations. Raise --max-iter or --tol, or "
            "use fewer classes."
        )
    console.say(
        f"{model.k} classes of {found['n_pixels']} pixels, {found['n_iter']} iterations "
        f"-> {printable(output)}"
    )
    if args.json:
        print_json({"model": str(output), "k": model.k, "fit": found})
