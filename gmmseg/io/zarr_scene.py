"""A flat image in a Zarr as a scene: read by rows of chunks, its lower resolutions for a look."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from gmmseg._files import printable
from gmmseg.errors import ReadError, TooManyPixelsError
from gmmseg.image import Image
from gmmseg.io.decoding import decoding
from gmmseg.io.header import Header
from gmmseg.io.limits import check_pixels, free_memory
from gmmseg.io.options import ReadOptions
from gmmseg.io.remarks import Remarks
from gmmseg.io.zarr_image import ZarrImage, open_zarr
from gmmseg.io.zarr_store import read_node
from gmmseg.tiles import Scene, look_step

__all__ = ["ZarrScene"]

_READING = ReadOptions()


class ZarrScene(Scene):
    """One flat Zarr image.

    What stands for no data is that of ``_FillValue`` among its attributes, of `ReadOptions`, and
    NaN.
    """

    def __init__(self, path: str | os.PathLike[str], reading: ReadOptions = _READING) -> None:
        self.path: Path = Path(path)
        self._reading = reading
        self._image = open_zarr(path, reading)
        self._describe(self._image)
        name = printable(path)
        if not self._image.is_flat:
            raise ReadError(f"cannot read {name} as a scene: it is a volume.")
        most, needed = free_memory() // 2, self.block_rows * (self.nbytes // self.shape[0])
        if needed > most:
            raise TooManyPixelsError(
                f"{name} has chunks of {self.block_rows} rows, which over its width of "
                f"{self.shape[1]} take {needed} bytes, more than half of the free memory ({most})."
            )
        if reading.max_pixels is not None:
            shape = (*self.shape, self.n_bands)
            header = Header(format="Zarr", shape=shape, axes="YXC", dtype=self.dtype, bits=0)
            check_pixels(name, header, reading)

    def _describe(self, found: ZarrImage) -> None:
        rows, cols = found.shape[-2:]
        self.shape, self.dtype, self.n_bands = (rows, cols), found.dtype, found.n_bands
        self.band_names, self.block_rows = found.band_names, found.block
        told = () if self._reading.nodata is None else (self._reading.nodata,)
        self.nodata = tuple(dict.fromkeys((*found.nodata, *told)))
        self.spacing, self.unit = found.grid.spacing(2)
        self.grid = found.grid
        self.is_complete = self.dtype.kind != "f" and not self.nodata

    def read(self, rows: slice) -> Image:
        with decoding(printable(self.path)):
            return self._of(self._image, rows)

    def _of(self, found: ZarrImage, rows: slice) -> Image:
        return found.image(found.read(rows), self._reading, Remarks(), self.path)

    def look(self, most_pixels: int) -> Image:
        for path in self._image.levels[1:]:
            level = self._level(path)
            if level is not None and level.shape[0] * level.shape[1] <= most_pixels:
                with decoding(printable(path)):
                    small = self._of(level, slice(0, level.shape[0]))
                return self._resized(small)
        return self._middle(most_pixels)

    def _level(self, path: Path) -> ZarrImage | None:
        """A lower resolution, where it is of the same axes, bands and type."""
        node, fine = read_node(path), self._image
        if node.array is None or node.array.dtype != fine.facts.dtype:
            return None
        if len(node.array.shape) != len(fine.letters) or 0 in node.array.shape:
            return None
        found = replace(fine, node=node)
        return found if found.n_bands == fine.n_bands else None

    def _resized(self, small: Image) -> Image:
        if self.spacing is None:
            return small
        sides = zip(self.spacing, self.shape, small.shape, strict=True)
        return replace(small, grid=None).with_spacing([size * n / m for size, n, m in sides])

    def _middle(self, most_pixels: int) -> Image:
        """Without lower resolutions: rows of chunks from the middle, where an object mostly is."""
        rows, cols = self.shape
        if look_step(self.shape, most_pixels) == 1:
            return self.read(slice(0, rows))
        n = max(most_pixels // cols // self.block_rows, 1) * self.block_rows
        first = max((rows - n) // 2 // self.block_rows, 0) * self.block_rows
        return self.read(slice(first, min(first + n, rows)))
