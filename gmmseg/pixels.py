"""The used pixels of an image as rows for the mixture: distinct ones with counts if that can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import InvalidDataError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.features import image_features, lazy_features, point_features, put_back
from gmmseg.image import Image
from gmmseg.mixture.distinct import Distinct, distinct_rows
from gmmseg.mixture.lazy import LazyRows
from gmmseg.used_pixels import used_values

__all__ = ["PixelRows", "Slab", "pixel_rows", "rows_of_values"]

#: Features of fewer bytes are held; of more, a part is made where it is read.
_HELD = 64 << 20

#: Values of distinct rows that are held at once.
_MOST_VALUES = 1 << 24

#: Rows whose values are made at once: whole blocks of the kernels.
_AT_ONCE = 1 << 19


class Slab(NamedTuple):
    """A part of the image along its first axis, and the used pixels in it."""

    along: slice
    used: slice


@dataclass(frozen=True, eq=False)
class PixelRows:
    """Rows of features and the way back to the image's pixels.

    Attributes
    ----------
    features : ndarray or LazyRows of shape (M, D)
        One row for each used pixel, or for each distinct value of the used pixels.
    counts : ndarray of shape (M,), or None
        How many pixels each row stands for; None = one.
    """

    features: NDArray[Any] | LazyRows
    counts: NDArray[np.int64] | None
    _shape: tuple[int, ...]
    _valid: NDArray[np.bool_] | None
    _values: NDArray[Any] | LazyRows
    _distinct: Distinct | None

    @property
    def n_pixels(self) -> int:
        """Number of used pixels."""
        return len(self.features) if self.counts is None else int(self.counts.sum())

    @property
    def bands(self) -> NDArray[Any] | LazyRows:
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
        out = np.zeros((len(per_row), *shape), np.float32)
        used: Any = ... if self._valid is None else self._valid.reshape(shape)
        for plane, values in zip(out, per_row, strict=True):
            rows = np.ascontiguousarray(values, np.float32)
            rows = rows if self._distinct is None else self._distinct.spread(rows)
            plane[used] = rows.reshape(shape) if self._valid is None else rows
        return out

    def of_used(self, planes: NDArray[Any]) -> NDArray[Any]:
        """The used pixels (K, N) of pictures (K, ...) with three spatial axes."""
        flat = planes.reshape(len(planes), -1)
        if self._valid is None:
            return flat
        used = self._valid.ravel()
        found = [plane[used] for plane in flat]  # a fifth of the time of flat[:, used]
        return np.stack(found) if len(found) > 1 else found[0][np.newaxis]

    @property
    def shape(self) -> tuple[int, ...]:
        """The image's shape."""
        return self._shape

    def by_class(
        self, labels: NDArray[Any]
    ) -> tuple[NDArray[Any] | LazyRows, NDArray[Any], NDArray[np.int64] | None]:
        """Bands, label and number of pixels of every pair of a row and a label that occurs.

        `labels` as in `pairs`.
        """
        if self._distinct is None:  # as they are: they may be made where they are read
            return self.bands, labels, None
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
        n_pairs = len(self._distinct.rows) * n_labels
        first_pair = self._distinct.look_up(np.arange(0, n_pairs, n_labels))
        table = np.zeros(n_pairs, np.int64)
        step = max(_AT_ONCE, n_pairs)  # not 16 bytes a pixel, nor many tables
        for start in range(0, len(labels), step):
            part = labels[start : start + step]
            pair = first_pair(start, start + len(part)) + part
            table += np.bincount(pair, minlength=n_pairs)
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

    def slabs(self, step: int) -> Iterator[Slab]:
        """Cut the image along its first axis into parts of `step`, the last of fewer."""
        n = self._shape[0]
        return self._cut(slice(start, min(start + step, n)) for start in range(0, n, step))

    def _cut(self, parts: Iterable[slice]) -> Iterator[Slab]:
        """Parts of the image along its first axis, in order."""
        looked_at = n_before = 0
        for along in parts:
            first = n_before + self._n_used(slice(looked_at, along.start))
            looked_at, n_before = along.stop, first + self._n_used(along)
            yield Slab(along, slice(first, n_before))

    def _n_used(self, along: slice) -> int:
        """Number of used pixels in a part of the image along its first axis."""
        if self._valid is not None:
            return int(np.count_nonzero(self._valid[along]))
        return (along.stop - along.start) * int(np.prod(self._shape[1:]))

    def of_slabs(
        self,
        of_features: Callable[[Any], NDArray[Any]],
        slabs: Iterable[Slab],
        fill: Any = 0,
        *,
        n_values: int = 1,
    ) -> Iterator[NDArray[Any]]:
        """What a function makes of the features of the pixels, slab by slab.

        Parameters
        ----------
        of_features : callable
            From features (n, D) to one value, or several, for each row: (n,) or (n, K).
        slabs : iterable of Slab
            Of `slabs`.
        fill : scalar
            What unused pixels get.
        n_values : int
            How many values a row is given: they are made once for each distinct row if those are
            few enough.
        """
        of_used = self._of_used(of_features, n_values)
        for slab in slabs:
            valid = None if self._valid is None else self._valid[slab.along]
            shape = (slab.along.stop - slab.along.start, *self._shape[1:])
            yield put_back(of_used(slab.used.start, slab.used.stop), valid, shape, fill)

    def planes_of(
        self,
        of_features: Callable[[Any], NDArray[Any]],
        parts: Iterable[slice],
        *,
        n_values: int,
    ) -> Iterator[NDArray[np.float32]]:
        """`planes` of parts of a volume along its first axis, in order: (K, n, rows, cols).

        Of what a function makes of the features, as in `of_slabs`.
        """
        of_used = self._of_used(of_features, n_values)
        for along, used in self._cut(parts):
            shape = (along.stop - along.start, *self._shape[1:])
            here: Any = ... if self._valid is None else self._valid[along]
            make = np.empty if self._valid is None else np.zeros
            out = make((n_values, *shape), np.float32)
            for plane, values in zip(out, of_used(used.start, used.stop).T, strict=True):
                plane[here] = values.reshape(shape) if self._valid is None else values
            yield out

    def _of_used(
        self, of_features: Callable[[Any], NDArray[Any]], n_values: int
    ) -> Callable[[int, int], NDArray[Any]]:
        """The same for the used pixels from `start` to `stop`."""
        if self._distinct is None:
            return _in_parts(lambda part: of_features(self.features[part]), len(self.features))
        if len(self.features) * n_values <= _MOST_VALUES:
            return self._distinct.look_up(of_features(self.features))
        number = self._distinct.look_up(np.arange(len(self.features), dtype=np.int32))
        return _in_parts(
            lambda part: of_features(self.features[number(part.start, part.stop)]), self.n_pixels
        )


