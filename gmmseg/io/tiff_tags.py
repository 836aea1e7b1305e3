"""What TIFF tags say beside the pixels: size of a pixel, nodata, names of bands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gmmseg._files import printable

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

__all__ = ["Pixel", "band_names", "nodata_values", "pixel_size"]

_X_RESOLUTION, _Y_RESOLUTION = 282, 283
_PIXEL_SCALE, _TRANSFORMATION = 33550, 34264
_GDAL_METADATA, _GDAL_NODATA = 42112, 42113

_PROJECTED = 1
#: EPSG codes of linear units, of those that people use.
_LINEAR_UNITS = {9001: "m", 9002: "ft", 9003: "ft"}
_MICROMETRE = {"micron", "microns", "micrometer", "micrometre", "um", "µm", "μm", "\\u00b5m"}
_LENGTHS = {"nm", "mm", "cm", "m", "km", "inch", "pm", "Å"}


class Pixel(NamedTuple):
    """Size of a pixel along z, y and x; z is None in flat images and where it is not known."""

    z: float | None
    y: float
    x: float
    unit: str

    def along(self, ndim: int) -> tuple[float, ...] | None:
        """The sizes for an image of `ndim` spatial axes; None when one of them is not known."""
        sizes = (self.y, self.x) if ndim == 2 else (self.z, self.y, self.x)
        if all(n is not None and np.isfinite(n) and n > 0 for n in sizes):
            return tuple(float(n) for n in sizes if n is not None)
        return None


def pixel_size(tif: TiffFile, page: TiffPage) -> Pixel | None:
    """The physical size of a pixel, where the file really tells one.

    The plain resolution tags are not taken: they tell the size on paper (72 dpi).
    """
    for source in (_ome_size, _imagej_size, _geo_size):
        try:
            size = source(tif, page)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            size = None  # a broken note does not make the pixels unreadable
        if size is not None:
            return size
    return None


def _ome_size(tif: TiffFile, _: TiffPage) -> Pixel | None:
    """OME-XML, by attribute; it is not parsed as XML, which untrusted files can abuse."""
    text = tif.ome_metadata
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", text) if text else None
    if pixels is None:
        return None
    found = dict(re.findall(r"\bPhysicalSize(\w+)\s*=\s*[\"']([^\"']*)[\"']", pixels.group()))
    units = {_unit(found.get(f"{axis}Unit", "µm")) for axis in "XY"}
    if "X" not in found or "Y" not in found or len(units) != 1 or units == {""}:
        return None
    depth = found.get("Z") if _unit(found.get("ZUnit", "µm")) in units else None
    unit = units.pop()
    return Pixel(
        None if depth is None else float(depth), float(found["Y"]), float(found["X"]), unit
    )


def _imagej_size(tif: TiffFile, page: TiffPage) -> Pixel | None:
    notes = tif.imagej_metadata
    unit = _unit(notes.get("unit", "")) if notes else ""
    if not notes or not unit:
        return None
    depth = notes.get("spacing")
    return Pixel(
        None if depth is None else float(depth),
        1 / _rational(page, _Y_RESOLUTION),
        1 / _rational(page, _X_RESOLUTION),
        unit,
    )


def _geo_size(_: TiffFile, page: TiffPage) -> Pixel | None:
    """GeoTIFF, when its coordinates are lengths; degrees are not."""
    keys: dict[str, Any] = (page.geotiff_tags if page.is_geotiff else None) or {}
    unit = _LINEAR_UNITS.get(int(keys.get("ProjLinearUnitsGeoKey", 9001)), "")
    if not keys or int(keys.get("GTModelTypeGeoKey", 0)) != _PROJECTED or not unit:
        return None
    scale, matrix = _values(page, _PIXEL_SCALE), _values(page, _TRANSFORMATION)
    if scale is not None:
        return Pixel(None, float(scale[1]), float(scale[0]), unit)
    if matrix is not None:
        columns = np.asarray(matrix, dtype=float).reshape(4, 4)[:2, :2]
        x, y = np.hypot(*columns)
        return Pixel(None, float(y), float(x), unit)
    return None


def _unit(text: str) -> str:
    lower = text.strip().lower()
    if lower in _MICROMETRE:
        return "µm"
    return text.strip() if text.strip() in _LENGTHS else ""


def _rational(page: TiffPage, tag: int) -> float:
    numerator, denominator = page.tags[tag].value
    return float(numerator) / float(denominator)


def _values(page: TiffPage, tag: int) -> Any:
    found = page.tags.get(tag)
    return None if found is None else found.value


def nodata_values(page: TiffPage) -> tuple[float, ...]:
    """What GDAL's tag of nodata says; one value at most."""
    text = _values(page, _GDAL_NODATA)
    try:
        return () if text is None else (float(str(text).strip().strip("\0")),)
    except ValueError:
        return ()


def band_names(page: TiffPage) -> tuple[str, ...]:
    """The descriptions of bands as GDAL stores them; empty unless every band has one."""
    text = _values(page, _GDAL_METADATA)
    if text is None:
        return ()
    from html import unescape  # 2 ms

    names: dict[int, str] = {}
    for attributes, content in re.findall(r"<Item\b([^>]*)>([^<]*)</Item>", str(text)):
        sample = re.search(r'\bsample="(\d+)"', attributes)
        if sample and 'role="description"' in attributes:
            names[int(sample.group(1))] = printable(unescape(content))
    return (
        tuple(names[i] for i in range(len(names))) if set(names) == set(range(len(names))) else ()
    )
