"""Passes over rows: what drives the kernels, in groups whose order of summation is fixed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmmseg.mixture._threads import Workers
from gmmseg.mixture.covariance import (
    COVARIANCE_TYPES,
    lower_triangle,
    squared_distances,
)
from gmmseg.mixture.rows import BLOCK, Rows, empty_lines, padded_features, row_groups
from gmmseg.mixture.statistics import Statistics

if TYPE_CHECKING:
    from gmmseg.mixture.mixture import Mixture

__all__ = [
    "Packed",
    "distance_rows",
    "label_rows",
    "log_certainty_of_rows",
    "log_density_rows",
    "odds_rows",
    "pack_factors",
    "posterior_rows",
    "statistics_of_rows",
    "statistics_with_priors",
    "statistics_with_shares",
]

Array = NDArray[np.float64]

_LOG2 = float(np.log(2.0))
_SQRT_HALF_LOG2E = float(np.sqrt(0.5 / np.log(2.0)))
_LOG2_OF_NOTHING = -1e30

# A component costs a row as much as so many products of two features, and its moments besides.
_PRODUCTS_OF_A_DENSITY = 16
_PRODUCTS_AT_ONCE = 5  # in the time that `Workers` reckons for one operation


class Packed(NamedTuple):
    """A mixture as the kernels read it."""

    logs: NDArray[Any]  # (K,) log2 of weight and normalisation
    parameters: Any  # one of the kernels' named tuples
    means: Array  # (K, D) the means as rounded to the kernels' type: moments are about these

    def work_space(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """What the kernels work in: for each call its own, because calls run side by side."""
        n_components, padded = self.parameters.means.shape
        lines = (2 * padded, n_components, 3)
        work, joint, others = (empty_lines((n, BLOCK), self.logs.dtype) for n in lines)
        return work, joint, others


def pack(mixture: Mixture, dtype: np.dtype[Any]) -> Packed:
    """Whitening factors and constants in the kernels' type and layout (docs/math.md, eq. 6)."""
    factors, log_det = mixture._whitening
    with np.errstate(divide="ignore"):
        logs = (np.log(mixture.weights) + log_det) / _LOG2
    logs -= 0.5 * mixture.n_features * np.log2(2 * np.pi)
    return pack_factors(mixture, factors, logs, dtype)


