"""What is done with every image of a batch: all that the outputs depend on besides the inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import gmmseg
from gmmseg._check import check_choice
from gmmseg._files import printable
from gmmseg.batch.modes import EACH, MODES
from gmmseg.batch.resume import digest
from gmmseg.errors import InvalidParameterError, MissingFileError, ReadError
from gmmseg.folder_modes import DriftOptions
from gmmseg.image import Image
from gmmseg.io import ReadOptions
from gmmseg.model import Model
from gmmseg.options import SegmentOptions
from gmmseg.outputs import OutputOptions
from gmmseg.presets import ChangedPreset
from gmmseg.streaming import StreamOptions

__all__ = ["BatchSettings"]


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """All that the outputs of a batch depend on besides its inputs.

    Attributes
    ----------
    k : int or "auto", optional
        Number of classes; a model that is given has its own.
    options : callable
        From an image to its `SegmentOptions`; it is sent to other processes.
    mode : {"each", "pooled", "reference", "drift", "independent"}
        What a label means over the folder.
    model : Model, optional
        The reference; otherwise it is made of the images, of all of them with "pooled". With one
        that is given "pooled" is "reference".
    drift : DriftOptions
        With "drift": how far means may move.
    outputs : OutputOptions
        What is written besides label maps and summaries.
    reading : ReadOptions
    mask : path, optional
        An image that says which pixels of every image are used.
    spacing : sequence of float, optional
        Size of a pixel along each axis, or one for all.
    stream : StreamOptions
        Scenes that would take more memory are read strip by strip; the memory is that of each
        worker.
    cog : bool
        Maps on earth are written cloud-optimised.

    Raises
    ------
    InvalidParameterError
        When these do not go together.

    Examples
    --------
    >>> BatchSettings(k=3).to_dict()["mode"]
    'each'
    """

    k: int | str | None = None
    options: Callable[[Image], SegmentOptions] = ChangedPreset()
    mode: str = EACH
    model: Model | None = None
    drift: DriftOptions = DriftOptions()
    outputs: OutputOptions = OutputOptions()
    reading: ReadOptions = ReadOptions()
    mask: Path | None = None
    spacing: Sequence[float] | None = None
    stream: StreamOptions = StreamOptions()
    cog: bool = False

    def __post_init__(self) -> None:
        check_choice(self.mode, "mode", (EACH, *MODES))
        if self.model is None:
            if self.has_reference and not MODES[self.mode].most_pooled:
                raise InvalidParameterError(
                    f"mode {self.mode!r} needs model= (--model FILE): the model that gives labels "
                    "their meaning."
                )
            if self.k is None:
                raise InvalidParameterError("k is missing: give the number of classes (-k K).")
            return
        if not self.has_reference:
            raise InvalidParameterError(
                "a model needs mode= (--mode): 'reference', 'drift' or 'independent'."
            )
        if self.k not in (None, self.model.k):
            raise InvalidParameterError(
                f"the model has {self.model.k} classes, but k is {self.k}. Leave k out."
            )

    @property
    def has_reference(self) -> bool:
        """Whether labels mean what they mean in a reference."""
        return self.mode != EACH

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; of the model its digest, of the mask that of its file."""
        return {
            "gmmseg": gmmseg.__version__,
            "mode": self.mode,
            "k": self.k,
            "reference": None if self.model is None else _digest_of_model(self.model),
            "drift": _plain(self.drift),
            "segment": _plain(self.options),
            "outputs": _plain(self.outputs),
            "reading": _plain(self.reading),
            "mask": None if self.mask is None else _digest_of_file(self.mask),
            "spacing": _plain(self.spacing),
            "memory": self.stream.memory,  # what is streamed has a small overlay, and no textures
            "cog": self.cog,
        }


def _digest_of_model(model: Model) -> str:
    values = model.to_dict()
    del values["provenance"]  # for people: it changes nothing
    return digest(values)


def _digest_of_file(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no file {printable(path)}.") from error
    except OSError as error:
        raise ReadError(f"cannot read {printable(path)}: {error.strerror}.") from error


def _plain(value: Any) -> Any:
    """Options as JSON says them."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    finite = not isinstance(value, float) or abs(value) < float("inf")
    return value if finite and isinstance(value, bool | int | float | str | None) else str(value)
