"""Which files a batch works on, and under what names their outputs go: settled before it begins."""

from __future__ import annotations

import glob
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gmmseg._files import file_facts, printable
from gmmseg.errors import InvalidParameterError, MissingFileError
from gmmseg.io import output_stem
from gmmseg.io.names import IMAGE_SUFFIXES
from gmmseg.io.zarr_store import image_names, is_zarr, zarr_root
from gmmseg.outputs import stem_of_output

__all__ = ["BatchPlan", "PlannedFile", "plan_batch"]


@dataclass(frozen=True, kw_only=True)
class PlannedFile:
    """One input of a batch.

    Attributes
    ----------
    input : str
        Path relative to the root, with ``/`` on every system.
    base : str
        Folder and stem of the names of its outputs, relative to the folder of the outputs.
    size, mtime_ns : int
        Of the file, or of all in a Zarr, when the batch was planned; -1 when it could not be looked
        at.
    """

    input: str
    base: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """The inputs of a batch and where their outputs go.

    Attributes
    ----------
    root : Path
        Absolute folder that the inputs are relative to.
    output : Path
        Absolute folder of the outputs.
    files : tuple of PlannedFile
        In the order of their names.
    left_out : tuple of str
        Files that are outputs of other inputs by their names.
    words : tuple of str
        What was asked for.
    """

    root: Path
    output: Path
    files: tuple[PlannedFile, ...]
    left_out: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def path_of(self, file: PlannedFile) -> Path:
        """Where an input lies."""
        return self.root / file.input


def plan_batch(
    words: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    recursive: bool = False,
) -> BatchPlan:
    """Find the images that `words` name, and decide the names of their outputs.

    Outputs go to the same tree as the inputs, seen from the innermost folder that holds all that
    was asked for. Inputs that would share a stem on some file system, such as ``x.jpg`` and
    ``X.png``, keep their endings.

    Parameters
    ----------
    words : sequence of str or path
        Folders, files, or patterns such as ``"scans/*.png"``. Of a folder the files whose names end
        like those of images, and the folders in it that are Zarr; what begins with a dot is passed
        over. A folder that is a Zarr is one image.
    output : str or path
        Folder of the outputs; what lies in it is no input.
    recursive : bool
        Folders within folders as well. Links to folders are not followed.

    Returns
    -------
    BatchPlan

    Raises
    ------
    MissingFileError
        When a word names nothing that exists.
    InvalidParameterError
        When there are no images, or `output` is a file, or in a Zarr.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a.png", "a.tif", "b.png", "b_labels.png"):
    ...         Path(folder, name).touch()
    ...     plan = plan_batch([folder], Path(folder, "out"))
    >>> [file.base for file in plan.files], plan.left_out
    (['a.png', 'a.tif', 'b'], ('b_labels.png',))
    """
    typed = tuple(os.fspath(word) for word in words)
    target = _absolute(output)
    if target.exists() and not target.is_dir():
        raise InvalidParameterError(f"the output must be a folder, but {printable(target)} is not.")
    if (around := zarr_root(target)) is not None:
        raise InvalidParameterError(
            f"the output {printable(target)} would be written into {printable(around)}, which is a "
            "Zarr. Choose another folder."
        )
    found = [_found(word, recursive=recursive) for word in typed]
    root = _common(folder for folder, _ in found)
    inside = target == root or target in root.parents
    paths = {path: None for _, paths in found for path in paths}
    names = sorted(
        path.relative_to(root).as_posix() for path in paths if inside or target not in path.parents
    )
    kept = _without_outputs(names)
    if not kept:
        looked = ", ".join(printable(word) for word in typed)
        deeper = "" if recursive else " Folders within folders need recursive= (--recursive)."
        raise InvalidParameterError(f"there are no images in {looked}.{deeper}")
    bases = _bases(kept)
    return BatchPlan(
        root=root,
        output=target,
        files=tuple(_planned(root, name, bases[name]) for name in kept),
        left_out=tuple(sorted(set(names) - set(kept))),
        words=typed,
    )


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  # Path.resolve would follow links


def _found(word: str, *, recursive: bool) -> tuple[Path, list[Path]]:
    """The folder that a word speaks of, and the files that it means."""
    path = _absolute(word)
    if path.is_dir() and not is_zarr(path):
        return path, list(_images(path, recursive=recursive))
    if os.path.lexists(path):
        return path.parent, [path]
    if not glob.has_magic(word):
        raise MissingFileError(f"there is no file or folder {printable(word)}.")
    matches = sorted(glob.glob(word, recursive=True))  # noqa: PTH207  # takes absolute patterns
    files = [_absolute(name) for name in image_names(matches)]
    if not files:
        raise MissingFileError(f"no file matches {printable(word)}.")
    fixed = path
    while glob.has_magic(str(fixed)) and fixed.parent != fixed:
        fixed = fixed.parent
    return fixed, files


def _images(folder: Path, *, recursive: bool) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        shown = [name for name in folders if not name.startswith(".")]
        images = [name for name in shown if is_zarr(os.path.join(place, name))]  # noqa: PTH118
        yield from (Path(place, name) for name in images)
        folders[:] = [name for name in shown if recursive and name not in images]
        for name in names:
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                yield Path(place, name)


def _common(folders: Iterable[Path]) -> Path:
    try:
        return Path(os.path.commonpath(list(folders)))
    except ValueError as error:
        raise InvalidParameterError(
            "the inputs lie on different drives: run one batch for each of them."
        ) from error


def _without_outputs(names: Sequence[str]) -> list[str]:
    """The names that are not those of outputs of others: their stem, or their whole name."""
    stems = {base for name in names for base in (name, _base(name))}

    def is_output(name: str) -> bool:
        folder, slash, last = name.rpartition("/")
        stem = stem_of_output(last)
        return stem is not None and folder + slash + stem in stems

    return [name for name in names if not is_output(name)]


def _base(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    stem = output_stem(last)
    return folder + slash + (last if stem in (".", "..") else stem)  # a stem is no way out


def _bases(names: Sequence[str]) -> Mapping[str, str]:
    """Bases of which no two are the same name on any file system."""
    bases = {name: _base(name) for name in names}
    shared = _shared(bases)
    bases |= {name: name for name in shared}
    number = 1
    while still := _shared(bases):  # a.png, A.png; or a.png, a.tif and a.png.jpg
        number += 1
        seen: set[str] = set()
        for name in still:
            if (key := _key(bases[name])) in seen:
                bases[name] = f"{name}-{number}"
            seen.add(key)
    return bases


def _shared(bases: Mapping[str, str]) -> list[str]:
    users = Counter(_key(base) for base in bases.values())
    return [name for name, base in bases.items() if users[_key(base)] > 1]


def _key(base: str) -> str:
    """What is the same for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", base).casefold())


def _planned(root: Path, name: str, base: str) -> PlannedFile:
    try:
        size, changed = file_facts(root / name)
    except OSError:
        return PlannedFile(input=name, base=base, size=-1, mtime_ns=-1)
    return PlannedFile(input=name, base=base, size=size, mtime_ns=changed)
