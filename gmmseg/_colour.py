"""Colour spaces: display values of red, green and blue -> features, in plain NumPy.

OpenCV is not used here. Its float path interpolates Lab in a table: measured against the formula
it is off by up to 0.45 (OpenCV 5.0, 24-bit colours), gives grey pixels a chroma of 0.125, and
its Luv differs in the last bits with the shape of the array, so that a colour would not have one
value. Here all sums run over *differences* from green: grey pixels get a chroma of exactly 0, so a
grey picture stored as RGB has two constant features instead of two of rounding noise.

Sources: IEC 61966-2-1 (sRGB companding and primaries, white D65), CIE 15 (L*a*b*, L*u*v*),
ITU-R BT.601 (luma and Y'CrCb), A. R. Smith, Color gamut transform pairs, SIGGRAPH 1978 (HSV).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.float32]

#: Rows for each step: temporaries of 128 KiB stay in the second-level cache.
BLOCK = 1 << 15

#: How far floats may stray from 0..1 and still be display values: rounding, nothing more.
_SLACK = 1e-6

#: Linear red, green, blue -> X, Y, Z; each row is divided by its sum, which is the white point.
_TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
_WHITE = _TO_XYZ.sum(axis=1)
_LUMA = np.array([[0.299, 0.587, 0.114]])


def full_scale(dtype: np.dtype[Any]) -> float:
    """The value that a display shows as white: the largest of an integer type, 1 of floats."""
    return float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0


def is_picture(dtype: np.dtype[Any]) -> bool:
    """Whether pictures come in this type: unsigned of 8 or 16 bits, of any byte order."""
    return dtype.kind == "u" and dtype.itemsize <= 2


def not_display_values(
    bands: Iterable[NDArray[Any]], dtype: np.dtype[Any], valid: NDArray[np.bool_] | None
) -> str:
    """What the used pixels hold instead of display values; empty when they hold these."""
    if is_picture(dtype):
        return ""
    if dtype.kind != "f":
        return str(dtype)
    used: Any = True if valid is None else valid
    ranges = [
        (band.min(where=used, initial=np.inf), band.max(where=used, initial=-np.inf))
        for band in bands
    ]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    return "" if low >= -_SLACK and high <= 1 + _SLACK else f"floats in {low:g}..{high:g}"


def _display(values: NDArray[Any]) -> Planes:
    """Rows of numbers -> planes in 0..1; float32 division is exact to the last bit."""
    planes = np.ascontiguousarray(values.T, dtype=np.float32)
    return planes if values.dtype.kind == "f" else planes / np.float32(full_scale(values.dtype))


def _expand(display: NDArray[Any]) -> NDArray[Any]:
    """Display values -> linear light: the companding of sRGB undone."""
    bright = np.power((np.maximum(display, 0) + 0.055) / 1.055, 2.4, dtype=display.dtype)
    return np.where(display > 0.04045, bright, display / 12.92).astype(display.dtype, copy=False)


@lru_cache(maxsize=4)
def _expansion_table(dtype: np.dtype[Any]) -> Planes:
    """Linear light of each value of an unsigned integer type of at most 16 bits."""
    full = full_scale(dtype)
    return _expand(np.arange(full + 1) / full).astype(np.float32)


def _linear(values: NDArray[Any]) -> Planes:
    """Rows of numbers -> planes of linear light."""
    if is_picture(values.dtype):
        return np.take(_expansion_table(values.dtype), np.ascontiguousarray(values.T))
    return _expand(_display(values))


def _weighted(rgb: Planes, weights: NDArray[np.float64]) -> Planes:
    """Each row of weights applied; exactly the grey value where the bands are equal."""
    red, green, blue = rgb
    shares = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    less_red, less_blue = red - green, blue - green
    return np.stack([green + (w[0] * less_red + w[2] * less_blue) for w in shares])


def _cube_root(ratios: Planes) -> Planes:
    """The cube root of CIE 15, straight below (6/29)^3."""
    straight = ratios * np.float32(841 / 108) + np.float32(4 / 29)
    return np.where(ratios > np.float32(216 / 24389), np.cbrt(ratios), straight)


def _lightness(root: Planes) -> Planes:
    return np.float32(116) * (root - np.float32(4 / 29))


def _lab(rgb: Planes) -> Planes:
    x, y, z = _cube_root(_weighted(rgb, _TO_XYZ))
    return np.stack([_lightness(y), np.float32(500) * (x - y), np.float32(200) * (y - z)])


def _stain(rgb: Planes) -> Planes:
    """The lightness of a grey of this red, and half of b: red counts for more in the start."""
    return np.stack([_lightness(_cube_root(rgb[0])), _lab(rgb)[2] / 2])


def _luv(rgb: Planes) -> Planes:
    x, y, z = _weighted(rgb, _TO_XYZ)
    lightness = _lightness(_cube_root(y))
    white_x, _, white_z = (np.float32(w) for w in _WHITE)
    sums = white_x * x + np.float32(15) * y + np.float32(3) * white_z * z
    white_sum = white_x + np.float32(15) + np.float32(3) * white_z
    # 13 L (u' - u'_white), written so that x = y = z gives 0; black has no chroma either
    factor = np.float32(13) * lightness / np.where(sums > 0, sums, np.float32(1)) / white_sum
    u = np.float32(12) * white_x * (np.float32(5) * (x - y) + white_z * (x - z))
    v = np.float32(9) * (white_x * (y - x) + np.float32(3) * white_z * (y - z))
    return np.stack([lightness, factor * u, factor * v])


def _hsv(rgb: Planes) -> Planes:
    """V, S cos H, S sin H: hue is an angle without meaning in grey, and 359 is next to 1 degree."""
    red, green, blue = rgb
    value = rgb.max(axis=0)
    chroma = value - rgb.min(axis=0)
    safe = np.where(chroma > 0, chroma, np.float32(1))
    sextant = np.where(
        value == red,
        (green - blue) / safe,
        np.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    angle = sextant * np.float32(np.pi / 3)
    saturation = chroma / np.where(value > 0, value, np.float32(1))
    return np.stack([value, saturation * np.cos(angle), saturation * np.sin(angle)])


def _ycrcb(rgb: Planes) -> Planes:
    luma = _weighted(rgb, _LUMA)[0]
    red, _, blue = rgb
    half = np.float32(0.5)
    to_cr, to_cb = (np.float32(0.5 / (1 - weight)) for weight in (_LUMA[0, 0], _LUMA[0, 2]))
    return np.stack([luma, half + to_cr * (red - luma), half + to_cb * (blue - luma)])


def _gray(bands: Planes) -> Planes:
    return bands if len(bands) == 1 else _weighted(bands, _LUMA)


def _same(bands: Planes) -> Planes:
    return bands


@dataclass(frozen=True)
class Space:
    """One colour space: how its features are made and what they are called.

    Attributes
    ----------
    names : tuple of str
        The features. The first is lightness, except in rgb.
    prepare, convert : callable
        Rows of raw numbers -> planes (display values or linear light) -> planes of features.
    n_bands : tuple of int
        The numbers of bands that it takes.
    n_textured : int
        How many of the features, from the first, have a local mean and std of interest.
    """

    names: tuple[str, ...]
    prepare: Callable[[NDArray[Any]], Planes]
    convert: Callable[[Planes], Planes]
    n_bands: tuple[int, ...] = (3,)
    n_textured: int = 1

    def fill(self, values: NDArray[Any], out: Planes) -> None:
        """Convert `values` (N, bands) into the planes `out` (D, N), block by block."""
        for start in range(0, len(values), BLOCK):
            rows = slice(start, start + BLOCK)
            out[:, rows] = self.convert(self.prepare(values[rows]))


#: Every colour space of display values; "raw" and "auto" are not among them.
SPACES = {
    "rgb": Space(("red", "green", "blue"), _display, _same, n_textured=3),
    "lab": Space(("L", "a", "b"), _linear, _lab),
    "stain": Space(("red", "b/2"), _linear, _stain),
    "luv": Space(("L", "u", "v"), _linear, _luv),
    "hsv": Space(("V", "S cos H", "S sin H"), _display, _hsv),
    "ycrcb": Space(("Y", "Cr", "Cb"), _display, _ycrcb),
    "gray": Space(("gray",), _display, _gray, n_bands=(1, 3)),
}
