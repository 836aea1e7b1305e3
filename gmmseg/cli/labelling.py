"""What ``segment`` and ``apply`` do with each of their inputs."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

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
from gmmseg.cli.inputs import Input, find_inputs, read_input, stacked
from gmmseg.cli.scheduler import add_scheduler, cluster_of
from gmmseg.cli.streamed import Found, Modeller, Streamer
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.image import Image
from gmmseg.io import ReadOptions, printable
from gmmseg.mixture.em import Callback
from gmmseg.model import Model
from gmmseg.outputs import OutputOptions, check_outputs, planned_outputs, write_files, write_output
from gmmseg.segmentation import Segmentation
from gmmseg.streaming import StreamOptions, fits_into
from gmmseg.tiles import Scene

if TYPE_CHECKING:
    from gmmseg.cli.scattered import Cluster
    from gmmseg.scattered_scenes import ScatteredScene

__all__ = ["Labeller", "add_arguments", "label_inputs"]

#: The one call of the library: an image and a callback for EM's iterations.
Labeller = Callable[[Image, Callback], Segmentation]

#: From a cluster and a scene on it to the model that labels it.
RemoteModeller = Callable[["Cluster", "ScatteredScene", Callback], Model]


def add_arguments(parser: ArgumentParser) -> None:
    """The options that both commands have."""
    groups.add_threads(parser)
    groups.add_outputs(parser)
    parser.add_argument(
        "--report",
        action="store_true",
        help="also a page to look at, <stem>_report.html: pictures, classes, charts, settings",
    )
    groups.add_pixels(parser)
    groups.add_reading(parser)
    groups.add_scenes(parser)
    add_scheduler(parser)
    groups.add_messages(parser)


STDOUT = "-"

#: The name of the page among the outputs.
_REPORT = "report"

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
    modeller: Modeller
    remote_modeller: RemoteModeller
    cluster: Cluster | None

    def run(self, source: Input, destination: Destination) -> dict[str, Any]:
        """Read, label, write, tell; return the summary for programs."""
        started = time.perf_counter()
        if self.cluster is None:
            found, plan = self._here(source, destination)
        else:
            found, plan = self._there(source, destination, self.cluster)
        self._tell(source, found, plan, time.perf_counter() - started)
        outputs = {name: str(path) for name, path in plan.items()}
        return found.summary | {"input": source.word, "outputs": outputs}

    def _here(self, source: Input, destination: Destination) -> tuple[Found, dict[str, Path]]:
        scene = source.scene(self.args, self.reading)
        with nullcontext() if scene is None else scene:
            if scene is not None and not fits_into(scene, self.streaming):
                return self._stream(source, destination, scene)
            return self._hold(source, destination, scene)

    def _there(
        self, source: Input, destination: Destination, cluster: Cluster
    ) -> tuple[Found, dict[str, Path]]:
        """On a cluster."""
        scene = cluster.scenes([source])[0]
        destination = cluster.place_of(source, destination)
        plan = self._checked_plan(source, destination, volume=False)
        cluster.check_outputs(plan)
        with self.console.telling_of_compilation():
            with self.console.iterations() as callback:
                model = self.remote_modeller(cluster, scene, callback)
            return cluster.label(scene, model, plan), plan

    @property
    def streaming(self) -> StreamOptions:
        return groups.options_of(self.args, StreamOptions)

    def _hold(
        self, source: Input, destination: Destination, scene: Scene | None
    ) -> tuple[Found, dict[str, Path]]:
        """All in memory."""
        image = read_input(source, self.args, self.reading, scene)
        plan = self._checked_plan(
            source,
            destination,
            volume=image.ndim == 3,
            nifti=image.placement is not None,
            zarr=image.grid is not None,
        )
        with self.console.telling_of_compilation():
            segmentation = self._label(image)
            if segmentation.k < self.most_classes:
                plan = self._plan(
                    source,
                    destination,
                    segmentation.k,
                    volume=image.ndim == 3,
                    nifti=image.placement is not None,
                    zarr=image.grid is not None,
                )
            if self.outputs.stability:
                with self.console.share_of("stability") as progress:
                    segmentation.refit(progress)
            write = _writer(segmentation, cog=self.args.cog)
            write_files(plan, write, overwrite=self.args.overwrite)
        return Found.of(segmentation), plan

    def _stream(
        self, source: Input, destination: Destination, scene: Scene
    ) -> tuple[Found, dict[str, Path]]:
        """Strip by strip."""
        plan = self._checked_plan(source, destination, volume=False, zarr=scene.grid is not None)
        streamer = Streamer(self.args, self.streaming, self.console)
        with self.console.telling_of_compilation():
            return streamer.run(scene, plan, self.modeller), plan

    def _checked_plan(
        self, source: Input, destination: Destination, **kind: bool
    ) -> dict[str, Path]:
        plan = self._plan(source, destination, self.most_classes, **kind)
        check_not_an_input(plan.values(), _files_read(source, self.args))
        check_outputs(plan, overwrite=self.args.overwrite)
        return plan

    def _plan(
        self, source: Input, destination: Destination, k: int, **kind: bool
    ) -> dict[str, Path]:
        plan = planned_outputs(
            destination.base,
            k,
            self.outputs,
            tiff=source.is_tiff,
            **kind,
            labels=destination.labels,
            model=self.args.model_file,
        )
        if self.args.report:
            plan[_REPORT] = Path(f"{destination.base}_report.html")
        return plan

    def _label(self, image: Image) -> Segmentation:
        if self.several:
            return self.labeller(image, _ignore)
        with self.console.iterations() as callback:
            return self.labeller(image, callback)

    def _tell(self, source: Input, found: Found, plan: Mapping[str, Path], seconds: float) -> None:
        console, summary = self.console, found.summary
        for note in summary["notes"]:
            console.detail(f"{source.name}: {printable(note)}")
        for warning in summary["warnings"]:
            console.warn(f"{source.name}: {warning}")
        iterations = f"{summary['fit']['n_iter']} iterations, " if self.args.fits else ""
        console.say(
            f"{source.name}: {summary['k']} classes, {iterations}{seconds:.1f} s "
            f"-> {self._written(plan)}"
        )
        if not self.several or console.verbose:
            console.say(format_table(found.table, summary["bands"], found.unit, found.ndim))

    def _written(self, plan: Mapping[str, Path]) -> str:
        if self.args.output == STDOUT:
            return "standard output"
        names = [printable(path) for path in plan.values()]
        if self.console.verbose or len(names) <= _MOST_NAMES:
            return ", ".join(names)
        return f"{names[0]} and {len(names) - 1} more"


def label_inputs(
    args: Namespace,
    most_classes: int,
    labeller: Labeller,
    modeller: Modeller,
    remote_modeller: RemoteModeller,
) -> int:
    """Label every input, go on after failures, and list them in the end.

    `most_classes` is how many there are, or may be where their number is chosen. `modeller` makes
    the model of a scene that is too large to be held, `remote_modeller` that of one on a cluster.

    Returns
    -------
    int
        0, or 1 when an input failed.
    """
    console = groups.console_of(args)
    reading = groups.options_of(args, ReadOptions)
    inputs = _inputs_of(args, console)
    with cluster_of(args, console) as cluster:
        job = _Job(
            args=args,
            most_classes=most_classes,
            labeller=labeller,
            reading=reading,
            outputs=_outputs_of(args, inputs),
            console=console,
            several=len(inputs) > 1,
            modeller=modeller,
            remote_modeller=remote_modeller,
            cluster=cluster,
        )
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
    named = find_inputs(args.inputs)
    if args.stack:
        return stacked(named)
    inputs, left_out = without_own_outputs(named, args.output)
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
    if len(inputs) > 1 or args.json or args.report or outputs != OutputOptions(overlay=False):
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
    files = [] if source.path is None else source.words
    words: list[Any] = [*files, args.mask, getattr(args, "model_used", None)]
    words += [getattr(args, "hints", None), *(getattr(args, "priors", None) or ())]
    return [Path(word) for word in words if word is not None]


def _writer(segmentation: Segmentation, *, cog: bool) -> Callable[[str, Path], None]:
    """Writes the outputs of a plan by their names, the page among them."""

    def write(name: str, path: Path) -> None:
        if name == _REPORT:
            from gmmseg.report import write_image_report

            write_image_report(segmentation, path)
        else:
            write_output(segmentation, name, path, cog=cog)

    return write


def _ignore(_: int, __: float) -> None:
    """No bar for the iterations where there is one for the inputs."""
