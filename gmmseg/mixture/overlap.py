"""How much the components of a mixture overlap."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gmmseg.mixture.covariance import squared_distances, whitening

if TYPE_CHECKING:
    from gmmseg.mixture.mixture import Mixture

__all__ = ["bhattacharyya", "bhattacharyya_between", "confusion_bounds"]

Array = NDArray[np.float64]


def bhattacharyya(mixture: Mixture) -> Array:
    """Bhattacharyya distance of every two components (docs/math.md, "Overlap").

    Bhattacharyya, Bull. Calcutta Math. Soc. 35 (1943) 99-109. The distance depends neither on
    units nor on weights; its ``exp(-distance)`` is the overlap of the two densities,
    the integral of the root of their product: 1 if they are the same, 0 if they are apart.

    Returns
    -------
    ndarray of shape (n_components, n_components), float64
        Symmetric, 0 on the diagonal.

    Examples
    --------
    >>> from gmmseg.mixture import Mixture
    >>> mixture = Mixture(weights=[0.5, 0.5], means=[[0.0], [4.0]], covariances=[1.0, 1.0],
    ...                   covariance_type="spherical")
    >>> bhattacharyya(mixture)
    array([[0., 2.],
           [2., 0.]])
    """
    standard = mixture.in_frame(mixture._frame)  # sizes near 1: determinants cannot overflow
    own = _Gaussians(standard.means, np.ascontiguousarray(standard._expanded))
    distances = np.zeros((mixture.n_components, mixture.n_components))
    for a, b in combinations(range(mixture.n_components), 2):
        distances[a, b] = distances[b, a] = own.distance(a, own, b)
    return distances


def bhattacharyya_between(mixture: Mixture, other: Mixture) -> Array:
    """Bhattacharyya distance of every component of one mixture to every one of another.

    Their covariance types may differ.

    Returns
    -------
    ndarray of shape (mixture.n_components, other.n_components), float64

    Examples
    --------
    >>> from gmmseg.mixture import Mixture
    >>> mixture = Mixture(weights=[0.5, 0.5], means=[[0.0], [4.0]], covariances=[1.0, 1.0],
    ...                   covariance_type="spherical")
    >>> bhattacharyya_between(mixture, mixture.reordered([1, 0]))
    array([[2., 0.],
           [0., 2.]])
    """
    frame = other._frame
    rows, columns = (
        _Gaussians(standard.means, np.ascontiguousarray(standard.full_covariances))
        for standard in (mixture.in_frame(frame), other.in_frame(frame))
    )
    pairs = np.ndindex(mixture.n_components, other.n_components)
    distances = [rows.distance(a, columns, b) for a, b in pairs]
    return np.reshape(distances, (mixture.n_components, other.n_components))


class _Gaussians:
    """Means (K, D) and covariances (K, D, D) or (K, D) with what distances need of them."""

    def __init__(self, means: Array, covariances: Array) -> None:
        self.means, self.covariances = means, covariances
        self.log_dets = whitening(covariances)[1]

    def distance(self, a: int, other: _Gaussians, b: int) -> float:
        """Between component `a` of these and component `b` of others."""
        mean_covariance = 0.5 * (self.covariances[a] + other.covariances[b])
        factor, log_det = whitening(mean_covariance[None])
        difference = self.means[a] - other.means[b]
        squared = squared_distances(difference[None], factor[0])[0]
        shape = 0.5 * (self.log_dets[a] + other.log_dets[b]) - log_det[0]
        return float(0.125 * squared + max(shape, 0.0))


def confusion_bounds(weights: Array, distances: Array) -> Array:
    """At most this share of all rows belongs to one of two components but looks like the other.

    ``sqrt(pi_a pi_b) exp(-distance)`` bounds the Bayes error of a pair (Kailath, IEEE Trans.
    Commun. Technol. 15 (1967) 52-60); the sum over all pairs bounds that of the mixture.

    Parameters
    ----------
    weights : ndarray of shape (n_components,)
    distances : ndarray of shape (n_components, n_components)
        As `bhattacharyya` gives them.

    Returns
    -------
    ndarray of shape (n_components, n_components), float64
        Symmetric, 0 on the diagonal. Never above the smaller weight of the pair.
    """
    bounds = np.sqrt(np.outer(weights, weights)) * np.exp(-distances)
    np.fill_diagonal(bounds, 0.0)
    return np.minimum(bounds, np.minimum.outer(weights, weights))
