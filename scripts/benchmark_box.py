"""Objects in boxes: mean intersection over union and time, beside OpenCV's grabCut.

    python scripts/benchmark_box.py DATA_DIR [--output docs/quality-box.md]

DATA_DIR holds dsb2018 (microscopy: images/, labels/) and bsds_train (photos: images/,
groundTruth/). Of each image one object: the second largest nucleus, and of the first human's
regions the largest of 2 to 40 % of the photo whose box takes less than 60 %. Boxes are grown by 5
pixels on each side. grabCut runs 5 iterations; gmmseg has its defaults.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.io import loadmat

import gmmseg

GROWN = 5
Case = tuple[np.ndarray, np.ndarray]
Box = tuple[int, int, int, int]


def box_around(truth: np.ndarray) -> Box:
    rows, cols = np.nonzero(truth)
    top, left = max(rows.min() - GROWN, 0), max(cols.min() - GROWN, 0)
    bottom, right = rows.max() + GROWN + 1, cols.max() + GROWN + 1
    height, width = min(bottom, truth.shape[0]) - top, min(right, truth.shape[1]) - left
    return int(left), int(top), int(width), int(height)


def picture(path: Path) -> np.ndarray:
    return np.array(Image.open(path).convert("RGB"))


def nuclei(folder: Path) -> Iterator[Case]:
    for path in sorted((folder / "dsb2018/images").iterdir()):
        labels = np.array(Image.open(folder / "dsb2018/labels" / path.name))
        numbers, sizes = np.unique(labels[labels > 0], return_counts=True)
        yield picture(path), labels == numbers[np.argsort(sizes, kind="stable")[-2:][0]]


def regions(folder: Path) -> Iterator[Case]:
    for path in sorted((folder / "bsds_train/images").iterdir()):
        truth = loadmat(folder / f"bsds_train/groundTruth/{path.stem}.mat")["groundTruth"]
        labels = truth[0, 0]["Segmentation"][0, 0]
        sizes = [(int((labels == j).sum()), j) for j in np.unique(labels)]
        for size, j in sorted(sizes, reverse=True):
            box = box_around(labels == j)
            if 0.02 < size / labels.size < 0.4 and box[2] * box[3] < 0.6 * labels.size:
                yield picture(path), labels == j
                break


def by_gmmseg(image: np.ndarray, box: Box) -> np.ndarray:
    return gmmseg.segment(image, box=box).labels == 2


def by_opencv(image: np.ndarray, box: Box) -> np.ndarray:
    cv2.setRNGSeed(0)
    mask, models = np.zeros(image.shape[:2], np.uint8), np.zeros((2, 1, 65))
    bgr = np.ascontiguousarray(image[..., ::-1])
    cv2.grabCut(bgr, mask, box, *models, 5, cv2.GC_INIT_WITH_RECT)
    return (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)


METHODS = {"gmmseg": by_gmmseg, "OpenCV grabCut": by_opencv}
SETS = {"dsb2018 nuclei": nuclei, "BSDS regions": regions}


def measured(cases: list[Case]) -> dict[str, np.ndarray]:
    """Intersection over union and seconds of every case, (n, 2), by method."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    for image, truth in cases:
        for name, method in METHODS.items():
            start = time.perf_counter()
            mask = method(image, box_around(truth))
            seconds = time.perf_counter() - start
            found[name].append(((mask & truth).sum() / (mask | truth).sum(), seconds))
    return {name: np.array(values) for name, values in found.items()}


def report(folder: Path) -> list[str]:
    by_gmmseg(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), (16, 16, 32, 32))
    lines = ["| set | boxes | method | mean IoU | even half | odd half | mean seconds |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, cases in SETS.items():
        for method, values in measured(list(cases(folder))).items():
            overlap = values[:, 0]
            means = (overlap.mean(), overlap[::2].mean(), overlap[1::2].mean())
            numbers = " | ".join(f"{value:.3f}" for value in means)
            seconds = values[:, 1].mean()
            lines.append(f"| {name} | {len(values)} | {method} | {numbers} | {seconds:.2f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    lines = report(args.data)
    print("\n".join(lines))
    if args.output:
        head = ["# Objects in boxes", "", *(__doc__ or "").split("\n\n")[2].strip().split("\n"), ""]
        args.output.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
