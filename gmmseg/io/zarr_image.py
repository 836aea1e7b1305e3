"""An image in a Zarr: its axes by their names, read by whole chunks of rows or planes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._files import printable
from gmmseg.errors import AmbiguousAxesError, ReadError
from gmmseg.image import Image
from gmmseg.io.assembly import Decoded, assemble
from gmmseg.io.decoding import decoding
from gmmseg.io.frames import check_frame
from gmmseg.io.header import Header
from gmmseg.io.limits import check_pixels
from gmmseg.io.ngff import Multiscale, multiscale, ome_of
from gmmseg.io.options import ReadOptions
from gmmseg.io.remarks import Remarks
from gmmseg.io.scratch import is_large, scratch, suits_scratch
from gmmseg.io.source import Source
from gmmseg.io.zarr_axes import letters_of
from gmmseg.io.zarr_store import ArrayFacts, Node, open_array, read_node, zarr_root
from gmmseg.pixel_grid import PixelGrid

__all__ = ["ZarrImage", "open_zarr", "read_zarr", "zarr_header"]

#: Bytes that are read at once.
_AT_ONCE = 64 << 20

#: Colours of channels that are a picture as a display means it.
_RED_GREEN_BLUE = ("FF0000", "00FF00", "0000FF")

#: What types become: an image has neither bool nor half floats.
_TYPES: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(bool): np.dtype(np.uint8),
    np.dtype(np.float16): np.dtype(np.float32),
}


@dataclass(frozen=True, kw_only=True)
class ZarrImage:
    """One resolution of an image, not read yet.

    Attributes
    ----------
    node : Node
        The array.
    letters : str
        One for each axis of the array: of T, C, Z, Y, X, and "-" for others of length 1.
    axes : str
        Of those that stay: one of `AXES`, but in any order.
    frame : int
        Index along T.
    grid : PixelGrid
    band_names : tuple of str
    colour : bool
    levels : tuple of Path
        All resolutions, where this is the finest of several.
    version : str
        Of OME-NGFF; "" where it does not say anything.
    """

    node: Node
    letters: str
    axes: str
    frame: int = 0
    grid: PixelGrid
    band_names: tuple[str, ...] = ()
    colour: bool = False
    levels: tuple[Path, ...] = ()
    version: str = ""

    @property
    def facts(self) -> ArrayFacts:
        assert self.node.array is not None  # noqa: S101 - it is made of arrays only
        return self.node.array

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values as they are read."""
        return _TYPES.get(self.facts.dtype, self.facts.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, cols) or (planes, rows, cols)."""
        return tuple(self._length(letter) for letter in "ZYX" if letter in self.axes)

    @property
    def n_bands(self) -> int:
        return self._length("C") if "C" in self.axes else 1

    @property
    def is_flat(self) -> bool:
        return "Z" not in self.axes

    @property
    def block(self) -> int:
        """Rows, or planes, that are decoded together."""
        first = self.letters.index("Y" if self.is_flat else "Z")
        return min(self.facts.chunks[first], self.facts.shape[first])

    @property
    def nodata(self) -> tuple[float, ...]:
        """What xarray says that stands for nothing."""
        value = self.node.attributes.get("_FillValue")
        return (float(value),) if isinstance(value, int | float) else ()

    def header(self) -> Header:
        facts, multiple = self.facts, len(self.levels) > 1
        size, unit = self.grid.spacing(len(self.shape))
        return Header(
            format=f"OME-Zarr {self.version}".rstrip() if self.version else "Zarr",
            shape=facts.shape,
            axes=self.letters.replace("-", "Q"),
            dtype=facts.dtype,
            bits=8 * facts.dtype.itemsize,
            frames=self._length("T") if "T" in self.letters else 1,
            compression=", ".join(facts.codecs),
            more={
                "zarr_format": self.node.zarr_format,
                "chunks": list(facts.chunks),
                "levels": [path.name for path in self.levels] if multiple else [],
                "spacing": list(size or ()),
                "unit": unit,
                "band_names": list(self.band_names),
            },
        )

    def read(self, first: slice) -> NDArray[Any]:
        """Rows, or planes, with bands last."""
        frame, one = slice(self.frame, self.frame + 1), slice(0, 1)
        own = {"T": frame, "Y" if self.is_flat else "Z": first}
        key = [
            own.get(letter, slice(0, n) if letter in self.axes else one)
            for letter, n in zip(self.letters, self.facts.shape, strict=True)
        ]
        found = self._values(key)
        kept = [letter for letter in self.letters if letter in self.axes]
        values = found.transpose([kept.index(letter) for letter in "ZYXC" if letter in kept])
        values = values if "C" in kept else values[..., np.newaxis]
        if values.dtype == bool:
            values = values.astype(np.uint8) * np.uint8(255)
        return values.astype(self.dtype, copy=False)

    def _values(self, key: list[slice]) -> NDArray[Any]:
        """A part, without the axes that do not stay, a few chunks at a time."""
        most = max(1, _AT_ONCE // (prod(self.facts.chunks) * self.facts.dtype.itemsize))
        found = np.empty([own.stop - own.start for own in key], self.facts.dtype)
        for part in _pieces(key, self.facts.chunks, most):
            pairs = zip(part, key, strict=True)
            place = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in pairs)
            found[place] = self._array[tuple(part)]
        gone = [i for i, letter in enumerate(self.letters) if letter not in self.axes]
        return found.squeeze(tuple(gone))

    @cached_property
    def _array(self) -> Any:
        return open_array(self.node)

    def _length(self, letter: str) -> int:
        return self.facts.shape[self.letters.index(letter)]

    def image(
        self, values: NDArray[Any], options: ReadOptions, remarks: Remarks, path: Path
    ) -> Image:
        """Values of it as an image."""
        spacing, unit = self.grid.spacing(len(self.shape))
        decoded = Decoded(
            values=values,
            colour=self.colour,
            nodata=self.nodata,
            spacing=spacing,
            unit=unit,
            band_names=self.band_names,
        )
        source = Source(name=printable(path), size=0, head=b"", path=path)
        return replace(assemble(decoded, source, options, remarks), grid=self.grid)


def _pieces(key: list[slice], chunks: tuple[int, ...], most: int) -> Iterator[list[slice]]:
    """A part of an array in parts of at most so many chunks, which are decoded at once.

    Examples
    --------
    >>> [own.indices(99)[:2] for part in _pieces([slice(3, 99)], (10,), 5) for own in part]
    [(3, 50), (50, 99)]
    """
    pairs = list(zip(key, chunks, strict=True))
    counts = [-(-own.stop // size) - own.start // size for own, size in pairs]
    if prod(counts) <= most:
        yield key
        return
    axis = counts.index(max(counts))
    own, size = pairs[axis]
    middle = (own.start // size + counts[axis] // 2) * size
    for half in (slice(own.start, middle), slice(middle, own.stop)):
        yield from _pieces([*key[:axis], half, *key[axis + 1 :]], chunks, most)


def open_zarr(path: str | os.PathLike[str], options: ReadOptions) -> ZarrImage:
    """The image that a folder holds: an array, an OME-Zarr group, or one of its resolutions.

    Raises
    ------
    ReadError
        And its subclasses, when it is none, or what is declared is not read.
    """
    with decoding(printable(path)):
        node = read_node(path)
        if node.array is not None:
            return _with_axes(node, *_around(node), options)
        found = multiscale(node)
        fine = read_node(found.levels[0].path)
        if fine.array is None:
            raise ReadError(f"cannot read {fine.name}: it should be an array, but is a group.")
        return _with_axes(fine, found, 0, options)


def _around(node: Node) -> tuple[Multiscale | None, int]:
    """The image that an array is one resolution of, and which; None when it is of none."""
    root = zarr_root(node.path)
    here = Path(os.path.abspath(node.path))  # noqa: PTH100 - Path.resolve would follow links
    for folder in here.parents:
        if root is None or not folder.is_relative_to(root):
            break
        around = read_node(folder)
        if around.array is None and ome_of(around).get("multiscales"):
            found = multiscale(around)
            paths = [level.path for level in found.levels]
            return (found, paths.index(here)) if here in paths else (None, 0)
    return None, 0


def _with_axes(node: Node, found: Multiscale | None, level: int, options: ReadOptions) -> ZarrImage:
    facts = node.array
    assert facts is not None  # noqa: S101 - who calls has looked
    names = facts.dimension_names if found is None else found.axes
    if names is not None and len(names) != len(facts.shape):
        raise ReadError(
            f"cannot read {node.name}: it has {len(facts.shape)} axes, but names for {len(names)}."
        )
    if 0 in facts.shape:
        raise ReadError(f"cannot read {node.name}: it is empty, of shape {facts.shape}.")
    letters, axes = letters_of(node.name, facts.shape, names, options)
    n_frames = facts.shape[letters.index("T")] if "T" in letters else 1
    check_frame(node.name, options.frame, n_frames)
    frame = options.frame or 0
    n_bands = facts.shape[letters.index("C")] if "C" in axes else 1
    channels = () if found is None else found.channels
    return ZarrImage(
        node=node,
        letters=letters,
        axes=axes,
        frame=frame,
        grid=_grid(node, letters, axes, found, level, frame),
        band_names=channels if len(channels) == n_bands and all(channels) else (),
        colour=n_bands == 3 and _is_colour(facts.dtype, axes, found),
        levels=() if found is None else tuple(one.path for one in found.levels[level:]),
        version="" if found is None else found.version or "0.1",
    )


def _is_colour(dtype: np.dtype[Any], axes: str, found: Multiscale | None) -> bool:
    """Whether three bands are a picture: as of any array; OME-Zarr has to say so."""
    if found is None:
        return dtype in (np.uint8, np.uint16) and axes.endswith("C")
    return dtype == np.uint8 and found.colours == _RED_GREEN_BLUE


def _grid(
    node: Node, letters: str, axes: str, found: Multiscale | None, level: int, frame: int
) -> PixelGrid:
    """Axes of maps of the image: of those that are stored all but channels and nameless ones."""
    order = [letters.index(letter) for letter in "TZYX" if letter in letters]
    n = len(letters)
    units = ("",) * n if found is None else found.units
    scale = (1.0,) * n if found is None else found.levels[level].scale
    shift = (0.0,) * n if found is None else found.levels[level].translation
    if "T" in letters:
        time = letters.index("T")
        shift = (*shift[:time], shift[time] + frame * scale[time], *shift[time + 1 :])
    return PixelGrid(
        axes=tuple(letters[i].lower() for i in order),
        units=tuple(units[i] for i in order),
        scale=tuple(scale[i] for i in order),
        translation=tuple(shift[i] for i in order),
        zarr_format=node.zarr_format,
    )


def zarr_header(path: str | os.PathLike[str], options: ReadOptions) -> Header:
    """The facts of a Zarr; axes that are ambiguous are told as Q, and all moments in time."""
    try:
        return open_zarr(path, replace(options, frame=options.frame or 0)).header()
    except AmbiguousAxesError:
        node = read_node(path)
        node = node if node.array is not None else read_node(multiscale(node).levels[0].path)
        assert node.array is not None  # noqa: S101 - it was opened above
        shape, dtype = node.array.shape, node.array.dtype
        axes, bits = "Q" * len(shape), 8 * dtype.itemsize
        return Header(format="Zarr", shape=shape, axes=axes, dtype=dtype, bits=bits)


def read_zarr(path: str | os.PathLike[str], options: ReadOptions, remarks: Remarks) -> Image:
    """Read an image: into memory, or where it is large into a mapped temporary file."""
    found = open_zarr(path, options)
    shape, dtype = (*found.shape, found.n_bands), found.dtype
    axes = "YXC" if found.is_flat else "ZYXC"
    n_bytes = prod(shape) * dtype.itemsize
    mapped = is_large(n_bytes) and suits_scratch(n_bytes)
    header = Header(format="Zarr", shape=shape, axes=axes, dtype=dtype, bits=0, resident=not mapped)
    check_pixels(printable(path), header, options)
    values = scratch(shape, dtype) if mapped else np.empty(shape, dtype)
    step = max(1, _AT_ONCE * shape[0] // n_bytes // found.block) * found.block
    with decoding(printable(path)):
        for start in range(0, shape[0], step):
            values[start : start + step] = found.read(slice(start, min(start + step, shape[0])))
    if len(found.levels) > 1:
        remarks.note(f"the finest of {len(found.levels)} resolutions")
    return found.image(values, options, remarks, Path(path))
