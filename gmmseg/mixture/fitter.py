"""Rows made ready once, and the best fit to them from several starts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg.errors import (
    ConvergenceWarning,
    DegenerateDataWarning,
    GmmsegWarning,
    InvalidDataError,
    InvalidParameterError,
)
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.certificate import Certificate, SampleFit, rows_of_a_sample
from gmmseg.mixture.covariance import COVARIANCE_TYPES, free_parameters
from gmmseg.mixture.expectation import HeldRows, log_certainty
from gmmseg.mixture.hinted import HintedRows, Hints, start_from_hints
from gmmseg.mixture.lazy import LazyRows, parts_of
from gmmseg.mixture.loop import Callback, Progress, Run, run_em
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.patterns import GappedRows, Patterns, find_patterns
from gmmseg.mixture.prior_rows import Beliefs, PriorRows, start_from_priors
from gmmseg.mixture.regularisation import Regularisation
from gmmseg.mixture.rows import INFINITY, Frame, Rows, working_dtype
from gmmseg.mixture.scattered import Parts, ScatteredRows
from gmmseg.mixture.seeding import (
    SAMPLE_SIZE,
    STARTS,
    Sample,
    start_from_labels,
    start_from_means,
)
from gmmseg.mixture.statistics import SMALLEST_VARIANCE
from gmmseg.mixture.unobserved import (
    known_features,
    metric_of_known,
    narrowed,
    start_of_known,
    unknown_warning,
    widened,
)

__all__ = ["Fit", "Fitter", "Metric", "fit_of"]

Array = NDArray[np.float64]

_LOOK = SAMPLE_SIZE // 8

#: From the standard deviation of each feature to its factor in the distances of the start.
Metric = Callable[[Array], Array]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """What EM found.

    Attributes
    ----------
    mixture : Mixture
    log_likelihood : float
        Total log-likelihood of the rows under `mixture`, in nats.
    history : tuple of float
        Mean log-likelihood per unit of weight of the start, after every EM step and every leap
        that was taken; the last is that of `mixture`. With a prior, the logarithm of its density
        relative to its mode, per unit of weight, is added. It never falls.
    converged : bool
    n_iter : int
        Passes over the rows that changed the parameters, or tried to.
    warnings : tuple of GmmsegWarning
        What a person should know: not converged, components without rows.
    certificate : Certificate or None
        What fitting by a sample first may have cost; None when every pass saw every row.
        `history` and `n_iter` then tell of the passes over all rows.
    """

    mixture: Mixture
    log_likelihood: float
    history: tuple[float, ...]
    converged: bool
    n_iter: int
    warnings: tuple[GmmsegWarning, ...] = ()
    certificate: Certificate | None = None


class Fitter:
    """Rows made ready once, for any number of fits.

    The covariance types of all fits must be either isotropic or not. `metric` and `ridge` as in
    `fit_rows`.
    """

    def __init__(
        self,
        array: NDArray[Any] | LazyRows,
        weights: Array | None,
        metric: Metric | None,
        options: EMOptions,
        workers: Workers,
        ridge: float | None = None,
        known: Hints | Beliefs | None = None,
    ) -> None:
        metric = metric or _reciprocal
        patterns = find_patterns(array, weights)
        self._known = known_features(patterns, array.shape[1])
        if not self._known.all():
            array, metric = array[:, self._known], metric_of_known(metric, self._known)
            patterns = find_patterns(array, weights)
        self._samples = _Samples(
            array, weights, _kind_of_rows(array, patterns, known), metric, options
        )
        self._rows = self._samples.rows
        self._workers = workers
        self._ridge = None if ridge is None else ridge * self._rows.frame.scale**2

    def fit(
        self,
        n_components: int,
        options: EMOptions,
        *,
        start: Mixture | ArrayLike | None = None,
        at_rest: Callable[[Progress], bool] | None = None,
        callback: Callback | None = None,
    ) -> Fit:
        """The best fit from one or several starts, in the units of the data."""
        rows, workers = self._rows, self._workers
        small, sample = self._samples.of(n_components, options.covariance_type)
        # where rows are many, other threads copy them while starts are found
        hold = self.hold if small is None else rows.begin_preload(workers)
        rules, starts = self._begin(n_components, options, start, sample)
        certificate = None
        if small is not None and options.gap > 0 and at_rest is None:
            by_sample = SampleFit(rows, small, rules, options, workers, callback)
            run, certificate = by_sample.run(starts, hold)
        else:
            hold()
            runs = [
                run_em(
                    rows, rules.admitted(mixture), rules, options, workers, callback,
                    at_rest=at_rest or options.at_rest,
                )
                for mixture in starts
            ]  # fmt: skip
            run = max(runs, key=lambda run: run.history[-1])
        fit = fit_of(run, rows, options, certificate)
        if self._known.all():
            return fit
        told = (*fit.warnings, unknown_warning(self._known))
        return replace(fit, mixture=widened(fit.mixture, self._known), warnings=told)

    def hold(self) -> None:
        """Copy the rows into blocks, if they are few enough: it pays when many passes follow."""
        self._rows.preload(self._workers)

    def start(self, n_components: int, options: EMOptions) -> Mixture:
        """Where the first run of `fit` would begin, in the units of the data."""
        _, sample = self._samples.of(n_components, options.covariance_type)
        start = self._begin(n_components, options, None, sample)[1][0]
        return widened(start.out_of_frame(self._rows.frame), self._known)

    def _begin(
        self,
        n_components: int,
        options: EMOptions,
        start: Mixture | ArrayLike | None,
        sample: Sample,
    ) -> tuple[Regularisation, list[Mixture]]:
        """The rules of EM, and where it begins."""
        rows, workers = self._rows, self._workers
        every = _unknown(rows)
        rules = Regularisation.of(
            options, n_components, every, sample.variance, workers, self._ridge
        )
        sample.floor = np.maximum(rules.ridge, SMALLEST_VARIANCE)
        start = start_of_known(start, self._known)
        return rules, _starts(rows, sample, n_components, options, start, workers)

    def log_certainty(self, mixture: Mixture) -> float:
        """Sum over the rows of the logarithm of the largest posterior."""
        own = narrowed(mixture, self._known).in_frame(self._rows.frame)
        return log_certainty(self._rows, own, self._workers)[1]


#: From rows, their weights and a frame.
_KindOfRows = Callable[[Any, Array | None, Frame], HeldRows]


def _unknown(rows: HeldRows) -> HeldRows:
    """Rows as if nothing were known of them."""
    if isinstance(rows, HintedRows):
        return rows.unhinted
    return rows.rows if isinstance(rows, PriorRows) else rows


def _kind_of_rows(
    array: NDArray[Any] | LazyRows, patterns: Patterns | None, known: Hints | Beliefs | None
) -> _KindOfRows:
    if isinstance(array, Parts):
        return ScatteredRows
    if isinstance(known, Hints):
        return partial(HintedRows.of, hints=known)
    if known is not None and patterns is not None:
        raise InvalidDataError(
            "priors need rows that have all their features. Leave out those with gaps: "
            "FeatureSpec(gaps='drop') (--gaps drop)."
        )
    if known is not None:
        return partial(PriorRows.of, beliefs=known)
    return Rows if patterns is None else partial(GappedRows, patterns=patterns)


class _Samples:
    """Rows in a frame of their own, and samples of them, each drawn when it is asked for.

    Attributes
    ----------
    rows : rows of any kind
    """

    def __init__(
        self,
        array: NDArray[Any] | LazyRows,
        weights: Array | None,
        kind: _KindOfRows,
        metric: Metric,
        options: EMOptions,
    ) -> None:
        def rows_in(frame: Frame) -> HeldRows:
            return kind(array, weights, frame)

        self._rng = np.random.default_rng(options.rng)
        isotropic = COVARIANCE_TYPES[options.covariance_type].is_isotropic
        # two looks: moments of a few rows about one of them settle the frame
        looked = rows_in(Frame.identity(array.shape[1])).look(_LOOK, self._rng)
        mean, deviation = _moments(*looked, array)
        frame = Frame.around(mean, deviation, working_dtype(array), isotropic=isotropic)
        self.rows = rows_in(frame)
        self._metric = lambda deviations: metric(deviations / frame.scale) / frame.scale
        self._drawn: dict[int, tuple[HeldRows | None, Sample]] = {}

    def of(self, n_components: int, covariance_type: str) -> tuple[HeldRows | None, Sample]:
        """The rows to fit first, if that pays, and those on which starts are found."""
        p = free_parameters(covariance_type, n_components, self.rows.n_features)
        n = rows_of_a_sample(self.rows.n_samples, p)
        if n not in self._drawn:
            self._drawn[n] = self._draw(n)
        return self._drawn[n]

    def _draw(self, n: int) -> tuple[HeldRows | None, Sample]:
        rng = copy.deepcopy(self._rng)  # what was drawn before does not matter
        part = self.rows.part(n, rng) if n else None
        planes, weights = (part or self.rows).sample(SAMPLE_SIZE, rng)
        if isinstance(self.rows, Rows) and np.isnan(planes).any():
            raise InvalidDataError(INFINITY)
        return part, Sample(planes, weights, self._metric)


def _moments(values: Array, weights: Array, array: NDArray[Any] | LazyRows) -> tuple[Array, Array]:
    """Mean and standard deviation (D,) of the observed values of some rows (n, D) of `array`."""
    if np.isinf(values).any():
        raise InvalidDataError(INFINITY)
    seen = ~np.isnan(values)
    share = weights / weights.sum()
    mean, deviation = np.zeros((2, values.shape[1]))
    for d, column in enumerate(values.T):
        x, w = column[seen[:, d]], share[seen[:, d]]
        if not len(x):  # so seldom observed that a look at some rows missed it
            x = _first_finite(array, d)
            if not len(x):
                raise InvalidDataError(INFINITY)
            w = np.ones(len(x))
        w = w / w.sum()  # sums below, not @: where the CPUs are busy, BLAS waits for its threads
        with np.errstate(over="ignore"):
            mean[d] = (w * (x - x[0])).sum() + x[0]
            deviation[d] = np.sqrt((w * (x - mean[d]) ** 2).sum())
    return mean, deviation


def _first_finite(array: NDArray[Any] | LazyRows, d: int) -> Array:
    """The first values of a feature that are finite, `_LOOK` at most."""
    found: list[NDArray[Any]] = []
    for _, part in parts_of(array):
        column = part[:, d]
        found.append(column[np.isfinite(column)][:_LOOK])
        if sum(map(len, found)) >= _LOOK:
            break
    return np.concatenate(found)[:_LOOK].astype(np.float64)


def _reciprocal(deviations: Array) -> Array:
    return 1.0 / np.where(deviations > 0, deviations, 1.0)


def _starts(
    rows: HeldRows,
    sample: Sample,
    n_components: int,
    options: EMOptions,
    start: Mixture | ArrayLike | None,
    workers: Workers,
) -> list[Mixture]:
    """The mixtures to run EM from, in the frame."""
    frame = rows.frame
    shape = (n_components, len(sample.planes))
    if start is None:
        rng = np.random.default_rng(options.rng)
        if isinstance(rows, PriorRows):
            kind = options.covariance_type
            return [start_from_priors(rows, workers, sample, n_components, kind, rng)]
        begin = (
            partial(start_from_hints, rows, SAMPLE_SIZE)
            if isinstance(rows, HintedRows)
            else STARTS[options.init]
        )
        return [
            begin(sample, n_components, options.covariance_type, rng) for _ in range(options.n_init)
        ]
    if isinstance(start, Mixture):
        if start.means.shape != shape or start.covariance_type != options.covariance_type:
            raise InvalidParameterError(
                f"init must be a {options.covariance_type!r} mixture with means of shape {shape}, "
                f"got {start.covariance_type!r} with {start.means.shape}."
            )
        return [start.in_frame(frame)]
    means = np.asarray(start)
    if means.ndim == 1 and means.dtype.kind in "iu":
        if not isinstance(rows, Rows):
            raise InvalidDataError(
                "init as a partition needs rows without gaps: X has NaN. Start from means instead."
            )
        labels = _check_labels(means, rows.n_samples, n_components)
        return [start_from_labels(rows, sample, labels, n_components, options.covariance_type)]
    if means.shape != shape or means.dtype.kind not in "uif" or not np.isfinite(means).all():
        raise InvalidParameterError(
            f"init must be finite means of shape {shape}, got shape {means.shape} of "
            f"{means.dtype}. A partition of the rows is one whole number for each of them."
        )
    standard = (means - frame.origin) * frame.scale
    return [start_from_means(sample, standard, options.covariance_type)]


def _check_labels(labels: NDArray[Any], n_samples: int, n_components: int) -> NDArray[Any]:
    if labels.shape != (n_samples,):
        raise InvalidParameterError(
            f"init must be a label for each of the {n_samples} rows, got {len(labels)} labels."
        )
    if labels.min() < 0 or labels.max() >= n_components:
        raise InvalidParameterError(
            f"init must be labels from 0 to {n_components - 1}, got {labels.min()} to "
            f"{labels.max()}."
        )
    return labels


def fit_of(
    run: Run, rows: HeldRows, options: EMOptions, certificate: Certificate | None = None
) -> Fit:
    """The result of a run in the units of the data."""
    gain = rows.log_scale
    return Fit(
        mixture=run.mixture.out_of_frame(rows.frame),
        log_likelihood=run.statistics.log_likelihood + gain * rows.total_weight,
        history=tuple(value + gain for value in run.history),
        converged=run.converged,
        n_iter=run.n_iter,
        warnings=_warnings(run, options),
        certificate=certificate,
    )


def _warnings(run: Run, options: EMOptions) -> tuple[GmmsegWarning, ...]:
    found: list[GmmsegWarning] = []
    if not run.converged:
        found.append(
            ConvergenceWarning(
                f"EM did not converge in {options.max_iter} iterations. Raise max_iter or tol, "
                "or use fewer components."
            )
        )
    lost = int(run.statistics.negligible().sum())
    if lost:
        total = len(run.statistics.nk)
        found.append(
            DegenerateDataWarning(
                f"{lost} of {total} components have no rows: the data have fewer distinct "
                f"clusters. Ask for {total - lost}."
            )
        )
    return tuple(found)
