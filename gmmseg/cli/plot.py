"""Draw a model: histograms with its densities, two features with its ellipses, how EM went.

With an image its pixels are drawn too, in the colours that overlays give to the classes.

    gmmseg plot photo.gmm.json photo.jpg -o photo_classes.png
    gmmseg plot scene.gmm.json scene.tif -o scene.svg --features red,"near infrared"
    gmmseg plot photo.gmm.json --kind history -o history.pdf
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gmmseg.cli import option_groups as groups
from gmmseg.cli.console import Console
from gmmseg.cli.destinations import check_not_an_input
from gmmseg.cli.inputs import Input, read_input
from gmmseg.errors import InvalidParameterError
from gmmseg.io import ReadOptions, printable
from gmmseg.model import Model, load_model
from gmmseg.outputs import check_outputs
from gmmseg.plots.figure import check_ending, save_figure
from gmmseg.plots.histogram import plot_histograms
from gmmseg.plots.history import plot_history
from gmmseg.plots.pixels import Pixels, pixels_of
from gmmseg.plots.scatter import plot_scatter

__all__ = ["add_arguments", "run"]

KINDS = ("scatter", "histogram", "history")


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg plot`` takes."""
    parser.usage = "gmmseg plot MODEL [IMAGE] -o FIGURE [options]"
    parser.add_argument("model_used", metavar="MODEL", help="a model file, *.gmm.json")
    parser.add_argument("image", metavar="IMAGE", nargs="?", help="an image whose pixels to draw")
    parser.add_argument(
        "-o", "--output", metavar="FIGURE", required=True, help="a .png, .svg or .pdf"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a figure that exists")
    parser.add_argument(
        "--kind",
        choices=KINDS,
        help="two features with ellipses, histograms of all, or the log-likelihood of the fit "
        "(default: scatter, histogram where there is one feature)",
    )
    parser.add_argument(
        "--features",
        metavar="F[,F...]",
        help="features to draw, by name or by number from 1 (default: the first two, or all)",
    )
    groups.add_pixels(parser)
    groups.add_reading(parser)


def run(args: Namespace) -> int:
    """Read, draw, write."""
    output = Path(args.output)
    check_ending(output)
    inputs = [Path(name) for name in (args.model_used, args.image) if name not in (None, "-")]
    check_not_an_input([output], inputs)
    check_outputs({"figure": output}, overwrite=args.overwrite)
    model = load_model(args.model_used)
    kind = args.kind or ("scatter" if model.mixture.n_features > 1 else "histogram")
    features = None if args.features is None else _features(args.features, model)
    with Console(progress=False).telling_of_compilation():
        figure = _DRAWN[kind](model, _pixels(model, args, kind), features)
    save_figure(figure, output, overwrite=args.overwrite)
    return 0


def _pixels(model: Model, args: Namespace, kind: str) -> Pixels | None:
    if args.image is None or kind == "history":
        return None
    image = read_input(Input(args.image), args, groups.options_of(args, ReadOptions))
    return pixels_of(model, image)


def _features(text: str, model: Model) -> list[int]:
    """Positions, from 0, of the features that the words name."""
    names = list(model.feature_names)
    found = []
    for word in text.split(","):
        if word in names:
            found.append(names.index(word))
        elif word.isdecimal() and 1 <= int(word) <= len(names):
            found.append(int(word) - 1)
        else:
            raise InvalidParameterError(
                f"--features must be of {', '.join(map(printable, names))}, or numbers in "
                f"1..{len(names)}, got {printable(word)}."
            )
    return found


def _scatter(model: Model, pixels: Pixels | None, features: Sequence[int] | None) -> Any:
    chosen = tuple(features if features is not None else (0, 1))
    if len(set(chosen)) != 2 or len(chosen) != 2 or model.mixture.n_features < 2:
        raise InvalidParameterError(
            f"--kind scatter needs two different features, got {len(set(chosen))} of the "
            f"{model.mixture.n_features} of the model. Choose two with --features."
        )
    return plot_scatter(model, pixels, (chosen[0], chosen[1]))


_DRAWN: dict[str, Callable[[Model, Pixels | None, Sequence[int] | None], Any]] = {
    "scatter": _scatter,
    "histogram": plot_histograms,
    "history": lambda model, *_: plot_history(model),
}
