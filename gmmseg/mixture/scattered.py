"""Rows that lie in parts somewhere else, and are worked on where they lie.

The E-step goes to the parts and only sums come back, so that EM over a cluster is the EM loop of
`gmmseg.mixture.loop` over another kind of rows, and no second implementation. What moves them is
not known here: `gmmseg.distributed` does it by Dask.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.mixture._threads import Workers
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.lazy import LazyRows
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.passes import log_certainty_of_rows, statistics_of_rows
from gmmseg.mixture.rows import BLOCK, Frame, Rows
from gmmseg.mixture.statistics import Statistics

__all__ = ["BLOCK", "PartWork", "Parts", "ScatteredRows"]

Array = NDArray[np.float64]

#: From a part, ready or not, to a vector of sums; sums of parts are added.
PartWork = Callable[[Rows | NDArray[Any]], Array]


class Parts(LazyRows):
    """(N, D) numbers without gaps in parts elsewhere.

    Each part but the last has a multiple of `BLOCK` rows: sums within a block are then those of the
    same rows in one place.
    """

    is_complete = True

    @abstractmethod
    def make_ready(self, frame: Frame) -> None:
        """Turn each part into `Rows` in the frame, where it lies."""

    @abstractmethod
    def total(self, work: PartWork) -> Array:
        """The sum of what `work` finds in the parts, added in an order that is always the same."""


class ScatteredRows(Rows):
    """`Rows` over parts elsewhere: looks and samples are fetched, passes go to the parts."""

    def __init__(self, X: Parts, weights: Array | None, frame: Frame) -> None:
        super().__init__(X, weights, frame)
        self.parts = X

    def begin_preload(self, _: Workers) -> Callable[[], None]:
        """The parts are made ready at the end; nothing is copied here."""
        return lambda: self.parts.make_ready(self.frame)


def ready_rows(values: NDArray[Any], frame: Frame) -> Rows:
    """A part made ready where it lies: in blocks, if it is small enough."""
    rows = Rows(values, None, frame)
    with Workers(1) as workers:
        rows.preload(workers)
    return rows


@dataclass(frozen=True, eq=False)
class _Expectation:
    """The E-step of a part, as nk, first, second (lower triangles) and the log-likelihood."""

    mixture: Mixture
    frame: Frame

    def __call__(self, part: Rows | NDArray[Any]) -> Array:
        with Workers(1) as workers:  # the cluster runs several parts at once
            found = statistics_of_rows(_as_rows(part, self.frame), self.mixture, workers)
        return np.concatenate(
            [found.nk, found.first.ravel(), _packed(found.second), [found.log_likelihood]]
        )


@dataclass(frozen=True, eq=False)
class _Certainty:
    """Log-likelihood and certainty of a part."""

    mixture: Mixture
    frame: Frame

    def __call__(self, part: Rows | NDArray[Any]) -> Array:
        with Workers(1) as workers:
            rows = _as_rows(part, self.frame)
            return np.array(log_certainty_of_rows(rows, self.mixture, workers))


def _as_rows(part: Rows | NDArray[Any], frame: Frame) -> Rows:
    """A part that is not ready is read piece by piece: few passes are worth no copy."""
    return part if isinstance(part, Rows) else Rows(part, None, frame)


def _packed(second: Array) -> Array:
    """Symmetric matrices as their lower triangles, or variances as they are."""
    if second.ndim == 2:
        return second.ravel()
    return second[:, *np.tril_indices(second.shape[1])].ravel()


def _unpacked(values: Array, n_components: int, n_features: int, *, matrices: bool) -> Array:
    if not matrices:
        return values.reshape(n_components, n_features)
    lower = np.tril_indices(n_features)
    second = np.zeros((n_components, n_features, n_features))
    second[:, *lower] = values.reshape(n_components, -1)
    second[:, lower[1], lower[0]] = second[:, *lower]
    return second


def statistics_of_scattered(rows: ScatteredRows, mixture: Mixture, _: Workers) -> Statistics:
    """One E-step over all parts: the mixture goes out, K (1 + D + D (D + 1) / 2) sums come back."""
    total = rows.parts.total(_Expectation(mixture, rows.frame))
    n_components, n = mixture.n_components, rows.n_features
    ends = np.cumsum([n_components, n_components * n])
    nk, first, rest = np.split(total, ends)
    matrices = COVARIANCE_TYPES[mixture.covariance_type].is_matrix
    return Statistics(
        nk=nk,
        first=first.reshape(n_components, n),
        second=_unpacked(rest[:-1], n_components, n, matrices=matrices),
        about=mixture.means.astype(rows.dtype).astype(np.float64),
        log_likelihood=float(rest[-1]),
        weight=rows.total_weight,
        epsilon=float(np.finfo(rows.dtype).eps),
    )


def log_certainty_of_scattered(
    rows: ScatteredRows, mixture: Mixture, _: Workers
) -> tuple[float, float]:
    """As `passes.log_certainty_of_rows`, over all parts."""
    log_likelihood, certainty = rows.parts.total(_Certainty(mixture, rows.frame)).tolist()
    return log_likelihood, certainty
