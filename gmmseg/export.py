"""Label maps for other programs: COCO, contours, masks; the format by the name of the output."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gmmseg
from gmmseg._check import check_integer
from gmmseg._optional import import_optional
from gmmseg.bridges.coco import coco_annotations
from gmmseg.contours import find_contours
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.io import ReadOptions, output_stem, printable, read_image, write_png, write_text
from gmmseg.labels import class_mask
from gmmseg.outputs import check_outputs, write_files

__all__ = ["EXPORTS", "Export", "ExportOptions", "export_labels", "format_of", "read_labels"]

#: More masks of one label map are refused: it is a map of regions.
_MOST_MASKS = 1000

#: Labels are told apart up to this.
_HIGHEST = (1 << 31) - 2


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What is written of label maps.

    Attributes
    ----------
    names : tuple of str
        Names of the classes 1, 2, ...; "class 3" for those without.
    min_area : int
        Connected components of fewer pixels are left out (coco).
    polygons : bool
        Polygons along the edges of the pixels instead of run lengths (coco).
    max_pixels : int, optional
        Largest label map that is read; None = what fits into half of the free memory.
    """

    names: tuple[str, ...] = ()
    min_area: int = 0
    polygons: bool = False
    max_pixels: int | None = None

    def __post_init__(self) -> None:
        check_integer(self.min_area, "min_area", minimum=0)

    def name(self, label: int) -> str:
        """Of a class."""
        return self.names[label - 1] if label <= len(self.names) else f"class {label}"


@dataclass(frozen=True, kw_only=True)
class Export:
    """A format that label maps are written in.

    Attributes
    ----------
    summary : str
        What it is, in a few words.
    write : callable
        From paths of label maps, the output, options and whether to replace what exists.
    """

    summary: str
    write: Callable[[Sequence[Path], Path, ExportOptions, bool], None]


def export_labels(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    options: ExportOptions = ExportOptions(),
    *,
    overwrite: bool = False,
) -> None:
    """Write label maps in the format that the name of `output` asks for.

    Parameters
    ----------
    inputs : sequence of path
        Label maps: one band of whole numbers, 0 = not used. All of them go into one output.
    output : path
        See `EXPORTS`: ``coco.json`` and names that end so, ``contours.json``, or a folder.
    options : ExportOptions
    overwrite : bool
        Replace files that exist.

    Raises
    ------
    InvalidParameterError
        When the name tells no format, or two inputs would be written to the same names.
    InvalidDataError
        When an input is no label map.
    ReadError, WriteError
        When a file cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "photo_labels.png")
    ...     write_png(path, np.array([[0, 1, 1]], np.uint8))
    ...     export_labels([path], Path(folder, "coco.json"), ExportOptions(names=("sky",)))
    ...     coco = json.loads(Path(folder, "coco.json").read_text())
    >>> coco["categories"], coco["annotations"][0]["area"]
    ([{'id': 1, 'name': 'sky', 'supercategory': ''}], 2)
    """
    export = EXPORTS[format_of(output)]
    export.write([Path(path) for path in inputs], Path(output), options, overwrite)


def format_of(output: str | os.PathLike[str]) -> str:
    """The entry of `EXPORTS` that a name means: its ending, or "/" for a folder.

    Raises
    ------
    InvalidParameterError
        When it tells no format.

    Examples
    --------
    >>> format_of("out/train_coco.json"), format_of("masks/")
    ('coco.json', '/')
    """
    text = os.fspath(output)
    if text.endswith(("/", os.sep)) or Path(text).is_dir():
        return "/"
    for ending in EXPORTS:
        if text.lower().endswith(ending):
            return ending
    listed = ", ".join(f"{ending} ({export.summary})" for ending, export in EXPORTS.items())
    raise InvalidParameterError(
        f"the name {printable(text)} tells no format: end it in one of {listed}."
    )


def read_labels(path: Path, max_pixels: int | None = None) -> NDArray[np.int32]:
    """A label map of a file, (rows, cols), int32.

    Raises
    ------
    InvalidDataError
        When it is a volume, of several bands, or holds what is no label.
    ReadError
        When it cannot be read.
    """
    name = printable(path)
    image = read_image(path, ReadOptions(indexed=True, max_pixels=max_pixels))
    if image.ndim != 2 or image.n_bands != 1:
        kind = "a volume" if image.ndim == 3 else f"{image.n_bands} bands"
        raise InvalidDataError(
            f"{name} must be a label map (rows, cols) of one band, got {kind}. Give the file that "
            "ends in _labels, or one plane of a volume."
        )
    values = image.data[..., 0]
    with np.errstate(invalid="ignore"):
        whole = values.dtype.kind in "ui" or bool((values == np.rint(values)).all())
    if not whole or values.min() < 0 or values.max() > _HIGHEST:
        raise InvalidDataError(
            f"{name} must hold labels: whole numbers from 0 (not used) to {_HIGHEST}. Give the "
            "file that ends in _labels."
        )
    return values.astype(np.int32)


