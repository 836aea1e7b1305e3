"""Hidden Markov random fields of images: the posterior of pixels that look at their neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.cascade import Evidence, SmoothedVolume, smooth_volume
from gmmseg.errors import InvalidDataError
from gmmseg.features import start_scale
from gmmseg.image import Image
from gmmseg.lattice import Lattice, Prior
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.lazy import LazyRows, parts_of
from gmmseg.mixture.loop import Callback, largest_change
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.passes import odds_rows, statistics_with_shares
from gmmseg.mixture.regularisation import Regularisation
from gmmseg.mixture.rows import Frame, Rows
from gmmseg.mixture.statistics import Statistics
from gmmseg.pixels import PixelRows
from gmmseg.priors import PriorMaps
from gmmseg.smoothing import Smoothed, first_prior, learnt_prior, pin, relax
from gmmseg.used_pixels import box_around

if TYPE_CHECKING:
    from gmmseg.model import Model

__all__ = [
    "FieldFit",
    "fit_field",
    "have_gaps",
    "smooth_image",
    "smoothed_posterior",
    "within_classes",
]

#: EM has come to rest when no weight, mean or deviation changes by more, in deviations.
_AT_REST = 2e-3


#: Probabilities of a volume that take more bytes are computed where they are asked for.
_HELD = 1 << 28

_LEAST = 1e-300


def smooth_image(
    image: Image,
    rows: PixelRows,
    model: Model,
    *,
    hints: NDArray[Any] | None = None,
    priors: PriorMaps | None = None,
    counted: slice | None = None,
    threads: int | None = None,
) -> Smoothed:
    """The posterior of the classes under `model`, smoothed as the model says.

    `hints` are the classes of some pixels (0 = not known), of the image's shape: those are
    certain. `priors` are what the classes are worth in each pixel beside their weights. `counted`
    are the rows of a flat image whose moves are told.

    Returns
    -------
    Smoothed
        Its probabilities are (k, planes, rows, cols).
    """
    odds = class_odds(model, rows.features, threads=threads)
    weights = class_weights(model.labels, model.mixture.weights)
    options = model.smoothing
    with Workers(threads) as workers:
        lattice = Lattice(
            image.shape,
            workers,
            neighbours=options.neighbours,
            mask=rows.valid,
            spacing=image.spacing,
        )
        if options.contrast:
            lattice.weaken(rows.planes(_guide(rows, model, image.ndim)), options.contrast)
        unary = rows.planes(odds)
        if priors is not None:
            logs = priors.logs(rows)
            lattice.know(logs)
            unary += logs
        pin(unary, hints)
        return relax(lattice, unary, options, weights, rows=counted)


def smoothed_posterior(
    image: Image,
    rows: PixelRows,
    model: Model,
    *,
    hints: NDArray[Any] | None = None,
    priors: PriorMaps | None = None,
    threads: int | None = None,
) -> Smoothed | SmoothedVolume:
    """`smooth_image`; of a large volume without holding the probabilities, if that can be.

    Edges and an unknown `beta` are matters of the whole volume, and prior maps are as large as the
    probabilities: with those it is held.
    """
    options = model.smoothing
    large = image.ndim == 3 and 4 * model.k * image.n_pixels > _HELD
    if not large or options.contrast or options.beta == "auto" or priors is not None:
        return smooth_image(image, rows, model, hints=hints, priors=priors, threads=threads)
    evidence = Evidence(
        shape=image.shape,
        n_classes=model.k,
        unary=lambda parts: _unary(rows, model, parts, hints, threads),
        mask=rows.valid,
        neighbours=options.neighbours,
        spacing=image.spacing,
        threads=threads,
    )
    return smooth_volume(evidence, options, class_weights(model.labels, model.mixture.weights))


def _unary(
    rows: PixelRows,
    model: Model,
    parts: Sequence[slice],
    hints: NDArray[Any] | None,
    threads: int | None,
) -> Iterator[NDArray[np.float32]]:
    """What the voxels of parts of a volume say of the classes."""

    def odds(features: Any) -> NDArray[Any]:
        return class_odds(model, features, threads=threads).T

    for part, unary in zip(parts, rows.planes_of(odds, parts, n_values=model.k), strict=True):
        pin(unary, None if hints is None else hints[part])
        yield unary


def class_odds(
    model: Model, features: NDArray[Any] | LazyRows, *, threads: int | None
) -> NDArray[Any]:
    """log2 of every class's posterior over that of the most probable component, (k, M)."""
    odds = model.mixture.log2_odds(features, threads=threads).T
    return odds if model.in_order else _of_classes(odds, model.labels)


