"""Areas and volumes as people write them: 20 pixels, "5 mm2", "1.5 ml", "0.5 %"."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

from gmmseg._check import check_real
from gmmseg.errors import InvalidParameterError

__all__ = ["Area", "in_millilitres", "parse_area"]

#: Lengths in metres, by the names that images give them.
_METRES = {
    "nm": 1e-9,
    "um": 1e-6,
    "µm": 1e-6,
    "μm": 1e-6,
    "mm": 1e-3,
    "cm": 1e-2,
    "m": 1.0,
    "km": 1e3,
    "inch": 0.0254,
    "ft": 0.3048,
}

#: Units that are no power of a length by their names: axes, in powers of metres, usual length.
_NAMED = {"ha": (2, 1e4, "m"), "ml": (3, 1e-6, "mm"), "l": (3, 1e-3, "cm")}

_FORM = re.compile(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([^\s0-9²³^]*)\s*\^?([23²³]?)\s*")


def in_millilitres(spacing: Sequence[float], unit: str) -> float:
    """The volume of a voxel; in a unit that is not known, millimetres are meant.

    Examples
    --------
    >>> in_millilitres((2.0, 1.0, 1.0), "mm")
    0.002
    """
    size = math.prod(spacing)
    return size / 1000 if unit in ("", "mm") else size * (_METRES.get(unit, 1e-3) * 100) ** 3


_POWERS = {"2": 2, "²": 2, "3": 3, "³": 3}


@dataclass(frozen=True)
class Area:
    """A number of pixels, a share of the used ones, or an area or volume in real units.

    Attributes
    ----------
    value : float
    unit : str
        "" = pixels, "%" = of the used pixels, else a length or "ha", "ml" or "l".
    n_axes : int
        2 for areas, 3 for volumes, 0 for pixels and shares.
    """

    value: float
    unit: str
    n_axes: int

    def in_pixels(
        self, n_pixels: int, n_axes: int, spacing: Sequence[float] | None, length: str
    ) -> float:
        """How many pixels this is in an image.

        Parameters
        ----------
        n_pixels : int
            Of the image, that are used.
        n_axes : int
            2 for planes, 3 for volumes.
        spacing : sequence of float, or None
            Size of a pixel along each axis.
        length : str
            The unit of `spacing`; where it is empty, the length that the area is named by
            (mm for ml, m for ha, cm for l).

        Raises
        ------
        InvalidParameterError
            When the size of a pixel is not known, or it is no area of such an image.
        """
        if self.n_axes == 0:
            return self.value if self.unit == "" else self.value / 100 * n_pixels
        if self.n_axes != n_axes:
            kinds = {2: "an area", 3: "a volume"}
            raise InvalidParameterError(
                f"{self} is {kinds[self.n_axes]}, but the image has {n_axes} axes: give "
                f"{kinds[n_axes]} or a number of pixels."
            )
        if spacing is None:
            raise InvalidParameterError(
                f"{self} needs the size of a pixel, which the image does not tell. Give it with "
                "spacing= (--spacing), or give a number of pixels."
            )
        _, size, usual = _NAMED.get(self.unit, (0, _METRES.get(self.unit, 0) ** n_axes, self.unit))
        metres = _METRES.get(length or usual)
        if metres is None:
            raise InvalidParameterError(
                f"{self} cannot be told in pixels of {length!r}. Give a number of pixels."
            )
        return self.value * size / math.prod(metres * s for s in spacing)

    def __str__(self) -> str:
        power = "" if self.n_axes == 0 or self.unit in _NAMED else str(self.n_axes)
        return f"{self.value:g} {self.unit or 'pixels'}{power}"


def parse_area(value: float | str, name: str) -> Area:
    """The area that a number of pixels, or a text such as "5 mm2" or "0.5%", means.

    Raises
    ------
    InvalidParameterError
        When it is not of this form, or negative.

    Examples
    --------
    >>> parse_area("5 mm2", "min_area").in_pixels(100, 2, (0.5, 0.5), "mm")
    20.0
    """
    if isinstance(value, Real):
        return Area(check_real(value, name, minimum=0.0), "", 0)
    found = _FORM.fullmatch(value) if isinstance(value, str) and len(value) < 40 else None
    number, unit, power = found.groups() if found else ("", "", "")
    try:
        amount = float(number)
    except ValueError:
        amount = math.nan
    kinds = {("", ""): 0, ("px", ""): 0, ("pixels", ""): 0, ("%", ""): 0}
    kinds |= {(unit, ""): axes for unit, (axes, _, _) in _NAMED.items()}
    kinds |= {(unit, p): axes for unit in _METRES for p, axes in _POWERS.items()}
    if not math.isfinite(amount) or (unit, power) not in kinds:
        raise InvalidParameterError(
            f"{name} must be a number of pixels, or a text such as '5 mm2', '1.5 ml', '2 ha' or "
            f"'0.5 %', got {value!r}."
        )
    return Area(amount, "" if unit in ("px", "pixels") else unit, kinds[unit, power])
