"""One HTML page about a folder that gmmseg batch wrote: pictures, table, charts, settings.

The page is a single file that needs no network. Failures and files unlike the others come first.
Of a single image: gmmseg segment --report.

    gmmseg report out
    gmmseg report out -o report.html --images /data/scans --title "Scans of June"
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from gmmseg.cli import option_groups as groups
from gmmseg.cli.console import Console
from gmmseg.cli.values import positive_integer
from gmmseg.io import printable
from gmmseg.report import ReportOptions, write_report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg report`` takes."""
    default = ReportOptions()
    parser.usage = "gmmseg report OUT [-o FILE] [options]"
    parser.add_argument("folder", metavar="OUT", help="the folder that gmmseg batch wrote")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the page (default: report.html in OUT)"
    )
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="where the inputs are now, if no longer where they were",
    )
    parser.add_argument("--title", default=default.title, help="heading (default: name of OUT)")
    parser.add_argument(
        "--picture-side",
        dest="side",
        metavar="PIXELS",
        type=positive_integer,
        default=default.side,
        help="longest side of the pictures (default: 1024 for a few images, less for many, so "
        "that the page stays under 60 MB)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a page that exists")
    parser.add_argument("-q", "--quiet", action="store_true", help="nothing but errors")
    parser.add_argument(
        "--no-progress", dest="progress", action="store_false", help="no progress bar"
    )


def run(args: Namespace) -> int:
    """Read what is there, write the page."""
    console = Console(quiet=args.quiet, progress=args.progress)
    with console.telling_of_compilation(), console.share_of("report") as tell:
        path = write_report(
            args.folder,
            args.output,
            groups.options_of(args, ReportOptions),
            images=args.images,
            overwrite=args.overwrite,
            progress=lambda done, of_all: tell(done / of_all),
        )
    size = Path(path).stat().st_size / 1e6
    console.say(f"{printable(path)} ({size:.1f} MB)")
    return 0
