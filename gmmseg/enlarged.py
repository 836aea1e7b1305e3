"""The result of segmenting a large picture on a coarser grid, at the picture's own size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.cascade import SmoothedVolume
from gmmseg.classes import ClassRow, class_table, class_table_of_levels
from gmmseg.feature_spec import FeatureSpec
from gmmseg.labels import label_dtype
from gmmseg.model import Model
from gmmseg.pixels import pixel_rows
from gmmseg.segmentation import Segmentation
from gmmseg.smoothing import Smoothed
from gmmseg.working_grid import enlarged, interpolated

__all__ = ["EnlargedSegmentation"]


@dataclass(frozen=True, kw_only=True, eq=False)
class EnlargedSegmentation(Segmentation):
    """Labels by the heaviest of the squares around a pixel, soft maps between their centres.

    See `gmmseg.working_grid`. The table is of all pixels.
    """

    _coarse: Segmentation

    @property
    def _step(self) -> int:
        return self.model.features.step(self.image.shape)

    @cached_property
    def _valid(self) -> NDArray[np.bool_] | None:
        return self.model.features.valid(self.image)

    @property
    def smoothed(self) -> Smoothed | SmoothedVolume | None:
        """What smoothing found on the coarser grid."""
        return self._coarse.smoothed

    @cached_property
    def labels(self) -> NDArray[Any]:
        """As of `Segmentation`; specks and holes are gone on the coarser grid."""
        return enlarged(self._coarse.labels, self._step, self.image.shape, self._valid)

    @cached_property
    def regions(self) -> NDArray[Any]:
        """As of `Segmentation`, found on the coarser grid."""
        return enlarged(self._coarse.regions, self._step, self.image.shape, self._valid)

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Probability of every class, the image's shape and (k,), float32; 0 where not used."""
        return self._whole("probabilities")

    def _slabs(self, what: str, step: int, label: int | None) -> Iterator[NDArray[Any]]:
        coarse = self._coarse._whole(what, label=label)
        planes = np.moveaxis(coarse, -1, 0) if coarse.ndim == 3 else coarse[None]
        if self._coarse._rows.valid is not None:
            planes = np.where(self._coarse._rows.valid, planes, np.float32(np.nan))
        n_rows, n_columns = self.image.shape
        for start in range(0, n_rows, step):
            along = slice(start, min(start + step, n_rows))
            part = interpolated(planes, self._step, along, n_columns)
            if self._valid is not None:
                part[:, ~self._valid[along]] = 0 if what == "probabilities" else np.nan
            yield np.moveaxis(part, 0, -1) if coarse.ndim == 3 else part[0]

    def _with_model(self, model: Model) -> EnlargedSegmentation:
        coarse = replace(model, regions=self._coarse.model.regions)
        return replace(self, model=model, _coarse=self._coarse._with_model(coarse))

    @cached_property
    def _table(self) -> tuple[ClassRow, ...]:
        chosen = self.model.features.chosen(self.image)
        if self.image.data.dtype == np.uint8 and self.image.missing is None:
            return class_table_of_levels(
                self.labels, self.image.data, chosen, self.k, self.image.spacing, self._threads
            )
        spec = FeatureSpec(colour_space="raw", bands=tuple(band + 1 for band in chosen))
        image = self.image if self._valid is None else self.image.with_mask(self._valid)
        rows = pixel_rows(image, spec)
        labels = self.labels.ravel() if rows.valid is None else self.labels[rows.valid]
        bands, labels, counts = rows.by_class(labels.astype(label_dtype(self.k), copy=False))
        return class_table(labels, bands, counts, self.k, self.image.spacing)

    @property
    def _n_used(self) -> int:
        return self.image.n_pixels if self._valid is None else int(np.count_nonzero(self._valid))
