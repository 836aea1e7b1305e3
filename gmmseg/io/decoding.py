"""The wall around the decoders: no exception, warning or log line of theirs gets past it."""

from __future__ import annotations

import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from gmmseg.errors import GmmsegError, InvalidDataError, ReadError
from gmmseg.io.names import printable

__all__ = ["decoding"]

_LONGEST_REASON = 200

#: Errors whose own text does not help the one who has to do something about it.
_PLAIN_REASONS: dict[type[BaseException], str] = {
    MemoryError: "there is not enough memory for it.",
    RecursionError: "the file is malformed (nested too deeply).",
    struct.error: "the file is damaged or cut short.",
    zlib.error: "the file is damaged or cut short.",
    EOFError: "the file is cut short.",
    IndexError: "the file is malformed.",
    KeyError: "the file is malformed.",
    UnicodeError: "the file is malformed.",
    AssertionError: "the file is malformed.",
}


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a `ReadError` about `name`, and keep it quiet."""
    try:
        with _quiet:
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


class _Quiet:
    """Keeps the warnings of Pillow and tifffile, and tifffile's log, from the user.

    `warnings.catch_warnings` changes the whole process and must not overlap between threads, so
    all readers share one: the first to come installs it, the last to leave removes it. Only
    the two packages are silenced; what other threads warn about meanwhile is still seen.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"(PIL|tifffile)(\.|$)")
                logging.getLogger("tifffile").addFilter(_drop)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._caught is not None:
                self._caught.__exit__(None, None, None)
                logging.getLogger("tifffile").removeFilter(_drop)


def _drop(_: logging.LogRecord) -> bool:
    return False


_quiet = _Quiet()
