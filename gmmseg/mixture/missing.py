"""EM and densities of rows with gaps, exactly, by the likelihood of what was observed.

Ghahramani and Jordan, Supervised learning from incomplete data via an EM approach, NIPS 6 (1994);
Little and Rubin, Statistical Analysis with Missing Data (2002), section 11.2; "Missing values" in
docs/math.md. It is assumed that whether a value is missing does not depend on that value.

A row's density is that of the marginal mixture over its observed features. Given those, the missing
features have, in each component, a mean that is linear in the observed ones and a covariance that
does not depend on them. So the sums of the M-step over the completed rows follow from the sums over
the observed features, by one small matrix product for each pattern and component: the kernels, the
statistics and the loop of EM are those of rows without gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.mixture._threads import Workers
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.partial import Marginals, Piece, pieces, room, times
from gmmseg.mixture.passes import (
    Packed,
    distance_rows,
    label_rows,
    log_certainty_of_rows,
    log_density_rows,
    odds_rows,
    posterior_rows,
    statistics_of_rows,
)
from gmmseg.mixture.patterns import AnyRows, GappedRows, Group
from gmmseg.mixture.rows import Rows
from gmmseg.mixture.statistics import Statistics

__all__ = [
    "distances",
    "impute",
    "labels",
    "log_certainty_of_gapped",
    "log_densities",
    "odds",
    "posteriors",
    "statistics_of_gapped",
]

Array = NDArray[np.float64]

_LOTS = 16  # parts of the rare rows, added up in order: bits do not depend on threads
_FEWEST_IN_A_LOT = 256


def statistics_of_gapped(rows: GappedRows, mixture: Mixture, workers: Workers) -> Statistics:
    """One pass of the E-step over rows with gaps: the sums that the M-step needs.

    `mixture` is in the frame of `rows`.
    """
    total = _nothing(mixture, rows)
    if rows.complete is not None:
        total = total + statistics_of_rows(rows.complete, mixture, workers)
    for marginals, part in _frequent(rows, mixture):
        regression, covariance = marginals.completion()
        for p, (_, members) in enumerate(part):
            packed = marginals.packed(mixture, p, rows.dtype)
            found = statistics_of_rows(members, mixture, workers, packed)
            total = total + _completed(found, regression[p], covariance[p])
    if rows.rare is not None:
        total = _added([total, *_rare_statistics(rows.rare, mixture, workers)])
    return total


def log_certainty_of_gapped(
    rows: GappedRows, mixture: Mixture, workers: Workers
) -> tuple[float, float]:
    """Log-likelihood in the frame, and the sum of the logarithms of every row's largest posterior.

    Both weighted, in nats. `mixture` is in the frame of `rows`.
    """
    found = np.zeros(2)
    if rows.complete is not None:
        found += log_certainty_of_rows(rows.complete, mixture, workers)
    for marginals, part in _frequent(rows, mixture):
        for p, (_, members) in enumerate(part):
            packed = marginals.packed(mixture, p, rows.dtype)
            found += log_certainty_of_rows(members, mixture, workers, packed)
    if rows.rare is not None:
        for piece in pieces(rows.rare, mixture, 0, rows.rare.rows.n_samples):
            log_density, posterior = piece.density()
            weights = _weights(rows.rare, piece)
            found += weights @ log_density, weights @ np.log(posterior.max(axis=1))
    return float(found[0]), float(found[1])


def _weights(group: Group, piece: Piece) -> Array:
    weights = group.rows.weights(piece.where.start, len(piece.x)).astype(np.float64)
    return weights * group.rows.weight_unit if weights.size else np.ones(len(piece.x))


def _frequent(rows: GappedRows, mixture: Mixture) -> Iterator[tuple[Marginals, Any]]:
    """The frequent patterns, as many at once as there is room for their matrices."""
    n = room(mixture)
    for first in range(0, len(rows.frequent), n):
        part = rows.frequent[first : first + n]
        yield Marginals.of(mixture, np.stack([observed for observed, _ in part])), part


def _added(parts: list[Statistics]) -> Statistics:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _completed(found: Statistics, regression: Array, covariance: Array) -> Statistics:
    """Sums over the completed rows of a pattern from those over what is observed.

    The sums of missing features are of no meaning, but finite: their factor is 0.
    """
    nk = found.nk.reshape(-1, *[1] * (covariance.ndim - 1))
    second = times(regression, found.second) if covariance.ndim == 2 else (
        regression @ found.second @ np.swapaxes(regression, -1, -2)
    )  # fmt: skip
    return Statistics(
        nk=found.nk,
        first=times(regression, found.first),
        second=second + nk * covariance,
        about=found.about,
        log_likelihood=found.log_likelihood,
        weight=found.weight,
        epsilon=found.epsilon,
    )


def _nothing(mixture: Mixture, rows: GappedRows) -> Statistics:
    """The statistics of no rows."""
    about = mixture.means.astype(rows.dtype).astype(np.float64)
    shape = COVARIANCE_TYPES[mixture.covariance_type].expand(mixture.covariances, *about.shape)
    zeros = np.zeros(mixture.n_components)
    epsilon = float(np.finfo(rows.dtype).eps)
    return Statistics(zeros, np.zeros_like(about), np.zeros(shape.shape), about, 0.0, 0.0, epsilon)


def _rare_statistics(group: Group, mixture: Mixture, workers: Workers) -> list[Statistics]:
    """The statistics of lots of the rows."""
    n = group.rows.n_samples
    edges = np.linspace(0, n, min(_LOTS, -(-n // _FEWEST_IN_A_LOT)) + 1).astype(int)
    found: list[Any] = [None] * (len(edges) - 1)

    def task(i: int) -> None:
        found[i] = _added([
            _piece_statistics(piece, group, mixture)
            for piece in pieces(group, mixture, edges[i], edges[i + 1])
        ])  # fmt: skip

    workers.run(task, len(found))
    return found


def _piece_statistics(piece: Piece, group: Group, mixture: Mixture) -> Statistics:
    log_density, posterior = piece.density()
    weights = _weights(group, piece)
    resp = posterior * weights[:, None]
    regression, covariance = piece.marginals.completion()
    deltas = times(regression[piece.pattern], piece.differences)
    weighted = resp[..., None] * deltas
    share = np.zeros((len(regression), resp.shape[1]))
    np.add.at(share, piece.pattern, resp)
    if covariance.ndim == 3:
        second = (weighted * deltas).sum(axis=0)
    else:
        second = weighted.transpose(1, 2, 0) @ deltas.transpose(1, 0, 2)
    return Statistics(
        nk=resp.sum(axis=0),
        first=weighted.sum(axis=0),
        second=second + np.einsum("pk,pk...->k...", share, covariance),
        about=mixture.means.astype(group.rows.dtype).astype(np.float64),
        log_likelihood=float(weights @ log_density),
        weight=float(weights.sum()),
        epsilon=float(np.finfo(group.rows.dtype).eps),
    )


# --- what a mixture says of rows with gaps --------------------------------------------------------


def _for_all_parts(
    rows: GappedRows,
    mixture: Mixture,
    of_rows: Callable[[Rows, Packed | None], NDArray[Any]],
    of_piece: Callable[[Piece], NDArray[Any]],
    out: NDArray[Any],
) -> None:
    """Fill ``out[..., N]`` with what the kernels, or NumPy, find for the rows of each pattern."""
    if rows.complete is not None:
        out[..., rows.complete.index] = of_rows(rows.complete, None)
    for marginals, part in _frequent(rows, mixture):
        for p, (_, members) in enumerate(part):
            found = of_rows(members, marginals.packed(mixture, p, rows.dtype))
            out[..., members.index] = found
    if rows.rare is not None:
        index = rows.rare.rows.index
        assert index is not None  # noqa: S101 - groups are made from indices
        for piece in pieces(rows.rare, mixture, 0, len(index)):
            out[..., index[piece.where]] = of_piece(piece)


def labels(rows: AnyRows, mixture: Mixture, workers: Workers, out: NDArray[Any]) -> None:
    """Write the most probable component of every row to `out` (N,)."""
    if isinstance(rows, Rows):
        label_rows(rows, mixture, workers, out)
        return

    def of_rows(part: Rows, packed: Packed | None) -> NDArray[Any]:
        found = np.empty(part.n_samples, out.dtype)
        label_rows(part, mixture, workers, found, packed)
        return found

    _for_all_parts(rows, mixture, of_rows, lambda piece: piece.log_joint.argmax(axis=1), out)
    out[rows.patterns.empty] = mixture.weights.argmax()


def posteriors(rows: AnyRows, mixture: Mixture, workers: Workers, out: NDArray[Any]) -> None:
    """Write the posterior of every row to `out` (K, N)."""
    _of_components(rows, mixture, workers, out, posterior_rows, lambda p: p.density()[1].T)
    if not isinstance(rows, Rows):
        out[:, rows.patterns.empty] = mixture.weights[:, None]


def odds(rows: AnyRows, mixture: Mixture, workers: Workers, out: NDArray[Any]) -> None:
    """Write log2 of each posterior over the row's largest to `out` (K, N)."""

    def of_piece(piece: Piece) -> NDArray[Any]:
        top = piece.log_joint.max(axis=1, keepdims=True)
        return (piece.log_joint - top).T / np.log(2.0)

    _of_components(rows, mixture, workers, out, odds_rows, of_piece)
    if not isinstance(rows, Rows):
        with np.errstate(divide="ignore"):
            logs = np.log2(mixture.weights / mixture.weights.max())
        out[:, rows.patterns.empty] = np.maximum(logs, np.finfo(out.dtype).min)[:, None]


