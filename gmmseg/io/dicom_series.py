"""A folder of DICOM files as one volume, whatever the files are called."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from gmmseg._files import printable
from gmmseg.errors import GmmsegError, ReadError
from gmmseg.image import Image
from gmmseg.io.assembly import Decoded, assemble
from gmmseg.io.dicom import (
    header_of,
    modality_values,
    note_padding,
    open_dicom,
    pixels_of,
    read_dicom,
    without_padding,
)
from gmmseg.io.dicom_geometry import affine_of, plane_of
from gmmseg.io.header import Header
from gmmseg.io.limits import check_content, check_pixels
from gmmseg.io.options import ReadOptions
from gmmseg.io.remarks import Remarks
from gmmseg.io.source import Source
from gmmseg.placement import Placement

__all__ = ["is_dicom", "read_series"]

_MOST_FILES = 20_000


def is_dicom(source: Source) -> bool:
    """Whether a file has DICOM's mark."""
    return source.head[128:132] == b"DICM"


def read_series(folder: Path, options: ReadOptions, remarks: Remarks) -> Image:
    """Read the only series in a folder, in the order of its positions.

    Raises
    ------
    ReadError
        When there is none or more than one, an image is missing, or they make no volume.
    """
    name = printable(folder)
    found = [(source, open_dicom(source)) for source in _sources(folder, name, remarks)]
    _check_one_series(name, [str(data.get("SeriesInstanceUID", "")) for _, data in found])
    if len(found) == 1:
        return read_dicom(found[0][0], options, remarks)
    header = _common_header(name, found)
    check_pixels(name, header, options)
    planes = [plane_of(data) for _, data in found]
    if any(plane is None for plane in planes):
        raise ReadError(
            f"cannot read {name}: not all of its images say where they lie. Read them one by one."
        )
    order, affine = affine_of(planes, name)  # type: ignore[arg-type]
    sources = [found[i][0] for i in order]
    values, used = _values(sources, header, remarks)
    note_padding(used, remarks)
    spacing = Placement.of_affine(affine).spacing
    decoded = Decoded(values=values[..., np.newaxis], mask=used, spacing=spacing, unit="mm")
    remarks.note(f"{len(sources)} images in the order of their positions")
    whole = Source(name=name, size=0, head=b"", path=folder)
    files = tuple(source.path for source in sources if source.path is not None)
    image = assemble(decoded, whole, options, remarks)
    return image.placed(Placement.of_affine(affine, files=files))


def _sources(folder: Path, name: str, remarks: Remarks) -> list[Source]:
    """The DICOM files of the folder, but for its directory of contents."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    if len(paths) > _MOST_FILES:
        raise ReadError(f"cannot read {name}: it holds more than {_MOST_FILES} files.")
    sources = []
    for path in paths:
        try:
            source = Source.of_path(path)
        except GmmsegError:  # empty
            continue
        if is_dicom(source) and path.name.upper() != "DICOMDIR":
            sources.append(source)
    if not sources:
        raise ReadError(
            f"cannot read {name}: it is a directory, not an image file, and without DICOM files."
        )
    if left_out := len(paths) - len(sources):
        remarks.note(f"{left_out} other files left out")
    return sources


def _check_one_series(name: str, uids: list[str]) -> None:
    counts = Counter(uids)
    if len(counts) > 1:
        sizes = ", ".join(str(n) for n in counts.values())
        raise ReadError(
            f"cannot read {name}: it holds {len(counts)} series (of {sizes} images). Put each into "
            "a folder of its own."
        )


def _common_header(name: str, found: list[tuple[Source, Any]]) -> Header:
    """The facts of the volume; every image must be of one frame, one band and one size."""
    headers = [header_of(source, data) for source, data in found]
    first = headers[0]
    for (source, _), header in zip(found, headers, strict=True):
        check_content(source.name, header.nbytes, source.size, header.compression)
        if header.axes != "YX" or header.shape != first.shape:
            raise ReadError(
                f"cannot read {name}: its images differ in shape or are no single grey planes "
                f"({first.shape} and {header.shape})."
            )
    return Header(
        format="DICOM",
        shape=(len(found), *first.shape),
        axes="ZYX",
        dtype=np.dtype(np.float32),
        bits=first.bits,
        frames=len(found),
    )


def _values(
    sources: list[Source], header: Header, remarks: Remarks
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, np.dtype[np.bool_]] | None]:
    """The planes in one array, whole numbers where all of them are; and where no padding is."""
    values, used = None, None
    notes = Remarks()
    for i, source in enumerate(sources):
        data = open_dicom(source, pixels=True)
        stored = pixels_of(data, source.name)
        inside = without_padding(stored, data)
        plane = modality_values(stored, data, notes)
        if values is None:
            values = np.empty(header.shape, plane.dtype)
        elif values.dtype != plane.dtype:
            values = values.astype(np.result_type(values.dtype, plane.dtype), copy=False)
        values[i] = plane
        if inside is not None:
            used = np.ones(header.shape, bool) if used is None else used
            used[i] = inside
    for note in dict.fromkeys(notes.notes):
        remarks.note(note)
    assert values is not None  # noqa: S101 - there is a source
    return values.astype(np.float32) if values.dtype == np.float64 else values, used
