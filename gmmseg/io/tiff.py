"""TIFF of every kind: by tifffile, and by Pillow where a codec is missing.

Never by OpenCV, which reads bands of satellite scenes wrongly and without a word
(opencv/opencv#24258).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gmmseg._optional import import_optional
from gmmseg.errors import AmbiguousAxesError, ReadError, UnsupportedFormatError
from gmmseg.image import Image
from gmmseg.io.assembly import assemble
from gmmseg.io.axes import bands_last, named_axes, squeezed
from gmmseg.io.frames import check_frame
from gmmseg.io.header import Header
from gmmseg.io.limits import check_pixels
from gmmseg.io.options import ReadOptions
from gmmseg.io.orientation import ORIENTATION_TAG, valid_orientation
from gmmseg.io.pictures import pillow_picture
from gmmseg.io.remarks import Remarks
from gmmseg.io.scratch import is_large, scratch, suits_scratch
from gmmseg.io.source import Source
from gmmseg.io.tiff_colour import alpha_sample, bits_of, meaning_of_samples, photometric
from gmmseg.io.tiff_guards import chain_is_whole, check_pages, compression_of, n_planes
from gmmseg.io.tiff_tags import band_names, nodata_values, pixel_size
from gmmseg.mixture._threads import available_cpus

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

__all__ = ["read_tiff", "tiff_header"]

#: Compressed bytes that are read at once.
_AT_ONCE = 1 << 24

#: Colour models whose values stay what they are.
_KEPT = {"MINISBLACK", "RGB"}
_RAW_COLOURS = {"CFA", "LINEAR_RAW"}
_DNG_VERSION = 50706


class _Part(NamedTuple):
    """What is read of a file: a whole series, or one plane of it."""

    series: TiffPageSeries
    plane: int | None

    @property
    def page(self) -> TiffPage:
        return self.series.keyframe

    @property
    def n_planes(self) -> int:
        return n_planes(self.series)

    @property
    def planes(self) -> Iterable[int]:
        """The planes that are read."""
        return range(self.n_planes) if self.plane is None else [self.plane]

    @property
    def axes(self) -> str:
        return self._squeezed[0]

    @property
    def shape(self) -> tuple[int, ...]:
        return self._squeezed[1]

    @property
    def _squeezed(self) -> tuple[str, tuple[int, ...]]:
        whole = self.series if self.plane is None else self.page
        return squeezed(whole.axes, whole.shape)


def read_tiff(source: Source, options: ReadOptions, remarks: Remarks) -> Image:
    """Read a TIFF file: one page, a stack, or bands."""
    with _opened(source) as tif:
        part = _chosen_part(source.name, tif, options.frame)
        told = options.axes if options.frame is None else None
        axes = named_axes(source.name, part.axes, part.shape, told)
        mapped = _may_be_mapped(tif, part, options)
        header = replace(_header(tif, part), resident=not mapped)
        check_pixels(source.name, header, options)
        check_pages(source, part.series, part.planes)
        _check_chain(source, tif, remarks)
        found = _mapped(source, tif, part, options) if mapped else _decoded(source, tif, part)
        values = bands_last(found.reshape(part.shape), axes)
        page = part.page
        decoded = replace(
            meaning_of_samples(values, page, options, remarks),
            orientation=header.orientation,
            nodata=nodata_values(page),
            band_names=band_names(page),
            mask=_stored_mask(tif, part),
        )
        size = pixel_size(tif, page)
        if size is not None:
            spacing = size.along(decoded.values.ndim - 1)
            decoded = replace(decoded, spacing=spacing, unit=size.unit)
        return assemble(decoded, source, options, remarks)


def tiff_header(source: Source, options: ReadOptions) -> Header:
    """The facts of a TIFF file: of the page asked for, or of its first picture or stack."""
    with _opened(source) as tif:
        if options.frame is not None:
            return _header(tif, _chosen_part(source.name, tif, options.frame))
        return _header(tif, _Part(_main_series(source.name, tif)[0], None))


@contextmanager
def _opened(source: Source) -> Iterator[TiffFile]:
    import tifffile

    chain_is_whole(source)
    # OME-XML may name other files; a file from elsewhere must not make us open them.
    with source.open() as file, tifffile.TiffFile(file, _multifile=False) as tif:
        if not tif.pages:
            raise ReadError(f"cannot read {source.name}: it holds no pages.")
        yield tif


def _header(tif: TiffFile, part: _Part) -> Header:
    page = part.page
    return Header(
        format="TIFF",
        shape=part.shape,
        axes=part.axes,
        dtype=np.dtype(page.dtype).newbyteorder("="),
        bits=bits_of(page),
        frames=sum(n_planes(series) for series in tif.series),
        alpha=alpha_sample(page) is not None,
        orientation=valid_orientation(_tag(page, ORIENTATION_TAG)),
        compression=compression_of(page),
        more={"photometric": photometric(page), "kind": part.series.kind},
    )


def _tag(page: TiffPage, code: int) -> Any:
    found = page.tags.get(code)
    return None if found is None else found.value


# --- which of the pages ------------------------------------------------------------------------


def _main_series(name: str, tif: TiffFile) -> list[TiffPageSeries]:
    """The series that are pictures of their own, not previews or masks of others."""
    first = tif.pages.first
    if (
        _DNG_VERSION in first.tags
        or photometric(first) in _RAW_COLOURS
        or (first.is_reduced and first.subifds)
    ):
        raise UnsupportedFormatError(
            f"{name} is a camera raw file. Develop it to a TIFF of 16 bits first."
        )
    series = [s for s in tif.series if not (s.keyframe.is_reduced or s.keyframe.is_mask)]
    return series or tif.series[:1]


def _chosen_part(name: str, tif: TiffFile, frame: int | None) -> _Part:
    series = _main_series(name, tif)
    counts = [n_planes(s) for s in series]
    if frame is None:
        if len(series) > 1:
            raise AmbiguousAxesError(
                f"{name} holds {sum(counts)} pages of different shapes or kinds. "
                f"Read one of them with frame= (--frame 0 to {sum(counts) - 1})."
            )
        return _Part(series[0], None)
    check_frame(name, frame, sum(counts))
    rest = frame
    for s, count in zip(series, counts, strict=True):
        if rest < count:
            return _Part(s, rest)
        rest -= count
    raise AssertionError  # `check_frame` has seen to it


# --- guards and pixels -------------------------------------------------------------------------


def _check_chain(source: Source, tif: TiffFile, remarks: Remarks) -> None:
    """Tell of pages that are missing at the end, which tifffile passes over."""
    promised = (tif.imagej_metadata or {}).get("images", 0)
    found = sum(n_planes(series) for series in tif.series)
    if isinstance(promised, int) and promised > found:
        raise ReadError(
            f"cannot read {source.name}: the file is cut short, it holds {found} of its "
            f"{promised} planes."
        )
    if not chain_is_whole(source):
        remarks.warn("its chain of pages leads beyond the end of the file, which may be cut short")


def _decoded(source: Source, tif: TiffFile, part: _Part) -> NDArray[Any]:
    try:
        return _by_tifffile(source, tif, part)
    except (ImportError, ValueError, RuntimeError) as error:
        if not isinstance(error, ImportError) and "imagecodecs" not in str(error):
            raise
        values = _by_pillow(source, part)
        if values is None:
            import_optional("imagecodecs")
            raise
        return values


def _may_be_mapped(tif: TiffFile, part: _Part, options: ReadOptions) -> bool:
    """Whether the values are large, and no step of reading would make a copy of them."""
    page = part.page
    dtype = np.dtype(page.dtype)
    n_bytes = part.n_planes * prod(page.shape) * dtype.itemsize
    kept = photometric(page) in _KEPT and not (options.keep_alpha and alpha_sample(page))
    whole = part.plane is None and dtype.kind in "uif" and dtype != np.float16
    return kept and whole and (_lies_plain(tif, part) or suits_scratch(n_bytes))


def _lies_plain(tif: TiffFile, part: _Part) -> bool:
    """Whether the values lie in the file as they do in memory, and are many."""
    series = part.series
    native = (tif.byteorder == "<") == (sys.byteorder == "little")
    plain = series.dataoffset is not None and series.keyframe.is_memmappable
    return native and plain and is_large(series.nbytes)


def _mapped(source: Source, tif: TiffFile, part: _Part, options: ReadOptions) -> NDArray[Any]:
    """The values mapped from the file, or from a temporary one that they are decoded to."""
    series = part.series
    dtype = np.dtype(series.dtype)
    if source.path is not None and _lies_plain(tif, part):
        return np.memmap(source.path, dtype, "r", series.dataoffset or 0, series.shape)
    out = scratch(series.shape, dtype)
    try:
        series.asarray(out=out, buffersize=_AT_ONCE, maxworkers=available_cpus())
    except (ImportError, ValueError, RuntimeError):  # for Pillow, who needs memory for all
        check_pixels(source.name, _header(tif, part), options)
        return _decoded(source, tif, part)
    return out


def _by_tifffile(source: Source, tif: TiffFile, part: _Part) -> NDArray[Any]:
    if part.plane is None:
        whole: NDArray[Any] = part.series.asarray()
        return whole
    if len(part.series.pages) < part.n_planes:
        return _plane_in_a_row(source, tif, part.series, part.plane)
    stored = part.series.pages[part.plane]
    assert stored is not None  # noqa: S101  # `check_pages` has seen to it
    values: NDArray[Any] = stored.asarray()
    return values


def _plane_in_a_row(
    source: Source, tif: TiffFile, series: TiffPageSeries, plane: int
) -> NDArray[Any]:
    """One of the planes of which ImageJ describes only the first."""
    page = series.keyframe
    dtype = np.dtype(page.dtype).newbyteorder(tif.byteorder)
    with source.open() as file:
        file.seek((series.dataoffset or 0) + plane * page.size * dtype.itemsize)
        return np.frombuffer(file.read(page.size * dtype.itemsize), dtype).reshape(page.shape)


def _by_pillow(source: Source, part: _Part) -> NDArray[Any] | None:
    """The one page, when Pillow reads it as tifffile would; else None."""
    stored = part.series.pages[part.plane or 0]
    if stored is None or (part.n_planes > 1 and part.plane is None):
        return None
    try:
        with pillow_picture(source, "TIFF") as picture:
            picture.seek(stored.index)
            values = np.array(picture)
    except (OSError, SyntaxError, ValueError):  # Pillow lacks the codec, too
        return None
    page = part.page
    same = values.shape == part.shape and values.dtype == page.dtype
    if not same or (values.ndim == 3 and values.dtype != np.uint8):
        return None
    # Pillow has inverted it already, and `meaning_of_samples` will do so again.
    return ~values if photometric(page) == "MINISWHITE" else values


def _stored_mask(tif: TiffFile, part: _Part) -> NDArray[np.bool_] | None:
    """The mask that GDAL keeps in a page of its own."""
    shape = part.page.shape[:2] if part.page.axes[0] == "Y" else part.page.shape[1:]
    for series in tif.series:
        page = series.keyframe
        if page.is_mask and page.shape == shape and not page.is_reduced and part.n_planes == 1:
            mask: NDArray[np.bool_] = page.asarray() != 0
            return mask
    return None
