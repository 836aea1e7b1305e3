"""Zarr in a folder, versions 2 and 3: what its metadata say, looked through before Zarr sees it.

Metadata are read by us, as JSON of limited size. Arrays are opened by Zarr when their shape,
chunks, type and codecs are ones that are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from gmmseg._files import printable
from gmmseg._optional import import_optional
from gmmseg.errors import MissingFileError, ReadError, UnsupportedFormatError
from gmmseg.io.decoding import decoding
from gmmseg.io.limits import free_memory

__all__ = [
    "ArrayFacts",
    "Node",
    "has_metadata",
    "image_names",
    "inner_path",
    "is_zarr",
    "open_array",
    "read_node",
    "zarr_root",
]

#: What stands in a folder that is Zarr's, the newest version first.
_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs")

#: A plate of thousands of images has some MB of consolidated metadata.
_LARGEST = 16 << 20

#: Most values of an array: beyond, numbers of pixels would not be counted exactly everywhere.
_MOST_VALUES = 1 << 48

#: Children of a group that are named in messages.
_MOST_NAMES = 8

_TYPES = frozenset(
    ["bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))]
    + [f"float{bits}" for bits in (16, 32, 64)]
)

#: What no name of a part of a path in a Zarr holds: other separators, drives, the end of a string.
_ODD = frozenset("\\:\0")

#: Codecs that only move, count or pack bytes; none of them runs code that a file brings.
_PACKING = frozenset(["blosc", "zstd", "gzip", "zlib", "lz4", "bz2"])
_OTHERS = frozenset(["bytes", "transpose", "crc32c", "sharding_indexed", "delta", "shuffle"])


@dataclass(frozen=True, kw_only=True)
class ArrayFacts:
    """What is known of an array from its metadata.

    Attributes
    ----------
    shape, chunks : tuple of int
        Chunks are what is decoded at once: of a sharded array those within shards.
    dtype : dtype
        In native byte order.
    codecs : tuple of str
    dimension_names : tuple of str, or None
    stored : int
        Bytes of the values of a file: a chunk or a shard.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    codecs: tuple[str, ...]
    dimension_names: tuple[str, ...] | None
    stored: int


@dataclass(frozen=True, kw_only=True)
class Node:
    """A group or an array.

    Attributes
    ----------
    path : Path
    zarr_format : int
    attributes : mapping
    array : ArrayFacts or None
        None for a group.
    """

    path: Path
    zarr_format: int
    attributes: Mapping[str, Any]
    array: ArrayFacts | None

    @property
    def name(self) -> str:
        """For messages."""
        return printable(self.path)

    def children(self) -> list[str]:
        """Folders in it that are Zarr's."""
        return sorted(entry.name for entry in os.scandir(self.path) if has_metadata(entry.path))

    def listed(self, names: list[str] | None = None) -> str:
        """The paths of children, or of those that are called so, for messages."""
        found = self.children() if names is None else names
        shown = ", ".join(printable(self.path / name) for name in found[:_MOST_NAMES])
        return f"{shown}, ..." if len(found) > _MOST_NAMES else shown


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is a Zarr array or group, or is called so."""
    if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for names that are too long
        return False
    return os.fspath(path).lower().rstrip("/").endswith(".zarr") or has_metadata(path)


def image_names(names: Iterable[str]) -> list[str]:
    """Of names that a pattern found those of files and of Zarr, but of nothing within a Zarr."""
    found = list(names)
    groups = {Path(name) for name in found if is_zarr(name)}
    return [
        name
        for name in found
        if (Path(name) in groups or os.path.isfile(name))  # noqa: PTH113
        and groups.isdisjoint(Path(name).parents)
    ]


def has_metadata(path: str | os.PathLike[str]) -> bool:
    """Whether a folder says that it is a Zarr array or group."""
    return any(os.path.isfile(os.path.join(path, name)) for name in _METADATA)  # noqa: PTH113, PTH118


def zarr_root(path: str | os.PathLike[str]) -> Path | None:
    """The outermost folder that is Zarr's, at `path` or around it; None where there is none."""
    here = Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow links
    around = (folder for folder in (*reversed(here.parents), here) if has_metadata(folder))
    return next(around, None)


