"""Additive statistics: all that EM needs to know about any number of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import InvalidParameterError
from gmmseg.mixture.covariance import COVARIANCE_TYPES

if TYPE_CHECKING:
    from gmmseg.mixture.mixture import Mixture
    from gmmseg.mixture.regularisation import Prior, RatioBound
    from gmmseg.mixture.rows import Frame

__all__ = ["Statistics"]

Array = NDArray[np.float64]

# A component with less than this share of the weight has no rows of its own to learn from.
_NEGLIGIBLE_SHARE = 1e-12
_TINY = 1e-300
_LOG_2PI = float(np.log(2 * np.pi))

#: No variance is smaller, in a frame where the data have variances of about 1: standard
#: deviations of a millionth are below the resolution of float32 data.
SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over rows, weighted by ``w r_k``: sample weight times responsibility.

    Moments are about given points, one for each component, which lie near the means: raw
    moments would cancel (equations 7 to 9 of docs/math.md). Statistics about the same points
    add up, whichever blocks, tiles, images or machines they come from.

    Attributes
    ----------
    nk : ndarray of shape (K,)
        Sum of ``w r_k``.
    first : ndarray of shape (K, D)
        Sum of ``w r_k (x - about_k)``.
    second : ndarray of shape (K, D, D) or (K, D)
        Sum of ``w r_k (x - about_k)(x - about_k)'``, or its diagonal.
    about : ndarray of shape (K, D)
    log_likelihood : float
        Sum of ``w log p(x)``, natural logarithm.
    weight : float
        Sum of ``w``.
    epsilon : float
        Relative rounding error of the type that the rows were computed in.
    foreseen : ndarray of shape (K,), optional
        Sum of ``w`` times the prior of each component, where rows have priors of their own; None =
        all have the mixture's weights.
    """

    nk: Array
    first: Array
    second: Array
    about: Array
    log_likelihood: float
    weight: float
    epsilon: float
    foreseen: Array | None = None

    def __add__(self, other: Statistics) -> Statistics:
        if not np.array_equal(self.about, other.about):
            raise InvalidParameterError(
                "statistics can only be added when they are about the same means: "
                "accumulate both with the same mixture."
            )
        return Statistics(
            nk=self.nk + other.nk,
            first=self.first + other.first,
            second=self.second + other.second,
            about=self.about,
            log_likelihood=self.log_likelihood + other.log_likelihood,
            weight=self.weight + other.weight,
            epsilon=max(self.epsilon, other.epsilon),
            foreseen=_sum(self.foreseen, other.foreseen),
        )

    def __sub__(self, other: Statistics) -> Statistics:
        """What these rows have beside the others; nothing in it need be positive."""
        return self + replace(
            other,
            nk=-other.nk,
            first=-other.first,
            second=-other.second,
            log_likelihood=-other.log_likelihood,
            weight=-other.weight,
            foreseen=None if other.foreseen is None else -other.foreseen,
        )

    def moved(self, about: Array) -> Statistics:
        """The same statistics about other points (K, D)."""
        shift = self.about - about
        nk = self.nk[:, None]
        if self.second.ndim == 3:
            cross = self.first[:, :, None] * shift[:, None, :]
            outer = nk[..., None] * shift[:, :, None] * shift[:, None, :]
            more = cross + cross.transpose(0, 2, 1) + outer
        else:
            more = 2 * self.first * shift + nk * shift**2
        return replace(self, about=about, first=self.first + nk * shift, second=self.second + more)

    def expected(self, mixture: Mixture) -> float:
        """Sum of ``w r_k log(pi_k N_k(x))`` under a mixture, whatever the ``r`` are from.

        An M-step maximises it: what the likelihood gains is no less than what this does.
        """
        kind = COVARIANCE_TYPES[mixture.covariance_type]
        factors, log_det = mixture._whitening
        second = self.moved(mixture.means).second
        spread = (
            ((factors @ second) * factors).sum(axis=(1, 2))
            if kind.is_matrix
            else (factors**2 * second).sum(axis=1)
        )
        logs = np.log(np.where(mixture.weights > 0, mixture.weights, 1.0))
        # with priors of the rows the weights are judged by what they change: to first order
        from_weights = (self.nk if self.foreseen is None else self.nk - self.foreseen) @ logs
        from_shapes = self.nk @ (log_det - 0.5 * mixture.n_features * _LOG_2PI) - 0.5 * spread.sum()
        return float(from_weights + from_shapes)

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per unit of weight, in nats."""
        return self.log_likelihood / self.weight

    @property
    def is_finite(self) -> bool:
        """False when a row held infinity."""
        parts = (self.log_likelihood, self.nk, self.first, self.second)
        return all(bool(np.isfinite(part).all()) for part in parts)

    def negligible(self) -> NDArray[np.bool_]:
        """True for components that no row belongs to, shape (K,)."""
        return self.nk <= _NEGLIGIBLE_SHARE * self.weight

    def m_step(
        self,
        previous: Mixture,
        ridge: Array,
        prior: Prior | None = None,
        bound: RatioBound | None = None,
    ) -> Mixture:
        """The mixture that maximises the expected log-likelihood, or log posterior.

        Parameters
        ----------
        previous : Mixture
            Where the statistics come from. A component that no row belongs to any more keeps
            its mean and covariance from there, with the weight that is left to it.
        ridge : ndarray of shape (D,)
            Added to the variances.
        prior : Prior, optional
            Pseudo-rows of every component, for its mean and covariance.
        bound : RatioBound, optional
            Limits how much the variances differ.
        """
        kind = COVARIANCE_TYPES[previous.covariance_type]
        seen = self if prior is None else prior.added_to(self)
        lost = seen.negligible()
        nk = np.where(lost, 1.0, seen.nk)
        delta = np.where(lost[:, None], 0.0, seen.first / nk[:, None])
        shares = self.nk if prior is None else self.nk + prior.rows
        covariances = kind.estimate(
            seen._centred(delta, kind.is_matrix),
            np.where(lost, 1.0, shares),
            float(shares.sum()),
            ridge,
        )
        if lost.any():
            covariances = kind.blend(covariances, previous.covariances, lost)
        if bound is not None:
            covariances = bound.kept(covariances, shares, kind)
        return previous.trusted(
            self._weights(previous),
            np.where(lost[:, None], previous.means, self.about + delta),
            kind.floored(covariances, SMALLEST_VARIANCE),
            previous.covariance_type,
        )

    def _weights(self, previous: Mixture) -> Array:
        """The weights (4), or (103) where rows have priors of their own."""
        if self.foreseen is None:
            return self.nk / self.nk.sum()
        weights = previous.weights * self.nk / np.maximum(self.foreseen, _TINY)
        return weights / weights.sum()

    def _centred(self, delta: Array, is_matrix: bool) -> Array:
        """Second moments about the new means ``about + delta``.

        Where a mean moves by many standard deviations the difference cancels: what may be left of
        rounding errors is added to the diagonal. It vanishes as the means come to rest.
        """
        nk = self.nk[:, None]
        rounding = delta.shape[1] * self.epsilon * nk * delta**2
        if not is_matrix:
            return np.maximum(self.second - nk * delta**2, 0.0) + rounding
        outer = self.nk[:, None, None] * delta[:, :, None] * delta[:, None, :]
        return self.second - outer + rounding[:, :, None] * np.eye(delta.shape[1])

    def out_of_frame(self, frame: Frame, mixture: Mixture, log_scale: float) -> Statistics:
        """These statistics in the units of the data, about the means of `mixture`.

        `mixture` is the one they were accumulated with, in the units of the data; `log_scale` what
        the mean log density of the rows gains.
        """
        # the kernels' means are rounded to their type: go over to the exact ones
        own = self.moved((mixture.means - frame.origin) * frame.scale)
        unit = np.outer(frame.scale, frame.scale) if own.second.ndim == 3 else frame.scale**2
        return Statistics(
            nk=self.nk,
            first=own.first / frame.scale,
            second=own.second / unit,
            about=mixture.means,
            log_likelihood=self.log_likelihood + log_scale * self.weight,
            weight=self.weight,
            epsilon=self.epsilon,
            foreseen=self.foreseen,
        )


def _sum(one: Array | None, other: Array | None) -> Array | None:
    return None if one is None or other is None else one + other
