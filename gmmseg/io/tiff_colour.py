"""What the samples of a TIFF pixel mean: grey, colours, ink, an index, alpha."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.io.assembly import Decoded
from gmmseg.io.options import ReadOptions
from gmmseg.io.remarks import Remarks

if TYPE_CHECKING:
    from tifffile import TiffPage

__all__ = ["alpha_sample", "meaning_of_samples"]

_PLAIN = {"MINISBLACK", "RGB"}
_ASSOCIATED_ALPHA, _SEPARATE_ALPHA = 1, 2
_JPEG = {"JPEG", "OJPEG", "ALT_JPEG", "JPEG_LOSSY"}


def meaning_of_samples(
    values: NDArray[Any], page: TiffPage, options: ReadOptions, remarks: Remarks
) -> Decoded:
    """Colours and alpha of `values` (..., samples) as the tags of `page` define them."""
    kind = photometric(page)
    if kind == "PALETTE" and page.colormap is not None:
        return _palette(values, page, options, remarks)
    if kind == "MINISWHITE" and values.dtype.kind in "bu":
        values = _inverted(values, bits_of(page))
        remarks.note("inverted, because the file stores white as 0")
    values, alpha = _split_alpha(values, page)
    if kind == "SEPARATED" and values.shape[-1] == 4 and values.dtype.kind == "u":
        remarks.warn("colours converted from CMYK to RGB without a colour profile")
        return Decoded(values=_rgb_of_ink(values), alpha=alpha, colour=True)
    in_rgb = kind == "RGB" or (kind == "YCBCR" and getattr(page.compression, "name", "") in _JPEG)
    if not in_rgb and kind not in _PLAIN | {"MINISWHITE"}:
        remarks.warn(f"the colour model of the file is {kind}; its bands are read as they are")
    displayed = values.dtype in (np.uint8, np.uint16) and values.shape[-1] >= 3
    return Decoded(values=values, alpha=alpha, colour=in_rgb and displayed)


def photometric(page: TiffPage) -> str:
    """Name of the colour model."""
    found = page.photometric
    return getattr(found, "name", str(found))


def bits_of(page: TiffPage) -> int:
    """Bits per sample; the least where they differ (red 5, green 6, blue 5)."""
    bits: int | tuple[int, ...] = page.bitspersample
    return min(bits) if isinstance(bits, tuple) else bits


def alpha_sample(page: TiffPage) -> int | None:
    """Position of the alpha channel among the samples of a pixel."""
    first = page.samplesperpixel - len(page.extrasamples)
    for i, meaning in enumerate(page.extrasamples):
        if int(meaning) in (_ASSOCIATED_ALPHA, _SEPARATE_ALPHA):
            return first + i
    return None


def _split_alpha(values: NDArray[Any], page: TiffPage) -> tuple[NDArray[Any], NDArray[Any] | None]:
    at = alpha_sample(page)
    if at is None or not 0 <= at < values.shape[-1] or values.shape[-1] == 1:
        return values, None
    if at == values.shape[-1] - 1:
        return values[..., :-1], values[..., -1]
    return np.delete(values, at, axis=-1), values[..., at]


def _palette(
    values: NDArray[Any], page: TiffPage, options: ReadOptions, remarks: Remarks
) -> Decoded:
    if options.indexed:
        remarks.note("read as indices of its palette")
        return Decoded(values=values)
    colours = np.asarray(page.colormap).T
    if colours.max() > 255:  # 16 bits as the standard says; some writers store 8
        colours = colours >> 8
    table = np.ascontiguousarray(colours, dtype=np.uint8)
    return Decoded(values=table[values[..., 0].astype(np.intp, copy=False)], colour=True)


def _inverted(values: NDArray[Any], bits: int) -> NDArray[Any]:
    if values.dtype == bool:
        return ~values
    most = values.dtype.type(2**bits - 1)
    inverted: NDArray[Any] = most - values
    return inverted


def _rgb_of_ink(values: NDArray[Any]) -> NDArray[Any]:
    """Red, green and blue of cyan, magenta, yellow and black, as Pillow does it."""
    most = int(np.iinfo(values.dtype).max)
    light = most - values.astype(np.uint64)
    rgb = (light[..., :3] * light[..., 3:] + most // 2) // most
    return rgb.astype(values.dtype)
