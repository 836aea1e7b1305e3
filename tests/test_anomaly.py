"""Scores, ranks, discoveries and the background of rows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture

from gmmseg.anomaly import (
    AnomalyOptions,
    background_of,
    benjamini_hochberg,
    chi_square_tail,
    fit_background,
    score_rows,
    upper_rank,
)
from gmmseg.errors import InvalidParameterError
from gmmseg.mixture import Mixture

DATA = Path(__file__).parent / "data"


def some_mixture(seed=0, k=3, d=2, covariance_type="full"):
    rng = np.random.default_rng(seed)
    shapes = rng.normal(size=(k, d, d))
    matrices = shapes @ shapes.transpose(0, 2, 1) + 0.1 * np.eye(d)
    covariances = {
        "full": matrices,
        "tied": matrices[0],
        "diag": np.diagonal(matrices, axis1=1, axis2=2),
        "spherical": matrices[:, 0, 0],
    }[covariance_type]
    return Mixture(
        weights=rng.dirichlet(np.full(k, 3.0)),
        means=rng.normal(0, 3, (k, d)),
        covariances=covariances,
        covariance_type=covariance_type,
    )


# Scores


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_scores_against_scipy(covariance_type):
    mixture = some_mixture(3, d=3, covariance_type=covariance_type)
    X = np.random.default_rng(1).normal(0, 4, (200, 3))
    found = score_rows(mixture, X)
    parts = [
        stats.multivariate_normal(mean, covariance)
        for mean, covariance in zip(mixture.means, mixture.full_covariances, strict=True)
    ]
    density = sum(w * part.pdf(X) for w, part in zip(mixture.weights, parts, strict=True))
    peak = sum(w * part.pdf(part.mean) for w, part in zip(mixture.weights, parts, strict=True))
    np.testing.assert_allclose(found.log_density, np.log(density), rtol=1e-9)
    np.testing.assert_allclose(found.score, -2 * np.log(density / peak), rtol=1e-8)
    squared = np.min(
        [
            [(x - p.mean) @ np.linalg.solve(p.cov, x - p.mean) for x in X]
            for p in parts
        ],
        axis=0,
    )  # fmt: skip
    np.testing.assert_allclose(found.mahalanobis**2, squared, rtol=1e-9)
    np.testing.assert_allclose(found.p_value, stats.chi2(3).sf(squared), rtol=1e-8)


def test_one_component_is_rx():
    X = np.random.default_rng(0).normal(size=(500, 4)) @ np.diag([1, 10, 100, 1e4]) + 1e5
    background, _ = fit_background(X, AnomalyOptions(k=1))
    centred = X - X.mean(axis=0)
    covariance = centred.T @ centred / len(X)
    expected = np.einsum("nd,de,ne->n", centred, np.linalg.inv(covariance), centred)
    np.testing.assert_allclose(score_rows(background, X).score, expected, rtol=1e-5)


@given(seed=st.integers(0, 2**32 - 1))
def test_scores_are_never_negative_and_know_no_units(seed):
    mixture = some_mixture(seed)
    rng = np.random.default_rng(seed)
    X = np.concatenate([mixture.means, mixture.sample(50, rng)[0]])
    found = score_rows(mixture, X)
    assert (found.score >= 0).all()
    scale = 10.0 ** rng.integers(-5, 6, 2)
    other = Mixture(
        weights=mixture.weights,
        means=mixture.means * scale + 7,
        covariances=mixture.covariances * np.outer(scale, scale),
    )
    again = score_rows(other, X * scale + 7)
    np.testing.assert_allclose(again.score, found.score, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(again.p_value, found.p_value, rtol=1e-4)


def test_tails_are_accurate_where_one_minus_would_be_zero():
    squared = np.array([0.0, 1.0, 80.0, 1400.0, 1e6])
    found = chi_square_tail(squared, np.array([2]))
    np.testing.assert_allclose(found, np.exp(-squared / 2), rtol=1e-12)
    assert 0 < found[3] < 1e-300
    assert chi_square_tail(np.array([0.0]), np.array([0])) == 1  # nothing observed


def test_p_values_of_one_gaussian_are_uniform():
    mixture = some_mixture(2, k=1, d=5)
    found = score_rows(mixture, mixture.sample(20_000, rng=3)[0])
    assert stats.kstest(found.p_value, "uniform").statistic < 0.015


# Ranks and discoveries


@given(
    scores=st.lists(st.integers(0, 6), min_size=1, max_size=30),
    seed=st.integers(0, 2**32 - 1),
)
def test_ranks_against_their_definition(scores, seed):
    score = np.array(scores, float)
    weights = np.random.default_rng(seed).integers(1, 4, len(score))
    expected = [weights[score >= s].sum() / weights.sum() for s in score]
    np.testing.assert_allclose(upper_rank(score, weights), expected)
    np.testing.assert_allclose(
        np.repeat(upper_rank(score, weights), weights), upper_rank(np.repeat(score, weights))
    )


def test_ranks_leave_gaps_out():
    found = upper_rank(np.array([1.0, np.nan, 3.0, np.inf]))
    np.testing.assert_allclose(found, [1, np.nan, 2 / 3, 1 / 3])
    assert np.isnan(upper_rank(np.array([np.nan]))).all()


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 60),
    rate=st.floats(0.001, 0.9),
    strength=st.sampled_from([1.0, 2.0, 6.0]),
)
def test_discoveries_against_scipy(seed, n, rate, strength):
    p = np.random.default_rng(seed).random(n) ** strength
    expected = stats.false_discovery_control(p) <= rate
    np.testing.assert_array_equal(benjamini_hochberg(p, rate), expected)
    weights = np.random.default_rng(seed).integers(1, 4, n)
    np.testing.assert_array_equal(
        np.repeat(benjamini_hochberg(p, rate, weights), weights),
        benjamini_hochberg(np.repeat(p, weights), rate),
    )


def test_discoveries_at_the_edges():
    assert benjamini_hochberg([0.9, 0.8], 0.05).tolist() == [False, False]
    assert benjamini_hochberg([0.0, 0.8], 0.05).tolist() == [True, False]
    assert benjamini_hochberg([0.001, np.nan], 0.05).tolist() == [True, False]


def test_false_discoveries_are_as_few_as_asked():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(9000, 3)), rng.normal(0, 8, (300, 3))])
    one = Mixture(weights=[1.0], means=np.zeros((1, 3)), covariances=[np.eye(3)])
    found = score_rows(one, X).anomalous(AnomalyOptions(fdr=0.1))
    assert found[9000:].mean() > 0.8
    assert found[:9000].sum() / found.sum() < 0.15


def test_a_quantile_is_at_most_that():
    score = score_rows(some_mixture(), np.random.default_rng(0).normal(size=(1000, 2)))
    assert score.anomalous(AnomalyOptions(quantile=0.0137)).sum() == 13
    assert score.anomalous(AnomalyOptions(quantile=0.0005)).sum() == 0
    ties = score_rows(some_mixture(), np.repeat([[9.0, 9.0], [0.0, 0.0]], 50, axis=0))
    assert ties.anomalous(AnomalyOptions(quantile=0.4)).sum() == 0
    assert ties.anomalous(AnomalyOptions(quantile=0.5)).sum() == 50


# The background


def test_anomalies_that_lie_together_own_no_component():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (2000, 2)), rng.normal(9, 0.1, (60, 2))])
    truth = np.arange(2060) >= 2000
    for k in (2, 5, 10):
        background, fit = fit_background(X, AnomalyOptions(k=k))
        assert roc_auc_score(truth, score_rows(background, X).score) > 0.999
        naive, _ = fit_background(X, AnomalyOptions(k=k, min_share=0.0))
        assert naive.n_components == k
    assert roc_auc_score(truth, score_rows(fit.mixture, X).score) < 0.95  # they would


def test_small_components_go_and_the_largest_stays():
    mixture = Mixture(
        weights=[0.6, 0.03, 0.37],
        means=[[0.0], [5.0], [9.0]],
        covariances=[1.0, 1.0, 1.0],
        covariance_type="spherical",
    )
    found = background_of(mixture, 0.05)
    assert found.means.ravel().tolist() == [0, 9]
    assert found.weights.sum() == pytest.approx(1)
    assert background_of(mixture, 0.01) is mixture
    assert background_of(mixture, 0.99).n_components == 2  # half of an equal share is enough


def test_many_equal_components_are_all_background():
    k = 50
    mixture = Mixture(
        weights=np.full(k, 1 / k),
        means=np.arange(k)[:, np.newaxis],
        covariances=np.ones(k),
        covariance_type="spherical",
    )
    assert background_of(mixture, 0.05).n_components == k


def test_many_features_are_scored_in_all_of_them():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 3)) @ rng.normal(size=(3, 60)) * 20 + rng.normal(size=(800, 60))
    out = np.linalg.svd(X - X.mean(axis=0))[2][-1]  # where hardly any variance is
    X[:5] += 20 * out
    background, _ = fit_background(X, AnomalyOptions(k=2))
    assert background.n_features == 60
    score = score_rows(background, X).score
    assert set(np.argsort(-score)[:5]) == set(range(5))


@pytest.mark.parametrize("name", ["glass", "wbc"])
def test_better_than_one_gaussian_on_real_tables(name):
    with np.load(DATA / f"{name}.npz") as stored:
        X, y = stored["X"].astype(float), stored["y"]
    background, _ = fit_background(X, AnomalyOptions())
    ours = roc_auc_score(y, score_rows(background, X).score)
    theirs = roc_auc_score(y, -GaussianMixture(random_state=0).fit(X).score_samples(X))
    assert ours > theirs + 0.005


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, r"^k must be at least 1, got 0\.$"),
        ({"quantile": 0}, r"^quantile must be more than 0, got 0\.$"),
        ({"quantile": 1}, r"^quantile must be less than 1, got 1\.$"),
        ({"fdr": 1.5}, r"^fdr must be less than 1, got 1\.5\.$"),
        ({"min_share": 1}, r"^min_share must be less than 1, got 1\.$"),
        ({"principal_share": 1.1}, r"^principal_share must be at most 1, got 1\.1\.$"),
        ({"shrink": 1}, r"^shrink must be True, False or None, got 1\.$"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InvalidParameterError, match=message):
        AnomalyOptions(**options)
