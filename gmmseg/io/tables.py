"""Tables: CSV, TSV, NPY and Parquet to rows of numbers, and back with columns added."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_choice
from gmmseg._files import printable, replacing
from gmmseg._optional import import_optional
from gmmseg.errors import InvalidDataError, InvalidParameterError, ReadError
from gmmseg.io.decoding import decoding
from gmmseg.io.delimited import DELIMITERS, Delimited, read_delimited
from gmmseg.io.limits import free_memory
from gmmseg.io.npy import map_npy
from gmmseg.io.source import Source

__all__ = ["Table", "TableOptions", "is_table_name", "read_table", "split_columns", "write_table"]

#: Memory that a table takes for each byte of its file, at most: short cells become 8 bytes.
_EXPANSION = 6
_TEXT = (".csv", ".tsv", ".txt")
_PARQUET = (".parquet", ".pq")
_ROWS = 1 << 14


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a table is read. The only place with the defaults.

    Attributes
    ----------
    columns : tuple of str, optional
        Names of the columns to use, or their numbers from 1. None = all that hold numbers.
    header : bool, optional
        Whether the first record names the columns. None = look.
    delimiter : {",", ";", "\\t"}, optional
        None = look.
    decimal : {".", ","}
        The decimal mark.
    """

    columns: tuple[str, ...] | None = None
    header: bool | None = None
    delimiter: str | None = None
    decimal: str = "."

    def __post_init__(self) -> None:
        check_choice(self.decimal, "decimal", (".", ","))
        if self.delimiter is not None:
            check_choice(self.delimiter, "delimiter", DELIMITERS)
        if self.decimal == "," == self.delimiter:
            raise InvalidParameterError("decimal must differ from delimiter, got ',' for both.")
        if self.columns is not None and (isinstance(self.columns, str) or not self.columns):
            raise InvalidParameterError(
                f"columns must be a sequence of names or numbers, got {self.columns!r}."
            )


class _Original(Protocol):
    """The table as it was, which can be written with more columns."""

    names: tuple[str, ...]
    ending: str

    def write(self, path: Path, columns: Mapping[str, NDArray[Any]], overwrite: bool) -> None: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows of numbers with names.

    Attributes
    ----------
    values : ndarray of shape (N, D), float64
        NaN where a cell is empty.
    names : tuple of str
        Of the D columns.
    path : Path or None
    notes : tuple of str
        What was left out.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...]
    path: Path | None = None
    notes: tuple[str, ...] = ()
    _original: _Original = field(repr=False)

    @property
    def ending(self) -> str:
        """How the name of a file with added columns ends."""
        return self._original.ending


def is_table_name(path: str | os.PathLike[str]) -> bool:
    """Whether a name ends like that of a table, and no image's.

    Examples
    --------
    >>> is_table_name("iris.CSV"), is_table_name("scan.npy")
    (True, False)
    """
    return Path(path).suffix.lower() in _TEXT + _PARQUET


def read_table(
    path: str | os.PathLike[str],
    options: TableOptions = TableOptions(),
    *,
    progress: Callable[[float], None] | None = None,
) -> Table:
    """Read a table of numbers.

    Parameters
    ----------
    path : path
        Parquet and NPY (one or two axes) are known by their first bytes; all else is taken as
        text with commas, semicolons or tabs.
    options : TableOptions
    progress : callable, optional
        Called with the share that is done, 0..1.

    Returns
    -------
    Table
        Empty cells, NA, NaN and null are NaN. Columns that are not numeric are left out and
        named in `notes`.

    Raises
    ------
    MissingFileError
        When there is no such file.
    ReadError
        When it is empty, ragged, damaged, too large for the memory, or has no numeric column.
    InvalidParameterError
        When a column that was asked for is not there.
    MissingDependencyError
        For Parquet without pyarrow.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "iris.csv")
    ...     _ = path.write_text("name;length\\nsetosa;5.1\\nvirginica;\\n")
    ...     table = read_table(path)
    >>> table.names, table.values.ravel().tolist(), table.notes
    (('length',), [5.1, nan], ("left out, not numeric: name ('setosa' near line 2)",))
    """
    source = Source.of_path(path)
    if source.size * _EXPANSION > free_memory():
        raise ReadError(
            f"cannot read {source.name}: a table of {source.size} bytes needs more memory than is "
            "free. Cut it into parts, or save it as NPY of float32."
        )
    kind = next((read for magic, read in _KINDS.items() if source.head.startswith(magic)), _text)
    with decoding(source.name):
        original = kind(source, options, progress)
        return _chosen(original, source, options)


