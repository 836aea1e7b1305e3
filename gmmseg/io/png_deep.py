"""PNG with 16 bits of colour, all 16 of them.

Pillow reduces them to 8 without a word (python-pillow/Pillow#7723); OpenCV keeps them, but needs
the libraries of a desktop, writes to stderr about damaged files, and takes seconds for some.

The filters of PNG work on each byte of a pixel by itself, so Pillow's decoder can undo them when
it is given the bytes as pictures of 8 bits, of three or four bands each.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import ReadError
from gmmseg.io.source import Source

__all__ = ["deep_values"]

_SIGNATURE = 8
#: First column and row of each pass of an interlaced picture, and the steps (Adam7).
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_WHOLE = ((0, 0, 1, 1),)
_MODES = {3: "RGB", 4: "RGBA"}


def deep_values(
    source: Source, shape: tuple[int, int, int], *, interlaced: bool
) -> NDArray[np.uint16]:
    """The samples of a 16-bit PNG of `shape` (rows, cols, samples); 2 to 4 samples."""
    rows, cols, samples = shape
    pixel = 2 * samples
    stored = np.empty((rows, cols, pixel), dtype=np.uint8)
    parts = [stored[y::down, x::right] for x, y, right, down in (_PASSES if interlaced else _WHOLE)]
    parts = [part for part in parts if part.size]
    lengths = [part.shape[0] * (1 + part.shape[1] * pixel) for part in parts]
    raw = _inflated(source, sum(lengths))
    start = 0
    for part, length in zip(parts, lengths, strict=True):
        filtered = np.frombuffer(raw, np.uint8, length, start).reshape(part.shape[0], -1)
        _undo_filters(filtered, part)
        start += length
    return stored.view(">u2").astype(np.uint16)


def _undo_filters(filtered: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
    """Fill `target` (rows, cols, bytes) from `filtered` (rows, 1 + cols x bytes)."""
    from PIL import Image

    rows, cols, pixel = target.shape
    values = filtered[:, 1:].reshape(target.shape)
    step = pixel if pixel in _MODES else pixel // 2
    for first in range(0, pixel, step):
        lanes = np.empty((rows, 1 + cols * step), dtype=np.uint8)
        lanes[:, 0] = filtered[:, 0]
        lanes[:, 1:] = values[..., first : first + step].reshape(rows, -1)
        packed = zlib.compress(lanes.data, 0)
        picture = Image.frombytes(_MODES[step], (cols, rows), packed, "zip", _MODES[step])
        target[..., first : first + step] = np.asarray(picture)


def _inflated(source: Source, expected: int) -> bytes:
    """The filtered rows; never more than `expected` bytes, whatever the stream holds."""
    with source.open() as file:
        packed = b"".join(_data_chunks(source.name, file))
    stream = zlib.decompressobj()
    raw = stream.decompress(packed, expected + 1)
    if len(raw) != expected or not stream.eof:
        raise _damaged(source.name)
    return raw


def _data_chunks(name: str, file: BinaryIO) -> Iterator[Any]:
    file.seek(_SIGNATURE)
    while len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind == b"IEND":
            return
        if kind != b"IDAT":
            file.seek(length + 4, 1)
            continue
        content = file.read(length)
        if file.read(4) != struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))):
            raise _damaged(name)
        yield content


def _damaged(name: str) -> ReadError:
    return ReadError(f"cannot read {name}: the file is damaged or cut short.")
