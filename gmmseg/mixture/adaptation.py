"""EM of a mixture that stays near a reference: fixed parts, and means that may move so far.

The M-steps are those of the additive statistics with a conjugate prior (docs/math.md, "One model,
many images"); the loop is that of `loop`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg._check import check_real
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.covariance import squared_distances, whitening
from gmmseg.mixture.fitter import Fit, fit_of
from gmmseg.mixture.lazy import LazyRows
from gmmseg.mixture.loop import Callback, run_em
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.rows import Frame
from gmmseg.mixture.sampling import sampled_rows
from gmmseg.mixture.statistics import SMALLEST_VARIANCE, Statistics

__all__ = ["CommonShift", "DriftOptions", "FixedClasses", "OwnMoves", "adapt_rows"]

Array = NDArray[np.float64]

#: Of more rows EM begins where it ends for a sample: of 2 million rows the shares of 6 classes that
#: overlap were then at rest after 3 passes over all instead of 13, the means after 7 instead of 54.
_MANY, _SAMPLE = 1 << 18, 1 << 16


@dataclass(frozen=True, kw_only=True)
class DriftOptions:
    """How far the means of an image may be from those of a reference.

    Attributes
    ----------
    max_drift : float
        Most standard deviations (of the component, in the direction of the move) that a mean moves.
    stiffness : float
        How much a component is held where the common change of all components puts it: as if it had
        been seen there in so many rows, relative to the mean number of rows of a component. 0 =
        not at all.

    Examples
    --------
    >>> DriftOptions(max_drift=2).stiffness
    0.05
    """

    max_drift: float = 6.0
    stiffness: float = 0.05

    def __post_init__(self) -> None:
        for name in ("max_drift", "stiffness"):
            object.__setattr__(self, name, check_real(getattr(self, name), name, minimum=0.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class FixedClasses:
    """Means and covariances are those of the reference; weights are free.

    In the place of `Regularisation` in the loop. The statistics are those of any number of rows in
    the units of the reference, which can be those of the data: ``m_step`` is then all that somebody
    needs who adds statistics up elsewhere.

    Attributes
    ----------
    reference : Mixture
    """

    reference: Mixture

    @property
    def floor(self) -> float:
        """The least variance that leaps may give; `admitted` puts those of the reference back."""
        return SMALLEST_VARIANCE

    def m_step(self, statistics: Statistics, previous: Mixture) -> Mixture:
        """The mixture that maximises the expected log posterior."""
        return self._with(statistics.nk / statistics.nk.sum(), self._means(statistics, previous))

    def objective(self, statistics: Statistics, mixture: Mixture) -> float:
        """Mean log-likelihood, and the share of the prior on the means."""
        return statistics.mean_log_likelihood + self.log_prior(mixture)

    def admitted(self, mixture: Mixture) -> Mixture:
        """The mixture with what is fixed put back."""
        return self._with(mixture.weights, self._allowed(mixture.means))

    def in_frame(self, frame: Frame) -> FixedClasses:
        """The same rule in other units."""
        return replace(self, reference=self.reference.in_frame(frame))

    def _with(self, weights: Array, means: Array) -> Mixture:
        reference = self.reference
        return Mixture.trusted(weights, means, reference.covariances, reference.covariance_type)

    def _means(self, statistics: Statistics, previous: Mixture) -> Array:
        return self.reference.means

    def _allowed(self, means: Array) -> Array:
        return self.reference.means

    def log_prior(self, mixture: Mixture) -> float:
        """Of what is free, for each row."""
        return 0.0

    @cached_property
    def _factors(self) -> Array:
        """Whitening factors of the covariances, (K, D, D)."""
        return whitening(np.ascontiguousarray(self.reference.full_covariances))[0]

    def distances(self, means: Array, others: Array) -> Array:
        """Distances of means in standard deviations of their components, (K,)."""
        moves = zip(means - others, self._factors, strict=True)
        return np.sqrt([squared_distances(move[None], factor)[0] for move, factor in moves])


@dataclass(frozen=True, kw_only=True, eq=False)
class CommonShift(FixedClasses):
    """The means of all components change together: each feature by a gain and an offset.

    That is what another exposure, another scanner or another sun does. Without a prior, the classes
    that an image lacks would be drawn to the pixels of those that it has.

    Attributes
    ----------
    offset_rows : float
        Share of the rows that the prior counts for in offsets, measured in standard deviations of
        the components: 0.002 gives up 0.1 nats a row for 10 of them.
    gain_rows : float
        The same for gains, measured from 1: 2 gives up 0.1 nats for a gain of 0.7.
    """

    offset_rows: float = 0.002
    gain_rows: float = 2.0

    def _means(self, statistics: Statistics, previous: Mixture) -> Array:
        """Weighted least squares over the components (docs/math.md, eq. 82)."""
        nk = np.maximum(statistics.nk, 0.0)
        found = statistics.about + statistics.first / np.where(nk > 0, nk, 1.0)[:, None]
        scaled = np.sqrt(nk)[:, None, None] * self._factors
        rows = (scaled @ self._design).reshape(-1, len(self._stiffness))
        goal = (scaled @ (found - self.reference.means)[:, :, None]).ravel()
        left = rows.T @ rows + np.diag(statistics.weight * self._stiffness)
        return self.reference.means + self._design @ np.linalg.solve(left, rows.T @ goal)

    @cached_property
    def _design(self) -> Array:
        """From offsets and gains of the features to moves of the means, (K, D, 2 D)."""
        centred = self.reference.means - self.reference.weights @ self.reference.means
        k, d = centred.shape
        return np.concatenate(
            [np.broadcast_to(np.eye(d), (k, d, d)), centred[:, :, None] * np.eye(d)], axis=2
        )

    @cached_property
    def _stiffness(self) -> Array:
        """Precision of the prior of offsets and gains, relative to the number of rows, (2 D,)."""
        deviations = self.reference.weights @ self.reference.standard_deviations
        gains = np.full(len(deviations), self.gain_rows)
        return np.concatenate([self.offset_rows / deviations**2, gains])

    def _allowed(self, means: Array) -> Array:
        return means

    def log_prior(self, mixture: Mixture) -> float:
        change = self._change(mixture.means)
        return -0.5 * float(self._stiffness @ change**2)

    def exposure(self, means: Array) -> tuple[Array, Array]:
        """Gain and offset of each feature, (D,) and (D,), that bring the reference to `means`.

        Values `x` of the reference are then `gain * x + offset` (docs/math.md, eq. 98).
        """
        offset, gain = self._change(means).reshape(2, -1)
        middle: Array = self.reference.weights @ self.reference.means
        return 1 + gain, offset - gain * middle

    def _change(self, means: Array) -> Array:
        """Offsets, and gains less 1, of means that have changed together, (2 D,)."""
        k, d, p = self._design.shape
        moves = (means - self.reference.means).ravel()
        found = np.linalg.lstsq(self._design.reshape(k * d, p), moves, rcond=None)[0]
        return np.asarray(found, np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnMoves(FixedClasses):
    """Each mean moves by itself, held by a prior, and so far as it may.

    Attributes
    ----------
    centre : ndarray of shape (K, D)
        Where the prior expects the means.
    options : DriftOptions
    rows : float
        Weight of all rows; the prior counts for a share of them.
    """

    centre: Array
    options: DriftOptions
    rows: float

    @property
    def _prior_rows(self) -> float:
        return self.options.stiffness * self.rows / self.reference.n_components

    def in_frame(self, frame: Frame) -> OwnMoves:
        """The same rule in other units."""
        reference = self.reference.in_frame(frame)
        centre = (self.centre - frame.origin) * frame.scale
        return replace(self, reference=reference, centre=centre)

    def _means(self, statistics: Statistics, previous: Mixture) -> Array:
        """The posterior mode of each mean, brought within the bound (eq. 83, 84)."""
        weight = statistics.nk + self._prior_rows
        seen = statistics.nk[:, None] * statistics.about + statistics.first
        pulled = seen + self._prior_rows * self.centre
        nothing = weight <= 0
        means = pulled / np.where(nothing, 1.0, weight)[:, None]
        return self._allowed(np.where(nothing[:, None], self.centre, means))

    def _allowed(self, means: Array) -> Array:
        moves = means - self.reference.means
        distance = self.distances(means, self.reference.means)
        limit = self.options.max_drift
        shorter = np.where(distance > limit, limit / np.where(distance > 0, distance, 1.0), 1.0)
        return self.reference.means + moves * shorter[:, None]

    def log_prior(self, mixture: Mixture) -> float:
        squared = self.distances(mixture.means, self.centre) ** 2
        return -0.5 * self._prior_rows * float(squared.sum()) / self.rows


def adapt_rows(
    X: ArrayLike | LazyRows,
    rule: FixedClasses,
    *,
    sample_weight: ArrayLike | None = None,
    start: Mixture | None = None,
    options: EMOptions | None = None,
    threads: int | None = None,
    callback: Callback | None = None,
) -> Fit:
    """Fit to rows what of a reference is free.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_features)
        NaN = not observed.
    rule : FixedClasses, CommonShift or OwnMoves
        With the reference in the units of the data.
    sample_weight : array_like of shape (n_samples,), optional
    start : Mixture, optional
        Where EM begins; by default the reference.
    options : EMOptions, optional
        When it ends, and whether it leaps.

    Returns
    -------
    Fit
        Its number of iterations is that over all rows; of many rows EM begins where it ends for
        some of them.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(0, 1, (300, 1)), rng.normal(8, 1, (900, 1))])
    >>> reference = Mixture(weights=[0.5, 0.5], means=[[0.0], [8.0]], covariances=[1.0, 1.0],
    ...                     covariance_type="spherical")
    >>> adapt_rows(X, FixedClasses(reference=reference)).mixture.weights.round(2).tolist()
    [0.25, 0.75]
    """
    options = EMOptions() if options is None else options
    known = X if isinstance(X, LazyRows) else np.asarray(X)
    if len(known) > _MANY:
        some, weights = sampled_rows(known, sample_weight, _SAMPLE)
        start = adapt_rows(
            some, rule, sample_weight=weights, start=start, options=options, threads=threads
        ).mixture
    rows, _ = rule.reference._rows(known, sample_weight)
    own = rule.in_frame(rows.frame)
    begin = own.admitted((start or rule.reference).in_frame(rows.frame))
    with Workers(threads) as workers:
        rows.preload(workers)  # many passes follow
        run = run_em(rows, begin, own, options, workers, callback, at_rest=options.at_rest)
    return fit_of(run, rows, options)
