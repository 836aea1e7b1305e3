"""Files that keep the machine code of kernels, where Numba would keep its own.

Beside the sources in ``__pycache__``, else in the user's cache; or where NUMBA_CACHE_DIR says.
Whoever can write there can have code run: as with Python's own ``__pycache__``, and Numba's cache.

A file is named by the kernel, the types of its arguments, and all of the machine and the software
that the code depends on. It begins with a digest of what follows: damaged ones are not used. It
lists the sources that the code was made of with their digests: when one has changed, the kernel is
compiled anew. Files are written whole or not at all, so that any number of processes may share
them.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from gmmseg._files import replacing
from gmmseg.errors import WriteError
from gmmseg.mixture._machine_code import Code, environment

__all__ = ["Source", "folder_of", "folders", "read", "source_of", "write"]

_MAGIC = b"gmmseg machine code 1\n"
_PACKAGE = "gmmseg."
_DIGEST_SIZE = hashlib.sha256().digest_size


class Source(NamedTuple):
    """Where a kernel comes from."""

    name: str  # module and function
    path: Path


def source_of(function: Callable[..., Any]) -> Source | None:
    """The file of a function; None when there is none to go by."""
    path = Path(function.__code__.co_filename).resolve()
    if _digest(path) is None:
        return None
    return Source(f"{path.stem}.{function.__qualname__}", path)


def read(source: Source, key: tuple[Any, ...]) -> Code | None:
    """What was kept for a kernel and the types of its arguments, if it is of today's sources."""
    if (name := _name(source, key)) is None:
        return None
    for folder in folders(source.path):
        try:
            code = _unpacked((folder / name).read_bytes(), source.path.parent)
        except OSError:
            continue
        if code is not None:
            return code
    return None


def write(source: Source, key: tuple[Any, ...], code: Code) -> bool:
    """Keep machine code in the first folder that can be written; False when none can."""
    if (name := _name(source, key)) is None:
        return True
    content = _packed(code, source.path)
    for folder in folders(source.path):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / name, overwrite=True) as file:
                file.write(content)
        except (OSError, WriteError):
            continue
        return True
    return False


def folders(source: Path) -> Iterator[Path]:
    """Where code may be kept, the best place first."""
    home = hashlib.sha256(os.fsencode(source.parent)).hexdigest()[:16]
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(given, "gmmseg", home)
        return
    yield source.parent / "__pycache__"
    with suppress(RuntimeError):  # nobody's home
        cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        yield Path(cache, "gmmseg", home)


def folder_of(source: Source) -> Path | None:
    """Where there is code of a kernel, or will be; None when no folder can be written."""
    places = list(folders(source.path))
    kept = (folder for folder in places if any(folder.glob(f"{source.name}.*.kernel")))
    return next(chain(kept, filter(_can_be_written, places)), None)


def _can_be_written(folder: Path) -> bool:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)


def _name(source: Source, key: tuple[Any, ...]) -> str | None:
    if (machine := environment()) is None:
        return None
    kinds = [f"{kind.__module__}.{kind.__qualname__}" if isinstance(kind, type) else repr(kind)
             for kind in key]  # fmt: skip
    digest = hashlib.sha256(repr((machine, kinds)).encode()).hexdigest()
    return f"{source.name}.{digest[:24]}.kernel"


def _packed(code: Code, path: Path) -> bytes:
    header = {**code._asdict(), "machine_code": None, "sources": _sources(path)}
    text = json.dumps(header).encode()
    content = len(text).to_bytes(4, "little") + text + code.machine_code
    return _MAGIC + hashlib.sha256(content).digest() + content


def _unpacked(content: bytes, folder: Path) -> Code | None:
    """The inverse; None when it is damaged, or sources beside `folder` are not the same."""
    start = len(_MAGIC) + _DIGEST_SIZE
    digest, body = content[len(_MAGIC) : start], content[start:]
    if not content.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        return None
    end = 4 + int.from_bytes(body[:4], "little")
    header = json.loads(body[4:end])
    for name, expected in header.pop("sources").items():
        if _digest(Path(os.path.normpath(folder / name))) != expected:
            return None
    return Code(tuple(header["parameters"]), header["result"], tuple(header["needs"]), body[end:])


def _sources(path: Path) -> dict[str, str | None]:
    """What code is made from: names of files seen from its folder, and their digests.

    They are the file of the kernel and all that it imports of this package, and what compiles.
    """
    found: dict[Path, str | None] = {}
    waiting = [path, Path(__file__).with_name("_compiler.py")]
    while waiting:
        if (source := waiting.pop()) not in found:
            found[source] = _digest(source)
            waiting += _imported(source)
    return {os.path.relpath(source, path.parent): digest for source, digest in found.items()}


def _imported(path: Path) -> Iterator[Path]:
    """The files of this package that a module takes its own names from."""
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(_PACKAGE):
            for alias in node.names:  # a module, or a name in one
                module = sys.modules.get(f"{node.module}.{alias.name}")
                yield Path(str((module or sys.modules[str(node.module)]).__file__))


@functools.cache
def _digest(path: Path) -> str | None:
    """Of a source as it was when it was first asked for in this process."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
