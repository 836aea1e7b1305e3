"""Which pixels of an image are used, said by another image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._files import printable
from gmmseg.errors import InvalidDataError
from gmmseg.image import Image
from gmmseg.io.options import ReadOptions
from gmmseg.io.read import read_image

__all__ = ["read_mask"]


def read_mask(path: Path, image: Image, options: ReadOptions) -> NDArray[Any]:
    """True where the mask image is not 0 in some band, and not transparent.

    Band by band where it has as many bands as the image and is no colour picture.
    """
    axes = {2: None, 3: "ZYX"}[image.ndim] if options.axes is not None else None
    mask = read_image(path, replace(options, axes=axes, frame=None, nodata=None, keep_alpha=False))
    if mask.shape != image.shape:
        raise InvalidDataError(
            f"the mask {printable(path)} is of shape {mask.shape}, but the image of {image.shape}. "
            "Give a mask with a value for every pixel of the image."
        )
    by_band = not mask.colour and mask.n_bands == image.n_bands > 1
    chosen = mask.data != 0 if by_band else np.asarray((mask.data != 0).any(axis=-1))
    valid = mask.valid
    return chosen if valid is None else chosen & (valid[..., np.newaxis] if by_band else valid)
