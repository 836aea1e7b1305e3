"""From the axes that a file names to bands last."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import AmbiguousAxesError
from gmmseg.image import AXES, resolve_axes

__all__ = ["bands_last", "named_axes", "squeezed", "told_axes"]

_MEANINGS = {"ZYX": "planes", "CYX": "bands", "ZYXC": "planes of colours or bands"}


def bands_last(values: NDArray[Any], axes: str) -> NDArray[Any]:
    """A view (..., rows, cols, bands) of `values`, whose axes are one of `AXES`."""
    if "C" not in axes:
        return values[..., np.newaxis]
    return np.moveaxis(values, axes.index("C"), -1)


def told_axes(name: str, shape: tuple[int, ...], axes: str | None) -> str:
    """The axes of an array without any description, such as NPY."""
    try:
        return resolve_axes(shape, axes)
    except AmbiguousAxesError as error:
        raise AmbiguousAxesError(f"{name}: {error}") from None


def squeezed(axes: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """`axes` and `shape` without the axes of length 1, except rows and columns."""
    kept = [(a, n) for a, n in zip(axes, shape, strict=True) if n != 1 or a in "YX"]
    return "".join(a for a, _ in kept), tuple(n for _, n in kept)


def named_axes(name: str, stored: str, shape: tuple[int, ...], axes: str | None) -> str:
    """One of `AXES` for axes `stored` in tifffile's letters (S samples, I and Q unknown ...).

    Raises
    ------
    AmbiguousAxesError
        When neither the file nor `axes` says what an axis means. It is never guessed: three
        pages can be three moments, three depths or red, green and blue.
    """
    if axes is not None:
        return resolve_axes(shape, axes)
    meaning = stored.replace("S", "C")
    if meaning in AXES:
        return meaning
    choices = [choice for choice in AXES if _agrees(choice, meaning)]
    told = " or ".join(f"{c} ({_MEANINGS[c]})" if c in _MEANINGS else c for c in choices)
    remedy = f"Say what they are with axes= (--axes): {told}; or read" if choices else "Read"
    raise AmbiguousAxesError(
        f"The axes of {name} are ambiguous: it holds an array of shape {shape}, which the file "
        f"calls {stored}. {remedy} one page with frame= (--frame N)."
    )


def _agrees(choice: str, meaning: str) -> bool:
    """Whether `choice` keeps the axes that the file does name."""
    if len(choice) != len(meaning):
        return False
    return all(c == m for c, m in zip(choice, meaning, strict=True) if m in "YXZC")
