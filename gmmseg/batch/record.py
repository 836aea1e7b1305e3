"""The run record: one line for each file, on the disk before the next one is written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gmmseg._files import printable
from gmmseg.errors import WriteError

__all__ = ["RECORD_NAME", "RunRecord", "latest_entries", "parse_record", "read_record"]

RECORD_NAME = "gmmseg_run.jsonl"

Entry = dict[str, Any]

#: The byte that stands for the whole record where a lock is on bytes, far behind all of it.
_FAR = 1 << 62


def parse_record(content: bytes) -> list[Entry]:
    """The entries of a record; what is no JSON object on a line of its own is passed over.

    Examples
    --------
    >>> parse_record(b'{"input": "a.png"}\\n{"input": "b.p')
    [{'input': 'a.png'}]
    """
    return list(_objects(content.split(b"\n")[:-1]))


def _objects(lines: Iterable[bytes]) -> Iterator[Entry]:
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            yield entry


def read_record(folder: str | os.PathLike[str]) -> list[Entry]:
    """The entries of the record in a folder, in the order in which they were written.

    Raises
    ------
    FileNotFoundError
        When there is none.
    """
    return parse_record(Path(folder, RECORD_NAME).read_bytes())


def latest_entries(entries: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The last entry of every input."""
    return {entry["input"]: entry for entry in entries if isinstance(entry.get("input"), str)}


class RunRecord:
    """The record of a folder, open for one run alone.

    Attributes
    ----------
    entries : list of dict
        What earlier runs have written.
    """

    def __init__(self, descriptor: int, name: str, content: bytes) -> None:
        self._descriptor, self._name = descriptor, name
        self.entries = parse_record(content)

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[RunRecord]:
        """The record of `folder`, made if need be, and locked until the block ends.

        A lock goes with the process that holds it, however that ends. A last line that a killed
        run has left unfinished is cut off.

        Raises
        ------
        WriteError
            When it cannot be written, or another run is at work in the folder.
        """
        path = folder / RECORD_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
            flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            raise WriteError(f"cannot write {printable(path)}: {error.strerror}.") from error
        try:
            _lock(descriptor, path)
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                os.ftruncate(descriptor, whole)
            yield cls(descriptor, printable(path), content[:whole])
        finally:
            os.close(descriptor)

    def append(self, *entries: Mapping[str, Any]) -> None:
        """Write one line for each entry, and wait until they are on the disk."""
        lines = (json.dumps(entry, allow_nan=False) + "\n" for entry in entries)
        content = memoryview("".join(lines).encode("ascii"))
        try:
            while content:
                content = content[os.write(self._descriptor, content) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise WriteError(f"cannot write {self._name}: {error.strerror}.") from error


def _lock(descriptor: int, path: Path) -> None:
    try:
        _take_lock(descriptor)
    except OSError as error:
        raise WriteError(
            f"another run is at work in {printable(path.parent)}: wait for it, or take another "
            "folder for the outputs."
        ) from error


def _posix_lock() -> Callable[[int], None]:
    import fcntl

    return lambda descriptor: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _windows_lock() -> Callable[[int], None]:
    import msvcrt

    def take(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]

    return take


_take_lock = _posix_lock() if os.name == "posix" else _windows_lock()