def inner_path(node: Node, word: Any) -> Path:
    """The path of a node that the metadata of another name; it must lie within."""
    shown = printable(word)[:80]
    parts = word.split("/") if isinstance(word, str) else [""]
    if any(part in ("", ".", "..") or not _ODD.isdisjoint(part) for part in parts):
        raise ReadError(f"cannot read {node.name}: it names {shown!r}, which is not a path in it.")
    path = node.path.joinpath(*parts)
    if not path.resolve().is_relative_to(node.path.resolve()):
        raise ReadError(f"cannot read {node.name}: {shown} is a link that leads out of it.")
    return path


def read_node(path: str | os.PathLike[str]) -> Node:
    """The metadata of a group or an array.

    Raises
    ------
    MissingFileError
        When there is none.
    ReadError
        When the metadata are malformed, or declare what is not read.
    """
    path = Path(path)
    shown = printable(path)
    if not has_metadata(path):
        if not path.exists():
            raise MissingFileError(f"There is no file {shown}.")
        raise ReadError(
            f"cannot read {shown}: a Zarr has a file zarr.json, .zarray or .zgroup, and this "
            "folder has none of them."
        )
    with decoding(shown):
        version3 = _json(path, "zarr.json")
        if version3 is not None:
            return _node_of_version_3(path, shown, version3)
        attributes, array = _json(path, ".zattrs") or {}, _json(path, ".zarray")
        facts = None if array is None else _facts(shown, _of_version_2(array, attributes))
        return Node(path=path, zarr_format=2, attributes=attributes, array=facts)


def _node_of_version_3(path: Path, shown: str, found: Mapping[str, Any]) -> Node:
    kind, attributes = found.get("node_type"), found.get("attributes") or {}
    if found.get("zarr_format") != 3 or kind not in ("array", "group"):
        raise ReadError(f"cannot read {shown}: its zarr.json is not that of version 3.")
    if not isinstance(attributes, dict):
        raise ReadError(f"cannot read {shown}: its attributes are malformed.")
    facts = _facts(shown, _of_version_3(found)) if kind == "array" else None
    return Node(path=path, zarr_format=3, attributes=attributes, array=facts)


def _json(folder: Path, name: str) -> dict[str, Any] | None:
    path = folder / name
    shown = printable(path)
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _LARGEST:
            raise ReadError(f"cannot read {shown}: it has more than {_LARGEST} bytes.")
        found = json.loads(path.read_bytes())
    except RecursionError:
        raise ReadError(f"cannot read {shown}: it is nested too deeply.") from None
    except ValueError as error:
        raise ReadError(f"cannot read {shown}: it is not JSON.") from error
    except OSError as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(f"cannot read {shown}: {error.strerror or error}.") from error
    if not isinstance(found, dict):
        raise ReadError(f"cannot read {shown}: it is no JSON object.")
    return found


# --- arrays -------------------------------------------------------------------------------------


