"""The model that gives labels their meaning, made of the images of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gmmseg.batch.planning import PlannedFile
from gmmseg.batch.resume import digest
from gmmseg.batch.source import ImageSource
from gmmseg.batch.subjects import Chosen
from gmmseg.errors import InvalidDataError
from gmmseg.options import SegmentOptions
from gmmseg.pooling import ImageRows

__all__ = ["RowsJob", "of_one_kind", "pooled_files", "reference_key"]

#: Rows of all images together: what a fit of seconds needs, and 50 MB for pictures in colour.
_MOST_ROWS = 1 << 22


@dataclass(frozen=True, kw_only=True)
class RowsJob:
    """Read an image, give some of its rows."""

    source: ImageSource
    k: int | str
    options: Chosen
    n_files: int
    threads: int | None = None

    def __call__(self, file: PlannedFile) -> tuple[ImageRows, SegmentOptions]:
        with self.source.opened(file, self.threads) as subject:
            options = subject.options(self.options)
            most = max(1, _MOST_ROWS // self.n_files)
            return subject.some_rows(self.k, options, most), options


def pooled_files(files: Sequence[PlannedFile], most: int) -> tuple[PlannedFile, ...]:
    """At most so many files, spread evenly over all of them."""
    n = min(most, len(files))
    return tuple(files[i * len(files) // n] for i in range(n))


def reference_key(files: Sequence[PlannedFile], settings: Mapping[str, Any]) -> str:
    """What differs when the reference does."""
    return digest([settings, [(file.input, file.size, file.mtime_ns) for file in files]])


def of_one_kind(
    parts: Sequence[tuple[ImageRows, SegmentOptions]], failure: str = ""
) -> tuple[list[ImageRows], SegmentOptions]:
    """The rows of the kind of image that there is most of, and how the first is segmented.

    `failure` is told where there are none: why one of the images gave no rows.
    """
    if not parts:
        why = f": {failure}" if failure else "."
        raise InvalidDataError(
            f"no image could be read, so there is no model that would give labels a meaning{why} "
            "Give one with model= (--model), or see what fails with mode='each' (--mode each)."
        )
    kinds = Counter((rows.spec, rows.feature_names) for rows, _ in parts)
    usual = kinds.most_common(1)[0][0]
    own = [(rows, options) for rows, options in parts if (rows.spec, rows.feature_names) == usual]
    return [rows for rows, _ in own], own[0][1]
