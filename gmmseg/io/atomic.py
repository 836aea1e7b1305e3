"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gmmseg.errors import GmmsegError, OutputExistsError, WriteError
from gmmseg.io.names import printable

__all__ = ["replacing"]

#: Longest name of a file, in bytes, on the file systems in use.
_LONGEST_NAME = 255


@contextmanager
def replacing(path: str | os.PathLike[str], *, overwrite: bool) -> Iterator[BinaryIO]:
    """A binary file that gets its name `path` only when the block ends without an error.

    Until then it lies beside it under a temporary name, which is removed on any error, an
    interrupt from the keyboard included. A symbolic link at `path` is replaced, never followed.

    Raises
    ------
    OutputExistsError
        When `path` exists and `overwrite` is False.
    WriteError
        When it cannot be written: no such folder, no permission, no space.
    """
    path = Path(path)
    temporary = path.with_name(_temporary_name(path.name))
    try:
        _check_target(path, overwrite=overwrite)
        with _created(temporary) as file:
            try:
                yield file
                file.close()
                _check_target(path, overwrite=overwrite)
                temporary.replace(path)
            except BaseException:
                file.close()
                temporary.unlink(missing_ok=True)
                raise
    except GmmsegError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or printable(error)
        raise WriteError(f"cannot write {printable(path)}: {reason}.") from error


def _temporary_name(name: str) -> str:
    ending = f".{os.getpid()}.tmp"
    return os.fsdecode(b"." + os.fsencode(name)[: _LONGEST_NAME - 1 - len(ending)]) + ending


def _check_target(path: Path, *, overwrite: bool) -> None:
    name = printable(path)
    if path.is_dir() and not path.is_symlink():
        raise WriteError(f"cannot write {name}: it is a directory.")
    if not path.parent.is_dir():
        raise WriteError(f"cannot write {name}: the folder {printable(path.parent)} is not there.")
    if not overwrite and os.path.lexists(path):
        raise OutputExistsError(f"{name} exists already. Replace it with overwrite= (--overwrite).")


def _created(temporary: Path) -> BinaryIO:
    """A new file; one left behind by a killed process of the same number gives way."""
    try:
        return temporary.open("xb")
    except FileExistsError:
        temporary.unlink()
        return temporary.open("xb")