def _text(source: Source, options: TableOptions, progress: Callable[[float], None] | None) -> _Text:
    parsed = read_delimited(
        source.read(),
        source.name,
        header=options.header,
        delimiter=options.delimiter,
        decimal=options.decimal,
        progress=progress,
    )
    return _Text(parsed, options.decimal)


def _npy(source: Source, _: TableOptions, __: Any) -> _Array:
    array = map_npy(source)
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.size == 0:
        raise ReadError(
            f"cannot read {source.name}: a table has rows and columns, but the array is of shape "
            f"{array.shape}."
        )
    return _Array(array)


def _parquet(source: Source, _: TableOptions, __: Any) -> _Parquet:
    file = import_optional("pyarrow.parquet").ParquetFile(source.path)
    needed = 16 * file.metadata.num_rows * file.metadata.num_columns
    if needed > free_memory():  # a few bytes of run lengths can stand for millions of cells
        raise ReadError(
            f"cannot read {source.name}: its {file.metadata.num_rows} rows of "
            f"{file.metadata.num_columns} columns need more memory than is free. Cut it into parts."
        )
    return _Parquet(file.read())


#: By the first bytes.
_KINDS: dict[bytes, Callable[..., Any]] = {b"PAR1": _parquet, b"\x93NUMPY": _npy}


def _chosen(original: Any, source: Source, options: TableOptions) -> Table:
    """The columns that were asked for, or all numeric ones with a note about the others."""
    columns: dict[int, NDArray[np.float64]] = original.columns
    reasons: dict[int, str] = original.reasons
    names: tuple[str, ...] = original.names
    notes: tuple[str, ...] = ()
    if options.columns is not None:
        wanted = [_index(word, names, source.name) for word in options.columns]
        if odd := [i for i in wanted if i not in columns]:
            raise ReadError(
                f"cannot read {source.name}: column {printable(names[odd[0]])!r} is not numeric: "
                f"{reasons[odd[0]]}."
            )
    else:
        wanted = list(columns)
        if reasons:
            listed = ", ".join(f"{printable(names[i])} ({r})" for i, r in sorted(reasons.items()))
            notes = (f"left out, not numeric: {listed}",)
        if not wanted:
            raise ReadError(f"cannot read {source.name}: no column is numeric: {listed}.")
    return Table(
        values=np.stack([columns[i] for i in wanted], axis=1),
        names=tuple(names[i] for i in wanted),
        path=source.path,
        notes=notes,
        _original=original,
    )


def _index(word: str, names: Sequence[str], source: str) -> int:
    """Which column a name or a number from 1 means."""
    if names.count(word) == 1:
        return names.index(word)
    if names.count(word) > 1:
        raise InvalidParameterError(
            f"columns: {source} has {names.count(word)} columns called {printable(word)!r}. "
            "Choose by number, from 1."
        )
    if word.isdecimal() and 1 <= int(word) <= len(names):
        return int(word) - 1
    raise InvalidParameterError(
        f"columns must be names or numbers 1..{len(names)} of the columns of {source}, got "
        f"{printable(word)!r}. It has: {printable(', '.join(names[:20]))}."
    )


def write_table(
    path: str | os.PathLike[str],
    table: Table,
    columns: Mapping[str, NDArray[Any]],
    *,
    overwrite: bool = False,
) -> None:
    """Write a table as it was read, with columns added at the right.

    Text is kept to the last character, line ends apart; columns whose name is taken get a ``_``
    after it. NPY becomes CSV, Parquet stays Parquet.

    Parameters
    ----------
    path : path
    table : Table
    columns : dict of name to ndarray of shape (N,)
        Integers, bool (written as 0 and 1) or floats; NaN becomes an empty cell.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    InvalidDataError
        When a column has another number of rows.
    OutputExistsError, WriteError
        When the file exists and `overwrite` is False, or it cannot be written.
    """
    taken = set(table._original.names)
    added = {}
    for name, values in columns.items():
        if len(values) != len(table.values):
            raise InvalidDataError(
                f"the column {name} has {len(values)} rows, but the table {len(table.values)}."
            )
        while name in taken:
            name += "_"
        added[name] = values
        taken.add(name)
    table._original.write(Path(path), added, overwrite)


