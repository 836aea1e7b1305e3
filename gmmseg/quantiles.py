"""Quantiles of numbers, without NumPy's masked arrays, which its own import first: 20 ms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["quantiles"]


def quantiles(values: NDArray[Any], shares: Sequence[float]) -> tuple[float, ...]:
    """The values below which these shares lie, linear between neighbours, as `np.quantile`.

    Parameters
    ----------
    values : ndarray of shape (N,)
        At least one; none of them NaN.
    shares : sequence of float
        From 0 to 1.

    Examples
    --------
    >>> quantiles(np.array([3, 1, 2, 9]), (0.5, 1.0))
    (2.5, 9.0)
    """
    places = (len(values) - 1) * np.asarray(shares, np.float64)
    below = np.floor(places).astype(np.intp)
    above = np.minimum(below + 1, len(values) - 1)
    part = np.partition(values, sorted({*below.tolist(), *above.tolist()}))
    low, high = part[below].astype(np.float64), part[above].astype(np.float64)
    share = places - below
    # from the nearer end: exact at both
    found = np.where(share < 0.5, low + (high - low) * share, high - (high - low) * (1 - share))
    return tuple(found.tolist())
