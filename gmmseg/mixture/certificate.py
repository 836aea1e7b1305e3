"""Fitting by a sample, with a certificate from all rows of what that cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gmmseg.errors import InvalidDataError
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.expectation import EMRows, HeldRows, e_step
from gmmseg.mixture.loop import Callback, Progress, Run, run_em
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.regularisation import Regularisation
from gmmseg.mixture.rows import INFINITY
from gmmseg.mixture.stand_in import StandIn
from gmmseg.mixture.statistics import Statistics

__all__ = ["FEWEST_ROWS", "Certificate", "SampleFit", "rows_of_a_sample"]

#: Fewer rows are fitted at once: passes over them take no longer than what leads up to these.
FEWEST_ROWS = 327_680
_SMALLEST_SHARE = 10  # a sample of more than a tenth of the rows saves too little
_LARGEST_SAMPLE = 524_288
_SMALLEST_SAMPLE = 32_768
_ROWS_OF_A_PARAMETER = 512  # wanted; with fewer than an eighth of it a sample misleads
_FIRST = 4  # the first passes are over every fourth row of the sample
_NOISE = 0.05  # share of the gap, or of a sample's own error, that is left to gain from it
_CERTAIN = 0.5  # share of the gap at which it counts as reached: the estimate has errors, too
_SLOW = 0.95  # of a rate that the first steps do not show
_SLOWEST_FALL = 0.9  # of the gains of two cycles; also while it is not known how they fall
_LEAST_GAIN = 0.25  # of what a sample promised: below it a larger one is asked
_GROWTH = 4  # from a sample to the next one
_LARGEST_GROWN = 1 << 23  # numbers in such a sample, which is copied twice


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What fitting by a sample cost, by passes over all rows.

    Attributes
    ----------
    sample_size : int
        Rows in the sample, the last one where it had to grow.
    sample_iterations : int
        Passes over the samples, and over parts of them.
    full_passes : int
        Passes over all rows that followed.
    mean_log_likelihood : float
        Of all rows under the returned mixture, in nats per unit of weight.
    gain : float
        What one more EM step over all rows would add at least (with a prior, to the mean log
        posterior).
    gap : float
        Estimate of what EM over all rows would still add.
    """

    sample_size: int
    sample_iterations: int
    full_passes: int
    mean_log_likelihood: float
    gain: float
    gap: float


class _Tail:
    """What is left to gain of a run of EM, by its last step and by how its gains fall.

    After a leap the steps show the fast directions: the rate of a step alone would promise an
    early end. The gains of whole cycles of a step and a leap do not; two by two, because often
    every other leap is one too far.
    """

    def __init__(self, slowest: float = 0.0) -> None:
        self._slowest = slowest
        self._totals = [0.0]
        self.found = 0.0

    def left(self, progress: Progress) -> float:
        """After an EM step; to be called after each."""
        self._totals.append(progress.total_gain)
        self.found = max(progress.remaining(self._slowest), self._series())
        return self.found

    def _series(self) -> float:
        """Sum of the gains that follow, if they go on to fall as in the last cycles (eq. 109)."""
        totals = self._totals
        last = max(totals[-1] - totals[-3:][0], 0.0)
        before = totals[-3] - totals[-5] if len(totals) > 4 else 0.0
        rate = _SLOWEST_FALL if last >= _SLOWEST_FALL * before else last / before
        return last * rate / (1.0 - rate)


