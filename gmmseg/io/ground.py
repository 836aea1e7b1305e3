"""Areas on the ground: of pixels and of polygons, also where coordinates are degrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._optional import import_optional
from gmmseg.georeference import Georeference

__all__ = ["pixel_areas", "polygon_areas"]


def pixel_areas(
    shape: tuple[int, int], georeference: Georeference | None
) -> NDArray[np.float64] | None:
    """Square metres of a pixel in every row, (rows,); None where the place is not known.

    In a projected system areas are those of the map. Of degrees they are geodesic (Karney,
    J. Geodesy 87 (2013) 43-55), by the middle of each row: rows of a rotated grid are taken as
    the one in the middle.
    """
    if georeference is None or not georeference.crs or georeference.transform is None:
        return None
    crs = import_optional("pyproj").CRS.from_wkt(georeference.crs)
    a, b, c, d, e, f = georeference.transform
    if not crs.is_geographic:
        return np.full(shape[0], abs(a * e - b * d) * _metres(crs) ** 2)
    geod, middle = crs.get_geod(), shape[1] // 2
    rows = np.arange(shape[0]) if b == d == 0 else np.full(shape[0], shape[0] // 2)
    areas = np.empty(shape[0])
    for i, row in enumerate(rows.tolist()):
        corners = [(middle + x, row + y) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]
        lon = [a * x + b * y + c for x, y in corners]
        lat = [np.clip(d * x + e * y + f, -90, 90) for x, y in corners]
        areas[i] = abs(geod.polygon_area_perimeter(lon, lat)[0])
    return areas


def polygon_areas(
    polygons: Sequence[Any], georeference: Georeference | None
) -> NDArray[np.float64] | None:
    """Square metres of shapely's polygons; None where the system of coordinates is not known.

    As `pixel_areas`: those of the map, or geodesic.
    """
    if georeference is None or not georeference.crs:
        return None
    crs = import_optional("pyproj").CRS.from_wkt(georeference.crs)
    if crs.is_geographic:
        geod = crs.get_geod()
        return np.array([abs(geod.geometry_area_perimeter(p)[0]) for p in polygons])
    areas: NDArray[np.float64] = import_optional("shapely").area(np.array(polygons, dtype=object))
    return areas * _metres(crs) ** 2


def _metres(crs: Any) -> float:
    """Metres of the unit that coordinates are in."""
    return float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
