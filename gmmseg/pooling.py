"""One model for more images than fit into memory: each gives some rows, and is then let go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._files import printable
from gmmseg.autocorrelation import effective_number
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.features import start_scale
from gmmseg.folder_modes import exposure
from gmmseg.image import Image
from gmmseg.many_images import provenance
from gmmseg.mixture.em import Callback, fit_rows
from gmmseg.mixture.merging import merge_components
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.sampling import sampled_rows
from gmmseg.mixture.selection import select_rows
from gmmseg.model import Model
from gmmseg.options import SegmentOptions
from gmmseg.pixels import PixelRows, pixel_rows

__all__ = ["ImageRows", "fit_aligned", "fit_pooled", "rows_of_image", "some_rows"]

Array = NDArray[np.float64]

#: In the place of the number of classes: choose it.
_AUTO = "auto"


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageRows:
    """What one image gives to the model of many: plain values and arrays.

    Attributes
    ----------
    name : str
        Of its file, for people.
    spec : FeatureSpec
        Resolved.
    feature_names : tuple of str
    ndim : int
        Number of its spatial axes.
    features : ndarray of shape (M, D)
        Of its distinct pixels, or of some of its pixels.
    weights : ndarray of shape (M,)
        How many pixels each row stands for.
    n_effective : float
        How many independent pixels all of them are worth.
    """

    name: str
    spec: FeatureSpec
    feature_names: tuple[str, ...]
    ndim: int
    features: NDArray[Any]
    weights: NDArray[np.float64]
    n_effective: float


def rows_of_image(image: Image, options: SegmentOptions, most_rows: int) -> ImageRows:
    """At most so many rows of an image.

    All distinct values with their counts where these are few enough: the likelihood of the rows is
    then that of all pixels. Otherwise one pixel from each of `most_rows` strata of equal weight.

    Examples
    --------
    >>> image = Image.from_array(np.array([[1, 1], [1, 2]], np.uint8))
    >>> rows_of_image(image, SegmentOptions(), 10).weights
    array([3., 1.])
    """
    rows = pixel_rows(image, options.features.resolve(image))
    n_effective = effective_number(rows.numbers, rows.bands, rows.n_pixels)
    return some_rows(image, rows, options, most_rows, n_effective=n_effective)


def some_rows(
    image: Image, rows: PixelRows, options: SegmentOptions, most_rows: int, *, n_effective: float
) -> ImageRows:
    """`rows_of_image` where the rows are known; of a scene that is streamed, by a look at it."""
    spec = options.features.resolve(image)
    features, weights = sampled_rows(rows.features, rows.counts, most_rows)
    return ImageRows(
        name="an image" if image.path is None else image.path.name,
        spec=spec,
        feature_names=spec.names(image),
        ndim=image.ndim,
        features=np.asarray(features),
        weights=weights,
        n_effective=n_effective,
    )


def fit_pooled(
    parts: Sequence[ImageRows],
    k: int | str,
    options: SegmentOptions,
    *,
    threads: int | None = None,
    callback: Callback | None = None,
) -> Model:
    """One model of the rows of many images.

    As `gmmseg.fit`, but for what needs whole images: a random field is applied after EM, not inside
    it, and components are not merged by the borders that they share.

    Parameters
    ----------
    parts : sequence of ImageRows
    k : int or "auto"
    options : SegmentOptions
        How the first of them would be segmented.
    threads, callback
        As in `gmmseg.fit`.

    Returns
    -------
    Model

    Raises
    ------
    InvalidDataError
        When the images are of different kinds.
    InvalidParameterError
        When components are to be merged by their borders.

    Examples
    --------
    >>> images = [Image.from_array(np.full((4, 5), v, np.uint8)) for v in (10, 90)]
    >>> model = fit_pooled([rows_of_image(i, SegmentOptions(), 99) for i in images], 2,
    ...                    SegmentOptions())
    >>> model.mixture.means.ravel().tolist()
    [10.0, 90.0]
    """
    _check_parts(parts, options)
    spec, ndim = parts[0].spec, parts[0].ndim
    features = np.concatenate([part.features for part in parts])
    weights = np.concatenate([part.weights for part in parts])
    shared: dict[str, Any] = {
        "sample_weight": weights,
        "metric": lambda deviations: start_scale(deviations, spec, ndim),
        "threads": threads,
        "callback": callback,
    }
    em, told = options.em, {}
    if k == _AUTO:
        n_effective = sum(part.n_effective for part in parts)
        selection = select_rows(features, em, options.selection, n_effective=n_effective, **shared)
        best = selection.best()
        k, em = best.k, replace(em, covariance_type=best.covariance_type)
        told = {"selection": selection.to_dict()}
    n_components = int(k) * options.merging.gaussians_per_segment
    fitted = fit_rows(features, n_components, em, **shared)
    mixture = fitted.mixture.reordered(np.argsort(fitted.mixture.means[:, 0], kind="stable"))
    origin = provenance([], fitted, options, round(float(weights.sum())))
    origin["images"] = [printable(part.name) for part in parts]
    return Model(
        features=spec,
        feature_names=parts[0].feature_names,
        mixture=mixture,
        labels=_labels(mixture, features, weights, int(k), options, threads),
        smoothing=replace(options.smoothing, inside=False),
        regions=options.regions,
        provenance=origin | told,
    )


def fit_aligned(
    parts: Sequence[ImageRows],
    k: int | str,
    options: SegmentOptions,
    *,
    threads: int | None = None,
    callback: Callback | None = None,
) -> Model:
    """One model of the rows of many images that were taken under different exposures.

    A pooled model takes exposures for classes, where these tell images apart more than what is in
    them does. So each image is brought to the exposure of the model, a gain and an offset for each
    feature, and the model is fitted once more (docs/math.md, eq. 98). It begins with the images as
    they are, and as they are with the same mean and spread; the more likely model is taken
    (eq. 99).

    Parameters
    ----------
    parts, k, options, threads, callback
        As in `fit_pooled`.

    Returns
    -------
    Model
    """
    found = []
    for begun in (parts, _alike(parts)):
        model = fit_pooled(begun, k, options, threads=threads, callback=callback)
        changes = [exposure(model, p.features, p.weights, threads=threads) for p in parts]
        moved = [_undone(part, *change) for part, change in zip(parts, changes, strict=True)]
        model = fit_pooled(moved, model.k, options, threads=threads, callback=callback)
        shrunk = sum(
            float(part.weights.sum() * np.log(gain).sum())
            for part, (gain, _) in zip(parts, changes, strict=True)
        )
        found.append((model.provenance["fit"]["log_likelihood"] - shrunk, model))
    return max(found, key=lambda pair: pair[0])[1]


def _undone(part: ImageRows, gain: Array, offset: Array) -> ImageRows:
    """The rows of an image without its exposure."""
    return replace(part, features=(part.features - offset) / gain)


def _alike(parts: Sequence[ImageRows]) -> list[ImageRows]:
    """The rows with the same mean and spread of each feature in all images, those in the middle."""
    means, spreads = np.array([_moments(part) for part in parts]).transpose(1, 0, 2)
    mean, gains = np.median(means, axis=0), spreads / np.median(spreads, axis=0)
    changes = zip(parts, gains, means - gains * mean, strict=True)
    return [_undone(part, gain, offset) for part, gain, offset in changes]


def _moments(part: ImageRows) -> tuple[Array, Array]:
    """Mean and standard deviation of each feature; of one that does not vary 1."""
    seen = np.isfinite(part.features)
    weights = np.where(seen, part.weights[:, None], 0.0)
    total = np.maximum(weights.sum(axis=0), np.finfo(float).tiny)
    values = np.where(seen, part.features, 0.0)
    mean = (weights * values).sum(axis=0) / total
    deviation = np.sqrt((weights * (values - mean) ** 2).sum(axis=0) / total)
    return mean, np.where(deviation > 0, deviation, 1.0)


def _labels(
    mixture: Mixture,
    features: NDArray[Any],
    weights: NDArray[np.float64],
    k: int,
    options: SegmentOptions,
    threads: int | None,
) -> tuple[int, ...]:
    if not options.merging.is_on:
        return tuple(range(1, k + 1))
    by = options.merging.merge_by
    return merge_components(mixture, features, k, by=by, sample_weight=weights, threads=threads)


def _check_parts(parts: Sequence[ImageRows], options: SegmentOptions) -> None:
    if not parts:
        raise InvalidDataError("there are no images to fit a model to.")
    if options.merging.is_on and options.merging.merge_touching:
        raise InvalidParameterError(
            "merge_touching needs whole images, which a model of many does not hold. Leave it out."
        )
    first = parts[0]
    for part in parts:
        if (part.spec, part.feature_names) != (first.spec, first.feature_names):
            raise InvalidDataError(
                f"the images are of different kinds: {printable(first.name)} has the features "
                f"{', '.join(first.feature_names)}, {printable(part.name)} "
                f"{', '.join(part.feature_names)}. Run them apart, or choose colour_space= "
                "(--colour-space) for all."
            )
