"""A segmentation as files: which, under what names, and all of them or none."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_choice
from gmmseg.errors import InvalidParameterError
from gmmseg.image import Image
from gmmseg.io import (
    image_info,
    printable,
    write_nifti,
    write_npz,
    write_png,
    write_text,
    write_tiff,
)
from gmmseg.io.formats import is_tiff
from gmmseg.io.geotiff import MapLayout
from gmmseg.io.source import Source
from gmmseg.io.streamed import Streamed, streamed
from gmmseg.labels import MOST_LABELS
from gmmseg.map_layouts import ZARR, is_laid_out, map_file, map_layouts
from gmmseg.pixel_grid import PixelGrid
from gmmseg.segmentation import Segmentation
from gmmseg.staging import check_outputs, staged, write_files

__all__ = [
    "PROBABILITY_FORMATS",
    "OutputOptions",
    "check_outputs",
    "planned_outputs",
    "staged",
    "stem_of_output",
    "write_files",
    "write_map",
    "write_output",
    "write_outputs",
    "write_picture",
]

#: How soft masks are written; the first is the usual one.
PROBABILITY_FORMATS = ("tif", "npz", "png")


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Which files are written besides the label map.

    Attributes
    ----------
    overlay : bool
        The picture with its classes in colour and a legend.
    masks : bool
        A mask of 0 and 255 for each class.
    probabilities : {"tif", "npz", "png"}, optional
        One TIFF with a band for each class, one NPZ, or a PNG of 16 bits for each class.
    entropy, novelty, stability : bool
        Maps of uncertainty.
    regions : bool
        A map that gives every connected region its own number.
    save_model : bool
        The model.
    """

    overlay: bool = True
    masks: bool = False
    probabilities: str | None = None
    entropy: bool = False
    novelty: bool = False
    stability: bool = False
    regions: bool = False
    save_model: bool = False

    def __post_init__(self) -> None:
        if self.probabilities is not None:
            check_choice(self.probabilities, "probabilities", PROBABILITY_FORMATS)


_NIFTI_ENDINGS = (".nii", ".nii.gz")

_UNCERTAINTY = ("entropy", "novelty", "stability")

#: Rows of a map that are made at once: those of its blocks.
_ROWS = 512

#: How the names of outputs end, after the stem of the input.
_OUTPUT_NAME = re.compile(
    r"(.+?)(_(labels|regions|overlay|entropy|novelty|stability|summary|clusters|anomalies|anomaly_(score|heat|maps)|mask_\d+|prob(_\d+)?|report)\.(png|tif|nii|nii\.gz|ome\.zarr|zarr|npz|csv|tsv|parquet|json|html)|\.gmm\.json)"
)


def planned_outputs(
    base: str | os.PathLike[str],
    k: int,
    options: OutputOptions = OutputOptions(),
    *,
    volume: bool = False,
    tiff: bool = False,
    nifti: bool = False,
    zarr: bool = False,
    labels: str | os.PathLike[str] | None = None,
    model: str | os.PathLike[str] | None = None,
) -> dict[str, Path]:
    """Names of the files that a segmentation will be written to.

    Parameters
    ----------
    base : path
        Folder and stem of the names.
    k : int
        Number of classes.
    options : OutputOptions
    volume, tiff : bool
        Whether the image is three-dimensional, and whether it came from a TIFF: label maps are
        then TIFF too, otherwise PNG.
    nifti : bool
        Whether it lies in medical space (`Image.placement`): maps are then NIfTI.
    zarr : bool
        Whether it came from a Zarr (`Image.grid`): maps are then OME-Zarr.
    labels, model : path, optional
        Other names for the label map and the model.

    Returns
    -------
    dict
        From "labels", "regions", "overlay", "mask_1", "probabilities" or "probability_1",
        "entropy", "novelty", "stability" and "model", those that will be written, to their paths.

    Raises
    ------
    InvalidParameterError
        When a format cannot hold the image, or two outputs have one name.

    Examples
    --------
    >>> plan = planned_outputs("out/photo", 2, OutputOptions(masks=True))
    >>> [path.name for path in plan.values()]
    ['photo_labels.png', 'photo_overlay.png', 'photo_mask_1.png', 'photo_mask_2.png']
    """
    maps = "nii.gz" if nifti else "ome.zarr" if zarr else "tif"
    picture = maps if volume or nifti else "png"
    kind = maps if volume or tiff or nifti or zarr else "png"
    endings = {"labels": f"_labels.{kind}"}
    if options.regions:
        endings["regions"] = f"_regions.{kind}"
    if options.overlay:
        endings["overlay"] = "_overlay.png"
    if options.masks:
        endings |= {f"mask_{j}": f"_mask_{j}.{picture}" for j in range(1, k + 1)}
    if options.probabilities == "png":
        endings |= {f"probability_{j}": f"_prob_{j}.{picture}" for j in range(1, k + 1)}
    elif options.probabilities is not None:
        ending = maps if options.probabilities == "tif" else options.probabilities
        endings["probabilities"] = f"_prob.{ending}"
    endings |= {name: f"_{name}.{maps}" for name in _UNCERTAINTY if getattr(options, name)}
    if options.save_model:
        endings["model"] = ".gmm.json"
    plan = {name: Path(f"{os.fspath(base)}{ending}") for name, ending in endings.items()}
    plan |= {name: Path(path) for name, path in (("labels", labels), ("model", model)) if path}
    _check_plan(plan, volume=volume)
    return plan


