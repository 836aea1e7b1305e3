"""The curves of the criteria over the number of components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmmseg._optional import import_optional
from gmmseg.mixture.selection import SELECT_BY, Selection
from gmmseg.plots.figure import new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_selection"]

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
    figure = new_figure(9, 6.5)
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
        tidy(axes, grid="both")
        axes.label_outer()
    figure.supxlabel("number of components k", fontsize=10)
    figure.supylabel("criterion, lower is better", fontsize=10)
    figure.suptitle(
        f"{selection.n:.0f} rows, worth {selection.n_effective:.0f} independent ones", fontsize=11
    )
    if len(kinds) > 1:
        figure.axes[0].legend()
    return figure
