"""Starts of EM: k-means, k-means++, random responsibilities, random rows, given parameters.

Every start looks at a sample of the rows only (all of them when there are few). EM then sees
every row, so the start decides which optimum is found, not how exactly: clusters found on tens of
thousands of rows differ from those of all rows by about a per cent of their width, far less than
the first EM step moves them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.ordering import lexical_order
from gmmseg.mixture.rows import BLOCK, Rows, row_groups
from gmmseg.mixture.statistics import SMALLEST_VARIANCE

__all__ = [
    "STARTS",
    "Sample",
    "kmeans",
    "start_from_clusters",
    "start_from_labels",
    "start_from_means",
]

Array = NDArray[np.float64]

SAMPLE_SIZE = 131_072
_SEEDING_SIZE = 16_384
_RANDOM_SIZE = 16_384
_MAX_LLOYD = 100
_LAST_LLOYD = 3  # on all of a large sample, from where a part of it led
_DRAWS = 8  # random rows drawn for each component, to find different ones
_DOT_ALONE, _PRODUCT_ALONE = 8192, 250_000  # multiplications that OpenBLAS gives one thread
_LLOYD_TOLERANCE = 1e-4  # squared shift of the centres relative to the mean variance


class Sample:
    """A sample of standardised rows on which starts are found.

    Parameters
    ----------
    planes : ndarray of shape (D, n)
        In the frame of the fit; NaN where not observed.
    weights : ndarray of shape (n,)
        All positive.
    metric : callable
        From the standard deviations (D,) of the features in the sample, to what they are
        multiplied by before distances are taken.

    Attributes
    ----------
    floor : ndarray of shape (D,)
        Added to the variances of a start; the ridge of the fit, if there is one.
    """

    def __init__(
        self, planes: NDArray[Any], weights: Array, metric: Callable[[Array], Array]
    ) -> None:
        self.planes = planes
        self.weights = weights
        wide = self.planes.astype(np.float64)
        self.mean, seen = _weighted_mean(wide, weights, np.zeros(len(planes)))
        squares = (wide - self.mean[:, None]) ** 2
        # a feature so rare that the sample has none of it: in the frame its variance is about 1
        self.variance = np.where(seen > 0, _weighted_mean(squares, weights, self.mean)[0], 1.0)
        self.metric = metric(np.sqrt(self.variance))
        self.floor = np.full(len(planes), SMALLEST_VARIANCE)
        #: What k-means found, and the state that it left the generator in.
        self.clusters: dict[tuple[int, str], tuple[NDArray[np.int32], Any]] = {}

    @property
    def points(self) -> NDArray[Any]:
        """Planes in the metric of the distances, C-contiguous."""
        return np.ascontiguousarray(self.planes * self.metric[:, None].astype(self.planes.dtype))


def _kmeans(sample: Sample, k: int, kind: str, rng: np.random.Generator) -> Mixture:
    state = k, str(rng.bit_generator.state)
    if state not in sample.clusters:  # another covariance type may want the same clusters
        labels, _ = kmeans(sample.points, sample.weights, k, rng)
        sample.clusters[state] = labels, rng.bit_generator.state
    labels, rng.bit_generator.state = sample.clusters[state]
    return _from_labels(sample, labels, k, kind)


def _kmeans_plus_plus(sample: Sample, k: int, kind: str, rng: np.random.Generator) -> Mixture:
    points = sample.points
    centres = _spread_centres(points, sample.weights, k, rng, np.empty((0, len(points))))
    return _from_labels(sample, _lloyd_step(points, sample.weights, centres)[0], k, kind)


def _random_rows(sample: Sample, k: int, kind: str, rng: np.random.Generator) -> Mixture:
    points = sample.points
    drawn = _filled(points, _draw(sample.weights, _DRAWS * k, rng))
    _, first = np.unique(drawn, axis=1, return_index=True)  # equal rows would share a cluster
    centres = drawn[:, np.resize(np.sort(first), k)].T.astype(np.float64)
    return _from_labels(sample, _lloyd_step(points, sample.weights, centres)[0], k, kind)


def _random_responsibilities(
    sample: Sample, k: int, kind: str, rng: np.random.Generator
) -> Mixture:
    n = min(sample.planes.shape[1], max(1, _RANDOM_SIZE // k))
    chosen = np.sort(rng.choice(sample.planes.shape[1], n, replace=False))
    resp = rng.random((k, n))
    resp *= sample.weights[chosen] / resp.sum(axis=0)
    x = sample.planes[:, chosen].astype(np.float64)
    nk = resp.sum(axis=1)
    means = np.stack([_weighted_mean(x, r, sample.mean)[0] for r in resp])
    return _assemble(sample, nk, means, [(x, r) for r in resp], kind)


def start_from_means(sample: Sample, means: Array, kind: str) -> Mixture:
    """The mixture whose clusters are the rows nearest to each of the given means (K, D)."""
    labels, _ = _lloyd_step(sample.points, sample.weights, means * sample.metric)
    start = _from_labels(sample, labels, len(means), kind)
    return Mixture.trusted(start.weights, means, start.covariances, kind)


def start_from_labels(
    rows: Rows, sample: Sample, labels: NDArray[Any], k: int, kind: str
) -> Mixture:
    """The mixture of the clusters that `labels` (N,), 0..k-1, cut all rows into."""
    d = rows.n_features
    is_matrix = COVARIANCE_TYPES[kind].is_matrix
    nk, first = np.zeros(k), np.zeros((k, d))
    second = np.zeros((k, d, d) if is_matrix else (k, d))
    for start, stop in row_groups(rows.n_samples):
        x, w = rows.values(start, stop)
        for j in range(k):
            chosen = labels[start:stop] == j
            xj, wj = x[:, chosen], w[chosen]
            nk[j] += wj.sum()
            first[j] += _sums(xj, wj)
            second[j] += _second_moment(xj, wj, is_matrix, sample.variance)
    safe = np.where(nk > 0, nk, 1.0)
    means = np.where(nk[:, None] > 0, first / safe[:, None], sample.mean)
    outer = means[:, :, None] * means[:, None, :] if is_matrix else means**2
    second -= nk.reshape(-1, *[1] * (second.ndim - 1)) * outer
    return _from_moments(sample, nk, means, second, kind)


#: The starts by name, each ``(sample, k, covariance_type, rng) -> Mixture``.
STARTS: dict[str, Callable[[Sample, int, str, np.random.Generator], Mixture]] = {
    "kmeans": _kmeans,
    "k-means++": _kmeans_plus_plus,
    "random": _random_responsibilities,
    "random_from_data": _random_rows,
}


def kmeans(
    points: NDArray[Any],
    weights: Array,
    k: int,
    rng: np.random.Generator,
    fixed: Array | None = None,
) -> tuple[NDArray[np.int32], Array]:
    """Clusters by Lloyd's algorithm, seeded by k-means++: labels (n,) of `points` (D, n), centres.

    `fixed` are the first of the `k` centres (K, D), which do not move.
    """
    fixed = np.empty((0, len(points))) if fixed is None else fixed
    centres = _spread_centres(points, weights, k, rng, fixed)
    step = -(-points.shape[1] // _SEEDING_SIZE)
    if step > 1:  # most of the way on a part of the sample
        part = np.ascontiguousarray(points[:, ::step])
        centres = _lloyd(part, weights[::step].copy(), centres, len(fixed), _MAX_LLOYD)
    most = _MAX_LLOYD if step == 1 else _LAST_LLOYD
    centres = _lloyd(points, weights, centres, len(fixed), most)
    return _lloyd_step(points, weights, centres)[0], centres


def _lloyd(points: NDArray[Any], weights: Array, centres: Array, n_fixed: int, most: int) -> Array:
    """The centres after Lloyd's iterations; the first `n_fixed` do not move."""
    tolerance = _LLOYD_TOLERANCE * _mean_variance(points)
    for _ in range(most):
        _, moved = _lloyd_step(points, weights, centres)
        moved[:n_fixed] = centres[:n_fixed]
        shift = float(((moved - centres) ** 2).sum())
        centres = moved
        if shift <= tolerance:
            break
    return centres


