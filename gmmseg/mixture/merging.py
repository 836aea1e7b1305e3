"""Segments of several Gaussians each: components merged until there are as many as classes.

A class need not look like a Gaussian. More components than classes are fitted, and those that
overlap most are merged: posteriors of the components of one class add up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg._check import check_choice, check_integer
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.overlap import bhattacharyya
from gmmseg.mixture.sampling import sampled_rows

__all__ = [
    "MERGE_BY",
    "MergeOptions",
    "merge_components",
    "ordered_classes",
    "shared_borders",
]

Array = NDArray[np.float64]

#: How much two components overlap.
MERGE_BY = ("balanced", "entropy", "misclassification")

# Rows that are looked at: the sums over them are known to about 1/250 of themselves, far better
# than it takes to tell one pair from another.
_ROWS = 1 << 16

#: An overlap of less than this share of all rows is none; what differs by less is equal.
_EQUAL = 1e-9


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """How components become classes.

    Attributes
    ----------
    gaussians_per_segment : int
        So many times more components than classes are fitted. 1 = each class is one Gaussian.
    merge_by : {"balanced", "entropy", "misclassification"}
        What is merged first. "entropy": the two that make the posterior of all rows most certain
        when they become one (Baudry et al. 2010); "balanced": the same divided by both their
        numbers of rows, so that large classes do not draw everything to them;
        "misclassification": the two that are most often taken for one another (Hennig 2010).
    merge_touching : bool
        Weigh this by the share of the border that two components have in common in the image.
    """

    gaussians_per_segment: int = 1
    merge_by: str = "balanced"
    merge_touching: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.merge_touching, bool):
            raise InvalidParameterError(
                f"merge_touching must be True or False, got {self.merge_touching!r}."
            )
        checked = {
            "gaussians_per_segment": check_integer(
                self.gaussians_per_segment, "gaussians_per_segment", minimum=1
            ),
            "merge_by": check_choice(self.merge_by, "merge_by", MERGE_BY),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def is_on(self) -> bool:
        """False when each class is one Gaussian."""
        return self.gaussians_per_segment > 1


def merge_components(
    mixture: Mixture,
    X: ArrayLike,
    k: int,
    *,
    by: str = "balanced",
    sample_weight: ArrayLike | None = None,
    borders: ArrayLike | None = None,
    threads: int | None = None,
) -> tuple[int, ...]:
    """Merge the components that overlap most, two at a time, until `k` classes are left.

    Parameters
    ----------
    mixture : Mixture
    X : array_like of shape (N, D)
        The rows that it was fitted to. Of more than 65 536 a sample is looked at.
    k : int
        Number of classes, at most that of the components.
    by : {"balanced", "entropy", "misclassification"}
        Equations 46 and 47 of docs/math.md: Baudry, Raftery, Celeux, Lo and Gottardo, J. Comput.
        Graph. Statist. 19 (2010) 332-353, or Hennig, Adv. Data Anal. Classif. 4 (2010) 3-34.
    sample_weight : array_like of shape (N,), optional
        How many pixels each row stands for.
    borders : array_like of shape (n_components, n_components), optional
        Length of the border that two components share in the image. What two have in common is
        weighed by the share that it is of the shorter one's border.
    threads : int, optional

    Returns
    -------
    tuple of int
        The class of each component, 1..k in the order of the means of the first feature.

    Raises
    ------
    InvalidParameterError
        When `k` is more than there are components.

    Examples
    --------
    >>> import numpy as np
    >>> from gmmseg.mixture import Mixture
    >>> mixture = Mixture(weights=[0.3, 0.3, 0.4], means=[[0.0], [1.0], [9.0]],
    ...                   covariances=[1.0, 1.0, 1.0], covariance_type="spherical")
    >>> merge_components(mixture, np.linspace(-3, 12, 100)[:, None], 2)
    (1, 1, 2)
    """
    check_choice(by, "by", MERGE_BY)
    if check_integer(k, "k", minimum=1) > mixture.n_components:
        raise InvalidParameterError(
            f"k must be at most the number of components, {mixture.n_components}, got {k}."
        )
    rows, weights = sampled_rows(np.asarray(X), sample_weight, _ROWS)
    posterior = mixture.posterior(rows, threads=threads).astype(np.float64).T.copy()
    touching = None if borders is None else _check_borders(borders, mixture.n_components)
    groups = _merged(posterior, weights, k, by, bhattacharyya(mixture), touching)
    return ordered_classes(mixture, groups)


def ordered_classes(mixture: Mixture, groups: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The class of each component for groups of components, dark to bright: 1..k.

    A class is where the mean of its first feature is.

    Examples
    --------
    >>> from gmmseg.mixture import Mixture
    >>> mixture = Mixture(weights=[0.5, 0.25, 0.25], means=[[5.0], [0.0], [9.0]],
    ...                   covariances=[1.0, 1.0, 1.0], covariance_type="spherical")
    >>> ordered_classes(mixture, [[0], [1, 2]])
    (2, 1, 1)
    """
    weights = np.maximum(mixture.weights, np.finfo(np.float64).tiny)
    first = mixture.means[:, 0]
    places = [float(np.average(first[list(g)], weights=weights[list(g)])) for g in groups]
    labels = np.zeros(mixture.n_components, np.int64)
    for label, group in enumerate(np.argsort(places, kind="stable"), start=1):
        labels[list(groups[group])] = label
    return tuple(labels.tolist())