def pack_factors(mixture: Mixture, factors: Array, logs: Array, dtype: np.dtype[Any]) -> Packed:
    """The means of a mixture with given whitening factors and base-2 logs of its components."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    logs = np.maximum(logs, _LOG2_OF_NOTHING).astype(dtype)
    means = mixture.means.astype(dtype)
    layout = _pack_matrices if kind.is_matrix else _pack_diagonals
    parameters = layout(means, (factors * _SQRT_HALF_LOG2E).astype(dtype))
    return Packed(logs, parameters, means.astype(np.float64))


def _pack_matrices(means: NDArray[Any], factors: NDArray[Any]) -> Any:
    from gmmseg.mixture import _kernels as kernels

    n_components, n_features = means.shape
    padded = padded_features(n_features)
    if n_features > kernels.MOST_GROUPED:
        whiten = np.zeros((n_components, padded, padded), means.dtype)
        whiten[:, :n_features, :n_features] = factors
        return kernels.FullTiled(_pad_columns(means, padded), whiten)
    whiten = factors[:, lower_triangle(n_features)]
    if n_features > kernels.MOST_IN_REGISTERS:
        ends = ((0,) * min(n_features, end) for end in kernels.GROUP_ENDS)
        return kernels.FullGrouped(_pad_columns(means, padded), whiten, *ends)
    n_sums = 1 + n_features + n_features * (n_features + 1) // 2
    return kernels.Full(means, whiten, (0,) * n_features, (means.dtype.type(0),) * n_sums)


def _pack_diagonals(means: NDArray[Any], factors: NDArray[Any]) -> Any:
    from gmmseg.mixture import _kernels as kernels

    n_features = means.shape[1]
    if n_features > kernels.MOST_IN_REGISTERS:
        padded = padded_features(n_features)
        return kernels.DiagonalTiled(_pad_columns(means, padded), _pad_columns(factors, padded))
    sums = (means.dtype.type(0),) * (1 + 2 * n_features)
    return kernels.Diagonal(means, np.ascontiguousarray(factors), (0,) * n_features, sums)


def _pad_columns(values: NDArray[Any], n_columns: int) -> NDArray[Any]:
    padded = np.zeros((len(values), n_columns), values.dtype)  # np.pad takes ten times as long
    padded[:, : values.shape[1]] = values
    return padded


def statistics_of_rows(
    rows: Rows, mixture: Mixture, workers: Workers, packed: Packed | None = None
) -> Statistics:
    """One pass of the E-step over all rows: the sums that the M-step needs.

    `mixture` is in the frame of `rows`. The log-likelihood is that of the rows in the frame.
    Here and below `packed` stands for the mixture where it is not packed as a whole.
    """
    from gmmseg.mixture._kernels import em_pass

    packed = packed or pack(mixture, rows.dtype)

    def add(sums: _Sums, blocks: NDArray[Any], block: int, n: int, row: int) -> None:
        em_pass(
            blocks, block, n, rows.weights(row, n), packed.logs, packed.parameters,
            packed.work_space(), sums.blocks, sums.nk, sums.first, sums.second,
            sums.log2_likelihood,
        )  # fmt: skip

    return _summed(rows, mixture, packed, workers, add, together=rows.is_held)


def statistics_with_shares(
    rows: Rows, mixture: Mixture, workers: Workers, shares: NDArray[Any]
) -> Statistics:
    """The sums that the M-step needs, with responsibilities `shares` (K, N) from elsewhere.

    They take the place of the rows' weights too, and the log-likelihood is not known: NaN.
    """
    from gmmseg.mixture._kernels import given_pass

    packed = pack(mixture, rows.dtype)

    def add(sums: _Sums, blocks: NDArray[Any], block: int, n: int, row: int) -> None:
        given_pass(
            blocks, block, n, shares[:, row : row + n], packed.parameters,
            packed.work_space(), sums.nk[0], sums.first[0], sums.second[0],
        )  # fmt: skip
        sums.log2_likelihood[0] = np.nan

    return _summed(rows, mixture, packed, workers, add)


def statistics_with_priors(
    rows: Rows, mixture: Mixture, workers: Workers, maps: NDArray[np.float32]
) -> Statistics:
    """One pass of the E-step in which every row has a prior of its own.

    The weights times `maps` (K, N), normalised for each row, take the place of the weights
    (equation 102 of docs/math.md).
    """
    from gmmseg.mixture._kernels import given_pass, posterior_pass
    from gmmseg.mixture._prior_kernels import prior_pass

    k = mixture.n_components
    even = mixture.trusted(
        np.full(k, 1 / k), mixture.means, mixture.covariances, mixture.covariance_type
    )
    packed = pack(even, rows.dtype)
    own = mixture.weights.astype(rows.dtype)
    foreseen: dict[int, Array] = {}

    def add(sums: _Sums, blocks: NDArray[Any], block: int, n: int, row: int) -> None:
        space, weights = packed.work_space(), rows.weights(row, n)
        shares, log2_density = np.empty((k, n), rows.dtype), np.empty(n, rows.dtype)
        posterior_pass(
            blocks, block, n, packed.logs, packed.parameters, space, 0, shares, log2_density
        )
        foreseen[row], work = np.zeros(k), np.empty((2, n), rows.dtype)
        prior_pass(
            shares, log2_density, maps, row, own, weights, work, foreseen[row],
            sums.log2_likelihood,
        )  # fmt: skip
        given_pass(
            blocks,
            block,
            n,
            shares,
            packed.parameters,
            space,
            sums.nk[0],
            sums.first[0],
            sums.second[0],
        )

    found = _summed(rows, mixture, packed, workers, add)
    total = np.sum([foreseen[row] for row in sorted(foreseen)], axis=0)
    more = float(np.log(k)) * found.weight  # the weights of the densities were 1 / k
    return replace(
        found,
        foreseen=total * rows.weight_unit,
        log_likelihood=found.log_likelihood + more,
    )


class _Sums(NamedTuple):
    """Where some groups of rows are summed, each of so many blocks: the first axis."""

    blocks: int
    nk: Array
    first: Array
    second: Array
    log2_likelihood: Array


def _summed(
    rows: Rows,
    mixture: Mixture,
    packed: Packed,
    workers: Workers,
    add: Callable[..., None],
    *,
    together: bool = False,
) -> Statistics:
    """The sums of all rows, group by group.

    `together`: `add` takes several groups at once, for a call of a kernel costs 10 microseconds.
    """
    n_components, padded = packed.parameters.means.shape
    is_matrix = COVARIANCE_TYPES[mixture.covariance_type].is_matrix
    second_shape = (n_components, padded, padded) if is_matrix else (n_components, padded)
    size_of_second = math.prod(second_shape)
    groups = row_groups(rows.n_samples, size_of_second)
    nk = np.zeros((len(groups), n_components))
    first = np.zeros((len(groups), n_components, padded))
    second = np.zeros((len(groups), *second_shape))
    log2_likelihood = np.zeros(len(groups))
    size = math.ceil(groups[0][1] / BLOCK)
    products = float(size_of_second + _PRODUCTS_OF_A_DENSITY * n_components)
    operations = rows.n_samples * products / _PRODUCTS_AT_ONCE
    step = math.ceil(len(groups) / workers.tasks(operations)) if together else 1

    def task(i: int) -> None:
        chosen = slice(i * step, (i + 1) * step)
        sums = _Sums(size, nk[chosen], first[chosen], second[chosen], log2_likelihood[chosen])
        for blocks, block, n, row in rows.pieces(groups[chosen][0][0], groups[chosen][-1][1]):
            add(sums, blocks, block, n, row)

    workers.run(task, math.ceil(len(groups) / step), operations)
    n = rows.n_features
    total = second.sum(axis=0)
    total = _symmetric(total[:, :n, :n]) if is_matrix else total[:, :n]
    unit = rows.weight_unit
    return Statistics(
        nk=nk.sum(axis=0) * unit,
        first=first.sum(axis=0)[:, :n] * unit,
        second=total * unit,
        about=packed.means,
        log_likelihood=float(log2_likelihood.sum()) * _LOG2 * unit,
        weight=rows.total_weight,
        epsilon=float(np.finfo(rows.dtype).eps),
    )


def _symmetric(second: Array) -> Array:
    """Full matrices from their lower triangles: the kernels may leave the rest unfilled."""
    return np.where(lower_triangle(second.shape[-1]), second, second.transpose(0, 2, 1))


def log_certainty_of_rows(
    rows: Rows, mixture: Mixture, workers: Workers, packed: Packed | None = None
) -> tuple[float, float]:
    """Log-likelihood in the frame, and the sum of the logarithms of every row's largest posterior.

    Both weighted, in nats; together they are the likelihood of the rows with their labels.
    """
    from gmmseg.mixture._kernels import certainty_pass

    packed = packed or pack(mixture, rows.dtype)
    groups = row_groups(rows.n_samples)
    sums = np.zeros((len(groups), 2))

    def task(i: int) -> None:
        for blocks, block, n, row in rows.pieces(*groups[i]):
            weights = rows.weights(row, n)
            certainty_pass(
                blocks, block, n, weights, packed.logs, packed.parameters, packed.work_space(),
                sums[i],
            )  # fmt: skip

    workers.run(task, len(groups))
    log_likelihood, certainty = sums.sum(axis=0) * _LOG2 * rows.weight_unit
    return float(log_likelihood), float(certainty)


def label_rows(
    rows: Rows,
    mixture: Mixture,
    workers: Workers,
    labels: NDArray[Any],
    packed: Packed | None = None,
) -> None:
    """Write the index of the most probable component of every row to `labels` (N,)."""
    from gmmseg.mixture._kernels import label_pass

    packed = packed or pack(mixture, rows.dtype)

    def write(blocks: NDArray[Any], block: int, n: int, row: int) -> None:
        label_pass(
            blocks, block, n, packed.logs, packed.parameters, packed.work_space(),
            np.empty(BLOCK, labels.dtype), labels[row : row + n],
        )  # fmt: skip

    _for_all(rows, workers, write)


def posterior_rows(
    rows: Rows,
    mixture: Mixture,
    workers: Workers,
    out: NDArray[Any],
    packed: Packed | None = None,
) -> None:
    """Write the posterior of every row to `out` (K, N)."""
    _densities(rows, mixture, workers, out, np.empty(0, rows.dtype), packed)


def odds_rows(
    rows: Rows,
    mixture: Mixture,
    workers: Workers,
    out: NDArray[Any],
    packed: Packed | None = None,
) -> None:
    """Write log2 of each posterior over the row's largest to `out` (K, N)."""
    from gmmseg.mixture._kernels import odds_pass

    packed = packed or pack(mixture, rows.dtype)

    def write(blocks: NDArray[Any], block: int, n: int, row: int) -> None:
        space = packed.work_space()
        odds_pass(blocks, block, n, packed.logs, packed.parameters, space, row, out)

    _for_all(rows, workers, write)


