"""Tables on the command line: how they are read, and where what is written beside them goes."""

from __future__ import annotations

import os
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Sequence
from pathlib import Path

from gmmseg.cli.console import Console
from gmmseg.cli.destinations import Destination, destinations, without_own_outputs
from gmmseg.cli.inputs import Input, find_inputs
from gmmseg.errors import InvalidDataError
from gmmseg.io import Table, TableOptions, printable, read_table
from gmmseg.io.tables import split_columns
from gmmseg.model import Model

__all__ = ["add_destination", "add_tables", "inputs_of", "into_folder", "read_source"]

#: What a person types for a delimiter.
_DELIMITERS = {",": ",", ";": ";", "tab": "\t"}


def add_tables(parser: ArgumentParser) -> None:
    """`TableOptions`."""
    default = TableOptions()
    group = parser.add_argument_group("tables")
    group.add_argument(
        "--columns",
        metavar="C[,C...]",
        type=split_columns,
        default=default.columns,
        help="columns to use: names, or numbers from 1 (default: all that hold numbers)",
    )
    group.add_argument(
        "--header",
        action=BooleanOptionalAction,
        default=default.header,
        help="whether the first record names the columns (default: look)",
    )
    group.add_argument(
        "--delimiter",
        choices=_DELIMITERS,
        help="what separates the fields (default: look)",
    )
    group.add_argument(
        "--decimal",
        choices=(".", ","),
        default=default.decimal,
        help="decimal mark (default: %(default)s)",
    )


def add_destination(parser: ArgumentParser) -> None:
    """Where the files go."""
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", help="a folder (default: beside each input)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")


def inputs_of(args: Namespace, console: Console) -> tuple[Input, ...]:
    """The inputs without those that are outputs of others."""
    inputs, left_out = without_own_outputs(find_inputs(args.inputs), args.output)
    if left_out:
        names = ", ".join(source.name for source in left_out)
        console.say(f"left out, being outputs of other inputs: {names}")
    return inputs


def into_folder(inputs: Sequence[Input], folder: str | None) -> dict[Input, Destination]:
    """Destination of every input; `folder` is one even if it is not there yet."""
    return destinations(inputs, None if folder is None else os.path.join(folder, ""))  # noqa: PTH118  # the slash at the end is the point


def read_source(
    source: Input, args: Namespace, console: Console, model: Model | None = None
) -> Table:
    """The table of an input: the columns that were asked for, or those of a model."""
    if source.path is None:
        raise InvalidDataError("a table cannot come from standard input: name a file.")
    options = TableOptions(
        columns=args.columns if model is None else model.feature_names,
        header=args.header,
        delimiter=_DELIMITERS.get(args.delimiter),
        decimal=args.decimal,
    )
    with console.share_of(f"reading {printable(Path(source.word).name)}") as progress:
        table = read_table(source.path, options, progress=progress)
    for note in table.notes:
        console.say(f"{source.name}: {note}")
    return table
