"""Draw rows from a model: what its classes expect to see, in the model's own features.

The columns are the features of the model: L, a, b for a photo, not red, green and blue (gmmseg
info MODEL names them). The same seed gives the same rows.

    gmmseg sample scan.gmm.json -n 1000 -o rows.csv
    gmmseg sample scan.gmm.json -n 5 -o - --labels
"""

from __future__ import annotations

import csv
import io
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gmmseg._files import replacing
from gmmseg.cli.console import print_bytes
from gmmseg.cli.destinations import check_not_an_input
from gmmseg.cli.values import positive_integer
from gmmseg.errors import InvalidParameterError
from gmmseg.io import printable
from gmmseg.model import Model, load_model

__all__ = ["add_arguments", "run"]

#: Rows drawn and written at a time: memory stays flat however many are asked for.
_BLOCK = 1 << 16

Block = NDArray[np.float64]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg sample`` takes."""
    parser.usage = "gmmseg sample MODEL -n N -o ROWS.csv [options]"
    parser.add_argument("model_used", metavar="MODEL", help="a model file, *.gmm.json")
    parser.add_argument(
        "-n",
        "--rows",
        metavar="N",
        type=positive_integer,
        required=True,
        help="how many rows",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="ROWS",
        required=True,
        help="the file to write: .csv with a header, or .npy (float64); - for csv on standard "
        "output",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    parser.add_argument(
        "--labels", action="store_true", help="a last column: the class that the row is drawn from"
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="the same seed gives the same rows (default: %(default)s)",
    )


def run(args: Namespace) -> int:
    """Draw and write block by block."""
    write = _writer(args.output)
    if args.seed < 0:
        raise InvalidParameterError(f"--seed must be at least 0, got {args.seed}.")
    model = load_model(args.model_used)
    names = [*model.feature_names, *(["class"] if args.labels else [])]
    blocks = _blocks(model, args.rows, args.seed, labels=args.labels)
    if args.output == "-":
        for text in _csv(names, blocks, labels=args.labels):
            print_bytes(text)
        return 0
    path = Path(args.output)
    check_not_an_input([path], [Path(args.model_used)])
    with replacing(path, overwrite=args.overwrite) as file:
        write(file, names, blocks, args)
    return 0


def _blocks(model: Model, n: int, seed: int, *, labels: bool) -> Iterator[Block]:
    rng = np.random.default_rng(seed)
    label_of = np.array(model.labels, dtype=np.float64)
    for start in range(0, n, _BLOCK):
        X, components = model.mixture.sample(min(_BLOCK, n - start), rng)
        yield np.column_stack([X, label_of[components]]) if labels else X


def _csv(names: list[str], blocks: Iterable[Block], *, labels: bool) -> Iterator[bytes]:
    """The header, then every block, as UTF-8; floats as their shortest exact digits."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for block in blocks:
        rows: list[Any] = block.tolist()
        if labels:
            rows = [[*row[:-1], int(row[-1])] for row in rows]
        writer.writerows(rows)
        yield buffer.getvalue().encode("utf-8")
        buffer.seek(0)
        buffer.truncate()


def _write_csv(file: BinaryIO, names: list[str], blocks: Iterator[Block], args: Namespace) -> None:
    for text in _csv(names, blocks, labels=args.labels):
        file.write(text)


def _write_npy(file: BinaryIO, names: list[str], blocks: Iterator[Block], args: Namespace) -> None:
    shape = (args.rows, len(names))
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for block in blocks:
        file.write(np.ascontiguousarray(block, dtype="<f8").data)


_WRITERS = {".csv": _write_csv, ".npy": _write_npy}


def _writer(output: str) -> Callable[[BinaryIO, list[str], Iterator[Block], Namespace], None]:
    ending = ".csv" if output == "-" else Path(output).suffix.lower()
    if ending not in _WRITERS:
        raise InvalidParameterError(
            f"-o must be a file ending in {' or '.join(_WRITERS)}, or - for standard output, got "
            f"{printable(output)}."
        )
    return _WRITERS[ending]
