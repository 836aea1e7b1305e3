"""xarray's DataArrays as images: dimensions by name, bands by their coordinates, place on earth.

xarray is never imported here: who gives a DataArray has it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from gmmseg.errors import InvalidDataError
from gmmseg.georeference import Georeference
from gmmseg.image import Image

__all__ = ["BAND_DIMS", "dimensions", "image_of_data_array", "is_data_array"]

_ROWS = ("y", "lat", "latitude", "northing", "row", "rows")
_COLS = ("x", "lon", "longitude", "easting", "col", "cols", "column")
_PLANES = ("z", "plane", "planes", "depth", "level")
#: What dimensions of bands are called.
BAND_DIMS = ("band", "bands", "channel", "channels", "c", "wavelength", "variable")

_BAND_NAMES = ("long_name", "band_name", "name", "description")


def is_data_array(source: Any) -> bool:
    """Whether it is an `xarray.DataArray`."""
    kind = type(source)
    return kind.__name__ == "DataArray" and kind.__module__.partition(".")[0] == "xarray"


def dimensions(array: Any) -> tuple[tuple[str, ...], str | None]:
    """The dimensions in space, rows and columns last, and that of the bands, or None.

    Raises
    ------
    InvalidDataError
        When a dimension is not understood, or rows or columns are missing.
    """
    names = {str(dim).lower(): str(dim) for dim in array.dims}
    found = [next((names[n] for n in kind if n in names), None) for kind in (_PLANES, _ROWS, _COLS)]
    band = next((names[n] for n in BAND_DIMS if n in names), None)
    space = tuple(dim for dim in found if dim is not None)
    if found[1] is None or found[2] is None or {*space, band} - {None} != set(map(str, array.dims)):
        raise InvalidDataError(
            f"a DataArray must have the dimensions y and x (or lat, lon; rows, cols), and may have "
            f"z and band, got {', '.join(map(str, array.dims))}. Rename them with rename(), or "
            "choose one of the others with isel()."
        )
    return space, band


def image_of_data_array(array: Any) -> Image:
    """A DataArray as an image in memory.

    Values equal to the attribute ``_FillValue`` or ``nodata`` were not observed, nor was NaN. The
    spacing is that of evenly spaced coordinates; the place on earth is rioxarray's, if that has
    been imported.
    """
    space, band = dimensions(array)
    ordered = array.transpose(*space, *([band] if band else []))
    values = np.asarray(ordered.values)
    if band is None:
        values = values[..., np.newaxis]
    image = Image.from_array(values, axes="YXC" if len(space) == 2 else "ZYXC")
    nodata = array.attrs.get("_FillValue", array.attrs.get("nodata"))
    missing = None
    if nodata is not None and np.isscalar(nodata) and not np.isnan(nodata):
        missing = image.data == nodata
    return Image(
        data=image.data,
        missing=missing if missing is not None and missing.any() else None,
        spacing=_spacing(ordered, space),
        unit=_unit(ordered, space),
        band_names=_band_names(ordered, band),
        sensor=_sensor(array),
        georeference=_georeference(array),
    )


def _spacing(array: Any, space: tuple[str, ...]) -> tuple[float, ...] | None:
    """The distance of neighbours along each axis; None where they are not evenly spaced."""
    sizes = []
    for dim in space:
        if dim not in array.coords or array.coords[dim].size < 2:
            return None
        steps = np.diff(np.asarray(array.coords[dim].values, np.float64))
        if not np.allclose(steps, steps[0], rtol=1e-3) or steps[0] == 0:
            return None
        sizes.append(abs(float(steps.mean())))
    return tuple(sizes)


def _unit(array: Any, space: tuple[str, ...]) -> str:
    units = {str(array.coords[dim].attrs.get("units", "")) for dim in space if dim in array.coords}
    unit = units.pop() if len(units) == 1 else ""
    return {"metre": "m", "meter": "m", "metres": "m", "meters": "m"}.get(unit, unit)


def _band_names(array: Any, band: str | None) -> tuple[str, ...]:
    for name in _BAND_NAMES:
        value = array.attrs.get(name)
        if isinstance(value, tuple | list) and band and len(value) == array.sizes[band]:
            return tuple(map(str, value))
    if band is None or band not in array.coords:
        return ()
    values = array.coords[band].values
    return tuple(str(value) for value in values.tolist()) if values.dtype.kind in "UO" else ()


def _sensor(array: Any) -> str:
    """What took it: the attribute, or the coordinate, that STAC calls so."""
    if "platform" in array.coords and array.coords["platform"].size == 1:
        return str(array.coords["platform"].item())
    return str(array.attrs.get("platform", ""))


def _georeference(array: Any) -> Georeference | None:
    rio = getattr(array, "rio", None)
    if rio is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # rioxarray 0.19, of affine 3.1
        transform = tuple(rio.transform())[:6]
    place = Georeference(
        crs=rio.crs.to_wkt() if rio.crs else "",
        transform=transform if transform != (1, 0, 0, 0, 1, 0) else None,
    )
    return place if place.is_known else None
