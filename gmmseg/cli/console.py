"""What people see, on stderr, and what programs read, on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from gmmseg.cli.startup import wait_for_kernels
from gmmseg.errors import WriteError

__all__ = ["Console", "print_bytes", "print_error", "print_json", "print_lines", "show_warning"]

T = TypeVar("T")


class Console:
    """Messages and progress bars on stderr.

    Parameters
    ----------
    quiet : bool
        Nothing but errors.
    verbose : bool
        Details as well.
    progress : bool
        Bars, where stderr is a terminal.
    """

    def __init__(
        self, *, quiet: bool = False, verbose: bool = False, progress: bool = True
    ) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self._without_bars = None if progress and not quiet else True  # None: tqdm looks

    def say(self, text: object) -> None:
        """A message, unless quiet."""
        if not self.quiet:
            _write(text)

    def detail(self, text: object) -> None:
        """A message for who wants to know more."""
        if self.verbose:
            self.say(text)

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
            desc=what, total=1.0,
            bar_format="{desc}: {percentage:3.0f} % [{elapsed}, {remaining} left]",
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


def print_error(error: object) -> None:
    """One clean line about what went wrong."""
    text = "not enough memory" if isinstance(error, MemoryError) else error
    _write(f"gmmseg: {'' if text == 'interrupted' else 'error: '}{_shown(text)}")


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """In the place of `warnings.showwarning`: one line, without the source code."""
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


def _write(text: object) -> None:
    """A line on stderr that does not tear the bars."""
    stream: TextIO = sys.stderr
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        stream.write(f"{text}\n")
    else:
        tqdm.tqdm.write(str(text), file=stream)
