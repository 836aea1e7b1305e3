"""Kernels of one-dimensional mixtures: tail probabilities and their inverse.

All work on the lower tail, P(X <= x); the upper tail is the lower one of the mirrored mixture.
"""

import math

import numpy as np

from gmmseg.mixture._jit import inline, kernel

_SQRT_HALF = math.sqrt(0.5)
_LOG_SQRT_2_PI = 0.5 * math.log(2.0 * math.pi)
_EPS = float(np.finfo(np.float64).eps)

# From here on the continued fraction of Mills' ratio needs no more than _DEPTH levels for full
# precision; below, erfc is exact to the last bits.
_FAR = 8.0
_DEPTH = 30
_MOST_STEPS = 400


@inline
def _log_normal_cdf(z):
    """Logarithm of the standard normal distribution function: of full precision everywhere."""
    if z > -1.0:
        return math.log1p(-0.5 * math.erfc(z * _SQRT_HALF))
    if z > -_FAR:
        return math.log(0.5 * math.erfc(-z * _SQRT_HALF))
    fraction = -z
    for level in range(_DEPTH, 0, -1):
        fraction = -z + level / fraction
    return -0.5 * z * z - _LOG_SQRT_2_PI - math.log(fraction)


@inline
def _log_cdf(x, log_weights, means, deviations, terms):
    """The logarithm of P(X <= x); `terms` (K,) is scratch."""
    top = -np.inf
    for k in range(means.shape[0]):
        terms[k] = log_weights[k] + _log_normal_cdf((x - means[k]) / deviations[k])
        top = max(top, terms[k])
    if top == -np.inf:
        return top
    total = 0.0
    for k in range(means.shape[0]):
        total += math.exp(terms[k] - top)
    return top + math.log(total)


@inline
def _slope(x, log_cdf, log_weights, means, deviations):
    """Derivative of log P(X <= x) by x: density over probability."""
    total = 0.0
    for k in range(means.shape[0]):
        z = (x - means[k]) / deviations[k]
        log_density = log_weights[k] - 0.5 * z * z - _LOG_SQRT_2_PI
        total += math.exp(log_density - log_cdf) / deviations[k]
    return total


@kernel
def cdf_of(x, weights, means, deviations, out):
    """P(X <= x) for every x."""
    for i in range(x.shape[0]):
        total = 0.0
        for k in range(means.shape[0]):
            z = (x[i] - means[k]) / deviations[k]
            total += weights[k] * 0.5 * math.erfc(-z * _SQRT_HALF)
        out[i] = total


@kernel
def log_cdf_of(x, log_weights, means, deviations, terms, out):
    """The logarithm of P(X <= x) for every x; `terms` (K,) is scratch."""
    for i in range(x.shape[0]):
        out[i] = _log_cdf(x[i], log_weights, means, deviations, terms)


@inline
def _solve(goal, log_weights, means, deviations, terms):
    """The x with log P(X <= x) = goal, for goal <= log 1/2.

    The normal tail is at most 1/2 exp(-t^2/2): the root is bracketed. Newton's steps on the
    logarithm, which is concave for one component, converge from the left; bisection takes over
    when a step leaves the bracket or eight of them did not halve it.
    """
    reach = math.sqrt(max(0.0, -2.0 * (goal + math.log(2.0))))
    low, high = np.inf, -np.inf
    for k in range(means.shape[0]):
        low = min(low, means[k] - deviations[k] * reach)
        high = max(high, means[k])
    tolerance = 2.0 * _EPS * max(1.0, -goal)
    x, width, stalled = low, high - low, 0
    for _ in range(_MOST_STEPS):
        value = _log_cdf(x, log_weights, means, deviations, terms)
        error = value - goal
        if abs(error) <= tolerance:
            break
        if error < 0.0:
            low = x
        else:
            high = x
        stalled += 1
        if high - low < 0.5 * width:
            width, stalled = high - low, 0
        step = error / _slope(x, value, log_weights, means, deviations)
        following = x - step
        if not (low < following < high) or stalled > 8:
            following = low + 0.5 * (high - low)
            stalled = 0
        if abs(following - x) <= _EPS * abs(x) or following in (low, high):
            x = following
            break
        x = following
    return x


@kernel
def quantiles_of(goals, log_weights, means, deviations, terms, out):
    """The x with log P(X <= x) = goal for every goal <= log 1/2; `terms` (K,) is scratch."""
    for i in range(goals.shape[0]):
        out[i] = _solve(goals[i], log_weights, means, deviations, terms)