def log_density_rows(
    rows: Rows, mixture: Mixture, workers: Workers, packed: Packed | None = None
) -> NDArray[Any]:
    """Natural log density of every row, in the units of the data that `rows` was made from."""
    log2_density = np.empty(rows.n_samples, rows.dtype)
    _densities(rows, mixture, workers, np.empty((0, 0), rows.dtype), log2_density, packed)
    return log2_density * rows.dtype.type(_LOG2) + rows.dtype.type(rows.log_scale)


def _densities(
    rows: Rows,
    mixture: Mixture,
    workers: Workers,
    posterior: NDArray[Any],
    log2: NDArray[Any],
    packed: Packed | None,
) -> None:
    from gmmseg.mixture._kernels import posterior_pass

    packed = packed or pack(mixture, rows.dtype)

    def write(blocks: NDArray[Any], block: int, n: int, row: int) -> None:
        posterior_pass(
            blocks, block, n, packed.logs, packed.parameters, packed.work_space(), row, posterior,
            log2,
        )  # fmt: skip

    _for_all(rows, workers, write)


def distance_rows(rows: Rows, mixture: Mixture, out: Array) -> None:
    """Write the Mahalanobis distance of every row to every component to `out` (N, K)."""
    factors, _ = mixture._whitening
    for blocks, _, n, row in rows.pieces(0, rows.n_samples):
        x = blocks[:, : rows.n_features].transpose(0, 2, 1).reshape(-1, rows.n_features)[:n]
        for k, factor in enumerate(factors):
            squared = squared_distances(x - mixture.means[k], factor)
            out[row : row + n, k] = np.sqrt(squared)


def _for_all(
    rows: Rows, workers: Workers, write: Callable[[NDArray[Any], int, int, int], None]
) -> None:
    groups = row_groups(rows.n_samples)

    def task(i: int) -> None:
        for blocks, block, n, row in rows.pieces(*groups[i]):
            write(blocks, block, n, row)

    workers.run(task, len(groups))
