"""The wall around the decoders: no exception, warning or log line of theirs gets past it."""

from __future__ import annotations

import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from gmmseg._files import printable
from gmmseg.errors import GmmsegError, InvalidDataError, ReadError

__all__ = ["decoding", "quiet"]

_LONGEST_REASON = 200

#: Errors whose own text does not help the one who has to do something about it.
_PLAIN_REASONS: dict[type[BaseException], str] = {
    MemoryError: "there is not enough memory for it.",
    RecursionError: "the file is malformed (nested too deeply).",
    struct.error: "the file is damaged or cut short.",
    zlib.error: "the file is damaged or cut short.",
    EOFError: "the file is cut short.",
    SyntaxError: "the file is damaged or cut short.",  # Pillow's word for it
    IndexError: "the file is malformed.",
    KeyError: "the file is malformed.",
    UnicodeError: "the file is malformed.",
    AssertionError: "the file is malformed.",
    AttributeError: "the file is malformed.",
    TypeError: "the file is malformed.",
    ArithmeticError: "the file is malformed.",
}


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a `ReadError` about `name`, and keep it quiet."""
    try:
        with quiet:
            yield
    except InvalidDataError as error:
        raise ReadError(f"cannot read {name}: {error}") from error
    except GmmsegError:
        raise
    except Exception as error:
        raise ReadError(f"cannot read {name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    for kind, text in _PLAIN_REASONS.items():
        if isinstance(error, kind):
            return text
    if type(error).__name__ == "UnidentifiedImageError":
        return "the file is damaged, or of a rare variant that the decoder does not know."
    text = " ".join(printable(error).split()) or type(error).__name__
    if len(text) > _LONGEST_REASON:
        text = text[:_LONGEST_REASON] + "..."
    return text if text.endswith(".") else text + "."


class _Shared:
    """A change of the whole process that several threads may want at the same time.

    The first to come makes it, the last to leave undoes it. Without this two overlapping
    `warnings.catch_warnings` would leave the filters of the one as the state for good.
    """

    def __init__(self, change: Callable[[], AbstractContextManager[None]]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._inside = 0
        self._made: AbstractContextManager[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._made = self._change()
                self._made.__enter__()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._made is not None:
                self._made.__exit__(None, None, None)


@contextmanager
def _without_noise() -> Iterator[None]:
    """Silence the decoders, and only them: others may want to warn meanwhile."""
    logs = [logging.getLogger(name) for name in ("tifffile", "pydicom")]
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", module=r"(PIL|tifffile|rasterio|pydicom|zarr|numcodecs)(\.|$)"
        )
        for log in logs:
            log.addFilter(_drop)
        try:
            yield
        finally:
            for log in logs:
                log.removeFilter(_drop)


def _drop(_: logging.LogRecord) -> bool:
    return False


#: A context in which the decoders are silent.
quiet = _Shared(_without_noise)
