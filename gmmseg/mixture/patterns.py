"""Rows with gaps, grouped by the features that they have.

A NaN means "not observed". Rows that have the same features share a *pattern*: their densities
are those of one marginal mixture, so that a pattern of many rows goes through the same kernels as
rows without gaps do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.mixture import rows as rows_module
from gmmseg.mixture._threads import Workers, in_turn
from gmmseg.mixture.lazy import LazyRows
from gmmseg.mixture.rows import Frame, Preloadable, Rows

__all__ = ["AnyRows", "GappedRows", "Group", "Patterns", "find_patterns", "rows_of"]

Array = NDArray[np.float64]

_SCAN = 1 << 16  # rows looked through at once

# Patterns of fewer rows are computed together, row by row, in NumPy: a call of the kernels costs as
# much as that for some 64 rows (K = 3; 100 microseconds for D = 6, 600 for D = 20).
_FREQUENT = 64


@dataclass(frozen=True, eq=False)
class Patterns:
    """Which rows have which features.

    Attributes
    ----------
    observed : ndarray of bool, shape (P, D)
        The patterns, each different, each with a feature at least. The one with all features
        comes first.
    members : tuple of P ndarrays
        The rows of each pattern, ascending.
    used : ndarray, or None
        The rows of all patterns, ascending; None = every row.
    empty : ndarray
        The rows that have nothing.
    """

    observed: NDArray[np.bool_]
    members: tuple[NDArray[Any], ...]
    used: NDArray[Any] | None
    empty: NDArray[Any]


def find_patterns(X: NDArray[Any] | LazyRows, weights: Array | None = None) -> Patterns | None:
    """Group the rows of `X` by their gaps; None when there are none in rows that count.

    Rows of weight 0 are in no pattern.
    """
    if X.dtype.kind != "f" or not _has_gaps(X):
        return None
    complete, gapped, bits = _split(X, weights)
    if not len(gapped):
        return None
    words = _words(bits)
    order = np.lexsort(words.T)
    words = words[order]
    changes = (words[1:] != words[:-1]).any(axis=1)
    starts = np.append(0, np.flatnonzero(changes) + 1)
    kinds = np.unpackbits(bits[order[starts]], axis=1, count=X.shape[1]).astype(bool)
    groups = np.split(gapped[order], starts[1:])
    has_any: NDArray[np.bool_] = np.asarray(
        kinds.any(axis=1)
    )  # of the patterns at most one has nothing
    empty = groups[int(np.argmin(has_any))] if not has_any.all() else gapped[:0]
    observed = kinds[has_any]
    members = [group for group, kept in zip(groups, has_any, strict=True) if kept]
    if len(complete):
        observed = np.concatenate([np.ones((1, X.shape[1]), bool), observed])
        members = [complete, *members]
    n_used = sum(map(len, members))
    used = None
    if n_used < len(X):
        used = np.sort(np.concatenate([complete[:0], *members]))
    return Patterns(observed, tuple(members), used, empty)


def _has_gaps(X: NDArray[Any] | LazyRows) -> bool:
    if isinstance(X, LazyRows) and X.is_complete:
        return False
    with np.errstate(invalid="ignore"):
        return any(np.isnan(part.min()) for _, part in _parts(X))  # the minimum keeps NaN


def _parts(X: NDArray[Any] | LazyRows) -> Iterator[tuple[int, NDArray[Any]]]:
    for start in range(0, len(X), _SCAN):
        yield start, X[start : start + _SCAN]


def _split(
    X: NDArray[Any] | LazyRows, weights: Array | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.uint8]]:
    """Rows without gaps, rows with gaps, and the bits of the features that the latter have."""
    number = np.int32 if len(X) <= np.iinfo(np.int32).max else np.int64
    complete, gapped, bits = [], [], []
    for start, part in _parts(X):
        missing = np.isnan(part)
        has_gap = missing.any(axis=1)
        counts = True if weights is None else weights[start : start + len(part)] > 0
        complete.append((np.flatnonzero(~has_gap & counts) + start).astype(number))
        chosen = np.flatnonzero(has_gap & counts)
        gapped.append((chosen + start).astype(number))
        bits.append(np.packbits(~missing[chosen], axis=1))
    return np.concatenate(complete), np.concatenate(gapped), np.concatenate(bits)


def _words(bits: NDArray[np.uint8]) -> NDArray[Any]:
    """Rows of bytes as rows of the fewest integers, which sort faster."""
    n_bytes = bits.shape[1]
    if n_bytes > 2:
        bits = np.pad(bits, ((0, 0), (0, -n_bytes % 8)))
    return np.ascontiguousarray(bits).view({1: np.uint8, 2: np.uint16}.get(n_bytes, np.uint64))


@dataclass(frozen=True, eq=False)
class Group:
    """Rows of several patterns, pattern by pattern.

    Attributes
    ----------
    rows : Rows
    pattern : ndarray of shape (n,)
        The number of each row's pattern, ascending.
    observed : ndarray of bool, shape (P, D)
    """

    rows: Rows
    pattern: NDArray[np.intp]
    observed: NDArray[np.bool_]

    def pieces(self, start: int, stop: int, n: int) -> Iterator[tuple[slice, NDArray[Any], Any]]:
        """Cut the rows start:stop into parts of at most `n`: where, features, patterns of each.

        Features are (D, m) in the frame, NaN where they are not observed.
        """
        for first in range(start, stop, n):
            part = slice(first, min(first + n, stop))
            yield part, self.rows.planes(part.start, part.stop), self.pattern[part]


class GappedRows(Preloadable):
    """N rows of D features of which some are not observed, in a frame: as `Rows` to its users.

    Parameters
    ----------
    X, weights, frame
        As of `Rows`.
    patterns : Patterns
        Of `X` and `weights`.

    Attributes
    ----------
    n_samples : int
        Rows that have a feature at least, and a weight. No others count for anything.
    complete : Rows or None
        The rows without gaps.
    frequent : tuple of (ndarray of bool (D,), Rows)
        Patterns of many rows.
    rare : Group or None
        All other rows.
    """

    def __init__(
        self, X: NDArray[Any] | LazyRows, weights: Array | None, frame: Frame, patterns: Patterns
    ) -> None:
        self.patterns = patterns
        self._X, self._weights = X, weights
        self._all = Rows(X, weights, frame, index=patterns.used)
        self.n_samples, self.n_features = self._all.n_samples, self._all.n_features
        self.frame, self.dtype = frame, self._all.dtype
        self.total_weight = self._all.total_weight
        sizes = np.array([len(rows) for rows in patterns.members], dtype=np.intp)
        whole = patterns.observed.all(axis=1)
        self.complete = self._rows_of(0) if whole.any() else None
        self.frequent = tuple(
            (patterns.observed[p], self._rows_of(p))
            for p in np.flatnonzero(~whole & (sizes >= _FREQUENT)).tolist()
        )
        self.rare = self._group(np.flatnonzero(~whole & (sizes < _FREQUENT)))

    @cached_property
    def gapped(self) -> Group | None:
        """All rows with gaps, frequent or rare."""
        return self._group(np.flatnonzero(~self.patterns.observed.all(axis=1)))

    def _rows_of(self, pattern: int) -> Rows:
        return Rows(
            self._X,
            self._weights,
            self.frame,
            index=self.patterns.members[pattern],
            observed=self.patterns.observed[pattern],
        )

    def _group(self, chosen: NDArray[np.intp]) -> Group | None:
        if not len(chosen):
            return None
        members = [self.patterns.members[p] for p in chosen]
        rows = Rows(self._X, self._weights, self.frame, index=np.concatenate(members))
        pattern = np.repeat(np.arange(len(chosen)), [len(rows) for rows in members])
        return Group(rows, pattern, self.patterns.observed[chosen])

    @property
    def log_scale(self) -> float:
        """As of `Rows`, the mean over the rows: a feature counts where it is observed."""
        shares = self._weight_of_features
        # about that of all features: exact where all rows have the same
        logs = np.log(self.frame.scale)
        return float(logs.sum() - (1.0 - shares) @ logs)

    @cached_property
    def _weight_of_features(self) -> Array:
        """The share of the weight that has each feature, (D,)."""
        weights = np.array([
            len(rows) if self._weights is None else float(self._weights[rows].sum())
            for rows in self.patterns.members
        ])  # fmt: skip
        lacking = weights @ ~self.patterns.observed
        return 1.0 - lacking / self.total_weight if len(weights) else np.ones(self.n_features)

    def begin_preload(self, workers: Workers) -> Callable[[], None]:
        """As of `Rows`; the rare patterns are read anew in every pass."""
        kept = [rows for _, rows in self.frequent]
        kept += [self.complete] if self.complete is not None else []
        if sum(rows.copy_size for rows in kept) > rows_module._LARGEST_COPY:
            kept = []
        return in_turn([rows.begin_preload(workers) for rows in kept])

    def look(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """As of `Rows`."""
        return self._all.look(n, rng)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[NDArray[Any], Array]:
        """As of `Rows`."""
        return self._all.sample(n, rng)

    def part(self, n: int, rng: np.random.Generator) -> AnyRows:
        """A sample of the rows as rows of their own, in the same frame."""
        planes, weights = self.sample(n, rng)
        here = Frame.identity(self.n_features)  # the sample is in the frame already
        part = rows_of(planes.T, weights, here)
        with Workers(1) as one:
            part.preload(one)
        part.frame = self.frame
        return part


#: What EM runs over.
AnyRows = Rows | GappedRows


def rows_of(X: NDArray[Any] | LazyRows, weights: Array | None, frame: Frame) -> AnyRows:
    """`X` as rows in a frame, by pattern when some are not observed."""
    patterns = find_patterns(X, weights)
    return Rows(X, weights, frame) if patterns is None else GappedRows(X, weights, frame, patterns)