def _of_version_2(found: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of both versions under the same names."""
    packing = [*(found.get("filters") or []), found.get("compressor")]
    return {
        "shape": found.get("shape"),
        "chunks": found.get("chunks"),
        "type": found.get("dtype"),
        "codecs": [codec.get("id") for codec in packing if codec is not None],
        "names": attributes.get("_ARRAY_DIMENSIONS"),  # xarray's
    }


def _of_version_3(found: Mapping[str, Any]) -> dict[str, Any]:
    stored = found["chunk_grid"]["configuration"]["chunk_shape"]
    codecs, chunks = _unsharded(found["codecs"], stored)
    return {
        "shape": found.get("shape"),
        "chunks": chunks,
        "stored": stored,
        "type": found.get("data_type"),
        "codecs": codecs,
        "names": found.get("dimension_names"),
    }


def _unsharded(codecs: Any, chunks: Any) -> tuple[list[Any], Any]:
    """The names of codecs, those within a shard included, and the shape of what they pack."""
    names = []
    for codec in codecs:
        name = codec.get("name") if isinstance(codec, dict) else codec
        names.append(str(name).removeprefix("numcodecs."))
        if name == "sharding_indexed":
            within, chunks = _unsharded(
                codec["configuration"]["codecs"], codec["configuration"]["chunk_shape"]
            )
            names += within
    return names, chunks


def _facts(shown: str, found: dict[str, Any]) -> ArrayFacts:
    """Facts of an array that may be opened."""
    shape, chunks = _lengths(shown, found["shape"], 0), _lengths(shown, found["chunks"], 1)
    stored = _lengths(shown, found.get("stored", found["chunks"]), 1)
    if not len(shape) == len(chunks) == len(stored):
        raise ReadError(
            f"cannot read {shown}: its shape {shape} and its chunks {chunks} have not the same "
            "number of axes."
        )
    if prod(shape) > _MOST_VALUES:
        raise ReadError(f"cannot read {shown}: it declares {prod(shape)} values.")
    dtype = _dtype(shown, found["type"])
    n_bytes, most = prod(stored) * dtype.itemsize, free_memory() // 2
    if prod(chunks) * dtype.itemsize > most:
        raise ReadError(
            f"cannot read {shown}: its chunks of {' x '.join(map(str, chunks))} values take "
            f"{prod(chunks) * dtype.itemsize} bytes, more than half of the free memory ({most})."
        )
    return ArrayFacts(
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        codecs=_codecs(shown, found["codecs"]),
        dimension_names=_names(found["names"], len(shape)),
        stored=n_bytes,
    )


def _lengths(shown: str, values: Any, least: int) -> tuple[int, ...]:
    is_list = isinstance(values, list) and len(values) <= 32
    if not is_list or not all(type(n) is int and n >= least for n in values):
        raise ReadError(f"cannot read {shown}: its shape or that of its chunks is malformed.")
    return tuple(values)


def _dtype(shown: str, told: Any) -> np.dtype[Any]:
    known = None
    if isinstance(told, str) and "O" not in told:
        try:
            known = np.dtype(told).newbyteorder("=")
        except TypeError:
            known = None
    if known is None or known.name not in _TYPES:
        raise UnsupportedFormatError(
            f"cannot read {shown}: it holds {printable(told)[:80]}, but an image is made of bool, "
            "integers or real floats."
        )
    return known


def _codecs(shown: str, names: list[Any]) -> tuple[str, ...]:
    odd = [name for name in names if name not in _PACKING | _OTHERS]
    if odd:
        raise UnsupportedFormatError(
            f"cannot read {shown}: it is packed by {printable(odd[0])[:80]!r}. Of codecs those are "
            f"read: {', '.join(sorted(_PACKING | _OTHERS))}. Copy the array with one of them."
        )
    return tuple(names)


def _names(told: Any, n: int) -> tuple[str, ...] | None:
    """Names of the axes, where all have one."""
    if not isinstance(told, list) or len(told) != n:
        return None
    return tuple(told) if all(isinstance(name, str) and name for name in told) else None


def open_array(node: Node) -> Any:
    """The array of a node, as a zarr.Array that reads it.

    Raises
    ------
    MissingDependencyError
        Without the extra `zarr`.
    """
    zarr = import_optional("zarr")
    from gmmseg.io.zarr_guard import GuardedStore

    assert node.array is not None  # noqa: S101 - who calls has looked
    packing = [name for name in node.array.codecs if name in _PACKING]
    sharded = "sharding_indexed" in node.array.codecs
    codec = packing[-1] if packing and not sharded else ""
    store = GuardedStore(node.path, most=node.array.stored, codec=codec)
    return zarr.open_array(store=store, mode="r", zarr_format=node.zarr_format)
