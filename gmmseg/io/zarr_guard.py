"""The bytes of a Zarr's chunks, looked at before anything unpacks them. Needs the extra "zarr".

Zarr reads whole files and trusts what their first bytes say of how large they become. Here a file
may not be larger than a chunk can be, and may not say, or turn out, to become more.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore

from gmmseg._files import printable

__all__ = ["GuardedStore"]

#: What codecs may add to incompressible values, and what a shard has for an index.
_BESIDE = 1 << 20

#: Bytes of the content size in the header of a frame of Zstandard, by two of its flags.
_ZSTD_SIZES = (0, 2, 4, 8)
_ZSTD = b"\x28\xb5\x2f\xfd"


class GuardedStore(LocalStore):
    """A Zarr array in a folder, for reading.

    Parameters
    ----------
    root : Path
    most : int, optional
        Bytes that a chunk takes when it is decoded.
    codec : str
        The one that packs chunks last.

    Raises
    ------
    ValueError
        By the methods that read: of a chunk that is refused. `decoding` tells which file it was.
    """

    def __init__(
        self, root: Path, *, read_only: bool = True, most: int | None = None, codec: str = ""
    ) -> None:
        super().__init__(root, read_only=read_only)
        self._most, self._codec = most, codec

    def with_read_only(self, read_only: bool = True) -> GuardedStore:
        return type(self)(self.root, read_only=read_only, most=self._most, codec=self._codec)

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        self._check_file(key)
        found = await super().get(key, prototype, byte_range)
        return self._checked(key, found, whole=byte_range is None)

    def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Any:
        self._check_file(key)
        found = super().get_sync(key, prototype=prototype, byte_range=byte_range)
        return self._checked(key, found, whole=byte_range is None)

    def _check_file(self, key: str) -> None:
        """Before it is opened: a pipe may wait for ever, a file with holes fill the memory."""
        try:
            status = os.stat(self.root / key)  # noqa: PTH116 - once for each chunk
        except OSError:
            return  # chunks that are not there are of the fill value
        if stat.S_ISDIR(status.st_mode):
            return
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{printable(key)} is not a regular file.")
        if self._most is not None and status.st_size > self._most + _BESIDE:
            raise ValueError(
                f"the chunk {printable(key)} has {status.st_size} bytes, but values of only "
                f"{self._most}."
            )

    def _checked(self, key: str, found: Any, *, whole: bool) -> Any:
        if found is None or self._most is None or not whole or key.endswith((".json", ".zarray")):
            return found
        size = _DECLARED.get(self._codec, _unknown)(found.to_bytes(), self._most + _BESIDE)
        if size > self._most + _BESIDE:
            raise ValueError(
                f"the chunk {printable(key)} would become larger than the {self._most} bytes of "
                "its values."
            )
        return found


def _unknown(_: bytes, __: int) -> int:
    return 0


def _of_blosc(data: bytes, _: int) -> int:
    return int(struct.unpack_from("<I", data, 4)[0]) if len(data) >= 16 else 0


def _of_lz4(data: bytes, _: int) -> int:
    return int(struct.unpack_from("<I", data)[0]) if len(data) >= 4 else 0


def _of_zstd(data: bytes, most: int) -> int:
    """What the first frame says; one that does not is no Zarr's: writers know the size."""
    if len(data) < 18 or not data.startswith(_ZSTD):
        return 0
    flags = data[4]
    single = flags >> 5 & 1
    start = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    length = _ZSTD_SIZES[flags >> 6] or single
    if length == 0:
        return most + 1
    return int.from_bytes(data[start : start + length], "little") + (256 if length == 2 else 0)


def _of_deflate(data: bytes, most: int) -> int:
    """Unpacked as far as is allowed, because it does not tell; 258 bytes may come of two bits."""
    try:
        return len(zlib.decompressobj(wbits=47).decompress(data, most + 1))
    except zlib.error:
        return 0  # zarr will say so


#: What a packed chunk becomes, by the codec.
_DECLARED: dict[str, Callable[[bytes, int], int]] = {
    "blosc": _of_blosc,
    "zstd": _of_zstd,
    "lz4": _of_lz4,
    "gzip": _of_deflate,
    "zlib": _of_deflate,
}
