"""nibabel's images as ours and back: the same voxels, header and place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._optional import import_optional
from gmmseg.errors import InvalidDataError
from gmmseg.image import Image
from gmmseg.io.nifti_header import LABEL_INTENT
from gmmseg.placement import Placement

__all__ = ["from_nibabel", "is_nibabel", "to_nibabel"]

_AXES = {3: "ZYX", 4: "CZYX"}


def is_nibabel(image: Any) -> bool:
    """Whether it is an image of nibabel, which need not be imported to know."""
    return all(hasattr(image, name) for name in ("dataobj", "affine", "header"))


def from_nibabel(image: Any) -> Image:
    """A nibabel image of three dimensions, or of four, the last of which become bands.

    Parameters
    ----------
    image : nibabel.spatialimages.SpatialImage

    Returns
    -------
    Image
        Of shape (planes, rows, cols, bands): nibabel's axes in reverse. Scaled values are float32.

    Raises
    ------
    InvalidDataError
        When it has another number of dimensions, or no affine.

    Examples
    --------
    >>> import nibabel
    >>> volume = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.diag([1, 2, 3, 1]))
    >>> image = from_nibabel(volume)
    >>> image.shape, image.spacing
    ((6, 5, 4), (3.0, 2.0, 1.0))
    """
    values = np.asanyarray(image.dataobj)
    if values.ndim not in _AXES or image.affine is None:
        raise InvalidDataError(
            f"a volume has three or four dimensions and an affine, got shape {values.shape} and "
            f"affine {image.affine}."
        )
    if values.dtype == np.float64 and image.get_data_dtype() != np.float64:
        values = values.astype(np.float32)
    raw = getattr(image.header, "binaryblock", b"")
    is_nifti = type(image).__name__ in ("Nifti1Image", "Nifti2Image")
    placement = Placement.of_affine(image.affine, header=raw if is_nifti else b"")
    found = Image.from_array(
        np.ascontiguousarray(values.T),
        axes=_AXES[values.ndim],
        spacing=tuple(float(size) for size in image.header.get_zooms()[2::-1]),
        unit="mm",
    )
    return found.placed(placement)


def to_nibabel(image: Image, values: NDArray[Any], *, labels: bool = False) -> Any:
    """Values of an image's voxels as a nibabel image in the image's place.

    Parameters
    ----------
    image : Image
    values : ndarray of the image's shape, or that and bands
        Such as `Segmentation.labels` or `Segmentation.probabilities`.
    labels : bool
        Tell that they are labels (intent code 1002).

    Returns
    -------
    nibabel.Nifti1Image

    Examples
    --------
    >>> image = Image.from_array(np.zeros((6, 5, 4)), axes="ZYX")
    >>> to_nibabel(image, np.zeros((6, 5, 4), np.uint8)).shape
    (4, 5, 6)
    """
    nibabel: Any = import_optional("nibabel")
    if values.shape[: image.ndim] != image.shape:
        raise InvalidDataError(
            f"values must have the image's shape {image.shape}, got {values.shape}."
        )
    if image.ndim == 2:
        values = values[np.newaxis]
    if values.ndim == 4:
        values = np.moveaxis(values, -1, 0)
    affine = np.diag([*reversed(image.spacing or (1.0,) * 3), 1.0][-4:])
    if image.placement is not None:
        affine = image.placement.matrix
    found = nibabel.Nifti1Image(values.T, affine)
    if labels:
        found.header["intent_code"] = LABEL_INTENT
    found.header.set_xyzt_units(xyz={"µm": "micron", "m": "meter"}.get(image.unit, "mm"))
    return found
