"""The inputs: names and patterns to files, standard input among them, and files to images."""

from __future__ import annotations

import glob
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gmmseg.cli.option_groups import options_of
from gmmseg.errors import (
    InvalidDataError,
    InvalidParameterError,
    ReadError,
    UnsupportedFormatError,
)
from gmmseg.image import Image
from gmmseg.io import ReadOptions, output_stem, printable, read_bytes, read_image
from gmmseg.io.formats import is_tiff
from gmmseg.io.masks import read_mask
from gmmseg.io.raster import is_remote, is_scene, is_vrt
from gmmseg.io.raster_scene import SceneOptions
from gmmseg.io.scenes import band_files, open_scene, scene_image, stack_stem
from gmmseg.io.source import Source
from gmmseg.io.zarr_image import open_zarr
from gmmseg.io.zarr_store import image_names, is_zarr, zarr_root
from gmmseg.tiles import Scene

__all__ = ["Input", "Stack", "find_inputs", "read_hints", "read_input", "read_mask_of", "stacked"]

STDIN = "-"
_VOLUMES = ("ZYX", "ZYXC", "CZYX", "ZCYX")


@dataclass(frozen=True)
class Input:
    """One image that the user named.

    Attributes
    ----------
    word : str
        What was typed, or found by a pattern; "-" is standard input.
    typed : bool
        False when it was found by a pattern.
    """

    word: str
    typed: bool = True

    @property
    def words(self) -> tuple[str, ...]:
        """The files that are read: one, or those of a stack."""
        return (self.word,)

    @property
    def path(self) -> Path | None:
        """The file, unless it is standard input."""
        return None if self.word == STDIN else Path(self.word)

    @property
    def name(self) -> str:
        """For messages."""
        return "standard input" if self.path is None else printable(self.path)

    @property
    def base(self) -> Path:
        """Folder and stem of the outputs beside the input."""
        path = self.path or Path("stdin")
        if is_remote(self.word):
            return Path(output_stem(path))
        return _outside_of_zarr(path)

    @cached_property
    def content(self) -> bytes:
        """All of standard input."""
        if sys.stdin.isatty():
            raise ReadError("standard input is a terminal: pipe an image into it.")
        return sys.stdin.buffer.read()

    @property
    def is_tiff(self) -> bool:
        """Whether the file, which must be readable, is a TIFF, or a raster of GDAL's."""
        if self.path is None:
            return is_tiff(self.content)
        if is_remote(self.word):
            return True
        if self.path.is_dir():  # a DICOM series, or a Zarr
            return False
        source = Source.of_path(self.path)
        return is_tiff(source.head) or is_scene(source)

    def read(self, options: ReadOptions) -> Image:
        """The image."""
        if self.path is None:
            return read_bytes(self.content, self.name, options)
        return read_image(self.path, options)

    def scene(self, args: Namespace, options: ReadOptions) -> Scene | None:
        """The raster on earth or flat Zarr that it is, opened; None when it is none."""
        chosen = options_of(args, SceneOptions)
        if self.path is not None and is_zarr(self.path):
            flat = open_zarr(self.path, options).is_flat
            return open_scene(self.words, chosen, options) if flat else None
        if (
            self.path is None
            or self.path.is_dir()
            or options.axes
            or options.indexed
            or options.frame is not None
        ):
            return None
        if not is_remote(self.word):
            source = Source.of_path(self.path)
            if not is_scene(source, with_place=False):
                return None
            if is_vrt(source) and not self.typed:
                raise UnsupportedFormatError(
                    f"{self.name} is a VRT, a list of other files, and was found by a pattern. "
                    "Name it if it is meant."
                )
        return open_scene(self.words, chosen, options, threads=args.threads)


