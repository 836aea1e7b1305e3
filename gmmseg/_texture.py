"""Features of a pixel's surroundings: local mean and std under a Gaussian window, and place.

Normalised convolution (Knutsson and Westin, CVPR 1993): values and weights are smoothed alike and
divided, so unused pixels and what lies outside the image neither give nor take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The window ends at so many sigma; its weight there is 3e-4 of the middle's.
_REACH = 4.0
#: Rounds of weights after the first mean: more move the level of the surroundings no farther.
_ROUNDS = 3
#: In units of half the range of the values: constant surroundings have no deviation.
_LEAST_VARIANCE = 1e-12
_LEAST_WEIGHT = 1e-12
#: Pixels of a slab, apart from its margins: six float64 temporaries of 8 MiB each.
_SLAB = 1 << 20


@dataclass(frozen=True)
class Grid:
    """Where the rows of features lie in the image.

    Attributes
    ----------
    shape : tuple of int
        (rows, cols) or (planes, rows, cols).
    spacing : tuple of float
        Size of a pixel along each axis; only the ratios matter.
    valid : ndarray of bool, or None
        The used pixels, in whose row-major order the rows come; None = all.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    valid: NDArray[np.bool_] | None

    def row_starts(self) -> NDArray[np.int64]:
        """The first row of features of each index along the first axis, and the end."""
        rest = tuple(range(1, len(self.shape)))
        if self.valid is None:
            counts = np.full(self.shape[0], np.prod(self.shape[1:]), dtype=np.int64)
        else:
            counts = self.valid.sum(axis=rest, dtype=np.int64)
        return np.concatenate([[0], np.cumsum(counts)])

    def sigmas(self, scale: float) -> tuple[float, ...]:
        """`scale` in pixels of the finest axis -> sigma in pixels of each axis."""
        return tuple(scale * min(self.spacing) / step for step in self.spacing)

    def slabs(self, margin: int) -> Iterator[tuple[slice, slice]]:
        """Cut the first axis: the part to compute, and the part with margins that it needs."""
        thick = max(_SLAB // int(np.prod(self.shape[1:])), 2 * margin, 1)
        for start in range(0, self.shape[0], thick):
            stop = min(start + thick, self.shape[0])
            yield (
                slice(start, stop),
                slice(max(start - margin, 0), min(stop + margin, self.shape[0])),
            )


def centres(grid: Grid) -> list[NDArray[np.floating[Any]]]:
    """Place along each axis of the pixels' centres: see `features.image_features`."""
    sides = [size * step for size, step in zip(grid.shape, grid.spacing, strict=True)]
    return [
        (np.arange(size) + 0.5) * (step / max(sides))
        for size, step in zip(grid.shape, grid.spacing, strict=True)
    ]


def fill_place(grid: Grid, out: NDArray[Any]) -> None:
    """Write the pixels' centres along each axis into `out` (ndim or 0, N): see `image_features`."""
    for axis, (plane, along) in enumerate(zip(out, centres(grid), strict=False)):
        along = along.reshape([-1 if i == axis else 1 for i in range(len(grid.shape))])
        place = np.broadcast_to(along, grid.shape)
        plane[:] = place.ravel() if grid.valid is None else place[grid.valid]


def fill_texture(
    planes: NDArray[Any],
    grid: Grid,
    mean_scales: tuple[float, ...],
    std_scales: tuple[float, ...],
    out: NDArray[Any],
) -> None:
    """Write local means, scale by scale and plane by plane, then local stds likewise.

    A scale that both use is smoothed once. Where a plane is NaN it neither gives nor takes.
    """
    n_planes = len(planes)
    first_of_mean = {scale: i * n_planes for i, scale in enumerate(mean_scales)}
    first_of_std = {scale: (i + len(mean_scales)) * n_planes for i, scale in enumerate(std_scales)}
    for scale in dict.fromkeys(mean_scales + std_scales):
        for i, plane in enumerate(planes):
            mean, std = (
                out[first[scale] + i] if scale in first else None
                for first in (first_of_mean, first_of_std)
            )
            _local_moments_of_known(plane, grid, scale, mean, std)


def _local_moments_of_known(
    plane: NDArray[Any],
    grid: Grid,
    scale: float,
    mean: NDArray[Any] | None,
    std: NDArray[Any] | None,
) -> None:
    """`_local_moments` where `plane` is not NaN; NaN elsewhere."""
    known = ~np.isnan(plane)
    if known.all():
        _local_moments(plane, grid, scale, mean, std)
        return
    valid = np.ones(grid.shape, bool) if grid.valid is None else grid.valid.copy()
    valid[valid] = known
    parts = [None if out is None else np.empty(valid.sum(), out.dtype) for out in (mean, std)]
    _local_moments(plane[known], replace(grid, valid=valid), scale, *parts)
    for out, part in zip((mean, std), parts, strict=True):
        if out is not None and part is not None:
            out[:] = np.nan
            out[known] = part


def _local_moments(
    plane: NDArray[Any],
    grid: Grid,
    scale: float,
    mean: NDArray[Any] | None,
    std: NDArray[Any] | None,
) -> None:
    """Write the local mean and std of `plane` (N,) into `mean` and `std` (N,), where given.

    Squares are taken in float64 about the middle of the range, so an offset does not drown the
    deviations, and a constant image has a local std of exactly 0.
    """
    if len(plane) == 0:
        return
    low, high = float(plane.min()), float(plane.max())
    origin, unit = (low + high) / 2, (high - low) / 2 or 1.0
    sigmas = grid.sigmas(scale)
    starts = grid.row_starts()
    for inner, outer in grid.slabs(int(_REACH * sigmas[0] + 0.5)):
        rows = slice(starts[inner.start], starts[inner.stop])
        values = plane[starts[outer.start] : starts[outer.stop]].astype(np.float64)
        values = (values - origin) / unit
        smoothed = _Smoother(grid, sigmas, inner, outer)
        weight = smoothed(1.0)
        first = smoothed(values) / weight
        if mean is not None:
            mean[rows] = first * unit + origin
        if std is not None:
            variance = smoothed(values**2) / weight - first**2
            std[rows] = np.sqrt(np.maximum(variance, 0)) * unit


def subtract_background(plane: NDArray[Any], grid: Grid, scale: float) -> None:
    """Take from `plane` (N,), in place, the level of the surroundings of every pixel.

    A local mean of which a pixel is a part with a weight that falls with its distance from it, in
    local standard deviations (docs/math.md, equations 75, 76). Where a plane is NaN it stays so.
    """
    known = ~np.isnan(plane)
    if not known.any():
        return
    low, high = float(plane[known].min()), float(plane[known].max())
    origin, unit = (low + high) / 2, (high - low) / 2 or 1.0
    values = np.where(known, (plane.astype(np.float64) - origin) / unit, 0.0)
    weights = known.astype(np.float64)
    for last in (False,) * _ROUNDS + (True,):
        mean, variance = _weighted_moments(values, weights, grid, scale)
        if not last:
            distance = (values - mean) ** 2 / np.maximum(variance, _LEAST_VARIANCE)
            weights = known / (1 + distance) ** 2
    plane -= (mean * unit + origin).astype(plane.dtype)


def equalise_objects(plane: NDArray[Any], grid: Grid, scale: float) -> None:
    """Divide `plane` (N,), in place, by the brightness of what rises above zero near every pixel.

    A contraharmonic mean, which goes by the brightest, drawn to that of the whole image
    (docs/math.md, equation 112). Where a plane is NaN it stays so; nothing above zero, no change.
    """
    known = ~np.isnan(plane)
    above = np.where(known, np.maximum(plane, 0), 0).astype(np.float64)
    top = above.max(initial=0.0)
    if top == 0:
        return
    above /= top
    squares, cubes = above**2, above**3
    n = int(known.sum())
    mean_square, mean_cube = squares.sum() / n, cubes.sum() / n
    sigmas, starts = grid.sigmas(scale), grid.row_starts()
    for inner, outer in grid.slabs(int(_REACH * sigmas[0] + 0.5)):
        rows = slice(starts[inner.start], starts[inner.stop])
        around = slice(starts[outer.start], starts[outer.stop])
        smoothed = _Smoother(grid, sigmas, inner, outer)
        weight = np.maximum(smoothed(known[around].astype(np.float64)), _LEAST_WEIGHT)
        brightness = (smoothed(cubes[around]) / weight + mean_cube) / (
            smoothed(squares[around]) / weight + mean_square
        )
        plane[rows] /= (brightness * top).astype(plane.dtype)


def _weighted_moments(
    values: NDArray[np.float64], weights: NDArray[np.float64], grid: Grid, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Local mean and variance (N,) of values (N,) that have weights (N,)."""
    mean, variance = np.empty((2, len(values)))
    sigmas, starts = grid.sigmas(scale), grid.row_starts()
    for inner, outer in grid.slabs(int(_REACH * sigmas[0] + 0.5)):
        rows = slice(starts[inner.start], starts[inner.stop])
        around = slice(starts[outer.start], starts[outer.stop])
        smoothed = _Smoother(grid, sigmas, inner, outer)
        x, w = values[around], weights[around]
        total = np.maximum(smoothed(w), _LEAST_WEIGHT)
        mean[rows] = smoothed(w * x) / total
        variance[rows] = smoothed(w * x**2) / total - mean[rows] ** 2
    return mean, variance


class _Smoother:
    """Rows of the outer slab -> rows of the inner slab, smoothed with zeros at unused pixels."""

    def __init__(self, grid: Grid, sigmas: tuple[float, ...], inner: slice, outer: slice) -> None:
        shape = (outer.stop - outer.start, *grid.shape[1:])
        self.sigmas = sigmas
        self.used = np.ones(shape, dtype=bool) if grid.valid is None else grid.valid[outer]
        self.inside = slice(inner.start - outer.start, inner.stop - outer.start)

    def __call__(self, values: NDArray[np.float64] | float) -> NDArray[np.float64]:
        slab = np.zeros(self.used.shape)
        slab[self.used] = values
        for axis, sigma in enumerate(self.sigmas):
            slab = _smoothed_along(slab, axis, sigma)
        rows: NDArray[np.float64] = slab[self.inside][self.used[self.inside]]
        return rows


def _smoothed_along(values: NDArray[np.float64], axis: int, sigma: float) -> NDArray[np.float64]:
    """Weighted by a Gaussian along an axis, with zeros beyond the ends.

    What `scipy.ndimage.gaussian_filter1d` gives, in a fifth of the time, and without its import,
    which takes longer than a photo.
    """
    from gmmseg._texture_kernels import smooth_lines

    radius = int(_REACH * sigma + 0.5)
    if radius == 0:
        return values
    weights = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    weights /= weights[0] + 2 * weights[1:].sum()
    ahead = np.moveaxis(values, axis, 0)
    lines = np.ascontiguousarray(ahead).reshape(len(ahead), -1)
    out = np.empty_like(lines)
    smooth_lines(lines, weights, out)
    return np.moveaxis(out.reshape(ahead.shape), 0, axis)
