"""What does not fit: how far rows are from a background mixture, and which are too far.

The background is a mixture without the components that hold few rows: those may well *be* the
anomalies. Rows are scored by the background's density, so that a row between two components
counts as near as it is to both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg._check import check_integer, check_real
from gmmseg.errors import InvalidParameterError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.mixture.em import Callback, Fit, fit_rows
from gmmseg.mixture.fitter import Metric
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.subspace import m_step_of_all, principal_axes
from gmmseg.uncertainty import nearest_distance

__all__ = [
    "AnomalyOptions",
    "RowScores",
    "background_of",
    "benjamini_hochberg",
    "fit_background",
    "score_rows",
]

Array = NDArray[np.float64]

#: From so many features on, EM runs on principal components and covariances are shrunk.
MANY_FEATURES = 32


@dataclass(frozen=True, kw_only=True)
class AnomalyOptions:
    """How anomalies are found.

    Attributes
    ----------
    k : int
        Number of components of the background; 1 is the global RX detector of Reed and Yu (1990).
    quantile : float
        Rows are anomalies when no more than this share of all rows has a score as high.
    fdr : float, optional
        Instead of `quantile`: the expected share of false alarms among the anomalies, by
        Benjamini and Hochberg (1995) on the chi-square p-values. It takes the background for
        truly Gaussian; real images have longer tails and give more false alarms.
    min_share : float, optional
        Components of less than this share of the rows (and less than half of an equal share,
        0.5 / k) are no background: anomalies that lie together cannot own one. None = 0.05 when
        a mixture is fitted, 0 for a saved model, all of whose classes are meant.
    principal_share : float
        Share of the variance that the principal components keep in which EM runs; for more than
        32 features only.
    shrink : bool, optional
        Shrink covariance matrices as Ledoit and Wolf (2004) do. None = for more than 32 features.
    features : FeatureSpec
        What pixels are told apart by. As bands have their scatter in common, "raw" and "auto"
        suit most scenes.
    em : EMOptions
        How the mixture is fitted. One covariance for all components (tied) by default: with
        covariances of their own, a few odd rows get a wide component to which all is near.
    """

    k: int = 10
    quantile: float = 0.001
    fdr: float | None = None
    min_share: float | None = None
    principal_share: float = 0.999
    shrink: bool | None = None
    features: FeatureSpec = FeatureSpec()
    em: EMOptions = EMOptions(covariance_type="tied")

    def __post_init__(self) -> None:
        check_integer(self.k, "k", minimum=1)
        _check_share(self.quantile, "quantile")
        _check_share(self.principal_share, "principal_share", with_one=True)
        if self.fdr is not None:
            _check_share(self.fdr, "fdr")
        if self.min_share is not None and check_real(self.min_share, "min_share", minimum=0) >= 1:
            raise InvalidParameterError(f"min_share must be less than 1, got {self.min_share}.")
        if not (self.shrink is None or isinstance(self.shrink, bool)):
            raise InvalidParameterError(f"shrink must be True, False or None, got {self.shrink!r}.")


def _check_share(value: Any, name: str, *, with_one: bool = False) -> None:
    number = check_real(value, name, minimum=0, exclusive=True)
    if number > 1 or (number == 1 and not with_one):
        rule = "at most 1" if with_one else "less than 1"
        raise InvalidParameterError(f"{name} must be {rule}, got {value!r}.")


_SHARE_WHEN_FITTED = 0.05


def fit_background(
    X: NDArray[Any],
    options: AnomalyOptions,
    *,
    sample_weight: NDArray[Any] | None = None,
    metric: Metric | None = None,
    threads: int | None = None,
    callback: Callback | None = None,
) -> tuple[Mixture, Fit]:
    """The background mixture of rows, anomalies among them.

    Parameters
    ----------
    X : ndarray of shape (N, D)
    options : AnomalyOptions
    sample_weight : ndarray of shape (N,), optional
    metric, threads, callback
        As in `gmmseg.mixture.em.fit_rows`.

    Returns
    -------
    Mixture
        The background, over all features.
    Fit
        What EM found: with many features, in principal components.
    """
    many = X.shape[1] > MANY_FEATURES
    rows = X
    if many:
        rows = principal_axes(X, sample_weight, options.principal_share).project(X)
        metric = None
    fit = fit_rows(
        rows,
        options.k,
        options.em,
        sample_weight=sample_weight,
        metric=metric,
        threads=threads,
        callback=callback,
    )
    share = _SHARE_WHEN_FITTED if options.min_share is None else options.min_share
    chosen = _background_components(fit.mixture, share)
    shrink = many if options.shrink is None else options.shrink
    if not (many or shrink):
        return background_of(fit.mixture, share), fit
    background = m_step_of_all(
        X,
        sample_weight,
        fit.mixture.posterior(rows, threads=threads)[:, chosen],
        options.em.covariance_type,
        reg_covar=options.em.reg_covar,
        shrink=shrink,
    )
    return background, fit


def background_of(mixture: Mixture, min_share: float) -> Mixture:
    """The mixture of the components that are not too small, their weights summing to 1.

    Parameters
    ----------
    mixture : Mixture
    min_share : float
        As in `AnomalyOptions`. The largest component always stays.
    """
    chosen = _background_components(mixture, min_share)
    if len(chosen) == mixture.n_components:
        return mixture
    part = mixture.reordered(chosen)
    return Mixture.trusted(
        part.weights / part.weights.sum(), part.means, part.covariances, part.covariance_type
    )


def _background_components(mixture: Mixture, min_share: float) -> NDArray[np.intp]:
    least = min(min_share, 0.5 / mixture.n_components)
    large = (mixture.weights >= least) & (mixture.weights > 0)
    large[np.argmax(mixture.weights)] = True
    return np.flatnonzero(large)


@dataclass(frozen=True, eq=False)
class RowScores:
    """How well every row fits the background, (N,) each.

    Attributes
    ----------
    score : ndarray, float64
        ``-2 log (p(x) / p_peak)``, not negative; the squared Mahalanobis distance when there is
        one component (equation 17).
    log_density : ndarray, float64
        ``log p(x)`` of the background, in nats.
    mahalanobis : ndarray, float64
        Distance to the nearest component, the one of the smallest distance.
    p_value : ndarray, float64
        Chance that a row of that Gaussian is so far from its mean (equation 18).
    p_empirical : ndarray, float64
        Share of all rows whose score is as high or higher (equation 19).
    """

    score: Array
    log_density: Array
    mahalanobis: Array
    p_value: Array
    p_empirical: Array

    def anomalous(
        self, options: AnomalyOptions, weights: NDArray[Any] | None = None
    ) -> NDArray[np.bool_]:
        """Which rows are anomalies, (N,): by `quantile` of the score, or by `fdr`."""
        if options.fdr is not None:
            return benjamini_hochberg(self.p_value, options.fdr, weights)
        return self.p_empirical <= options.quantile


def score_rows(
    mixture: Mixture,
    X: ArrayLike,
    sample_weight: NDArray[Any] | None = None,
    *,
    threads: int | None = None,
) -> RowScores:
    """Score rows by a background mixture.

    Parameters
    ----------
    mixture : Mixture
    X : array_like of shape (N, D)
    sample_weight : ndarray of shape (N,), optional
        How many pixels each row stands for.

    Examples
    --------
    >>> one = Mixture(weights=[1.0], means=[[0.0, 0.0]], covariances=[np.eye(2)])
    >>> scores = score_rows(one, [[0.0, 1.0], [3.0, 4.0]])
    >>> scores.score.round(6).tolist(), scores.p_empirical.tolist()
    ([1.0, 25.0], [1.0, 0.5])
    """
    rows = np.asarray(X)
    log_density = mixture.log_density(rows, threads=threads).astype(np.float64)
    distance = nearest_distance(mixture, rows)
    log_peak, degrees = _peaks(mixture, rows)
    score = np.maximum(2.0 * (log_peak - log_density), 0.0)
    return RowScores(
        score=score,
        log_density=log_density,
        mahalanobis=distance,
        p_value=chi_square_tail(distance**2, degrees),
        p_empirical=upper_rank(score, sample_weight),
    )


def _peaks(mixture: Mixture, rows: NDArray[Any]) -> tuple[Array, NDArray[np.intp]]:
    """Of every row: log of what no density exceeds, and the number of observed features.

    A row with gaps is one of the marginal distribution of what was observed.
    """
    gaps = np.isnan(rows) if rows.dtype.kind == "f" else np.zeros((1, 1), bool)
    if not gaps.any():
        everything = np.ones(mixture.n_features, bool)
        return np.array([_log_peak(mixture, everything)]), np.array([mixture.n_features])
    patterns, of_row = np.unique(~gaps, axis=0, return_inverse=True)
    peaks = np.array([_log_peak(mixture, observed) for observed in patterns])
    return peaks[of_row.ravel()], patterns.sum(axis=1)[of_row.ravel()]


def _log_peak(mixture: Mixture, observed: NDArray[np.bool_]) -> float:
    """Logarithm of ``sum_k pi_k N(mu_k; mu_k, Sigma_k)`` over the observed features."""
    used = mixture.weights > 0
    covariances = mixture.full_covariances[used][:, observed][:, :, observed]
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    unit = np.sqrt(variances[:, :, np.newaxis] * variances[:, np.newaxis, :])
    log_det = np.linalg.slogdet(covariances / unit)[1] + np.log(variances).sum(axis=1)
    terms = np.log(mixture.weights[used]) - 0.5 * log_det
    largest = terms.max()
    log_sum = largest + np.log(np.exp(terms - largest).sum())
    return float(log_sum - 0.5 * np.count_nonzero(observed) * np.log(2 * np.pi))


def chi_square_tail(squared: Array, degrees: NDArray[np.intp]) -> Array:
    """P(chi2 > squared), accurate down to the smallest float: no ``1 - ...`` in it."""
    from scipy.special import gammaincc  # 0.1 s of import time, seldom needed

    tail: Array = gammaincc(np.maximum(degrees, 1) / 2, squared / 2)
    return tail


def upper_rank(score: Array, weights: NDArray[Any] | None = None) -> Array:
    """Share of the total weight at rows whose score is as high or higher; NaN stays NaN."""
    known = np.isfinite(score) | (score == np.inf)
    values, inverse = np.unique(score[known], return_inverse=True)
    mass = np.bincount(
        inverse, None if weights is None else weights[known], minlength=len(values)
    ).astype(np.float64)
    above = np.cumsum(mass[::-1])[::-1]
    rank = np.full(len(score), np.nan)
    if len(values):
        rank[known] = (above / above[0])[inverse]
    return rank


def benjamini_hochberg(
    p: ArrayLike, rate: float, weights: NDArray[Any] | None = None
) -> NDArray[np.bool_]:
    """Which p-values are discoveries at a false-discovery rate, (N,).

    Benjamini and Hochberg, J. R. Statist. Soc. B 57 (1995) 289-300: all up to the largest p that is
    at most `rate` times the share of rows with a p-value as small (equation 20). The expected
    share of false ones among them is at most `rate`, for p-values that are independent or
    positively dependent (Benjamini and Yekutieli, Ann. Statist. 29 (2001) 1165-1188).

    Parameters
    ----------
    p : array_like of shape (N,)
        NaN counts for nothing.
    rate : float
    weights : ndarray of shape (N,), optional
        A row of weight 3 counts as three rows.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.02, 0.03, 0.5], 0.05).tolist()
    [True, True, True, False]
    """
    values = np.asarray(p, dtype=np.float64)
    share = upper_rank(-values, weights)
    found = values[values <= rate * share]
    return values <= found.max(initial=-1.0)