@dataclass(frozen=True)
class Stack(Input):
    """Several files that are the bands of one scene.

    Attributes
    ----------
    word : str
        The first of them.
    files : tuple of str
    """

    files: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        return self.files

    @property
    def name(self) -> str:
        first = printable(self.files[0])
        return f"{first} and {len(self.files) - 1} more" if len(self.files) > 1 else first

    @property
    def base(self) -> Path:
        paths = [Path(word) for word in self.files]
        return paths[0].parent / stack_stem(paths)

    @property
    def is_tiff(self) -> bool:
        return True

    def scene(self, args: Namespace, options: ReadOptions) -> Scene:
        chosen = options_of(args, SceneOptions)
        return open_scene(self.words, chosen, options, threads=args.threads)


def stacked(inputs: Sequence[Input]) -> tuple[Input, ...]:
    """The inputs as the bands of one scene; of a folder its band files."""
    files: list[str] = []
    for source in inputs:
        if source.path is not None and source.path.is_dir() and not is_zarr(source.path):
            files += [str(path) for path in band_files(source.path)]
        else:
            files += source.words
    return (Stack(files[0], files=tuple(files)),)


def find_inputs(words: Sequence[str]) -> tuple[Input, ...]:
    """The inputs that the words name, each once, patterns expanded.

    A file that is really called ``[1].png`` wins over what its name would mean as a pattern. A
    pattern without a match stays as it is, and fails where it is read.
    """
    found: dict[Path | str, Input] = {}
    for word in words:
        for name in _matches(word):
            key = name if name == STDIN or is_remote(name) else Path(name)
            found.setdefault(key, Input(name, typed=name == word))
    return tuple(found.values())


def _matches(word: str) -> list[str]:
    if word == STDIN or os.path.lexists(word) or not glob.has_magic(word):
        return [word]
    names = glob.glob(word, recursive=True)  # noqa: PTH207  # Path.glob takes no absolute pattern
    return sorted(image_names(names)) or [word]


def _outside_of_zarr(path: Path) -> Path:
    """Folder and stem of outputs: never in the input, of which a resolution may be named."""
    root = zarr_root(path)
    if root is None:
        return path.parent / output_stem(path)
    inside = _absolute(path).relative_to(root).parts
    around = Path(os.path.normpath(path)).parents  # as it was typed
    folder = around[len(inside)] if len(around) > len(inside) else root.parent
    folder = folder if _absolute(folder) == root.parent else root.parent
    return folder / "_".join((output_stem(root), *inside))


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow links


def read_input(
    source: Input, args: Namespace, options: ReadOptions, scene: Scene | None = None
) -> Image:
    """The image with the mask and the pixel size that were asked for.

    `scene` is the source opened as a raster on earth.
    """
    units = options_of(args, SceneOptions).has_units
    if units and scene is None:
        raise InvalidParameterError(
            f"--scale and --offset belong to rasters on earth, which {source.name} is not."
        )
    placed = scene is not None and (
        scene.georeference is not None or len(source.words) > 1 or units
    )
    image = scene_image(scene, options) if scene and placed else source.read(options)
    if args.spacing is not None:
        image = image.with_spacing(args.spacing if len(args.spacing) > 1 else args.spacing[0])
    if args.mask is not None:
        image = image.with_mask(read_mask(Path(args.mask), image, options))
    return image


def read_hints(path: Path, args: Namespace) -> NDArray[Any]:
    """The label map of a file: one band of whole numbers, or the indices of a palette."""
    options = ReadOptions(axes="ZYX" if args.axes in _VOLUMES else None, indexed=True)
    hints = read_image(path, options)
    if hints.n_bands > 1:
        raise InvalidDataError(
            f"the hints {printable(path)} have {hints.n_bands} bands. They must be a label image "
            "of one band (grey or palette): 0 = not known, from 1 the class."
        )
    return hints.data[..., 0]


def read_mask_of(image: Image, word: str, options: ReadOptions) -> NDArray[Any]:
    """The mask in the file `word`, for `image`."""
    return read_mask(Path(word), image, options)
