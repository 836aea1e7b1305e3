"""File names, cut to the stem that outputs are named after."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["IMAGE_SUFFIXES", "output_stem"]

#: How names of images end, in small letters. It counts only where a folder is searched for them.
IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".tf8", ".btf", ".bmp", ".webp", ".gif"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".npy"),
)

#: Endings of more than one part, which `Path.stem` would cut only once.
_LONG_SUFFIXES = (
    ".nii.gz",
    ".ome.tif",
    ".ome.tiff",
    ".ome.tf8",
    ".ome.btf",
    ".ome.zarr",
    ".tar.gz",
    ".tar.bz2",
    ".tar.xz",
)


def output_stem(path: str | os.PathLike[str]) -> str:
    """The name of `path` without its folder and its whole ending.

    Parameters
    ----------
    path : str or path
        Name of an input; the file need not exist.

    Returns
    -------
    str
        What the names of its outputs begin with.

    Examples
    --------
    >>> output_stem("scans/brain.nii.gz"), output_stem("cells.OME.tiff"), output_stem("v1.2.png")
    ('brain', 'cells', 'v1.2')
    """
    name = Path(path).name
    for suffix in _LONG_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return Path(name).stem
