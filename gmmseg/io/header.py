"""What a file says about its image before any pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

__all__ = ["Header"]


@dataclass(frozen=True, kw_only=True)
class Header:
    """Facts from the header alone.

    Attributes
    ----------
    format : str
        Name of the format, such as "PNG".
    shape : tuple of int
        Of the array that the file stores (of one frame, where frames are separate pictures).
    axes : str
        One letter for each axis of `shape`: Y, X, Z, C, and in TIFF also others.
    dtype : numpy.dtype
        Of the values as they will be read.
    bits : int
        Per value, as stored.
    frames : int
        Number of frames or pages.
    alpha : bool
        Whether there is an alpha channel or a transparent colour.
    orientation : int
        EXIF orientation, 1 to 8; 1 = upright.
    compression : str
        Empty when unknown.
    resident : bool
        Whether reading needs memory for all pixels (not so when they are mapped).
    more : dict
        Further facts for `image_info`, JSON-serialisable.
    """

    format: str
    shape: tuple[int, ...]
    axes: str
    dtype: np.dtype[Any]
    bits: int
    frames: int = 1
    alpha: bool = False
    orientation: int = 1
    compression: str = ""
    resident: bool = True
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def bands(self) -> int:
        """Length of the axis of bands, 1 when there is none."""
        return self._along("CS", inside=True)

    @property
    def pixels(self) -> int:
        """Number of pixels or voxels, whatever the number of bands."""
        return self._along("CS", inside=False)

    @property
    def nbytes(self) -> int:
        """Bytes that the decoded array takes."""
        return prod(self.shape) * self.dtype.itemsize

    def _along(self, letters: str, *, inside: bool) -> int:
        pairs = zip(self.axes, self.shape, strict=True)
        return prod(n for axis, n in pairs if (axis in letters) == inside)

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable facts."""
        facts: dict[str, Any] = {
            "format": self.format,
            "shape": [int(n) for n in self.shape],
            "axes": self.axes,
            "dtype": self.dtype.name,
            "bands": self.bands,
            "frames": self.frames,
            "alpha": self.alpha,
            "orientation": self.orientation,
            "bits": self.bits,
            "compression": self.compression,
        }
        return facts | self.more
