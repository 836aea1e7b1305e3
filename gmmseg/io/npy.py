"""NPY: NumPy's own format, mapped from the file and never unpickled."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from gmmseg.errors import AmbiguousAxesError, InvalidDataError, ReadError
from gmmseg.image import Image
from gmmseg.io.assembly import Decoded, assemble
from gmmseg.io.axes import bands_last, told_axes
from gmmseg.io.header import Header
from gmmseg.io.limits import check_content, check_pixels
from gmmseg.io.options import ReadOptions
from gmmseg.io.remarks import Remarks
from gmmseg.io.source import Source

__all__ = ["map_npy", "npy_header", "read_npy"]

_HEADER_READERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}


@dataclass(frozen=True, kw_only=True)
class _Npy:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int


def npy_header(source: Source, options: ReadOptions) -> Header:
    """The facts of an NPY file; its axes are Q where they are ambiguous."""
    npy = _parse(source)
    try:
        axes = told_axes(source.name, npy.shape, options.axes)
    except (AmbiguousAxesError, InvalidDataError):
        axes = "Q" * len(npy.shape)
    return _header(npy, axes)


def read_npy(source: Source, options: ReadOptions, remarks: Remarks) -> Image:
    """Read an NPY file, mapped where it lies on disk."""
    npy = _parse_numbers(source)
    axes = told_axes(source.name, npy.shape, options.axes)
    check_pixels(source.name, _header(npy, axes), options)
    values = bands_last(_array(source, npy), axes)
    colour = values.shape[-1] == 3 and values.dtype in (np.uint8, np.uint16)
    return assemble(Decoded(values=values, colour=colour), source, options, remarks)


def map_npy(source: Source) -> NDArray[Any]:
    """The array of an NPY file, read-only and mapped where it lies on disk."""
    return _array(source, _parse_numbers(source))


def _parse_numbers(source: Source) -> _Npy:
    """The header, which must be of real numbers that the file holds."""
    npy = _parse(source)
    if npy.dtype.kind not in "buif":
        raise ReadError(
            f"cannot read {source.name}: it holds {npy.dtype}, but an image is made of bool, "
            "integers or real floats."
        )
    check_content(source.name, prod(npy.shape) * npy.dtype.itemsize, source.size - npy.offset)
    return npy


def _parse(source: Source) -> _Npy:
    with source.open() as file:
        shape, fortran, dtype = _header_fields(source.name, file)
        return _Npy(shape=shape, fortran=fortran, dtype=dtype, offset=file.tell())


def _header_fields(name: str, file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy_format.read_magic(file)
    if version not in _HEADER_READERS:
        raise ReadError(
            f"cannot read {name}: NPY version {version[0]}.{version[1]} is only used for "
            "records, which are no image."
        )
    try:
        shape, fortran, dtype = _HEADER_READERS[version](file)
    except Exception as error:  # NumPy parses it as Python, so anything can go wrong
        raise ReadError(f"cannot read {name}: its header is malformed or cut short.") from error
    if min(shape, default=1) < 0:
        raise ReadError(f"cannot read {name}: its header declares a negative shape {shape}.")
    return shape, fortran, dtype


def _header(npy: _Npy, axes: str) -> Header:
    return Header(
        format="NPY",
        shape=npy.shape,
        axes=axes,
        dtype=npy.dtype,
        bits=8 * npy.dtype.itemsize,
        compression="none",
        resident=False,
        more={"fortran_order": npy.fortran},
    )


def _array(source: Source, npy: _Npy) -> NDArray[Any]:
    order: Literal["F", "C"] = "F" if npy.fortran else "C"
    if source.path is not None:
        return np.memmap(
            source.path, dtype=npy.dtype, mode="r", shape=npy.shape, order=order, offset=npy.offset
        )
    count = prod(npy.shape)
    flat = np.frombuffer(source.read(), dtype=npy.dtype, count=count, offset=npy.offset)
    return np.reshape(flat, npy.shape, order=order)
