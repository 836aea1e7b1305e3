"""EM near a reference: M-steps against plain minimisation, bounds, and that the objective rises."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from gmmseg.errors import InvalidParameterError
from gmmseg.mixture import Mixture, adaptation
from gmmseg.mixture.adaptation import (
    CommonShift,
    DriftOptions,
    FixedClasses,
    OwnMoves,
    adapt_rows,
)
from gmmseg.mixture.em import accumulate
from gmmseg.mixture.lazy import JoinedRows
from gmmseg.mixture.options import EMOptions

K, D = 3, 2


def reference(seed=0, covariance_type="full"):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(K, D, D)) + 2 * np.eye(D)
    full = factors @ factors.transpose(0, 2, 1)
    return Mixture(
        weights=[0.5, 0.3, 0.2],
        means=rng.normal(0, 8, (K, D)),
        covariances=naive.of_type(full, covariance_type),
        covariance_type=covariance_type,
    )


def rows(mixture, seed=1, n=400, shift=0.0):
    X, _ = mixture.sample(n, rng=seed)
    return X + shift


def own_moves(mixture, n, *, centre=None, **options):
    return OwnMoves(
        reference=mixture,
        centre=mixture.means if centre is None else centre,
        options=DriftOptions(**options),
        rows=float(n),
    )


def statistics(mixture, X):
    """Responsibilities, sums and class means in plain NumPy."""
    resp = naive.posterior(
        X, mixture.weights, mixture.means, mixture.covariances, mixture.covariance_type
    )
    nk = resp.sum(axis=0)
    return nk, (resp.T @ X) / nk[:, None]


def distances(mixture, means):
    inverse = np.linalg.inv(mixture.full_covariances)
    moves = means - mixture.means
    return np.sqrt(np.einsum("kd,kde,ke->k", moves, inverse, moves))


@pytest.mark.parametrize("covariance_type", naive.TYPES)
def test_fixed_classes_are_em_of_the_weights_alone(covariance_type):
    mixture = reference(covariance_type=covariance_type)
    X = rows(mixture)
    step = FixedClasses(reference=mixture).m_step(accumulate(X, None, mixture), mixture)
    nk, _ = statistics(mixture, X)
    np.testing.assert_allclose(step.weights, nk / len(X), rtol=1e-10)
    np.testing.assert_array_equal(step.means, mixture.means)
    np.testing.assert_array_equal(step.covariances, mixture.covariances)


def test_own_moves_maximise_the_posterior_within_the_bound():
    mixture = reference()
    X = rows(mixture, shift=1.5)
    rule = own_moves(mixture, len(X), max_drift=0.3, stiffness=0.2)
    found = rule.m_step(accumulate(X, None, mixture), mixture)
    nk, means = statistics(mixture, X)
    kappa = 0.2 * len(X) / K
    inverse = np.linalg.inv(mixture.full_covariances)
    for k in range(K):

        def loss(mean, k=k):
            seen, held = mean - means[k], mean - mixture.means[k]
            return nk[k] * seen @ inverse[k] @ seen + kappa * held @ inverse[k] @ held

        def inside(mean, k=k):
            move = mean - mixture.means[k]
            return 0.3**2 - move @ inverse[k] @ move

        best = minimize(
            loss,
            mixture.means[k],
            constraints={"type": "ineq", "fun": inside},
            method="SLSQP",
            options={"ftol": 1e-12},
        )
        np.testing.assert_allclose(found.means[k], best.x, atol=1e-4)
    assert distances(mixture, found.means).max() == pytest.approx(0.3)


def test_a_common_shift_is_weighted_least_squares():
    mixture = reference()
    X = rows(mixture) * [1.2, 0.9] + [0.5, -1.0]
    rule = CommonShift(reference=mixture, offset_rows=0.03, gain_rows=0.4)
    found = rule.m_step(accumulate(X, None, mixture), mixture)
    deviations = mixture.weights @ mixture.standard_deviations
    precision = len(X) * np.concatenate([0.03 / deviations**2, [0.4] * D])
    nk, means = statistics(mixture, X)
    centre = mixture.weights @ mixture.means
    inverse = np.linalg.inv(mixture.full_covariances)

    def predicted(theta):
        offset, gain = theta[:D], theta[D:]
        return mixture.means + offset + gain * (mixture.means - centre)

    def loss(theta):
        misfit = means - predicted(theta)
        return np.einsum("k,kd,kde,ke->", nk, misfit, inverse, misfit) + precision @ theta**2

    best = minimize(loss, np.zeros(2 * D), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(found.means, predicted(best.x), atol=1e-3)


def test_a_common_shift_is_found_again():
    mixture = reference()
    centre = mixture.weights @ mixture.means
    X = rows(mixture, n=20_000)
    X = X + 0.3 + 0.05 * (X - centre)
    found = adapt_rows(X, CommonShift(reference=mixture)).mixture
    expected = mixture.means + 0.3 + 0.05 * (mixture.means - centre)
    assert distances(mixture, found.means - expected + mixture.means).max() < 0.1


@pytest.mark.parametrize("make", [
    lambda mixture, n: FixedClasses(reference=mixture),
    lambda mixture, n: CommonShift(reference=mixture),
    lambda mixture, n: own_moves(mixture, n, max_drift=0.5),
    lambda mixture, n: own_moves(mixture, n, max_drift=9, stiffness=0),
])  # fmt: skip
@pytest.mark.parametrize("accelerate", [True, False])
def test_the_objective_never_falls(make, accelerate):
    mixture = reference()
    X = rows(mixture, shift=2.0)
    options = EMOptions(accelerate=accelerate, tol=1e-9)
    fit = adapt_rows(X, make(mixture, len(X)), options=options)
    assert fit.converged
    assert np.diff(fit.history).min() > -1e-7
    np.testing.assert_allclose(fit.mixture.covariances, mixture.covariances, rtol=1e-12)


@given(
    seed=st.integers(0, 1000),
    limit=st.floats(0, 5),
    stiffness=st.floats(0, 2),
    shift=st.floats(-20, 20),
)
def test_no_mean_moves_further_than_it_may(seed, limit, stiffness, shift):
    mixture = reference(seed)
    X = rows(mixture, seed, n=60, shift=shift)
    rule = own_moves(mixture, len(X), max_drift=limit, stiffness=stiffness)
    found = adapt_rows(X, rule, options=EMOptions(max_iter=20)).mixture
    assert distances(mixture, found.means).max() <= limit * (1 + 1e-6) + 1e-6


def test_statistics_of_parts_give_the_same_step_as_all_rows():
    mixture = reference()
    X = rows(mixture)
    rule = own_moves(mixture, len(X))
    parts = accumulate(X[:100], None, mixture) + accumulate(X[100:], None, mixture)
    once = rule.m_step(accumulate(X, None, mixture), mixture)
    np.testing.assert_allclose(rule.m_step(parts, mixture).means, once.means, rtol=1e-12)


def test_units_do_not_matter():
    mixture = reference()
    X = rows(mixture, shift=1.0)
    scaled = Mixture(
        weights=mixture.weights,
        means=mixture.means * 1000 + 5,
        covariances=mixture.covariances * 1e6,
    )
    one = adapt_rows(X, own_moves(mixture, len(X))).mixture
    other = adapt_rows(X * 1000 + 5, own_moves(scaled, len(X))).mixture
    np.testing.assert_allclose(other.means, one.means * 1000 + 5, rtol=1e-6)
    np.testing.assert_allclose(other.weights, one.weights, rtol=1e-6)


def test_a_component_without_rows_stays_at_its_centre():
    mixture = reference()
    X = rows(mixture.marginal([0, 1]))[:50] * 0 + mixture.means[0]
    rule = own_moves(mixture, len(X), stiffness=0)
    found = adapt_rows(X, rule).mixture
    np.testing.assert_allclose(found.means[0], mixture.means[0], atol=1e-6)
    assert np.isfinite(found.means).all()


@pytest.mark.parametrize("name", ["max_drift", "stiffness"])
def test_options_are_checked(name):
    with pytest.raises(InvalidParameterError, match=f"{name} must be at least 0, got -1"):
        DriftOptions(**{name: -1})


def test_an_exposure_is_a_gain_and_an_offset_of_each_feature():
    mixture = reference()
    rule = CommonShift(reference=mixture)
    gain, offset = np.array([0.7, 1.2]), np.array([3.0, -1.0])
    found = rule.exposure(gain * mixture.means + offset)
    np.testing.assert_allclose(found, (gain, offset), rtol=1e-9)


@pytest.mark.parametrize("lazy", [False, True])
def test_many_rows_begin_where_some_of_them_end(lazy, monkeypatch):
    """Passes over all rows are few then, and the end is the same."""
    mixture = reference()
    X = rows(mixture, n=6000, shift=1.0)
    rule = own_moves(mixture, len(X))
    options = EMOptions(tol=1e-9, gap=0.0)
    plain = adapt_rows(X, rule, options=options)
    monkeypatch.setattr(adaptation, "_MANY", 5000)
    monkeypatch.setattr(adaptation, "_SAMPLE", 1000)
    found = adapt_rows(JoinedRows([X[:99], X[99:]]) if lazy else X, rule, options=options)
    assert found.n_iter < plain.n_iter
    assert found.history[-1] == pytest.approx(plain.history[-1], abs=1e-8)
    np.testing.assert_allclose(found.mixture.means, plain.mixture.means, atol=1e-3)
