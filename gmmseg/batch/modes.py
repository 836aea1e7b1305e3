"""What a label means over a folder: the modes of a batch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from gmmseg.folder_modes import DriftOptions, compared, drifted, matched, reweighted
from gmmseg.image import Image
from gmmseg.model import Model
from gmmseg.options import SegmentOptions
from gmmseg.pipeline import apply, segment
from gmmseg.pixels import PixelRows, pixel_rows
from gmmseg.segmentation import Segmentation

__all__ = ["EACH", "MODES", "Each", "Labelled", "Labeller", "Mode", "Reference"]


class Labelled(NamedTuple):
    """A segmentation, and how the image fits the reference where there is one."""

    segmentation: Segmentation
    drift: dict[str, Any] | None = None


class Labeller(Protocol):
    """From an image to its labels; a value that can be sent to another process."""

    def __call__(self, image: Image) -> Labelled: ...


@dataclass(frozen=True, kw_only=True)
class Each:
    """Every image for itself, as `gmmseg.segment` does it."""

    k: int | str
    options: Callable[[Image], SegmentOptions]
    threads: int | None = None

    def __call__(self, image: Image) -> Labelled:
        return Labelled(segment(image, self.k, self.options(image), threads=self.threads))


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Labels with the meaning that they have in a reference."""

    mode: str
    model: Model
    options: Callable[[Image], SegmentOptions]
    drift: DriftOptions
    threads: int | None = None

    def __call__(self, image: Image) -> Labelled:
        return MODES[self.mode].label(self, image)

    def compared(
        self, found: Segmentation, rows: PixelRows, judged: Model | None = None
    ) -> Labelled:
        """The segmentation with how it fits the reference."""
        comparison = compared(
            found.model,
            self.model,
            rows.features,
            rows.counts,
            judged=judged,
            threads=self.threads,
        )
        return Labelled(found, comparison.to_dict())


def _shares_free(job: Reference, image: Image) -> Labelled:
    known = job.model.for_image(image)
    rows = pixel_rows(image, known.features)
    model = reweighted(known, rows.features, rows.counts, threads=job.threads)
    return job.compared(apply(model, image, threads=job.threads), rows)


def _means_free(job: Reference, image: Image) -> Labelled:
    known = job.model.for_image(image)
    rows = pixel_rows(image, known.features)
    model = drifted(known, rows.features, rows.counts, job.drift, threads=job.threads)
    return job.compared(apply(model, image, threads=job.threads), rows)


def _all_free(job: Reference, image: Image) -> Labelled:
    known = job.model.for_image(image)
    options = replace(job.options(image), features=known.features)
    found = segment(image, known.k, options, threads=job.threads)
    found = replace(found, model=matched(found.model, known))
    return job.compared(found, pixel_rows(image, known.features), judged=known)


@dataclass(frozen=True)
class Mode:
    """One meaning of labels over a folder.

    Attributes
    ----------
    label : callable
        From the job and an image to its labels.
    most_pooled : int
        Of so many files, spread evenly over all of them, a reference is made where none is given;
        0 = it has to be given.
    """

    label: Callable[[Reference, Image], Labelled]
    most_pooled: int


#: Every image for itself: no reference.
EACH = "each"

#: By name; all of these have a reference.
MODES = {
    "pooled": Mode(_shares_free, sys.maxsize),
    "reference": Mode(_shares_free, 0),
    "drift": Mode(_means_free, 32),
    "independent": Mode(_all_free, 32),
}
