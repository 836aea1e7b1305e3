"""PBM, PGM, PPM and PFM: read here, because Pillow cuts 16-bit colours down to 8."""

from __future__ import annotations

import re
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import ReadError
from gmmseg.image import Image
from gmmseg.io.assembly import Decoded, assemble
from gmmseg.io.frames import check_frame
from gmmseg.io.header import Header
from gmmseg.io.limits import check_content, check_pixels
from gmmseg.io.options import ReadOptions
from gmmseg.io.remarks import Remarks
from gmmseg.io.source import Source

__all__ = ["pnm_header", "read_pnm"]

# Possessive: what has matched is not tried in other ways, which takes for ever in long gaps.
_GAP = rb"(?:\s++|#[^\n\r]*+[\n\r])++"
_SIZES = re.compile(rb"P[1-6fF]" + _GAP + rb"(\d{1,10})" + _GAP + rb"(\d{1,10})")
_LAST_FIELD = re.compile(_GAP + rb"([-+0-9.eE]{1,30})")
_TEXT = {b"1": 1, b"2": 1, b"3": 3}
_BANDS = {b"1": 1, b"2": 1, b"3": 3, b"4": 1, b"5": 1, b"6": 3, b"f": 1, b"F": 3}


class _Pnm(NamedTuple):
    kind: bytes
    rows: int
    cols: int
    dtype: np.dtype[Any]
    most: int
    offset: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.rows, self.cols, _BANDS[self.kind]

    @property
    def nbytes(self) -> int:
        """Bytes that the pixels take in the file, at least."""
        if self.kind == b"4":
            return self.rows * ((self.cols + 7) // 8)
        return prod(self.shape) * (1 if self.kind in _TEXT else self.dtype.itemsize)


def pnm_header(source: Source, options: ReadOptions) -> Header:
    """The facts of a PNM file; of a file of several, those of the first."""
    check_frame(source.name, options.frame, 1)
    return _header(_parse(source))


def read_pnm(source: Source, options: ReadOptions, remarks: Remarks) -> Image:
    """Read a PNM file; its values are kept as they are, whatever its greatest is."""
    pnm = _parse(source)
    check_frame(source.name, options.frame, 1)
    check_pixels(source.name, _header(pnm), options)
    check_content(source.name, pnm.nbytes, source.size - pnm.offset)
    values = _values(source, pnm)
    colour = values.shape[-1] == 3 and values.dtype.kind == "u"
    return assemble(Decoded(values=values, colour=colour), source, options, remarks)


def _parse(source: Source) -> _Pnm:
    with source.open() as file:
        head = file.read(4096)
    sizes = _SIZES.match(head)
    kind = head[1:2]
    last = _LAST_FIELD.match(head, sizes.end()) if sizes and kind not in b"14" else sizes
    if sizes is None or last is None:
        raise ReadError(f"cannot read {source.name}: its header is malformed.")
    dtype, most = _range(source.name, kind, last.group(1)) if kind not in b"14" else _BINARY
    return _Pnm(
        kind=kind,
        rows=int(sizes.group(2)),
        cols=int(sizes.group(1)),
        dtype=dtype,
        most=most,
        offset=last.end() + 1,
    )


_BINARY = (np.dtype(np.uint8), 1)


def _range(name: str, kind: bytes, text: bytes) -> tuple[np.dtype[Any], int]:
    """Type of the values, and the greatest that the header allows."""
    if kind in b"fF":  # the sign of the scale tells the byte order
        return np.dtype("<f4" if float(text) < 0 else ">f4"), 0
    most = int(text)
    if not 0 < most < 2**16:
        raise ReadError(f"cannot read {name}: its greatest value must be 1 to 65535, not {most}.")
    return np.dtype(np.uint8 if most < 256 else ">u2"), most


def _header(pnm: _Pnm) -> Header:
    grey = pnm.shape[-1] == 1
    return Header(
        format="PNM",
        shape=pnm.shape[:2] if grey else pnm.shape,
        axes="YX" if grey else "YXC",
        dtype=pnm.dtype.newbyteorder("="),
        bits=pnm.most.bit_length() if pnm.most else 32,
        compression="none",
        more={"magic": f"P{pnm.kind.decode()}"},
    )


def _values(source: Source, pnm: _Pnm) -> NDArray[Any]:
    content = source.read()
    if pnm.kind in _TEXT:
        return _written_out(source.name, content[pnm.offset :], pnm)
    if pnm.kind == b"4":
        packed = np.frombuffer(content, np.uint8, pnm.nbytes, pnm.offset).reshape(pnm.rows, -1)
        return _black_on_white(np.unpackbits(packed, axis=1, count=pnm.cols), pnm)
    values = np.frombuffer(content, pnm.dtype, prod(pnm.shape), pnm.offset).reshape(pnm.shape)
    return values[::-1] if pnm.kind in b"fF" else values  # PFM begins with the lowest row


def _written_out(name: str, text: bytes, pnm: _Pnm) -> NDArray[Any]:
    """Values as decimal text; PBM needs no spaces between its digits."""
    text = re.sub(rb"#[^\n\r]*", b"", text)
    if pnm.kind == b"1":
        digits = np.frombuffer(b"".join(text.split()), np.uint8, prod(pnm.shape))
        return _black_on_white(digits - ord("0"), pnm)
    values = np.array(text.split()[: prod(pnm.shape)], dtype=np.int64)
    if values.size != prod(pnm.shape) or values.min() < 0 or values.max() > pnm.most:
        raise ReadError(f"cannot read {name}: its values are cut short or out of range.")
    return values.astype(pnm.dtype).reshape(pnm.shape)


def _black_on_white(bits: NDArray[np.uint8], pnm: _Pnm) -> NDArray[np.uint8]:
    return np.where(bits == 0, np.uint8(255), np.uint8(0)).reshape(pnm.shape)
