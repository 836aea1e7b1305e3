"""A large GeoTIFF of real pixels: a sample tiled in all orientations, lit unevenly, with noise.

    python scripts/make_large_scene.py scene.tif --sample LE70220491999322EDC01_stack.gtif
        [--size 10000] [--bands 1,2,3,4]

Needs the extra `geo`. 10 000 x 10 000 pixels of 4 bands of 16 bits are 800 MB when decoded. The
same arguments give the same pixels.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window

BLOCK = 512
NOISE = 0.02  # of the standard deviation of a band
LIGHT = 0.1  # how much brighter or darker a place is, at most


def main() -> None:
    """Write the scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--sample", type=Path, required=True)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--bands", default="1,2,3,4", help="bands of the sample, from 1")
    parser.add_argument("--overviews", action="store_true", help="at 1/8 and 1/32")
    args = parser.parse_args()
    with rasterio.open(args.sample) as source:
        sample = source.read([int(band) for band in args.bands.split(",")])
        place = {"crs": source.crs, "transform": source.transform}
    write(args.output, clean(sample), args.size, place, overviews=args.overviews)


def clean(sample: NDArray[Any]) -> NDArray[np.float32]:
    """Positive values: what is saturated or missing gets the band's median."""
    out = sample.astype(np.float32)
    for band in out:
        good = (band > 0) & (band < 16000)
        band[~good] = np.median(band[good])
    return out


def write(
    path: Path, sample: NDArray[np.float32], size: int, place: dict[str, Any], *, overviews: bool
) -> None:
    """Write strip after strip, so that any size can be made."""
    with rasterio.open(
        path, "w", driver="GTiff", width=size, height=size, count=len(sample), dtype="uint16",
        tiled=True, blockxsize=BLOCK, blockysize=BLOCK, compress="deflate", predictor=2, zlevel=1,
        bigtiff="IF_SAFER", num_threads="ALL_CPUS", **place,
    ) as scene:  # fmt: skip
        for start in range(0, size, BLOCK):
            rows = min(BLOCK, size - start)
            strip = strip_of(sample, start, rows, size)
            scene.write(strip, window=Window(0, start, size, rows))
        if overviews:
            scene.build_overviews([8, 32], Resampling.nearest)


def strip_of(sample: NDArray[np.float32], start: int, rows: int, size: int) -> NDArray[np.uint16]:
    """Some rows of the scene."""
    side = min(sample.shape[1:])
    out = np.empty((len(sample), rows, size), np.float32)
    for tile_row in range(start // side, (start + rows - 1) // side + 1):
        top, first = tile_row * side, max(tile_row * side, start)
        last = min(top + side, start + rows)
        for tile_col in range(-(-size // side)):
            left = tile_col * side
            kind = np.random.default_rng((tile_row, tile_col)).integers(8)
            tile = np.rot90(sample[:, :side, :side], kind % 4, axes=(1, 2))
            tile = tile[:, :, ::-1] if kind >= 4 else tile
            here = out[:, first - start : last - start, left : left + side]
            here[:] = tile[:, first - top : last - top, : here.shape[2]]
    y, x = np.arange(start, start + rows)[:, np.newaxis] / size, np.arange(size) / size
    out *= (1 + LIGHT * np.sin(7 * y + 3 * x) * np.cos(5 * x - 2 * y)).astype(np.float32)
    noise = np.random.default_rng((start, 1)).standard_normal(out.shape, np.float32)
    out += noise * (NOISE * sample.std(axis=(1, 2)))[:, np.newaxis, np.newaxis]
    return np.clip(np.rint(out), 1, 65535).astype(np.uint16)


if __name__ == "__main__":
    main()