def shared_borders(components: NDArray[Any], n_components: int) -> Array:
    """How many pairs of neighbouring pixels of an image belong to each two components.

    Parameters
    ----------
    components : ndarray of int, the image's shape
        From 0; -1 where a pixel is not used.
    n_components : int

    Returns
    -------
    ndarray of shape (n_components, n_components), float64
        Symmetric, 0 on the diagonal.

    Examples
    --------
    >>> shared_borders(np.array([[0, 1], [0, 0]]), 2)
    array([[0., 2.],
           [2., 0.]])
    """
    table = np.zeros((n_components, n_components))
    for axis in range(components.ndim):
        along = np.moveaxis(components, axis, 0)
        here, there = along[:-1], along[1:]
        apart = (here != there) & (here >= 0) & (there >= 0)
        pairs = here[apart].astype(np.int64) * n_components + there[apart]
        table += np.bincount(pairs, minlength=table.size).reshape(table.shape)
    return table + table.T


def _check_borders(borders: ArrayLike, n_components: int) -> Array:
    table = np.array(borders, dtype=np.float64)
    if table.shape != (n_components, n_components) or not (table >= 0).all():
        raise InvalidDataError(
            f"borders must be lengths of shape ({n_components}, {n_components}), "
            f"got shape {table.shape}."
        )
    np.fill_diagonal(table, 0.0)
    return table


def _merged(
    posterior: Array,
    weights: Array,
    k: int,
    by: str,
    distances: Array,
    borders: Array | None,
) -> list[list[int]]:
    """Groups of components, `k` of them. `posterior` is (K, N), and is overwritten."""
    groups = [[j] for j in range(len(posterior))]
    changed: Sequence[int] = range(len(posterior))
    found = np.zeros(distances.shape)
    while len(groups) > k:
        _OVERLAP[by](posterior, weights, changed, found)
        mass = posterior @ weights
        worth = np.where(found > _EQUAL * mass.sum(), found, 0.0)
        if by == "balanced":
            worth /= np.maximum(np.outer(mass, mass), np.finfo(np.float64).tiny)
        a, b = _next_pair(_by_border(worth, borders), mass, distances)
        changed = (a,)
        groups[a] += groups.pop(b)
        posterior[a] += posterior[b]
        posterior = np.delete(posterior, b, axis=0)
        found = _without(found, b)
        distances = _joined(distances, a, b, np.minimum)
        if borders is not None:
            borders = _joined(borders, a, b, np.add)
    return groups


def _by_border(found: Array, borders: Array | None) -> Array:
    """Overlaps, weighed by the share that the common border is of the shorter one's."""
    if borders is None or not borders.any():
        return found
    around = borders.sum(axis=1)
    return found * borders / np.maximum(np.minimum.outer(around, around), 1.0)


def _next_pair(found: Array, mass: Array, distances: Array) -> tuple[int, int]:
    """The two that overlap most; of equals the nearest. What has no rows goes first."""
    empty = mass <= _EQUAL * mass.sum()
    first, second = np.triu_indices(len(mass), 1)
    values = np.where(empty[first] | empty[second], np.inf, found[first, second])
    candidates = np.flatnonzero(values >= values.max() * (1 - _EQUAL))
    best = candidates[np.argmin(distances[first, second][candidates])]
    return int(first[best]), int(second[best])


def _entropy_gain(posterior: Array, weights: Array, changed: Sequence[int], found: Array) -> None:
    """By how much the entropy of all rows falls when two become one (equation 46)."""
    alone = [weights @ _plogp(p) for p in posterior]
    for a in changed:
        for b in range(len(posterior)):
            if b != a and (len(changed) == 1 or b > a):
                together = weights @ _plogp(posterior[a] + posterior[b])
                found[a, b] = found[b, a] = together - alone[a] - alone[b]


def _plogp(p: Array) -> Array:
    logs: Array = np.log(p, out=np.zeros_like(p), where=p > 0)
    return p * logs


def _misclassification(
    posterior: Array, weights: Array, changed: Sequence[int], found: Array
) -> None:
    """How often rows of one are taken for the other, at worst (equation 47)."""
    taken_for = posterior.argmax(axis=0)
    table = np.empty(found.shape)
    for a, p in enumerate(posterior):
        table[a] = np.bincount(taken_for, weights=weights * p, minlength=len(posterior))
    share = table / np.maximum(posterior @ weights, np.finfo(np.float64).tiny)[:, None]
    found[:] = np.maximum(share, share.T) * weights.sum()  # sums over rows, as the other's are


#: Overlaps of every two classes, written to the last argument; for the entropy only where the
#: classes named by the third have changed.
Overlap = Callable[[Array, Array, Sequence[int], Array], None]

_OVERLAP: dict[str, Overlap] = {
    "balanced": _entropy_gain,
    "entropy": _entropy_gain,
    "misclassification": _misclassification,
}


def _joined(table: Array, a: int, b: int, join: Callable[[Array, Array], Array]) -> Array:
    """A symmetric table after `b` has been joined to `a`."""
    row = join(table[a], table[b])
    row[a] = row[b] = 0.0
    table = table.copy()
    table[a] = table[:, a] = row
    return _without(table, b)


def _without(table: Array, index: int) -> Array:
    return np.delete(np.delete(table, index, axis=0), index, axis=1)
