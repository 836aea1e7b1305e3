"""Principal axes, the M-step over all features, shrinkage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA

from gmmseg.errors import InvalidDataError
from gmmseg.mixture import fit_mixture, subspace
from gmmseg.mixture.subspace import m_step_of_all, principal_axes, shrinkage_intensity


def rows(seed=0, n=300, d=7):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(0, 50, d)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_the_axes_are_those_of_scikit_learn(share):
    X = rows()
    found = principal_axes(X, None, share)
    pca = PCA(svd_solver="full").fit((X - X.mean(axis=0)) / X.std(axis=0))
    kept = np.cumsum(pca.explained_variance_ratio_)
    n = int(np.argmax(kept >= share)) + 1
    assert found.axes.shape == (7, n)
    assert found.share == pytest.approx(kept[n - 1])
    cosines = np.abs(np.sum(found.axes * pca.components_[:n].T, axis=0))
    np.testing.assert_allclose(cosines, 1, atol=1e-8)
    np.testing.assert_allclose(
        found.project(X), ((X - X.mean(0)) / X.std(0)) @ found.axes, atol=1e-4
    )


def test_all_of_the_variance_takes_all_axes_that_have_some():
    X = rows()
    assert principal_axes(X, None, 1.0).axes.shape == (7, 7)
    doubled = np.hstack([X, X])
    assert principal_axes(doubled, None, 1.0).axes.shape[1] == 7
    constant = np.hstack([X, np.full((300, 2), 1e6 / 3)])
    assert principal_axes(constant, None, 0.9999999).axes.shape[1] == 7


@given(seed=st.integers(0, 2**32 - 1))
def test_units_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    X, factor = rows(seed), 10.0 ** rng.integers(-6, 7, 7)
    first, second = principal_axes(X, None, 0.9), principal_axes(X * factor + factor, None, 0.9)
    np.testing.assert_allclose(np.abs(first.axes), np.abs(second.axes), atol=1e-6)


def test_weights_are_repetitions(monkeypatch):
    X = rows(n=60)
    weights = np.random.default_rng(1).integers(0, 4, 60)
    repeated = np.repeat(X, weights, axis=0)
    r = np.random.default_rng(2).dirichlet([1, 1, 1], 60)[:, :2]
    for covariance_type in ("full", "tied", "diag", "spherical"):
        options = {"reg_covar": 0.0, "shrink": True}
        one = m_step_of_all(X, weights, r, covariance_type, **options)
        other = m_step_of_all(
            repeated, None, np.repeat(r, weights, axis=0), covariance_type, **options
        )
        np.testing.assert_allclose(one.covariances, other.covariances, rtol=1e-9)
        np.testing.assert_allclose(one.means, other.means, rtol=1e-9)
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-9)
    a, b = principal_axes(X, weights, 0.9), principal_axes(repeated, None, 0.9)
    np.testing.assert_allclose(np.abs(a.axes), np.abs(b.axes), atol=1e-9)
    monkeypatch.setattr(subspace, "_NUMBERS", 70)  # ten rows at a time
    np.testing.assert_allclose(principal_axes(X, weights, 0.9).axes, a.axes, atol=1e-9)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_the_m_step_is_that_of_em(covariance_type):
    X = rows(n=500, d=3)
    fit = fit_mixture(X, 2, covariance_type=covariance_type, reg_covar=0, tol=1e-13, max_iter=5000)
    found = m_step_of_all(
        X, None, fit.mixture.posterior(X), covariance_type, reg_covar=0.0, shrink=False
    )
    np.testing.assert_allclose(found.means, fit.mixture.means, rtol=1e-3)
    scale = X.std(axis=0)
    unit = {"diag": scale**2, "spherical": scale.max() ** 2}.get(
        covariance_type, np.outer(scale, scale)
    )
    np.testing.assert_allclose(found.covariances / unit, fit.mixture.covariances / unit, atol=1e-3)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 60), d=st.integers(1, 8))
def test_the_intensity_is_that_of_scikit_learn(seed, n, d):
    X = rows(seed, n, d) / 50
    z = X - X.mean(axis=0)
    covariance = z.T @ z / n
    expected = ledoit_wolf(X)[1]
    found = shrinkage_intensity(covariance, ((z**2).sum(axis=1) ** 2).sum(), n)
    if d == 1:  # the target is the covariance itself
        return
    assert found == pytest.approx(expected, abs=1e-7)


def test_shrinkage_makes_a_covariance_of_few_rows_usable():
    X = rows(n=12, d=40)
    one = np.ones((12, 1))
    options = {"covariance_type": "full", "reg_covar": 0.0}
    shrunk = m_step_of_all(X, None, one, **options, shrink=True)
    raw = m_step_of_all(X, None, one, **options, shrink=False)
    scale = np.sqrt(np.outer(raw.covariances[0].diagonal(), raw.covariances[0].diagonal()))
    smallest = [np.linalg.eigvalsh(m.covariances[0] / scale).min() for m in (shrunk, raw)]
    assert smallest[0] > 0.01 > 1e-8 > abs(smallest[1])
    np.testing.assert_allclose(
        np.diagonal(shrunk.covariances[0]), np.diagonal(raw.covariances[0]), rtol=1e-9
    )  # in standardised features all variances are equal: the target has them too


def test_gaps_are_told():
    X = rows()
    X[3, 2] = np.nan
    with pytest.raises(InvalidDataError, match=r"^principal components need rows without gaps"):
        principal_axes(X, None, 0.9)
    with pytest.raises(InvalidDataError, match=r"^covariances are shrunk by rows without gaps"):
        m_step_of_all(X, None, np.ones((300, 1)), "full", reg_covar=0.0, shrink=True)
