"""What a batch labels: an image in memory, or a scene that is read strip by strip.

Both give rows, are fitted, and take the labels of a model in the same way; the modes of a batch
know nothing of the difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from gmmseg._files import write_text
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.model import Model
from gmmseg.options import SegmentOptions
from gmmseg.outputs import write_files, write_output
from gmmseg.pipeline import apply, segment
from gmmseg.pixels import PixelRows, pixel_rows
from gmmseg.pooling import ImageRows, rows_of_image, some_rows
from gmmseg.scene_outputs import SceneSummary, scene_facts, write_scene
from gmmseg.segmentation import Segmentation
from gmmseg.streaming import (
    LOOK,
    StreamOptions,
    check_model_streamable,
    check_streamable,
    fit_scenes,
    rows_of_scene,
)
from gmmseg.tiles import Scene

__all__ = ["Chosen", "Found", "HeldImage", "LabelledScene", "StreamedScene", "Subject"]

#: From an image to how it is segmented.
Chosen = Callable[[Image], SegmentOptions]

#: What a program wants to know of an image, given what its segmentation tells.
Told = Callable[[dict[str, Any]], dict[str, Any]]


class Found(Protocol):
    """Labels that are there, or come to be when they are written."""

    @property
    def model(self) -> Model: ...


class Subject(Protocol):
    """What is labelled."""

    @property
    def look(self) -> Image:
        """All of it, or with fewer pixels."""

    def options(self, chosen: Chosen) -> SegmentOptions:
        """How it is segmented."""

    def rows(self, model: Model) -> PixelRows:
        """Its pixels as the model sees them."""

    def some_rows(self, k: int | str, options: SegmentOptions, most: int) -> ImageRows:
        """What it gives to a model of many."""

    def segmented(self, k: int | str, options: SegmentOptions) -> Any:
        """Labels by a model of its own, a `Found`."""

    def labelled(self, model: Model) -> Any:
        """Labels by a model, a `Found`."""

    def write(
        self, found: Any, plan: Mapping[str, Path], told: Told, *, cog: bool, overwrite: bool
    ) -> dict[str, Any]:
        """Write the files of a plan, "json" among them, and return what that tells."""


@dataclass(frozen=True, kw_only=True)
class HeldImage:
    """An image in memory."""

    look: Image
    threads: int | None = None

    def options(self, chosen: Chosen) -> SegmentOptions:
        return chosen(self.look)

    def rows(self, model: Model) -> PixelRows:
        return pixel_rows(self.look, model.features)

    def some_rows(self, k: int | str, options: SegmentOptions, most: int) -> ImageRows:
        return rows_of_image(self.look, options, most)

    def segmented(self, k: int | str, options: SegmentOptions) -> Segmentation:
        return segment(self.look, k, options, threads=self.threads)

    def labelled(self, model: Model) -> Segmentation:
        return apply(model, self.look, threads=self.threads)

    def write(
        self,
        found: Segmentation,
        plan: Mapping[str, Path],
        told: Told,
        *,
        cog: bool,
        overwrite: bool,
    ) -> dict[str, Any]:
        summary = told(found.to_dict())

        def write(name: str, path: Path) -> None:
            if name == "json":
                write_text(path, _as_json(summary))
            else:
                write_output(found, name, path, cog=cog)

        write_files(plan, write, overwrite=overwrite)
        return summary


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledScene:
    """The model that labels a scene; what is found is told when that is done."""

    model: Model
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamedScene:
    """A scene that would take more memory than is allowed; `open` ends with its file."""

    scene: Scene
    stream: StreamOptions
    open: ExitStack
    threads: int | None = None

    @cached_property
    def look(self) -> Image:
        return self.scene.look(LOOK)

    def options(self, chosen: Chosen) -> SegmentOptions:
        of_stream: Chosen = getattr(chosen, "of_stream", chosen)
        return of_stream(self.look)

    def rows(self, model: Model) -> PixelRows:
        check_model_streamable(model)
        return self._of(model.features)

    def some_rows(self, k: int | str, options: SegmentOptions, most: int) -> ImageRows:
        check_streamable(options, k)
        rows = self._of(options.features)
        return some_rows(self.look, rows, options, most, n_effective=float(rows.n_pixels))

    def _of(self, spec: FeatureSpec) -> PixelRows:
        return self.open.enter_context(rows_of_scene(self.scene, spec, self.stream))

    def segmented(self, k: int | str, options: SegmentOptions) -> LabelledScene:
        check_streamable(options, k)
        model, warnings = fit_scenes(
            [self.scene], int(k), options, self.stream, threads=self.threads
        )
        return LabelledScene(model=model, warnings=warnings)

    def labelled(self, model: Model) -> LabelledScene:
        return LabelledScene(model=model)

    def write(
        self,
        found: LabelledScene,
        plan: Mapping[str, Path],
        told: Told,
        *,
        cog: bool,
        overwrite: bool,
    ) -> dict[str, Any]:
        summaries: list[dict[str, Any]] = []

        def text_of(known: SceneSummary) -> str:
            facts = scene_facts(self.scene, found.model, known, found.warnings)
            summaries.append(told(facts))
            return _as_json(summaries[0])

        write_scene(
            self.scene,
            found.model,
            plan,
            self.stream,
            cog=cog,
            overwrite=overwrite,
            threads=self.threads,
            texts={"json": text_of},
        )
        return summaries[0]


def _as_json(summary: Mapping[str, Any]) -> str:
    return json.dumps(summary, indent=1, allow_nan=False) + "\n"
