"""Rows of features as the kernels want them: standardised, in blocks, read in fixed pieces."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.lazy import LazyRows

__all__ = [
    "INFINITY",
    "Frame",
    "Preloadable",
    "Rows",
    "as_rows",
    "check_weights",
    "empty_lines",
    "row_groups",
]

Array = NDArray[np.float64]

# As in the kernels, which are not imported here, because Numba would come with them; nor do the
# kernels import these, because Numba's cache would not see a change. A test keeps them equal.
BLOCK = 1024
_TILE = 4
_MOST_IN_REGISTERS = 3
_LINE = 64  # bytes

# The whole set is copied into blocks once when the copy is no larger than this; larger sets
# are read piece by piece in every pass, so that fitting never doubles a user's memory.
_LARGEST_COPY = 160 << 20
# Read at once: at least so many rows, more as long as they take so many bytes. Calls cost more than
# leaving the cache: 3 float32 features in pieces of 2^14 rows take 3.2 ms for a million, 2^15 1.9,
# 2^16 1.6, 2^17 1.4, 2^18 1.3.
_PIECE = 16384
_PIECE_BYTES = 3 << 19
_SMALLEST_GROUP = 16384
_MANY_ROWS = 327_680  # with fewer, a kernel takes longer to load than it saves
_MOST_GROUPS = 64  # enough for 32 threads
_GROUP_MEMORY = 32 << 20

# Farther from the origin, in standard deviations, squares would leave the range of float32: fill
# values of unmarked nodata are met there. No Gaussian tells such distances apart.
_FARTHEST = 1e12

INFINITY = (
    "X contains infinity. Say that those values were not observed, by NaN: X[np.isinf(X)] = np.nan."
)

# Integers of up to 16 bits are exact in float32.
_SINGLE = frozenset("?bBhHef")


@dataclass(frozen=True)
class Frame:
    """Coordinates in which features are near 0 and of size 1: ``(x - origin) * scale``.

    The scale is a power of two and the origin a float32 number, so that going to the frame is
    exact wherever `x` is near the origin, and float32 data far from zero lose nothing. (Beyond the
    range of float32 the origin is one of float64.)
    """

    origin: Array
    scale: Array

    @classmethod
    def around(
        cls, mean: Array, deviation: Array, dtype: np.dtype[Any], *, isotropic: bool
    ) -> Frame:
        """The frame for data of this type, and of about this mean and standard deviation."""
        if isotropic:
            deviation = np.full_like(deviation, deviation.max())
        usable = np.isfinite(deviation) & (deviation > 0)
        exponent = np.rint(-np.log2(np.where(usable, deviation, 1.0)))
        limits = np.finfo(dtype)
        origin = np.clip(mean, limits.min, limits.max)
        if np.abs(origin).max() < np.finfo(np.float32).max:
            origin = origin.astype(np.float32).astype(np.float64)
        return cls(origin, np.exp2(np.clip(exponent, limits.minexp + 1, limits.maxexp - 2)))

    @classmethod
    def identity(cls, n_features: int) -> Frame:
        """The coordinates of the data themselves."""
        return cls(np.zeros(n_features), np.ones(n_features))

    @property
    def log_scale(self) -> float:
        """What a log density gains by going back from the frame to the data's units."""
        return float(np.log(self.scale).sum())


class Preloadable(ABC):
    """Rows of any kind: those of them that are few enough can be held, as blocks."""

    def preload(self, workers: Workers) -> None:
        """Copy the rows into blocks if they are few enough: passes are then faster."""
        self.begin_preload(workers)()

    @abstractmethod
    def begin_preload(self, workers: Workers) -> Callable[[], None]:
        """Have other threads begin with `preload`; what is returned has to be called to end it."""


