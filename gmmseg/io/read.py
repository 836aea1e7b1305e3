"""The door: from a path or bytes to an `Image`, by what the bytes are and not by the name."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from gmmseg._files import file_facts, printable
from gmmseg.errors import ImageWarning
from gmmseg.image import Image
from gmmseg.io.decoding import decoding
from gmmseg.io.formats import format_of
from gmmseg.io.options import ReadOptions
from gmmseg.io.raster import is_scene
from gmmseg.io.remarks import Remarks
from gmmseg.io.scenes import open_scene, scene_image
from gmmseg.io.source import Source
from gmmseg.io.zarr_image import read_zarr, zarr_header
from gmmseg.io.zarr_store import is_zarr

__all__ = ["image_info", "read_bytes", "read_image"]

_DEFAULT = ReadOptions()


def read_image(path: str | os.PathLike[str], options: ReadOptions = _DEFAULT) -> Image:
    """Read an image file.

    The format is known by the first bytes, whatever the file is called: PNG, JPEG, TIFF, BMP,
    WebP, GIF, PBM/PGM/PPM/PFM, NPY, NIfTI and DICOM; a folder may be a Zarr array or an image of
    OME-Zarr. All bits are kept: 16-bit colour stays 16-bit.

    Parameters
    ----------
    path : str or path
        The file, a folder with the files of one DICOM series, or a Zarr.
    options : ReadOptions
        How to read it.

    Returns
    -------
    Image
        `data` of shape (rows, cols, bands), or (planes, rows, cols, bands) for stacks, of the
        integer or float type of the file (bool becomes 0 and 255), in native byte order, and in
        C order unless it is mapped from an NPY or a large TIFF file. Transparent pixels and those
        of nothing but nodata value are left out of `mask`, bands of that value elsewhere are in
        `missing`.
        What was done is told in `notes`.

    Raises
    ------
    MissingFileError
        When there is no such file.
    UnsupportedFormatError
        When it is of a kind that is not read.
    TooManyPixelsError
        When its header declares more pixels than `options.max_pixels`.
    AmbiguousAxesError
        When it is a stack whose axes may mean several things.
    ReadError
        When it cannot be read for any other reason: empty, cut short, damaged, not permitted.
    MissingDependencyError
        When a package for its compression is not installed.

    Warns
    -----
    ImageWarning
        When only the first of several frames was read, or colours had to be converted.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np
    >>> from gmmseg.io import read_image, write_png
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "grey.png")
    ...     write_png(path, np.full((4, 6), 7, dtype=np.uint16))
    ...     image = read_image(path)
    >>> image.data.shape, image.data.dtype, image.colour
    ((4, 6, 1), dtype('uint16'), False)
    """
    if is_zarr(path):
        return read_zarr(path, options, Remarks())
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for names that are too long
        return _read_folder(Path(path), options)
    return _read(Source.of_path(path), options)


def read_bytes(data: bytes, name: str = "-", options: ReadOptions = _DEFAULT) -> Image:
    """Read an image from bytes, such as those of standard input.

    Parameters
    ----------
    data : bytes
        A whole file.
    name : str
        What to call it in messages.
    options : ReadOptions
        How to read it.

    Returns
    -------
    Image
        As from `read_image`, with `path` None.

    Raises
    ------
    ReadError
        And its subclasses, as `read_image`.

    Examples
    --------
    >>> image = read_bytes(b"P5 3 2 255 abcdef", "stdin")
    >>> image.data[..., 0].tolist()
    [[97, 98, 99], [100, 101, 102]]
    """
    return _read(Source.of_bytes(data, name), options)


def image_info(path: str | os.PathLike[str], options: ReadOptions = _DEFAULT) -> dict[str, Any]:
    """Facts about an image file, from its header alone.

    Parameters
    ----------
    path : str or path
        The file.
    options : ReadOptions
        `frame` says which page of a TIFF is described, `axes` what those of an NPY file mean.

    Returns
    -------
    dict
        JSON-serialisable: name, bytes (size of the file), format, shape and axes as stored,
        dtype, bands, frames, alpha, orientation (EXIF, 1 = upright), bits, compression, and
        what is particular to the format.

    Raises
    ------
    ReadError
        And its subclasses, as `read_image`. The number of pixels is not limited here.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np
    >>> from gmmseg.io import image_info, write_png
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.png")
    ...     write_png(path, np.zeros((4, 6, 3), dtype=np.uint8))
    ...     facts = image_info(path)
    >>> facts["format"], facts["shape"], facts["bits"], facts["bytes"] > 0
    ('PNG', [4, 6, 3], 8, True)
    """
    if is_zarr(path):
        size, _ = file_facts(path)
        return {"name": printable(path), "bytes": size} | zarr_header(path, options).as_dict()
    source = Source.of_path(path)
    found = format_of(source)
    with decoding(source.name):
        header = found.header(source, options)
    return {"name": source.name, "bytes": source.size} | header.as_dict()


def _read_folder(folder: Path, options: ReadOptions) -> Image:
    """The DICOM series in a folder."""
    from gmmseg.io.dicom_series import read_series

    remarks = Remarks()
    with decoding(printable(folder)):
        image = read_series(folder, options, remarks)
    return replace(image, notes=tuple(remarks.notes))


def _read(source: Source, options: ReadOptions) -> Image:
    by_gdal = source.path is not None and options.axes is None and options.frame is None
    if by_gdal and is_scene(source, indexed=options.indexed):
        with open_scene([source.path or source.name], reading=options) as scene:
            return scene_image(scene, options)
    found, remarks = format_of(source), Remarks()
    with decoding(source.name):
        image = found.read(source, options, remarks)
    for text in remarks.warnings:
        warnings.warn(f"{source.name}: {text}", ImageWarning, stacklevel=3)
    return image
