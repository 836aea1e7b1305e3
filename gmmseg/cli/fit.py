"""Fit one model to many images, so that a label means the same in all of them.

gmmseg fit 'scans/*.tif' -k 4 -o scan.gmm.json
gmmseg apply scan.gmm.json 'scans/*.tif'
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from gmmseg.cli import option_groups as groups
from gmmseg.cli import segment_options
from gmmseg.cli.console import Console, print_json
from gmmseg.cli.destinations import check_not_an_input
from gmmseg.cli.inputs import Input, find_inputs, read_input, stacked
from gmmseg.cli.scheduler import add_scheduler, cluster_of
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.io import ReadOptions, printable
from gmmseg.model import Model
from gmmseg.outputs import check_outputs
from gmmseg.pipeline import fit
from gmmseg.streaming import LOOK, StreamOptions, fit_scenes, fits_into
from gmmseg.tiles import Scene

if TYPE_CHECKING:
    from gmmseg.cli.scattered import Cluster

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg fit`` takes."""
    parser.usage = "gmmseg fit INPUT... -k K -o MODEL.gmm.json [options]"
    groups.add_inputs(parser)
    segment_options.add_classes(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="MODEL",
        required=True,
        help="the model file to write, by custom *.gmm.json",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a model that exists")
    groups.add_threads(parser)
    segment_options.add_preset(parser)
    groups.add_pixels(parser)
    groups.add_reading(parser)
    groups.add_scenes(parser)
    add_scheduler(parser)
    groups.add_messages(parser)


def run(args: Namespace) -> int:
    """Fit the model. One image that cannot be read fails all: a model of the rest is another."""
    console = groups.console_of(args)
    segment_options.segment_options(args)  # what breaks a rule is told before anything is read
    reading = groups.options_of(args, ReadOptions)
    inputs, output = find_inputs(args.inputs), Path(args.output)
    inputs = stacked(inputs) if args.stack else inputs
    read = [Path(word) for source in inputs if source.path for word in source.words]
    check_not_an_input([output], read)
    check_outputs({"model": output}, overwrite=args.overwrite)
    with cluster_of(args, console) as cluster:
        model = (
            _fitted_here(args, console, inputs, reading)
            if cluster is None
            else _fitted_there(cluster, inputs)
        )
    model.save(output, overwrite=args.overwrite)
    _tell(console, model, output, args)
    if args.strict and not model.provenance["fit"]["converged"]:
        raise InvalidDataError("EM did not converge, and --strict takes that as a failure.")
    return 0


def _fitted_there(cluster: Cluster, inputs: Sequence[Input]) -> Model:
    """The model of scenes that workers read."""
    args, console = cluster.args, cluster.console
    scenes = cluster.scenes(inputs)
    with console.telling_of_compilation(), console.iterations() as callback:
        return cluster.fit(scenes, args.k, segment_options.segment_options(args), callback)


def _fitted_here(
    args: Namespace, console: Console, inputs: Sequence[Input], reading: ReadOptions
) -> Model:
    with ExitStack() as stack:
        scenes = [source.scene(args, reading) for source in inputs]
        for scene in scenes:
            if scene is not None:
                stack.enter_context(scene)
        return _fitted(args, console, inputs, scenes)


def _fitted(
    args: Namespace, console: Console, inputs: Sequence[Input], scenes: Sequence[Scene | None]
) -> Model:
    """The model of all images: in memory, or of scenes that are read strip by strip."""
    reading = groups.options_of(args, ReadOptions)
    stream = groups.options_of(args, StreamOptions)
    options = segment_options.segment_options(args)
    known = [scene for scene in scenes if scene is not None]
    if known and not all(fits_into(scene, stream) for scene in known):
        if len(known) < len(inputs) or args.mask is not None or args.spacing is not None:
            raise InvalidParameterError(
                "the scenes are too large for the memory allowed and would be streamed, which "
                "goes neither with other images nor with --mask and --spacing. Raise --memory."
            )
        chosen = options.of_stream(known[0].look(LOOK))
        with console.telling_of_compilation(), console.iterations() as callback:
            model, warnings = fit_scenes(
                known, args.k, chosen, stream, threads=args.threads, callback=callback
            )
        for warning in warnings:
            console.warn(warning)
        return model
    pairs = list(zip(inputs, scenes, strict=True))
    images = [read_input(source, args, reading, scene) for source, scene in console.each(pairs)]
    with console.telling_of_compilation(), console.iterations() as callback:
        return fit(images, args.k, options(images[0]), threads=args.threads, callback=callback)


def _tell(console: Console, model: Model, output: Path, args: Namespace) -> None:
    found = model.provenance["fit"]
    if not found["converged"]:
        console.warn(
            f"EM did not converge in {found['n_iter']} iterations. Raise --max-iter or --tol, or "
            "use fewer classes."
        )
    console.say(
        f"{model.k} classes of {found['n_pixels']} pixels, {found['n_iter']} iterations "
        f"-> {printable(output)}"
    )
    if args.json:
        print_json({"model": str(output), "k": model.k, "fit": found})
