"""Label images by a model that gmmseg segment --save-model or gmmseg fit wrote.

A label means the same in every image. Writes what gmmseg segment writes.

    gmmseg apply scan.gmm.json 'scans/*.tif' -o out
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from gmmseg.cli import labelling
from gmmseg.cli import option_groups as groups
from gmmseg.model import load_model
from gmmseg.pipeline import apply

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg apply`` takes."""
    parser.usage = "gmmseg apply MODEL INPUT... [-o OUT] [options]"
    parser.add_argument("model_used", metavar="MODEL", help="a model file, *.gmm.json")
    groups.add_inputs(parser)
    labelling.add_arguments(parser)
    parser.set_defaults(fits=False, strict=False, model_file=None)


def run(args: Namespace) -> int:
    """Label every input."""
    model = load_model(args.model_used)
    return labelling.label_inputs(
        args,
        model.k,
        lambda image, _: apply(model, image, threads=args.threads),
        lambda scene, stream, callback: (model, ()),
        lambda cluster, scene, callback: model,
    )
