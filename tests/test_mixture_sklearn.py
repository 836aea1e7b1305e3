"""The same fits by scikit-learn from the same start, iteration for iteration."""

import warnings

import numpy as np
import pytest

from gmmseg.errors import ConvergenceWarning
from gmmseg.mixture import Mixture, fit_mixture

mixture_module = pytest.importorskip("sklearn.mixture")
sklearn_exceptions = pytest.importorskip("sklearn.exceptions")

TYPES = ("full", "tied", "diag", "spherical")
SIZES = ((1, 1), (1, 4), (2, 10), (3, 3), (4, 2), (5, 6), (8, 3), (9, 7), (13, 2), (16, 5))
ITERATIONS = 20


def data_and_start(n_features, n_components, covariance_type):
    """Overlapping clusters, and a start with weights, means and covariances of its own."""
    rng = np.random.default_rng([n_features, n_components])
    centres = rng.normal(size=(n_components, n_features)) * 3.0
    spreads = rng.uniform(0.5, 2.0, (n_components, n_features))
    chosen = rng.integers(0, n_components, 1500)
    X = centres[chosen] + spreads[chosen] * rng.normal(size=(1500, n_features))
    variance = X.var(axis=0)
    covariances = {
        "full": np.stack([np.diag(variance)] * n_components),
        "tied": np.diag(variance),
        "diag": np.stack([variance] * n_components),
        "spherical": np.full(n_components, variance.mean()),
    }[covariance_type]
    start = Mixture(
        weights=rng.dirichlet(np.full(n_components, 5.0)),
        means=X[rng.choice(len(X), n_components, replace=False)],
        covariances=covariances,
        covariance_type=covariance_type,
    )
    return X, start


def precisions(start):
    if start.covariance_type in ("full", "tied"):
        return np.linalg.inv(start.covariances)
    return 1.0 / start.covariances


def fitted(X, start, iterations):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit_mixture(
            X, start.n_components, covariance_type=start.covariance_type, init=start,
            max_iter=iterations, tol=0.0, reg_covar=0.0, accelerate=False,
        )  # fmt: skip


def fitted_by_sklearn(X, start, iterations):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sklearn_exceptions.ConvergenceWarning)
        return mixture_module.GaussianMixture(
            start.n_components, covariance_type=start.covariance_type, tol=0.0, reg_covar=0.0,
            max_iter=iterations, weights_init=start.weights, means_init=start.means,
            precisions_init=precisions(start),
        ).fit(X)  # fmt: skip


@pytest.mark.parametrize(("n_features", "n_components"), SIZES)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_twenty_iterations_agree(covariance_type, n_features, n_components):
    X, start = data_and_start(n_features, n_components, covariance_type)
    ours, theirs = fitted(X, start, ITERATIONS), fitted_by_sklearn(X, start, ITERATIONS)
    assert ours.log_likelihood == pytest.approx(theirs.score(X) * len(X), rel=1e-9)
    np.testing.assert_allclose(ours.mixture.weights, theirs.weights_, atol=1e-7)
    np.testing.assert_allclose(ours.mixture.means, theirs.means_, atol=1e-7)
    np.testing.assert_allclose(ours.mixture.covariances, theirs.covariances_, atol=1e-7)
    np.testing.assert_allclose(ours.mixture.posterior(X), theirs.predict_proba(X), atol=1e-7)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_criteria_agree(covariance_type):
    X, start = data_and_start(3, 3, covariance_type)
    ours, theirs = fitted(X, start, 5), fitted_by_sklearn(X, start, 5)
    assert ours.mixture.n_parameters == theirs._n_parameters()
    assert ours.mixture.bic(X) == pytest.approx(theirs.bic(X), rel=1e-10)
    assert ours.mixture.aic(X) == pytest.approx(theirs.aic(X), rel=1e-10)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_default_fit_is_as_likely_as_theirs(covariance_type):
    X, _ = data_and_start(2, 3, covariance_type)
    theirs = mixture_module.GaussianMixture(
        3, covariance_type=covariance_type, n_init=5, tol=1e-6, max_iter=500, random_state=0
    ).fit(X)
    ours = fit_mixture(X, 3, covariance_type=covariance_type, n_init=5, tol=1e-6)
    assert ours.log_likelihood / len(X) > theirs.score(X) - 1e-3
