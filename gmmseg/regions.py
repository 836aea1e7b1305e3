"""Regions: connected pixels of one class; specks and holes given away, like neighbours joined."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg._check import check_integer, check_real
from gmmseg._entries import options_of_entries
from gmmseg.area import parse_area
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.labels import MOST_LABELS
from gmmseg.lattice import NEIGHBOURS

__all__ = [
    "RegionOptions",
    "as_map",
    "clean_labels",
    "connected_regions",
    "merge_regions",
]

_COUNTS = tuple(sorted({n for counts in NEIGHBOURS.values() for n in counts}))

# A size in real units may be a hair off a whole number of pixels.
_HAIR = 1e-9

Regions = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class RegionOptions:
    """What becomes of regions, the connected pixels of one class.

    Areas are numbers of pixels, or texts: "5 mm2", "1.5 ml", "2 ha" where the size of a pixel is
    known, "0.5 %" of the used pixels.

    Attributes
    ----------
    min_area : float or str
        Smaller regions are given to the class beside them that their pixels' probabilities speak
        for, the smallest first. 0 = all stay.
    max_hole : float or str
        Regions up to this that lie wholly within a single other one become a part of it. 0 = all
        stay.
    connectivity : {4, 8, 6, 18, 26} or None
        4 or 8 neighbours of a pixel, 6, 18 or 26 of a voxel are connected; None = 4 or 6.
    merge_distance : float
        Neighbouring regions whose means are nearer than this are joined to one, the nearest
        first, also if their classes differ: in the map of regions, not in that of classes. In
        standard deviations of the pixels within their classes. 0 = none.
    n_regions : int or None
        Neighbouring regions are joined until so many are left, first those that add least to the
        variance within regions (Ward). None = all stay.
    """

    min_area: float | str = 0.0
    max_hole: float | str = 0.0
    connectivity: int | None = None
    merge_distance: float = 0.0
    n_regions: int | None = None

    def __post_init__(self) -> None:
        for name in ("min_area", "max_hole"):
            value = getattr(self, name)
            area = parse_area(value, name)
            object.__setattr__(self, name, value if isinstance(value, str) else area.value)
        if self.connectivity is not None:
            check_integer(self.connectivity, "connectivity")
            if self.connectivity not in _COUNTS:
                listed = ", ".join(map(str, _COUNTS))
                raise InvalidParameterError(
                    f"connectivity must be one of {listed}, got {self.connectivity}."
                )
        distance = check_real(self.merge_distance, "merge_distance", minimum=0.0)
        object.__setattr__(self, "merge_distance", distance)
        if self.n_regions is not None:
            check_integer(self.n_regions, "n_regions", minimum=1)

    @property
    def cleans(self) -> bool:
        """Whether labels change: specks or holes are given away."""
        return any(parse_area(area, "area").value > 0 for area in (self.min_area, self.max_hole))

    @property
    def merges(self) -> bool:
        """Whether regions of different classes are joined."""
        return self.merge_distance > 0 or self.n_regions is not None

    def on_grid(self, n_pixels: float) -> RegionOptions:
        """The same where `n_pixels` are one: areas in pixels become fewer.

        Examples
        --------
        >>> RegionOptions(min_area=128, max_hole="1 %").on_grid(64)
        RegionOptions(min_area=2.0, max_hole='1 %', connectivity=None, merge_distance=0.0, \
n_regions=None)
        """
        fewer: dict[str, Any] = {}
        for name in ("min_area", "max_hole"):
            area = parse_area(getattr(self, name), name)
            if area.unit == "":
                fewer[name] = area.value / n_pixels
        return replace(self, **fewer)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entries: Any) -> RegionOptions:
        """The inverse of `to_dict`.

        Raises
        ------
        ModelFormatError
            When an entry is unknown, missing, of the wrong type or out of range.
        """
        return options_of_entries(cls, entries, "regions")


def connected_regions(labels: ArrayLike, connectivity: int | None = None) -> Regions:
    """Number the connected regions of equal labels.

    Parameters
    ----------
    labels : array_like of int, shape (rows, cols) or (planes, rows, cols)
        0 = not used.
    connectivity : {4, 8, 6, 18, 26}, optional
        None = 4 or 6: pixels that share an edge, voxels that share a face.

    Returns
    -------
    ndarray of the shape of `labels`, int32
        From 1 in the order of the regions' first pixels; 0 = not used.

    Examples
    --------
    >>> connected_regions([[1, 1, 2], [2, 0, 2]]).tolist()
    [[1, 1, 2], [3, 0, 2]]
    """
    from gmmseg._region_kernels import number_regions

    values = _check_map(labels, "labels")
    steps, _ = _steps(values.ndim, connectivity, None)
    regions = np.empty(values.size, np.int32)
    number_regions(values.reshape(-1), _volume(values.shape), steps, regions)
    return regions.reshape(values.shape)


def as_map(regions: Regions) -> NDArray[Any]:
    """The same numbers as uint16, or as uint32 when there are more than 65 535 regions."""
    n = int(regions.max(initial=0))
    return regions.astype(np.uint16 if n <= MOST_LABELS else np.uint32)


def clean_labels(
    labels: ArrayLike,
    options: RegionOptions,
    *,
    probability: Callable[[int], NDArray[Any]] | None = None,
    spacing: Sequence[float] | None = None,
    unit: str = "",
) -> NDArray[Any]:
    """Give specks and holes to the classes around them (docs/math.md, "Regions").

    Parameters
    ----------
    labels : array_like of uint8 or uint16, shape (rows, cols) or (planes, rows, cols)
        0 = not used: such pixels stay, and are no neighbours.
    options : RegionOptions
    probability : callable, optional
        From a label to the probability of that class for every pixel, of the shape of `labels`.
        Without it regions go to the class with the longest border.
    spacing : sequence of float, optional
        Size of a pixel along each axis; for areas in real units, and lengths of borders.
    unit : str
        Of `spacing`.

    Returns
    -------
    ndarray of the shape and type of `labels`

    Examples
    --------
    >>> speckled = np.array([[1, 1, 1], [1, 2, 1], [1, 1, 1]], np.uint8)
    >>> clean_labels(speckled, RegionOptions(min_area=2)).max()
    np.uint8(1)
    """
    values = _check_map(labels, "labels")
    n_used = int(np.count_nonzero(values))
    low, high = (
        parse_area(area, name).in_pixels(n_used, values.ndim, spacing, unit)
        for name, area in (("min_area", options.min_area), ("max_hole", options.max_hole))
    )
    # nothing is larger than the image
    min_size = math.ceil(min(low, n_used + 1.0) * (1 - _HAIR))
    max_hole = math.floor(min(high, float(n_used)) * (1 + _HAIR))
    if max(min_size - 1, max_hole) < 1:
        return values.copy()
    return _absorbed(values, options, min_size, max_hole, probability, spacing)


def _absorbed(
    labels: NDArray[Any],
    options: RegionOptions,
    min_size: int,
    max_hole: int,
    probability: Callable[[int], NDArray[Any]] | None,
    spacing: Sequence[float] | None,
) -> NDArray[Any]:
    from gmmseg._region_kernels import absorb_small, add_up, list_pixels, look_up, settle

    regions = connected_regions(labels, options.connectivity).reshape(-1)
    sizes = np.bincount(regions).astype(np.int64)
    number, limit = len(sizes), max(min_size, max_hole + 1)
    n_classes = int(labels.max(initial=0))
    classes = np.zeros(number, np.int32)
    classes[regions] = labels.reshape(-1)
    scores = np.zeros((n_classes if probability else 0, number))
    if probability is not None:
        for c, score in enumerate(scores, start=1):
            add_up(regions, np.ascontiguousarray(probability(c), np.float32).reshape(-1), score)
    parent = np.arange(number, dtype=np.int32)
    head, tail, after = np.empty((3, number), np.int32)
    following = np.empty(regions.size, np.int32)
    list_pixels(regions, sizes, limit, head, tail, following)
    steps, widths = _steps(labels.ndim, options.connectivity, spacing)
    first, border = np.empty(limit, np.int32), np.empty(n_classes + 1)
    moved = 1
    while moved:  # a hole may show only when what it was open to has gone
        moved = absorb_small(
            regions, _volume(labels.shape), steps, widths, classes, sizes, parent, scores, min_size,
            max_hole, head, tail, following, first, after, border, np.zeros(number, np.int64),
            np.empty(number, np.int32), np.zeros(number, np.bool_),
        )  # fmt: skip
    settle(parent)
    out = np.empty(regions.size, labels.dtype)
    look_up(regions, classes[parent].astype(labels.dtype), out)
    return out.reshape(labels.shape)


def merge_regions(
    regions: ArrayLike, features: ArrayLike, options: RegionOptions
) -> NDArray[np.int32]:
    """Join neighbouring regions that are alike (docs/math.md, "Regions").

    Parameters
    ----------
    regions : array_like of int, shape (rows, cols) or (planes, rows, cols)
        From 1; 0 = not used.
    features : array_like of shape (F, ...)
        What regions are alike in: F values for every pixel. Distances are taken as they are.
    options : RegionOptions
        Its `merge_distance`, then its `n_regions`.

    Returns
    -------
    ndarray of the shape of `regions`, int32
        From 1, in the order of the lowest of the numbers that were joined.

    Raises
    ------
    InvalidDataError
        When shapes disagree.

    Examples
    --------
    >>> joined = merge_regions([[1, 2, 3]], [[[0.0, 1.0, 9.0]]], RegionOptions(n_regions=2))
    >>> joined.tolist()
    [[1, 1, 2]]
    """
    from gmmseg._region_kernels import add_up, look_up

    values = _check_map(regions, "regions")
    planes = np.asarray(features)
    if planes.shape[1:] != values.shape:
        raise InvalidDataError(
            f"features must be of shape (F, *{values.shape}), got shape {planes.shape}."
        )
    flat = values.reshape(-1).astype(np.int32, copy=False)
    sizes = np.bincount(flat).astype(np.float64)
    means = np.zeros((len(sizes), len(planes)))
    for plane, sums in zip(planes, means.T, strict=True):
        add_up(flat, np.ascontiguousarray(plane).reshape(-1), sums)
    means /= np.maximum(sizes, 1.0)[:, None]
    pairs = _touching(values, options.connectivity)
    parent = np.arange(len(sizes), dtype=np.int32)
    left = int(np.count_nonzero(sizes[1:]))
    if options.merge_distance > 0:
        left = _join(pairs, parent, means, sizes, left, most=options.merge_distance**2)
    if options.n_regions is not None:
        _join(pairs, parent, means, sizes, left, least_number=options.n_regions)
    roots = np.flatnonzero((parent == np.arange(len(parent))) & (sizes > 0))
    roots = roots[roots > 0]
    number = np.zeros(len(parent), np.int32)
    number[roots] = np.arange(1, len(roots) + 1)
    joined = np.empty(flat.size, np.int32)
    look_up(flat, number[parent], joined)
    return joined.reshape(values.shape)


def _join(
    pairs: NDArray[np.int32],
    parent: Regions,
    means: NDArray[np.float64],
    sizes: NDArray[np.float64],
    number: int,
    *,
    most: float = np.inf,
    least_number: int = 1,
) -> int:
    """Merge pairs of regions until none costs less than `most`; return how many regions are left.

    By Ward's cost where their number decides, else by distance.
    """
    from gmmseg._region_kernels import merge_pairs, settle

    by_size = most == np.inf
    before = number + 1
    while number < before:  # a cost that a merger lowered may have been looked at too late
        before = number
        ends = parent[pairs]
        ends = ends[ends[:, 0] != ends[:, 1]]
        a, b = ends.T
        cost = ((means[a] - means[b]) ** 2).sum(axis=1)
        if by_size:
            cost *= sizes[a] / (sizes[a] + sizes[b]) * sizes[b]
        heap = np.argsort(cost, kind="stable")
        limit = np.nextafter(most, 0) if most < np.inf else most
        number = merge_pairs(
            np.ascontiguousarray(ends), heap, cost, parent, means, sizes, by_size, limit,
            least_number, number, np.zeros(len(parent), np.int64), np.zeros(len(ends), np.int64),
        )  # fmt: skip
        settle(parent)
    return number


def _touching(regions: NDArray[Any], connectivity: int | None) -> NDArray[np.int32]:
    """All pairs of regions that are neighbours, (P, 2), the smaller number first."""
    steps, _ = _steps(regions.ndim, connectivity, None)
    volume = regions.reshape(_volume(regions.shape))
    found = []
    for step in steps.tolist():
        later = tuple(
            slice(max(-s, 0), n + min(-s, 0)) for s, n in zip(step, volume.shape, strict=True)
        )
        early = tuple(
            slice(max(s, 0), n + min(s, 0)) for s, n in zip(step, volume.shape, strict=True)
        )
        here, there = volume[later], volume[early]
        apart = (here != there) & (here > 0) & (there > 0)
        ends = np.stack([here[apart], there[apart]]).astype(np.int64)
        found.append(np.unique((ends.min(axis=0) << 32) | ends.max(axis=0)))
    keys = np.unique(np.concatenate(found))
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1).astype(np.int32)


def _steps(
    n_axes: int, connectivity: int | None, spacing: Sequence[float] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The steps to the neighbours that come earlier, (S, 3), and the border's width to each.

    Two pixels that touch at a corner have no border.
    """
    counts = NEIGHBOURS[n_axes]
    if connectivity is not None and connectivity not in counts:
        listed = " or ".join(map(str, counts))
        raise InvalidParameterError(
            f"connectivity must be {listed} in {n_axes} dimensions, got {connectivity}."
        )
    reach = counts[min(counts) if connectivity is None else connectivity]
    sizes = (1.0,) * n_axes if spacing is None else tuple(spacing)
    steps = [
        step
        for step in product((-1, 0, 1), repeat=3)
        if step < (0, 0, 0) and 0 < sum(map(abs, step)) <= reach and (n_axes == 3 or step[0] == 0)
    ]
    smallest = min(sizes)
    widths = [
        math.prod(s / smallest for s, d in zip(sizes, step[-n_axes:], strict=True) if d == 0)
        * (sum(map(abs, step)) == 1)
        for step in steps
    ]
    return np.array(steps, np.int64), np.array(widths)


def _volume(shape: tuple[int, ...]) -> tuple[int, int, int]:
    planes, rows, cols = (1,) * (3 - len(shape)) + shape
    return planes, rows, cols


def _check_map(labels: ArrayLike, name: str) -> NDArray[Any]:
    values = np.ascontiguousarray(labels)
    if values.ndim not in (2, 3) or values.dtype.kind not in "ui" or values.size >= 1 << 31:
        raise InvalidDataError(
            f"{name} must be (rows, cols) or (planes, rows, cols) of whole numbers, fewer than "
            f"2^31, got shape {values.shape} of {values.dtype}."
        )
    return values
