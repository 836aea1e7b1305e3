"""Segment images into k classes by a Gaussian mixture fitted to each of them.

Writes the label map <stem>_labels.png (0 = pixel not used, 1..k from dark to bright) and an
overlay to look at, <stem>_overlay.png, beside the input or into -o; on request soft masks and
more. The table of classes is for people and goes to stderr; --json is for programs.

    gmmseg segment photo.jpg -k 3
    gmmseg segment 'scans/*.tif' -k 4 -o out --masks --probabilities --save-model
    gmmseg segment photo.jpg --hints scribbles.png
    gmmseg segment photo.jpg --box 40,30,200,150
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gmmseg.cli import labelling, segment_options
from gmmseg.cli import option_groups as groups
from gmmseg.cli.help_options import add_hints
from gmmseg.cli.inputs import read_hints
from gmmseg.cli.stability_options import add_stability
from gmmseg.errors import InvalidParameterError
from gmmseg.hints import OBJECT
from gmmseg.pipeline import AUTO, segment
from gmmseg.presets import PRESETS
from gmmseg.streaming import LOOK, fit_scenes

__all__ = ["add_arguments", "run"]

#: Where no range is given, a preset has one.
_MOST_CHOSEN = max(k for preset in PRESETS.values() for k in preset.selection.k_range)


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg segment`` takes."""
    parser.usage = "gmmseg segment INPUT... (-k K | --hints FILE | --box X,Y,W,H) [-o OUT] ..."
    groups.add_inputs(parser)
    segment_options.add_classes(parser, required=False)
    add_hints(parser)
    segment_options.add_preset(parser)
    groups.add_model_outputs(parser)
    labelling.add_arguments(parser)
    add_stability(parser)
    parser.set_defaults(fits=True)


def run(args: Namespace) -> int:
    """Segment every input."""
    options = segment_options.segment_options(args)
    hints = None if args.hints is None else read_hints(Path(args.hints), args)
    return labelling.label_inputs(
        args,
        _most_classes(args, hints),
        lambda image, callback: segment(
            image,
            args.k,
            options(image),
            hints=hints,
            box=args.box,
            priors=args.priors,
            threads=args.threads,
            callback=callback,
        ),
        lambda scene, stream, callback: fit_scenes(
            [scene],
            args.k,
            options.of_stream(scene.look(LOOK)),
            stream,
            threads=args.threads,
            callback=callback,
        ),
        lambda cluster, scene, callback: cluster.fit([scene], args.k, options, callback),
    )


def _most_classes(args: Namespace, hints: NDArray[Any] | None) -> int:
    """How many classes there will be, or may be."""
    if args.k is not None:
        most = max(args.k_range) if hasattr(args, "k_range") else _MOST_CHOSEN
        return most if args.k == AUTO else int(args.k)
    if hints is not None:
        return max(1, int(hints.max()))
    if args.box is not None:
        return OBJECT
    if args.priors is not None and len(args.priors) > 1:
        return len(args.priors)
    raise InvalidParameterError(
        "the number of classes is missing: give -k K (or -k auto), --hints FILE, --box X,Y,W,H, or "
        "--priors with a file for each class."
    )
