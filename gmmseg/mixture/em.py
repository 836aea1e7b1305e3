"""Fitting: the doors to EM."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from numpy.typing import ArrayLike

from gmmseg._check import check_integer
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.expectation import e_step
from gmmseg.mixture.fitter import Fit, Fitter, Metric
from gmmseg.mixture.hinted import Hints
from gmmseg.mixture.loop import Callback, Progress
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.prior_rows import Beliefs
from gmmseg.mixture.rows import as_rows, check_weights
from gmmseg.mixture.statistics import Statistics

__all__ = ["Callback", "Fit", "accumulate", "fit_mixture", "fit_rows", "start_rows"]

_DEFAULTS = EMOptions()


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
        Real numbers of any type and memory layout. NaN means not observed: such rows are fitted
        by the likelihood of what they have ("Missing values" in docs/math.md). Integers of up to
        16 bits and float32 are computed in float32 with float64 sums, all else in float64.
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
    known: Hints | Beliefs | None = None,
    threads: int | None = None,
    callback: Callback | None = None,
) -> Fit:
    """`fit_mixture` with its options as one value, telling its warnings only in the result.

    `metric` tells from the features' standard deviations (D,) what to multiply them by before the
    start takes distances; by default one over the deviations. `ridge` is added to every variance
    in the units of the data squared, instead of `reg_covar`, which is relative. `at_rest` decides
    after each EM step whether it was the last, instead of `criterion` and `tol`. `known` tells the
    classes of some rows (`Hints`): EM then maximises the likelihood of rows and hints; or how
    probable the components of each row are beforehand (`Beliefs`). EM starts from what is known
    whatever ``options.init`` says.
    """
    array = as_rows(X)
    check_integer(n_components, "n_components", minimum=1)
    weights = check_weights(sample_weight, len(array))
    with Workers(threads) as workers:
        fitter = Fitter(array, weights, metric, options, workers, ridge, known)
        return fitter.fit(n_components, options, start=start, at_rest=at_rest, callback=callback)


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