def _of_components(
    rows: AnyRows,
    mixture: Mixture,
    workers: Workers,
    out: NDArray[Any],
    kernel: Callable[..., None],
    of_piece: Callable[[Piece], NDArray[Any]],
) -> None:
    """Fill `out` (K, N) by one of the passes, and by `of_piece` for the rare patterns."""
    if isinstance(rows, Rows):
        kernel(rows, mixture, workers, out)
        return

    def of_rows(part: Rows, packed: Packed | None) -> NDArray[Any]:
        found = np.empty((len(out), part.n_samples), out.dtype)
        kernel(part, mixture, workers, found, packed)
        return found

    _for_all_parts(rows, mixture, of_rows, of_piece, out)


def log_densities(rows: AnyRows, mixture: Mixture, workers: Workers, n: int) -> NDArray[Any]:
    """Log density (n,) of every row in the units of the data; 0 where nothing is observed."""
    if isinstance(rows, Rows):
        return log_density_rows(rows, mixture, workers)
    out = np.zeros(n, rows.dtype)
    logs = np.log(rows.frame.scale)
    _for_all_parts(
        rows,
        mixture,
        lambda part, packed: log_density_rows(part, mixture, workers, packed),
        lambda piece: piece.density()[0] + piece.observed @ logs,
        out,
    )
    return out


