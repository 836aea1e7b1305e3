"""Cluster the rows of tables by a Gaussian mixture.

Writes <stem>_clusters.csv: the table as it is, with the cluster (1..k, in the order of the first
column's means) and the probability of each cluster beside every row. CSV, TSV, NPY, Parquet.
Empty cells are gaps. The summary of the clusters goes to stdout.

    gmmseg cluster flowers.csv -k 3 --save-model
    gmmseg cluster new.csv --model flowers.gmm.json
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from gmmseg.cli import option_groups as groups
from gmmseg.cli import segment_options
from gmmseg.cli.console import print_lines
from gmmseg.cli.destinations import Destination, check_not_an_input
from gmmseg.cli.each import run_each
from gmmseg.cli.inputs import Input
from gmmseg.cli.tables import add_destination, add_tables, inputs_of, into_folder, read_source
from gmmseg.cli.values import positive_integer
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.io import printable, write_table, write_text
from gmmseg.mixture.options import EMOptions
from gmmseg.model import Model, load_model
from gmmseg.outputs import check_outputs, write_files
from gmmseg.tabular import cluster_table

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg cluster`` takes."""
    parser.usage = "gmmseg cluster TABLE... (-k K | --model MODEL) [-o FOLDER] [options]"
    parser.add_argument(
        "inputs", nargs="+", metavar="TABLE", help="tables, or quoted patterns such as '*.csv'"
    )
    parser.add_argument(
        "-k",
        "--components",
        dest="k",
        metavar="K",
        type=positive_integer,
        help="number of clusters",
    )
    parser.add_argument(
        "--model",
        metavar="FILE",
        dest="model_used",
        help="use this model, that --save-model wrote, and fit nothing",
    )
    parser.add_argument(
        "--save-model", action="store_true", help="write the model to <stem>.gmm.json"
    )
    add_destination(parser)
    groups.add_threads(parser)
    add_tables(parser)
    segment_options.add_em(parser)
    groups.add_messages(parser)


def run(args: Namespace) -> int:
    """Cluster every table."""
    if (args.k is None) == (args.model_used is None):
        raise InvalidParameterError("give either the number of clusters (-k) or a --model.")
    if args.model_used is not None and args.save_model:
        raise InvalidParameterError(
            "--save-model writes what was fitted, but --model fits nothing."
        )
    console = groups.console_of(args)
    model = None if args.model_used is None else load_model(args.model_used)
    options = groups.options_of(args, EMOptions)
    inputs = inputs_of(args, console)

    def work(source: Input, destination: Destination, summary: dict[str, Any]) -> None:
        table = read_source(source, args, console, model)
        plan = {"clusters": Path(f"{destination.base}_clusters{table.ending}")}
        if args.save_model:
            plan["model"] = Path(f"{destination.base}.gmm.json")
        read = [source.path, args.model_used and Path(args.model_used)]
        check_not_an_input(plan.values(), [path for path in read if path])
        check_outputs(plan, overwrite=args.overwrite)
        with console.telling_of_compilation(), console.iterations() as callback:
            found = cluster_table(
                table, args.k or 1, options, model=model, threads=args.threads, callback=callback
            )
            columns = found.columns

        def write(name: str, path: Path) -> None:
            if name == "model":
                write_text(path, found.model.to_json())
            else:
                write_table(path, table, columns)

        write_files(plan, write, overwrite=args.overwrite)
        summary |= found.to_dict() | {
            "input": source.word,
            "outputs": {name: str(path) for name, path in plan.items()},
        }
        for warning in found.warnings:
            console.warn(f"{source.name}: {warning}")
        if not args.json:
            print_lines([found.summary()])
        names = ", ".join(printable(path) for path in plan.values())
        console.say(f"{source.name}: {found.k} clusters of {len(table.values)} rows -> {names}")
        _check_strict(args, model, summary)

    return run_each(into_folder(inputs, args.output), work, console, json=args.json)


def _check_strict(args: Namespace, model: Model | None, summary: dict[str, Any]) -> None:
    if args.strict and model is None and not summary["fit"]["converged"]:
        raise InvalidDataError("EM did not converge, and --strict takes it as a failure.")
