"""Distinct rows and how often each occurs: lossless compression of what EM has to look at.

An 8-bit grey image of any size has at most 256 distinct rows, a 16-bit one 65 536, a 12-megapixel
photo fewer than a million. EM over distinct rows with their counts as weights has the same
likelihood, the same responsibilities and the same labels as EM over all pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gmmseg.mixture.lazy import PART, LazyRows, parts_of

__all__ = ["Distinct", "distinct_rows"]

_MOST_TABLE_BITS = 24  # a table of one byte for every possible row then takes 16 MB
_MOST_KEY_BITS = 64
_WORTH_A_TABLE = 1 << 19  # with fewer rows NumPy is quicker, and no kernel has to be loaded

# Hashing costs about as much as three passes of EM over the rows, the way back 4 bytes a row. It
# pays when it leaves at most half of them.
_LOOK = 1 << 15
_WORTH_HASHING = 0.5


#: Most distinct rows: with their features, weights and table they take some 70 bytes each.
_MOST_DISTINCT = 3 << 20


_LookUp = Callable[[int, int], NDArray[Any]]


class _WayBack(Protocol):
    """From values of the distinct rows to those of the original rows from `start` to `stop`."""

    def __call__(self, per_row: NDArray[Any]) -> _LookUp: ...


@dataclass(frozen=True, eq=False)
class Distinct:
    """The distinct rows of a set, with the way back.

    Attributes
    ----------
    rows : ndarray of shape (M, B)
        In ascending order of their keys (the last column counts most), of the dtype of the values.
    counts : ndarray of shape (M,), int64
    """

    rows: NDArray[Any]
    counts: NDArray[np.int64]
    _values: NDArray[Any] | LazyRows
    _way_back: _WayBack

    def look_up(self, per_row: NDArray[Any]) -> _LookUp:
        """A function of `start` and `stop` that gives those original rows what `spread` does.

        Parameters
        ----------
        per_row : ndarray of shape (M,) or (M, K)
        """
        if per_row.ndim == 1:
            return self._way_back(per_row)
        number = self._way_back(np.arange(len(self.rows), dtype=np.int32))

        def columns(start: int, stop: int) -> NDArray[Any]:
            index = number(start, stop)
            out = np.empty((per_row.shape[1], len(index)), per_row.dtype)
            for k, column in enumerate(per_row.T):
                np.take(column, index, out=out[k])
            return out.T

        return columns

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
        found = self.look_up(per_row)
        n = len(self._values)
        if not isinstance(self._values, LazyRows):
            return found(0, n)
        out = np.empty((*per_row.shape[:0:-1], n), per_row.dtype).T
        for start in range(0, n, PART):
            out[start : start + PART] = found(start, min(start + PART, n))
        return out


@dataclass(frozen=True)
class _Packing:
    """How rows of small integers become keys."""

    dtype: np.dtype[Any]
    n_bands: int

    @property
    def low(self) -> int:
        return int(np.iinfo(self.dtype).min)

    @property
    def bits(self) -> int:
        return 8 * self.dtype.itemsize

    @property
    def bands(self) -> tuple[int, ...]:
        """As many zeros as bands, for the kernels."""
        return (0,) * self.n_bands

    @property
    def key_bits(self) -> int:
        return self.bits * self.n_bands

    def keys(self, values: NDArray[Any]) -> NDArray[np.int64]:
        keys = np.zeros(len(values), np.int64)
        for b in range(self.n_bands):
            keys |= (values[:, b].astype(np.int64) - self.low) << (self.bits * b)
        return keys

    def rows(self, keys: NDArray[np.int64]) -> NDArray[Any]:
        mask = (1 << self.bits) - 1
        columns = [((keys >> (self.bits * b)) & mask) + self.low for b in range(self.n_bands)]
        return np.stack(columns, axis=1).astype(self.dtype)


def distinct_rows(values: NDArray[Any] | LazyRows) -> Distinct | None:
    """Count the distinct rows of small integers.

    Parameters
    ----------
    values : ndarray or LazyRows of shape (N, B)

    Returns
    -------
    Distinct or None
        None when it does not pay: the values are not integers of 8 or 16 bits, a row has more
        than 64 bits, (with more than 24 bits) a sample shows that most rows differ, or there are
        more than 3 million.

    Examples
    --------
    >>> import numpy as np
    >>> found = distinct_rows(np.array([[7], [9], [7]], np.uint8))
    >>> found.rows.ravel().tolist(), found.counts.tolist()
    ([7, 9], [2, 1])
    >>> found.spread(np.array([0.5, 1.5]))
    array([0.5, 1.5, 0.5])
    """
    if values.dtype.kind not in "ui" or values.dtype.itemsize > 2 or len(values) == 0:
        return None
    if not values.dtype.isnative and not isinstance(values, LazyRows):
        values = values.astype(values.dtype.newbyteorder("="))
    packing = _Packing(values.dtype, values.shape[1])
    if packing.key_bits > _MOST_KEY_BITS:
        return None
    if packing.key_bits <= _MOST_TABLE_BITS:
        few = len(values) < _WORTH_A_TABLE
        return _by_sorting(values, packing) if few else _by_table(values, packing)
    return _by_hashing(values, packing) if _repeats(values, packing) else None


def _parts(values: NDArray[Any] | LazyRows) -> Iterator[NDArray[Any]]:
    """An array as it is, other rows in parts."""
    if isinstance(values, LazyRows):
        return (part for _, part in parts_of(values))
    return iter([values])


def _by_sorting(values: NDArray[Any] | LazyRows, packing: _Packing) -> Distinct:
    values = np.asarray(values)
    keys, index, counts = np.unique(packing.keys(values), return_inverse=True, return_counts=True)
    index = index.astype(np.int32)

    def way_back(per_row: NDArray[Any]) -> _LookUp:
        return lambda start, stop: np.take(per_row, index[start:stop])

    return Distinct(packing.rows(keys), counts, values, way_back)


def _by_table(values: NDArray[Any] | LazyRows, packing: _Packing) -> Distinct | None:
    keys, counts = _count(values, packing)
    if len(keys) > _MOST_DISTINCT:
        return None

    def way_back(per_row: NDArray[Any]) -> _LookUp:
        from gmmseg.mixture._distinct_kernels import look_up

        table = np.zeros(int(keys[-1]) + 1, per_row.dtype)
        table[keys] = per_row

        def found(start: int, stop: int) -> NDArray[Any]:
            out = np.empty(stop - start, per_row.dtype)
            look_up(values[start:stop], packing.bands, packing.low, packing.bits, table, out)
            return out

        return found

    return Distinct(packing.rows(keys), counts, values, way_back)


def _count(
    values: NDArray[Any] | LazyRows, packing: _Packing
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    from gmmseg.mixture._distinct_kernels import count_keys

    table = np.zeros(1 << packing.key_bits, np.uint8)
    rounds: list[NDArray[np.int64]] = []
    for part in _parts(values):
        # a key comes round after 256 rows of its own, or of earlier parts
        room = min(len(part), len(part) // 256 + len(table))
        overflow = np.empty(room, np.int64)
        n = count_keys(part, packing.bands, packing.low, packing.bits, table, overflow)
        rounds.append(overflow[:n].copy())
    present = table != 0
    found = np.concatenate(rounds)
    present[found] = True
    keys = np.flatnonzero(present)
    counts = table[keys].astype(np.int64)
    often, times = np.unique(found, return_counts=True)
    counts[np.searchsorted(keys, often)] += 256 * times
    return keys, counts


def _repeats(values: NDArray[Any] | LazyRows, packing: _Packing) -> bool:
    """Whether rows repeat so often that counting them pays, by a look at a part of them.

    The number of distinct rows among n grows about as a power of n (Heaps' law), which two parts,
    one twice as large as the other, tell well enough.
    """
    part = values[:: max(1, len(values) // _LOOK)]
    few, many = (len(np.unique(packing.keys(rows))) for rows in (part[::2], part))
    expected = many * (len(values) / len(part)) ** np.log2(max(many / few, 1.0))
    return bool(expected <= min(_WORTH_HASHING * len(values), _MOST_DISTINCT))


def _by_hashing(values: NDArray[Any] | LazyRows, packing: _Packing) -> Distinct | None:
    from gmmseg.mixture._distinct_kernels import hash_rows

    keys = np.empty(1 << 12, np.int64)
    counts = np.zeros(len(keys) + 1, np.int64)
    slots = np.full(2 * len(keys), -1, np.int32)
    for part in _parts(values):
        done = 0
        while (done := hash_rows(
            part, packing.bands, packing.low, packing.bits, done, slots, keys, counts
        )) < len(part):  # fmt: skip
            if len(keys) > _MOST_DISTINCT:
                return None
            keys, counts, slots = _grown(keys, counts)
    if (found := int(counts[-1])) > _MOST_DISTINCT:
        return None
    order = np.argsort(keys[:found].view(np.uint64), kind="stable")
    place = np.empty(found + 1, np.int32)
    place[order] = np.arange(found, dtype=np.int32)
    place[-1] = -1  # of empty slots
    np.take(place, slots, out=slots)
    keys = keys[:found][order]

    def way_back(per_row: NDArray[Any]) -> _LookUp:
        from gmmseg.mixture._distinct_kernels import number_rows

        def look_up(start: int, stop: int) -> NDArray[Any]:
            part, index = values[start:stop], np.empty(stop - start, np.int32)
            number_rows(part, packing.bands, packing.low, packing.bits, slots, keys, index)
            return np.take(per_row, index)

        return look_up

    return Distinct(packing.rows(keys), counts[:found][order], values, way_back)


def _grown(
    keys: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """The same keys and counts with four times the room, in slots made anew."""
    from gmmseg.mixture._distinct_kernels import place_keys

    room = 4 * len(keys)
    more_keys = np.empty(room, np.int64)
    more_keys[: len(keys)] = keys
    more_counts = np.zeros(room + 1, np.int64)
    more_counts[: len(keys)] = counts[:-1]
    more_counts[-1] = counts[-1]
    slots = np.full(2 * room, -1, np.int32)
    place_keys(more_keys, len(keys), slots)
    return more_keys, more_counts, slots
