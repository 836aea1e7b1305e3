"""Compile all kernels that segmenting needs now, so that no later run has to wait.

They are kept on disk; say where with NUMBA_CACHE_DIR. Useful once after an installation, and
while a container image is built.

    gmmseg warmup
    gmmseg warmup --bands 6,13
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.cli.console import Console
from gmmseg.cli.values import comma_separated, positive_integer
from gmmseg.diagnosis import cache_folder
from gmmseg.feature_spec import FeatureSpec
from gmmseg.io import printable
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.selection import SelectOptions
from gmmseg.pipeline import AUTO, SegmentOptions, segment
from gmmseg.presets import PRESETS
from gmmseg.regions import RegionOptions
from gmmseg.smoothing import SmoothingOptions

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg warmup`` takes."""
    parser.add_argument(
        "--bands",
        metavar="N[,N...]",
        type=comma_separated(positive_integer, "numbers of bands"),
        default=(),
        help="also for images of so many bands: 4 to 16 have kernels of their own each",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="nothing but errors")


def run(args: Namespace) -> int:
    """Segment small images of every type that has kernels of its own."""
    console = Console(quiet=args.quiet)
    started = time.perf_counter()
    with console.telling_of_compilation():
        for image, (covariance_type, position) in product(_images(args.bands), _SHAPES):
            options = SegmentOptions(
                features=FeatureSpec(position=position),
                em=EMOptions(covariance_type=covariance_type, max_iter=2),
                selection=SelectOptions(k_range=(2,)),
            )
            result = segment(image, AUTO, options)
            _ = result.labels, result.probabilities, result.overlay()
        probability = result.mixture.cdf([0.0], feature=0)
        _ = result.mixture.cdf([0.0], feature=0, log=True)
        _ = result.mixture.quantile(probability, feature=0)
        smoothing = SmoothingOptions(beta="auto", contrast=1.0, sweeps=1, inside=True)
        for dtype in (np.uint8, np.float64):
            picture = np.arange(600, dtype=dtype).reshape(20, 30) % 7
            regions = RegionOptions(min_area=3, n_regions=2)
            result = segment(picture, 2, SegmentOptions(smoothing=smoothing, regions=regions))
            _ = result.labels, result.regions
        result = segment(
            (np.random.default_rng(0).random((80, 90, 3)) * 255).astype(np.uint8), 2, _photo()
        )
        _ = result.labels, result.regions, result.table
    console.say(f"all kernels are ready after {time.perf_counter() - started:.1f} s")
    nowhere = "memory only: no cache folder is writable"
    console.say(f"they are kept in {printable(cache_folder() or nowhere)}")
    return 0


#: Full and diagonal covariances have kernels of their own, and so have two more features.
_SHAPES = (("full", 0.0), ("diag", 0.0), ("full", 1.0))


def _images(more_bands: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Grey and colour of 8 and 16 bits, and floats, also with gaps.

    Large enough for tables of distinct values, and of so few values that hashing pays.
    """
    rng = np.random.default_rng(0)
    for dtype, bands in product((np.uint8, np.uint16, np.float32, np.float64), (1, 3)):
        yield (rng.random((800, 800, bands)) * 24).astype(dtype)
    for bands in more_bands:
        yield rng.random((100, 100, bands)).astype(np.float32)
    for dtype in (np.float32, np.float64):
        values = rng.random((100, 100, 3))
        yield np.where(values < 0.1, np.nan, values).astype(dtype)


def _photo() -> SegmentOptions:
    """The preset of photos on a grid so coarse that a small picture is enlarged."""
    preset = PRESETS["photo"]
    return replace(preset, features=replace(preset.features, working_pixels=1000))