def _of_classes(odds: NDArray[Any], labels: Sequence[int]) -> NDArray[Any]:
    """log2 of the sums over the components (K, ...) of every class."""
    classes = np.full((max(labels), *odds.shape[1:]), -np.inf, odds.dtype)
    for label, component in zip(labels, odds, strict=True):
        np.logaddexp2(classes[label - 1], component, out=classes[label - 1])
    return classes


def _guide(rows: PixelRows, model: Model, n_axes: int) -> NDArray[Any]:
    """The features whose edges count (F, M), in the scale of the start: all but the place."""
    mixture = model.mixture
    scale = start_scale(np.sqrt(_variances(mixture)), model.features, n_axes)
    n = mixture.n_features - (n_axes if model.features.position else 0)
    centred = np.asarray(rows.features)[:, :n] - (mixture.weights @ mixture.means)[:n]
    return (centred * scale[:n]).T


def within_classes(rows: PixelRows, model: Model, n_axes: int) -> NDArray[Any]:
    """The features but for the place (F, M), so that the Gaussians' mean covariance is unity."""
    mixture = model.mixture
    n = mixture.n_features - (n_axes if model.features.position else 0)
    within = np.einsum("k,kij->ij", mixture.weights, mixture.full_covariances[:, :n, :n])
    size = np.sqrt(np.diagonal(within))
    factor = np.linalg.inv(np.linalg.cholesky(within / np.outer(size, size))) / size
    centred = rows.features[:, :n] - (mixture.weights @ mixture.means)[:n]
    return factor @ centred.T


def _variances(mixture: Mixture) -> NDArray[np.float64]:
    """Variance of every feature under the mixture, (D,)."""
    mean = mixture.weights @ mixture.means
    variances: NDArray[np.float64] = mixture.weights @ (
        mixture.standard_deviations**2 + (mixture.means - mean) ** 2
    )
    return variances


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldFit:
    """What EM with a hidden Markov random field found.

    Attributes
    ----------
    mixture : Mixture
        Its weights are what a class is worth where the neighbours do not tell.
    beta : float
    n_iter : int
    converged : bool
    """

    mixture: Mixture
    beta: float
    n_iter: int
    converged: bool


def have_gaps(rows: Iterable[PixelRows]) -> bool:
    """Whether a pixel lacks some of its features."""
    return any(np.isnan(part.min()) for r in rows for _, part in parts_of(r.features))


def fit_field(
    images: Sequence[Image],
    rows: Sequence[PixelRows],
    model: Model,
    em: EMOptions,
    *,
    hints: NDArray[Any] | None = None,
    priors: PriorMaps | None = None,
    learn_weights: bool = True,
    threads: int | None = None,
    callback: Callback | None = None,
) -> FieldFit:
    """EM with a hidden Markov random field, from `model` (equation 43 of docs/math.md).

    Zhang, Brady and Smith (IEEE Trans. Med. Imaging 20 (2001) 45-57), with mean fields in the
    place of ICM (Celeux, Forbes and Peyrard, Pattern Recognition 36 (2003) 131-144). Every
    iteration is one sweep and an M-step with the probabilities that it leaves; the statistics of
    the images add up.

    The shares of the classes are no weights of this model: taken as such they count once more
    what the neighbours say, and classes die out. The weights are learnt with beta. Among the
    components of one class the shares of its pixels are weights (equation 63).

    `hints` and `priors` are of a single image, as in `smooth_image`. Without
    `learn_weights` the classes keep the weights that they have.
    """
    if have_gaps(rows):
        raise InvalidDataError(
            "smoothing inside EM needs pixels that have all their bands. Leave out those with "
            "gaps: FeatureSpec(gaps='drop') (--gaps drop), or smooth after EM."
        )
    options = model.smoothing
    frame = model.mixture._frame
    mixture = model.mixture.in_frame(frame)
    rules = Regularisation.of_mixture(em, mixture)
    n_iter, converged = 0, False
    with Workers(threads) as workers:
        hidden = [
            _HiddenField(*pair, model, frame, workers, hints, priors)
            for pair in zip(images, rows, strict=True)
        ]
        prior = first_prior(options, model.k)
        weights = class_weights(model.labels, mixture.weights)
        while n_iter < em.max_iter and not converged:
            unsettled = [field.under(mixture) for field in hidden]
            prior = learnt_prior(
                unsettled, weights, prior, beta=options.beta == "auto", field=learn_weights
            )
            statistics = reduce(add, [field.statistics(mixture, prior) for field in hidden])
            weights = _corrected(weights, prior)
            following = _weighted(rules.m_step(statistics, mixture), weights, model.labels)
            prior = replace(prior, field=np.zeros_like(prior.field))  # it is in the weights now
            change = largest_change(mixture, following)
            mixture, n_iter, converged = following, n_iter + 1, change < _AT_REST
            if callback is not None:
                callback(n_iter, change)
    return FieldFit(
        mixture=mixture.out_of_frame(frame),
        beta=prior.beta,
        n_iter=n_iter,
        converged=converged,
    )


