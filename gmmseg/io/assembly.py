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

__all__ = ["Decoded", "assemble"]


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
    mask = _without_nodata(values, mask, nodata, remarks)
    spacing = decoded.spacing
    if options.exif and decoded.orientation != UPRIGHT:
        values, mask, spacing = _upright(values, mask, spacing, decoded.orientation)
        remarks.note(f"turned upright by its orientation tag ({decoded.orientation})")
    return Image(
        data=_plain(values),
        mask=None if mask is None else np.ascontiguousarray(mask),
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
) -> NDArray[np.bool_] | None:
    """Leave out the pixels of which any band has one of the values `nodata`."""
    for value in dict.fromkeys(nodata):
        missing = _equal_to(values, value)
        if missing is not None and missing.any():
            remarks.note(f"{np.count_nonzero(missing)} pixels of nodata value {value:g} not used")
            mask = ~missing if mask is None else mask & ~missing
    return mask


def _equal_to(values: NDArray[Any], value: float) -> NDArray[np.bool_] | None:
    """Where any band equals `value`; None when the type of the values cannot hold it."""
    if np.isnan(value):
        return None if values.dtype.kind != "f" else np.isnan(values).any(axis=-1)
    if values.dtype.kind != "f":
        bounds = np.iinfo(values.dtype)
        if not bounds.min <= value <= bounds.max or value != int(value):
            return None
        value = int(value)
    # One band after the other, because a comparison of all takes as much memory as the image.
    missing = np.zeros(values.shape[:-1], dtype=bool)
    with np.errstate(over="ignore"):
        # -3.4028234663852886e+38 in a header is meant as the nearest float32.
        wanted = values.dtype.type(value)
    for band in np.moveaxis(values, -1, 0):
        missing |= band == wanted
    return missing


def _upright(
    values: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    spacing: tuple[float, ...] | None,
    orientation: int,
) -> tuple[NDArray[Any], NDArray[np.bool_] | None, tuple[float, ...] | None]:
    if values.ndim != 3:
        return values, mask, spacing
    if spacing is not None and orientation in TRANSPOSED:
        spacing = spacing[::-1]
    return turned(values, orientation), None if mask is None else turned(mask, orientation), spacing


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
