"""Scenes that are read in strips, and their pixels as rows that are made where they are read."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from gmmseg.feature_spec import FeatureSpec, feature_dtype
from gmmseg.georeference import Georeference
from gmmseg.image import Image
from gmmseg.mixture.lazy import LazyRows
from gmmseg.pixel_grid import PixelGrid
from gmmseg.used_pixels import used_values

__all__ = ["ImageScene", "Scene", "SceneRows", "Strips", "joined_rows", "strip_height"]

T = TypeVar("T")

#: Strips that are held at once: the one that is worked on, a neighbour, and the next.
_FEWEST = 3


class Scene(ABC):
    """A flat image that is read in strips of whole rows: all that streaming asks of a file.

    Attributes
    ----------
    shape : tuple of int
        (rows, cols).
    dtype : dtype
        Of the values as they are read.
    band_names : tuple of str
        One for each band, or none.
    n_bands : int
    block_rows : int
        Rows that are decoded together: strips begin at multiples of it.
    is_complete : bool
        Whether it is known, without reading, that all pixels are used and have all bands.
    nodata : tuple of float
        Values that stand for no data in some band.
    path : Path or None
    spacing, unit, georeference, grid
        As in `Image`.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    n_bands: int
    band_names: tuple[str, ...] = ()
    block_rows: int = 1
    is_complete: bool = False
    nodata: tuple[float, ...] = ()
    path: Path | None = None
    spacing: tuple[float, ...] | None = None
    unit: str = ""
    georeference: Georeference | None = None
    grid: PixelGrid | None = None

    @abstractmethod
    def read(self, rows: slice) -> Image:
        """Some rows, from start to stop, over the whole width."""

    @abstractmethod
    def look(self, most_pixels: int) -> Image:
        """The whole scene with fewer pixels, evenly spread; or where that takes long, a part."""

    def close(self) -> None:  # noqa: B027 - a scene in memory has no file to let go
        """Let the file go."""

    @property
    def n_pixels(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """What it takes when it is decoded."""
        return self.n_pixels * self.n_bands * self.dtype.itemsize

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ImageScene(Scene):
    """An image in memory, or mapped from a file, as a scene.

    Examples
    --------
    >>> scene = ImageScene(Image.from_array(np.arange(12).reshape(4, 3)))
    >>> scene.read(slice(1, 3)).data[..., 0].tolist(), scene.look(4).shape
    ([[3, 4, 5], [6, 7, 8]], (2, 2))
    """

    def __init__(self, image: Image, *, block_rows: int = 1) -> None:
        rows, cols = image.shape
        self._image = image
        self.shape, self.dtype, self.n_bands = (rows, cols), image.data.dtype, image.n_bands
        self.block_rows = block_rows
        self.band_names, self.path = image.band_names, image.path
        self.spacing, self.unit, self.georeference = image.spacing, image.unit, image.georeference
        self.is_complete = self.dtype.kind != "f" and image.mask is None and image.missing is None

    def read(self, rows: slice) -> Image:
        place = self.georeference and self.georeference.of_window(rows.start, 0)
        return self._part((rows, slice(None)), georeference=place)

    def look(self, most_pixels: int) -> Image:
        step = look_step(self.shape, most_pixels)
        return self._part((slice(None, None, step),) * 2, georeference=None)

    def _part(self, key: Any, *, georeference: Georeference | None) -> Image:
        image = self._image
        mask = None if image.mask is None else image.mask[key]
        missing = None if image.missing is None else image.missing[key]
        return replace(
            image, data=image.data[key], mask=mask, missing=missing, georeference=georeference
        )


def look_step(shape: tuple[int, int], most_pixels: int) -> int:
    """Every how many pixels one is looked at, so that it is at most so many.

    Examples
    --------
    >>> look_step((1000, 1000), 10_000)
    10
    """
    step = 1
    while -(-shape[0] // step) * -(-shape[1] // step) > most_pixels:
        step += 1
    return step


def strip_height(scene: Scene, n_bytes: int) -> int:
    """Rows of strips of which a few take at most `n_bytes`, if blocks of the file allow that."""
    per_row = max(1, scene.nbytes // scene.shape[0])
    most = n_bytes // (_FEWEST + 1) // per_row
    height = max(most // scene.block_rows, 1) * scene.block_rows
    return min(height, scene.shape[0])


class Strips(Generic[T]):
    """A scene cut into strips, each read once for all who ask, the next one ahead of time.

    What is asked for is made by a thread of its own, so that decoding goes on while others
    compute. Use as a context manager.

    Parameters
    ----------
    scene : Scene
    height : int
        Rows of a strip.
    make : callable
        From the image of a strip to what is kept of it.
    keep : int
        How many strips are kept.
    """

    def __init__(
        self, scene: Scene, height: int, make: Callable[[Image], T], *, keep: int = _FEWEST
    ) -> None:
        self._scene, self._make, self._keep = scene, make, keep
        self.height = height
        self._found: OrderedDict[int, Future[T]] = OrderedDict()
        self._lock = threading.Lock()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="gmmseg-read")

    def __len__(self) -> int:
        return -(-self._scene.shape[0] // self.height)

    def rows(self, i: int) -> slice:
        """The rows of the scene that strip `i` holds."""
        return slice(i * self.height, min((i + 1) * self.height, self._scene.shape[0]))

    def __getitem__(self, i: int) -> T:
        with self._lock:
            wanted = self._asked(i)
            if i + 1 < len(self):
                self._asked(i + 1)
        return wanted.result()

    def _asked(self, i: int) -> Future[T]:
        if i not in self._found:
            self._make_room()
            self._found[i] = self._reader.submit(self._read, i)
        self._found.move_to_end(i)
        return self._found[i]

    def _make_room(self) -> None:
        """Let the oldest go; not those that somebody may be waiting for.

        The first strips stay for good, so that the next pass finds them: of strips that are read
        in order, again and again, those that are kept by age would be gone when they are asked for.
        """
        first = self._keep - _FEWEST
        done = [i for i, future in self._found.items() if i >= first and future.done()]
        for i in done[: max(len(self._found) + 1 - self._keep, 0)]:
            del self._found[i]

    def _read(self, i: int) -> T:
        return self._make(self._scene.read(self.rows(i)))

    def __enter__(self) -> Strips[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reader.shutdown(cancel_futures=True)


def window(strips: Strips[Image], start: int, stop: int) -> Image:
    """Rows start:stop of a scene from its strips."""
    parts = []
    for i in range(start // strips.height, (stop - 1) // strips.height + 1):
        image, first = strips[i], i * strips.height
        parts.append((image, slice(max(start - first, 0), stop - first)))
    return joined_rows(parts)


def joined_rows(parts: Sequence[tuple[Image, slice]]) -> Image:
    """Some rows of each of several images, one below the other."""
    image, rows = parts[0]
    if len(parts) == 1 and rows == slice(0, len(image.data)):
        return image
    return replace(
        image,
        data=np.concatenate([part.data[rows] for part, rows in parts]),
        mask=_joined([(part.mask, part.shape, rows) for part, rows in parts], True),
        missing=_joined([(part.missing, part.data.shape, rows) for part, rows in parts], False),
        georeference=None,
    )


def _joined(parts: Sequence[tuple[Any, tuple[int, ...], slice]], usual: bool) -> Any:
    """Masks one below the other; None when there are none."""
    if all(mask is None for mask, _, _ in parts):
        return None
    full = (np.full(shape, usual) if mask is None else mask for mask, shape, _ in parts)
    return np.concatenate([m[rows] for m, (_, _, rows) in zip(full, parts, strict=True)])


class SceneRows(LazyRows):
    """The chosen bands of the used pixels of a scene, (N, n_chosen), in row-major order.

    They are those of `used_pixels.used_values`, number by number, whatever the strips: what is
    fitted to them is what is fitted to the image in memory.

    Parameters
    ----------
    scene : Scene
    spec : FeatureSpec
        Resolved.
    n_bytes : int
        About how much memory strips may take.
    height : int, optional
        Rows of a strip; by default what `n_bytes` allow.
    """

    def __init__(
        self, scene: Scene, spec: FeatureSpec, n_bytes: int, *, height: int | None = None
    ) -> None:
        height = height or strip_height(scene, n_bytes)
        chosen = spec.chosen(scene.read(slice(0, 1)))
        counts, gaps = _census(scene, spec, height)
        self._starts = np.append(0, np.cumsum(counts))
        self.shape = int(self._starts[-1]), len(chosen)
        self.dtype = scene.dtype
        if gaps and self.dtype.kind != "f":
            self.dtype = np.dtype(feature_dtype(self.dtype, spec))

        def make(image: Image) -> NDArray[Any]:
            values = used_values(image, spec, spec.valid(image), gaps=gaps)
            return np.asarray(values).astype(self.dtype, copy=False)

        size = height * scene.shape[1] * len(chosen) * self.dtype.itemsize
        self._strips = Strips(scene, height, make, keep=max(_FEWEST, n_bytes // size - 1))

    def close(self) -> None:
        """Let strips and their thread go."""
        self._strips.__exit__(None, None, None)

    def read(self, rows: slice | NDArray[np.integer]) -> NDArray[Any]:
        if not isinstance(rows, slice):
            return self._of_numbers(rows)
        first, last = np.searchsorted(self._starts, [rows.start, rows.stop - 1], side="right") - 1
        parts = []
        for i in range(int(first), int(last) + 1):
            start = int(self._starts[i])
            parts.append(self._strips[i][max(rows.start - start, 0) : rows.stop - start])
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([part.T for part in parts], axis=1).T if parts else self._none()

    def _of_numbers(self, rows: NDArray[np.integer]) -> NDArray[Any]:
        out = np.empty((self.shape[1], len(rows)), self.dtype).T
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(owner, kind="stable")  # takes no time where they ascend
        found, begins = np.unique(owner[order], return_index=True)
        for i, here in zip(found.tolist(), np.split(order, begins[1:]), strict=True):
            out[here] = self._strips[i][rows[here] - self._starts[i]]
        return out

    def _none(self) -> NDArray[Any]:
        return np.empty((0, self.shape[1]), self.dtype)


def _census(scene: Scene, spec: FeatureSpec, height: int) -> tuple[list[int], bool]:
    """How many pixels are used in each strip, and whether some of them lack bands unmarked."""

    def look(image: Image) -> tuple[int, bool]:
        valid = spec.valid(image)
        n = image.n_pixels if valid is None else int(np.count_nonzero(valid))
        return n, image.has_unmarked_gaps(spec.chosen(image), valid)

    with Strips(scene, height, look) as strips:
        if scene.is_complete and not spec.indices:  # an index is not defined everywhere
            sizes = [strips.rows(i) for i in range(len(strips))]
            return [(rows.stop - rows.start) * scene.shape[1] for rows in sizes], False
        counts, gaps = zip(*(strips[i] for i in range(len(strips))), strict=True)
    return list(counts), any(gaps)
