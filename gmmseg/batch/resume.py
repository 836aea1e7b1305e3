"""What earlier runs have done, and what they have left lying about."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gmmseg._files import file_facts
from gmmseg.batch.planning import BatchPlan, PlannedFile
from gmmseg.outputs import stem_of_output

__all__ = ["bases_in_use", "digest", "is_done", "remove_temporary"]

#: Folders of `outputs.write_files` and files of `_files.replacing`.
_TEMPORARY = re.compile(r"\.gmmseg-[a-z0-9_]{8}|\..+\.\d+\.tmp")


def digest(value: Any) -> str:
    """A short text that differs for values that differ; they are what JSON can say.

    Examples
    --------
    >>> digest({"k": 3}) == digest({"k": 3}), len(digest({"k": 4}))
    (True, 16)
    """
    text = json.dumps(value, sort_keys=True, allow_nan=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def is_done(file: PlannedFile, entry: Mapping[str, Any], settings: str, output: Path) -> bool:
    """Whether an entry of the record says that the outputs of a file are there, and they are.

    The input is known by its name, size and time of change. Outputs are looked for under the names
    that they would be given now, whatever the record says.
    """
    if entry.get("status") not in ("ok", "skipped"):
        return False
    key = (file.size, file.mtime_ns, settings)
    if key != tuple(entry.get(name) for name in ("size", "mtime_ns", "settings")):
        return False
    names, sizes = entry.get("outputs"), entry.get("bytes")
    if not (isinstance(names, dict) and isinstance(sizes, dict) and names.keys() == sizes.keys()):
        return False
    return all(
        isinstance(name, str) and _is_of(file, name) and _size(output / name) == sizes[kind]
        for kind, name in names.items()
    )


def _is_of(file: PlannedFile, name: str) -> bool:
    folder, slash, last = name.rpartition("/")
    return folder + slash + (stem_of_output(last) or "") == file.base


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size if path.is_symlink() else file_facts(path)[0]
    except OSError:
        return -1


def bases_in_use(plan: BatchPlan, before: float = math.inf) -> frozenset[str]:
    """The bases of which some output is there that was written before a time, in seconds."""
    wanted = {file.base for file in plan.files}
    found = set()
    for folder in _folders(plan):
        place = folder.relative_to(plan.output).as_posix()
        prefix = "" if place == "." else f"{place}/"
        for name in _names(folder):
            base = prefix + (stem_of_output(name) or "")
            if base in wanted and (folder / name).lstat().st_mtime < before:
                found.add(base)
    return frozenset(found)


def remove_temporary(plan: BatchPlan) -> int:
    """Remove what runs that were killed have left half-written; how many things that were.

    To be called while no other run is at work in the folder.
    """
    left = [
        folder / name
        for folder in _folders(plan)
        for name in _names(folder)
        if _TEMPORARY.fullmatch(name)
    ]
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(left)


def _folders(plan: BatchPlan) -> Iterator[Path]:
    """Every folder of outputs that there is."""
    folders = {(plan.output / file.base).parent for file in plan.files} | {plan.output}
    yield from sorted(folder for folder in folders if folder.is_dir())


def _names(folder: Path) -> Iterable[str]:
    return os.listdir(folder)  # noqa: PTH208  # names are all that is wanted
