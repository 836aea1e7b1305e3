"""What several images have in common: kind of features, rows, where their model comes from."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gmmseg
from gmmseg._files import printable
from gmmseg.errors import InvalidDataError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.mixture.em import Fit
from gmmseg.mixture.lazy import JoinedRows, LazyRows
from gmmseg.mixture.merging import MergeOptions, merge_components, shared_borders
from gmmseg.model import Model
from gmmseg.options import SegmentOptions
from gmmseg.pixels import PixelRows

__all__ = ["common_spec", "fit_facts", "joined", "merged", "provenance"]


def common_spec(images: list[Image], features: FeatureSpec) -> FeatureSpec:
    """The features of all images, which must be the same."""
    specs = [features.resolve(image) for image in images]
    for image, spec in zip(images, specs, strict=True):
        if spec.colour_space != specs[0].colour_space:
            raise InvalidDataError(
                f"the images are of different kinds: {_name(images[0])} is taken as "
                f"{specs[0].colour_space!r}, {_name(image)} as {spec.colour_space!r}. Fit them "
                "apart, or choose colour_space= (--colour-space) for all."
            )
    return specs[0]


def _name(image: Image) -> str:
    return "an image" if image.path is None else printable(image.path.name)


def joined(
    rows: list[PixelRows],
) -> tuple[NDArray[Any] | LazyRows, NDArray[np.int64] | None]:
    """Features and counts of all images: tables of distinct rows simply add up."""
    if len({r.features.shape[1] for r in rows}) > 1:
        raise InvalidDataError("the images have different numbers of bands: fit them apart.")
    if len(rows) == 1:
        return rows[0].features, rows[0].counts
    features = JoinedRows([r.features for r in rows])
    if all(r.counts is None for r in rows):
        return features, None
    counts = [np.ones(len(r.features), np.int64) if r.counts is None else r.counts for r in rows]
    return features, np.concatenate(counts)


def merged(
    model: Model, rows: list[PixelRows], k: int, options: MergeOptions, threads: int | None
) -> Model:
    """The model with the components that overlap most in the same classes, `k` of them."""
    n = model.mixture.n_components
    borders = None
    if options.merge_touching:
        borders = np.zeros((n, n))
        for part in rows:
            component = model.mixture.predict(part.features, threads=threads).astype(np.int32)
            borders += shared_borders(part.put_back(component, -1), n)
    features, counts = joined(rows)
    labels = merge_components(
        model.mixture,
        features,
        k,
        by=options.merge_by,
        sample_weight=counts,
        borders=borders,
        threads=threads,
    )
    return replace(model, labels=labels)


def provenance(
    images: list[Image], fitted: Fit, options: SegmentOptions, n_pixels: int
) -> dict[str, Any]:
    return {
        "gmmseg": gmmseg.__version__,
        "images": [image.path.name for image in images if image.path is not None],
        "options": {"em": asdict(options.em), "merging": asdict(options.merging)},
        "fit": fit_facts(fitted, n_pixels),
        "history": list(fitted.history),
    }


def fit_facts(fitted: Fit, n_pixels: int) -> dict[str, Any]:
    """What a model file and a summary tell of a fit."""
    return {
        "n_pixels": n_pixels,
        "log_likelihood": fitted.log_likelihood,
        "mean_log_likelihood": fitted.log_likelihood / n_pixels,
        "n_iter": fitted.n_iter,
        "converged": fitted.converged,
        "certificate": fitted.certificate and asdict(fitted.certificate),
    }
