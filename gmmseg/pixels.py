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

    @property
    def valid(self) -> NDArray[np.bool_] | None:
        """True at the used pixels, of the image's shape; None = all."""
        return self._valid

    def planes(self, per_row: NDArray[Any]) -> NDArray[np.float32]:
        """Values (K, M) of the rows as one picture for each of K: (K, ...), 0 where not used.

        float32 with three spatial axes: what `gmmseg.lattice` works on.
        """
        shape = (1,) * (3 - len(self._shape)) + self._shape
        out = np.empty((len(per_row), *shape), np.float32)
        for plane, values in zip(out, per_row, strict=True):
            plane[:] = self.put_back(np.ascontiguousarray(values, np.float32)).reshape(shape)
        return out

    def of_used(self, planes: NDArray[Any]) -> NDArray[Any]:
        """The used pixels (K, N) of pictures (K, ...) with three spatial axes."""
        flat = planes.reshape(len(planes), -1)
        return flat if self._valid is None else flat[:, self._valid.ravel()]

    @property
    def shape(self) -> tuple[int, ...]:
        """The image's shape."""
        return self._shape

    def by_class(
        self, labels: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64] | None]:
        """Bands, label and number of pixels of every pair of a row and a label that occurs.

        `labels` as in `pairs`.
        """
        rows, labels, counts = self.pairs(labels)
        return self.bands[rows], labels, counts

    def pairs(self, labels: NDArray[Any]) -> tuple[Any, NDArray[Any], NDArray[np.int64] | None]:
        """Row, label and number of pixels of every pair of a row and a label that occurs.

        Rows are an index of `features` and `bands`.

        Parameters
        ----------
        labels : ndarray of int, shape (N,)
            One for each used pixel.
        """
        if self._distinct is None:
            return slice(None), labels, None
        n_labels = int(labels.max()) + 1
        pair = self._distinct.spread(np.arange(len(self._distinct.rows)) * n_labels)
        table = np.bincount(pair + labels)
        seen = np.flatnonzero(table)
        return seen // n_labels, seen % n_labels, table[seen]

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
