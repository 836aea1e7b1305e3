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
    given = check_weights(sample_weight, len(X))
    weights = np.ones(len(X)) if given is None else given
    if len(X) <= n:
        return X, weights
    total = np.cumsum(weights)
    # anywhere within its stratum: no period of the image's columns can resonate with the sampling
    places = (np.arange(n) + np.random.default_rng(0).random(n)) * (total[-1] / n)
    chosen = np.minimum(np.searchsorted(total, places, side="right"), len(X) - 1)
    chosen, counts = np.unique(chosen, return_counts=True)
    return X[chosen], counts * (total[-1] / n)
