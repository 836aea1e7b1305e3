"""Tables over all images of a batch, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gmmseg._files import printable

__all__ = ["class_rows", "csv_text", "flat_drift"]

#: With these a spreadsheet takes a cell for a formula, and runs it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Row = Mapping[str, Any]


def csv_text(rows: Sequence[Row]) -> str:
    r"""Rows as CSV, with all columns that occur.

    Text that a spreadsheet would take for a formula gets an apostrophe in front, and what could
    steer a terminal is escaped. Numbers stay as they are, to the last digit.

    Examples
    --------
    >>> print(csv_text([{"input": "=1+1.png", "shift": -0.5}, {"input": "b.png", "share": 1}]))
    input,shift,share
    '=1+1.png,-0.5,
    b.png,,1
    <BLANKLINE>
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([_cell(name) for name in columns])
    writer.writerows([[_cell(row.get(name)) for name in columns] for row in rows])
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if value.startswith(_FORMULA) else text


def class_rows(summaries: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """One row for each image and class, from the summaries of the images."""
    for summary in summaries:
        for row in summary["classes"]:
            moments = zip(summary["bands"], row["mean"], row["std"], strict=True)
            yield {
                "input": summary["input"],
                "class": row["label"],
                "pixels": row["pixels"],
                "share": row["share"],
                "area": row["area"],
                **{f"{word} {band}": value for band, mean, std in moments
                   for word, value in (("mean", mean), ("std", std))},
            }  # fmt: skip


def flat_drift(rows: Iterable[Row]) -> Iterator[Row]:
    """The drift table with a column for each class: ``share 1``, ``shift 1``, ``move 1`` ..."""
    for row in rows:
        flat = {name: value for name, value in row.items() if not isinstance(value, list)}
        lists = (("share", "shares"), ("shift", "shifts"), ("move", "moves"))
        yield {
            **flat,
            "flags": " ".join(row["flags"]),
            **{f"{word} {j}": v for word, name in lists for j, v in enumerate(row[name], 1)},
        }
