"""Two Landsat scenes with training areas: overall accuracy by the best match of labels.

One scene has no parts: of each class every third connected training area (by its first pixel) is
kept aside in the scores. All pixels are fitted, and each part has its own best match.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from gmmseg.image import Image
from quality import peers
from quality.scores import contingency, overall_accuracy

NAME = "satellite (overall accuracy)"


def cases(folder: Path) -> list[dict[str, Any]]:
    return [
        {"folder": folder, "scene": "Landsat 7, k = 5", "k": 5, "read": "landsat7"},
        {"folder": folder, "scene": "Landsat 5, k = 4", "k": 4, "read": "landsat5"},
    ]


def evaluate(case: dict[str, Any]) -> list[dict[str, Any]]:
    bands, truth = READERS[case["read"]](case["folder"])
    image = Image.from_array(bands, axes="YXC", spacing=30.0)
    rows = bands.reshape(-1, bands.shape[-1]).astype(float)
    scaled = ((rows - rows.mean(axis=0)) / rows.std(axis=0)).reshape(bands.shape)
    labels = {
        "k-means": peers.kmeans(bands, case["k"]),
        "k-means, standardised": peers.kmeans(scaled, case["k"]),
        "scikit-learn GMM": peers.mixture(bands, case["k"]),
        "gmmseg plain": peers.ours(image, case["k"], "plain"),
        "gmmseg (auto: satellite)": peers.ours(image, case["k"], "auto"),
    }
    aside = _areas(truth) % 3 == 2
    return [
        {
            "method": method,
            "case": {"scene": case["scene"], "aside": part},
            "scores": [_accuracy(found, truth, _of_part(aside, part) & (truth > 0))],
        }
        for method, found in labels.items()
        for part in (False, True, None)
    ]


def _of_part(aside: np.ndarray, part: bool | None) -> np.ndarray:
    return np.ones_like(aside) if part is None else aside == part


def summarise(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {row["case"]["scene"]: row["scores"][0] for row in rows}


def _accuracy(labels: np.ndarray, truth: np.ndarray, use: np.ndarray) -> float:
    return overall_accuracy(contingency(labels[use], truth[use]))


def _areas(truth: np.ndarray) -> np.ndarray:
    """Number, from 0 within each class, of the connected area of every labelled pixel."""
    numbers = np.full(truth.shape, -1)
    for c in range(1, int(truth.max()) + 1):
        found, _ = ndimage.label(truth == c, np.ones((3, 3)))
        numbers[found > 0] = found[found > 0] - 1
    return numbers


def _landsat7(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    import rasterio

    root = folder / "landsat7_opengeo"
    with rasterio.open(root / "LE70220491999322EDC01_stack.gtif") as scene:
        bands = np.moveaxis(scene.read(range(1, 8)), 0, -1)  # the eighth is a mask, all clear
    with rasterio.open(root / "training_data.gtif") as areas:
        return bands, areas.read(1)


def _landsat5(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    import rasterio
    from rasterio.features import rasterize

    root, bands = folder / "landsat5_rstoolbox", []
    for number in range(1, 8):
        with rasterio.open(next(root.glob(f"*_B{number}.TIF"))) as file:
            bands.append(file.read(1))
            transform = file.transform
    rings: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with (root / "trainingPolygons_lsat.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            place = float(row["x"]), float(row["y"])
            rings.setdefault((row["polygon"], row["class"]), []).append(place)
    names = sorted({name for _, name in rings})
    shapes = [
        ({"type": "Polygon", "coordinates": [ring]}, names.index(name) + 1)
        for (_, name), ring in rings.items()
    ]
    return np.stack(bands, -1), rasterize(shapes, bands[0].shape, transform=transform)


READERS = {"landsat7": _landsat7, "landsat5": _landsat5}
