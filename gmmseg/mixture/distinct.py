"""Distinct rows and how often each occurs: lossless compression of what EM has to look at.

An 8-bit grey image of any size has at most 256 distinct rows, a 16-bit one 65 536, a 12-megapixel
photo fewer than a million. EM over distinct rows with their counts as weights has the same
likelihood, the same responsibilities and the same labels as EM over all pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Distinct", "distinct_rows"]

_MOST_BITS = 24  # a table of counts for every possible row then takes 64 MB
_WORTH_A_TABLE = 1 << 17  # with fewer rows sorting is quicker than going through the table


@dataclass(frozen=True, eq=False)
class Distinct:
    """The distinct rows of a set, with the way back.

    Attributes
    ----------
    rows : ndarray of shape (M, B)
        In ascending order of their keys, of the dtype of the values.
    counts : ndarray of shape (M,), int64
    """

    rows: NDArray[Any]
    counts: NDArray[np.int64]
    _values: NDArray[Any]
    _keys: NDArray[np.intp]

    def spread(self, per_row: NDArray[Any]) -> NDArray[Any]:
        """Give every original row what its distinct row has.

        Parameters
        ----------
        per_row : ndarray of shape (M,) or (M, K)

        Returns
        -------
        ndarray of shape (N,) or (N, K), of the same dtype
            Component-major in memory for two dimensions: its transpose is C-contiguous.
        """
        if per_row.ndim == 1:
            return self._look_up(per_row)
        if per_row.shape[1] == 1:
            return self._look_up(per_row[:, 0])[:, np.newaxis]
        index = self._look_up(np.arange(len(self.rows), dtype=np.int32))
        out = np.empty((per_row.shape[1], len(index)), per_row.dtype)
        for k, column in enumerate(per_row.T):
            np.take(column, index, out=out[k])
        return out.T

    def _look_up(self, per_row: NDArray[Any]) -> NDArray[Any]:
        from gmmseg.mixture._distinct_kernels import look_up

        low, bits = _packing(self._values.dtype)
        table = np.zeros(int(self._keys[-1]) + 1, per_row.dtype)
        table[self._keys] = per_row
        out = np.empty(len(self._values), per_row.dtype)
        look_up(self._values, low, bits, table, out)
        return out


def distinct_rows(values: NDArray[Any]) -> Distinct | None:
    """Count the distinct rows of small integers.

    Parameters
    ----------
    values : ndarray of shape (N, B)

    Returns
    -------
    Distinct or None
        None when the values are not integers of 8 or 16 bits, or when a row has more than
        24 bits: then there is no small table.

    Examples
    --------
    >>> import numpy as np
    >>> found = distinct_rows(np.array([[7], [9], [7]], np.uint8))
    >>> found.rows.ravel().tolist(), found.counts.tolist()
    ([7, 9], [2, 1])
    >>> found.spread(np.array([0.5, 1.5]))
    array([0.5, 1.5, 0.5])
    """
    n_bits = 8 * values.dtype.itemsize * values.shape[1]
    if values.dtype.kind not in "ui" or n_bits > _MOST_BITS or len(values) == 0:
        return None
    low, bits = _packing(values.dtype)
    if len(values) < _WORTH_A_TABLE:
        keys, counts = np.unique(_pack(values, low, bits), return_counts=True)
    else:
        keys, counts = _count(values, low, bits, 1 << n_bits)
    mask = (1 << bits) - 1
    columns = [((keys >> (bits * b)) & mask) + low for b in range(values.shape[1])]
    rows = np.stack(columns, axis=1).astype(values.dtype)
    return Distinct(rows, counts.astype(np.int64), values, keys)


def _packing(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Lowest value of an integer type and its number of bits."""
    return int(np.iinfo(dtype).min), 8 * dtype.itemsize


def _pack(values: NDArray[Any], low: int, bits: int) -> NDArray[np.intp]:
    keys = np.zeros(len(values), np.intp)
    for b in range(values.shape[1]):
        keys |= (values[:, b].astype(np.intp) - low) << (bits * b)
    return keys


def _count(
    values: NDArray[Any], low: int, bits: int, size: int
) -> tuple[NDArray[np.intp], NDArray[Any]]:
    from gmmseg.mixture._distinct_kernels import count_keys

    table = np.zeros(size, np.uint32 if len(values) < 1 << 32 else np.uint64)
    count_keys(values, low, bits, table)
    keys = np.flatnonzero(table)
    return keys, table[keys]
