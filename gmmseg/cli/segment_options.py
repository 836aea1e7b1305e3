"""The options that say how images are segmented: the number of classes, features, fit, field.

Groups as in `option_groups`: an argument for each field of a dataclass, with its default.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, BooleanOptionalAction, Namespace, _ArgumentGroup
from dataclasses import fields

from gmmseg.bias import BiasOptions
from gmmseg.cli.bias_options import add_bias
from gmmseg.cli.values import (
    area,
    comma_separated,
    integer_or_auto,
    number_or_auto,
    positive_integer,
    range_of,
)
from gmmseg.feature_spec import COLOUR_SPACES, GAPS, FeatureSpec
from gmmseg.hints import BoxOptions
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.merging import MERGE_BY, MergeOptions
from gmmseg.mixture.options import CRITERIA, EMOptions
from gmmseg.mixture.seeding import STARTS
from gmmseg.mixture.selection import SELECT_BY, SelectOptions
from gmmseg.presets import DEFAULT, PRESET_NAMES, ChangedPreset
from gmmseg.regions import RegionOptions
from gmmseg.smoothing import METHODS, SmoothingOptions

__all__ = [
    "add_classes",
    "add_em",
    "add_features",
    "add_merging",
    "add_preset",
    "add_regions",
    "add_selection",
    "add_smoothing",
    "segment_options",
]


def segment_options(args: Namespace) -> ChangedPreset:
    """How an image is segmented: its preset, with what was asked for in place of the preset's."""
    given = vars(args)
    changes = {
        part: {name: given[word] for name, word in _words(kind).items() if word in given}
        for part, kind in _PARTS.items()
    }
    boxed = getattr(args, "box", None) is not None
    return ChangedPreset(preset=args.preset, changes=changes, boxed=boxed)


#: The parts of `SegmentOptions` that the command line can change.
_PARTS: dict[str, type] = {
    "features": FeatureSpec,
    "em": EMOptions,
    "selection": SelectOptions,
    "smoothing": SmoothingOptions,
    "merging": MergeOptions,
    "regions": RegionOptions,
    "box": BoxOptions,
    "bias": BiasOptions,
}


def _words(kind: type) -> dict[str, str]:
    """The fields of the options, and under what name the arguments have them."""
    if kind is BiasOptions:
        return {"smoothness": "bias"}
    words = {field.name: field.name for field in fields(kind)}
    if kind is SmoothingOptions:  # its tolerance shares its name with that of the fit
        words["tol"] = "smooth_tol"
    if kind is BoxOptions:  # its smoothing is no argument
        del words["smoothing"]
    return words


def add_preset(parser: ArgumentParser) -> None:
    """The preset, and the groups of options that it decides."""
    parser.add_argument(
        "--preset",
        choices=PRESET_NAMES,
        default=DEFAULT,
        help="options by what the image is; others on the command line win. auto chooses by bands "
        "and axes; plain is maximum likelihood and nothing else (default: %(default)s)",
    )
    add_selection(parser)
    add_features(parser, "plain")
    _add_working_grid(parser)
    add_em(parser, "plain")
    add_merging(parser)
    add_smoothing(parser, "plain")
    add_regions(parser)
    add_bias(parser)
    kinds = (SelectOptions, FeatureSpec, EMOptions, SmoothingOptions, MergeOptions, RegionOptions)
    decided = {field.name for kind in kinds for field in fields(kind)} | {"smooth_tol"}
    for action in parser._actions:  # set_defaults would store the marker itself as a value
        if action.dest in decided:
            action.default = SUPPRESS


def add_classes(parser: ArgumentParser, *, required: bool = True) -> None:
    """The number of classes."""
    parser.add_argument(
        "-k",
        "--components",
        "-n",
        "--classes",
        dest="k",
        metavar="K",
        type=integer_or_auto,
        required=required,
        help="number of classes; auto chooses it",
    )


def add_merging(parser: ArgumentParser) -> None:
    """`MergeOptions`."""
    default = MergeOptions()
    group = parser.add_argument_group("classes that are no Gaussians")
    group.add_argument(
        "--gaussians-per-segment",
        metavar="M",
        type=positive_integer,
        default=default.gaussians_per_segment,
        help="fit M times more Gaussians than classes, and merge those that overlap most "
        f"(plain: {default.gaussians_per_segment})",
    )
    group.add_argument(
        "--merge-by",
        choices=MERGE_BY,
        default=default.merge_by,
        help="merge first what makes the classes most certain (entropy; balanced: in proportion to "
        "their sizes), or what is most often taken for one another "
        f"(plain: {default.merge_by})",
    )
    group.add_argument(
        "--merge-touching",
        action="store_true",
        default=default.merge_touching,
        help="weigh this by the share of the border that two have in common in the image",
    )


