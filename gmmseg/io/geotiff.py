"""GeoTIFF: maps that lie where the scene lies, written strip after strip."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gmmseg
from gmmseg._files import printable
from gmmseg._optional import import_optional
from gmmseg.errors import ReadError, WriteError
from gmmseg.georeference import Georeference
from gmmseg.io.decoding import quiet
from gmmseg.io.raster import gdal
from gmmseg.io.source import Source
from gmmseg.io.tiff_guards import check_pages
from gmmseg.pixel_grid import PixelGrid

__all__ = ["MapLayout", "Write", "geotiff"]

_BLOCK = 512
#: Level 1 is twice as fast as the usual 6, and label maps hardly grow.
_LEVEL = 1

#: From the first row and what is written there, (rows, cols) or (rows, cols, bands).
Write = Callable[[int, NDArray[Any]], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class MapLayout:
    """What is written into a file, but for the pixels.

    Attributes
    ----------
    shape : tuple of int
        (rows, cols), or for OME-Zarr (planes, rows, cols).
    dtype : dtype
    georeference : Georeference or None
    grid : PixelGrid or None
        For OME-Zarr.
    nodata : float, optional
    band_names : tuple of str
        One for each band; () = a single band without a name.
    colours : ndarray of shape (n, 3), uint8, or None
        Of the values 1..n of a single band.
    tags : mapping of str
        Metadata of the file, and of the first band.
    band_tags : mapping of str
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    georeference: Georeference | None = None
    grid: PixelGrid | None = None
    nodata: float | None = None
    band_names: tuple[str, ...] = ()
    colours: NDArray[np.uint8] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    band_tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return max(1, len(self.band_names))


@contextmanager
def geotiff(
    path: str | os.PathLike[str], layout: MapLayout, *, cog: bool = False
) -> Iterator[Write]:
    """A function that writes rows of a new GeoTIFF: tiled, deflate, BigTIFF if it may be needed.

    The file is whole when the block ends without an error. It appears under its name at once:
    write to a temporary place where that matters. With `cog` it becomes cloud-optimised in the end:
    blocks in order, with overviews.

    Raises
    ------
    WriteError
        When it cannot be written, a full disk included.
    MissingDependencyError
        Without the extra `geo`.
    """
    rasterio = import_optional("rasterio")
    target = Path(path)
    own = target.with_name(f"{target.name}.plain.tif") if cog else target
    own_errors = (rasterio.errors.RasterioError, import_optional("rasterio._err").CPLE_BaseError)
    try:
        with gdal(), quiet:
            dataset = rasterio.open(own, "w", **_profile(rasterio, layout))
            try:
                with _without_stderr():
                    _describe(rasterio, dataset, layout)
                yield _writer(rasterio, dataset, layout)
            finally:
                with _without_stderr():
                    dataset.close()
            _check_whole(own)
            if cog:
                with _without_stderr():
                    _copy_as_cog(own, target, layout)
                _check_whole(target)
    except own_errors as error:
        raise WriteError(f"cannot write {printable(target.name)}: {_why(error)}") from error


def _profile(rasterio: Any, layout: MapLayout) -> dict[str, Any]:
    place = layout.georeference or Georeference()
    return {
        "driver": "GTiff",
        "height": layout.shape[0],
        "width": layout.shape[1],
        "count": layout.count,
        "dtype": layout.dtype.name,
        "crs": rasterio.crs.CRS.from_wkt(place.crs) if place.crs else None,
        "transform": rasterio.Affine(*place.transform) if place.transform else None,
        "nodata": layout.nodata,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "compress": "deflate",
        "zlevel": _LEVEL,
        "bigtiff": "IF_SAFER",
        "interleave": "band",
        "num_threads": "ALL_CPUS",
    }


def _describe(rasterio: Any, dataset: Any, layout: MapLayout) -> None:
    """What has to stand in the file before the pixels, to be in it and not beside it."""
    place = layout.georeference or Georeference()
    if layout.colours is not None and layout.dtype.kind == "u" and layout.dtype.itemsize <= 2:
        table: dict[int, tuple[int, ...]] = {0: (0, 0, 0, 0)}
        table |= {j: (*map(int, c), 255) for j, c in enumerate(layout.colours, start=1)}
        dataset.write_colormap(1, table)
    if place.gcps:
        points = [
            rasterio.control.GroundControlPoint(row=row, col=col, x=x, y=y, z=z)
            for row, col, x, y, z in place.gcps
        ]
        crs = rasterio.crs.CRS.from_wkt(place.gcps_crs) if place.gcps_crs else rasterio.crs.CRS()
        dataset.gcps = points, crs
    if place.rpcs:
        dataset.update_tags(ns="RPC", **dict(place.rpcs))
    dataset.update_tags(TIFFTAG_SOFTWARE=f"gmmseg {gmmseg.__version__}", **layout.tags)
    for i, name in enumerate(layout.band_names, start=1):
        dataset.set_band_description(i, name)
    if layout.band_tags:
        dataset.update_tags(1, **layout.band_tags)


def _writer(rasterio: Any, dataset: Any, layout: MapLayout) -> Write:
    def write(first: int, part: NDArray[Any]) -> None:
        rows, cols = part.shape[:2]
        place = rasterio.windows.Window(0, first, cols, rows)
        with _without_stderr():
            if part.ndim == 2:
                dataset.write(part, 1, window=place)
            else:
                dataset.write(np.moveaxis(part, -1, 0), window=place)

    return write


def _copy_as_cog(own: Path, target: Path, layout: MapLayout) -> None:
    copy = import_optional("rasterio.shutil").copy
    labels = layout.nodata == 0
    copy(
        own,
        target,
        driver="COG",
        compress="DEFLATE",
        blocksize=_BLOCK,
        bigtiff="IF_SAFER",
        num_threads="ALL_CPUS",
        overview_resampling="MODE" if labels else "AVERAGE",
    )
    own.unlink()


@contextmanager
def _without_stderr() -> Iterator[None]:
    """The TIFF library prints what it cannot write, a line for each block: we look at the file."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_whole(path: Path) -> None:
    """GDAL may pass over what could not be written at the very end: look whether it is there."""
    import tifffile

    source = Source.of_path(path)
    try:
        with source.open() as file, tifffile.TiffFile(file, _multifile=False) as tif:
            for series in tif.series:
                check_pages(source, series, range(len(series.pages)))
            # no block is left out on purpose: those that lack were not written
            if not tif.pages or not all(tif.pages.first.databytecounts):
                raise ReadError("blocks are missing.")
    except (ReadError, tifffile.TiffFileError) as error:
        raise WriteError(f"cannot write {printable(path.name)}: the disk may be full.") from error


def _why(error: BaseException) -> str:
    causes = []
    inner: BaseException | None = error
    while inner is not None:
        causes.append(printable(inner))
        inner = inner.__cause__ or inner.__context__
    text = " ".join(causes)
    if "No space left" in text:
        return "no space left on the device."
    return f"the disk may be full ({causes[-1].rstrip('.')})."
