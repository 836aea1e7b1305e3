"""A card: what a page shows of one file, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.image import Image
from gmmseg.io import printable
from gmmseg.mixture.lazy import LazyRows
from gmmseg.model import Model
from gmmseg.overlay import describe_display
from gmmseg.plots.pixels import Pixels, pixels_of
from gmmseg.report.charts import chart_of, labelled_mixture, labelled_pixels
from gmmseg.report.options import PictureBudget
from gmmseg.report.pictures import data_of_webp, layers_of

__all__ = ["DONE", "FAILED", "Card", "facts_of_summary", "failed_card", "pictured"]

DONE, FAILED = "done", "failed"


@dataclass(frozen=True)
class Card:
    """What a page shows of one file.

    Attributes
    ----------
    facts : dict
        For the gallery and the table: small, read at once.
    details : dict
        Pictures and charts: read when the file is looked at.
    """

    facts: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)


def failed_card(name: str, error: str, kind: str = "error", seconds: float = 0.0) -> Card:
    """A file that has no result."""
    return Card(
        {
            "name": printable(name),
            "status": FAILED,
            "kind": printable(kind),
            "error": printable(error),
            "seconds": seconds,
        }
    )


def facts_of_summary(name: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of what ``gmmseg segment --json`` prints, or ``gmmseg batch`` keeps."""
    fit = summary.get("fit") or {}
    *planes, rows, cols = summary["shape"]
    return {
        "name": printable(name),
        "status": DONE,
        "rows": int(rows),
        "cols": int(cols),
        "planes": int(planes[0]) if planes else None,
        "k": int(summary["k"]),
        "used": int(summary["pixels_used"]),
        "unused": int(summary["pixels_not_used"]),
        "bands": [printable(band) for band in summary["bands"]],
        "classes": [_class(row) for row in summary["classes"]],
        "score": _number(fit.get("mean_log_likelihood")),
        "iterations": _number(fit.get("n_iter")),
        "converged": fit.get("converged") is not False,
        "drift": _scalars(summary.get("drift")),
        "warnings": [printable(text) for text in summary.get("warnings", ())],
        "notes": [printable(text) for text in summary.get("notes", ())],
    }


def _class(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "label": int(row["label"]),
        "pixels": int(row["pixels"]),
        "share": _number(row["share"]) or 0.0,
        "area": _number(row.get("area")),
        "mean": [_number(value) for value in row["mean"]],
        "std": [_number(value) for value in row["std"]],
    }


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")


def _scalars(values: Any) -> dict[str, Any]:
    """What of an object can be told in a line each."""
    if not isinstance(values, Mapping):
        return {}
    kept = {
        str(key): value for key, value in values.items() if isinstance(value, str | int | float)
    }
    return {
        printable(key): printable(value) if isinstance(value, str | bool) else _number(value)
        for key, value in kept.items()
    }


def pictured(
    facts: Mapping[str, Any],
    image: Image | None,
    labels: NDArray[Any],
    entropy: NDArray[Any] | None,
    model: Model | None,
    budget: PictureBudget,
    *,
    fitted: bool = True,
) -> Card:
    """The card of a file whose pixels are there.

    Without a model the charts show the Gaussians of the labelled pixels; `fitted` tells whether
    the model was fitted to this image.
    """
    layers = layers_of(image, labels, entropy, facts["k"], budget.side)
    shown = next(iter(layers.values()), np.empty((0, 0, 3), np.uint8))
    more: dict[str, Any] = {
        "layers": list(layers),
        "width": shown.shape[1],
        "height": shown.shape[0],
        "entropy": None if entropy is None else _number(float(_mean(entropy))),
        "display": "" if image is None else describe_display(image),
    }
    details: dict[str, Any] = {
        "pictures": {name: data_of_webp(layer, budget) for name, layer in layers.items()}
    }
    if image is not None:
        details["chart"] = _chart(facts, image, labels, model, fitted=fitted)
    return Card({**facts, **more}, details)


def _mean(values: NDArray[Any]) -> Any:
    seen = values[np.isfinite(values)]
    return seen.mean() if seen.size else np.nan


def _chart(
    facts: Mapping[str, Any],
    image: Image,
    labels: NDArray[Any],
    model: Model | None,
    *,
    fitted: bool,
) -> dict[str, Any] | None:
    if model is not None:
        pixels = _complete(pixels_of(model, image))
        if len(pixels.labels) == 0:
            return None
        names = [printable(name) for name in model.feature_names]
        of = "model" if fitted else "reference"
        return chart_of(pixels, model.mixture, model.labels, names, of)
    pixels = labelled_pixels(image, labels)
    if len(pixels.labels) == 0:
        return None
    mixture, present = labelled_mixture(pixels)
    names = list(facts["bands"])
    if len(names) != image.n_bands:
        names = [f"band {b + 1}" for b in range(image.n_bands)]
    return chart_of(pixels, mixture, present, names, "labels")


def _complete(pixels: Pixels) -> Pixels:
    """The rows without gaps."""
    features = pixels.features
    rows = np.asarray(features) if isinstance(features, LazyRows) else features
    if rows.dtype.kind != "f" or np.isfinite(rows).all():
        return Pixels(rows, pixels.counts, pixels.labels)
    kept = np.isfinite(rows).all(axis=1)
    return Pixels(rows[kept], pixels.counts[kept], pixels.labels[kept])
