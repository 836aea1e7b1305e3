"""Segment many images in several processes, each for itself or all by one model.

Outputs go to OUT in the same tree as the inputs, with a record of what was done. A file that
fails, or crashes its process, is told in the end; the others are done all the same. A run that
was interrupted or killed goes on with --resume.

    gmmseg batch scans -o out -k 3
    gmmseg batch 'scans/*.tif' -o out -k 4 --jobs 8 --timeout 60 --resume
"""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from gmmseg.batch.modes import EACH, MODES
from gmmseg.batch.options import BatchOptions
from gmmseg.batch.planning import BatchPlan, plan_batch
from gmmseg.batch.run import BatchResult, run_batch
from gmmseg.batch.settings import BatchSettings
from gmmseg.cli import option_groups as groups
from gmmseg.cli import segment_options
from gmmseg.cli.console import Console, print_error, print_json, print_lines
from gmmseg.cli.values import byte_count, positive_integer, positive_number
from gmmseg.folder_modes import DriftOptions
from gmmseg.io import ReadOptions, printable
from gmmseg.model import load_model
from gmmseg.outputs import OutputOptions
from gmmseg.streaming import StreamOptions

__all__ = ["add_arguments", "run"]

#: Files that do not fit which are told by name; the table has all.
_MOST_NAMES = 10


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg batch`` takes."""
    parser.usage = "gmmseg batch DIR|GLOB... -o OUT -k K [--recursive] [--jobs N] [options]"
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="DIR|GLOB",
        help="folders, image files, or quoted patterns such as 'scans/*.png'",
    )
    segment_options.add_classes(parser, required=False)
    _add_run(parser)
    _add_modes(parser)
    groups.add_threads(parser)
    groups.add_outputs(parser)
    _require_folder(parser)
    groups.add_pixels(parser)
    groups.add_reading(parser)
    scenes = parser.add_argument_group("scenes on earth (extra geo)")
    groups.add_streaming(scenes, " for each of the --jobs")
    groups.add_messages(parser)
    segment_options.add_preset(parser)


def _require_folder(parser: ArgumentParser) -> None:
    """Outputs of a batch are apart from its inputs, with the record beside them."""
    (action,) = (action for action in parser._actions if action.dest == "output")
    action.required, action.help = True, "the folder of the outputs, made if need be"


def _add_run(parser: ArgumentParser) -> None:
    """`BatchOptions`, and which files."""
    group = parser.add_argument_group("run")
    group.add_argument(
        "-r", "--recursive", action="store_true", help="search folders within folders as well"
    )
    group.add_argument(
        "--jobs",
        "-j",
        metavar="N",
        type=positive_integer,
        help="worker processes (default: one for each CPU allowed)",
    )
    group.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive_number,
        help="a file that takes longer has failed (default: no limit)",
    )
    group.add_argument(
        "--memory-limit",
        metavar="SIZE",
        type=byte_count,
        help="a file that needs more memory has failed: 500M, 2G (Linux; default: no limit)",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on from an earlier run: files that it has done, with the same options, are kept",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="tell what would be written where, and do nothing",
    )
    group.add_argument(
        "--report",
        action="store_true",
        help="in the end also a page over all images, report.html in OUT; with --entropy it shows "
        "where to look twice",
    )


def _add_modes(parser: ArgumentParser) -> None:
    """What a label means over the folder, and `DriftOptions`."""
    default = DriftOptions()
    group = parser.add_argument_group("one meaning over the folder")
    group.add_argument(
        "--mode",
        choices=(EACH, *MODES),
        default=EACH,
        help="each: every image for itself. The others give labels the meaning that they have in a "
        "reference: pooled (a model of all images; their shares of the classes are free), "
        "reference (the same with --model), drift (means may move as well), independent (a fit of "
        "its own, its classes named after the nearest) (default: %(default)s)",
    )
    group.add_argument(
        "--model",
        metavar="FILE",
        dest="model_used",
        help="the reference, a *.gmm.json; otherwise it is made of the images",
    )
    group.add_argument(
        "--max-drift",
        metavar="D",
        type=float,
        default=default.max_drift,
        help="with --mode drift: most standard deviations that a mean moves (default: %(default)g)",
    )
    group.add_argument(
        "--stiffness",
        metavar="S",
        type=float,
        default=default.stiffness,
        help="with --mode drift: how much classes of few pixels follow the others rather than "
        "these pixels (default: %(default)g)",
    )
    group.add_argument(
        "--save-model",
        action="store_true",
        default=OutputOptions().save_model,
        help="write the model of each image to <stem>.gmm.json",
    )


def run(args: Namespace) -> int:
    """Segment all files that the words name."""
    console = groups.console_of(args)
    plan = plan_batch(args.inputs, args.output, recursive=args.recursive)
    if plan.left_out:
        names = ", ".join(printable(name) for name in plan.left_out)
        console.say(f"left out, being outputs of other inputs: {names}")
    settings = BatchSettings(
        k=args.k,
        options=replace(segment_options.segment_options(args), followed=args.mode != EACH),
        mode=args.mode,
        model=None if args.model_used is None else load_model(args.model_used),
        drift=groups.options_of(args, DriftOptions),
        outputs=groups.options_of(args, OutputOptions),
        reading=groups.options_of(args, ReadOptions),
        mask=None if args.mask is None else Path(args.mask).absolute(),
        spacing=args.spacing,
        stream=groups.options_of(args, StreamOptions),
        cog=args.cog,
    )
    batch = groups.options_of(args, BatchOptions)
    if args.dry_run:
        return _tell_plan(plan, console)
    with _ended_by_sigterm(), _Watcher(console, json=args.json) as watcher:
        result = run_batch(plan, settings, batch, watcher)
    status = _tell(result, plan, console)
    if args.report:
        _write_report(plan, console)
    return status


def _write_report(plan: BatchPlan, console: Console) -> None:
    from gmmseg.report import write_report

    with console.telling_of_compilation(), console.share_of("report") as tell:
        path = write_report(
            plan.output, overwrite=True, progress=lambda done, of_all: tell(done / of_all)
        )
    console.say(printable(path))


def _tell_plan(plan: BatchPlan, console: Console) -> int:
    """What would be done: input and the beginning of the names of its outputs, a tab between."""
    print_lines(
        [
            f"{printable(file.input)}\t{printable(plan.output / file.base)}_labels"
            for file in plan.files
        ]
    )
    console.say(f"{len(plan.files)} files in {printable(plan.root)}; nothing was done")
    return 0


def _tell(result: BatchResult, plan: BatchPlan, console: Console) -> int:
    counts, failed, flagged = result.counts, result.failed, result.flagged
    skipped = f", {counts['skipped']} done before" if counts["skipped"] else ""
    images = "1 image" if counts["ok"] == 1 else f"{counts['ok']} images"
    console.say(f"{images} in {result.seconds:.1f} s{skipped} -> {printable(plan.output)}")
    if flagged:
        console.say(f"{len(flagged)} images do not fit the reference (drift.csv):")
        for row in flagged[:_MOST_NAMES]:
            console.say(f"  {printable(row['input'])}: {', '.join(row['flags'])}")
        if len(flagged) > _MOST_NAMES:
            console.say(f"  and {len(flagged) - _MOST_NAMES} more")
    if failed:
        print_error(f"{len(failed)} of {len(result.entries)} files failed:")
        for entry in failed:
            print_error(_reason(entry))
    return 1 if failed else 0


def _reason(entry: Mapping[str, Any]) -> str:
    name, text = printable(entry["input"]), entry["error"]
    return text if name in text else f"{name}: {text}"


class _Watcher:
    """A bar for people, lines for programs."""

    def __init__(self, console: Console, *, json: bool) -> None:
        self._console, self._json = console, json
        self._bar: Any = None
        self._failed = 0

    def __enter__(self) -> _Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, what: str, n_files: int) -> None:
        self.__exit__()
        self._bar = self._console.counting(what, n_files)

    def step(self) -> None:
        self._bar.update()

    def done(self, entry: Mapping[str, Any]) -> None:
        self._failed += entry["status"] == "failed"
        if self._failed:
            self._bar.set_postfix_str(f"{self._failed} failed", refresh=False)
        self.step()
        if self._json:
            print_json(dict(entry))
        for text in entry.get("warnings", ()):
            self._console.detail(f"{printable(entry['input'])}: {printable(text)}")


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let `kill` end the run as Ctrl-C does: nothing half-written stays."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # signals are for the main thread
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
