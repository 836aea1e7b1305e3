"""A mixture over the features that rows have: densities, and what they tell of the others.

"Missing values" in docs/math.md. All that differs from pattern to pattern, or from row to row, is
in arrays: for the patterns of few rows, and for what is asked of few rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.mixture.covariance import COVARIANCE_TYPES, whitening
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.passes import Packed, pack_factors
from gmmseg.mixture.patterns import Group

__all__ = ["Marginals", "Piece", "pieces", "room", "times"]

Array = NDArray[np.float64]

_LOG2 = float(np.log(2.0))
_MATRICES = 1 << 19  # numbers in the matrices that are held at once: 4 MiB of float64


@dataclass(frozen=True, eq=False)
class Marginals:
    """The components over the observed features of P patterns.

    Attributes
    ----------
    observed : ndarray of bool, shape (P, D)
    logs : ndarray of shape (P, K)
        Natural log of weight and normalisation.
    factors : ndarray of shape (P, K, D, D) or (P, K, D)
        Whitening factors with zeros for what is missing.
    expanded : ndarray of shape (K, D, D) or (K, D)
        The covariances.
    """

    observed: NDArray[np.bool_]
    logs: Array
    factors: Array
    expanded: Array

    @classmethod
    def of(cls, mixture: Mixture, observed: NDArray[np.bool_]) -> Marginals:
        kind = COVARIANCE_TYPES[mixture.covariance_type]
        n, k, d = len(observed), mixture.n_components, mixture.n_features
        expanded = np.ascontiguousarray(kind.expand(mixture.covariances, k, d))
        seen = observed[:, None, :]
        if kind.is_matrix:
            # a missing feature as an independent one of variance 1: the factor of the others, and
            # the determinant, are those of the marginal
            both = seen[..., :, None] & seen[..., None, :]
            blocks: Array = np.where(both, expanded, np.eye(d)).reshape(n * k, d, d)
            kept = seen[..., None, :]
        else:
            blocks = np.where(seen, expanded, 1.0).reshape(n * k, d)
            kept = seen
        factors, log_det = whitening(blocks)
        with np.errstate(divide="ignore"):
            logs = np.log(mixture.weights) + log_det.reshape(n, k)
        logs -= 0.5 * np.log(2 * np.pi) * observed.sum(axis=1)[:, None]
        return cls(observed, logs, factors.reshape(n, k, *blocks.shape[1:]) * kept, expanded)

    def whitened(self, differences: Array, pattern: Any) -> Array:
        """``W (x - mean)`` of rows (n, K, D) of the given patterns."""
        return times(self.factors[pattern], differences)

    def completion(self) -> tuple[Array, Array]:
        """What the observed features tell of all, for each pattern and component.

        Returns
        -------
        regression : ndarray of shape (P, K, D, D) or (P, K, D)
            From ``x - mean`` (anything finite where missing) to the conditional mean less `mean`.
        covariance : ndarray of the same shape
            Conditional covariance; 0 for what is observed.
        """
        if self.expanded.ndim == 2:
            seen = self.observed[:, None, :]
            shape = self.factors.shape
            return (
                np.broadcast_to(seen, shape).astype(np.float64),
                np.where(seen, 0.0, self.expanded),
            )
        seen, missing = self.observed[:, None, :, None], ~self.observed[:, None, :, None]
        half = self.factors @ self.expanded
        regression = np.swapaxes(half, -1, -2) @ self.factors
        covariance = self.expanded - np.swapaxes(half, -1, -2) @ half
        return (
            np.where(seen, np.eye(self.observed.shape[1]), regression),
            np.where(missing & np.swapaxes(missing, -1, -2), covariance, 0.0),
        )

    def packed(self, mixture: Mixture, pattern: int, dtype: np.dtype[Any]) -> Packed:
        """One pattern as the kernels read it."""
        return pack_factors(mixture, self.factors[pattern], self.logs[pattern] / _LOG2, dtype)


def times(matrices: Array, vectors: Array) -> Array:
    """Matrices (..., D, D), or diagonals (..., D), times vectors (..., D)."""
    if matrices.ndim == vectors.ndim:
        return matrices * vectors
    product: Array = np.matmul(matrices, vectors[..., None])[..., 0]
    return product


def room(mixture: Mixture) -> int:
    """How many rows or patterns may have matrices of their own at once."""
    is_matrix = COVARIANCE_TYPES[mixture.covariance_type].is_matrix
    one = mixture.n_components * mixture.n_features ** (2 if is_matrix else 1)
    return max(1, _MATRICES // one)


@dataclass(frozen=True, eq=False)
class Piece:
    """Some rows, all patterns of which have their matrices here.

    Attributes
    ----------
    where : slice
        Of the rows of the group.
    x : ndarray of shape (n, D)
        In the frame; 0 where not observed.
    pattern : ndarray of shape (n,)
        Into `marginals`.
    differences : ndarray of shape (n, K, D)
        ``x - mean``, 0 where not observed.
    log_joint : ndarray of shape (n, K)
        Log of weight times density in the frame.
    """

    where: slice
    x: Array
    pattern: NDArray[np.intp]
    marginals: Marginals
    differences: Array
    log_joint: Array

    @property
    def observed(self) -> NDArray[np.bool_]:
        seen: NDArray[np.bool_] = self.marginals.observed[self.pattern]
        return seen

    def density(self) -> tuple[Array, Array]:
        """Log density (n,) in the frame, and posterior (n, K)."""
        top = self.log_joint.max(axis=1, keepdims=True)
        relative = np.exp(self.log_joint - top)
        total = relative.sum(axis=1, keepdims=True)
        return (top + np.log(total))[:, 0], relative / total


def pieces(group: Group, mixture: Mixture, start: int, stop: int) -> Iterator[Piece]:
    means = mixture.means.astype(group.rows.dtype).astype(np.float64)
    for where, planes, pattern in group.pieces(start, stop, room(mixture)):
        chosen, local = np.unique(pattern, return_inverse=True)
        marginals = Marginals.of(mixture, group.observed[chosen])
        seen = marginals.observed[local]
        x = np.where(seen, planes.T, 0.0)
        differences = np.where(seen[:, None, :], x[:, None, :] - means, 0.0)
        squared = np.square(marginals.whitened(differences, local)).sum(axis=-1)
        log_joint = marginals.logs[local] - 0.5 * squared
        yield Piece(where, x, local, marginals, differences, log_joint)
