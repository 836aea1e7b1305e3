"""Maps on earth and in OME-Zarr: what stands in their files beside the pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from gmmseg.georeference import Georeference
from gmmseg.io.geotiff import MapLayout, Write, geotiff
from gmmseg.io.zarr_writer import ome_zarr
from gmmseg.labels import label_dtype, palette
from gmmseg.model import Model
from gmmseg.pixel_grid import PixelGrid

__all__ = ["ZARR", "is_laid_out", "label_layout", "map_file", "map_layouts"]

#: How names of maps end that are written strip by strip.
ZARR, _TIFF = ".zarr", (".tif", ".tiff")


def is_laid_out(path: Path) -> bool:
    """Whether `map_file` can write a file of this name."""
    return path.suffix.lower() in (ZARR, *_TIFF)


def map_file(path: Path, layout: MapLayout, *, cog: bool = False) -> AbstractContextManager[Write]:
    """A function that writes rows of a new map, GeoTIFF or OME-Zarr by its name."""
    if path.suffix.lower() == ZARR:
        return ome_zarr(path, layout)
    return geotiff(path, layout, cog=cog)


def label_layout(
    shape: tuple[int, ...],
    model: Model,
    georeference: Georeference | None,
    grid: PixelGrid | None = None,
) -> MapLayout:
    """A label map that says what its classes are: colours, names, and the model they come from.

    Examples
    --------
    >>> import numpy as np, gmmseg
    >>> dark, bright = np.full((9, 9), 10, np.uint8), np.full((9, 9), 90, np.uint8)
    >>> model = gmmseg.fit([dark, bright], 2, "plain")
    >>> label_layout((9, 9), model, None).band_tags["class_2"]
    'class 2: band 1 90'
    """
    names = {f"class_{j}": text for j, text in enumerate(_described(model), start=1)}
    return MapLayout(
        shape=shape,
        dtype=label_dtype(model.k),
        georeference=georeference,
        grid=grid,
        nodata=0,
        band_names=("class",),
        colours=palette(model.k),
        tags={"GMMSEG_MODEL": json.dumps(model.to_dict(), allow_nan=False)},
        band_tags=names,
    )


def _described(model: Model) -> list[str]:
    """A line for each class: its number and the means of its features, in the bands' own units."""
    labels, mixture, power = np.array(model.labels), model.mixture, model.features.power
    lines = []
    for j in range(1, model.k + 1):
        own = labels == j
        weights = mixture.weights[own] / max(mixture.weights[own].sum(), 1e-300)
        means = zip(model.feature_names, weights @ mixture.means[own], strict=True)
        lines.append(f"class {j}: " + ", ".join(_told(name, mean, power) for name, mean in means))
    return lines


def _told(name: str, mean: float, power: float) -> str:
    band, raised, _ = name.rpartition(f"^{power:.3g}")
    return f"{band} {np.maximum(mean, 0) ** (1 / power):.4g}" if raised else f"{name} {mean:.4g}"


def map_layouts(
    shape: tuple[int, ...],
    model: Model,
    georeference: Georeference | None,
    grid: PixelGrid | None = None,
) -> Mapping[str, MapLayout]:
    """The layouts of all maps that a scene may be given, by the names of outputs."""
    soft = MapLayout(shape=shape, dtype=np.dtype(np.float32), georeference=georeference, grid=grid)
    classes = tuple(f"class {j}" for j in range(1, model.k + 1))
    return MappingProxyType(
        {
            "labels": label_layout(shape, model, georeference, grid),
            "probabilities": replace(soft, band_names=classes),
            **{
                name: replace(soft, nodata=np.nan, band_names=(name,))
                for name in ("entropy", "novelty", "stability")
            },
        }
    )
