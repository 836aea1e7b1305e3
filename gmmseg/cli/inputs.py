"""The inputs: names and patterns to files, standard input among them, and files to images."""

from __future__ import annotations

import glob
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import InvalidDataError, ReadError
from gmmseg.image import Image
from gmmseg.io import ReadOptions, output_stem, printable, read_bytes, read_image

__all__ = ["Input", "find_inputs", "read_hints", "read_input", "read_mask_of"]

STDIN = "-"
_VOLUMES = ("ZYX", "ZYXC", "CZYX", "ZCYX")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Input:
    """One image that the user named.

    Attributes
    ----------
    word : str
        What was typed, or found by a pattern; "-" is standard input.
    """

    word: str

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
        return path.parent / output_stem(path)

    @cached_property
    def content(self) -> bytes:
        """All of standard input."""
        if sys.stdin.isatty():
            raise ReadError("standard input is a terminal: pipe an image into it.")
        return sys.stdin.buffer.read()

    @property
    def is_tiff(self) -> bool:
        """Whether the file, which must be readable, is a TIFF."""
        if self.path is None:
            return self.content.startswith(_TIFF)
        if self.path.is_dir():  # of a DICOM series
            return False
        with self.path.open("rb") as file:
            return file.read(4) in _TIFF

    def read(self, options: ReadOptions) -> Image:
        """The image."""
        if self.path is None:
            return read_bytes(self.content, self.name, options)
        return read_image(self.path, options)


def find_inputs(words: Sequence[str]) -> tuple[Input, ...]:
    """The inputs that the words name, each once, patterns expanded.

    A file that is really called ``[1].png`` wins over what its name would mean as a pattern. A
    pattern without a match stays as it is, and fails where it is read.
    """
    found: dict[Path | str, Input] = {}
    for word in words:
        for name in _matches(word):
            found.setdefault(name if name == STDIN else Path(name), Input(name))
    return tuple(found.values())


def _matches(word: str) -> list[str]:
    if word == STDIN or os.path.lexists(word) or not glob.has_magic(word):
        return [word]
    names = glob.glob(word, recursive=True)  # noqa: PTH207  # Path.glob takes no absolute pattern
    return sorted(name for name in names if Path(name).is_file()) or [word]


def read_input(source: Input, args: Namespace, options: ReadOptions) -> Image:
    """The image with the mask and the pixel size that were asked for."""
    image = source.read(options)
    if args.spacing is not None:
        image = image.with_spacing(args.spacing if len(args.spacing) > 1 else args.spacing[0])
    if args.mask is not None:
        image = image.with_mask(_read_mask(Path(args.mask), image, options))
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
    return _read_mask(Path(word), image, options)


def _read_mask(path: Path, image: Image, options: ReadOptions) -> NDArray[Any]:
    """True where the mask image is not 0 in some band, and not transparent.

    Band by band where it has as many bands as the image and is no colour picture.
    """
    axes = {2: None, 3: "ZYX"}[image.ndim] if options.axes is not None else None
    mask = read_image(path, replace(options, axes=axes, frame=None, nodata=None, keep_alpha=False))
    if mask.shape != image.shape:
        raise InvalidDataError(
            f"the mask {printable(path)} is of shape {mask.shape}, but the image of {image.shape}. "
            "Give a mask with a value for every pixel of the image."
        )
    by_band = not mask.colour and mask.n_bands == image.n_bands > 1
    chosen = mask.data != 0 if by_band else np.asarray((mask.data != 0).any(axis=-1))
    valid = mask.valid
    return chosen if valid is None else chosen & (valid[..., np.newaxis] if by_band else valid)