class SampleFit:
    """EM by a sample until all rows say that little is left to gain.

    Parameters
    ----------
    rows : rows of any kind
    sample : rows of the same kind
        In the same frame: `rows_of_a_sample` of them.
    rules : Regularisation
    options : EMOptions
    workers : Workers
    callback : callable or None
    """

    def __init__(
        self,
        rows: HeldRows,
        sample: HeldRows,
        rules: Regularisation,
        options: EMOptions,
        workers: Workers,
        callback: Callback | None,
    ) -> None:
        self._rows, self._sample = rows, sample
        self._rules, self._options = rules, options
        self._workers, self._callback = workers, callback
        self._sample_iterations = 0
        self._slowest = _SLOW

    def run(self, starts: Sequence[Mixture], hold: Callable[[], None]) -> tuple[Run, Certificate]:
        """The best of several starts; `hold` is called before the first pass over all rows."""
        rng = np.random.default_rng(self._options.rng)
        first = self._sample.part(self._sample.n_samples // _FIRST, rng)
        runs = [self._by(self._sample, self._by(first, start).mixture) for start in starts]
        best = max(runs, key=lambda run: run.history[-1])
        self._slowest = max(_SLOW, 0.0 if best.last is None else best.last.rate)
        hold()
        return self._certified(best.mixture)

    def _by(self, sample: HeldRows, start: Mixture) -> Run:
        """EM over a sample until what is left to gain is less than its own error (eq. 64)."""
        error = _NOISE * start.n_parameters / (2 * sample.n_samples)
        tail = _Tail()
        return self._em(sample, start, lambda p: tail.left(p) < error, self._callback)

    def _em(
        self,
        rows: EMRows,
        start: Mixture,
        at_rest: Callable[[Progress], bool],
        callback: Callback | None = None,
        known: Statistics | None = None,
    ) -> Run:
        run = run_em(
            rows,
            self._rules.admitted(start),
            self._rules,
            self._options,
            self._workers,
            callback,
            at_rest=at_rest,
            known=known,
        )
        if rows is not self._rows:
            self._sample_iterations += run.n_iter
        return run

    def _certified(self, start: Mixture) -> tuple[Run, Certificate]:
        """Passes over all rows, between them EM by the sample and what it lacks."""
        run = self._evaluated(start)
        while True:
            ahead, left = self._ahead(run)
            promised = ahead.history[-1] - ahead.history[0]
            reached = left < _CERTAIN * self._options.gap
            if reached or run.n_iter >= self._options.max_iter:
                return self._told(replace(run, converged=reached), left)
            further = self._evaluated(ahead.mixture, run)
            gain = further.history[-1] - run.history[-1]
            run = further if gain > 0 else replace(run, n_iter=run.n_iter + 1)
            if gain < _LEAST_GAIN * promised and not self._grown():
                return self._by_all_rows(run)
            if self._callback is not None:
                self._callback(run.n_iter, run.history[-1] + self._rows.log_scale)

    def _grown(self) -> bool:
        """Take a larger sample, if there may be one: that at hand is too unlike the rows."""
        rows = self._rows
        n = _GROWTH * self._sample.n_samples
        if n > rows.n_samples // _SMALLEST_SHARE or n * rows.n_features > _LARGEST_GROWN:
            return False
        self._sample = rows.part(n, np.random.default_rng(self._options.rng))
        return True

    def _evaluated(self, mixture: Mixture, before: Run | None = None) -> Run:
        """A mixture after a pass over all rows, in a run that goes on with it."""
        found = e_step(self._rows, mixture, self._workers)
        if not found.is_finite:
            raise InvalidDataError(INFINITY)
        history = () if before is None else before.history
        history += (self._rules.objective(found, mixture),)
        return Run(mixture, found, history, False, len(history) - 1, None)

    def _ahead(self, run: Run) -> tuple[Run, float]:
        """Where the sample and what it lacks lead from the end of a run over all rows.

        And what they promise: the gain there, and what would be left.
        """
        at = run.mixture
        own = e_step(self._sample, at, self._workers)
        enough = _NOISE * self._options.gap
        trusted = at.n_parameters / self._sample.n_samples
        tail = _Tail(self._slowest)
        ahead = self._em(
            StandIn.of(self._sample, at, own, run.statistics),
            at,
            lambda p: tail.left(p) < enough or p.total_gain > trusted,
            known=run.statistics,
        )
        return ahead, abs(ahead.history[-1] - ahead.history[0]) + tail.found

    def _by_all_rows(self, before: Run) -> tuple[Run, Certificate]:
        """EM over all rows: no sample is like enough to them."""
        options = self._options
        tail = _Tail(self._slowest)
        run = self._em(
            self._rows,
            before.mixture,
            lambda p: tail.left(p) < _NOISE * options.gap or options.at_rest(p),
            self._callback,
            before.statistics,
        )
        history = before.history + run.history[1:]
        n_iter = before.n_iter + run.n_iter
        return self._told(replace(run, history=history, n_iter=n_iter), tail.found)

    def _told(self, run: Run, gap: float) -> tuple[Run, Certificate]:
        """The end of a run over all rows, with its certificate."""
        known, at, rules = run.statistics, run.mixture, self._rules
        now, then = (
            rules.objective(replace(known, log_likelihood=known.expected(mixture)), mixture)
            for mixture in (at, rules.m_step(known, at))
        )
        return run, Certificate(
            sample_size=self._sample.n_samples,
            sample_iterations=self._sample_iterations,
            full_passes=run.n_iter + 1,
            mean_log_likelihood=known.mean_log_likelihood + self._rows.log_scale,
            gain=max(then - now, 0.0),
            gap=gap,
        )


def rows_of_a_sample(n_samples: int, n_parameters: int) -> int:
    """How many of the rows to fit first; 0 when it is quicker or safer to fit all at once."""
    most = min(n_samples // _SMALLEST_SHARE, _LARGEST_SAMPLE)
    wanted = _ROWS_OF_A_PARAMETER * n_parameters
    if n_samples < FEWEST_ROWS or most < wanted // 8:
        return 0
    return min(max(wanted, _SMALLEST_SAMPLE), most)
