"""The EM loop: steps and leaps from one start until it has come to rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gmmseg.errors import InvalidDataError
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.acceleration import Squarem, contraction
from gmmseg.mixture.expectation import EMRows, e_step
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.regularisation import Regularisation
from gmmseg.mixture.rows import INFINITY
from gmmseg.mixture.statistics import Statistics

__all__ = ["Callback", "Progress", "Run", "largest_change", "run_em"]

#: Called after every EM step or leap with the number of passes and the mean log-likelihood, to
#: which a prior adds its share.
Callback = Callable[[int, float], object]


@dataclass(frozen=True, eq=False)
class Progress:
    """Where EM stands after an EM step: what decides whether it has come to rest.

    Attributes
    ----------
    before, after, following : Mixture
        Three successive mixtures; the last has not been evaluated yet.
    gain : float
        What the step from `before` to `after` added to the objective: the mean log-likelihood,
        with a prior the mean log posterior.
    total_gain : float
        What all steps and leaps added so far.
    """

    before: Mixture
    after: Mixture
    following: Mixture
    gain: float
    total_gain: float

    @property
    def change(self) -> float:
        """Largest change of a weight, mean or standard deviation in the step."""
        return largest_change(self.before, self.after)

    @property
    def rate(self) -> float:
        """How much shorter the next step is than the last: near 1 when EM is slow."""
        return contraction(self.before, self.after, self.following)

    def remaining(self, slowest: float = 0.0) -> float:
        """Estimate of the objective still to be gained (docs/math.md, eq. 13).

        `slowest` is a rate known from elsewhere: the first steps show the fast directions only.
        """
        squared = max(self.rate, slowest) ** 2
        return max(self.gain, 0.0) * squared / (1 - squared)


def largest_change(before: Mixture, after: Mixture) -> float:
    """Largest change of a weight, mean or standard deviation."""
    pairs = (
        (before.weights, after.weights),
        (before.means, after.means),
        (before.standard_deviations, after.standard_deviations),
    )
    return max(float(np.abs(a - b).max()) for a, b in pairs)


@dataclass(frozen=True, eq=False)
class Run:
    """The end of a run of EM, in the frame of its rows."""

    mixture: Mixture
    statistics: Statistics
    history: tuple[float, ...]
    converged: bool
    n_iter: int
    last: Progress | None


def run_em(
    rows: EMRows,
    mixture: Mixture,
    regularisation: Regularisation,
    options: EMOptions,
    workers: Workers,
    callback: Callback | None,
    *,
    at_rest: Callable[[Progress], bool],
    known: Statistics | None = None,
) -> Run:
    """EM from `mixture` until ``at_rest(progress)``; everything in the frame of `rows`.

    `known` are the statistics of the rows under `mixture`, where a pass over them was made already.
    """
    statistics = known or e_step(rows, mixture, workers)
    if not statistics.is_finite:
        raise InvalidDataError(INFINITY)
    history = [regularisation.objective(statistics, mixture)]
    squarem = Squarem() if options.accelerate else None
    progress = None
    converged = False
    n_iter = 0

    def advance(to: Mixture, found: Statistics) -> None:
        nonlocal mixture, statistics
        mixture, statistics = to, found
        history.append(regularisation.objective(found, to))
        if callback is not None:
            callback(n_iter, history[-1] + rows.log_scale)

    following = regularisation.m_step(statistics, mixture)
    while n_iter < options.max_iter and not converged:
        before, after = mixture, following
        n_iter += 1
        advance(after, e_step(rows, after, workers))
        following = regularisation.m_step(statistics, after)
        gain = history[-1] - history[-2]
        progress = Progress(before, after, following, gain, history[-1] - history[0])
        converged = at_rest(progress)
        ended = converged or n_iter == options.max_iter
        if squarem is None or ended or statistics.negligible().any():
            continue
        leap = squarem.leap(before, after, following, gain, regularisation.floor)
        if leap is not None:
            n_iter += 1
            leap = regularisation.admitted(leap)
            found = e_step(rows, leap, workers)
            better = regularisation.objective(found, leap) >= history[-1]
            squarem.learn(accepted=better)
            if better:
                advance(leap, found)
                following = regularisation.m_step(found, leap)
    return Run(mixture, statistics, tuple(history), converged, n_iter, progress)
