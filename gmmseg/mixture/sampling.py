"""Some rows that stand for all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg.mixture.lazy import LazyRows
from gmmseg.mixture.rows import check_weights

__all__ = ["sampled_rows"]


def sampled_rows(
    X: NDArray[Any] | LazyRows, sample_weight: ArrayLike | None, n: int
) -> tuple[NDArray[Any] | LazyRows, NDArray[np.float64]]:
    """At most `n` rows with weights: all of them, or one from each of `n` strata of equal weight.

    The weights add up to what they did. The same rows are drawn every time.

    Examples
    --------
    >>> X, weights = sampled_rows(np.arange(1000.0)[:, None], None, 10)
    >>> X.shape, weights.sum().item()
    ((10, 1), 1000.0)
    """
    weights = check_weights(sample_weight, len(X))
    if len(X) <= n:
        return X, np.ones(len(X)) if weights is None else weights
    # anywhere within its stratum: no period of the image's columns can resonate with the sampling
    places = (np.arange(n) + np.random.default_rng(0).random(n)) / n
    if weights is None:  # no array of one number for each of many pixels
        return X[np.minimum(places * len(X), len(X) - 1).astype(np.intp)], np.full(n, len(X) / n)
    total = np.cumsum(weights)
    places *= total[-1]
    chosen = np.minimum(np.searchsorted(total, places, side="right"), len(X) - 1)
    chosen, counts = np.unique(chosen, return_counts=True)
    return X[chosen], counts * (total[-1] / n)
