"""The Gaussian mixture as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg._check import check_choice, check_integer
from gmmseg.errors import InvalidDataError, InvalidParameterError, ModelFormatError
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.covariance import (
    COVARIANCE_TYPES,
    free_parameters,
    random_factors,
    whitening,
)
from gmmseg.mixture.patterns import AnyRows, rows_of
from gmmseg.mixture.rows import Frame, as_rows, check_weights, working_dtype

__all__ = ["Mixture"]

Array = NDArray[np.float64]

_SMALLEST_WEIGHT = 1e-300  # has a logarithm


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """A mixture of K Gaussians over D features (equation 1 of docs/math.md).

    Immutable: every method returns something new.

    Parameters
    ----------
    weights : array_like of shape (n_components,)
        Not negative, summing to 1. A component of weight 0 is allowed: no row belongs to it.
    means : array_like of shape (n_components, n_features)
    covariances : array_like
        The shape depends on `covariance_type`::

            (n_components, n_features, n_features) if "full",
            (n_features, n_features)               if "tied",
            (n_components, n_features)             if "diag",
            (n_components,)                        if "spherical",
            (n_features,)                          if "tied_diag",
            ()                                     if "tied_spherical"

    covariance_type : {"full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"}

    Raises
    ------
    InvalidParameterError
        When shapes disagree, or a value is not finite, or a variance is not positive.

    Examples
    --------
    >>> mixture = Mixture(weights=[0.5, 0.5], means=[[0.0], [10.0]], covariances=[[1.0], [4.0]],
    ...                   covariance_type="diag")
    >>> mixture.predict([[1.0], [9.0]])
    array([0, 1], dtype=uint8)
    """

    weights: Array
    means: Array
    covariances: Array
    covariance_type: str = "full"

    def __post_init__(self) -> None:
        check_choice(self.covariance_type, "covariance_type", COVARIANCE_TYPES)
        for name in ("weights", "means", "covariances"):
            self._keep(name, _numbers(getattr(self, name), name))
        self._check_shapes()
        with np.errstate(over="ignore"):
            total = self.weights.sum()
        if (self.weights < 0).any() or not np.isclose(total, 1.0, atol=1e-6):
            raise InvalidParameterError(
                f"weights must not be negative and must sum to 1, got sum {total:g}."
            )
        if (self._variances <= 0).any():
            raise InvalidParameterError("covariances must have positive variances.")
        if self._kind.is_matrix and not _are_covariances(self.covariances):
            raise InvalidParameterError("covariances must be symmetric and positive definite.")

    def _keep(self, name: str, value: Array) -> None:
        value.setflags(write=False)
        object.__setattr__(self, name, value)

    @classmethod
    def trusted(
        cls, weights: Array, means: Array, covariances: Array, covariance_type: str
    ) -> Mixture:
        """A mixture from parameters that need no checks, because a computation made them.

        Covariances at the edge of being singular are kept; densities repair them.
        """
        mixture = object.__new__(cls)
        object.__setattr__(mixture, "covariance_type", covariance_type)
        parts = {"weights": weights, "means": means, "covariances": covariances}
        for name, value in parts.items():
            mixture._keep(name, np.array(value))
        return mixture

    def _check_shapes(self) -> None:
        if self.means.ndim != 2 or 0 in self.means.shape:
            raise InvalidParameterError(
                f"means must be (n_components, n_features), got shape {self.means.shape}."
            )
        shapes = {
            "weights": (self.n_components,),
            "covariances": self._kind.shape(self.n_components, self.n_features),
        }
        for name, expected in shapes.items():
            actual = getattr(self, name).shape
            if actual != expected:
                raise InvalidParameterError(
                    f"{name} must have shape {expected} for means of shape {self.means.shape} "
                    f"and covariance_type {self.covariance_type!r}, got {actual}."
                )

    @property
    def _kind(self) -> Any:
        return COVARIANCE_TYPES[self.covariance_type]

    @property
    def _expanded(self) -> Array:
        expanded: Array = self._kind.expand(self.covariances, self.n_components, self.n_features)
        return expanded

    @property
    def _variances(self) -> Array:
        """Variances of every component and feature, (K, D)."""
        expanded = self._expanded
        return np.diagonal(expanded, axis1=1, axis2=2) if expanded.ndim == 3 else expanded

    @property
    def n_components(self) -> int:
        return int(self.means.shape[0])

    @property
    def n_features(self) -> int:
        return int(self.means.shape[1])

    @property
    def n_parameters(self) -> int:
        """Number of free parameters: means, covariances, and all weights but one."""
        return free_parameters(self.covariance_type, self.n_components, self.n_features)

    @property
    def standard_deviations(self) -> Array:
        """Standard deviation of every feature in every component, (n_components, n_features)."""
        return np.sqrt(self._variances)

    @property
    def full_covariances(self) -> Array:
        """Covariance matrices whatever the type, (n_components, n_features, n_features)."""
        expanded = self._expanded
        return expanded if expanded.ndim == 3 else expanded[:, :, None] * np.eye(self.n_features)

    @cached_property
    def _whitening(self) -> tuple[Array, Array]:
        """Whitening factors, (K, D, D) or (K, D), and log determinants: `covariance.whitening`."""
        return whitening(self._expanded)

    @cached_property
    def _free_parameters(self) -> Array:
        """Weights, means and covariances as one vector in which every value is allowed.

        Raises `numpy.linalg.LinAlgError` for a covariance at the edge of being singular.
        """
        logs = np.log(np.maximum(self.weights, _SMALLEST_WEIGHT))
        return np.concatenate([logs, self.means.ravel(), self._kind.free(self.covariances)])

    @cached_property
    def precisions_chol(self) -> Array:
        """Upper factors ``U`` with ``U U' = inverse covariance``, (n_components, D, D)."""
        factors, _ = whitening(np.ascontiguousarray(self.full_covariances))
        return factors.transpose(0, 2, 1)

    @cached_property
    def _frame(self) -> Frame:
        """Coordinates in which this mixture is near 0 and of size 1."""
        mean = self.weights @ self.means
        spread = self.weights @ (self._variances + (self.means - mean) ** 2)
        deviation = np.sqrt(spread)
        return Frame.around(mean, deviation, np.dtype(float), isotropic=self._kind.is_isotropic)

    def in_frame(self, frame: Frame) -> Mixture:
        """The same mixture as a density over ``(x - frame.origin) * frame.scale``."""
        return self.trusted(
            self.weights,
            (self.means - frame.origin) * frame.scale,
            self._kind.scale(self.covariances, frame.scale),
            self.covariance_type,
        )

    def out_of_frame(self, frame: Frame) -> Mixture:
        """The inverse of `in_frame`."""
        return self.trusted(
            self.weights,
            self.means / frame.scale + frame.origin,
            self._kind.scale(self.covariances, 1.0 / frame.scale),
            self.covariance_type,
        )

    def reordered(self, order: ArrayLike) -> Mixture:
        """The same mixture with its components in another order."""
        index = np.asarray(order, dtype=np.intp)
        return self.trusted(
            self.weights[index],
            self.means[index],
            self._kind.select(self.covariances, index),
            self.covariance_type,
        )

    def _rows(
        self, X: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[AnyRows, Mixture]:
        """`X` as rows in this mixture's frame, and this mixture there."""
        array = as_rows(X)
        if array.shape[1] != self.n_features:
            raise InvalidDataError(
                f"X has {array.shape[1]} features, but this mixture has {self.n_features}."
            )
        weights = check_weights(sample_weight, len(array))
        return rows_of(array, weights, self._frame), self.in_frame(self._frame)

    def log_density(self, X: ArrayLike, *, threads: int | None = None) -> NDArray[Any]:
        """Natural logarithm of the mixture's density at every row.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            NaN = not observed: the density is that of the observed features of the row
            ("Missing values" in docs/math.md).
        threads : int, optional
            None = as many as this process may use.

        Returns
        -------
        ndarray of shape (n_samples,)
            float32 for data exact in float32, else float64. 0 where nothing is observed, NaN
            where a row holds infinity.
        """
        from gmmseg.mixture.missing import log_densities

        rows, mixture = self._rows(X)
        with Workers(threads) as workers:
            return log_densities(rows, mixture, workers, len(as_rows(X)))

    def log_likelihood(
        self, X: ArrayLike, sample_weight: ArrayLike | None = None, *, threads: int | None = None
    ) -> float:
        """Total log-likelihood of the rows in nats, each counted `sample_weight` times."""
        density = self.log_density(X, threads=threads).astype(np.float64)
        weights = check_weights(sample_weight, len(density))
        return float(density.sum() if weights is None else weights @ density)

    def score(
        self, X: ArrayLike, sample_weight: ArrayLike | None = None, *, threads: int | None = None
    ) -> float:
        """Mean log density of the rows in nats, each counted `sample_weight` times."""
        total = self.log_likelihood(X, sample_weight, threads=threads)
        return total / (len(as_rows(X)) if sample_weight is None else float(np.sum(sample_weight)))

    def cdf(
        self, x: ArrayLike, feature: int | None = None, *, upper: bool = False, log: bool = False
    ) -> Any:
        """Probability that a feature is at most (`upper`: more than) `x`: `distribution.cdf`."""
        from gmmseg.mixture.distribution import cdf

        return cdf(self, x, feature, upper=upper, log=log)

    def quantile(
        self, p: ArrayLike, feature: int | None = None, *, upper: bool = False, log: bool = False
    ) -> Any:
        """The value not exceeded with probability `p`: `distribution.quantile`."""
        from gmmseg.mixture.distribution import quantile

        return quantile(self, p, feature, upper=upper, log=log)

    def marginal(self, features: Sequence[int]) -> Mixture:
        """The mixture of some of the features, from 0, in their order: `marginals.marginal`."""
        from gmmseg.mixture.marginals import marginal

        return marginal(self, features)

    def condition(self, given: Mapping[int, float]) -> Mixture:
        """The mixture of the other features given values of some: `marginals.condition`."""
        from gmmseg.mixture.marginals import condition

        return condition(self, given)

    def posterior(self, X: ArrayLike, *, threads: int | None = None) -> NDArray[Any]:
        """Probability of every component given the row (equation 3 of docs/math.md).

        Given what is observed of it, if some is NaN; a row without anything has the weights.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            float32 for data exact in float32, else float64; rows sum to 1. Component-major in
            memory: ``posterior(X).T`` is C-contiguous.
        """
        from gmmseg.mixture.missing import posteriors

        rows, mixture = self._rows(X)
        out = np.empty((self.n_components, len(as_rows(X))), rows.dtype)
        with Workers(threads) as workers:
            posteriors(rows, mixture, workers, out)
        return out.T

    def log2_odds(self, X: ArrayLike, *, threads: int | None = None) -> NDArray[Any]:
        """Base-2 logarithm of every component's posterior over the row's largest.

        Where `posterior` ends at 2**-90, this goes on: what a spatial prior has to outweigh.

        Returns
        -------
        ndarray of shape (n_samples, n_components)
            At most 0; type and memory layout as of `posterior`.

        Examples
        --------
        >>> two = Mixture(weights=[0.5, 0.5], means=[[0.0], [10.0]], covariances=[[1.0], [1.0]],
        ...               covariance_type="diag")
        >>> two.log2_odds([[5.0], [0.0]]).round(2)
        array([[  0.  ,   0.  ],
               [  0.  , -72.13]])
        """
        from gmmseg.mixture.missing import odds

        rows, mixture = self._rows(X)
        out = np.empty((self.n_components, len(as_rows(X))), rows.dtype)
        with Workers(threads) as workers:
            odds(rows, mixture, workers, out)
        return out.T

    def predict(self, X: ArrayLike, *, threads: int | None = None) -> NDArray[Any]:
        """Index of the most probable component of every row; ties go to the lowest.

        Given what is observed of it, if some is NaN; a row without anything has the component
        of the largest weight.

        Returns
        -------
        ndarray of shape (n_samples,)
            uint8, or uint16 when there are more than 256 components.
        """
        from gmmseg.mixture.missing import labels

        rows, mixture = self._rows(X)
        out = np.empty(len(as_rows(X)), np.uint8 if self.n_components <= 256 else np.uint16)
        with Workers(threads) as workers:
            labels(rows, mixture, workers, out)
        return out

    def mahalanobis(self, X: ArrayLike) -> Array:
        """Mahalanobis distance of every row to every component, over its observed features.

        Returns
        -------
        ndarray of shape (n_samples, n_components), float64
            0 where nothing is observed.
        """
        from gmmseg.mixture.missing import distances

        rows, mixture = self._rows(X)
        out = np.empty((len(as_rows(X)), self.n_components))
        distances(rows, mixture, out)
        return out

    @overload
    def impute(self, X: ArrayLike, *, return_variance: Literal[False] = False) -> NDArray[Any]: ...

    @overload
    def impute(
        self, X: ArrayLike, *, return_variance: Literal[True]
    ) -> tuple[NDArray[Any], NDArray[Any]]: ...

    def impute(
        self, X: ArrayLike, *, return_variance: bool = False
    ) -> NDArray[Any] | tuple[NDArray[Any], NDArray[Any]]:
        """Fill gaps with the mean of what is missing given what is observed.

        The conditional means of the components, weighted by the posterior of the row ("Missing
        values" in docs/math.md). A row without anything gets the mean of the mixture.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            NaN = not observed.
        return_variance : bool
            Also return the conditional variance of every entry: that within the components and
            that between them. 0 for what is observed.

        Returns
        -------
        ndarray of shape (n_samples, n_features), or two
            float32 for data exact in float32, else float64. What is observed stays as it is.

        Examples
        --------
        >>> one = Mixture(weights=[1], means=[[0, 10]], covariances=[[[1, 0.5], [0.5, 1]]])
        >>> one.impute([[2.0, np.nan], [2.0, 3.0]])
        array([[ 2., 11.],
               [ 2.,  3.]])
        >>> one.impute([[2.0, np.nan]], return_variance=True)[1]
        array([[0.  , 0.75]])
        """
        from gmmseg.mixture.missing import impute

        rows, mixture = self._rows(X)
        values = np.array(as_rows(X), dtype=working_dtype(as_rows(X)), order="C")
        variances = np.zeros_like(values)
        impute(rows, mixture, values, variances)
        return (values, variances) if return_variance else values

    def sample(
        self, n: int, rng: int | np.random.Generator | None = 0
    ) -> tuple[Array, NDArray[np.intp]]:
        """Draw `n` rows and the components they come from.

        Returns
        -------
        X : ndarray of shape (n, n_features)
        components : ndarray of shape (n,)
        """
        check_integer(n, "n", minimum=0)
        rng = np.random.default_rng(rng)
        components = rng.choice(self.n_components, size=n, p=self.weights / self.weights.sum())
        X = rng.standard_normal((n, self.n_features))
        for k, factor in enumerate(random_factors(np.ascontiguousarray(self._expanded))):
            chosen = components == k
            drawn = X[chosen] @ factor.T if factor.ndim == 2 else X[chosen] * factor
            X[chosen] = drawn + self.means[k]
        return X, components

    def bic(
        self, X: ArrayLike, sample_weight: ArrayLike | None = None, *, threads: int | None = None
    ) -> float:
        """Bayesian information criterion, ``-2 log L + p log n``; lower is better.

        Schwarz (1978). `n` is the total weight, without rows of which nothing is observed. mclust
        reports the negative of this.
        """
        total = self.log_likelihood(X, sample_weight, threads=threads)
        n = self._rows(X, sample_weight)[0].total_weight
        return -2.0 * total + self.n_parameters * float(np.log(n))

    def aic(
        self, X: ArrayLike, sample_weight: ArrayLike | None = None, *, threads: int | None = None
    ) -> float:
        """Akaike's information criterion, ``-2 log L + 2 p``; lower is better. Akaike (1974)."""
        return -2.0 * self.log_likelihood(X, sample_weight, threads=threads) + 2.0 * (
            self.n_parameters
        )

    def icl(
        self, X: ArrayLike, sample_weight: ArrayLike | None = None, *, threads: int | None = None
    ) -> float:
        """Integrated complete likelihood: `bic` and what the labels leave uncertain.

        ``bic - 2 sum_i w_i log max_k r_ik``; lower is better. Biernacki, Celeux and Govaert, IEEE
        Trans. PAMI 22 (2000) 719-725; the negative of mclust's.
        """
        from gmmseg.mixture.expectation import log_certainty

        rows, mixture = self._rows(X, sample_weight)
        with Workers(threads) as workers:
            total, certainty = log_certainty(rows, mixture, workers)
        total += rows.log_scale * rows.total_weight
        return -2.0 * (total + certainty) + self.n_parameters * float(np.log(rows.total_weight))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, from which `from_dict` makes exactly the same mixture."""
        return {
            "covariance_type": self.covariance_type,
            "weights": self.weights.tolist(),
            "means": self.means.tolist(),
            "covariances": self.covariances.tolist(),
        }

    @classmethod
    def from_dict(cls, values: Any) -> Mixture:
        """Make a mixture from what `to_dict` gave.

        Raises
        ------
        ModelFormatError
            When something is missing, of the wrong type or shape, or not a valid mixture.
        """
        expected = ("covariance_type", "weights", "means", "covariances")
        if not isinstance(values, dict) or set(values) != set(expected):
            raise ModelFormatError(f"a mixture must have exactly the keys {', '.join(expected)}.")
        try:
            return cls(**values)
        except InvalidParameterError as error:
            raise ModelFormatError(f"the mixture is not valid: {error}") from error

    def __str__(self) -> str:
        """A table for people: weight, mean and standard deviation of every component."""
        head = (
            f"Mixture of {self.n_components} Gaussians over {self.n_features} features, "
            f"{self.covariance_type} covariances"
        )
        lines = [head, "component  weight  mean +- standard deviation of each feature"]
        for k, (weight, mean, std) in enumerate(
            zip(self.weights, self.means, self.standard_deviations, strict=True)
        ):
            features = "  ".join(f"{m:.6g} +- {s:.3g}" for m, s in zip(mean, std, strict=True))
            lines.append(f"{k:9d}  {weight:6.4f}  {features}")
        return "\n".join(lines)


def _numbers(value: ArrayLike, name: str) -> Array:
    """A copy of `value` as float64; it must be made of finite numbers."""
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "uif":
        raise InvalidParameterError(f"{name} must be an array of numbers.")
    with np.errstate(over="ignore"):
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise InvalidParameterError(f"{name} must be finite.")
    return array


def _are_covariances(matrices: Array) -> bool:
    """Symmetric, and positive definite but for rounding."""
    scale = np.sqrt(np.einsum("...ii->...i", matrices))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        correlations = matrices / (scale[..., :, None] * scale[..., None, :])
    if not np.isfinite(correlations).all():
        return False
    symmetric = np.allclose(correlations, np.swapaxes(correlations, -1, -2), rtol=0, atol=1e-8)
    return symmetric and bool(np.linalg.eigvalsh(correlations).min() > -1e-8)
