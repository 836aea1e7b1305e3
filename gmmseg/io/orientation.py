"""EXIF orientation: from the tag to an upright array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ORIENTATION_TAG", "UPRIGHT", "orientation_of_exif", "turned"]

ORIENTATION_TAG = 0x0112
UPRIGHT = 1

_Array = NDArray[Any]

#: What makes an array (rows, cols, ...) upright, by EXIF 2.32, 4.6.4, tag 274.
_TURNS: dict[int, Callable[[_Array], _Array]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.swapaxes(a, 0, 1)[:, ::-1],
    7: lambda a: np.swapaxes(a, 0, 1)[::-1, ::-1],
    8: lambda a: np.swapaxes(a, 0, 1)[::-1],
}

#: The orientations that exchange rows and columns.
TRANSPOSED = frozenset({5, 6, 7, 8})


def turned(array: _Array, orientation: int) -> _Array:
    """A view of `array` (rows, cols, ...) that is upright; unknown values mean upright."""
    turn = _TURNS.get(orientation)
    return array if turn is None else turn(array)


def orientation_of_exif(exif: bytes) -> int:
    """The orientation in a block of EXIF, 1 when it tells none."""
    from PIL import Image

    tags = Image.Exif()
    try:
        tags.load(exif)
        return valid_orientation(tags.get(ORIENTATION_TAG))
    except Exception:  # a broken note of a camera does not make the picture unreadable
        return UPRIGHT


def valid_orientation(value: Any) -> int:
    """`value` when it is an orientation, else upright."""
    return value if isinstance(value, int) and value in _TURNS else UPRIGHT
