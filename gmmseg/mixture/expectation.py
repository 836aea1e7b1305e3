"""The E-step of every kind of rows: complete, with gaps, with hints, elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from gmmseg.mixture._threads import Workers
from gmmseg.mixture.hinted import HintedRows, Part
from gmmseg.mixture.missing import log_certainty_of_gapped, statistics_of_gapped
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.passes import log_certainty_of_rows, statistics_of_rows
from gmmseg.mixture.patterns import GappedRows
from gmmseg.mixture.prior_rows import PriorRows, statistics_of_prior_rows
from gmmseg.mixture.rows import Rows
from gmmseg.mixture.scattered import (
    ScatteredRows,
    log_certainty_of_scattered,
    statistics_of_scattered,
)
from gmmseg.mixture.stand_in import HeldRows, StandIn
from gmmseg.mixture.statistics import Statistics

__all__ = ["EMRows", "HeldRows", "e_step", "log_certainty"]

#: What EM runs over.
EMRows = HeldRows | StandIn


def e_step(rows: EMRows, mixture: Mixture, workers: Workers) -> Statistics:
    """One pass of the E-step over all rows: the sums that the M-step needs.

    `mixture` is in the frame of `rows`. The log-likelihood is that of the rows, and of their
    hints, in the frame.
    """
    return _E_STEPS[type(rows)](rows, mixture, workers)


def log_certainty(rows: EMRows, mixture: Mixture, workers: Workers) -> tuple[float, float]:
    """Log-likelihood in the frame, and the sum of the logarithms of every row's largest posterior.

    Both weighted, in nats. `mixture` is in the frame of `rows`.
    """
    return _CERTAINTIES[type(rows)](rows, mixture, workers)


def _statistics_of_hinted(rows: HintedRows, mixture: Mixture, workers: Workers) -> Statistics:
    about = mixture.means.astype(rows.dtype).astype(np.float64)
    found = (
        _widened(e_step(part.rows, part.mixture(mixture), workers), part, about)
        for part in rows.parts
    )
    return reduce(add, found)


def _widened(found: Statistics, part: Part, about: Any) -> Statistics:
    """The statistics of a part as statistics of all components."""
    if not part.hint:
        return found

    def spread(sums: Any) -> Any:
        out = np.zeros((len(about), *sums.shape[1:]))
        out[part.components] = sums
        return out

    return Statistics(
        nk=spread(found.nk),
        first=spread(found.first),
        second=spread(found.second),
        about=about,
        log_likelihood=found.log_likelihood,
        weight=found.weight,
        epsilon=found.epsilon,
    )


def _log_certainty_of_hinted(
    rows: HintedRows, mixture: Mixture, workers: Workers
) -> tuple[float, float]:
    found = [log_certainty(part.rows, part.mixture(mixture), workers) for part in rows.parts]
    return sum(f[0] for f in found), sum(f[1] for f in found)


def _statistics_of_stand_in(rows: StandIn, mixture: Mixture, workers: Workers) -> Statistics:
    return rows.completed(e_step(rows.sample, mixture, workers), mixture)


_E_STEPS: dict[type, Callable[[Any, Mixture, Workers], Statistics]] = {
    Rows: statistics_of_rows,
    GappedRows: statistics_of_gapped,
    HintedRows: _statistics_of_hinted,
    PriorRows: statistics_of_prior_rows,
    StandIn: _statistics_of_stand_in,
    ScatteredRows: statistics_of_scattered,
}

_CERTAINTIES: dict[type, Callable[[Any, Mixture, Workers], tuple[float, float]]] = {
    Rows: log_certainty_of_rows,
    GappedRows: log_certainty_of_gapped,
    HintedRows: _log_certainty_of_hinted,
    ScatteredRows: log_certainty_of_scattered,
}