def class_weights(labels: Sequence[int], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums of the weights of the components of every class."""
    return np.bincount(labels, weights=weights)[1:].astype(np.float64)


def _corrected(weights: NDArray[np.float64], prior: Prior) -> NDArray[np.float64]:
    """The weights of the classes as `prior` has corrected them."""
    worth = weights * np.exp2(prior.field.astype(np.float64))
    return worth / worth.sum()


def _weighted(mixture: Mixture, weights: NDArray[np.float64], labels: Sequence[int]) -> Mixture:
    """The mixture with other weights of the classes; within a class the shares stay."""
    of_component = np.array(labels) - 1
    shares = np.maximum(class_weights(labels, mixture.weights), _LEAST)
    within = mixture.weights / shares[of_component]
    return Mixture.trusted(
        weights[of_component] * within, mixture.means, mixture.covariances, mixture.covariance_type
    )


class _HiddenField:
    """The classes of one image's pixels while a mixture is fitted.

    Pixels are rows in the order of the smallest box around the used ones: the rows' posterior is
    the lattice's, without a copy. Pixels that are not used have no probability, so no weight.
    """

    def __init__(
        self,
        image: Image,
        rows: PixelRows,
        model: Model,
        frame: Frame,
        workers: Workers,
        hints: NDArray[Any] | None,
        priors: PriorMaps | None,
    ) -> None:
        options = model.smoothing
        box = (slice(None),) * image.ndim if rows.valid is None else box_around(rows.valid)
        here: Any = (Ellipsis, *box)
        mask = None if rows.valid is None else rows.valid[box]
        planes = rows.planes(((np.asarray(rows.features) - frame.origin) * frame.scale).T)[here]
        flat = np.ascontiguousarray(planes).reshape(len(planes), -1)
        self._rows = Rows(flat.T, None, Frame.identity(len(planes)))
        self._rows.preload(workers)
        self._workers = workers
        self._lattice = Lattice(
            planes.shape[1 + 3 - image.ndim :],
            workers,
            neighbours=options.neighbours,
            mask=mask,
            spacing=image.spacing,
        )
        if options.contrast:
            guide = rows.planes(_guide(rows, model, image.ndim))[here]
            self._lattice.weaken(np.ascontiguousarray(guide), options.contrast)
        self._labels = None if model.in_order else model.labels
        self._hints = None if hints is None else hints[box]
        self._known: NDArray[np.float32] | None = None
        if priors is not None:
            self._known = np.ascontiguousarray(priors.logs(rows)[here])
            self._lattice.know(self._known)
        self._odds = np.empty((model.mixture.n_components, *self._lattice.shape), np.float32)
        self._unary = self._odds
        self._hard = options.method == "icm"
        self._look(model.mixture.in_frame(frame))
        self._q = self._lattice.start(self._unary)

    def _look(self, mixture: Mixture) -> None:
        """What the pixels say of components and classes, whatever their neighbours are."""
        odds_rows(self._rows, mixture, self._workers, self._odds.reshape(len(self._odds), -1))
        if self._labels is not None:
            self._unary = _of_classes(self._odds, self._labels)
            for label, odds in zip(self._labels, self._odds, strict=True):
                odds -= self._unary[label - 1]
        if self._known is not None:
            self._unary += self._known
        pin(self._unary, self._hints)

    def under(self, mixture: Mixture) -> tuple[Lattice, NDArray[np.float32]]:
        """The lattice and the probabilities so far; what the pixels say is now by `mixture`."""
        self._look(mixture)
        return self._lattice, self._q

    def statistics(self, mixture: Mixture, prior: Prior) -> Statistics:
        """One sweep, and the sums that the M-step needs."""
        lattice, q = self._lattice, self._q
        lattice.sweep(self._unary, q, prior, hard=self._hard)
        shares = q
        if self._labels is not None:
            shares = np.exp2(self._odds)
            for label, share in zip(self._labels, shares, strict=True):
                share *= q[label - 1]
        flat = shares.reshape(mixture.n_components, -1)
        found = statistics_with_shares(self._rows, mixture, self._workers, flat)
        return replace(found, weight=float(lattice.n_used))
