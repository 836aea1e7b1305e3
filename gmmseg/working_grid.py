"""Large pictures on a coarser grid: the means of squares of pixels, and the way back to pixels.

What a region of a photo is does not depend on how many pixels the camera has. `FeatureSpec` says
how many are enough; scales of blur and texture are pixels of this grid.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._colour import SPACES
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.mixture._threads import Workers

__all__ = ["enlarged", "interpolated", "on_working_grid"]


def on_working_grid(image: Image, spec: FeatureSpec, threads: int | None = None) -> Image:
    """The image whose pixels are the means of squares of the used pixels of `image`.

    Parameters
    ----------
    image : Image
    spec : FeatureSpec
        Resolved: not "auto". Its `working_pixels` decides how large the squares are.
    threads : int, optional
        None = as many as this process may use.

    Returns
    -------
    Image
        `image` itself where the squares are single pixels. Otherwise of floats, in 0..1 for a
        colour space, NaN where a square has no pixel with that band; the last squares along an axis
        may be smaller ones.

    Examples
    --------
    >>> image = Image.from_array(np.arange(16, dtype=np.uint8).reshape(4, 4))
    >>> spec = FeatureSpec(colour_space="raw", working_pixels=4)
    >>> on_working_grid(image, spec).data[..., 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    step = spec.step(image.shape)
    if step == 1:
        return image
    means = _means(image, spec.valid(image), step, threads)
    if spec.colour_space in SPACES and image.data.dtype.kind == "u":
        means /= np.iinfo(image.data.dtype).max
    spacing = image.spacing and tuple(size * step for size in image.spacing)
    return replace(image, data=means, mask=None, missing=None, spacing=spacing)


def _means(
    image: Image, valid: NDArray[np.bool_] | None, step: int, threads: int | None
) -> NDArray[np.floating[Any]]:
    """The mean of each band over the used pixels of each square."""
    rows, cols = image.shape
    starts = np.arange(0, cols, step)
    out = np.empty(
        (-(-rows // step), len(starts), image.n_bands), np.result_type(image.data, np.float32)
    )
    if valid is None and image.missing is None and image.data.dtype in (np.uint8, np.uint16):
        _fill_means_of_integers(image.data, step, starts, threads, out)
        return out
    for i, line in enumerate(out):
        part = slice(i * step, (i + 1) * step)
        for b in range(image.n_bands):
            values = image.data[part, :, b]
            used = _used(image, valid, part, b)
            if used is None:
                sums = values.sum(axis=0, dtype=np.float64)
                number = np.full(cols, len(values))
            else:
                sums = values.sum(axis=0, dtype=np.float64, where=used)
                number = used.sum(axis=0)
            with np.errstate(invalid="ignore"):
                line[:, b] = np.add.reduceat(sums, starts) / np.add.reduceat(number, starts)
    return out


def _fill_means_of_integers(
    data: NDArray[Any],
    step: int,
    starts: NDArray[np.intp],
    threads: int | None,
    out: NDArray[np.floating[Any]],
) -> None:
    """The same where all pixels are used: whole sums of all bands at once, by threads."""
    across = np.diff([*starts, data.shape[1]])[:, np.newaxis]

    def task(i: int) -> None:
        part = data[i * step : (i + 1) * step]
        sums = np.add.reduce(part, axis=0, dtype=np.uint32)
        out[i] = np.add.reduceat(sums, starts, axis=0, dtype=np.int64) / (across * len(part))

    with Workers(threads) as workers:
        workers.run(task, len(out))


def _used(
    image: Image, valid: NDArray[np.bool_] | None, part: slice, band: int
) -> NDArray[np.bool_] | None:
    """Which pixels of some rows are used and have a band; None = all."""
    used = None if valid is None else valid[part]
    if image.data.dtype.kind != "f" and image.missing is None:
        return used
    observed = image.observed_in(part, band)
    return observed if used is None else used & observed


def enlarged(
    values: NDArray[np.unsignedinteger[Any]],
    step: int,
    shape: tuple[int, ...],
    valid: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """Labels of squares -> labels of pixels.

    Each pixel takes the label that weighs most among the four squares around it, their weights
    those of bilinear interpolation; of equal ones that of the square nearest to it. So borders
    are cut straight where they would have steps, and what is connected stays so.

    Parameters
    ----------
    values : ndarray of unsigned int, of the working grid's shape
        0 = no label: it has no weight.
    step : int
        Side of a square in pixels.
    shape : tuple of int
        Of the image.
    valid : ndarray of bool of `shape`, or None
        Other pixels get 0.

    Examples
    --------
    >>> enlarged(np.array([[1, 2]], np.uint8), 3, (2, 6)).tolist()
    [[1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2]]
    """
    from gmmseg._grid_kernels import enlarge_map

    out = np.empty(shape, values.dtype)
    places = [_places(n, step, side) for n, side in zip(shape, values.shape, strict=True)]
    enlarge_map(np.ascontiguousarray(values), *places[0], *places[1], out)
    if valid is not None:
        out[~valid] = 0
    return out


def interpolated(
    planes: NDArray[np.float32], step: int, along: slice, n_columns: int
) -> NDArray[np.float32]:
    """Values of squares -> values of pixels, bilinearly between the squares' centres.

    Parameters
    ----------
    planes : ndarray of shape (K, rows, cols)
        On the working grid; NaN has no weight.
    step : int
        Side of a square in pixels.
    along : slice
        Rows of pixels.
    n_columns : int
        Of the image.

    Returns
    -------
    ndarray of shape (K, n, n_columns), float32

    Examples
    --------
    >>> interpolated(np.array([[[0.0, 1.0]]], np.float32), 2, slice(0, 1), 4)[0]
    array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    """
    known = ~np.isnan(planes)
    if known.all():
        return _bilinear(planes, step, along, n_columns)
    weight = _bilinear(known.astype(np.float32), step, along, n_columns)
    sums = _bilinear(np.where(known, planes, np.float32(0)), step, along, n_columns)
    return np.divide(sums, weight, out=np.full_like(sums, np.nan), where=weight > 0)


def _bilinear(
    planes: NDArray[np.float32], step: int, along: slice, n_columns: int
) -> NDArray[np.float32]:
    low, high, share = (part[along] for part in _places(along.stop, step, planes.shape[1]))
    rows = planes[:, low] * (1 - share)[:, None] + planes[:, high] * share[:, None]
    left, right, across = _places(n_columns, step, planes.shape[2])
    return np.asarray(rows[..., left] * (1 - across) + rows[..., right] * across, np.float32)


def _places(
    n_pixels: int, step: int, n_squares: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The squares before and after the centre of each pixel, and how much the latter weighs."""
    place = np.clip((np.arange(n_pixels) + 0.5) / step - 0.5, 0, n_squares - 1)
    low = np.floor(place).astype(np.intp)
    return low, np.minimum(low + 1, n_squares - 1), (place - low).astype(np.float32)
