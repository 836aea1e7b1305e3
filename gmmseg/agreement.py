"""What several noisy measurements of one thing agree upon (docs/math.md, equations 107 and 108)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["agreement"]

#: How much measurements differ by nature, and how many observations that knowledge is worth, as a
#: share of those at hand: keeps one of them from being taken for the truth.
_USUAL = 0.02
_WORTH = 0.1

_ITERATIONS = 200
_TOL = 1e-4
_LEAST = 1e-6


def agreement(measured: ArrayLike) -> NDArray[np.float64]:
    """How much of each measurement is to be believed.

    The sum of the measurements (less their means) times these shares is the expectation of what
    they have in common. Shares add up to less than 1: to nearly 1 where the measurements agree, to
    nearly 0 where what they have in common is no more than chance gives.

    Factor analysis with one factor and equal loadings, by EM (Rubin and Thayer, Psychometrika 47
    (1982) 69-76).

    Parameters
    ----------
    measured : array_like of shape (n, places)
        Measurements of the same at the same places. One alone is believed.

    Returns
    -------
    ndarray of shape (n,)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> same, own = rng.normal(size=500), 0.1 * rng.normal(size=(2, 500))
    >>> agreement(same + own).sum().round(2)
    np.float64(1.0)
    >>> bool(agreement(own).sum() < 0.2)
    True
    """
    values = np.asarray(measured, np.float64)
    n, places = values.shape
    if n == 1:
        return np.ones(1)
    values = values - values.mean(axis=1, keepdims=True)
    moments = values @ values.T / places
    own = np.diag(moments)
    common = max(float((moments.sum() - own.sum()) / (n * (n - 1))), _LEAST)
    each = np.maximum(own - common, _USUAL**2)
    for _ in range(_ITERATIONS):
        shares, left = _shares(common, each)
        before, common = common, float(shares @ moments @ shares) + left
        apart = own - 2 * moments @ shares + shares @ moments @ shares + left
        each = (apart + _WORTH * _USUAL**2) / (1 + _WORTH)
        if abs(common - before) <= _TOL * before:
            break
    return _shares(common, each)[0]


def _shares(common: float, each: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Shares of the measurements in the expectation, and the variance that is left."""
    left = 1 / (1 / common + float((1 / each).sum()))
    return left / each, left
