"""Label maps as annotations of COCO: run lengths or polygons, exact to the pixel.

Lin et al., "Microsoft COCO: Common Objects in Context" (2014); the format of the strings is that
of `pycocotools.mask`, which is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg.components import find_components
from gmmseg.contours import outlines

__all__ = ["coco_annotations", "encode_run_lengths", "keyholed"]

#: Of a character of a string 5 bits are data; the sixth says that more follow.
_BITS, _MORE, _SIGN, _FIRST_CHARACTER = 5, 0x20, 0x10, 48


def coco_annotations(
    labels: NDArray[Any], *, polygons: bool = False, min_area: int = 0
) -> Iterator[dict[str, Any]]:
    """An annotation for every connected component of every class.

    Parameters
    ----------
    labels : ndarray of int, shape (rows, cols)
        0 = nothing.
    polygons : bool
        One polygon for each instead of run lengths. Holes are reached by a slit, there and back,
        which covers no pixel.
    min_area : int
        Leave out smaller ones, in pixels.

    Yields
    ------
    dict
        category_id (the label), segmentation, area, bbox and iscrowd, as COCO names them; the
        caller adds id and image_id.

    Examples
    --------
    >>> (found,) = coco_annotations(np.array([[0, 3, 3]]), polygons=True)
    >>> found["category_id"], found["bbox"], found["segmentation"]
    (3, [1, 0, 2, 1], [[3, 0, 3, 1, 1, 1, 1, 0]])
    """
    _, regions, stats, _ = find_components(labels)
    label_of = np.zeros(len(stats), np.int64)
    label_of[regions.reshape(-1)] = labels.reshape(-1)
    shape: Callable[..., Any] = _polygon if polygons else _run_lengths
    for region, (x, y, width, height, area) in enumerate(stats.tolist()):
        if region == 0 or area < min_area:
            continue
        inside = regions[y : y + height, x : x + width] == region
        yield {
            "category_id": int(label_of[region]),
            "segmentation": shape(inside, x, y, labels.shape),
            "area": area,
            "bbox": [x, y, width, height],
            "iscrowd": 0,
        }


def _polygon(inside: NDArray[np.bool_], x: int, y: int, _: tuple[int, int]) -> list[list[int]]:
    return [(keyholed(outlines(inside)) + np.array([x, y])).reshape(-1).tolist()]


def keyholed(lines: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """One closed line out of the outer line of a component, the first, and those of its holes."""
    first = lines[0][:1]
    parts = [lines[0]]
    for hole in lines[1:]:
        parts += [first, hole, hole[:1]]
    return np.concatenate([*parts, first]) if len(lines) > 1 else lines[0]


def _run_lengths(
    inside: NDArray[np.bool_], x: int, y: int, shape: tuple[int, int]
) -> dict[str, Any]:
    rows, cols = shape
    column, row = np.divmod(np.flatnonzero(inside.T), len(inside))
    numbers = (x + column) * rows + y + row  # of the pixels, column by column
    begins = numbers[np.diff(numbers, prepend=-2) != 1]
    ends = numbers[np.diff(numbers, append=rows * cols + 1) != 1] + 1
    changes = np.stack([begins, ends], axis=1).reshape(-1)
    counts = np.diff(changes, prepend=0, append=rows * cols)
    counts = counts if counts[-1] else counts[:-1]
    return {"size": [rows, cols], "counts": encode_run_lengths(counts)}


def encode_run_lengths(counts: ArrayLike) -> str:
    """Lengths of runs of 0, 1, 0, ... as the string of COCO.

    From the fourth on the difference to the last but one is written, in groups of 5 bits.

    Examples
    --------
    >>> encode_run_lengths([6, 1, 40, 4, 5, 4, 5, 4, 21])
    '61X13mN000`0'
    """
    values = [int(count) for count in np.asarray(counts)]
    text = bytearray()
    for i, count in enumerate(values):
        rest = count - values[i - 2] if i > 2 else count
        more = True
        while more:
            bits = rest & (_MORE - 1)
            rest >>= _BITS
            more = rest != (-1 if bits & _SIGN else 0)
            text.append((bits | _MORE if more else bits) + _FIRST_CHARACTER)
    return text.decode("ascii")
