"""The prior and the bound on the ratio of variances, against their definitions."""

import warnings

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmseg.errors import GmmsegWarning, InvalidDataError
from gmmseg.mixture import EMOptions, Mixture, accumulate, fit_mixture
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.regularisation import Prior, RatioBound, _bounded

types = st.sampled_from(naive.TYPES)
seeds = st.integers(0, 2**16)
every_type = pytest.mark.parametrize("covariance_type", naive.TYPES)


def quietly(X, k, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GmmsegWarning)
        return fit_mixture(X, k, **options)


def clusters(seed, n=300, d=2, k=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(k, d))[rng.integers(0, k, n)] * 4 + rng.normal(size=(n, d))


def thin(seed):
    """Clusters, one of them nearly on a line and one of few rows: variances want to vanish."""
    rng = np.random.default_rng(seed)
    X = clusters(seed)
    X[:100, 1] = X[:100, 0] + 1e-3 * rng.normal(size=100)
    X[100:104] = [20.0, 20.0] + 1e-4 * rng.normal(size=(4, 2))
    return X


# The prior


def prior_of(X, w, strength, k, covariance_type):
    mean = np.average(X, axis=0, weights=w)
    moments = (w[:, None] * (X - mean)).T @ (X - mean) / w.sum()
    kind = COVARIANCE_TYPES[covariance_type]
    if not kind.is_matrix:
        moments = np.diag(moments)
    return Prior.of(strength, mean, moments, k, kind)


@every_type
@pytest.mark.parametrize("strength", [1.0, 0.2, 30.0])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_m_step_is_that_of_the_paper(covariance_type, strength, d):
    rng = np.random.default_rng(d)
    X = clusters(d, 60, d)
    w = rng.uniform(0, 2, len(X))
    resp = rng.dirichlet([1, 2, 3], len(X)) * w[:, None]
    start = Mixture(
        weights=[0.2, 0.3, 0.5],
        means=X[:3],
        covariances=naive.of_type([np.eye(d) * 3] * 3, covariance_type),
        covariance_type=covariance_type,
    )
    resp = naive.posterior(X, start.weights, start.means, start.covariances, covariance_type)
    resp = resp * w[:, None]
    prior = prior_of(X, w, strength, 3, covariance_type)
    found = accumulate(X, w, start).m_step(start, np.zeros(d), prior)
    expected = naive.map_m_step(X, resp, covariance_type, strength)
    np.testing.assert_allclose(found.weights, expected[0], rtol=1e-10)
    np.testing.assert_allclose(found.means, expected[1], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.covariances, expected[2], rtol=1e-9, atol=1e-9)


@every_type
def test_the_mode_of_the_density_is_where_there_are_no_rows(covariance_type):
    X = clusters(0)
    prior = prior_of(X, np.ones(len(X)), 2.0, 2, covariance_type)
    mode = Mixture(
        weights=[0.5, 0.5],
        means=[prior.mean] * 2,
        covariances=mode_of(prior, covariance_type),
        covariance_type=covariance_type,
    )
    assert prior.log_density(mode) == pytest.approx(0, abs=1e-9)
    for change in (0.99, 1.01):
        other = Mixture.trusted(
            mode.weights, mode.means, mode.covariances * change, covariance_type
        )
        assert prior.log_density(other) < -1e-6
    moved = Mixture.trusted(mode.weights, mode.means + 1, mode.covariances, covariance_type)
    assert prior.log_density(moved) < -1e-3


def mode_of(prior, covariance_type):
    matrix = prior.scatter / prior.rows
    return naive.of_type([matrix if matrix.ndim == 2 else np.diag(matrix)] * 2, covariance_type)


@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_the_density_is_the_inverse_wisharts(strength):
    stats = pytest.importorskip("scipy.stats")
    X = clusters(3, d=2)
    prior = prior_of(X, np.ones(len(X)), strength, 2, "full")
    scale = np.cov(X.T, bias=True) / 2 ** (2 / 2)

    def log_prior(mixture):
        return strength * sum(
            stats.invwishart(4, scale).logpdf(covariance)
            + stats.multivariate_normal(X.mean(axis=0), covariance / 0.01).logpdf(mean)
            for mean, covariance in zip(mixture.means, mixture.covariances, strict=True)
        )

    a, b = (quietly(X, 2, rng=i, init="random", max_iter=2).mixture for i in (1, 2))
    difference = log_prior(a) - log_prior(b)
    assert abs(difference) > 1e-3
    assert prior.log_density(a) - prior.log_density(b) == pytest.approx(difference, rel=1e-9)


