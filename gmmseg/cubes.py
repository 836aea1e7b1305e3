"""Means and variances of small cubes of an image, on a coarse grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import InvalidDataError
from gmmseg.image import Image
from gmmseg.used_pixels import box_around

__all__ = ["Cubes", "box_of"]

Array = NDArray[np.float64]


class Cubes:
    """Cubes of `size` pixels, twice as far apart, in a box of an image."""

    def __init__(self, image: Image, box: tuple[slice, ...], size: list[int]) -> None:
        self._image, self._box, self._size = image, box, size
        lengths = [part.stop - part.start for part in box]
        self._n = [
            max(1, (length - s) // (2 * s) + 1) for length, s in zip(lengths, size, strict=True)
        ]

    def centres(self) -> list[Array]:
        """Of the cubes along each axis, in pixels from the image's corner."""
        return [
            part.start + 2 * s * np.arange(n) + s / 2
            for part, s, n in zip(self._box, self._size, self._n, strict=True)
        ]

    def moments(self) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Mean and variance of each band, and whether a cube is used and positive throughout."""
        image = self._image
        total = np.zeros((*self._n, image.n_bands))
        square = np.zeros_like(total)
        used = np.ones(self._n, bool)
        valid = image.usable(range(image.n_bands), complete=True)
        for offset in np.ndindex(*self._size):
            here = tuple(
                slice(part.start + o, part.start + o + 2 * s * (n - 1) + 1, 2 * s)
                for part, o, s, n in zip(self._box, offset, self._size, self._n, strict=True)
            )
            values = image.data[here].astype(np.float64)
            used &= (values > 0).all(axis=-1)
            if valid is not None:
                used &= valid[here]
                values[~valid[here]] = 0
            total += values
            square += np.square(values)
        n = float(np.prod(self._size))
        mean = total / n
        variance = np.maximum(square / n - np.square(mean), 0)
        return mean, variance, used


def box_of(image: Image) -> tuple[slice, ...]:
    """The smallest box that holds all used pixels."""
    valid = image.usable(range(image.n_bands), complete=True)
    if valid is None:
        return tuple(slice(0, n) for n in image.shape)
    box = box_around(valid)
    if any(part.stop == part.start for part in box):
        raise InvalidDataError("a bias field needs pixels: none may be used.")
    return box
