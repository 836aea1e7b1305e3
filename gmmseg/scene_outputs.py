"""The outputs of a scene that is streamed: all files are written strip after strip, together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.classes import ClassRow
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.image import Image
from gmmseg.io import write_png, write_text
from gmmseg.io.geotiff import MapLayout
from gmmseg.labels import label_dtype
from gmmseg.map_layouts import is_laid_out, map_file, map_layouts
from gmmseg.model import Model
from gmmseg.outputs import staged
from gmmseg.overlay import describe_display, display_rgb, overlay, with_legend
from gmmseg.pixel_grid import PixelGrid
from gmmseg.streaming import LabelledStrip, SceneTable, StreamOptions, label_strips
from gmmseg.tiles import Scene, look_step

__all__ = ["SceneSummary", "check_scene_outputs", "scene_facts", "scene_picture", "write_scene"]

#: Most pixels of the overlay of a scene.
_OVERLAY = 4 << 20

_STREAM = StreamOptions()

_STREAMED = ("labels", "overlay", "probabilities", "entropy", "novelty", "model")


@dataclass(frozen=True, kw_only=True)
class SceneSummary:
    """What is known of a scene when its outputs are written.

    Attributes
    ----------
    table : tuple of ClassRow
    bands : tuple of str
        Names of the bands in `table`.
    n_pixels : int
        That are used.
    smoothing : dict or None
        Beta and sweeps, as far as there were.
    """

    table: tuple[ClassRow, ...]
    bands: tuple[str, ...]
    n_pixels: int
    smoothing: dict[str, Any] | None


def scene_facts(
    scene: Scene, model: Model, found: SceneSummary, warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """What `Segmentation.to_dict` tells of an image, of a scene that was streamed."""
    return {
        "input": None if scene.path is None else str(scene.path),
        "shape": list(scene.shape),
        "k": model.k,
        "pixels_used": found.n_pixels,
        "pixels_not_used": scene.n_pixels - found.n_pixels,
        "bands": list(found.bands),
        "classes": [row.to_dict() for row in found.table],
        "fit": model.provenance.get("fit", {}),
        "smoothing": found.smoothing,
        "regions": None,
        "stability": None,
        "bias": None,
        "notes": ["read strip by strip"],
        "warnings": list(warnings),
    }


def check_scene_outputs(plan: Mapping[str, Path]) -> None:
    """Raise when one of the planned files cannot be written strip by strip."""
    odd = [name for name in plan if name not in _STREAMED]
    odd += [n for n in ("labels", "probabilities") if n in plan and not is_laid_out(plan[n])]
    if odd:
        raise InvalidParameterError(
            f"the scene is too large for the memory allowed and would be streamed: {odd[0]} cannot "
            "be written so (only label maps and soft masks as .tif or .ome.zarr, overlay, entropy, "
            "novelty, model). Raise memory (--memory), or leave it out."
        )


#: Maps of numbers by their name: what a strip's segmentation has, made where it is written.
_SOFT: Mapping[str, Callable[[Any], NDArray[Any]]] = {
    "probabilities": lambda found: found.probabilities,
    "entropy": lambda found: found.entropy,
    "novelty": lambda found: found.novelty,
}


def write_scene(
    scene: Scene,
    model: Model,
    plan: Mapping[str, Path],
    stream: StreamOptions = _STREAM,
    *,
    cog: bool = False,
    overwrite: bool = False,
    threads: int | None = None,
    progress: Callable[[float], None] = lambda share: None,
    texts: Mapping[str, Callable[[SceneSummary], str]] = MappingProxyType({}),
) -> SceneSummary:
    """Label a scene and write the files of `plan`: all of them, or none.

    Decoding, labelling and writing go on at the same time.

    Parameters
    ----------
    scene : Scene
    model : Model
    plan : dict
        Of `outputs.planned_outputs`.
    stream : StreamOptions
    cog : bool
        Cloud-optimised.
    overwrite : bool
    threads : int, optional
    progress : callable
        Called with the share that is done, 0..1.
    texts : mapping of callable
        What else is in the plan: files of text about the scene, made when all is known.

    Raises
    ------
    WriteError, OutputExistsError
        Nothing has changed then.
    InvalidDataError
        When no pixel may be used.
    """
    check_scene_outputs({name: path for name, path in plan.items() if name not in texts})
    grid = scene.grid or PixelGrid.plain(2, scene.spacing, scene.unit)
    known = map_layouts(scene.shape, model, scene.georeference, grid)
    layouts = {name: known[name] for name in plan if name in known}
    with staged(plan, overwrite=overwrite) as paths, ExitStack() as files:
        writes = {
            name: files.enter_context(map_file(paths[name], layout, cog=cog))
            for name, layout in layouts.items()
        }
        writer = files.enter_context(_Behind())
        seen = _Seen(scene, model)
        strips = label_strips(scene, model, stream, threads=threads, again=seen.forget)
        for strip in strips:
            labels = seen.add(strip)
            writer.submit(_write_strip, writes, layouts, strip, labels)
            progress(strip.rows.stop / scene.shape[0])
        writer.wait()
        if seen.table.n_pixels == 0:
            raise InvalidDataError(
                "no pixel may be used: every one is masked, transparent, nodata or not finite."
            )
        if "overlay" in paths:
            write_png(paths["overlay"], seen.overlay())
        if "model" in paths:
            write_text(paths["model"], model.to_json())
        files.close()  # before the files are moved
        found = seen.summary()
        for name, text_of in texts.items():
            write_text(paths[name], text_of(found))
        return found


def _write_strip(
    writes: Mapping[str, Callable[[int, NDArray[Any]], None]],
    layouts: Mapping[str, MapLayout],
    strip: LabelledStrip,
    labels: NDArray[Any],
) -> None:
    for name, write in writes.items():
        if name == "labels":
            write(strip.rows.start, labels)
        elif strip.segmentation is not None:
            write(strip.rows.start, _SOFT[name](strip.segmentation))
        else:
            layout = layouts[name]
            bands = (layout.count,) if layout.count > 1 else ()
            nothing = np.full((*labels.shape, *bands), layout.nodata or 0, layout.dtype)
            write(strip.rows.start, nothing)


class _Behind:
    """A thread that writes one strip while the next is computed."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gmmseg-write")
        self._last: Future[None] | None = None

    def __enter__(self) -> _Behind:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def submit(self, write: Callable[..., None], *args: Any) -> None:
        self.wait()
        self._last = self._thread.submit(write, *args)

    def wait(self) -> None:
        if self._last is not None:
            self._last.result()


