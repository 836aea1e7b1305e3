"""CSV and its kin: text to columns of numbers, each record kept as it stands in the file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._files import printable
from gmmseg.errors import ReadError

__all__ = ["Delimited", "read_delimited"]

#: Told apart in this order: text with commas in a file of tabs is usual, the reverse is not.
DELIMITERS = ("\t", ";", ",")

#: Cells, in lower case and without blanks, that mean "not observed".
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_BOM = "\ufeff"

#: Records that are turned into numbers at a time.
_CHUNK = 1 << 15
_LOOK = 50
_SHOWN = 30


@dataclass(frozen=True, eq=False)
class Delimited:
    """The records of a text table.

    Attributes
    ----------
    names : tuple of str
        Of all columns; "column 3" where the file has none.
    columns : dict
        Values of the numeric columns by index, float64, NaN where a cell is empty.
    reasons : dict
        For every other column, by index, a cell that is no number, and its line.
    header : str or None
        The first record as it stands in the file.
    records : list of str
        The others, without their line ends.
    delimiter, newline : str
    """

    names: tuple[str, ...]
    columns: dict[int, NDArray[np.float64]]
    reasons: dict[int, str]
    header: str | None
    records: list[str]
    delimiter: str
    newline: str


def read_delimited(
    content: bytes,
    name: str,
    *,
    header: bool | None,
    delimiter: str | None,
    decimal: str,
    progress: Callable[[float], None] | None = None,
) -> Delimited:
    """Parse a text table: UTF-8 or UTF-16, with or without BOM, quoted as RFC 4180 says.

    Parameters
    ----------
    content : bytes
        The whole file.
    name : str
        For messages.
    header, delimiter : optional
        None = look.
    decimal : {".", ","}
    progress : callable, optional
        Called with the share that is done, 0..1.

    Raises
    ------
    ReadError
        When it is no text, or a line has another number of fields, or quotes do not match.
    """
    text = _decoded(content, name)
    lines = list(io.StringIO(text, newline=""))
    delimiter = delimiter or _found_delimiter(lines)
    records = _Records(lines, delimiter, name)
    first = next(records, None)
    if first is None:
        raise ReadError(f"cannot read {name}: the table is empty.")
    if header is None:
        header = _is_header(
            first, list(islice(_Records(lines, delimiter, name), 1, _LOOK)), decimal
        )
    parser = _Columns(len(first), decimal)
    kept: list[str] = []
    begin = first if header else None
    rows = [] if header else [first]
    raw = [] if header else [records.raw]
    head = records.raw if begin else None
    while True:
        for row in islice(records, _CHUNK - len(rows)):
            rows.append(row)
            raw.append(records.raw)
        if not rows:
            break
        parser.add(rows, records.first_line(len(rows)))
        kept += raw
        rows, raw = [], []
        if progress is not None:
            progress(records.line / max(1, len(lines)))
    if not kept:
        raise ReadError(f"cannot read {name}: the table has a header and no rows.")
    return Delimited(
        names=_names(first if header else [""] * len(first)),
        columns=parser.finished(),
        reasons=parser.reasons,
        header=head,
        records=kept,
        delimiter=delimiter,
        newline="\r\n" if lines[0].endswith("\r\n") else "\n",
    )


def _decoded(content: bytes, name: str) -> str:
    """The text; bytes that are not UTF-8 are kept as they are, to be written as they are."""
    encoding = _MARKS.get(content[:2])
    if encoding is None and b"\0" in content[:4096]:
        raise ReadError(f"cannot read {name}: it is not a text table but binary data.")
    try:
        text = content.decode(encoding or "utf-8", "strict" if encoding else "surrogateescape")
    except UnicodeDecodeError as error:
        raise ReadError(f"cannot read {name}: its UTF-16 text is damaged.") from error
    return text.removeprefix(_BOM)


class _Records(Iterator[list[str]]):
    """Records with their text; blank lines are passed over.

    Attributes
    ----------
    raw : str
        The record that was given last as it stands in the file.
    line : int
        The number of its last line, from 1.
    """

    def __init__(self, lines: Sequence[str], delimiter: str, name: str) -> None:
        self._lines = lines
        self._reader = csv.reader(iter(lines), delimiter=delimiter, strict=True)
        self._name = name
        self._width: int | None = None
        self.line = 0
        self.raw = ""

    def first_line(self, n_records: int) -> int:
        """About where the last `n_records` began, for messages."""
        return self.line - n_records + 1

    def __next__(self) -> list[str]:
        while True:
            begin = self._reader.line_num
            try:
                row = next(self._reader)
            except csv.Error as error:
                reason = printable(error)
                line = self._reader.line_num
                raise ReadError(
                    f"cannot read {self._name}: line {line}: {reason}. Quotes in a quoted field "
                    "must be doubled."
                ) from error
            self.line = self._reader.line_num
            if row:
                break
        if self._width is None:
            self._width = len(row)
        elif len(row) != self._width:
            raise ReadError(
                f"cannot read {self._name}: line {self.line} has {len(row)} fields, but the first "
                f"record has {self._width}. Correct it, or say what separates the fields with "
                "delimiter= (--delimiter)."
            )
        text = self._lines[begin]
        if self.line - begin > 1:
            text = "".join(self._lines[begin : self.line])
        self.raw = text.rstrip("\r\n")
        return row


def _found_delimiter(lines: Sequence[str]) -> str:
    """The first that gives the same number of fields, more than one, in all of the first lines."""
    for delimiter in DELIMITERS:
        widths = set()
        try:
            for row in islice(csv.reader(iter(lines), delimiter=delimiter), _LOOK):
                widths |= {len(row)} if row else set()
        except csv.Error:
            continue
        if len(widths) == 1 and widths != {1}:
            return delimiter
    # Uneven lines: the most frequent, so that the message about them makes sense.
    start = "".join(lines[:_LOOK])
    return max(reversed(DELIMITERS), key=start.count)


def _is_header(first: list[str], below: list[list[str]], decimal: str) -> bool:
    """Whether the first record names the columns: no number in it, or text above numbers."""
    numeric = [_is_number(cell, decimal) for cell in first]
    if not any(numeric):
        return any(cell.strip() for cell in first)
    columns = zip(first, numeric, zip(*below, strict=True), strict=False)
    return any(
        not is_number
        and cell.strip().lower() not in _MISSING
        and all(_is_number(c, decimal) or c.strip().lower() in _MISSING for c in cells)
        for cell, is_number, cells in columns
    )


def _is_number(cell: str, decimal: str) -> bool:
    return cell.strip().lower() not in _MISSING and _to_floats([cell], decimal) is not None


def _to_floats(cells: Sequence[str], decimal: str) -> list[float] | None:
    """The numbers, or None when a cell is neither a number nor empty."""
    if decimal == ",":
        cells = [cell.replace(",", ".") if "." not in cell else "?" for cell in cells]
    try:
        numbers = list(map(float, cells))
    except ValueError:
        try:
            numbers = [
                float("nan") if cell.strip().lower() in _MISSING else float(cell) for cell in cells
            ]
        except ValueError:
            return None
    return None if "_" in "".join(cells) else numbers  # Python reads 2024_01 as 202401


class _Columns:
    """The columns that have turned out as numeric so far."""

    def __init__(self, width: int, decimal: str) -> None:
        self._parts: dict[int, list[NDArray[np.float64]]] = {i: [] for i in range(width)}
        self._decimal = decimal
        self.reasons: dict[int, str] = {}

    def add(self, rows: list[list[str]], first_line: int) -> None:
        columns = list(zip(*rows, strict=True))
        for i in list(self._parts):
            numbers = _to_floats(columns[i], self._decimal)
            if numbers is None:
                del self._parts[i]
                self.reasons[i] = self._reason(columns[i], first_line)
            else:
                self._parts[i].append(np.array(numbers))

    def _reason(self, cells: Sequence[str], first_line: int) -> str:
        n, cell = next(
            (n, cell) for n, cell in enumerate(cells) if _to_floats([cell], self._decimal) is None
        )
        shown = printable(cell if len(cell) <= _SHOWN else cell[:_SHOWN] + "...")
        hint = ""
        if self._decimal == "." and _DECIMAL_COMMA.fullmatch(cell):
            hint = ". If that is a decimal comma, say so with decimal=',' (--decimal ,)"
        return f"'{shown}' near line {first_line + n}{hint}"

    def finished(self) -> dict[int, NDArray[np.float64]]:
        """Columns with at least one number in them."""
        found = {}
        for i, parts in self._parts.items():
            column = np.concatenate(parts)
            if np.isnan(column).all():
                self.reasons[i] = "no number in any row"
            else:
                found[i] = column
        return found


def _names(first: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(cell).strip() or f"column {i}" for i, cell in enumerate(first, 1))
