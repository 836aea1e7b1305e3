"""What is done with one image of a batch, in a worker process."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gmmseg._files import file_facts, printable
from gmmseg.batch.modes import Labelled, Labeller
from gmmseg.batch.planning import PlannedFile
from gmmseg.batch.source import ImageSource
from gmmseg.errors import GmmsegWarning, InvalidDataError, WriteError
from gmmseg.image import Image
from gmmseg.outputs import OutputOptions, planned_outputs

__all__ = ["ImageJob", "ImageTask"]


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
class ImageJob:
    """Read, label, write: from a task to what the record tells of it.

    Attributes
    ----------
    source : ImageSource
    output : Path
        Folder of the outputs.
    outputs : OutputOptions
    labeller : Labeller
    cog : bool
        Maps on earth are written cloud-optimised.
    strict : bool
        EM that does not converge is a failure.
    threads : int, optional
    """

    source: ImageSource
    output: Path
    outputs: OutputOptions
    labeller: Labeller
    cog: bool = False
    strict: bool = False
    threads: int | None = None

    def __call__(self, task: ImageTask) -> dict[str, Any]:
        with (
            warnings.catch_warnings(record=True) as heard,
            self.source.opened(task.file, self.threads) as subject,
        ):
            labelled = self.labeller(subject)
            found = labelled.found
            if self.strict and not found.model.provenance["fit"]["converged"]:
                raise InvalidDataError("EM did not converge, and strict takes it as a failure.")
            plan = self._plan(task.file, subject.look, found.model.k)

            def told(summary: dict[str, Any]) -> dict[str, Any]:
                return _summary(summary, labelled, task.file, heard)

            summary = subject.write(found, plan, told, cog=self.cog, overwrite=task.overwrite)
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
            nifti=image.placement is not None,
            zarr=image.grid is not None,
        )
        plan["json"] = Path(f"{base}_summary.json")
        _check_inside(base.parent, self.output)
        return plan


def _summary(
    summary: dict[str, Any],
    labelled: Labelled,
    file: PlannedFile,
    heard: Sequence[warnings.WarningMessage],
) -> dict[str, Any]:
    """What programs want to know of the image: plain values, the same in every run."""
    told = [printable(w.message) for w in heard if issubclass(w.category, GmmsegWarning)]
    summary = summary | {"input": file.input, "warnings": [*told, *summary["warnings"]]}
    return summary if labelled.drift is None else summary | {"drift": labelled.drift}


def _check_inside(folder: Path, output: Path) -> None:
    """Raise when a link within the folder of the outputs leads out of it."""
    if not folder.resolve().is_relative_to(output.resolve()):
        raise WriteError(
            f"cannot write into {printable(folder)}: it is a link that leads out of the folder of "
            "the outputs."
        )
