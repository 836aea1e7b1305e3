"""Smooth functions over a box: products of cubic B-splines, fitted under a penalty on bending.

Eilers and Marx (Statist. Sci. 11 (1996) 89-121), with the integral of squared second derivatives
(Duchon 1977) in the place of differences of coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.banded import diagonals, room, solved
from gmmseg.errors import InvalidDataError

__all__ = ["Splines"]

Array = NDArray[np.float64]

#: Knots for each wavelength that is halved: waves as short as two thirds of it can be followed.
_KNOTS = 2.5

#: Numbers that solving the equations may hold: 256 MiB, and some seconds for each solution.
_MOST_NUMBERS = 1 << 25

# Keeps the equations solvable where nothing was observed.
_RIDGE = 1e-6

#: Nodes and weights of Gauss and Legendre, which integrate products of two cubic pieces exactly;
#: importing numpy.polynomial for them would take 3 ms of every process.
_NODES = np.sqrt((3 + 2 * np.sqrt(6 / 5) * np.array([1, -1, -1, 1])) / 7) * [-1, -1, 1, 1]
_WEIGHTS = (18 + np.sqrt(30) * np.array([-1, 1, 1, -1])) / 36


@dataclass(frozen=True, eq=False)
class _Axis:
    """The splines along one axis.

    Attributes
    ----------
    start, length : float
        Where the knots begin, and how far they reach, in pixels.
    extent : float
        That length in physical units.
    segments : int
        Between knots; 0 = one constant.
    centres : ndarray
        Where the function is observed, in pixels.
    """

    start: float
    length: float
    extent: float
    segments: int
    centres: Array

    @property
    def n(self) -> int:
        return self.segments + 3 if self.segments else 1

    def basis(self, places: Array) -> Array:
        """Values of the splines (places, n); beyond the ends as at the ends."""
        if not self.segments:
            return np.ones((len(places), 1))
        t = np.clip((places - self.start) / self.length, 0, 1) * self.segments
        return _cubic(t, self.segments, 0)

    @cached_property
    def observed(self) -> Array:
        return self.basis(self.centres)

    @cached_property
    def grams(self) -> list[Array]:
        """Mean over the axis of the products of all pairs, by the order of their derivatives."""
        if not self.segments:
            return [np.ones((1, 1)), np.zeros((1, 1)), np.zeros((1, 1))]
        t = (np.arange(self.segments)[:, None] + (_NODES + 1) / 2).ravel()
        weights = np.tile(_WEIGHTS / 2, self.segments) / self.segments
        found = []
        for order in range(3):
            values = _cubic(t, self.segments, order) * (self.segments / self.extent) ** order
            found.append((values.T * weights) @ values)
        return found


def _cubic(t: Array, segments: int, order: int) -> Array:
    """Cubic B-splines (len(t), segments + 3) or their derivatives, at `t` in 0..segments."""
    first = np.minimum(t.astype(int), segments - 1)
    u = t - first
    v = 1 - u
    pieces = (
        (v**3 / 6, 2 / 3 - u**2 * (1 + v) / 2, 2 / 3 - v**2 * (1 + u) / 2, u**3 / 6),
        (-(v**2) / 2, u * (3 * u - 4) / 2, v * (4 - 3 * v) / 2, u**2 / 2),
        (v, 3 * u - 2, 3 * v - 2, u),
    )[order]
    values = np.zeros((len(t), segments + 3))
    for shift, piece in enumerate(pieces):
        values[np.arange(len(t)), first + shift] = piece
    return values


@dataclass(frozen=True, eq=False)
class Splines:
    """Functions on the pixels of an image, and how they are fitted to values on a coarse grid.

    Attributes
    ----------
    shape : tuple of int
        Of the image.
    wavelength : float
        Waves of this length are halved by the penalty.
    """

    shape: tuple[int, ...]
    wavelength: float
    _axes: tuple[_Axis, ...]

    @classmethod
    def over(
        cls,
        shape: tuple[int, ...],
        spacing: tuple[float, ...],
        box: tuple[slice, ...],
        wavelength: float,
        centres: list[Array],
    ) -> Splines:
        """Splines over a box of an image, observed on the grid of `centres` (in pixels)."""
        axes = []
        for size, part, where in zip(spacing, box, centres, strict=True):
            length = part.stop - part.start
            extent = length * size
            segments = 0 if len(where) == 1 else int(np.ceil(extent * _KNOTS / wavelength))
            axes.append(_Axis(part.start, length, extent, segments, where))
        counts = tuple(axis.n for axis in axes)
        if room(counts) > _MOST_NUMBERS:
            raise InvalidDataError(
                f"a field of smoothness {wavelength:g} would take {prod(counts)} coefficients, "
                f"too many for the memory of {_MOST_NUMBERS >> 17} MiB that their equations may "
                "take. Make it smoother: BiasOptions(smoothness=) (--bias MM)."
            )
        return cls(tuple(shape), wavelength, tuple(axes))

    @property
    def n_coefficients(self) -> tuple[int, ...]:
        """Along each axis."""
        return tuple(axis.n for axis in self._axes)

    def penalty(self, share: float) -> Array:
        """What the coefficients' squares and products cost, for each unit of weight (equation 93).

        The mean over the box of the squared bending, in units of the wavelength; `share` is how
        much of the box the targets stand for. Diagonals as of `gmmseg.banded`.
        """
        cost = _integral(self._axes, 2)
        cost *= (self.wavelength / (2 * np.pi)) ** 4 / share
        cost += _RIDGE * _integral(self._axes, 0)
        return cost

    def fitted(
        self, where: NDArray[np.bool_], targets: Array, weights: Array, penalty: Array
    ) -> Array:
        """Coefficients of the function nearest to targets, bent little (equation 93).

        Parameters
        ----------
        where : ndarray of bool
            Which points of the grid have a target.
        targets, weights : ndarray of shape (N,)
        penalty : ndarray
            Of `penalty`.
        """
        normal = self._normal(_on_grid(where, weights))
        normal += weights.sum() * penalty
        right: NDArray[Any] = _on_grid(where, weights * targets)
        for axis in self._axes:  # every product turns one axis to the end
            right = np.tensordot(right, axis.observed, (0, 0))
        return solved(normal, right)

    def _normal(self, weights: Array) -> Array:
        """Sums over the grid of the products of all pairs, as diagonals."""
        sums: NDArray[Any] = weights
        for axis in self._axes:
            pairs = diagonals(axis.observed[:, :, None] * axis.observed[:, None, :])
            sums = np.tensordot(sums, pairs, (0, 0))
        return sums

    def at(self, coefficients: Array, where: NDArray[np.bool_]) -> Array:
        """Values at the points of the grid where `where` is true."""
        values = coefficients
        for axis in self._axes:
            values = np.tensordot(values, axis.observed, (0, 1))
        return values[where]

    def slab(self, coefficients: Array, along: slice) -> NDArray[np.float32]:
        """Values (functions, n, ...) at the pixels of a part of the image's first axis."""
        places: list[Array] = [np.arange(n) + np.float64(0.5) for n in self.shape]
        places[0] = places[0][along]
        values = coefficients.astype(np.float32)
        for axis, where in zip(self._axes, places, strict=True):
            values = np.tensordot(values, axis.basis(where).astype(np.float32), (1, 1))
        return values


def _integral(axes: Sequence[_Axis], order: int) -> Array:
    """Mean over the box of the sum of all squared derivatives of an order, as diagonals."""
    first, *others = axes
    if not others:
        return diagonals(first.grams[order])
    total: NDArray[Any] = np.multiply.outer(diagonals(first.grams[0]), _integral(others, order))
    for k in range(1, order + 1):  # mixed ones occur more than once: f_xy twice, f_xx once
        gram = comb(order, k) * diagonals(first.grams[k])
        total += np.multiply.outer(gram, _integral(others, order - k))
    return total


def _on_grid(where: NDArray[np.bool_], values: Array) -> Array:
    grid = np.zeros(where.shape)
    grid[where] = values
    return grid
