"""What keeps covariances from collapsing: a ridge, a prior, a bound on the ratio of variances.

All in the frame of the rows, and relative to the spread of the data there: units do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import InvalidDataError
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.covariance import (
    COVARIANCE_TYPES,
    CovarianceType,
    squared_distances,
    whitening,
)
from gmmseg.mixture.expectation import HeldRows, e_step
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.rows import INFINITY
from gmmseg.mixture.statistics import SMALLEST_VARIANCE, Statistics

__all__ = ["Prior", "RatioBound", "Regularisation", "ridge_of"]

Array = NDArray[np.float64]

_SHRINKAGE = 0.01  # of the means, in rows: Fraley and Raftery's choice
_LEAST_SHARE = 1e-12  # of the rows, that a component without rows has in the bound


@dataclass(frozen=True, eq=False)
class Prior:
    """The conjugate prior of Fraley and Raftery (2007), raised to a power: pseudo-rows.

    Every component has been seen before, as it were, in `rows` rows for its covariance and
    `shrinkage` rows for its mean (docs/math.md, equations 22 to 24).

    Attributes
    ----------
    rows : float
    shrinkage : float
    mean : ndarray of shape (D,)
        Of the data.
    scatter : ndarray of shape (D, D) or (D,)
        Second moments of the pseudo-rows about their component's mean.
    """

    rows: float
    shrinkage: float
    mean: Array
    scatter: Array

    @classmethod
    def of(
        cls, strength: float, mean: Array, moments: Array, n_components: int, kind: CovarianceType
    ) -> Prior:
        """The prior for data of this mean and these second moments, (D, D) or (D,).

        J. Classif. 24 (2007) 155-181, section 3.2: degrees of freedom ``D + 2``, shrinkage 0.01,
        the data's covariance divided by ``K ** (2 / D)``.
        """
        n_features = len(mean)
        owners = n_components if kind.is_shared else 1
        spread = kind.prior_moments(moments) / n_components ** (2 / n_features)
        return cls(
            rows=strength * (kind.prior_rows(n_features) / owners + 1.0),
            shrinkage=strength * _SHRINKAGE,
            mean=mean,
            scatter=strength * spread / owners,
        )

    def added_to(self, statistics: Statistics) -> Statistics:
        """The moments with those of the pseudo-rows."""
        shift = self.mean - statistics.about
        is_matrix = self.scatter.ndim == 2
        squares = shift[:, :, None] * shift[:, None, :] if is_matrix else shift**2
        return replace(
            statistics,
            nk=statistics.nk + self.shrinkage,
            first=statistics.first + self.shrinkage * shift,
            second=statistics.second + self.shrinkage * squares + self.scatter,
        )

    def log_density(self, mixture: Mixture) -> float:
        """Logarithm of the prior's density relative to that at its mode: at most 0."""
        kind = COVARIANCE_TYPES[mixture.covariance_type]
        expanded = kind.expand(mixture.covariances, mixture.n_components, mixture.n_features)
        factors, log_det = whitening(np.ascontiguousarray(expanded))
        _, log_det_of_mode = whitening(self.scatter[None] / self.rows)
        total = 2 * self.rows * float((log_det_of_mode - log_det).sum())
        for mean, factor in zip(mixture.means, factors, strict=True):
            trace = (factor**2 * self.scatter).sum()
            if kind.is_matrix:
                trace = ((factor @ self.scatter) * factor).sum()
            distance = squared_distances((mean - self.mean)[None], factor)[0]
            total += float(trace + self.shrinkage * distance) - self.rows * len(mean)
        return -0.5 * total


@dataclass(frozen=True, eq=False)
class RatioBound:
    """No variance is more than `ratio` times another, in any directions of any components.

    Garcia-Escudero, Gordaliza, Matran and Mayo-Iscar, Ann. Statist. 36 (2008) 1324-1345, who
    bound the eigenvalues of the covariances. Eigenvalues depend on the units of the features: here
    each is measured in its standard deviation, `unit` (D,).
    """

    ratio: float
    unit: Array

    def kept(self, covariances: Array, shares: Array, kind: CovarianceType) -> Array:
        """The covariances within the bound that lose least of the likelihood.

        `shares` (K,) is the weight of the rows of every component.
        """
        values, back = kind.spectrum(covariances, self.unit)
        rows = values.reshape(-1, values.shape[-1])
        weights = np.maximum(shares, shares.sum() * _LEAST_SHARE)
        bounded = _bounded(rows, weights if len(rows) == len(weights) else np.ones(1), self.ratio)
        return covariances if bounded is rows else np.asarray(back(bounded.reshape(values.shape)))


