"""Mixtures of scikit-learn as ours, and ours as fitted estimators of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from gmmseg._optional import import_optional
from gmmseg.errors import InvalidParameterError
from gmmseg.mixture.covariance import COVARIANCE_TYPES, whitening
from gmmseg.mixture.mixture import Mixture

__all__ = ["from_sklearn", "to_sklearn"]

_FITTED = ("weights_", "means_", "covariances_", "covariance_type")


def from_sklearn(estimator: Any) -> Mixture:
    """The mixture of a fitted ``GaussianMixture`` or ``BayesianGaussianMixture``.

    scikit-learn itself is not needed for it. Weights are divided by their sum.

    Parameters
    ----------
    estimator : object
        Fitted, with `weights_`, `means_`, `covariances_` and `covariance_type`.

    Returns
    -------
    Mixture
        Components are in the order of the estimator.

    Raises
    ------
    InvalidParameterError
        When it is not fitted, or what it holds is no mixture.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> fitted = SimpleNamespace(weights_=[1.0], means_=[[0.0]], covariances_=[4.0],
    ...                          covariance_type="spherical")
    >>> from_sklearn(fitted).standard_deviations
    array([[2.]])
    """
    missing = [name for name in _FITTED if not hasattr(estimator, name)]
    if missing:
        raise InvalidParameterError(
            "estimator must be a fitted GaussianMixture of scikit-learn, but "
            f"{type(estimator).__name__} has no {missing[0]}. Fit it first."
        )
    mixture = Mixture(
        weights=estimator.weights_,
        means=estimator.means_,
        covariances=estimator.covariances_,
        covariance_type=estimator.covariance_type,
    )
    total = mixture.weights.sum()
    return Mixture.trusted(
        mixture.weights / total, mixture.means, mixture.covariances, mixture.covariance_type
    )


def to_sklearn(mixture: Mixture) -> Any:
    """A fitted ``sklearn.mixture.GaussianMixture`` of the same parameters.

    It predicts, scores and samples; `fit` would begin anew. Its `lower_bound_` is not known (nan).

    Parameters
    ----------
    mixture : Mixture

    Returns
    -------
    sklearn.mixture.GaussianMixture

    Raises
    ------
    MissingDependencyError
        When scikit-learn is not installed.

    Examples
    --------
    >>> mixture = Mixture(weights=[0.5, 0.5], means=[[0.0], [9.0]], covariances=[1.0, 1.0],
    ...                   covariance_type="spherical")
    >>> to_sklearn(mixture).predict([[8.0], [1.0]])
    array([1, 0])
    """
    mixture = _with_known_type(mixture)
    estimator = import_optional("sklearn.mixture").GaussianMixture(
        mixture.n_components, covariance_type=mixture.covariance_type
    )
    estimator.weights_ = mixture.weights.copy()
    estimator.means_ = mixture.means.copy()
    estimator.covariances_ = mixture.covariances.copy()
    factors = _precision_factors(mixture)
    is_matrix = COVARIANCE_TYPES[mixture.covariance_type].is_matrix
    estimator.precisions_cholesky_ = factors
    estimator.precisions_ = factors @ factors.swapaxes(-1, -2) if is_matrix else factors**2
    estimator.converged_, estimator.n_iter_ = True, 0
    estimator.lower_bound_, estimator.lower_bounds_ = float("nan"), []
    estimator.n_features_in_ = mixture.n_features
    return estimator


#: Types that scikit-learn has not, and what they become.
_KNOWN = {"tied_diag": "diag", "tied_spherical": "spherical"}


def _with_known_type(mixture: Mixture) -> Mixture:
    """The same densities with a covariance of its own for each component, if that must be."""
    kind = _KNOWN.get(mixture.covariance_type, mixture.covariance_type)
    shape = COVARIANCE_TYPES[kind].shape(mixture.n_components, mixture.n_features)
    covariances = np.broadcast_to(mixture.covariances, shape)
    return Mixture.trusted(mixture.weights, mixture.means, covariances, kind)


def _precision_factors(mixture: Mixture) -> Any:
    """Upper factors of the precisions, or their roots, in the shape of the covariances."""
    covariances = mixture.covariances
    if not COVARIANCE_TYPES[mixture.covariance_type].is_matrix:
        return 1.0 / np.sqrt(covariances)
    factors, _ = whitening(covariances.reshape(-1, *covariances.shape[-2:]))
    return factors.swapaxes(-1, -2).reshape(covariances.shape)
