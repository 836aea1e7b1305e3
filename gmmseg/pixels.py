"""The used pixels of an image as rows for the mixture: distinct ones with counts if that can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import InvalidDataError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.features import image_features, pixel_values, point_features, put_back
from gmmseg.image import Image
from gmmseg.mixture.distinct import Distinct, distinct_rows

__all__ = ["PixelRows", "pixel_rows"]


@dataclass(frozen=True, eq=False)
class PixelRows:
    """Rows of features and the way back to the image's pixels.

    Attributes
    ----------
    features : ndarray of shape (M, D)
        One row for each used pixel, or for each distinct value of the used pixels.
    counts : ndarray of shape (M,), or None
        How many pixels each row stands for; None = one.
    """

    features: NDArray[Any]
    counts: NDArray[np.int64] | None
    _shape: tuple[int, ...]
    _valid: NDArray[np.bool_] | None
    _values: NDArray[Any]
    _distinct: Distinct | None

    @property
    def n_pixels(self) -> int:
        """Number of used pixels."""
        return len(self.features) if self.counts is None else int(self.counts.sum())

    @property
    def bands(self) -> NDArray[Any]:
        """The chosen bands of the rows as they are in the image, (M, B)."""
        return self._values if self._distinct is None else self._distinct.rows

    @property
    def numbers(self) -> NDArray[np.int32]:
        """The row of every pixel, of the image's shape; -1 where a pixel is not used."""
        return self.put_back(np.arange(len(self.features), dtype=np.int32), -1)

    def put_back(self, per_row: NDArray[Any], fill: Any = 0) -> NDArray[Any]:
        """An array of the image's shape from one value, or K values, for each row.

        Parameters
        ----------
        per_row : ndarray of shape (M,) or (M, K)
        fill : scalar
            What unused pixels get.

        Returns
        -------
        ndarray of the image's shape, or that and K
        """
        rows = per_row if self._distinct is None else self._distinct.spread(per_row)
        return put_back(rows, self._valid, self._shape, fill)


def pixel_rows(image: Image, spec: FeatureSpec) -> PixelRows:
    """Rows of features of the used pixels.

    Where features depend on the pixel's own value alone and there is a small table of values,
    they are computed once for each distinct value.

    Raises
    ------
    InvalidDataError
        When no pixel may be used.
    """
    spec = spec.resolve(image)
    values = pixel_values(image, spec)
    if len(values) == 0:
        raise InvalidDataError(
            "no pixel may be used: every one is masked, transparent, nodata or not finite."
        )
    valid, shape = spec.valid(image), image.shape
    distinct = distinct_rows(values) if spec.is_pointwise else None
    if distinct is not None:
        features = point_features(distinct.rows, spec)
        return PixelRows(features, distinct.counts, shape, valid, values, distinct)
    if spec.is_pointwise and spec.colour_space == "raw":
        return PixelRows(values, None, shape, valid, values, None)  # as they are: no copy
    return PixelRows(image_features(image, spec), None, shape, valid, values, None)
