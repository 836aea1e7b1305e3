"""Tissues of the brain: cerebrospinal fluid, grey and white matter, with their volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import gmmseg
from gmmseg._check import check_choice
from gmmseg._files import printable
from gmmseg.area import in_millilitres
from gmmseg.bias import USUAL_SMOOTHNESS, BiasOptions
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.fractions import fractions_of
from gmmseg.image import Image
from gmmseg.mixture.em import Callback
from gmmseg.modalities import foreground, joined_modalities
from gmmseg.options import SegmentOptions
from gmmseg.pipeline import ImageLike, as_image, segment
from gmmseg.presets import options_for
from gmmseg.priors import PriorOptions
from gmmseg.segmentation import Segmentation

__all__ = ["CONTRASTS", "Tissue", "TissueOptions", "TissueRow", "tissue"]

#: Names of the classes, from dark to bright.
CONTRASTS = {"t1": ("csf", "gm", "wm"), "t2": ("wm", "gm", "csf")}

#: Voxels that are of a tissue with this probability count for the lower end of its volume.
_SURE = 0.975

#: Voxels whose probabilities are summed at once.
_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class TissueOptions:
    """How tissues are told apart.

    Attributes
    ----------
    contrast : {"t1", "t2"}
        What is dark and bright in the first modality: the names of the classes follow.
    bias : BiasOptions
        How the bias field is estimated.
    beta : float or "auto", optional
        What a neighbour of the same tissue is worth, in place of the preset's.
    priors : PriorOptions
        How much prior maps count, where there are any.
    fractions : bool
        Whether volumes by the fractions of voxels are measured, too.
    segmentation : SegmentOptions, optional
        By default those of the preset "mri"; bias field and priors in them are not looked at.
    """

    contrast: str = "t1"
    bias: BiasOptions = BiasOptions(smoothness=USUAL_SMOOTHNESS)
    beta: float | str | None = None
    priors: PriorOptions = PriorOptions()
    fractions: bool = False
    segmentation: SegmentOptions | None = None

    def __post_init__(self) -> None:
        check_choice(self.contrast, "contrast", tuple(CONTRASTS))

    def for_image(self, image: Image) -> SegmentOptions:
        """The options of segmenting one image."""
        options = options_for(self.segmentation or "mri", image)
        smoothing = options.smoothing
        if self.beta is not None:
            smoothing = replace(smoothing, beta=self.beta)
        return replace(options, bias=self.bias, smoothing=smoothing, priors=self.priors)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, from dark to bright."""
        return CONTRASTS[self.contrast]


