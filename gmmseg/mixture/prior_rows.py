"""Rows of which something is believed beforehand: a probability of every class for each of them.

"Prior maps" in docs/math.md. The mixture's weights times what is believed of a row take the place
of the weights; these are then what the maps have too little or too much of a class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.mixture._threads import Workers
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.passes import statistics_with_priors, statistics_with_shares
from gmmseg.mixture.rows import Frame, Preloadable, Rows
from gmmseg.mixture.seeding import SAMPLE_SIZE, Sample
from gmmseg.mixture.statistics import Statistics

__all__ = ["Beliefs", "PriorRows", "start_from_priors", "statistics_of_prior_rows"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Beliefs:
    """What is believed of the components of rows before they are looked at.

    Attributes
    ----------
    maps : ndarray of shape (K, N), float32
        Probabilities of every component for each row, up to a factor for the row, to the power of
        their weight.
    weight : float
        From 0, exclusive, to 1.
    """

    maps: NDArray[np.float32]
    weight: float

    def of(self, rows: slice | NDArray[np.intp]) -> Beliefs:
        """What is believed of some of the rows."""
        return Beliefs(self.maps[:, rows], self.weight)

    @property
    def probabilities(self) -> Array:
        """The probabilities at full weight, (K, N)."""
        whole = np.power(self.maps, 1 / self.weight, dtype=np.float64)
        return np.asarray(whole / whole.sum(axis=0))


class PriorRows(Preloadable):
    """Rows with what is believed of them: as `Rows` to its users."""

    def __init__(self, rows: Rows, beliefs: Beliefs) -> None:
        self.rows, self.beliefs = rows, beliefs
        self.n_samples, self.n_features = rows.n_samples, rows.n_features
        self.frame, self.dtype = rows.frame, rows.dtype
        self.total_weight, self.log_scale = rows.total_weight, rows.log_scale

    @classmethod
    def of(
        cls, X: NDArray[Any], weights: Array | None, frame: Frame, beliefs: Beliefs
    ) -> PriorRows:
        """The rows of `X`, of which nothing is missing."""
        return cls(Rows(X, weights, frame), beliefs)

    def begin_preload(self, workers: Workers) -> Callable[[], None]:
        """As of `Rows`."""
        return self.rows.begin_preload(workers)

    def look(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """As of `Rows`."""
        return self.rows.look(n, rng)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[NDArray[Any], Array]:
        """As of `Rows`."""
        return self.rows.sample(n, rng)

    def part(self, n: int, rng: np.random.Generator) -> PriorRows:
        """As of `Rows`."""
        chosen, weights = self.rows.choose(n, rng)
        return PriorRows(self.rows.chosen(chosen, weights), self.beliefs.of(chosen))


def statistics_of_prior_rows(rows: PriorRows, mixture: Mixture, workers: Workers) -> Statistics:
    """The E-step with (102) in the place of the weights."""
    return statistics_with_priors(rows.rows, mixture, workers, rows.beliefs.maps)


def start_from_priors(
    rows: PriorRows,
    workers: Workers,
    sample: Sample,
    k: int,
    kind: str,
    rng: np.random.Generator,
) -> Mixture:
    """The mixture of a sample whose classes are as likely as is believed."""
    part = rows.part(SAMPLE_SIZE, rng)
    weights = part.rows.weights(0, part.n_samples)
    shares = part.beliefs.probabilities.astype(part.dtype)
    shares *= weights if weights.size else 1
    covariance = COVARIANCE_TYPES[kind]
    wide = np.diag(sample.variance) if covariance.is_matrix else sample.variance
    wide = covariance.estimate(np.stack([wide] * k), np.ones(k), float(k), sample.floor)
    broad = Mixture.trusted(np.full(k, 1 / k), np.tile(sample.mean, (k, 1)), wide, kind)
    found = statistics_with_shares(part.rows, broad, workers, shares)
    return found.m_step(broad, sample.floor)
