"""The doors of the library: segment an image, fit a model to images, apply it, choose k."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from gmmseg._check import check_integer
from gmmseg.autocorrelation import effective_number
from gmmseg.enlarged import EnlargedSegmentation
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.features import start_scale
from gmmseg.given import ImageLike, as_image, as_maps, resolved, without_bias
from gmmseg.hints import MOST_CLASSES, Guidance, around_box
from gmmseg.image import Image
from gmmseg.many_images import common_spec, joined, merged, provenance
from gmmseg.mixture.em import Callback, Fit, fit_rows
from gmmseg.mixture.fitter import Metric
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.selection import Selection, select_rows
from gmmseg.model import Model
from gmmseg.options import SegmentOptions
from gmmseg.pixels import PixelRows, pixel_rows
from gmmseg.presets import DEFAULT, options_for
from gmmseg.priors import PriorMaps
from gmmseg.random_field import fit_field, have_gaps
from gmmseg.segmentation import Segmentation
from gmmseg.working_grid import on_working_grid

__all__ = [
    "ImageLike",
    "SegmentOptions",
    "apply",
    "as_image",
    "fit",
    "model_of_rows",
    "segment",
    "select_k",
]


#: In the place of the number of classes: choose it.
AUTO = "auto"

_DEFAULT_K = 3


def segment(
    image: ImageLike,
    k: int | str | None = None,
    options: SegmentOptions | str = DEFAULT,
    *,
    mask: ArrayLike | None = None,
    hints: ArrayLike | None = None,
    box: Sequence[int] | None = None,
    priors: Sequence[ImageLike] | ImageLike | None = None,
    spacing: float | Sequence[float] | None = None,
    axes: str | None = None,
    threads: int | None = None,
    callback: Callback | None = None,
) -> Segmentation:
    """Segment an image into `k` classes.

    Parameters
    ----------
    image : Image, ndarray, xarray.DataArray, nibabel image or path
        (rows, cols[, bands]) or (planes, rows, cols[, bands]), of any integer or float type. For
        results as DataArrays see `gmmseg.xarrays`.
    k : int or "auto", optional
        Number of classes; "auto" chooses it as `select_k` does. By default the largest class of
        the hints, 2 for a box, the number of `priors`, otherwise 3.
    options : SegmentOptions or str
        The options, or the name of a preset (`gmmseg.presets`); "auto" chooses one by what the
        image is.
    mask : array_like of the image's spatial shape, optional
        True or non-zero = use this pixel. With an axis for the bands: this band of it was
        observed; `FeatureSpec.gaps` tells what becomes of pixels that lack some.
    hints : array_like of int, of the image's spatial shape, optional
        What is known: 0 = nothing, j = the pixel is of class j, which keeps that number. Classes
        without a hint follow their own clusters.
    box : sequence of int, optional
        (x, y, width, height) in pixels, for a volume (x, y, z, width, height, depth): what is
        outside is background, class 1; the object inside becomes class 2.
    priors : list of images, arrays or paths, or one of them, optional
        How probable each class is in every pixel, in any unit: an atlas on the grid of the image.
        One for each class in the order of the labels, which then are not from dark to bright; or
        one image with a band for each, or an array (classes, ...). ``options.priors`` says how
        much they count.
    spacing : float or sequence of float, optional
        Size of a pixel along each spatial axis; for areas, position and texture.
    axes : str, optional
        Meaning of an array's axes, such as "ZYX", where the shape does not tell.
    threads : int, optional
        None = as many as this process may use. The result does not depend on it.
    callback : callable, optional
        Called after every EM iteration with its number and the mean log-likelihood.

    Returns
    -------
    Segmentation

    Raises
    ------
    GmmsegError
        When the file cannot be read, an option breaks its rule, or no pixel can be used.

    Examples
    --------
    >>> import numpy as np
    >>> picture = np.zeros((20, 30), np.uint8)
    >>> picture[:, 10:] = 200
    >>> seg = segment(picture, k=2)
    >>> seg.labels[0, 9:11].tolist(), seg.table[1].share.__round__(2)
    ([1, 2], 0.67)
    """
    picture = as_image(image, mask, spacing, axes)
    options = options_for(options, picture, boxed=box is not None)
    picture, bias = without_bias(picture, options, threads)
    guided = hints is not None or box is not None or priors is not None  # pixel by pixel
    options = resolved(options, [picture], fine=guided)
    coarse = on_working_grid(picture, options.features, threads)
    maps = as_maps(priors, picture)
    believed = maps is not None and options.priors.weight > 0
    rows = pixel_rows(coarse, options.features, distinct=not believed)
    guidance: Guidance | PriorMaps | None = Guidance.of(rows, k, hints, box, options.box)
    if maps is not None:
        if guidance is not None:
            raise InvalidParameterError("priors exclude hints and a box: give one of them.")
        guidance = PriorMaps.of(maps, rows, k, options.priors)
    if box is None:
        k = (_DEFAULT_K if maps is None else len(maps)) if k is None else k
        model, messages = model_of_rows([coarse], [rows], k, options, threads, callback, guidance)
    else:
        model, messages = _fit_box(picture, box, options, threads, callback)
    found = Segmentation(
        image=coarse,
        model=model,
        warnings=messages,
        _rows=rows,
        _threads=threads,
        _hints=None if guidance is None else guidance.hints,
        bias=bias,
        _em=options.em,
        _stability=options.stability,
        _priors=None if guidance is None else guidance.priors,
    )
    return _at_full_size(found, picture)


def fit(
    images: Iterable[ImageLike],
    k: int | str,
    options: SegmentOptions | str = DEFAULT,
    *,
    threads: int | None = None,
    callback: Callback | None = None,
) -> Model:
    """Fit one model to many images, so that a label means the same in all of them.

    Parameters
    ----------
    images : iterable of Image, ndarray or path
        All with the same bands; sizes may differ.
    k, options, threads, callback
        As in `segment`; "auto" goes by the first image.

    Returns
    -------
    Model

    Examples
    --------
    >>> import numpy as np
    >>> dark, bright = np.full((9, 9), 10, np.uint8), np.full((9, 9), 90, np.uint8)
    >>> model = fit([dark, bright], k=2)
    >>> apply(model, bright).labels.max()
    np.uint8(2)
    """
    pictures = []
    if not isinstance(images, str | os.PathLike | Image):
        pictures = [as_image(image, None, None, None) for image in images]
    if not pictures:
        raise InvalidParameterError("images must be a sequence of at least one image.")
    chosen = options_for(options, pictures[0])
    pictures = [without_bias(picture, chosen, threads)[0] for picture in pictures]
    options = resolved(chosen, pictures)
    coarse = [on_working_grid(picture, options.features, threads) for picture in pictures]
    rows = [pixel_rows(picture, options.features) for picture in coarse]
    model, _ = model_of_rows(coarse, rows, k, options, threads, callback)
    return model


def select_k(
    image: ImageLike,
    k_range: Iterable[int] | None = None,
    options: SegmentOptions | str = DEFAULT,
    *,
    mask: ArrayLike | None = None,
    axes: str | None = None,
    threads: int | None = None,
    callback: Callback | None = None,
) -> Selection:
    """Compare numbers of classes, and covariance types, by criteria.

    The default criterion is a BIC for as many pixels as are independent: neighbours resemble one
    another, and plain BIC takes more classes for an image the more pixels it has.

    Parameters
    ----------
    image, mask, axes, threads, callback
        As in `segment`.
    k_range : iterable of int, optional
        Numbers of classes; None = those of ``options.selection``, which also says what covariance
        types are compared.
    options : SegmentOptions or str
        As in `segment`.

    Returns
    -------
    Selection
        Prints as a table; `best()` is the candidate of the lowest criterion.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> picture = rng.normal(100, 10, (60, 90))
    >>> picture[:, 30:] += 80
    >>> select_k(picture, range(1, 4)).best().k
    2
    """
    picture = as_image(image, mask, None, axes)
    chosen = options_for(options, picture)
    picture, _ = without_bias(picture, chosen, threads)
    options = resolved(chosen, [picture])
    selection = options.selection
    if k_range is not None:
        selection = replace(selection, k_range=tuple(k_range))
    coarse = on_working_grid(picture, options.features, threads)
    rows = pixel_rows(coarse, options.features)
    options = replace(options, selection=selection)
    return _select([coarse], [rows], options, threads, callback)


def apply(
    model: Model,
    image: ImageLike,
    *,
    mask: ArrayLike | None = None,
    spacing: float | Sequence[float] | None = None,
    axes: str | None = None,
    threads: int | None = None,
) -> Segmentation:
    """Label an image by a model: label j means the same as in every other image.

    Parameters
    ----------
    model : Model
    image, mask, spacing, axes, threads
        As in `segment`.

    Raises
    ------
    InvalidDataError
        When the image has not the bands that the model was fitted on.
    """
    picture = as_image(image, mask, spacing, axes)
    model = model.for_image(picture)
    coarse = on_working_grid(picture, model.features, threads)
    rows = pixel_rows(coarse, model.features)
    found = Segmentation(image=coarse, model=model, warnings=(), _rows=rows, _threads=threads)
    return _at_full_size(found, picture)


def _at_full_size(found: Segmentation, picture: Image) -> Segmentation:
    """The segmentation of a picture, found on its working grid."""
    if found.image is picture:
        return found
    step = found.model.features.step(picture.shape)
    regions = found.model.regions.on_grid(step**picture.ndim)
    return EnlargedSegmentation(
        image=picture,
        model=found.model,
        warnings=found.warnings,
        _rows=found._rows,
        _threads=found._threads,
        _em=found._em,
        _stability=found._stability,
        _coarse=replace(found, model=replace(found.model, regions=regions)),
    )


def model_of_rows(
    images: list[Image],
    rows: list[PixelRows],
    k: int | str,
    options: SegmentOptions,
    threads: int | None,
    callback: Callback | None,
    guidance: Guidance | PriorMaps | None = None,
) -> tuple[Model, tuple[str, ...]]:
    """The model of all rows, its components in the order of their first feature.

    `guidance` is of the only image.
    """
    spec = common_spec(images, options.features)
    names = spec.names(images[0])
    selection = None
    if guidance is None and k == AUTO:
        selection = _select(images, rows, options, threads, callback)
        k = selection.best().k
    n_classes = _check_k(k)
    if guidance is not None:
        fitted = _guided_fit(images[0], rows[0], spec, options, threads, callback, guidance)
    elif selection is not None and not options.merging.is_on:
        fitted = selection.best().fit
    else:
        features, counts = joined(rows)
        fitted = fit_rows(
            features,
            _check_k(n_classes * options.merging.gaussians_per_segment),
            _em_of(selection, options),
            sample_weight=counts,
            metric=_metric(spec, images[0]),
            threads=threads,
            callback=callback,
        )
    mixture, guidance = _ordered(fitted.mixture, guidance)
    origin = provenance(images, fitted, options, sum(r.n_pixels for r in rows))
    if selection is not None:
        origin["selection"] = selection.to_dict()
    if guidance is not None:
        origin |= guidance.provenance
    model = Model(
        features=spec,
        feature_names=names,
        mixture=mixture,
        labels=guidance.labels if guidance else tuple(range(1, mixture.n_components + 1)),
        smoothing=options.smoothing,
        regions=options.regions,
        provenance=origin,
    )
    if options.smoothing.inside and options.smoothing.is_on:
        model = _refitted(model, images, rows, options, threads, callback, guidance)
    if options.merging.is_on and guidance is None:
        model = merged(model, rows, n_classes, options.merging, threads)
    return model, tuple(str(warning) for warning in fitted.warnings)


def _guided_fit(
    image: Image,
    rows: PixelRows,
    spec: FeatureSpec,
    options: SegmentOptions,
    threads: int | None,
    callback: Callback | None,
    guidance: Guidance | PriorMaps,
) -> Fit:
    """The fit under what the user told."""
    features, counts, known = guidance.of_rows(rows)
    fitted = fit_rows(
        features,
        guidance.n_fitted,
        options.em,
        sample_weight=counts,
        metric=_metric(spec, image),
        known=None if guidance.assumed else known,
        threads=threads,
        callback=callback,
    )
    if isinstance(guidance, Guidance) and guidance.assumed:
        return replace(fitted, mixture=guidance.divided(fitted.mixture, rows))
    return fitted


def _fit_box(
    image: Image,
    box: Sequence[int],
    options: SegmentOptions,
    threads: int | None,
    callback: Callback | None,
) -> tuple[Model, tuple[str, ...]]:
    """The model of background and object, learnt near the box."""
    smoothing = options.smoothing if options.smoothing.is_on else options.box.smoothing
    options = replace(options, smoothing=replace(smoothing, inside=True))
    near = image.with_mask(around_box(box, image.shape, options.box.margin))
    rows = pixel_rows(near, options.features)
    if have_gaps([rows]):
        raise InvalidDataError(
            "an object in a box is found by pixels that have all their bands, and some near this "
            "box lack a few. Leave those out: FeatureSpec(gaps='drop') (--gaps drop)."
        )
    guidance = Guidance.of_box(box, rows, None, options.box)
    return model_of_rows([near], [rows], guidance.n_fitted, options, threads, callback, guidance)


def _ordered(
    mixture: Mixture, guidance: Guidance | PriorMaps | None
) -> tuple[Mixture, Guidance | PriorMaps | None]:
    """Components in the order of their first feature, but for what the user told."""
    if guidance is not None:
        return guidance.ordered(mixture)
    return mixture.reordered(np.argsort(mixture.means[:, 0], kind="stable")), None


def _refitted(
    model: Model,
    images: list[Image],
    rows: list[PixelRows],
    options: SegmentOptions,
    threads: int | None,
    callback: Callback | None,
    guidance: Guidance | PriorMaps | None,
) -> Model:
    """The model after EM in which pixels look at their neighbours."""
    hints, priors = (None, None) if guidance is None else (guidance.hints, guidance.priors)
    em, learn = options.em, True
    if guidance is not None and guidance.assumed:  # outside says nothing of what is inside
        learn = False
        em = replace(em, max_iter=options.box.iterations)
    found = fit_field(
        images, rows, model, em, hints=hints, priors=priors, learn_weights=learn,
        threads=threads, callback=callback,
    )  # fmt: skip
    mixture, guidance = _ordered(found.mixture, guidance)
    field = {"beta": found.beta, "n_iter": found.n_iter, "converged": found.converged}
    return replace(
        model,
        mixture=mixture,
        labels=model.labels if guidance is None else guidance.labels,
        smoothing=replace(model.smoothing, beta=found.beta),
        provenance=model.provenance | {"random_field": field},
    )


def _em_of(selection: Selection | None, options: SegmentOptions) -> EMOptions:
    """How the mixture is fitted; the kind of covariance may have been chosen."""
    if selection is None:
        return options.em
    return replace(options.em, covariance_type=selection.best().covariance_type)


def _select(
    images: list[Image],
    rows: list[PixelRows],
    options: SegmentOptions,
    threads: int | None,
    callback: Callback | None,
) -> Selection:
    """Mixtures of several sizes for the same rows."""
    _check_k(max(options.selection.k_range))
    spec = common_spec(images, options.features)
    features, counts = joined(rows)
    return select_rows(
        features,
        options.em,
        options.selection,
        sample_weight=counts,
        n_effective=sum(effective_number(r.numbers, r.bands, r.n_pixels) for r in rows),
        metric=_metric(spec, images[0]),
        threads=threads,
        callback=callback,
    )


def _check_k(k: int | str) -> int:
    if (number := check_integer(k, "k", minimum=1)) > MOST_CLASSES:
        raise InvalidParameterError(f"k must be at most {MOST_CLASSES}, got {k}.")
    return number


def _metric(spec: FeatureSpec, image: Image) -> Metric:
    return lambda deviations: start_scale(deviations, spec, image.ndim)
