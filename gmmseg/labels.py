"""Arithmetic on label maps: their type, colours, borders and masks.

A label map holds 0 where a pixel was not used and the classes 1..n elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg._check import check_integer, check_real
from gmmseg.errors import InvalidParameterError

__all__ = [
    "MOST_LABELS",
    "boundaries",
    "check_labels",
    "class_mask",
    "grey_map",
    "label_counts",
    "label_dtype",
    "palette",
]

#: What an unsigned 16-bit label map can tell apart, beside 0.
MOST_LABELS = 65_535

# Any two of these are at least 11 apart by CIEDE2000, the first five 15, to people with normal
# sight, deuteranopia and protanopia alike (found by search from Okabe and Ito's set; the tests
# say so). Class 1 is dark and mostly background: a calm blue.
_FIRST_COLOURS = (
    (48, 111, 216),  # blue
    (239, 142, 15),  # orange
    (18, 157, 118),  # green
    (222, 124, 175),  # pink
    (143, 211, 247),  # sky
    (244, 237, 76),  # yellow
    (202, 50, 20),  # red
    (71, 42, 162),  # violet
    (107, 50, 31),  # brown
    (143, 240, 208),  # mint
    (126, 21, 74),  # wine
    (61, 131, 68),  # leaf
)

#: Values that are worked on at a time: temporaries then stay in the cache.
_BLOCK = 1 << 16


def label_dtype(n_labels: int) -> np.dtype[Any]:
    """The smallest unsigned type for labels 0..n_labels: uint8, or uint16 when more than 255.

    Raises
    ------
    InvalidParameterError
        When `n_labels` is not in 1..65535.

    Examples
    --------
    >>> label_dtype(3), label_dtype(256)
    (dtype('uint8'), dtype('uint16'))
    """
    return np.dtype(np.uint8 if _check_count(n_labels) <= 255 else np.uint16)


def check_labels(labels: ArrayLike, n_labels: int) -> NDArray[Any]:
    """Return `labels` as an array, or raise when it is no label map of `n_labels` classes.

    Parameters
    ----------
    labels : array_like of uint8 or uint16, any shape
    n_labels : int
        The highest label that is allowed.

    Raises
    ------
    InvalidParameterError
        When the type is another, or a label is above `n_labels`.
    """
    _check_count(n_labels)
    values = np.asarray(labels)
    if values.dtype not in (np.uint8, np.uint16):
        raise InvalidParameterError(
            f"labels must be uint8 or uint16, got {values.dtype}. "
            "Convert them: labels.astype(gmmseg.labels.label_dtype(n_labels))"
        )
    highest = int(values.max(initial=0))
    if highest > n_labels:
        raise InvalidParameterError(
            f"labels must be at most n_labels = {n_labels}, got {highest}. Give a larger n_labels."
        )
    return values


def palette(n: int) -> NDArray[np.uint8]:
    """Colours of the classes 1..n; class j has row j - 1, whatever n is.

    The first 12 are chosen by hand and told apart by colour-blind people too; those after them
    are spread over hue, saturation and brightness, each far from the one before.

    Parameters
    ----------
    n : int
        Number of classes, 1..65535.

    Returns
    -------
    ndarray of shape (n, 3), uint8
        Red, green, blue.

    Raises
    ------
    InvalidParameterError
        When `n` is not in 1..65535.

    Examples
    --------
    >>> palette(2).tolist()
    [[48, 111, 216], [239, 142, 15]]
    """
    _check_count(n, "n")
    first = np.array(_FIRST_COLOURS[:n], np.uint8)
    return first if n <= len(first) else np.concatenate([first, _spread_colours(n - len(first))])


def _spread_colours(n: int) -> NDArray[np.uint8]:
    """`n` colours of a low-discrepancy sequence in hue, saturation and value, (n, 3)."""
    # Fractional parts of multiples of irrational numbers: any run of them fills the cube evenly,
    # and consecutive hues are 0.38 of the circle apart (the golden section).
    index = np.arange(1, n + 1)[:, np.newaxis]
    hue, saturation, value = np.mod(index * [0.6180339887, 0.7548776662, 0.5698402910], 1).T
    saturation = 0.45 + 0.50 * saturation
    value = 0.48 + 0.52 * value  # with these spans all 65 535 differ
    corner = np.mod(np.array([[5.0], [3.0], [1.0]]) + 6 * hue, 6)  # red, green, blue
    ramp = np.clip(np.minimum(corner, 4 - corner), 0, 1)
    return np.rint(255 * value * (1 - saturation * ramp)).T.astype(np.uint8)


def label_counts(labels: ArrayLike, n_labels: int) -> NDArray[np.int64]:
    """How many pixels have each label 0..n_labels, (n_labels + 1,), int64.

    Examples
    --------
    >>> label_counts(np.array([[0, 2], [2, 2]], np.uint8), 3).tolist()
    [1, 0, 3, 0]
    """
    flat = check_labels(labels, n_labels).reshape(-1)
    counts = np.zeros(n_labels + 1, np.int64)
    block = max(_BLOCK, n_labels)  # np.bincount makes 64-bit copies of what it is given
    for start in range(0, flat.size, block):
        counts += np.bincount(flat[start : start + block], minlength=n_labels + 1)
    return counts


def class_mask(labels: ArrayLike, label: int) -> NDArray[np.uint8]:
    """255 where `labels` equals `label`, else 0: the mask that OpenCV wants.

    Parameters
    ----------
    labels : array_like of int, any shape
    label : int

    Returns
    -------
    ndarray of the shape of `labels`, uint8, C-contiguous

    Examples
    --------
    >>> class_mask(np.array([[1, 2], [2, 0]], np.uint8), 2).tolist()
    [[0, 255], [255, 0]]
    """
    check_integer(label, "label", minimum=0)
    equal = np.ascontiguousarray(np.asarray(labels) == label)
    mask = equal.view(np.uint8)
    return np.multiply(mask, np.uint8(255), out=mask)


def boundaries(labels: ArrayLike) -> NDArray[np.bool_]:
    """True at pixels whose right or lower neighbour has another label.

    Parameters
    ----------
    labels : array_like of shape (rows, cols)

    Returns
    -------
    ndarray of shape (rows, cols), bool
        One pixel thin: the last pixel of a class before the next begins.

    Raises
    ------
    InvalidParameterError
        When `labels` has not two axes.

    Examples
    --------
    >>> boundaries([[1, 1, 2], [1, 1, 2]]).astype(int).tolist()
    [[0, 1, 0], [0, 1, 0]]
    """
    values = np.asarray(labels)
    if values.ndim != 2:
        raise InvalidParameterError(
            f"labels must be (rows, cols), got shape {values.shape}. Take one plane of a volume."
        )
    edge = np.zeros(values.shape, bool)
    np.not_equal(values[:, :-1], values[:, 1:], out=edge[:, :-1])
    edge[:-1] |= values[:-1] != values[1:]
    return edge


def grey_map(values: ArrayLike, low: float = 0.0, high: float = 1.0) -> NDArray[np.uint8]:
    """Values as 8-bit grey: `low` and below become 0, `high` and above 255.

    Parameters
    ----------
    values : array_like of int or float, any shape
        Such as a probability or an entropy. NaN becomes 0.
    low, high : float
        Finite, ``low < high``.

    Returns
    -------
    ndarray of the shape of `values`, uint8

    Raises
    ------
    InvalidParameterError
        When `high` is not above `low`.

    Examples
    --------
    >>> grey_map([0.0, 0.5, 2.0, np.nan]).tolist()
    [0, 128, 255, 0]
    """
    low, high = check_real(low, "low"), check_real(high, "high")
    if high <= low:
        raise InvalidParameterError(f"high must be more than low = {low:g}, got {high:g}.")
    array = np.asarray(values)
    # 32-bit integers and doubles may be large numbers that differ little.
    wide = np.float64 if array.dtype.itemsize > 2 and array.dtype != np.float32 else np.float32
    flat = array.reshape(-1)
    grey = np.empty(flat.shape, np.uint8)
    for start in range(0, flat.size, _BLOCK):
        part: NDArray[Any] = flat[start : start + _BLOCK].astype(wide)
        part -= low
        part *= 255 / (high - low)
        np.nan_to_num(part, copy=False, nan=0.0)
        np.clip(part, 0, 255, out=part)
        part += 0.5
        grey[start : start + _BLOCK] = part.astype(np.uint8)
    return grey.reshape(array.shape)


def _check_count(n: int, name: str = "n_labels") -> int:
    check_integer(n, name, minimum=1)
    if n > MOST_LABELS:
        raise InvalidParameterError(f"{name} must be at most {MOST_LABELS}, got {n}.")
    return int(n)
