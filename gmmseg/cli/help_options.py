"""The options by which the user tells where things are: hints and a box."""

from __future__ import annotations

from argparse import ArgumentParser

from gmmseg.cli.values import comma_separated, positive_integer
from gmmseg.hints import BoxOptions

__all__ = ["add_hints"]


def add_hints(parser: ArgumentParser) -> None:
    """What the user knows, and `BoxOptions`."""
    group = parser.add_argument_group("help from the user")
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--hints",
        metavar="FILE",
        help="a label image of the same size: 0 = not known, j = this pixel is of class j; -k is "
        "then the largest of them unless there are more classes",
    )
    either.add_argument(
        "--box",
        metavar="X,Y,W,H",
        type=comma_separated(int, "pixels"),
        help="left, top, width and height in pixels of a box around an object (X,Y,Z,W,H,D in a "
        "volume): outside is background, class 1; the object becomes class 2",
    )
    default = BoxOptions()
    group.add_argument(
        "--gaussians",
        metavar="N",
        type=positive_integer,
        default=default.gaussians,
        help="with --box: Gaussians of the object, and as many of the background "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--margin",
        metavar="M",
        type=float,
        default=default.margin,
        help="with --box: background is learnt as far around the box as this share of its sides "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--iterations",
        metavar="N",
        type=positive_integer,
        default=default.iterations,
        help="with --box: most iterations of fit and field together (default: %(default)s)",
    )
