"""JPEG, BMP, GIF, WebP, and most PNG files: by Pillow, as bands without surprises."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.image import Image
from gmmseg.io.assembly import Decoded, assemble
from gmmseg.io.frames import check_frame, chosen_frame
from gmmseg.io.header import Header
from gmmseg.io.limits import check_content, check_pixels
from gmmseg.io.options import ReadOptions
from gmmseg.io.orientation import ORIENTATION_TAG, UPRIGHT, valid_orientation
from gmmseg.io.remarks import Remarks
from gmmseg.io.source import Source

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["picture_header", "pillow_picture", "read_picture", "split_picture"]

#: Pillow's modes that are stored in a way that is not plain bands, and what they become.
_PLAIN_MODES = {
    "1": "L",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "HSV": "RGB",
    "RGBX": "RGB",
    "La": "LA",
    "RGBa": "RGBA",
    "PA": "RGBA",
}
_COLOURS = {"RGB", "RGBA"}
_WITH_ALPHA = {"LA", "RGBA"}
_N_BANDS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "I;16": 1, "I": 1, "F": 1}
_DTYPES = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
_PLUGINS = {
    name: f"PIL.{module}ImagePlugin"
    for name, module in (
        ("BMP", "Bmp"),
        ("GIF", "Gif"),
        ("JPEG", "Jpeg"),
        ("PNG", "Png"),
        ("TIFF", "Tiff"),
        ("WEBP", "WebP"),
    )
}
_STRIP_ROWS = 64
#: Pillow's 64 KiB means thousands of steps, and for each it may have to wait for other threads.
_READ_AT_ONCE = 1 << 20
_LARGEST_WEBP = 2**28
_BITS = {"1": 1, "I;16": 16, "I": 32, "F": 32}
_COMPRESSIONS = {"JPEG": "jpeg", "MPO": "jpeg", "GIF": "lzw", "WEBP": "webp", "PNG": "deflate"}


def read_picture(file_format: str, source: Source, options: ReadOptions, remarks: Remarks) -> Image:
    """Read a file that Pillow knows."""
    with pillow_picture(source, file_format) as picture:
        header = _header(source, picture)
        check_pixels(source.name, header, options)
        _check_bitmap(source, picture)
        # A phone's JPEG may carry a second picture (MPO: a gain map, a depth map). It is no
        # animation, so nobody needs to be warned.
        n_frames = 1 if header.format == "JPEG" and options.frame is None else header.frames
        picture.seek(chosen_frame(source.name, n_frames, options, remarks))
        picture.load()
        decoded = split_picture(picture, options, remarks, header.orientation)
        return assemble(decoded, source, options, remarks)


def picture_header(file_format: str, source: Source, options: ReadOptions) -> Header:
    """The facts of a file that Pillow knows."""
    with pillow_picture(source, file_format) as picture:
        header = _header(source, picture)
    check_frame(source.name, options.frame, header.frames)
    return header


@contextmanager
def pillow_picture(source: Source, file_format: str) -> Iterator[Picture]:
    """The file opened by Pillow as `file_format`, with nothing decoded yet.

    Pillow's own `open` would look at the size before we can, and refuse legal scans.
    """
    from PIL import Image as pillow  # noqa: N813

    import_module(_PLUGINS[file_format])  # pillow.init() would import all forty
    factory = pillow.OPEN[file_format][0]
    with source.open() as file:
        with _allowed(_LARGEST_WEBP):  # which looks at the limit here already
            opened = factory(file, "")
        with opened as picture, _allowed(picture.width * picture.height):
            picture.decodermaxblock = _READ_AT_ONCE
            yield picture


def _header(source: Source, picture: Picture) -> Header:
    mode = _PLAIN_MODES.get(picture.mode, picture.mode)
    transparent = "transparency" in picture.info
    if mode == "P":
        mode = "RGBA" if transparent else "RGB"
    n_bands = _N_BANDS.get(mode, 3) - (mode in _WITH_ALPHA)
    rows, cols = picture.height, picture.width
    file_format = picture.format or ""
    return Header(
        format="JPEG" if file_format == "MPO" else file_format,
        shape=(rows, cols) if n_bands == 1 else (rows, cols, n_bands),
        axes="YX" if n_bands == 1 else "YXC",
        dtype=np.dtype(_DTYPES.get(mode, np.uint8)),
        bits=_BITS.get(picture.mode, 8),
        frames=getattr(picture, "n_frames", 1),
        alpha=mode in _WITH_ALPHA or transparent,
        orientation=_orientation(picture),
        compression=_COMPRESSIONS.get(file_format, _bitmap_compression(source, picture)),
        more={"mode": picture.mode},
    )


def _orientation(picture: Picture) -> int:
    if picture.format == "GIF":
        return UPRIGHT
    return valid_orientation(picture.getexif().get(ORIENTATION_TAG))


def split_picture(
    picture: Picture, options: ReadOptions, remarks: Remarks, orientation: int
) -> Decoded:
    """Bands and alpha of a loaded picture."""
    mode = picture.mode
    transparent = picture.info.get("transparency")
    if mode == "CMYK":
        remarks.warn("colours converted from CMYK to RGB without a colour profile")
    if mode == "P" and options.indexed:
        remarks.note("read as indices of its palette")
        return Decoded(values=_bands(picture), orientation=orientation)
    if mode == "P":
        target = "RGBA" if transparent is not None else "RGB"
    else:
        target = _PLAIN_MODES.get(mode, mode)
    plain = picture if target == mode else picture.convert(target)
    values, alpha = _bands(plain), None
    if target in _WITH_ALPHA:
        values, alpha = values[..., :-1], values[..., -1]
    elif transparent is not None:
        alpha = alpha_of_colour(values, transparent)
    return Decoded(values=values, alpha=alpha, colour=target in _COLOURS, orientation=orientation)


def _bands(picture: Picture) -> NDArray[Any]:
    """All values, copied strip by strip: a third of the time and half of the memory of one go."""
    first = np.asarray(picture.crop((0, 0, 1, 1)))
    values = np.empty((picture.height, picture.width, first[0, 0].size), dtype=first.dtype)
    for top in range(0, picture.height, _STRIP_ROWS):
        strip = values[top : top + _STRIP_ROWS]
        part = picture.crop((0, top, picture.width, top + len(strip)))
        strip[...] = np.asarray(part).reshape(strip.shape)
    return values


def alpha_of_colour(values: NDArray[Any], colour: Any) -> NDArray[np.uint8]:
    """Alpha of pixels, 0 where all bands have the one transparent `colour`, else 255."""
    transparent = (values == np.atleast_1d(np.asarray(colour))).all(axis=-1)
    return np.where(transparent, np.uint8(0), np.uint8(255))


# --- BMP: the only format here whose header can promise more than the file holds ---------------


def _bitmap_compression(source: Source, picture: Picture) -> str:
    if picture.format != "BMP" or len(source.head) < 34:
        return ""
    plain = (0, 3, 6)  # BI_RGB and the two kinds of BI_BITFIELDS
    header_size, method = (*struct.unpack_from("<I", source.head, 14), source.head[30])
    return "none" if header_size == 12 or method in plain else "rle"


def _check_bitmap(source: Source, picture: Picture) -> None:
    if _bitmap_compression(source, picture) != "none":
        return
    at = 24 if struct.unpack_from("<I", source.head, 14)[0] == 12 else 28
    bits = struct.unpack_from("<H", source.head, at)[0]
    needed = (picture.width * bits + 31) // 32 * 4 * picture.height
    check_content(source.name, needed, source.size)


# --- Pillow's own limit ------------------------------------------------------------------------

_limit_lock = threading.RLock()


@contextmanager
def _allowed(pixels: int) -> Iterator[None]:
    """Let Pillow pass pictures of up to `pixels`; `check_pixels` decides whether they are read.

    Pillow's limit belongs to the whole process, so it is raised for one picture at a time and
    put back; pictures below the limit, which is nearly all, do not wait for each other.
    """
    from PIL import Image as pillow  # noqa: N813

    usual = pillow.MAX_IMAGE_PIXELS
    if usual is None or pixels <= usual:
        yield
        return
    with _limit_lock:
        before = pillow.MAX_IMAGE_PIXELS
        pillow.MAX_IMAGE_PIXELS = pixels
        try:
            yield
        finally:
            pillow.MAX_IMAGE_PIXELS = before