def distances(rows: AnyRows, mixture: Mixture, out: Array) -> None:
    """Write the Mahalanobis distances over the observed features to `out` (N, K)."""
    if isinstance(rows, Rows):
        distance_rows(rows, mixture, out)
        return
    out[rows.patterns.empty] = 0.0
    if rows.complete is not None:
        found = np.empty((rows.complete.n_samples, out.shape[1]))
        distance_rows(rows.complete, mixture, found)
        out[rows.complete.index] = found
    for index, piece in _gapped(rows, mixture):
        whitened = piece.marginals.whitened(piece.differences, piece.pattern)
        out[index] = np.sqrt(np.square(whitened).sum(axis=-1))


def _gapped(rows: GappedRows, mixture: Mixture) -> Iterator[tuple[NDArray[Any], Piece]]:
    """All rows with gaps, rare patterns or not: their numbers, and what NumPy needs of them."""
    group = rows.gapped
    if group is None or group.rows.index is None:
        return
    for piece in pieces(group, mixture, 0, group.rows.n_samples):
        yield group.rows.index[piece.where], piece


def impute(rows: AnyRows, mixture: Mixture, values: NDArray[Any], variances: NDArray[Any]) -> None:
    """Write conditional means to the gaps of `values` (N, D), and their variances.

    `mixture` is in the frame of `rows`; `variances` must be 0.
    """
    if isinstance(rows, Rows):
        return
    frame = rows.frame
    for index, piece in _gapped(rows, mixture):
        regression, covariance = piece.marginals.completion()
        if covariance.ndim == 4:
            covariance = np.diagonal(covariance, axis1=-2, axis2=-1).clip(0.0)
        conditional = mixture.means + times(regression[piece.pattern], piece.differences)
        mean, variance = _moments(piece.density()[1], conditional, covariance[piece.pattern])
        missing = ~piece.observed
        values[index] = np.where(missing, mean / frame.scale + frame.origin, values[index])
        variances[index] = np.where(missing, variance / frame.scale**2, 0.0)
    if len(rows.patterns.empty):
        own = np.square(mixture.standard_deviations)
        mean, variance = _moments(mixture.weights[None], mixture.means[None], own[None])
        values[rows.patterns.empty] = mean / frame.scale + frame.origin
        variances[rows.patterns.empty] = variance / frame.scale**2


def _moments(posterior: Array, means: Array, variances: Array) -> tuple[Array, Array]:
    """Mean and variance (n, D) of mixtures of components (n, K, D): the law of total variance."""
    mean = np.einsum("nk,nkd->nd", posterior, means)
    spread = variances + np.square(means - mean[:, None])
    return mean, np.einsum("nk,nkd->nd", posterior, spread)
