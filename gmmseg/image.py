"""The one in-memory image: values with bands last, a mask, and what is known about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import per_axis
from gmmseg.errors import AmbiguousAxesError, InvalidDataError, InvalidParameterError
from gmmseg.georeference import Georeference
from gmmseg.pixel_grid import PixelGrid
from gmmseg.placement import Placement

__all__ = ["AXES", "Image"]

#: What the axes of an array may mean: Z planes, Y rows, X columns, C bands.
AXES = ("YX", "YXC", "CYX", "ZYX", "ZYXC", "CZYX", "ZCYX")

#: A three-dimensional array whose last axis is at most this long is taken as bands.
_MOST_OBVIOUS_BANDS = 4

#: Pixels looked through at once.
_SLAB = 1 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """Pixels or voxels with bands on the last axis.

    Attributes
    ----------
    data : ndarray of shape (rows, cols, bands) or (planes, rows, cols, bands)
        Integer or float of any width. Boolean images are stored as 0 and 255.
    mask : ndarray of bool, shape ``data.shape[:-1]``, or None
        True = use this pixel. None = use all.
    missing : ndarray of bool, shape ``data.shape``, or None
        True = this band of this pixel was not observed, whatever `data` holds there. None = all
        were. What is not finite was not observed, whether `missing` says so or not.
    spacing : tuple of float or None
        Size of a pixel along each spatial axis, in `unit`. None = unknown.
    unit : str
        Unit of `spacing`, such as "mm" or "m"; empty when unknown.
    colour : bool
        True when the first three bands are red, green and blue, as a display means them.
    band_names : tuple of str
        One name for each band; empty when unknown.
    path : Path or None
        The file that it was read from.
    notes : tuple of str
        What was done while reading ("turned upright by EXIF", "first frame of 12").
    georeference : Georeference or None
        Where it lies on earth, if that was read.
    sensor : str
        What took it, in the words of the file, such as "LANDSAT_8"; empty when unknown.
    placement : Placement or None
        Where a medical volume lies in space, if its file says so.
    grid : PixelGrid or None
        Its axes as a Zarr names them, if it came from one.
    """

    data: NDArray[Any]
    mask: NDArray[np.bool_] | None = None
    missing: NDArray[np.bool_] | None = None
    spacing: tuple[float, ...] | None = None
    unit: str = ""
    colour: bool = False
    band_names: tuple[str, ...] = ()
    path: Path | None = None
    notes: tuple[str, ...] = field(default=())
    georeference: Georeference | None = None
    placement: Placement | None = None
    grid: PixelGrid | None = None
    sensor: str = ""

    def __post_init__(self) -> None:
        data = self.data
        if data.ndim not in (3, 4) or data.dtype.kind not in "uif":
            raise InvalidDataError(
                "An image must be (rows, cols, bands) or (planes, rows, cols, bands) of integers "
                f"or floats, got shape {data.shape} of {data.dtype}."
            )
        if data.size == 0:
            raise InvalidDataError(f"The image is empty: its shape is {data.shape}.")
        if self.mask is not None and (self.mask.shape != self.shape or self.mask.dtype != bool):
            raise InvalidDataError(
                f"The mask must be bool of the image's shape {self.shape}, "
                f"got {self.mask.dtype} of shape {self.mask.shape}."
            )
        if self.missing is not None and (
            self.missing.shape != data.shape or self.missing.dtype != bool
        ):
            raise InvalidDataError(
                f"missing must be bool of the shape of the data {data.shape}, "
                f"got {self.missing.dtype} of shape {self.missing.shape}."
            )
        if self.spacing is not None:
            object.__setattr__(self, "spacing", per_axis(self.spacing, self.ndim, "spacing"))
        if self.colour and self.n_bands < 3:
            raise InvalidDataError(f"A colour image needs 3 bands, got {self.n_bands}.")

    @classmethod
    def from_array(
        cls,
        array: Any,
        *,
        axes: str | None = None,
        mask: Any = None,
        spacing: Any = None,
        unit: str = "",
        path: Path | None = None,
        notes: tuple[str, ...] = (),
    ) -> Image:
        """Wrap an array, giving its axes their meaning.

        Parameters
        ----------
        array : array_like
            Two to four dimensions of bool, integers or floats.
        axes : {"YX", "YXC", "CYX", "ZYX", "ZYXC", "CZYX", "ZCYX"}, optional
            Meaning of the axes: Z planes, Y rows, X columns, C bands. Without it two axes are
            "YX", three are "YXC" when the last is at most 4 long, four are "ZYXC" likewise.
        mask : array_like of the image's spatial shape, or that of `array`, optional
            True or non-zero = use this pixel; or, for each band of it, that it was observed.
        spacing : float or sequence of float, optional
            Size of a pixel along each spatial axis.

        Raises
        ------
        AmbiguousAxesError
            When `axes` is not given and the shape does not settle it.

        Examples
        --------
        >>> import numpy as np
        >>> Image.from_array(np.zeros((4, 5, 13)), axes="YXC").n_bands
        13
        """
        try:
            values = np.asarray(array)
        except ValueError as error:  # ragged lists
            raise InvalidDataError(f"An image must be an array: {error}.") from error
        if values.dtype == bool:
            values = values.astype(np.uint8) * np.uint8(255)
        if values.dtype == np.float16:
            values = values.astype(np.float32)
        axes = resolve_axes(values.shape, axes)
        missing = None
        mask = None if mask is None else _true_where_used(mask)
        if "C" not in axes:
            values = values[..., np.newaxis]
        else:
            if mask is not None and mask.shape == values.shape:
                mask, missing = None, ~np.moveaxis(mask, axes.index("C"), -1)
            values = np.moveaxis(values, axes.index("C"), -1)
        colour = values.shape[-1] == 3 and values.dtype.kind == "u" and values.dtype.itemsize <= 2
        return cls(
            data=values,
            mask=mask,
            missing=missing,
            spacing=spacing,
            unit=unit,
            colour=colour,
            path=path,
            notes=notes,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, cols) or (planes, rows, cols)."""
        return self.data.shape[:-1]

    @property
    def ndim(self) -> int:
        """2 or 3: the number of spatial axes."""
        return self.data.ndim - 1

    @property
    def n_bands(self) -> int:
        return int(self.data.shape[-1])

    @property
    def n_pixels(self) -> int:
        return int(np.prod(self.shape))

    @property
    def valid(self) -> NDArray[np.bool_] | None:
        """True where a pixel may be used, of `shape`; None when all may.

        A pixel may be used when the mask allows it and one of its bands, at least, was observed.
        """
        return self.usable(range(self.n_bands))

    def usable(self, bands: Sequence[int], *, complete: bool = False) -> NDArray[np.bool_] | None:
        """True where the mask allows a pixel and some of the bands were observed.

        Parameters
        ----------
        bands : sequence of int
            From 0.
        complete : bool
            Ask for all of the bands, not just one.

        Returns
        -------
        ndarray of bool of `shape`, or None for every pixel
        """
        key = (tuple(bands), complete and len(bands) > 1)
        if key not in self._usable:  # asked for by features, tables and pictures
            self._usable[key] = self._find_usable(*key)
        return self._usable[key]

    @cached_property
    def _usable(self) -> dict[tuple[tuple[int, ...], bool], NDArray[np.bool_] | None]:
        return {}

    def _find_usable(self, bands: tuple[int, ...], complete: bool) -> NDArray[np.bool_] | None:
        combine = np.logical_and if complete else np.logical_or

        def observed(part: slice) -> NDArray[np.bool_]:
            return reduce(combine, (self.observed_in(part, band) for band in bands))

        may_lack = self.data.dtype.kind == "f" or self.missing is not None
        seen = self.where(observed) if may_lack else None
        if seen is None:  # no second mask beside the one that there is
            return None if self.mask is None or self.mask.all() else self.mask
        return seen if self.mask is None else np.logical_and(seen, self.mask, out=seen)

    def observed(self, band: int) -> NDArray[np.bool_] | None:
        """True where a band (from 0) was observed, of `shape`; None when it was everywhere."""
        if self.data.dtype.kind != "f" and self.missing is None:
            return None
        return self.where(lambda part: self.observed_in(part, band))

    def slabs(self, n_pixels: int = _SLAB) -> Iterator[slice]:
        """Cut the first axis into parts of about so many pixels."""
        n = len(self.data)
        step = max(1, n_pixels * n // self.n_pixels)
        return (slice(start, min(start + step, n)) for start in range(0, n, step))

    def where(self, of_slab: Callable[[slice], NDArray[np.bool_]]) -> NDArray[np.bool_] | None:
        """What is true of the pixels, slab by slab; None when it is of all."""
        found: NDArray[np.bool_] | None = None
        for part in self.slabs():
            here = of_slab(part)
            if not here.all():
                found = np.ones(self.shape, bool) if found is None else found
                found[part] = here
        return found

    def observed_in(self, part: slice, band: int) -> NDArray[np.bool_]:
        values = self.data[part][..., band]
        seen = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
        if self.missing is not None:
            seen &= ~self.missing[part][..., band]
        return seen

    def has_unmarked_gaps(
        self, bands: Sequence[int], valid: NDArray[np.bool_] | None = None
    ) -> bool:
        """Whether values were not observed that are not NaN, of some bands of some pixels.

        Parameters
        ----------
        bands : sequence of int
            From 0.
        valid : ndarray of bool of `shape`, or None
            The pixels that count; None = all.
        """
        if self.data.dtype.kind != "f" and self.missing is None:
            return False
        for part in self.slabs():
            used: Any = True if valid is None else valid[part]
            for band in bands:
                values = self.data[part][..., band]
                gaps = np.isinf(values)
                if self.missing is not None:
                    gaps |= self.missing[part][..., band] & ~np.isnan(values)
                if (gaps & used).any():
                    return True
        return False

    def with_spacing(self, spacing: float | Sequence[float]) -> Image:
        """The same image with another pixel size, along each spatial axis or along all."""
        sizes = per_axis(spacing, self.ndim, "spacing")
        return replace(self, spacing=sizes, grid=self.grid and self.grid.with_spacing(sizes))

    def placed(self, placement: Placement) -> Image:
        """The same image in another place."""
        return replace(self, placement=placement)

    def with_mask(self, mask: Any) -> Image:
        """The same image, restricted further to where `mask` is true or non-zero.

        A mask of the shape of `data`, of several bands, tells which bands were observed.
        """
        allowed = _true_where_used(mask)
        if allowed.shape == self.data.shape and self.n_bands > 1:
            missing = ~allowed if self.missing is None else self.missing | ~allowed
            return replace(self, missing=missing)
        if allowed.shape != self.shape:
            raise InvalidParameterError(
                f"mask must have the image's shape {self.shape}, got {allowed.shape}."
            )
        return replace(self, mask=allowed if self.mask is None else self.mask & allowed)


def _true_where_used(mask: Any) -> NDArray[np.bool_]:
    """True where a mask is true or non-zero; NaN is not."""
    values = np.asarray(mask)
    return values if values.dtype == bool else (values != 0) & (values == values)


def resolve_axes(shape: tuple[int, ...], axes: str | None) -> str:
    """Check `axes` against `shape`, or find the only sensible meaning."""
    if axes is not None:
        if axes not in AXES:
            raise InvalidParameterError(f"axes must be one of {', '.join(AXES)}, got {axes!r}.")
        if len(axes) != len(shape):
            raise InvalidParameterError(
                f"axes {axes!r} names {len(axes)} axes, but the array has {len(shape)}: {shape}."
            )
        return axes
    if len(shape) == 2:
        return "YX"
    if len(shape) in (3, 4) and shape[-1] <= _MOST_OBVIOUS_BANDS:
        return "YXC" if len(shape) == 3 else "ZYXC"
    choices = [choice for choice in AXES if len(choice) == len(shape)]
    if not choices:
        raise InvalidDataError(f"An image has two to four axes, got shape {shape}.")
    raise AmbiguousAxesError(
        f"The axes of an array of shape {shape} are ambiguous. Say what they mean with axes= "
        f"(--axes): {', '.join(choices)} (Z planes, Y rows, X columns, C bands)."
    )
