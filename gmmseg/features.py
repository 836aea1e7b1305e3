"""Pixels -> features: colour, place and texture, one row for each used pixel.

The order of the features is: colour (or raw bands), local means, local standard deviations, place.
The first is lightness wherever there is one, because classes are numbered by its mean.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_choice, check_integer, check_real
from gmmseg._colour import BLOCK, SPACES, is_picture, not_display_values
from gmmseg._texture import Grid, fill_place, fill_texture
from gmmseg.errors import InvalidParameterError, ModelFormatError
from gmmseg.image import Image

__all__ = [
    "COLOUR_SPACES",
    "ColourSpace",
    "FeatureSpec",
    "image_features",
    "pixel_values",
    "point_features",
    "put_back",
    "start_scale",
]

ColourSpace = Literal["auto", "rgb", "lab", "luv", "hsv", "ycrcb", "gray", "raw"]
COLOUR_SPACES: tuple[str, ...] = get_args(ColourSpace)

_AXES = ("plane", "row", "col")


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """Which features the pixels get.

    Attributes
    ----------
    colour_space : {"auto", "rgb", "lab", "luv", "hsv", "ycrcb", "gray", "raw"}
        "lab" and "luv" are CIE's, white D65 (L 0..100). "rgb", "gray" and "ycrcb" are display
        values in 0..1. "hsv" is (V, S cos H, S sin H): hue as an angle would tear red apart at
        0 and mean nothing in grey. "raw" takes the bands as they are. "auto" is "lab" for 8 and
        16-bit colour pictures of three bands, otherwise "raw".
    bands : tuple of int, optional
        Chosen bands, from 1, in this order; for a colour space: red, green, blue.
        None = all; for a colour space of a colour image: the first three.
    position : float
        0 = none; otherwise row and col (and plane) are features and this is their weight in the
        distances of the k-means start, against 1 for the colour: see `start_scale`. It does not
        scale the features, because a Gaussian mixture with free covariances would not notice.
    local_mean, local_std : tuple of float
        Scales of Gaussian windows: sigma in pixels of the finest axis. The local mean and std are
        of lightness (the first feature) in a colour space, and of every band in "raw" and "rgb".

    Raises
    ------
    InvalidParameterError
        When a value breaks its rule.

    Examples
    --------
    >>> import numpy as np
    >>> image = Image.from_array(np.zeros((4, 5, 3), np.uint8))
    >>> FeatureSpec(local_std=(2,), position=0.5).names(image)
    ('L', 'a', 'b', 'std 2 of L', 'row', 'col')
    """

    colour_space: str = "auto"
    bands: tuple[int, ...] | None = None
    position: float = 0.0
    local_mean: tuple[float, ...] = ()
    local_std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_choice(self.colour_space, "colour_space", COLOUR_SPACES)
        checked = {
            "bands": None if self.bands is None else _check_bands(self.bands),
            "position": check_real(self.position, "position", minimum=0),
            "local_mean": _check_scales(self.local_mean, "local_mean"),
            "local_std": _check_scales(self.local_std, "local_std"),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def is_pointwise(self) -> bool:
        """True when the features depend on the pixel's own values only."""
        return not (self.position or self.local_mean or self.local_std)

    def resolve(self, image: Image) -> FeatureSpec:
        """The same with "auto" decided, checked against `image`.

        "gray" of one band that is not made of display values (a CT, say) becomes "raw".

        Raises
        ------
        InvalidParameterError
            When the image has not the bands or values that the features need.

        Examples
        --------
        >>> import numpy as np
        >>> FeatureSpec().resolve(Image.from_array(np.zeros((4, 5)))).colour_space
        'raw'
        """
        missing = [band for band in self.bands or () if band > image.n_bands]
        if missing:
            raise InvalidParameterError(
                f"bands must be within 1..{image.n_bands}, the bands of this image, got "
                f"{missing[0]}. Choose others with bands= (--bands)."
            )
        space = self.colour_space
        if space == "auto":
            space = "lab" if self._looks_like_a_picture(image) else "raw"
        if space != "raw":
            space = self._checked_space(space, image)
        return dataclasses.replace(self, colour_space=space)

    def names(self, image: Image) -> tuple[str, ...]:
        """What the features of `image` are called, in their order."""
        spec = self.resolve(image)
        points = spec._point_names(image)
        textured = points[: spec._n_textured(len(points))]
        texture = [
            f"{kind} {scale:g} of {name}"
            for kind, scales in (("mean", spec.local_mean), ("std", spec.local_std))
            for scale in scales
            for name in textured
        ]
        place = _AXES[-image.ndim :] if spec.position else ()
        return (*points, *texture, *place)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Examples
        --------
        >>> FeatureSpec(colour_space="raw", bands=(4, 3)).to_dict()["bands"]
        [4, 3]
        """
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, entries: Any) -> FeatureSpec:
        """The inverse of `to_dict`.

        Raises
        ------
        ModelFormatError
            When an entry is unknown, missing, of the wrong type or out of range.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(entries, Mapping):
            raise ModelFormatError(f"features must be an object, got {type(entries).__name__}.")
        if odd := sorted(names ^ set(entries), key=str):
            state = "missing" if odd[0] in names else "not known to this version"
            raise ModelFormatError(f"features: the entry {odd[0]!r} is {state}.")
        for name in ("bands", "local_mean", "local_std"):
            value = entries[name]
            if not (isinstance(value, list) or (name == "bands" and value is None)):
                raise ModelFormatError(f"features: {name} must be a list, got {value!r}.")
        try:
            return cls(**entries)
        except InvalidParameterError as error:
            raise ModelFormatError(f"features: {error}") from error

    def chosen(self, image: Image) -> tuple[int, ...]:
        """Indices, from 0, of the bands that the features are made of."""
        if self.bands is not None:
            return tuple(band - 1 for band in self.bands)
        n_bands = image.n_bands
        if image.colour and self.colour_space in SPACES:
            n_bands = 3
        return tuple(range(n_bands))

    def _looks_like_a_picture(self, image: Image) -> bool:
        """Colour made for a display, and no band lost by taking it as such."""
        return image.colour and is_picture(image.data.dtype) and self.chosen(image) == (0, 1, 2)

    def _checked_space(self, space: str, image: Image) -> str:
        """`space`, which must suit the chosen bands and their values."""
        chosen = dataclasses.replace(self, colour_space=space).chosen(image)
        if len(chosen) not in SPACES[space].n_bands:
            raise InvalidParameterError(
                f"colour_space {space!r} needs three bands, red, green and blue, "
                f"but {_count(len(chosen), 'band is', 'bands are')} chosen. Choose three with "
                "bands= (--bands 3,2,1), or take the bands as they are with "
                "colour_space='raw' (--colour-space raw)."
            )
        bands = (image.data[..., i] for i in chosen)
        found = not_display_values(bands, image.data.dtype, image.valid)
        if not found:
            return space
        if len(chosen) == 1:
            return "raw"
        raise InvalidParameterError(
            f"colour_space {space!r} needs display values: uint8, uint16, or floats in 0..1, "
            f"got {found}. Take the bands as they are with colour_space='raw' (--colour-space raw)."
        )

    def _point_names(self, image: Image) -> tuple[str, ...]:
        if self.colour_space in SPACES:
            return SPACES[self.colour_space].names
        known = image.band_names or tuple(f"band {i + 1}" for i in range(image.n_bands))
        return tuple(known[i] for i in self.chosen(image))

    def _n_textured(self, n_points: int) -> int:
        """How many of the colour features have their local mean and std taken."""
        return n_points if self.colour_space == "raw" else SPACES[self.colour_space].n_textured


