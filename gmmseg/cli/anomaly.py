"""Find what does not fit: pixels of images, or rows of tables, unlike all the usual ones.

Fits a mixture to all pixels, leaves out its components that are too small to be background, and
scores every pixel by what remains. Writes <stem>_anomalies.png (255 = anomaly),
<stem>_anomaly_score.tif and <stem>_anomaly_heat.png; of a table <stem>_anomalies.csv, the
table with the scores beside every row.

    gmmseg anomaly scene.tif
    gmmseg anomaly scene.tif -k 1 --fdr .05          # global RX
    gmmseg anomaly new.tif --model usual.gmm.json    # what in this new image does not fit?
    gmmseg anomaly measurements.csv --quantile .01
"""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gmmseg.anomaly import AnomalyOptions
from gmmseg.cli import option_groups as groups
from gmmseg.cli import segment_options
from gmmseg.cli.console import Console
from gmmseg.cli.destinations import Destination, check_not_an_input
from gmmseg.cli.each import run_each
from gmmseg.cli.inputs import Input, read_input
from gmmseg.cli.tables import add_destination, add_tables, inputs_of, into_folder, read_source
from gmmseg.cli.values import positive_integer
from gmmseg.detection import (
    Anomalies,
    AnomalyOutputs,
    detect_anomalies,
    planned_anomaly_outputs,
    write_anomalies,
)
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.io import ReadOptions, Table, is_table_name, printable, write_table, write_text
from gmmseg.mixture.options import EMOptions
from gmmseg.model import Model, load_model
from gmmseg.outputs import check_outputs, write_files

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg anomaly`` takes."""
    parser.usage = "gmmseg anomaly INPUT... [-k K | --model MODEL] [-o FOLDER] [options]"
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="images or tables, quoted patterns such as 'scans/*.png', or - for standard input",
    )
    _add_detection(parser)
    _add_outputs(parser)
    groups.add_threads(parser)
    segment_options.add_features(parser)
    segment_options.add_em(parser)
    parser.set_defaults(covariance_type=AnomalyOptions().em.covariance_type)
    groups.add_pixels(parser)
    groups.add_reading(parser)
    add_tables(parser)
    parser.add_argument(
        "--table",
        action="store_true",
        help="take the inputs as tables, whatever their names end in: an NPY file of rows, say",
    )
    groups.add_messages(parser)


def _add_detection(parser: ArgumentParser) -> None:
    """`AnomalyOptions`, but for features and EM."""
    default = AnomalyOptions()
    group = parser.add_argument_group("what is an anomaly")
    group.add_argument(
        "-k",
        "--components",
        dest="k",
        metavar="K",
        type=positive_integer,
        default=default.k,
        help="components of the background; 1 is the global RX detector (default: %(default)s)",
    )
    group.add_argument(
        "--model",
        metavar="FILE",
        dest="model_used",
        help="a saved model is the background; nothing is fitted",
    )
    rule = group.add_mutually_exclusive_group()
    rule.add_argument(
        "--quantile",
        metavar="Q",
        type=float,
        default=default.quantile,
        help="the share of the pixels, at most, that are anomalies (default: %(default)s)",
    )
    rule.add_argument(
        "--fdr",
        metavar="F",
        type=float,
        default=default.fdr,
        help="instead, the share of false alarms among the anomalies: Benjamini and Hochberg on "
        "chi-square p-values",
    )
    group.add_argument(
        "--min-share",
        metavar="S",
        type=float,
        default=default.min_share,
        help="components with a smaller share of the pixels are no background (default: 0.05; "
        "0 with --model)",
    )
    group.add_argument(
        "--principal-share",
        metavar="S",
        type=float,
        default=default.principal_share,
        help="with more than 32 bands: share of the variance that the principal components keep, "
        "in which EM runs (default: %(default)s)",
    )
    group.add_argument(
        "--shrink",
        action=BooleanOptionalAction,
        default=default.shrink,
        help="shrink covariances by Ledoit and Wolf (default: with more than 32 bands)",
    )


def _add_outputs(parser: ArgumentParser) -> None:
    """`AnomalyOutputs`, and where they go."""
    default = AnomalyOutputs()
    add_destination(parser)
    parser.add_argument(
        "--heat",
        action=BooleanOptionalAction,
        default=default.heat,
        help="the score in colour with a scale (default: written)",
    )
    parser.add_argument(
        "--all-maps",
        action="store_true",
        default=default.all_maps,
        help="a tif with score, log density, Mahalanobis distance, chi-square and empirical "
        "p-value as bands",
    )
    parser.add_argument(
        "--save-model",
        action="store_true",
        default=default.save_model,
        help="write the background to <stem>.gmm.json",
    )


def run(args: Namespace) -> int:
    """Find the anomalies of every input."""
    if args.model_used is not None and args.save_model:
        raise InvalidParameterError(
            "--save-model writes what was fitted, but --model fits nothing."
        )
    console = groups.console_of(args)
    options = replace(
        groups.options_of(args, AnomalyOptions),
        features=groups.options_of(args, FeatureSpec),
        em=groups.options_of(args, EMOptions),
    )
    job = _Job(
        args=args,
        options=options,
        reading=groups.options_of(args, ReadOptions),
        model=None if args.model_used is None else load_model(args.model_used),
        console=console,
    )
    places = into_folder(inputs_of(args, console), args.output)
    return run_each(places, job.run, console, json=args.json)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is done with every input of a run."""

    args: Namespace
    options: AnomalyOptions
    reading: ReadOptions
    model: Model | None
    console: Console

    def run(self, source: Input, destination: Destination, summary: dict[str, Any]) -> None:
        args = self.args
        data: Image | Table
        if args.table or (source.path is not None and is_table_name(source.path)):
            data = read_source(source, args, self.console, self.model)
            plan = {"rows": Path(f"{destination.base}_anomalies{data.ending}")}
            if args.save_model:
                plan["model"] = Path(f"{destination.base}.gmm.json")
        else:
            data = read_input(source, args, self.reading)
            outputs = groups.options_of(args, AnomalyOutputs)
            tiff = source.is_tiff or data.ndim == 3
            plan = planned_anomaly_outputs(destination.base, outputs, tiff=tiff)
        read = [
            source.path,
            args.mask and Path(args.mask),
            args.model_used and Path(args.model_used),
        ]
        check_not_an_input(plan.values(), [path for path in read if path])
        check_outputs(plan, overwrite=args.overwrite)
        with self.console.telling_of_compilation(), self.console.iterations() as callback:
            found = detect_anomalies(
                data, self.options, model=self.model, threads=args.threads, callback=callback
            )
            self._write(found, data, plan)
        summary |= found.to_dict() | {
            "input": source.word,
            "outputs": {name: str(path) for name, path in plan.items()},
        }
        self._tell(source, found, plan)
        if args.strict and self.model is None and not summary["fit"]["converged"]:
            raise InvalidDataError("EM did not converge, and --strict takes it as a failure.")

    def _write(self, found: Anomalies, data: Image | Table, plan: dict[str, Path]) -> None:
        if isinstance(data, Image):
            write_anomalies(found, plan, overwrite=self.args.overwrite)
            return
        table = data

        def write(name: str, path: Path) -> None:
            if name == "model":
                write_text(path, found.model.to_json())
            else:
                write_table(path, table, found.columns)

        write_files(plan, write, overwrite=self.args.overwrite)

    def _tell(self, source: Input, found: Anomalies, plan: dict[str, Path]) -> None:
        for note in found.source.notes if isinstance(found.source, Image) else ():
            self.console.detail(f"{source.name}: {printable(note)}")
        for warning in found.warnings:
            self.console.warn(f"{source.name}: {warning}")
        share = 100 * found.n_anomalies / found.n_pixels
        above = "" if found.threshold is None else f", score from {found.threshold:.4g}"
        names = ", ".join(printable(path) for path in plan.values())
        self.console.say(
            f"{source.name}: {found.n_anomalies} anomalies ({share:.3g} %{above}) -> {names}"
        )
