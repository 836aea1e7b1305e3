"""Plain matrices of diagonals (`gmmseg.banded`), entry by entry."""

from itertools import product
from math import prod

import numpy as np

from gmmseg.banded import REACH


def matrix_of(diagonals):
    shape = diagonals.shape[::2]
    matrix = np.zeros((*shape, *shape))
    for here in product(*map(range, shape)):
        for steps in product(range(-REACH, REACH + 1), repeat=len(shape)):
            there = tuple(i + step for i, step in zip(here, steps, strict=True))
            if all(0 <= i < n for i, n in zip(there, shape, strict=True)):
                place = [x for i, step in zip(here, steps, strict=True) for x in (i, step + REACH)]
                matrix[(*here, *there)] = diagonals[tuple(place)]
    return matrix.reshape(prod(shape), prod(shape))
