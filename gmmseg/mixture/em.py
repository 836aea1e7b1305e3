"""Fitting: starts, the best of several runs, the result in the units of the data."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from gmmseg.mixture.loop import INFINITY, Callback, Run, run_em
from gmmseg.mixture.missing import e_step
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.patterns import AnyRows, GappedRows, Patterns, find_patterns
from gmmseg.mixture.rows import Frame, Rows, as_rows, check_weights, working_dtype
from gmmseg.mixture.seeding import SAMPLE_SIZE, STARTS, Sample, start_from_means
from gmmseg.mixture.statistics import SMALLEST_VARIANCE, Statistics
from gmmseg.mixture.unobserved import (
    known_features,
    metric_of_known,
    start_of_known,
    unknown_warning,
    widened,
)

__all__ = ["Callback", "Fit", "accumulate", "fit_mixture"]

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
        that was taken; the last is that of `mixture`. It never falls.
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
        Real numbers of any type and memory layout. NaN means not observed: such rows are fitted
        by the likelihood of what they have ("Missing values" in docs/math.md). Integers of up to
        16 bits and float32 are computed in float32 with float64 sums, all else in float64.
    n_components : int
    covariance_type, n_init, tol, criterion, max_iter, accelerate, gap, reg_covar, rng
        As in `EMOptions`.
    sample_weight : array_like of shape (n_samples,), optional
        Not negative. A row of weight 3 equals three rows.
    init : str, Mixture or array_like of shape (n_components, n_features)
        A start by name as in `EMOptions`; the mixture to start from; or the means to start
        from, with every row assigned to the nearest.
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
        When X is not two-dimensional, is empty, holds infinity, or nothing but NaN.

    Warns
    -----
    ConvergenceWarning
        When `max_iter` was reached first.
    DegenerateDataWarning
        When components were left without rows, or a feature is NaN in every row: it plays no
        part and gets mean 0 and variance 1.

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
    threads: int | None = None,
    callback: Callback | None = None,
) -> Fit:
    """`fit_mixture` with its options as one value, telling its warnings only in the result.

    `metric` tells from the features' standard deviations (D,) what to multiply them by before the
    start takes distances; by default one over the deviations.
    """
    array = as_rows(X)
    check_integer(n_components, "n_components", minimum=1)
    weights = check_weights(sample_weight, len(array))
    patterns = find_patterns(array, weights)
    known = known_features(patterns, array.shape[1])
    if not known.all():
        fit = fit_rows(
            array[:, known],
            n_components,
            options,
            sample_weight=weights,
            start=start_of_known(start, known),
            metric=metric_of_known(metric or _reciprocal, known),
            threads=threads,
            callback=callback,
        )
        warned = (*fit.warnings, unknown_warning(known))
        return replace(fit, mixture=widened(fit.mixture, known), warnings=warned)
    with Workers(threads) as workers:
        rows, sample = _prepare(array, weights, patterns, metric, options, workers)
        ridge = options.reg_covar * np.where(sample.variance > 0, sample.variance, 1.0)
        sample.floor = np.maximum(ridge, SMALLEST_VARIANCE)
        starts = _starts(sample, n_components, options, start, rows.frame)
        small = sample_rows(rows, starts[0], options.gap, np.random.default_rng(options.rng))
        runs = [
            run_em(
                small or rows, mixture, ridge, options, workers, callback, at_rest=options.at_rest
            )
            for mixture in starts
        ]
        run = max(runs, key=lambda run: run.history[-1])
        certificate = None
        if small is not None:
            run, certificate = certify(rows, small, run, ridge, options, workers, callback)
    return _in_units(run, rows, options, certificate)


def _prepare(
    array: NDArray[Any],
    weights: Array | None,
    patterns: Patterns | None,
    metric: Metric | None,
    options: EMOptions,
    workers: Workers,
) -> tuple[AnyRows, Sample]:
    """Rows in a frame of their own, and the sample of them on which starts are found."""

    def rows_in(frame: Frame) -> AnyRows:
        if patterns is None:
            return Rows(array, weights, frame)
        return GappedRows(array, weights, frame, patterns)

    rng = np.random.default_rng(options.rng)
    isotropic = COVARIANCE_TYPES[options.covariance_type].is_isotropic
    # two looks: moments of a few rows about one of them settle the frame
    mean, deviation = _moments(*rows_in(Frame.identity(array.shape[1])).look(_LOOK, rng), array)
    rows = rows_in(Frame.around(mean, deviation, working_dtype(array), isotropic=isotropic))
    rows.preload(workers)
    planes, sample_weights = rows.sample(SAMPLE_SIZE, rng)
    if patterns is None and np.isnan(planes).any():
        raise InvalidDataError(INFINITY)
    metric = metric or _reciprocal
    scale = rows.frame.scale

    def metric_in_frame(deviations: Array) -> Array:
        return metric(deviations / scale) / scale

    return rows, Sample(planes, sample_weights, metric_in_frame)


def _moments(values: Array, weights: Array, array: NDArray[Any]) -> tuple[Array, Array]:
    """Mean and standard deviation (D,) of the observed values of some rows (n, D) of `array`."""
    if np.isinf(values).any():
        raise InvalidDataError(INFINITY)
    seen = ~np.isnan(values)
    share = weights / weights.sum()
    mean, deviation = np.zeros((2, values.shape[1]))
    for d, column in enumerate(values.T):
        x, w = column[seen[:, d]], share[seen[:, d]]
        if not len(x):  # so seldom observed that a look at some rows missed it
            x = array[np.isfinite(array[:, d]), d][:_LOOK].astype(np.float64)
            if not len(x):
                raise InvalidDataError(INFINITY)
            w = np.ones(len(x))
        w = w / w.sum()
        with np.errstate(over="ignore"):
            mean[d] = w @ (x - x[0]) + x[0]
            deviation[d] = np.sqrt(w @ (x - mean[d]) ** 2)
    return mean, deviation


def _reciprocal(deviations: Array) -> Array:
    return 1.0 / np.where(deviations > 0, deviations, 1.0)


def _starts(
    sample: Sample,
    n_components: int,
    options: EMOptions,
    start: Mixture | ArrayLike | None,
    frame: Frame,
) -> list[Mixture]:
    """The mixtures to run EM from, in the frame."""
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
    if means.shape != shape or means.dtype.kind not in "uif" or not np.isfinite(means).all():
        raise InvalidParameterError(
            f"init must be finite means of shape {shape}, got shape {means.shape} of {means.dtype}."
        )
    standard = (means - frame.origin) * frame.scale
    return [start_from_means(sample, standard, options.covariance_type)]


def _in_units(run: Run, rows: AnyRows, options: EMOptions, certificate: Certificate | None) -> Fit:
    """The result in the units of the data."""
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
        found = e_step(rows, standard, workers)
    return found.out_of_frame(rows.frame, mixture, rows.log_scale)
