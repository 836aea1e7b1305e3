"""gzip, read within bounds and written by several threads.

With isal (the extra medical) a volume of 8.7 MB is unpacked in 30 ms, with zlib in 66.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from typing import Any, BinaryIO

from gmmseg.errors import ReadError
from gmmseg.io.png_writer import n_cores

__all__ = ["GZIP_MAGIC", "GzipReader", "unpacked_head", "write_gzip"]

GZIP_MAGIC = b"\x1f\x8b"

_WITH_HEADER = 31  # zlib's word for gzip
_CHUNK = 1 << 18
_STRIP = 1 << 20
_MOST_THREADS = 8

# No name, no time: the same content gives the same file.
_HEADER = GZIP_MAGIC + b"\x08\0\0\0\0\0\0\xff"


def _library() -> Any:
    """The module that unpacks: both have the same names."""
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return zlib


class GzipReader:
    """The unpacked bytes of a gzip file, of which only a chunk is in memory.

    Parameters
    ----------
    file : binary file
    name : str
        For messages.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._library = _library()
        self._inflate = self._library.decompressobj(_WITH_HEADER)
        self._packed = b""

    def fill(self, buffer: memoryview) -> int:
        """Unpack until `buffer` is full or the file ends; return the number of bytes."""
        done = 0
        while done < len(buffer):
            part = self._some(min(_CHUNK * 4, len(buffer) - done))
            if not part:
                break
            buffer[done : done + len(part)] = part
            done += len(part)
        return done

    def skip(self, n: int) -> None:
        """Leave out `n` bytes."""
        while n > 0 and (part := self._some(min(_CHUNK, n))):
            n -= len(part)

    def _some(self, most: int) -> bytes:
        """At most so many bytes, none only at the end of the file."""
        while True:
            if self._inflate.eof:  # further members are part of the content (RFC 1952)
                self._packed = self._inflate.unused_data or self._file.read(_CHUNK)
                if not self._packed.startswith(GZIP_MAGIC):
                    return b""
                self._inflate = self._library.decompressobj(_WITH_HEADER)
            packed = self._packed or self._file.read(_CHUNK)
            ended = not packed
            try:
                part = self._inflate.decompress(packed, most)
            except self._library.error as error:
                raise ReadError(f"cannot read {self._name}: the gzip file is damaged.") from error
            self._packed = self._inflate.unconsumed_tail
            if part:
                return bytes(part)
            if ended and not self._inflate.eof:
                raise ReadError(f"cannot read {self._name}: the gzip file is cut short.")


def unpacked_head(head: bytes, n: int) -> bytes:
    """The first `n` bytes, or fewer, of what begins with the gzip bytes `head`."""
    try:
        return bytes(zlib.decompressobj(_WITH_HEADER).decompress(head, n))
    except zlib.error:
        return b""


def write_gzip(file: BinaryIO, parts: Iterable[Any], *, runs: bool = False) -> None:
    """Write buffers as one gzip member.

    They are packed in strips by several threads; the bytes do not depend on how many.

    Parameters
    ----------
    file : binary file
    parts : iterable of bytes-like
    runs : bool
        Look for runs only: for label maps, which are little else.
    """
    file.write(_HEADER)
    checksum = length = 0
    for strip, packed in _packed_in_order(_strips(parts), runs):
        checksum = zlib.crc32(strip, checksum)
        length += len(strip)
        file.write(packed)
    file.write(b"\x03\0" + struct.pack("<II", checksum, length & 0xFFFFFFFF))


def _strips(parts: Iterable[Any]) -> Iterator[memoryview]:
    for part in parts:
        whole = memoryview(part).cast("B")
        for start in range(0, len(whole), _STRIP):
            yield whole[start : start + _STRIP]


def _packed_in_order(
    strips: Iterable[memoryview], runs: bool
) -> Iterator[tuple[memoryview, bytes]]:
    threads = min(_MOST_THREADS, n_cores())
    waiting: deque[tuple[memoryview, Future[bytes]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for strip in strips:
            waiting.append((strip, pool.submit(_packed, strip, runs)))
            if len(waiting) > threads:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _packed(strip: memoryview, runs: bool) -> bytes:
    """Deflate blocks that end at a whole byte."""
    strategy = zlib.Z_RLE if runs else zlib.Z_DEFAULT_STRATEGY
    deflate = zlib.compressobj(1, zlib.DEFLATED, -15, 8, strategy)
    return deflate.compress(strip) + deflate.flush(zlib.Z_FULL_FLUSH)