def _check_plan(plan: Mapping[str, Path], *, volume: bool) -> None:
    if volume and plan["labels"].suffix.lower() == ".png":
        raise InvalidParameterError(
            f"the label map of a volume cannot be {printable(plan['labels'])}: a PNG holds one "
            "plane. Name it .tif, .nii.gz or .ome.zarr."
        )
    names: dict[Path, str] = {}
    for name, path in plan.items():
        if (other := names.setdefault(path, name)) != name:
            raise InvalidParameterError(
                f"{other} and {name} would both be written to {printable(path)}. "
                "Give one of them another name."
            )


def stem_of_output(name: str) -> str | None:
    """The stem of the input that a file of this name may be an output of.

    Examples
    --------
    >>> stem_of_output("photo_mask_2.png"), stem_of_output("photo_2.png")
    ('photo', None)
    """
    found = _OUTPUT_NAME.fullmatch(name)
    return found and found[1]


def write_outputs(
    segmentation: Segmentation,
    plan: Mapping[str, Path],
    *,
    overwrite: bool = False,
    cog: bool = False,
) -> None:
    """Write the files of `plan`: all of them, or none when one cannot be written.

    They are written to hidden folders beside their places and moved there in the end. Folders
    that are not there are made.

    Parameters
    ----------
    segmentation : Segmentation
    plan : dict
        Of `planned_outputs`.
    overwrite : bool
        Replace files that exist.
    cog : bool
        Maps on earth are written cloud-optimised.

    Raises
    ------
    OutputExistsError
        When a file exists and `overwrite` is False.
    WriteError
        When one cannot be written. Nothing has changed then.
    """
    write_files(plan, partial(write_output, segmentation, cog=cog), overwrite=overwrite)


def write_output(segmentation: Segmentation, name: str, path: Path, *, cog: bool = False) -> None:
    """Write one file of a plan, which must not be there yet, by its name in the plan."""
    kind, _, label = name.partition("_")
    image, layout = segmentation.image, None
    if _has_layout(image, path):
        known = map_layouts(image.shape, segmentation.model, image.georeference, _grid(image))
        layout = known.get(name)
    if layout is not None:
        _write_layout(path, layout, _MAPS[name](segmentation), cog=cog)
    else:
        _WRITERS[kind](segmentation, path, int(label or 0))


def _write_labels(segmentation: Segmentation, path: Path, _: int) -> None:
    if path.suffix.lower() == ".png":
        write_png(path, segmentation.labels)
    else:
        write_map(segmentation.image, path, segmentation.labels, nodata=0, labels=True)


def _write_regions(segmentation: Segmentation, path: Path, _: int) -> None:
    regions = segmentation.regions
    if path.suffix.lower() != ".png":
        write_map(segmentation.image, path, regions, nodata=0, labels=True)
    elif regions.dtype == np.uint16:
        write_png(path, regions)
    else:
        raise InvalidParameterError(
            f"the image has {regions.max()} regions, but a PNG can number {MOST_LABELS} only. Give "
            "small ones away: RegionOptions(min_area=) (--min-area), or smooth (--smooth)."
        )


def _write_overlay(segmentation: Segmentation, path: Path, _: int) -> None:
    write_png(path, segmentation.overlay(legend=True))


def _write_mask(segmentation: Segmentation, path: Path, label: int) -> None:
    write_picture(segmentation.image, path, segmentation.mask(label))


def _soft(
    segmentation: Segmentation, what: str, label: int | None = None, *, levels: bool = False
) -> Streamed:
    """A map that is made while it is written; `levels` are 0..65535 for 0..1."""
    shape = segmentation.image.shape
    if what == "probabilities" and label is None:
        shape = (*shape, segmentation.k)

    def make(step: int, band: int | None) -> Iterator[NDArray[Any]]:
        chosen = label if band is None else band + 1
        slabs = segmentation.slabs(what, step, label=chosen)
        if not levels:
            return slabs
        return (np.rint(slab * np.float32(65535)).astype(np.uint16) for slab in slabs)

    return Streamed(shape, np.dtype(np.uint16 if levels else np.float32), make)


