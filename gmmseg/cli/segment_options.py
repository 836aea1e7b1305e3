"""The options that say how images are segmented: the number of classes, features, fit, field.

Groups as in `option_groups`: an argument for each field of a dataclass, with its default.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _ArgumentGroup
from dataclasses import replace

from gmmseg.cli.option_groups import options_of
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
from gmmseg.pipeline import SegmentOptions
from gmmseg.regions import RegionOptions
from gmmseg.smoothing import METHODS, SmoothingOptions

__all__ = [
    "add_classes",
    "add_em",
    "add_features",
    "add_hints",
    "add_merging",
    "add_regions",
    "add_selection",
    "add_smoothing",
    "box_of",
    "segment_options",
    "smoothing_of",
]


def segment_options(args: Namespace) -> SegmentOptions:
    """How images are segmented."""
    return SegmentOptions(
        features=options_of(args, FeatureSpec),
        em=options_of(args, EMOptions),
        selection=options_of(args, SelectOptions),
        smoothing=smoothing_of(args),
        merging=options_of(args, MergeOptions),
        regions=options_of(args, RegionOptions),
        box=box_of(args),
    )


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
        "(default: %(default)s)",
    )
    group.add_argument(
        "--merge-by",
        choices=MERGE_BY,
        default=default.merge_by,
        help="merge first what makes the classes most certain (entropy; balanced: in proportion to "
        "their sizes), or what is most often taken for one another (default: %(default)s)",
    )
    group.add_argument(
        "--merge-touching",
        action="store_true",
        default=default.merge_touching,
        help="weigh this by the share of the border that two have in common in the image",
    )


def add_hints(parser: ArgumentParser) -> None:
    """What the user knows, and `BoxOptions`."""
    group = parser.add_argument_group("help from the user")
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--hints",
        metavar="FILE",
        help="a label image of the same size: 0 = not known, j = this pixel is of class j; -k is "
        "then the largest of them unless there are more classes",
    )
    either.add_argument(
        "--box",
        metavar="X,Y,W,H",
        type=comma_separated(int, "pixels"),
        help="left, top, width and height in pixels of a box around an object (X,Y,Z,W,H,D in a "
        "volume): outside is background, class 1; the object becomes class 2",
    )
    default = BoxOptions()
    group.add_argument(
        "--gaussians",
        metavar="N",
        type=positive_integer,
        default=default.gaussians,
        help="with --box: Gaussians of the object, and as many of the background "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--margin",
        metavar="M",
        type=float,
        default=default.margin,
        help="with --box: background is learnt as far around the box as this share of its sides "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--iterations",
        metavar="N",
        type=positive_integer,
        default=default.iterations,
        help="with --box: most iterations of fit and field together (default: %(default)s)",
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
        help=f"numbers of classes to compare (default: {default.k_range[0]}-{default.k_range[-1]})",
    )
    group.add_argument(
        "--covariance-types",
        metavar="T[,T...]",
        type=comma_separated(str, "covariance types"),
        default=default.covariance_types,
        help="covariance types to compare (default: only the one that is fitted otherwise)",
    )
    group.add_argument(
        "--by",
        choices=SELECT_BY,
        default=default.by,
        help="the criterion: bic_effective is BIC for as many pixels as are independent "
        "(default: %(default)s)",
    )


def add_features(parser: ArgumentParser) -> None:
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
        "(default: %(default)s)",
    )
    group.add_argument(
        "--bands",
        metavar="B[,B...]",
        type=comma_separated(int, "band numbers"),
        default=default.bands,
        help="bands to use, from 1, in this order (default: all)",
    )
    group.add_argument(
        "--position",
        metavar="W",
        type=float,
        default=default.position,
        help="use the place in the image too; its weight against 1 for colour in the start of "
        "EM (default: %(default)g, none)",
    )
    group.add_argument(
        "--local-mean",
        metavar="S[,S...]",
        type=scales,
        default=default.local_mean,
        help="use local means too: sigma of their windows in pixels (default: none)",
    )
    group.add_argument(
        "--local-std",
        metavar="S[,S...]",
        type=scales,
        default=default.local_std,
        help="use local standard deviations (texture) too: sigma of their windows in pixels "
        "(default: none)",
    )
    group.add_argument(
        "--gaps",
        choices=GAPS,
        default=default.gaps,
        help="pixels that lack some of the bands (nodata, nan): use what they have, or drop "
        "them; in a colour space they are dropped in any case (default: %(default)s)",
    )


def add_em(parser: ArgumentParser) -> None:
    """`EMOptions`."""
    default = EMOptions()
    group = parser.add_argument_group("fitting: expectation maximisation")
    group.add_argument(
        "--covariance",
        dest="covariance_type",
        choices=tuple(COVARIANCE_TYPES),
        default=default.covariance_type,
        help="shape of the classes in feature space (default: %(default)s)",
    )
    group.add_argument(
        "--init",
        choices=tuple(STARTS),
        default=default.init,
        help="how EM starts (default: %(default)s)",
    )
    group.add_argument(
        "--n-init",
        metavar="N",
        type=positive_integer,
        default=default.n_init,
        help="number of starts, of which the best fit is kept (default: %(default)s)",
    )
    _add_convergence(group, default)
    group.add_argument(
        "--reg-covar",
        metavar="R",
        type=float,
        default=default.reg_covar,
        help="added to every variance, relative to that of the feature (default: %(default)s)",
    )
    group.add_argument(
        "--prior",
        metavar="S",
        type=float,
        default=default.prior,
        help="strength of a prior that keeps classes from collapsing on few pixels: 1 is that of "
        "Fraley and Raftery (default: %(default)g, none)",
    )
    group.add_argument(
        "--max-ratio",
        metavar="C",
        type=float,
        default=default.max_ratio,
        help="no variance in any direction of any class is more than C times another's, the "
        "features in units of their standard deviations (default: no bound)",
    )
    group.add_argument(
        "--seed",
        dest="rng",
        metavar="N",
        type=int,
        default=default.rng,
        help="seed of the starts: the same seed gives the same result (default: %(default)s)",
    )
    group.add_argument(
        "--strict", action="store_true", help="exit with 1 when EM does not converge"
    )


def _add_convergence(group: _ArgumentGroup, default: EMOptions) -> None:
    group.add_argument(
        "--tol",
        metavar="T",
        type=float,
        default=default.tol,
        help="converged when an iteration changes less than this (default: %(default)s)",
    )
    group.add_argument(
        "--criterion",
        choices=CRITERIA,
        default=default.criterion,
        help="what has to change less: the mean log-likelihood, or every parameter "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--max-iter",
        metavar="N",
        type=positive_integer,
        default=default.max_iter,
        help="most EM iterations (default: %(default)s)",
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
        "(default: %(default)s)",
    )
    group.add_argument(
        "--exact",
        dest="gap",
        action="store_const",
        const=0.0,
        help="fit all pixels from the start: --gap 0",
    )


def add_smoothing(parser: ArgumentParser) -> None:
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
        "volumes; auto estimates it from each image (default: %(default)g, off)",
    )
    group.add_argument(
        "--neighbours",
        "--neighbors",
        metavar="N",
        type=positive_integer,
        default=default.neighbours,
        help="4 or 8 of a pixel, 6, 18 or 26 of a voxel (default: all that touch)",
    )
    group.add_argument(
        "--contrast",
        metavar="C",
        type=float,
        default=default.contrast,
        help="how much edges in the image weaken the ties across them; 1 as GrabCut does "
        "(default: %(default)g, not at all)",
    )
    group.add_argument(
        "--sweeps",
        metavar="N",
        type=positive_integer,
        default=default.sweeps,
        help="most sweeps over the image (default: %(default)s)",
    )
    group.add_argument(
        "--smooth-tol",
        dest="smooth_tol",
        metavar="T",
        type=float,
        default=default.tol,
        help="sweeps end when one moves less than this share of the probability "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--smooth-method",
        dest="method",
        choices=METHODS,
        default=default.method,
        help="mean fields keep probabilities, iterated conditional modes decide "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--smooth-inside",
        dest="inside",
        action="store_true",
        default=default.inside,
        help="let neighbours count while fitting, too: EM with a hidden Markov random field",
    )


def box_of(args: Namespace) -> BoxOptions:
    """The options of a box, of the commands that take one."""
    names = ("gaussians", "margin", "iterations")
    return BoxOptions(**{name: getattr(args, name) for name in names if hasattr(args, name)})


def smoothing_of(args: Namespace) -> SmoothingOptions:
    """The options of smoothing; their tolerance shares its name with that of the fit."""
    if not hasattr(args, "smooth_tol"):
        return SmoothingOptions()
    return replace(options_of(args, SmoothingOptions), tol=args.smooth_tol)


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
        "'1.5 ml', '2 ha' or '0.5 %%' of the image (default: %(default)g, all stay)",
    )
    group.add_argument(
        "--max-hole",
        metavar="SIZE",
        type=area,
        default=default.max_hole,
        help="regions up to this that lie wholly within another one become a part of it "
        "(default: %(default)g, all stay)",
    )
    group.add_argument(
        "--connectivity",
        metavar="N",
        type=positive_integer,
        default=default.connectivity,
        help="pixels of regions are connected to 4 or 8 neighbours, voxels to 6, 18 or 26 "
        "(default: 4 or 6)",
    )
    group.add_argument(
        "--merge-distance",
        metavar="D",
        type=float,
        default=default.merge_distance,
        help="join neighbouring regions whose means are nearer than D standard deviations of the "
        "pixels within classes; shows in --regions (default: %(default)g, none)",
    )
    group.add_argument(
        "--n-regions",
        metavar="N",
        type=positive_integer,
        default=default.n_regions,
        help="join neighbouring regions until N are left; shows in --regions (default: all stay)",
    )
