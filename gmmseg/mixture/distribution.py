"""The distribution of one feature under a mixture: probabilities and quantiles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg._check import check_integer
from gmmseg.errors import InvalidParameterError

if TYPE_CHECKING:
    from gmmseg.mixture.mixture import Mixture

__all__ = ["cdf", "quantile"]

Array = NDArray[np.float64]

_LOG_HALF = math.log(0.5)


def cdf(
    mixture: Mixture,
    x: ArrayLike,
    feature: int | None = None,
    *,
    upper: bool = False,
    log: bool = False,
) -> Any:
    """Probability that one feature is at most `x` (docs/math.md, "Distribution").

    Parameters
    ----------
    mixture : Mixture
    x : array_like
        Values of the feature, of any shape; also infinite. NaN gives NaN.
    feature : int, optional
        From 0. May be left out when there is only one.
    upper : bool
        The probability of more than `x` instead, right also where it is tiny: ``1 - cdf(x)``
        would be 0 or a few rounding errors.
    log : bool
        The natural logarithm of the probability, right also where that is below 1e-308.

    Returns
    -------
    float64, or ndarray of float64 of the shape of `x`

    Raises
    ------
    InvalidParameterError
        When `feature` is not one of the mixture's, or `x` is not made of numbers.

    Examples
    --------
    >>> from gmmseg.mixture import Mixture
    >>> mixture = Mixture(weights=[1.0], means=[[0.0]], covariances=[1.0],
    ...                   covariance_type="spherical")
    >>> float(mixture.cdf(0.0)), float(mixture.cdf(40.0, upper=True, log=True).round(2))
    (0.5, -804.61)
    """
    from gmmseg.mixture._distribution_kernels import cdf_of, log_cdf_of

    weights, means, deviations = _one_feature(mixture, feature)
    values = _numbers(x, "x")
    sign = -1.0 if upper else 1.0
    out = np.empty(values.size)
    if log:
        terms = np.empty(len(means))
        log_cdf_of(
            sign * values.ravel(), np.log(weights), sign * means, deviations, terms, out
        )  # fmt: skip
    else:
        cdf_of(sign * values.ravel(), weights, sign * means, deviations, out)
    return out.reshape(values.shape)[()]


def quantile(
    mixture: Mixture,
    p: ArrayLike,
    feature: int | None = None,
    *,
    upper: bool = False,
    log: bool = False,
) -> Any:
    """The value that one feature does not exceed with probability `p`: the inverse of `cdf`.

    Found by Newton's steps on the logarithm of the nearer tail, kept in a bracket: as precise
    as the probabilities are, some 1e-15 standard deviations where the density is not tiny.

    Parameters
    ----------
    mixture : Mixture
    p : array_like
        Probabilities in 0..1 of any shape; 0 and 1 give infinities.
    feature : int, optional
        From 0. May be left out when there is only one.
    upper : bool
        `p` is the probability of more than the value: ``quantile(1e-30, upper=True)``.
    log : bool
        `p` is the natural logarithm of the probability.

    Returns
    -------
    float64, or ndarray of float64 of the shape of `p`

    Raises
    ------
    InvalidParameterError
        When `feature` is not one of the mixture's, or `p` is no probability.

    Examples
    --------
    >>> from gmmseg.mixture import Mixture
    >>> mixture = Mixture(weights=[0.5, 0.5], means=[[0.0], [10.0]], covariances=[1.0, 1.0],
    ...                   covariance_type="spherical")
    >>> mixture.quantile([0.25, 0.75]).round(6)
    array([ 0., 10.])
    """
    weights, means, deviations = _one_feature(mixture, feature)
    given = _numbers(p, "p")
    low, high = (-np.inf, 0.0) if log else (0.0, 1.0)
    if not ((given >= low) & (given <= high)).all():
        rule = "logarithms of probabilities, at most 0" if log else "probabilities in 0..1"
        wrong = given[~((given >= low) & (given <= high))][0]
        raise InvalidParameterError(f"p must be {rule}, got {wrong:g}.")
    tail, other = _log_tails(given.ravel(), log=log)
    logs = np.log(weights)
    nearer = tail <= other
    out = np.empty(given.size)
    sign = -1.0 if upper else 1.0
    for chosen, goals, mirror in ((nearer, tail, sign), (~nearer, other, -sign)):
        out[chosen] = mirror * _solved(goals[chosen], logs, mirror * means, deviations)
    return out.reshape(given.shape)[()]


def _solved(goals: Array, log_weights: Array, means: Array, deviations: Array) -> Array:
    """Quantiles of the lower tail; minus infinity where there is no probability at all."""
    from gmmseg.mixture._distribution_kernels import quantiles_of

    out = np.full(goals.shape, -np.inf)
    some = np.isfinite(goals)
    found = np.empty(np.count_nonzero(some))
    terms = np.empty(len(means))
    quantiles_of(np.minimum(goals[some], _LOG_HALF), log_weights, means, deviations, terms, found)
    out[some] = found
    return out


def _log_tails(given: Array, *, log: bool) -> tuple[Array, Array]:
    """Logarithms of the probabilities and of what is left to 1."""
    with np.errstate(divide="ignore"):
        if not log:
            return np.log(given), np.log1p(-given)
        # log(1 - e^l): Maechler, Accurately computing log(1 - exp(-|a|)), 2012
        small = given < _LOG_HALF
        rest = np.where(small, np.log1p(-np.exp(given)), np.log(-np.expm1(given)))
        return given, rest


def _one_feature(mixture: Mixture, feature: int | None) -> tuple[Array, Array, Array]:
    """Weights, means and standard deviations of the components that have a weight."""
    if feature is None:
        if mixture.n_features > 1:
            raise InvalidParameterError(
                f"feature must say which of the {mixture.n_features} features, from 0."
            )
        feature = 0
    index = check_integer(feature, "feature", minimum=0)
    if index >= mixture.n_features:
        raise InvalidParameterError(
            f"feature must be within 0..{mixture.n_features - 1}, got {index}."
        )
    used = mixture.weights > 0
    weights = mixture.weights[used]
    deviations = mixture.standard_deviations[used, index]
    return weights / weights.sum(), mixture.means[used, index], deviations


def _numbers(values: ArrayLike, name: str) -> Array:
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "uif":
        raise InvalidParameterError(f"{name} must be a number or an array of numbers.")
    return array.astype(np.float64)
