"""Grouping rows by their gaps, and starts of EM on rows with gaps."""

import warnings

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gmmseg.errors import InvalidDataError
from gmmseg.mixture import fit_mixture
from gmmseg.mixture._kernels import BLOCK, lloyd_pass
from gmmseg.mixture._missing_kernels import BLOCK as MISSING_BLOCK
from gmmseg.mixture._missing_kernels import lloyd_gaps_pass
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.patterns import GappedRows, find_patterns, rows_of
from gmmseg.mixture.rows import Frame, Rows
from gmmseg.mixture.seeding import STARTS, Sample, lloyd_space

gappy = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 30), st.integers(1, 20)),
    elements=st.sampled_from([0.0, 1.0, np.nan]),
)


@settings(deadline=None)
@given(gappy, st.data())
def test_patterns_are_the_groups_of_equal_gaps(X, data):
    weights = data.draw(
        st.none() | hnp.arrays(np.float64, len(X), elements=st.sampled_from([0.0, 2.0]))
    )
    expected = {}
    for i, x in enumerate(X):
        if weights is None or weights[i] > 0:
            expected.setdefault(tuple(~np.isnan(x)), []).append(i)
    found = find_patterns(X, weights)
    if all(all(pattern) for pattern in expected):
        assert found is None
        return
    nothing = (False,) * X.shape[1]
    assert found.empty.tolist() == expected.pop(nothing, [])
    assert {
        tuple(pattern): rows.tolist()
        for pattern, rows in zip(found.observed.tolist(), found.members, strict=True)
    } == expected
    used = sorted(i for rows in expected.values() for i in rows)
    assert (list(range(len(X))) if found.used is None else found.used.tolist()) == used
    whole = found.observed.all(axis=1)
    assert not whole[1:].any()


@pytest.mark.parametrize("n_features", [8, 9, 16, 17, 64, 65, 130, 256])
def test_any_number_of_features(n_features):
    X = np.zeros((3 * n_features, n_features), np.float32)
    for i in range(len(X)):
        X[i, i % n_features] = np.nan
    found = find_patterns(X)
    assert len(found.members) == n_features
    for pattern, rows in zip(found.observed, found.members, strict=True):
        np.testing.assert_array_equal(rows % n_features, np.flatnonzero(~pattern).item())


def test_many_features_with_gaps_are_fitted():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 40)) + 5 * rng.integers(0, 2, 100)[:, None]
    X[rng.random(X.shape) < 0.05] = np.nan
    fit = fit_mixture(X, 2, covariance_type="tied", reg_covar=1e-2)
    halves = np.nanmean(X, axis=1) > 2.5
    labels = fit.mixture.predict(X)
    assert max((labels == halves).mean(), (labels != halves).mean()) == 1.0


def test_without_gaps_nothing_is_grouped():
    X = np.random.default_rng(0).normal(size=(50, 3))
    frame = Frame.identity(3)
    assert isinstance(rows_of(X, None, frame), Rows)
    assert find_patterns(np.ones((4, 2), int)) is None
    assert find_patterns(np.full((4, 2), np.inf)) is None
    X[3, 1] = np.nan
    assert isinstance(rows_of(X, None, frame), GappedRows)
    weights = np.ones(50)
    weights[3] = 0
    assert isinstance(rows_of(X, weights, frame), Rows)


def test_a_sample_keeps_the_gaps():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 3))
    X[rng.random(X.shape) < 0.3] = np.nan
    rows = rows_of(X, None, Frame.around(np.zeros(3), np.full(3, 4.0), X.dtype, isotropic=False))
    part = rows.part(5000, rng)
    assert part.n_samples == 5000
    assert part.frame is rows.frame
    assert part.total_weight == pytest.approx(rows.total_weight)
    assert part.log_scale == pytest.approx(rows.log_scale, abs=0.05)
    shares = [
        sum(len(m) for o, m in zip(r.patterns.observed, r.patterns.members, strict=True) if o[0])
        / r.n_samples
        for r in (rows, part)
    ]
    assert shares[0] == pytest.approx(shares[1], abs=0.03)


def test_a_fit_by_a_sample_has_a_certificate():
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(0, 1, (200_000, 2)), rng.normal(4, 1, (200_000, 2))])
    X[rng.random(X.shape) < 0.2] = np.nan
    X = X.astype(np.float32)
    fit, exact = fit_mixture(X, 2), fit_mixture(X, 2, gap=0)
    assert exact.certificate is None
    assert fit.certificate.mean_log_likelihood == fit.history[-1]
    assert fit.history[-1] == pytest.approx(exact.history[-1], abs=1e-4)
    n_used = (~np.isnan(X).all(axis=1)).sum()
    assert fit.history[-1] * n_used == pytest.approx(fit.log_likelihood)


# --- starts ---------------------------------------------------------------------------------------


def naive_lloyd(X, centres, weights):
    """Labels by the mean squared distance over what is observed, and sums of what is."""
    labels = np.array([np.nanmean((x - centres) ** 2, axis=1).argmin() for x in X])
    sums = np.zeros((*centres.shape, 2))
    for x, k, w in zip(X, labels, weights, strict=True):
        for d in np.flatnonzero(~np.isnan(x)):
            sums[k, d] += w, w * x[d]
    return labels, sums


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 1023, 1024, 2500])
def test_lloyd_with_gaps_agrees_with_the_oracle(n, dtype):
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, 4)).astype(dtype)
    X[rng.random(X.shape) < 0.3] = np.nan
    X[:, 2] = 1.0
    centres = rng.normal(size=(3, 4)).astype(dtype)
    weights = rng.uniform(0.5, 2, n)
    labels, sums = np.empty(n, np.int32), np.zeros((3, 4, 2))
    space = lloyd_space(X.shape[1], X.dtype)
    lloyd_gaps_pass(np.ascontiguousarray(X.T), weights, centres, space, labels, sums)
    expected, expected_sums = naive_lloyd(X.astype(np.float64), centres, weights)
    assert (labels == expected).mean() >= 1 - 1 / n if n > 1 else (labels == expected).all()
    np.testing.assert_allclose(sums, expected_sums, rtol=1e-5, atol=1e-4 * n)


