"""What several measurements have in common."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from gmmseg.agreement import _USUAL, _WORTH, agreement


def measured(common, own, places=4000, seed=0):
    """Measurements of one thing of deviation `common`, each with deviations of its own."""
    rng = np.random.default_rng(seed)
    same = common * rng.normal(size=places)
    return same, same + np.array(own)[:, None] * rng.normal(size=(len(own), places))


def test_one_measurement_is_believed():
    assert agreement(np.ones((1, 5))).tolist() == [1.0]


def test_variances_are_the_most_probable():
    """Found by another optimiser: normal density, inverse gamma prior on what each has alone."""
    _, values = measured(0.06, (0.02, 0.03, 0.05), places=400)
    moments = np.cov(values, bias=True)

    def improbable(logs):
        common, each = np.exp(logs[0]), np.exp(logs[1:])
        spread = common + np.diag(each)
        density = np.linalg.slogdet(spread)[1] + np.trace(np.linalg.solve(spread, moments))
        return density + _WORTH * np.sum(np.log(each) + _USUAL**2 / each)

    start = np.log([0.05**2, *[0.03**2] * 3])
    logs = minimize(improbable, start, method="Nelder-Mead", options={"xatol": 1e-6}).x
    common, each = np.exp(logs[0]), np.exp(logs[1:])
    expected = (1 / each) / (1 / common + (1 / each).sum())
    assert agreement(values) == pytest.approx(expected, rel=0.02)


def test_what_is_common_is_found_better_than_by_the_mean():
    same, values = measured(0.06, (0.02, 0.03, 0.05))
    errors = [np.mean((np.array(s) @ values - same) ** 2) for s in (agreement(values), [1 / 3] * 3)]
    assert errors[0] < 0.8 * errors[1]


def test_what_agrees_is_kept_and_what_does_not_is_not():
    assert agreement(measured(0.3, (0.02, 0.03))[1]).sum() == pytest.approx(1, abs=0.01)
    for seed in range(5):
        assert agreement(measured(0.0, (0.03, 0.04), seed=seed)[1]).sum() < 0.1


def test_what_disagrees_is_nothing():
    _, values = measured(0.1, (0.0, 0.0))
    assert agreement(values * [[1], [-1]]).sum() < 1e-2


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(0, 10), st.floats(1e-6, 10), st.floats(-5, 5))
def test_shares_are_shares(n, seed, size, level):
    """Whatever is measured, and the mean does not matter."""
    values = size * np.random.default_rng(seed).normal(size=(n, 20))
    shares = agreement(values)
    assert (shares >= 0).all()
    assert shares.sum() <= 1
    assert np.allclose(shares, agreement(values + level), atol=1e-4)


def test_measurements_without_any_variance():
    assert np.isfinite(agreement(np.zeros((3, 10)))).all()
