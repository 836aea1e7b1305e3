"""Spectral indices: ratios of bands, written by the roles of the bands.

Each is a ratio of two sums of reflectances. Where the lower sum is not positive the index is not
defined, and is a gap; those that lie in -1..1 for any reflectances from 0 are held there, so that
a reflectance slightly below 0, as over dark water, makes no value of any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["INDICES", "Index", "index_values", "roles_of"]


@dataclass(frozen=True, kw_only=True)
class Index:
    """An index as ``gain (over + constant) / (under + constant)``.

    Attributes
    ----------
    meaning : str
        What it is high for.
    source : str
        Where it was published.
    over, under : mapping of str to float
        Weights of the bands, by their roles; the weight of "" is a constant.
    gain : float
    """

    meaning: str
    source: str
    over: Mapping[str, float]
    under: Mapping[str, float]
    gain: float = 1.0

    @property
    def roles(self) -> tuple[str, ...]:
        """The bands that it needs."""
        return tuple(dict.fromkeys(role for role in (*self.over, *self.under) if role))

    @property
    def needs_reflectance(self) -> bool:
        """Whether the unit of the bands matters, and not only their zero."""
        return "" in self.over or "" in self.under

    @property
    def limit(self) -> float:
        """Its largest size where no reflectance is below 0."""
        bounded = all(abs(self.over.get(role, 0)) <= w for role, w in self.under.items())
        return self.gain if bounded else np.inf

    @property
    def formula(self) -> str:
        """For people.

        Examples
        --------
        >>> INDICES["evi2"].formula
        '2.5 (nir - red) / (nir + 2.4 red + 1)'
        """
        gain = "" if self.gain == 1 else f"{self.gain:g} "
        return f"{gain}({_text(self.over)}) / ({_text(self.under)})"


def _text(weights: Mapping[str, float]) -> str:
    terms = ""
    for role, weight in weights.items():
        size = "" if abs(weight) == 1 and role else f"{abs(weight):g}"
        sign = " - " if weight < 0 else " + "
        terms += sign + " ".join(part for part in (size, role) if part)
    return terms.removeprefix(" + ")


def _difference(high: str, low: str, meaning: str, source: str) -> Index:
    """A normalised difference of two bands."""
    over, under = {high: 1.0, low: -1.0}, {high: 1.0, low: 1.0}
    return Index(meaning=meaning, source=source, over=over, under=under)


#: The indices by name, with the publications that their formulas are from.
INDICES: Mapping[str, Index] = MappingProxyType(
    {
        "ndvi": _difference("nir", "red", "plants", "Rouse et al. 1974"),
        "gndvi": _difference("nir", "green", "chlorophyll", "Gitelson et al. 1996"),
        "ndre": _difference("nir", "red_edge", "chlorophyll", "Gitelson and Merzlyak 1994"),
        "ndwi": _difference("green", "nir", "open water", "McFeeters 1996"),
        "mndwi": _difference("green", "swir1", "open water, not buildings", "Xu 2006"),
        "ndmi": _difference("nir", "swir1", "water in plants", "Wilson and Sader 2002"),
        "ndbi": _difference("swir1", "nir", "buildings, bare soil", "Zha, Gao and Ni 2003"),
        "ndsi": _difference("green", "swir1", "snow", "Hall, Riggs and Salomonson 1995"),
        "nbr": _difference("nir", "swir2", "what has not burnt", "Key and Benson 2006"),
        "bsi": Index(
            meaning="bare soil",
            source="Rikimaru, Roy and Miyatake 2002",
            over={"swir1": 1, "red": 1, "nir": -1, "blue": -1},
            under={"swir1": 1, "red": 1, "nir": 1, "blue": 1},
        ),
        "savi": Index(
            meaning="plants above soil",
            source="Huete 1988",
            over={"nir": 1, "red": -1},
            under={"nir": 1, "red": 1, "": 0.5},
            gain=1.5,
        ),
        "evi": Index(
            meaning="dense plants",
            source="Huete et al. 2002",
            over={"nir": 1, "red": -1},
            under={"nir": 1, "red": 6, "blue": -7.5, "": 1},
            gain=2.5,
        ),
        "evi2": Index(
            meaning="dense plants",
            source="Jiang et al. 2008",
            over={"nir": 1, "red": -1},
            under={"nir": 1, "red": 2.4, "": 1},
            gain=2.5,
        ),
        "vari": Index(
            meaning="plants, by colours alone",
            source="Gitelson et al. 2002",
            over={"green": 1, "red": -1},
            under={"green": 1, "red": 1, "blue": -1},
        ),
    }
)


def roles_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """The roles of the bands that some indices need, each once.

    Examples
    --------
    >>> roles_of(("ndvi", "ndwi"))
    ('nir', 'red', 'green')
    """
    return tuple(dict.fromkeys(role for name in names for role in INDICES[name].roles))


def index_values(name: str, bands: Mapping[str, NDArray[Any]], dtype: Any) -> NDArray[Any]:
    """An index of pixels (docs/math.md, equations 95-97).

    Parameters
    ----------
    name : str
        Of `INDICES`.
    bands : mapping of str to ndarray
        The bands that it needs, by their roles, all of one shape; NaN = not observed.
    dtype : dtype
        float32 or float64: what is computed in and returned.

    Returns
    -------
    ndarray of that shape
        NaN where a band was not observed or the ratio is not defined.

    Examples
    --------
    >>> nir, red = np.array([60, 30, 0], np.uint8), np.array([20, 30, 0], np.uint8)
    >>> index_values("ndvi", {"nir": nir, "red": red}, np.float32)
    array([0.5, 0. , nan], dtype=float32)
    """
    index = INDICES[name]
    under = _sum(index.under, bands, dtype)
    found = _sum(index.over, bands, dtype)
    positive = under > 0
    with np.errstate(over="ignore", invalid="ignore"):
        np.divide(found, under, out=found, where=positive)
        found *= dtype(index.gain)
    np.copyto(found, np.nan, where=~positive)
    if np.isfinite(index.limit):
        return np.clip(found, -index.limit, index.limit, out=found)
    np.copyto(found, np.nan, where=np.isinf(found))
    return found


def _sum(weights: Mapping[str, float], bands: Mapping[str, Any], dtype: Any) -> NDArray[Any]:
    """The weighted sum of bands; what overflows is no reflectance, and becomes a gap."""
    total: Any = None
    with np.errstate(over="ignore", invalid="ignore"):
        for role, weight in weights.items():
            term = dtype(weight) if role == "" else bands[role].astype(dtype)
            if role and weight != 1:
                term *= dtype(weight)
            total = term if total is None else np.add(total, term, out=total)
    return np.asarray(total)
