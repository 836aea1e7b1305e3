"""Photos as plain maximum likelihood and as the default segment them, side by side.

    python scripts/contact_sheet_photos.py PHOTO... -o docs/photos_before_after.jpg

Each row: the photo, its classes by ``--preset plain``, its classes and its regions by the default,
at three, five and eight classes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import gmmseg
from gmmseg.overlay import overlay

WIDTH, HEIGHT, GAP, TITLE = 300, 200, 6, 16
KS = (3, 5, 8)


def regions(seg: gmmseg.Segmentation, picture: np.ndarray) -> np.ndarray:
    """The picture with its regions in colours that repeat."""
    return overlay(picture, (seg.regions % 250 + (seg.regions > 0)).astype(np.uint8), n_labels=251)


def row(path: Path, k: int) -> dict[str, np.ndarray]:
    picture = np.asarray(Image.open(path).convert("RGB"))
    plain, default = (gmmseg.segment(picture, k, name) for name in ("plain", "auto"))
    return {
        path.name: picture,
        f"plain, k = {k}": plain.overlay(),
        f"default, k = {k}": default.overlay(),
        f"default: {default.regions.max()} regions": regions(default, picture),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("-o", "--output", required=True, type=Path)
    args = parser.parse_args()
    rows = [row(path, k) for path in args.photos for k in KS]
    size = len(rows[0]) * (WIDTH + GAP) + GAP, len(rows) * (HEIGHT + TITLE + GAP) + GAP
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for i, cells in enumerate(rows):
        for j, (title, picture) in enumerate(cells.items()):
            place = GAP + j * (WIDTH + GAP), GAP + i * (HEIGHT + TITLE + GAP)
            pen.text(place, title, "black")
            small = Image.fromarray(picture)
            small.thumbnail((WIDTH, HEIGHT))
            sheet.paste(small, (place[0], place[1] + TITLE))
    sheet.save(args.output, quality=88)


if __name__ == "__main__":
    main()
