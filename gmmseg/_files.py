"""Files that appear whole or not at all, and names that cannot steer a terminal."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gmmseg.errors import GmmsegError, OutputExistsError, WriteError

__all__ = ["file_facts", "printable", "replacing", "write_text"]

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


def file_facts(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Bytes and the time of the last change, in nanoseconds, of a file or of all in a folder.

    Raises
    ------
    OSError
        When there is nothing.
    """
    own = os.stat(path)  # noqa: PTH116 - a Zarr may be a million files
    size, changed = own.st_size, own.st_mtime_ns
    if not stat.S_ISDIR(own.st_mode):
        return size, changed
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            facts = os.lstat(os.path.join(folder, name))  # noqa: PTH118
            size, changed = size + facts.st_size, max(changed, facts.st_mtime_ns)
    return size, changed


def write_text(path: str | os.PathLike[str], text: str, *, overwrite: bool = False) -> None:
    r"""Write text as UTF-8 with line ends of "\n" on every system.

    Parameters
    ----------
    path : str or path
        The file.
    text : str
        Its content.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    OutputExistsError
        When the file exists and `overwrite` is False.
    WriteError
        When it cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "table.csv")
    ...     write_text(path, "class,pixels\n1,40\n")
    ...     path.read_text()
    'class,pixels\n1,40\n'
    """
    with replacing(path, overwrite=overwrite) as file:
        file.write(text.encode("utf-8"))


def printable(text: object) -> str:
    r"""`text` on one line, with everything escaped that could steer a terminal.

    Besides the control characters these are the separators and the marks of writing direction,
    with which a name can pretend to be another.

    Examples
    --------
    >>> print(printable("a\x1b[2Jb.png"))
    a\x1b[2Jb.png
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
