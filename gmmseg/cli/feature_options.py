"""The options that say what pixels are told apart by."""

from __future__ import annotations

from argparse import ArgumentParser, _ArgumentGroup

from gmmseg.cli.values import bands, comma_separated
from gmmseg.feature_spec import COLOUR_SPACES, GAPS, FeatureSpec
from gmmseg.spectral_indices import INDICES

__all__ = ["add_features", "add_working_grid"]


def add_features(parser: ArgumentParser, word: str = "default") -> None:
    """`FeatureSpec`."""
    default = FeatureSpec()
    group = parser.add_argument_group("features: what pixels are told apart by")
    group.add_argument(
        "--colour-space",
        "--color-space",
        choices=COLOUR_SPACES,
        default=default.colour_space,
        help="auto is lab for 8 and 16-bit colour pictures, otherwise the bands as they are "
        f"({word}: {default.colour_space}); none takes no band, but indices alone",
    )
    group.add_argument(
        "--bands",
        metavar="B[,B...]",
        type=bands,
        default=default.bands,
        help="bands to use, from 1 or by name, in this order; red=3,nir=B08 tells their roles, "
        f"which indices need and names may not tell ({word}: all)",
    )
    group.add_argument(
        "--index",
        dest="indices",
        metavar="NAME[,NAME...]",
        type=comma_separated(str, "names of indices"),
        default=default.indices,
        help="use spectral indices too, or with colour space none alone: "
        f"{', '.join(INDICES)} ({word}: none)",
    )
    _add_surroundings(group, default, word)
    group.add_argument(
        "--gaps",
        choices=GAPS,
        default=default.gaps,
        help="pixels that lack some of the bands (nodata, nan): use what they have, or drop "
        f"them; in a colour space they are dropped in any case ({word}: {default.gaps})",
    )


def _add_surroundings(group: _ArgumentGroup, default: FeatureSpec, word: str) -> None:
    """Features of where a pixel is, and what is around it."""
    scales = comma_separated(float, "scales in pixels")
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
        help="take local means of the colour features in their place: sigma of the window in "
        f"pixels ({word}: {default.blur:g}, off)",
    )
    group.add_argument(
        "--background",
        metavar="S",
        type=float,
        default=default.background,
        help="take lightness from the level of its surroundings, where light is uneven: sigma of "
        f"the window in pixels, larger than the objects' radius ({word}: "
        f"{default.background:g}, off)",
    )
    group.add_argument(
        "--local-gain",
        metavar="S",
        type=float,
        default=default.local_gain,
        help="divide lightness above its ground by that of objects nearby, to find dim ones beside "
        f"bright ones: sigma of the window in pixels ({word}: {default.local_gain:g}, off)",
    )


def add_working_grid(parser: ArgumentParser) -> None:
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
