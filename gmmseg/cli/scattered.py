"""What ``fit``, ``apply`` and ``segment`` do on a cluster of Dask."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gmmseg import distributed
from gmmseg.cli import option_groups as groups
from gmmseg.cli.console import Console
from gmmseg.cli.destinations import Destination
from gmmseg.cli.inputs import Input
from gmmseg.cli.streamed import Found
from gmmseg.errors import InvalidParameterError
from gmmseg.mixture.em import Callback
from gmmseg.model import Model
from gmmseg.options import SegmentOptions
from gmmseg.presets import ChangedPreset
from gmmseg.scattered_outputs import check_scattered_outputs, is_zarr_name, write_scattered
from gmmseg.scattered_scenes import ScatteredOptions, ScatteredScene, scattered_scene
from gmmseg.scene_outputs import SceneSummary, scene_facts
from gmmseg.schedulers import check_workers, n_threads
from gmmseg.streaming import LOOK, StreamOptions

__all__ = ["Cluster"]

#: Options that do not reach the workers, and how they are typed.
_NOT_SCATTERED = {
    "mask": "--mask",
    "hints": "--hints",
    "box": "--box",
    "priors": "--priors",
    "scale": "--scale",
    "offset": "--offset",
    "frame": "--frame",
    "indexed": "--indexed",
    "keep_alpha": "--keep-alpha",
    "max_pixels": "--max-pixels",
    "resample": "--resample",
    "allow_remote": "--allow-remote",
    "report": "--report",
}


@dataclass(frozen=True)
class Cluster:
    """A cluster that scenes are fitted and labelled on."""

    client: Any
    args: Namespace
    console: Console

    @property
    def stream(self) -> StreamOptions:
        return groups.options_of(self.args, StreamOptions)

    def scenes(self, inputs: Sequence[Input]) -> list[ScatteredScene]:
        """The inputs as scenes, which all workers must be able to open."""
        paths = [self._paths(source) for source in inputs]
        options = self._reading()
        found = [
            scattered_scene(words[0] if len(words) == 1 else words, options) for words in paths
        ]
        check_workers(self.client, [path for words in paths for path in words])
        return found

    def _paths(self, source: Input) -> list[str]:
        if source.path is None:
            raise InvalidParameterError("standard input cannot be read by workers: name a file.")
        return [os.path.abspath(word) for word in source.words]  # noqa: PTH100  # links stay

    def _reading(self) -> ScatteredOptions:
        args = self.args
        given = [typed for name, typed in _NOT_SCATTERED.items() if getattr(args, name, None)]
        if given:
            raise InvalidParameterError(f"--scheduler does not go with {' and '.join(given)}.")
        usual = ScatteredOptions()
        return ScatteredOptions(
            axes=args.axes or usual.axes,
            nodata=args.nodata,
            strip=args.tile,
            spacing=_of_both_axes(args.spacing),
        )

    def place_of(self, source: Input, destination: Destination) -> Destination:
        """What a Zarr array gives is one, too; anything else becomes a GeoTIFF."""
        if destination.labels is not None:
            return destination
        ending = ".zarr" if is_zarr_name(source.word) else ".tif"
        return replace(destination, labels=Path(f"{destination.base}_labels{ending}"))

    def check_outputs(self, plan: Mapping[str, Path]) -> None:
        """Raise when one of the planned files cannot be written from a cluster."""
        check_scattered_outputs(plan)

    def fit(
        self, scenes: Sequence[ScatteredScene], k: int, chosen: ChangedPreset, callback: Callback
    ) -> Model:
        """One model of all scenes."""
        options: SegmentOptions = chosen.of_stream(scenes[0].look(LOOK))
        return distributed.fit(list(scenes), k, options, callback=callback)

    def label(self, scene: ScatteredScene, model: Model, plan: Mapping[str, Path]) -> Found:
        """Write the files of `plan`."""
        if is_zarr_name(plan["labels"]):  # which the workers write
            folder = plan["labels"].absolute().parent
            there = next(place for place in (folder, *folder.parents) if place.exists())
            check_workers(self.client, [there])
        labels = distributed.apply(model, scene, stream=self.stream)
        with self.console.share_of("labels") as progress:
            table = write_scattered(
                scene,
                model,
                labels,
                plan,
                cog=self.args.cog,
                overwrite=self.args.overwrite,
                ahead=2 * n_threads(self.client),
                progress=progress,
            )
        n_pixels = sum(row.pixels for row in table)
        known = SceneSummary(table=table, bands=(), n_pixels=n_pixels, smoothing=None)
        summary = scene_facts(scene, model, known) | {"notes": ["labelled on a cluster"]}
        return Found(summary=summary, table=table, unit=scene.unit)


def _of_both_axes(spacing: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return spacing * 2 if spacing is not None and len(spacing) == 1 else spacing