def pixel_values(image: Image, spec: FeatureSpec) -> NDArray[Any]:
    """The chosen bands of the used pixels: what `point_features` takes.

    Parameters
    ----------
    image : Image
    spec : FeatureSpec
        It is resolved for `image`.

    Returns
    -------
    ndarray of shape (N, n_chosen), of the image's dtype
        One row for each pixel of ``image.valid``, in row-major order. A view where all pixels
        and bands are used.

    Examples
    --------
    >>> import numpy as np
    >>> image = Image.from_array(np.arange(8).reshape(2, 2, 2), mask=[[1, 0], [1, 1]])
    >>> pixel_values(image, FeatureSpec(bands=(2,))).ravel()
    array([1, 5, 7])
    """
    return _pixel_values(image, spec.resolve(image), image.valid)


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
    out = np.empty((_n_points(rows, spec), len(rows)), dtype=_feature_dtype(rows.dtype, spec))
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
        One row for each pixel of ``image.valid`` in row-major order (`put_back` puts labels in
        their places), one column for each of ``spec.names(image)``. Feature-major: its transpose is
        C-contiguous.

    Notes
    -----
    Place is the pixel's centre in physical units (`Image.spacing`; unknown = 1) from the image's
    corner, divided by the longest extent of the image: 0..1 along the longest axis, whatever the
    resolution. Local moments are by normalised convolution (Knutsson and Westin, CVPR 1993): unused
    pixels and the outside neither give nor take.

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
    grid = Grid(image.shape, image.spacing or (1.0,) * image.ndim, image.valid)
    values = _pixel_values(image, spec, grid.valid)
    n_points = _n_points(values, spec)
    n_textured = spec._n_textured(n_points)
    n_texture = n_textured * len(spec.local_mean + spec.local_std)
    n_place = image.ndim if spec.position else 0
    out = np.empty(
        (n_points + n_texture + n_place, len(values)), dtype=_feature_dtype(values.dtype, spec)
    )
    points, texture, place = np.split(out, [n_points, n_points + n_texture])
    _fill_points(values, spec, points)
    fill_texture(points[:n_textured], grid, spec.local_mean, spec.local_std, texture)
    fill_place(grid, place)
    return out.T