def _in_parts(
    of_part: Callable[[slice], NDArray[Any]], n: int
) -> Callable[[int, int], NDArray[Any]]:
    """What `of_part` finds for the rows from `start` to `stop` of `n`, which is then asked for.

    It is made in the same parts whatever is asked for: the last bits depend on these. The latest
    part is kept, because the next rows to be asked for lie in it.
    """
    latest: dict[int, NDArray[Any]] = {}

    def part_of(number: int) -> NDArray[Any]:
        if number not in latest:
            latest.clear()
            first = number * _AT_ONCE
            latest[number] = of_part(slice(first, min(first + _AT_ONCE, n)))
        return latest[number]

    def found(start: int, stop: int) -> NDArray[Any]:
        numbers = range(min(start, n - 1) // _AT_ONCE, max(stop - 1, 0) // _AT_ONCE + 1)
        parts = []
        for number in numbers:
            first = number * _AT_ONCE
            parts.append(part_of(number)[max(start - first, 0) : stop - first])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return found


def pixel_rows(image: Image, spec: FeatureSpec, *, distinct: bool = True) -> PixelRows:
    """Rows of features of the used pixels.

    Where features depend on the pixel's own value alone and there is a small table of values,
    they are computed once for each distinct value, unless `distinct` is False.

    Raises
    ------
    InvalidDataError
        When no pixel may be used.
    """
    spec = spec.resolve(image)
    valid = spec.valid(image)
    values = used_values(image, spec, valid)
    return rows_of_values(values, image, spec, valid, distinct=distinct)


def rows_of_values(
    values: NDArray[Any] | LazyRows,
    image: Image,
    spec: FeatureSpec,
    valid: NDArray[np.bool_] | None,
    *,
    distinct: bool = True,
) -> PixelRows:
    """`pixel_rows` from the values of the used pixels.

    Of a scene that is streamed, `image` is a look at it: it tells of bands, not of pixels, and
    nothing can be put back. Without `distinct`, equal values are not looked for.
    """
    shape = image.shape
    if len(values) == 0:
        raise InvalidDataError(
            "no pixel may be used: every one is masked, transparent, nodata or not finite."
        )
    table = distinct_rows(values) if distinct and spec.is_pointwise else None
    if table is not None:
        features = point_features(table.rows, spec)
        return PixelRows(features, table.counts, shape, valid, values, table)
    return PixelRows(_features(image, spec, values, valid), None, shape, valid, values, None)


def _features(
    image: Image,
    spec: FeatureSpec,
    values: NDArray[Any] | LazyRows,
    valid: NDArray[np.bool_] | None,
) -> NDArray[Any] | LazyRows:
    if spec.is_raw:
        return values  # as they are: no copy
    if spec.local_mean or spec.local_std or spec.blur or spec.background or spec.local_gain:
        return image_features(image, spec)
    lazy = lazy_features(values, spec, image, valid)
    return np.asarray(lazy) if lazy.nbytes <= _HELD else lazy