@given(types, seeds, st.sampled_from([0.01, 1.0, 50.0]), st.booleans())
def test_the_log_posterior_never_falls(covariance_type, seed, strength, accelerate):
    options = {"covariance_type": covariance_type, "prior": strength, "accelerate": accelerate}
    fit = quietly(thin(seed), 4, reg_covar=0.0, tol=1e-9, max_iter=80, rng=seed, **options)
    assert np.diff(fit.history).min(initial=0.0) > -1e-11


@given(types, seeds, st.sampled_from([1.0, 3.0, 1e3]), st.sampled_from([0.0, 1.0]), st.booleans())
def test_within_the_bound_nothing_falls(covariance_type, seed, ratio, prior, accelerate):
    X = thin(seed)
    options = {"covariance_type": covariance_type, "prior": prior, "accelerate": accelerate}
    fit = quietly(X, 4, reg_covar=0.0, max_ratio=ratio, tol=1e-9, max_iter=80, rng=seed, **options)
    assert np.diff(fit.history).min(initial=0.0) > -1e-11
    unit = X.std(axis=0) if "spherical" not in covariance_type else np.ones(2)
    values = np.linalg.eigvalsh(fit.mixture.full_covariances / np.outer(unit, unit))
    assert values.max() / values.min() <= ratio * (1 + 1e-6)


def test_the_likelihood_is_told_without_the_prior():
    X = clusters(1)
    fit = fit_mixture(X, 3, prior=5.0)
    assert fit.log_likelihood == pytest.approx(fit.mixture.log_likelihood(X), rel=1e-12)
    assert fit.history[-1] < fit.log_likelihood / len(X) - 1e-4


def test_a_prior_saves_what_maximum_likelihood_loses():
    X = thin(7)
    found = {s: quietly(X, 4, reg_covar=0.0, prior=s).mixture for s in (0.0, 1.0)}
    least = {s: np.linalg.eigvalsh(m.full_covariances).min() for s, m in found.items()}
    assert least[0.0] < 1e-5
    assert least[1.0] > 1e-3


def test_a_strong_prior_makes_all_components_equal():
    mixture = fit_mixture(clusters(2), 3, prior=1e9).mixture
    np.testing.assert_allclose(mixture.means, [mixture.means[0]] * 3, atol=1e-4)


@given(types, seeds, st.sampled_from([1e-3, 1.0, 20.0]))
def test_a_row_of_weight_three_is_three_rows(covariance_type, seed, prior):
    X = clusters(seed, 100)
    counts = np.random.default_rng(seed).integers(0, 4, len(X))
    options = {"covariance_type": covariance_type, "prior": prior, "max_ratio": 2.0}
    options |= {"init": X[:2], "tol": 0.0, "max_iter": 5, "accelerate": False}
    weighted = quietly(X, 2, sample_weight=counts, **options)
    repeated = quietly(np.repeat(X, counts, axis=0), 2, **options)
    np.testing.assert_allclose(weighted.mixture.means, repeated.mixture.means, rtol=0, atol=1e-8)
    np.testing.assert_allclose(
        weighted.mixture.covariances, repeated.mixture.covariances, rtol=1e-8, atol=1e-8
    )
    np.testing.assert_allclose(weighted.history, repeated.history, rtol=1e-9)


SCALES = st.sampled_from([1e-9, 0.3, 255.0, 1e9])


