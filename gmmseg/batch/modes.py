"""What a label means over a folder: the modes of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from gmmseg.image import Image
from gmmseg.options import SegmentOptions
from gmmseg.pipeline import segment
from gmmseg.segmentation import Segmentation

__all__ = ["Each", "Labelled", "Labeller"]


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
