"""The axes of arrays in a Zarr, by their names or as they are told."""

from __future__ import annotations

from gmmseg._files import printable
from gmmseg.errors import AmbiguousAxesError
from gmmseg.image import AXES, resolve_axes
from gmmseg.io.axes import told_axes
from gmmseg.io.ngff import axis_letter
from gmmseg.io.options import ReadOptions

__all__ = ["letters_of"]


def letters_of(
    shown: str, shape: tuple[int, ...], names: tuple[str, ...] | None, options: ReadOptions
) -> tuple[str, str]:
    """What the axes of an array mean.

    Parameters
    ----------
    shown : str
        For messages.
    shape : tuple of int
    names : tuple of str, or None
    options : ReadOptions
        Its `axes` and `frame`.

    Returns
    -------
    str
        A letter for each axis.
    str
        The letters of those that the image has: not of a moment in time, nor of length 1 unless
        they are rows, columns or bands.

    Raises
    ------
    AmbiguousAxesError
        When the names do not tell, or there are several moments in time.

    Examples
    --------
    >>> letters_of("a.zarr", (1, 3, 1, 40, 50), ("t", "c", "z", "y", "x"), ReadOptions())
    ('TCZYX', 'CYX')
    """
    if names is None:
        axes = told_axes(shown, shape, options.axes)
        return axes, axes
    letters = "".join(axis_letter(name) or "-" for name in names)
    always = "YXC"
    gone = "T" if options.frame is not None else ""
    staying = [
        i
        for i, (letter, n) in enumerate(zip(letters, shape, strict=True))
        if letter in always or (n > 1 and letter != gone)
    ]
    if options.axes is not None:
        axes = resolve_axes(tuple(shape[i] for i in staying), options.axes)
        told = dict(zip(staying, axes, strict=True))
        others = ("-" if letter in axes else letter for letter in letters)
        return "".join(told.get(i, letter) for i, letter in enumerate(others)), axes
    odd = [names[i] for i in staying if letters[i] in "-T"]
    axes = "".join(letters[i] for i in staying)
    if odd or len(set(axes)) < len(axes) or not {"Y", "X"} <= set(axes):
        raise AmbiguousAxesError(_odd_axes(shown, shape, names, odd))
    return letters, axes


def _odd_axes(shown: str, shape: tuple[int, ...], names: tuple[str, ...], odd: list[str]) -> str:
    called = ", ".join(f"{printable(name)} {n}" for name, n in zip(names, shape, strict=True))
    if odd and axis_letter(odd[0]) == "T":
        n = shape[names.index(odd[0])]
        return (
            f"{shown} holds {n} moments in time (axes: {called}). Choose one with frame= (--frame "
            f"N), from 0."
        )
    return (
        f"The axes of {shown} are not those of an image: {called}. It needs y and x, and may have "
        f"z and c; say what they are with axes= (--axes): {', '.join(AXES)}."
    )
