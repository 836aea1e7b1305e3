"""The choice of the number of components and of the covariances, by criteria."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from gmmseg._check import check_choice, check_integer, check_real
from gmmseg.errors import InvalidParameterError
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.fitter import Fit, Fitter, Metric
from gmmseg.mixture.loop import Callback
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.rows import as_rows, check_weights

__all__ = ["SELECT_BY", "Candidate", "SelectOptions", "Selection", "select_rows"]

_EM_DEFAULTS = EMOptions()

#: The criteria, the default first; of all of them lower is better.
SELECT_BY = ("bic_effective", "icl", "bic", "aic")


@dataclass(frozen=True, kw_only=True)
class SelectOptions:
    """Among which mixtures to choose, and how.

    Attributes
    ----------
    k_range : sequence of int
        Numbers of components to fit.
    covariance_types : sequence of str or None
        Covariance types to compare; None = that of `EMOptions` alone.
    by : {"bic_effective", "icl", "bic", "aic"}
        The criterion: `Candidate` says what they are.
    """

    k_range: tuple[int, ...] = tuple(range(1, 11))
    covariance_types: tuple[str, ...] | None = None
    by: str = SELECT_BY[0]

    def __post_init__(self) -> None:
        listed = _listed(self.k_range, "k_range")
        numbers = {check_integer(k, "k_range", minimum=1) for k in listed}
        object.__setattr__(self, "k_range", tuple(sorted(numbers)))
        if self.covariance_types is not None:
            names = _listed(self.covariance_types, "covariance_types")
            for name in names:
                check_choice(name, "covariance_types", COVARIANCE_TYPES)
            object.__setattr__(self, "covariance_types", tuple(dict.fromkeys(names)))
        check_choice(self.by, "by", SELECT_BY)


def _listed(values: Any, name: str) -> list[Any]:
    listed = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else []
    if not listed:
        raise InvalidParameterError(f"{name} must be a sequence of one or more, got {values!r}.")
    return listed


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One fit of a `Selection`, and its criteria: lower is better (docs/math.md, eq. 16, 26-28).

    Attributes
    ----------
    k : int
        Number of components.
    covariance_type : str
    log_likelihood : float
        Total, in nats.
    n_parameters : int
    bic, aic : float
        Schwarz (1978), Akaike (1974).
    icl : float
        Integrated complete likelihood, Biernacki et al. (2000): `bic` and what labels leave unsure.
    bic_effective : float
        `bic` of as many rows as are independent.
    converged : bool
    fit : Fit
    """

    k: int
    covariance_type: str
    log_likelihood: float
    n_parameters: int
    bic: float
    aic: float
    icl: float
    bic_effective: float
    converged: bool
    fit: Fit

    def to_dict(self) -> dict[str, Any]:
        """All but the fit, as plain JSON values."""
        return {name: getattr(self, name) for name in _COLUMNS}


_COLUMNS = tuple(name for name in Candidate.__dataclass_fields__ if name != "fit")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Fits of several mixtures to the same rows, and their criteria. Prints as a table.

    Attributes
    ----------
    candidates : tuple of Candidate
        By covariance type, then by number of components.
    n : float
        Number of rows: the sum of their weights.
    n_effective : float
        How many independent rows they are worth.
    by : str
        The criterion of `best`, when it is not told another.
    """

    candidates: tuple[Candidate, ...]
    n: float
    n_effective: float
    by: str = SELECT_BY[0]

    def best(self, by: str | None = None) -> Candidate:
        """The candidate of the lowest criterion; of equal ones that with fewest parameters."""
        name = check_choice(self.by if by is None else by, "by", SELECT_BY)
        return min(self.candidates, key=lambda row: (getattr(row, name), row.n_parameters))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: what ``gmmseg select --json`` prints."""
        return {
            "n": self.n,
            "n_effective": self.n_effective,
            "by": self.by,
            "best": {
                name: {"k": best.k, "covariance_type": best.covariance_type}
                for name, best in ((name, self.best(name)) for name in SELECT_BY)
            },
            "candidates": [row.to_dict() for row in self.candidates],
        }

    def __str__(self) -> str:
        """A table for people; a star marks the best by each criterion."""
        head = ("k", "covariance", "log-likelihood", "parameters", *SELECT_BY)
        lines = [head, *(self._cells(row) for row in self.candidates)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def _cells(self, row: Candidate) -> tuple[str, ...]:
        criteria = (
            f"{getattr(row, name):.2f}{'*' if row is self.best(name) else ' '}"
            for name in SELECT_BY
        )
        shown = f"{row.log_likelihood:.2f}{'' if row.converged else ' (not converged)'}"
        return str(row.k), row.covariance_type, shown, str(row.n_parameters), *criteria


def select_rows(
    X: ArrayLike,
    options: EMOptions = _EM_DEFAULTS,
    selection: SelectOptions = SelectOptions(),
    *,
    sample_weight: ArrayLike | None = None,
    n_effective: float | None = None,
    metric: Metric | None = None,
    threads: int | None = None,
    callback: Callback | None = None,
) -> Selection:
    """Fit mixtures of several sizes and covariance types to the same rows.

    Each is the fit that `fit_mixture` gives with the same options. The rows are made ready once,
    and clusters to start from are found once for all covariance types.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_features)
    options : EMOptions
    selection : SelectOptions
    sample_weight : array_like of shape (n_samples,), optional
        A row of weight 3 equals three rows.
    n_effective : float, optional
        How many independent rows the rows are worth; None = as many as there are.
    metric, threads, callback
        As in `fit_rows`.

    Returns
    -------
    Selection

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(0, 1, (500, 2)), rng.normal(8, 2, (500, 2))])
    >>> among = SelectOptions(covariance_types=("full", "spherical"))
    >>> best = select_rows(X, selection=among).best()
    >>> best.k, best.covariance_type
    (2, 'spherical')
    """
    array = as_rows(X)
    weights = check_weights(sample_weight, len(array))
    if n_effective is not None:
        n_effective = check_real(n_effective, "n_effective", minimum=1.0)
    n = float(len(array) if weights is None else weights.sum())
    candidates = []
    with Workers(threads) as workers:
        fitters: dict[bool, Fitter] = {}
        for name in selection.covariance_types or (options.covariance_type,):
            own = replace(options, covariance_type=name)
            isotropic = COVARIANCE_TYPES[name].is_isotropic
            if isotropic not in fitters:
                fitters[isotropic] = Fitter(array, weights, metric, own, workers)
                fitters[isotropic].hold()
            for k in selection.k_range:
                fit = fitters[isotropic].fit(k, own, callback=callback)
                certainty = fitters[isotropic].log_certainty(fit.mixture)
                candidates.append(_candidate(fit, certainty, n, n_effective or n))
    return Selection(
        candidates=tuple(candidates), n=n, n_effective=n_effective or n, by=selection.by
    )


def _candidate(fit: Fit, certainty: float, n: float, n_effective: float) -> Candidate:
    deviance, p = -2.0 * fit.log_likelihood, fit.mixture.n_parameters
    bic = deviance + p * math.log(n)
    return Candidate(
        k=fit.mixture.n_components,
        covariance_type=fit.mixture.covariance_type,
        log_likelihood=fit.log_likelihood,
        n_parameters=p,
        bic=bic,
        aic=deviance + 2.0 * p,
        icl=bic - 2.0 * certainty,
        bic_effective=deviance * n_effective / n + p * math.log(n_effective),
        converged=fit.converged,
        fit=fit,
    )
