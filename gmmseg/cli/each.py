"""A command's work on each of its inputs: the others go on when one fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gmmseg.cli.console import Console, print_error, print_json
from gmmseg.cli.inputs import Input
from gmmseg.errors import GmmsegError
from gmmseg.io import printable

__all__ = ["run_each"]

Place = TypeVar("Place")


def run_each(
    places: Mapping[Input, Place],
    work: Callable[[Input, Place, dict[str, Any]], None],
    console: Console,
    *,
    json: bool,
    hint: str = "",
) -> int:
    """Do `work` for every input, and list those that failed in the end.

    Parameters
    ----------
    places : dict of Input
        Where the outputs of each input go.
    work : callable
        Called with an input, its place, and the summary for programs, which it fills.
    console : Console
    json : bool
        Print the summaries.
    hint : str
        What to say in the end when some input was done.

    Returns
    -------
    int
        0, or 1 when an input failed.
    """
    failures: list[Input] = []
    for source, place in console.each(list(places.items())):
        summary: dict[str, Any] = {"input": source.word}
        try:
            work(source, place, summary)
        except (GmmsegError, MemoryError) as error:
            failures.append(source)
            summary["error"] = _reason(error, source)
            print_error(summary["error"], cause=error, verbose=console.verbose)
        if json:
            print_json(summary)
    if hint and len(failures) < len(places):
        console.say(hint)
    if failures and len(places) > 1:
        names = ", ".join(source.name for source in failures)
        print_error(f"{len(failures)} of {len(places)} inputs failed: {names}")
    return 1 if failures else 0


def _reason(error: Exception, source: Input) -> str:
    text = "not enough memory." if isinstance(error, MemoryError) else printable(error)
    return text if source.name in text else f"{source.name}: {text}"
