"""Which band is red, which near infrared: by the names of bands and of what took the scene."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gmmseg._files import printable
from gmmseg.errors import InvalidParameterError

__all__ = ["ROLES", "SENSORS", "known_roles", "needed_roles", "sensor_of"]

#: What bands are called in words, the best first. All is in small letters, with single blanks.
_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "blue": ("blue",),
        "green": ("green",),
        "red": ("red",),
        "red_edge": ("red edge", "rededge", "red edge 1", "rededge1", "rededge 1", "rededge071"),
        "nir": ("nir", "near infrared", "near ir", "nir1", "nir 1", "nir08", "nir8", "nir narrow"),
        "swir1": ("swir1", "swir 1", "swir16", "swir 1.6", "infrared 1.6", "shortwave infrared 1"),
        "swir2": ("swir2", "swir 2", "swir22", "swir 2.2", "infrared 2.2", "shortwave infrared 2"),
    }
)

#: The roles that bands may have.
ROLES = tuple(_WORDS)

#: Numbers of the bands of each role, the best first.
_SENSORS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Sentinel-2": {
            "blue": ("2",), "green": ("3",), "red": ("4",), "red_edge": ("5",),
            "nir": ("8", "8A"), "swir1": ("11",), "swir2": ("12",),
        },
        "Landsat 8/9": {
            "blue": ("2",), "green": ("3",), "red": ("4",),
            "nir": ("5",), "swir1": ("6",), "swir2": ("7",),
        },
        "Landsat 4/5/7": {
            "blue": ("1",), "green": ("2",), "red": ("3",),
            "nir": ("4",), "swir1": ("5",), "swir2": ("7",),
        },
    }
)  # fmt: skip

#: Those of which the numbers of bands are known.
SENSORS = tuple(_SENSORS)

#: All numbers of bands that a sensor has.
_BANDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "Sentinel-2": frozenset({*map(str, range(1, 13)), "8A"}),
        "Landsat 8/9": frozenset(map(str, range(1, 12))),
        "Landsat 4/5/7": frozenset(map(str, range(1, 9))),
    }
)

#: Those of Landsat that are of reflected light: SR_B4, surface reflectance; ST_B6 is heat.
_SURFACE: Mapping[str, frozenset[str]] = MappingProxyType(
    {"Landsat 8/9": frozenset("1234567"), "Landsat 4/5/7": frozenset("123457")}
)

#: What names of files and spacecraft tell.
_MARKS = (
    ("Sentinel-2", re.compile(r"(?<![A-Z0-9])(S2[ABC]?[_-]|SENTINEL-?2|T\d\d[A-Z]{3}_|HLS\.S30)")),
    ("Landsat 8/9", re.compile(r"(?<![A-Z0-9])(L[CO]0?[89]|LANDSAT[-_ ]?[89]|HLS\.L30)")),
    ("Landsat 4/5/7", re.compile(r"(?<![A-Z0-9])(L[TE]0?[457]|LANDSAT[-_ ]?[457])")),
)

#: B4, B04, B8A, SR_B4; what follows, as in "B4, central wavelength 665 nm", does not matter.
_CODE = re.compile(r"(S[RT]_)?B(0?)(\d{1,2}A?)(?![A-Z0-9])")


def known_roles(names: Sequence[str], *origins: str) -> dict[str, int]:
    """The bands of which the role is known, from 1.

    Words count first: "red", "NIR", "near infrared", "swir16". Then numbers such as B04 or SR_B5,
    by what took the scene. Where that is not told, all that have bands of these numbers have to
    agree: B4 alone may be red or near infrared.

    Parameters
    ----------
    names : sequence of str
        Of the bands.
    *origins : str
        Names of the file, of the spacecraft.

    Examples
    --------
    >>> known_roles(["Blue", "near infrared"])
    {'blue': 1, 'nir': 2}
    >>> known_roles(["B3", "B4"], "LC08_L2SP_013031"), known_roles(["B3", "B4"], "LT05_L2SP_224063")
    ({'green': 1, 'red': 2}, {'red': 1, 'nir': 2})
    >>> known_roles(["B3", "B4"])
    {}
    """
    return _by_number(names, origins) | _by_word(names)


def sensor_of(names: Sequence[str], *origins: str) -> str:
    """Which sensor the numbers of the bands are of; empty where there are none, or that is open.

    Examples
    --------
    >>> sensor_of(["B4", "B5"], "LC08_L2SP_013031"), sensor_of(["B04"]), sensor_of(["B4"])
    ('Landsat 8/9', 'Sentinel-2', '')
    """
    codes = [_CODE.match(name.upper()) for name in names]
    found = _candidates(codes, origins) if any(codes) else []
    return found[0] if len(found) == 1 else ""


def _by_word(names: Sequence[str]) -> dict[str, int]:
    plain = [re.sub(r"[\s_-]+", " ", name).strip().lower() for name in names]
    found = {}
    for role, words in _WORDS.items():
        place = next((plain.index(word) for word in words if plain.count(word) == 1), None)
        if place is not None:
            found[role] = place + 1
    return found


def _by_number(names: Sequence[str], origins: Sequence[str]) -> dict[str, int]:
    codes = [_CODE.match(name.upper()) for name in names]
    numbers = [None if code is None else code[3].lstrip("0") for code in codes]
    found = [_of_sensor(sensor, numbers) for sensor in _candidates(codes, origins)]
    if not found:
        return {}
    first = found[0]
    return {role: band for role, band in first.items() if all(o.get(role) == band for o in found)}


def _of_sensor(sensor: str, numbers: Sequence[str | None]) -> dict[str, int]:
    places = {
        role: next((numbers.index(n) + 1 for n in own if numbers.count(n) == 1), None)
        for role, own in _SENSORS[sensor].items()
    }
    return {role: place for role, place in places.items() if place is not None}


def _candidates(codes: Sequence[re.Match[str] | None], origins: Sequence[str]) -> list[str]:
    """What may have taken a scene with bands of these numbers."""
    text = " ".join(origins).upper()
    told = [sensor for sensor, mark in _MARKS if mark.search(text)]
    if told:
        return told
    known = [code for code in codes if code is not None]
    numbers = {code[3].lstrip("0") for code in known}
    possible = [sensor for sensor, own in _BANDS.items() if numbers <= own]
    surface = {code[3].lstrip("0") for code in known if code[1] == "SR_"}
    if any(code[1] for code in known):
        possible = [name for name in possible if surface <= _SURFACE.get(name, frozenset("-"))]
    if any(code[2] for code in known):  # B04
        possible = [sensor for sensor in possible if sensor == "Sentinel-2"]
    return possible if known else []


def needed_roles(
    indices: Sequence[str],
    needed: Sequence[str],
    told: Mapping[str, int],
    names: Sequence[str],
    *origins: str,
) -> dict[str, int]:
    """The band of every role that indices need, from 1: as it was told, or as names tell.

    Raises
    ------
    InvalidParameterError
        When that of a role is not known.

    Examples
    --------
    >>> needed_roles(["ndvi"], ["nir", "red"], {"nir": 4}, ["red", "", "", "x"])
    {'nir': 4, 'red': 1}
    """
    known = known_roles(names, *origins) | dict(told)
    missing = [role for role in needed if role not in known]
    if missing:
        listed = ", ".join(f"{role} (band {band})" for role, band in known.items()) or "none"
        called = ", ".join(printable(name) for name in names[:20])
        example = ",".join(f"{role}={known.get(role, 'N')}" for role in needed)
        raise InvalidParameterError(
            f"{', '.join(indices)}: it is not known which band is {' and which '.join(missing)}. "
            f"Known: {listed}; the bands are called {called or 'nothing'}. Tell it by number or "
            f"name with bands= (--bands {example}, and whatever other bands are to be features)."
        )
    return {role: known[role] for role in needed}
