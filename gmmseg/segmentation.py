"""The result of segmenting one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_choice, check_integer
from gmmseg.bias import BiasField
from gmmseg.cascade import SmoothedVolume
from gmmseg.classes import ClassRow, class_table
from gmmseg.components import Components, boxes_of_labels, find_components
from gmmseg.contours import find_contours
from gmmseg.errors import InvalidParameterError
from gmmseg.image import Image
from gmmseg.labels import class_mask, label_dtype
from gmmseg.mixture.lazy import parts_of
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.model import Model
from gmmseg.opencv import cut_out, grabcut_codes
from gmmseg.pixels import PixelRows
from gmmseg.priors import PriorMaps
from gmmseg.random_field import smoothed_posterior, within_classes
from gmmseg.regions import as_map, clean_labels, connected_regions, merge_regions
from gmmseg.smoothing import Smoothed, most_probable
from gmmseg.stability import Stability, StabilityOptions, refitted_models
from gmmseg.uncertainty import entropy, novelty

__all__ = ["Segmentation"]

_MAPS = ("probabilities", "entropy", "novelty")

#: Pixels of a slab where maps are made in memory.
_PIXELS = 1 << 20


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
    bias : BiasField or None
        The smooth factor that was taken out of `image`, where one was asked for.

    Pixels whose class the user told have that label, with probability 1.
    """

    image: Image
    model: Model
    warnings: tuple[str, ...]
    _rows: PixelRows
    _threads: int | None = None
    _hints: NDArray[Any] | None = None
    _smoothed: Smoothed | None = None  # of a part of an image: with what surrounds it
    bias: BiasField | None = None
    _em: EMOptions | None = None  # how the model was fitted to this image, if it was
    _stability: StabilityOptions = StabilityOptions()
    _priors: PriorMaps | None = None

    @property
    def k(self) -> int:
        """Number of classes."""
        return self.model.k

    @property
    def mixture(self) -> Mixture:
        return self.model.mixture

    @cached_property
    def smoothed(self) -> Smoothed | SmoothedVolume | None:
        """The smoothed posterior and its beta; None where every pixel stands for itself.

        With prior maps there is one in any case: a pixel's posterior is then not that of its value.
        """
        if not self.model.smoothing.is_on and self._priors is None:
            return None
        return self._smoothed or smoothed_posterior(
            self.image,
            self._rows,
            self.model,
            hints=self._hints,
            priors=self._priors,
            threads=self._threads,
        )

    @cached_property
    def _row_labels(self) -> NDArray[Any]:
        if self.model.one_to_one:
            label_of = np.array(self.model.labels, dtype=label_dtype(self.k))
            return label_of[self.mixture.predict(self._rows.features, threads=self._threads)]
        labels = np.empty(len(self._rows.features), label_dtype(self.k))
        for rows, part in parts_of(self._rows.features):
            posterior = self._posterior(part).T
            labels[rows] = most_probable(posterior, labels.dtype, threads=self._threads)
        return labels

    def _posterior(self, features: Any) -> NDArray[np.float32]:
        """Posterior of the classes for some rows of features, (n, k)."""
        posterior = self.mixture.posterior(features, threads=self._threads)
        if self.model.in_order:
            return posterior.astype(np.float32, copy=False)
        classes = np.zeros((self.k, len(posterior)), np.float32)
        for label, component in zip(self.model.labels, posterior.T, strict=True):
            classes[label - 1] += component
        return classes.T

    def slabs(self, what: str, step: int, *, label: int | None = None) -> Iterator[NDArray[Any]]:
        """A map part by part along its first axis, so that it is never in memory as a whole.

        Parameters
        ----------
        what : {"probabilities", "entropy", "novelty"}
            The attribute of that name.
        step : int
            How many rows of pixels (of a volume: planes) come at once.
        label : int, optional
            The probability of this class alone, as `probability` gives it.

        Yields
        ------
        ndarray of float32
            (step, cols[, k]) or (step, rows, cols[, k]); the last may be shorter.

        Examples
        --------
        >>> import numpy as np, gmmseg
        >>> seg = gmmseg.segment(np.arange(60, dtype=np.uint8).reshape(6, 10), k=2)
        >>> [part.shape for part in seg.slabs("probabilities", 4)]
        [(4, 10, 2), (2, 10, 2)]
        """
        check_choice(what, "what", _MAPS)
        check_integer(step, "step", minimum=1)
        return self._slabs(what, step, label)

    def _slabs(self, what: str, step: int, label: int | None) -> Iterator[NDArray[Any]]:
        index = None if label is None else self._index(label)
        if self.smoothed is not None and what != "novelty":
            found = self._smoothed_slabs(what, step, index)
        else:
            found = self._slabs_of_features(what, self._rows.slabs(step), index)
        return found if self._hints is None else self._hinted(found, what, step, label)

    def _hinted(
        self, slabs: Iterator[NDArray[Any]], what: str, step: int, label: int | None
    ) -> Iterator[NDArray[Any]]:
        """The slabs with certainty where a pixel has a hint."""
        assert self._hints is not None  # noqa: S101 - `slabs` has seen to it
        labels = np.arange(1, self.k + 1) if label is None else label
        for i, part in enumerate(slabs):
            hints = self._hints[i * step : (i + 1) * step]
            if what == "probabilities":
                part[hints > 0] = np.equal.outer(hints[hints > 0], labels)
            elif what == "entropy":
                part[(hints > 0) & ~np.isnan(part)] = 0
            yield part

    def _slabs_of_features(
        self, what: str, slabs: Any, index: int | None
    ) -> Iterator[NDArray[Any]]:
        fill = 0 if what == "probabilities" else np.nan

        def of_features(features: Any) -> NDArray[Any]:
            if what == "novelty":
                return novelty(self.mixture, features)
            found = self._posterior(features)
            if what == "entropy":
                return entropy(found)
            return found if index is None else np.ascontiguousarray(found[:, index])

        return self._rows.of_slabs(of_features, slabs, fill, n_values=self.mixture.n_components)

    def _smoothed_slabs(self, what: str, step: int, index: int | None) -> Iterator[NDArray[Any]]:
        assert self.smoothed is not None  # noqa: S101 - `slabs` has seen to it
        valid = self._rows.valid
        for i, planes in enumerate(self.smoothed.slabs(self.image.shape, step, index=index)):
            soft = planes[0] if index is not None else np.moveaxis(planes, 0, -1)
            if what == "entropy":
                soft = entropy(soft.reshape(-1, self.k)).reshape(soft.shape[:-1])
                if valid is not None:
                    soft[~valid[i * step : (i + 1) * step]] = np.nan
            yield soft

    def _whole(self, what: str, *, label: int | None = None) -> NDArray[np.float32]:
        """All slabs in one array; classes are apart in memory."""
        one = label is not None or what != "probabilities"
        out = np.empty((*(() if one else (self.k,)), *self.image.shape), np.float32)
        found = out if one else np.moveaxis(out, 0, -1)
        step = max(1, _PIXELS * self.image.shape[0] // self.image.n_pixels)
        for i, slab in enumerate(self.slabs(what, step, label=label)):
            found[i * step : (i + 1) * step] = slab
        return found

    @cached_property
    def labels(self) -> NDArray[Any]:
        """Label map of the image's shape: 1..k from dark to bright, 0 = pixel not used.

        uint8, or uint16 when k > 255. Specks and holes are gone as the model's `regions` says.
        """
        if self.smoothed is None:
            labels = self._rows.put_back(self._row_labels)
        else:
            labels = self.smoothed.labels(threads=self._threads).reshape(self.image.shape)
        if self.model.regions.cleans:
            labels = clean_labels(
                labels,
                self.model.regions,
                probability=self.probability,
                spacing=self.image.spacing,
                unit=self.image.unit,
            )
        if self._hints is not None:
            np.copyto(labels, self._hints, where=self._hints > 0, casting="unsafe")
        return labels

    @cached_property
    def regions(self) -> NDArray[Any]:
        """Connected regions of the label map, numbered from 1; 0 = pixel not used.

        Joined further as the model's `regions` says: they may then hold several classes. uint16,
        or uint32 when there are more than 65 535.
        """
        options = self.model.regions
        found = connected_regions(self.labels, options.connectivity)
        if options.merges:
            features = self._rows.planes(within_classes(self._rows, self.model, self.image.ndim))
            found = merge_regions(found, features.reshape(-1, *found.shape), options)
        return as_map(found)

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Probability of every class, the image's shape and (k,), float32; 0 where not used."""
        if self.smoothed is None or self._hints is not None:
            return self._whole("probabilities")
        planes = self.smoothed.probabilities.reshape(self.k, *self.image.shape)
        return np.moveaxis(planes, 0, -1)

    def probability(self, label: int) -> NDArray[np.float32]:
        """Probability of one class, of the image's shape, float32; 0 where not used."""
        return self._whole("probabilities", label=self._index(label) + 1)

    @cached_property
    def entropy(self) -> NDArray[np.float32]:
        """Ambiguity of every pixel, 0 = sure .. 1 = no idea; NaN where not used."""
        return self._whole("entropy")

    @cached_property
    def novelty(self) -> NDArray[np.float32]:
        """How badly even the nearest Gaussian explains a pixel, 0..1; NaN where not used."""
        return self._whole("novelty")

    @cached_property
    def refits(self) -> Stability:
        """What `refit` found; from then on `table` has intervals."""
        return self.refit()

    def refit(self, progress: Callable[[float], None] = lambda share: None) -> Stability:
        """What becomes of the labels when the model is refitted to parts of the image.

        As `SegmentOptions.stability` says. It is kept as `refits`.

        Parameters
        ----------
        progress : callable
            Called with the share that is done, 0..1.

        Raises
        ------
        InvalidParameterError
            When the model was not fitted to this image.

        Examples
        --------
        >>> import numpy as np, gmmseg
        >>> picture = np.zeros((20, 30), np.uint8)
        >>> picture[:, 10:] = 200
        >>> found = gmmseg.segment(picture, k=2).refit()
        >>> found.agreement.min(), len(found.shares)
        (np.float32(1.0), 20)
        """
        if self._em is None:
            raise InvalidParameterError(
                "stability is of a fit, but this image was labelled by a model that is given: it "
                "would not change. Segment the image instead."
            )
        models = refitted_models(
            self.model, self._rows, self._em, self._stability, hints=self._hints,
            priors=self._priors, threads=self._threads, progress=progress,
        )  # fmt: skip
        labels = (self._with_model(model).labels for model in models)
        found = self.__dict__["refits"] = Stability.of(labels, self.k, self._stability.level)
        return found

    def _with_model(self, model: Model) -> Segmentation:
        """The image labelled by another model of the same form."""
        return replace(self, model=model)

    @property
    def stability(self) -> NDArray[np.float32]:
        """In which part of some refits a pixel keeps its label, 0..1; NaN where not used.

        See `refits`.
        """
        return self.refits.agreement

    @property
    def table(self) -> tuple[ClassRow, ...]:
        """Pixels, share, area, mean and standard deviation of every class."""
        if "refits" not in self.__dict__:
            return self._table
        size = None if self.image.spacing is None else float(np.prod(self.image.spacing))
        return tuple(
            row.with_interval(*self.refits.interval(row.label, row.share), self._n_used, size)
            for row in self._table
        )

    @cached_property
    def _table(self) -> tuple[ClassRow, ...]:
        if self.smoothed is None and self._hints is None and not self.model.regions.cleans:
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

    def contours(self, label: int, *, hierarchy: bool = False, simplify: bool = True) -> Any:
        """Contours of a class in OpenCV's form, (points, 1, 2) of int32: `find_contours`.

        With `hierarchy` holes as well, and the array that tells what lies in what.

        Raises
        ------
        MissingDependencyError
            When OpenCV, or a system library that it needs, is not installed.
        """
        mask = self.mask(label)
        if hierarchy:
            return find_contours(mask, hierarchy=True, simplify=simplify)
        return find_contours(mask, simplify=simplify)

    def components(self, label: int, *, connectivity: int | None = None) -> Components:
        """Connected components of a class, as `cv2.connectedComponentsWithStats` has them.

        Examples
        --------
        >>> import numpy as np, gmmseg
        >>> seg = gmmseg.segment(np.array([[9, 0, 9, 9]], np.uint8), k=2)
        >>> n, labels, stats, centroids = seg.components(2)
        >>> stats[1:].tolist()
        [[0, 0, 1, 1, 1], [2, 0, 2, 1, 2]]
        """
        return find_components(self.mask(label), connectivity)

    def boxes(self, label: int | None = None) -> NDArray[np.int32]:
        """Boxes (x, y, width, height) of the classes, or of the components of one class.

        int32; row j is class j + 1, and zeros for a class without pixels. Of a volume
        (x, y, z, width, height, depth).
        """
        if label is None:
            return boxes_of_labels(self.labels, self.k)
        return self.components(label).stats[1:, :-1]

    def grabcut_mask(
        self, foreground: int | Sequence[int] | None = None, *, sure: float = 0.99
    ) -> NDArray[np.uint8]:
        """A mask for `cv2.grabCut`: surely or probably, foreground or background.

        Parameters
        ----------
        foreground : int or sequence of int, optional
            Labels of the foreground; the last class, which is the object of a `box`, when not
            given.
        sure : float
            Pixels that are foreground with this probability, or background, are so surely: they
            stay as they are. Pixels that are not used are background.

        Returns
        -------
        ndarray of uint8, of the image's shape
            0 = `cv2.GC_BGD`, 1 = `GC_FGD`, 2 = `GC_PR_BGD`, 3 = `GC_PR_FGD`.
        """
        probability = self._probability_of(self.k if foreground is None else foreground)
        return grabcut_codes(probability, self.labels > 0, sure=sure)

    def cutout(self, label: int | Sequence[int]) -> NDArray[np.uint8]:
        """The picture as opaque as it is probably of a class, or of some, RGBA uint8.

        Straight (not premultiplied) alpha. A volume is shown by its middle plane.
        """
        from gmmseg.overlay import display_rgb

        soft = self._probability_of(label)
        return cut_out(
            display_rgb(self.image), soft if self.image.ndim == 2 else soft[len(soft) // 2]
        )

    def _probability_of(self, labels: int | Sequence[int]) -> NDArray[np.float32]:
        """Probability of one class, or of any of several, clipped to 0..1."""
        several = tuple(labels) if isinstance(labels, Sequence) else (labels,)
        if not several:
            raise InvalidParameterError("label must name one class at least, got none.")
        for label in several:
            self._index(label)
        parts = (self.probability(label) for label in dict.fromkeys(several))
        return np.clip(sum(parts, np.zeros(self.image.shape, np.float32)), 0, 1)

    def overlay(self, *, legend: bool = False) -> NDArray[np.uint8]:
        """The picture with its classes in colour, RGB uint8.

        A volume is shown by its middle plane. With `legend`, a strip below tells the colour and
        share of each class.
        """
        from gmmseg.overlay import describe_display, displayed, legend_below, overlay

        labels = self.labels if self.image.ndim == 2 else self.labels[len(self.labels) // 2]
        framed = place = None
        if legend:
            entries = [(row.label, row.share) for row in self.table]
            note = describe_display(self.image)
            framed, place = legend_below(labels.shape[0], labels.shape[1], entries, note=note)
        picture = overlay(
            displayed(self.image), labels, n_labels=self.k, threads=self._threads, out=place
        )
        return picture if framed is None else framed

    def to_dict(self) -> dict[str, Any]:
        """A summary as plain JSON values: what ``gmmseg segment --json`` prints."""
        asked = self.__dict__  # what is large is there only if it was asked for
        return {
            "input": None if self.image.path is None else str(self.image.path),
            "shape": list(self.image.shape),
            "k": self.k,
            "pixels_used": self._n_used,
            "pixels_not_used": self.image.n_pixels - self._n_used,
            "bands": list(self.band_names),
            "classes": [row.to_dict() for row in self.table],
            "fit": self.model.provenance.get("fit", {}),
            "smoothing": self._smoothing_found(),
            "regions": {"number": int(self.regions.max())} if "regions" in asked else None,
            "stability": self.refits.to_dict() if "refits" in asked else None,
            "bias": None if self.bias is None else self.bias.to_dict(),
            "notes": list(self.image.notes),
            "warnings": list(self.warnings),
        }

    @property
    def _n_used(self) -> int:
        """Number of used pixels."""
        return self._rows.n_pixels

    def _smoothing_found(self) -> dict[str, Any] | None:
        found = self.smoothed
        if found is None or not self.model.smoothing.is_on:
            return None
        return {"beta": found.beta, "sweeps": found.n_sweeps, "converged": found.converged}

    def _index(self, label: int) -> int:
        check_integer(label, "label", minimum=1)
        if label > self.k:
            raise InvalidParameterError(f"label must be at most k = {self.k}, got {label}.")
        return int(label) - 1
