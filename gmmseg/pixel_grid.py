"""The axes of an image as OME-Zarr names them: units, the size of a pixel, where the first lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["PixelGrid"]

#: Axes in space.
_SPACE = "zyx"

#: Units of length that OME-Zarr knows: what gmmseg calls them, and how many metres they are.
_LENGTHS = {
    "angstrom": ("Å", 1e-10),
    "centimeter": ("cm", 1e-2),
    "foot": ("ft", 0.3048),
    "inch": ("in", 0.0254),
    "kilometer": ("km", 1e3),
    "meter": ("m", 1.0),
    "micrometer": ("µm", 1e-6),
    "millimeter": ("mm", 1e-3),
    "nanometer": ("nm", 1e-9),
    "picometer": ("pm", 1e-12),
}
_NAMES = {short: name for name, (short, _) in _LENGTHS.items()}


@dataclass(frozen=True, kw_only=True)
class PixelGrid:
    """Axes, their units, and which place each index has.

    A pixel of index i along an axis has its centre at ``translation + scale * i``.

    Attributes
    ----------
    axes : tuple of str
        Of "t", "z", "y" and "x", in that order; an axis may be of length 1.
    units : tuple of str
        One for each, as OME-Zarr spells them ("micrometer"); "" = unknown.
    scale, translation : tuple of float
        One for each.
    zarr_format : int
        2 or 3: the version of Zarr that maps are written in, as the image came.
    """

    axes: tuple[str, ...]
    units: tuple[str, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    zarr_format: int = 3

    @classmethod
    def plain(cls, ndim: int, spacing: Sequence[float] | None = None, unit: str = "") -> PixelGrid:
        """The grid of an image that no Zarr describes.

        Examples
        --------
        >>> PixelGrid.plain(2, (0.5, 0.5), "µm").units
        ('micrometer', 'micrometer')
        """
        return cls(
            axes=tuple(_SPACE[-ndim:]),
            units=(_NAMES.get(unit, ""),) * ndim,
            scale=tuple(spacing or (1.0,) * ndim),
            translation=(0.0,) * ndim,
        )

    def spacing(self, ndim: int) -> tuple[tuple[float, ...] | None, str]:
        """Size of a pixel along the last `ndim` axes, in one unit, and that unit.

        None where nothing is known: no unit, and a size of 1 everywhere.

        Examples
        --------
        >>> grid = PixelGrid(axes=("z", "y", "x"), scale=(2000.0, 0.5, 0.5),
        ...                  units=("nanometer", "micrometer", "micrometer"),
        ...                  translation=(0.0, 0.0, 0.0))
        >>> sizes, unit = grid.spacing(3)
        >>> [round(size, 9) for size in sizes], unit
        ([2.0, 0.5, 0.5], 'µm')
        """
        sizes, units = self.scale[-ndim:], self.units[-ndim:]
        if not any(units) and set(sizes) == {1.0}:
            return None, ""
        if len(set(units)) == 1:
            return sizes, _LENGTHS.get(units[0], (units[0], 0))[0]
        if not all(unit in _LENGTHS for unit in units):
            return sizes, ""
        short, metres = _LENGTHS[units[-1]]
        pairs = zip(sizes, units, strict=True)
        return tuple(size * (_LENGTHS[unit][1] / metres) for size, unit in pairs), short

    def with_spacing(self, spacing: Sequence[float]) -> PixelGrid:
        """The grid with another size of its pixels, in the unit of its columns."""
        n = len(spacing)
        return replace(
            self,
            scale=(*self.scale[:-n], *spacing),
            units=(*self.units[:-n], *self.units[-1:] * n),
        )
