"""What a user knows of an image beforehand: the classes of some pixels, or a box around an object.

"Hints" in docs/math.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg._check import check_integer, check_real
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.mixture.hinted import Hints
from gmmseg.mixture.mixture import Mixture
from gmmseg.pixels import PixelRows
from gmmseg.smoothing import SmoothingOptions

__all__ = ["OBJECT", "BoxOptions", "Guidance", "around_box", "box_hints", "check_hints"]

#: What the classes of a box are called.
BACKGROUND, OBJECT = 1, 2

MOST_CLASSES = 65535

# Of what is inside of a box so much is taken for background at first, and no component of the
# object begins with less than this share of what it has inside.
_BACKGROUND_INSIDE = 0.5
_LEAST_OBJECT = 0.02


@dataclass(frozen=True, kw_only=True)
class BoxOptions:
    """How an object in a box is told from what is around it.

    Attributes
    ----------
    gaussians : int
        Components of the object, and as many of the background.
    iterations : int
        Most iterations of EM with the ties between pixels.
    margin : float
        Background is learnt as far around the box as this share of its sides: what is far away
        says little of what is behind the object.
    smoothing : SmoothingOptions
        How neighbouring pixels are taken into account where that is not said otherwise.
    """

    gaussians: int = 5
    iterations: int = 10
    margin: float = 0.5
    smoothing: SmoothingOptions = SmoothingOptions(beta=5.0, contrast=1.0, inside=True, sweeps=20)

    def __post_init__(self) -> None:
        for name in ("gaussians", "iterations"):
            number = check_integer(getattr(self, name), name, minimum=1)
            object.__setattr__(self, name, number)
        margin = check_real(self.margin, "margin", minimum=0.0, exclusive=True)
        object.__setattr__(self, "margin", margin)


@dataclass(frozen=True, eq=False)
class Guidance:
    """The classes of some pixels of an image, and those of the components of its mixture.

    Attributes
    ----------
    hints : ndarray of int, of the image's shape
        Class from 1; 0 = not known, or not used.
    labels : tuple of int
        The class of each component.
    assumed : int
        The class that all other pixels begin with; 0 = none.
    """

    hints: NDArray[Any]
    labels: tuple[int, ...]
    assumed: int = 0

    @classmethod
    def of(
        cls,
        rows: PixelRows,
        k: int | str | None,
        hints: ArrayLike | None,
        box: Sequence[int] | None,
        options: BoxOptions,
    ) -> Guidance | None:
        """What the user told, of whatever kind; None = nothing."""
        if hints is None and box is None:
            return None
        if hints is not None and box is not None:
            raise InvalidParameterError("hints and box exclude each other: give one of them.")
        if isinstance(k, str):
            raise InvalidParameterError(
                f"k must be a number with hints or a box, got {k!r}. Leave it out for as many "
                "classes as there are in the hints."
            )
        number = None if k is None else check_integer(k, "k", minimum=1)
        if box is not None:
            return cls.of_box(box, rows, number, options)
        assert hints is not None  # noqa: S101 - one of them is given
        return cls.of_hints(hints, rows, number)

    @classmethod
    def of_hints(cls, hints: ArrayLike, rows: PixelRows, k: int | None) -> Guidance:
        """One component for each class; `k` classes, or as many as the largest hint."""
        found = check_hints(hints, rows)
        largest = int(found.max())
        if k is not None and k < largest:
            raise InvalidParameterError(
                f"k must be at least the largest class of the hints, {largest}, got {k}."
            )
        if (k or largest) > MOST_CLASSES:
            raise InvalidParameterError(f"k must be at most {MOST_CLASSES}, got {k}.")
        return cls(found, tuple(range(1, (k or largest) + 1)))

    @classmethod
    def of_box(
        cls, box: Sequence[int], rows: PixelRows, k: int | None, options: BoxOptions
    ) -> Guidance:
        """Two classes, background and object, each of several components."""
        if k not in (None, OBJECT):
            raise InvalidParameterError(
                f"k must be {OBJECT} with a box: background and object. Got {k!r}."
            )
        found = _of_used(box_hints(box, rows.shape), rows)
        used = True if rows.valid is None else rows.valid
        for where, name in ((found == 0) & used, "in"), ((found > 0) & used, "outside of"):
            if not where.any():
                raise InvalidDataError(
                    f"box must have used pixels inside and outside, got {tuple(box)} with none "
                    f"{name} it. Is all of that masked?"
                )
        n = options.gaussians
        labels = (BACKGROUND,) * n + (OBJECT,) * n
        return cls(found, labels, assumed=OBJECT)

    @property
    def n_fitted(self) -> int:
        """How many components are fitted before neighbours count."""
        return len(self.labels) // (2 if self.assumed else 1)

    @property
    def priors(self) -> None:
        """There are none beside hints."""

    @property
    def provenance(self) -> dict[str, Any]:
        """How many pixels are known of each class that has any, for the model."""
        labels, counts = np.unique(self.hints[self.hints > 0], return_counts=True)
        return {"hints": {str(j): int(n) for j, n in zip(labels, counts, strict=True)}}

    def of_rows(self, rows: PixelRows) -> tuple[NDArray[Any], NDArray[np.int64] | None, Hints]:
        """Features, counts and hints, or the class assumed, of every pair of a row and a hint."""
        used = rows.of_used(self.hints[np.newaxis])[0]
        numbers, hints, counts = rows.pairs(used)
        hints = np.where(hints > 0, hints, self.assumed)
        return rows.features[numbers], counts, Hints(hints, self.labels)

    def divided(self, mixture: Mixture, rows: PixelRows) -> Mixture:
        """Every component of `mixture` for the background and once more for the object.

        Their shares are those of the pixels outside and inside; of the object's, what is expected
        to be background is taken off.
        """
        features, counts, hints = self.of_rows(rows)
        weights = np.ones(len(features)) if counts is None else counts.astype(np.float64)
        posterior = mixture.posterior(features).astype(np.float64)
        outside, inside = (
            (weights * (hints.of_rows == side)) @ posterior for side in (BACKGROUND, OBJECT)
        )
        outside, inside = outside / outside.sum(), inside / inside.sum()
        proper = np.maximum(inside - _BACKGROUND_INSIDE * outside, _LEAST_OBJECT * inside)
        both = np.concatenate([outside, proper / proper.sum()]) / 2
        twice = mixture.reordered(np.tile(np.arange(mixture.n_components), 2))
        return Mixture.trusted(both, twice.means, twice.covariances, twice.covariance_type)

    def ordered(self, mixture: Mixture) -> tuple[Mixture, Guidance]:
        """Classes without a hint in the order of their first feature; empty components left out.

        Hints are what the classes are called: those stay.
        """
        order = np.arange(mixture.n_components)
        free = np.flatnonzero(~np.isin(self.labels, self.hints))
        if len(set(self.labels)) == len(order):
            order[free] = free[np.argsort(mixture.means[free, 0], kind="stable")]
            return mixture.reordered(order), self
        kept = np.flatnonzero(mixture.weights > 0)
        labels = tuple(self.labels[j] for j in kept)
        if set(labels) != set(self.labels):
            return mixture, self
        return mixture.reordered(kept), replace(self, labels=labels)


def check_hints(hints: ArrayLike, rows: PixelRows) -> NDArray[Any]:
    """Hints as a label map of the image's shape, 0 where a pixel is not used.

    Raises
    ------
    InvalidDataError
        When they are no whole numbers from 0, of another shape, or all 0.
    """
    given = np.asarray(hints)
    if given.shape != rows.shape:
        raise InvalidDataError(
            f"hints must have the image's shape {rows.shape}, got {given.shape}. "
            "They are a label map: 0 = not known, from 1 the class."
        )
    if given.dtype.kind not in "buif" or not np.isfinite(given).all() or (given % 1 != 0).any():
        raise InvalidDataError("hints must be whole numbers: 0 = not known, from 1 the class.")
    if given.min() < 0 or given.max() > np.iinfo(np.uint16).max:
        raise InvalidDataError(
            f"hints must be from 0 to {np.iinfo(np.uint16).max}, got {given.min():g} to "
            f"{given.max():g}."
        )
    found = _of_used(given.astype(np.uint16), rows)
    if not found.any():
        raise InvalidDataError(
            "hints must name the class of a used pixel at least: all of them are 0."
        )
    return found


def _of_used(hints: NDArray[Any], rows: PixelRows) -> NDArray[Any]:
    return hints if rows.valid is None else np.where(rows.valid, hints, 0).astype(hints.dtype)


def around_box(box: Sequence[int], shape: tuple[int, ...], margin: float) -> NDArray[np.bool_]:
    """True in a box that is larger by a share `margin` of its sides on each side.

    `box` and `shape` as of `box_hints`, by which they have been checked.
    """
    near = np.zeros(shape, bool)
    pairs = zip(list(box)[: len(shape)][::-1], list(box)[len(shape) :][::-1], strict=True)
    edges = [(c, s, max(1, round(margin * s))) for c, s in pairs]
    near[tuple(slice(max(0, c - m), c + s + m) for c, s, m in edges)] = True
    return near


def box_hints(box: Sequence[int], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """1 (background) outside of a box, 0 (not known) in it.

    Parameters
    ----------
    box : sequence of int
        (x, y, width, height) in pixels from the upper left corner, or (x, y, z, width, height,
        depth) for a volume.
    shape : tuple of int
        (rows, cols) or (planes, rows, cols).

    Examples
    --------
    >>> box_hints((1, 0, 2, 1), (2, 4))
    array([[1, 0, 0, 1],
           [1, 1, 1, 1]], dtype=uint8)
    """
    names = "(x, y, width, height)" if len(shape) == 2 else "(x, y, z, width, height, depth)"
    numbers = list(box) if isinstance(box, Sequence | np.ndarray) else []
    if isinstance(box, str) or len(numbers) != 2 * len(shape):
        raise InvalidParameterError(f"box must be {names} in pixels, got {box!r}.")
    values = [check_integer(number, "box") for number in numbers]
    corner, size = values[: len(shape)][::-1], values[len(shape) :][::-1]
    inside = all(
        c >= 0 and s > 0 and c + s <= n for c, s, n in zip(corner, size, shape, strict=True)
    )
    if not inside:
        sides = " x ".join(str(n) for n in shape[::-1])
        raise InvalidParameterError(
            f"box must lie in the image and be of at least one pixel: {names} of an image of "
            f"{sides} pixels, got {tuple(values)}."
        )
    if tuple(size) == tuple(shape):
        raise InvalidParameterError(
            f"box must leave pixels of the background outside, got {tuple(values)}: all of the "
            "image."
        )
    hints = np.full(shape, BACKGROUND, np.uint8)
    hints[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))] = 0
    return hints