class _Text:
    """A text table: every record is kept."""

    def __init__(self, parsed: Delimited, decimal: str) -> None:
        self._parsed, self._decimal = parsed, decimal
        self.names, self.columns, self.reasons = parsed.names, parsed.columns, parsed.reasons
        self.ending = ".tsv" if parsed.delimiter == "\t" else ".csv"

    def write(self, path: Path, columns: Mapping[str, NDArray[Any]], overwrite: bool) -> None:
        parsed = self._parsed
        head = [] if parsed.header is None else [parsed.delimiter.join([parsed.header, *columns])]
        lines = _appended(parsed.records, columns, parsed.delimiter, self._decimal)
        _write_lines(path, head, lines, parsed.newline, overwrite)


class _Array:
    """An array: written as CSV, floats so that they read back exactly."""

    ending = ".csv"

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.names = tuple(f"column {i + 1}" for i in range(array.shape[1]))
        values = array.astype(np.float64)
        self.columns = {
            i: column for i, column in enumerate(values.T) if not np.isnan(column).all()
        }
        self.reasons = {
            i: "no number in any row" for i in range(array.shape[1]) if i not in self.columns
        }

    def write(self, path: Path, columns: Mapping[str, NDArray[Any]], overwrite: bool) -> None:
        records = (",".join(map(str, row)) for row in _python_rows(self._array))
        lines = _appended(records, columns, ",", ".")
        _write_lines(path, [",".join([*self.names, *columns])], lines, "\n", overwrite)


class _Parquet:
    """A Parquet table, written as one."""

    ending = ".parquet"

    def __init__(self, table: Any) -> None:
        self._table = table
        self.names = tuple(table.column_names)
        self.columns: dict[int, NDArray[np.float64]] = {}
        self.reasons: dict[int, str] = {}
        types = import_optional("pyarrow").types
        for i, column in enumerate(table.columns):
            kind = column.type
            if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
                numbers = column.cast("float64", safe=False).to_numpy().astype(np.float64)
                if np.isfinite(numbers).any():
                    self.columns[i] = numbers
                    continue
            self.reasons[i] = f"of type {kind}"

    def write(self, path: Path, columns: Mapping[str, NDArray[Any]], overwrite: bool) -> None:
        pyarrow, parquet = import_optional("pyarrow"), import_optional("pyarrow.parquet")
        table = self._table
        for name, values in columns.items():
            table = table.append_column(name, pyarrow.array(values))
        with replacing(path, overwrite=overwrite) as file:
            parquet.write_table(table, file)


def _python_rows(array: NDArray[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(array), _ROWS):
        yield from array[start : start + _ROWS].tolist()


def _appended(
    records: Iterator[str] | list[str],
    columns: Mapping[str, NDArray[Any]],
    delimiter: str,
    decimal: str,
) -> Iterator[str]:
    cells = [_cells(values, decimal) for values in columns.values()]
    for record, *added in zip(records, *cells, strict=True):
        yield delimiter.join([record, *added])


def _cells(values: NDArray[Any], decimal: str) -> Iterator[str]:
    """Text of a column, some rows at a time."""
    is_float = values.dtype.kind == "f"
    for start in range(0, len(values), _ROWS):
        part = values[start : start + _ROWS]
        if not is_float:
            yield from map(str, part.astype(int).tolist())
            continue
        for number in part.tolist():
            text = "" if number != number else f"{number:.9g}"
            yield text if decimal == "." else text.replace(".", decimal)


def _write_lines(
    path: Path, head: list[str], lines: Iterator[str], newline: str, overwrite: bool
) -> None:
    with replacing(path, overwrite=overwrite) as file:
        for line in head:
            file.write((line + newline).encode("utf-8", "surrogateescape"))
        batch: list[str] = []
        for line in lines:
            batch.append(line)
            if len(batch) == _ROWS:
                file.write((newline.join(batch) + newline).encode("utf-8", "surrogateescape"))
                batch = []
        if batch:
            file.write((newline.join(batch) + newline).encode("utf-8", "surrogateescape"))


def split_columns(text: str) -> tuple[str, ...]:
    """Names with commas between them; a name that holds a comma is quoted, as in a CSV file.

    Examples
    --------
    >>> split_columns('length,"width, mm",3')
    ('length', 'width, mm', '3')
    """
    return tuple(cell.strip() for cell in next(csv.reader([text]), []))
