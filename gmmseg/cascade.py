"""Volumes smoothed in one way through them: sweeps follow one another, two planes apart.

A plane has had its sweep when the planes around it have had theirs, so that the next sweep need not
wait for the end of the volume (docs/math.md, equation 118). Planes are held from when the first
sweep reaches them until the last one has left: neither evidence nor posterior is ever in memory
as a whole. Each plane sees what it would in sweeps over the whole volume: the bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.labels import label_dtype
from gmmseg.lattice import Lattice, Planes, Prior
from gmmseg.mixture._threads import Workers
from gmmseg.smoothing import (
    SmoothingOptions,
    first_prior,
    most_probable,
    relax_together,
    sweeps_wanted,
)

__all__ = ["Evidence", "SmoothedVolume", "smooth_volume"]

#: Voxels whose evidence is read at once: enough for all threads, little beside what is held.
_AT_ONCE = 1 << 21

#: The number of sweeps is guessed from up to so many parts of the volume, evenly spread, of so many
#: planes each, and of so many voxels together if one part has no more.
_N_LOOKS, _LOOK = 8, 4
_LOOKED_AT = 1 << 23


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What the voxels say of the classes by themselves, made where it is read.

    Attributes
    ----------
    shape : tuple of int
        (planes, rows, cols).
    n_classes : int
    unary : callable
        From parts of the first axis, in order, to log2 of their posteriors up to a constant for
        each voxel, (K, n, rows, cols) float32.
    mask : ndarray of bool of `shape`, or None
        True = used; None = all.
    neighbours, spacing
        As of `gmmseg.lattice.Lattice`.
    threads : int or None
    """

    shape: tuple[int, ...]
    n_classes: int
    unary: Callable[[Sequence[slice]], Iterator[Planes]]
    mask: NDArray[np.bool_] | None = None
    neighbours: int | None = None
    spacing: Any = None
    threads: int | None = None

    def lattice(self, along: slice, workers: Workers) -> Lattice:
        """Of some planes."""
        return Lattice(
            (along.stop - along.start, *self.shape[1:]),
            workers,
            neighbours=self.neighbours,
            mask=None if self.mask is None else self.mask[along],
            spacing=self.spacing,
        )

    @property
    def n_used(self) -> int:
        """Number of used voxels."""
        if self.mask is None:
            return int(np.prod(self.shape))
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True, kw_only=True, eq=False)
class SmoothedVolume:
    """What smoothing found, as `gmmseg.smoothing.Smoothed` tells it, without the probabilities.

    Those are computed where they are asked for, with all sweeps.

    Attributes
    ----------
    beta, n_sweeps, converged, moves
        As of `Smoothed`.
    """

    beta: float
    n_sweeps: int
    converged: bool
    moves: tuple[float, ...]
    _labels: NDArray[Any]
    _cascade: _Cascade

    def labels(self, *, threads: int | None = None) -> NDArray[Any]:
        """The most probable class of every voxel, as `Smoothed.labels` has it."""
        return self._labels

    @property
    def probabilities(self) -> Planes:
        """Of all classes and voxels, (K, planes, rows, cols)."""
        evidence = self._cascade.evidence
        (found,) = self.slabs(evidence.shape, evidence.shape[0])
        return found

    def slabs(
        self, shape: tuple[int, ...], step: int, *, index: int | None = None
    ) -> Iterator[Planes]:
        """Probabilities of so many planes at once, as `Smoothed.slabs` has them."""
        chosen = slice(None) if index is None else slice(index, index + 1)
        parts = (planes[chosen] for planes in self._cascade.planes())
        return _regrouped(parts, shape[0], step)


def smooth_volume(
    evidence: Evidence, options: SmoothingOptions, weights: NDArray[np.float64]
) -> SmoothedVolume:
    """Smooth a volume of which neither evidence nor posterior is held.

    The number of sweeps is a matter of the whole volume: it is guessed from parts, and checked at
    the end; if another one is right, all is done once more (equation 86).

    Parameters
    ----------
    evidence : Evidence
    options : SmoothingOptions
        With a number for `beta`, and without `contrast`.
    weights : ndarray of shape (K,)
        Shares of the classes.
    """
    n_sweeps, n_used = _guess(evidence, options, weights), evidence.n_used
    while True:
        cascade = _Cascade(evidence, options, n_sweeps)
        moves = np.zeros(n_sweeps)
        labels = _labelled(cascade.planes(moves), evidence)
        wanted = sweeps_wanted(moves, n_used, n_sweeps, options)
        if wanted == n_sweeps:
            break
        n_sweeps = wanted
    return SmoothedVolume(
        beta=float(options.beta),
        n_sweeps=n_sweeps,
        converged=bool(moves[-1] / max(n_used, 1) < options.tol),
        moves=tuple(moves.tolist()),
        _labels=labels,
        _cascade=cascade,
    )


def _labelled(parts: Iterator[Planes], evidence: Evidence) -> NDArray[Any]:
    labels = np.empty(evidence.shape, label_dtype(evidence.n_classes))
    done = 0
    for planes in parts:
        here = slice(done, done + planes.shape[1])
        labels[here] = most_probable(planes, labels.dtype, threads=evidence.threads)
        done = here.stop
    return labels


def _guess(evidence: Evidence, options: SmoothingOptions, weights: NDArray[np.float64]) -> int:
    """How many sweeps it takes until parts of the volume are at rest."""
    looks = _looks(evidence.shape)
    with Workers(evidence.threads) as workers:
        parts = []
        for along, unary in zip(looks, evidence.unary(looks), strict=True):
            lattice = evidence.lattice(along, workers)
            if lattice.n_used:
                parts.append((lattice, unary))
        return relax_together(parts, options, weights)[0].n_sweeps if parts else 1


