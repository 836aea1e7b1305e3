"""The curves of the criteria over the number of components."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from gmmseg._check import check_choice
from gmmseg._optional import import_optional
from gmmseg.mixture.selection import SELECT_BY, Selection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PLOT_ENDINGS", "check_plot", "plot_selection", "save_selection"]

#: What files of plots may end in.
PLOT_ENDINGS = (".png", ".svg", ".pdf")

_TITLES = {
    "bic_effective": "BIC of independent pixels",
    "icl": "ICL",
    "bic": "BIC",
    "aic": "AIC",
}


def plot_selection(selection: Selection) -> Figure:
    """One panel for each criterion, a curve for each covariance type, a ring at the best.

    Parameters
    ----------
    selection : Selection

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingDependencyError
        When matplotlib is not there: ``pip install 'gmmseg[plot]'``.
    """
    figure: Figure = import_optional("matplotlib.figure").Figure((9, 6.5), layout="constrained")
    ticker = import_optional("matplotlib.ticker")
    kinds = dict.fromkeys(row.covariance_type for row in selection.candidates)
    for axes, name in zip(figure.subplots(2, 2, sharex=True).flat, SELECT_BY, strict=True):
        for kind in kinds:
            rows = [row for row in selection.candidates if row.covariance_type == kind]
            axes.plot(
                [row.k for row in rows],
                [getattr(row, name) for row in rows],
                marker="o",
                markersize=4,
                label=kind,
            )
        best = selection.best(name)
        axes.plot(best.k, getattr(best, name), "o", ms=13, mfc="none", mec="black")
        axes.set_title(f"{_TITLES[name]}: k = {best.k}, {best.covariance_type}", fontsize=10)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.grid(alpha=0.3)
        axes.label_outer()
    figure.supxlabel("number of components k", fontsize=10)
    figure.supylabel("criterion, lower is better", fontsize=10)
    figure.suptitle(
        f"{selection.n:.0f} rows, worth {selection.n_effective:.0f} independent ones", fontsize=11
    )
    if len(kinds) > 1:
        figure.axes[0].legend()
    return figure


def check_plot(ending: str) -> None:
    """Raise when files of this ending cannot be drawn, or matplotlib is not there."""
    check_choice(ending.lower(), "the ending of a plot", PLOT_ENDINGS)
    import_optional("matplotlib.figure")


def save_selection(selection: Selection, file: BinaryIO, ending: str) -> None:
    """Write the plot to an open file, in the format of `ending`."""
    check_plot(ending)
    plot_selection(selection).savefig(file, format=ending[1:].lower(), dpi=150)
