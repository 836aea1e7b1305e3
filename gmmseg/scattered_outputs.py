"""Label maps of scenes that lie on a cluster.

A map on earth is one file: its strips are fetched in order, a few ahead, and written here. A map as
a Zarr array is written by the workers.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._optional import import_optional
from gmmseg.classes import ClassRow
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.io import write_png, write_text
from gmmseg.io.geotiff import geotiff
from gmmseg.map_layouts import label_layout
from gmmseg.model import Model
from gmmseg.outputs import staged
from gmmseg.scattered_scenes import ScatteredScene
from gmmseg.scene_outputs import scene_picture
from gmmseg.streaming import LOOK
from gmmseg.tiles import look_step

__all__ = ["check_scattered_outputs", "is_zarr_name", "write_scattered"]

_WRITTEN = ("labels", "overlay", "model")


def is_zarr_name(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a Zarr array."""
    return Path(path).suffix.lower() == ".zarr"


def check_scattered_outputs(plan: Mapping[str, Path]) -> None:
    """Raise when one of the planned files cannot be written from a cluster."""
    odd = [name for name in plan if name not in _WRITTEN]
    if odd:
        raise InvalidParameterError(
            f"{odd[0]} cannot be written from a cluster: only label maps, overlays and models. "
            "Leave it out, or make it from the label map and the model with gmmseg apply."
        )
    if plan["labels"].suffix.lower() not in (".tif", ".tiff", ".zarr"):
        raise InvalidParameterError(
            f"a label map from a cluster is .tif or .zarr, got {plan['labels'].name}."
        )


def write_scattered(
    scene: ScatteredScene,
    model: Model,
    labels: Any,
    plan: Mapping[str, Path],
    *,
    cog: bool = False,
    overwrite: bool = False,
    ahead: int = 4,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[ClassRow, ...]:
    """Write the files of `plan`: all of them, or none.

    Parameters
    ----------
    scene : ScatteredScene
    model : Model
    labels : dask.array.Array
        Of `distributed.apply`.
    plan : dict
        Of `outputs.planned_outputs`: labels (.tif or .zarr), overlay, model.
    cog : bool
        Cloud-optimised.
    overwrite : bool
    ahead : int
        Strips that are asked for before they are needed.
    progress : callable
        Called with the share that is done, 0..1.

    Returns
    -------
    tuple of ClassRow
        Pixels, shares and areas; means of bands are not known here.

    Raises
    ------
    WriteError, OutputExistsError
        Nothing has changed then.
    InvalidDataError
        When no pixel may be used.
    """
    check_scattered_outputs(plan)
    seen = _Seen(scene, model)
    with staged(plan, overwrite=overwrite) as paths:
        target = paths["labels"]
        if is_zarr_name(target):
            target = target.absolute()  # workers have other working directories
            labels.to_zarr(os.fspath(target))
            labels = _as_written(target, labels)
            for rows, part in _strips(labels, ahead):
                seen.add(rows, part)
                progress(rows.stop / scene.shape[0])
        else:
            layout = label_layout(scene.shape, model, scene.georeference)
            with geotiff(target, layout, cog=cog) as write:
                for rows, part in _strips(labels, ahead):
                    write(rows.start, part)
                    seen.add(rows, part)
                    progress(rows.stop / scene.shape[0])
        table = seen.table()
        if "overlay" in paths:
            write_png(paths["overlay"], seen.overlay(table))
        if "model" in paths:
            write_text(paths["model"], model.to_json())
        return table


def _as_written(path: Path, labels: Any) -> Any:
    """The array in a file, in the strips that it was written in."""
    return import_optional("dask.array").from_zarr(os.fspath(path), chunks=labels.chunks)


def _strips(labels: Any, ahead: int) -> Iterator[tuple[slice, NDArray[Any]]]:
    """The strips of a Dask array in order; some are asked for before they are needed."""
    waiting: deque[tuple[slice, Any]] = deque()
    start = 0
    for block, height in zip(labels.to_delayed().ravel(), labels.chunks[0], strict=True):
        waiting.append((slice(start, start + height), block.persist()))
        start += height
        if len(waiting) > ahead:
            yield _fetched(*waiting.popleft())
    while waiting:
        yield _fetched(*waiting.popleft())


def _fetched(rows: slice, block: Any) -> tuple[slice, NDArray[Any]]:
    return rows, np.asarray(block.compute())


class _Seen:
    """What is kept of strips that have gone by: numbers of pixels, and a small picture."""

    def __init__(self, scene: ScatteredScene, model: Model) -> None:
        self._scene, self._k = scene, model.k
        self._step = look_step(scene.shape, LOOK)
        self._counts = np.zeros(model.k + 1, np.int64)
        self._thin: list[NDArray[Any]] = []

    def add(self, rows: slice, labels: NDArray[Any]) -> None:
        self._counts += np.bincount(labels.ravel(), minlength=self._k + 1)
        self._thin.append(labels[-rows.start % self._step :: self._step, :: self._step].copy())

    def table(self) -> tuple[ClassRow, ...]:
        used = int(self._counts[1:].sum())
        if used == 0:
            raise InvalidDataError(
                "no pixel may be used: every one is masked, transparent, nodata or not finite."
            )
        size = None if self._scene.spacing is None else float(np.prod(self._scene.spacing))
        return tuple(
            ClassRow(
                label=j,
                pixels=int(n),
                share=float(n / used),
                area=None if size is None else float(n) * size,
                mean=(),
                std=(),
            )
            for j, n in enumerate(self._counts[1:], start=1)
        )

    def overlay(self, table: Sequence[ClassRow]) -> NDArray[np.uint8]:
        """The scene with its classes in colour, with fewer pixels."""
        return scene_picture(self._scene.look(LOOK), np.concatenate(self._thin), table, self._step)
