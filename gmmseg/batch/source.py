"""The inputs of a batch: how they are read, and which are too large to be held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gmmseg.batch.planning import PlannedFile
from gmmseg.batch.subjects import HeldImage, StreamedScene, Subject
from gmmseg.image import Image
from gmmseg.io import ReadOptions, read_image
from gmmseg.io.formats import is_tiff
from gmmseg.io.masks import read_mask
from gmmseg.io.raster import is_scene
from gmmseg.io.scenes import open_scene
from gmmseg.io.source import Source
from gmmseg.io.zarr_image import open_zarr
from gmmseg.io.zarr_store import is_zarr
from gmmseg.streaming import StreamOptions, fits_into, refuse_streaming
from gmmseg.tiles import Scene

__all__ = ["ImageSource"]


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """How the inputs of a batch are read.

    Attributes
    ----------
    root : Path
        The folder that the inputs are relative to.
    reading : ReadOptions
    mask : Path, optional
        An image that says which pixels of each are used.
    spacing : sequence of float, optional
        Size of a pixel along each axis, or one for all.
    stream : StreamOptions
        A scene that would take more memory in a worker is read strip by strip.
    """

    root: Path
    reading: ReadOptions = ReadOptions()
    mask: Path | None = None
    spacing: Sequence[float] | None = None
    stream: StreamOptions = StreamOptions()

    @contextmanager
    def opened(self, file: PlannedFile, threads: int | None = None) -> Iterator[Subject]:
        """What is labelled: the image, or the scene where that is too large to be held."""
        with ExitStack() as stack:
            scene = self._scene(self.root / file.input, threads)
            if scene is not None:
                stack.enter_context(scene)
            if scene is None or fits_into(scene, self.stream):
                yield HeldImage(look=self.read(file), threads=threads)
                return
            given = (("--mask", self.mask), ("--spacing", self.spacing))
            refuse_streaming([typed for typed, value in given if value is not None])
            yield StreamedScene(scene=scene, stream=self.stream, open=stack, threads=threads)

    def _scene(self, path: Path, threads: int | None) -> Scene | None:
        """The raster that a file is, opened; None when it is read as pictures are."""
        reading = self.reading
        if is_zarr(path):
            flat = open_zarr(path, reading).is_flat
            return open_scene([path], reading=reading, threads=threads) if flat else None
        if path.is_dir() or reading.axes or reading.indexed or reading.frame is not None:
            return None
        if not is_scene(Source.of_path(path), with_place=False):
            return None
        return open_scene([path], reading=reading, threads=threads)

    def read(self, file: PlannedFile) -> Image:
        """The image."""
        image = read_image(self.root / file.input, self.reading)
        if self.spacing is not None:
            image = image.with_spacing(self.spacing if len(self.spacing) > 1 else self.spacing[0])
        if self.mask is not None:
            image = image.with_mask(read_mask(self.mask, image, self.reading))
        return image

    def is_tiff(self, file: PlannedFile) -> bool:
        """Whether the input is a TIFF, or a raster of GDAL's."""
        path = self.root / file.input
        if path.is_dir():
            return False
        source = Source.of_path(path)
        return is_tiff(source.head) or is_scene(source)
