"""OME-Zarr: maps of the pixels of an image, written strip after strip at several resolutions.

A lower resolution is every second pixel of the one before, never a mean: that of two labels would
be a third, and each pixel keeps the centre that it has.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._files import printable
from gmmseg._optional import import_optional
from gmmseg.errors import GmmsegError, WriteError
from gmmseg.io.decoding import quiet
from gmmseg.io.geotiff import MapLayout
from gmmseg.io.names import output_stem
from gmmseg.pixel_grid import PixelGrid

__all__ = ["ome_zarr"]

#: Sides of chunks: of bytes, and of larger values.
_SIDE, _SIDE_OF_FLOATS = 512, 256

#: Versions of OME-NGFF by that of Zarr.
_VERSIONS = {2: "0.4", 3: "0.5"}

_TYPES = {"t": "time", "c": "channel"}

#: From the first row, or plane, and what is written there, bands last.
Write = Callable[[int, NDArray[Any]], None]


@contextmanager
def ome_zarr(path: str | os.PathLike[str], layout: MapLayout) -> Iterator[Write]:
    """A function that writes rows, or planes, of a new OME-Zarr group, in order.

    Whoever begins anew at row 0 writes all of it once more. What is being written is no whole group
    until the block ends: write to a temporary place.

    Raises
    ------
    WriteError
        When it cannot be written.
    MissingDependencyError
        Without the extra `zarr`.
    """
    zarr = import_optional("zarr")
    grid = layout.grid or PixelGrid.plain(len(layout.shape))
    try:
        with quiet:
            levels = _created(zarr, Path(path), layout, grid)

            def write(first: int, part: NDArray[Any]) -> None:
                if layout.count == 1 and part.ndim > len(layout.shape):
                    part = part[..., 0]
                for level in levels:
                    level.add(first, part)

            yield write
            for level in levels:
                level.finish()
    except GmmsegError:
        raise
    except OSError as error:
        reason = error.strerror or printable(error)
        raise WriteError(f"cannot write {printable(Path(path).name)}: {reason}.") from error


def _created(zarr: Any, path: Path, layout: MapLayout, grid: PixelGrid) -> list[_Level]:
    """The group with its metadata, and its arrays, empty yet."""
    side = _SIDE if layout.dtype.itemsize <= 2 else _SIDE_OF_FLOATS
    steps = [1]
    while max(layout.shape[-2:]) > side * steps[-1]:
        steps.append(2 * steps[-1])
    axes = _axes(layout, grid)
    group = zarr.create_group(
        str(path),
        zarr_format=grid.zarr_format,
        attributes=_attributes(output_stem(path), layout, grid, axes, steps),
    )
    return [
        _Level(
            _array(group, str(i), layout, axes, step, side, grid.zarr_format),
            axes,
            step,
            flat=len(layout.shape) == 2,
        )
        for i, step in enumerate(steps)
    ]


def _axes(layout: MapLayout, grid: PixelGrid) -> tuple[str, ...]:
    """Those of the grid, and channels after time where there are several."""
    if layout.count == 1:
        return grid.axes
    before = int("t" in grid.axes)
    return (*grid.axes[:before], "c", *grid.axes[before:])


def _array(
    group: Any, name: str, layout: MapLayout, axes: tuple[str, ...], step: int, side: int, form: int
) -> Any:
    *planes, rows, cols = layout.shape
    sizes = {"t": 1, "c": layout.count, "z": planes[0] if planes else 1}
    sizes |= {"y": -(-rows // step), "x": -(-cols // step)}
    shape = tuple(sizes[axis] for axis in axes)
    chunks = tuple(min(side, sizes[axis]) if axis in "yx" else 1 for axis in axes)
    separator = {"name": "v2" if form == 2 else "default", "separator": "/"}
    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=layout.dtype,
        fill_value=layout.nodata or 0,
        compressors=_packing(form, layout.dtype.itemsize),
        chunk_key_encoding=separator,
        dimension_names=axes if form == 3 else None,
    )


def _packing(form: int, itemsize: int) -> Any:
    """Blosc with Zstandard, which every reader of either version has; bytes of floats apart."""
    if form == 2:
        return import_optional("numcodecs").Blosc("zstd", 3, shuffle=int(itemsize > 1))
    shuffle = "shuffle" if itemsize > 1 else "noshuffle"
    codecs = import_optional("zarr.codecs")
    return codecs.BloscCodec(cname="zstd", clevel=3, shuffle=shuffle, typesize=itemsize)


class _Level:
    """One resolution: rows are held until they fill chunks, so that each is packed once."""

    def __init__(self, array: Any, axes: tuple[str, ...], step: int, *, flat: bool) -> None:
        self._array, self._axes, self._step, self._is_flat = array, axes, step, flat
        self._height = array.chunks[axes.index("y")]
        self._begin(0)

    def _begin(self, first: int) -> None:
        self._next, self._start, self._held = first, -(-first // self._step), 0
        self._parts: list[NDArray[Any]] = []

    def add(self, first: int, part: NDArray[Any]) -> None:
        """Rows of the finest resolution from `first`; or planes, which are written at once."""
        if not self._is_flat:
            planes = slice(first, first + len(part))
            self._write({"z": planes}, part[:, :: self._step, :: self._step])
            return
        if first != self._next:
            self._begin(first)
        thin = part[-first % self._step :: self._step, :: self._step]
        self._parts.append(thin.copy() if self._step > 1 else thin)
        self._next, self._held = first + len(part), self._held + len(thin)
        if whole := (self._start + self._held) // self._height * self._height - self._start:
            self._flush(whole)

    def finish(self) -> None:
        """Write what is left."""
        if self._held > 0:
            self._flush(self._held)

    def _flush(self, n: int) -> None:
        if n <= 0:
            return
        rows = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        self._write({"y": slice(self._start, self._start + n)}, rows[:n])
        self._parts, self._held, self._start = [rows[n:].copy()], self._held - n, self._start + n

    def _write(self, place: dict[str, slice], values: NDArray[Any]) -> None:
        own: dict[str, Any] = {"t": 0, "z": 0, **place}
        key = tuple(own.get(axis, slice(None)) for axis in self._axes)
        self._array[key] = np.moveaxis(values, -1, 0) if "c" in self._axes else values


# --- metadata -----------------------------------------------------------------------------------


def _attributes(
    name: str, layout: MapLayout, grid: PixelGrid, axes: tuple[str, ...], steps: list[int]
) -> dict[str, Any]:
    version = _VERSIONS[grid.zarr_format]
    units = dict(zip(grid.axes, grid.units, strict=True))
    image: dict[str, Any] = {
        "name": name,
        "type": "nearest",
        "axes": [_axis(axis, units.get(axis, "")) for axis in axes],
        "datasets": [
            {"path": str(i), "coordinateTransformations": _transformations(grid, axes, step)}
            for i, step in enumerate(steps)
        ],
    }
    ome: dict[str, Any] = {"multiscales": [image]}
    if layout.dtype.kind == "u" and layout.nodata == 0:
        ome["image-label"] = _image_label(layout)
    if layout.count > 1:
        ome["omero"] = {"channels": [_channel(band) for band in layout.band_names]}
    if grid.zarr_format == 3:
        return {"ome": {"version": version, **ome}, **layout.tags}
    image["version"] = version
    for entry in ("image-label", "omero"):
        if entry in ome:
            ome[entry]["version"] = version
    return {**ome, **layout.tags}


def _axis(name: str, unit: str) -> dict[str, str]:
    found = {"name": name, "type": _TYPES.get(name, "space")}
    return {**found, "unit": unit} if unit else found


def _transformations(grid: PixelGrid, axes: tuple[str, ...], step: int) -> list[dict[str, Any]]:
    scale = dict(zip(grid.axes, grid.scale, strict=True))
    scale |= {axis: scale[axis] * step for axis in "yx"}
    found: list[dict[str, Any]] = [
        {"type": "scale", "scale": [float(scale.get(axis, 1.0)) for axis in axes]}
    ]
    if any(grid.translation):
        shift = dict(zip(grid.axes, grid.translation, strict=True))
        values = [float(shift.get(axis, 0.0)) for axis in axes]
        found.append({"type": "translation", "translation": values})
    return found


def _image_label(layout: MapLayout) -> dict[str, Any]:
    """Colours of labels, and what the classes are."""
    found: dict[str, Any] = {}
    if layout.colours is not None:
        colours = [[0, 0, 0, 0], *([*map(int, colour), 255] for colour in layout.colours)]
        found["colors"] = [{"label-value": j, "rgba": c} for j, c in enumerate(colours)]
    if layout.band_tags:
        names = ("not used", *layout.band_tags.values())
        found["properties"] = [{"label-value": j, "class": text} for j, text in enumerate(names)]
    return found


def _channel(name: str) -> dict[str, Any]:
    window = {"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0}
    return {"label": name, "color": "FFFFFF", "active": True, "window": window}
