"""DICOM: single files and multi-frame objects, as stored values in the units of the modality.

Needs pydicom, and for compressed files python-gdcm: the extra medical. Nothing about the patient is
kept.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._optional import import_optional
from gmmseg.errors import ReadError, UnsupportedFormatError
from gmmseg.image import Image
from gmmseg.io.assembly import Decoded, assemble
from gmmseg.io.dicom_geometry import Plane, affine_of, plane_of, plane_of_frame
from gmmseg.io.header import Header
from gmmseg.io.limits import check_content, check_pixels
from gmmseg.io.options import ReadOptions
from gmmseg.io.remarks import Remarks
from gmmseg.io.source import Source
from gmmseg.placement import Placement

__all__ = [
    "dicom_header",
    "frame_order",
    "header_of",
    "modality_values",
    "note_padding",
    "open_dicom",
    "pixels_of",
    "read_dicom",
    "without_padding",
]

#: What is no picture of a patient, by SOP class, and what to read instead.
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_REFUSED = {
    f"{_STORAGE}66.4": "a segmentation (SEG): the result of segmenting, not an image",
    f"{_STORAGE}66.7": "a label map segmentation (SEG): the result of segmenting, not an image",
    f"{_STORAGE}30": "a parametric map: quantities computed from an image",
    f"{_STORAGE}481.3": "a set of contours (RTSTRUCT)",
}

_DEFLATED = "1.2.840.10008.1.2.1.99"
_TRANSFER_SYNTAX = re.compile(rb"\x02\x00\x10\x00UI(..)", re.DOTALL)
_NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
_RLE = "1.2.840.10008.1.2.5"

_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")


def open_dicom(source: Source, *, pixels: bool = False) -> Any:
    """The data set of a file, without its pixels unless asked for.

    Raises
    ------
    UnsupportedFormatError
        When it is no picture, or packed as a whole.
    """
    pydicom: Any = import_optional("pydicom")
    if _transfer_syntax(source.head) == _DEFLATED:
        raise UnsupportedFormatError(
            f"{source.name} is a deflated DICOM file: it may unpack to any size. Convert it to "
            "another transfer syntax first."
        )
    with source.open() as file:
        data = pydicom.dcmread(file, stop_before_pixels=not pixels)
    kind = str(data.get("SOPClassUID", ""))
    if kind in _REFUSED:
        raise UnsupportedFormatError(
            f"{source.name} is {_REFUSED[kind]}. Give the images that it was made from."
        )
    if not data.get("Rows") or not data.get("Columns") or not data.get("BitsAllocated"):
        raise UnsupportedFormatError(f"{source.name} is a DICOM file without an image.")
    return data


def _transfer_syntax(head: bytes) -> str:
    found = _TRANSFER_SYNTAX.search(head, 132)
    if found is None:
        return ""
    length = struct.unpack("<H", found[1])[0]
    return head[found.end() : found.end() + length].decode("ascii", "replace").strip("\0 ")


def dicom_header(source: Source, options: ReadOptions) -> Header:
    """The facts of a DICOM file, none of them about the patient."""
    return header_of(source, open_dicom(source))


def header_of(source: Source, data: Any) -> Header:
    frames = int(data.get("NumberOfFrames") or 1)
    samples = int(data.get("SamplesPerPixel") or 1)
    rows, columns, bits = int(data.Rows), int(data.Columns), int(data.BitsAllocated)
    if min(frames, samples, rows, columns) < 1 or samples not in (1, 3, 4) or bits > 64:
        raise ReadError(
            f"cannot read {source.name}: its header declares {frames} frames of {rows} x {columns} "
            f"with {samples} samples of {bits} bits."
        )
    shape: tuple[int, ...] = (rows, columns)
    axes = "YX"
    if frames > 1:
        shape, axes = (frames, *shape), f"Z{axes}"
    if samples > 1:
        shape, axes = (*shape, samples), f"{axes}S"
    letter = "i" if data.get("PixelRepresentation") else "u"
    syntax = str(data.file_meta.get("TransferSyntaxUID", "")) if hasattr(data, "file_meta") else ""
    return Header(
        format="DICOM",
        shape=shape,
        axes=axes,
        dtype=np.dtype(f"{letter}{max(1, bits // 8)}"),
        bits=int(data.get("BitsStored") or bits),
        frames=frames,
        compression={_RLE: "packbits"}.get(syntax, "none" if syntax in _NATIVE else "jpeg"),
        more={
            "modality": str(data.get("Modality", "")),
            "photometric": str(data.get("PhotometricInterpretation", "")),
        },
    )


def read_dicom(source: Source, options: ReadOptions, remarks: Remarks) -> Image:
    """Read one DICOM file; frames that lie above each other make a volume."""
    data = open_dicom(source)
    header = header_of(source, data)
    check_pixels(source.name, header, options)
    check_content(source.name, header.nbytes, source.size, header.compression)
    planes = _planes_of(data, header.frames)
    data = open_dicom(source, pixels=True)
    stored = pixels_of(data, source.name)
    used = without_padding(stored, data)
    values = modality_values(stored, data, remarks)
    colour = str(data.get("PhotometricInterpretation", "")) in _COLOURS
    if not colour:
        values = values[..., np.newaxis]
    order, affine = None, None
    if header.frames > 1 and planes is not None:
        order, affine = affine_of(planes, source.name)
        values = values[order]
        used = None if used is None else used[order]
    elif planes is not None:
        affine = planes[0].affine()
    spacing = _spacing_of(data, affine, values.ndim - 1)
    note_padding(used, remarks)
    unit = "mm" if spacing else ""
    decoded = Decoded(values=values, mask=used, colour=colour, spacing=spacing, unit=unit)
    image = assemble(decoded, source, options, remarks)
    if affine is None:
        return image
    files = () if source.path is None else (source.path,)
    return image.placed(Placement.of_affine(affine, files=files))


def frame_order(data: Any, name: str) -> list[int]:
    """Which frame of a file is which plane of the volume."""
    n_frames = int(data.get("NumberOfFrames") or 1)
    planes = _planes_of(data, n_frames)
    return list(range(n_frames)) if planes is None else affine_of(planes, name)[0]


def _planes_of(data: Any, n_frames: int) -> list[Plane] | None:
    """Where every frame lies; None where the file does not say."""
    if "PerFrameFunctionalGroupsSequence" not in data:
        plane = plane_of(data)
        return [plane] if n_frames == 1 and plane is not None else None
    shared = data.get("SharedFunctionalGroupsSequence") or [{}]
    groups = data.PerFrameFunctionalGroupsSequence
    if len(groups) != n_frames:
        raise ReadError(
            f"the file declares {n_frames} frames, but describes {len(groups)}: it is malformed."
        )
    planes = [plane_of_frame(group, shared[0]) for group in groups]
    return None if any(plane is None for plane in planes) else planes  # type: ignore[return-value]


def _spacing_of(
    data: Any, affine: NDArray[np.float64] | None, n_axes: int
) -> tuple[float, ...] | None:
    if n_axes == 3:
        return None if affine is None else Placement.of_affine(affine).spacing
    sizes = data.get("PixelSpacing") or data.get("ImagerPixelSpacing")
    if sizes is None or len(sizes) != 2 or min(float(size) for size in sizes) <= 0:
        return None
    return float(sizes[0]), float(sizes[1])


def pixels_of(data: Any, name: str) -> NDArray[Any]:
    """Stored values ([frames,] rows, columns[, colours]); colours as red, green and blue."""
    pixels: Any = import_optional("pydicom.pixels")
    try:
        values = pixels.pixel_array(data, raw=False)
    except (RuntimeError, NotImplementedError) as error:
        if "plugin" in str(error) or "decompress" in str(error) or "decoder" in str(error):
            raise ReadError(
                f"cannot read {name}: its compression needs a decoder. Install it: "
                "pip install 'gmmseg[medical]'"
            ) from error
        raise
    if str(data.get("PhotometricInterpretation", "")) == "PALETTE COLOR":
        values = pixels.apply_color_lut(values, data)[..., :3]
    return np.asarray(values)


def without_padding(stored: NDArray[Any], data: Any) -> NDArray[np.bool_] | None:
    """Where stored values are of the patient; None where all are.

    A round field of view is filled up to a rectangle with values that no tissue has
    (PixelPaddingValue; DICOM PS3.3, C.7.5.1.1.2).
    """
    value = data.get("PixelPaddingValue")
    limit = data.get("PixelPaddingRangeLimit", value)
    if not isinstance(value, int) or not isinstance(limit, int) or data.SamplesPerPixel != 1:
        return None
    ends = np.array([value, limit])
    if data.get("PixelRepresentation"):  # some write the bits of a signed one as unsigned
        ends[ends >= 1 << (data.BitsAllocated - 1)] -= 1 << data.BitsAllocated
    used = (stored < ends.min()) | (stored > ends.max())
    return None if used.all() or not used.any() else used


def note_padding(used: NDArray[np.bool_] | None, remarks: Remarks) -> None:
    """Tell how much was filled up."""
    if used is not None:
        share = 1 - np.count_nonzero(used) / used.size
        remarks.note(f"{100 * share:.1f} % of the pixels are padding, and not used")


def modality_values(values: NDArray[Any], data: Any, remarks: Remarks) -> NDArray[Any]:
    """Values in the units of the modality, such as Hounsfield's; bright is bright.

    Whole numbers stay whole where the rescaling keeps them so.
    """
    if "PerFrameFunctionalGroupsSequence" in data:
        values = _rescaled_frames(values, data)
    elif "ModalityLUTSequence" in data:
        values = import_optional("pydicom.pixels").apply_modality_lut(values, data)
    else:
        values = _rescaled(values, data.get("RescaleSlope"), data.get("RescaleIntercept"))
    if str(data.get("PhotometricInterpretation", "")) == "MONOCHROME1":
        remarks.note("MONOCHROME1: values inverted, so that bright is bright")
        bits = int(data.get("BitsStored") or data.BitsAllocated)
        low = -(1 << (bits - 1)) if data.get("PixelRepresentation") else 0
        ends = np.array([low, low + (1 << bits) - 1])
        ends = _rescaled(ends, data.get("RescaleSlope"), data.get("RescaleIntercept"))
        values = (ends.sum() - values.astype(ends.dtype)).astype(ends.dtype)
    return values


def _rescaled_frames(values: NDArray[Any], data: Any) -> NDArray[Any]:
    shared = (data.get("SharedFunctionalGroupsSequence") or [{}])[0]
    scales = []
    for group in data.PerFrameFunctionalGroupsSequence:
        found = group.get("PixelValueTransformationSequence") or shared.get(
            "PixelValueTransformationSequence"
        )
        scales.append(
            (found[0].get("RescaleSlope"), found[0].get("RescaleIntercept"))
            if found
            else (data.get("RescaleSlope"), data.get("RescaleIntercept"))
        )
    if len(set(scales)) == 1 or values.ndim == 2:
        return _rescaled(values, *scales[0])
    frames = [_rescaled(frame, *scale) for frame, scale in zip(values, scales, strict=True)]
    return np.stack([frame.astype(np.float32) for frame in frames])


def _rescaled(values: NDArray[Any], slope: Any, intercept: Any) -> NDArray[Any]:
    factor = 1.0 if slope is None else float(slope)
    shift = 0.0 if intercept is None else float(intercept)
    if not (np.isfinite(factor) and np.isfinite(shift)) or factor == 0:
        raise ReadError(f"its values are rescaled by {slope} and {intercept}: it is malformed.")
    if (factor, shift) == (1.0, 0.0):
        return values
    if factor == 1.0 and shift.is_integer() and abs(shift) < 2**31 and values.dtype.itemsize <= 2:
        whole = values.astype(np.int32) + np.int32(shift)
        small = whole.min() >= -(2**15) and whole.max() < 2**15
        return whole.astype(np.int16) if small else whole
    return (values.astype(np.float64) * factor + shift).astype(np.float32)
