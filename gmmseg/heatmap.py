"""Maps of a number as pictures: a colour scale that the eye reads evenly, and its bar below."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg.errors import InvalidParameterError
from gmmseg.labels import grey_map
from gmmseg.legend import check_rgb

__all__ = ["heat_colours", "heat_map", "with_scale"]

# "inferno" of Nathaniel Smith and Stefan van der Walt (2015, CC0), every 15th of its 256 colours;
# between them it is straight to within 5 levels. Even steps in CAM02-UCS, dark to bright, also for
# colour-blind people and in print.
_INFERNO = (
    (0, 0, 4), (10, 7, 34), (30, 12, 69), (56, 9, 98), (81, 14, 108), (105, 22, 110),
    (128, 31, 108), (152, 39, 102), (176, 49, 91), (198, 61, 77), (217, 77, 61), (233, 97, 43),
    (244, 121, 24), (250, 148, 7), (252, 176, 20), (248, 205, 55), (242, 234, 105), (252, 255, 164),
)  # fmt: skip

#: Where there is no value: a grey that the scale does not have.
_NO_VALUE = (128, 128, 128)

_PAPER = (255, 255, 255)
_INK = (32, 34, 38)
_LETTERS = 40
_SMALLEST_LETTERS = 12


def heat_colours() -> NDArray[np.uint8]:
    """The 256 colours of the scale from low to high, (256, 3)."""
    anchors = np.array(_INFERNO, float)
    at = np.linspace(0, 255, len(anchors))
    levels = np.arange(256)
    colours = np.stack([np.interp(levels, at, channel) for channel in anchors.T], axis=1)
    return np.rint(colours).astype(np.uint8)


def heat_map(values: ArrayLike, low: float, high: float) -> NDArray[np.uint8]:
    """Values in colour: dark at `low` and below, bright at `high` and above.

    Parameters
    ----------
    values : array_like of shape (rows, cols)
        NaN becomes grey.
    low, high : float
        Finite, ``low < high``.

    Returns
    -------
    ndarray of shape (rows, cols, 3), uint8

    Raises
    ------
    InvalidParameterError
        When `values` has not two axes, or `high` is not above `low`.

    Examples
    --------
    >>> heat_map([[0.0, 1.0, np.nan]], 0, 1)[0].tolist()
    [[0, 0, 4], [252, 255, 164], [128, 128, 128]]
    """
    array = np.asarray(values)
    if array.ndim != 2:
        raise InvalidParameterError(
            f"values must be (rows, cols), got shape {array.shape}. Take one plane of a volume."
        )
    picture = heat_colours()[grey_map(array, low, high)]
    picture[np.isnan(array)] = _NO_VALUE
    return picture


def with_scale(
    rgb: ArrayLike, low: float, high: float, *, caption: str = "", mark: float | None = None
) -> NDArray[np.uint8]:
    """The picture with a strip below: a bar of the colours with numbers, and what they mean.

    Parameters
    ----------
    rgb : array_like of shape (rows, cols, 3), uint8
    low, high : float
        Values at the ends of the bar.
    caption : str
    mark : float, optional
        A value between them, such as a threshold, that gets a line across the bar.

    Returns
    -------
    ndarray of shape (more rows, cols or more, 3), uint8
    """
    picture = check_rgb(rgb)
    strip = _strip(picture.shape[0], picture.shape[1], low, high, " ".join(caption.split()), mark)
    height, width = len(picture) + len(strip), max(picture.shape[1], strip.shape[1])
    framed = np.full((height, width, 3), _PAPER, np.uint8)
    framed[: len(picture), : picture.shape[1]] = picture
    framed[len(picture) :, : strip.shape[1]] = strip
    return framed


def _strip(
    rows: int, cols: int, low: float, high: float, caption: str, mark: float | None
) -> NDArray[np.uint8]:
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    size = max(_SMALLEST_LETTERS, round(float(np.sqrt(rows * cols)) / _LETTERS))
    font = ImageFont.load_default(size)
    line, pad = round(1.6 * size), round(0.6 * size)
    ends = (f"{low:.3g}", f"{high:.3g} or more")
    room = [round(font.getlength(text)) + pad for text in ends]
    bar = max(10 * size, min(cols - 2 * pad - sum(room), 40 * size))
    width = max(2 * pad + bar + sum(room), 2 * pad + round(font.getlength(caption)), cols)
    canvas = np.full((pad + line * (2 if caption else 1) + pad // 2, width, 3), _PAPER, np.uint8)
    left, middle = pad + room[0], pad + line // 2
    shades = heat_colours()[np.linspace(0, 255, bar).round().astype(int)]
    canvas[middle - size // 2 : middle + size // 2, left : left + bar] = shades
    strip = Pillow.fromarray(canvas)
    draw = ImageDraw.Draw(strip)
    draw.text((pad, middle), ends[0], _INK, font, anchor="lm")
    draw.text((left + bar + pad, middle), ends[1], _INK, font, anchor="lm")
    draw.text((pad, middle + line), caption, _INK, font, anchor="lm")
    if mark is not None and low <= mark <= high:
        x = left + round((mark - low) / (high - low) * (bar - 1))
        draw.line((x, middle - size // 2 - pad // 2, x, middle + size // 2 + pad // 2), _INK, 2)
    return np.asarray(strip)
