"""One raster on earth as a scene, read by GDAL."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_choice, check_real
from gmmseg._files import printable
from gmmseg._optional import import_optional
from gmmseg.errors import InvalidDataError, ReadError
from gmmseg.georeference import Georeference
from gmmseg.image import Image
from gmmseg.io.assembly import held_value, is_one_of
from gmmseg.io.decoding import decoding
from gmmseg.io.header import Header
from gmmseg.io.limits import check_pixels
from gmmseg.io.options import ReadOptions
from gmmseg.io.raster import gdal, georeference_of, open_raster
from gmmseg.tiles import Scene, look_step

__all__ = ["RESAMPLING", "RasterScene", "SceneOptions"]

#: How bands of another resolution are brought to the grid of the first.
RESAMPLING = ("nearest", "bilinear", "cubic", "average", "mode", "lanczos")

#: Metres in units of length that coordinates come in, and what they are called.
_UNITS = {1.0: "m", 0.3048: "ft", 1200 / 3937: "ft", 1000.0: "km"}

_READING = ReadOptions()


@dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """How rasters on earth are opened.

    Attributes
    ----------
    resample : {"nearest", "bilinear", "cubic", "average", "mode", "lanczos"}, optional
        Bands of a stack may have another resolution or extent than the first: they are brought
        to its grid. Otherwise they are refused.
    scale, offset : float, optional
        The value of a pixel is its number times the scale, plus the offset: of files that do not
        tell it themselves, as those of Landsat (0.0000275, -0.2) and Sentinel-2 (0.0001, -0.1).
        What a file tells counts.
    allow_remote : bool
        Names may be of GDAL's virtual file systems, such as /vsicurl/ and https://.
    """

    resample: str | None = None
    scale: float | None = None
    offset: float | None = None
    allow_remote: bool = False

    def __post_init__(self) -> None:
        if self.resample is not None:
            check_choice(self.resample, "resample", RESAMPLING)
        if self.scale is not None:
            check_real(self.scale, "scale", minimum=0, exclusive=True)
        if self.offset is not None:
            check_real(self.offset, "offset")

    @property
    def has_units(self) -> bool:
        """Whether a scale or an offset is told."""
        return self.scale is not None or self.offset is not None


class RasterScene(Scene):
    """One raster file, read by GDAL.

    What stands for no data - a value for each band, NaN, a mask, transparency - marks pixels as
    not used where all bands lack, and bands as missing elsewhere. Scale and offset are applied.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        options: SceneOptions = SceneOptions(),
        reading: ReadOptions = _READING,
        grid: RasterScene | None = None,
        *,
        threads: int | None = None,
    ) -> None:
        self.name = printable(path)
        self.path = Path(path)
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._env = {"remote": options.allow_remote}
        with gdal(**self._env):
            source = open_raster(path, remote=options.allow_remote, threads=threads)
            self._open.enter_context(source)
            self._dataset = source
            if grid is not None:
                self._dataset = self._on_grid(source, grid, options.resample)
            with decoding(self.name):
                self._describe(source, reading, options)
        if reading.max_pixels is not None:
            check_pixels(self.name, self._header(), reading)

    def _on_grid(self, source: Any, grid: RasterScene, resample: str | None) -> Any:
        """The dataset, which must have the grid of another, or is brought to it."""
        own, other = _grid_of(source), _grid_of(grid._dataset)
        if own == other:
            return source
        if own.crs != other.crs or resample is None:
            remedy = (
                "Reproject one of them."
                if own.crs != other.crs
                else "Bring it to the first grid with resample= (--resample METHOD)."
            )
            raise InvalidDataError(
                f"the bands have different grids: {grid.name} is {other}, {self.name} is {own}. "
                + remedy
            )
        rasterio = import_optional("rasterio")
        vrt = import_optional("rasterio.vrt").WarpedVRT(
            source,
            crs=grid._dataset.crs,
            transform=grid._dataset.transform,
            width=grid.shape[1],
            height=grid.shape[0],
            resampling=rasterio.enums.Resampling[resample],
            add_alpha=not _marks_absence(source),  # of what lies outside
        )
        return self._open.enter_context(vrt)

    def _describe(self, source: Any, reading: ReadOptions, options: SceneOptions) -> None:
        dataset = self._dataset
        self.shape = int(dataset.height), int(dataset.width)
        enums = import_optional("rasterio").enums
        alpha = [i + 1 for i, c in enumerate(dataset.colorinterp) if c == enums.ColorInterp.alpha]
        self._alpha = None if reading.keep_alpha or not alpha else alpha[0]
        self._bands = [b for b in dataset.indexes if b != self._alpha]
        self.n_bands = len(self._bands)
        if self.n_bands == 0:
            raise ReadError(f"cannot read {self.name}: it has no bands but transparency.")
        stored = np.result_type(*(np.dtype(source.dtypes[b - 1]) for b in self._bands))
        if stored.kind not in "uif":
            raise ReadError(f"cannot read {self.name}: its values are {stored}.")
        of_bands = [b - 1 for b in self._bands]
        self._scales = np.array([source.scales[b] for b in of_bands])
        self._offsets = np.array([source.offsets[b] for b in of_bands])
        if not np.isfinite([self._scales, self._offsets]).all() or not self._scales.all():
            raise ReadError(f"cannot read {self.name}: a scale is 0, or no finite number.")
        self._scaled = bool((self._scales != 1).any() or self._offsets.any())
        if options.has_units and not self._scaled:
            self._scales[:] = 1.0 if options.scale is None else options.scale
            self._offsets[:] = options.offset or 0.0
            self._scaled = True
        self._stored = stored
        self.dtype = np.dtype(np.float32) if self._scaled else stored
        own = (() if reading.nodata is None else (reading.nodata,),)
        self._nodata = [_nodata(source.nodatavals[b], *own, stored) for b in of_bands]
        self.nodata = tuple(dict.fromkeys(float(v) for values in self._nodata for v in values))
        self._masks = self._kinds_of_masks(dataset, enums.MaskFlags)
        names = tuple(printable(source.descriptions[b] or "") for b in of_bands)
        self.band_names = names if all(names) else ()
        self.sensor = _sensor(source)
        self.block_rows = max(int(shape[0]) for shape in source.block_shapes)
        self.is_complete = (
            self.dtype.kind != "f"
            and self._alpha is None
            and not any(self._nodata)
            and not self._masks
            and dataset is source
        )
        self.georeference = georeference_of(dataset)
        self.spacing, self.unit = _spacing(dataset)
        rgb = [enums.ColorInterp.red, enums.ColorInterp.green, enums.ColorInterp.blue]
        shown = [source.colorinterp[b] for b in of_bands[:3]]
        self._colour = shown == rgb and stored.kind == "u" and stored.itemsize <= 2

    def _kinds_of_masks(self, dataset: Any, flags: Any) -> list[int]:
        """The bands whose masks have to be read: one if it is that of all, or each."""
        usual = ({flags.all_valid}, {flags.nodata}, {flags.alpha, flags.per_dataset})
        odd = [b for b in self._bands if set(dataset.mask_flag_enums[b - 1]) not in usual]
        if odd and flags.per_dataset in dataset.mask_flag_enums[odd[0] - 1]:
            return odd[:1]
        return odd

    def _header(self) -> Header:
        return Header(
            format=str(self._dataset.driver),
            shape=(*self.shape, self.n_bands),
            axes="YXC",
            dtype=self.dtype,
            bits=8 * self._stored.itemsize,
        )

    def close(self) -> None:
        self._open.close()

    def read(self, rows: slice) -> Image:
        n = rows.stop - rows.start
        part = import_optional("rasterio").windows.Window(0, rows.start, self.shape[1], n)
        place = self.georeference and self.georeference.of_window(rows.start, 0)
        return self._image({"window": part}, place)

    def look(self, most_pixels: int) -> Image:
        levels = self._dataset.overviews(self._bands[0])
        wanted = look_step(self.shape, most_pixels)
        step = next((level for level in levels if level >= wanted), max(levels, default=0))
        if step < 2:  # without overviews GDAL would decode all, line by line
            most = max(most_pixels // self.shape[1] // self.block_rows, 1) * self.block_rows
            return self.read(slice(0, min(most, self.shape[0])))
        shape = -(-self.shape[0] // step), -(-self.shape[1] // step)
        image = self._image({"out_shape": shape}, None)
        return (
            image
            if self.spacing is None
            else image.with_spacing(
                [size * n / m for size, n, m in zip(self.spacing, self.shape, shape, strict=True)]
            )
        )

    def _image(self, part: dict[str, Any], place: Georeference | None) -> Image:
        with self._lock, gdal(**self._env), decoding(self.name):
            planes = self._dataset.read(self._bands, out_dtype=self._stored, **_shaped(part, self))
            masks = [self._dataset.read_masks(b, **_shaped(part, None)) for b in self._masks]
            alpha = None
            if self._alpha is not None:
                alpha = self._dataset.read(self._alpha, **_shaped(part, None))
        used: NDArray[np.bool_] | None = None if alpha is None else alpha != 0
        missing = _missing(planes, self._nodata)
        if len(masks) == 1 and self.n_bands > 1:
            shown = np.asarray(masks[0] != 0)
            used = shown if used is None else used & shown
        elif masks:
            hidden = np.zeros(planes.shape, bool)
            for band, mask in zip(self._masks, masks, strict=True):
                hidden[self._bands.index(band)] = mask == 0
            missing = hidden if missing is None else missing | hidden
        if missing is not None:
            nothing = missing.all(axis=0)
            if nothing.any():
                used = np.asarray(~nothing) if used is None else used & ~nothing
            partly = missing & ~nothing
            missing = np.moveaxis(missing, 0, -1) if partly.any() else None
        return Image(
            data=self._in_units(planes),
            mask=used,
            missing=missing,
            spacing=self.spacing,
            unit=self.unit,
            colour=self._colour,
            band_names=self.band_names,
            path=self.path,
            georeference=place,
            sensor=self.sensor,
        )

    def _in_units(self, planes: NDArray[Any]) -> NDArray[Any]:
        if not self._scaled:
            return np.moveaxis(planes, 0, -1)
        out = planes.astype(np.float32)
        for plane, scale, offset in zip(out, self._scales, self._offsets, strict=True):
            plane += np.float32(offset / scale)  # what is 0 is then exactly 0
            plane *= np.float32(scale)
        return np.moveaxis(out, 0, -1)


#: What metadata call a spacecraft or its instrument, and how much of that is read.
_SENSOR_TAGS = ("SPACECRAFT_ID", "SPACECRAFT_NAME", "PLATFORM", "SATELLITE", "SENSOR_ID", "SENSOR")
_LONGEST_TAG = 60


def _sensor(dataset: Any) -> str:
    """What took the raster, as its metadata have it."""
    tags = {name.upper(): value for name, value in dataset.tags().items()}
    found = [printable(tags[name])[:_LONGEST_TAG] for name in _SENSOR_TAGS if name in tags]
    return " ".join(dict.fromkeys(found))


@dataclass(frozen=True)
class _Grid:
    """Where the pixels of a raster are."""

    shape: tuple[int, int]
    transform: tuple[float, ...]
    crs: str

    def __str__(self) -> str:
        a, _, c, _, e, f = self.transform
        return (
            f"{self.shape[1]} x {self.shape[0]} pixels of {a:g} x {e:g} from ({c:.10g}, {f:.10g}) "
            f"in {self.crs or 'no known system'}"
        )


def _grid_of(dataset: Any) -> _Grid:
    crs = dataset.crs
    code = crs.to_epsg() if crs else None
    system = f"EPSG:{code}" if code else crs.to_wkt() if crs else ""
    return _Grid((dataset.height, dataset.width), tuple(dataset.transform)[:6], system)


def _spacing(dataset: Any) -> tuple[tuple[float, float] | None, str]:
    """Size of a pixel where coordinates are lengths; degrees are not."""
    crs, transform = dataset.crs, dataset.transform
    if crs is None or not crs.is_projected or transform.is_identity:
        return None, ""
    factor = crs.linear_units_factor[1]
    unit = next((name for size, name in _UNITS.items() if abs(size - factor) < 1e-9), "")
    size = float(np.hypot(transform.b, transform.e)), float(np.hypot(transform.a, transform.d))
    return (size, unit) if unit and min(size) > 0 else (None, "")


def _marks_absence(dataset: Any) -> bool:
    """Whether a raster can say of a pixel that there is nothing."""
    return any("all_valid" not in {f.name for f in flags} for flags in dataset.mask_flag_enums)


def _nodata(stored: float | None, told: tuple[float, ...], dtype: np.dtype[Any]) -> list[Any]:
    """What stands for no data in a band, in its type; NaN is seen anyway."""
    values = (*(() if stored is None else (stored,)), *told)
    held = [held_value(value, dtype) for value in dict.fromkeys(values) if value == value]
    return [value for value in held if value is not None]


def _missing(planes: NDArray[Any], nodata: list[list[Any]]) -> NDArray[np.bool_] | None:
    if not any(nodata):
        return None
    out = np.zeros(planes.shape, bool)
    for gaps, plane, values in zip(out, planes, nodata, strict=True):
        if values:
            gaps[:] = is_one_of(plane, values)
        if plane.dtype.kind == "f":
            gaps |= np.isnan(plane)
    return out if out.any() else None


def _shaped(part: dict[str, Any], scene: RasterScene | None) -> dict[str, Any]:
    """Arguments of reading one band, or with a scene those of several."""
    if "out_shape" not in part or scene is None:
        return part
    return {"out_shape": (scene.n_bands, *part["out_shape"])}
