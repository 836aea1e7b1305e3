"""The report of a folder that ``gmmseg batch`` wrote: from its record and files to a page."""

from __future__ import annotations

import json
import os
import urllib.parse
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.batch.record import RECORD_NAME, latest_entries, read_record
from gmmseg.errors import GmmsegError, GmmsegWarning, MissingFileError, ReadError
from gmmseg.image import Image
from gmmseg.io import ReadOptions, printable, read_image, replacing
from gmmseg.io.zarr_store import is_zarr
from gmmseg.mixture._threads import available_cpus
from gmmseg.model import Model, load_model
from gmmseg.pipeline import apply
from gmmseg.report.cards import Card, facts_of_summary, failed_card, pictured
from gmmseg.report.drift import drift_flags
from gmmseg.report.options import PictureBudget, ReportOptions
from gmmseg.report.page import write_page
from gmmseg.report.settings import flattened, versions

__all__ = ["REPORT_NAME", "write_report"]

#: How the report is called where nothing else is said.
REPORT_NAME = "report.html"

#: Summaries are small; a larger file is none.
_LARGEST_SUMMARY = 32 << 20

Progress = Callable[[int, int], None]

_DEFAULT = ReportOptions()


def write_report(
    folder: str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    options: ReportOptions = _DEFAULT,
    *,
    images: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write one HTML file about all files of a folder that ``gmmseg batch`` wrote.

    Parameters
    ----------
    folder : path
        The outputs of a batch, with its record.
    path : path, optional
        The file; ``report.html`` in `folder` when not given. Its links to outputs hold only
        there.
    options : ReportOptions
    images : path, optional
        Where the inputs are now, if no longer where they were.
    overwrite : bool
        Replace a file that exists.
    progress : callable, optional
        Called with the number of files that are done, and of all.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ReadError
        When the folder holds no record of a batch.
    OutputExistsError, WriteError
        When the page cannot be written.
    """
    found = _Folder.read(Path(folder), None if images is None else Path(images))
    target = found.path / REPORT_NAME if path is None else Path(path)
    entries = list(found.entries.values())
    with replacing(target, overwrite=overwrite) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", GmmsegWarning)  # the batch has told them
        write_page(
            file,
            _cards(found, options.budget(len(entries)), progress),
            title=printable(options.title or found.name),
            summary={
                "single": False,
                "subtitle": printable(found.header.get("started", "")),
                "seconds": found.seconds,
                "missing": found.missing,
            },
            settings=[*found.settings(), *versions()],
        )
    return target


@dataclass(frozen=True)
class _Folder:
    """What a batch wrote, and what its record tells of it."""

    path: Path
    root: Path
    header: Mapping[str, Any]
    entries: Mapping[str, Mapping[str, Any]]
    seconds: float

    @classmethod
    def read(cls, path: Path, images: Path | None) -> _Folder:
        try:
            lines = read_record(path)
        except FileNotFoundError as error:
            raise MissingFileError(
                f"there is no {RECORD_NAME} in {printable(path)}: gmmseg batch -o writes it. Give "
                "the folder of its outputs."
            ) from error
        except OSError as error:
            raise ReadError(
                f"cannot read {printable(path / RECORD_NAME)}: {error.strerror}."
            ) from error
        starts = [i for i, line in enumerate(lines) if "record" in line]
        if not starts:
            raise ReadError(f"{printable(path / RECORD_NAME)} is not the record of a batch.")
        header = lines[starts[-1]]
        latest = latest_entries(lines[starts[-1] :])
        entries = {name: latest[name] for name in sorted(latest)}
        root = images or Path(str(header.get("root", ".")))
        seconds = sum(_seconds(entry) for entry in entries.values())
        return cls(path, root, header, entries, seconds)

    @property
    def name(self) -> str:
        return self.path.resolve().name or "report"

    @property
    def missing(self) -> int:
        """How many files the run was to do and has not."""
        planned = self.header.get("files", 0)
        return max(0, planned - len(self.entries)) if isinstance(planned, int) else 0

    def settings(self) -> list[tuple[str, str]]:
        """What the header tells of the run."""
        names = ("started", "inputs", "mode", "k", "model")
        kept: dict[str, Any] = {name: self.header.get(name) for name in names}
        options = self.header.get("options")
        told = dict(options) if isinstance(options, Mapping) else {}
        segment = told.pop("segment", None)
        if isinstance(segment, Mapping) and isinstance(segment.get("changes"), Mapping):
            kept |= {"preset": segment.get("preset"), **segment["changes"]}
            if kept["k"] != "auto":
                kept.pop("selection", None)
        for name in ("outputs", "reading"):  # written in full: what is off says nothing
            if isinstance(told.get(name), Mapping):
                told[name] = {key: value for key, value in told[name].items() if value}
        return [*flattened(kept), *flattened(told)]

    @cached_property
    def flags(self) -> dict[str, list[str]]:
        """Why files do not fit the reference."""
        return drift_flags(self.path / "drift.json")

    @cached_property
    def reading(self) -> ReadOptions:
        """How the inputs were read; a record that says otherwise is not followed."""
        options = self.header.get("options")
        given = options.get("reading") if isinstance(options, Mapping) else None
        try:
            return replace(ReadOptions(**(given or {})), max_pixels=None)
        except (TypeError, GmmsegError):
            return ReadOptions()

    @cached_property
    def reference(self) -> Model | None:
        """The model of the whole run."""
        name = self.header.get("model")
        return None if name is None else _optional_model(self.output(name))

    def output(self, name: Any) -> Path | None:
        """The file of an output; None when it is not there, or not in the folder."""
        if not isinstance(name, str) or not _is_relative(name):
            return None
        path = self.path / name
        return path if path.is_file() or is_zarr(path) else None

    def source(self, name: str) -> Path | None:
        """The file of an input."""
        return self.root / name if _is_relative(name) else None


def _is_relative(name: str) -> bool:
    """Whether a name stays in its folder, on any system."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return bool(parts) and parts[0] != "/" and ".." not in parts and ":" not in parts[0]


def _seconds(entry: Mapping[str, Any]) -> float:
    value = entry.get("seconds", 0.0)
    return round(float(value), 3) if isinstance(value, int | float) and 0 <= value < 1e9 else 0.0


def _cards(found: _Folder, budget: PictureBudget, progress: Progress | None) -> Iterator[Card]:
    """In the order of the names; encoding pictures leaves the interpreter to other threads."""
    threads = available_cpus()
    with ThreadPoolExecutor(threads) as pool:
        coming: deque[Future[Card]] = deque()
        todo = iter(found.entries.items())
        for number in range(1, len(found.entries) + 1):
            for name, entry in islice(todo, 2 * threads - len(coming)):
                coming.append(pool.submit(_card, found, name, entry, budget))
            yield coming.popleft().result()
            if progress is not None:
                progress(number, len(found.entries))


def _card(found: _Folder, name: str, entry: Mapping[str, Any], budget: PictureBudget) -> Card:
    if entry.get("status") == "failed":
        error, kind = str(entry.get("error", "")), str(entry.get("kind", "error"))
        return failed_card(name, error, kind, _seconds(entry))
    try:
        return _done_card(found, name, entry, budget)
    except (GmmsegError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        text = (
            printable(error) if isinstance(error, GmmsegError | OSError) else type(error).__name__
        )
        return failed_card(name, f"its outputs cannot be shown: {text}", "outputs")


def _done_card(found: _Folder, name: str, entry: Mapping[str, Any], budget: PictureBudget) -> Card:
    outputs = entry["outputs"]
    facts = facts_of_summary(name, _summary(found, outputs))
    facts["seconds"] = _seconds(entry)
    facts["reasons"] = found.flags.get(name, [])
    facts["links"] = [
        {"name": printable(kind), "href": _address(path)}
        for kind, path in outputs.items()
        if found.output(path) is not None
    ]
    labels = _map(found, outputs, "labels")
    if labels is None:
        raise ReadError("the label map is not there.")
    image, missing = _image(found, name, labels)
    own = _optional_model(found.output(outputs.get("model")))
    model = own or found.reference
    entropy = _map(found, outputs, "entropy")
    if entropy is None and image is not None and model is not None:
        entropy = apply(model, image).entropy
    card = pictured(facts, image, labels, entropy, model, budget, fitted=own is not None)
    card.facts["notes"] += [missing] if missing else []
    return card


def _summary(found: _Folder, outputs: Mapping[str, Any]) -> dict[str, Any]:
    path = found.output(outputs.get("json"))
    if path is None or path.stat().st_size > _LARGEST_SUMMARY:
        raise ReadError("the summary is not there.")
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ReadError(f"{printable(path)} is no summary.")
    return values


def _address(path: str) -> str:
    """A link to a file beside the report, whatever it is called."""
    return "./" + urllib.parse.quote(os.fsencode(path), safe="/")


def _map(found: _Folder, outputs: Mapping[str, Any], kind: str) -> NDArray[Any] | None:
    path = found.output(outputs.get(kind))
    return None if path is None else read_image(path, ReadOptions(indexed=True)).data[..., 0]


def _image(found: _Folder, name: str, labels: NDArray[Any]) -> tuple[Image | None, str]:
    """The input with what was used of it, or why it is not there."""
    path = found.source(name)
    try:
        if path is None:
            return None, "the input lies outside of the folder of inputs"
        image = read_image(path, found.reading)
    except (GmmsegError, OSError) as error:
        return None, f"the input cannot be shown: {printable(error)}"
    if image.shape != labels.shape:
        return None, "the input has changed: it is of another shape"
    return image.with_mask(np.asarray(labels > 0)), ""


def _optional_model(path: Path | None) -> Model | None:
    return None if path is None else load_model(path)
