"""An order of points that does not depend on the one in which they come."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["lexical_order"]


def lexical_order(points: NDArray[Any]) -> NDArray[np.intp]:
    """``np.lexsort(points)`` of points (D, n): by the last feature, ties by the one before.

    In a third to a tenth of the time: NumPy sorts one integer for each point eight at a time, and
    those of float32 hold two features. Of other types the last feature should have few ties.
    """
    if points.dtype != np.float32:
        return _by_last(points)
    *others, last = (_ranked(feature) for feature in points)
    keys = (last << 32) + others.pop() if others else last
    order: NDArray[np.intp] = np.argsort(keys)
    keys = keys[order]
    number = np.arange(points.shape[1])  # points that are equal keep their order
    for feature in (*reversed(others), number):
        is_new = np.append(True, keys[1:] != keys[:-1])
        tied = _among_equals(is_new)
        if not len(tied):
            break
        among = order[tied]
        keys = np.cumsum(is_new) << 32
        finer = keys[tied] + feature[among]
        again = np.argsort(finer)
        order[tied], keys[tied] = among[again], finer[again]
    return order


def _ranked(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """32-bit integers in the order of the values; the largest are NaN."""
    bits = (values + np.float32(0)).view(np.int32)  # -0 becomes 0
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)


def _by_last(points: NDArray[Any]) -> NDArray[np.intp]:
    order: NDArray[np.intp] = np.argsort(points[-1])
    last = points[-1][order]
    tied = _among_equals(np.append(True, last[1:] > last[:-1]))  # NaN are tied, too
    among = np.sort(order[tied])
    order[tied] = among[np.lexsort(points[:, among])]
    return order


def _among_equals(is_new: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Where a value is equal to the one before or after it."""
    return np.flatnonzero(~is_new | np.append(~is_new[1:], False))
