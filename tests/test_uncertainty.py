"""Ambiguity and novelty of rows."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gmmseg import uncertainty
from gmmseg.mixture import Mixture
from gmmseg.uncertainty import entropy, novelty


def some_mixture(seed, k=3, d=2):
    rng = np.random.default_rng(seed)
    shapes = rng.normal(size=(k, d, d))
    return Mixture(
        weights=rng.dirichlet(np.full(k, 3.0)),
        means=rng.normal(0, 3, (k, d)),
        covariances=shapes @ shapes.transpose(0, 2, 1) + 0.1 * np.eye(d),
    )


# Entropy


@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 9),
    sharpness=st.sampled_from([0.0, 0.1, 1.0, 10.0, 300.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_entropy_against_scipy(seed, k, sharpness, dtype):
    logits = sharpness * np.random.default_rng(seed).normal(size=(50, k))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = (p / p.sum(axis=1, keepdims=True)).astype(dtype)
    found = entropy(p)
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()
    expected = stats.entropy(p.astype(np.float64), axis=1) / np.log(max(k, 2))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_entropy_of_sure_and_unsure_rows():
    assert entropy(np.eye(4)).tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(entropy(np.full((3, 7), 1 / 7, np.float32)), 1, atol=1e-6)
    assert entropy(np.ones((5, 1), np.float32)).tolist() == [0] * 5
    assert entropy(np.ones((0, 3), np.float32)).shape == (0,)


def test_parts_are_put_together(monkeypatch):
    p = np.random.default_rng(0).dirichlet([1, 1, 1], 1000).astype(np.float32)
    mixture = some_mixture(0)
    X = mixture.sample(1000, rng=1)[0]
    whole = entropy(p), novelty(mixture, X)
    monkeypatch.setattr(uncertainty, "_ROWS", 96)
    np.testing.assert_array_equal(entropy(p), whole[0])
    np.testing.assert_allclose(novelty(mixture, X), whole[1], rtol=1e-6)


# Novelty


@pytest.mark.parametrize("d", [1, 2, 5])
def test_novelty_is_uniform_for_rows_of_one_gaussian(d):
    mixture = some_mixture(d, k=1, d=d)
    found = novelty(mixture, mixture.sample(20_000, rng=2)[0])
    assert found.dtype == np.float32
    assert stats.kstest(found, "uniform").statistic < 0.015


@pytest.mark.parametrize("covariance_type", naive.TYPES)
def test_novelty_is_the_chi_square_of_the_nearest_component(covariance_type):
    rng = np.random.default_rng(4)
    matrix = np.array([[0.5, 0.3], [0.3, 2.0]])
    covariances = naive.of_type([matrix, 2 * matrix, np.eye(2)], covariance_type)
    mixture = Mixture(
        weights=[0.2, 0.3, 0.5],
        means=rng.normal(0, 3, (3, 2)),
        covariances=covariances,
        covariance_type=covariance_type,
    )
    X = rng.normal(0, 4, (200, 2))
    distance = naive.mahalanobis(X, mixture.means, mixture.covariances, covariance_type)
    expected = stats.chi2(2).cdf(distance.min(axis=1) ** 2)
    np.testing.assert_allclose(novelty(mixture, X), expected, atol=1e-6)


def test_means_are_not_new_and_far_rows_are():
    mixture = some_mixture(5)
    assert novelty(mixture, mixture.means) == pytest.approx([0, 0, 0], abs=1e-6)
    assert novelty(mixture, [[1e6, -1e6]]) == [1]


def test_a_component_of_weight_zero_explains_nothing():
    mixture = Mixture(
        weights=[1, 0], means=[[0.0], [9.0]], covariances=[1.0, 1.0], covariance_type="spherical"
    )
    assert novelty(mixture, [[9.0]]) == [1]
