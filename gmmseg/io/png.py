"""PNG: header by our own walk over the chunks, deep colour by `png_deep`, the rest by Pillow."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import ReadError
from gmmseg.image import Image
from gmmseg.io.assembly import Decoded, assemble
from gmmseg.io.frames import check_frame, chosen_frame
from gmmseg.io.header import Header
from gmmseg.io.limits import check_content, check_pixels
from gmmseg.io.options import ReadOptions
from gmmseg.io.orientation import UPRIGHT, orientation_of_exif
from gmmseg.io.pictures import alpha_of_colour, pillow_picture, split_picture
from gmmseg.io.png_deep import deep_values
from gmmseg.io.remarks import Remarks
from gmmseg.io.source import Source

__all__ = ["png_header", "read_png"]

_SIGNATURE = 8
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
#: Samples per pixel as stored, alpha included.
_SAMPLES = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGB_ALPHA: 4}
#: Bands as read, alpha left out.
_BANDS = {_GREY: 1, _RGB: 3, _PALETTE: 3, _GREY_ALPHA: 1, _RGB_ALPHA: 3}
_LONGEST_CHUNK = 2**31 - 1
_KEPT = (b"tRNS", b"eXIf", b"acTL")


@dataclass(frozen=True, kw_only=True)
class _Png:
    """What the chunks before the pixels say."""

    cols: int
    rows: int
    bits: int
    colour_type: int
    interlaced: bool
    chunks: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        control = self.chunks.get(b"acTL", b"")
        return struct.unpack_from(">I", control)[0] if len(control) >= 4 else 1

    @property
    def transparent_colour(self) -> NDArray[np.uint16] | None:
        """The one transparent colour of a picture without palette and alpha."""
        wanted = 2 * _SAMPLES[self.colour_type]
        chunk = self.chunks.get(b"tRNS", b"")
        if self.colour_type not in (_GREY, _RGB) or len(chunk) < wanted:
            return None
        return np.frombuffer(chunk[:wanted], dtype=">u2").astype(np.uint16)

    @property
    def deep_colour(self) -> bool:
        """Whether Pillow would cut it down to 8 bits."""
        return self.bits == 16 and self.colour_type != _GREY

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels as they are before compression."""
        return (self.cols * self.bits * _SAMPLES[self.colour_type] + 7) // 8 * self.rows


def png_header(source: Source, options: ReadOptions) -> Header:
    """The facts of a PNG file."""
    header = _header(_parse(source))
    check_frame(source.name, options.frame, header.frames)
    return header


def read_png(source: Source, options: ReadOptions, remarks: Remarks) -> Image:
    """Read a PNG file, every bit of it."""
    png = _parse(source)
    header = _header(png)
    check_pixels(source.name, header, options)
    if png.frames == 1:
        check_content(source.name, png.nbytes, source.size, "deflate")
    frame = chosen_frame(source.name, png.frames, options, remarks)
    if png.deep_colour:
        decoded = _decode_deep(source, png, frame, header.orientation)
    else:
        plain = _with_joined_data(source) if png.frames == 1 else source
        decoded = _decode_by_pillow(plain, frame, options, remarks, header.orientation)
    return assemble(decoded, source, options, remarks)


def _header(png: _Png) -> Header:
    bands = _BANDS[png.colour_type]
    exif = png.chunks.get(b"eXIf")
    return Header(
        format="PNG",
        shape=(png.rows, png.cols) if bands == 1 else (png.rows, png.cols, bands),
        axes="YX" if bands == 1 else "YXC",
        dtype=np.dtype(np.uint16 if png.bits == 16 else np.uint8),
        bits=png.bits,
        frames=png.frames,
        alpha=png.colour_type in (_GREY_ALPHA, _RGB_ALPHA) or b"tRNS" in png.chunks,
        orientation=UPRIGHT if exif is None else orientation_of_exif(exif),
        compression="deflate",
        more={"palette": png.colour_type == _PALETTE, "interlaced": png.interlaced},
    )


def _parse(source: Source) -> _Png:
    with source.open() as file:
        file.seek(_SIGNATURE)
        chunks = dict(_chunks(file))
    cols, rows, bits, colour_type, _, _, interlaced = struct.unpack(
        ">IIBBBBB", chunks.pop(b"IHDR", b"")[:13]
    )
    if colour_type not in _SAMPLES or bits not in (1, 2, 4, 8, 16):
        raise ReadError(
            f"cannot read {source.name}: its header names a colour type {colour_type} of "
            f"{bits} bits, which PNG does not have."
        )
    return _Png(
        cols=cols,
        rows=rows,
        bits=bits,
        colour_type=colour_type,
        interlaced=bool(interlaced),
        chunks=chunks,
    )


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of the chunks that matter; EXIF may come after the pixels."""
    most = 2**20
    while len(start := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", start)
        if name == b"IHDR" or (name in _KEPT and length <= most):
            yield name, file.read(length if name != b"IHDR" else min(length, 13))
            file.seek(4, 1)
        elif name == b"IEND":
            return
        else:
            file.seek(length + 4, 1)


def _with_joined_data(source: Source) -> Source:
    """The same file with one chunk of pixels in the place of, often, thousands of 8 KiB.

    Pillow takes several steps for each, all of which wait for the other threads of Python.
    """
    content = memoryview(source.read())
    parts, at, total = [], _SIGNATURE, 0
    first = end = None
    while at + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        if name == b"IDAT":
            first = at if first is None else first
            parts.append(content[at + 8 : at + 8 + length])
            total += length
            end = at + 8 + length
        elif first is not None:
            break
        at += length + 12
    if len(parts) < 2 or total > _LONGEST_CHUNK:
        return source
    start = struct.pack(">I4s", total, b"IDAT")
    joined = b"".join([content[:first], start, *parts, content[end:]])
    return Source.of_bytes(joined, source.name)


def _decode_by_pillow(
    source: Source, frame: int, options: ReadOptions, remarks: Remarks, orientation: int
) -> Decoded:
    with pillow_picture(source, "PNG") as picture:
        if frame:
            picture.seek(frame)
        picture.load()
        return split_picture(picture, options, remarks, orientation)


def _decode_deep(source: Source, png: _Png, frame: int, orientation: int) -> Decoded:
    if frame:
        raise ReadError(
            f"cannot read frame {frame} of {source.name}: of an animated PNG with 16 bits of "
            "colour only the first frame is read."
        )
    samples = _SAMPLES[png.colour_type]
    values = deep_values(source, (png.rows, png.cols, samples), interlaced=png.interlaced)
    alpha: NDArray[Any] | None = None
    if png.colour_type in (_GREY_ALPHA, _RGB_ALPHA):
        values, alpha = values[..., :-1], values[..., -1]
    elif png.transparent_colour is not None:
        alpha = alpha_of_colour(values, png.transparent_colour)
    return Decoded(
        values=values,
        alpha=alpha,
        colour=png.colour_type != _GREY_ALPHA,
        orientation=orientation,
    )
