"""What ``segment`` and ``apply`` do with a scene that is too large to be held."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmmseg.classes import ClassRow
from gmmseg.cli.console import Console
from gmmseg.mixture.em import Callback
from gmmseg.model import Model
from gmmseg.scene_outputs import check_scene_outputs, scene_facts, write_scene
from gmmseg.segmentation import Segmentation
from gmmseg.streaming import StreamOptions, refuse_streaming
from gmmseg.tiles import Scene

__all__ = ["Found", "Modeller", "Streamer"]

#: From a scene to the model that labels it, and warnings.
Modeller = Callable[[Scene, StreamOptions, Callback], tuple[Model, tuple[str, ...]]]

#: Options that need the whole image at once, and how they are typed.
_NOT_STREAMED = {name: f"--{name}" for name in ("mask", "spacing", "hints", "box", "priors")}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is told of an input that was labelled."""

    summary: dict[str, Any]
    table: tuple[ClassRow, ...]
    unit: str
    ndim: int = 2

    @classmethod
    def of(cls, segmentation: Segmentation) -> Found:
        image = segmentation.image
        summary, table = segmentation.to_dict(), segmentation.table
        return cls(summary=summary, table=table, unit=image.unit, ndim=image.ndim)


@dataclass(frozen=True)
class Streamer:
    """Fits and labels scenes strip by strip."""

    args: Namespace
    options: StreamOptions
    console: Console

    def run(self, scene: Scene, plan: Mapping[str, Path], modeller: Modeller) -> Found:
        """Write the files of `plan`."""
        self._check(plan)
        gib = scene.nbytes / 2**30
        self.console.detail(f"{gib:.1f} GiB of pixels: read strip by strip in every pass")
        with self.console.iterations() as callback:
            model, warnings = modeller(scene, self.options, callback)
        with self.console.share_of("labels") as progress:
            found = write_scene(
                scene,
                model,
                plan,
                self.options,
                cog=self.args.cog,
                overwrite=self.args.overwrite,
                threads=self.args.threads,
                progress=progress,
            )
        summary = scene_facts(scene, model, found, warnings)
        return Found(summary=summary, table=found.table, unit=scene.unit)

    def _check(self, plan: Mapping[str, Path]) -> None:
        given = vars(self.args)
        asked = (typed for name, typed in _NOT_STREAMED.items() if given.get(name) is not None)
        refuse_streaming(list(asked))
        check_scene_outputs(plan)
