"""SQUAREM: fewer passes of EM to the same optimum.

Varadhan and Roland, Scand. J. Statist. 35 (2008) 335-353, scheme S3. Two EM steps show where the
parameters are heading and how fast they slow down; the third is a leap along that way. A leap that
would lower the likelihood is not taken.

Measured on 42 fits (14 photos and micrographs, K = 3, 6, 10, full covariances in Lab, tolerance
1e-6): 2419 passes instead of 5549 and more, the same optimum in all. Leaping from the first step
on took 2292, but ended in another optimum in two of the fits: hence `_LARGEST_GAIN`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.mixture import Mixture

__all__ = ["Squarem", "contraction"]

Array = NDArray[np.float64]

_LARGEST_GAIN = 1e-2  # nats per row of an EM step: above it EM is still choosing its optimum
_SHORTEST_LIMIT = 4.0
_GROWTH = 4.0
_SLOWEST = 0.999


class Squarem:
    """Leaps between EM steps, with a limit on their length that learns from success."""

    def __init__(self) -> None:
        self._limit = _SHORTEST_LIMIT
        self._at_limit = False

    def leap(
        self, first: Mixture, second: Mixture, third: Mixture, gain: float, floor: float
    ) -> Mixture | None:
        """Where three successive mixtures of EM are heading, or None when a leap would not pay.

        `gain` is what the step from the first to the second added to the mean log-likelihood;
        `floor` the least variance in any direction that an M-step would give.
        """
        if gain > _LARGEST_GAIN:
            return None
        try:
            a, b, c = (mixture._free_parameters for mixture in (first, second, third))
        except np.linalg.LinAlgError:  # a covariance at the edge of being singular
            return None
        step, curvature = b - a, c - 2 * b + a
        bend = float(np.linalg.norm(curvature))
        length = float(np.linalg.norm(step)) / bend if bend > 0 else 1.0
        if length <= 1.0:
            return None
        self._at_limit = length >= self._limit
        length = min(length, self._limit)
        return _from_free_parameters(a + 2 * length * step + length**2 * curvature, first, floor)

    def learn(self, *, accepted: bool) -> None:
        """Widen the limit when a leap as long as it was good, narrow it after a bad one."""
        if not accepted:
            self._limit = max(_SHORTEST_LIMIT, self._limit / _GROWTH)
        elif self._at_limit:
            self._limit *= _GROWTH


def contraction(first: Mixture, second: Mixture, third: Mixture) -> float:
    """How much shorter the second of two successive EM steps is than the first, below 1."""
    try:
        a, b, c = (mixture._free_parameters for mixture in (first, second, third))
    except np.linalg.LinAlgError:
        return _SLOWEST
    step = float(np.linalg.norm(b - a))
    return min(float(np.linalg.norm(c - b)) / step, _SLOWEST) if step > 0 else 0.0


def _from_free_parameters(vector: Array, like: Mixture, floor: float) -> Mixture | None:
    """The inverse of `Mixture._free_parameters`; None where a variance is below `floor`."""
    k, d = like.means.shape
    kind = COVARIANCE_TYPES[like.covariance_type]
    logs, means, rest = vector[:k], vector[k : k + k * d], vector[k + k * d :]
    weights = np.exp(logs - logs.max())
    covariances = kind.from_free(rest, like.covariances.shape)
    if not (np.isfinite(covariances).all() and np.isfinite(means).all()):
        return None
    if kind.smallest_variance(covariances) < floor:
        return None
    return Mixture.trusted(
        weights / weights.sum(), means.reshape(k, d), covariances, like.covariance_type
    )
