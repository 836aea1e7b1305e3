"""TIFF: label maps, bands such as probabilities, volumes; in a form that all readers agree on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_choice, per_axis
from gmmseg._files import replacing
from gmmseg.errors import InvalidDataError
from gmmseg.io.decoding import decoding
from gmmseg.io.source import Source
from gmmseg.io.streamed import Streamed, streamed

if TYPE_CHECKING:
    from tifffile import TiffWriter

__all__ = ["write_tiff"]

_TILE = 512
#: Bytes of a page that is written in strips, for which tifffile wants it whole.
_MOST_UNTILED = 64 << 20
#: Bytes of tiles that wait for the threads that compress them; tifffile would take 512 MB.
_BUFFER = 32 << 20
#: Level 1 is twice as fast as the usual 6 on probabilities, at the same size (130 MB of 144).
_LEVEL = 1
#: Classic TIFF counts 4 GiB; deflate may add a little to what it cannot compress.
_LARGEST_CLASSIC = 2**32 - 2**26
_ASCII = 2
_GDAL_METADATA, _GDAL_NODATA = 42112, 42113
#: ModelPixelScale, ModelTiepoint, ModelTransformation, and the three tags of the keys.
_GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737)
_OME_UNITS = {"µm", "nm", "mm", "cm", "m", "km", "pm"}

_Tag = tuple[int, int, int, Any, bool]


class _Layout(NamedTuple):
    """How an array is laid out in the file."""

    axes: str
    planar: bool
    ome: bool


#: By the axes of the array that is given. Bands become samples of one page, each in its own
#: plane, which GDAL, QGIS, tifffile and ImageJ all read as bands; volumes become OME-TIFF.
_LAYOUTS = {
    "YX": _Layout("YX", planar=False, ome=False),
    "YXC": _Layout("CYX", planar=True, ome=False),
    "ZYX": _Layout("ZYX", planar=False, ome=True),
    "ZYXC": _Layout("CZYX", planar=False, ome=True),
}
_AXES_OF_NDIM = {2: "YX", 3: "YXC", 4: "ZYXC"}


def write_tiff(
    path: str | os.PathLike[str],
    array: NDArray[Any] | Streamed,
    *,
    axes: str | None = None,
    colour: bool = False,
    spacing: Any = None,
    unit: str = "",
    nodata: float | None = None,
    band_names: tuple[str, ...] = (),
    georeference: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a TIFF file, compressed by deflate, atomically.

    Parameters
    ----------
    path : str or path
        The file. BigTIFF when it could grow beyond 4 GiB.
    array : ndarray or Streamed of uint8, uint16, uint32, int16, int32, float32 or float64
        (rows, cols), (rows, cols, bands), or with `axes` a volume. Bands are written one after
        the other: of what is streamed, each is asked for by itself.
    axes : {"YX", "YXC", "ZYX", "ZYXC"}, optional
        What the axes mean; by default "YX", "YXC" and "ZYXC" by their number.
    colour : bool
        Write three bands of uint8 or uint16 as red, green and blue.
    spacing : float or sequence of float, optional
        Size of a pixel along each spatial axis. It is written for volumes (OME).
    unit : str
        Its unit, such as "mm".
    nodata : float, optional
        The value that means "nothing here", for geographic software: 0 for labels.
    band_names : tuple of str
        Names that geographic software shows.
    georeference : str or path, optional
        A GeoTIFF of the same size whose place on earth is copied.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    InvalidDataError
        When `array` is of another type or does not fit `axes`.
    InvalidParameterError
        When `axes` is unknown or `spacing` does not fit.
    OutputExistsError
        When the file exists and `overwrite` is False.
    WriteError
        When it cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np
    >>> from gmmseg.io import read_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "prob.tif")
    ...     write_tiff(path, np.zeros((40, 60, 5), dtype=np.float32))
    ...     image = read_image(path)
    >>> image.data.shape, image.data.dtype, image.colour
    ((40, 60, 5), dtype('float32'), False)
    """
    axes = _checked_axes(array, axes, colour=colour)
    if spacing is not None:
        spacing = per_axis(spacing, len(axes.replace("C", "")), "spacing")
    tags = _gdal_tags(nodata, band_names) + _geo_tags(georeference)
    import tifffile

    large = array.nbytes > _LARGEST_CLASSIC
    with (
        replacing(path, overwrite=overwrite) as file,
        tifffile.TiffWriter(file, bigtiff=large, ome=_LAYOUTS[axes].ome) as writer,
    ):
        _write(
            writer,
            streamed(array),
            axes,
            colour=colour,
            metadata=_ome(axes, spacing, unit),
            tags=tags,
        )