@dataclass(frozen=True, kw_only=True)
class TissueRow:
    """One tissue.

    Attributes
    ----------
    label : int
        From 1.
    name : str
    voxels : int
        With this label.
    ml : float or None
        Their volume; None when the size of a voxel is not known.
    ml_expected : float or None
        The sum of the probabilities, as a volume: voxels on borders count in part.
    ml_interval : tuple of float, or None
        Volumes of the voxels that are of this tissue with a probability of .975 and of .025.
    ml_fractions : float or None
        The sum of what the voxels have of the tissue, as a volume; None where not asked for.
    mean : tuple of float
        Of every modality, after the bias field was taken out.
    """

    label: int
    name: str
    voxels: int
    ml: float | None
    ml_expected: float | None
    ml_interval: tuple[float, float] | None
    ml_fractions: float | None
    mean: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tissue:
    """Tissues of one head.

    Attributes
    ----------
    segmentation : Segmentation
        Labels, probabilities, uncertainty, model, bias field.
    names : tuple of str
        Of the labels 1, 2, 3.
    mask_note : str
        How the mask was found where none was given; otherwise empty.
    measures_fractions : bool
        Whether `rows` have volumes by fractions.
    """

    segmentation: Segmentation
    names: tuple[str, ...]
    mask_note: str = ""
    measures_fractions: bool = False

    @property
    def labels(self) -> NDArray[Any]:
        """Label map, 0 outside the mask."""
        return self.segmentation.labels

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Probability of every tissue, the volume's shape and (3,)."""
        return self.segmentation.probabilities

    @cached_property
    def fractions(self) -> NDArray[np.float32]:
        """What every voxel has of each tissue, the volume's shape and (3,): `fractions_of`.

        A probability tells how sure a voxel's tissue is, a fraction how much of it is there.
        """
        return fractions_of(self.segmentation, threads=self.segmentation._threads)

    @cached_property
    def rows(self) -> tuple[TissueRow, ...]:
        """One row for each tissue."""
        seg = self.segmentation
        spacing = seg.image.spacing
        ml = None if spacing is None else in_millilitres(spacing, seg.image.unit)
        expected, sure, possible = self._sums
        parts: Any = [None] * len(self.names)
        if ml is not None and self.measures_fractions:
            parts = self.fractions.sum(axis=(0, 1, 2), dtype=np.float64) * ml
        return tuple(
            TissueRow(
                label=row.label,
                name=name,
                voxels=row.pixels,
                ml=None if ml is None else row.pixels * ml,
                ml_expected=None if ml is None else float(expected[j]) * ml,
                ml_interval=None if ml is None else (float(sure[j]) * ml, float(possible[j]) * ml),
                ml_fractions=None if parts[j] is None else float(parts[j]),
                mean=row.mean,
            )
            for j, (row, name) in enumerate(zip(seg.table, self.names, strict=True))
        )

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share of each tissue, by the sum of its probabilities."""
        return np.asarray(self._sums[0] / self._sums[0].sum())

    @cached_property
    def _sums(self) -> NDArray[np.float64]:
        """Sum of the probabilities, sure voxels, possible voxels, of every tissue (3, k)."""
        from gmmseg._class_kernels import share_pass

        limits = np.float32(_SURE), np.float32(1 - _SURE)
        counts, found = np.zeros((3, len(self.names))), np.empty(3)
        shape = self.segmentation.image.shape
        step = max(1, _AT_ONCE * shape[0] // self.segmentation.image.n_pixels)
        for part in self.segmentation.slabs("probabilities", step):
            for j in range(len(self.names)):
                share_pass(part[..., j].reshape(-1), limits, found)
                counts[:, j] += found
        return counts

    def to_dict(self) -> dict[str, Any]:
        """The sidecar: plain JSON values, nothing about the patient."""
        seg = self.segmentation.to_dict()
        return {
            "gmmseg": gmmseg.__version__,
            "tissues": [
                {
                    "label": row.label,
                    "name": row.name,
                    "voxels": row.voxels,
                    "ml": row.ml,
                    "ml_expected": row.ml_expected,
                    "ml_interval": None if row.ml_interval is None else list(row.ml_interval),
                    "ml_fractions": row.ml_fractions,
                    "mean": [None if np.isnan(m) else m for m in row.mean],
                }
                for row in self.rows
            ],
            "mask": self.mask_note or "given",
            **{name: seg[name] for name in ("shape", "bias", "smoothing", "fit", "notes")},
            "warnings": seg["warnings"],
        }

    def summary(self) -> str:
        """The table for people."""
        by_parts = self.measures_fractions
        title = " fractions" if by_parts else ""
        lines = [f"label  tissue    voxels       ml  expected{title}  interval"]
        for row in self.rows:
            volumes = ""
            if row.ml is not None and row.ml_expected is not None and row.ml_interval is not None:
                low, high = row.ml_interval
                parts = "" if row.ml_fractions is None else f" {row.ml_fractions:9.1f}"
                volumes = f"{row.ml:9.1f} {row.ml_expected:9.1f}{parts}  {low:.1f} - {high:.1f}"
            lines.append(f"{row.label:5}  {row.name:6} {row.voxels:9}{volumes}".rstrip())
        return "\n".join(lines)


def tissue(
    images: ImageLike | Sequence[ImageLike],
    options: TissueOptions = TissueOptions(),
    *,
    mask: ArrayLike | None = None,
    priors: Sequence[ImageLike] | ImageLike | None = None,
    threads: int | None = None,
    callback: Callback | None = None,
) -> Tissue:
    """Tell the tissues of a head apart: no atlas, no training.

    Parameters
    ----------
    images : Image, nibabel image, path, or a list of them
        Modalities of one head on one grid, the one that `contrast` speaks of first.
    options : TissueOptions
    mask : array_like of the volume's shape, optional
        True or non-zero inside the brain. By default what is not 0, or brighter than Otsu's
        threshold; `Tissue.mask_note` tells.
    priors : list of images, arrays or paths, or one of them, optional
        Probability maps of the tissues in the order of `TissueOptions.names`, on the same grid, as
        in `gmmseg.segment`.
    threads, callback
        As in `gmmseg.segment`.

    Returns
    -------
    Tissue

    Raises
    ------
    InvalidDataError
        When the modalities lie on different grids, or are no volumes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> head = np.repeat(np.repeat([[40.0, 90.0, 140.0]], 8, 0), 8, 1) + rng.normal(0, 3, (8, 24))
    >>> plain = TissueOptions(bias=BiasOptions())  # without a bias field
    >>> found = tissue(np.stack([head] * 8), plain, mask=np.ones((8, 8, 24)))
    >>> found.names, found.labels[4, 4, [4, 12, 20]].tolist()
    (('csf', 'gm', 'wm'), [1, 2, 3])
    """
    several = isinstance(images, list | tuple)
    sources: Sequence[Any] = images if several else [images]  # type: ignore[assignment]
    if not sources:
        raise InvalidParameterError("images must hold at least one modality.")
    pictures = [as_image(source, None, None, _axes_of(source)) for source in sources]
    image, note = joined_modalities(pictures), ""
    _check_volume(image)
    if mask is not None:
        image = image.with_mask(mask)
    elif image.mask is None:
        found, note = foreground(image)
        image = image.with_mask(found)
    seg = segment(
        image,
        len(options.names),
        options.for_image(image),
        priors=priors,
        threads=threads,
        callback=callback,
    )
    return Tissue(
        segmentation=seg,
        names=options.names,
        mask_note=note,
        measures_fractions=options.fractions,
    )


def _check_volume(image: Image) -> None:
    if image.ndim != 3:
        name = "" if image.path is None else f" {printable(image.path.name)}"
        raise InvalidDataError(
            f"tissues are told apart in volumes; the image{name} is one plane of {image.shape}. "
            "Segment it as a picture: gmmseg segment FILE -k 3 --preset mri"
        )


def _axes_of(source: Any) -> str | None:
    """Arrays of three dimensions are volumes."""
    return "ZYX" if isinstance(source, np.ndarray) and source.ndim == 3 else None
