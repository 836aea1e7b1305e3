"""Banded equations against those of plain matrices."""

import numpy as np
import pytest
from naive_bands import matrix_of

from gmmseg.banded import REACH, diagonals, room, solved


def banded(n, seed=0):
    """A symmetric positive definite matrix of one axis."""
    rng = np.random.default_rng(seed)
    factor = np.tril(np.triu(rng.normal(size=(n, n)), -1), 2)  # reaches 3 when squared
    return factor @ factor.T + np.eye(n)


def test_outer_products_are_kronecker_products():
    one, two = banded(5), banded(4, seed=1)
    assert np.array_equal(matrix_of(diagonals(one)), one)
    both = np.multiply.outer(diagonals(one), diagonals(two))
    np.testing.assert_allclose(matrix_of(both), np.kron(one, two), rtol=1e-15)


def test_several_matrices_at_once():
    matrices = np.stack([banded(5), banded(5, seed=1)])
    assert np.array_equal(diagonals(matrices)[1], diagonals(matrices[1]))


@pytest.mark.parametrize(
    "shape",
    [(1,), (3,), (11,), (1, 7), (5, 9), (9, 5), (4, 3, 8), (2, 10, 3), (3, 3, 3), (6, 1, 1)],
)
def test_solutions_are_those_of_the_plain_matrix(shape):
    rng = np.random.default_rng(0)
    matrix = np.ones(())
    for i, n in enumerate(shape):
        matrix = np.multiply.outer(matrix, diagonals(banded(n, seed=i)))
    right = rng.normal(size=shape)
    expected = np.linalg.solve(matrix_of(matrix), right.ravel())
    np.testing.assert_allclose(solved(matrix, right).ravel(), expected, rtol=1e-9)


def test_room_is_that_of_the_blocks():
    assert room((4, 3, 8)) == REACH * 12 * 96