def _write_probabilities(segmentation: Segmentation, path: Path, _: int) -> None:
    soft = _soft(segmentation, "probabilities")
    if path.suffix == ".npz":
        write_npz(path, probabilities=soft)
    else:
        names = tuple(f"class {j}" for j in range(1, segmentation.k + 1))
        write_map(segmentation.image, path, soft, band_names=names)


def _write_probability(segmentation: Segmentation, path: Path, label: int) -> None:
    levels = _soft(segmentation, "probabilities", label, levels=True)
    write_picture(segmentation.image, path, levels)


def _write_entropy(segmentation: Segmentation, path: Path, _: int) -> None:
    write_map(segmentation.image, path, _soft(segmentation, "entropy"), nodata=np.nan)


def _write_novelty(segmentation: Segmentation, path: Path, _: int) -> None:
    write_map(segmentation.image, path, _soft(segmentation, "novelty"), nodata=np.nan)


def _write_stability(segmentation: Segmentation, path: Path, _: int) -> None:
    write_map(segmentation.image, path, segmentation.stability, nodata=np.nan)


def _write_model(segmentation: Segmentation, path: Path, _: int) -> None:
    write_text(path, segmentation.model.to_json())


#: Maps on earth, by their names in a plan.
_MAPS: dict[str, Callable[[Segmentation], Streamed]] = {
    "labels": lambda segmentation: streamed(segmentation.labels),
    "probabilities": lambda segmentation: _soft(segmentation, "probabilities"),
    "entropy": lambda segmentation: _soft(segmentation, "entropy"),
    "novelty": lambda segmentation: _soft(segmentation, "novelty"),
    "stability": lambda segmentation: streamed(segmentation.stability),
}

#: By the first word of an output's name.
_WRITERS: dict[str, Callable[[Segmentation, Path, int], None]] = {
    "labels": _write_labels,
    "regions": _write_regions,
    "overlay": _write_overlay,
    "mask": _write_mask,
    "probabilities": _write_probabilities,
    "probability": _write_probability,
    "entropy": _write_entropy,
    "novelty": _write_novelty,
    "stability": _write_stability,
    "model": _write_model,
}


def write_picture(image: Image, path: Path, values: NDArray[Any] | Streamed) -> None:
    """A PNG, or a TIFF that lies where the image lies."""
    if path.suffix == ".png":
        write_png(path, values)
    else:
        write_map(image, path, values)


def write_map(
    image: Image,
    path: Path,
    values: NDArray[Any] | Streamed,
    *,
    nodata: float | None = None,
    band_names: tuple[str, ...] = (),
    labels: bool = False,
) -> None:
    """A TIFF, NIfTI or OME-Zarr that lies where the image lies: in space or on earth."""
    if path.name.lower().endswith(_NIFTI_ENDINGS):
        write_nifti(
            path, values, placement=image.placement, spacing=image.spacing, unit=image.unit,
            bands=values.ndim > image.ndim, labels=labels,
        )  # fmt: skip
        return
    if _has_layout(image, path):
        layout = MapLayout(
            shape=image.shape,
            dtype=values.dtype,
            georeference=image.georeference,
            grid=_grid(image),
            nodata=nodata,
            band_names=band_names,
        )
        _write_layout(path, layout, streamed(values))
        return
    axes = ("YX" if image.ndim == 2 else "ZYX") + ("C" if values.ndim > image.ndim else "")
    write_tiff(
        path,
        values,
        axes=axes,
        spacing=image.spacing,
        unit=image.unit,
        nodata=nodata,
        band_names=band_names,
        georeference=_georeference(image),
    )


def _write_layout(path: Path, layout: MapLayout, values: Streamed, *, cog: bool = False) -> None:
    """A map on earth or in OME-Zarr, slab by slab."""
    with map_file(path, layout, cog=cog) as write:
        first = 0
        for slab in values.make(_ROWS if len(layout.shape) == 2 else 1, None):
            write(first, slab)
            first += len(slab)


def _has_layout(image: Image, path: Path) -> bool:
    """Whether a map of an image is written by `map_file`: as OME-Zarr, or on earth as GeoTIFF."""
    return path.suffix.lower() == ZARR or (image.georeference is not None and is_laid_out(path))


def _grid(image: Image) -> PixelGrid:
    """The axes of maps of an image."""
    return image.grid or PixelGrid.plain(image.ndim, image.spacing, image.unit)


def _georeference(image: Image) -> Path | None:
    """The file of the image when it is a TIFF whose place on earth holds for the image."""
    if image.path is None or image.ndim != 2 or not image.path.is_file():
        return None
    if not is_tiff(Source.of_path(image.path).head):
        return None
    facts = image_info(image.path)
    sides = tuple(n for axis, n in zip(facts["axes"], facts["shape"], strict=True) if axis in "YX")
    same = facts["orientation"] == 1 and sides == image.shape
    return image.path if same else None
