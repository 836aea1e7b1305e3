"""The result of segmenting one image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_integer
from gmmseg.classes import ClassRow, class_table
from gmmseg.errors import InvalidParameterError
from gmmseg.image import Image
from gmmseg.labels import class_mask, label_dtype
from gmmseg.mixture.mixture import Mixture
from gmmseg.model import Model
from gmmseg.pixels import PixelRows
from gmmseg.random_field import smooth_image
from gmmseg.smoothing import Smoothed, most_probable
from gmmseg.uncertainty import entropy, novelty

__all__ = ["Segmentation"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmentation:
    """Labels of one image, and all that follows from them and the model.

    What is large is computed when it is first asked for.

    Attributes
    ----------
    image : Image
    model : Model
    warnings : tuple of str
        What was repaired or assumed on the way.

    Pixels whose class the user told have that label, with probability 1.
    """

    image: Image
    model: Model
    warnings: tuple[str, ...]
    _rows: PixelRows
    _threads: int | None = None
    _hints: NDArray[Any] | None = None

    @property
    def k(self) -> int:
        """Number of classes."""
        return self.model.k

    @property
    def mixture(self) -> Mixture:
        return self.model.mixture

    @cached_property
    def smoothed(self) -> Smoothed | None:
        """The smoothed posterior and its beta; None where every pixel stands for itself."""
        if not self.model.smoothing.is_on:
            return None
        return smooth_image(
            self.image, self._rows, self.model, hints=self._hints, threads=self._threads
        )

    @cached_property
    def _row_labels(self) -> NDArray[Any]:
        label_of = np.array(self.model.labels, dtype=label_dtype(self.k))
        return label_of[self.mixture.predict(self._rows.features, threads=self._threads)]

    @cached_property
    def _row_posterior(self) -> NDArray[Any]:
        """Posterior of the classes for every row, (M, k), float32."""
        posterior = self.mixture.posterior(self._rows.features, threads=self._threads)
        if self.model.is_one_to_one:
            return posterior.astype(np.float32, copy=False)
        classes = np.zeros((self.k, len(posterior)), np.float32)
        for label, component in zip(self.model.labels, posterior.T, strict=True):
            classes[label - 1] += component
        return classes.T

    @cached_property
    def labels(self) -> NDArray[Any]:
        """Label map of the image's shape: 1..k from dark to bright, 0 = pixel not used.

        uint8, or uint16 when k > 255.
        """
        if self.smoothed is None:
            labels = self._rows.put_back(self._row_labels)
        else:
            found = most_probable(self.smoothed.probabilities, label_dtype(self.k))
            labels = found.reshape(self.image.shape)
        if self._hints is not None:
            np.copyto(labels, self._hints, where=self._hints > 0, casting="unsafe")
        return labels

    @cached_property
    def probabilities(self) -> NDArray[Any]:
        """Probability of every class, the image's shape and (k,), float32; 0 where not used."""
        if self.smoothed is None:
            found = self._rows.put_back(self._row_posterior)
        else:
            planes = self.smoothed.probabilities.reshape(self.k, *self.image.shape)
            found = np.moveaxis(planes, 0, -1)
        return self._with_hints(found, np.arange(1, self.k + 1))

    def probability(self, label: int) -> NDArray[Any]:
        """Probability of one class, of the image's shape, float32; 0 where not used."""
        index = self._index(label)
        if self.smoothed is None:
            found = self._rows.put_back(np.ascontiguousarray(self._row_posterior[:, index]))
        else:
            found = self.smoothed.probabilities[index].reshape(self.image.shape)
        return self._with_hints(found, label)

    def _with_hints(self, probability: NDArray[Any], labels: Any) -> NDArray[Any]:
        """Certainty, of these labels, where a pixel has a hint."""
        if self._hints is not None:
            known = self._hints > 0
            probability[known] = np.equal.outer(self._hints[known], labels)
        return probability

    @cached_property
    def entropy(self) -> NDArray[np.float32]:
        """Ambiguity of every pixel, 0 = sure .. 1 = no idea; NaN where not used."""
        if self.smoothed is None and self._hints is None:
            return self._rows.put_back(entropy(self._row_posterior), np.nan)
        found = entropy(self.probabilities.reshape(-1, self.k)).reshape(self.image.shape)
        if self._rows.valid is not None:
            found[~self._rows.valid] = np.nan
        return found

    @cached_property
    def novelty(self) -> NDArray[np.float32]:
        """How badly even the nearest Gaussian explains a pixel, 0..1; NaN where not used."""
        return self._rows.put_back(novelty(self.mixture, self._rows.features), np.nan)

    @cached_property
    def table(self) -> tuple[ClassRow, ...]:
        """Pixels, share, area, mean and standard deviation of every class."""
        if self.smoothed is None and self._hints is None:
            bands, labels, counts = self._rows.bands, self._row_labels, self._rows.counts
        else:
            bands, labels, counts = self._rows.by_class(self._rows.of_used(self.labels[None])[0])
        return class_table(labels, bands, counts, self.k, self.image.spacing)

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands in `table`."""
        image = self.image
        known = image.band_names or (
            ("red", "green", "blue", *(f"band {b + 1}" for b in range(3, image.n_bands)))
            if image.colour
            else ("grey",)
            if image.n_bands == 1
            else tuple(f"band {b + 1}" for b in range(image.n_bands))
        )
        return tuple(known[b] for b in self.model.features.chosen(image))

    def mask(self, label: int) -> NDArray[np.uint8]:
        """255 where a pixel has this label, else 0; uint8, C-contiguous, as OpenCV wants it."""
        self._index(label)
        return class_mask(self.labels, label)

    def overlay(self, *, legend: bool = False) -> NDArray[np.uint8]:
        """The picture with its classes in colour, RGB uint8.

        A volume is shown by its middle plane. With `legend`, a strip below tells the colour and
        share of each class.
        """
        from gmmseg.overlay import describe_display, display_rgb, overlay, with_legend

        labels = self.labels if self.image.ndim == 2 else self.labels[len(self.labels) // 2]
        picture = overlay(display_rgb(self.image), labels, n_labels=self.k, threads=self._threads)
        if not legend:
            return picture
        entries = [(row.label, row.share) for row in self.table]
        return with_legend(picture, entries, note=describe_display(self.image))

    def to_dict(self) -> dict[str, Any]:
        """A summary as plain JSON values: what ``gmmseg segment --json`` prints."""
        return {
            "input": None if self.image.path is None else str(self.image.path),
            "shape": list(self.image.shape),
            "k": self.k,
            "pixels_used": self._rows.n_pixels,
            "pixels_not_used": self.image.n_pixels - self._rows.n_pixels,
            "bands": list(self.band_names),
            "classes": [row.to_dict() for row in self.table],
            "fit": self.model.provenance.get("fit", {}),
            "smoothing": self._smoothing_found(),
            "notes": list(self.image.notes),
            "warnings": list(self.warnings),
        }

    def _smoothing_found(self) -> dict[str, Any] | None:
        found = self.smoothed
        if found is None:
            return None
        return {"beta": found.beta, "sweeps": found.n_sweeps, "converged": found.converged}

    def _index(self, label: int) -> int:
        check_integer(label, "label", minimum=1)
        if label > self.k:
            raise InvalidParameterError(f"label must be at most k = {self.k}, got {label}.")
        return int(label) - 1
