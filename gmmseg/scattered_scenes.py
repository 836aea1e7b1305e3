"""Scenes whose strips are Dask's: arrays, Zarr, and files that workers open themselves.

The extra "dask".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_integer
from gmmseg._optional import import_optional
from gmmseg.errors import GmmsegError, InvalidDataError, InvalidParameterError
from gmmseg.image import Image
from gmmseg.tiles import ImageScene, Scene, joined_rows, look_step

__all__ = ["ScatteredOptions", "ScatteredScene", "scattered_scene"]

#: Bytes of a strip that is cut by us: some hundred of them keep a large cluster busy.
_STRIP = 128 << 20


@dataclass(frozen=True, kw_only=True)
class ScatteredOptions:
    """How what Dask holds is taken as a scene.

    Attributes
    ----------
    axes : {"YXC", "CYX"}
        Of an array of three axes: rows, columns, bands.
    nodata : float, optional
        This value of a band means that it was not observed; NaN always does.
    strip : int, optional
        Rows that are worked on at once. None = as the array is chunked, or some 128 MiB.
    band_names : tuple of str
        One for each band, or none.
    spacing : tuple of float, optional
        Size of a pixel along rows and columns.
    unit : str
        Of the spacing.
    sensor : str
        What took it, as in `Image`.
    """

    axes: str = "YXC"
    nodata: float | None = None
    strip: int | None = None
    band_names: tuple[str, ...] = ()
    spacing: tuple[float, ...] | None = None
    unit: str = ""
    sensor: str = ""

    def __post_init__(self) -> None:
        if self.axes not in ("YXC", "CYX"):
            raise InvalidParameterError(f"axes must be 'YXC' or 'CYX', got {self.axes!r}.")
        if self.strip is not None:
            check_integer(self.strip, "strip", minimum=1)


class ScatteredScene(Scene):
    """A scene of strips that come to be on workers.

    Parameters
    ----------
    strips : sequence of dask.delayed.Delayed
        Each makes the `Image` of some whole rows.
    heights : sequence of int
        How many rows each has.
    cols, n_bands, dtype
        What all have in common.
    options : ScatteredOptions
    """

    def __init__(
        self,
        strips: Sequence[Any],
        heights: Sequence[int],
        cols: int,
        n_bands: int,
        dtype: np.dtype[Any],
        options: ScatteredOptions,
        path: Path | None = None,
    ) -> None:
        self.strips = list(strips)
        self.starts = np.append(0, np.cumsum(heights)).tolist()
        self.shape, self.dtype, self.n_bands = (self.starts[-1], cols), dtype, n_bands
        self.band_names, self.path = options.band_names, path
        self.spacing, self.unit = options.spacing, options.unit

    def rows(self, i: int) -> slice:
        """The rows of the scene that strip `i` holds."""
        return slice(self.starts[i], self.starts[i + 1])

    def window(self, start: int, stop: int) -> Any:
        """The image of rows start:stop, made on a worker; only the rows needed travel."""
        dask = import_optional("dask")
        first, last = np.searchsorted(self.starts, [start, stop - 1], side="right") - 1
        parts = []
        for i in range(int(first), int(last) + 1):
            rows = self.rows(i)
            wanted = slice(max(start - rows.start, 0), min(stop, rows.stop) - rows.start)
            if wanted == slice(0, rows.stop - rows.start):
                parts.append(self.strips[i])
            else:
                parts.append(dask.delayed(_some_rows)(self.strips[i], wanted))
        return parts[0] if len(parts) == 1 else dask.delayed(_stacked)(parts)

    def read(self, rows: slice) -> Image:
        image: Image = self.window(rows.start, rows.stop).compute()
        return image

    def look(self, most_pixels: int) -> Image:
        dask = import_optional("dask")
        step = look_step(self.shape, most_pixels)
        thin = [
            dask.delayed(_thinned)(strip, -self.starts[i] % step, step)
            for i, strip in enumerate(self.strips)
            if -self.starts[i] % step < self.starts[i + 1] - self.starts[i]
        ]
        return _stacked(list(dask.compute(*thin)))


_OPTIONS = ScatteredOptions()


def scattered_scene(source: Any, options: ScatteredOptions = _OPTIONS) -> ScatteredScene:
    """What Dask works on as a scene.

    Parameters
    ----------
    source : dask.array.Array, zarr.Array, path of a Zarr, path or paths of rasters, or Scene
        Arrays of (rows, cols) or three axes (`ScatteredOptions.axes`; a Zarr may name its own).
        Files must be readable by all workers under the same name; several are the bands of one
        scene.
    options : ScatteredOptions

    Raises
    ------
    InvalidDataError
        When the array has not two or three axes, or holds no real numbers.
    MissingDependencyError
        Without the extra `dask`, or for files `geo`.
    """
    import_optional("dask.array")
    if isinstance(source, ScatteredScene):
        return source
    if isinstance(source, Scene):
        raise InvalidParameterError(
            "a scene must be given by its path: workers open it themselves."
        )
    if isinstance(source, str | os.PathLike):
        return _of_files([source], options)
    if isinstance(source, list | tuple) and all(isinstance(s, str | os.PathLike) for s in source):
        return _of_files(source, options)
    return _of_array(_as_dask(source), options)


def _as_dask(source: Any) -> Any:
    da = import_optional("dask.array")
    if isinstance(source, da.Array):
        return source
    if type(source).__module__.partition(".")[0] == "zarr":
        return da.from_zarr(source)
    data = getattr(source, "data", None)  # xarray
    return data if isinstance(data, da.Array) else da.from_array(np.asarray(source))


def _of_array(array: Any, options: ScatteredOptions) -> ScatteredScene:
    """The strips of a Dask array: its chunks of rows, over the whole width and all bands."""
    da = import_optional("dask.array")
    dask = import_optional("dask")
    if array.ndim not in (2, 3) or array.dtype.kind not in "buif":
        raise InvalidDataError(
            "a scene must be (rows, cols) or have three axes, of integers or floats, "
            f"got shape {array.shape} of {array.dtype}."
        )
    if array.ndim == 2:
        array = array[..., np.newaxis]
    elif options.axes == "CYX":
        array = da.moveaxis(array, 0, -1)
    if any(np.isnan(size) for size in array.shape):
        raise InvalidDataError("the array's shape must be known: call compute_chunk_sizes().")
    _, cols, n_bands = array.shape
    height = options.strip or _even(array.chunks[0][0], cols * n_bands * array.dtype.itemsize)
    array = array.rechunk({0: height, 1: -1, 2: -1})
    make = partial(_image_of_array, options=options)
    strips = [dask.delayed(make)(block) for block in array.to_delayed().ravel()]
    return ScatteredScene(strips, array.chunks[0], cols, n_bands, array.dtype, options)


def _even(height: int, row_bytes: int) -> int:
    """The height of chunks, or if these are tiny, so many rows that they make a strip."""
    return height if height * row_bytes >= _STRIP // 64 else max(1, _STRIP // 16 // row_bytes)


def _of_files(paths: Sequence[Any], options: ScatteredOptions) -> ScatteredScene:
    """The strips of rasters, or of a Zarr, which each worker opens and reads itself."""
    from gmmseg.io.scenes import open_scene

    dask = import_optional("dask")
    reading = _reading(options, paths)
    with open_scene(paths, reading=reading) as scene:
        rows, cols = scene.shape
        row_bytes = max(1, scene.nbytes // rows)
        height = options.strip
        if height is None:
            blocks = max(1, _STRIP // row_bytes // scene.block_rows)
            height = blocks * scene.block_rows
        cuts = [(start, min(start + height, rows)) for start in range(0, rows, height)]
        make = partial(_image_of_files, [os.fspath(path) for path in paths], reading)
        found = ScatteredScene(
            [dask.delayed(make)(*cut) for cut in cuts],
            [stop - start for start, stop in cuts],
            cols,
            scene.n_bands,
            scene.dtype,
            options,
            scene.path,
        )
        found.band_names = options.band_names or scene.band_names
        found.spacing = options.spacing or scene.spacing
        found.unit, found.georeference = options.unit or scene.unit, scene.georeference
    return found


def _reading(options: ScatteredOptions, paths: Sequence[Any]) -> Any:
    from gmmseg.io import ReadOptions
    from gmmseg.io.zarr_store import is_zarr, read_node

    node = read_node(paths[0]) if is_zarr(paths[0]) else None
    nameless = node and node.array and len(node.array.shape) == 3 and not node.array.dimension_names
    return ReadOptions(nodata=options.nodata, axes=options.axes if nameless else None)


# --- on workers ---------------------------------------------------------------------------------


def _image_of_array(values: NDArray[Any], options: ScatteredOptions) -> Image:
    image = Image.from_array(
        np.ascontiguousarray(values), axes="YXC", spacing=options.spacing, unit=options.unit
    )
    missing = None
    if options.nodata is not None and not np.isnan(options.nodata):
        missing = image.data == options.nodata
    names, sensor = options.band_names, options.sensor
    return replace(image, missing=missing, band_names=names, sensor=sensor)


def _image_of_files(paths: list[str], reading: Any, start: int, stop: int) -> Image:
    from gmmseg.io.scenes import open_scene

    try:
        with open_scene(paths, reading=reading, threads=1) as scene:
            return scene.read(slice(start, stop))
    except GmmsegError as error:
        told = type(error)(str(error))
    raise told  # by itself: GDAL's errors, where it comes from, cannot be sent


def _some_rows(image: Image, rows: slice) -> Image:
    return joined_rows([(image, rows)])


def _stacked(images: list[Image]) -> Image:
    return joined_rows([(image, slice(0, image.shape[0])) for image in images])


def _thinned(image: Image, first: int, step: int) -> Image:
    return ImageScene(image)._part(
        (slice(first, None, step), slice(None, None, step)), georeference=None
    )
