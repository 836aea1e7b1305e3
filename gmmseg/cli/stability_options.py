"""The options that say how stability is found out."""

from __future__ import annotations

from argparse import ArgumentParser

from gmmseg.cli.values import positive_integer
from gmmseg.stability import StabilityOptions

__all__ = ["add_stability"]


def add_stability(parser: ArgumentParser) -> None:
    """`StabilityOptions`, and whether there is a map."""
    default = StabilityOptions()
    group = parser.add_argument_group("stability")
    group.add_argument(
        "--stability",
        action="store_true",
        help="a map of how often each pixel keeps its label when the model is refitted to parts "
        "of the image, 0 to 1 (float32 tif); shares and areas then have intervals",
    )
    group.add_argument(
        "--refits",
        metavar="N",
        type=positive_integer,
        default=default.refits,
        help="how often it is refitted (default: %(default)s)",
    )
    group.add_argument(
        "--blocks",
        metavar="N",
        type=positive_integer,
        default=default.blocks,
        help="of about how many blocks, that come or stay away together, the image consists "
        "(default: %(default)s)",
    )
