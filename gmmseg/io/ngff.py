"""OME-Zarr (OME-NGFF 0.1 to 0.5): what its metadata say of an image, and of what is no image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmmseg._files import printable
from gmmseg.errors import ReadError, UnsupportedFormatError
from gmmseg.io.zarr_store import Node, inner_path

__all__ = ["Level", "Multiscale", "axis_letter", "multiscale", "ome_of"]

#: Names of axes, in small letters, by what they mean here.
_LETTERS = {
    "T": ("t", "time"),
    "C": ("c", "channel", "channels", "band", "bands", "wavelength"),
    "Z": ("z", "plane", "planes", "depth"),
    "Y": ("y", "row", "rows", "lat", "latitude", "northing"),
    "X": ("x", "col", "cols", "column", "lon", "longitude", "easting"),
}
_LETTER_OF = {name: letter for letter, names in _LETTERS.items() for name in names}

#: Of versions before axes were named.
_OLD_AXES = ("t", "c", "z", "y", "x")

#: Ways in which units are spelled that the format does not know.
_UNITS = {
    "um": "micrometer",
    "µm": "micrometer",
    "μm": "micrometer",
    "micron": "micrometer",
    "nm": "nanometer",
    "mm": "millimeter",
    "m": "meter",
}

_MOST_LEVELS = 64


@dataclass(frozen=True, kw_only=True)
class Level:
    """One resolution of an image.

    Attributes
    ----------
    path : Path
    scale, translation : tuple of float
        One for each axis.
    """

    path: Path
    scale: tuple[float, ...]
    translation: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Multiscale:
    """An image of several resolutions.

    Attributes
    ----------
    version : str
        Of OME-NGFF; "" = not told.
    axes : tuple of str
        Names, as they are stored.
    units : tuple of str
        One for each, as OME-Zarr spells them; "" = unknown.
    levels : tuple of Level
        The finest first.
    channels : tuple of str
        Names of the channels; () = not told.
    colours : tuple of str
        Theirs, as six hexadecimal digits.
    """

    version: str
    axes: tuple[str, ...]
    units: tuple[str, ...]
    levels: tuple[Level, ...]
    channels: tuple[str, ...]
    colours: tuple[str, ...]


def axis_letter(name: str) -> str:
    """T, C, Z, Y or X for the name of an axis; "" for another.

    Examples
    --------
    >>> axis_letter("band"), axis_letter("Y"), axis_letter("phase")
    ('C', 'Y', '')
    """
    return _LETTER_OF.get(name.lower(), "")


def ome_of(node: Node) -> Mapping[str, Any]:
    """The metadata of OME, which version 0.5 puts into an entry of their own."""
    own = node.attributes.get("ome")
    return own if isinstance(own, dict) else node.attributes


def multiscale(node: Node) -> Multiscale:
    """The image that a group is.

    Raises
    ------
    UnsupportedFormatError
        When it is none, but a plate, a list of labels or of images: what to name instead is told.
    ReadError
        When its metadata are malformed.
    """
    ome = ome_of(node)
    if not ome.get("multiscales"):
        raise UnsupportedFormatError(_what_instead(node, ome))
    images = ome["multiscales"]
    if not isinstance(images, list) or not isinstance(images[0], dict):
        raise _malformed(node, "multiscales")
    image = images[0]
    names, units = _axes(node, image.get("axes"))
    datasets = image.get("datasets")
    if not isinstance(datasets, list) or not 0 < len(datasets) <= _MOST_LEVELS:
        raise _malformed(node, "datasets")
    whole = _transformation(node, image, len(names))
    channels = _channels(ome)
    return Multiscale(
        version=printable(ome.get("version") or image.get("version") or ""),
        axes=names,
        units=units,
        levels=tuple(_level(node, entry, whole, len(names)) for entry in datasets),
        channels=tuple(printable(channel.get("label") or "") for channel in channels),
        colours=tuple(str(channel.get("color", "")).upper() for channel in channels),
    )


def _what_instead(node: Node, ome: Mapping[str, Any]) -> str:
    """Why a group is no image, and what to name."""
    shown = node.name
    if "plate" in ome:
        wells = _strings(ome["plate"], "wells", "path")
        return (
            f"{shown} is a plate of many images. Name one of them, such as "
            f"{node.listed([f'{well}/0' for well in wells[:1]] or ['A/1/0'])}."
        )
    if "well" in ome:
        return f"{shown} is a well. Name one of its images: {node.listed()}."
    if isinstance(ome.get("labels"), list):
        names = [name for name in ome["labels"] if isinstance(name, str)]
        return f"{shown} is a list of label maps. Name one of them: {node.listed(names)}."
    if "bioformats2raw.layout" in ome:
        return f"{shown} is a list of images. Name one of them: {node.listed()}."
    if inside := node.children():
        return f"{shown} is a group that OME-Zarr does not describe. Name one of: " + (
            f"{node.listed(inside)}."
        )
    return f"{shown} is an empty Zarr group: there is no image in it."


def _strings(found: Any, entry: str, key: str) -> list[str]:
    items = found.get(entry) if isinstance(found, dict) else None
    values = [item.get(key) for item in items or [] if isinstance(item, dict)]
    return [value for value in values if isinstance(value, str)]


def _malformed(node: Node, entry: str) -> ReadError:
    return ReadError(f"cannot read {node.name}: {entry} in its metadata of OME-Zarr is malformed.")


def _axes(node: Node, told: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and units."""
    if told is None:
        return _OLD_AXES, ("",) * len(_OLD_AXES)
    if not isinstance(told, list) or len(told) > 32:
        raise _malformed(node, "axes")
    named = [axis if isinstance(axis, dict) else {"name": axis} for axis in told]
    names = tuple(name for axis in named if isinstance(name := axis.get("name"), str))
    if len(names) < len(named):
        raise _malformed(node, "axes")
    return names, tuple(_unit(axis.get("unit")) for axis in named)


