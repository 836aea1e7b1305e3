"""What a label means over a folder: the modes of a batch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from gmmseg.batch.subjects import Chosen, Found, Subject
from gmmseg.folder_modes import DriftOptions, compared, drifted, matched, reweighted
from gmmseg.model import Model
from gmmseg.pixels import PixelRows
from gmmseg.pooling import fit_aligned, fit_pooled

__all__ = ["EACH", "MODES", "Each", "Labelled", "Labeller", "Mode", "Reference"]


class Labelled(NamedTuple):
    """The labels of an image, and how it fits the reference where there is one."""

    found: Found
    drift: dict[str, Any] | None = None


class Labeller(Protocol):
    """From an image to its labels; a value that can be sent to another process."""

    def __call__(self, subject: Subject) -> Labelled: ...


@dataclass(frozen=True, kw_only=True)
class Each:
    """Every image for itself, as `gmmseg.segment` does it."""

    k: int | str
    options: Chosen

    def __call__(self, subject: Subject) -> Labelled:
        return Labelled(subject.segmented(self.k, subject.options(self.options)))


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Labels with the meaning that they have in a reference."""

    mode: str
    model: Model
    options: Chosen
    drift: DriftOptions
    threads: int | None = None

    def __call__(self, subject: Subject) -> Labelled:
        known = self.model.for_image(subject.look)
        mode, rows = MODES[self.mode], subject.rows(known)
        found = mode.label(replace(self, model=known), subject, rows)
        comparison = compared(
            found.model,
            known,
            rows.features,
            rows.counts,
            judged=known if mode.judged_by_reference else None,
            threads=self.threads,
        )
        return Labelled(found, comparison.to_dict())


def _shares_free(job: Reference, subject: Subject, rows: PixelRows) -> Found:
    model = reweighted(job.model, rows.features, rows.counts, threads=job.threads)
    return subject.labelled(model)


def _means_free(job: Reference, subject: Subject, rows: PixelRows) -> Found:
    model = drifted(job.model, rows.features, rows.counts, job.drift, threads=job.threads)
    return subject.labelled(model)


def _all_free(job: Reference, subject: Subject, rows: PixelRows) -> Found:
    options = replace(subject.options(job.options), features=job.model.features)
    found = subject.segmented(job.model.k, options)
    return replace(found, model=matched(found.model, job.model))


@dataclass(frozen=True)
class Mode:
    """One meaning of labels over a folder.

    Attributes
    ----------
    label : callable
        From the job, an image and its rows to its labels.
    most_pooled : int
        Of so many files, spread evenly over all of them, a reference is made where none is given;
        0 = it has to be given.
    fit : callable
        From the rows of images to the reference that is made of them.
    judged_by_reference : bool
        Whose likelihood is told: the reference's, or that of the model of the image.
    """

    label: Callable[[Reference, Subject, PixelRows], Found]
    most_pooled: int
    fit: Callable[..., Model] = fit_pooled
    judged_by_reference: bool = False


#: Every image for itself: no reference.
EACH = "each"

#: By name; all of these have a reference.
MODES = {
    "pooled": Mode(_shares_free, sys.maxsize),
    "reference": Mode(_shares_free, 0),
    "drift": Mode(_means_free, 32, fit_aligned),
    "independent": Mode(_all_free, 32, judged_by_reference=True),
}
