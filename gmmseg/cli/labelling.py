"""What ``segment`` and ``apply`` do with each of their inputs."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gmmseg.classes import format_table
from gmmseg.cli import option_groups as groups
from gmmseg.cli.console import Console, print_bytes
from gmmseg.cli.destinations import (
    Destination,
    check_not_an_input,
    destinations,
    without_own_outputs,
)
from gmmseg.cli.each import run_each
from gmmseg.cli.inputs import Input, find_inputs, read_input
from gmmseg.cli.startup import prepare_kernels
from gmmseg.errors import InvalidDataError, InvalidParameterError
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


STDOUT = "-"

#: Written files that are told by name, unless verbose.
_MOST_NAMES = 3


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is done with every input of a run."""

    args: Namespace
    most_classes: int
    labeller: Labeller
    reading: ReadOptions
    outputs: OutputOptions
    console: Console
    several: bool

    def run(self, source: Input, destination: Destination) -> dict[str, Any]:
        """Read, label, write, tell; return the summary for programs."""
        started = time.perf_counter()
        image = read_input(source, self.args, self.reading)
        plan = self._plan(source, destination, image, self.most_classes)
        check_not_an_input(plan.values(), _files_read(source, self.args))
        check_outputs(plan, overwrite=self.args.overwrite)
        with self.console.telling_of_compilation():
            segmentation = self._label(image)
            if segmentation.k < self.most_classes:
                plan = self._plan(source, destination, image, segmentation.k)
            write_outputs(segmentation, plan, overwrite=self.args.overwrite)
        summary = segmentation.to_dict()
        self._tell(source, segmentation, summary, plan, time.perf_counter() - started)
        outputs = {name: str(path) for name, path in plan.items()}
        return summary | {"input": source.word, "outputs": outputs}

    def _plan(
        self, source: Input, destination: Destination, image: Image, k: int
    ) -> dict[str, Path]:
        return planned_outputs(
            destination.base,
            k,
            self.outputs,
            volume=image.ndim == 3,
            tiff=source.is_tiff,
            nifti=image.placement is not None,
            labels=destination.labels,
            model=self.args.model_file,
        )

    def _label(self, image: Image) -> Segmentation:
        if self.several:
            return self.labeller(image, _ignore)
        with self.console.iterations() as callback:
            return self.labeller(image, callback)

    def _tell(
        self,
        source: Input,
        segmentation: Segmentation,
        summary: dict[str, Any],
        plan: Mapping[str, Path],
        seconds: float,
    ) -> None:
        console = self.console
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

    def _written(self, plan: Mapping[str, Path]) -> str:
        if self.args.output == STDOUT:
            return "standard output"
        names = [printable(path) for path in plan.values()]
        if self.console.verbose or len(names) <= _MOST_NAMES:
            return ", ".join(names)
        return f"{names[0]} and {len(names) - 1} more"


def label_inputs(args: Namespace, most_classes: int, labeller: Labeller) -> int:
    """Label every input, go on after failures, and list them in the end.

    `most_classes` is how many there are, or may be where their number is chosen.

    Returns
    -------
    int
        0, or 1 when an input failed.
    """
    console = groups.console_of(args)
    reading = groups.options_of(args, ReadOptions)
    inputs = _inputs_of(args, console)
    job = _Job(
        args=args,
        most_classes=most_classes,
        labeller=labeller,
        reading=reading,
        outputs=_outputs_of(args, inputs),
        console=console,
        several=len(inputs) > 1,
    )
    prepare_kernels()
    if args.output != STDOUT:
        return _label_all(job, destinations(inputs, args.output))
    with TemporaryDirectory(prefix="gmmseg-") as folder:
        status = _label_all(job, destinations(inputs, folder))
        for file in Path(folder).iterdir():
            print_bytes(file.read_bytes())
        return status


def _label_all(job: _Job, places: Mapping[Input, Destination]) -> int:
    def work(source: Input, destination: Destination, summary: dict[str, Any]) -> None:
        summary |= job.run(source, destination)
        if job.args.strict and not summary["fit"]["converged"]:
            raise InvalidDataError("EM did not converge, and --strict takes it as a failure.")

    hint = (
        "Label maps hold the numbers of the classes and look black in most viewers: look at the "
        "overlays beside them."
    )
    return run_each(
        places, work, job.console, json=job.args.json, hint=hint if job.outputs.overlay else ""
    )


def _inputs_of(args: Namespace, console: Console) -> tuple[Input, ...]:
    inputs, left_out = without_own_outputs(find_inputs(args.inputs), args.output)
    if left_out:
        names = ", ".join(source.name for source in left_out)
        console.say(f"left out, being outputs of other inputs: {names}")
    return inputs


def _outputs_of(args: Namespace, inputs: Sequence[Input]) -> OutputOptions:
    """Which files are written; raises when they do not go together with the rest."""
    outputs = groups.options_of(args, OutputOptions)
    if args.model_file is not None:
        outputs = replace(outputs, save_model=True)
        if len(inputs) > 1:
            raise InvalidParameterError(
                "--model names one file, but there are several inputs. Write a model for each "
                "with --save-model, or fit one model to all with gmmseg fit."
            )
    if args.output != STDOUT:
        return outputs
    outputs = replace(outputs, overlay=False)
    if len(inputs) > 1 or args.json or outputs != OutputOptions(overlay=False):
        raise InvalidParameterError(
            "-o - writes the label map of a single input to standard output, and nothing else. "
            "Name a folder to get several files, or --json."
        )
    if sys.stdout.isatty():
        raise InvalidParameterError(
            "standard output is a terminal: pipe the label map into a file or another program."
        )
    return outputs


def _files_read(source: Input, args: Namespace) -> list[Path]:
    words: list[Any] = [source.path, args.mask, getattr(args, "model_used", None)]
    words.append(getattr(args, "hints", None))
    return [Path(word) for word in words if word is not None]


def _ignore(_: int, __: float) -> None:
    """No bar for the iterations where there is one for the inputs."""
