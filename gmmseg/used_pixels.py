"""The used pixels of an image as rows of its bands, without a copy of the image."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.feature_spec import FeatureSpec, feature_dtype
from gmmseg.image import Image
from gmmseg.mixture.lazy import LazyRows, MaskIndex

__all__ = ["UsedPixels", "box_around", "used_values"]

#: Values of fewer bytes are held: a copy is read faster than it is gathered anew in every pass.
_HELD = 40 << 20


class UsedPixels:
    """The numbers of the used pixels in row-major order, as an index array, in no room.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    valid : ndarray of bool of `shape`, or None
        The used pixels; None = all.
    """

    def __init__(self, shape: tuple[int, ...], valid: NDArray[np.bool_] | None) -> None:
        self.shape = shape
        self._index = None if valid is None else MaskIndex(valid.ravel())

    def __len__(self) -> int:
        return int(np.prod(self.shape)) if self._index is None else len(self._index)

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> NDArray[Any]:
        if self._index is not None:
            return self._index[rows]
        return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


class _Values(LazyRows):
    """Chosen bands of the used pixels, gathered where they are read."""

    def __init__(
        self,
        image: Image,
        chosen: tuple[int, ...],
        pixels: UsedPixels,
        dtype: np.dtype[Any],
        *,
        gaps: bool,
    ) -> None:
        self._pixels, self._bands, self._gaps = pixels, list(chosen), gaps
        self._all_bands = chosen == tuple(range(image.n_bands))
        self._data = _rows_of(image.data)
        self._missing = None if image.missing is None else _rows_of(image.missing)
        self.shape, self.dtype = (len(pixels), len(chosen)), dtype

    def read(self, rows: slice | NDArray[np.integer]) -> NDArray[Any]:
        numbers = self._pixels[rows]
        values = self._of(self._data, numbers).astype(self.dtype, copy=False)
        if self._gaps:
            gaps = np.isinf(values)
            if self._missing is not None:
                gaps |= self._of(self._missing, numbers)
            values[gaps] = np.nan
        return values

    def _of(self, data: NDArray[Any], numbers: NDArray[np.integer]) -> NDArray[Any]:
        """The chosen bands of some pixels, C-contiguous."""
        if data.ndim == 2:
            values = np.take(data, numbers, axis=0)
        else:
            values = data[np.unravel_index(numbers, self._pixels.shape)]
        return np.ascontiguousarray(values if self._all_bands else values[:, self._bands])


def used_values(
    image: Image,
    spec: FeatureSpec,
    valid: NDArray[np.bool_] | None,
    *,
    gaps: bool | None = None,
) -> NDArray[Any] | LazyRows:
    """The chosen bands of the used pixels, (N, n_chosen), in row-major order.

    Parameters
    ----------
    image : Image
    spec : FeatureSpec
        Resolved.
    valid : ndarray of bool, or None
        ``spec.valid(image)``.
    gaps : bool, optional
        Whether values are missing that are not NaN; by default the image is looked through.

    Returns
    -------
    ndarray or LazyRows
        A view where all pixels and bands are used; an array where a copy is small. Of the image's
        dtype, or, where bands are missing, of a floating type that holds all its values, with NaN
        there.
    """
    chosen = spec.chosen(image)
    if gaps is None:
        gaps = image.has_unmarked_gaps(chosen, valid)
    if valid is None and not gaps and chosen == tuple(range(image.n_bands)):
        data = _rows_of(image.data)
        if data.ndim == 2:
            return data
    dtype = image.data.dtype
    if gaps and dtype.kind != "f":
        dtype = np.dtype(feature_dtype(dtype, spec))
    values = _Values(image, chosen, UsedPixels(image.shape, valid), dtype, gaps=gaps)
    return np.asarray(values) if values.nbytes <= _HELD else values


def box_around(used: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds all used pixels; without any, an empty one.

    Examples
    --------
    >>> box_around(np.array([[0, 0, 0, 0], [0, 1, 0, 1]], bool))
    (slice(1, 2, None), slice(1, 4, None))
    """
    box = []
    for n_others in reversed(range(used.ndim)):
        inside = np.flatnonzero(used.any(axis=tuple(range(1, 1 + n_others))))
        here = slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)
        box.append(here)
        used = np.asarray(used[here].any(axis=0))
    return tuple(box)


def _rows_of(data: NDArray[Any]) -> NDArray[Any]:
    """`data` as one row for each pixel, where that is no copy; else as it is."""
    return data.reshape(-1, data.shape[-1]) if _is_flat(data) else data


def _is_flat(data: NDArray[Any]) -> bool:
    """Whether the spatial axes are one axis in memory."""
    lengths, strides = data.shape[:-1], data.strides[:-1]
    pairs = [(n, step) for n, step in zip(lengths, strides, strict=True) if n > 1]
    return all(outer == n * inner for (_, outer), (n, inner) in pairwise(pairs))
