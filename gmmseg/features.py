"""Pixels -> features: colour, indices, place and texture, one row for each used pixel.

The order of the features is: colour (or raw bands), indices, local means, local standard
deviations, place. The first is lightness wherever there is one, because classes are numbered by
its mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._colour import SPACES
from gmmseg._texture import (
    Grid,
    centres,
    equalise_objects,
    fill_place,
    fill_texture,
    subtract_background,
)
from gmmseg.errors import InvalidParameterError
from gmmseg.feature_spec import FeatureSpec, feature_dtype
from gmmseg.image import Image
from gmmseg.mixture.lazy import LazyRows
from gmmseg.spectral_indices import index_values
from gmmseg.used_pixels import UsedPixels, used_values

__all__ = [
    "image_features",
    "lazy_features",
    "pixel_values",
    "point_features",
    "put_back",
    "start_scale",
]


def pixel_values(image: Image, spec: FeatureSpec) -> NDArray[Any]:
    """The chosen bands of the used pixels: what `point_features` takes.

    Parameters
    ----------
    image : Image
    spec : FeatureSpec
        It is resolved for `image`.

    Returns
    -------
    ndarray of shape (N, n_chosen)
        One row for each pixel of ``spec.valid(image)``, in row-major order. Of the image's dtype,
        or, where bands are missing, of a floating type that holds all its values, with NaN there.
        A view where all pixels and bands are used.

    Examples
    --------
    >>> import numpy as np
    >>> image = Image.from_array(np.arange(8).reshape(2, 2, 2), mask=[[1, 0], [1, 1]])
    >>> pixel_values(image, FeatureSpec(bands=(2,))).ravel()
    array([1, 5, 7])
    """
    spec = spec.resolve(image)
    values = used_values(image, spec, spec.valid(image))
    return np.asarray(values)


def point_features(values: Any, spec: FeatureSpec) -> NDArray[Any]:
    """Colour conversion of rows of raw values.

    Parameters
    ----------
    values : array_like of shape (N, n_chosen)
        The chosen bands only, as `pixel_values` gives them; any integers or floats. White is the
        maximum of an integer type (255 of uint8, 65535 of uint16) and 1 of floats.
    spec : FeatureSpec
        Resolved: not "auto". Its place and texture are not looked at.

    Returns
    -------
    ndarray of shape (N, D)
        Feature-major: its transpose is C-contiguous. float32; float64 for raw values that
        float32 does not hold exactly (float64 and integers of 32 and 64 bits).
        A row depends on its own values only, to the last bit.

    Raises
    ------
    InvalidParameterError
        When `spec` is not resolved or `values` has not the bands that it needs.

    Examples
    --------
    >>> import numpy as np
    >>> white_and_red = np.array([[255, 255, 255], [255, 0, 0]], np.uint8)
    >>> point_features(white_and_red, FeatureSpec(colour_space="lab")).round(1)
    array([[100. ,   0. ,   0. ],
           [ 53.2,  80.1,  67.2]], dtype=float32)
    """
    rows = np.asarray(values)
    if rows.ndim != 2 or rows.dtype.kind not in "uif":
        raise InvalidParameterError(
            f"values must be (N, bands) of numbers, got shape {rows.shape} of {rows.dtype}."
        )
    out = np.empty((_n_points(rows, spec), len(rows)), dtype=feature_dtype(rows.dtype, spec))
    _fill_points(rows, spec, out)
    return out.T


def image_features(image: Image, spec: FeatureSpec) -> NDArray[Any]:
    """All features of the used pixels of an image.

    Parameters
    ----------
    image : Image
        Two or three spatial axes, any dtype, with or without mask and spacing.
    spec : FeatureSpec
        It is resolved for `image`.

    Returns
    -------
    ndarray of shape (N, D), float32 or float64
        One row for each pixel of ``spec.valid(image)`` in row-major order (`put_back` puts labels
        in their places), one column for each of ``spec.names(image)``. NaN where a band is missing.
        Feature-major: its transpose is C-contiguous.

    Notes
    -----
    Place is the pixel's centre in physical units (`Image.spacing`; unknown = 1) from the image's
    corner, divided by the longest extent of the image: 0..1 along the longest axis, whatever the
    resolution. Local moments are by normalised convolution (Knutsson and Westin, CVPR 1993): unused
    pixels, missing values and the outside neither give nor take.

    Examples
    --------
    >>> import numpy as np
    >>> image = Image.from_array(np.array([[10, 20], [30, 40]], np.uint8))
    >>> image_features(image, FeatureSpec(position=1))
    array([[10.  ,  0.25,  0.25],
           [20.  ,  0.25,  0.75],
           [30.  ,  0.75,  0.25],
           [40.  ,  0.75,  0.75]], dtype=float32)
    """
    spec = spec.resolve(image)
    grid = Grid(image.shape, image.spacing or (1.0,) * image.ndim, spec.valid(image))
    values = np.asarray(used_values(image, spec, grid.valid))
    n_points = _n_points(values, spec)
    n_textured = spec.n_textured(n_points)
    n_texture = n_textured * len(spec.local_mean + spec.local_std)
    n_place = image.ndim if spec.position else 0
    out = np.empty(
        (n_points + n_texture + n_place, len(values)), dtype=feature_dtype(values.dtype, spec)
    )
    points, texture, place = np.split(out, [n_points, n_points + n_texture])
    _fill_points(values, spec, points)
    fill_texture(points[:n_textured], grid, spec.local_mean, spec.local_std, texture)
    for plane in points[:n_textured]:
        _level(plane, grid, spec)
    if spec.blur:
        fill_texture(points.copy(), grid, (spec.blur,), (), points)
    fill_place(grid, place)
    return out.T


def _level(plane: NDArray[Any], grid: Grid, spec: FeatureSpec) -> None:
    """Ground and objects of `plane` (N,) made alike all over the image, in place, where asked."""
    if spec.background:
        subtract_background(plane, grid, spec.background)
    elif spec.local_gain and len(plane):
        plane -= np.nan_to_num(np.nanmedian(plane))
    if spec.local_gain:
        equalise_objects(plane, grid, spec.local_gain)


class _LazyFeatures(LazyRows):
    """Colour and place of the used pixels, made from their values where they are read."""

    def __init__(self, values: NDArray[Any] | LazyRows, spec: FeatureSpec, grid: Grid) -> None:
        self._values, self._spec = values, spec
        self._pixels = UsedPixels(grid.shape, grid.valid)
        self._centres = centres(grid) if spec.position else []
        self._n_points = _n_points(values, spec)
        self.shape = len(values), self._n_points + len(self._centres)
        self.dtype = np.dtype(feature_dtype(values.dtype, spec))

    def read(self, rows: slice | NDArray[np.integer]) -> NDArray[Any]:
        values = self._values[rows]
        out = np.empty((self.shape[1], len(values)), self.dtype)
        _fill_points(values, self._spec, out[: self._n_points])
        if self._centres:
            places = np.unravel_index(self._pixels[rows], self._pixels.shape)
            for plane, along, place in zip(
                out[self._n_points :], self._centres, places, strict=True
            ):
                plane[:] = along[place]
        return out.T


def lazy_features(
    values: NDArray[Any] | LazyRows,
    spec: FeatureSpec,
    image: Image,
    valid: NDArray[np.bool_] | None,
) -> LazyRows:
    """`image_features` without texture, of which a part is made where it is read.

    Parameters
    ----------
    values : ndarray or LazyRows of shape (N, n_chosen)
        As of `used_pixels.used_values`.
    spec : FeatureSpec
        Resolved, without texture.
    image : Image
    valid : ndarray of bool, or None
        ``spec.valid(image)``.

    Examples
    --------
    >>> import numpy as np
    >>> image = Image.from_array(np.array([[10, 20], [30, 40]], np.uint8))
    >>> spec = FeatureSpec(position=1).resolve(image)
    >>> lazy_features(pixel_values(image, spec), spec, image, None)[1:3]
    array([[20.  ,  0.25,  0.75],
           [30.  ,  0.75,  0.25]], dtype=float32)
    """
    return _LazyFeatures(
        values, spec, Grid(image.shape, image.spacing or (1.0,) * image.ndim, valid)
    )


def put_back(
    rows: NDArray[Any], valid: NDArray[np.bool_] | None, shape: tuple[int, ...], fill: Any = 0
) -> NDArray[Any]:
    """Rows of used pixels -> an array of the image's shape.

    Parameters
    ----------
    rows : ndarray of shape (N,) or (N, K)
        One row for each used pixel, such as labels or probabilities.
    valid : ndarray of bool of `shape`, or None
        ``spec.valid(image)``: the used pixels; None = all.
    shape : tuple of int
        ``image.shape``.
    fill : scalar
        What unused pixels get.

    Returns
    -------
    ndarray of shape `shape`, or `shape` and K, of the dtype of `rows`

    Examples
    --------
    >>> import numpy as np
    >>> put_back(np.array([1, 2]), np.array([[True, False], [False, True]]), (2, 2))
    array([[1, 0],
           [0, 2]])
    """
    full_shape = (*shape, *rows.shape[1:])
    if valid is None:
        return rows.reshape(full_shape)
    full = np.full(full_shape, fill, dtype=rows.dtype)
    full[valid] = rows
    return full


def start_scale(deviations: NDArray[Any], spec: FeatureSpec, ndim: int) -> NDArray[np.float64]:
    """What to multiply each feature by before k-means measures distances.

    Colours of one space share one scale, 1 / the largest standard deviation among them, so that
    the metric of the colour space is kept. Raw bands each get 1 / their own, so that units do not
    matter; so do indices. Texture has the scale of the colour or band that it is of, a local
    deviation twice that: a pattern of two values that differ by h has a deviation of h / 2. (With
    scales of their own the few pixels along the edges of an image without texture would be
    clusters.) Place shares one
    scale, `FeatureSpec.position` / the largest deviation among its axes. A feature that does not
    vary gets 0.

    Parameters
    ----------
    deviations : ndarray of shape (D,)
        Standard deviation of each feature.
    spec : FeatureSpec
        Resolved: not "auto".
    ndim : int
        The image's number of spatial axes.

    Returns
    -------
    ndarray of shape (D,), float64

    Examples
    --------
    >>> import numpy as np
    >>> start_scale(np.array([2.0, 0.0]), FeatureSpec(colour_space="raw"), 2)
    array([0.5, 0. ])
    """
    _check_resolved(spec)
    own = np.array(deviations, dtype=np.float64)
    n_features = len(own)
    n_place = ndim if spec.position else 0
    n_means, n_stds = len(spec.local_mean), len(spec.local_std)
    points, texture, place = np.split(
        own, [spec.n_points(n_features - n_place), n_features - n_place]
    )
    if spec.colour_space in SPACES:
        colours = points[: len(points) - len(spec.indices)]
        colours[:] = colours.max(initial=0)
    textured = np.tile(points[: spec.n_textured(len(points))], n_means + n_stds)
    np.copyto(texture, textured, where=textured > 0)
    place[:] = place.max(initial=0)
    weights = np.ones(n_features)
    weights[n_features - n_place - len(texture) * n_stds // max(n_means + n_stds, 1) :] = 2.0
    weights[n_features - n_place :] = spec.position
    stds = np.concatenate([points, texture, place])
    scale: NDArray[np.float64] = np.divide(weights, stds, out=np.zeros(n_features), where=stds > 0)
    return scale


def _check_resolved(spec: FeatureSpec) -> None:
    if spec.colour_space == "auto":
        raise InvalidParameterError(
            "colour_space must be resolved here, got 'auto': use spec.resolve(image)."
        )


def _n_points(values: NDArray[Any] | LazyRows, spec: FeatureSpec) -> int:
    """The number of colours, bands and indices that the bands of `values` give."""
    _check_resolved(spec)
    return _n_colours(int(values.shape[1]), spec) + len(spec.indices)


def _n_colours(n_bands: int, spec: FeatureSpec) -> int:
    """The number of colours, or bands, among the features; the other bands are of indices."""
    n_bands = min(n_bands, _n_first(n_bands, spec))
    space = SPACES.get(spec.colour_space)
    if space is None:
        return n_bands
    if n_bands not in space.n_bands:
        raise InvalidParameterError(
            f"values must have {' or '.join(map(str, space.n_bands))} bands for colour_space "
            f"{spec.colour_space!r}, got {n_bands}. Pass the chosen bands only."
        )
    return len(space.names)


def _n_first(n_bands: int, spec: FeatureSpec) -> int:
    """How many of the bands, the first of them, are features themselves."""
    if not spec.indices:
        return n_bands
    return 0 if spec.colour_space == "none" else len(spec.bands or ())


def _fill_points(values: NDArray[Any], spec: FeatureSpec, out: NDArray[Any]) -> None:
    colours, indices = np.split(out, [len(out) - len(spec.indices)])
    first = values[:, : _n_first(values.shape[1], spec)] if spec.indices else values
    if spec.colour_space in SPACES:
        SPACES[spec.colour_space].fill(first, colours)
    else:
        for plane, band in zip(colours, first.T, strict=True):
            plane[:] = band
    if spec.power != 1:
        for plane in colours:
            plane[:] = np.copysign(np.abs(plane) ** spec.power, plane)
    if spec.indices:
        _fill_indices(values, spec, indices)


def _fill_indices(values: NDArray[Any], spec: FeatureSpec, out: NDArray[Any]) -> None:
    columns = spec.columns
    bands = {role: values[:, columns.index(int(band))] for role, band in spec.roles}
    for name, plane in zip(spec.indices, out, strict=True):
        plane[:] = index_values(name, bands, out.dtype.type)
