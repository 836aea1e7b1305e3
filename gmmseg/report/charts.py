"""What a page draws its charts from: histograms, Gaussians, ellipses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.image import Image
from gmmseg.labels import palette
from gmmseg.mixture.mixture import Mixture
from gmmseg.plots.histogram import histogram_bars
from gmmseg.plots.pixels import Pixels
from gmmseg.report.pictures import data_of_png

__all__ = ["chart_of", "labelled_mixture", "labelled_pixels"]

Array = NDArray[np.float64]

#: Histograms of so many features are shown.
_MOST_HISTOGRAMS = 3

#: Pixels that moments of labelled pixels are taken of.
_SAMPLE = 60_000

#: Shares of a Gaussian that lie within its ellipses, and the cells of the picture below them.
_COVERED = (0.5, 0.9)
_CELLS = 64

#: Of the variance of a band: a class of one value has an ellipse all the same.
_RIDGE = 1e-4


def chart_of(
    pixels: Pixels, mixture: Mixture, labels: Sequence[int], names: Sequence[str], of: str
) -> dict[str, Any]:
    """Plain values for the page.

    Parameters
    ----------
    pixels : Pixels
        Without NaN.
    mixture : Mixture
        Of the features of `pixels`.
    labels : sequence of int
        The class of every component.
    names : sequence of str
        Of the features.
    of : {"model", "reference", "labels"}
        Whether the Gaussians were fitted to these pixels, are a model of all images, or are those
        of the labelled pixels.
    """
    shown = range(min(mixture.n_features, _MOST_HISTOGRAMS))
    spans = [_span(pixels, feature) for feature in range(min(mixture.n_features, 3))]
    stds = mixture.standard_deviations
    histograms = []
    for feature in shown:
        heights, edges = histogram_bars(pixels, feature, *spans[feature])
        histograms.append(
            {
                "name": names[feature],
                "low": _short(edges[0]),
                "step": _short(edges[1] - edges[0]),
                "bars": [_short(h) for h in heights],
                "mean": [_short(m) for m in mixture.means[:, feature]],
                "std": [_short(s) for s in stds[:, feature]],
            }
        )
    chart: dict[str, Any] = {
        "of": of,
        "labels": [int(label) for label in labels],
        "weights": [_short(w) for w in mixture.weights],
        "histograms": histograms,
    }
    if mixture.n_features > 1:
        chart["pair"] = _pair(pixels, mixture, names, spans)
    return chart


def _pair(
    pixels: Pixels, mixture: Mixture, names: Sequence[str], spans: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    """The first two features: where pixels lie, and the ellipses in the unit square."""
    return {
        "x": {"name": names[0], "low": _short(spans[0][0]), "high": _short(spans[0][1])},
        "y": {"name": names[1], "low": _short(spans[1][0]), "high": _short(spans[1][1])},
        "picture": data_of_png(_cells(pixels, spans)),
        "ellipses": _ellipses(mixture, spans),
    }


def _ellipses(mixture: Mixture, spans: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """Centre, radii for each of `_COVERED` and angle in degrees; up is positive."""
    low, high = np.array(spans[:2]).T
    flat = mixture.marginal((0, 1))
    found = []
    for mean, covariance in zip(flat.means, flat.full_covariances, strict=True):
        variances, axes = np.linalg.eigh(covariance / np.outer(high - low, high - low))
        x, y = (mean - low) / (high - low)
        radii = [
            [_short(np.sqrt(max(v, 0.0) * -2 * np.log1p(-share))) for v in variances[::-1]]
            for share in _COVERED
        ]
        angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
        found.append({"x": _short(x), "y": _short(y), "radii": radii, "angle": _short(angle)})
    return found


def _cells(pixels: Pixels, spans: Sequence[tuple[float, float]]) -> NDArray[np.uint8]:
    """Cells in the mean colour of their pixels' classes, more opaque where there are more."""
    n_labels = int(pixels.labels.max(initial=1))
    places = [
        np.floor((pixels.features[:, f] - low) / (high - low) * _CELLS).astype(int)
        for f, (low, high) in enumerate(spans[:2])
    ]
    inside = np.logical_and.reduce([(place >= 0) & (place < _CELLS) for place in places])
    cell = places[0][inside] + (_CELLS - 1 - places[1][inside]) * _CELLS
    counts, labels = pixels.counts[inside], pixels.labels[inside]
    total = np.bincount(cell, counts, _CELLS * _CELLS)
    colours = palette(n_labels)[labels - 1] * counts[:, np.newaxis]
    sums = [np.bincount(cell, channel, _CELLS * _CELLS) for channel in colours.T]
    picture = np.zeros((_CELLS * _CELLS, 4))
    seen = total > 0
    picture[seen, :3] = np.stack(sums, axis=1)[seen] / total[seen, np.newaxis]
    most = np.log1p(np.quantile(total[seen], 0.99)) if seen.any() else 1.0
    picture[seen, 3] = 255 * np.clip(0.12 + 0.7 * np.log1p(total[seen]) / most, 0, 0.85)
    return np.rint(picture / 16).clip(0, 15).astype(np.uint8).reshape(_CELLS, _CELLS, 4) * 17


def _span(pixels: Pixels, feature: int) -> tuple[float, float]:
    low, high = pixels.range_of(feature)
    air = 0.06 * (high - low) or 0.5
    return low - air, high + air


def _short(value: Any) -> float:
    """Four digits are enough for a chart."""
    return float(f"{float(value):.4g}")


def labelled_pixels(image: Image, labels: NDArray[Any]) -> Pixels:
    """Bands of the pixels with a label, a sample of them if there are many."""
    step = int(np.ceil((image.n_pixels / _SAMPLE) ** (1 / image.ndim)))
    grid = (slice(step // 2, None, step),) * image.ndim
    rows = image.data[grid].reshape(-1, image.n_bands)
    classes = labels[grid].reshape(-1)
    kept = classes > 0
    if rows.dtype.kind == "f":
        kept &= np.isfinite(rows).all(axis=1)
    return Pixels(rows[kept].astype(np.float64), np.ones(int(kept.sum())), classes[kept])


def labelled_mixture(pixels: Pixels) -> tuple[Mixture, list[int]]:
    """A Gaussian for every class that has pixels, of their mean and spread; and their labels."""
    present = [int(label) for label in np.unique(pixels.labels)]
    ridge = _RIDGE * np.diag(pixels.features.var(axis=0) + 1e-12)
    groups = [pixels.features[pixels.labels == label] for label in present]
    mixture = Mixture(
        weights=np.array([len(rows) for rows in groups]) / len(pixels.labels),
        means=np.array([rows.mean(axis=0) for rows in groups]),
        covariances=np.array([np.atleast_2d(np.cov(rows.T, bias=True)) + ridge for rows in groups]),
        covariance_type="full",
    )
    return mixture, present
