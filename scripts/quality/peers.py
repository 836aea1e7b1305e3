"""The methods that gmmseg is compared with: label maps of images (rows, cols[, bands])."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from skimage import graph
from skimage.color import rgb2lab
from skimage.filters import threshold_otsu
from skimage.segmentation import felzenszwalb, slic
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

import gmmseg
from gmmseg.image import Image

Labels = np.ndarray

#: Rows that the mixtures and clusters of the peers are fitted on.
SAMPLE = 10_000


def ours(image: Any, k: int | str, preset: Any) -> Labels:
    return segmented(image, k, preset).labels


def segmented(image: Any, k: int | str, preset: Any) -> gmmseg.Segmentation:
    if not isinstance(image, Image):
        image = Image.from_array(image, axes="YX" if image.ndim == 2 else "YXC")
    return gmmseg.segment(image, k, preset, threads=1)


def kmeans(bands: Any, k: int) -> Labels:
    return _fitted(KMeans(k, n_init=4, random_state=0), bands)


def mixture(bands: Any, k: int) -> Labels:
    return _fitted(GaussianMixture(k, random_state=0), bands)


def otsu(grey: Any) -> Labels:
    return (grey > threshold_otsu(grey)).astype(int)


def lab(colour: Any) -> np.ndarray:
    return rgb2lab(colour)


def graph_based(colour: Any, scale: int) -> Labels:
    """Felzenszwalb and Huttenlocher 2004; the least region grows with the scale."""
    return felzenszwalb(colour, scale=scale, sigma=0.8, min_size=scale)


def superpixels(colour: Any, thresholds: Sequence[int]) -> list[Labels]:
    """SLIC, merged while neighbouring mean colours differ by less than each threshold."""
    small = slic(colour, n_segments=400, compactness=10, start_label=0)
    neighbours = graph.rag_mean_color(colour, small)
    return [graph.cut_threshold(small, neighbours, t, in_place=False) for t in thresholds]


def _fitted(method: Any, bands: Any) -> Labels:
    rows = np.asarray(bands, float).reshape(-1, bands.shape[-1])
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(rows), min(SAMPLE, len(rows)), replace=False)
    return method.fit(rows[chosen]).predict(rows).reshape(bands.shape[:-1])
