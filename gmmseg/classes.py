"""The table of classes: what each label is, in numbers that a person can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.mixture._threads import Workers
from gmmseg.mixture.lazy import LazyRows, parts_of

__all__ = ["ClassRow", "ClassSums", "class_table", "class_table_of_levels", "format_table"]

#: Parts of a picture that threads draw from.
_STRIPS = 16


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One class of one image.

    Attributes
    ----------
    label : int
        From 1.
    pixels : int
    share : float
        Of the used pixels, 0..1.
    area : float or None
        Pixels times the size of one in squared (or cubed) units; None when it is not known.
    mean, std : tuple of float
        Of the image's own values, for every chosen band, over the pixels that have it; nan for a
        class without any.
    share_interval, area_interval : tuple of float or None
        Lowest and highest, where stability was asked for (`Segmentation.refits`).
    """

    label: int
    pixels: int
    share: float
    area: float | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    share_interval: tuple[float, float] | None = None
    area_interval: tuple[float, float] | None = None

    def with_interval(self, low: float, high: float, n_pixels: int, size: float | None) -> ClassRow:
        """The row with the interval of its share of `n_pixels`, each of which has this size."""
        area = None if size is None else (low * n_pixels * size, high * n_pixels * size)
        return replace(self, share_interval=(low, high), area_interval=area)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; a class without pixels has no mean (null)."""
        values = asdict(self)
        for name in ("mean", "std"):
            values[name] = [v if np.isfinite(v) else None for v in values[name]]
        return values


def class_table(
    labels: NDArray[Any],
    bands: NDArray[Any] | LazyRows,
    counts: NDArray[np.int64] | None,
    k: int,
    spacing: Sequence[float] | None = None,
) -> tuple[ClassRow, ...]:
    """Pixels, share, area, mean and standard deviation of every class.

    Parameters
    ----------
    labels : ndarray of shape (M,)
        From 1 to `k`.
    bands : ndarray or LazyRows of shape (M, B)
        The image's values; NaN where a pixel lacks a band.
    counts : ndarray of shape (M,), or None
        How many pixels each row stands for.
    k : int
    spacing : sequence of float, optional
        Size of a pixel along each axis.

    Examples
    --------
    >>> row = class_table(np.array([1, 1]), np.array([[2.0], [4.0]]), None, 1)[0]
    >>> row.pixels, row.mean, row.std
    (2, (3.0,), (1.0,))
    """
    about = np.tile(_some_values(bands), (k, 1))
    for _ in range(2):  # about a value of each band, then about the means: nothing cancels
        sums = ClassSums(about)
        for rows, part in parts_of(bands):
            sums.add(labels[rows], part, None if counts is None else counts[rows])
        about = sums.means
    return sums.table(spacing)


def class_table_of_levels(
    labels: NDArray[Any],
    picture: NDArray[np.uint8],
    bands: Sequence[int],
    k: int,
    spacing: Sequence[float] | None = None,
    threads: int | None = None,
) -> tuple[ClassRow, ...]:
    """`class_table` of a picture of 8 bits, by how often each value occurs: exact, in one look.

    Parameters
    ----------
    labels : ndarray of shape (rows, cols)
        From 1 to `k`; 0 = does not count.
    picture : ndarray of shape (rows, cols, B), uint8
    bands : sequence of int
        Those in the table.
    k, spacing
        As of `class_table`.
    threads : int, optional
        None = as many as this process may use.

    Examples
    --------
    >>> picture = np.array([[[2], [4], [9]]], np.uint8)
    >>> rows = class_table_of_levels(np.array([[1, 1, 2]], np.uint8), picture, (0,), 2)
    >>> rows[0].pixels, rows[0].mean, rows[0].std
    (2, (3.0,), (1.0,))
    """
    from gmmseg._class_kernels import count_levels

    chosen = np.array(bands, np.intp)
    tables = np.zeros((_STRIPS, k + 1, len(chosen), 256), np.int64)
    step = -(-len(labels) // _STRIPS)

    def task(i: int) -> None:
        last = min((i + 1) * step, len(labels))
        count_levels(labels, picture, chosen, i * step, last, tables[i])

    with Workers(threads) as workers:
        workers.run(task, _STRIPS)
    found = tables.sum(axis=0)[1:]
    of_bands = []
    for b in range(len(chosen)):
        own, levels = np.nonzero(found[:, b])
        values = levels[:, np.newaxis].astype(np.uint8)
        of_bands.append(class_table(own + 1, values, found[own, b, levels], k, spacing))
    return tuple(
        replace(
            rows[0],
            mean=tuple(row.mean[0] for row in rows),
            std=tuple(row.std[0] for row in rows),
        )
        for rows in zip(*of_bands, strict=True)
    )


def _table(
    pixels: NDArray[np.float64],
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    spacing: Sequence[float] | None,
) -> tuple[ClassRow, ...]:
    size = None if spacing is None else float(np.prod(spacing))
    return tuple(
        ClassRow(
            label=j + 1,
            pixels=int(pixels[j]),
            share=float(pixels[j] / pixels.sum()),
            area=None if size is None else float(pixels[j]) * size,
            mean=tuple(mean[j].tolist()),
            std=tuple(std[j].tolist()),
        )
        for j in range(len(pixels))
    )


class ClassSums:
    """The table of classes of pixels that come in parts.

    Parameters
    ----------
    means : ndarray of shape (k, B)
        About these the sums are taken: near the means of the classes they do not cancel.

    Examples
    --------
    >>> sums = ClassSums(np.zeros((1, 1)))
    >>> sums.add(np.array([1, 1]), np.array([[2.0], [4.0]]))
    >>> sums.table()[0].mean, sums.table()[0].std
    ((3.0,), (1.0,))
    """

    def __init__(self, means: NDArray[np.float64]) -> None:
        k, n_bands = means.shape
        self._origin = np.zeros((n_bands, k + 1))
        self._origin[:, 1:] = np.nan_to_num(means).T
        self._pixels = np.zeros(k + 1)
        self._sums = np.zeros((3, n_bands, k + 1))  # of ones, values, squares

    def add(
        self, labels: NDArray[Any], bands: NDArray[Any], counts: NDArray[np.int64] | None = None
    ) -> None:
        """Add pixels: labels (n,), values (n, B), NaN where a pixel lacks a band, and numbers."""
        from gmmseg._class_kernels import add_band

        self._pixels += np.bincount(labels, counts, minlength=len(self._pixels))
        counts = np.empty(0, np.int64) if counts is None else counts
        for b, band in enumerate(bands.T):
            add_band(labels, band, counts, self._origin[b], *self._sums[:, b])

    @property
    def means(self) -> NDArray[np.float64]:
        """Of every class and band (k, B); nan where there is no value."""
        n, first, _ = self._sums[:, :, 1:].transpose(0, 2, 1)
        with np.errstate(invalid="ignore"):
            means: NDArray[np.float64] = first / n + self._origin[:, 1:].T
        return means

    def table(self, spacing: Sequence[float] | None = None) -> tuple[ClassRow, ...]:
        """As of `class_table`."""
        n, first, second = self._sums[:, :, 1:].transpose(0, 2, 1)
        with np.errstate(invalid="ignore"):
            variance = np.maximum(second / n - (first / n) ** 2, 0)
        return _table(self._pixels[1:], self.means, np.sqrt(variance), spacing)


def _some_values(bands: NDArray[Any] | LazyRows) -> NDArray[np.float64]:
    """A value of each band, 0 where there is none."""
    found = np.zeros(bands.shape[1])
    unknown = np.ones(bands.shape[1], bool)
    for _, part in parts_of(bands):
        for b in np.flatnonzero(unknown).tolist():
            seen = part[:, b] == part[:, b]
            if seen.any():
                found[b], unknown[b] = part[seen.argmax(), b], False
        if not unknown.any():
            break
    return found


def format_table(
    table: Sequence[ClassRow], band_names: Sequence[str], unit: str = "", n_axes: int = 2
) -> str:
    """The table as text for a terminal.

    Examples
    --------
    >>> rows = class_table(np.array([1, 2]), np.array([[2.0], [4.0]]), None, 2)
    >>> print(format_table(rows, ["grey"]))
    class   share  pixels  grey mean +- std
        1  50.0 %       1            2 +- 0
        2  50.0 %       1            4 +- 0
    """
    cells = [_cells(row, band_names, f"area {unit}{'²³'[n_axes - 2]}".strip()) for row in table]
    rows = [list(cells[0]), *(list(row.values()) for row in cells)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _cells(row: ClassRow, band_names: Sequence[str], area: str) -> dict[str, str]:
    """What the table tells of a class, by the heads of its columns."""
    cells = {"class": str(row.label), "share": f"{100 * row.share:.1f} %"}
    if row.share_interval is not None:
        low, high = row.share_interval
        cells["interval"] = _span(100 * low, 100 * high, ".1f") + " %"
    cells["pixels"] = str(row.pixels)
    if row.area is not None:
        cells[area] = f"{row.area:.6g}"
    if row.area_interval is not None:
        cells[f"{area} interval"] = _span(*row.area_interval, ".6g")
    for name, mean, std in zip(band_names, row.mean, row.std, strict=True):
        cells[f"{name} mean +- std"] = f"{mean:.4g} +- {std:.3g}"
    return cells


def _span(low: float, high: float, form: str) -> str:
    return f"{low:{form}} .. {high:{form}}"
