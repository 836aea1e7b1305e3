"""Several scans of one head as the bands of one image, and where the head is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import InvalidDataError
from gmmseg.image import Image

__all__ = ["check_grids", "foreground", "joined_modalities"]

#: More zeros than this are no tissue: the head was cut out, or the scanner left the air at 0.
_MANY_ZEROS = 0.1

_BINS = 512


def joined_modalities(images: Sequence[Image]) -> Image:
    """One image with the bands of all, which must lie on one grid.

    Raises
    ------
    InvalidDataError
        When the grids differ; both affines are told. Nothing is resampled in silence.

    Examples
    --------
    >>> t1 = Image.from_array(np.zeros((4, 5, 6), np.uint8), axes="ZYX")
    >>> joined_modalities([t1, t1]).n_bands
    2
    """
    first, *others = images
    for other in others:
        check_grids(first, other, "the modalities")
    if not others:
        return first
    dtype = np.result_type(*(image.data.dtype for image in images))
    data = np.concatenate([image.data.astype(dtype, copy=False) for image in images], axis=-1)
    masks = [image.mask for image in images if image.mask is not None]
    missing = None
    if any(image.missing is not None for image in images):
        parts = [np.zeros(i.data.shape, bool) if i.missing is None else i.missing for i in images]
        missing = np.concatenate(parts, axis=-1)
    return replace(
        first,
        data=data,
        mask=reduce(np.logical_and, masks) if masks else None,
        missing=missing,
        colour=False,
        band_names=(),
        notes=tuple(dict.fromkeys(note for image in images for note in image.notes)),
    )


def check_grids(first: Image, other: Image, what: str) -> None:
    """Raise `InvalidDataError` when two images are not of one shape and place, as far as known.

    `what` is what the message calls them.
    """
    places = first.placement, other.placement
    same = first.shape == other.shape
    if same and places[0] is not None and places[1] is not None:
        same = places[0].agrees_with(places[1])
    if not same:
        raise InvalidDataError(
            f"{what} lie on different grids: {_name(first)} is {first.shape} at "
            f"{places[0]}, {_name(other)} is {other.shape} at {places[1]}. Bring them onto one "
            "grid with a registration program first."
        )


def _name(image: Image) -> str:
    return "an image" if image.path is None else image.path.name


def foreground(image: Image) -> tuple[NDArray[np.bool_], str]:
    """Where a head is, and how that was found, for people.

    What is 0 in a modality is outside, where there are many zeros; otherwise what is darker in the
    first than Otsu's threshold (IEEE Trans. Syst. Man Cybern. 9 (1979) 62-66).

    Examples
    --------
    >>> scan = np.zeros((4, 5, 6))
    >>> scan[1:3, 1:4, 1:5] = 7
    >>> mask, note = foreground(Image.from_array(scan, axes="ZYX"))
    >>> int(mask.sum()), note
    (24, 'no mask given: the 20.0 % of voxels that are not 0 are used')
    """
    usable = image.usable(range(image.n_bands), complete=True)
    mask = np.ones(image.shape, bool) if usable is None else usable.copy()
    n_usable = max(1, int(np.count_nonzero(mask)))
    nonzero = mask.copy()
    for band in range(image.n_bands):
        nonzero &= image.data[..., band] != 0
    share = np.count_nonzero(nonzero) / n_usable
    if share < 1 - _MANY_ZEROS:
        return nonzero, (
            f"no mask given: the {100 * share:.1f} % of voxels that are not 0 are used"
        )
    threshold = _otsu(image.data[..., 0][mask])
    mask &= image.data[..., 0] > threshold
    share = np.count_nonzero(mask) / n_usable
    return mask, (
        f"no mask given: the {100 * share:.1f} % of voxels brighter than {threshold:g} (Otsu) are "
        "used; with skull and scalp in the picture, give the brain with --mask"
    )


def _otsu(values: NDArray[np.number]) -> float:
    """The threshold of least variance within the two classes."""
    counts, edges = np.histogram(values, _BINS)
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1 + int(np.nanargmax(between[:-1]))])
