"""The borders of masks: contours as OpenCV makes them, and outlines along the edges of pixels."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg._optional import import_optional
from gmmseg.errors import InvalidDataError

__all__ = ["Contours", "find_contours", "outlines", "signed_area"]

#: A tuple of int32 arrays (points, 1, 2), x before y: what OpenCV's functions take.
Contours = tuple[NDArray[np.int32], ...]


@overload
def find_contours(
    mask: ArrayLike, *, hierarchy: Literal[False] = ..., simplify: bool = ...
) -> Contours: ...


@overload
def find_contours(
    mask: ArrayLike, *, hierarchy: Literal[True], simplify: bool = ...
) -> tuple[Contours, NDArray[np.int32]]: ...


def find_contours(mask: ArrayLike, *, hierarchy: bool = False, simplify: bool = True) -> Any:
    """Contours of a mask by `cv2.findContours`: through the centres of the border pixels.

    Parameters
    ----------
    mask : array_like of shape (rows, cols)
        Inside where it is not 0.
    hierarchy : bool
        Holes as well, and who lies in whom: two levels, `cv2.RETR_CCOMP`. Otherwise the outer
        contours only, `cv2.RETR_EXTERNAL`.
    simplify : bool
        Leave out points on straight lines (`cv2.CHAIN_APPROX_SIMPLE`).

    Returns
    -------
    contours : tuple of ndarray of int32, shape (points, 1, 2)
        For `cv2.drawContours`, `cv2.contourArea` and the like.
    hierarchy : ndarray of int32, shape (1, contours, 4)
        When asked for: next, previous, first child, parent; -1 = none.

    Raises
    ------
    InvalidDataError
        When `mask` has not two axes.
    MissingDependencyError
        When OpenCV, or a system library that it needs, is not installed.

    Examples
    --------
    >>> (contour,) = find_contours([[1, 1, 1], [1, 1, 1]])
    >>> contour.shape, contour.dtype
    ((4, 1, 2), dtype('int32'))
    """
    inside = _checked(mask).view(np.uint8)
    cv2 = import_optional("cv2")
    mode = cv2.RETR_CCOMP if hierarchy else cv2.RETR_EXTERNAL
    method = cv2.CHAIN_APPROX_SIMPLE if simplify else cv2.CHAIN_APPROX_NONE
    found, order = cv2.findContours(inside, mode, method)
    found = tuple(found)
    if not hierarchy:
        return found
    return found, np.empty((1, 0, 4), np.int32) if order is None else order


def outlines(mask: ArrayLike) -> list[NDArray[np.int64]]:
    """Closed lines along the edges of the pixels of a mask, exact to the pixel.

    They enclose the pixels wholly, where contours go through their centres; OpenCV is not needed.
    Pixels that touch by a corner are connected.

    Parameters
    ----------
    mask : array_like of shape (rows, cols)
        Inside where it is not 0.

    Returns
    -------
    list of ndarray of int64, shape (points, 2)
        x and y of the corners, 0..cols and 0..rows, without repeating the first. Outer lines go
        clockwise on the screen and have a positive `signed_area`; holes the other way round.

    Raises
    ------
    InvalidDataError
        When `mask` has not two axes.

    Examples
    --------
    >>> (line,) = outlines([[0, 1, 1]])
    >>> line.tolist(), signed_area(line)
    ([[3, 0], [3, 1], [1, 1], [1, 0]], 2.0)
    """
    from gmmseg._contour_kernels import trace

    framed = np.pad(_checked(mask), 1)
    corners = np.empty((_count_turns(framed), 2), np.int64)
    ends = np.empty(max(1, len(corners) // 4), np.int64)
    n = trace(framed, np.zeros(framed.shape, bool), corners, ends)
    return np.split(corners - 1, ends[: n - 1]) if n else []


def _count_turns(mask: NDArray[np.bool_]) -> int:
    """At how many corners of pixels their outlines turn; two lines meet at some."""
    upper, lower = mask[:-1] ^ np.roll(mask[:-1], -1, 1), mask[1:] ^ np.roll(mask[1:], -1, 1)
    odd = upper ^ lower
    crossing = upper & lower & (mask[:-1] ^ mask[1:])
    return int(np.count_nonzero(odd[:, :-1]) + 2 * np.count_nonzero(crossing[:, :-1]))


def signed_area(points: NDArray[Any]) -> float:
    """Area within a closed line; negative when it goes counterclockwise on the screen."""
    x, y = points[:, 0].astype(float), points[:, 1].astype(float)
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _checked(mask: ArrayLike) -> NDArray[np.bool_]:
    values = np.asarray(mask)
    if values.ndim != 2:
        raise InvalidDataError(
            f"contours are of masks (rows, cols), got shape {values.shape}. Take one plane of a "
            "volume: gmmseg.contours.find_contours(seg.mask(1)[plane])."
        )
    return np.ascontiguousarray(values != 0)
