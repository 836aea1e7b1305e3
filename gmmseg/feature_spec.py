"""Which features pixels get: the options, checked against an image and written to model files."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_choice, check_integer, check_real
from gmmseg._colour import SPACES, is_picture, not_display_values
from gmmseg._entries import check_entries, options_of_entries
from gmmseg.band_roles import SENSORS, sensor_of
from gmmseg.chosen_bands import (
    Band,
    checked_bands,
    checked_roles,
    found_in,
    origins,
    places_of,
    with_roles,
)
from gmmseg.errors import InvalidParameterError, ModelFormatError
from gmmseg.image import Image
from gmmseg.spectral_indices import INDICES, index_values, roles_of

__all__ = ["COLOUR_SPACES", "GAPS", "ColourSpace", "FeatureSpec", "feature_dtype"]

ColourSpace = Literal["auto", "rgb", "lab", "stain", "luv", "hsv", "ycrcb", "gray", "raw", "none"]
COLOUR_SPACES: tuple[str, ...] = get_args(ColourSpace)

#: What becomes of pixels of which some bands were not observed.
GAPS = ("use", "drop")

_AXES = ("plane", "row", "col")


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """Which features the pixels get.

    Attributes
    ----------
    colour_space : {"auto", "rgb", "lab", "stain", "luv", "hsv", "ycrcb", "gray", "raw", "none"}
        "lab" and "luv" are CIE's, white D65 (L 0..100). "stain" is lightness in red light, which
        hematoxylin of nuclei takes away and eosin beside them does not, and b / 2. "rgb",
        "gray" and "ycrcb" are display values in 0..1. "hsv" is (V, S cos H, S sin H): hue as an
        angle would tear red apart at 0 and mean nothing in grey. "raw" takes the bands as they are;
        "none" takes none of them, but `indices` alone.
        "auto" is "lab" for 8 and 16-bit colour pictures of three bands, otherwise "raw".
    bands : tuple of int or str, optional
        Chosen bands, from 1 or by name, in this order; for a colour space: red, green, blue.
        None = all; for a colour space of a colour image: the first three. A pair tells the role
        of a band as well, ``("nir", 4)``; so does a mapping, ``{"red": 3, "nir": 4}``.
    indices : tuple of str
        Spectral indices that are features beside the bands, of `spectral_indices.INDICES`:
        "ndvi", "ndwi" ... Their bands need not be chosen.
    roles : tuple of (str, int or str)
        Which band is red, which "nir"; a mapping will do. What is not told here is found by the
        names of the bands (`band_roles.known_roles`).
    position : float
        0 = none; otherwise row and col (and plane) are features and this is their weight in the
        distances of the k-means start, against 1 for the colour: see `features.start_scale`.
        It does not scale the features: a mixture with free covariances would not notice.
    local_mean, local_std : tuple of float
        Scales of Gaussian windows: sigma in pixels of the finest axis. The local mean and std are
        of lightness (the first feature) in a colour space, and of every band in "raw" and "rgb".
    power : float
        Each colour feature ``x`` becomes ``sign(x) |x| ** power``. 1/2 makes the variance of counts
        of photons the same at every brightness (Bartlett 1936); a unit does not matter, but zero
        must mean none. 1 = off.
    blur : float
        Colour features are local means: sigma of their Gaussian window in pixels of the finest
        axis. Texture is taken of what was there before. 0 = off.
    background : float
        Lightness (in "raw" and "rgb" every band) is taken from the level of its surroundings, where
        light is uneven or objects lie on others: sigma in pixels of the finest axis, larger than
        the objects' radius (docs/math.md, equations 75, 76). 0 = off.
    local_gain : float
        Lightness (in "raw" and "rgb" every band) above its ground is divided by the brightness of
        objects nearby, so that dim ones are found beside bright ones: sigma of their window in
        pixels of the finest axis (docs/math.md, equation 112). The ground is the level of the
        surroundings where `background` asks for it, otherwise the median. For objects that are
        brighter than the ground. 0 = off.
    working_pixels : int
        Pictures of at least four times as many pixels are segmented on a coarser grid, of the
        means of squares of pixels, as large as they may be for so many squares; labels and
        probabilities are then enlarged. Blur and texture are in pixels of that grid. 0 = off, as
        where the user gives hints or a box, and for volumes.
    gaps : {"use", "drop"}
        Pixels that lack some of the chosen bands: "use" what they have, or "drop" them. Colours
        need all their bands: in a colour space such pixels are dropped in any case.

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
    bands: tuple[Band, ...] | None = None
    indices: tuple[str, ...] = ()
    roles: tuple[tuple[str, Band], ...] = ()
    position: float = 0.0
    local_mean: tuple[float, ...] = ()
    local_std: tuple[float, ...] = ()
    power: float = 1.0
    blur: float = 0.0
    background: float = 0.0
    local_gain: float = 0.0
    working_pixels: int = 0
    gaps: str = "use"
    #: Resolved: what the image calls the bands, by which others find them whatever their order;
    #: and which sensor that is of, where its bands have numbers: B4 is not the same for all.
    band_names: tuple[str, ...] = field(default=(), compare=False)
    sensor: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        check_choice(self.colour_space, "colour_space", COLOUR_SPACES)
        check_choice(self.gaps, "gaps", GAPS)
        bands, told = (None, {}) if self.bands is None else checked_bands(self.bands)
        checked = {
            "bands": bands,
            "indices": _check_indices(self.indices, self.colour_space),
            "roles": checked_roles(dict(checked_roles(self.roles)) | told),
            "position": check_real(self.position, "position", minimum=0),
            "local_mean": _check_scales(self.local_mean, "local_mean"),
            "local_std": _check_scales(self.local_std, "local_std"),
            "power": check_real(self.power, "power", minimum=0, exclusive=True),
            "blur": check_real(self.blur, "blur", minimum=0),
            "background": check_real(self.background, "background", minimum=0),
            "local_gain": check_real(self.local_gain, "local_gain", minimum=0),
            "working_pixels": check_integer(self.working_pixels, "working_pixels", minimum=0),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def is_pointwise(self) -> bool:
        """True when the features depend on the pixel's own values only."""
        around = self.local_mean or self.local_std or self.blur or self.background
        return not (around or self.local_gain or self.position)

    def step(self, shape: tuple[int, ...]) -> int:
        """Side, in pixels, of the squares of the grid that an image of `shape` is segmented on.

        Examples
        --------
        >>> FeatureSpec(working_pixels=150_000).step((3000, 4000))
        8
        """
        if self.working_pixels == 0 or len(shape) != 2:
            return 1
        return max(1, math.isqrt(math.prod(shape) // self.working_pixels))

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
        spec = found_in(image, self)
        space = spec.colour_space
        if space == "auto":
            space = "lab" if spec._looks_like_a_picture(image) else "raw"
        if space in SPACES:
            space = spec._checked_space(space, image)
        spec = dataclasses.replace(spec, colour_space=space)
        spec = with_roles(image, spec) if spec.indices else dataclasses.replace(spec, roles=())
        names = tuple(image.band_names[i] for i in spec.chosen(image)) if image.band_names else ()
        own = names if places_of(names, image.band_names) else ()
        sensor = sensor_of(own, *origins(image))
        return dataclasses.replace(spec, band_names=own, sensor=sensor)

    @property
    def found_roles(self) -> dict[str, int]:
        """The bands of the roles, which have been found."""
        return {role: band for role, band in self.roles if isinstance(band, int)}

    def names(self, image: Image) -> tuple[str, ...]:
        """What the features of `image` are called, in their order."""
        spec = self.resolve(image)
        points = spec._point_names(image)
        if spec.power != 1:
            points = tuple(f"{name}^{spec.power:.3g}" for name in points)
        points += spec.indices
        textured = points[: spec.n_textured(len(points))]
        texture = [
            f"{kind} {scale:g} of {name}"
            for kind, scales in (("mean", spec.local_mean), ("std", spec.local_std))
            for scale in scales
            for name in textured
        ]
        place = _AXES[-image.ndim :] if spec.position else ()
        if spec.background:
            points = (*(f"{name} over surroundings" for name in textured), *points[len(textured) :])
        if spec.local_gain:
            points = (
                *(f"{n} in objects nearby" for n in points[: len(textured)]),
                *points[len(textured) :],
            )
        if spec.blur:
            points = tuple(f"mean {spec.blur:g} of {name}" for name in points)
        return (*points, *texture, *place)

    @property
    def is_raw(self) -> bool:
        """True when the features are the bands as they are, and nothing else."""
        bands_alone = self.colour_space == "raw" and not self.indices
        return bands_alone and self.is_pointwise and self.power == 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Examples
        --------
        >>> FeatureSpec(colour_space="raw", bands=(4, 3)).to_dict()["bands"]
        [4, 3]
        """
        entries = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }
        return entries | {"roles": dict(self.roles)}

    @classmethod
    def from_dict(cls, entries: Any) -> FeatureSpec:
        """The inverse of `to_dict`.

        Raises
        ------
        ModelFormatError
            When an entry is unknown, missing, of the wrong type or out of range.
        """
        check_entries(cls, entries, "features")
        for name in ("bands", "indices", "band_names", "local_mean", "local_std"):
            value = entries[name]
            if not (isinstance(value, list) or (name == "bands" and value is None)):
                raise ModelFormatError(f"features: {name} must be a list, got {value!r}.")
        if not isinstance(entries["roles"], dict):
            raise ModelFormatError(f"features: roles must be an object, got {entries['roles']!r}.")
        if not all(isinstance(name, str) for name in entries["band_names"]):
            raise ModelFormatError("features: band_names must be a list of text.")
        spec = options_of_entries(
            cls, entries | {"band_names": tuple(entries["band_names"])}, "features"
        )
        spec._check_found()
        return spec

    def _check_found(self) -> None:
        """Raise `ModelFormatError` unless all bands are told by number, as those of a model are."""
        if any(isinstance(band, str) for band in (*(self.bands or ()), *dict(self.roles).values())):
            raise ModelFormatError("features: bands and roles of a model must be numbers.")
        if set(roles_of(self.indices)) != set(dict(self.roles)):
            raise ModelFormatError("features: roles must be those that the indices need.")
        alone = self.colour_space == "none"
        if (alone and self.bands) or (self.indices and not (alone or self.bands)):
            raise ModelFormatError(
                "features: bands must be listed beside indices, and be null where these are alone."
            )
        if self.sensor not in ("", *SENSORS) or (self.sensor and not self.band_names):
            raise ModelFormatError(
                f"features: sensor must be one of {', '.join(SENSORS)}, and bands have names."
            )
        if self.columns and len(self.band_names) not in (0, len(self.columns)):
            raise ModelFormatError("features: band_names must be as many as the bands, or none.")

    def valid(self, image: Image) -> NDArray[np.bool_] | None:
        """True where a pixel of `image` is used, of its shape; None when all are.

        This spec is resolved: not "auto".
        """
        complete = self.gaps == "drop" or self.colour_space in SPACES
        chosen, points = self.chosen(image), self.points(image)
        used = image.usable(chosen, complete=complete)
        if not self.indices or (not complete and chosen == points):
            return used
        combine = np.logical_and if complete else np.logical_or

        def usable(part: slice) -> NDArray[np.bool_]:
            seen = combine.reduce([np.isfinite(plane) for plane in self._planes(image, part)])
            if not complete and points:
                some = image.usable(points)
                seen |= True if some is None else some[part]
            return seen if used is None else seen & used[part]

        return image.where(usable)

    def _planes(self, image: Image, part: slice) -> list[NDArray[Any]]:
        """The indices of some pixels; NaN where they are not defined."""
        dtype = feature_dtype(image.data.dtype, self)
        bands = {}
        for role, number in self.found_roles.items():
            values = image.data[part][..., number - 1].astype(dtype)
            bands[role] = np.where(image.observed_in(part, number - 1), values, dtype(np.nan))
        return [index_values(name, bands, dtype) for name in self.indices]

    def points(self, image: Image) -> tuple[int, ...]:
        """Indices, from 0, of the bands that are features, as they are or as colours."""
        if self.colour_space == "none":
            return ()
        if self.bands is not None:
            return tuple(int(band) - 1 for band in self.bands)
        n_bands = image.n_bands
        if image.colour and self.colour_space in SPACES:
            n_bands = 3
        return tuple(range(n_bands))

    def chosen(self, image: Image) -> tuple[int, ...]:
        """Indices, from 0, of the bands that the features are made of: `points`, then others."""
        if not self.indices:
            return self.points(image)
        return tuple(band - 1 for band in self.columns)

    @property
    def columns(self) -> tuple[int, ...]:
        """Of a resolved spec the numbers, from 1, of `chosen`; none where all bands are."""
        points = () if self.colour_space == "none" else self.bands or ()
        others = self.found_roles.values() if self.indices else ()
        return tuple(dict.fromkeys(int(band) for band in (*points, *others)))

    def _looks_like_a_picture(self, image: Image) -> bool:
        """Colour made for a display, and no band lost by taking it as such."""
        return image.colour and is_picture(image.data.dtype) and self.points(image) == (0, 1, 2)

    def _checked_space(self, space: str, image: Image) -> str:
        """`space`, which must suit the chosen bands and their values."""
        chosen = dataclasses.replace(self, colour_space=space).points(image)
        if len(chosen) not in SPACES[space].n_bands:
            raise InvalidParameterError(
                f"colour_space {space!r} needs three bands, red, green and blue, "
                f"but {_count(len(chosen), 'band is', 'bands are')} chosen. Choose three with "
                "bands= (--bands 3,2,1), or take the bands as they are with "
                "colour_space='raw' (--colour-space raw)."
            )
        bands = (image.data[..., i] for i in chosen)
        used = image.usable(chosen, complete=True)
        found = not_display_values(bands, image.data.dtype, used)
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
        return tuple(known[i] for i in self.points(image))

    def n_points(self, n_features: int) -> int:
        """How many of so many features, but for the place, are colours, bands or indices."""
        if self.colour_space in SPACES:
            return len(SPACES[self.colour_space].names) + len(self.indices)
        return n_features // (1 + len(self.local_mean) + len(self.local_std))

    def n_textured(self, n_points: int) -> int:
        """How many of the colour features have their local mean and std taken."""
        space = SPACES.get(self.colour_space)
        return n_points if space is None else space.n_textured


def feature_dtype(dtype: np.dtype[Any], spec: FeatureSpec) -> type[np.floating[Any]]:
    """float32 where it holds all values exactly."""
    exact = spec.colour_space in SPACES or np.can_cast(dtype, np.float32)
    return np.float32 if exact else np.float64


def _check_indices(names: Any, colour_space: str) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InvalidParameterError(f"indices must be a sequence of names, got {names!r}.")
    checked = tuple(check_choice(name, "each of indices", INDICES) for name in names)
    if len(set(checked)) != len(checked):
        raise InvalidParameterError(f"indices must be different ones, got {names!r}.")
    if colour_space == "none" and not checked:
        raise InvalidParameterError(
            "colour_space 'none' takes no band as a feature: name indices (--index ndvi)."
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
