"""What all plots share: paper, ink, the colours of the classes, and how they are written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmmseg._files import printable, replacing
from gmmseg._optional import import_optional
from gmmseg.errors import InvalidParameterError
from gmmseg.labels import palette
from gmmseg.model import Model

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "FIGURE_ENDINGS",
    "caption",
    "check_ending",
    "class_colours",
    "ink",
    "new_figure",
    "save_figure",
    "tidy",
    "write_legend",
]

#: What files of figures may end in.
FIGURE_ENDINGS = (".png", ".svg", ".pdf")

INK, FAINT, PAPER, GRID = "#202226", "#6e7278", "#ffffff", "#e6e8ec"
_DOTS_PER_INCH = 160
_MOST_IN_LEGEND = 16

#: What the features of colour spaces mean, for axes.
_CAPTIONS = {
    "lab": {"L": "L, lightness", "a": "a, green to red", "b": "b, blue to yellow"},
    "luv": {"L": "L, lightness", "u": "u, green to red", "v": "v, blue to yellow"},
    "hsv": {"V": "V, brightness"},
}

Colour = tuple[float, float, float]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches.

    Raises
    ------
    MissingDependencyError
        When matplotlib is not there.
    """
    figure: Figure = import_optional("matplotlib.figure").Figure(
        (width, height), layout="constrained", facecolor=PAPER
    )
    return figure


def tidy(axes: Axes, *, grid: str | None = None) -> None:
    """Quiet axes: two thin lines, small numbers, a faint grid along `grid` ("x", "y", "both")."""
    axes.set_facecolor(PAPER)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#b4b8be")
        spine.set_linewidth(0.8)
    axes.tick_params(colors=FAINT, labelsize=8.5, width=0.8, length=3)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(INK)
        axis.label.set_fontsize(9.5)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]


def class_colours(labels: Sequence[int]) -> list[Colour]:
    """The colours that overlays and legends give to the labels, as numbers in 0..1."""
    colours = palette(max(labels))
    return [tuple((colours[label - 1] / 255.0).tolist()) for label in labels]


def ink(colour: Colour) -> Colour:
    """A colour for lines and letters: darker where it would be lost on paper.

    Examples
    --------
    >>> ink((1.0, 1.0, 0.0))[2] == 0.0 and ink((0.0, 0.0, 0.5)) == (0.0, 0.0, 0.5)
    True
    """
    brightness = float(np.dot(colour, (0.2126, 0.7152, 0.0722)))
    share = min(1.0, 0.55 / brightness) if brightness else 1.0
    red, green, blue = (share * value for value in colour)
    return red, green, blue


def caption(model: Model, feature: int) -> str:
    """The name of a feature, with its meaning where a colour space gives it one."""
    name = model.feature_names[feature]
    told = _CAPTIONS.get(model.features.colour_space, {}).get(name, name)
    return printable(told).replace("$", r"\$")  # no formulas from names


def write_legend(
    figure: Figure,
    model: Model,
    more: Sequence[tuple[Any, str]] = (),
    note: str = "",
    names: Sequence[str] = (),
) -> None:
    """Colour, number or name, and weight of every class below the figure, and `more` handles with
    texts.
    """
    patches = import_optional("matplotlib.patches")
    entries: list[tuple[Any, str]] = list(more)
    weights = np.bincount(model.labels, weights=model.mixture.weights)[1:]
    shown = range(1, min(model.k, _MOST_IN_LEGEND) + 1)
    for label, colour in zip(shown, class_colours(list(shown)), strict=True):
        patch = patches.Patch(facecolor=colour, edgecolor=ink(colour), linewidth=0.8)
        name = names[label - 1] if names else f"class {label}"
        entries.append((patch, f"{name}: {100 * weights[label - 1]:.1f} %"))
    if model.k > _MOST_IN_LEGEND:
        nothing = patches.Patch(facecolor="none", edgecolor="none")
        entries.append((nothing, f"and {model.k - _MOST_IN_LEGEND} more"))
    handles, texts = zip(*entries, strict=True)
    legend = figure.legend(
        handles,
        texts,
        loc="outside lower center",
        ncols=min(len(entries), max(2, int(figure.get_figwidth() / 1.55))),
        frameon=False,
        fontsize=8.5,
        handlelength=1.2,
        handleheight=0.9,
        columnspacing=1.6,
        title=note or None,
        title_fontsize=8.5,
    )
    legend.get_title().set_color(FAINT)
    for text in legend.get_texts():
        text.set_color(INK)


def check_ending(path: str | os.PathLike[str]) -> str:
    """The ending of the name of a figure, which must be one that can be written."""
    ending = Path(path).suffix.lower()
    if ending not in FIGURE_ENDINGS:
        raise InvalidParameterError(
            f"a figure must end in {', '.join(FIGURE_ENDINGS)}, got {printable(Path(path).name)}."
        )
    return ending


def save_figure(figure: Figure, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a figure as PNG, SVG or PDF, as the ending of its name says.

    Raises
    ------
    InvalidParameterError
        When the ending is another.
    OutputExistsError, WriteError
        When it cannot be written.
    """
    ending = check_ending(path)
    dates: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with replacing(path, overwrite=overwrite) as file:
        figure.savefig(file, format=ending[1:], dpi=_DOTS_PER_INCH, metadata=dates.get(ending, {}))
