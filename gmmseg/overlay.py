"""Pictures for people: an image as a display shows it, and its classes in colour over it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg._check import check_integer, check_real
from gmmseg.errors import InvalidParameterError
from gmmseg.image import Image
from gmmseg.labels import check_labels, grey_map, palette
from gmmseg.legend import LegendEntry, check_rgb, legend_below, with_legend
from gmmseg.mixture._threads import Workers
from gmmseg.quantiles import quantiles

__all__ = [
    "LegendEntry",
    "describe_display",
    "display_rgb",
    "displayed",
    "legend_below",
    "overlay",
    "with_legend",
]

# --- the image ------------------------------------------------------------------------------

#: Values from which the range of a band is estimated; percentiles of more look the same.
_SAMPLE = 250_000
_SMALL_SAMPLE = 1000

#: An 8-bit picture with nearly all values below this is stretched: a fluorescence picture would
#: otherwise be a black square, and so would its overlay.
_DIM = 64


def display_rgb(image: Image, *, plane: int | None = None) -> NDArray[np.uint8]:
    """The image as a person should see it.

    8-bit colour and grey are shown as they are, unless they are nearly black. All others are
    stretched from the 1st to the 99th percentile of the used pixels of the whole image: colour
    by one range for its three bands, so that hues stay, other bands each by its own. Bands
    named red, green and blue are taken for that; else three bands count as red, green, blue;
    the first three of more are shown in reverse, as satellites start with blue; of two bands
    the first is shown in grey. Pixels that are not used are dark.

    Parameters
    ----------
    image : Image
    plane : int, optional
        Which plane of a volume, from 0; the middle one when not given.

    Returns
    -------
    ndarray of shape (rows, cols, 3), uint8

    Raises
    ------
    InvalidParameterError
        When the image has no such plane.

    Examples
    --------
    >>> display_rgb(Image.from_array(np.array([[0.0, 0.5, 1.0]])))[0, :, 0].tolist()
    [0, 128, 255]
    """
    shown = displayed(image, plane=plane)
    return shown.copy() if np.may_share_memory(shown, image.data) else shown


def displayed(image: Image, *, plane: int | None = None) -> NDArray[np.uint8]:
    """`display_rgb`, only to be read: it may be the image's own values."""
    bands = _shown_bands(image)
    data, valid = _take_plane(image, plane, bands)
    ranges = _ranges(image, bands)
    if ranges == [None] * 3 and bands == (0, 1, 2) and data.shape[2] == 3 and valid is None:
        return data
    shown = np.empty((*data.shape[:2], 3), np.uint8)
    for channel, (band, span) in enumerate(zip(bands, ranges, strict=True)):
        levels = _stretched(data[..., band], span)
        if valid is not None:
            levels = np.where(valid, levels, levels // 3 + 24)
        shown[..., channel] = levels
    if len(bands) == 1:
        shown[..., 1:] = shown[..., :1]
    return shown


def describe_display(image: Image) -> str:
    """What `display_rgb` did to the values, for a caption; empty when they are shown as they are.

    Examples
    --------
    >>> describe_display(Image.from_array(np.zeros((4, 5, 6), np.uint16), axes="YXC"))
    'bands 3, 2, 1; stretched 1-99 %'
    """
    bands = _shown_bands(image)
    parts = []
    if image.n_bands > 1 and bands != (0, 1, 2):
        listed = ", ".join(str(band + 1) for band in bands)
        parts.append(f"band {listed}" if len(bands) == 1 else f"bands {listed}")
    if None not in _ranges(image, bands):
        parts.append("stretched 1-99 %")
    return "; ".join(parts)


def _take_plane(
    image: Image, plane: int | None, bands: tuple[int, ...]
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Values, and where `bands` are there, of the image or of one plane of the volume."""
    if image.ndim == 2:
        if plane is not None:
            raise InvalidParameterError(f"plane is for volumes; the image is {image.shape}.")
        return image.data, image.usable(bands, complete=True)
    n_planes = image.shape[0]
    index = n_planes // 2 if plane is None else check_integer(plane, "plane", minimum=0)
    if index >= n_planes:
        raise InvalidParameterError(
            f"plane must be less than the number of planes {n_planes}, got {plane}."
        )
    valid = image.usable(bands, complete=True)
    return image.data[index], None if valid is None else valid[index]


def _shown_bands(image: Image) -> tuple[int, ...]:
    """Which bands are shown, as (red, green, blue) or one grey."""
    names = [name.lower() for name in image.band_names]
    if not image.colour and {"red", "green", "blue"} <= set(names):
        return tuple(names.index(colour) for colour in ("red", "green", "blue"))
    if image.colour or image.n_bands == 3:
        return (0, 1, 2)
    return (2, 1, 0) if image.n_bands > 3 else (0,)


def _ranges(image: Image, bands: tuple[int, ...]) -> list[tuple[float, float] | None]:
    """What becomes black and white in each of `bands`; None = shown as it is."""
    sample = _sample(image, bands)
    together = image.colour or image.n_bands == 1
    if together:
        sample = sample.reshape(-1, 1)
        bright = len(sample) == 0 or quantiles(sample.ravel(), (0.99,))[0] >= _DIM
        if image.data.dtype == np.uint8 and bright:
            return [None] * len(bands)
    spans: list[tuple[float, float] | None] = [_span(column) for column in sample.T]
    return spans * len(bands) if together else spans


def _sample(image: Image, bands: tuple[int, ...]) -> NDArray[Any]:
    """Values of usable pixels, of those on a regular grid when they will do, (n, bands)."""
    step = int(np.ceil((image.n_pixels / _SAMPLE) ** (1 / image.ndim)))
    sample = _usable_on_grid(image, bands, step)
    # A small mask or a few bright dots may lie between the points of the grid.
    if step > 1 and (len(sample) < _SMALL_SAMPLE or (sample.min(0) == sample.max(0)).any()):
        return _usable_on_grid(image, bands, 1)
    return sample


def _usable_on_grid(image: Image, bands: tuple[int, ...], step: int) -> NDArray[Any]:
    # From half a step on: the outermost pixels of scans are often empty.
    grid = tuple(slice(min(step, n) // 2, None, step) for n in image.shape)
    part = image.data[grid].reshape(-1, image.n_bands)
    usable = np.ones(len(part), bool) if image.mask is None else image.mask[grid].reshape(-1)
    shown = part[:, bands]
    if part.dtype.kind == "f":
        usable = usable & np.isfinite(shown).all(axis=1)
    if image.missing is not None:
        missing = image.missing[grid].reshape(-1, image.n_bands)[:, bands]
        usable = usable & ~missing.any(axis=1)
    return shown[usable]


def _span(values: NDArray[Any]) -> tuple[float, float]:
    """1st and 99th percentile; the extremes when these are equal, as with a few bright dots."""
    if len(values) == 0:
        return 0.0, 1.0
    low, high = quantiles(values, (0.01, 0.99))
    return (low, high) if high > low else (float(values.min()), float(values.max()))


def _stretched(band: NDArray[Any], span: tuple[float, float] | None) -> NDArray[np.uint8]:
    if span is None:
        return band
    if span[1] > span[0]:
        return grey_map(band, *span)
    return np.full(band.shape, 128, np.uint8)  # constant: neither black nor white


# --- the classes ----------------------------------------------------------------------------

#: Strength of a class's colour where the picture is black, relative to where it is white: dark
#: classes would be invisible at 0 and flat at 1.
_COLOUR_IN_THE_DARK = 0.8

#: Opacity of the lines between classes.
_LINE = 0.9

#: With more classes than this, 16 levels of grey do: the table of colours stays small.
_FINE_GREY = 4096

#: Parts of a picture that threads draw from.
_STRIPS = 16


def overlay(
    rgb: ArrayLike,
    labels: ArrayLike,
    *,
    n_labels: int,
    alpha: float = 0.55,
    outlines: bool = True,
    threads: int | None = None,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Colour the classes, so that the picture's light and dark stay visible.

    The picture's own colours go: red blood cells in a green class would come out grey, and grass
    in a blue class would look like the green one.

    Parameters
    ----------
    rgb : array_like of shape (rows, cols, 3), uint8
        The picture, as `display_rgb` makes it.
    labels : array_like of shape (rows, cols), uint8 or uint16
        Pixels with label 0 are left as they are.
    n_labels : int
        The highest label.
    alpha : float
        Strength of the colours, 0..1.
    outlines : bool
        Draw lines of one pixel between classes, in the colour of the brighter; none around
        unused pixels.
    threads : int, optional
        None = as many as this process may use.
    out : ndarray of shape (rows, cols, 3), uint8, optional
        Where to paint.

    Returns
    -------
    ndarray of shape (rows, cols, 3), uint8

    Raises
    ------
    InvalidParameterError
        When shapes, types or values do not fit.

    Examples
    --------
    >>> picture = np.full((2, 2, 3), 200, np.uint8)
    >>> overlay(picture, np.array([[0, 1], [1, 1]], np.uint8), n_labels=1)[0].tolist()
    [[200, 200, 200], [115, 148, 204]]
    """
    from gmmseg._overlay_kernels import paint

    picture = np.ascontiguousarray(check_rgb(rgb))
    values = np.ascontiguousarray(check_labels(labels, n_labels))
    if values.shape != picture.shape[:2]:
        raise InvalidParameterError(
            f"labels must have the picture's shape {picture.shape[:2]}, got {values.shape}."
        )
    if check_real(alpha, "alpha", minimum=0) > 1:
        raise InvalidParameterError(f"alpha must be at most 1, got {alpha}.")
    shift = 0 if n_labels <= _FINE_GREY else 4
    table = _colour_table(n_labels, alpha, 256 >> shift, outlines)
    out = np.empty_like(picture) if out is None else out
    rows = -(-len(picture) // _STRIPS)

    def task(i: int) -> None:
        last = min((i + 1) * rows, len(picture))
        paint(picture, values, table, n_labels, shift, outlines, i * rows, last, out)

    with Workers(threads) as workers:
        workers.run(task, _STRIPS)
    return out


def _colour_table(n_labels: int, alpha: float, levels: int, outlines: bool) -> NDArray[np.uint8]:
    """Colour of each class at each level of grey, then of the lines, (codes * levels, 3)."""
    grey = np.linspace(0, 255, levels, dtype=np.float32)[:, np.newaxis]
    opacity = alpha * (_COLOUR_IN_THE_DARK + (1 - _COLOUR_IN_THE_DARK) * grey / 255)
    colours = np.concatenate([np.zeros((1, 3), np.uint8), palette(n_labels)])[:, np.newaxis]
    table = [(1 - alpha) * grey + opacity * colours]
    if outlines:
        table.append((1 - _LINE) * grey + _LINE * colours)
    return np.rint(np.concatenate(table)).astype(np.uint8).reshape(-1, 3)