def add_selection(parser: ArgumentParser) -> None:
    """`SelectOptions`."""
    default = SelectOptions()
    group = parser.add_argument_group("choice of the number of classes (-k auto, gmmseg select)")
    group.add_argument(
        "--k-range",
        metavar="A-B",
        type=range_of,
        default=default.k_range,
        help=f"numbers of classes to compare (plain: {default.k_range[0]}-{default.k_range[-1]})",
    )
    group.add_argument(
        "--covariance-types",
        metavar="T[,T...]",
        type=comma_separated(str, "covariance types"),
        default=default.covariance_types,
        help="covariance types to compare (plain: only the one that is fitted otherwise)",
    )
    group.add_argument(
        "--by",
        choices=SELECT_BY,
        default=default.by,
        help="the criterion: bic_effective is BIC for as many pixels as are independent "
        f"(plain: {default.by})",
    )


def add_features(parser: ArgumentParser, word: str = "default") -> None:
    """`FeatureSpec`."""
    default = FeatureSpec()
    scales = comma_separated(float, "scales in pixels")
    group = parser.add_argument_group("features: what pixels are told apart by")
    group.add_argument(
        "--colour-space",
        "--color-space",
        choices=COLOUR_SPACES,
        default=default.colour_space,
        help="auto is lab for 8 and 16-bit colour pictures, otherwise the bands as they are "
        f"({word}: {default.colour_space})",
    )
    group.add_argument(
        "--bands",
        metavar="B[,B...]",
        type=comma_separated(int, "band numbers"),
        default=default.bands,
        help=f"bands to use, from 1, in this order ({word}: all)",
    )
    group.add_argument(
        "--position",
        metavar="W",
        type=float,
        default=default.position,
        help="use the place in the image too; its weight against 1 for colour in the start of "
        f"EM ({word}: {default.position:g}, none)",
    )
    group.add_argument(
        "--local-mean",
        metavar="S[,S...]",
        type=scales,
        default=default.local_mean,
        help=f"use local means too: sigma of their windows in pixels ({word}: none)",
    )
    group.add_argument(
        "--local-std",
        metavar="S[,S...]",
        type=scales,
        default=default.local_std,
        help="use local standard deviations (texture) too: sigma of their windows in pixels "
        f"({word}: none)",
    )
    group.add_argument(
        "--power",
        metavar="P",
        type=float,
        default=default.power,
        help="colour features to the power of P: 0.5 for counts of photons, so that bright classes "
        f"are not wider than dark ones ({word}: {default.power:g}, as they are)",
    )
    group.add_argument(
        "--blur",
        metavar="S",
        type=float,
        default=default.blur,
        help=f"local means instead of colours: sigma in pixels ({word}: {default.blur:g}, off)",
    )
    group.add_argument(
        "--background",
        metavar="S",
        type=float,
        default=default.background,
        help="take lightness from the level of its surroundings, where light is uneven: sigma in "
        f"pixels, larger than the objects' radius ({word}: {default.background:g}, off)",
    )
    group.add_argument(
        "--local-gain",
        metavar="S",
        type=float,
        default=default.local_gain,
        help="divide lightness above its ground by that of objects nearby, to find dim ones beside "
        f"bright ones: sigma of the window in pixels ({word}: {default.local_gain:g}, off)",
    )
    group.add_argument(
        "--gaps",
        choices=GAPS,
        default=default.gaps,
        help="pixels that lack some of the bands (nodata, nan): use what they have, or drop "
        f"them; in a colour space they are dropped in any case ({word}: {default.gaps})",
    )


def _add_working_grid(parser: ArgumentParser) -> None:
    """What of `FeatureSpec` is of labels alone."""
    default = FeatureSpec()
    group = parser.add_argument_group("large pictures")
    group.add_argument(
        "--working-pixels",
        metavar="N",
        type=int,
        default=default.working_pixels,
        help="segment pictures of four times as many pixels on a coarser grid of about N squares; "
        "blur and texture are in pixels of that grid. 0: every pixel for itself "
        f"(plain: {default.working_pixels})",
    )


def add_em(parser: ArgumentParser, word: str = "default") -> None:
    """`EMOptions`."""
    default = EMOptions()
    group = parser.add_argument_group("fitting: expectation maximisation")
    group.add_argument(
        "--covariance",
        dest="covariance_type",
        choices=tuple(COVARIANCE_TYPES),
        default=default.covariance_type,
        help=f"shape of the classes in feature space ({word}: {default.covariance_type})",
    )
    group.add_argument(
        "--init",
        choices=tuple(STARTS),
        default=default.init,
        help=f"how EM starts ({word}: {default.init})",
    )
    group.add_argument(
        "--n-init",
        metavar="N",
        type=positive_integer,
        default=default.n_init,
        help=f"number of starts, of which the best fit is kept ({word}: {default.n_init})",
    )
    _add_convergence(group, default, word)
    group.add_argument(
        "--reg-covar",
        metavar="R",
        type=float,
        default=default.reg_covar,
        help="added to every variance, relative to that of the feature "
        f"({word}: {default.reg_covar})",
    )
    group.add_argument(
        "--prior",
        metavar="S",
        type=float,
        default=default.prior,
        help="strength of a prior that keeps classes from collapsing on few pixels: 1 is that of "
        f"Fraley and Raftery ({word}: {default.prior:g}, none)",
    )
    group.add_argument(
        "--max-ratio",
        metavar="C",
        type=float,
        default=default.max_ratio,
        help="no variance in any direction of any class is more than C times another's, the "
        f"features in units of their standard deviations ({word}: no bound)",
    )
    group.add_argument(
        "--seed",
        dest="rng",
        metavar="N",
        type=int,
        default=default.rng,
        help=f"seed of the starts: the same seed gives the same result ({word}: {default.rng})",
    )
    group.add_argument(
        "--strict", action="store_true", help="exit with 1 when EM does not converge"
    )


