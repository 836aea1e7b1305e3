"""What programs with OpenCV hand over and ask for: BGR pictures, codes of grabCut, cutouts.

None of it needs OpenCV itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.image import Image
from gmmseg.labels import grey_map
from gmmseg.legend import check_rgb

__all__ = ["cut_out", "from_bgr", "grabcut_codes"]

#: cv2.GC_BGD, GC_FGD, GC_PR_BGD and GC_PR_FGD: sure, and probable.
_BACKGROUND, _FOREGROUND, _LIKELY_BACKGROUND, _LIKELY_FOREGROUND = range(4)


def from_bgr(
    array: ArrayLike, *, mask: Any = None, spacing: float | Sequence[float] | None = None
) -> Image:
    """An image in OpenCV's order of channels: blue, green, red.

    Parameters
    ----------
    array : array_like of shape (rows, cols), (rows, cols, 1), (rows, cols, 3) or (rows, cols, 4)
        As `cv2.imread` returns it. Of four channels the last is alpha: pixels where it is 0 are
        left out, and it is no feature.
    mask : array_like of shape (rows, cols), optional
        True or non-zero = use this pixel.
    spacing : float or sequence of float, optional
        Size of a pixel along rows and columns.

    Returns
    -------
    Image
        For `segment`, `fit` and `apply`; its bands are red, green and blue.

    Raises
    ------
    InvalidDataError
        When the array has another shape.

    Examples
    --------
    >>> blue = np.full((2, 2, 3), (255, 0, 0), np.uint8)
    >>> from_bgr(blue).data[0, 0].tolist()
    [0, 0, 255]
    """
    values = np.asarray(array)
    channels = values.shape[2] if values.ndim == 3 else 1
    if values.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise InvalidDataError(
            "a BGR picture must be (rows, cols), (rows, cols, 3) or, with alpha, (rows, cols, 4), "
            f"got shape {values.shape}. Give other bands to gmmseg.segment as they are."
        )
    if channels > 1:
        pixels = np.ascontiguousarray(values[..., 2::-1])
    else:
        pixels = values.reshape(values.shape[:2])
    image = Image.from_array(pixels, mask=mask, spacing=spacing)
    return image if channels < 4 else image.with_mask(values[..., 3])


def grabcut_codes(foreground: ArrayLike, used: ArrayLike, *, sure: float) -> NDArray[np.uint8]:
    """Codes of `cv2.grabCut` for the probability of being foreground.

    Parameters
    ----------
    foreground : array_like of float, shape (rows, cols)
    used : array_like of bool, shape (rows, cols)
        False = surely background.
    sure : float
        From this probability on it is sure, 0.5 < sure <= 1.

    Returns
    -------
    ndarray of uint8, shape (rows, cols)
        0 = `cv2.GC_BGD`, 1 = `GC_FGD`, 2 = `GC_PR_BGD`, 3 = `GC_PR_FGD`.

    Raises
    ------
    InvalidParameterError
        When `sure` is out of range.

    Examples
    --------
    >>> grabcut_codes([0.0, 0.3, 0.6, 1.0], True, sure=0.9).tolist()
    [0, 2, 3, 1]
    """
    if not 0.5 < sure <= 1:
        raise InvalidParameterError(
            f"sure must be more than 0.5 and at most 1, got {sure}. It is a probability from "
            "which a pixel is surely foreground, and below 1 - sure surely background."
        )
    probability = np.asarray(foreground)
    limits = np.array([1 - sure, 0.5, sure], probability.dtype)
    codes = np.array([_BACKGROUND, _LIKELY_BACKGROUND, _LIKELY_FOREGROUND, _FOREGROUND], np.uint8)[
        np.searchsorted(limits, probability, side="right")
    ]
    codes[probability <= limits[0]] = _BACKGROUND
    return np.where(used, codes, np.uint8(_BACKGROUND))


def cut_out(rgb: ArrayLike, opacity: ArrayLike) -> NDArray[np.uint8]:
    """A picture that is as opaque as it is probable, (rows, cols, 4), uint8.

    Examples
    --------
    >>> cut_out(np.zeros((1, 2, 3), np.uint8), [[0.0, 1.0]])[..., 3].tolist()
    [[0, 255]]
    """
    return np.dstack([check_rgb(rgb), grey_map(opacity)])
