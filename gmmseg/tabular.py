"""Cluster the rows of a table: the door, and what it gives."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gmmseg
from gmmseg._files import printable
from gmmseg.errors import InvalidDataError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.io import Table, read_table
from gmmseg.labels import label_dtype
from gmmseg.mixture.em import Callback, Fit, fit_rows
from gmmseg.mixture.options import EMOptions
from gmmseg.model import Model

__all__ = ["TABLE_FEATURES", "Clustering", "cluster_table", "columns_of"]

#: What the model file of a table says about its features: the columns as they are.
TABLE_FEATURES = FeatureSpec(colour_space="raw")

_DEFAULT = EMOptions()


@dataclass(frozen=True, kw_only=True, eq=False)
class Clustering:
    """The rows of a table, told apart by a mixture.

    Attributes
    ----------
    table : Table
    model : Model
        Its labels are in the order of the means of the first column.
    warnings : tuple of str
    """

    table: Table
    model: Model
    warnings: tuple[str, ...] = ()
    _values: NDArray[np.float64]
    _threads: int | None = None

    @property
    def k(self) -> int:
        """Number of clusters."""
        return self.model.k

    @cached_property
    def _empty(self) -> NDArray[np.bool_]:
        """Rows in which nothing was observed."""
        return np.asarray(np.isnan(self._values).all(axis=1))

    @cached_property
    def labels(self) -> NDArray[Any]:
        """Cluster of every row, 1..k; 0 where nothing was observed. uint8, or uint16 (N,)."""
        components = self.model.mixture.predict(self._values, threads=self._threads)
        labels = np.array(self.model.labels, label_dtype(self.k))[components]
        labels[self._empty] = 0
        return labels

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Probability of every cluster for every row, (N, k); NaN where nothing was observed."""
        posterior = self.model.mixture.posterior(self._values, threads=self._threads)
        out = np.zeros((len(posterior), self.k))
        for label, component in zip(self.model.labels, posterior.T, strict=True):
            out[:, label - 1] += component
        out[self._empty] = np.nan
        return out

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """What stands beside the rows in the file: ``cluster``, ``probability_1`` ..."""
        soft = self.probabilities.T
        return {"cluster": self.labels} | {
            f"probability_{j}": column for j, column in enumerate(soft, 1)
        }

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Rows of each cluster, (k,)."""
        return np.bincount(self.labels, minlength=self.k + 1)[1:]

    def summary(self) -> str:
        """The clusters for people: rows, weight, mean and standard deviation of each column."""
        mixture = self.model.mixture
        names = [printable(name) for name in self.model.feature_names]
        lines = [["cluster", "rows", "weight", *names]]
        for label, weight, mean, std in zip(
            self.model.labels, mixture.weights, mixture.means, mixture.standard_deviations,
            strict=True,
        ):  # fmt: skip
            cells = [f"{m:.4g} +- {s:.2g}" for m, s in zip(mean, std, strict=True)]
            lines.append([str(label), str(self.counts[label - 1]), f"{weight:.4f}", *cells])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in lines
        )

    def to_dict(self) -> dict[str, Any]:
        """A summary as plain JSON values: what ``gmmseg cluster --json`` prints."""
        mixture, names = self.model.mixture, self.model.feature_names
        return {
            "input": None if self.table.path is None else str(self.table.path),
            "rows": len(self._values),
            "rows_without_values": int(self._empty.sum()),
            "k": self.k,
            "columns": list(names),
            "clusters": [
                {
                    "label": label,
                    "rows": int(self.counts[label - 1]),
                    "weight": float(weight),
                    "mean": dict(zip(names, map(float, mean), strict=True)),
                    "std": dict(zip(names, map(float, std), strict=True)),
                }
                for label, weight, mean, std in zip(
                    self.model.labels, mixture.weights, mixture.means,
                    mixture.standard_deviations, strict=True,
                )
            ],
            "fit": self.model.provenance.get("fit", {}),
            "notes": list(self.table.notes),
            "warnings": list(self.warnings),
        }  # fmt: skip


def cluster_table(
    table: Table | str | os.PathLike[str],
    k: int = 3,
    options: EMOptions = _DEFAULT,
    *,
    model: Model | None = None,
    threads: int | None = None,
    callback: Callback | None = None,
) -> Clustering:
    """Tell the rows of a table apart by a Gaussian mixture.

    Parameters
    ----------
    table : Table or path
        A path is read by `gmmseg.read_table` with its defaults.
    k : int
        Number of clusters.
    options : EMOptions
    model : Model, optional
        Use this one, and fit nothing: a cluster then means the same as in the table that the
        model was fitted on. `k` and `options` are not looked at.
    threads, callback
        As in `gmmseg.segment`.

    Returns
    -------
    Clustering

    Raises
    ------
    ReadError
        When the file cannot be read.
    InvalidDataError
        When the table has not the columns of the model, or values that cannot be fitted.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "points.csv")
    ...     _ = path.write_text("x,y\\n" + "1,2\\n1.5,2.5\\n1.2,1.8\\n8,9\\n8.5,9.1\\n7.9,9.3\\n")
    ...     cluster_table(path, 2).labels.tolist()
    [1, 1, 1, 2, 2, 2]
    """
    if not isinstance(table, Table):
        table = read_table(table)
    if model is not None:
        values = columns_of(table, model)
        return Clustering(table=table, model=model, _values=values, _threads=threads)
    fit = fit_rows(table.values, k, options, threads=threads, callback=callback)
    return Clustering(
        table=table,
        model=_model(table, fit, options),
        warnings=tuple(str(warning) for warning in fit.warnings),
        _values=table.values,
        _threads=threads,
    )


def _model(table: Table, fit: Fit, options: EMOptions) -> Model:
    order = np.argsort(fit.mixture.means[:, 0], kind="stable")
    return Model(
        features=TABLE_FEATURES,
        feature_names=table.names,
        mixture=fit.mixture.reordered(order),
        labels=tuple(range(1, len(order) + 1)),
        provenance={
            "gmmseg": gmmseg.__version__,
            "tables": [] if table.path is None else [table.path.name],
            "options": {"em": asdict(options)},
            "fit": {
                "n_rows": len(table.values),
                "log_likelihood": fit.log_likelihood,
                "mean_log_likelihood": fit.history[-1],
                "n_iter": fit.n_iter,
                "converged": fit.converged,
                "certificate": fit.certificate and asdict(fit.certificate),
            },
        },
    )


def columns_of(table: Table, model: Model) -> NDArray[np.float64]:
    """The columns of a table that a model was fitted on, by name, (N, D).

    Raises
    ------
    InvalidDataError
        When one is missing.
    """
    if missing := [name for name in model.feature_names if name not in table.names]:
        raise InvalidDataError(
            f"the model was fitted on the columns {printable(', '.join(model.feature_names))}, but "
            f"this table has no numeric column {printable(missing[0])!r}. It has: "
            f"{printable(', '.join(table.names))}."
        )
    if table.names == model.feature_names:
        return table.values
    return table.values[:, [table.names.index(name) for name in model.feature_names]]
