"""The covariance types: all that differs between them, in one table.

Second moments are sums over rows of ``w r (x - mean)(x - mean)'`` for each component: matrices
(K, D, D) for the types with `is_matrix`, their diagonals (K, D) for the others.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["COVARIANCE_TYPES", "CovarianceType"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# An eigenvalue below this share of the largest is raised to it, so that a factor exists.
_SMALLEST_EIGENVALUE = 1e-12


class CovarianceType(ABC):
    """What an EM step needs to know about one way to parametrise covariances.

    A type is a form (matrices, diagonals, spheres) and who has it: each component its own, or all
    together one. The shape of one covariance is (D, D), (D,) or ().
    """

    name: ClassVar[str]
    is_shared: ClassVar[bool]  # all components have one covariance
    is_matrix: ClassVar[bool]  # second moments are matrices, not diagonals
    is_isotropic: ClassVar[bool] = False  # all features share one variance

    # Who has it

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
    def select(self, covariances: Array, order: NDArray[np.intp]) -> Array:
        """Covariances of the components in `order`."""

    @abstractmethod
    def blend(self, covariances: Array, other: Array, chosen: NDArray[np.bool_]) -> Array:
        """`other` for the chosen components, `covariances` for the rest."""

    # The form

    @abstractmethod
    def _one_shape(self, n_features: int) -> tuple[int, ...]:
        """Shape of one covariance."""

    @abstractmethod
    def _one_count(self, n_features: int) -> int:
        """Free parameters of one covariance."""

    @abstractmethod
    def _from_moments(self, moments: Array, ridge: Array) -> Array:
        """Covariances from mean second moments."""

    @abstractmethod
    def expand(self, covariances: Array, n_components: int, n_features: int) -> Array:
        """Covariances as (K, D, D) if `is_matrix`, else variances as (K, D)."""

    @abstractmethod
    def scale(self, covariances: Array, factor: Array) -> Array:
        """Covariances after every feature was multiplied by `factor` (D,)."""

    @abstractmethod
    def prior_rows(self, n_features: int) -> float:
        """Rows that the prior of one covariance counts for (docs/math.md, eq. 24)."""

    def prior_moments(self, moments: Array) -> Array:
        """The prior's second moments, from those that the data suggest."""
        return moments

    def spectrum(self, covariances: Array, unit: Array) -> tuple[Array, Callable[[Array], Array]]:
        """Variances along the principal axes, the last axis, and the way back from them.

        Features are measured in `unit` (D,).
        """
        return covariances / unit**2, lambda variances: variances * unit**2

    @abstractmethod
    def features(self, covariances: Array, chosen: Index) -> Array:
        """Covariances of the chosen features alone."""

    def conditional(self, covariances: Array, given: Index, rest: Index) -> tuple[Array, Array]:
        """What the `given` features tell about the `rest`: gains and covariances.

        The gains, (K or 1, R, G), turn deviations of the given features from their means into
        shifts of the means of the rest; none where features are independent.
        """
        return np.zeros((1, len(rest), len(given))), self.features(covariances, rest)

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


class _OfEach(CovarianceType):
    """Every component has its own: the first axis is the component."""

    is_shared = False

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return n_components, *self._one_shape(n_features)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * self._one_count(n_features)

    def estimate(self, second: Array, nk: Array, total: float, ridge: Array) -> Array:
        return self._from_moments(second / nk.reshape(-1, *[1] * (second.ndim - 1)), ridge)

    def select(self, covariances: Array, order: NDArray[np.intp]) -> Array:
        return covariances[order]

    def blend(self, covariances: Array, other: Array, chosen: NDArray[np.bool_]) -> Array:
        chosen = chosen.reshape(-1, *[1] * (covariances.ndim - 1))
        return np.where(chosen, other, covariances)


class _OfAll(CovarianceType):
    """All components have one."""

    is_shared = True

    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        return self._one_shape(n_features)

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return self._one_count(n_features)

    def estimate(self, second: Array, nk: Array, total: float, ridge: Array) -> Array:
        return self._from_moments(second.sum(axis=0) / total, ridge)

    def select(self, covariances: Array, order: NDArray[np.intp]) -> Array:
        return covariances

    def blend(self, covariances: Array, other: Array, chosen: NDArray[np.bool_]) -> Array:
        return other if chosen.all() else covariances


