"""Tissues as files, under the names that pipelines look for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gmmseg._check import check_choice
from gmmseg.io import write_nifti, write_png, write_text
from gmmseg.io.dicom_seg import SEG_TYPES, write_seg
from gmmseg.io.streamed import Streamed
from gmmseg.mosaic import mosaic
from gmmseg.outputs import write_files
from gmmseg.tissue import Tissue

__all__ = ["NAMINGS", "TissueOutputs", "planned_tissue", "write_tissue"]

#: What each output is called after the first part of all names; {} is the number of the tissue.
NAMINGS: dict[str, dict[str, str]] = {
    "gmmseg": {
        "labels": "_labels.nii.gz",
        "probabilities": "_prob.nii.gz",
        "fractions": "_fractions.nii.gz",
        "sidecar": "_tissue.json",
        "mosaic": "_mosaic.png",
        "histogram": "_histogram.png",
        "bias": "_bias.nii.gz",
        "corrected": "_corrected.nii.gz",
        "seg": "_seg.dcm",
        "model": ".gmm.json",
    },
    "fsl": {
        "labels": "_seg.nii.gz",
        "probability": "_prob_{0}.nii.gz",
        "fraction": "_pve_{0}.nii.gz",
        "sidecar": "_seg.json",
        "mosaic": "_mosaic.png",
        "histogram": "_histogram.png",
        "bias": "_bias.nii.gz",
        "corrected": "_restore.nii.gz",
        "seg": "_seg.dcm",
        "model": ".gmm.json",
    },
    "ants": {
        "labels": "Segmentation.nii.gz",
        "probability": "Posteriors{1:02d}.nii.gz",
        "fractions": "Fractions.nii.gz",
        "sidecar": "Segmentation.json",
        "mosaic": "Mosaic.png",
        "histogram": "Histogram.png",
        "bias": "BiasField.nii.gz",
        "corrected": "Corrected.nii.gz",
        "seg": "Segmentation.dcm",
        "model": "Model.gmm.json",
    },
}


_ON_REQUEST = (
    "probabilities",
    "fractions",
    "mosaic",
    "histogram",
    "bias",
    "corrected",
    "model",
    "seg",
)

#: What programs write whoever asks, in files of one tissue each.
_ALWAYS = {"fsl": "fraction", "ants": "probability"}


@dataclass(frozen=True, kw_only=True)
class TissueOutputs:
    """Which files are written besides label map and sidecar.

    Attributes
    ----------
    naming : {"gmmseg", "fsl", "ants"}
        fsl has the fractions of each tissue in a file, ants its probabilities, as FAST and Atropos
        write them.
    probabilities : bool
        Probabilities of all tissues: one file of four dimensions, unless the naming has its own.
    fractions : bool
        Fractions of all tissues, in the same way.
    histogram : bool
        A picture of the values with the densities of the classes (extra plot).
    mosaic : bool
        A picture of slices.
    bias : bool
        The bias field.
    corrected : bool
        The modalities without their bias fields.
    model : bool
        The mixture, for ``gmmseg plot`` and ``gmmseg describe``.
    seg : {"binary", "fractional", "labelmap"}, optional
        A DICOM SEG, of volumes that were read from DICOM.
    """

    naming: str = "gmmseg"
    probabilities: bool = False
    fractions: bool = False
    histogram: bool = False
    mosaic: bool = True
    bias: bool = False
    corrected: bool = False
    model: bool = False
    seg: str | None = None

    def __post_init__(self) -> None:
        if self.seg is not None:
            check_choice(self.seg, "seg", SEG_TYPES)
        check_choice(self.naming, "naming", tuple(NAMINGS))


def planned_tissue(base: str | os.PathLike[str], k: int, options: TissueOutputs) -> dict[str, Path]:
    """The files that will be written, by what they are.

    Examples
    --------
    >>> plan = planned_tissue("sub1", 2, TissueOutputs(naming="fsl", mosaic=False))
    >>> [path.name for path in plan.values()]
    ['sub1_seg.nii.gz', 'sub1_seg.json', 'sub1_pve_0.nii.gz', 'sub1_pve_1.nii.gz']
    """
    names = NAMINGS[options.naming]
    wanted = [
        "labels",
        "sidecar",
        *(name for name in _ON_REQUEST if getattr(options, name)),
    ]
    plan = {name: names[name] for name in wanted if name in names}
    for one, all_of_them in (("probability", "probabilities"), ("fraction", "fractions")):
        asked = getattr(options, all_of_them) or _ALWAYS.get(options.naming) == one
        if one in names and asked:
            plan |= {f"{one}_{j}": names[one].format(j - 1, j) for j in range(1, k + 1)}
    return {name: Path(f"{os.fspath(base)}{ending}") for name, ending in plan.items()}


def write_tissue(
    found: Tissue,
    plan: dict[str, Path],
    *,
    more: dict[str, Any] | None = None,
    seg: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write the files of `plan`: all of them, or none when one cannot be written.

    `more` goes into the sidecar; `seg` is the kind of SEG, as in `TissueOutputs`.

    Raises
    ------
    OutputExistsError, WriteError
        As `gmmseg.outputs.write_files`.
    """

    def write(name: str, path: Path) -> None:
        kind, _, label = name.partition("_")
        if kind == "sidecar":
            text = json.dumps(found.to_dict() | (more or {}), indent=2, allow_nan=False)
            write_text(path, text + "\n")
        elif kind == "seg":
            _write_seg(found, path, seg or SEG_TYPES[0])
        else:
            _WRITERS[kind](found, path, int(label or 0))

    write_files(plan, write, overwrite=overwrite)


