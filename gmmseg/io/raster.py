"""Rasters by GDAL: which may be opened, and what is known of them. The only door to rasterio.

GDAL knows some hundred formats, of which several open network connections, run code or read files
that the opened one names. Here a few are allowed, files are local unless the user says otherwise,
and a VRT, which is a list of other files, is looked through before GDAL sees it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gmmseg._files import printable
from gmmseg._optional import import_optional
from gmmseg.errors import MissingFileError, ReadError, UnsupportedFormatError
from gmmseg.georeference import IDENTITY, Georeference
from gmmseg.io.decoding import decoding
from gmmseg.io.orientation import ORIENTATION_TAG, UPRIGHT
from gmmseg.io.source import Source
from gmmseg.io.tiff_colour import photometric
from gmmseg.io.tiff_guards import chain_is_whole, n_planes

__all__ = [
    "gdal",
    "georeference_of",
    "has_rasterio",
    "is_remote",
    "is_scene",
    "is_vrt",
    "open_raster",
]

#: What is opened: GDAL's drivers by a file's first bytes. Each is opened by that driver alone.
_DRIVERS = (
    ("GTiff", rb"II[*+]\0|MM\0[*+]"),
    ("JP2OpenJPEG", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    ("HFA", rb"EHFA_HEADER_TAG"),
    ("VRT", rb"\s*(<\?xml[^>]*>\s*)?<VRTDataset"),
)
#: GeoTIFF's keys, matrix and scale, and GDAL's metadata.
_GEO_TAGS = (34735, 34264, 33550, 42112)

#: Of files that are not here to be looked into.
_REMOTE_DRIVERS = {".jp2": "JP2OpenJPEG", ".img": "HFA", ".vrt": "VRT"}

#: Bytes of blocks that GDAL keeps: it would take 5 % of the machine's memory. Rasterio hands the
#: number to GDAL as it is, where the environment variable of that name would mean megabytes. With
#: too few a tile is written anew for every strip that reaches into it, and the file grows tenfold.
_CACHE = 64 << 20

_REMOTE = re.compile(r"^/vsi|://")

#: What a VRT may not hold: code, raw bytes of any file, entities, other places.
_SUSPECT = re.compile(
    r"PixelFunction|VRTRawRasterBand|VRTDerivedRasterBand|<!ENTITY|<!DOCTYPE|/vsi|://|"
    r"OGRVRT|SourceDataset",
    re.IGNORECASE,
)
_LARGEST_VRT = 16 << 20


def has_rasterio() -> bool:
    """Whether the extra `geo` is installed."""
    from importlib.util import find_spec

    return find_spec("rasterio") is not None


def is_remote(word: str) -> bool:
    """Whether a name leads to GDAL's virtual file systems or the network.

    Examples
    --------
    >>> is_remote("https://example.org/a.tif"), is_remote("/vsizip/a.zip/b.tif"), is_remote("a.tif")
    (True, True, False)
    """
    return _REMOTE.search(word) is not None


@contextmanager
def gdal(*, remote: bool = False) -> Iterator[None]:
    """Settings under which everything is done with GDAL."""
    rasterio = import_optional("rasterio")
    settings: dict[str, Any] = {"GDAL_CACHEMAX": _CACHE, "GDAL_VRT_ENABLE_PYTHON": "NO"}
    if not remote:  # files name others, in tags of overviews for one
        settings |= {"CPL_VSIL_CURL_ALLOWED_FILENAME": "none", "GDAL_HTTP_TIMEOUT": 1}
    with rasterio.Env(**settings):
        yield


def open_raster(word: str | os.PathLike[str], *, remote: bool = False, threads: int | None) -> Any:
    """A rasterio dataset, opened for reading under `gdal`.

    Raises
    ------
    MissingDependencyError
        Without the extra `geo`.
    MissingFileError, UnsupportedFormatError, ReadError
    """
    rasterio = import_optional("rasterio")
    name, shown = os.fspath(word), printable(word)
    if is_remote(name):
        if not remote:
            raise ReadError(
                f"{shown} is not a local file. If it is meant, say so: allow_remote "
                "(--allow-remote)."
            )
    elif not Path(name).exists():
        raise MissingFileError(f"There is no file {shown}.")
    elif not remote:
        _check_vrt(Path(name), shown)
    workers = "ALL_CPUS" if threads is None else str(threads)
    driver = _driver_of(name, shown)
    with decoding(shown):
        return rasterio.open(name, driver=driver, sharing=False, num_threads=workers)


def is_scene(source: Source, *, with_place: bool = True, indexed: bool = False) -> bool:
    """Whether a file is one that GDAL should read: a flat raster, by custom with a place on earth.

    TIFF of one page, of a palette only where its indices are wanted, and the formats that others
    do not read.
    """
    if source.path is None or not has_rasterio():
        return False
    if not re.match(_DRIVERS[0][1], source.head):
        return any(re.match(magic, source.head) for _, magic in _DRIVERS[1:])
    import tifffile

    chain_is_whole(source)
    with (
        decoding(source.name),
        source.open() as file,
        tifffile.TiffFile(file, _multifile=False) as tif,
    ):
        pages = [s for s in tif.series if not (s.keyframe.is_reduced or s.keyframe.is_mask)]
        if len(pages) != 1 or n_planes(pages[0]) != 1 or len(pages[0].shape) > 3:
            return False
        page = pages[0].keyframe
        upright = page.tags.get(ORIENTATION_TAG)
        kinds = ("MINISBLACK", "RGB", *(["PALETTE"] if indexed else []))
        plain = photometric(page) in kinds and not page.subifds
        plain &= upright is None or upright.value == UPRIGHT
        return plain and (not with_place or any(code in page.tags for code in _GEO_TAGS))


def _driver_of(name: str, shown: str) -> str:
    path = Path(name)
    if is_remote(name):
        return _REMOTE_DRIVERS.get(path.suffix.lower(), "GTiff")
    head = Source.of_path(path).head
    for driver, magic in _DRIVERS:
        if re.match(magic, head):
            return driver
    if any(_is_envi(path.with_name(other)) for other in (f"{path.name}.hdr", f"{path.stem}.hdr")):
        return "ENVI"
    raise UnsupportedFormatError(
        f"{shown} is no raster on earth that is read: GeoTIFF, JPEG 2000, ERDAS Imagine, ENVI "
        "with its .hdr, VRT."
    )


def is_vrt(source: Source) -> bool:
    """Whether a file is a list of others."""
    return re.match(_DRIVERS[-1][1], source.head) is not None


def _is_envi(header: Path) -> bool:
    if not header.is_file():
        return False
    with header.open("rb") as file:
        return file.read(4) == b"ENVI"


def _check_vrt(path: Path, shown: str) -> None:
    """Refuse a list of files that leads elsewhere than to rasters on this machine."""
    if not path.is_file() or not _is_vrt(path):
        return
    if path.suffix.lower() != ".vrt":
        raise UnsupportedFormatError(f"{shown} is a VRT, a list of files, but not called so.")
    if path.stat().st_size > _LARGEST_VRT:
        raise ReadError(f"cannot read {shown}: a VRT of over {_LARGEST_VRT} bytes.")
    from html import unescape  # 2 ms

    text = unescape(path.read_text(encoding="utf-8", errors="replace"))
    if found := _SUSPECT.search(text):
        raise ReadError(
            f"cannot read {shown}: it uses {found.group()!r}. A VRT may name local rasters only; "
            "if you trust it, allow more with allow_remote (--allow-remote)."
        )
    for attributes, source in re.findall(r"<SourceFilename([^>]*)>([^<]*)<", text):
        inner = Path(source.strip())
        if re.search(r'relativeToVRT="1"', attributes):
            inner = path.parent / inner
        if not inner.is_file() or _is_vrt(inner):
            raise ReadError(
                f"cannot read {shown}: {printable(source)}, which it names, is no raster on this "
                "machine, or a VRT itself."
            )


def _is_vrt(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<VRTDataset" in file.read(4096)


def georeference_of(dataset: Any) -> Georeference | None:
    """Where a dataset lies; None when it does not tell."""
    points, points_crs = dataset.gcps
    transform = tuple(dataset.transform)[:6]
    found = Georeference(
        crs=dataset.crs.to_wkt() if dataset.crs else "",
        transform=None if transform == IDENTITY else transform,
        gcps=tuple((p.row, p.col, p.x, p.y, p.z or 0.0) for p in points),
        gcps_crs=points_crs.to_wkt() if points_crs else "",
        rpcs=tuple(sorted(dataset.tags(ns="RPC").items())),
    )
    return found if found.is_known else None
