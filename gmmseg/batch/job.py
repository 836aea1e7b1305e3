"""What is done with one image of a batch, in a worker process."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gmmseg._files import file_facts, printable, write_text
from gmmseg.batch.modes import Labelled, Labeller
from gmmseg.batch.planning import PlannedFile
from gmmseg.errors import GmmsegWarning, InvalidDataError, WriteError
from gmmseg.image import Image
from gmmseg.io import ReadOptions, read_image
from gmmseg.io.formats import is_tiff
from gmmseg.io.masks import read_mask
from gmmseg.outputs import OutputOptions, planned_outputs, write_files, write_output
from gmmseg.segmentation import Segmentation

__all__ = ["ImageJob", "ImageSource", "ImageTask"]


class ImageTask(NamedTuple):
    """One image to be done.

    Attributes
    ----------
    file : PlannedFile
    overwrite : bool
        Replace outputs that exist.
    """

    file: PlannedFile
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """How the inputs of a batch are read.

    Attributes
    ----------
    root : Path
        The folder that the inputs are relative to.
    reading : ReadOptions
    mask : Path, optional
        An image that says which pixels of each are used.
    spacing : sequence of float, optional
        Size of a pixel along each axis, or one for all.
    """

    root: Path
    reading: ReadOptions = ReadOptions()
    mask: Path | None = None
    spacing: Sequence[float] | None = None

    def read(self, file: PlannedFile) -> Image:
        """The image."""
        image = read_image(self.root / file.input, self.reading)
        if self.spacing is not None:
            image = image.with_spacing(self.spacing if len(self.spacing) > 1 else self.spacing[0])
        if self.mask is not None:
            image = image.with_mask(read_mask(self.mask, image, self.reading))
        return image

    def is_tiff(self, file: PlannedFile) -> bool:
        """Whether the input is a TIFF."""
        if (self.root / file.input).is_dir():
            return False
        with (self.root / file.input).open("rb") as stream:
            return is_tiff(stream.read(4))


@dataclass(frozen=True, kw_only=True)
class ImageJob:
    """Read, label, write: from a task to what the record tells of it.

    Attributes
    ----------
    source : ImageSource
    output : Path
        Folder of the outputs.
    outputs : OutputOptions
    labeller : Labeller
    strict : bool
        EM that does not converge is a failure.
    """

    source: ImageSource
    output: Path
    outputs: OutputOptions
    labeller: Labeller
    strict: bool = False

    def __call__(self, task: ImageTask) -> dict[str, Any]:
        with warnings.catch_warnings(record=True) as heard:
            image = self.source.read(task.file)
            found = self.labeller(image)
        if self.strict and not found.segmentation.model.provenance["fit"]["converged"]:
            raise InvalidDataError("EM did not converge, and strict takes it as a failure.")
        told = [printable(w.message) for w in heard if issubclass(w.category, GmmsegWarning)]
        plan = self._plan(task.file, image, found.segmentation.k)
        summary = _summary(found, task.file, told)
        write_files(plan, partial(_write, found.segmentation, summary), overwrite=task.overwrite)
        return {
            "outputs": {
                name: path.relative_to(self.output).as_posix() for name, path in plan.items()
            },
            "bytes": {name: file_facts(path)[0] for name, path in plan.items()},
            "warnings": summary["warnings"],
        }

    def _plan(self, file: PlannedFile, image: Image, k: int) -> dict[str, Path]:
        base = self.output / file.base
        tiff = self.source.is_tiff(file)
        plan = planned_outputs(
            base,
            k,
            self.outputs,
            volume=image.ndim == 3,
            tiff=tiff,
            zarr=image.grid is not None,
        )
        plan["json"] = Path(f"{base}_summary.json")
        _check_inside(base.parent, self.output)
        return plan


def _summary(found: Labelled, file: PlannedFile, told: list[str]) -> dict[str, Any]:
    """What programs want to know of the image: plain values, the same in every run."""
    summary = found.segmentation.to_dict()
    summary["input"] = file.input
    summary["warnings"] = [*told, *summary["warnings"]]
    return summary if found.drift is None else summary | {"drift": found.drift}


def _write(segmentation: Segmentation, summary: Mapping[str, Any], name: str, path: Path) -> None:
    if name == "json":
        write_text(path, json.dumps(summary, indent=1, allow_nan=False) + "\n")
    else:
        write_output(segmentation, name, path)


def _check_inside(folder: Path, output: Path) -> None:
    """Raise when a link within the folder of the outputs leads out of it."""
    if not folder.resolve().is_relative_to(output.resolve()):
        raise WriteError(
            f"cannot write into {printable(folder)}: it is a link that leads out of the folder of "
            "the outputs."
        )