def _unit(told: Any) -> str:
    return _UNITS.get(told, printable(told)) if isinstance(told, str) else ""


def _level(node: Node, entry: Any, whole: _Transformation, n: int) -> Level:
    if not isinstance(entry, dict):
        raise _malformed(node, "datasets")
    own = _transformation(node, entry, n)
    return Level(
        path=inner_path(node, entry.get("path")),
        scale=tuple(a * b for a, b in zip(own.scale, whole.scale, strict=True)),
        translation=tuple(
            t * s + u
            for t, s, u in zip(own.translation, whole.scale, whole.translation, strict=True)
        ),
    )


@dataclass(frozen=True)
class _Transformation:
    scale: tuple[float, ...]
    translation: tuple[float, ...]


def _transformation(node: Node, entry: Mapping[str, Any], n: int) -> _Transformation:
    """The scale and translation of a level, or of all of them."""
    found = {"scale": (1.0,) * n, "translation": (0.0,) * n}
    told = entry.get("coordinateTransformations") or []
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        raise _malformed(node, "coordinateTransformations")
    for one in told:
        kind = one.get("type")
        if kind in found and "path" not in one:
            found[kind] = _numbers(node, one.get(kind), n, positive=kind == "scale")
    return _Transformation(**found)


def _numbers(node: Node, told: Any, n: int, *, positive: bool) -> tuple[float, ...]:
    is_list = isinstance(told, list) and len(told) == n
    if not is_list or not all(type(v) in (int, float) and math.isfinite(v) for v in told):
        raise _malformed(node, "coordinateTransformations")
    if positive and not all(value > 0 for value in told):
        raise _malformed(node, "coordinateTransformations")
    return tuple(float(value) for value in told)


def _channels(ome: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    omero = ome.get("omero")
    found = omero.get("channels") if isinstance(omero, dict) else None
    items = found if isinstance(found, list) else []
    return [item if isinstance(item, dict) else {} for item in items]