def _lloyd_step(
    points: NDArray[Any], weights: Array, centres: Array
) -> tuple[NDArray[np.int32], Array]:
    """Labels of the nearest centres, and the means (K, D) of the clusters.

    Distances are over the features that a row has. A cluster of which no row has a feature keeps
    its centre there.
    """
    labels = np.empty(points.shape[1], np.int32)
    near = centres.astype(points.dtype)
    space = lloyd_space(len(points), points.dtype)
    if _has_gaps(points):
        from gmmseg.mixture._missing_kernels import lloyd_gaps_pass

        sums = np.zeros((*centres.shape, 2))
        lloyd_gaps_pass(points, weights, near, space, labels, sums)
        total, first = sums[..., 0], sums[..., 1]
    else:
        from gmmseg.mixture._kernels import lloyd_pass

        sums = np.zeros((len(centres), 1 + len(points)))
        lloyd_pass(points, weights, near, space, labels, sums, np.zeros(1))
        total, first = sums[:, :1], sums[:, 1:]
    return labels, np.where(total > 0, first / np.where(total > 0, total, 1.0), centres)


def lloyd_space(n_features: int, dtype: np.dtype[Any]) -> tuple[NDArray[Any], ...]:
    """What the kernels of Lloyd's algorithm work in."""
    block, lines = np.zeros((n_features, BLOCK), dtype), np.empty((2, BLOCK), dtype)
    return block, lines, np.empty(BLOCK, np.int32)


