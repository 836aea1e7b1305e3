"""Label maps as polygons: for geographic software."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_real
from gmmseg._optional import import_optional
from gmmseg.area import parse_area
from gmmseg.errors import InvalidDataError, InvalidParameterError, WriteError
from gmmseg.georeference import IDENTITY, Georeference
from gmmseg.image import Image
from gmmseg.io import ReadOptions, printable, read_image
from gmmseg.io.decoding import quiet
from gmmseg.io.ground import pixel_areas, polygon_areas
from gmmseg.labels import palette
from gmmseg.outputs import staged
from gmmseg.regions import RegionOptions, clean_labels

__all__ = ["VECTORS", "VectorOptions", "export_polygons", "label_image", "label_polygons"]

#: Formats of polygons by the ending of the name: GDAL's drivers.
VECTORS = {".gpkg": "GPKG", ".geojson": "GeoJSON"}

_HECTARE = 1e4

_FIELDS = ("class", "name", "colour", "pixels", "area_m2", "area_ha")


@dataclass(frozen=True, kw_only=True)
class VectorOptions:
    """How label maps become polygons and tables.

    Attributes
    ----------
    min_area : float or str
        Smallest mapping unit: regions below it are given to the class with the longest border,
        so that no gaps are left. Pixels, or a text such as "0.5 ha". 0 = all stay.
    simplify : float
        Stairs of pixels are smoothed: corners of triangles smaller than the square of so many
        pixels go (Visvalingam and Whyatt 1993). Borders stay common to both sides: neither gaps
        nor overlaps; the border of what is used stays as it is. 0 = off.
    dissolve : bool
        One multipolygon for each class, not one polygon for each region.
    names : tuple of str
        Of the classes 1, 2, ...; "class 3" for those without.
    """

    min_area: float | str = 0.0
    simplify: float = 0.0
    dissolve: bool = False
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parse_area(self.min_area, "min_area")
        object.__setattr__(self, "simplify", check_real(self.simplify, "simplify", minimum=0.0))

    def name(self, label: int) -> str:
        """Of a class."""
        return self.names[label - 1] if label <= len(self.names) else f"class {label}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Polygons:
    """Polygons of a label map, each with what is known of it.

    Attributes
    ----------
    geometries : sequence of shapely polygons
    labels, pixels : ndarray of int
    areas : ndarray of float, or None
        In square metres, before they were simplified.
    """

    geometries: Sequence[Any]
    labels: NDArray[np.int64]
    pixels: NDArray[np.int64]
    areas: NDArray[np.float64] | None


def label_polygons(
    labels: NDArray[Any],
    georeference: Georeference | None = None,
    options: VectorOptions = VectorOptions(),
) -> Polygons:
    """Polygons around the regions of a label map.

    Parameters
    ----------
    labels : ndarray of uint8 or uint16, shape (rows, cols)
        0 = not used: no polygon.
    georeference : Georeference, optional
        Its coordinates are those of the polygons; without it they are columns and rows.
    options : VectorOptions

    Raises
    ------
    InvalidDataError
        When no pixel has a label.
    MissingDependencyError
        Without the extra `geo`.
    """
    shapely = import_optional("shapely")
    features = import_optional("rasterio.features")
    labels = _cleaned(labels, georeference, options)
    with quiet:
        found = list(features.shapes(labels, mask=labels > 0, connectivity=4))
    if not found:
        raise InvalidDataError("the label map has no classes: all of it is 0.")
    geometries = np.array([shapely.geometry.shape(shape) for shape, _ in found], dtype=object)
    classes = np.array([int(label) for _, label in found])
    pixels = np.rint(shapely.area(geometries)).astype(np.int64)
    # With a vertex at every pixel the edges of neighbours match, which a coverage asks for, and
    # edges along a parallel are not taken for geodesics over many pixels.
    dense = shapely.segmentize(geometries, 1)
    areas = polygon_areas(shapely.transform(dense, _mapping(georeference)), georeference)
    if options.simplify:
        geometries = shapely.coverage_simplify(dense, options.simplify, simplify_boundary=False)
    geometries = shapely.transform(geometries, _mapping(georeference))
    whole = Polygons(geometries=geometries, labels=classes, pixels=pixels, areas=areas)
    return _dissolved(shapely, whole) if options.dissolve else whole


def _transform(georeference: Georeference | None) -> tuple[float, ...]:
    return (georeference and georeference.transform) or IDENTITY


def _mapping(georeference: Georeference | None) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """From columns and rows to coordinates."""
    a, b, c, d, e, f = _transform(georeference)

    def move(points: NDArray[Any]) -> NDArray[Any]:
        x, y = points.T
        return np.column_stack([a * x + b * y + c, d * x + e * y + f])

    return move


def _cleaned(
    labels: NDArray[Any], georeference: Georeference | None, options: VectorOptions
) -> NDArray[Any]:
    """Without regions below the smallest mapping unit; areas are in pixels of the middle row."""
    if not parse_area(options.min_area, "min_area").value:
        return np.ascontiguousarray(labels)
    areas = pixel_areas(labels.shape, georeference)
    side = None if areas is None else float(np.sqrt(np.median(areas)))
    spacing = None if side is None else (side, side)
    return clean_labels(
        labels, RegionOptions(min_area=options.min_area), spacing=spacing, unit="m" if side else ""
    )


def _dissolved(shapely: Any, parts: Polygons) -> Polygons:
    """The polygons of every class as one."""
    classes = np.unique(parts.labels)
    own = [parts.labels == label for label in classes]
    areas = parts.areas
    return Polygons(
        geometries=[shapely.multipolygons(parts.geometries[here]) for here in own],
        labels=classes,
        pixels=np.array([parts.pixels[here].sum() for here in own]),
        areas=None if areas is None else np.array([areas[here].sum() for here in own]),
    )


def export_polygons(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: VectorOptions = VectorOptions(),
    *,
    overwrite: bool = False,
) -> int:
    """Write the regions of a label map as polygons with a table of attributes.

    Parameters
    ----------
    path : path
        A label map; the system of coordinates of a GeoTIFF is kept.
    output : path
        ``*.gpkg`` or ``*.geojson``.
    options : VectorOptions
    overwrite : bool

    Returns
    -------
    int
        How many polygons.

    Raises
    ------
    ReadError, WriteError, OutputExistsError
    InvalidDataError
        When it is no label map.
    """
    target = Path(output)
    driver = VECTORS.get(target.suffix.lower())
    if driver is None:
        raise InvalidParameterError(
            f"polygons are written to {' or '.join(VECTORS)}, got {printable(target.name)}."
        )
    pyogrio = import_optional("pyogrio")
    image = label_image(path)
    found = label_polygons(image.data[..., 0], image.georeference, options)
    shapely = import_optional("shapely")
    place = image.georeference or Georeference()
    with staged({"polygons": target}, overwrite=overwrite) as paths:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="'crs' was not provided")
                pyogrio.raw.write(
                    paths["polygons"],
                    geometry=shapely.to_wkb(np.array(found.geometries, dtype=object)),
                    field_data=_attributes(found, options),
                    fields=np.array(_FIELDS, dtype=object),
                    geometry_type="MultiPolygon" if options.dissolve else "Polygon",
                    crs=place.crs or None,
                    driver=driver,
                    layer="classes" if driver == "GPKG" else None,
                )
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise WriteError(f"cannot write {printable(target.name)}: {error}.") from error
    return len(found.labels)


def _attributes(found: Polygons, options: VectorOptions) -> list[NDArray[Any]]:
    """One column for each of `_FIELDS`."""
    colours = palette(int(found.labels.max()))
    areas = np.full(len(found.labels), np.nan) if found.areas is None else found.areas
    return [
        found.labels.astype(np.int32),
        np.array([options.name(label) for label in found.labels.tolist()], dtype=object),
        np.array(["#{:02x}{:02x}{:02x}".format(*colours[j - 1]) for j in found.labels], object),
        found.pixels.astype(np.int64),
        areas,
        areas / _HECTARE,
    ]


def label_image(path: str | os.PathLike[str]) -> Image:
    """A file that must be a label map."""
    image = read_image(path, ReadOptions(indexed=True))
    values = image.data
    if image.ndim != 2 or image.n_bands != 1 or values.dtype not in (np.uint8, np.uint16):
        raise InvalidDataError(
            f"{printable(path)} is no label map: it must be flat, of one band of uint8 or uint16, "
            f"got {values.dtype} of shape {values.shape}. Give the file that ends in _labels."
        )
    return image
