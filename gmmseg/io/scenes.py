"""Files as scenes: one raster on earth, several as the bands of one, or a flat image in a Zarr."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gmmseg._files import printable
from gmmseg.errors import InvalidDataError, InvalidParameterError, UnsupportedFormatError
from gmmseg.image import Image
from gmmseg.io.header import Header
from gmmseg.io.limits import check_pixels
from gmmseg.io.options import ReadOptions
from gmmseg.io.raster import is_remote
from gmmseg.io.raster_scene import RasterScene, SceneOptions
from gmmseg.io.zarr_scene import ZarrScene
from gmmseg.io.zarr_store import is_zarr
from gmmseg.tiles import Scene

__all__ = ["StackedScene", "band_files", "open_scene", "scene_image", "stack_stem"]

#: A file is a band when its name ends so: LC08_..._SR_B4.TIF, T33UVP_20200701_B8A_10m.jp2
_BAND = re.compile(r"(?:^|_)(B\d{1,2}A?)(?:_\d+m|_VCID_\d|_toa)?\.(?:tiff?|jp2)$", re.IGNORECASE)

_READING, _OPTIONS = ReadOptions(), SceneOptions()


def open_scene(
    paths: Sequence[str | os.PathLike[str]],
    options: SceneOptions = _OPTIONS,
    reading: ReadOptions = _READING,
    *,
    threads: int | None = None,
) -> Scene:
    """Open a raster, or several of single bands as one.

    Parameters
    ----------
    paths : sequence of path
        GeoTIFF, JPEG 2000, ERDAS Imagine, ENVI or VRT; or one flat image in a Zarr.
    options : SceneOptions
    reading : ReadOptions
        Its `nodata`, `keep_alpha` and `max_pixels` count; of a Zarr `axes` and `frame`, too.
    threads : int, optional
        That decode; None = as many as there are CPUs.

    Returns
    -------
    Scene

    Raises
    ------
    ReadError
        And its subclasses, when one cannot be read.
    InvalidDataError
        When grids or systems of coordinates differ.
    MissingDependencyError
        Without the extra `geo`, or `zarr`.
    """
    if not paths:
        raise InvalidParameterError("paths must name at least one raster.")
    if any(is_zarr(path) for path in paths):
        if len(paths) > 1:
            raise InvalidDataError(
                "a Zarr cannot be stacked with other files: its bands are along an axis of its own."
            )
        return ZarrScene(paths[0], reading)
    if remote := [path for path in paths if _is_remote_zarr(path)]:
        raise UnsupportedFormatError(
            f"{printable(remote[0])} is not a local folder, and a Zarr is read from one only. Copy "
            "it, or open it with dask.array.from_zarr for gmmseg.distributed."
        )
    scenes: list[RasterScene] = []
    with ExitStack() as stack:
        for path in paths:
            grid = scenes[0] if scenes else None
            scenes.append(RasterScene(path, options, reading, grid, threads=threads))
            stack.callback(scenes[-1].close)
        found = scenes[0] if len(scenes) == 1 else StackedScene(scenes)
        stack.pop_all()
    return found


def _is_remote_zarr(path: str | os.PathLike[str]) -> bool:
    word = os.fspath(path)
    return is_remote(word) and word.lower().rstrip("/").endswith(".zarr")


def scene_image(scene: Scene, reading: ReadOptions = _READING) -> Image:
    """A whole scene in memory, with notes of what is not used.

    Raises
    ------
    TooManyPixelsError
        When it has more pixels than the options, or the memory, allow.
    """
    name = printable(scene.path)
    shape = (*scene.shape, scene.n_bands)
    header = Header(format="", shape=shape, axes="YXC", dtype=scene.dtype, bits=0)
    check_pixels(name, header, reading)
    image = scene.read(slice(0, scene.shape[0]))
    listed = " or ".join(f"{value:g}" for value in scene.nodata)
    lack = f"nodata value {listed}" if listed else "no data"
    notes = []
    if image.mask is not None and (n := int(np.count_nonzero(~image.mask))):
        notes.append(f"{n} pixels of {lack} not used")
    if image.missing is not None:
        partly = image.missing.any(axis=-1)
        partly &= True if image.mask is None else image.mask
        notes.append(f"{np.count_nonzero(partly)} pixels have {lack} in some bands")
    return replace(image, notes=tuple(notes))


class StackedScene(Scene):
    """Several rasters of the same grid: their bands are those of one scene."""

    def __init__(self, scenes: Sequence[RasterScene]) -> None:
        first = scenes[0]
        self._scenes = scenes
        self.shape, self.path = first.shape, first.path
        self.spacing, self.unit, self.georeference = first.spacing, first.unit, first.georeference
        self.n_bands = sum(scene.n_bands for scene in scenes)
        self.dtype = np.result_type(*(scene.dtype for scene in scenes))
        self.block_rows = max(scene.block_rows for scene in scenes)
        self.is_complete = all(scene.is_complete for scene in scenes)
        self.nodata = tuple(dict.fromkeys(v for scene in scenes for v in scene.nodata))
        self.band_names = _names_of_stack(scenes)

    def close(self) -> None:
        for scene in self._scenes:
            scene.close()

    def read(self, rows: slice) -> Image:
        return self._joined([scene.read(rows) for scene in self._scenes])

    def look(self, most_pixels: int) -> Image:
        return self._joined([scene.look(most_pixels) for scene in self._scenes])

    def _joined(self, parts: list[Image]) -> Image:
        first = parts[0]
        planes = np.concatenate(
            [np.moveaxis(part.data, -1, 0).astype(self.dtype, copy=False) for part in parts]
        )
        mask: NDArray[np.bool_] | None = None
        missing: NDArray[np.bool_] | None = None
        if any(part.mask is not None or part.missing is not None for part in parts):
            absent = np.concatenate([_absent(part) for part in parts])
            nothing = absent.all(axis=0)
            mask = np.asarray(~nothing)
            missing = np.moveaxis(absent, 0, -1) if (absent & mask).any() else None
        return replace(
            first,
            data=np.moveaxis(planes, 0, -1),
            mask=mask,
            missing=missing,
            band_names=self.band_names,
            colour=False,
        )


def _absent(image: Image) -> NDArray[np.bool_]:
    """Where bands were not observed, (bands, rows, cols)."""
    absent = np.zeros((image.n_bands, *image.shape), bool)
    if image.missing is not None:
        absent |= np.moveaxis(image.missing, -1, 0)
    if image.mask is not None:
        absent |= ~image.mask
    return absent


def band_files(folder: Path) -> list[Path]:
    """The files of a folder of one scene that are its bands, by number.

    Raises
    ------
    InvalidDataError
        When there are none, or those of several scenes.
    """
    found = [(path, band[1]) for path in folder.iterdir() if (band := _BAND.search(path.name))]
    shown = printable(folder)
    if not found:
        raise InvalidDataError(
            f"no file in {shown} is called like a band of a scene, such as NAME_B4.TIF. Name the "
            "files themselves."
        )
    beginnings = {path.name[: _BAND.search(path.name).start(1)] for path, _ in found}  # type: ignore[union-attr]
    if len(beginnings) > 1:
        listed = ", ".join(sorted(map(printable, beginnings))[:3])
        raise InvalidDataError(f"{shown} holds bands of several scenes: {listed}. Name the files.")
    return [path for path, _ in sorted(found, key=lambda pair: _number_of_band(pair[1]))]


def _number_of_band(name: str) -> tuple[int, str]:
    digits = re.sub(r"\D", "", name)
    return int(digits), name


def stack_stem(paths: Sequence[Path]) -> str:
    """What the outputs of a stack are called after: what the names of its files begin with.

    Examples
    --------
    >>> stack_stem([Path("LC08_B2.TIF"), Path("LC08_B3.TIF")])
    'LC08'
    """
    letters = zip(*(path.stem for path in paths), strict=False)
    common = "".join(c[0] for c in takewhile(lambda column: len(set(column)) == 1, letters))
    return re.sub(r"[_\-. ]?B?0?$", "", common) or paths[0].stem


def _names_of_stack(scenes: Sequence[RasterScene]) -> tuple[str, ...]:
    """What the names of the files add to their beginning, or those of the bands."""
    stems = [scene.path.stem for scene in scenes if scene.path is not None]
    marks = [_BAND.search(scene.path.name) for scene in scenes if scene.path is not None]
    names: list[str] = []
    for scene, stem, mark in zip(scenes, stems, marks, strict=True):
        short = printable(mark[1].upper() if mark else stem)
        own = scene.band_names or tuple(str(b + 1) for b in range(scene.n_bands))
        names += [short] if scene.n_bands == 1 else [f"{short} {name}" for name in own]
    return tuple(names)