class _Matrix(CovarianceType):
    """With off-diagonal elements: the free form is the log-Cholesky factor."""

    is_matrix = True

    def _one_shape(self, n_features: int) -> tuple[int, ...]:
        return n_features, n_features

    def _one_count(self, n_features: int) -> int:
        return n_features * (n_features + 1) // 2

    def _from_moments(self, moments: Array, ridge: Array) -> Array:
        return moments + np.diag(ridge)

    def expand(self, covariances: Array, n_components: int, n_features: int) -> Array:
        shape = n_components, n_features, n_features
        return covariances if covariances.shape == shape else np.broadcast_to(covariances, shape)

    def scale(self, covariances: Array, factor: Array) -> Array:
        return covariances * np.outer(factor, factor)

    def prior_rows(self, n_features: int) -> float:
        return 2 * n_features + 3

    def spectrum(self, covariances: Array, unit: Array) -> tuple[Array, Callable[[Array], Array]]:
        values, axes = np.linalg.eigh(covariances / np.outer(unit, unit))

        def back(variances: Array) -> Array:
            matrices = (axes * variances[..., None, :]) @ np.swapaxes(axes, -1, -2)
            return matrices * np.outer(unit, unit)

        return np.maximum(values, 0.0), back

    def features(self, covariances: Array, chosen: Index) -> Array:
        return covariances[..., chosen[:, None], chosen]

    def conditional(self, covariances: Array, given: Index, rest: Index) -> tuple[Array, Array]:
        # the lower right block of the factor is that of the Schur complement: nothing cancels
        n, d = len(given), len(given) + len(rest)
        ordered = self.features(covariances, np.concatenate([given, rest]))
        lower = np.stack([_cholesky(matrix) for matrix in ordered.reshape(-1, d, d)])
        known, mixed, left = lower[:, :n, :n], lower[:, n:, :n], lower[:, n:, n:]
        gains = np.linalg.solve(known.transpose(0, 2, 1), mixed.transpose(0, 2, 1))
        remaining = left @ left.transpose(0, 2, 1)
        shifts: Any = gains.transpose(0, 2, 1)
        return shifts, remaining.reshape(*ordered.shape[:-2], d - n, d - n)

    def smallest_variance(self, covariances: Array) -> float:
        return float(np.linalg.eigvalsh(covariances).min())

    def floored(self, covariances: Array, floor: float) -> Array:
        lacking = np.maximum(floor - np.diagonal(covariances, axis1=-2, axis2=-1), 0.0)
        if not lacking.any():
            return covariances
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


class _Diagonal(CovarianceType):
    """A variance for each feature."""

    is_matrix = False

    def _one_shape(self, n_features: int) -> tuple[int, ...]:
        return (n_features,)

    def _one_count(self, n_features: int) -> int:
        return n_features

    def _from_moments(self, moments: Array, ridge: Array) -> Array:
        return moments + ridge

    def expand(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(covariances, (n_components, n_features))

    def scale(self, covariances: Array, factor: Array) -> Array:
        return covariances * factor**2

    def features(self, covariances: Array, chosen: Index) -> Array:
        return covariances[..., chosen]

    def prior_rows(self, n_features: int) -> float:
        return n_features + 4


class _Sphere(CovarianceType):
    """One variance for all features."""

    is_matrix = False
    is_isotropic = True

    def _one_shape(self, n_features: int) -> tuple[int, ...]:
        return ()

    def _one_count(self, n_features: int) -> int:
        return 1

    def _from_moments(self, moments: Array, ridge: Array) -> Array:
        return np.asarray((moments + ridge).mean(axis=-1))

    def expand(self, covariances: Array, n_components: int, n_features: int) -> Array:
        return np.broadcast_to(covariances[..., None], (n_components, n_features))

    def scale(self, covariances: Array, factor: Array) -> Array:
        return np.asarray(covariances * factor[0] ** 2)

    def features(self, covariances: Array, chosen: Index) -> Array:
        return covariances

    def prior_rows(self, n_features: int) -> float:
        return (n_features + 4) / n_features

    def prior_moments(self, moments: Array) -> Array:
        return np.full_like(moments, moments.mean() / len(moments))

    def spectrum(self, covariances: Array, unit: Array) -> tuple[Array, Callable[[Array], Array]]:
        return covariances[..., None], lambda variances: variances[..., 0]


class _Full(_Matrix, _OfEach):
    name = "full"


class _Tied(_Matrix, _OfAll):
    name = "tied"


class _Diag(_Diagonal, _OfEach):
    name = "diag"


class _TiedDiag(_Diagonal, _OfAll):
    name = "tied_diag"


class _Spherical(_Sphere, _OfEach):
    name = "spherical"


class _TiedSpherical(_Sphere, _OfAll):
    name = "tied_spherical"


#: The covariance types by name, in the order in which they are listed to people.
COVARIANCE_TYPES: dict[str, CovarianceType] = {
    kind.name: kind
    for kind in (_Full(), _Tied(), _Diag(), _Spherical(), _TiedDiag(), _TiedSpherical())
}


def _safe_exp(logs: Array) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        return np.exp(logs)


def free_parameters(covariance_type: str, n_components: int, n_features: int) -> int:
    """Number of free parameters: means, covariances, and all weights but one."""
    of_covariances = COVARIANCE_TYPES[covariance_type].n_parameters(n_components, n_features)
    return of_covariances + n_components * n_features + n_components - 1


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
    factors = _inverse_triangles(lower)
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


def _inverse_triangles(lower: Array) -> Array:
    """Inverses of lower triangular matrices; scipy would cost 0.3 s of import time."""
    inverse = np.linalg.solve(lower, np.eye(lower.shape[-1]))
    return np.where(lower_triangle(lower.shape[-1]), inverse, 0.0)


@functools.cache
def lower_triangle(n: int) -> NDArray[np.bool_]:
    """True on and below the diagonal, (n, n), read-only; NumPy makes it anew every time."""
    triangle = np.tri(n, dtype=bool)
    triangle.flags.writeable = False
    return triangle


def random_factors(expanded: Array) -> Array:
    """Factors ``L`` with ``L L' = covariance``, for drawing samples; shape as `expanded`."""
    if expanded.ndim == 2:
        return np.sqrt(expanded)
    return _choleskys(expanded)


def squared_distances(differences: Array, factor: Array) -> Array:
    """``|W (x - mean)|^2`` of rows (N, D), for one component's whitening factor."""
    whitened: Any = differences @ factor.T if factor.ndim == 2 else differences * factor
    return np.einsum("nd,nd->n", whitened, whitened)
