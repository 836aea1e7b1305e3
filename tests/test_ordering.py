"""Points in the order that NumPy's lexsort gives them."""

import numpy as np
import pytest

from gmmseg.mixture.ordering import lexical_order

KINDS = {
    "different": lambda rng, x: x,
    "many equal": lambda rng, x: x.round(),
    "few values": lambda rng, x: np.sign(x.round()),
    "zeros of both signs": lambda rng, x: np.clip(x, -0.1, 0.1).round(1) * 0.0,
    "gaps": lambda rng, x: np.where(rng.random(x.shape) < 0.3, np.nan, x.round(1)),
    "extremes": lambda rng, x: rng.choice([-np.inf, np.inf, 1e-45, -1e-45, 3e38, 0.0], x.shape),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_that_of_lexsort(kind, d, dtype):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        points = rng.normal(size=(d, int(rng.integers(1, 2000))))
        points = np.asarray(KINDS[kind](rng, points)).astype(dtype)
        np.testing.assert_array_equal(lexical_order(points), np.lexsort(points))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_points(dtype):
    assert lexical_order(np.empty((3, 0), dtype)).tolist() == []
