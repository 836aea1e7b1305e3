"""The header of NIfTI-1 and NIfTI-2 files: what it says of the voxels, and a new one like it.

https://nifti.nimh.nih.gov (nifti1.h, nifti2.h). Which of the two affines counts is as in nibabel.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import ReadError

__all__ = ["Nifti", "nifti_version", "packed_header", "parse_header"]

Array = NDArray[np.float64]

#: By version: bytes of the header, and where each field that counts lies, with its struct format.
_SIZES = {1: 348, 2: 540}
_FIELDS: dict[int, dict[str, tuple[int, str]]] = {
    1: {
        "sizeof": (0, "i"), "private": (4, "28s"), "dim": (40, "8h"), "intent_p": (56, "3f"),
        "intent_code": (68, "h"), "datatype": (70, "h"), "bitpix": (72, "h"),
        "pixdim": (76, "8f"), "offset": (108, "f"), "slope": (112, "f"), "inter": (116, "f"),
        "units": (123, "B"), "cal": (124, "2f"), "descrip": (148, "80s"), "aux": (228, "24s"),
        "qform": (252, "h"), "sform": (254, "h"), "quatern": (256, "3f"), "qoffset": (268, "3f"),
        "srow": (280, "12f"), "intent_name": (328, "16s"), "magic": (344, "4s"),
    },
    2: {
        "sizeof": (0, "i"), "magic": (4, "8s"), "datatype": (12, "h"), "bitpix": (14, "h"),
        "dim": (16, "8q"), "intent_p": (80, "3d"), "pixdim": (104, "8d"), "offset": (168, "q"),
        "slope": (176, "d"), "inter": (184, "d"), "cal": (192, "2d"), "descrip": (240, "80s"),
        "aux": (320, "24s"), "qform": (344, "i"), "sform": (348, "i"), "quatern": (352, "3d"),
        "qoffset": (376, "3d"), "srow": (400, "12d"), "units": (500, "i"),
        "intent_code": (504, "i"), "intent_name": (508, "16s"),
    },
}  # fmt: skip
_MAGIC = {1: b"n+1\0", 2: b"n+2\0\r\n\x1a\n"}

#: NumPy's name of a datatype, and how many values make a voxel.
_TYPES = {
    2: ("u1", 1), 4: ("i2", 1), 8: ("i4", 1), 16: ("f4", 1), 64: ("f8", 1), 256: ("i1", 1),
    512: ("u2", 1), 768: ("u4", 1), 1024: ("i8", 1), 1280: ("u8", 1), 128: ("u1", 3),
    2304: ("u1", 4),
}  # fmt: skip
_CODES = {name: code for code, (name, n_values) in _TYPES.items() if n_values == 1}
_UNREAD = {
    0: "unknown", 1: "bits", 32: "complex", 1536: "float128", 1792: "complex", 2048: "complex",
}  # fmt: skip

_UNITS = {1: "m", 2: "mm", 3: "µm"}
_UNIT_CODES = {unit: code for code, unit in _UNITS.items()}

#: Extensions, which lie between header and voxels, take kilobytes.
_LARGEST_OFFSET = 64 << 20

LABEL_INTENT = 1002


@dataclass(frozen=True, kw_only=True)
class Nifti:
    """What a header says.

    Attributes
    ----------
    version : int
        1 or 2.
    raw : bytes
        The header as it stands in the file.
    shape : tuple of int
        As NumPy sees the voxels in C order: the fastest axis last, without trailing axes of length
        1 beyond the third.
    dtype : numpy.dtype
        As stored.
    n_values : int
        Values that make a voxel: 3 or 4 for colours.
    offset : int
        Where the voxels begin.
    slope, inter : float
        Values are ``slope * stored + inter``; 1 and 0 when they are as stored.
    affine : ndarray of shape (4, 4)
        From (column, row, plane, 1) to x, y, z (RAS+).
    pixdim : tuple of float
        Size along columns, rows, planes, as stored.
    unit : str
    """

    version: int
    raw: bytes
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    n_values: int
    offset: int
    slope: float
    inter: float
    affine: Array
    pixdim: tuple[float, ...]
    unit: str

    @property
    def is_scaled(self) -> bool:
        return (self.slope, self.inter) != (1.0, 0.0)


def nifti_version(head: bytes) -> int | None:
    """1 or 2 when the bytes begin a NIfTI file, else None."""
    if head[344:348] in (_MAGIC[1], b"ni1\0"):
        return 1
    return 2 if head[4:12] in (_MAGIC[2], b"ni2\0\r\n\x1a\n") else None


def parse_header(name: str, head: bytes) -> Nifti:
    """What the header at the start of `head` says.

    Raises
    ------
    ReadError
        When it contradicts itself or describes what is no image.
    """
    version = nifti_version(head)
    if version is None or len(head) < _SIZES[version]:
        raise ReadError(f"cannot read {name}: its NIfTI header is cut short.")
    raw = head[: _SIZES[version]]
    fields = _unpacked(name, raw, version)
    if fields["magic"][:2] == b"ni":
        raise ReadError(
            f"cannot read {name}: its voxels are in another file (a pair of .hdr and .img). "
            "Convert it to one file ending in .nii or .nii.gz."
        )
    dtype, n_values = _type_of(name, fields)
    slope, inter = _scaling(fields)
    return Nifti(
        version=version,
        raw=raw,
        shape=_shape_of(name, fields["dim"]),
        dtype=dtype,
        n_values=n_values,
        offset=_offset_of(name, fields["offset"], version),
        slope=slope,
        inter=inter,
        affine=_affine_of(name, fields),
        pixdim=tuple(abs(size) for size in fields["pixdim"][1:4]),
        unit=_UNITS.get(fields["units"] & 7, "mm"),  # unknown is millimetres in all programs
    )


def _unpacked(name: str, raw: bytes, version: int) -> dict[str, Any]:
    order = next((o for o in "<>" if struct.unpack_from(f"{o}i", raw)[0] == len(raw)), None)
    if order is None:
        raise ReadError(f"cannot read {name}: its NIfTI header is malformed (sizeof_hdr).")
    fields: dict[str, Any] = {"order": order}
    for field, (at, layout) in _FIELDS[version].items():
        found = struct.unpack_from(order + layout, raw, at)
        fields[field] = found[0] if len(found) == 1 else found
    return fields


def _shape_of(name: str, dim: tuple[int, ...]) -> tuple[int, ...]:
    n_axes = dim[0]
    sizes = dim[1 : 1 + n_axes] if 1 <= n_axes <= 7 else ()
    if not sizes or min(sizes) < 1:
        raise ReadError(
            f"cannot read {name}: its header declares the dimensions {list(dim)}, which make no "
            "image."
        )
    sizes = (*sizes, 1, 1, 1)[: max(3, n_axes)]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    return tuple(reversed(sizes))


def _type_of(name: str, fields: dict[str, Any]) -> tuple[np.dtype[Any], int]:
    code = fields["datatype"]
    if code not in _TYPES:
        kind = _UNREAD.get(code, "unknown")
        raise ReadError(
            f"cannot read {name}: its voxels are of type {code} ({kind}), but an image is made of "
            "integers or real floats."
        )
    letters, n_values = _TYPES[code]
    return np.dtype(fields["order"] + letters), n_values


def _offset_of(name: str, offset: float, version: int) -> int:
    least = _SIZES[version] + 4
    if not math.isfinite(offset) or not (offset == 0 or _SIZES[version] <= offset):
        raise ReadError(f"cannot read {name}: its header declares voxels at byte {offset:g}.")
    if offset > _LARGEST_OFFSET:
        raise ReadError(
            f"cannot read {name}: its header declares {offset:.0f} bytes before the voxels, more "
            f"than the limit of {_LARGEST_OFFSET}."
        )
    return int(offset) if offset else least


def _scaling(fields: dict[str, Any]) -> tuple[float, float]:
    """0 and what is not finite mean "not scaled"; colours are never scaled."""
    slope, inter = float(fields["slope"]), float(fields["inter"])
    if not math.isfinite(slope) or slope == 0 or _TYPES[fields["datatype"]][1] > 1:
        return 1.0, 0.0
    return slope, inter if math.isfinite(inter) else 0.0


def _affine_of(name: str, fields: dict[str, Any]) -> Array:
    affine = np.eye(4)
    if fields["sform"] > 0:
        affine[:3] = np.reshape(fields["srow"], (3, 4))
    elif fields["qform"] > 0:
        affine[:3, :3] = _rotation(fields["quatern"]) * _sizes_with_sign(fields["pixdim"])
        affine[:3, 3] = fields["qoffset"]
    else:
        affine = _centred(fields)
    if not np.isfinite(affine).all() or not affine[:3, :3].any(axis=0).all():
        raise ReadError(f"cannot read {name}: its affine is malformed: {affine[:3].tolist()}.")
    return affine


def _rotation(quaternion: tuple[float, float, float]) -> Array:
    """The rotation of a unit quaternion whose first entry is left out."""
    b, c, d = quaternion
    a = math.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


def _sizes_with_sign(pixdim: tuple[float, ...]) -> Array:
    """Sizes of voxels; the sign of the first entry is that of the planes (qfac)."""
    sizes = np.abs(pixdim[1:4])
    sizes[2] *= -1 if pixdim[0] < 0 else 1
    return np.asarray(sizes, np.float64)


def _centred(fields: dict[str, Any]) -> Array:
    """Where the header gives no place: the centre at the origin, columns from right to left."""
    sizes = np.abs(fields["pixdim"][1:4])
    sizes = np.where(np.isfinite(sizes) & (sizes > 0), sizes, 1.0)
    scale = sizes * [-1, 1, 1]
    lengths = np.array((*fields["dim"][1:4], 1, 1)[:3])
    lengths = np.where(np.arange(3) < fields["dim"][0], lengths, 1)
    affine = np.diag([*scale, 1.0])
    affine[:3, 3] = -scale * (lengths - 1) / 2
    return affine


def packed_header(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    affine: Array,
    *,
    like: bytes = b"",
    unit: str = "mm",
    intent: int = 0,
    intent_name: str = "",
) -> bytes:
    """A header with the four bytes that say that no extensions follow.

    Parameters
    ----------
    shape : tuple of int
        (columns, rows, planes[, values]): the fastest axis first.
    dtype : numpy.dtype
        Of the voxels, in the byte order of `like`.
    affine : ndarray of shape (4, 4)
    like : bytes
        The header of the image that this belongs to. Its place is repeated bit by bit; free text,
        which may name a patient, is not.
    """
    version = {0: 1, 348: 1, 540: 2}[len(like)]
    if max(shape) > np.iinfo(np.int16).max and version == 1:
        version, like = 2, b""
    order = byte_order(like)
    size = _SIZES[version]
    header = bytearray(like or size)
    fields: dict[str, Any] = {
        "sizeof": size,
        "magic": _MAGIC[version],
        "private": b"",
        "dim": _padded([len(shape), *shape], 8, 1),
        "intent_p": (0.0,) * 3,
        "intent_code": intent,
        "intent_name": intent_name.encode("ascii"),
        "datatype": _CODES[dtype.str[1:]],
        "bitpix": 8 * dtype.itemsize,
        "offset": size + 4,
        "slope": 1.0,
        "inter": 0.0,
        "cal": (0.0, 0.0),
        "descrip": b"gmmseg",
        "aux": b"",
    }
    if not like:
        fields |= _place(affine) | {"units": _UNIT_CODES.get(unit, 0)}
    for field, (at, layout) in _FIELDS[version].items():
        if field in fields:
            value = fields[field]
            struct.pack_into(order + layout, header, at, *(_as_tuple(value)))
    return bytes(header) + b"\0\0\0\0"


def byte_order(like: bytes) -> Literal["<", ">"]:
    """The byte order of a header; of none, the usual one."""
    return ">" if like and struct.unpack_from(">i", like)[0] == len(like) else "<"


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _padded(values: list[Any], n: int, fill: Any) -> tuple[Any, ...]:
    return tuple(values + [fill] * (n - len(values)))


def _place(affine: Array) -> dict[str, Any]:
    """The affine as sform, and as qform too where it is a rotation of a box."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    direction = affine[:3, :3] / sizes
    sign = -1.0 if np.linalg.det(direction) < 0 else 1.0
    rigid = bool(np.allclose(direction.T @ direction, np.eye(3), atol=1e-5))
    fields: dict[str, Any] = {
        "pixdim": _padded([sign, *sizes.tolist()], 8, 1.0),
        "sform": 1,
        "srow": tuple(affine[:3].ravel().tolist()),
        "qform": int(rigid),
    }
    if rigid:
        fields["quatern"] = _quaternion(direction * [1, 1, sign])
        fields["qoffset"] = tuple(affine[:3, 3].tolist())
    return fields


def _quaternion(rotation: Array) -> tuple[float, float, float]:
    """b, c, d of the unit quaternion of a rotation, a being positive.

    The quaternion is the eigenvector of Bar-Itzhack's symmetric matrix (J. Guid. Control Dyn. 23
    (2000) 1085-1087), whichever entry is the largest.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    matrix = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    b, c, d, a = np.linalg.eigh(matrix)[1][:, -1].tolist()
    sign = -1.0 if a < 0 else 1.0
    return sign * b, sign * c, sign * d
