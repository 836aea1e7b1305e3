"""The legend below a picture: colour, number, name and share of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg.errors import InvalidParameterError
from gmmseg.labels import palette

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

__all__ = ["LegendEntry", "check_rgb", "legend_below", "with_legend"]

_PAPER = (255, 255, 255)
_INK = (32, 34, 38)
_FAINT_INK = (110, 114, 120)

#: A picture as wide as this many letters is high: readable when it fills a window.
_LETTERS = 40
_SMALLEST_LETTERS = 12
_LONGEST_NAME = 32


class LegendEntry(NamedTuple):
    """One class in a legend.

    Attributes
    ----------
    label : int
        From 1; decides the colour.
    share : float
        Of the used pixels, 0..1; not written when it is NaN.
    name : str
    """

    label: int
    share: float
    name: str = ""


def with_legend(
    rgb: ArrayLike, entries: Sequence[LegendEntry | tuple[int, float]], *, note: str = ""
) -> NDArray[np.uint8]:
    """The picture with a strip below that names its colours.

    The letters grow with the picture. What does not fit in a row goes to the next; of very many
    classes the first are listed and the others counted. The picture itself stays as it is; when
    it is narrower than one entry, the result is wider.

    Parameters
    ----------
    rgb : array_like of shape (rows, cols, 3), uint8
    entries : sequence of LegendEntry or (label, share) or (label, share, name)
    note : str
        A line below, such as what `describe_display` says.

    Returns
    -------
    ndarray of shape (more rows, cols or more, 3), uint8
        The picture is in its upper left corner.

    Examples
    --------
    >>> with_legend(np.zeros((90, 120, 3), np.uint8), [(1, 0.412), (2, 0.588)]).shape
    (135, 120, 3)
    """
    picture = check_rgb(rgb)
    framed, place = legend_below(picture.shape[0], picture.shape[1], entries, note=note)
    place[:] = picture
    return framed


def legend_below(
    rows: int, cols: int, entries: Sequence[LegendEntry | tuple[int, float]], *, note: str = ""
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """`with_legend` for a picture of `rows` x `cols` that is still to be painted, and its place."""
    strip = _legend_strip([LegendEntry(*entry) for entry in entries], note, rows, cols)
    framed = np.empty((rows + len(strip), max(cols, strip.shape[1]), 3), np.uint8)
    framed[:rows, cols:] = _PAPER
    framed[rows:] = _PAPER
    framed[rows:, : strip.shape[1]] = strip
    return framed, framed[:rows, :cols]


def check_rgb(rgb: ArrayLike) -> NDArray[np.uint8]:
    """Return `rgb` as an array, or raise when it is no 8-bit colour picture."""
    picture = np.asarray(rgb)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise InvalidParameterError(
            "rgb must be (rows, cols, 3) of uint8 and not empty, "
            f"got {picture.shape} of {picture.dtype}. gmmseg.overlay.display_rgb makes it so."
        )
    return picture


def _legend_strip(entries: list[LegendEntry], note: str, rows: int, cols: int) -> NDArray[np.uint8]:
    """The legend of a picture of `rows` x `cols`, (height, width, 3)."""
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    size = max(_SMALLEST_LETTERS, round(float(np.sqrt(rows * cols)) / _LETTERS))
    font = ImageFont.load_default(size)
    line, pad = round(1.6 * size), round(0.6 * size)
    cell, gap = _cell_width(entries, font, size), _gap(size)
    columns = max(1, (cols - 2 * pad + gap) // cell)
    listed, more = _fitting(entries, columns * max(4, rows // line - 1))
    tail = "; ".join(text for text in (more, " ".join(note.split())) if text)
    n_lines = -(-len(listed) // columns) + bool(tail)
    used = min(columns, len(listed)) * cell - gap
    width = 2 * pad + max(cols - 2 * pad, used, round(font.getlength(tail)))
    strip = Pillow.new("RGB", (width, n_lines * line + pad if n_lines else 0), _PAPER)
    draw = ImageDraw.Draw(strip)
    for index, entry in enumerate(listed):
        corner = (pad + index % columns * cell, pad // 2 + index // columns * line)
        _draw_entry(draw, entry, corner, cell - gap, size, font)
    draw.text((pad, n_lines * line - line / 2 + pad / 2), tail, _FAINT_INK, font, anchor="lm")
    return np.asarray(strip)


def _fitting(entries: list[LegendEntry], most: int) -> tuple[list[LegendEntry], str]:
    """The entries that are listed, and a text that counts the others."""
    left_out = len(entries) - most
    return entries[:most], f"and {left_out} more" if left_out > 0 else ""


def _cell_width(entries: list[LegendEntry], font: Font, size: int) -> int:
    """Width of the widest entry, with the gap before the next."""
    texts = [_texts(entry) for entry in entries] or [("", "")]
    names = max(font.getlength(name) for name, _ in texts)
    shares = max(font.getlength(share) for _, share in texts)
    return int(np.ceil(2.2 * size + names + shares)) + _gap(size)


def _gap(size: int) -> int:
    """Space between two entries: more than within one."""
    return 2 * size


def _texts(entry: LegendEntry) -> tuple[str, str]:
    """Number with name, and share."""
    name = " ".join(entry.name.split())  # a line break would spoil the lines
    if len(name) > _LONGEST_NAME:
        name = name[: _LONGEST_NAME - 3] + "..."
    if not np.isfinite(entry.share):
        share = ""
    elif 0 < entry.share < 0.0005:
        share = "< 0.1 %"
    else:
        share = f"{100 * entry.share:.1f} %"
    return f"{entry.label}  {name}".rstrip(), share


def _draw_entry(
    draw: ImageDraw,
    entry: LegendEntry,
    corner: tuple[int, int],
    width: int,
    size: int,
    font: Font,
) -> None:
    """Swatch and number from the left, share to the right edge of the cell."""
    x, y = corner
    middle = y + round(0.8 * size)
    top = middle - size // 2
    colour = tuple(int(v) for v in palette(entry.label)[-1])
    draw.rectangle((x, top, x + size, top + size), colour)
    name, share = _texts(entry)
    draw.text((x + 1.5 * size, middle), name, _INK, font, anchor="lm")
    draw.text((x + width, middle), share, _INK, font, anchor="rm")
