"""Fitting and labelling on a cluster, by Dask: the doors of `gmmseg.pipeline` for scattered scenes.

EM goes to the data: in each iteration every part of a scene gets the mixture and gives back
K (1 + D + D (D + 1) / 2) + 1 numbers, which are added up on the way (`gmmseg.mixture.scattered`).
Any scheduler of Dask will do: threads, processes, or a cluster. What a dead worker held is made
anew by another, because Dask knows how it came to be. The extra "dask".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._optional import import_optional
from gmmseg.errors import InvalidDataError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.labels import label_dtype
from gmmseg.many_images import common_spec
from gmmseg.mixture.em import Callback
from gmmseg.mixture.rows import Frame
from gmmseg.mixture.scattered import BLOCK, Parts, PartWork, ready_rows
from gmmseg.model import Model
from gmmseg.options import SegmentOptions
from gmmseg.pipeline import model_of_rows
from gmmseg.pixels import PixelRows, rows_of_values
from gmmseg.scattered_scenes import ScatteredOptions, ScatteredScene, scattered_scene
from gmmseg.segmentation import Segmentation
from gmmseg.smoothing import sweeps_wanted
from gmmseg.streaming import (
    LOOK,
    StreamOptions,
    check_streamable,
    margin_of,
    settled,
    smoothed_core,
    used_rows,
)
from gmmseg.used_pixels import used_values

__all__ = ["ScatteredOptions", "apply", "fit"]

_OPTIONS, _READING, _STREAM = SegmentOptions(), ScatteredOptions(), StreamOptions()

#: Sums that are added in one task: eight at once make a tree of few levels.
_BRANCHES = 8


def fit(
    scenes: Any,
    k: int,
    options: SegmentOptions = _OPTIONS,
    reading: ScatteredOptions = _READING,
    *,
    callback: Callback | None = None,
) -> Model:
    """Fit one model to scenes that lie on a cluster.

    The model is the one that `pipeline.fit` finds with the scenes in memory, to rounding of float64
    sums (where that does not count equal pixels together). Pixels that lack a band are left out.

    Parameters
    ----------
    scenes : dask.array.Array, zarr.Array, path of a Zarr array or raster, or a list of them
        As in `scattered_scene`.
    k : int
        Number of classes.
    options : SegmentOptions
        Features of place or surroundings, and a field inside EM, need an image in one place.
    reading : ScatteredOptions
    callback : callable, optional
        Called after every EM iteration with its number and the mean log-likelihood.

    Returns
    -------
    Model

    Raises
    ------
    InvalidParameterError
        When options need a whole image at once.
    InvalidDataError
        When no pixel can be used.

    Examples
    --------
    >>> import dask.array as da
    >>> x = da.concatenate([da.zeros((50, 80)), da.ones((50, 80))]).rechunk((20, 80))
    >>> fit(x + da.random.default_rng(0).normal(0, 0.1, x.shape), 2).mixture.weights.round(2)
    array([0.5, 0.5])
    """
    check_streamable(options, k)
    many = scenes if isinstance(scenes, list | tuple) else [scenes]
    found = [scattered_scene(scene, reading) for scene in many]
    options = replace(options, features=replace(options.features, gaps="drop"))
    looks = [scene.look(LOOK) for scene in found]
    common_spec(looks, options.features)
    first = options.features.resolve(looks[0])
    specs = [first.resolve(look) for look in looks]
    parts = _feature_parts(found, specs)
    rows = PixelRows(parts, None, looks[0].shape, None, parts, None)
    model, _ = model_of_rows(looks[:1], [rows], k, options, 1, callback)
    return model


def apply(
    model: Model,
    scene: Any,
    reading: ScatteredOptions = _READING,
    stream: StreamOptions = _STREAM,
) -> Any:
    """Label a scene that lies on a cluster: label j means the same as everywhere.

    Labels are those of `pipeline.apply`. With smoothing a strip is computed with as many rows
    around it as sweeps can reach from; how many sweeps the whole scene needs is then settled at
    once, by computing it, and the labels stay on the workers.

    Parameters
    ----------
    model : Model
    scene
        As in `scattered_scene`.
    reading : ScatteredOptions
    stream : StreamOptions
        Its `memory` limits what is looked at here to settle the smoothing.

    Returns
    -------
    dask.array.Array of shape (rows, cols)
        uint8, or uint16 when there are more than 255 classes; 0 = not used.
    """
    da = import_optional("dask.array")
    found = scattered_scene(scene, reading)
    check_streamable(replace(SegmentOptions(), features=model.features))
    model = replace(model, features=replace(model.features, gaps="drop"))
    model = model.for_image(found.look(LOOK))
    strips = (
        _smoothed_strips(found, model, stream) if model.smoothing.is_on else _strips(found, model)
    )
    dtype = label_dtype(model.k)
    blocks = [
        da.from_delayed(strip, (rows.stop - rows.start, found.shape[1]), dtype)
        for strip, rows in ((s, found.rows(i)) for i, s in enumerate(strips))
    ]
    return da.concatenate(blocks)


def _strips(scene: ScatteredScene, model: Model) -> list[Any]:
    dask = import_optional("dask")
    shared = dask.delayed(model, traverse=False)
    return [dask.delayed(_labels)(strip, shared) for strip in scene.strips]


def _smoothed_strips(scene: ScatteredScene, model: Model, stream: StreamOptions) -> list[Any]:
    """Labels that lie on workers, after as many sweeps as the scene needs."""
    dask = import_optional("dask")
    options = model.smoothing
    beta, n_sweeps = settled(scene, model, stream)
    while True:
        fixed = replace(options, beta=beta, sweeps=n_sweeps, tol=0.0)
        shared = dask.delayed(replace(model, smoothing=fixed), traverse=False)
        margin = margin_of(replace(model, smoothing=fixed))
        found = []
        for i in range(len(scene.strips)):
            rows = scene.rows(i)
            # from an even row: which pixels are updated first goes by the row's number
            start = max(rows.start - margin, 0) // 2 * 2
            stop = min(rows.stop + margin, scene.shape[0])
            core = slice(rows.start - start, rows.stop - start)
            found.append(dask.delayed(_smoothed_labels)(scene.window(start, stop), core, shared))
        found = list(dask.persist(*found))
        told = dask.compute(*(dask.delayed(_moves)(one) for one in found))
        moves = sum(moved for moved, _ in told)
        wanted = sweeps_wanted(moves, sum(n for _, n in told), n_sweeps, options)
        if wanted == n_sweeps:
            return [one[0] for one in found]
        n_sweeps = wanted


# --- rows on workers ----------------------------------------------------------------------------


class _DaskParts(Parts):
    """Features in parts on workers, cut at multiples of `BLOCK` rows."""

    def __init__(self, parts: Sequence[Any], starts: NDArray[np.int64], like: NDArray[Any]) -> None:
        self._parts = list(parts)
        self._starts = starts
        self._ready = False
        self.shape, self.dtype = (int(starts[-1]), like.shape[1]), like.dtype

    def make_ready(self, frame: Frame) -> None:
        dask = import_optional("dask")
        shared = dask.delayed(frame, traverse=False)
        ready = [dask.delayed(ready_rows)(part, shared) for part in self._parts]
        self._parts, self._ready = list(dask.persist(*ready)), True

    def total(self, work: PartWork) -> NDArray[np.float64]:
        dask = import_optional("dask")
        shared = dask.delayed(work, traverse=False)
        found = [dask.delayed(_run)(shared, part) for part in self._parts]
        while len(found) > 1:
            found = [
                dask.delayed(_summed)(found[i : i + _BRANCHES])
                for i in range(0, len(found), _BRANCHES)
            ]
        total: NDArray[np.float64] = dask.compute(found[0])[0]
        return total

    def read(self, rows: slice | NDArray[np.integer]) -> NDArray[Any]:
        dask = import_optional("dask")
        numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        owner = np.searchsorted(self._starts, numbers, side="right") - 1
        order = np.argsort(owner, kind="stable")
        owners, begins = np.unique(owner[order], return_index=True)
        wanted = np.split(order, begins[1:])
        fetched = dask.compute(
            *(
                dask.delayed(_fetched)(self._parts[i], numbers[here] - self._starts[i])
                for i, here in zip(owners.tolist(), wanted, strict=True)
            )
        )
        out = np.empty((len(numbers), self.shape[1]), self.dtype)
        for here, values in zip(wanted, fetched, strict=True):
            out[here] = values
        return out


def _feature_parts(scenes: Sequence[ScatteredScene], specs: Sequence[FeatureSpec]) -> _DaskParts:
    """The features of all used pixels, held by the workers, cut at multiples of `BLOCK` rows."""
    dask = import_optional("dask")
    made = [
        dask.delayed(partial(_features, spec=spec))(strip)
        for scene, spec in zip(scenes, specs, strict=True)
        for strip in scene.strips
    ]
    held = list(dask.persist(*made))
    counts = dask.compute(*(dask.delayed(len)(part) for part in held))
    starts = np.append(0, np.cumsum(counts))
    n = int(starts[-1])
    if n == 0:
        raise InvalidDataError("no pixel may be used: every one is masked, nodata or not finite.")
    ends = np.minimum(-(-starts // BLOCK) * BLOCK, n)
    kept = np.flatnonzero(np.diff(ends))
    parts = [_cut(held, starts, int(ends[i]), int(ends[i + 1])) for i in kept]
    like = dask.compute(dask.delayed(_fetched)(held[int(np.argmax(counts))], slice(0, 1)))[0]
    return _DaskParts(list(dask.persist(*parts)), np.append(ends[kept], n), like)


def _cut(held: Sequence[Any], starts: NDArray[np.int64], start: int, stop: int) -> Any:
    """Rows start:stop of all: a part as it is, or what is needed of it and those that follow."""
    dask = import_optional("dask")
    found = []
    first = int(np.searchsorted(starts, start, side="right")) - 1
    for i in range(first, len(held)):
        if starts[i] >= stop:
            break
        rows = slice(max(start - int(starts[i]), 0), min(stop, int(starts[i + 1])) - int(starts[i]))
        if rows.start >= rows.stop:
            continue
        whole = rows == slice(0, int(starts[i + 1] - starts[i]))
        found.append(held[i] if whole else dask.delayed(_fetched)(held[i], rows))
    return found[0] if len(found) == 1 else dask.delayed(np.concatenate)(found)


def _features(image: Image, spec: FeatureSpec) -> NDArray[Any]:
    valid = spec.valid(image)
    if valid is not None and not valid.any():
        one = np.ones_like(valid)
        return np.asarray(_features_of(image, spec, one)[:0])
    return np.asarray(_features_of(image, spec, valid))


def _features_of(image: Image, spec: FeatureSpec, valid: Any) -> Any:
    values = used_values(image, spec, valid)
    return rows_of_values(values, image, spec, valid, distinct=False).features


def _run(work: PartWork, rows: Any) -> NDArray[np.float64]:
    return work(rows)


def _summed(parts: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    total, *others = parts
    for other in others:
        total = total + other
    return total


def _fetched(part: Any, rows: Any) -> NDArray[Any]:
    values = part if isinstance(part, np.ndarray) else part._read(slice(None))
    return np.asarray(values[rows])


def _labels(image: Image, model: Model) -> NDArray[Any]:
    rows = used_rows(image, model)
    if rows is None:
        return np.zeros(image.shape, label_dtype(model.k))
    found = Segmentation(image=image, model=model, warnings=(), _rows=rows, _threads=1)
    return np.asarray(found.labels)


def _smoothed_labels(image: Image, core: slice, model: Model) -> tuple[Any, Any, int]:
    inside, found, moved = smoothed_core(image, core, model, threads=1)
    if found is None:
        return np.zeros(inside.shape, label_dtype(model.k)), np.zeros(model.smoothing.sweeps), 0
    return found.labels, moved, found._rows.n_pixels


def _moves(found: tuple[Any, Any, int]) -> tuple[Any, int]:
    return found[1], found[2]
