"""The chain of directories in a TIFF file, walked before tifffile follows it.

A chain that leads back to itself keeps tifffile busy until the memory is full, and one whose
directories overlap lets a small file describe thousands of large pages.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

from gmmseg.errors import ReadError
from gmmseg.io.source import Source

__all__ = ["chain_is_whole"]


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