def _bounded(values: Array, weights: Array, ratio: float) -> Array:
    """Variances (K, P) brought between some ``m`` and ``ratio * m``, at the least cost.

    ``sum_k weight_k sum_j log v_kj + value_kj / v_kj`` is convex in the logarithm of ``m``: between
    two points where a value begins or ceases to be cut off its minimum has a closed form (Fritz,
    Garcia-Escudero and Mayo-Iscar, Comput. Stat. Data Anal. 61 (2013) 124-136, proposition 3.2).
    """
    if values.max() <= ratio * values.min():
        return values
    order = np.argsort(values, axis=None)
    v = values.ravel()[order]
    w = np.repeat(weights, values.shape[1])[order]
    mass = np.concatenate([[0.0], np.cumsum(w)])
    moment = np.concatenate([[0.0], np.cumsum(w * v)])

    def cut_off(m: Array) -> tuple[Array, Array]:
        """Weight of the values that are cut off, and their sum, the large ones by `ratio`."""
        below, above = np.searchsorted(v, m), np.searchsorted(v, ratio * m, side="right")
        count = mass[below] + mass[-1] - mass[above]
        return count, moment[below] + (moment[-1] - moment[above]) / ratio

    edges = np.sort(np.concatenate([v, v / ratio]))
    count, total = cut_off(edges)
    rising = max(1, int(np.argmax(count * edges >= total)))
    count, total = cut_off(edges[rising - 1 : rising + 1].mean(keepdims=True))
    m = float(total[0] / count[0])
    return np.clip(values, m, ratio * m)


def ridge_of(variance: Array, options: EMOptions) -> Array:
    """What is added to every variance, relative to the `variance` (D,) of the data."""
    return options.reg_covar * np.where(variance > 0, variance, 1.0)


@dataclass(frozen=True, eq=False)
class Regularisation:
    """All that the M-step and the objective of EM need to know beside the rows."""

    ridge: Array
    prior: Prior | None = None
    bound: RatioBound | None = None

    @classmethod
    def of(
        cls,
        options: EMOptions,
        n_components: int,
        rows: HeldRows,
        variance: Array,
        workers: Workers,
        ridge: Array | None = None,
    ) -> Regularisation:
        """What the options ask for; `variance` (D,) of the data in the frame.

        A `ridge` (D,) takes the place of that of the options.
        """
        kind = COVARIANCE_TYPES[options.covariance_type]
        moments = moments_of(rows, kind, workers) if options.prior > 0 else None
        return cls._by(options, n_components, variance, moments, ridge)

    @classmethod
    def of_mixture(cls, options: EMOptions, mixture: Mixture) -> Regularisation:
        """What the options ask for, of data that are as `mixture` says, in its frame."""
        spread = mixture.weights @ (mixture.means - mixture.weights @ mixture.means) ** 2
        variance = spread + mixture.weights @ mixture.standard_deviations**2
        moments = _moments_of_mixture(mixture) if options.prior > 0 else None
        return cls._by(options, mixture.n_components, variance, moments, None)

    @classmethod
    def _by(
        cls,
        options: EMOptions,
        n_components: int,
        variance: Array,
        moments: tuple[Array, Array] | None,
        ridge: Array | None,
    ) -> Regularisation:
        prior = bound = None
        if moments is not None:
            kind = COVARIANCE_TYPES[options.covariance_type]
            prior = Prior.of(options.prior, *moments, n_components, kind)
        if options.max_ratio is not None:
            unit = np.sqrt(np.where(variance > 0, variance, 1.0))
            bound = RatioBound(options.max_ratio, unit)
        return cls(ridge_of(variance, options) if ridge is None else ridge, prior, bound)

    @property
    def floor(self) -> float:
        """The least variance in any direction that an M-step gives."""
        return max(float(self.ridge.min()), SMALLEST_VARIANCE)

    def m_step(self, statistics: Statistics, previous: Mixture) -> Mixture:
        """The mixture that maximises what EM maximises."""
        return statistics.m_step(previous, self.ridge, self.prior, self.bound)

    def objective(self, statistics: Statistics, mixture: Mixture) -> float:
        """What EM maximises: mean log-likelihood, with a prior plus its share of that."""
        if self.prior is None:
            return statistics.mean_log_likelihood
        return statistics.mean_log_likelihood + self.prior.log_density(mixture) / statistics.weight

    def admitted(self, mixture: Mixture) -> Mixture:
        """The mixture within the bound: EM never falls from there."""
        if self.bound is None:
            return mixture
        kind = COVARIANCE_TYPES[mixture.covariance_type]
        return Mixture.trusted(
            mixture.weights,
            mixture.means,
            self.bound.kept(mixture.covariances, mixture.weights, kind),
            mixture.covariance_type,
        )


def _moments_of_mixture(mixture: Mixture) -> tuple[Array, Array]:
    """Mean (D,) and second moments about it, (D, D) or (D,), of a mixture."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    mean = mixture.weights @ mixture.means
    centred = mixture.means - mean
    squares = centred[:, :, None] * centred[:, None, :] if kind.is_matrix else centred**2
    own = kind.expand(mixture.covariances, mixture.n_components, mixture.n_features)
    return mean, np.tensordot(mixture.weights, own + squares, axes=1)


def moments_of(rows: HeldRows, kind: CovarianceType, workers: Workers) -> tuple[Array, Array]:
    """Mean (D,) and second moments, (D, D) or (D,), of all rows about it, by one pass.

    Gaps count as values of the standard normal distribution, which the data have about in their
    frame.
    """
    name = "full" if kind.is_matrix else "diag"
    d = rows.n_features
    shape = np.eye(d) if kind.is_matrix else np.ones(d)
    one = Mixture.trusted(np.ones(1), np.zeros((1, d)), shape[None], name)
    statistics = e_step(rows, one, workers)
    if not statistics.is_finite:
        raise InvalidDataError(INFINITY)
    found = statistics.m_step(one, np.zeros(d))
    return found.means[0], found.covariances[0]
