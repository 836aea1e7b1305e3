"""The pixels behind a plot: rows of features with counts, few enough to draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.image import Image
from gmmseg.mixture.mixture import Mixture
from gmmseg.model import Model
from gmmseg.pixels import pixel_rows
from gmmseg.working_grid import on_working_grid

__all__ = ["Pixels", "pixels_of", "shown_range"]

Array = NDArray[np.float64]

#: More rows do not change a plot, and only take time.
_MOST_ROWS = 1_000_000

#: Values further out than this share are not shown.
_TAIL = 0.002


@dataclass(frozen=True, eq=False)
class Pixels:
    """Rows of features.

    Attributes
    ----------
    features : ndarray of shape (M, D)
    counts : ndarray of shape (M,), float64
        How many pixels each row stands for.
    labels : ndarray of shape (M,)
        Class of each row, from 1.
    """

    features: NDArray[Any]
    counts: Array
    labels: NDArray[Any]

    def range_of(self, feature: int) -> tuple[float, float]:
        """The values of a feature without the outermost."""
        values = self.features[:, feature].astype(np.float64)
        order = np.argsort(values)
        reached = np.cumsum(self.counts[order])
        ends = np.searchsorted(reached, np.array([_TAIL, 1 - _TAIL]) * reached[-1])
        low, high = values[order][np.minimum(ends, len(values) - 1)]
        return float(low), float(high)


def pixels_of(model: Model, image: Image) -> Pixels:
    """The used pixels of an image as the model sees them, a sample of them if there are many.

    Raises
    ------
    InvalidDataError
        When the image has not the bands that the model needs, or no pixel may be used.
    """
    model = model.for_image(image)
    rows = pixel_rows(on_working_grid(image, model.features), model.features)
    step = -(-len(rows.features) // _MOST_ROWS)
    features = rows.features[::step]
    counts = np.ones(len(features)) if rows.counts is None else rows.counts[::step].astype(float)
    labels = np.array(model.labels)[model.mixture.predict(features)]
    return Pixels(features, counts, labels)


def _model_range(mixture: Mixture, feature: int) -> tuple[float, float]:
    """Between which values of a feature nearly all of the mixture lies."""
    low, high = mixture.quantile(_TAIL, feature), mixture.quantile(_TAIL, feature, upper=True)
    return float(low), float(high)


def shown_range(model: Model, pixels: Pixels | None, feature: int) -> tuple[float, float]:
    """What an axis should show of a feature: the mixture and the pixels, with some air."""
    low, high = _model_range(model.mixture, feature)
    if pixels is not None:
        darkest, brightest = pixels.range_of(feature)
        low, high = min(low, darkest), max(high, brightest)
    air = 0.04 * (high - low) or 0.5
    return low - air, high + air
