"""Which formats are read, known by their first bytes; names and endings do not count."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gmmseg.errors import UnsupportedFormatError
from gmmseg.image import Image
from gmmseg.io.dicom import dicom_header, read_dicom
from gmmseg.io.header import Header
from gmmseg.io.nifti import is_nifti, nifti_header, read_nifti
from gmmseg.io.npy import npy_header, read_npy
from gmmseg.io.options import ReadOptions
from gmmseg.io.pictures import picture_header, read_picture
from gmmseg.io.png import png_header, read_png
from gmmseg.io.pnm import pnm_header, read_pnm
from gmmseg.io.remarks import Remarks
from gmmseg.io.source import Source
from gmmseg.io.tiff import read_tiff, tiff_header

__all__ = ["READABLE", "Format", "format_of", "is_tiff"]


@dataclass(frozen=True)
class Format:
    """A format that is read.

    Attributes
    ----------
    name : str
        For people.
    magic : str
        Regular expression for the first bytes.
    header : callable
        Facts without decoding.
    read : callable
        The image.
    """

    name: str
    magic: bytes
    header: Callable[[Source, ReadOptions], Header]
    read: Callable[[Source, ReadOptions, Remarks], Image]


def _picture(name: str, pillow_name: str, magic: bytes) -> Format:
    return Format(
        name, magic, partial(picture_header, pillow_name), partial(read_picture, pillow_name)
    )


_TIFF = rb"II[*+]\0|MM\0[*+]"

_FORMATS = (
    Format("PNG", rb"\x89PNG\r\n\x1a\n", png_header, read_png),
    _picture("JPEG", "JPEG", rb"\xff\xd8\xff"),
    Format("TIFF", _TIFF, tiff_header, read_tiff),
    _picture("BMP", "BMP", rb"BM.{12}[\x0c-\x7c]\0\0\0"),
    _picture("WebP", "WEBP", rb"RIFF....WEBP"),
    _picture("GIF", "GIF", rb"GIF8[79]a"),
    Format("PBM/PGM/PPM/PFM", rb"P[1-6fF]\s", pnm_header, read_pnm),
    Format("NPY", rb"\x93NUMPY", npy_header, read_npy),
)

#: NIfTI keeps its magic far behind, and may be packed by gzip.
_NIFTI = Format("NIfTI", rb"", nifti_header, read_nifti)

#: It may begin with anything, TIFF included, and so comes first.
_DICOM = Format("DICOM", rb".{128}DICM", dicom_header, read_dicom)

READABLE = ", ".join(known.name for known in (*_FORMATS, _NIFTI, _DICOM))

#: What people try, and what it is called.
_UNPACK = " Unpack it first."
_OTHERS = (
    (rb"%PDF", "a PDF document", ""),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript (EPS)", ""),
    (rb"PK\x03\x04", "a zip archive (NPZ and OME-Zarr are such)", _UNPACK),
    (rb"\x1f\x8b", "compressed by gzip, and not NIfTI (.nii.gz)", _UNPACK),
    (rb"BZh|\xfd7zXZ|7z\xbc\xaf|\x28\xb5\x2f\xfd", "a compressed archive", _UNPACK),
    (rb"\x89HDF", "HDF5", ""),
    (rb"8BPS", "a Photoshop document", ""),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000", ""),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL", ""),
    (rb"....ftyp(avif|avis)", "AVIF", ""),
    (rb"....ftyp", "HEIF or a video", ""),
    (rb"SIMPLE  =", "FITS", ""),
    (rb"\s*<(\?xml|svg|!DOCTYPE|html)", "text (SVG, XML or HTML)", ""),
    (rb"P7\s", "PAM", ""),
    (rb"", "of an unknown kind", ""),
)


def format_of(source: Source) -> Format:
    """The format of the file, or `UnsupportedFormatError` with what it is instead."""
    if _begins(source, _DICOM.magic):
        return _DICOM
    if is_nifti(source):
        return _NIFTI
    for known in _FORMATS:
        if _begins(source, known.magic):
            return known
    kind, remedy = next((kind, remedy) for magic, kind, remedy in _OTHERS if _begins(source, magic))
    raise UnsupportedFormatError(
        f"{source.name} is {kind}, which gmmseg does not read.{remedy} It reads {READABLE}; "
        "the format is known by the content, whatever the file is called."
    )


def _begins(source: Source, magic: bytes) -> bool:
    return re.match(magic, source.head, re.DOTALL) is not None


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins like this is a TIFF."""
    return re.match(_TIFF, head) is not None
