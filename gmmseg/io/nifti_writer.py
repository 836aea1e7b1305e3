"""NIfTI, written here: packed by several threads, slab by slab, in the place of the source."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gmmseg._files import replacing
from gmmseg.errors import InvalidDataError
from gmmseg.io.gzip_stream import write_gzip
from gmmseg.io.nifti_header import LABEL_INTENT, byte_order, packed_header
from gmmseg.io.streamed import Streamed, streamed
from gmmseg.placement import Placement

__all__ = ["write_nifti"]

_SLAB_BYTES = 8 << 20


def write_nifti(
    path: str | os.PathLike[str],
    values: NDArray[Any] | Streamed,
    *,
    placement: Placement | None = None,
    spacing: tuple[float, ...] | None = None,
    unit: str = "mm",
    bands: bool = False,
    labels: bool = False,
    name: str = "",
    overwrite: bool = False,
) -> None:
    """Write a NIfTI file, atomically; packed by gzip when its name ends in .gz.

    Parameters
    ----------
    path : str or path
    values : ndarray or Streamed of shape ([planes,] rows, cols), with `bands` and (k,)
        Integers or floats; uint16 without numbers over 32767 is written as int16 with `labels`.
    placement : Placement, optional
        Where it lies. A header that was read is repeated: affine, codes and sizes bit by bit.
        Without one, the centre of the volume is at the origin.
    spacing : tuple of float, optional
        Size of a voxel along each spatial axis; not looked at with a placement, which has it.
    unit : str
        "m", "mm" or "µm"; others are not told.
    bands : bool
        The last axis is the fourth dimension of the file.
    labels : bool
        Tell that values are labels (intent code 1002).
    name : str
        What the values are, at most 15 letters.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    InvalidDataError
        When the values are of a type or shape that a file cannot hold.
    OutputExistsError, WriteError
        As `replacing`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from gmmseg.io import read_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.nii.gz")
    ...     write_nifti(path, np.zeros((2, 3, 4), np.uint8), spacing=(3.0, 1.0, 1.0))
    ...     read_image(path).spacing
    (3.0, 1.0, 1.0)
    """
    source = streamed(values)
    header_bytes = b"" if placement is None else placement.header
    dtype = _stored_type(values, labels).newbyteorder(byte_order(header_bytes))
    spatial = source.shape[:-1] if bands else source.shape
    if not 2 <= len(spatial) <= 3 or dtype.kind not in "uif" or source.size == 0:
        raise InvalidDataError(
            "A NIfTI file holds integers or floats (rows, cols) or (planes, rows, cols), got "
            f"{source.dtype} of shape {source.shape}."
        )
    sizes = (1.0,) * (3 - len(spatial)) + tuple(spacing or (1.0,) * len(spatial))
    shape = tuple(reversed((1,) * (3 - len(spatial)) + spatial))
    header = packed_header(
        (*shape, source.shape[-1]) if bands else shape,
        dtype,
        _centred(shape, sizes[::-1]) if placement is None else placement.matrix,
        like=header_bytes,
        unit=unit,
        intent=LABEL_INTENT if labels else 0,
        intent_name=name,
    )
    parts = _parts(header, source, dtype, bands=bands)
    with replacing(path, overwrite=overwrite) as file:
        if os.fspath(path).lower().endswith(".gz"):
            write_gzip(file, parts, runs=labels)
        else:
            _write_plain(file, parts)


def _stored_type(values: NDArray[Any] | Streamed, labels: bool) -> np.dtype[Any]:
    """Many programs do not read uint16: labels that fit are int16."""
    small = labels and values.dtype == np.uint16 and isinstance(values, np.ndarray)
    if small and values.max(initial=0) <= np.iinfo(np.int16).max:  # type: ignore[union-attr]
        return np.dtype(np.int16)
    return values.dtype


def _centred(shape: tuple[int, ...], sizes: tuple[float, ...]) -> NDArray[np.float64]:
    affine = np.diag([*sizes, 1.0])
    affine[:3, 3] = -np.array(sizes) * (np.array(shape) - 1) / 2
    return affine


def _parts(header: bytes, source: Streamed, dtype: np.dtype[Any], *, bands: bool) -> Iterator[Any]:
    yield header
    step = source.step_of(_SLAB_BYTES)
    for band in range(source.shape[-1]) if bands else (None,):
        for slab in source.make(step, band):
            yield np.ascontiguousarray(slab, dtype).reshape(-1).view(np.uint8)


def _write_plain(file: BinaryIO, parts: Iterator[Any]) -> None:
    for part in parts:
        file.write(part)
