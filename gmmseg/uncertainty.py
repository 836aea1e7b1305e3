"""How sure a segmentation is: ambiguity and novelty."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg.mixture.mixture import Mixture

__all__ = ["entropy", "nearest_distance", "novelty"]

_ROWS = 1 << 16


def entropy(posterior: NDArray[Any]) -> NDArray[np.float32]:
    """Ambiguity: entropy of the posterior relative to its maximum, 0 = sure, 1 = no idea.

    Parameters
    ----------
    posterior : ndarray of shape (N, K)
        Rows sum to 1.

    Returns
    -------
    ndarray of shape (N,), float32
        ``- sum_k p_k log p_k / log K``; 0 for one class.

    Examples
    --------
    >>> entropy(np.array([[1.0, 0.0], [0.5, 0.5]]))
    array([0., 1.], dtype=float32)
    """
    n, k = posterior.shape
    total = np.zeros(n, np.float32)
    for start in range(0, n, _ROWS):
        part = posterior[start : start + _ROWS]
        logs = np.log(part, out=np.zeros_like(part), where=part > 0)
        total[start : start + _ROWS] -= np.einsum("nk,nk->n", part, logs)
    return np.clip(total / np.float32(np.log(max(k, 2))), 0, 1)


def novelty(mixture: Mixture, X: ArrayLike) -> NDArray[np.float32]:
    """How strange rows are to the mixture: 1 - p-value of the nearest component.

    The squared Mahalanobis distance to a row's own Gaussian has a chi-square distribution with
    as many degrees of freedom as the row has features; the value is its distribution function at
    the nearest component. Near 1: no component explains the row. Uniform on (0, 1) for rows drawn
    from one Gaussian.

    Parameters
    ----------
    mixture : Mixture
    X : array_like of shape (N, D)
        NaN = not observed.

    Returns
    -------
    ndarray of shape (N,), float32
        NaN where nothing is observed.
    """
    from scipy.special import gammainc  # 0.1 s of import time, seldom needed

    rows = np.asarray(X)
    distance = nearest_distance(mixture, rows)
    freedom = np.full(len(rows), mixture.n_features)
    if rows.dtype.kind == "f":
        freedom = (~np.isnan(rows)).sum(axis=1)
    found = gammainc(np.maximum(freedom, 1) / 2, distance**2 / 2)
    return np.where(freedom > 0, found, np.nan).astype(np.float32)


def nearest_distance(mixture: Mixture, X: ArrayLike) -> NDArray[np.float64]:
    """Mahalanobis distance of rows to the component with the smallest one, (N,).

    Components of weight 0 do not count.
    """
    rows = np.asarray(X)
    out = np.empty(len(rows))
    used = mixture.weights > 0
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        out[part] = mixture.mahalanobis(rows[part])[:, used].min(axis=1)
    return out
