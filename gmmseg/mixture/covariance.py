"""The four covariance types: all that differs between them, in one table.

Second moments are sums over rows of ``w r (x - mean)(x - mean)'`` for each component: matrices
(K, D, D) for the types with `is_matrix`, their diagonals (K, D) for the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["COVARIANCE_TYPES", "CovarianceType"]

Array = NDArray[np.float64]

# An eigenvalue below this share of the largest is raised to it, so that a factor exists.
_SMALLEST_EIGENVALUE = 1e-12


class CovarianceType(ABC):
    """What an EM step needs to know about one way to parametrise covariances."""

    name: ClassVar[str]
    is_matrix: ClassVar[bool]  # second moments are matrices, not diagonals
    is_isotropic: ClassVar[bool] = False  # all features share one variance

    @abstractmethod
    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Shape of the array of covariances."""

    @abstractmethod
    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Free parameters of the covariances."""

    @abstractmethod
    def estimate(self, second: Array, nk: Array, total: float, ridge: Array) -> Array:
        """Covariances from centred second moments.

        `nk` (K,) divides each component's moments, `total` those of all together; `ridge` (D,)
        is added to the diagonal.
        """

    @abstractmethod
    def expand(self, covariances: Array, n_components: int, n_features: int) -> Array:
        """Covariances as (K, D, D) if `is_matrix`, else variances as (K, D)."""

    @abstractmethod
    def select(self, covariances: Array, order: NDArray[np.intp]) -> Array:
        """Covariances of the components in `order`."""

    @abstractmethod
    def scale(self, covariances: Array, factor: Array) -> Array:
        """Covariances after every feature was multiplied by `factor` (D,)."""

    @abstractmethod
    def blend(self, covariances: Array, other: Array, chosen: NDArray[np.bool_]) -> Array:
        """`other` for the chosen components, `covariances` for the rest."""

    def smallest_variance(self, covariances: Array) -> float:
        """The least variance of any component in any direction."""
        return float(covariances.min())

    def floored(self, covariances: Array, floor: float) -> Array:
        """The same with no variance of a feature below `floor`."""
        return np.maximum(covariances, floor)

    def free(self, covariances: Array) -> Array:
        """Covariances as a vector in which every value is allowed: logarithms of variances."""
        return np.log(covariances).ravel()

    def from_free(self, vector: Array, shape: tuple[int, ...]) -> Array:
        """The inverse of `free`; not finite when the vector is far out."""
        return _safe_exp(vector).reshape(shape)


class _PerComponent(CovarianceType):
    """Types whose first axis is the component."""

    def select(self, covariances: Array, order: NDArray[np.intp]) -> Array:
        return covariances[order]

    def blend(self, covariances: Array, other: Array, chosen: NDArray[np.bool_]) -> Array:
        chosen = chosen.reshape(-1, *[1] * (covariances.ndim - 1))
        return np.where(chosen, other, covariances)


class _Matrices(CovarianceType):
    """Types with off-diagonal elements: their free form is the log-Cholesky factor."""

    is_matrix = True

    def smallest_variance(self, covariances: Array) -> float:
        return float(np.linalg.eigvalsh(covariances).min())

    def floored(self, covariances: Array, floor: float) -> Array:
        lacking = np.maximum(floor - np.diagonal(covariances, axis1=-2, axis2=-1), 0.0)
        return covariances + lacking[..., None] * np.eye(covariances.shape[-1])

    def free(self, covariances: Array) -> Array:
        lower: Array = np.linalg.cholesky(covariances).astype(np.float64)
        diagonal = np.arange(covariances.shape[-1])
        lower[..., diagonal, diagonal] = np.log(lower[..., diagonal, diagonal])
        return lower.ravel()

    def from_free(self, vector: Array, shape: tuple[int, ...]) -> Array:
        lower = vector.reshape(shape).copy()
        diagonal = np.arange(shape[-1])
        lower[..., diagonal, diagonal] = _safe_exp(lower[..., diagonal, diagonal])
        with np.errstate(over="ignore", invalid="ignore"):
            return lower @ np.swapaxes(lower, -1, -2)


class _Full(_Matrices, _PerComponent):
    name = "full"

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_components, n_features, n_features

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features * (n_features + 1) // 2

    def estimate(self, second: Array, nk: Array, total: float, ridge: Array) -> Array:
        return second / nk[:, None, None] + np.diag(ridge)

    def expand(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return covariances

    def scale(self, covariances: Array, factor: Array) -> Array:
        return covariances * np.outer(factor, factor)


class _Tied(_Matrices):
    name = "tied"

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_features, n_features

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def estimate(self, second: Array, nk: Array, total: float, ridge: Array) -> Array:
        return second.sum(axis=0) / total + np.diag(ridge)

    def expand(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(covariances, (n_components, n_features, n_features))

    def select(self, covariances: Array, order: NDArray[np.intp]) -> Array:
        return covariances

    def scale(self, covariances: Array, factor: Array) -> Array:
        return covariances * np.outer(factor, factor)

    def blend(self, covariances: Array, other: Array, chosen: NDArray[np.bool_]) -> Array:
        return other if chosen.all() else covariances


class _Diag(_PerComponent):
    name = "diag"
    is_matrix = False

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_components, n_features

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * n_features

    def estimate(self, second: Array, nk: Array, total: float, ridge: Array) -> Array:
        return second / nk[:, None] + ridge

    def expand(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return covariances

    def scale(self, covariances: Array, factor: Array) -> Array:
        return covariances * factor**2


class _Spherical(_PerComponent):
    name = "spherical"
    is_matrix = False
    is_isotropic = True

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return (n_components,)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components

    def estimate(self, second: Array, nk: Array, total: float, ridge: Array) -> Array:
        return (second / nk[:, None] + ridge).mean(axis=1)

    def expand(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(covariances[:, None], (n_components, n_features))

    def scale(self, covariances: Array, factor: Array) -> Array:
        return covariances * factor[0] ** 2


#: The covariance types by name, in the order in which they are listed to people.
COVARIANCE_TYPES: dict[str, CovarianceType] = {
    kind.name: kind for kind in (_Full(), _Tied(), _Diag(), _Spherical())
}


def _safe_exp(logs: Array) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        return np.exp(logs)


def whitening(expanded: Array) -> tuple[Array, Array]:
    """Whitening factors and log determinants of the precisions.

    Parameters
    ----------
    expanded : ndarray of shape (K, D, D) or (K, D)
        Covariances or variances, as `CovarianceType.expand` gives them.

    Returns
    -------
    factors : ndarray of the same shape
        ``W`` with ``W' W = inverse covariance``: lower triangles, or reciprocal deviations.
    log_det : ndarray of shape (K,)
        ``log |W|``, half the log determinant of the precision.
    """
    if expanded.ndim == 2:
        factors: Array = 1.0 / np.sqrt(expanded)
        return factors, np.log(factors).sum(axis=1)
    lower = _choleskys(expanded)
    # scipy's triangular solver would cost 0.3 s of import time
    inverse = np.linalg.solve(lower, np.broadcast_to(np.eye(lower.shape[-1]), lower.shape))
    factors = np.tril(inverse).astype(np.float64, copy=False)
    return factors, np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)


def _choleskys(matrices: Array) -> Array:
    """Lower Cholesky factors of many matrices, repaired where there are none."""
    try:
        return np.linalg.cholesky(matrices).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        return np.stack([_cholesky(matrix) for matrix in matrices])


def _cholesky(matrix: Array) -> Array:
    """Lower Cholesky factor; a matrix that has none is repaired by raising its eigenvalues."""
    try:
        return np.linalg.cholesky(matrix).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(matrix)
        floor = max(values[-1] * _SMALLEST_EIGENVALUE, np.finfo(np.float64).tiny)
        repaired = (vectors * np.maximum(values, floor)) @ vectors.T
        floored = repaired + np.diag(np.full(len(values), floor))
        return np.linalg.cholesky(floored).astype(np.float64, copy=False)


def random_factors(expanded: Array) -> Array:
    """Factors ``L`` with ``L L' = covariance``, for drawing samples; shape as `expanded`."""
    if expanded.ndim == 2:
        return np.sqrt(expanded)
    return _choleskys(expanded)


def squared_distances(differences: Array, factor: Array) -> Array:
    """``|W (x - mean)|^2`` of rows (N, D), for one component's whitening factor."""
    whitened: Any = differences @ factor.T if factor.ndim == 2 else differences * factor
    return np.einsum("nd,nd->n", whitened, whitened)
