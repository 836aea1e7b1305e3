"""Hidden Markov random fields of images: the posterior of pixels that look at their neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.features import start_scale
from gmmseg.image import Image
from gmmseg.lattice import Lattice
from gmmseg.mixture._threads import Workers
from gmmseg.pixels import PixelRows
from gmmseg.smoothing import Smoothed, relax

if TYPE_CHECKING:
    from gmmseg.model import Model

__all__ = ["smooth_image"]


def smooth_image(
    image: Image, rows: PixelRows, model: Model, *, threads: int | None = None
) -> Smoothed:
    """The posterior of the classes under `model`, smoothed as the model says.

    Returns
    -------
    Smoothed
        Its probabilities are (k, planes, rows, cols).
    """
    odds = class_odds(model, rows.features, threads=threads)
    weights = np.bincount(model.labels, weights=model.mixture.weights)[1:]
    with Workers(threads) as workers:
        lattice = lattice_of(image, rows, model, workers)
        return relax(lattice, rows.planes(odds), model.smoothing, weights)


def class_odds(model: Model, features: NDArray[Any], *, threads: int | None) -> NDArray[Any]:
    """log2 of every class's posterior over that of the most probable component, (k, M)."""
    odds = model.mixture.log2_odds(features, threads=threads).T
    if model.labels == tuple(range(1, model.k + 1)):
        return odds
    classes = np.full((model.k, odds.shape[1]), -np.inf, odds.dtype)
    for label, component in zip(model.labels, odds, strict=True):
        np.logaddexp2(classes[label - 1], component, out=classes[label - 1])
    return classes


def lattice_of(image: Image, rows: PixelRows, model: Model, workers: Workers) -> Lattice:
    """The ties of an image's used pixels, weakened by its edges if the model says so."""
    options = model.smoothing
    lattice = Lattice(
        image.shape,
        workers,
        neighbours=options.neighbours,
        mask=rows.valid,
        spacing=image.spacing,
    )
    if options.contrast:
        lattice.weaken(rows.planes(_guide(image, rows, model)), options.contrast)
    return lattice


def _guide(image: Image, rows: PixelRows, model: Model) -> NDArray[Any]:
    """The features whose edges count (F, M), in the scale of the start: all but the place."""
    mixture = model.mixture
    mean = mixture.weights @ mixture.means
    squares = mixture.standard_deviations**2 + (mixture.means - mean) ** 2
    deviations = np.sqrt(mixture.weights @ squares)
    scale = start_scale(deviations, model.features, image.ndim)
    n_place = image.ndim if model.features.position else 0
    n = mixture.n_features - n_place
    scaled = (rows.features[:, :n] - mean[:n]) * scale[:n]
    return scaled.T.astype(np.float32)
