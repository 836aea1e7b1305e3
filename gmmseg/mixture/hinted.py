"""Rows of which some are known to belong to a class: semi-supervised EM.

"Hints" in docs/math.md. A row with a hint comes from the components of its class alone, so its
responsibilities are those within the class. Rows of one hint are rows like any others under the
mixture of the class's components, and their statistics add up with those of the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import InvalidDataError
from gmmseg.mixture._threads import Workers, in_turn
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.patterns import AnyRows, rows_of
from gmmseg.mixture.rows import Frame, Preloadable, Rows
from gmmseg.mixture.seeding import Sample, kmeans, start_from_clusters

__all__ = ["HintedRows", "Hints", "Part", "start_from_hints"]

Array = NDArray[np.float64]

#: Of the rows of every hint so many at least are in a sample, if there are so many.
_FEWEST = 1024


@dataclass(frozen=True, eq=False)
class Hints:
    """What is known of the classes of rows.

    Attributes
    ----------
    of_rows : ndarray of int, shape (N,)
        The class of each row, from 1; 0 = not known.
    labels : tuple of int
        The class of each component, from 1.
    """

    of_rows: NDArray[Any]
    labels: tuple[int, ...]

    def components(self, hint: int) -> NDArray[np.intp]:
        """The components that a row with this hint may belong to."""
        classes = np.array(self.labels)
        return np.flatnonzero(classes == hint) if hint else np.arange(len(classes))


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one hint (0 = without), and the components that they may belong to."""

    hint: int
    components: NDArray[np.intp]
    rows: AnyRows

    def mixture(self, whole: Mixture) -> Mixture:
        """The components of the part, their weights as they are in the whole mixture."""
        return whole.reordered(self.components) if self.hint else whole


class HintedRows(Preloadable):
    """Rows in parts, each with the components it may belong to: as `Rows` to its users.

    Parameters
    ----------
    parts : list of Part
        Not empty, all in one frame.
    """

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        rows = [part.rows for part in parts]
        self.n_samples = sum(r.n_samples for r in rows)
        self.n_features, self.frame, self.dtype = rows[0].n_features, rows[0].frame, rows[0].dtype
        self.total_weight = float(sum(r.total_weight for r in rows))

    @classmethod
    def of(cls, X: NDArray[Any], weights: Array | None, frame: Frame, hints: Hints) -> HintedRows:
        """The rows of `X` by hint; those without a weight count for nothing."""
        counts = np.ones(len(X), bool) if weights is None else weights > 0
        parts = []
        for hint in np.unique(hints.of_rows[counts]).tolist():
            index = np.flatnonzero(counts & (hints.of_rows == hint))
            rows = _chosen(X, weights, frame, index)
            if rows.n_samples:
                parts.append(Part(hint, hints.components(hint), rows))
        return cls(parts)

    @property
    def unhinted(self) -> HintedRows:
        """The same rows, nothing known of them."""
        return HintedRows([replace(part, hint=0) for part in self.parts])

    @property
    def log_scale(self) -> float:
        """As of `Rows`, the mean over the rows."""
        first = self.parts[0].rows.log_scale
        more = (part.rows.total_weight * (part.rows.log_scale - first) for part in self.parts)
        return first + sum(more) / self.total_weight

    def begin_preload(self, workers: Workers) -> Callable[[], None]:
        """As of `Rows`."""
        return in_turn([part.rows.begin_preload(workers) for part in self.parts])

    def look(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """As of `Rows`."""
        found = [part.rows.look(self._share(part, n), rng) for part in self.parts]
        values, weights = zip(*found, strict=True)
        return np.concatenate(values), np.concatenate(weights)

    def samples(self, n: int, rng: np.random.Generator) -> list[tuple[Part, NDArray[Any], Array]]:
        """Every part with planes (D, m) and weights (m,) of a sample of it."""
        return [(part, *part.rows.sample(self._share(part, n), rng)) for part in self.parts]

    def sample(self, n: int, rng: np.random.Generator) -> tuple[NDArray[Any], Array]:
        """As of `Rows`, but that of no hint there are too few."""
        _, planes, weights = zip(*self.samples(n, rng), strict=True)
        return np.concatenate(planes, axis=1), np.concatenate(weights)

    def part(self, n: int, rng: np.random.Generator) -> HintedRows:
        """As of `Rows`."""
        return HintedRows(
            [replace(part, rows=part.rows.part(self._share(part, n), rng)) for part in self.parts]
        )

    def _share(self, part: Part, n: int) -> int:
        return max(math.ceil(n * part.rows.total_weight / self.total_weight), _FEWEST)


def _chosen(
    X: NDArray[Any], weights: Array | None, frame: Frame, index: NDArray[np.intp]
) -> AnyRows:
    """Some of the rows: by their numbers, or a copy of them if they have gaps."""
    if X.dtype.kind != "f" or not np.isnan(X[index]).any():
        return Rows(X, weights, frame, index=index)
    return rows_of(X[index], None if weights is None else weights[index], frame)


def start_from_hints(
    rows: HintedRows, n_samples: int, sample: Sample, k: int, kind: str, rng: np.random.Generator
) -> Mixture:
    """The mixture of the hinted rows' clusters, and of clusters of the others far from those.

    Rows of a class with several components are cut into as many by k-means. Classes without a
    hint begin where k-means++ puts them, given the others.
    """
    # hints come in ascending order: what is not known first, but its centres last
    drawn = sorted(rows.samples(n_samples, rng), key=lambda found: found[0].hint or np.inf)
    metric = sample.metric[:, None].astype(rows.dtype)
    centres = np.empty((0, rows.n_features))
    order: list[int] = []  # the components that the centres are of
    labels = []
    for part, planes, weights in drawn:
        if not part.hint:
            order += sorted(set(range(k)) - set(order))
        fixed = np.empty_like(centres[:0]) if part.hint else centres
        own = part.components if part.hint else np.array(order)
        found, moved = kmeans(planes * metric, weights, len(own), rng, fixed)
        labels.append(own[found])
        if part.hint:
            order += own.tolist()
            centres = np.concatenate([centres, moved])
    if len(order) < k:
        raise InvalidDataError(
            f"every row has a hint, but of {k - len(order)} of the {k} components there is none. "
            "Ask for fewer, or leave rows without a hint."
        )
    return start_from_clusters(
        sample,
        np.concatenate([planes for _, planes, _ in drawn], axis=1),
        np.concatenate([weights for _, _, weights in drawn]),
        np.concatenate(labels),
        k,
        kind,
    )
