"""Kernels for rows with gaps (NaN = not observed), in the manner of `_kernels`."""

import numpy as np

from gmmseg.mixture._jit import inline, kernel

BLOCK = 1024  # as in `_kernels`; a number of their own, because Numba's cache sees one file only


@inline
def _fill(source, target):
    for i in range(source.shape[0]):
        target[i] = source[i]


@kernel
def lloyd_gaps_pass(planes, weights, centres, space, labels, sums):
    """Assign every row of `planes` (D, n) to the nearest of `centres` (K, D) by what it has.

    `sums` (K, D, 2) receives for each feature the weight that observed it, and the weighted
    sum; `labels` the assignments. That a row has fewer features makes all its distances smaller
    alike, and does not matter here. `space` as in `_kernels.lloyd_pass`.
    """
    n_clusters, n_features = centres.shape
    x, lines, label = space
    distance, nearest = lines[0], lines[1]
    zero = planes.dtype.type(0)
    for b in range(0, planes.shape[1], BLOCK):
        n = min(BLOCK, planes.shape[1] - b)
        for d in range(n_features):
            _fill(planes[d, b : b + n], x[d])
        for i in range(BLOCK):
            nearest[i] = np.inf
            label[i] = 0
        for k in range(n_clusters):
            for i in range(BLOCK):
                distance[i] = 0
            for d in range(n_features):
                for i in range(BLOCK):
                    difference = x[d, i] - centres[k, d]
                    distance[i] += zero if np.isnan(difference) else difference * difference
            for i in range(BLOCK):
                if distance[i] < nearest[i]:
                    nearest[i] = distance[i]
                    label[i] = k
        _fill(label[:n], labels[b:])
        for d in range(n_features):
            for i in range(n):
                if not np.isnan(x[d, i]):
                    sums[label[i], d, 0] += weights[b + i]
                    sums[label[i], d, 1] += weights[b + i] * x[d, i]
