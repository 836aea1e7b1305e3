"""DICOM SEG: classes as an object that refers to the images that they were found in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gmmseg
from gmmseg._check import check_choice
from gmmseg._files import printable, replacing
from gmmseg._optional import import_optional
from gmmseg.errors import InvalidDataError
from gmmseg.image import Image
from gmmseg.io.dicom import frame_order, open_dicom
from gmmseg.io.source import Source

__all__ = ["SEG_TYPES", "write_seg"]

#: How a SEG holds the classes: a bit for each, a probability for each, or one label for a voxel.
SEG_TYPES = ("binary", "fractional", "labelmap")


def write_seg(
    path: str | os.PathLike[str],
    image: Image,
    values: NDArray[Any],
    names: Sequence[str],
    *,
    kind: str = "binary",
    overwrite: bool = False,
) -> None:
    """Write a DICOM SEG, atomically.

    Patient and study are those of the source, as DICOM demands; the series is new.

    Parameters
    ----------
    path : str or path
    image : Image
        Read from DICOM files, which must still be there.
    values : ndarray
        Labels of the image's shape, 0 = none; for "fractional" probabilities of that shape and
        (k,).
    names : sequence of str
        Of the classes 1, 2 ...
    kind : {"binary", "fractional", "labelmap"}
    overwrite : bool

    Raises
    ------
    InvalidDataError
        When the image is not from DICOM files that say where they lie.
    """
    check_choice(kind, "kind", SEG_TYPES)
    if image.placement is None or not image.placement.files:
        raise InvalidDataError(
            "a DICOM SEG refers to the DICOM images that it was made from, but this image is from "
            "another format, or its files do not say where they lie."
        )
    highdicom: Any = import_optional("highdicom")
    sources = [open_dicom(Source.of_path(file)) for file in image.placement.files]
    frames = values if image.ndim == 3 else values[np.newaxis]
    if len(sources) == 1 and image.ndim == 3:
        order = frame_order(sources[0], image.placement.files[0].name)
        frames = frames[np.argsort(order)]
    for data in sources:  # may be missing in files, but not here
        if "SliceThickness" not in data and "PerFrameFunctionalGroupsSequence" not in data:
            data.SliceThickness = image.placement.spacing[0]
    try:
        found = _segmentation(highdicom, sources, frames, names, kind)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidDataError(
            f"the DICOM images lack what a SEG has to repeat: {printable(error)}."
        ) from error
    with replacing(path, overwrite=overwrite) as file:
        found.save_as(file)


def _segmentation(
    highdicom: Any, sources: list[Any], frames: NDArray[Any], names: Sequence[str], kind: str
) -> Any:
    return highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=np.ascontiguousarray(frames),
        segmentation_type=highdicom.seg.SegmentationTypeValues[kind.upper()],
        segment_descriptions=[_description(i, name) for i, name in enumerate(names, start=1)],
        series_instance_uid=highdicom.UID(),
        series_number=1000,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="gmmseg",
        manufacturer_model_name="gmmseg",
        software_versions=gmmseg.__version__,
        device_serial_number="0",
    )


def _description(number: int, name: str) -> Any:
    highdicom: Any = import_optional("highdicom")
    codes: Any = import_optional("pydicom.sr.codedict").codes
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.Tissue,
        segmented_property_type=codes.SCT.Tissue,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="gmmseg",
            version=gmmseg.__version__,
            family=codes.DCM.ArtificialIntelligence,
        ),
    )