def test_lloyd_with_gaps_is_that_without_where_there_are_none():
    rng = np.random.default_rng(0)
    planes, centres = rng.normal(size=(3, 2000)), rng.normal(size=(4, 3))
    one, other = np.empty(2000, np.int32), np.empty(2000, np.int32)
    sums, both = np.zeros((4, 4)), np.zeros((4, 3, 2))
    space = lloyd_space(len(planes), planes.dtype)
    lloyd_pass(planes, np.ones(2000), centres, space, one, sums, np.zeros(1))
    lloyd_gaps_pass(planes, np.ones(2000), centres, space, other, both)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(both[..., 1], sums[:, 1:])
    np.testing.assert_array_equal(both[..., 0], np.repeat(sums[:, :1], 3, axis=1))
    assert MISSING_BLOCK == BLOCK


def clusters(n=3000, share=0.3):
    rng = np.random.default_rng(3)
    which = rng.integers(0, 3, n)
    X = np.array([[0, 0, 0, 0], [9, 9, 0, 9], [0, 9, 9, 18]])[which] + rng.normal(size=(n, 4))
    X[rng.random(X.shape) < share] = np.nan
    return X, which


def sample_of(X, weights=None):
    weights = np.ones(len(X)) if weights is None else weights
    return Sample(np.ascontiguousarray(X.T), weights, lambda deviations: 1 / deviations)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_kmeans_finds_clusters_with_gaps(kind):
    X, which = clusters()
    X = X[~np.isnan(X).all(axis=1)]
    start = STARTS["kmeans"](sample_of(X), 3, kind, np.random.default_rng(0))
    start = start.reordered(np.argsort(start.means[:, 3]))
    np.testing.assert_allclose(start.means, [[0, 0, 0, 0], [9, 9, 0, 9], [0, 9, 9, 18]], atol=0.3)
    np.testing.assert_allclose(start.weights, np.bincount(which) / len(which), atol=0.03)
    np.testing.assert_allclose(start.standard_deviations, 1.0, atol=0.25)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("name", STARTS)
def test_every_start_is_a_mixture(kind, name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    X[rng.random(X.shape) < 0.6] = np.nan
    X = X[~np.isnan(X).all(axis=1)]
    start = STARTS[name](sample_of(X), 6, kind, rng)
    for matrix in start.full_covariances:
        assert np.linalg.eigvalsh(matrix).min() > 0
    assert np.isfinite(start.means).all()
    assert start.weights.sum() == pytest.approx(1)


def test_moments_of_a_sample_are_those_of_what_is_observed():
    X, _ = clusters()
    weights = np.random.default_rng(0).uniform(0, 2, len(X))
    sample = sample_of(X, weights)
    for d, column in enumerate(X.T):
        seen = ~np.isnan(column)
        mean = np.average(column[seen], weights=weights[seen])
        variance = np.average((column[seen] - mean) ** 2, weights=weights[seen])
        assert sample.mean[d] == pytest.approx(mean)
        assert sample.variance[d] == pytest.approx(variance)


def test_a_feature_that_few_rows_have():
    """So few that a look at some rows sees none of it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150_000, 2)) * [1.0, 1e-4] + [0.0, 1e6]
    X[5:149_995, 1] = np.nan
    fit = fit_mixture(X, 1, gap=0)
    assert fit.mixture.means[0, 1] == pytest.approx(np.nanmean(X[:, 1]), abs=1e-3)
    parameters = fit.mixture.weights, fit.mixture.means, fit.mixture.covariances, "full"
    few = X[:20]
    np.testing.assert_allclose(
        fit.mixture.log_density(few), naive.missing_log_density(few, *parameters), rtol=1e-6
    )


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_a_feature_that_one_row_has(kind):
    """The sample for the start has none of it."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (150_000, 2)), rng.normal(9, 1, (150_000, 2))])
    X = np.column_stack([X, np.full(len(X), np.nan)])
    X[123_457, 2] = 7.0
    fit = fit_mixture(X, 2, covariance_type=kind)
    np.testing.assert_allclose(np.sort(fit.mixture.means[:, 0]), [0, 9], atol=0.05)
    X[123_457, 2] = np.inf
    with pytest.raises(InvalidDataError, match="X contains infinity"):
        fit_mixture(X, 2, covariance_type=kind)


@settings(deadline=None, max_examples=30)
@given(gappy, st.sampled_from(list(COVARIANCE_TYPES)), st.integers(1, 3))
def test_fits_of_anything_end_well(X, kind, k):
    """Whatever the gaps: a fit or a clear error, posteriors that sum to 1, no NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = fit_mixture(X, k, covariance_type=kind)
        except InvalidDataError:
            assert np.isnan(X).all()
            return
    posterior = fit.mixture.posterior(X)
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    values, variances = fit.mixture.impute(X, return_variance=True)
    assert np.isfinite(values).all()
    assert (variances >= 0).all()
    assert np.isfinite(fit.log_likelihood)
