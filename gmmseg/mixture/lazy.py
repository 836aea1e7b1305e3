"""Rows that are made where they are read, in the place of an array that is too large to hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PART", "JoinedRows", "LazyRows", "MaskIndex", "parts_of"]

#: Rows that share a count in `MaskIndex`: 0.016 bytes a row; a row is found among these.
_BLOCK = 512

#: Rows made at once where all are looked through.
PART = 1 << 18


class LazyRows(ABC):
    """(N, D) numbers of which parts are made when they are asked for.

    It is indexed as an array is: ``X[start:stop]``, ``X[numbers]``, and each with a choice of
    columns. ``X[:, columns]`` is lazy, too; ``np.asarray(X)`` makes all.

    Attributes
    ----------
    shape : tuple of two ints
    dtype : dtype
    is_complete : bool
        Whether it is known that there is no NaN.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    ndim = 2
    is_complete = False

    @abstractmethod
    def read(self, rows: slice | NDArray[np.integer]) -> NDArray[Any]:
        """The rows of a slice of step 1 within the set, or of these numbers, (n, D)."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """What an array of all rows would take."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, key: Any) -> Any:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if isinstance(key, tuple) and (start, stop, step) == (0, len(self), 1):
                return _Columns(self, columns) if np.ndim(columns) else self.read(rows)[:, columns]
            rows = slice(start, stop) if step == 1 else np.arange(start, stop, step)
        return self.read(rows)[:, columns]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        out = np.empty(self.shape[::-1], self.dtype if dtype is None else dtype).T
        for rows, part in parts_of(self):
            out[rows] = part
        return out


def parts_of(X: Any, n: int = PART) -> Iterator[tuple[slice, NDArray[Any]]]:
    """The rows of an array or of `LazyRows` in parts of at most `n`, and where they belong."""
    for start in range(0, len(X), n):
        rows = slice(start, min(start + n, len(X)))
        yield rows, X[rows]


class _Columns(LazyRows):
    """Some of the columns."""

    def __init__(self, rows: LazyRows, columns: NDArray[Any]) -> None:
        self._rows, self._columns = rows, np.arange(rows.shape[1])[columns]
        self.shape, self.dtype = (len(rows), len(self._columns)), rows.dtype

    def read(self, rows: slice | NDArray[np.integer]) -> NDArray[Any]:
        return self._rows.read(rows)[:, self._columns]


class JoinedRows(LazyRows):
    """The rows of several sets, one set after the other.

    Parameters
    ----------
    sets : sequence of ndarray or LazyRows
        All of the same number of columns.

    Examples
    --------
    >>> joined = JoinedRows([np.zeros((2, 1)), np.ones((3, 1))])
    >>> joined[1:4].ravel(), joined[np.array([4, 0])].ravel()
    (array([0., 1., 1.]), array([1., 0.]))
    """

    def __init__(self, sets: Sequence[Any]) -> None:
        self._sets = sets
        self._starts = np.append(0, np.cumsum([len(part) for part in sets]))
        self.shape = int(self._starts[-1]), sets[0].shape[1]
        self.dtype = np.result_type(*(part.dtype for part in sets))

    def read(self, rows: slice | NDArray[np.integer]) -> NDArray[Any]:
        if isinstance(rows, slice):
            found = [
                part[max(rows.start - first, 0) : rows.stop - first]
                for part, first in zip(self._sets, self._starts.tolist(), strict=False)
                if first < rows.stop and first + len(part) > rows.start
            ]
            return np.concatenate(found).astype(self.dtype, copy=False)
        out = np.empty((len(rows), self.shape[1]), self.dtype)
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        for i in np.unique(owner).tolist():
            here = owner == i
            out[here] = self._sets[i][rows[here] - self._starts[i]]
        return out


class MaskIndex:
    """The numbers of the true entries of a mask, as an index array to its users, in no room.

    Parameters
    ----------
    mask : ndarray of bool, shape (N,)

    Examples
    --------
    >>> index = MaskIndex(np.array([True, False, True, True]))
    >>> len(index), index[1:3], index[np.array([2, 0])]
    (3, array([2, 3]), array([3, 0]))
    """

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self._mask = mask
        whole = len(mask) // _BLOCK * _BLOCK
        counts = mask[:whole].view(np.uint8).reshape(-1, _BLOCK).sum(axis=1, dtype=np.int64)
        self._starts = np.concatenate([[0], counts, [np.count_nonzero(mask[whole:])]]).cumsum()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> NDArray[np.intp]:
        if not isinstance(rows, slice):
            return self._of_numbers(rows)
        start, stop, _ = rows.indices(len(self))
        first = max(int(np.searchsorted(self._starts, start, side="right")) - 1, 0)
        last = int(np.searchsorted(self._starts, stop, side="left"))
        numbers = np.flatnonzero(self._mask[first * _BLOCK : last * _BLOCK])
        numbers = numbers[start - self._starts[first] : max(stop - self._starts[first], 0)]
        numbers += first * _BLOCK
        return numbers

    def _of_numbers(self, rows: NDArray[np.integer]) -> NDArray[np.intp]:
        order = np.argsort(rows, kind="stable")  # takes no time where they ascend
        ascending = rows[order]
        out = np.empty(len(rows), np.intp)
        first = 0
        while first < len(rows):  # parts of the set in which there is no row are not looked at
            start = int(ascending[first])
            last = int(np.searchsorted(ascending, start + PART))
            out[order[first:last]] = self[start : start + PART][ascending[first:last] - start]
            first = last
        return out