class _Seen:
    """What is kept of strips that have gone by: the table, and a small picture."""

    def __init__(self, scene: Scene, model: Model) -> None:
        self._scene, self._model = scene, model
        self._step = look_step(scene.shape, _OVERLAY)
        self.forget()

    def forget(self) -> None:
        """All strips come once more."""
        self.table = SceneTable(self._scene, self._model)
        self.smoothing: dict[str, Any] | None = None
        self.bands: tuple[str, ...] = ()
        self._parts: list[tuple[Image, NDArray[Any]]] = []

    def add(self, strip: LabelledStrip) -> NDArray[Any]:
        """The labels of a strip."""
        found, image = strip.segmentation, strip.image
        labels = np.zeros(image.shape, label_dtype(self._model.k))
        if found is not None:
            labels = found.labels
            self.bands = found.band_names
            self.table.add(strip)
            if (field := found.smoothed) is not None:
                self.smoothing = {"beta": field.beta, "sweeps": field.n_sweeps}
        self._keep(image, labels, strip.rows.start)
        return labels

    def _keep(self, image: Image, labels: NDArray[Any], first: int) -> None:
        """Every so many pixels, for the overlay."""
        here = slice(-first % self._step, None, self._step), slice(None, None, self._step)
        if image.data[here].size == 0:
            return
        small = replace(
            image, data=image.data[here].copy(), mask=_mask_of(image)[here].copy(), missing=None,
            georeference=None,
        )  # fmt: skip
        self._parts.append((small, labels[here].copy()))

    def summary(self) -> SceneSummary:
        table = self.table
        return SceneSummary(
            table=table.rows, bands=self.bands, n_pixels=table.n_pixels, smoothing=self.smoothing
        )

    def overlay(self) -> NDArray[np.uint8]:
        """The scene with its classes in colour, with fewer pixels."""
        images, labels = zip(*self._parts, strict=True)
        whole = replace(
            images[0],
            data=np.concatenate([image.data for image in images]),
            mask=np.concatenate([image.mask for image in images]),
        )
        return scene_picture(whole, np.concatenate(labels), self.table.rows, self._step)


def scene_picture(
    image: Image, labels: NDArray[Any], table: Sequence[ClassRow], step: int
) -> NDArray[np.uint8]:
    """Every so many pixels of a scene with their classes in colour, and a legend."""
    picture = overlay(display_rgb(image), labels, n_labels=len(table))
    note = describe_display(image)
    if step > 1:
        note = f"{note}; every {step}th pixel" if note else f"every {step}th pixel"
    return with_legend(picture, [(row.label, row.share) for row in table], note=note)


def _mask_of(image: Image) -> NDArray[np.bool_]:
    valid = image.valid
    return np.ones(image.shape, bool) if valid is None else valid
