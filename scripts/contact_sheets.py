"""Sheets of pictures, plain mixtures and presets beside one another, to be looked at.

    python scripts/contact_sheets.py DATA_DIR [--output docs/sheets]

Images that may be shipped only: dsb2018 (CC0), the T1 template of the MNI (with its notice),
Landsat 7 of stars and Sentinel-2 of eo-learn (sources in the page that shows the sheets). From left
to right: the image, the plain mixture, the preset, the truth where there is one. Nuclei are white:
the class of the lesser area; other classes go from dark to bright.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image as Picture
from quality import brain, nuclei

import gmmseg
from gmmseg.image import Image

NUCLEI = ("03f583ec", "d256b32a", "ddf1bf45", "0e4c2e27", "8f27ebc7", "4e07a653")
PALETTE = np.array(
    [[0, 0, 0], [38, 70, 130], [60, 140, 110], [220, 190, 80], [200, 90, 60], [245, 245, 245]],
    np.uint8,
)
WIDTH, GAP = 240, 4
Row = list[np.ndarray]


def on_screen(values: np.ndarray) -> np.ndarray:
    """Bands stretched to the 2nd and 98th percentiles; one band is shown grey."""
    low, high = np.percentile(values, (2, 99.5), axis=(0, 1))
    shown = ((values - low) / np.maximum(high - low, 1e-9)).clip(0, 1) ** 0.7 * 255
    return np.repeat(shown, 3 // shown.shape[2], axis=2).astype(np.uint8)


def coloured(labels: np.ndarray, k: int) -> np.ndarray:
    return PALETTE[np.rint(labels * (len(PALETTE) - 1) / k).astype(int)]


def white(mask: np.ndarray) -> np.ndarray:
    return np.repeat(np.uint8(255) * mask[..., None].astype(np.uint8), 3, axis=2)


def of_nuclei(folder: Path) -> Iterator[Row]:
    cases = [c for c in nuclei.cases(folder) if c["id"][:8] in NUCLEI]
    for case in cases:
        path = next(case["root"].glob(f"images/{case['id']}*"))
        colour = np.asarray(Picture.open(path).convert("RGB"))
        truth = np.asarray(Picture.open(case["root"] / "labels" / f"{case['id']}.png")) > 0
        found = (gmmseg.segment(colour, 2, name).labels for name in ("plain", "microscopy"))
        yield [on_screen(colour), *(white(nuclei.lesser(x)) for x in found), white(truth)]


def of_brain(folder: Path) -> Iterator[Row]:
    for noise in (0.0, 0.09):
        values, mask, truth = brain.read(folder / "mni152_nilearn", noise)
        image = Image.from_array(values, axes="ZYX", mask=mask, spacing=1.0)
        found = [gmmseg.segment(image, 3, name).labels for name in ("plain", "mri")]
        middle = values.shape[1] // 2
        slices = [np.rot90(x[:, middle]) for x in (values * mask, *found, truth)]
        yield [on_screen(slices[0][..., None]), *(coloured(x, 3) for x in slices[1:])]


def of_satellites(folder: Path) -> Iterator[Row]:
    with rasterio.open(folder / "landsat_misc/L7_ETMs_stars.tif") as scene:
        landsat = np.moveaxis(scene.read(), 0, -1)
    sentinel = np.load(folder / "sentinel2_eolearn/REFERENCE_SCENES.npy")[3]
    for bands, shown in ((landsat, [3, 2, 1]), (sentinel, [7, 3, 2])):
        image = Image.from_array(bands, axes="YXC", spacing=30.0)
        found = (gmmseg.segment(image, 5, name).labels for name in ("plain", "satellite"))
        yield [on_screen(bands[..., shown].astype(float)), *(coloured(x, 5) for x in found)]


def sheet(rows: list[Row]) -> Picture.Image:
    """Rows of pictures of one width, on white."""
    scaled = [[_scaled(panel) for panel in row] for row in rows]
    width = max(len(row) for row in rows) * (WIDTH + GAP) - GAP
    height = sum(row[0].height + GAP for row in scaled) - GAP
    page = Picture.new("RGB", (width, height), "white")
    y = 0
    for row in scaled:
        for i, panel in enumerate(row):
            page.paste(panel, (i * (WIDTH + GAP), y))
        y += row[0].height + GAP
    return page


def _scaled(panel: np.ndarray) -> Any:
    height = round(panel.shape[0] * WIDTH / panel.shape[1])
    return Picture.fromarray(panel).resize((WIDTH, height), Picture.Resampling.BILINEAR)


SHEETS = {"nuclei": of_nuclei, "brain": of_brain, "satellite": of_satellites}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="DATA_DIR", type=Path)
    parser.add_argument("--output", type=Path, default=Path("docs/sheets"))
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for name, rows in SHEETS.items():
        path = args.output / f"{name}.jpg"
        sheet(list(rows(args.folder))).save(path, quality=82, optimize=True)
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
