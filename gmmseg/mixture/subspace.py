"""Many features: EM along the principal axes, covariances of all features shrunk to be usable.

A covariance of 400 bands has 80 200 entries; EM with several of them is slow and, estimated from
few rows, nearly singular. So EM runs on the principal components, its responsibilities make one
M-step over all features, and the covariances are shrunk as far as the data themselves ask for. The
result is a mixture over the features as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import InvalidDataError
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.mixture import Mixture

__all__ = ["PrincipalAxes", "m_step_of_all", "principal_axes", "shrinkage_intensity"]

Array = NDArray[np.float64]

#: Numbers that are worked on at a time: 64 MB as float64.
_NUMBERS = 8 << 20


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Principal axes of standardised features.

    Attributes
    ----------
    mean, scale : ndarray of shape (D,)
        A feature is standardised by ``(x - mean) / scale``; a constant one has scale 1.
    axes : ndarray of shape (D, q)
        Orthonormal columns, the direction of the largest variance first.
    share : float
        Share of the standardised features' variance along these axes.
    """

    mean: Array
    scale: Array
    axes: Array
    share: float

    def project(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Coordinates of rows (N, D) along the axes, (N, q)."""
        out = np.empty((len(X), self.axes.shape[1]), np.float32)
        for part in _parts(X):
            out[part] = ((X[part] - self.mean) / self.scale) @ self.axes
        return out


def principal_axes(X: NDArray[Any], weights: NDArray[Any] | None, share: float) -> PrincipalAxes:
    """The fewest principal axes that keep `share` of the variance of the standardised features.

    Pearson (1901); of the correlation matrix, so that units do not matter.

    Parameters
    ----------
    X : ndarray of shape (N, D)
    weights : ndarray of shape (N,), or None
    share : float
        In (0, 1].

    Raises
    ------
    InvalidDataError
        When X holds NaN or infinity.
    """
    mean, covariance = _moments(X, weights)
    if not np.isfinite(covariance).all():
        raise InvalidDataError(
            "principal components need rows without gaps and of moderate size: X holds NaN, "
            "infinity, or numbers beyond 1e150. Leave such rows or features out."
        )
    deviation = np.sqrt(np.diagonal(covariance))
    # A constant feature may keep a variance of rounding.
    scale = np.where(deviation > 1e-7 * np.abs(mean), deviation, 1.0)
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    kept = np.cumsum(values) / max(values.sum(), np.finfo(float).tiny)
    n_axes = min(int(np.searchsorted(kept, share * (1 - 1e-12))) + 1, len(values))
    return PrincipalAxes(mean, scale, vectors[:, :n_axes], float(kept[n_axes - 1]))


def m_step_of_all(
    X: NDArray[Any],
    weights: NDArray[Any] | None,
    posterior: NDArray[Any],
    covariance_type: str,
    *,
    reg_covar: float,
    shrink: bool,
) -> Mixture:
    """The M-step (equations 4, 5) over rows of known responsibilities, with shrunk covariances.

    Parameters
    ----------
    X : ndarray of shape (N, D)
    weights : ndarray of shape (N,), or None
    posterior : ndarray of shape (N, K)
        Rows may sum to less than 1: what is missing belongs to no component.
    covariance_type : {"full", "tied", "diag", "spherical"}
    reg_covar : float
        Added to the variances, relative to those of the features.
    shrink : bool
        Shrink covariance matrices by equation 21. Diagonal ones need none.

    Returns
    -------
    Mixture
        In the units of `X`.

    Raises
    ------
    InvalidDataError
        When X holds NaN or infinity.
    """
    kind = COVARIANCE_TYPES[covariance_type]
    mean, variance = _mean_and_variance(X, weights)
    if not np.isfinite(variance).all():
        raise InvalidDataError(
            "covariances are shrunk by rows without gaps: X holds NaN, infinity, or numbers "
            "beyond 1e150. Leave such rows out, or do without with shrink=False (--no-shrink)."
        )
    scale = np.where(variance > (1e-7 * mean) ** 2, np.sqrt(variance), 1.0)
    if kind.is_isotropic:
        scale = np.full_like(scale, scale.max())
    sums = _sums(X, weights, posterior, mean, scale)
    nk = sums.nk + np.finfo(float).tiny
    second = sums.second if kind.is_matrix else np.diagonal(sums.second, axis1=1, axis2=2)
    total = float(nk.sum())
    ridge = np.full(len(mean), reg_covar)
    covariances = kind.estimate(second, nk, total, np.zeros(len(mean)))
    if shrink and kind.is_matrix:
        pooled = covariances.ndim == 2
        covariances = _shrunk(
            covariances if not pooled else covariances[np.newaxis],
            np.array([sums.fourth.sum()]) if pooled else sums.fourth,
            np.array([total]) if pooled else nk,
        ).reshape(covariances.shape)
    if kind.is_matrix:
        covariances = covariances + np.diag(ridge)
    else:
        covariances = covariances + (ridge if covariances.ndim == 2 else reg_covar)
    return Mixture.trusted(
        nk / total,
        mean + scale * sums.means,
        kind.scale(covariances, scale),
        covariance_type,
    )


def shrinkage_intensity(covariance: Array, fourth: float, total: float) -> float:
    """How far to move a covariance towards a multiple of the identity, 0..1.

    Ledoit and Wolf, J. Multivariate Anal. 88 (2004) 365-411, equations 9 to 14: the intensity of
    the least expected squared error, estimated from the rows themselves (equation 21).

    Parameters
    ----------
    covariance : ndarray of shape (D, D)
        ``S = sum w z z' / n`` of centred rows z.
    fourth : float
        ``sum w |z|^4``.
    total : float
        ``n = sum w``.
    """
    d = len(covariance)
    target = np.trace(covariance) / d
    squares = float((covariance**2).sum())
    distance = squares - d * target**2
    noise = (fourth / total - squares) / total
    return float(np.clip(noise / distance, 0, 1)) if distance > 0 else 1.0


def _shrunk(covariances: Array, fourth: Array, totals: Array) -> Array:
    out = np.empty_like(covariances)
    for k, covariance in enumerate(covariances):
        rho = shrinkage_intensity(covariance, fourth[k], totals[k])
        target = np.trace(covariance) / len(covariance)
        out[k] = (1 - rho) * covariance + rho * target * np.eye(len(covariance))
    return out


class _Sums(NamedTuple):
    """Sums over rows, in standardised features, about the components' own means."""

    nk: Array
    means: Array
    second: Array
    fourth: Array


def _sums(
    X: NDArray[Any],
    weights: NDArray[Any] | None,
    posterior: NDArray[Any],
    mean: Array,
    scale: Array,
) -> _Sums:
    n_components, d = posterior.shape[1], X.shape[1]
    nk = np.zeros(n_components)
    means = np.zeros((n_components, d))
    for part in _parts(X):
        r = _weighted(posterior[part], weights, part)
        nk += r.sum(axis=0)
        means += r.T @ ((X[part] - mean) / scale)
    means /= np.maximum(nk, np.finfo(float).tiny)[:, np.newaxis]
    second = np.zeros((n_components, d, d))
    fourth = np.zeros(n_components)
    for part in _parts(X):
        r = _weighted(posterior[part], weights, part)
        z = (X[part] - mean) / scale
        for k in range(n_components):
            rows = np.flatnonzero(r[:, k] > 1e-12)  # most rows belong to one component
            centred = z[rows] - means[k]
            second[k] += (centred * r[rows, k, np.newaxis]).T @ centred
            fourth[k] += r[rows, k] @ np.einsum("nd,nd->n", centred, centred) ** 2
    return _Sums(nk, means, second, fourth)


def _weighted(
    posterior: NDArray[Any], weights: NDArray[Any] | None, part: slice
) -> NDArray[np.float64]:
    r = posterior.astype(np.float64)
    return r if weights is None else r * weights[part, np.newaxis]


def _moments(X: NDArray[Any], weights: NDArray[Any] | None) -> tuple[Array, Array]:
    """Mean (D,) and covariance (D, D) of weighted rows."""
    mean, _ = _mean_and_variance(X, weights)
    second = np.zeros((X.shape[1], X.shape[1]))
    total = 0.0
    for part in _parts(X):
        w = _weights_of(part, X, weights)
        centred = X[part] - mean
        second += (centred * w[:, np.newaxis]).T @ centred
        total += w.sum()
    return mean, second / total


def _mean_and_variance(X: NDArray[Any], weights: NDArray[Any] | None) -> tuple[Array, Array]:
    """Mean and variance of the features, (D,) each, about a moving origin."""
    origin = X[0].astype(np.float64)
    total, first, second = 0.0, np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for part in _parts(X):
        w = _weights_of(part, X, weights)
        moved = X[part] - origin
        total += w.sum()
        first += w @ moved
        second += w @ moved**2
    shift = first / total
    return origin + shift, np.maximum(second / total - shift**2, 0.0)


def _weights_of(part: slice, X: NDArray[Any], weights: NDArray[Any] | None) -> Array:
    n = len(range(*part.indices(len(X))))
    return np.ones(n) if weights is None else weights[part].astype(np.float64)


def _parts(X: NDArray[Any]) -> Iterator[slice]:
    """Slices of rows whose float64 copies stay small."""
    step = max(1, _NUMBERS // X.shape[1])
    for start in range(0, len(X), step):
        yield slice(start, start + step)
