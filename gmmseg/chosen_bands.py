"""Bands that are chosen: by number, by name, or by their role; and found again in other images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gmmseg._check import check_choice, check_integer
from gmmseg._files import printable
from gmmseg.band_roles import ROLES, known_roles
from gmmseg.errors import InvalidParameterError

__all__ = ["Band", "check_band", "checked_bands", "checked_roles", "number_of", "places_of"]

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
