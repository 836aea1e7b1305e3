"""What is checked of a TIFF file before tifffile follows its offsets.

A chain of directories that leads back to itself keeps tifffile busy until the memory is full, one
whose directories overlap lets a small file describe thousands of large pages, and a page that
declares more blocks than it has makes it count to billions.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from math import prod
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import ReadError
from gmmseg.io.limits import check_content
from gmmseg.io.source import Source
from gmmseg.io.tiff_colour import bits_of

if TYPE_CHECKING:
    from tifffile import TiffFrame, TiffPage, TiffPageSeries

__all__ = ["chain_is_whole", "check_pages", "compression_of", "n_planes"]

_COMPRESSIONS = {1: "none", 5: "lzw", 8: "deflate", 32946: "deflate", 32773: "packbits"}


class _Form(NamedTuple):
    """The sizes in which classic TIFF and BigTIFF differ, as formats of `struct`."""

    first_at: int
    offset: str
    n_tags: str
    tag_bytes: int


_FORMS = {b"*": _Form(4, "I", "H", 12), b"+": _Form(8, "Q", "Q", 20)}


def chain_is_whole(source: Source) -> bool:
    """Whether all directories lie within the file; False also when the last one is cut.

    Raises
    ------
    ReadError
        When the chain is a circle, or the directories overlap.
    """
    order = "<" if source.head[:2] == b"II" else ">"
    form = _FORMS[source.head[2:4].strip(b"\0")]
    seen: set[int] = set()
    length = 0
    with source.open() as file:
        file.seek(form.first_at)
        at = _number(file, order + form.offset)
        while at:
            if at in seen or length > source.size:
                raise ReadError(
                    f"cannot read {source.name}: the file is malformed, its chain of pages is "
                    "a circle or overlaps itself."
                )
            seen.add(at)
            file.seek(at)
            n_tags = _number(file, order + form.n_tags)
            if n_tags is None or at + n_tags * form.tag_bytes > source.size:
                return False
            length += n_tags * form.tag_bytes
            file.seek(n_tags * form.tag_bytes, 1)
            at = _number(file, order + form.offset)
    return at == 0


def _number(file: BinaryIO, form: str) -> int | None:
    stored = file.read(struct.calcsize(form))
    return struct.unpack(form, stored)[0] if len(stored) == struct.calcsize(form) else None


def compression_of(page: TiffPage) -> str:
    """Name of the compression, "none" when there is none."""
    code = int(page.compression)
    return _COMPRESSIONS.get(code, getattr(page.compression, "name", str(code)).lower())


def n_planes(series: TiffPageSeries) -> int:
    """Number of pages that the series stands for, whether each has a directory or not."""
    return max(1, prod(series.shape) // max(1, prod(series.keyframe.shape)))


def check_pages(source: Source, series: TiffPageSeries, planes: Iterable[int]) -> None:
    """Refuse a file that is cut short, or whose tags declare more than it can hold."""
    if len(series.pages) < n_planes(series):  # ImageJ: one directory, then all planes in a row
        needed = prod(series.shape) * np.dtype(series.dtype).itemsize
        check_content(source.name, needed, source.size - (series.dataoffset or 0))
        return
    for i in planes:
        stored = series.pages[i]
        if stored is None:
            raise ReadError(f"cannot read {source.name}: page {i} of the stack is missing.")
        _check_blocks(source, series.keyframe, stored)


def _check_blocks(source: Source, page: TiffPage, stored: TiffPage | TiffFrame) -> None:
    """Check the strips or tiles of one page; `page` describes their form."""
    lengths = np.asarray(stored.databytecounts, dtype=np.int64)
    offsets = np.asarray(stored.dataoffsets, dtype=np.int64)
    in_one_run = lengths.size == 1 and compression_of(page) == "none"
    too_few = lengths.size < prod(page.chunked) and not in_one_run
    if offsets.shape != lengths.shape or too_few or _some_are_lost(offsets, lengths):
        raise ReadError(f"cannot read {source.name}: the file is malformed.")
    if (offsets + lengths).max(initial=0) > source.size:
        raise ReadError(f"cannot read {source.name}: the file is cut short.")
    share = np.count_nonzero(lengths) / max(1, lengths.size)
    needed = int(prod(page.shape) * bits_of(page) // 8 * share)
    check_content(source.name, needed, int(lengths.sum()), compression_of(page))


def _some_are_lost(offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> bool:
    """Whether a block lies somewhere but has no length, or there is none at all.

    tifffile reads such blocks as zeros. GDAL leaves out blocks of nodata on purpose: then both
    numbers are 0.
    """
    return bool((offsets[lengths <= 0] != 0).any() or not lengths.any())
