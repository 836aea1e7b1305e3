"""From decoded values to an `Image`: alpha, orientation, nodata, memory layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.image import Image
from gmmseg.io.options import ReadOptions
from gmmseg.io.orientation import TRANSPOSED, UPRIGHT, turned
from gmmseg.io.remarks import Remarks
from gmmseg.io.source import Source

__all__ = ["Decoded", "assemble", "held_value", "is_one_of"]


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Values as a decoder gives them, bands last, and what the file says about them.

    Attributes
    ----------
    values : ndarray of shape (rows, cols, bands) or (planes, rows, cols, bands)
        Without alpha.
    alpha : ndarray of shape values.shape[:-1], or None
        0 = transparent.
    mask : ndarray of bool, shape values.shape[:-1], or None
        What the file itself marks as used.
    colour, spacing, unit, band_names
        As in `Image`, before the image is turned upright.
    orientation : int
        EXIF orientation.
    nodata : tuple of float
        Values that stand for "nothing here".
    """

    values: NDArray[Any]
    alpha: NDArray[Any] | None = None
    mask: NDArray[np.bool_] | None = None
    colour: bool = False
    orientation: int = UPRIGHT
    nodata: tuple[float, ...] = ()
    spacing: tuple[float, ...] | None = None
    unit: str = ""
    band_names: tuple[str, ...] = ()


def assemble(decoded: Decoded, source: Source, options: ReadOptions, remarks: Remarks) -> Image:
    """The image that `options` ask for."""
    values, mask = _without_alpha(decoded, options, remarks)
    nodata = decoded.nodata if options.nodata is None else (*decoded.nodata, options.nodata)
    mask, missing = _without_nodata(values, mask, nodata, remarks)
    spacing = decoded.spacing
    if options.exif and decoded.orientation != UPRIGHT:
        values, mask, missing, spacing = _upright(
            values, mask, missing, spacing, decoded.orientation
        )
        remarks.note(f"turned upright by its orientation tag ({decoded.orientation})")
    return Image(
        data=_plain(values),
        mask=None if mask is None else np.ascontiguousarray(mask),
        missing=None if missing is None else np.ascontiguousarray(missing),
        spacing=spacing,
        unit=decoded.unit if spacing is not None else "",
        colour=decoded.colour,
        band_names=decoded.band_names if len(decoded.band_names) == values.shape[-1] else (),
        path=source.path,
        notes=tuple(remarks.notes),
    )


def _without_alpha(
    decoded: Decoded, options: ReadOptions, remarks: Remarks
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    values, alpha, mask = decoded.values, decoded.alpha, decoded.mask
    if alpha is None:
        return values, mask
    if options.keep_alpha:
        remarks.note("alpha channel kept as the last band")
        band = alpha[..., np.newaxis].astype(values.dtype, copy=False)
        return np.concatenate([values, band], axis=-1), mask
    opaque = alpha != 0
    if opaque.all():
        remarks.note("alpha channel dropped; no pixel is wholly transparent")
        return values, mask
    remarks.note(f"alpha channel dropped; {np.count_nonzero(~opaque)} transparent pixels not used")
    return values, opaque if mask is None else opaque & mask


def _without_nodata(
    values: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    nodata: tuple[float, ...],
    remarks: Remarks,
) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
    """The mask without the pixels that are nothing but nodata, and the gaps of the others."""
    wanted = [
        v for value in dict.fromkeys(nodata) if (v := held_value(value, values.dtype)) is not None
    ]
    if not wanted:
        return mask, None
    # One band after the other, because a comparison of all takes as much memory as the image.
    somewhere = np.zeros(values.shape[:-1], dtype=bool)
    everywhere = ~somewhere
    for band in np.moveaxis(values, -1, 0):
        found = is_one_of(band, wanted)
        somewhere |= found
        everywhere &= found
    listed = " or ".join(f"{value:g}" for value in wanted)
    if n := np.count_nonzero(everywhere):
        remarks.note(f"{n} pixels of nodata value {listed} not used")
        mask = ~everywhere if mask is None else mask & ~everywhere
    if (n := np.count_nonzero(somewhere) - n) == 0:
        return mask, None
    remarks.note(f"{n} pixels have nodata value {listed} in some bands")
    return mask, is_one_of(values, wanted)


def held_value(value: float, dtype: np.dtype[Any]) -> Any:
    """`value` in the type of the values; None when that cannot hold it."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            # -3.4028234663852886e+38 in a header is meant as the nearest float32.
            return dtype.type(value)
    bounds = np.iinfo(dtype)
    # NaN is within no bounds
    held = bounds.min <= value <= bounds.max and value == int(value)
    return dtype.type(int(value)) if held else None


def is_one_of(values: NDArray[Any], wanted: list[Any]) -> NDArray[np.bool_]:
    """Where values are one of those; NaN is one like others."""
    found = np.zeros(values.shape, dtype=bool)
    for value in wanted:
        found |= np.isnan(values) if np.isnan(value) else values == value
    return found


def _upright(
    values: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    missing: NDArray[np.bool_] | None,
    spacing: tuple[float, ...] | None,
    orientation: int,
) -> tuple[
    NDArray[Any],
    NDArray[np.bool_] | None,
    NDArray[np.bool_] | None,
    tuple[float, ...] | None,
]:
    if values.ndim != 3:
        return values, mask, missing, spacing
    if spacing is not None and orientation in TRANSPOSED:
        spacing = spacing[::-1]
    mask, missing = (None if m is None else turned(m, orientation) for m in (mask, missing))
    return turned(values, orientation), mask, missing, spacing


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Native byte order, a type that images may have, and C order unless mapped from a file."""
    if values.dtype == bool:
        values = values.astype(np.uint8) * np.uint8(255)
    elif values.dtype == np.float16:
        values = values.astype(np.float32)
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return values if _is_mapped(values) else np.ascontiguousarray(values)


def _is_mapped(values: NDArray[Any]) -> bool:
    return isinstance(values, np.memmap)
