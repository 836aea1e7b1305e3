"""Nuclei under the microscope: 60 images, two classes, Dice of the foreground."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from quality import peers
from quality.scores import dice

NAME = "nuclei (dsb2018, k = 2, Dice of the foreground)"
GROUPS = ("fluorescence", "colour", "brightfield-grey")


def cases(folder: Path) -> list[dict[str, Any]]:
    """Every third image of each kind, by name, is kept aside."""
    root = folder / "dsb2018"
    with (root / "index.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["modality"], row["id"]))
    seen = dict.fromkeys(GROUPS, 0)
    found = []
    for row in rows:
        kind = row["modality"]
        found.append({"root": root, "id": row["id"], "kind": kind, "aside": seen[kind] % 3 == 2})
        seen[kind] += 1
    return found


def evaluate(case: dict[str, Any]) -> list[dict[str, Any]]:
    picture = Picture.open(next(case["root"].glob(f"images/{case['id']}*"))).convert("RGB")
    truth = np.asarray(Picture.open(case["root"] / "labels" / f"{case['id']}.png")) > 0
    colour, grey = np.asarray(picture), np.asarray(picture.convert("L"))
    labels = {
        "Otsu, grey": peers.otsu(grey),
        "k-means, grey": peers.kmeans(grey[..., None], 2),
        "scikit-learn GMM, grey": peers.mixture(grey[..., None], 2),
        "gmmseg plain": peers.ours(colour, 2, "plain"),
        "gmmseg (auto)": peers.ours(colour, 2, "auto"),
        "gmmseg --preset microscopy": peers.ours(colour, 2, "microscopy"),
    }
    return [
        {"method": m, "case": case, "scores": (dice(lesser(found), truth),)}
        for m, found in labels.items()
    ]


def summarise(rows: list[dict[str, Any]]) -> dict[str, float]:
    values = {kind: [r["scores"][0] for r in rows if r["case"]["kind"] == kind] for kind in GROUPS}
    every = [v for of_kind in values.values() for v in of_kind]
    return {kind: float(np.mean(v)) for kind, v in values.items() if v} | {
        "all": float(np.mean(every))
    }


def lesser(labels: np.ndarray) -> np.ndarray:
    """The class of the lesser area is the foreground: no truth is needed to say so."""
    second = labels == labels.max()
    return second if second.mean() <= 0.5 else ~second
