"""What people see, on stderr, and what programs read, on stdout."""

from __future__ import annotations

import json
import logging
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from gmmseg import __version__
from gmmseg.cli.startup import wait_for_kernels
from gmmseg.errors import WriteError

__all__ = [
    "Console",
    "logged",
    "print_bytes",
    "print_error",
    "print_json",
    "print_lines",
    "show_warning",
]

T = TypeVar("T")

_LOG = logging.getLogger("gmmseg.cli")


class Console:
    """Messages and progress bars on stderr.

    Parameters
    ----------
    quiet : bool
        Nothing but errors.
    verbose : int
        From 1: details as well.
    progress : bool
        Bars, where stderr is a terminal.
    """

    def __init__(self, *, quiet: bool = False, verbose: int = 0, progress: bool = True) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self._without_bars = None if progress and not quiet else True  # None: tqdm looks

    def say(self, text: object) -> None:
        """A message, unless quiet."""
        _record(text)
        if not self.quiet:
            _write(text)

    def detail(self, text: object) -> None:
        """A message for who wants to know more."""
        if self.verbose:
            self.say(text)
        else:
            _record(text)

    def warn(self, text: object) -> None:
        """Something that the user may not expect."""
        self.say(f"gmmseg: warning: {_shown(text)}")

    @contextmanager
    def iterations(self) -> Iterator[Callable[[int, float], None]]:
        """A callback of EM that shows how far it is."""
        from tqdm import tqdm

        with tqdm(
            desc="EM", unit=" iterations", leave=False, disable=self._without_bars, file=sys.stderr
        ) as bar:

            def show(_: int, mean_log_likelihood: float) -> None:
                bar.set_postfix_str(f"log-likelihood {mean_log_likelihood:.6f}", refresh=False)
                bar.update()

            yield show

    @contextmanager
    def share_of(self, what: str) -> Iterator[Callable[[float], None]]:
        """A callback that takes the share of something long that is done, 0..1."""
        from tqdm import tqdm

        with tqdm(
            desc=what, total=1.0, bar_format="{desc}: {percentage:3.0f} % [{elapsed}]",
            leave=False, disable=self._without_bars, file=sys.stderr,
        ) as bar:  # fmt: skip
            yield lambda share: bar.update(share - bar.n)

    def each(self, items: Sequence[T]) -> Iterator[T]:
        """The items one by one, with a bar when there are several."""
        if len(items) == 1:
            yield items[0]
            return
        from tqdm import tqdm

        yield from tqdm(
            items, desc="images", unit=" images", disable=self._without_bars, file=sys.stderr
        )

    @contextmanager
    def telling_of_compilation(self) -> Iterator[None]:
        """One line when kernels are compiled, which takes seconds; never when they are cached."""
        wait_for_kernels()
        from numba.core import event

        from gmmseg.mixture._jit import load_without_blas

        load_without_blas()
        console = self

        class FirstCompilation(event.Listener):
            told = False

            def on_start(self, _: Any) -> None:
                if not self.told:
                    self.told = True
                    console.say("compiling kernels, first run only ...")

            def on_end(self, _: Any) -> None:
                pass

        with event.install_listener("numba:compile", FirstCompilation()):
            yield


@contextmanager
def logged(path: str | None, arguments: Sequence[str]) -> Iterator[None]:
    """Within the block, all messages are also appended to a file, with times.

    Raises
    ------
    WriteError
        When the file cannot be opened.
    """
    if path is None:
        yield
        return
    from gmmseg._files import printable

    try:
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WriteError(f"cannot write {printable(path)}: {reason}.") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(message)s"))
    _LOG.addHandler(handler)
    _LOG.propagate = False
    _LOG.setLevel(logging.INFO)
    try:
        _record(f"gmmseg {__version__}: {shlex.join(map(printable, arguments))}")
        yield
    finally:
        _LOG.removeHandler(handler)
        handler.close()


def print_error(error: object, *, cause: BaseException | None = None, verbose: int = 0) -> None:
    """One clean line about what went wrong.

    From `verbose` 2, and in the log file, also where in the program `cause` came up.
    """
    text = "not enough memory" if isinstance(error, MemoryError) else error
    line = f"gmmseg: {'' if text == 'interrupted' else 'error: '}{_shown(text)}"
    told = line if cause is None else "".join(traceback.format_exception(cause)) + line
    _record(told)
    _write(told if verbose > 1 else line)


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """In the place of `warnings.showwarning`: one line, without the source code."""
    _record(f"gmmseg: warning: {_shown(message)}")
    _write(f"gmmseg: warning: {_shown(message)}")


def print_json(values: dict[str, Any]) -> None:
    """One object on one line of stdout, in ASCII."""
    print_lines([json.dumps(values, allow_nan=False)])


def print_lines(lines: Sequence[str]) -> None:
    """Data on stdout, out at once: what reads it may be waiting."""
    with _to_stdout():
        for line in lines:
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def print_bytes(content: bytes) -> None:
    """A whole file on stdout."""
    with _to_stdout():
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


@contextmanager
def _to_stdout() -> Iterator[None]:
    """A full disk is an error like others; a reader that has gone is left to `main`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(f"cannot write to standard output: {error.strerror}.") from error


def _shown(text: object) -> str:
    from gmmseg._files import printable

    return printable(text)


def _record(text: object) -> None:
    """A message to the log file, if there is one."""
    if _LOG.handlers:
        _LOG.info(text)


def _write(text: object) -> None:
    """A line on stderr that does not tear the bars."""
    stream: TextIO = sys.stderr
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        stream.write(f"{text}\n")
    else:
        tqdm.tqdm.write(str(text), file=stream)
