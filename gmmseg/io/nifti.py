"""NIfTI: volumes as programs for brains keep them, .nii or .nii.gz.

Read here and not by nibabel, which takes 0.7 s to import and believes any header: 9 MB of voxels
are unpacked in 0.05 s. The tests compare every kind of file with nibabel.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import AmbiguousAxesError, InvalidParameterError, ReadError
from gmmseg.image import Image
from gmmseg.io.assembly import Decoded, assemble
from gmmseg.io.axes import bands_last
from gmmseg.io.frames import check_frame
from gmmseg.io.gzip_stream import GZIP_MAGIC, GzipReader, unpacked_head
from gmmseg.io.header import Header
from gmmseg.io.limits import check_content, check_pixels
from gmmseg.io.nifti_header import Nifti, nifti_version, parse_header
from gmmseg.io.options import ReadOptions
from gmmseg.io.remarks import Remarks
from gmmseg.io.source import Source
from gmmseg.placement import Placement

__all__ = ["is_nifti", "nifti_header", "read_nifti"]

_HEAD = 540

#: Values that are scaled at once.
_SLAB = 1 << 20


def is_nifti(source: Source) -> bool:
    """Whether a file, packed by gzip or not, is NIfTI."""
    head = source.head
    return nifti_version(unpacked_head(head, _HEAD) if _is_packed(source) else head) is not None


def nifti_header(source: Source, options: ReadOptions) -> Header:
    """The facts of a NIfTI file."""
    return _header(source, _parse(source), None)


def read_nifti(source: Source, options: ReadOptions, remarks: Remarks) -> Image:
    """Read a NIfTI file; voxels of an unpacked one are mapped where they lie on disk."""
    nifti = _parse(source)
    axes = _axes_of(source.name, nifti, options)
    header = _header(source, nifti, axes)
    check_pixels(source.name, header, options)
    stored = _frame_of(_voxels(source, nifti, header, remarks), nifti, options)
    if nifti.is_scaled:
        remarks.note(f"values scaled by {nifti.slope:g} and shifted by {nifti.inter:g}")
        stored = _scaled(stored, nifti)
    values = bands_last(stored, axes) if nifti.n_values == 1 else stored
    alpha = values[..., 3] if nifti.n_values == 4 else None
    values = values[..., :3] if nifti.n_values == 4 else values
    if is_plane := values.shape[0] == 1 and values.ndim == 4:
        values = values[0]
        alpha = alpha if alpha is None else alpha[0]
    spacing = _spacing_of(nifti, remarks)
    decoded = Decoded(
        values=values,
        alpha=alpha,
        colour=nifti.n_values > 1,
        spacing=spacing[1:] if is_plane else spacing,
        unit=nifti.unit,
    )
    image = assemble(decoded, source, options, remarks)
    placement = Placement.of_affine(nifti.affine, header=nifti.raw)
    remarks.note(f"axes lead to {placement.orientation}")
    return replace(image.placed(placement), notes=tuple(remarks.notes))


def _is_packed(source: Source) -> bool:
    return source.head.startswith(GZIP_MAGIC)


def _parse(source: Source) -> Nifti:
    head = bytearray(_HEAD)
    with source.open() as file:
        if _is_packed(source):
            n = GzipReader(file, source.name).fill(memoryview(head))
        else:
            n = file.readinto(head)  # type: ignore[attr-defined]
    return parse_header(source.name, bytes(head[:n]))


def _header(source: Source, nifti: Nifti, axes: str | None) -> Header:
    shape = nifti.shape if nifti.n_values == 1 else (*nifti.shape, nifti.n_values)
    letters = axes or ("TZYX" if len(nifti.shape) == 4 else "QQQQZYX"[-len(nifti.shape) :])
    if nifti.n_values > 1:
        letters += "S"
    packed = _is_packed(source)
    kept = np.dtype(np.float32) if nifti.is_scaled else nifti.dtype.newbyteorder("=")
    return Header(
        format=f"NIfTI-{nifti.version}",
        shape=shape,
        axes=letters,
        dtype=kept,
        bits=8 * nifti.dtype.itemsize,
        frames=prod(nifti.shape[:-3]),
        alpha=nifti.n_values == 4,
        compression="deflate" if packed else "none",
        resident=packed or nifti.is_scaled,
        more={
            "affine": nifti.affine.tolist(),
            "orientation_of_axes": Placement.of_affine(nifti.affine).orientation,
            "spacing": list(reversed(nifti.pixdim)),
            "unit": nifti.unit,
            "scaling": [nifti.slope, nifti.inter],
        },
    )


def _axes_of(name: str, nifti: Nifti, options: ReadOptions) -> str:
    """The axes of the stored array, of which a frame may be taken; four are told, not guessed."""
    n_axes = len(nifti.shape)
    if n_axes > 4 or (n_axes == 4 and nifti.n_values > 1):
        raise ReadError(
            f"cannot read {name}: it has {n_axes} dimensions, but an image has three and bands."
        )
    if n_axes == 3:
        check_frame(name, options.frame, 1)
        if options.axes not in (None, "ZYX", "YX"):
            raise InvalidParameterError(
                f"the axes of {name} are ZYX, as in every NIfTI file; got axes={options.axes!r}."
            )
        return "ZYX"
    check_frame(name, options.frame, nifti.shape[0])
    if options.frame is None and options.axes not in ("CZYX", "ZYXC"):
        raise AmbiguousAxesError(
            f"{name} holds {nifti.shape[0]} volumes. Take them as bands with axes='CZYX' "
            "(--axes CZYX), or read one with frame= (--frame N)."
        )
    return "CZYX"


def _frame_of(stored: NDArray[Any], nifti: Nifti, options: ReadOptions) -> NDArray[Any]:
    if len(nifti.shape) == 4 and options.frame is not None:
        return stored[options.frame : options.frame + 1]
    return stored


def _voxels(source: Source, nifti: Nifti, header: Header, remarks: Remarks) -> NDArray[Any]:
    """The stored array in C order, colours as its last axis."""
    n_bytes = prod(header.shape) * nifti.dtype.itemsize
    check_content(source.name, n_bytes, source.size, header.compression)
    if _is_packed(source):
        return _unpacked(source, nifti, header, n_bytes, remarks)
    check_content(source.name, n_bytes, source.size - nifti.offset)
    if source.path is not None and nifti.offset % nifti.dtype.itemsize == 0:
        return np.memmap(source.path, nifti.dtype, "r", nifti.offset, header.shape)
    flat = np.frombuffer(source.read(), np.uint8, n_bytes, nifti.offset)
    return flat.copy().view(nifti.dtype).reshape(header.shape)


def _unpacked(
    source: Source, nifti: Nifti, header: Header, n_bytes: int, remarks: Remarks
) -> NDArray[Any]:
    voxels = np.empty(n_bytes, np.uint8)
    with source.open() as file:
        found = _fill(file, source.name, nifti.offset, voxels.data, remarks)
    if found < n_bytes:
        raise ReadError(
            f"cannot read {source.name}: its header declares {n_bytes} bytes of voxels, but there "
            f"are only {found}. It is cut short or its header is wrong."
        )
    return voxels.view(nifti.dtype).reshape(header.shape)


def _fill(file: BinaryIO, name: str, offset: int, buffer: memoryview, remarks: Remarks) -> int:
    reader = GzipReader(file, name)
    reader.skip(offset)
    found = reader.fill(buffer)
    if found == len(buffer) and reader.fill(memoryview(bytearray(1))):  # also checks the CRC
        remarks.warn("bytes that follow the voxels are not read.")
    return found


def _scaled(stored: NDArray[Any], nifti: Nifti) -> NDArray[np.float32]:
    """Slab by slab in float64, kept in float32."""
    values = np.empty(stored.shape, np.float32)
    flat, target = stored.reshape(-1), values.reshape(-1)
    for start in range(0, len(flat), _SLAB):
        part = flat[start : start + _SLAB].astype(np.float64)
        with np.errstate(over="ignore"):
            target[start : start + _SLAB] = part * nifti.slope + nifti.inter
    return values


def _spacing_of(nifti: Nifti, remarks: Remarks) -> tuple[float, ...]:
    """Along planes, rows, columns; by the affine where the header's own sizes make no sense."""
    sizes = nifti.pixdim
    if all(np.isfinite(size) and size > 0 for size in sizes):
        return tuple(reversed(sizes))
    remarks.note("sizes of voxels are those of the affine: the header's own make no sense")
    return Placement.of_affine(nifti.affine).spacing
