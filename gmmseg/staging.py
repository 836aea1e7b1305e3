"""Files that appear under their names together, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gmmseg._files import printable
from gmmseg.errors import GmmsegError, OutputExistsError, WriteError
from gmmseg.io.zarr_store import has_metadata
from gmmseg.map_layouts import ZARR

__all__ = ["check_outputs", "staged", "write_files"]


def check_outputs(plan: Mapping[str, Path], *, overwrite: bool = False) -> None:
    """Make sure, before anything is computed, that the files of `plan` can be written.

    Raises
    ------
    OutputExistsError
        When one exists and `overwrite` is False.
    WriteError
        When one is a folder, or its folder cannot be written to.
    """
    for path in plan.values():
        name = printable(path)
        if path.is_dir() and not path.is_symlink() and not _is_zarr_output(path):
            raise WriteError(f"cannot write {name}: it is a folder.")
        if not overwrite and os.path.lexists(path):
            raise OutputExistsError(
                f"{name} exists already. Replace it with overwrite= (--overwrite)."
            )
    for folder in {path.parent for path in plan.values()}:
        there = next(f for f in (folder, *folder.parents) if f.exists())
        if not there.is_dir():
            raise WriteError(f"cannot write into {printable(folder)}: {there.name} is a file.")
        if not os.access(there, os.W_OK | os.X_OK):
            raise WriteError(f"cannot write into {printable(there)}: it is not permitted.")


def _is_zarr_output(path: Path) -> bool:
    """Whether a folder is a Zarr in the place of one, which may be replaced as a file may."""
    return path.suffix.lower() == ZARR and has_metadata(path)


def write_files(
    plan: Mapping[str, Path], write: Callable[[str, Path], None], *, overwrite: bool = False
) -> None:
    """Call `write` with every name of `plan` and a path, all of which then go to their places.

    Raises
    ------
    OutputExistsError, WriteError
        As `write_outputs`. Nothing has changed then.
    """
    with staged(plan, overwrite=overwrite) as paths:
        for name, path in paths.items():
            write(name, path)


@contextmanager
def staged(plan: Mapping[str, Path], *, overwrite: bool = False) -> Iterator[dict[str, Path]]:
    """Paths to write the files of `plan` to, which go to their places when the block ends well.

    Raises
    ------
    OutputExistsError, WriteError
        As `write_outputs`. Nothing has changed then.
    """
    check_outputs(plan, overwrite=overwrite)
    try:
        with ExitStack() as stack:
            staging = {
                folder: stack.enter_context(_staging(folder))
                for folder in dict.fromkeys(path.parent for path in plan.values())
            }
            paths = {name: staging[path.parent] / path.name for name, path in plan.items()}
            yield paths
            check_outputs(plan, overwrite=overwrite)
            for name, path in plan.items():
                _move(paths[name], path)
    except GmmsegError:
        raise
    except OSError as error:
        place = printable(next(iter(plan.values())).parent)
        raise WriteError(f"cannot write into {place}: {error.strerror or error}.") from error


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A hidden folder on the same disk, from which files can be moved at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".gmmseg-", dir=folder) as name:
        yield Path(name)


def _move(source: Path, target: Path) -> None:
    """Give a finished output its name; a folder cannot take the place of what is there."""
    if source.is_dir() and os.path.lexists(target):
        target.rename(source.with_name(f"{source.name}.replaced"))  # goes with the staging folder
    source.replace(target)
