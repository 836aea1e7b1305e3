"""How a fit went: the log-likelihood, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmmseg._optional import import_optional
from gmmseg.errors import InvalidDataError
from gmmseg.model import Model
from gmmseg.plots.figure import FAINT, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_history"]

_LINE = "#306fd8"


def plot_history(model: Model) -> Figure:
    """The mean log-likelihood after every step, and how far it still was from the last one.

    Parameters
    ----------
    model : Model
        With `history` in its provenance, as `fit` and `segment` write it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InvalidDataError
        When the model does not tell its history.
    MissingDependencyError
        When matplotlib is not there.
    """
    history = _history(model)
    figure = new_figure(8.4, 3.4)
    whole, distance = figure.subplots(1, 2)
    steps = np.arange(len(history))
    whole.plot(steps, history, color=_LINE, linewidth=1.6, marker="o", markersize=3)
    whole.set_ylabel("mean log-likelihood, nats per pixel")
    left = history[-1] - history[:-1]
    distance.semilogy(
        steps[:-1][left > 0], left[left > 0], color=_LINE, linewidth=1.6, marker="o", markersize=3
    )
    distance.set_ylabel("nats below the last")
    for axes in (whole, distance):
        tidy(axes, grid="both")
        axes.set_xlabel("accepted step")
        axes.xaxis.set_major_locator(import_optional("matplotlib.ticker").MaxNLocator(integer=True))
    whole.ticklabel_format(axis="y", useOffset=False)
    figure.suptitle(_summary(model, history), fontsize=9.5, color=FAINT)
    return figure


def _history(model: Model) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    told = model.provenance.get("history")
    is_list = isinstance(told, list) and len(told) > 1
    if not is_list or not all(type(value) in (int, float) for value in told):  # type: ignore[union-attr]
        raise InvalidDataError(
            "the model does not tell the history of its fit. Fit it again with this version of "
            "gmmseg; models of other programs have none."
        )
    return np.array(told, dtype=np.float64)


def _summary(model: Model, history: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    fit = model.provenance.get("fit")
    facts = fit if isinstance(fit, dict) else {}
    ending = {"True": ", converged", "False": ", not converged"}.get(
        str(facts.get("converged")), ""
    )
    return f"{model.k} classes: {len(history) - 1} accepted steps to {history[-1]:.6f}{ending}"
