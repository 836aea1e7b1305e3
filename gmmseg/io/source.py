"""Where the bytes come from: a file on disk, or bytes that were piped in."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from gmmseg._files import printable
from gmmseg.errors import MissingFileError, ReadError

__all__ = ["Source"]

#: DICOM and NIfTI keep their magic behind 128 and 344 bytes.
_HEAD = 512


@dataclass(frozen=True, kw_only=True)
class Source:
    """The bytes of one image.

    Attributes
    ----------
    name : str
        For messages: without control characters.
    size : int
        Number of bytes.
    head : bytes
        The first bytes, by which the format is known.
    path : Path or None
        The file, when it is one.
    content : bytes or None
        All bytes, when they are in memory.
    """

    name: str
    size: int
    head: bytes
    path: Path | None = None
    content: bytes | None = None

    @classmethod
    def of_path(cls, path: str | os.PathLike[str]) -> Source:
        """The file at `path`, which must be a regular file that can be opened."""
        path = Path(path)
        name = printable(path)
        try:
            size = _size_of_regular_file(path, name)
            with path.open("rb") as file:
                head = file.read(_HEAD)
        except FileNotFoundError:
            raise MissingFileError(f"There is no file {name}.") from None
        except (OSError, ValueError) as error:
            if isinstance(error, ReadError):
                raise
            raise ReadError(f"cannot read {name}: {_reason(error)}") from error
        return cls(name=name, size=size, head=_not_empty(head, name), path=path)

    @classmethod
    def of_bytes(cls, content: bytes, name: str) -> Source:
        """Bytes in memory, called `name` in messages."""
        name = printable(name)
        head = _not_empty(bytes(content[:_HEAD]), name)
        return cls(name=name, size=len(content), head=head, content=content)

    def open(self) -> BinaryIO:
        """A new binary file at its start."""
        if self.content is not None:
            return BytesIO(self.content)
        assert self.path is not None  # noqa: S101  # one of the two is always there
        return self.path.open("rb")

    def read(self) -> bytes:
        """All bytes."""
        if self.content is not None:
            return self.content
        with self.open() as file:
            return file.read()


def _size_of_regular_file(path: Path, name: str) -> int:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ReadError(f"cannot read {name}: it is a directory, not an image file.")
    if not stat.S_ISREG(status.st_mode):
        # Opening a pipe may wait for ever, and no header can be read twice from it.
        raise ReadError(f"cannot read {name}: it is not a regular file. Pipe it in with '-'.")
    return status.st_size


def _not_empty(head: bytes, name: str) -> bytes:
    if not head:
        raise ReadError(f"cannot read {name}: the file is empty.")
    return head


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or printable(error)