def _write_volume(found: Tissue, path: Path, values: Any, **more: Any) -> None:
    image = found.segmentation.image
    write_nifti(
        path, values, placement=image.placement, spacing=image.spacing, unit=image.unit, **more
    )


def _write_labels(found: Tissue, path: Path, _: int) -> None:
    _write_volume(found, path, found.labels, labels=True, name="tissue")


def _write_probability(found: Tissue, path: Path, label: int) -> None:
    name = found.names[label - 1]
    _write_volume(found, path, found.segmentation.probability(label), name=name)


def _write_probabilities(found: Tissue, path: Path, _: int) -> None:
    shape = (*found.segmentation.image.shape, len(found.names))

    def make(step: int, band: int | None) -> Any:
        label = None if band is None else band + 1
        return found.segmentation.slabs("probabilities", step, label=label)

    soft = Streamed(shape, np.dtype(np.float32), make)
    _write_volume(found, path, soft, bands=True, name="probability")


def _write_fraction(found: Tissue, path: Path, label: int) -> None:
    _write_volume(found, path, found.fractions[..., label - 1], name=found.names[label - 1])


def _write_fractions(found: Tissue, path: Path, _: int) -> None:
    _write_volume(found, path, found.fractions, bands=True, name="fraction")


def _write_mosaic(found: Tissue, path: Path, _: int) -> None:
    image = found.segmentation.image
    write_png(path, mosaic(image, found.labels, n_labels=len(found.names)))


def _write_histogram(found: Tissue, path: Path, _: int) -> None:
    from gmmseg.plots.figure import save_figure  # the extra is needed only here
    from gmmseg.plots.histogram import plot_histograms
    from gmmseg.plots.pixels import pixels_of

    model = found.segmentation.model
    shares = found.shares[np.array(model.labels) - 1]
    mixture = replace(model.mixture, weights=shares)  # what the bars have of each, however found
    model = replace(model, mixture=mixture)
    pixels = pixels_of(model, found.segmentation.image)
    save_figure(plot_histograms(model, pixels, names=found.names), path, overwrite=True)


def _write_model(found: Tissue, path: Path, _: int) -> None:
    write_text(path, found.segmentation.model.to_json())


def _write_bias(found: Tissue, path: Path, _: int) -> None:
    image, field = found.segmentation.image, found.segmentation.bias
    values = np.ones(image.data.shape, np.float32) if field is None else field.values()
    _write_bands(found, path, values, "bias field")


def _write_corrected(found: Tissue, path: Path, _: int) -> None:
    _write_bands(found, path, found.segmentation.image.data, "bias removed")


def _write_seg(found: Tissue, path: Path, kind: str) -> None:
    values = found.probabilities if kind == "fractional" else found.labels
    write_seg(path, found.segmentation.image, values, found.names, kind=kind)


def _write_bands(found: Tissue, path: Path, values: Any, name: str) -> None:
    several = values.shape[-1] > 1
    _write_volume(found, path, values if several else values[..., 0], bands=several, name=name)


_WRITERS: dict[str, Callable[[Tissue, Path, int], None]] = {
    "labels": _write_labels,
    "probability": _write_probability,
    "probabilities": _write_probabilities,
    "fraction": _write_fraction,
    "fractions": _write_fractions,
    "mosaic": _write_mosaic,
    "histogram": _write_histogram,
    "bias": _write_bias,
    "corrected": _write_corrected,
    "model": _write_model,
}
