"""Where large files are decoded to: a temporary file that is mapped, so that memory stays flat.

Decoders fill it by tiles, strips or windows; all that follows reads it by blocks, as an NPY file,
as often as it needs to, and decodes nothing twice. The file has no name: it is gone with the array.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import ReadError

__all__ = ["is_large", "scratch", "suits_scratch"]

#: Less is held in memory: it is there at once, and a third of what fitting may take.
_SMALLEST = 128 << 20
_CHUNK = 1 << 24


def is_large(n_bytes: int) -> bool:
    """Whether an array of so many bytes is better mapped from a file than held in memory."""
    return n_bytes >= _SMALLEST


def suits_scratch(n_bytes: int) -> bool:
    """Whether an array is large, and takes no more than half of the room for temporary files."""
    if not is_large(n_bytes):
        return False
    try:
        return n_bytes <= shutil.disk_usage(tempfile.gettempdir()).free // 2
    except OSError:
        return False


def scratch(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array to be filled, mapped from a temporary file.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype

    Raises
    ------
    ReadError
        When there is no room for it.

    Examples
    --------
    >>> pages = scratch((2, 3), np.dtype(np.uint8))
    >>> pages[1] = 7
    >>> int(pages.sum())
    21
    """
    n_bytes = prod(shape) * dtype.itemsize
    try:
        with tempfile.TemporaryFile(prefix="gmmseg-") as file:
            _reserve(file, n_bytes)
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
    except OSError as error:
        raise ReadError(
            f"{n_bytes} bytes are needed for decoded pixels in {tempfile.gettempdir()}: "
            f"{error.strerror or error}. Free some, or name another folder in TMPDIR."
        ) from error


def _reserve(file: BinaryIO, n_bytes: int) -> None:
    """Take the room now: when it is missing later, writing to a map ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, n_bytes)
        return
    for start in range(0, n_bytes, _CHUNK):
        file.write(bytes(min(_CHUNK, n_bytes - start)))
    file.flush()
