"""How much there is of every class of a label map, in all or zone by zone: for spreadsheets."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._optional import import_optional
from gmmseg.errors import InvalidDataError, InvalidParameterError, ReadError
from gmmseg.georeference import IDENTITY, Georeference
from gmmseg.image import Image
from gmmseg.io import ReadOptions, printable, read_image, write_text
from gmmseg.io.decoding import quiet
from gmmseg.io.ground import pixel_areas
from gmmseg.io.raster import is_scene
from gmmseg.io.raster_scene import SceneOptions
from gmmseg.io.scenes import open_scene, scene_image
from gmmseg.io.source import Source
from gmmseg.vectors import VectorOptions, label_image

__all__ = ["export_table"]

_HECTARE = 1e4

_OPTIONS = VectorOptions()

#: Pixels that are counted at once.
_AT_ONCE = 1 << 22

#: Cells of the table of all zones and classes: 400 MB of sums.
_MOST_CELLS = 25_000_000


@dataclass(frozen=True)
class _Zones:
    """The zone of every pixel.

    Attributes
    ----------
    names : sequence of str
    numbers : ndarray of int, (rows, cols)
        From 1, in the order of the names; 0 = none.
    """

    names: Sequence[str]
    numbers: NDArray[np.integer]


def export_table(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: VectorOptions = _OPTIONS,
    *,
    zones: str | os.PathLike[str] | None = None,
    zone_field: str | None = None,
    overwrite: bool = False,
) -> int:
    """Write how much there is of every class, in all or in each of some zones, as CSV.

    Parameters
    ----------
    path : path
        A label map.
    output : path
        ``*.csv``: zone, class, name, pixels, share of the zone's used pixels, square metres,
        hectares. Areas in degrees are geodesic.
    options : VectorOptions
    zones : path, optional
        Polygons (GeoPackage, GeoJSON, Shapefile), which are brought to the system of coordinates
        of the label map; a pixel belongs to the last of them that its centre lies in. Or a raster
        of whole numbers: of another grid the nearest pixel counts. What is its nodata, or 0 where
        it has none, belongs to no zone.
    zone_field : str, optional
        The attribute of polygons that names the zones, which otherwise are numbered from 1 in
        their order; those of one name are one zone.
    overwrite : bool

    Returns
    -------
    int
        How many zones.

    Raises
    ------
    ReadError, WriteError, OutputExistsError
    InvalidDataError
        When it is no label map, or the zones are none.
    """
    image = label_image(path)
    labels = image.data[..., 0]
    areas = pixel_areas((labels.shape[0], labels.shape[1]), image.georeference)
    found = None if zones is None else _read_zones(Path(zones), Path(path), image, zone_field)
    names = ["1"] if found is None else found.names
    pixels, metres = _sums(labels, found, len(names), areas)
    lines = ["zone,class,name,pixels,share,area_m2,area_ha"]
    for zone, own, area in zip(names, pixels, metres, strict=True):
        used = max(own.sum(), 1)
        for j, (n, square) in enumerate(zip(own, area, strict=True), start=1):
            size = "," if areas is None else f"{square:.10g},{square / _HECTARE:.10g}"
            name = _cell(options.name(j))
            lines.append(f"{_cell(zone)},{j},{name},{n},{n / used:.6g},{size}")
    write_text(output, "\n".join(lines) + "\n", overwrite=overwrite)
    return len(names)


def _sums(
    labels: NDArray[Any], zones: _Zones | None, n_zones: int, areas: NDArray[np.float64] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pixels, and square metres, of every zone and class from 1."""
    k = int(labels.max(initial=0))
    shape = n_zones + 1, k + 1
    if shape[0] * shape[1] > _MOST_CELLS:
        raise InvalidDataError(
            f"{n_zones} zones of {k} classes are too many for a table. Join some of the zones."
        )
    pixels, metres = np.zeros(shape[0] * shape[1], np.int64), np.zeros(shape[0] * shape[1])
    step = max(1, _AT_ONCE // labels.shape[1])
    for start in range(0, len(labels), step):
        part = slice(start, start + step)
        cells = labels[part].astype(np.int64)
        cells += shape[1] * (1 if zones is None else zones.numbers[part].astype(np.int64))
        pixels += np.bincount(cells.ravel(), minlength=len(pixels))
        if areas is not None:
            weights = np.repeat(areas[part], labels.shape[1])
            metres += np.bincount(cells.ravel(), weights, minlength=len(pixels))
    return pixels.reshape(shape)[1:, 1:], metres.reshape(shape)[1:, 1:]


def _cell(text: str) -> str:
    """A cell of CSV that no spreadsheet takes for a formula."""
    number = text.removeprefix("-").isdecimal()
    guarded = f"'{text}" if text[:1] in "=+-@\t\r" and not number else text
    quoted = guarded.replace('"', '""')
    return f'"{quoted}"' if set('",\n\r') & set(guarded) else guarded


def _read_zones(path: Path, labels: Path, image: Image, field: str | None) -> _Zones:
    if path.is_file() and is_scene(Source.of_path(path), with_place=False, indexed=True):
        if field is not None:
            raise InvalidParameterError(
                f"zone_field (--zone-field) is of polygons, and {printable(path)} is a raster."
            )
        return _raster_zones(path, labels, image)
    return _polygon_zones(path, image, field)


def _raster_zones(path: Path, labels: Path, image: Image) -> _Zones:
    """The zones of a raster, on the grid of the label map."""
    with open_scene([path]) as alone:
        is_whole, has_nodata = alone.dtype.kind in "ui" and alone.n_bands == 1, bool(alone.nodata)
        shape = alone.shape
    if not is_whole or (image.georeference is None and shape != image.shape):
        raise InvalidDataError(
            f"{printable(path)} holds no zones for {printable(labels)}: it must have one band of "
            f"whole numbers, and the size {image.shape} where the place on earth is not known, "
            f"got {alone.n_bands} of {alone.dtype} and {shape}."
        )
    if image.georeference is None:
        zones = read_image(path, ReadOptions(indexed=True))
    else:
        with open_scene([labels, path], SceneOptions(resample="nearest")) as scene:
            both = scene_image(scene)
        missing = None if both.missing is None else both.missing[..., 1:]
        zones = Image(data=both.data[..., 1:], mask=both.mask, missing=missing)
    values = zones.data[..., 0]
    used = np.ones(values.shape, bool) if zones.valid is None else zones.valid
    if not has_nodata:
        used = used & (values != 0)
    names, numbers = np.unique(values[used], return_inverse=True)
    found = np.zeros(values.shape, np.int32)
    found[used] = numbers + 1
    return _Zones([str(name) for name in names.tolist()], found)


def _polygon_zones(path: Path, image: Image, field: str | None) -> _Zones:
    pyogrio, shapely = import_optional("pyogrio"), import_optional("shapely")
    shown = printable(path)
    columns = [] if field is None else [field]
    try:
        meta, _, geometry, values = pyogrio.raw.read(os.fspath(path), columns=columns)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise ReadError(f"cannot read {shown}: {printable(error)}") from error
    if geometry is None or not len(geometry):
        raise InvalidDataError(f"{shown} holds no polygons.")
    if field is not None and not len(meta["fields"]):
        known = ", ".join(map(printable, pyogrio.read_info(os.fspath(path))["fields"]))
        raise InvalidParameterError(
            f"zone_field (--zone-field) must be an attribute of {shown}, which has "
            f"{known or 'none'}, got {printable(repr(field))}."
        )
    polygons = shapely.from_wkb(geometry)
    move = _mover(meta["crs"], image.georeference)
    if move is not None:
        polygons = shapely.transform(polygons, move)
    names = [str(i + 1) for i in range(len(polygons))]
    if field is not None:
        names = [str(value) for value in values[0].tolist()]
    order = {name: i for i, name in enumerate(dict.fromkeys(names), start=1)}
    numbers = [order[name] for name in names]
    return _Zones(list(order), _burnt(polygons, numbers, image))


def _burnt(polygons: Any, numbers: Sequence[int], image: Image) -> NDArray[np.int32]:
    """The number of the last polygon that each pixel's centre lies in."""
    features = import_optional("rasterio.features")
    place = image.georeference and image.georeference.transform
    affine = import_optional("rasterio").Affine(*(place or IDENTITY))
    pairs = [
        (p, i) for p, i in zip(polygons, numbers, strict=True) if p is not None and not p.is_empty
    ]
    if not pairs:
        return np.zeros(image.shape, np.int32)
    with quiet:
        found: NDArray[np.int32] = features.rasterize(
            pairs, out_shape=image.shape, transform=affine, dtype="int32"
        )
    return found


def _mover(
    crs: str | None, georeference: Georeference | None
) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
    """From coordinates of the zones to those of the label map; None where they are the same."""
    if not crs or georeference is None or not georeference.crs:
        return None
    pyproj = import_optional("pyproj")
    own, other = pyproj.CRS.from_user_input(crs), pyproj.CRS.from_wkt(georeference.crs)
    if own == other:
        return None
    change = pyproj.Transformer.from_crs(own, other, always_xy=True)
    return lambda points: np.column_stack(change.transform(points[:, 0], points[:, 1]))