@given(types, seeds, SCALES, SCALES, st.sampled_from([0.0, 1.0]), st.sampled_from([None, 4.0]))
def test_units_do_not_matter(covariance_type, seed, a, b, prior, max_ratio):
    X = clusters(seed, 200)
    scale = np.array([a, a if "spherical" in covariance_type else b])
    changed = (X + 3.0) * scale
    X = changed / scale - 3.0  # the same rounding
    options = {"covariance_type": covariance_type, "prior": prior, "max_ratio": max_ratio}
    options |= {"reg_covar": 0.0, "tol": 0.0, "max_iter": 6, "accelerate": False}
    fit, other = (
        quietly(X, 3, init=X[:3], **options),
        quietly(changed, 3, init=changed[:3], **options),
    )
    np.testing.assert_allclose(fit.mixture.weights, other.mixture.weights, atol=1e-6)
    np.testing.assert_allclose(fit.mixture.means, other.mixture.means / scale - 3.0, atol=1e-5)
    back = other.mixture.full_covariances / np.outer(scale, scale)
    np.testing.assert_allclose(fit.mixture.full_covariances, back, atol=1e-5)
    np.testing.assert_allclose(
        fit.history, np.array(other.history) + np.log(scale).sum(), atol=1e-6
    )


# The bound


@given(seeds, st.integers(1, 6), st.integers(1, 4), st.sampled_from([1.0, 1.5, 10.0, 1e4]))
def test_the_cut_is_the_best(seed, k, p, ratio):
    rng = np.random.default_rng(seed)
    values = np.exp(rng.normal(0, 3, (k, p)))
    weights = rng.uniform(0.1, 5, k)
    found = _bounded(values, weights, ratio)
    expected = naive.bounded_eigenvalues(values, weights, ratio)
    np.testing.assert_allclose(np.log(found), np.log(expected), atol=1e-6)


@pytest.mark.parametrize("values", [[[0.0, 1.0]], [[0.0, 0.0], [0.0, 5.0]], [[1e-300, 1e300]]])
def test_the_cut_of_extremes(values):
    values = np.array(values)
    found = _bounded(values, np.ones(len(values)), 10.0)
    assert found.min() > 0
    assert found.max() / found.min() == pytest.approx(10.0)


def test_what_is_within_the_bound_stays_to_the_last_bit():
    values = np.array([[1.0, 2.0], [9.0, 10.0]])
    assert _bounded(values, np.ones(2), 10.0) is values
    zeros = np.zeros((2, 2))
    assert _bounded(zeros, np.ones(2), 10.0) is zeros
    X = clusters(0)
    free, bound = fit_mixture(X, 3), fit_mixture(X, 3, max_ratio=1e9)
    assert (free.mixture.covariances == bound.mixture.covariances).all()


def test_components_without_rows_do_not_move_the_bound():
    bound = RatioBound(2.0, np.ones(2))
    covariances = np.array([np.eye(2), np.eye(2) * 100])
    kept = bound.kept(covariances, np.array([50.0, 0.0]), COVARIANCE_TYPES["full"])
    np.testing.assert_allclose(kept, [np.eye(2), np.eye(2) * 2], rtol=1e-9)


@every_type
def test_a_constant_feature_gets_a_variance(covariance_type):
    X = np.column_stack([clusters(0)[:, 0], np.full(300, 7.0)])
    for options in ({"prior": 1.0}, {"max_ratio": 100.0}, {"prior": 1.0, "max_ratio": 100.0}):
        fit = quietly(X, 3, covariance_type=covariance_type, reg_covar=0.0, **options)
        assert np.isfinite(fit.log_likelihood)
        assert (fit.mixture.standard_deviations > 0).all()


def test_many_rows_by_a_sample_with_a_prior():
    X = np.random.default_rng(0).normal(size=(400_000, 1))
    X[:200_000] += 4
    fit = fit_mixture(X, 2, prior=100.0)
    certificate = fit.certificate
    assert certificate.mean_log_likelihood == pytest.approx(fit.log_likelihood / len(X), rel=1e-12)
    assert certificate.mean_log_likelihood > fit.history[-1]


@pytest.mark.parametrize("n", [100, 400_000])
def test_infinity(n):
    X = np.random.default_rng(0).normal(size=(n, 1))
    X[n // 2 + 1] = np.inf
    with pytest.raises(InvalidDataError, match="X contains infinity"):
        fit_mixture(X, 2, prior=1.0)


def test_options_are_plain_numbers():
    options = EMOptions(prior=np.float32(2.0), max_ratio=np.int64(4))
    assert (type(options.prior), type(options.max_ratio)) == (float, float)
