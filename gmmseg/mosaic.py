"""A volume at a glance: slices in three planes with the outlines of the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_integer
from gmmseg.errors import InvalidDataError
from gmmseg.image import Image
from gmmseg.overlay import display_rgb, overlay
from gmmseg.placement import Placement
from gmmseg.used_pixels import box_around

__all__ = ["mosaic"]

#: Which axis of (z, y, x), of which each leads upwards, forwards and to the right, is looked along.
_VIEWS = (0, 1, 2)

_GAP = 4


def mosaic(
    image: Image,
    labels: NDArray[Any],
    *,
    n_labels: int,
    slices: int = 7,
    threads: int | None = None,
) -> NDArray[np.uint8]:
    """Slices from below, from the front and from the side, classes coloured and outlined.

    As radiologists look: the patient's right is on the left. Voxels are stretched to cubes.

    Parameters
    ----------
    image : Image
        Of three axes; `Image.placement` says where its axes lead, otherwise they are taken to lead
        upwards, to the front and to the right. The first band is shown.
    labels : ndarray of the image's shape
    n_labels : int
    slices : int
        For each of the three views, evenly spread over what is labelled.

    Returns
    -------
    ndarray of shape (rows, cols, 3), uint8

    Examples
    --------
    >>> image = Image.from_array(np.arange(480.0).reshape(6, 8, 10), axes="ZYX")
    >>> mosaic(image, np.ones((6, 8, 10), np.uint8), n_labels=1, slices=2).shape
    (28, 20, 3)
    """
    check_integer(slices, "slices", minimum=1)
    if image.ndim != 3 or labels.shape != image.shape:
        raise InvalidDataError(
            f"a mosaic is of a volume and its labels, got shapes {image.shape} and {labels.shape}."
        )
    spacing = image.spacing or (1.0,) * 3
    grey, sizes = _upright(image.data[..., 0], spacing, image.placement)
    shown, _ = _upright(labels, spacing, image.placement)
    inside = box_around(shown > 0)
    values, classes = (
        _stacked([_view(volume, inside, sizes, axis, slices) for axis in _VIEWS], volume.dtype)
        for volume in (grey, shown)
    )
    usable = classes > 0
    picture = display_rgb(Image.from_array(values, mask=usable if usable.any() else None))
    return overlay(picture, classes, n_labels=n_labels, alpha=0.35, threads=threads)


def _upright(
    volume: NDArray[Any], spacing: tuple[float, ...], placement: Placement | None
) -> tuple[NDArray[Any], tuple[float, ...]]:
    """The volume as (z, y, x), each axis leading up, forwards and right, and its sizes."""
    if placement is None:
        return volume, spacing
    columns, rows, planes = placement.axes
    order = [0, 0, 0]
    flips: list[Any] = [slice(None)] * 3
    for own, (axis, sign) in enumerate((planes, rows, columns)):
        order[2 - axis] = own
        flips[2 - axis] = slice(None, None, sign)
    turned = volume.transpose(order)[tuple(flips)]
    return turned, tuple(spacing[own] for own in order)


def _view(
    volume: NDArray[Any],
    inside: tuple[slice, ...],
    sizes: tuple[float, ...],
    axis: int,
    slices: int,
) -> NDArray[Any]:
    """Slices along one axis beside each other, the top of the head or the nose upwards."""
    others = tuple(i for i in range(3) if i != axis)
    low, high = inside[axis].start, inside[axis].stop - 1
    if high < low:  # nothing is labelled
        low, high = 0, volume.shape[axis] - 1
    at = np.rint(low + (high - low) * (np.arange(slices) + 1) / (slices + 1)).astype(int)
    unit = min(sizes)
    up, across = (_places(volume.shape[i], sizes[i] / unit) for i in others)
    parts = []
    for index in at:
        plane = volume[(slice(None),) * axis + (index,)]
        parts.append(plane[up[::-1]][:, across[::-1]])  # the patient's right on the left
    return np.concatenate(parts, axis=1)


def _places(n: int, stretch: float) -> NDArray[np.intp]:
    """Which voxel each pixel of a stretched axis shows."""
    length = max(1, round(n * stretch))
    return np.minimum((np.arange(length) / stretch).astype(np.intp), n - 1)


def _stacked(rows: list[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Rows of pictures below each other."""
    height = sum(len(row) for row in rows) + _GAP * (len(rows) - 1)
    out = np.zeros((height, max(row.shape[1] for row in rows)), dtype)
    top = 0
    for row in rows:
        out[top : top + len(row), : row.shape[1]] = row
        top += len(row) + _GAP
    return out
