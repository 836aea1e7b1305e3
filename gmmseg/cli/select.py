"""Compare numbers of classes, and types of covariances, by criteria.

The table goes to stdout: BIC of as many pixels as are independent, ICL, BIC and AIC. Lower is
better, and a star marks the best. --json is for programs.

    gmmseg select photo.jpg --k-range 1-10
    gmmseg select photo.jpg --covariance-types full,diag -o table.json --plot curves.png
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gmmseg._files import write_text
from gmmseg.cli import option_groups as groups
from gmmseg.cli import segment_options
from gmmseg.cli.console import Console, print_lines
from gmmseg.cli.destinations import check_not_an_input
from gmmseg.cli.each import run_each
from gmmseg.cli.inputs import Input, find_inputs, read_input
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.image import Image
from gmmseg.io import ReadOptions
from gmmseg.mixture.selection import Selection
from gmmseg.options import SegmentOptions
from gmmseg.outputs import check_outputs
from gmmseg.pipeline import select_k
from gmmseg.plots.figure import check_ending, save_figure
from gmmseg.plots.selection import plot_selection

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg select`` takes."""
    parser.usage = "gmmseg select INPUT... [--k-range A-B] [-o TABLE.json] [options]"
    groups.add_inputs(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the table as JSON, for a single input"
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="the curves as FILE, a png, svg or pdf, for a single input (needs gmmseg[plot])",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    groups.add_threads(parser)
    segment_options.add_preset(parser)
    groups.add_pixels(parser)
    groups.add_reading(parser)
    groups.add_messages(parser)


def run(args: Namespace) -> int:
    """Select for every input."""
    console = groups.console_of(args)
    inputs = find_inputs(args.inputs)
    plan = {
        name: Path(file)
        for name, file in (("table", args.output), ("plot", args.plot))
        if file is not None
    }
    if plan and len(inputs) > 1:
        raise InvalidParameterError(
            "-o and --plot name one file, but there are several inputs. Use --json."
        )
    if "plot" in plan:
        check_ending(plan["plot"])
    options = segment_options.segment_options(args)
    check_not_an_input(plan.values(), [source.path for source in inputs if source.path])
    check_outputs(plan, overwrite=args.overwrite)

    def work(source: Input, plan: dict[str, Path], summary: dict[str, Any]) -> None:
        summary |= _select(args, source, options, console, plan)

    return run_each(dict.fromkeys(inputs, plan), work, console, json=args.json)


def _select(
    args: Namespace,
    source: Input,
    options: Callable[[Image], SegmentOptions],
    console: Console,
    plan: dict[str, Path],
) -> dict[str, Any]:
    """Select for one input; return the summary for programs."""
    image = read_input(source, args, groups.options_of(args, ReadOptions))
    with console.telling_of_compilation(), console.iterations() as callback:
        selection = select_k(image, options=options(image), threads=args.threads, callback=callback)
    summary = {"input": source.word} | selection.to_dict()
    if "table" in plan:
        text = json.dumps(summary, indent=1, allow_nan=False) + "\n"
        write_text(plan["table"], text, overwrite=args.overwrite)
    if "plot" in plan:
        save_figure(plot_selection(selection), plan["plot"], overwrite=args.overwrite)
    if not args.json:
        print_lines([f"{source.name}: {_described(selection)}", str(selection), ""])
    if args.strict and not all(row.converged for row in selection.candidates):
        raise InvalidDataError("EM did not converge, and --strict takes it as a failure.")
    return summary


def _described(selection: Selection) -> str:
    best = selection.best()
    return (
        f"{selection.n:.0f} pixels, worth {selection.n_effective:.0f} independent ones. "
        f"Best by {selection.by}: k = {best.k}, {best.covariance_type}"
    )
