"""Where an image lies on earth: a value that travels with it and is written where it is written."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Georeference"]

#: The transform of an image that lies nowhere.
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Georeference:
    """The place of an image on earth.

    Attributes
    ----------
    crs : str
        Coordinate reference system as WKT; empty when not known.
    transform : tuple of six floats, or None
        ``x = a col + b row + c``, ``y = d col + e row + f`` at the upper left corner of a pixel,
        as (a, b, c, d, e, f). None when the place is known by points only, or not at all.
    gcps : tuple of (row, col, x, y, z)
        Ground control points.
    gcps_crs : str
        Of `gcps`, as WKT.
    rpcs : tuple of (str, str)
        Rational polynomial coefficients: GDAL's names and values.

    Examples
    --------
    >>> place = Georeference(transform=(30.0, 0.0, 500000.0, 0.0, -30.0, 4000000.0))
    >>> place.of_window(10, 2).transform
    (30.0, 0.0, 500060.0, 0.0, -30.0, 3999700.0)
    """

    crs: str = ""
    transform: tuple[float, float, float, float, float, float] | None = None
    gcps: tuple[tuple[float, float, float, float, float], ...] = ()
    gcps_crs: str = ""
    rpcs: tuple[tuple[str, str], ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether it says anything at all."""
        return bool(self.crs or self.transform or self.gcps or self.rpcs)

    def of_window(self, row: int, col: int) -> Georeference:
        """The place of the part of the image that begins at this pixel."""
        points = tuple((r - row, c - col, *rest) for r, c, *rest in self.gcps)
        moved = replace(self, gcps=points)  # type: ignore[arg-type]
        if self.transform is None:
            return moved
        a, b, c, d, e, f = self.transform
        here = (a, b, a * col + b * row + c, d, e, d * col + e * row + f)
        return replace(moved, transform=here)
