"""Where the outputs of every input go, settled before the first one is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gmmseg.cli.inputs import Input
from gmmseg.errors import InvalidParameterError
from gmmseg.io import output_stem, printable
from gmmseg.io.zarr_store import is_zarr, zarr_root
from gmmseg.outputs import stem_of_output

__all__ = ["Destination", "check_not_an_input", "destinations", "without_own_outputs"]

_LABEL_ENDINGS = (".png", ".tif", ".tiff", ".nii", ".nii.gz", ".zarr")


@dataclass(frozen=True)
class Destination:
    """Where the outputs of one input go.

    Attributes
    ----------
    base : Path
        Folder and stem of their names.
    labels : Path or None
        The name of the label map, when the user chose it.
    """

    base: Path
    labels: Path | None = None


def destinations(inputs: Sequence[Input], output: str | None) -> dict[Input, Destination]:
    """Destination of every input for the ``-o`` that was given.

    Raises
    ------
    InvalidParameterError
        When `output` does not suit, or two inputs would be written to the same names.
    """
    if output is None:
        return _apart({source: source.base for source in inputs})
    path = Path(output)
    if _is_folder(path, output, len(inputs)):
        return _apart({source: path / source.base.name for source in inputs})
    stem = output_stem(path).removesuffix("_labels") or output_stem(path)
    return {inputs[0]: Destination(path.parent / stem, labels=path)}


def _is_folder(path: Path, typed: str, n_inputs: int) -> bool:
    """Whether ``-o`` means a folder, else the file of the label map of a single input."""
    if typed.endswith(("/", os.sep)) or (path.is_dir() and not is_zarr(path)):
        return True
    if n_inputs > 1:
        if path.exists():
            raise InvalidParameterError(
                f"-o must be a folder for several inputs, but {printable(path)} is a file."
            )
        return True
    if path.name.lower().endswith(_LABEL_ENDINGS):
        return False
    if path.suffix or path.exists():
        raise InvalidParameterError(
            "-o must be a folder or a label map ending in .png, .tif, .nii.gz or .ome.zarr, got "
            f"{printable(typed)}. End the name of a new folder with /."
        )
    return True


def _apart(bases: dict[Input, Path]) -> dict[Input, Destination]:
    """Bases that no two inputs share: x.jpg and x.png keep their endings, x.jpg_labels.png."""
    shared = _shared(bases)
    longer = {
        source: base.parent / (source.path or base).name if source in shared else base
        for source, base in bases.items()
    }
    if still := _shared(longer):
        first, second, *_ = still
        raise InvalidParameterError(
            f"{first.name} and {second.name} would both be written to "
            f"{printable(longer[first])}_labels. Segment them into different folders (-o)."
        )
    return {source: Destination(base) for source, base in longer.items()}


def _shared(bases: dict[Input, Path]) -> list[Input]:
    """The inputs whose base another input has too, the first ones that clash first."""
    users: dict[str, list[Input]] = {}
    for source, base in bases.items():
        users.setdefault(os.path.normcase(base.absolute()), []).append(source)
    return [source for group in users.values() if len(group) > 1 for source in group]


def without_own_outputs(
    inputs: Sequence[Input], output: str | None
) -> tuple[tuple[Input, ...], tuple[Input, ...]]:
    """The inputs without, and those that are outputs of others of them by their names.

    So ``'scans/*.png'`` means the same the second time, with the label maps of the first time in
    the folder.
    """
    bases: set[tuple[Path, str | None]] = set()
    for source in inputs:
        folder = (source.base.parent if output is None else Path(output)).absolute()
        bases |= {(folder, source.base.name), (folder, Path(source.word).name)}
    kept: list[Input] = []
    outputs: list[Input] = []
    for source in inputs:
        path = Path(source.word).absolute()
        is_output = (path.parent, stem_of_output(path.name)) in bases
        (outputs if is_output else kept).append(source)
    return tuple(kept), tuple(outputs)


def check_not_an_input(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise when an output would replace a file that is read, or be written into a Zarr."""
    read = {path.resolve(): path for path in inputs}
    for path in outputs:
        if (around := zarr_root(path.parent)) is not None:
            raise InvalidParameterError(
                f"{printable(path)} would be written into {printable(around)}, which is a Zarr. "
                "Choose another place with -o."
            )
        if path.resolve() in read:
            raise InvalidParameterError(
                f"{printable(path)} is an input: it would be replaced by an output. "
                "Choose another place with -o."
            )
