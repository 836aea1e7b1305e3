"""Segment images into k classes by a Gaussian mixture fitted to each of them.

Writes the label map <stem>_labels.png (0 = pixel not used, 1..k from dark to bright) and an
overlay to look at, <stem>_overlay.png, beside the input or into -o; on request soft masks and
more. The table of classes is for people and goes to stderr; --json is for programs.

    gmmseg segment photo.jpg -k 3
    gmmseg segment 'scans/*.tif' -k 4 -o out --masks --probabilities --save-model
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from gmmseg.cli import labelling, segment_options
from gmmseg.cli import option_groups as groups
from gmmseg.pipeline import AUTO, segment

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg segment`` takes."""
    parser.usage = "gmmseg segment INPUT... -k K [-o OUT] [options]"
    groups.add_inputs(parser)
    segment_options.add_classes(parser)
    segment_options.add_selection(parser)
    segment_options.add_features(parser)
    segment_options.add_em(parser)
    segment_options.add_merging(parser)
    segment_options.add_smoothing(parser)
    segment_options.add_regions(parser)
    groups.add_model_outputs(parser)
    labelling.add_arguments(parser)
    parser.set_defaults(fits=True)


def run(args: Namespace) -> int:
    """Segment every input."""
    options = segment_options.segment_options(args)
    return labelling.label_inputs(
        args,
        max(args.k_range) if args.k == AUTO else args.k,
        lambda image, callback: segment(
            image, args.k, options, threads=args.threads, callback=callback
        ),
    )
