"""Fitting: starts, the best of several runs, the result in the units of the data."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg._check import check_integer
from gmmseg.errors import (
    ConvergenceWarning,
    DegenerateDataWarning,
    GmmsegWarning,
    InvalidDataError,
    InvalidParameterError,
)
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.certificate import Certificate, certify, sample_rows
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.loop import Callback, Progress, Run, run_em
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.passes import log_certainty_of_rows, statistics_of_rows
from gmmseg.mixture.regularisation import Regularisation
from gmmseg.mixture.rows import GAPS, Frame, Rows, as_rows, check_weights, working_dtype
from gmmseg.mixture.seeding import (
    SAMPLE_SIZE,
    STARTS,
    Sample,
    start_from_labels,
    start_from_means,
)
from gmmseg.mixture.statistics import SMALLEST_VARIANCE, Statistics

__all__ = ["Callback", "Fit", "Fitter", "accumulate", "fit_mixture", "fit_rows"]

Array = NDArray[np.float64]

_LOOK = SAMPLE_SIZE // 8

#: From the standard deviation of each feature to its factor in the distances of the start.
Metric = Callable[[Array], Array]


_DEFAULTS = EMOptions()


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


def fit_mixture(
    X: ArrayLike,
    n_components: int,
    *,
    covariance_type: str = _DEFAULTS.covariance_type,
    sample_weight: ArrayLike | None = None,
    init: str | Mixture | ArrayLike = _DEFAULTS.init,
    n_init: int = _DEFAULTS.n_init,
    tol: float = _DEFAULTS.tol,
    criterion: str = _DEFAULTS.criterion,
    max_iter: int = _DEFAULTS.max_iter,
    accelerate: bool = _DEFAULTS.accelerate,
    gap: float = _DEFAULTS.gap,
    reg_covar: float = _DEFAULTS.reg_covar,
    prior: float = _DEFAULTS.prior,
    max_ratio: float | None = _DEFAULTS.max_ratio,
    rng: int = _DEFAULTS.rng,
    threads: int | None = None,
    callback: Callback | None = None,
) -> Fit:
    """Fit a mixture of Gaussians to rows by expectation maximisation.

    Dempster, Laird and Rubin (1977); equations 1 to 11 of docs/math.md. The result is the same,
    bit for bit, for any number of threads.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_features)
        Finite real numbers of any type and memory layout. Integers of up to 16 bits and float32
        are computed in float32 with float64 sums, all else in float64.
    n_components : int
    covariance_type, n_init, tol, criterion, max_iter, accelerate, gap
        As in `EMOptions`.
    reg_covar, prior, max_ratio, rng
        As in `EMOptions`.
    sample_weight : array_like of shape (n_samples,), optional
        Not negative. A row of weight 3 equals three rows.
    init : str, Mixture or array_like
        A start by name as in `EMOptions`; the mixture to start from; the means to start from,
        of shape (n_components, n_features), with every row assigned to the nearest; or a
        partition of the rows: whole numbers from 0 to ``n_components - 1``, of shape (n_samples,).
    threads : int, optional
        None = as many as this process may use.
    callback : callable, optional
        Called as ``callback(iteration, mean_log_likelihood)``. An exception ends the fit.

    Returns
    -------
    Fit

    Raises
    ------
    InvalidParameterError
        When an argument breaks its rule.
    InvalidDataError
        When X is not two-dimensional, is empty, or holds NaN or infinity.

    Warns
    -----
    ConvergenceWarning
        When `max_iter` was reached first.
    DegenerateDataWarning
        When components were left without rows.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(0, 1, (500, 2)), rng.normal(8, 2, (500, 2))])
    >>> fit = fit_mixture(X, 2)
    >>> sorted(fit.mixture.weights.round(2).tolist())
    [0.5, 0.5]
    """
    given = None if isinstance(init, str) or init is None else init
    options = EMOptions(
        covariance_type=covariance_type,
        init=_DEFAULTS.init if given is not None else init,  # type: ignore[arg-type]
        n_init=n_init,
        tol=tol,
        criterion=criterion,
        max_iter=max_iter,
        accelerate=accelerate,
        gap=gap,
        reg_covar=reg_covar,
        prior=prior,
        max_ratio=max_ratio,
        rng=rng,
    )
    fit = fit_rows(
        X,
        n_components,
        options,
        sample_weight=sample_weight,
        start=given,
        threads=threads,
        callback=callback,
    )
    for warning in fit.warnings:
        warnings.warn(warning, stacklevel=2)
    return fit


def fit_rows(
    X: ArrayLike,
    n_components: int,
    options: EMOptions,
    *,
    sample_weight: ArrayLike | None = None,
    start: Mixture | ArrayLike | None = None,
    metric: Metric | None = None,
    ridge: float | None = None,
    at_rest: Callable[[Progress], bool] | None = None,
    threads: int | None = None,
    callback: Callback | None = None,
) -> Fit:
    """`fit_mixture` with its options as one value, telling its warnings only in the result.

    `metric` tells from the features' standard deviations (D,) what to multiply them by before the
    start takes distances; by default one over the deviations. `ridge` is added to every variance
    in the units of the data squared, instead of `reg_covar`, which is relative. `at_rest` decides
    after each EM step whether it was the last, instead of `criterion` and `tol`.
    """
    array = as_rows(X)
    check_integer(n_components, "n_components", minimum=1)
    weights = check_weights(sample_weight, len(array))
    with Workers(threads) as workers:
        fitter = Fitter(array, weights, metric, options, workers, ridge)
        return fitter.fit(n_components, options, start=start, at_rest=at_rest, callback=callback)


class Fitter:
    """Rows made ready once, for any number of fits.

    The covariance types of all fits must be either isotropic or not. `metric` and `ridge` as in
    `fit_rows`.
    """

    def __init__(
        self,
        array: NDArray[Any],
        weights: Array | None,
        metric: Metric | None,
        options: EMOptions,
        workers: Workers,
        ridge: float | None = None,
    ) -> None:
        self._rows, self._sample = _prepare(array, weights, metric, options, workers)
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
        rules, starts = self._begin(n_components, options, start)
        small = sample_rows(rows, starts[0], options.gap, np.random.default_rng(options.rng))
        runs = [
            run_em(
                small or rows, rules.admitted(mixture), rules, options, workers, callback,
                at_rest=at_rest or options.at_rest,
            )
            for mixture in starts
        ]  # fmt: skip
        run = max(runs, key=lambda run: run.history[-1])
        certificate = None
        if small is not None:
            run, certificate = certify(rows, small, run, rules, options, workers, callback)
        return _in_units(run, rows, options, certificate)

    def start(self, n_components: int, options: EMOptions) -> Mixture:
        """Where the first run of `fit` would begin, in the units of the data."""
        return self._begin(n_components, options, None)[1][0].out_of_frame(self._rows.frame)

    def _begin(
        self, n_components: int, options: EMOptions, start: Mixture | ArrayLike | None
    ) -> tuple[Regularisation, list[Mixture]]:
        rows, sample = self._rows, self._sample
        rules = Regularisation.of(
            options, n_components, rows, sample.variance, self._workers, self._ridge
        )
        sample.floor = np.maximum(rules.ridge, SMALLEST_VARIANCE)
        return rules, _starts(rows, sample, n_components, options, start)

    def log_certainty(self, mixture: Mixture) -> float:
        """Sum over the rows of the logarithm of the largest posterior."""
        rows = self._rows
        return log_certainty_of_rows(rows, mixture.in_frame(rows.frame), self._workers)[1]


def start_rows(
    X: ArrayLike,
    n_components: int,
    options: EMOptions,
    *,
    sample_weight: ArrayLike | None = None,
    metric: Metric | None = None,
    ridge: float | None = None,
) -> Mixture:
    """Where `fit_rows` would begin, in the units of the data."""
    array = as_rows(X)
    weights = check_weights(sample_weight, len(array))
    with Workers() as workers:
        return Fitter(array, weights, metric, options, workers, ridge).start(n_components, options)


def _prepare(
    array: NDArray[Any],
    weights: Array | None,
    metric: Metric | None,
    options: EMOptions,
    workers: Workers,
) -> tuple[Rows, Sample]:
    """Rows in a frame of their own, and the sample of them on which starts are found."""
    rng = np.random.default_rng(options.rng)
    isotropic = COVARIANCE_TYPES[options.covariance_type].is_isotropic
    # two looks: moments of a few rows about one of them settle the frame
    values, look_weights = Rows(array, weights, Frame.identity(array.shape[1])).look(_LOOK, rng)
    if not np.isfinite(values).all():
        raise InvalidDataError(GAPS)
    share = look_weights / look_weights.sum()
    with np.errstate(over="ignore"):
        mean = share @ (values - values[0]) + values[0]
        deviation = np.sqrt(share @ (values - mean) ** 2)
    frame = Frame.around(mean, deviation, working_dtype(array), isotropic=isotropic)
    rows = Rows(array, weights, frame)
    rows.preload(workers)
    planes, sample_weights = rows.sample(SAMPLE_SIZE, rng)
    if not np.isfinite(planes).all():
        raise InvalidDataError(GAPS)
    metric = metric or _reciprocal

    def metric_in_frame(deviations: Array) -> Array:
        return metric(deviations / frame.scale) / frame.scale

    return rows, Sample(planes, sample_weights, metric_in_frame)


def _reciprocal(deviations: Array) -> Array:
    return 1.0 / np.where(deviations > 0, deviations, 1.0)


def _starts(
    rows: Rows,
    sample: Sample,
    n_components: int,
    options: EMOptions,
    start: Mixture | ArrayLike | None,
) -> list[Mixture]:
    """The mixtures to run EM from, in the frame."""
    frame = rows.frame
    shape = (n_components, len(sample.planes))
    if start is None:
        rng = np.random.default_rng(options.rng)
        begin = STARTS[options.init]
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


def _in_units(run: Run, rows: Rows, options: EMOptions, certificate: Certificate | None) -> Fit:
    """The result in the units of the data."""
    gain = rows.frame.log_scale
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


def accumulate(
    X: ArrayLike,
    sample_weight: ArrayLike | None,
    mixture: Mixture,
    *,
    threads: int | None = None,
) -> Statistics:
    """The additive statistics of some rows under a mixture: one E-step.

    Sum those of any number of parts with ``+`` and take ``m_step``: that is an EM iteration
    over all parts, wherever they are.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_features)
    sample_weight : array_like of shape (n_samples,) or None
    mixture : Mixture

    Returns
    -------
    Statistics
        About `mixture.means`, in the units of the data.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(1000, 2))
    >>> one = Mixture(weights=[1.0], means=[[0.0, 0.0]], covariances=[np.eye(2)])
    >>> both = accumulate(X[:300], None, one) + accumulate(X[300:], None, one)
    >>> bool(np.allclose(both.m_step(one, np.zeros(2)).means, X.mean(axis=0)))
    True
    """
    rows, standard = mixture._rows(X, sample_weight)
    with Workers(threads) as workers:
        return statistics_of_rows(rows, standard, workers).out_of_frame(rows.frame, mixture)
