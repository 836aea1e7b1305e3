"""Look whether this installation is sound: versions, OpenCV, threads, cache, GPU, extras.

Ends with 1 when something is wrong, and says what to do. What it prints is what to put into a
report of a bug.

    gmmseg doctor
    gmmseg doctor --json
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from gmmseg.cli.console import print_error, print_json, print_lines
from gmmseg.diagnosis import diagnose
from gmmseg.io import printable

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg doctor`` takes."""
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: Namespace) -> int:
    """Print what was found."""
    findings = diagnose()
    problems = [finding for finding in findings if finding.problem]
    if args.json:
        print_json({"findings": [asdict(finding) for finding in findings]})
        return 1 if problems else 0
    width = max(len(finding.subject) for finding in findings)
    print_lines([f"{one.subject:{width}}  {printable(one.value)}" for one in findings])
    for finding in problems:
        print_error(f"{finding.subject}: {finding.problem}")
    return 1 if problems else 0