# --- the formats ------------------------------------------------------------------------------


def _maps(paths: Sequence[Path], options: ExportOptions) -> Iterator[tuple[str, NDArray[np.int32]]]:
    """Name of the image, and label map, one after the other."""
    for path in paths:
        yield _pictured(path), read_labels(path, options.max_pixels)


def _stem(path: Path) -> str:
    stem = output_stem(path)
    return stem.removesuffix("_labels") or stem


def _pictured(path: Path) -> str:
    """The file beside a label map that it was made of, else the name of the map itself."""
    stem = _stem(path)
    beside = [
        other.name
        for other in sorted(path.parent.glob(f"{_literal(stem)}.*"))
        if output_stem(other) == stem and other.name != path.name and other.suffix != ".json"
    ]
    return printable(beside[0] if len(beside) == 1 else path.name)


def _literal(text: str) -> str:
    """A pattern that matches nothing but `text`."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)


def _write_json(path: Path, values: dict[str, Any], *, overwrite: bool) -> None:
    write_text(path, json.dumps(values, allow_nan=False) + "\n", overwrite=overwrite)


def _write_coco(
    paths: Sequence[Path], output: Path, options: ExportOptions, overwrite: bool
) -> None:
    check_outputs({"coco": output}, overwrite=overwrite)
    images: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    labels_seen: set[int] = set(range(1, len(options.names) + 1))
    for number, (name, labels) in enumerate(_maps(paths, options), start=1):
        rows, cols = labels.shape
        images.append({"id": number, "width": cols, "height": rows, "file_name": name})
        kept = coco_annotations(labels, polygons=options.polygons, min_area=options.min_area)
        for annotation in kept:
            labels_seen.add(annotation["category_id"])
            found.append({"id": len(found) + 1, "image_id": number} | annotation)
    categories = [
        {"id": label, "name": options.name(label), "supercategory": ""}
        for label in sorted(labels_seen)
    ]
    info = {"description": "label maps of gmmseg", "version": gmmseg.__version__}
    dataset = {"info": info, "licenses": [], "images": images, "annotations": found}
    _write_json(output, dataset | {"categories": categories}, overwrite=overwrite)


def _write_contours(
    paths: Sequence[Path], output: Path, options: ExportOptions, overwrite: bool
) -> None:
    check_outputs({"contours": output}, overwrite=overwrite)
    import_optional("cv2")  # said before anything is read
    images = []
    for name, labels in _maps(paths, options):
        rows, cols = labels.shape
        classes = [
            {"label": label, "name": options.name(label), "contours": _contours(labels == label)}
            for label in _labels_in(labels)
        ]
        images.append({"file_name": name, "width": cols, "height": rows, "classes": classes})
    values = {"format": "gmmseg contours", "version": 1, "images": images}
    _write_json(output, values, overwrite=overwrite)


def _contours(mask: NDArray[np.bool_]) -> list[dict[str, Any]]:
    contours, hierarchy = find_contours(mask, hierarchy=True)
    return [
        {"points": points[:, 0].tolist(), "parent": parent if parent >= 0 else None}
        for points, (*_, parent) in zip(contours, hierarchy[0].tolist(), strict=True)
    ]


def _write_masks(
    paths: Sequence[Path], output: Path, options: ExportOptions, overwrite: bool
) -> None:
    stems = [_stem(path) for path in paths]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise InvalidParameterError(
            f"several inputs would be written to {printable(output / twice)}_mask_1.png. Export "
            "them into different folders."
        )
    for path, stem in zip(paths, stems, strict=True):
        labels = read_labels(path, options.max_pixels)
        present = _labels_in(labels)
        if len(present) > _MOST_MASKS:
            raise InvalidDataError(
                f"{printable(path)} has {len(present)} labels, more than {_MOST_MASKS} masks. "
                "Export it as coco.json."
            )
        plan = {str(label): output / f"{stem}_mask_{label}.png" for label in present}
        write_files(plan, _mask_writer(labels), overwrite=overwrite)


def _mask_writer(labels: NDArray[np.int32]) -> Callable[[str, Path], None]:
    return lambda label, path: write_png(path, class_mask(labels, int(label)))


def _labels_in(labels: NDArray[np.int32]) -> list[int]:
    return [label for label in np.unique(labels).tolist() if label > 0]


#: By how the name of the output ends; "/" is a folder.
EXPORTS: dict[str, Export] = {
    "coco.json": Export(summary="annotations of COCO", write=_write_coco),
    "contours.json": Export(summary="contours as OpenCV makes them", write=_write_contours),
    "/": Export(summary="a mask of 0 and 255 for each class", write=_write_masks),
}