def put_back(
    rows: NDArray[Any], valid: NDArray[np.bool_] | None, shape: tuple[int, ...], fill: Any = 0
) -> NDArray[Any]:
    """Rows of used pixels -> an array of the image's shape.

    Parameters
    ----------
    rows : ndarray of shape (N,) or (N, K)
        One row for each used pixel, such as labels or probabilities.
    valid : ndarray of bool of `shape`, or None
        ``image.valid``: the used pixels; None = all.
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


def start_scale(
    features: NDArray[Any],
    spec: FeatureSpec,
    *,
    ndim: int | None = None,
    sample_weight: NDArray[Any] | None = None,
) -> NDArray[np.float64]:
    """What to multiply each feature by before k-means measures distances.

    Colours of one space share one scale, 1 / the largest std among them, so that the metric of
    the colour space is kept. Raw bands and textures each get 1 / their own std, so that units do
    not matter. Place shares one scale, `FeatureSpec.position` / the largest std among its axes.
    A feature that does not vary gets 0.

    Parameters
    ----------
    features : ndarray of shape (N, D)
        As `image_features` or `point_features` give them.
    spec : FeatureSpec
        Resolved: not "auto".
    ndim : int, optional
        The image's number of spatial axes; needed when `spec.position` is not 0.
    sample_weight : ndarray of shape (N,), optional
        How often each row counts.

    Returns
    -------
    ndarray of shape (D,), float64

    Examples
    --------
    >>> import numpy as np
    >>> spec = FeatureSpec(colour_space="raw")
    >>> start_scale(np.array([[0.0, 7.0], [4.0, 7.0]]), spec)
    array([0.5, 0. ])
    """
    _check_resolved(spec)
    if spec.position and ndim is None:
        raise InvalidParameterError(
            "ndim must be given when position features are used: pass ndim=image.ndim."
        )
    n_features = features.shape[1]
    n_place = (ndim or 0) if spec.position else 0
    space = SPACES.get(spec.colour_space)
    stds = np.array([_std(column, sample_weight) for column in features.T])
    weights = np.ones(n_features)
    weights[n_features - n_place :] = spec.position
    for group in (slice(len(space.names) if space else 0), slice(n_features - n_place, None)):
        stds[group] = stds[group].max(initial=0)
    scale: NDArray[np.float64] = np.divide(weights, stds, out=np.zeros(n_features), where=stds > 0)
    return scale


def _std(column: NDArray[Any], sample_weight: NDArray[Any] | None) -> float:
    """Weighted std in two passes about a value of the column; 0 when it is rounding noise."""
    if len(column) == 0:
        return 0.0
    origin = float(column[0])
    total, first = _moments(column, sample_weight, origin, power=1)
    mean = origin + first / total if total > 0 else origin
    total, second = _moments(column, sample_weight, mean, power=2)
    std = float(np.sqrt(second / total)) if total > 0 else 0.0
    noise = float(np.finfo(column.dtype).eps) * abs(mean) if column.dtype.kind == "f" else 0.0
    return std if std > noise else 0.0


def _moments(
    column: NDArray[Any], sample_weight: NDArray[Any] | None, origin: float, power: int
) -> tuple[float, float]:
    """Sum of weights, and weighted sum of a power of the deviations, block by block."""
    total = moment = 0.0
    for start in range(0, len(column), BLOCK):
        rows = slice(start, start + BLOCK)
        deviations = (column[rows].astype(np.float64) - origin) ** power
        weights = np.ones(len(deviations)) if sample_weight is None else sample_weight[rows]
        total += float(weights.sum())
        moment += float(weights @ deviations)
    return total, moment


def _pixel_values(image: Image, spec: FeatureSpec, valid: NDArray[np.bool_] | None) -> NDArray[Any]:
    chosen = spec.chosen(image)
    data = image.data
    if valid is None and chosen == tuple(range(image.n_bands)):
        return data.reshape(-1, image.n_bands)
    n_used = image.n_pixels if valid is None else int(np.count_nonzero(valid))
    out = np.empty((n_used, len(chosen)), dtype=data.dtype)
    for column, band in zip(out.T, chosen, strict=True):
        column[:] = data[..., band].ravel() if valid is None else data[..., band][valid]
    return out


def _check_resolved(spec: FeatureSpec) -> None:
    if spec.colour_space == "auto":
        raise InvalidParameterError(
            "colour_space must be resolved here, got 'auto': use spec.resolve(image)."
        )


def _n_points(values: NDArray[Any], spec: FeatureSpec) -> int:
    """The number of colour features that the bands of `values` give."""
    _check_resolved(spec)
    n_bands = int(values.shape[1])
    space = SPACES.get(spec.colour_space)
    if space is None:
        return n_bands
    if n_bands not in space.n_bands:
        raise InvalidParameterError(
            f"values must have {' or '.join(map(str, space.n_bands))} bands for colour_space "
            f"{spec.colour_space!r}, got {n_bands}. Pass the chosen bands only."
        )
    return len(space.names)


def _feature_dtype(dtype: np.dtype[Any], spec: FeatureSpec) -> type[np.floating[Any]]:
    """float32 where it holds all values exactly."""
    exact = spec.colour_space in SPACES or np.can_cast(dtype, np.float32)
    return np.float32 if exact else np.float64


def _fill_points(values: NDArray[Any], spec: FeatureSpec, out: NDArray[Any]) -> None:
    if spec.colour_space in SPACES:
        SPACES[spec.colour_space].fill(values, out)
    else:
        for plane, band in zip(out, values.T, strict=True):
            plane[:] = band


def _check_bands(bands: Any) -> tuple[int, ...]:
    checked = tuple(
        check_integer(band, "each of bands", minimum=1) for band in _items(bands, "bands")
    )
    if not checked or len(set(checked)) != len(checked):
        raise InvalidParameterError(
            f"bands must be different band numbers, at least one, got {bands!r}. None takes all."
        )
    return checked


def _check_scales(scales: Any, name: str) -> tuple[float, ...]:
    checked = tuple(
        check_real(scale, f"each of {name}", minimum=0, exclusive=True)
        for scale in _items(scales, name)
    )
    if len(set(checked)) != len(checked):
        raise InvalidParameterError(f"{name} must be different scales, got {scales!r}.")
    return checked


def _items(value: Any, name: str) -> Iterable[Any]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidParameterError(f"{name} must be a sequence of numbers, got {value!r}.")
    return value


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