def _write(
    writer: TiffWriter,
    array: Streamed,
    axes: str,
    *,
    colour: bool,
    metadata: dict[str, Any] | None,
    tags: list[_Tag],
) -> None:
    sizes = dict(zip(axes, array.shape, strict=True))
    layout = _LAYOUTS[axes]
    planar = layout.planar and not colour
    tiled = min(sizes["Y"], sizes["X"]) > _TILE or array.nbytes > _MOST_UNTILED * sizes.get("Z", 1)
    writer.write(
        _tiles(array, axes, colour=colour) if tiled else _pages(array, axes, colour=colour),
        shape=array.shape if colour else tuple(sizes[axis] for axis in layout.axes),
        dtype=array.dtype,
        photometric="rgb" if colour else "minisblack",
        planarconfig="separate" if planar and sizes["C"] > 1 else None,
        tile=(_TILE, _TILE) if tiled else None,
        compression="zlib",
        compressionargs={"level": _LEVEL},
        software="gmmseg",
        metadata=metadata,
        extratags=tags,
        buffersize=_BUFFER,
    )


def _bands(array: Streamed, axes: str, *, colour: bool) -> Iterable[int | None]:
    """What is written one after the other: each band, or all at once."""
    return range(array.shape[-1]) if "C" in axes and not colour else [None]


def _tiles(array: Streamed, axes: str, *, colour: bool) -> Iterator[NDArray[Any]]:
    """Tiles (rows, cols, samples) in the order of the file."""
    step = 1 if "Z" in axes else _TILE
    for band in _bands(array, axes, colour=colour):
        for slab in array.make(step, band):
            plane = slab[0] if "Z" in axes else slab
            plane = plane if colour else plane[..., np.newaxis]
            for row in range(0, len(plane), _TILE):
                for col in range(0, plane.shape[1], _TILE):
                    yield plane[row : row + _TILE, col : col + _TILE]


def _pages(array: Streamed, axes: str, *, colour: bool) -> Iterator[NDArray[Any]]:
    """Pages in the order of the file; a page of several bands holds them all."""
    rows = array.shape[0]
    if "Z" in axes:
        for band in _bands(array, axes, colour=colour):
            for slab in array.make(1, band):
                yield slab[0]
        return
    planes = [next(array.make(rows, band)) for band in _bands(array, axes, colour=colour)]
    yield planes[0] if len(planes) == 1 else np.stack(planes)


def _checked_axes(array: NDArray[Any] | Streamed, axes: str | None, *, colour: bool) -> str:
    if axes is not None:
        check_choice(axes, "axes", _LAYOUTS)
    found = axes or _AXES_OF_NDIM.get(array.ndim, "")
    kinds = {"u1", "u2", "u4", "i2", "i4", "f4", "f8"}
    if len(found) != array.ndim or not array.size or array.dtype.str[1:] not in kinds:
        raise InvalidDataError(
            "A TIFF is written of (rows, cols) or (rows, cols, bands), or with axes= of "
            "(planes, rows, cols[, bands]), of uint8/16/32, int16/32 or float32/64; got "
            f"{array.dtype} of shape {array.shape} with axes {axes!r}."
        )
    if colour and (
        found != "YXC" or array.shape[-1] != 3 or array.dtype.str[1:] not in {"u1", "u2"}
    ):
        raise InvalidDataError(
            "Colours are written of (rows, cols, 3) of uint8 or uint16, got "
            f"{array.dtype} of shape {array.shape}."
        )
    return found


def _ome(axes: str, spacing: tuple[float, ...] | None, unit: str) -> dict[str, Any] | None:
    """Metadata of OME-TIFF; None keeps tifffile from describing a flat image in JSON."""
    if not _LAYOUTS[axes].ome:
        return None
    notes: dict[str, Any] = {"axes": _LAYOUTS[axes].axes}
    if spacing is not None and unit in _OME_UNITS:
        for axis, size in zip("ZYX", spacing, strict=True):
            notes |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": unit}
    return notes


def _gdal_tags(nodata: float | None, band_names: tuple[str, ...]) -> list[_Tag]:
    """What GDAL and QGIS look for; they are plain ASCII."""
    tags: list[_Tag] = []
    if band_names:
        items = "".join(
            f'<Item name="DESCRIPTION" sample="{i}" role="description">{_ascii(name)}</Item>'
            for i, name in enumerate(band_names)
        )
        tags.append((_GDAL_METADATA, _ASCII, 0, f"<GDALMetadata>{items}</GDALMetadata>", True))
    if nodata is not None:
        tags.append((_GDAL_NODATA, _ASCII, 0, f"{nodata:.17g}", True))
    return tags


def _ascii(text: str) -> str:
    return escape(text).encode("ascii", "xmlcharrefreplace").decode("ascii")


def _geo_tags(path: str | os.PathLike[str] | None) -> list[_Tag]:
    """The tags of a GeoTIFF that say where on earth it lies."""
    if path is None:
        return []
    import tifffile

    source = Source.of_path(Path(path))
    with (
        decoding(source.name),
        source.open() as file,
        tifffile.TiffFile(file, _multifile=False) as tif,
    ):
        found = [tif.pages.first.tags.get(code) for code in _GEO_TAGS]
        return [(t.code, int(t.dtype), t.count, t.value, True) for t in found if t is not None]
