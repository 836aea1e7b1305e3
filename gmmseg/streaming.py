"""Scenes larger than memory: fitted by passes over their strips, labelled strip after strip.

There is no second implementation: the pixels of a scene stand for an array (`tiles.SceneRows`), so
that fitting is what it is in memory, and a strip is segmented as an image is. Labels are those of
the same scene in memory, whatever the strips are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gmmseg._check import check_integer
from gmmseg._files import printable
from gmmseg.classes import ClassRow, ClassSums
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.lattice import Lattice
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.em import Callback
from gmmseg.model import Model
from gmmseg.options import SegmentOptions
from gmmseg.pipeline import AUTO, model_of_rows
from gmmseg.pixels import PixelRows, rows_of_values
from gmmseg.random_field import class_odds, class_weights, smooth_image
from gmmseg.segmentation import Segmentation
from gmmseg.smoothing import relax_together, sweeps_wanted
from gmmseg.tiles import Scene, SceneRows, Strips, strip_height, window
from gmmseg.used_pixels import used_values

__all__ = [
    "LOOK",
    "LabelledStrip",
    "StreamOptions",
    "check_model_streamable",
    "check_streamable",
    "fit_scenes",
    "fits_into",
    "label_strips",
    "refuse_streaming",
    "rows_of_scene",
]

#: An image in memory takes so many times its own size while it is segmented, and this beside.
_TIMES, _BESIDE = 2, 256 << 20

#: Shares of the memory: strips that are read, the field of a strip, the bands that beta is learnt
#: from.
_OF_STRIPS, _OF_FIELD, _OF_BANDS = 1 / 6, 1 / 4, 1 / 8

#: Share of the memory for strips while fitting: the more of them stay, the fewer are read again.
_OF_FIT = 1 / 2

#: Bytes of a class in a pixel's field: log-odds, their copy in the lattice, probabilities twice.
_OF_CLASS = 16

#: A sweep carries what is known two rows on: from an odd row through an even one.
_REACH = 2

#: Bands of rows, evenly spread, by which beta and the number of sweeps are found.
_N_BANDS = 8

#: Pixels of a scene by which a preset and the kind of its features are chosen.
LOOK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How much memory may be used.

    Attributes
    ----------
    memory : int
        Bytes. A scene that would take more in memory is streamed.
    tile : int, optional
        Rows of a strip; None = what the memory allows. The result does not depend on it.
    """

    memory: int = 1 << 30
    tile: int | None = None

    def __post_init__(self) -> None:
        check_integer(self.memory, "memory", minimum=1)
        if self.tile is not None:
            check_integer(self.tile, "tile", minimum=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledStrip:
    """A strip of a scene with its labels, as a segmentation of its own.

    Attributes
    ----------
    rows : slice
        Of the scene.
    segmentation : Segmentation or None
        None where no pixel is used.
    image : Image
    """

    rows: slice
    segmentation: Segmentation | None
    image: Image


def fits_into(scene: Scene, options: StreamOptions) -> bool:
    """Whether a scene would be segmented in memory within the limit."""
    return _TIMES * scene.nbytes + _BESIDE <= options.memory


def check_streamable(options: SegmentOptions, k: int | str | None = None) -> None:
    """Raise when something is asked for that needs the whole image at once."""
    _check_features(options.features)
    _check_field(options)
    needed = {
        "-k auto": k == AUTO,
        "smoothing inside EM (--smooth-inside)": options.smoothing.inside
        and options.smoothing.is_on,
        "classes merged where they touch (--merge-touching)": options.merging.is_on
        and options.merging.merge_touching,
    }
    refuse_streaming([what for what, is_asked in needed.items() if is_asked])


def _check_features(spec: FeatureSpec) -> None:
    if not spec.is_pointwise:
        refuse_streaming(["features of place or surroundings (--position, --texture, --blur)"])


def _check_field(options: SegmentOptions | Model) -> None:
    needed = {
        "ties weakened by edges (--contrast)": options.smoothing.is_on
        and options.smoothing.contrast > 0,
        "cleaning of regions (--min-area, --max-hole)": options.regions.cleans,
        "joined regions": options.regions.merges,
    }
    refuse_streaming([what for what, is_asked in needed.items() if is_asked])


def check_model_streamable(model: Model) -> None:
    """Raise when labelling by a model needs the whole image at once."""
    _check_features(model.features)
    _check_field(model)


def refuse_streaming(what: Sequence[str]) -> None:
    """Raise when there is something that needs the whole image at once."""
    if what:
        raise InvalidParameterError(
            f"the scene is too large for the memory allowed and would be streamed, which does not "
            f"go with {' and '.join(what)}. Raise memory (--memory), or leave that out."
        )


def fit_scenes(
    scenes: Sequence[Scene],
    k: int,
    options: SegmentOptions,
    stream: StreamOptions = StreamOptions(),
    *,
    threads: int | None = None,
    callback: Callback | None = None,
) -> tuple[Model, tuple[str, ...]]:
    """Fit one model to the pixels of scenes, reading them strip after strip.

    The model is the one that `pipeline.fit` finds with the scenes in memory.

    Parameters
    ----------
    scenes : sequence of Scene
    k : int
    options : SegmentOptions
        ``options.em.gap``: as small as it is, all pixels are looked at; 0 = in every iteration.
    stream : StreamOptions
    threads, callback
        As in `pipeline.segment`.

    Returns
    -------
    Model
    tuple of str
        Warnings.

    Raises
    ------
    InvalidParameterError
        When options need a whole image at once.
    """
    check_streamable(options, k)
    looks = [scene.look(LOOK) for scene in scenes]
    first = options.features.resolve(looks[0])
    with ExitStack() as stack:
        rows = [
            stack.enter_context(rows_of_scene(scene, first, stream, 1 / len(scenes)))
            for scene in scenes
        ]
        return model_of_rows(looks, rows, k, options, threads, callback)


@contextmanager
def rows_of_scene(
    scene: Scene, spec: FeatureSpec, stream: StreamOptions = StreamOptions(), share: float = 1.0
) -> Iterator[PixelRows]:
    """The used pixels of a scene as rows, which are read strip by strip while the block lasts.

    They are those of `pixels.pixel_rows` of the scene in memory; nothing can be put back.

    Parameters
    ----------
    scene : Scene
    spec : FeatureSpec
    stream : StreamOptions
    share : float
        Of the memory.

    Raises
    ------
    InvalidParameterError
        When features need the whole image at once.
    InvalidDataError
        When no pixel may be used.
    """
    _check_features(spec)
    look = scene.look(LOOK)
    spec = spec.resolve(look)
    height = stream.tile or strip_height(scene, int(stream.memory * _OF_STRIPS))
    memory = int(stream.memory * _OF_FIT * share)
    with closing(SceneRows(scene, spec, memory, height=height)) as values:
        yield rows_of_values(values, look, spec, None)


def label_strips(
    scene: Scene,
    model: Model,
    stream: StreamOptions = StreamOptions(),
    *,
    threads: int | None = None,
    again: Callable[[], None] = lambda: None,
) -> Iterator[LabelledStrip]:
    """Label a scene by a model, strip after strip from the top.

    With smoothing a strip is computed together with as many rows around it as sweeps can reach
    from, so that there are no seams. How many sweeps the whole scene needs is settled by bands of
    rows, and checked in the end; if another number is right, `again` is called, and all strips
    come once more.

    Parameters
    ----------
    scene : Scene
    model : Model
    stream : StreamOptions
    threads : int, optional
    again : callable

    Yields
    ------
    LabelledStrip
    """
    check_model_streamable(model)
    model = model.for_image(scene.look(LOOK))
    memory = int(stream.memory * _OF_STRIPS)
    height = strip_height(scene, memory)
    with Strips(scene, height, lambda image: image) as strips:
        if not model.smoothing.is_on:
            yield from _each_by_itself(scene, strips, model, stream, threads)
        else:
            yield from _smoothed(scene, strips, model, stream, threads, again)


def _cuts(scene: Scene, height: int) -> Iterator[slice]:
    n = scene.shape[0]
    return (slice(start, min(start + height, n)) for start in range(0, n, height))


def _each_by_itself(
    scene: Scene, strips: Strips[Image], model: Model, stream: StreamOptions, threads: int | None
) -> Iterator[LabelledStrip]:
    for part in _cuts(scene, stream.tile or strips.height):
        image = window(strips, part.start, part.stop)
        rows = used_rows(image, model)
        yield LabelledStrip(
            rows=part,
            image=image,
            segmentation=None
            if rows is None
            else Segmentation(image=image, model=model, warnings=(), _rows=rows, _threads=threads),
        )


def used_rows(image: Image, model: Model) -> PixelRows | None:
    """The used pixels of a strip; None when there are none."""
    spec = model.features
    valid = spec.valid(image)
    if valid is not None and not valid.any():
        return None
    values = used_values(image, spec, valid)
    return rows_of_values(values, image, spec, valid, distinct=not spec.is_raw)


def _smoothed(
    scene: Scene,
    strips: Strips[Image],
    model: Model,
    stream: StreamOptions,
    threads: int | None,
    again: Callable[[], None],
) -> Iterator[LabelledStrip]:
    options = model.smoothing
    beta, n_sweeps = _settled(scene, strips, model, stream, threads)
    while True:
        fixed = replace(options, beta=beta, sweeps=n_sweeps, tol=0.0)
        moves, n_used = np.zeros(n_sweeps), 0
        for strip, moved in _with_margins(
            scene, strips, replace(model, smoothing=fixed), stream, threads
        ):
            if strip.segmentation is not None:
                moves += moved
                n_used += strip.segmentation._rows.n_pixels
            yield strip
        wanted = sweeps_wanted(moves, n_used, n_sweeps, options)
        if wanted == n_sweeps:
            return
        n_sweeps = wanted
        again()


def _with_margins(
    scene: Scene, strips: Strips[Image], model: Model, stream: StreamOptions, threads: int | None
) -> Iterator[tuple[LabelledStrip, Any]]:
    """Strips smoothed together with their surroundings, and what each sweep moved in them."""
    margin = margin_of(model)
    for part in _cuts(scene, stream.tile or _field_height(scene, model, stream, margin)):
        # from an even row: which pixels are updated first goes by the row's number
        start, stop = max(part.start - margin, 0) // 2 * 2, min(part.stop + margin, scene.shape[0])
        image = window(strips, start, stop)
        core = slice(part.start - start, part.stop - start)
        inside, found, moved = smoothed_core(image, core, model, threads=threads)
        yield LabelledStrip(rows=part, image=inside, segmentation=found), moved


def smoothed_core(
    image: Image, core: slice, model: Model, *, threads: int | None
) -> tuple[Image, Segmentation | None, Any]:
    """The rows `core` of a strip smoothed together with those around, and what sweeps moved there.

    The first row of `image` is an even row of the scene.
    """
    inside = _cropped(image, core)
    around, own = used_rows(image, model), used_rows(inside, model)
    if around is None or own is None:
        return inside, None, 0
    found = smooth_image(image, around, model, counted=core, threads=threads)
    planes = np.ascontiguousarray(found.probabilities[:, :, core])
    segmentation = Segmentation(
        image=inside,
        model=model,
        warnings=(),
        _rows=own,
        _threads=threads,
        _smoothed=replace(found, probabilities=planes),
    )
    return inside, segmentation, np.array(found.moves)


def margin_of(model: Model) -> int:
    """From how many rows away the sweeps of a model carry something."""
    return _REACH * model.smoothing.sweeps if model.smoothing.is_on else 0


def _field_height(scene: Scene, model: Model, stream: StreamOptions, margin: int) -> int:
    per_row = scene.shape[1] * _OF_CLASS * model.mixture.n_components
    rows = int(stream.memory * _OF_FIELD) // per_row - 2 * margin
    if rows < 1:
        raise InvalidDataError(
            f"smoothing {printable(scene.path)}, {scene.shape[1]} columns wide, needs at least "
            f"{(2 * margin + 1) * per_row / _OF_FIELD / 2**30:.1f} GiB. Raise memory (--memory), "
            "or take fewer sweeps (--sweeps)."
        )
    return rows


def _cropped(image: Image, rows: slice) -> Image:
    return replace(
        image,
        data=image.data[rows],
        mask=None if image.mask is None else image.mask[rows],
        missing=None if image.missing is None else image.missing[rows],
        georeference=image.georeference and image.georeference.of_window(rows.start, 0),
    )


def settled(
    scene: Scene, model: Model, stream: StreamOptions, *, threads: int | None = None
) -> tuple[float, int]:
    """Beta and the number of sweeps for a scene that is read here, by some of its rows."""
    height = strip_height(scene, int(stream.memory * _OF_STRIPS))
    with Strips(scene, height, lambda image: image) as strips:
        return _settled(scene, strips, model, stream, threads)


def _settled(
    scene: Scene, strips: Strips[Image], model: Model, stream: StreamOptions, threads: int | None
) -> tuple[float, int]:
    """Beta and the number of sweeps, by bands of rows that are evenly spread."""
    parts, weights = [], class_weights(model.labels, model.mixture.weights)
    with Workers(threads) as workers:
        for rows in _bands(scene, model, stream):
            image = window(strips, rows.start, rows.stop)
            pixels = used_rows(image, model)
            if pixels is None:
                continue
            lattice = Lattice(
                image.shape,
                workers,
                neighbours=model.smoothing.neighbours,
                mask=pixels.valid,
                spacing=image.spacing,
            )
            odds = class_odds(model, pixels.features, threads=threads)
            parts.append((lattice, pixels.planes(odds)))
        if not parts:
            return 0.0, 1
        found = relax_together(parts, model.smoothing, weights)[0]
    return found.beta, found.n_sweeps


def _bands(scene: Scene, model: Model, stream: StreamOptions) -> list[slice]:
    n = scene.shape[0]
    per_row = scene.shape[1] * _OF_CLASS * model.mixture.n_components
    most = int(stream.memory * _OF_BANDS) // per_row
    if most >= n:
        return [slice(0, n)]
    height = max(most // _N_BANDS // 2 * 2, 2)
    starts = np.linspace(0, n - height, _N_BANDS).astype(int) // 2 * 2
    return [slice(start, start + height) for start in starts.tolist()]


class SceneTable:
    """The table of classes of a scene whose strips come one by one."""

    def __init__(self, scene: Scene, model: Model) -> None:
        self._scene, self._model = scene, model
        self._sums: ClassSums | None = None
        self.n_pixels = 0

    def add(self, strip: LabelledStrip) -> None:
        found = strip.segmentation
        if found is None:
            return
        bands, labels, counts = found._rows.by_class(found._rows.of_used(found.labels[None])[0])
        bands = np.asarray(bands)
        if self._sums is None:
            middle = np.nanmean(bands[: 1 << 12].astype(np.float64), axis=0)
            self._sums = ClassSums(np.tile(middle, (self._model.k, 1)))
        self._sums.add(labels, bands, counts)
        self.n_pixels += found._rows.n_pixels

    @property
    def rows(self) -> tuple[ClassRow, ...]:
        assert self._sums is not None  # noqa: S101 - some pixel is used
        return self._sums.table(self._scene.spacing)
