"""Photos with several human segmentations each: covering, Rand index, variation of information.

ODS: the best single setting (k = 2..12, or a threshold) for all images of a part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from quality import peers
from quality.scores import pooled, region_scores

NAME = "photos (BSDS, ODS over k = 2..12)"
K_RANGE = tuple(range(2, 13))
QUICK = (3, 5, 8)


def cases(folder: Path, quick: bool = False) -> list[dict[str, Any]]:
    """Every third photo, by name, is kept aside."""
    root = folder / "bsds_train"
    names = sorted(path.stem for path in (root / "images").glob("*.jpg"))
    return [
        {"root": root, "id": name, "aside": i % 3 == 2, "ks": QUICK if quick else K_RANGE}
        for i, name in enumerate(names)
    ]


def evaluate(case: dict[str, Any]) -> list[dict[str, Any]]:
    colour = np.asarray(Picture.open(case["root"] / "images" / f"{case['id']}.jpg").convert("RGB"))
    truths = _truths(case["root"] / "groundTruth" / f"{case['id']}.mat")
    lab = peers.lab(colour)
    found = {
        "Felzenszwalb": [peers.graph_based(colour, s) for s in (100, 200, 300, 500, 800)],
        "SLIC, RAG": peers.superpixels(colour, (10, 20, 30, 40, 60)),
        "k-means, Lab": [peers.kmeans(lab, k) for k in case["ks"]],
        "scikit-learn GMM, Lab": [peers.mixture(lab, k) for k in case["ks"]],
        "gmmseg plain": [peers.ours(colour, k, "plain") for k in case["ks"]],
    }
    for name, ks in (("", case["ks"]), (", k = auto", ("auto",))):
        segmented = [peers.segmented(colour, k, "auto") for k in ks]
        found[f"gmmseg (auto: photo){name}, classes"] = [seg.labels for seg in segmented]
        found[f"gmmseg (auto: photo){name}, regions"] = [seg.regions for seg in segmented]
    return [
        {"method": m, "case": case, "scores": [region_scores(x, truths) for x in maps]}
        for m, maps in found.items()
    ]


def summarise(rows: list[dict[str, Any]]) -> dict[str, float]:
    cube = np.array([row["scores"] for row in rows])
    settings = np.array([pooled(cube[:, i]) for i in range(cube.shape[1])])
    return {
        "covering": float(settings[:, 0].max()),
        "PRI": float(settings[:, 1].max()),
        "VI": float(settings[:, 2].min()),
    }


def _truths(path: Path) -> list[np.ndarray]:
    from scipy.io import loadmat

    cells = loadmat(path)["groundTruth"].ravel()
    return [np.asarray(cell["Segmentation"][0, 0]) for cell in cells]