def _add_convergence(group: _ArgumentGroup, default: EMOptions, word: str) -> None:
    group.add_argument(
        "--tol",
        metavar="T",
        type=float,
        default=default.tol,
        help=f"converged when an iteration changes less than this ({word}: {default.tol})",
    )
    group.add_argument(
        "--criterion",
        choices=CRITERIA,
        default=default.criterion,
        help="what has to change less: the mean log-likelihood, or every parameter "
        f"({word}: {default.criterion})",
    )
    group.add_argument(
        "--max-iter",
        metavar="N",
        type=positive_integer,
        default=default.max_iter,
        help=f"most EM iterations ({word}: {default.max_iter})",
    )
    group.add_argument(
        "--no-accelerate",
        dest="accelerate",
        action="store_false",
        help="EM step by step, without leaps: the same optimum in more iterations",
    )
    group.add_argument(
        "--gap",
        metavar="G",
        type=float,
        default=default.gap,
        help="images of many different pixels are fitted by a sample first, then by passes over "
        "all pixels until the mean log-likelihood is this near to its maximum "
        f"({word}: {default.gap})",
    )
    group.add_argument(
        "--exact",
        dest="gap",
        action="store_const",
        const=0.0,
        help="fit all pixels from the start: --gap 0",
    )


def add_smoothing(parser: ArgumentParser, word: str = "default") -> None:
    """`SmoothingOptions`."""
    default = SmoothingOptions()
    group = parser.add_argument_group("smoothing: neighbouring pixels tend to be of one class")
    group.add_argument(
        "--smooth",
        dest="beta",
        metavar="BETA",
        type=number_or_auto,
        default=default.beta,
        help="what a neighbour of the same class is worth, in nats; about 1 for pictures, 0.3 for "
        f"volumes; auto estimates it from each image ({word}: {default.beta:g}, off)",
    )
    group.add_argument(
        "--neighbours",
        "--neighbors",
        metavar="N",
        type=positive_integer,
        default=default.neighbours,
        help=f"4 or 8 of a pixel, 6, 18 or 26 of a voxel ({word}: all that touch)",
    )
    group.add_argument(
        "--contrast",
        metavar="C",
        type=float,
        default=default.contrast,
        help="how much edges in the image weaken the ties across them; 1 as GrabCut does "
        f"({word}: {default.contrast:g}, not at all)",
    )
    group.add_argument(
        "--sweeps",
        metavar="N",
        type=positive_integer,
        default=default.sweeps,
        help=f"most sweeps over the image ({word}: {default.sweeps})",
    )
    group.add_argument(
        "--smooth-tol",
        dest="smooth_tol",
        metavar="T",
        type=float,
        default=default.tol,
        help="sweeps end when one moves less than this share of the probability "
        f"({word}: {default.tol})",
    )
    group.add_argument(
        "--smooth-method",
        dest="method",
        choices=METHODS,
        default=default.method,
        help="mean fields keep probabilities, iterated conditional modes decide "
        f"({word}: {default.method})",
    )
    group.add_argument(
        "--smooth-inside",
        dest="inside",
        action=BooleanOptionalAction,
        default=default.inside,
        help="let neighbours count while fitting, too: EM with a hidden Markov random field "
        f"({word}: {'on' if default.inside else 'off'})",
    )


def add_regions(parser: ArgumentParser) -> None:
    """`RegionOptions`."""
    default = RegionOptions()
    group = parser.add_argument_group("regions: connected pixels of one class")
    group.add_argument(
        "--min-area",
        metavar="SIZE",
        type=area,
        default=default.min_area,
        help="smaller regions go to the likeliest class beside them: a number of pixels, '5 mm2', "
        "'1.5 ml', '2 ha' or '0.5 %%' of the image (plain: 0, all stay)",
    )
    group.add_argument(
        "--max-hole",
        metavar="SIZE",
        type=area,
        default=default.max_hole,
        help="regions up to this that lie wholly within another one become a part of it "
        "(plain: 0, all stay)",
    )
    group.add_argument(
        "--connectivity",
        metavar="N",
        type=positive_integer,
        default=default.connectivity,
        help="pixels of regions are connected to 4 or 8 neighbours, voxels to 6, 18 or 26 "
        "(plain: 4 or 6)",
    )
    group.add_argument(
        "--merge-distance",
        metavar="D",
        type=float,
        default=default.merge_distance,
        help="join neighbouring regions whose means are nearer than D standard deviations of the "
        "pixels within classes; shows in --regions (plain: 0, none)",
    )
    group.add_argument(
        "--n-regions",
        metavar="N",
        type=positive_integer,
        default=default.n_regions,
        help="join neighbouring regions until N are left; shows in --regions (plain: all stay)",
    )
