"""Features that no row has: left out of the fit, and put back into its result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg.errors import DegenerateDataWarning, InvalidDataError
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.patterns import Patterns

__all__ = [
    "known_features",
    "metric_of_known",
    "narrowed",
    "start_of_known",
    "unknown_warning",
    "widened",
]

Array = NDArray[np.float64]

_MOST_LISTED = 10


def known_features(patterns: Patterns | None, n_features: int) -> NDArray[np.bool_]:
    """The features that some row has, (D,)."""
    if patterns is None:
        return np.ones(n_features, bool)
    known = np.asarray(patterns.observed.any(axis=0))
    if not known.any():
        raise InvalidDataError("X has no values: all that counts is NaN. Check where it came from.")
    return known


def unknown_warning(known: NDArray[np.bool_]) -> DegenerateDataWarning:
    """What to tell a person."""
    numbers = np.flatnonzero(~known) + 1
    listed = ", ".join(map(str, numbers[:_MOST_LISTED]))
    more = " and others" if len(numbers) > _MOST_LISTED else ""
    return DegenerateDataWarning(
        f"features without any value (number {listed}{more}) play no part: they got mean 0 and "
        "variance 1. Leave them out."
    )


def metric_of_known(
    metric: Callable[[Array], Array], known: NDArray[np.bool_]
) -> Callable[[Array], Array]:
    """`metric`, which is for all features, for the known ones."""

    def narrow(deviations: Array) -> Array:
        wide = np.zeros(len(known))
        wide[known] = deviations
        return metric(wide)[known]

    return narrow


def start_of_known(
    start: Mixture | ArrayLike | None, known: NDArray[np.bool_]
) -> Mixture | ArrayLike | None:
    """A start of EM without the other features; one of another shape stays as it is."""
    if isinstance(start, Mixture):
        return narrowed(start, known) if start.n_features == len(known) else start
    if start is None or np.ndim(start) != 2 or np.shape(start)[1] != len(known):
        return start
    return np.asarray(start)[:, known]


def narrowed(mixture: Mixture, kept: NDArray[np.bool_]) -> Mixture:
    """The mixture of some features only; `kept` is of shape (D,)."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    covariances = kind.features(mixture.covariances, np.flatnonzero(kept))
    return Mixture.trusted(
        mixture.weights, mixture.means[:, kept], covariances, mixture.covariance_type
    )


def widened(mixture: Mixture, kept: NDArray[np.bool_]) -> Mixture:
    """The mixture with features put between its own, of which nothing is known.

    `kept` (D,) tells its own. The others have mean 0, are independent of all, and of variance 1,
    or of the variance that all features share.
    """
    k, d = mixture.n_components, len(kept)
    means = np.zeros((k, d))
    means[:, kept] = mixture.means
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    covariances = mixture.covariances
    if kind.is_matrix:
        shape = kind.shape(k, d)
        covariances = np.broadcast_to(np.eye(d), shape).copy()
        covariances[..., np.outer(kept, kept)] = mixture.covariances.reshape(*shape[:-2], -1)
    elif not kind.is_isotropic:
        covariances = np.ones(kind.shape(k, d))
        covariances[..., kept] = mixture.covariances
    return Mixture.trusted(mixture.weights, means, covariances, mixture.covariance_type)
