"""One meaning for many images: what of a reference model is free in each of them.

Models and rows in, models out: nothing here knows of files, so rows may come from anywhere.

- *reference*: the classes are those of the reference, their shares are the image's (`reweighted`).
- *drift*: the means may move, too, so far and no farther (`drifted`).
- *independent*: the image has a model of its own, whose classes get the labels of those of the
  reference that they are nearest to (`matched`).
- *pooled* is *reference* with a model of all images (`pooling`).

Equations 80 to 85 of docs/math.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import InvalidDataError
from gmmseg.many_images import fit_facts
from gmmseg.mixture.adaptation import (
    CommonShift,
    DriftOptions,
    FixedClasses,
    OwnMoves,
    adapt_rows,
)
from gmmseg.mixture.covariance import squared_distances, whitening
from gmmseg.mixture.em import Fit, accumulate
from gmmseg.mixture.lazy import LazyRows
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.overlap import bhattacharyya_between
from gmmseg.mixture.sampling import sampled_rows
from gmmseg.model import Model
from gmmseg.uncertainty import novelty

__all__ = [
    "Comparison",
    "DriftOptions",
    "class_mixture",
    "compared",
    "drifted",
    "exposure",
    "matched",
    "reweighted",
]

Array = NDArray[np.float64]
Rows = NDArray[Any] | LazyRows

#: Where EM over the common change begins; offsets are parts of `DriftOptions.max_drift`.
_GAINS = (0.7, 1.0, 1.4)
_OFFSETS = (-1.0, -0.5, 0.0, 0.5, 1.0)

#: The least gain, and the most nats of a pixel and feature that the prior of (81) may take, of what
#: is believed to be another exposure: clouds are none. A quarter is a gain of 0.5 or 1.5.
_LEAST_GAIN, _MOST_NATS = 0.1, 0.25

#: Rows that are looked at to choose a beginning.
_FIRST_LOOK = 1 << 11
_ROUGHLY = EMOptions(tol=1e-3, max_iter=30)

#: Rows that are looked at for the common change and for their novelty; above what they are novel.
_LOOK = 1 << 16
_NOVEL = 0.99


def reweighted(
    model: Model, features: Rows, counts: Any = None, *, threads: int | None = None
) -> Model:
    """The model with the shares of its Gaussians that suit an image best; all else stays.

    Parameters
    ----------
    model : Model
    features : ndarray or LazyRows of shape (N, D)
        Features of the image's pixels, as `PixelRows.features`.
    counts : ndarray of shape (N,), optional
        How many pixels each row stands for.
    threads : int, optional

    Returns
    -------
    Model
        The likelihood of the rows is at its maximum over the weights: a concave problem, so there
        is one.
    """
    rule = FixedClasses(reference=model.mixture)
    fitted = adapt_rows(features, rule, sample_weight=counts, threads=threads)
    return _with_fit(model, fitted, _total(features, counts), {"mode": "reference"})


def drifted(
    model: Model,
    features: Rows,
    counts: Any = None,
    options: DriftOptions | None = None,
    *,
    threads: int | None = None,
) -> Model:
    """The model with the shares and means that suit an image best; no mean moves too far.

    First all means change together, each feature by a gain and an offset, as another exposure
    would have it. Then each moves by itself, within `options.max_drift` of the reference. The
    covariances stay.

    Parameters
    ----------
    model, features, counts, threads
        As in `reweighted`.
    options : DriftOptions, optional

    Returns
    -------
    Model
        ``provenance["adapted"]["moves"]`` tells how far each class has moved, in its standard
        deviations.
    """
    options = DriftOptions() if options is None else options
    n = _total(features, counts)
    common = _common_change(model.mixture, features, counts, options, threads)
    rule = OwnMoves(
        reference=model.mixture, centre=common.mixture.means, options=options, rows=float(n)
    )
    fitted = adapt_rows(features, rule, sample_weight=counts, start=common.mixture, threads=threads)
    found = replace(model, mixture=fitted.mixture)
    moves = _class_distances(class_mixture(found).means, class_mixture(model))
    told = {"mode": "drift", "options": asdict(options), "moves": moves.tolist()}
    return _with_fit(model, fitted, n, told)


def _common_change(
    reference: Mixture, features: Rows, counts: Any, options: DriftOptions, threads: int | None
) -> Fit:
    """The fit in which all means change together, from the best of several beginnings.

    On some of the rows: a few numbers are sought, not one for each pixel.
    """
    rule = CommonShift(reference=reference)

    some, many = (sampled_rows(features, counts, n) for n in (_FIRST_LOOK, _LOOK))

    def fitted(rows: tuple[Rows, Array], start: Mixture, options: EMOptions) -> Fit:
        return adapt_rows(
            rows[0], rule, sample_weight=rows[1], start=start, options=options, threads=threads
        )

    begun = [fitted(some, start, _ROUGHLY) for start in _beginnings(reference, options)]
    best = max(begun, key=lambda fit: fit.history[-1])
    return fitted(many, best.mixture, EMOptions())


def exposure(
    model: Model,
    features: Rows,
    counts: Any = None,
    options: DriftOptions | None = None,
    *,
    threads: int | None = None,
) -> tuple[Array, Array]:
    """How an image was exposed compared with a reference: eq. 81 as a gain and an offset.

    Parameters
    ----------
    model, features, counts, options, threads
        As in `drifted`.

    Returns
    -------
    gain, offset : ndarray of shape (D,)
        What is `x` in the reference is ``gain * x + offset`` in the image; 1 and 0 where the image
        differs by more than exposures do.
    """
    options = DriftOptions() if options is None else options
    found = _common_change(model.mixture, features, counts, options, threads)
    rule = CommonShift(reference=model.mixture)
    gain, offset = rule.exposure(found.mixture.means)
    if (gain < _LEAST_GAIN).any() or (-rule.log_prior(found.mixture) > _MOST_NATS * len(gain)):
        return np.ones_like(gain), np.zeros_like(offset)
    return gain, offset


def _beginnings(reference: Mixture, options: DriftOptions) -> Iterator[Mixture]:
    """The reference, and darker, brighter, flatter and steeper ones in the first feature."""
    yield reference
    mean = reference.weights @ reference.means
    step = options.max_drift * float(reference.weights @ reference.standard_deviations[:, 0])
    for gain, offset in product(_GAINS, _OFFSETS) if step > 0 else ():
        means = reference.means.copy()
        means[:, 0] = mean[0] + gain * (means[:, 0] - mean[0]) + offset * step
        yield Mixture.trusted(
            reference.weights, means, reference.covariances, reference.covariance_type
        )


def class_mixture(model: Model) -> Mixture:
    """One Gaussian for each class, of its mean and covariance, by label."""
    mixture = model.mixture
    if model.in_order:
        return mixture
    member = np.equal.outer(np.arange(1, model.k + 1), model.labels).astype(np.float64)
    weights = member @ mixture.weights
    within = member * np.maximum(mixture.weights, np.finfo(float).tiny)
    within /= within.sum(axis=1, keepdims=True)
    means = within @ mixture.means
    covariances = np.einsum("km,mij->kij", within, mixture.full_covariances)
    moves = mixture.means[None] - means[:, None]
    covariances += np.einsum("km,kmi,kmj->kij", within, moves, moves)
    return Mixture.trusted(weights, means, covariances, "full")


def matched(model: Model, reference: Model) -> Model:
    """The model with the labels of the classes of a reference that its own are nearest to.

    Of all ways to give each class another label, the one of the least sum of Bhattacharyya
    distances (eq. 85). These grow with the square of the distance of the means, so that classes
    which have all moved the same way keep their order; the Hellinger distance, which is at most 1,
    would take them for equally far from everything.

    Parameters
    ----------
    model, reference : Model
        Of as many classes, over the same features.

    Returns
    -------
    Model

    Raises
    ------
    InvalidDataError
        When features or numbers of classes differ.

    Examples
    --------
    >>> import numpy as np, gmmseg
    >>> model = gmmseg.fit([np.array([[10, 20, 90, 95]], np.uint8)], k=2)
    >>> swapped = replace(model, labels=(2, 1))
    >>> matched(swapped, model).labels
    (1, 2)
    """
    from scipy.optimize import linear_sum_assignment  # 0.2 s of import time

    if model.feature_names != reference.feature_names or model.features != reference.features:
        raise InvalidDataError(
            f"the image gives the features {', '.join(model.feature_names)}, the reference has "
            f"{', '.join(reference.feature_names)}: they cannot be matched. Run images of one kind "
            "together."
        )
    if model.k != reference.k:
        raise InvalidDataError(
            f"the image has {model.k} classes, the reference {reference.k}: choose the same k."
        )
    distances = bhattacharyya_between(class_mixture(model), class_mixture(reference))
    _, of_class = linear_sum_assignment(distances)
    labels = tuple(int(of_class[label - 1]) + 1 for label in model.labels)
    found = distances[np.argsort(of_class), np.arange(model.k)]
    told = {"mode": "independent", "distances": found.tolist()}
    return replace(model, labels=labels, provenance=model.provenance | {"adapted": told})


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How an image fits a reference, class by class.

    Attributes
    ----------
    log_likelihood : float
        Per pixel, in nats, under the model that was judged.
    novelty_share : float
        Of the pixels, those that lie outside of what 99 % of a Gaussian's pixels would be within,
        for all Gaussians of the model that was judged: 0.01 if all were as the model says.
    shares : tuple of float
        Of the classes, by posterior.
    shifts : tuple of float
        From the mean of the class in the reference to that of its pixels (by posterior), in
        standard deviations of the reference's class; nan for a class without pixels.
    moves : tuple of float
        The same for the mean in the model that the image was labelled by.
    """

    log_likelihood: float
    novelty_share: float
    shares: tuple[float, ...]
    shifts: tuple[float, ...]
    moves: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is not known is null."""
        values = asdict(self)
        values["shifts"] = [s if np.isfinite(s) else None for s in self.shifts]
        return values


def compared(
    model: Model,
    reference: Model,
    features: Rows,
    counts: Any = None,
    *,
    judged: Model | None = None,
    threads: int | None = None,
) -> Comparison:
    """Compare the model of an image, and its pixels, with a reference.

    Parameters
    ----------
    model : Model
        That the image is labelled by; its labels are those of the reference.
    reference : Model
    features, counts, threads
        As in `reweighted`.
    judged : Model, optional
        Whose likelihood and novelty are told; by default `model`.

    Returns
    -------
    Comparison
    """
    judged = model if judged is None else judged
    classes = class_mixture(reference)
    found = accumulate(features, counts, model.mixture, threads=threads)
    member = np.equal.outer(np.arange(1, model.k + 1), model.labels).astype(np.float64)
    nk = member @ np.where(found.negligible(), 0.0, found.nk)
    sums = member @ (found.first + found.nk[:, None] * found.about)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(nk[:, None] > 0, sums / nk[:, None], np.nan)
    if judged is not model:
        found = accumulate(features, counts, judged.mixture, threads=threads)
    rows, weights = sampled_rows(features, counts, _LOOK)
    novel = novelty(judged.mixture, np.asarray(rows)) > _NOVEL
    return Comparison(
        log_likelihood=found.mean_log_likelihood,
        novelty_share=float(weights @ novel / weights.sum()),
        shares=tuple((nk / nk.sum()).tolist()),
        shifts=tuple(_class_distances(means, classes).tolist()),
        moves=tuple(_class_distances(class_mixture(model).means, classes).tolist()),
    )


def _class_distances(means: Array, classes: Mixture) -> Array:
    """Distances of means (K, D) from those of the classes, in the classes' standard deviations."""
    factors, _ = whitening(np.ascontiguousarray(classes.full_covariances))
    pairs = zip(means - classes.means, factors, strict=True)
    return np.sqrt([squared_distances(move[None], factor)[0] for move, factor in pairs])


def _total(features: Rows, counts: Any) -> int:
    return len(features) if counts is None else int(np.sum(counts))


def _with_fit(model: Model, fitted: Fit, n_pixels: int, told: dict[str, Any]) -> Model:
    facts = {"fit": fit_facts(fitted, n_pixels), "adapted": told}
    return replace(model, mixture=fitted.mixture, provenance=model.provenance | facts)
