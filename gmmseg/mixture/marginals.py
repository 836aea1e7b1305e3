"""Mixtures over some of the features: marginals, and conditionals given the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_integer, check_real
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.mixture.covariance import COVARIANCE_TYPES, squared_distances, whitening

if TYPE_CHECKING:
    from gmmseg.mixture.mixture import Mixture

__all__ = ["condition", "marginal"]

Array = NDArray[np.float64]
Index = NDArray[np.intp]


def marginal(mixture: Mixture, features: Sequence[int]) -> Mixture:
    """The mixture of some of the features, whatever the others are.

    Parameters
    ----------
    mixture : Mixture
    features : sequence of int
        Which features, from 0, in the order that the result has.

    Returns
    -------
    Mixture
        Of the same covariance type and with the same weights.

    Raises
    ------
    InvalidParameterError
        When a feature is not there, is named twice, or none is named.

    Examples
    --------
    >>> from gmmseg.mixture import Mixture
    >>> mixture = Mixture(weights=[1.0], means=[[1.0, 2.0, 3.0]], covariances=[[4.0, 5.0, 6.0]],
    ...                   covariance_type="diag")
    >>> mixture.marginal([2, 0]).means
    array([[3., 1.]])
    """
    chosen = _checked(features, mixture.n_features)
    if not len(chosen):
        raise InvalidParameterError("features must name at least one feature.")
    return _part(mixture, chosen)


def condition(mixture: Mixture, given: Mapping[int, float]) -> Mixture:
    """The mixture of the other features, once some are known (docs/math.md, "Conditionals").

    Parameters
    ----------
    mixture : Mixture
    given : mapping of int to float
        The known features, from 0, with their values.

    Returns
    -------
    Mixture
        Over the features that are not given, in their order, of the same covariance type: the
        covariances of one component do not depend on the values, so that "tied" stays tied, and
        "diag" and "spherical" ones keep the variances they have. The weights are the
        probabilities of the components given the values, computed from logarithms: right however
        far the values are from all means.

    Raises
    ------
    InvalidParameterError
        When a feature is not there, a value is not finite, or no feature is left.
    InvalidDataError
        When the values are so far out (1e150 standard deviations) that they tell nothing.

    Examples
    --------
    >>> from gmmseg.mixture import Mixture
    >>> mixture = Mixture(weights=[1.0], means=[[0.0, 0.0]], covariances=[[[1.0, 0.8], [0.8, 1.0]]])
    >>> known = mixture.condition({0: 2.0})
    >>> known.means.round(6), known.covariances.round(6)
    (array([[1.6]]), array([[[0.36]]]))
    """
    if not isinstance(given, Mapping):
        raise InvalidParameterError(
            f"given must be a mapping of features to values such as {{0: 3.1}}, got {given!r}."
        )
    known = _checked(list(given), mixture.n_features)
    values = np.array([check_real(value, f"given[{key}]") for key, value in given.items()])
    rest = np.setdiff1d(np.arange(mixture.n_features), known)
    if not len(rest):
        raise InvalidParameterError(
            f"given must leave a feature open, got all {mixture.n_features} of them."
        )
    if not len(known):
        return mixture
    gains, covariances = COVARIANCE_TYPES[mixture.covariance_type].conditional(
        mixture.covariances, known, rest
    )
    shifts = np.einsum("krg,kg->kr", *_same_length(gains, values - mixture.means[:, known]))
    return mixture.trusted(
        _weights_given(_part(mixture, known), values),
        mixture.means[:, rest] + shifts,
        covariances,
        mixture.covariance_type,
    )


def _same_length(gains: Array, differences: Array) -> tuple[Array, Array]:
    """One gain for each component, also where all share one."""
    return np.broadcast_to(gains, (len(differences), *gains.shape[1:])), differences


def _part(mixture: Mixture, chosen: Index) -> Mixture:
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    return mixture.trusted(
        mixture.weights,
        mixture.means[:, chosen],
        kind.features(mixture.covariances, chosen),
        mixture.covariance_type,
    )


def _weights_given(mixture: Mixture, x: Array) -> Array:
    """Probabilities of the components of one row, (K,), float64."""
    kind = COVARIANCE_TYPES[mixture.covariance_type]
    factors, log_dets = whitening(
        np.ascontiguousarray(kind.expand(mixture.covariances, *mixture.means.shape))
    )
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        squared = np.array(
            [
                squared_distances((x - mean)[None], factor)[0]
                for mean, factor in zip(mixture.means, factors, strict=True)
            ]
        )
        logs = np.log(mixture.weights) + log_dets - 0.5 * squared
    top = logs.max()
    if not np.isfinite(top):
        raise InvalidDataError(
            "the given values are too far from every component to tell them apart."
        )
    relative = np.exp(logs - top)
    return relative / relative.sum()


def _checked(features: Any, n_features: int) -> Index:
    if isinstance(features, str) or not isinstance(features, Sequence | np.ndarray):
        raise InvalidParameterError(
            f"features must be a sequence of whole numbers, got {features!r}."
        )
    index = [check_integer(feature, "each feature", minimum=0) for feature in features]
    if len(set(index)) != len(index):
        raise InvalidParameterError(f"features must be different, got {index}.")
    if index and max(index) >= n_features:
        raise InvalidParameterError(
            f"features must be within 0..{n_features - 1}, got {max(index)}."
        )
    return np.array(index, dtype=np.intp)
