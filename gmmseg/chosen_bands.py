"""Bands that are chosen: by number, by name, or by their role; and found again in other images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gmmseg._check import check_choice, check_integer
from gmmseg._files import printable
from gmmseg.band_roles import ROLES, known_roles, needed_roles, sensor_of
from gmmseg.errors import InvalidParameterError
from gmmseg.image import Image
from gmmseg.spectral_indices import INDICES, roles_of

if TYPE_CHECKING:
    from gmmseg.feature_spec import FeatureSpec

__all__ = [
    "Band",
    "check_band",
    "checked_bands",
    "checked_roles",
    "found_in",
    "number_of",
    "origins",
    "places_by_role",
    "places_of",
    "with_roles",
]

#: A number from 1, or a name.
Band = int | str


def check_band(band: Any, name: str) -> Band:
    """A number from 1, or a name that is not empty."""
    if isinstance(band, str):
        if band:
            return band
        raise InvalidParameterError(f"{name} must be a number from 1 or a name, got ''.")
    return check_integer(band, name, minimum=1)


def checked_bands(bands: Any) -> tuple[tuple[Band, ...], dict[str, Band]]:
    """The chosen bands in their order, and the roles that were told with them.

    Parameters
    ----------
    bands : sequence, or mapping of str to int or str
        Numbers, names, and pairs of a role and one of these.

    Examples
    --------
    >>> checked_bands({"red": 3, "nir": "B08"})
    ((3, 'B08'), {'red': 3, 'nir': 'B08'})
    >>> checked_bands([1, ("red", 3)])
    ((1, 3), {'red': 3})
    """
    if isinstance(bands, str) or not isinstance(bands, Iterable):
        raise InvalidParameterError(f"bands must be a sequence of numbers, got {bands!r}.")
    chosen: list[Band] = []
    pairs: list[tuple[Any, Any]] = []
    for band in bands.items() if isinstance(bands, Mapping) else bands:
        if isinstance(band, tuple) and len(band) == 2:
            pairs.append(band)
            band = band[1]
        chosen.append(check_band(band, "each of bands"))
    if not chosen or len(set(chosen)) != len(chosen):
        raise InvalidParameterError(
            f"bands must be different band numbers or names, at least one, got {bands!r}. None "
            "takes all."
        )
    return tuple(chosen), dict(checked_roles(pairs))


def checked_roles(roles: Any) -> tuple[tuple[str, Band], ...]:
    """Pairs of a role and its band, in the order of `ROLES`.

    Examples
    --------
    >>> checked_roles({"red": 3, "blue": 1})
    (('blue', 1), ('red', 3))
    """
    pairs = list(roles.items()) if isinstance(roles, Mapping) else list(roles)
    found = {check_choice(role, "a role", ROLES): check_band(band, role) for role, band in pairs}
    if len(found) < len(pairs) or len(set(found.values())) < len(found):
        raise InvalidParameterError(
            f"roles must be of different bands, each role once, got {pairs!r}."
        )
    return tuple((role, found[role]) for role in ROLES if role in found)


def number_of(band: Band, names: Sequence[str], n_bands: int, *origins: str) -> int:
    """The number of a band, from 1, of an image with bands of these names.

    A name is what the image calls the band, whatever the case, or a role.

    Raises
    ------
    InvalidParameterError
        When there is no such band.

    Examples
    --------
    >>> number_of("b04", ["B03", "B04"], 2), number_of("green", ["B03", "B04"], 2)
    (2, 1)
    """
    if isinstance(band, int):
        if band > n_bands:
            raise InvalidParameterError(
                f"bands must be within 1..{n_bands}, the bands of this image, got {band}. Choose "
                "others with bands= (--bands)."
            )
        return band
    called = [name for name in names if name.casefold() == band.casefold()]
    wanted = band if band in called else called[0] if len(called) == 1 else None
    if wanted is not None and list(names).count(wanted) == 1:
        return list(names).index(wanted) + 1
    roles = known_roles(names, *origins)
    if band not in roles:
        listed = ", ".join(printable(name) for name in names[:20]) or "without names"
        raise InvalidParameterError(
            f"bands names {printable(repr(band))}, but the bands of this image are {listed}. "
            "Choose by number with bands= (--bands 4,3,2)."
        )
    return roles[band]


def places_of(wanted: Sequence[str], names: Sequence[str]) -> list[int] | None:
    """The numbers, from 1, of the bands of these names; None unless each is there once.

    Examples
    --------
    >>> places_of(["B4", "B3"], ["B3", "B4"]), places_of(["B4"], ["red"])
    ([2, 1], None)
    """
    if not wanted or any(list(names).count(name) != 1 for name in wanted):
        return None
    return [list(names).index(name) + 1 for name in wanted]


def places_by_role(
    wanted: Sequence[str],
    told: Mapping[str, int],
    sensor: str,
    names: Sequence[str],
    *origins: str,
) -> list[int]:
    """The numbers, from 1, of the bands that are to one sensor what these are to another.

    Parameters
    ----------
    wanted : sequence of str
        What the bands are called that `sensor` has.
    told : mapping of str to int
        Roles of the places, from 1, in `wanted`, besides those that the names tell.
    names, origins : str
        Of the other image.

    Raises
    ------
    InvalidParameterError
        When a band has no known role, or the other image has no band of that.

    Examples
    --------
    >>> places_by_role(["B4", "B5"], {}, "Landsat 8/9", ["B1", "B2", "B3", "B4"], "LT05_L2SP")
    [3, 4]
    """
    roles = {place: role for role, place in (known_roles(wanted, sensor) | dict(told)).items()}
    here = known_roles(names, *origins)
    for place, name in enumerate(wanted, start=1):
        if roles.get(place) not in here:
            means = f" ({roles[place]})" if place in roles else ""
            raise InvalidParameterError(
                f"the model was fitted on bands of {sensor}, and this image, of "
                f"{sensor_of(names, *origins)}, has none that is known to be like its "
                f"{printable(name)}{means}. Fit a model on bands that both have, with bands= "
                "(--bands red,nir)."
            )
    return [here[roles[place]] for place in range(1, len(wanted) + 1)]


def origins(image: Image) -> tuple[str, str]:
    """What may tell which sensor took an image."""
    return image.sensor, "" if image.path is None else image.path.name


def found_in(image: Image, spec: FeatureSpec) -> FeatureSpec:
    """The same features of the bands by their numbers in `image`.

    Those of a resolved spec, of another image, are found by their names where this one has all of
    them, and in that of another sensor by their roles.
    """
    bands, roles = spec.bands, dict(spec.roles)
    places = _places(image, spec)
    if places is not None and (spec.columns or places != list(range(1, image.n_bands + 1))):
        earlier = spec.columns or range(1, len(places) + 1)
        moved: dict[Any, int] = dict(zip(earlier, places, strict=True))
        if spec.colour_space != "none":
            bands = tuple(moved[band] for band in bands or earlier)
        roles = {role: moved[band] for role, band in roles.items()}

    def number(band: Band) -> int:
        return number_of(band, image.band_names, image.n_bands, *origins(image))

    return replace(
        spec,
        bands=bands and tuple(map(number, bands)),
        roles=tuple((role, number(band)) for role, band in roles.items()),
    )


def _places(image: Image, spec: FeatureSpec) -> list[int] | None:
    """Where the bands of another image are in this one; None where that is not known."""
    names, told = image.band_names, origins(image)
    other = sensor_of(names, *told)
    if not (spec.sensor and other and spec.sensor != other):
        return places_of(spec.band_names, names)
    roles = {role: spec.columns.index(band) + 1 for role, band in spec.found_roles.items()}
    return places_by_role(spec.band_names, roles, spec.sensor, names, *told)


def with_roles(image: Image, spec: FeatureSpec) -> FeatureSpec:
    """The same features, with a number for every band that their indices need."""
    needed, names = roles_of(spec.indices), image.band_names
    roles = needed_roles(spec.indices, needed, spec.found_roles, names, *origins(image))
    odd = [name for name in spec.indices if INDICES[name].needs_reflectance]
    if odd and image.data.dtype.kind != "f":
        raise InvalidParameterError(
            f"{odd[0]} needs reflectances of 0 to 1, because its formula has constants "
            f"({INDICES[odd[0]].formula}), but the bands are numbers of {image.data.dtype} "
            "without a scale. Tell scale and offset of the files (--scale, --offset), or take "
            "an index of ratios alone, such as ndvi."
        )
    bands = tuple(i + 1 for i in spec.points(image)) or None
    return replace(spec, bands=bands, roles=tuple(roles.items()))
