"""Find what does not fit in an image or a table: the door, its result, and its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

import gmmseg
from gmmseg.anomaly import (
    AnomalyOptions,
    RowScores,
    background_of,
    fit_background,
    score_rows,
)
from gmmseg.errors import DegenerateDataWarning, InvalidParameterError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.features import start_scale
from gmmseg.heatmap import heat_map, with_scale
from gmmseg.image import Image
from gmmseg.io import Table, write_png, write_text
from gmmseg.mixture.em import Callback
from gmmseg.mixture.fitter import Metric
from gmmseg.model import Model
from gmmseg.outputs import write_files, write_map, write_picture
from gmmseg.pipeline import ImageLike, as_image
from gmmseg.pixels import pixel_rows
from gmmseg.tabular import TABLE_FEATURES, columns_of

__all__ = [
    "Anomalies",
    "AnomalyOutputs",
    "detect_anomalies",
    "planned_anomaly_outputs",
    "write_anomalies",
]

_DEFAULT = AnomalyOptions()

#: Bands of the TIFF of all maps, and columns beside a table.
MAPS = ("score", "log_density", "mahalanobis", "p_value", "p_empirical")

#: Regions that the summary lists.
_MOST_REGIONS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Anomalies:
    """What does not fit, and how badly everything fits.

    Maps are of the image's shape, or (N,) for a table; NaN where a pixel is not used.

    Attributes
    ----------
    source : Image or Table
    model : Model
        The background: apply it to other images by ``detect_anomalies(image, model=...)``.
    options : AnomalyOptions
    scores : RowScores
        Of the distinct rows.
    warnings : tuple of str
    """

    source: Image | Table
    model: Model
    options: AnomalyOptions
    scores: RowScores
    warnings: tuple[str, ...]
    _counts: NDArray[np.int64] | None = None
    _put_back: Callable[..., NDArray[Any]] = field(repr=False)

    def _map(self, values: NDArray[Any]) -> NDArray[np.float32]:
        with np.errstate(under="ignore"):  # a p-value below 1e-45 is 0 in float32
            return self._put_back(values.astype(np.float32), np.nan)

    @cached_property
    def score(self) -> NDArray[np.float32]:
        """Anomaly score, 0 = the most usual; squared Mahalanobis distance for one component."""
        return self._map(self.scores.score)

    @property
    def log_density(self) -> NDArray[np.float32]:
        """Log density of the background in nats."""
        return self._map(self.scores.log_density)

    @property
    def mahalanobis(self) -> NDArray[np.float32]:
        """Distance to the nearest component, in standard deviations."""
        return self._map(self.scores.mahalanobis)

    @property
    def p_value(self) -> NDArray[np.float32]:
        """Chi-square p-value of that distance."""
        return self._map(self.scores.p_value)

    @property
    def p_empirical(self) -> NDArray[np.float32]:
        """Share of all pixels with a score as high or higher."""
        return self._map(self.scores.p_empirical)

    @cached_property
    def _chosen(self) -> NDArray[np.bool_]:
        return self.scores.anomalous(self.options, self._counts)

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """255 at anomalies, else 0."""
        return self._put_back(self._chosen.astype(np.uint8) * np.uint8(255), 0)

    @property
    def n_pixels(self) -> int:
        """Number of used pixels."""
        return len(self._chosen) if self._counts is None else int(self._counts.sum())

    @property
    def n_anomalies(self) -> int:
        return int(self._chosen.sum() if self._counts is None else self._counts[self._chosen].sum())

    @property
    def threshold(self) -> float | None:
        """The least score among the anomalies; None when there are none."""
        chosen = self.scores.score[self._chosen]
        return float(chosen.min()) if chosen.size else None

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """What stands beside the rows of a table: score, distance, p-values, and 1 at anomalies."""
        names = {"score": "anomaly_score"}
        maps = {names.get(name, name): getattr(self, name) for name in MAPS}
        return maps | {"anomaly": self.mask > 0}

    @cached_property
    def regions(self) -> tuple[dict[str, Any], ...]:
        """Connected anomalies, those of the highest score first.

        For each ``box`` (first row and column, last row and column + 1; planes first in a
        volume), ``pixels``, ``score`` (the highest) and ``at`` (where it is).
        """
        from scipy import ndimage

        labels, n = ndimage.label(self.mask, np.ones((3,) * self.mask.ndim))
        if n == 0:
            return ()
        index = np.arange(1, n + 1)
        peaks = ndimage.maximum(self.score, labels, index)
        sizes = np.bincount(labels.ravel())[1:]
        places = ndimage.maximum_position(self.score, labels, index)
        boxes = ndimage.find_objects(labels)
        return tuple(
            {
                "box": [s.start for s in boxes[i]] + [s.stop for s in boxes[i]],
                "pixels": int(sizes[i]),
                "score": float(peaks[i]),
                "at": [int(v) for v in places[i]],
            }
            for i in np.argsort(-peaks, kind="stable")
        )

    def heat_map(self, *, legend: bool = False) -> NDArray[np.uint8]:
        """The square root of the score in colour, RGB uint8; of a volume the middle plane.

        From the median to the threshold or the highest of 99.9 % of the pixels, whichever is
        more. With `legend`, a bar below tells the values; the line across it is the threshold.
        """
        root = np.sqrt(self.score)
        known = root[np.isfinite(root)]
        low, high = (float(v) for v in np.percentile(known, (50, 99.9)))
        mark = None if self.threshold is None else float(np.sqrt(self.threshold))
        high = max(high, low + 1e-6, 1.1 * (mark or 0.0))
        picture = heat_map(root if root.ndim == 2 else root[len(root) // 2], low, high)
        if not legend:
            return picture
        caption = "anomaly score, square root"
        return with_scale(picture, low, high, caption=caption, mark=mark)

    def to_dict(self) -> dict[str, Any]:
        """A summary as plain JSON values: what ``gmmseg anomaly --json`` prints."""
        rule = (
            {"quantile": self.options.quantile}
            if self.options.fdr is None
            else {"fdr": self.options.fdr}
        )
        places: dict[str, Any] = {}
        if isinstance(self.source, Image):
            regions = self.regions
            places = {"n_regions": len(regions), "regions": list(regions[:_MOST_REGIONS])}
        else:
            places = {"columns": list(self.model.feature_names)}
        return {
            "input": None if self.source.path is None else str(self.source.path),
            "shape": list(self.mask.shape),
            "pixels_used": self.n_pixels,
            "anomalies": self.n_anomalies,
            "rule": rule,
            "threshold": self.threshold,
            "components": self.model.mixture.n_components,
            **places,
            "fit": self.model.provenance.get("fit", {}),
            "notes": list(self.source.notes),
            "warnings": list(self.warnings),
        }


def detect_anomalies(
    image: ImageLike | Table,
    options: AnomalyOptions = _DEFAULT,
    *,
    model: Model | None = None,
    mask: ArrayLike | None = None,
    axes: str | None = None,
    threads: int | None = None,
    callback: Callback | None = None,
) -> Anomalies:
    """Find the pixels of an image, or rows of a table, that a mixture of the usual ones misses.

    Parameters
    ----------
    image : Image, ndarray, path or Table
        As in `gmmseg.segment`, up to some 400 bands; or what `gmmseg.read_table` gave.
    options : AnomalyOptions
        ``AnomalyOptions(k=1)`` is the global RX detector.
    model : Model, optional
        A saved model, fitted to other data: what in these does not fit? Its features are used,
        not those of `options`.
    mask, axes, threads, callback
        As in `gmmseg.segment`.

    Returns
    -------
    Anomalies

    Raises
    ------
    GmmsegError
        When the file cannot be read, no pixel can be used, or the image has not the bands (the
        table not the columns) of the model.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> picture = rng.normal(100, 5, (60, 60, 4))
    >>> picture[20, 30] = 150
    >>> found = detect_anomalies(picture, AnomalyOptions(k=1))
    >>> found.regions[0]["at"], found.n_anomalies
    ([20, 30], 3)
    """
    if isinstance(image, Table):
        data = _of_table(image, model)
    else:
        data = _of_image(as_image(image, mask, None, axes), options.features, model)
    messages: tuple[str, ...] = ()
    if model is None:
        model, messages = _fitted(data, options, threads, callback)
    mixture = background_of(model.mixture, options.min_share or 0.0)
    n = len(data.features) if data.counts is None else int(data.counts.sum())
    return Anomalies(
        source=data.source,
        model=model,
        options=options,
        scores=score_rows(mixture, data.features, data.counts, threads=threads),
        warnings=messages + _too_few(n, options),
        _counts=data.counts,
        _put_back=data.put_back,
    )


class _Data(NamedTuple):
    """An image or a table as rows."""

    source: Image | Table
    features: NDArray[Any]
    counts: NDArray[np.int64] | None
    put_back: Callable[..., NDArray[Any]]
    spec: FeatureSpec
    names: tuple[str, ...]
    metric: Metric | None = None


def _of_image(picture: Image, features: FeatureSpec, model: Model | None) -> _Data:
    known = features if model is None else model.for_image(picture).features
    spec = known.resolve(picture)
    if spec.step(picture.shape) > 1:
        raise InvalidParameterError(
            "working_pixels must be 0 here: anomalies are sought in every pixel. Fit a model "
            "without it."
        )
    rows = pixel_rows(picture, spec)
    metric = partial(start_scale, spec=spec, ndim=picture.ndim)
    names = spec.names(picture)
    return _Data(
        picture, np.asarray(rows.features), rows.counts, rows.put_back, spec, names, metric
    )


def _of_table(table: Table, model: Model | None) -> _Data:
    values = table.values if model is None else columns_of(table, model)
    return _Data(table, values, None, lambda rows, _: rows, TABLE_FEATURES, table.names)


def _fitted(
    data: _Data, options: AnomalyOptions, threads: int | None, callback: Callback | None
) -> tuple[Model, tuple[str, ...]]:
    background, fit = fit_background(
        data.features,
        options,
        sample_weight=data.counts,
        metric=data.metric,
        threads=threads,
        callback=callback,
    )
    order = np.argsort(background.means[:, 0], kind="stable")
    total = len(data.features) if data.counts is None else data.counts.sum()
    model = Model(
        features=data.spec,
        feature_names=data.names,
        mixture=background.reordered(order),
        labels=tuple(range(1, background.n_components + 1)),
        provenance={
            "gmmseg": gmmseg.__version__,
            "images": [] if data.source.path is None else [data.source.path.name],
            "options": {"em": asdict(options.em), "background_of": options.k},
            "fit": {"n_pixels": int(total), "n_iter": fit.n_iter, "converged": fit.converged},
        },
    )
    # Fewer clusters than k are nothing to worry about here: small ones are left out anyway.
    told = (w for w in fit.warnings if not isinstance(w, DegenerateDataWarning))
    return model, tuple(str(warning) for warning in told)


def _too_few(n: int, options: AnomalyOptions) -> tuple[str, ...]:
    if options.fdr is not None or n * options.quantile >= 1:
        return ()
    return (
        f"no anomaly can be found: the quantile {options.quantile:g} of {n} is less than one. "
        f"Raise it with quantile= (--quantile), to {2 / n:.2g} for two.",
    )


@dataclass(frozen=True, kw_only=True)
class AnomalyOutputs:
    """Which files are written besides the mask and the score.

    Attributes
    ----------
    heat : bool
        The score in colour, with a scale.
    all_maps : bool
        A TIFF with the five maps as bands.
    save_model : bool
        The background as a model.
    """

    heat: bool = True
    all_maps: bool = False
    save_model: bool = False


def planned_anomaly_outputs(
    base: str | os.PathLike[str], outputs: AnomalyOutputs = AnomalyOutputs(), *, tiff: bool = False
) -> dict[str, Path]:
    """Names of the files that anomalies will be written to.

    Parameters
    ----------
    base : path
        Folder and stem of the names.
    outputs : AnomalyOutputs
    tiff : bool
        Write the mask as TIFF: for volumes and what came from a TIFF.

    Examples
    --------
    >>> [path.name for path in planned_anomaly_outputs("out/scene").values()]
    ['scene_anomalies.png', 'scene_anomaly_score.tif', 'scene_anomaly_heat.png']
    """
    endings = {
        "mask": f"_anomalies.{'tif' if tiff else 'png'}",
        "score": "_anomaly_score.tif",
        "heat": "_anomaly_heat.png" if outputs.heat else "",
        "maps": "_anomaly_maps.tif" if outputs.all_maps else "",
        "model": ".gmm.json" if outputs.save_model else "",
    }
    return {n: Path(f"{os.fspath(base)}{ending}") for n, ending in endings.items() if ending}


def write_anomalies(found: Anomalies, plan: Mapping[str, Path], *, overwrite: bool = False) -> None:
    """Write the files of `plan`: all of them, or none when one cannot be written.

    Raises
    ------
    OutputExistsError
        When a file exists and `overwrite` is False.
    WriteError
        When one cannot be written.
    """
    write_files(plan, lambda name, path: _WRITERS[name](found, path), overwrite=overwrite)


def _image(found: Anomalies) -> Image:
    if isinstance(found.source, Image):
        return found.source
    raise InvalidParameterError(
        "maps are written of images; of a table write Anomalies.columns by gmmseg.io.write_table."
    )


def _write_maps(found: Anomalies, path: Path) -> None:
    bands = np.stack([getattr(found, name) for name in MAPS], axis=-1)
    write_map(_image(found), path, bands, nodata=np.nan, band_names=MAPS)


_WRITERS: dict[str, Callable[[Anomalies, Path], None]] = {
    "mask": lambda found, path: write_picture(_image(found), path, found.mask),
    "score": lambda found, path: write_map(_image(found), path, found.score, nodata=np.nan),
    "heat": lambda found, path: write_png(path, found.heat_map(legend=True)),
    "maps": _write_maps,
    "model": lambda found, path: write_text(path, found.model.to_json()),
}
