"""Two features against each other: pixels in the colours of their classes, and the ellipses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_integer
from gmmseg._optional import import_optional
from gmmseg.errors import InvalidParameterError
from gmmseg.mixture.description import describe
from gmmseg.model import Model
from gmmseg.plots.figure import (
    INK,
    PAPER,
    caption,
    class_colours,
    ink,
    new_figure,
    tidy,
    write_legend,
)
from gmmseg.plots.histogram import draw_histogram
from gmmseg.plots.pixels import Pixels, shown_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_scatter"]

#: Shares of a class that lie within its ellipses.
COVERED = (0.5, 0.9)

_CELLS = 160
_FEW = 4000  # pixels that are drawn as points


def plot_scatter(
    model: Model, pixels: Pixels | None = None, features: tuple[int, int] = (0, 1)
) -> Figure:
    """Pixels over two features, the ellipses of the classes, and the histograms beside them.

    The ellipses hold 50 % and 90 % of each class. Where there are many pixels, a cell is the
    darker the more lie in it (logarithm), in the mean colour of their classes.

    Parameters
    ----------
    model : Model
        Over at least two features.
    pixels : Pixels, optional
        Ellipses and densities alone when not given.
    features : tuple of int
        Two different ones, from 0: along the horizontal and the vertical axis.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InvalidParameterError
        When the model has not these features.
    MissingDependencyError
        When matplotlib is not there.
    """
    across, up = _checked(features, model.mixture.n_features)
    figure = new_figure(7.2, 7.2)
    grid = figure.add_gridspec(2, 2, width_ratios=(5, 1), height_ratios=(1, 5), wspace=0, hspace=0)
    main = figure.add_subplot(grid[1, 0])
    top = figure.add_subplot(grid[0, 0], sharex=main)
    right = figure.add_subplot(grid[1, 1], sharey=main)
    draw_histogram(top, model, pixels, across)
    draw_histogram(right, model, pixels, up, upright=False)
    for axes in (top, right):
        axes.set_axis_off()
    tidy(main, grid="both")
    if pixels is not None:
        _draw_pixels(main, model, pixels, (across, up))
    _draw_classes(main, model, (across, up))
    main.set_xlim(*shown_range(model, pixels, across))
    main.set_ylim(*shown_range(model, pixels, up))
    main.set_xlabel(caption(model, across))
    main.set_ylabel(caption(model, up))
    inner, outer = (f"{100 * share:.0f} %" for share in COVERED)
    write_legend(figure, model, note=f"ellipses hold {inner} and {outer} of a class")
    return figure


def _checked(features: tuple[int, int], n_features: int) -> tuple[int, int]:
    chosen = tuple(check_integer(feature, "each feature", minimum=0) for feature in features)
    if len(set(chosen)) != 2 or len(chosen) != 2 or max(chosen) >= n_features:
        raise InvalidParameterError(
            f"features must be two different ones of the {n_features} of the model, from 0, "
            f"got {chosen}."
        )
    return chosen


def _draw_classes(axes: Axes, model: Model, features: tuple[int, int]) -> None:
    """Ellipses and the number of every component, heavy ones last and so above."""
    patches = import_optional("matplotlib.patches")
    effects = import_optional("matplotlib.patheffects")
    halo = [effects.withStroke(linewidth=3.0, foreground=PAPER)]
    colours = class_colours(model.labels)
    described = describe(model.mixture.marginal(features), labels=model.labels).components
    for k in np.argsort(model.mixture.weights):
        component, colour = described[k], ink(colours[k])
        for share, width in zip(COVERED, (1.8, 1.0), strict=True):
            radius = np.sqrt(-2.0 * np.log1p(-share))
            long, short = (2 * radius * axis.std for axis in component.axes)
            ellipse = patches.Ellipse(
                component.mean, long, short, angle=component.angle, fill=False, color=colour
            )
            ellipse.set(linewidth=width, path_effects=_thin_halo(effects, width))
            axes.add_patch(ellipse)
        axes.annotate(
            str(component.label), component.mean, color=INK, fontsize=11, fontweight="bold",
            ha="center", va="center", path_effects=halo, annotation_clip=True,
        )  # fmt: skip


def _thin_halo(effects: Any, width: float) -> list[Any]:
    """A pale edge, by which a line shows upon pixels of its own colour."""
    return [effects.withStroke(linewidth=width + 1.6, foreground=PAPER, alpha=0.75)]


def _draw_pixels(axes: Axes, model: Model, pixels: Pixels, features: tuple[int, int]) -> None:
    """Points while they are few, else cells."""
    x, y = (pixels.features[:, feature].astype(np.float64) for feature in features)
    colours = np.array(class_colours(range(1, model.k + 1)))
    if len(x) <= _FEW and pixels.counts.max() == 1:
        axes.scatter(
            x, y, s=9, c=colours[pixels.labels - 1], alpha=0.5, linewidths=0, rasterized=True
        )
        return
    spans = [shown_range(model, pixels, feature) for feature in features]
    edges = [_edges(values, *span) for values, span in zip((x, y), spans, strict=True)]
    picture = _cells(x, y, pixels, edges, colours)
    axes.imshow(
        picture,
        origin="lower",
        extent=(edges[0][0], edges[0][-1], edges[1][0], edges[1][-1]),
        aspect="auto",
        interpolation="nearest",
        zorder=1,  # above the grid
    )


def _edges(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Edges of cells; whole numbers fall into cells of whole widths."""
    width = (high - low) / _CELLS
    if (values == np.rint(values)).all():
        width = max(1.0, np.rint(width))
        return np.arange(np.floor(low) - 0.5, high + width, width)
    return np.linspace(low, high, _CELLS + 1)


def _cells(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    pixels: Pixels,
    edges: list[NDArray[np.float64]],
    colours: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Colour and opacity of every cell, (rows, cols, 4), the lowest row first."""
    counts = np.stack(
        [
            np.histogram2d(
                y[pixels.labels == label],
                x[pixels.labels == label],
                bins=(edges[1], edges[0]),
                weights=pixels.counts[pixels.labels == label],
            )[0]
            for label in range(1, len(colours) + 1)
        ],
        axis=-1,
    )
    total = counts.sum(axis=-1)
    shown = np.zeros((*total.shape, 4))
    seen = total > 0
    shown[seen, :3] = counts[seen] @ colours / total[seen, None]
    most = np.quantile(total[seen], 0.995) if seen.any() else 1.0
    strength = np.log1p(total[seen]) / np.log1p(max(most, 1.0))
    shown[seen, 3] = np.clip(0.08 + 0.85 * strength, 0.0, 0.93)
    return shown
