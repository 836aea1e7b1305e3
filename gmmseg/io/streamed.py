"""Arrays that are made while they are written, slab by slab along their first axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Streamed", "streamed"]


@dataclass(frozen=True, eq=False)
class Streamed:
    """An array of which only a slab is in memory.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    make : callable
        ``make(step, band)`` yields the array in slabs of `step` along the first axis, the last of
        what is left: all of it, or with a `band` that entry of the last axis, which is then gone.

    Examples
    --------
    >>> whole = streamed(np.arange(12).reshape(3, 2, 2))
    >>> [part.tolist() for part in whole.make(2, 1)]
    [[[1, 3], [5, 7]], [[9, 11]]]
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    make: Callable[[int, int | None], Iterator[NDArray[Any]]]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def step_of(self, n_bytes: int) -> int:
        """How many indices of the first axis take about so many bytes, at least 1."""
        return max(1, n_bytes * self.shape[0] // max(1, self.nbytes))


def streamed(array: NDArray[Any] | Streamed) -> Streamed:
    """An array in memory as one that is streamed."""
    if isinstance(array, Streamed):
        return array
    whole = np.asarray(array)

    def make(step: int, band: int | None) -> Iterator[NDArray[Any]]:
        chosen = whole if band is None else whole[..., band]
        return (chosen[i : i + step] for i in range(0, len(whole), step))

    return Streamed(whole.shape, whole.dtype, make)
