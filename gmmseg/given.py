"""What the doors are given: any kind of image, made ready to be looked at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg.bias import BiasField, estimate_bias
from gmmseg.bridges.nibabel import from_nibabel, is_nibabel
from gmmseg.errors import AmbiguousAxesError, InvalidDataError, InvalidParameterError
from gmmseg.image import Image
from gmmseg.io.data_arrays import image_of_data_array, is_data_array
from gmmseg.many_images import common_spec
from gmmseg.modalities import check_grids
from gmmseg.options import SegmentOptions

__all__ = ["ImageLike", "as_image", "as_maps", "resolved", "without_bias"]

#: What the doors take: an Image, an array, or the path of a file.
ImageLike = Image | ArrayLike | str | os.PathLike[str]


def as_image(
    image: ImageLike,
    mask: ArrayLike | None,
    spacing: float | Sequence[float] | None,
    axes: str | None,
) -> Image:
    """The image that a door was given, whatever it was given as."""
    if isinstance(image, str | os.PathLike):
        from gmmseg.io import ReadOptions, read_image

        picture = read_image(image, ReadOptions(axes=axes))
    elif isinstance(image, Image):
        if axes is not None:
            raise InvalidParameterError("axes belongs to arrays and files: an Image has its own.")
        picture = image
    elif is_data_array(image):
        if axes is not None:
            raise InvalidParameterError("axes belongs to arrays: a DataArray names its dimensions.")
        picture = image_of_data_array(image)
    elif is_nibabel(image):
        picture = from_nibabel(image)
    else:
        picture = Image.from_array(image, axes=axes)
    if spacing is not None:
        picture = picture.with_spacing(spacing)
    return picture if mask is None else picture.with_mask(mask)


def as_maps(
    given: Sequence[ImageLike] | ImageLike | None, image: Image
) -> list[NDArray[Any]] | None:
    """Maps of an image's classes: one array of the image's shape for each.

    Parameters
    ----------
    given : list of images, arrays or paths, or one of them
        One image with a band for each class (of a volume, a file of four dimensions), or an array
        (classes, ...), is all of them.
    image : Image
        On whose grid they must lie.

    Raises
    ------
    InvalidDataError
        When they lie on another grid: nothing is resampled in silence.
    """
    if given is None:
        return None
    sources: Sequence[Any] = given if isinstance(given, list | tuple) else [given]
    if len(sources) == 1 and isinstance(sources[0], np.ndarray):
        sources = list(sources[0])
    found: list[NDArray[Any]] = []
    for source in sources:
        if isinstance(source, np.ndarray | list):
            found.append(np.asarray(source))
            continue
        one = _map_of(source, of_all=image.ndim == 3 and len(sources) == 1)
        check_grids(image, one, "image and prior map")
        found += list(np.moveaxis(one.data, -1, 0))
    return found


def _map_of(source: ImageLike, *, of_all: bool) -> Image:
    """A map, or with `of_all` a volume of maps."""
    if not of_all or not isinstance(source, str | os.PathLike):
        return as_image(source, None, None, None)
    try:
        return as_image(source, None, None, "CZYX")
    except (InvalidParameterError, AmbiguousAxesError) as error:
        raise InvalidDataError(
            f"priors must be a file for each class, or one of four dimensions: {error}"
        ) from error


def resolved(options: SegmentOptions, images: list[Image], *, fine: bool = False) -> SegmentOptions:
    """The options with features that suit the images; `fine` keeps to single pixels."""
    spec = common_spec(images, options.features)
    return replace(options, features=replace(spec, working_pixels=0) if fine else spec)


def without_bias(
    image: Image, options: SegmentOptions, threads: int | None
) -> tuple[Image, BiasField | None]:
    """The image that is segmented, and the field that was taken out of it."""
    if not options.bias.is_on:
        return image, None
    field = estimate_bias(image, options.bias, rng=options.em.rng, threads=threads)
    return field.corrected(image, threads=threads), field
