"""Mixtures over some of the features: against the densities that they must have."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.mixture import Mixture

TYPES = ("full", "tied", "diag", "spherical")
every_type = pytest.mark.parametrize("covariance_type", TYPES)


def a_mixture(covariance_type, k=3, d=4, seed=0, spread=3.0):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(k, d, d)) + 1.5 * np.eye(d)
    full = factors @ factors.transpose(0, 2, 1)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": full.diagonal(axis1=1, axis2=2),
        "spherical": full[:, 0, 0],
    }[covariance_type]
    return Mixture(
        weights=rng.dirichlet(np.ones(k)),
        means=rng.normal(size=(k, d)) * spread,
        covariances=covariances,
        covariance_type=covariance_type,
    )


def log_density(mixture, X):
    return naive.log_density(
        X, mixture.weights, mixture.means, mixture.covariances, mixture.covariance_type
    )


@every_type
def test_marginals_have_the_parameters_of_their_features(covariance_type):
    mixture = a_mixture(covariance_type)
    part = mixture.marginal([2, 0])
    assert part.covariance_type == covariance_type
    np.testing.assert_array_equal(part.weights, mixture.weights)
    np.testing.assert_array_equal(part.means, mixture.means[:, [2, 0]])
    np.testing.assert_array_equal(
        part.full_covariances, mixture.full_covariances[:, [[2], [0]], [2, 0]]
    )
    Mixture.from_dict(part.to_dict())  # its shapes are those of its type


@every_type
def test_the_marginal_is_the_density_summed_over_the_rest(covariance_type):
    mixture = a_mixture(covariance_type, d=2)
    grid = np.linspace(-40, 40, 20_001)
    for x in (-2.0, 0.5, 4.0):
        rows = np.column_stack([np.full_like(grid, x), grid])
        summed = np.trapezoid(np.exp(log_density(mixture, rows)), grid)
        alone = np.exp(log_density(mixture.marginal([0]), [[x]]))
        assert alone == pytest.approx(summed, rel=1e-9)


@every_type
@pytest.mark.parametrize("known", [{0: 1.5}, {3: -2.0, 1: 0.25}, {2: 0.0, 0: 4.0, 3: 1.0}])
def test_joint_density_is_marginal_times_conditional(covariance_type, known):
    mixture = a_mixture(covariance_type)
    rest = [f for f in range(4) if f not in known]
    X = np.random.default_rng(1).normal(size=(50, 4)) * 3
    for feature, value in known.items():
        X[:, feature] = value
    left = mixture.condition(known)
    assert left.covariance_type == covariance_type
    assert left.n_features == len(rest)
    joint = log_density(mixture, X)
    apart = log_density(mixture.marginal(list(known)), X[:, list(known)]) + log_density(
        left, X[:, rest]
    )
    np.testing.assert_allclose(apart, joint, rtol=1e-10, atol=1e-10)
    Mixture.from_dict(left.to_dict())


@given(
    st.sampled_from(TYPES),
    st.integers(0, 10_000),
    st.integers(1, 4),
    st.integers(2, 6),
    st.data(),
)
def test_conditioning_in_two_steps_is_conditioning_at_once(covariance_type, seed, k, d, data):
    mixture = a_mixture(covariance_type, k, d, seed)
    n = data.draw(st.integers(1, d - 1))
    order = data.draw(st.permutations(range(d)))[:n]
    known = {feature: data.draw(st.floats(-5, 5)) for feature in order}
    at_once = mixture.condition(known)
    stepwise, names = mixture, list(range(d))
    for feature, value in known.items():
        stepwise = stepwise.condition({names.index(feature): value})
        names.remove(feature)
    np.testing.assert_allclose(stepwise.weights, at_once.weights, atol=1e-7)
    scale = np.abs(at_once.full_covariances).max()
    np.testing.assert_allclose(
        stepwise.full_covariances, at_once.full_covariances, atol=1e-6 * scale, rtol=1e-5
    )
    size = np.abs(at_once.means).max() + 1
    np.testing.assert_allclose(stepwise.means, at_once.means, atol=1e-6 * size)


@every_type
def test_weights_far_out_are_those_of_exact_arithmetic(covariance_type):
    mixture = Mixture(
        weights=[0.5, 0.5], means=[[0.0, 0.0], [1.0, 1.0]],
        covariances={
            "full": [np.eye(2), np.eye(2)], "tied": np.eye(2),
            "diag": np.ones((2, 2)), "spherical": [1.0, 1.0],
        }[covariance_type],
        covariance_type=covariance_type,
    )  # fmt: skip
    for x in (-30.0, 0.5, 30.0, 300.0):
        weights = mixture.condition({0: x}).weights
        odds = np.exp(min(x - 0.5, 700.0))  # of the second component to the first
        np.testing.assert_allclose(weights, [1 / (1 + odds), odds / (1 + odds)], rtol=1e-12)
    np.testing.assert_array_equal(mixture.condition({0: 1e8}).weights, [0.0, 1.0])
    with pytest.raises(InvalidDataError, match=r"^the given values are too far from every compon"):
        mixture.condition({0: 1e300})


def test_a_component_without_weight_gets_none():
    mixture = Mixture(
        weights=[0.0, 1.0], means=[[0.0, 0.0], [9.0, 9.0]], covariances=[1.0, 1.0],
        covariance_type="spherical",
    )  # fmt: skip
    np.testing.assert_array_equal(mixture.condition({0: 0.0}).weights, [0.0, 1.0])


def test_covariances_stay_positive_definite_near_singularity():
    close = 1 - 1e-13
    mixture = Mixture(weights=[1.0], means=[[0.0, 0.0]], covariances=[[[1.0, close], [close, 1.0]]])
    variance = mixture.condition({0: 1.0}).covariances[0, 0, 0]
    assert variance == pytest.approx(1 - close**2, rel=1e-2)
    assert variance > 0


def test_nothing_known_changes_nothing():
    mixture = a_mixture("full")
    assert mixture.condition({}) is mixture
    np.testing.assert_array_equal(mixture.marginal(range(4)).means, mixture.means)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.marginal([]), "features must name at least one feature."),
        (lambda m: m.marginal([0, 4]), r"features must be within 0\.\.3, got 4."),
        (lambda m: m.marginal([1, 1]), r"features must be different, got \[1, 1\]."),
        (lambda m: m.marginal([0.5]), "each feature must be a whole number, got 0.5."),
        (lambda m: m.marginal("01"), "features must be a sequence of whole numbers, got '01'."),
        (lambda m: m.marginal(1), "features must be a sequence of whole numbers, got 1."),
        (lambda m: m.condition([1]), r"given must be a mapping .* as {0: 3.1}, got \[1\]."),
        (lambda m: m.condition({-1: 0.0}), "each feature must be at least 0, got -1."),
        (lambda m: m.condition({1: np.nan}), r"given\[1\] must be finite, got nan."),
        (lambda m: m.condition(dict.fromkeys(range(4), 0)), "given must leave .* got all 4 of .*"),
    ],
)
def test_messages(call, message):
    with pytest.raises(InvalidParameterError, match=f"^{message}$"):
        call(a_mixture("full"))


@every_type
def test_score_is_the_mean_log_density(covariance_type):
    mixture = a_mixture(covariance_type)
    X, _ = mixture.sample(500)
    weights = np.random.default_rng(0).integers(0, 4, 500)
    density = log_density(mixture, X)
    assert mixture.score(X) == pytest.approx(density.mean(), rel=1e-12)
    expected = np.average(density, weights=weights)
    assert mixture.score(X, weights) == pytest.approx(expected, rel=1e-12)