class Rows(Preloadable):
    """N rows of D features with weights, read as blocks in a frame.

    Parameters
    ----------
    X : ndarray or LazyRows of shape (N, D)
        Any integer or float type, any memory layout, memory-mapped or not. Never written to,
        copied only when small.
    weights : ndarray of shape (N,), float64, or None
        None = all 1.
    frame : Frame
    index : ndarray of shape (n,), optional
        The rows of `X` that these rows are; all by default.
    observed : ndarray of bool, shape (D,), optional
        False = not to be read: the feature is 0 in every row. All are read by default.
    """

    def __init__(
        self,
        X: NDArray[Any] | LazyRows,
        weights: Array | None,
        frame: Frame,
        *,
        index: NDArray[Any] | None = None,
        observed: NDArray[np.bool_] | None = None,
    ) -> None:
        self.n_samples, self.n_features = X.shape
        if index is not None:
            self.n_samples = len(index)
            weights = None if weights is None else weights[index]
        self.frame = frame
        self.index = index
        self.observed = np.ones(self.n_features, bool) if observed is None else observed
        self.dtype = working_dtype(X)
        self._X = X
        self._origin = frame.origin.astype(self.dtype)
        self._scale = frame.scale.astype(self.dtype)
        #: Weights are kept in units of about the largest: any magnitude fits the type.
        self.weight_unit = 1.0
        self._weights = np.empty(0, self.dtype)
        if weights is not None and len(weights):
            self.weight_unit = float(2.0 ** np.floor(np.log2(weights.max())))
            self._weights = (weights / self.weight_unit).astype(self.dtype)
        self.total_weight = float(self.n_samples if weights is None else weights.sum())
        self._has_idle_rows = bool(self._weights.size) and not self._weights.all()
        self._blocks: NDArray[Any] | None = None

    @property
    def log_scale(self) -> float:
        """What the log density of a row gains by going back from the frame to the data's units."""
        return float(np.log(self.frame.scale[self.observed]).sum())

    @property
    def copy_size(self) -> int:
        """Bytes of all rows in blocks."""
        return math.ceil(self.n_samples / BLOCK) * BLOCK * self.n_features * self.dtype.itemsize

    @property
    def is_held(self) -> bool:
        """Whether all rows are in blocks: then `pieces` gives any number of them as one."""
        return self._blocks is not None

    def begin_preload(self, workers: Workers) -> Callable[[], None]:
        """As of `Preloadable`."""
        if self.is_held or self.copy_size > _LARGEST_COPY:
            return lambda: None
        blocks = self._empty_blocks(self.n_samples)
        groups = row_groups(self.n_samples)

        def task(i: int) -> None:
            start, stop = groups[i]
            self._standardise(start, stop, blocks[start // BLOCK :])

        end = workers.begin(task, len(groups))

        def finish() -> None:
            end()
            self._blocks = blocks

        return finish

    def pieces(self, start: int, stop: int) -> Iterator[tuple[NDArray[Any], int, int, int]]:
        """Yield blocks, the first to use, the number of rows in them, and the first row's number.

        `start` is a multiple of the size of a block.
        """
        if self._blocks is not None:
            yield self._blocks, start // BLOCK, stop - start, start
            return
        piece = max(_PIECE, _PIECE_BYTES // (self.n_features * self.dtype.itemsize))
        piece = piece // BLOCK * BLOCK
        for first in range(start, stop, piece):
            n = min(piece, stop - first)
            blocks = self._empty_blocks(n)
            self._standardise(first, first + n, blocks)
            yield blocks, 0, n, first

    def weights(self, first: int, n: int) -> NDArray[Any]:
        """Weights of `n` rows from row `first`; of size 0 when all are 1."""
        return self._weights[first : first + n]

    def values(self, start: int, stop: int) -> tuple[Array, Array]:
        """Rows start:stop in the frame, (D, n), and their weights (n,), as float64."""
        values = self._read(slice(start, stop))
        x = np.stack([self._to_frame(values[:, d], d) for d in range(self.n_features)])
        w = np.ones(stop - start)
        if self._weights.size:
            w = self._weights[start:stop].astype(np.float64) * self.weight_unit
        x[:, w == 0] = 0  # whatever stands there
        return x.astype(np.float64), w

    def sample(self, n: int, rng: np.random.Generator) -> tuple[NDArray[Any], Array]:
        """Planes (D, m) and weights (m,) of at most `n` rows, drawn evenly by weight.

        All rows when there are no more than `n`. Otherwise one row from each of `n` strata of
        equal weight: the spread of the file order is kept, and no period in it (image columns)
        can resonate with the sampling. A row of weight 3 is drawn as three equal rows would be.
        """
        chosen, weights = self.choose(n, rng)
        return self._planes_of(chosen), weights

    def _planes_of(self, chosen: slice | NDArray[np.intp]) -> NDArray[Any]:
        values = self._read(chosen)
        planes = np.empty((self.n_features, len(values)), self.dtype)
        for d in range(self.n_features):
            planes[d] = self._to_frame(values[:, d], d)
        return planes

    def planes(self, start: int, stop: int) -> NDArray[Any]:
        """The rows start:stop in the frame, (D, stop - start); 0 where not observed."""
        planes = np.zeros((self.n_features, stop - start), self.dtype)
        values = self._read(slice(start, stop))
        for d in np.flatnonzero(self.observed).tolist():
            planes[d] = self._to_frame(values[:, d], d)
        return planes

    def _read(self, rows: slice | NDArray[np.intp]) -> NDArray[Any]:
        """Some of the rows as they are, (n, D)."""
        chosen = rows if self.index is None else self.index[rows]
        values: NDArray[Any] = (
            self._X[chosen] if isinstance(chosen, slice) else _taken(self._X, chosen)
        )
        return values

    def look(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Values (m, D) as they are, and weights (m,), of rows drawn as `sample` draws them."""
        chosen, weights = self.choose(n, rng)
        return self._read(chosen).astype(np.float64), weights

    def choose(self, n: int, rng: np.random.Generator) -> tuple[slice | NDArray[np.intp], Array]:
        """Which rows `sample` takes, and their weights."""
        if self.n_samples > n:
            return self._draw(n, rng), np.full(n, self.total_weight / n)
        weights = np.ones(self.n_samples)
        if self._weights.size:
            weights = self._weights.astype(np.float64) * self.weight_unit
        if not self._has_idle_rows:
            return slice(0, self.n_samples), weights
        chosen = np.flatnonzero(weights)
        return chosen, weights[chosen]

    def part(self, n: int, rng: np.random.Generator) -> Rows:
        """A sample of the rows as rows of their own, in the same frame."""
        return self.chosen(*self.choose(n, rng))

    def chosen(self, rows: slice | NDArray[np.intp], weights: Array) -> Rows:
        """Some of the rows, with other weights, as rows of their own in the same frame."""
        planes = self._planes_of(rows)
        part = Rows(planes.T, weights, Frame.identity(self.n_features))
        part.frame = self.frame
        part._blocks = part._empty_blocks(part.n_samples)
        for d, plane in enumerate(planes):
            _fill(part._blocks[:, d], plane)
        return part

    def _draw(self, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
        positions = (np.arange(n) + rng.random(n)) / n
        if not self._weights.size or self._weights.min() == self._weights.max():
            return np.minimum(positions * self.n_samples, self.n_samples - 1).astype(np.intp)
        cumulative = np.cumsum(self._weights, dtype=np.float64)
        chosen = np.searchsorted(cumulative, positions * cumulative[-1], side="right")
        return np.minimum(chosen, self.n_samples - 1)

    def _to_frame(self, column: NDArray[Any], d: int) -> NDArray[Any]:
        """One feature of some rows in the frame: at most `_FARTHEST` from 0, or NaN."""
        with np.errstate(over="ignore", invalid="ignore"):
            out: NDArray[Any] = np.subtract(column, self._origin[d], dtype=self.dtype)
            np.multiply(out, self._scale[d], out=out)
        if column.dtype.kind == "f":
            np.clip(out, -_FARTHEST, _FARTHEST, out=out)
            finite = np.isfinite(column)
            if not finite.all():
                out[~finite] = np.nan
        return out

    def _empty_blocks(self, n: int) -> NDArray[Any]:
        """Blocks for `n` rows; what no row and no feature fills is zero."""
        shape = (math.ceil(n / BLOCK), padded_features(self.n_features), BLOCK)
        blocks = empty_lines(shape, self.dtype)
        blocks[:, self.n_features :] = 0
        blocks[-1] = 0
        return blocks

    def _standardise(self, start: int, stop: int, blocks: NDArray[Any]) -> None:
        """Fill `blocks` with the rows start:stop."""
        idle = self._weights[start:stop] == 0 if self._has_idle_rows else None
        rows = self._read(slice(start, stop))
        if idle is None and self.observed.all() and self._standardise_near(rows, blocks):
            return
        for d in range(self.n_features):
            if not self.observed[d]:
                blocks[:, d] = 0
                continue
            values = self._to_frame(rows[:, d], d)
            if idle is not None:  # whatever stands there: even infinity must count for nothing
                values[idle] = 0
            _fill(blocks[:, d], values)

    def _standardise_near(self, rows: NDArray[Any], blocks: NDArray[Any]) -> bool:
        """Fill `blocks` all features at once: False if some value is far away or not finite."""
        if self._pays_a_kernel(rows):
            from gmmseg.mixture._row_kernels import fill_blocks

            plain, limit = rows.view(np.ndarray), self.dtype.type(_FARTHEST)
            return bool(fill_blocks(plain, self._origin, self._scale, limit, blocks) == 0)
        whole, d = len(rows) // BLOCK, self.n_features
        places = [(rows[: whole * BLOCK].reshape(whole, BLOCK, d), blocks[:whole, :d])]
        if rest := len(rows) - whole * BLOCK:
            places.append((rows[None, -rest:], blocks[whole : whole + 1, :d, :rest]))
        with np.errstate(over="ignore", invalid="ignore"):
            for source, out in places:
                values = source.transpose(0, 2, 1)
                np.subtract(values, self._origin[:, None], out=out, dtype=self.dtype)
                np.multiply(out, self._scale[:, None], out=out)
                if out.size and not (out.min() >= -_FARTHEST and out.max() <= _FARTHEST):
                    return False  # NaN, too, is not within these
        return True

    def _pays_a_kernel(self, rows: NDArray[Any]) -> bool:
        """Of the types of rows, one is compiled: that of the rows that have no small table."""
        is_single = rows.dtype == self.dtype == np.float32
        return is_single and rows.flags.c_contiguous and self.n_samples >= _MANY_ROWS


def _taken(X: NDArray[Any] | LazyRows, chosen: NDArray[Any]) -> NDArray[Any]:
    """``X[chosen]``, which takes up to ten times as long where `X` is contiguous."""
    if isinstance(X, np.ndarray) and X.flags.aligned:
        if X.flags.c_contiguous:
            return np.take(X, chosen, axis=0)
        if X.flags.f_contiguous:
            return np.take(X.T, chosen, axis=1).T
    found: NDArray[Any] = X[chosen]
    return found


def _fill(blocks: NDArray[Any], values: NDArray[Any]) -> None:
    """Write one feature of some rows (n,) into blocks of it (n_blocks, BLOCK)."""
    whole = len(values) // BLOCK
    blocks[:whole] = values[: whole * BLOCK].reshape(whole, BLOCK)
    if rest := len(values) - whole * BLOCK:
        blocks[whole, :rest] = values[whole * BLOCK :]


def empty_lines(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An empty array that begins where a line of the cache does, as NumPy's own need not.

    Elsewhere each access to 64 bytes is one to two lines: blocks and work space that begin
    elsewhere cost the kernels a tenth of their time.
    """
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % _LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def padded_features(n_features: int) -> int:
    """Number of features in a block: few as they are, more in whole tiles."""
    if n_features <= _MOST_IN_REGISTERS:
        return n_features
    return math.ceil(n_features / _TILE) * _TILE


def as_rows(X: ArrayLike | LazyRows) -> Any:
    """Check that `X` is (N, D) of real numbers, without copying it.

    Returns
    -------
    ndarray or LazyRows
    """
    if isinstance(X, LazyRows):
        return X
    array = np.asarray(X)
    if array.ndim != 2:
        raise InvalidDataError(
            f"X must be two-dimensional, (n_samples, n_features), got shape {array.shape}. "
            "Reshape with X.reshape(-1, 1) for a single feature."
        )
    if array.dtype.kind not in "buif":
        raise InvalidDataError(f"X must be of real numbers, got dtype {array.dtype}.")
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise InvalidDataError(f"X must have at least one row and one column, got {array.shape}.")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def check_weights(sample_weight: ArrayLike | None, n_samples: int) -> Array | None:
    """Check sample weights; None when there are none."""
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n_samples,):
        raise InvalidParameterError(
            f"sample_weight must have one entry for each of the {n_samples} rows, "
            f"got shape {weights.shape}."
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise InvalidParameterError("sample_weight must be finite and not negative.")
    if not weights.any():
        raise InvalidParameterError("sample_weight must not be zero for every row.")
    return weights


def working_dtype(X: NDArray[Any] | LazyRows) -> np.dtype[Any]:
    """float32 when that holds every value of the type exactly, else float64."""
    return np.dtype(np.float32 if X.dtype.char in _SINGLE else np.float64)


def row_groups(n_samples: int, statistics_size: int = 0) -> list[tuple[int, int]]:
    """Cut the rows into groups whose sums are added in order.

    The cut depends on the number of rows and the size of one group's statistics (in numbers)
    alone, never on threads: this is what makes results the same for any number of threads.
    """
    most = min(_MOST_GROUPS, max(4, _GROUP_MEMORY // (8 * max(1, statistics_size))))
    n_groups = max(1, min(most, math.ceil(n_samples / _SMALLEST_GROUP)))
    size = math.ceil(n_samples / n_groups / BLOCK) * BLOCK
    return [(start, min(start + size, n_samples)) for start in range(0, n_samples, size)]
