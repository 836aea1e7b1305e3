"""Probabilities and quantiles of one feature: against scipy, far out, and back again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmseg.errors import InvalidParameterError
from gmmseg.mixture import Mixture

stats = pytest.importorskip("scipy.stats")
special = pytest.importorskip("scipy.special")

NORMAL = Mixture(weights=[1.0], means=[[0.0]], covariances=[1.0], covariance_type="spherical")
THREE = Mixture(
    weights=[0.2, 0.5, 0.3, 0.0], means=[[-3.0], [0.0], [500.0], [1e6]],
    covariances=[[0.01], [4.0], [1e4], [1.0]], covariance_type="diag",
)  # fmt: skip
MATRIX = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, -0.3], [0.1, -0.3, 9.0]])
TIED = Mixture(
    weights=[0.4, 0.6],
    means=[[0.0, 1.0, 2.0], [5.0, -1.0, 2.5]],
    covariances=MATRIX,
    covariance_type="tied",
)


def by_scipy(mixture, feature, x, what):
    return sum(
        weight * getattr(stats.norm(mean, deviation), what)(x)
        for weight, mean, deviation in zip(
            mixture.weights,
            mixture.means[:, feature],
            mixture.standard_deviations[:, feature],
            strict=True,
        )
    )


@pytest.mark.parametrize(("mixture", "feature"), [(THREE, 0), (TIED, 0), (TIED, 2)])
def test_cdf_is_that_of_scipy(mixture, feature):
    x = np.linspace(-40, 1500, 4001)
    for upper, what in ((False, "cdf"), (True, "sf")):
        expected = by_scipy(mixture, feature, x, what)
        ours = mixture.cdf(x, feature, upper=upper)
        np.testing.assert_allclose(ours, expected, rtol=5e-13, atol=1e-305)
        seen = expected > 1e-300
        logs = mixture.cdf(x, feature, upper=upper, log=True)[seen]
        np.testing.assert_allclose(logs, np.log(expected[seen]), rtol=1e-13, atol=1e-15)


def test_logarithms_are_right_where_probabilities_underflow():
    z = np.concatenate([-np.logspace(-8, 8, 4000), np.linspace(0, 30, 500)])
    np.testing.assert_allclose(NORMAL.cdf(z, log=True), special.log_ndtr(z), rtol=5e-14)
    assert NORMAL.cdf(60.0, upper=True) == 0.0
    assert NORMAL.cdf(60.0, upper=True, log=True) == pytest.approx(-1805.0135606, rel=1e-9)


def test_the_ends():
    values = NORMAL.cdf([-np.inf, 0.0, np.inf, np.nan])
    np.testing.assert_array_equal(values, [0.0, 0.5, 1.0, np.nan])
    assert NORMAL.cdf(-np.inf, log=True) == -np.inf
    np.testing.assert_array_equal(NORMAL.quantile([0, 0.5, 1]), [-np.inf, 0.0, np.inf])
    np.testing.assert_array_equal(NORMAL.quantile([0, 1], upper=True), [np.inf, -np.inf])
    np.testing.assert_array_equal(NORMAL.quantile([-np.inf, 0.0], log=True), [-np.inf, np.inf])


def test_shapes_are_kept():
    assert isinstance(NORMAL.cdf(1), float)
    assert isinstance(NORMAL.quantile(0.1), float)
    assert NORMAL.cdf([[1, 2, 3]]).shape == (1, 3)
    assert NORMAL.quantile(np.full((2, 0, 3), 0.5)).shape == (2, 0, 3)


def test_quantiles_are_those_of_scipy():
    p = np.concatenate([np.logspace(-300, -1, 999), np.linspace(0.01, 0.99, 99)])
    np.testing.assert_allclose(NORMAL.quantile(p), special.ndtri(p), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(
        NORMAL.quantile(p, upper=True), -special.ndtri(p), rtol=1e-14, atol=1e-15
    )
    logs = -np.logspace(-5, 9, 99)
    np.testing.assert_allclose(NORMAL.quantile(logs, log=True), special.ndtri_exp(logs), rtol=1e-12)


mixtures = st.builds(
    lambda parts, shift, unit: Mixture(
        weights=np.array([p[0] for p in parts]) / sum(p[0] for p in parts),
        means=[[(p[1] + shift) * unit] for p in parts],
        covariances=[[(p[2] * unit) ** 2] for p in parts],
        covariance_type="diag",
    ),
    st.lists(
        st.tuples(st.floats(1e-6, 1), st.floats(-50, 50), st.floats(1e-3, 20)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([0.0, 1e3]),
    st.sampled_from([1.0, 1e-9, 1e9]),
)


def last_bit(mixture, x, upper):
    """What the last bit of x makes of the logarithm of the probability."""
    neighbours = [np.nextafter(x, -np.inf), np.nextafter(x, np.inf)]
    return np.ptp(mixture.cdf(neighbours, upper=upper, log=True))


@given(mixtures, st.floats(-600, np.log(0.5)), st.booleans())
def test_quantile_and_cdf_are_inverse(mixture, log_p, upper):
    x = mixture.quantile(log_p, upper=upper, log=True)
    assert abs(mixture.cdf(x, upper=upper, log=True) - log_p) <= (
        2 * last_bit(mixture, x, upper) + 2e-15 * max(1.0, -log_p)
    )
    other = mixture.quantile(np.log(-np.expm1(log_p)), upper=not upper, log=True)
    if log_p > -3:  # further out the complement has lost its digits
        reached = mixture.cdf(other, upper=upper, log=True)
        assert abs(reached - log_p) <= 2 * last_bit(mixture, other, upper) + 1e-12


@given(mixtures)
def test_quantiles_never_fall(mixture):
    p = np.linspace(0, 1, 201)
    x = mixture.quantile(p)
    assert (x[1:] >= x[:-1] - 1e-12 * np.abs(x[1:-1]).max()).all()


def test_the_quantiles_of_many_samples():
    X, _ = TIED.sample(200_000, rng=4)
    p = np.array([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
    for feature in range(3):
        reached = TIED.cdf(np.quantile(X[:, feature], p), feature)
        np.testing.assert_allclose(reached, p, atol=4 * np.sqrt(0.25 / len(X)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TIED.cdf(1.0), "feature must say which of the 3 features, from 0."),
        (lambda: TIED.cdf(1.0, 3), r"feature must be within 0\.\.2, got 3."),
        (lambda: TIED.quantile(0.5, -1), "feature must be at least 0, got -1."),
        (lambda: NORMAL.cdf("a"), "x must be a number or an array of numbers."),
        (lambda: NORMAL.quantile([[1], [1, 2]]), "p must be a number or an array of numbers."),
        (lambda: NORMAL.quantile([0.5, 1.5]), r"p must be probabilities in 0\.\.1, got 1.5."),
        (lambda: NORMAL.quantile(np.nan), r"p must be probabilities in 0\.\.1, got nan."),
        (lambda: NORMAL.quantile(0.5, log=True), "p must be logarithms .*, at most 0, got 0.5."),
    ],
)
def test_messages(call, message):
    with pytest.raises(InvalidParameterError, match=f"^{message}$"):
        call()