def _has_gaps(points: NDArray[Any]) -> bool:
    with np.errstate(invalid="ignore"):
        # a third of the time of isnan(points).any()
        return bool(points.size) and bool(np.isnan(points.min()))


def _mean_variance(points: NDArray[Any]) -> float:
    """The mean over the features of the variance of what was observed."""
    if not _has_gaps(points):
        return float(points.var(axis=1).mean())
    wide, ones, zeros = points.astype(np.float64), np.ones(points.shape[1]), np.zeros(len(points))
    mean, _ = _weighted_mean(wide, ones, zeros)
    variance, _ = _weighted_mean((wide - mean[:, None]) ** 2, ones, zeros)
    return float(variance.mean())


def _spread_centres(
    points: NDArray[Any], weights: Array, k: int, rng: np.random.Generator, fixed: Array
) -> Array:
    """Greedy k-means++ (Arthur and Vassilvitskii 2007): centres (K, D) far from one another.

    Those of `fixed` come first.

    Of ``2 + log k`` candidates drawn by squared distance the best is taken. On a part of the
    sample only: the centres are moved by Lloyd's algorithm on the whole of it anyway.
    """
    step = -(-points.shape[1] // _SEEDING_SIZE)
    x, w = points[:, ::step], weights[::step]
    order = lexical_order(x)  # neither the order of rows nor writing weights as repeats may matter
    x, w = np.ascontiguousarray(x[:, order]), w[order]
    centres = list(fixed.astype(x.dtype)) or [_filled(x, _draw(w, 1, rng))[:, 0]]
    distance = np.minimum.reduce([_squared_distance(x, centre) for centre in centres])
    for _ in range(len(centres), k):
        mass = w * distance
        if not mass.any():  # fewer distinct rows than clusters: the rest stay empty
            centres.append(centres[-1])
            continue
        candidates = _filled(x, _draw(mass, 2 + int(np.log(k)), rng)).T
        trials = [np.minimum(distance, _squared_distance(x, c)) for c in candidates]
        # not w @ trial: that is BLAS
        best = int(np.argmin([(w * trial).sum() for trial in trials]))
        centres.append(candidates[best])
        distance = trials[best]
    return np.array(centres, dtype=np.float64)


def _filled(points: NDArray[Any], chosen: NDArray[np.intp]) -> NDArray[Any]:
    """Some of the points (D, n), with the means of the features in their gaps."""
    drawn = points[:, chosen]
    missing = np.isnan(drawn)
    if missing.any():
        n_features, n = points.shape
        mean, _ = _weighted_mean(points.astype(np.float64), np.ones(n), np.zeros(n_features))
        drawn = np.where(missing, mean[:, None].astype(points.dtype), drawn)
    return drawn


def _squared_distance(points: NDArray[Any], centre: NDArray[Any]) -> NDArray[Any]:
    """Over the features that a point has, scaled up as if it had all (Dixon 1979)."""
    difference = points - centre[:, None]
    squared: NDArray[Any]
    missing = np.isnan(difference)
    if not missing.any():
        squared = np.einsum("dn,dn->n", difference, difference)
        return squared
    difference[missing] = 0
    squared = np.einsum("dn,dn->n", difference, difference)
    return squared * (len(points) / (len(points) - missing.sum(axis=0))).astype(points.dtype)


def _draw(mass: NDArray[Any], n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw `n` indices with probability proportional to `mass`."""
    cumulative = np.cumsum(mass, dtype=np.float64)
    chosen = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right")
    drawn: NDArray[np.intp] = np.minimum(chosen, len(mass) - 1)
    return drawn


def _from_labels(sample: Sample, labels: NDArray[Any], k: int, kind: str) -> Mixture:
    """The mixture of the sample's clusters: their shares, means and covariances."""
    return start_from_clusters(sample, sample.planes, sample.weights, labels, k, kind)


def start_from_clusters(
    sample: Sample, planes: NDArray[Any], weights: Array, labels: NDArray[Any], k: int, kind: str
) -> Mixture:
    """The mixture of clusters of rows (D, n) in the frame of `sample`."""
    parts = []
    nk = np.zeros(k)
    means = np.tile(sample.mean, (k, 1))
    order = np.argsort(labels.astype(np.min_scalar_type(k)), kind="stable")  # short ones: by radix
    planes, weights = np.take(planes, order, axis=1).astype(np.float64), weights[order]
    ends = np.cumsum(np.bincount(labels, minlength=k)).tolist()
    for j, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        x, w = planes[:, start:end], weights[start:end]
        nk[j] = w.sum()
        if nk[j] > 0:
            means[j] = _weighted_mean(x, w, sample.mean)[0]
        parts.append((x, w))
    return _assemble(sample, nk, means, parts, kind)


def _weighted_mean(x: Array, weights: Array, otherwise: Array) -> tuple[Array, Array]:
    """Means of the observed values of each feature of `x` (D, n), and the weight that has any."""
    if not _has_gaps(x):
        total = weights.sum()
        return _sums(x, weights) / total, np.full(len(x), total)
    seen = ~np.isnan(x)
    weight = _sums(seen, weights)
    mean = _sums(np.where(seen, x, 0.0), weights) / np.where(weight > 0, weight, 1.0)
    return np.where(weight > 0, mean, otherwise), weight


# BLAS wakes its threads for long sums, and they spin on for 0.1 s after: time that ours then lack
# (two threads of EM over one feature took 1.50 ms where they take 0.86). Where CPUs are busy, it
# waits for them, too. Hence no long sum of products here is one call of BLAS.


def _sums(values: NDArray[Any], weights: Array) -> Array:
    """Weighted sums (D,) of values (D, n)."""
    total: Array = np.einsum("dn,n->d", values, weights)
    return total


def _products(a: Array, b: Array) -> Array:
    """``a @ b.T`` (D, D) of values (D, n), in parts for which BLAS wakes no threads."""
    d, n = a.shape
    size = min(_DOT_ALONE, max(1, _PRODUCT_ALONE // d**2))
    whole = n // size * size
    left, right = (x[:, :whole].reshape(d, -1, size).swapaxes(0, 1) for x in (a, b))
    total: Array = (left @ right.swapaxes(1, 2)).sum(axis=0)
    return total + a[:, whole:] @ b[:, whole:].T


def _assemble(
    sample: Sample, nk: Array, means: Array, parts: list[tuple[Array, Array]], kind: str
) -> Mixture:
    """Weights, means and covariances from the rows and weights of every component."""
    is_matrix = COVARIANCE_TYPES[kind].is_matrix
    second = np.stack(
        [
            _second_moment(x - mean[:, None], w, is_matrix, sample.variance)
            for mean, (x, w) in zip(means, parts, strict=True)
        ]
    )
    return _from_moments(sample, nk, means, second, kind)


def _from_moments(sample: Sample, nk: Array, means: Array, second: Array, kind: str) -> Mixture:
    """The mixture from every component's weight, mean, and second moments about that."""
    covariance = COVARIANCE_TYPES[kind]
    floor = sample.floor
    # a cluster with too few rows to have a shape gets a broad one, or it would keep only itself
    flat = second.reshape(len(nk), -1).max(axis=1) <= 0
    poor = flat | (nk <= len(sample.planes) * sample.weights.min())
    broad = np.maximum(sample.variance / max(1, len(nk)) ** 2, floor)
    shape = np.diag(broad) if covariance.is_matrix else broad
    second[poor] = nk[poor].reshape(-1, *[1] * (second.ndim - 1)) * shape
    safe = np.where(nk > 0, nk, 1.0)
    second[nk == 0] = shape
    covariances = covariance.estimate(second, safe, float(safe.sum()), floor)
    return Mixture.trusted(nk / nk.sum(), means, covariances, kind)


def _second_moment(centred: Array, weights: Array, is_matrix: bool, otherwise: Array) -> Array:
    """Sum of ``w x x'``, or its diagonal.

    With gaps: variances are those of the observed values, covariances come from the rows that have
    both, scaled so that the matrix stays positive. `otherwise` (D,) are variances of features that
    no row has.
    """
    grown = None
    if _has_gaps(centred):
        seen = ~np.isnan(centred)
        share = _sums(seen, weights) / weights.sum()
        grown = 1.0 / np.sqrt(np.where(share > 0, share, 1.0))
        centred = np.where(seen, centred, 0.0)
    weighted = centred * weights
    result: Array = _products(weighted, centred) if is_matrix else (weighted * centred).sum(axis=1)
    if grown is not None:
        lacking = np.where(share > 0, 0.0, otherwise * weights.sum())
        result = (
            result * np.outer(grown, grown) + np.diag(lacking)
            if is_matrix
            else (result * grown**2 + lacking)
        )
    return result
