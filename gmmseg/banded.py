"""Equations of products of functions, each of which overlaps few others along every axis.

A symmetric positive matrix over such products is kept as its diagonals along each axis: an array
(n_1, 2 r + 1, n_2, 2 r + 1, ...), of which entry ``[i, r + a, j, r + b]`` is that of the unknowns
(i, j) and (i + a, j + b), 0 where there is none. So outer products of such arrays of single axes
are those of the Kronecker products.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["REACH", "diagonals", "room", "solved"]

Array = NDArray[np.float64]

#: Cubic splines overlap three others on either side.
REACH = 3
_WIDTH = 2 * REACH + 1


def diagonals(matrices: Array) -> Array:
    """Of matrices (..., n, n) of one axis: (..., n, 2 r + 1).

    Examples
    --------
    >>> diagonals(np.array([[2.0, 1.0], [1.0, 3.0]]))
    array([[0., 0., 0., 2., 1., 0., 0.],
           [0., 0., 1., 3., 0., 0., 0.]])
    """
    n = matrices.shape[-1]
    found = np.zeros((*matrices.shape[:-1], _WIDTH))
    for i in range(n):
        first, stop = max(i - REACH, 0), min(i + REACH + 1, n)
        found[..., i, first - i + REACH : stop - i + REACH] = matrices[..., i, first:stop]
    return found


def room(shape: tuple[int, ...]) -> int:
    """How many numbers `solved` holds for so many unknowns along each axis."""
    return REACH * prod(shape) * prod(shape) // max(shape)


def solved(matrix: Array, right: Array) -> Array:
    """The solution of the equations, by blocks along the longest axis (equation 119).

    Blocks are as long as functions reach, so that each is tied to the next one only, and
    elimination takes a block after the other: exact, and for n unknowns of which m have one place
    along that axis of the order of n m^2 operations, where all at once would take n^3.

    Parameters
    ----------
    matrix : ndarray of shape (n_1, 2 r + 1, n_2, 2 r + 1, ...)
        Diagonals of a symmetric positive definite matrix.
    right : ndarray of shape (n_1, n_2, ...)

    Returns
    -------
    ndarray of that shape

    Examples
    --------
    >>> solved(diagonals(np.array([[2.0, 1.0], [1.0, 3.0]])), np.array([4.0, 7.0]))
    array([1., 2.])
    """
    longest = int(np.argmax(right.shape))
    planes = np.moveaxis(right, longest, 0)
    blocks = _Blocks(np.moveaxis(matrix, (2 * longest, 2 * longest + 1), (0, 1)))
    parts = [slice(i, min(i + REACH, len(planes))) for i in range(0, len(planes), REACH)]
    done: list[tuple[Array, Array]] = []
    own, known = blocks.between(parts[0], parts[0]), planes[parts[0]].ravel()
    for part, following in pairwise(parts):
        across = blocks.between(part, following)
        found: NDArray[Any] = np.linalg.solve(own, np.column_stack([across, known]))
        done.append((found[:, :-1], found[:, -1]))
        own = blocks.between(following, following) - across.T @ found[:, :-1]
        known = planes[following].ravel() - across.T @ found[:, -1]
    unknowns = [np.linalg.solve(own, known)]
    for back, constant in reversed(done):
        unknowns.append(constant - back @ unknowns[-1])
    return np.moveaxis(np.concatenate(unknowns[::-1]).reshape(planes.shape), 0, longest)


class _Blocks:
    """Parts of a matrix, whose first axis is the one along which it is cut, as plain matrices."""

    def __init__(self, matrix: Array) -> None:
        self._matrix = matrix
        self._shape = matrix.shape[2::2]

    @cached_property
    def _places(self) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """Which entries of a plane and another exist, and where they stand in their matrix."""
        m = prod(self._shape)
        exists: Any = np.array(True)
        rows: Any = np.array(0)
        columns: Any = np.array(0)
        for n in self._shape:
            i = np.arange(n)[:, None] + np.zeros(_WIDTH, np.intp)
            j = i + np.arange(-REACH, REACH + 1)
            exists = np.logical_and.outer(exists, (j >= 0) & (j < n))
            rows, columns = np.add.outer(rows * n, i), np.add.outer(columns * n, j)
        return exists, (rows * m + columns)[exists]

    def between(self, part: slice, other: slice) -> Array:
        """Of the unknowns in a part of the axis and those in another one."""
        m = prod(self._shape)
        found = np.zeros((part.stop - part.start, other.stop - other.start, m * m))
        exists, places = self._places
        for z, row in enumerate(found, part.start):
            for y, block in enumerate(row, other.start):
                if abs(y - z) <= REACH:
                    block[places] = self._matrix[z, y - z + REACH][exists]
        shape = *found.shape[:2], m, m
        n_rows, n_columns = found.shape[0] * m, found.shape[1] * m
        return found.reshape(shape).swapaxes(1, 2).reshape(n_rows, n_columns)
