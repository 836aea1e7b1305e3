"""Pixels and their ties: who is whose neighbour, how strongly, and in which order they move."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import per_axis
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.mixture._threads import Workers

__all__ = ["NEIGHBOURS", "Expectations", "Lattice", "Prior"]

Planes = NDArray[np.float32]
Order = NDArray[np.int64]

#: How many axes the step to a neighbour may go along, by the image's axes and the neighbours.
NEIGHBOURS = {2: {4: 1, 8: 2}, 3: {6: 1, 18: 2, 26: 3}}

# Pixels of one task: large enough that starting it counts for nothing, small enough for threads.
_TASK = 1 << 17

# At least so many slabs of a volume, or as many as there are pairs of planes.
_SLABS = 24

# As in the kernels, which are not imported here, because Numba would come with them.
LANES = 64

# So many pixels tell the prior as well as more would.
_ASKED = 1 << 17
_LEAST_WEIGHT = 1e-30

_LOG2E = 1 / math.log(2.0)

# Equal guides have no contrast; a floor for the mean square keeps 0 / 0 out.
_SMALLEST_SQUARE = 1e-30


@dataclass(frozen=True, kw_only=True, eq=False)
class Prior:
    """What is known of a pixel's class without looking at it.

    Attributes
    ----------
    beta : float
        What a nearest neighbour of the same class is worth, in nats.
    field : ndarray of shape (K,), float32
        What a class is worth beyond its weight in the mixture, in base 2.
    """

    beta: float
    field: NDArray[np.float32]


class Expectations(NamedTuple):
    """What a prior expects of every pixel from its neighbours, against what the pixels are.

    Attributes
    ----------
    slope, curvature : float
        Derivatives of the log pseudo-likelihood by beta.
    shares, expected : ndarray of shape (K,)
        Sums of the classes' probabilities.
    """

    # sums over pixels, all of them: those of several images add up

    slope: float
    curvature: float
    shares: NDArray[np.float64]
    expected: NDArray[np.float64]


class Lattice:
    """The pixels of an image and the ties between neighbours, each of weight d0 / d.

    d is the distance between the two pixels and d0 the least distance of any two: a strength
    means the same whatever the resolution. Pixels that are not used neither give nor take.

    Parameters
    ----------
    shape : tuple of int
        (rows, cols) or (planes, rows, cols).
    workers : Workers
    neighbours : int or None
        4 or 8 of a pixel, 6, 18 or 26 of a voxel; None = 8 or 26.
    mask : ndarray of bool of `shape`, or None
        True = used; None = all.
    spacing : sequence of float, or None
        Size of a pixel along each axis; None = all the same.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        workers: Workers,
        *,
        neighbours: int | None = None,
        mask: NDArray[np.bool_] | None = None,
        spacing: Any = None,
    ) -> None:
        self.shape = (1,) * (3 - len(shape)) + tuple(shape)
        self._workers = workers
        self._mask = _no_bytes()
        if mask is not None:
            self._mask = np.ascontiguousarray(mask.reshape(self.shape)).view(np.uint8)
        self.n_used = math.prod(shape) if mask is None else int(np.count_nonzero(mask))
        self._ties = _ties(len(shape), neighbours, spacing)
        self._spans = _spans(self.shape, mask)
        self._phases = _phases(self.shape, self._spans)
        self._edges = np.empty((0, 0, 0, 0), np.uint8)
        self._known: Planes = np.empty((0, 0, 0, 0), np.float32)

    def know(self, logs: Planes) -> None:
        """Take what is known of single pixels, whatever their neighbours are, for expectations.

        Parameters
        ----------
        logs : ndarray of shape (K, planes, rows, cols), float32
            log2 of what every class is worth beside its weight, up to a constant for each pixel.
        """
        self._known = logs

    def weaken(self, guide: Planes, contrast: float) -> None:
        """Weaken ties across edges by ``exp(-contrast |x_i - x_j|^2 / (2 <|x_i - x_j|^2>))``.

        Boykov and Jolly (ICCV 2001); the mean over all tied pairs is GrabCut's (Rother,
        Kolmogorov and Blake 2004): `contrast` has no unit.

        Parameters
        ----------
        guide : ndarray of shape (F, planes, rows, cols), float32
        contrast : float
            0 = not at all.
        """
        if contrast == 0:
            return
        from gmmseg._smoothing_kernels import contrast_pass, edge_pass

        tasks = _cut(self._spans, self._rows_of_a_task)
        squares = [np.empty(len(order), np.float32) for order in tasks]
        pairs = [np.empty(len(order), np.int64) for order in tasks]

        def look(i: int) -> None:
            work = np.empty(self.shape[2], np.float32)
            contrast_pass(guide, self._mask, self._ties, tasks[i], work, squares[i], pairs[i])

        self._workers.run(look, len(tasks))
        n_pairs = max(sum(int(p.sum()) for p in pairs), 1)
        mean = sum(float(s.sum(dtype=np.float64)) for s in squares) / n_pairs
        scale = np.float32(contrast * _LOG2E / (2 * max(mean, _SMALLEST_SQUARE)))
        n_edges = 13 if self.shape[0] > 1 else 4
        self._edges = np.zeros((n_edges, *self.shape), np.uint8)

        def write(i: int) -> None:
            work = np.empty(self.shape[2], np.float32)
            edge_pass(guide, self._ties, scale, tasks[i], work, self._edges)

        self._workers.run(write, len(tasks))

    @property
    def _rows_of_a_task(self) -> int:
        return max(1, _TASK // self.shape[2])

    def _strength(self, beta: float) -> NDArray[np.float32]:
        """Ties in base 2, in the unit of the edges."""
        unit = 255.0 if self._edges.size else 1.0
        return (self._ties * (beta * _LOG2E / unit)).astype(np.float32)

    def start(self, unary: Planes) -> Planes:
        """Probabilities without any ties: the softmax of `unary`, 0 where not used."""
        q = np.zeros(unary.shape, np.float32)
        self.sweep(unary, q, Prior(beta=0.0, field=np.zeros(len(unary), np.float32)))
        return q

    def n_used_in(self, rows: slice | None) -> int:
        """Number of used pixels in some rows of a flat image; None = in all."""
        if rows is None:
            return self.n_used
        if not self._mask.size:
            return (rows.stop - rows.start) * self.shape[2]
        return int(np.count_nonzero(self._mask[0, rows]))

    def sweep(
        self,
        unary: Planes,
        q: Planes,
        prior: Prior,
        *,
        hard: bool = False,
        rows: slice | None = None,
        planes: Sequence[int] | None = None,
    ) -> float:
        """Update every pixel of `q` once, in place.

        Parameters
        ----------
        unary : ndarray of shape (K, planes, rows, cols), float32, C-contiguous
            log2 of the posterior, up to a constant for each pixel.
        q : ndarray of that shape
            Probabilities; 0 where not used.
        prior : Prior
        hard : bool
            Give all to the most probable class.
        rows : slice, optional
            Of a flat image: the rows whose changes are counted.
        planes : sequence of int, optional
            Of a volume: those that are updated.

        Returns
        -------
        float
            Mean over the used pixels of the share of probability that changed class, 0..1.
        """
        from gmmseg._smoothing_kernels import relax_pass

        ties = self._strength(prior.beta)
        moved = 0.0
        for tasks in self._phases if planes is None else self._phases_of(planes):
            change = [np.empty(len(order), np.float32) for order in tasks]

            def task(i: int, tasks: list[Order] = tasks, change: list[Any] = change) -> None:
                work = _work_space(len(q), self.shape[2])
                relax_pass(
                    unary, q, prior.field, self._mask, self._edges, ties, hard,
                    tasks[i], work, change[i],
                )  # fmt: skip

            self._workers.run(task, len(tasks))
            if rows is not None:
                inside = [(t[:, 1] >= rows.start) & (t[:, 1] < rows.stop) for t in tasks]
                change = [c[here] for c, here in zip(change, inside, strict=True)]
            moved += sum(float(c.sum(dtype=np.float64)) for c in change)
        return moved / (2 * max(self.n_used_in(rows), 1))

    def _phases_of(self, planes: Sequence[int]) -> list[list[Order]]:
        """The rows of some planes, in phases."""
        chosen = np.zeros(self.shape[0], bool)
        chosen[list(planes)] = True
        return _phases(self.shape, self._spans[chosen[self._spans[:, 0]]])

    def pull(self, q: Planes, beta: float) -> Planes:
        """What its neighbours add to the logarithm of every class in a pixel, in nats; like `q`.

        0 in rows without used pixels.
        """
        from gmmseg._smoothing_kernels import pull_pass

        out = np.zeros(q.shape, np.float32)
        tasks = _cut(self._spans, self._rows_of_a_task)
        ties = (self._strength(beta) / _LOG2E).astype(np.float32)

        def task(i: int) -> None:
            work = np.zeros((3, self.shape[2] + 2), np.float32)
            pull_pass(q, self._edges, ties, tasks[i], work, out)

        self._workers.run(task, len(tasks))
        return out

    def expectations(self, q: Planes, weights: NDArray[np.float64], prior: Prior) -> Expectations:
        """What `prior` expects of every pixel, from its neighbours in `q` and the classes' weights.

        Of a large image some rows are asked, evenly spread.
        """
        from gmmseg._smoothing_kernels import affinity_pass

        step = max(1, self.n_used // _ASKED)
        tasks = _cut(self._spans[step // 2 :: step], self._rows_of_a_task)
        sizes = [len(order) for order in tasks]
        derivatives = [np.empty((n, 2)) for n in sizes]
        shares = [np.empty((n, 2, len(q))) for n in sizes]
        field = (np.log2(np.maximum(weights, _LEAST_WEIGHT)) + prior.field).astype(np.float32)
        ties = (self._strength(1.0) / _LOG2E).astype(np.float32)
        beta = np.float32(prior.beta * _LOG2E)

        def task(i: int) -> None:
            n = self.shape[2]
            work = np.zeros((6, n + 2), np.float32), *np.empty((2, len(q), n), np.float32)
            affinity_pass(
                q, self._mask, self._edges, ties, field, self._known, beta, tasks[i], work,
                derivatives[i], shares[i],
            )  # fmt: skip

        self._workers.run(task, len(tasks))
        both = sum(share.sum(axis=0) for share in shares)
        slope, curvature = sum(d.sum(axis=0) for d in derivatives)
        return Expectations(float(slope), float(curvature), *both)


def _work_space(n_classes: int, n_columns: int) -> tuple[NDArray[Any], ...]:
    """What `relax_pass` works in."""
    half = math.ceil(n_columns / 2 / LANES) * LANES
    return (
        np.empty(half, np.uint64),
        np.zeros((8, 2 * half + 2), np.float32),
        np.empty((n_classes, half), np.float32),
        np.empty((n_classes, half), np.float32),
        np.empty((n_classes, half + 1), np.float32),
        np.empty((n_classes, half + 1), np.float32),
    )


def _no_bytes() -> NDArray[np.uint8]:
    return np.empty((0, 0, 0), np.uint8)


def _ties(ndim: int, neighbours: int | None, spacing: Any) -> NDArray[np.float32]:
    """Weights by (dz + 1, dy + 1, |dx|): the nearest neighbour's distance over the neighbour's."""
    reach = NEIGHBOURS[ndim].get(neighbours or max(NEIGHBOURS[ndim]))
    if reach is None:
        allowed = " or ".join(map(str, NEIGHBOURS[ndim]))
        raise InvalidParameterError(
            f"neighbours must be {allowed} in {ndim} dimensions, got {neighbours}."
        )
    steps = (1.0,) * 3 if spacing is None else per_axis(spacing, ndim, "spacing")
    steps = (math.inf,) * (3 - len(steps)) + tuple(steps)
    ties = np.zeros((3, 3, 2))
    for index in np.ndindex(3, 3, 2):
        offset = (index[0] - 1, index[1] - 1, index[2])
        moved = [abs(step) * size for step, size in zip(offset, steps, strict=True) if step]
        if 0 < len(moved) <= reach and (ndim == 3 or offset[0] == 0):
            ties[index] = min(steps) / math.hypot(*moved)
    return ties.astype(np.float32)


def _spans(shape: tuple[int, int, int] | tuple[int, ...], mask: Any) -> Order:
    """(z, y, start, stop) of every row with used pixels: where they begin and end, from an even
    column.
    """
    z, y = (axis.ravel() for axis in np.indices(shape[:2]))
    if mask is None:
        full = np.zeros((len(z), 4), np.int64)
        full[:, 0], full[:, 1], full[:, 3] = z, y, shape[2]
        return full
    used = mask.reshape(-1, shape[2])
    first = used.argmax(axis=1)
    stop = shape[2] - used[:, ::-1].argmax(axis=1)
    spans = np.stack([z, y, first - first % 2, stop], axis=1).astype(np.int64)
    return spans[used.any(axis=1)]


def _cut(rows: Order, size: int) -> list[Order]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def _phases(shape: tuple[int, ...], spans: Order) -> list[list[Order]]:
    """Rows in phases; the tasks of a phase may run at the same time.

    In a plane even rows come before odd ones, even planes before odd ones. What is odd follows
    the even ones around it, while they are in the cache.
    """
    if shape[0] > 1 and shape[1] * shape[2] <= _TASK:
        return _phases_of_slabs(shape, spans)
    return _phases_of_bands(shape, spans)


def _phases_of_bands(shape: tuple[int, ...], spans: Order) -> list[list[Order]]:
    """Tasks are bands of a plane.

    The last row of a band waits for the next band: it comes in a phase of its own.
    """
    band = max(2, _TASK // shape[2] // 2 * 2)
    z, y = spans[:, 0], spans[:, 1]
    waits = (y % band == band - 1) & (y != shape[1] - 1)
    phases = []
    for parity in (0, 1):
        here = z % 2 == parity
        bands = _in_order(spans[here & ~waits], lambda z, y: (z * shape[1] + y // band, _turn(y)))
        phases += [bands, _cut(spans[here & waits], band)]
    return [phase for phase in phases if phase]


def _phases_of_slabs(shape: tuple[int, ...], spans: Order) -> list[list[Order]]:
    """Tasks are slabs of small planes: a sweep goes through memory once, not once for each parity.

    The last plane of a slab waits for the next slab.
    """
    thick = max(2, shape[0] // _SLABS // 2 * 2)
    z = spans[:, 0]
    waits = (z % thick == thick - 1) & (z != shape[0] - 1)
    slabs = _in_order(spans[~waits], lambda z, y: (z // thick, _turn(z), _turn(y)))
    seams = _in_order(spans[waits], lambda z, y: (z, _turn(y)))
    return [phase for phase in (slabs, seams) if phase]


def _turn(number: Order) -> Order:
    """Where rows or planes come: even ones in order, each odd one just after the two around it."""
    turn: Order = np.where(number % 2 == 0, 2 * number, 2 * number + 3)
    return turn


def _in_order(spans: Order, keys: Callable[[Order, Order], tuple[Order, ...]]) -> list[Order]:
    """Rows sorted by keys, cut into tasks where the first key changes."""
    columns = keys(spans[:, 0], spans[:, 1])
    order = np.lexsort(columns[::-1])
    cuts = np.flatnonzero(np.diff(columns[0][order])) + 1
    return [task for task in np.split(spans[order], cuts) if len(task)]


def check_planes(planes: Any, name: str) -> Planes:
    """Return `planes` as contiguous float32 of shape (K, planes, rows, cols)."""
    array = np.ascontiguousarray(planes, dtype=np.float32)
    if array.ndim not in (3, 4) or array.size == 0:
        raise InvalidDataError(
            f"{name} must be (classes, rows, cols) or (classes, planes, rows, cols), "
            f"got shape {array.shape}."
        )
    return array if array.ndim == 4 else array[:, np.newaxis]
