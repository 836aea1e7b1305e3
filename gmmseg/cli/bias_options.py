"""The options of bias fields."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from dataclasses import replace

from gmmseg.bias import USUAL_SMOOTHNESS, BiasOptions

__all__ = ["add_bias", "changed_bias"]


def _smoothness(word: str) -> float:
    return USUAL_SMOOTHNESS if word == "usual" else float(word)


def add_bias(parser: ArgumentParser) -> None:
    """`BiasOptions`."""
    group = parser.add_argument_group("bias field: a smooth factor over the image")
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--bias",
        metavar="MM",
        nargs="?",
        type=_smoothness,
        const=USUAL_SMOOTHNESS,
        default=SUPPRESS,
        help="estimate and remove it; waves shorter than this length, in the unit of the spacing, "
        "are taken for anatomy (if no value is given: %(const)g)",
    )
    either.add_argument(
        "--no-bias", dest="bias", action="store_const", const=0.0, default=SUPPRESS,
        help="leave it as it is",
    )  # fmt: skip


def changed_bias(args: Namespace, preset: BiasOptions) -> BiasOptions:
    """The options of a bias field with the smoothness that was asked for."""
    if not hasattr(args, "bias"):
        return preset
    return replace(preset, smoothness=args.bias)
