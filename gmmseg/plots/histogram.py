"""Histograms of features, with the densities of the classes that were fitted to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._optional import import_optional
from gmmseg.model import Model
from gmmseg.plots.figure import (
    INK,
    caption,
    class_colours,
    ink,
    new_figure,
    tidy,
    write_legend,
)
from gmmseg.plots.pixels import Pixels, shown_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["component_densities", "draw_histogram", "histogram_bars", "plot_histograms"]

Array = NDArray[np.float64]

_BARS = "#d4d7dc"
_POINTS = 600
_FEWEST_BINS, _MOST_BINS = 24, 160
_COLUMNS = 3
MOST_PANELS = 12

#: A class is cut that is higher than so many times the next one, and narrower than this share.
_CUT, _NARROW = 3.0, 0.05


def plot_histograms(
    model: Model,
    pixels: Pixels | None = None,
    features: Sequence[int] | None = None,
    *,
    names: Sequence[str] = (),
) -> Figure:
    """A panel for each feature: pixels in grey, each class in its colour, their sum as a line.

    Parameters
    ----------
    model : Model
    pixels : Pixels, optional
        Densities alone when not given.
    features : sequence of int, optional
        From 0; the first 12 when not given.
    names : sequence of str, optional
        Of the classes, in the place of their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingDependencyError
        When matplotlib is not there.
    """
    chosen = list(features if features is not None else range(model.mixture.n_features))
    chosen = chosen[:MOST_PANELS]
    columns = min(len(chosen), _COLUMNS)
    lines = -(-len(chosen) // columns)
    width = 6.4 if columns == 1 else 3.6 * columns
    figure = new_figure(width, (3.9 if columns == 1 else 2.6 * lines) + 0.45)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, feature in zip(panels, chosen, strict=False):
        draw_histogram(axes, model, pixels, feature)
        tidy(axes)
        axes.set_xlabel(caption(model, feature))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    for axes in panels[::columns]:
        axes.set_ylabel("density")
    for axes in panels[len(chosen) :]:
        axes.set_axis_off()
    write_legend(figure, model, _handles(pixels), names=names)
    return figure


def _handles(pixels: Pixels | None) -> list[tuple[Any, str]]:
    lines, patches = import_optional("matplotlib.lines"), import_optional("matplotlib.patches")
    total = (lines.Line2D([], [], color=INK, linewidth=1.4), "sum of the classes")
    bars = (patches.Patch(facecolor=_BARS), "pixels")
    return [total] if pixels is None else [bars, total]


def draw_histogram(
    axes: Axes, model: Model, pixels: Pixels | None, feature: int, *, upright: bool = True
) -> None:
    """The histogram and densities of one feature; with `upright` False along the vertical axis.

    A class far narrower than the others (the black around a scan) would leave no height to them:
    it is cut, and a triangle says so.
    """
    low, high = shown_range(model, pixels, feature)
    x = np.linspace(low, high, _POINTS)
    width, heights = (high - low) / _MOST_BINS, np.zeros(1)
    if pixels is not None:
        heights, edges = histogram_bars(pixels, feature, low, high)
        width = edges[1] - edges[0]
        orientation: Any = "vertical" if upright else "horizontal"
        axes.stairs(heights, edges, fill=True, color=_BARS, orientation=orientation)
    parts = component_densities(model, feature, x, width)
    total, top = parts.sum(axis=0), _top(parts, heights)
    fill = axes.fill_between if upright else axes.fill_betweenx
    for part, colour in zip(parts, class_colours(range(1, model.k + 1)), strict=True):
        fill(x, part, color=colour, alpha=0.28, linewidth=0)
        axes.plot(*_oriented(x, part, upright), color=ink(colour), linewidth=1.3)
    axes.plot(*_oriented(x, total, upright), color=INK, linewidth=1.4)
    for part, colour in zip(parts, class_colours(range(1, model.k + 1)), strict=True):
        if part.max() > top:
            place = _oriented(x[[part.argmax()]], np.array([top]), upright)
            marker = "^" if upright else ">"
            axes.plot(*place, marker, color=ink(colour), markersize=6, clip_on=False, zorder=5)
    (axes.set_xlim if upright else axes.set_ylim)(low, high)
    (axes.set_ylim if upright else axes.set_xlim)(0, top)


def _oriented(x: Array, y: Array, upright: bool) -> tuple[Array, Array]:
    return (x, y) if upright else (y, x)


def _top(parts: Array, heights: Array) -> float:
    """The end of the density axis: needles of classes, or of bars, do not decide it."""
    peaks = parts.max(axis=1)
    order = np.argsort(-peaks)
    mass = np.maximum(parts.sum(axis=1), 1e-300)
    widths = mass / np.maximum(peaks, 1e-300) / parts.shape[1]  # as shares of the axis
    needles = 0
    while (
        needles < len(order) - 1
        and peaks[order[needles]] > _CUT * peaks[order[needles + 1]] > 0
        and widths[order[needles]] < _NARROW
    ):
        needles += 1
    top = parts[order[needles:]].sum(axis=0).max()
    return float(max(1.05 * top, min(1.05 * heights.max(), 1.4 * top), 1e-300))


def component_densities(model: Model, feature: int, x: Array, width: float) -> Array:
    """Mean density of every class over bars around the values `x` of one feature, (k, len(x)).

    Classes have their weights: a bar of the histogram of rows that the model gives has the height
    of the sum. A class narrower than a bar is as high as its bar, not infinitely high.
    """
    mixture = model.mixture
    densities = np.zeros((model.k, len(x)))
    for label, weight, mean, std in zip(
        model.labels,
        mixture.weights,
        mixture.means[:, feature],
        mixture.standard_deviations[:, feature] * np.sqrt(2.0),
        strict=True,
    ):
        below, above = (_erf((x + side - mean) / std) for side in (-width / 2, width / 2))
        densities[label - 1] += weight * 0.5 * (above - below) / width
    return densities


def _erf(z: Array) -> Array:
    return np.array([math.erf(value) for value in z])


def histogram_bars(pixels: Pixels, feature: int, low: float, high: float) -> tuple[Array, Array]:
    """Densities and edges of bars; whole numbers get bars of whole widths, without gaps."""
    values = pixels.features[:, feature].astype(np.float64)
    total = pixels.counts.sum()
    width = (high - low) / np.clip(2 * np.cbrt(total), _FEWEST_BINS, _MOST_BINS)
    if (values == np.rint(values)).all():
        width = max(1.0, np.rint(width))
        edges = np.arange(np.floor(low) - 0.5, high + width, width)
    else:
        edges = np.arange(low, high + width, width)
    heights, edges = np.histogram(values, edges, weights=pixels.counts)
    return heights / (total * np.diff(edges)), edges
