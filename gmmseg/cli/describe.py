"""What a model has learnt, in numbers that can be interpreted.

Weight, mean and standard deviation of every class, correlations, principal axes, and how much
classes overlap. Values are in the features of the model: L, a, b for photos.

    gmmseg describe scan.gmm.json
    gmmseg describe scan.gmm.json --json
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from gmmseg.cli.console import print_json, print_lines
from gmmseg.io import printable
from gmmseg.mixture.description import NEARLY_THE_SAME, describe
from gmmseg.model import load_model

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg describe`` takes."""
    parser.usage = "gmmseg describe MODEL [options]"
    parser.add_argument("model_used", metavar="MODEL", help="a model file, *.gmm.json")
    parser.add_argument(
        "--same",
        metavar="O",
        type=float,
        default=NEARLY_THE_SAME,
        help="overlap from which two classes are called nearly the same (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on a line")


def run(args: Namespace) -> int:
    """Tell it on stdout."""
    model = load_model(args.model_used)
    names = tuple(printable(name) for name in model.feature_names)
    described = describe(model.mixture, names, model.labels, same=args.same)
    if args.json:
        print_json({"model": args.model_used, "k": model.k} | described.to_dict())
    else:
        print_lines(str(described).splitlines())
    return 0
