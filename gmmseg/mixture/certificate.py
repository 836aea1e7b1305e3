"""Fitting by a sample, with a certificate from all rows of what that cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gmmseg.mixture._threads import Workers
from gmmseg.mixture.expectation import EMRows
from gmmseg.mixture.loop import Callback, Progress, Run, run_em
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.regularisation import Regularisation

__all__ = ["Certificate", "certify", "sample_rows"]

_SMALLEST_SAMPLE = 32_768
_SMALLEST_SHARE = 10  # a sample of more than a tenth of the rows saves too little


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What fitting by a sample cost, by passes over all rows.

    Attributes
    ----------
    sample_size : int
        Rows in the sample.
    sample_iterations : int
        Passes over the sample.
    full_passes : int
        Passes over all rows that followed.
    mean_log_likelihood : float
        Of all rows under the returned mixture, in nats per unit of weight.
    gain : float
        What the last EM step over all rows added to it (with a prior, to the mean log posterior).
    gap : float
        Estimate of what EM over all rows would still add.
    """

    sample_size: int
    sample_iterations: int
    full_passes: int
    mean_log_likelihood: float
    gain: float
    gap: float


def sample_rows(
    rows: EMRows, start: Mixture, gap: float, rng: np.random.Generator
) -> EMRows | None:
    """The rows to fit first, or None when all rows should be fitted at once.

    The maximum of the likelihood over n rows falls short of that over all by p / (2 n) nats per row
    on average, with p free parameters (Wilks 1938): a sample of ``p / gap`` rows costs no more than
    half the gap that is allowed.
    """
    if gap <= 0 or rows.n_samples < _SMALLEST_SHARE * _SMALLEST_SAMPLE:
        return None
    wanted = max(math.ceil(start.n_parameters / gap), _SMALLEST_SAMPLE)
    return rows.part(min(wanted, rows.n_samples // _SMALLEST_SHARE), rng)


def certify(
    rows: EMRows,
    sample: EMRows,
    run: Run,
    regularisation: Regularisation,
    options: EMOptions,
    workers: Workers,
    callback: Callback | None,
) -> tuple[Run, Certificate]:
    """EM over all rows from where the sample led, until the gap is small enough."""
    expected = run.mixture.n_parameters / (2 * sample.n_samples)
    slowest = run.last.rate if run.last is not None else 0.0

    def gap(progress: Progress) -> float:
        return max(progress.remaining(slowest), expected - progress.total_gain)

    full = run_em(
        rows,
        run.mixture,
        regularisation,
        options,
        workers,
        callback,
        at_rest=lambda progress: gap(progress) < options.gap or options.at_rest(progress),
    )
    last = full.last
    assert last is not None  # noqa: S101 - max_iter is at least 1
    return full, Certificate(
        sample_size=sample.n_samples,
        sample_iterations=run.n_iter,
        full_passes=full.n_iter + 1,
        mean_log_likelihood=full.statistics.mean_log_likelihood + rows.log_scale,
        gain=last.gain,
        gap=last.remaining(slowest) if options.at_rest(last) else gap(last),
    )
