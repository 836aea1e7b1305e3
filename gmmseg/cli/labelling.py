"""What ``segment`` and ``apply`` do with each of their inputs."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gmmseg.classes import format_table
from gmmseg.cli import option_groups as groups
from gmmseg.cli.console import Console, print_error, print_json
from gmmseg.cli.destinations import (
    Destination,
    check_not_an_input,
    destinations,
    without_own_outputs,
)
from gmmseg.cli.inputs import Input, find_inputs, read_input
from gmmseg.errors import GmmsegError, InvalidDataError, InvalidParameterError
from gmmseg.image import Image
from gmmseg.io import ReadOptions, printable
from gmmseg.mixture.em import Callback
from gmmseg.outputs import OutputOptions, check_outputs, planned_outputs, write_outputs
from gmmseg.segmentation import Segmentation

__all__ = ["Labeller", "add_arguments", "label_inputs"]

#: The one call of the library: an image and a callback for EM's iterations.
Labeller = Callable[[Image, Callback], Segmentation]


def add_arguments(parser: ArgumentParser) -> None:
    """The options that both commands have."""
    groups.add_threads(parser)
    groups.add_outputs(parser)
    groups.add_pixels(parser)
    groups.add_reading(parser)
    groups.add_messages(parser)


#: Written files that are told by name, unless verbose.
_MOST_NAMES = 3


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is done with every input of a run."""

    args: Namespace
    k: int
    labeller: Labeller
    reading: ReadOptions
    outputs: OutputOptions
    console: Console
    several: bool

    def run(self, source: Input, destination: Destination) -> None:
        """Read, label, write, tell."""
        started = time.perf_counter()
        image = read_input(source, self.args, self.reading)
        plan = planned_outputs(
            destination.base,
            self.k,
            self.outputs,
            volume=image.ndim == 3,
            tiff=source.is_tiff,
            labels=destination.labels,
            model=self.args.model_file,
        )
        check_not_an_input(plan.values(), _files_read(source, self.args))
        check_outputs(plan, overwrite=self.args.overwrite)
        with self.console.telling_of_compilation():
            segmentation = self._label(image)
            write_outputs(segmentation, plan, overwrite=self.args.overwrite)
        self._tell(source, segmentation, plan, time.perf_counter() - started)
        if self.args.strict and not segmentation.to_dict()["fit"].get("converged", True):
            raise InvalidDataError("EM did not converge, and --strict takes that as a failure.")

    def _label(self, image: Image) -> Segmentation:
        if self.several:
            return self.labeller(image, _ignore)
        with self.console.iterations() as callback:
            return self.labeller(image, callback)

    def _tell(
        self, source: Input, segmentation: Segmentation, plan: Mapping[str, Path], seconds: float
    ) -> None:
        console, summary = self.console, segmentation.to_dict()
        for note in summary["notes"]:
            console.detail(f"{source.name}: {printable(note)}")
        for warning in summary["warnings"]:
            console.warn(f"{source.name}: {warning}")
        fit = summary["fit"]
        iterations = f"{fit['n_iter']} iterations, " if self.args.fits else ""
        console.say(
            f"{source.name}: {segmentation.k} classes, {iterations}{seconds:.1f} s "
            f"-> {self._written(plan)}"
        )
        if not self.several or console.verbose:
            image = segmentation.image
            table = format_table(
                segmentation.table, segmentation.band_names, image.unit, image.ndim
            )
            console.say(table)
        if self.args.json:
            outputs = {name: str(path) for name, path in plan.items()}
            print_json(summary | {"input": source.word, "outputs": outputs})

    def _written(self, plan: Mapping[str, Path]) -> str:
        names = [printable(path) for path in plan.values()]
        if self.console.verbose or len(names) <= _MOST_NAMES:
            return ", ".join(names)
        return f"{names[0]} and {len(names) - 1} more"


def label_inputs(args: Namespace, k: int, labeller: Labeller) -> int:
    """Label every input, go on after failures, and list them in the end.

    Returns
    -------
    int
        0, or 1 when an input failed.
    """
    console = groups.console_of(args)
    reading = groups.options_of(args, ReadOptions)
    outputs = groups.options_of(args, OutputOptions)
    if args.model_file is not None:
        outputs = replace(outputs, save_model=True)
    inputs, left_out = without_own_outputs(find_inputs(args.inputs), args.output)
    if args.model_file is not None and len(inputs) > 1:
        raise InvalidParameterError(
            "--model names one file, but there are several inputs. Write a model for each with "
            "--save-model, or fit one model to all with gmmseg fit."
        )
    if left_out:
        names = ", ".join(source.name for source in left_out)
        console.say(f"left out, being outputs of other inputs: {names}")
    places = destinations(inputs, args.output)
    job = _Job(
        args=args,
        k=k,
        labeller=labeller,
        reading=reading,
        outputs=outputs,
        console=console,
        several=len(inputs) > 1,
    )
    failures: list[Input] = []
    for source in console.each(inputs):
        try:
            job.run(source, places[source])
        except (GmmsegError, MemoryError) as error:
            failures.append(source)
            reason = _reason(error, source)
            print_error(reason)
            if args.json:
                print_json({"input": source.word, "error": reason})
    if outputs.overlay and len(failures) < len(inputs):
        console.say(
            f"Label maps hold the numbers 0 to {k} and look black in most viewers: "
            "look at the overlays beside them."
        )
    if failures and len(inputs) > 1:
        names = ", ".join(source.name for source in failures)
        print_error(f"{len(failures)} of {len(inputs)} inputs failed: {names}")
    return 1 if failures else 0


def _reason(error: Exception, source: Input) -> str:
    text = "not enough memory." if isinstance(error, MemoryError) else printable(error)
    return text if source.name in text else f"{source.name}: {text}"


def _files_read(source: Input, args: Namespace) -> list[Path]:
    words: list[Any] = [source.path, args.mask, getattr(args, "model_used", None)]
    return [Path(word) for word in words if word is not None]


def _ignore(_: int, __: float) -> None:
    """No bar for the iterations where there is one for the inputs."""
