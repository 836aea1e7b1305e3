"""The options by which the user tells where things are: hints and a box."""

from __future__ import annotations

from argparse import ArgumentParser, _ArgumentGroup

from gmmseg.cli.values import comma_separated, positive_integer
from gmmseg.hints import BoxOptions
from gmmseg.priors import PriorOptions

__all__ = ["add_hints", "add_priors"]


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
    add_priors(group)
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


def add_priors(group: ArgumentParser | _ArgumentGroup) -> None:
    """Prior maps, and `PriorOptions`."""
    group.add_argument(
        "--priors",
        metavar="FILE",
        nargs="+",
        help="how probable each class is in every pixel, on the same grid and in any unit: a file "
        "for each class, in the order of the labels, or one with a band for each (a volume of four "
        "dimensions)",
    )
    group.add_argument(
        "--prior-weight",
        metavar="W",
        type=float,
        default=PriorOptions().weight,
        help="with --priors: how much they count, from 0 (not at all) to 1 (as probabilities: "
        "where one is 0, its class cannot be) (default: %(default)s)",
    )
