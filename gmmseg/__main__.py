"""The command line: ``gmmseg`` and ``python -m gmmseg``."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Sequence

from gmmseg.cli.console import logged, print_error, show_warning
from gmmseg.cli.parser import parse
from gmmseg.cli.startup import hurry, leave
from gmmseg.errors import GmmsegError, GmmsegWarning, InvalidParameterError

__all__ = ["main"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        0 done; 1 an input failed; 2 a rule of the options was broken, nothing was read;
        130 interrupted.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        run, args = parse(words)
        gc.enable()  # the command's modules are there
        with logged(getattr(args, "log_file", None), words):
            return _status_of(run, args)
    except SystemExit as stop:  # argparse has printed help, the version or what is wrong
        return stop.code if isinstance(stop.code, int) else USAGE
    except GmmsegError as error:  # before there is a command, or a log file
        print_error(error)
        return USAGE if isinstance(error, InvalidParameterError) else FAILED
    except KeyboardInterrupt:
        print_error("interrupted")
        return INTERRUPTED


def _status_of(run: Callable[[Namespace], int], args: Namespace) -> int:
    """Run a command; what goes wrong becomes a line and a status."""
    quiet, verbose = getattr(args, "quiet", False), getattr(args, "verbose", 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if quiet else "always", GmmsegWarning)
            warnings.showwarning = show_warning
            status = run(args)
            sys.stdout.flush()
            return status
    except KeyboardInterrupt:
        print_error("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        _forget_stdout()
        return FAILED
    except (GmmsegError, MemoryError) as error:
        print_error(error, cause=error, verbose=verbose)
        return USAGE if isinstance(error, InvalidParameterError) else FAILED


def _forget_stdout() -> None:
    """Keep the interpreter from complaining when it flushes at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def process() -> None:
    """The whole life of a process."""
    hurry()
    status = main()
    leave()
    sys.exit(status)


if __name__ == "__main__":
    process()