def _looks(shape: tuple[int, ...]) -> list[slice]:
    n, *others = shape
    n_looks = min(max(_LOOKED_AT // (_LOOK * int(np.prod(others))), 1), _N_LOOKS)
    if n <= n_looks * _LOOK:
        return [slice(0, n)]
    middles = (np.arange(n_looks) + 0.5) * n / n_looks
    return [slice(start, start + _LOOK) for start in (middles - _LOOK / 2).astype(int).tolist()]


@dataclass(frozen=True, eq=False)
class _Cascade:
    """So many sweeps over a volume."""

    evidence: Evidence
    options: SmoothingOptions
    n_sweeps: int

    def planes(self, moves: NDArray[np.float64] | None = None) -> Iterator[Planes]:
        """Probabilities (K, n, rows, cols) of the planes in order, as they come to an end.

        They are overwritten when the next ones are asked for. What each sweep moved, in shares of
        probability, is added to `moves` (n_sweeps,).
        """
        moves = np.zeros(self.n_sweeps) if moves is None else moves
        stops, n_held = self._loads()
        prior = first_prior(self.options, self.evidence.n_classes)
        window = _Window(self.evidence, n_held, prior, hard=self.options.method == "icm")
        parts = [slice(*ends) for ends in zip([0, *stops[:-1]], stops, strict=True)]
        reached = [0] * self.n_sweeps
        with Workers(self.evidence.threads) as workers:
            for part, unary in zip(parts, self.evidence.unary(parts), strict=True):
                window.take(unary, part, workers)
                following = self._reached(part.stop)
                for s, ends in enumerate(zip(reached, following, strict=True)):
                    moves[s] += window.sweep(*ends)
                reached = following
                done = part.stop if part is parts[-1] else reached[-1] - 2
                yield window.q[:, : done - window.start]
                window.forget(done)

    def _loads(self) -> tuple[list[int], int]:
        """Where the parts end that are read, and how many planes are held.

        The planes that are held end with the volume: beyond its last one there is nothing.
        """
        n, *others = self.evidence.shape
        odd = n % 2
        step = max(_AT_ONCE // int(np.prod(others)) // 2 * 2, 2)
        held = 2 * self.n_sweeps + step + odd
        if held >= n:
            return [n], n
        first = n - odd
        first -= -(-(first - held) // step) * step
        return [*range(first, n - odd, step), n], held

    def _reached(self, stop: int) -> list[int]:
        """How far each sweep comes when the planes up to `stop` are there: see `_turn`."""
        if stop == self.evidence.shape[0]:
            return [stop + 2] * self.n_sweeps
        return [stop - 2 * s for s in range(self.n_sweeps)]


def _turn(plane: int) -> int:
    """When a plane is swept: even ones in order, each odd one just after the two around it."""
    return plane + plane % 2


class _Window:
    """The planes between the first sweep and the last.

    Attributes
    ----------
    q : ndarray of shape (K, n, rows, cols)
        Probabilities.
    start : int
        The first plane; even, so that colours are those of the volume.
    """

    def __init__(self, evidence: Evidence, n_planes: int, prior: Prior, *, hard: bool) -> None:
        shape = (evidence.n_classes, n_planes, *evidence.shape[1:])
        self.q = np.zeros(shape, np.float32)
        self.start = self._stop = 0
        self._unary = np.zeros(shape, np.float32)
        self._evidence, self._prior, self._hard = evidence, prior, hard

    def take(self, unary: Planes, part: slice, workers: Workers) -> None:
        """Hold further planes: their evidence, and the probabilities without any ties."""
        held = slice(self.start, self.start + self.q.shape[1])
        self._lattice = self._evidence.lattice(held, workers)
        self._stop = part.stop
        here = range(part.start - self.start, part.stop - self.start)
        self._unary[:, here.start : here.stop] = unary
        self.q[:, here.start : here.stop] = 0
        for hard in (False, True) if self._hard else (False,):
            self._update(replace(self._prior, beta=0.0), here, hard=hard)

    def sweep(self, first: int, stop: int) -> float:
        """Update the planes that have their turn from `first` to `stop`; what that moved."""
        planes = [
            plane - self.start
            for plane in range(self.start, self._stop)
            if first <= _turn(plane) < stop
        ]
        return self._update(self._prior, planes, hard=self._hard)

    def _update(self, prior: Prior, planes: Sequence[int], *, hard: bool) -> float:
        moved = self._lattice.sweep(self._unary, self.q, prior, hard=hard, planes=planes)
        return moved * self._lattice.n_used

    def forget(self, before: int) -> None:
        """Make room: the planes before this one are no longer needed."""
        drop, keep = before - self.start, self._stop - before
        for planes in (self._unary, self.q):
            for plane in range(keep):  # one by one: NumPy would copy what overlaps
                planes[:, plane] = planes[:, plane + drop]
        self.start = before


def _regrouped(parts: Iterator[Planes], n: int, step: int) -> Iterator[Planes]:
    """The same planes, `n` of them, `step` at once."""
    done = filled = 0
    out: Planes | None = None
    for part in parts:
        taken = 0
        while taken < part.shape[1]:
            if out is None:
                out = np.empty((len(part), min(step, n - done), *part.shape[2:]), np.float32)
            count = min(part.shape[1] - taken, out.shape[1] - filled)
            out[:, filled : filled + count] = part[:, taken : taken + count]
            taken, filled = taken + count, filled + count
            if filled == out.shape[1]:
                yield out
                done, filled, out = done + filled, 0, None
