"""Connected components of a mask and their boxes, in the form of OpenCV, but without OpenCV."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg.regions import connected_regions

__all__ = ["Components", "boxes_of_labels", "find_components"]


class Components(NamedTuple):
    """What `cv2.connectedComponentsWithStats` returns, in its order; for volumes as well.

    Attributes
    ----------
    n : int
        Components and the background.
    labels : ndarray of int32, of the mask's shape
        0 = background, components from 1 in the order of their first pixels.
    stats : ndarray of int32, shape (n, 5), for volumes (n, 7)
        x, y, width, height, pixels; of a volume x, y, z, width, height, depth, voxels. Row 0 is
        the background; a component without pixels, as a background may be, has zeros.
    centroids : ndarray of float64, shape (n, 2) or (n, 3)
        Mean x, y (and z) of the pixels; NaN where there are none.
    """

    n: int
    labels: NDArray[np.int32]
    stats: NDArray[np.int32]
    centroids: NDArray[np.float64]


def find_components(mask: ArrayLike, connectivity: int | None = None) -> Components:
    """Connected components of the pixels that are not 0, with their statistics.

    Pixels of different values are not connected: a label map gives the components of all classes.

    Parameters
    ----------
    mask : array_like of int or bool, shape (rows, cols) or (planes, rows, cols)
    connectivity : {4, 8, 6, 18, 26}, optional
        As OpenCV, all neighbours by default: 8, or 26 in a volume.

    Returns
    -------
    Components

    Raises
    ------
    InvalidDataError
        When `mask` has not two or three axes.

    Examples
    --------
    >>> n, labels, stats, centroids = find_components([[1, 1, 0, 0], [0, 0, 0, 1]])
    >>> n, stats[1:].tolist(), centroids[1:].tolist()
    (3, [[0, 0, 2, 1, 2], [3, 1, 1, 1, 1]], [[0.5, 0.0], [3.0, 1.0]])
    """
    values = np.asarray(mask)
    values = values.astype(np.uint8) if values.dtype == bool else values
    most = {2: 8, 3: 26}.get(values.ndim)
    regions = connected_regions(values, connectivity or most)
    stats, centroids = _measured(regions, int(regions.max(initial=0)) + 1)
    return Components(len(stats), regions, stats, centroids)


def boxes_of_labels(labels: ArrayLike, n_labels: int) -> NDArray[np.int32]:
    """The box of the pixels of every label 1..n_labels, connected or not.

    Returns
    -------
    ndarray of int32, shape (n_labels, 4), for volumes (n_labels, 6)
        x, y, width, height, as `cv2.boundingRect`; zeros for a label without pixels.

    Examples
    --------
    >>> boxes_of_labels([[1, 2, 1], [0, 2, 0]], 3).tolist()
    [[0, 0, 3, 1], [1, 0, 1, 2], [0, 0, 0, 0]]
    """
    stats, _ = _measured(np.asarray(labels), n_labels + 1)
    return stats[1:, :-1]


def _measured(regions: NDArray[Any], number: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """`stats` and `centroids` of numbered regions; those of a volume have three axes."""
    from gmmseg._contour_kernels import measure

    flat = np.ascontiguousarray(regions, np.int32).reshape(-1)
    shape = (1,) * (3 - regions.ndim) + regions.shape
    low = np.full((number, 3), np.iinfo(np.int64).max)
    high = np.full((number, 3), -1)
    sums, counts = np.zeros((number, 3), np.int64), np.zeros(number, np.int64)
    measure(flat, shape, low, high, sums, counts)
    low[counts == 0] = 0
    axes = slice(None, -regions.ndim - 1, -1)  # x first, as OpenCV
    sides = (high - low + 1)[:, axes]
    sides[counts == 0] = 0
    with np.errstate(invalid="ignore"):
        centroids = sums[:, axes] / counts[:, np.newaxis]
    return np.column_stack([low[:, axes], sides, counts]).astype(np.int32), centroids
