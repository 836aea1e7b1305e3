"""Tissues of a brain under simulated noise and bias fields: `gmmseg tissue` and others.

    python scripts/benchmark_tissue.py DATA_DIR --ants PYTHON [--output docs/quality-brain.md]

DATA_DIR holds mni152_nilearn: a T1 template with maps of grey and white matter; the truth is the
most probable of grey matter, white matter and neither. All methods see the same voxels, in the same
mask. gmmseg and Atropos are whole processes that read files, as they would be typed; PYTHON is the
interpreter of an environment that has antspyx. Needs scikit-learn, scikit-image, scipy, nibabel.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import nibabel
import numpy as np
from quality import brain, peers
from quality.scores import dice

#: Noise, kind of field, its range.
CASES = (
    (0.0, "", 0.0),
    (0.03, "", 0.0),
    (0.05, "", 0.0),
    (0.09, "", 0.0),
    (0.0, "coils", 0.2),
    (0.0, "coils", 0.4),
    (0.0, "smooth noise", 0.2),
    (0.0, "smooth noise", 0.4),
    (0.05, "coils", 0.2),
    (0.05, "coils", 0.4),
)

#: Fields of 40 % that gmmseg alone meets: kinds and seeds.
MORE_FIELDS = tuple((kind, seed) for kind in ("coils", "smooth noise") for seed in range(1, 7))

ATROPOS = """
import sys, ants
image, mask = (ants.image_read(path) for path in sys.argv[1:3])
found = ants.atropos(a=image, x=mask, i="kmeans[3]", m="[0.1,1x1x1]", c="[5,0]")
ants.image_write(found["segmentation"], sys.argv[3])
"""

OURS = [sys.executable, "-m", "gmmseg", "tissue"]


def commands(t1: Path, mask: Path, ants: str | None) -> dict[str, tuple[list[str], Path]]:
    """What is typed, and where the labels will be."""
    folder = t1.parent
    found = {
        name: ([*OURS, str(t1), "--mask", str(mask), "-o", f"{folder}/{base}", *more],
               folder / f"{base}_labels.nii.gz")
        for name, base, more in (
            ("gmmseg tissue", "ours", []),
            ("gmmseg tissue --no-bias", "plain", ["--no-bias"]),
        )
    }  # fmt: skip
    if ants:
        labels = folder / "atropos.nii.gz"
        found["Atropos"] = [ants, "-c", ATROPOS, str(t1), str(mask), str(labels)], labels
    return found


def run(words: list[str], labels: Path, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Labels of a command, from 1, dark to bright."""
    subprocess.run(words, check=True, capture_output=True)
    found = np.asarray(nibabel.load(labels).dataobj).astype(int)
    labels.unlink()
    inside = mask & (found > 0)
    full = np.zeros(mask.shape, int)
    full[inside] = brain.ordered(found[inside] - 1, values[inside])
    return full


def scores(found: np.ndarray, truth: np.ndarray) -> list[float]:
    return [dice(found == c, truth == c) for c in (1, 2, 3)]


def rows(
    data: Path, ants: str | None, cases: tuple[tuple[float, str, float], ...]
) -> Iterator[str]:
    for noise, kind, amount in cases:
        values, mask, truth = brain.read(data / "mni152_nilearn", noise, kind, amount)
        inside = values[mask][:, None]
        name = f"{noise:.0%} | {f'{kind} {amount:.0%}' if kind else 'none'}"
        with tempfile.TemporaryDirectory() as folder:
            t1, brain_mask = _written(values, mask, Path(folder))
            for method, (words, labels) in commands(t1, brain_mask, ants).items():
                started = time.perf_counter()
                found = run(words, labels, values, mask)
                seconds = f"{time.perf_counter() - started:.1f}"
                yield _row(name, method, scores(found, truth), seconds)
        for method, peer in (("scikit-learn GMM", peers.mixture), ("k-means", peers.kmeans)):
            found = brain.put_on(mask, brain.ordered(peer(inside, 3), inside))
            yield _row(name, method, scores(found, truth), "")


def lost_to_fields(data: Path) -> Iterator[str]:
    """What a field costs against the scan without one, by `gmmseg tissue`."""
    clean, mask, truth = brain.read(data / "mni152_nilearn", 0.0)
    least = np.array(scores(_by_gmmseg(clean, mask), truth))
    for kind, seed in MORE_FIELDS:
        values, _, _ = brain.read(data / "mni152_nilearn", 0.0, kind, 0.4, seed)
        lost = least - scores(_by_gmmseg(values, mask), truth)
        yield f"| {kind}, {seed} | " + " | ".join(f"{one:.3f}" for one in lost) + " |"


def _by_gmmseg(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        t1, brain_mask = _written(values, mask, Path(folder))
        words, labels = commands(t1, brain_mask, None)["gmmseg tissue"]
        return run(words, labels, values, mask)


def _written(values: np.ndarray, mask: np.ndarray, folder: Path) -> tuple[Path, Path]:
    t1, brain_mask = folder / "t1.nii.gz", folder / "mask.nii.gz"
    for path, data in ((t1, values), (brain_mask, mask.astype(np.uint8))):
        nibabel.Nifti1Image(data, np.eye(4)).to_filename(path)
    return t1, brain_mask


def _row(case: str, method: str, found: list[float], seconds: str) -> str:
    cells = " | ".join(f"{score:.3f}" for score in found)
    return f"| {case} | {method} | {cells} | {np.mean(found):.3f} | {seconds} |"


HEAD = """# Tissues of a brain, against the truth

Written by `scripts/benchmark_tissue.py`; not edited by hand. Dice on the MNI T1 template, all
methods in the same mask. Noise is Rician, its sigma a share of the range of values; the range of a
field over the brain is a share of its mean (three coils, or white noise under a Gaussian of 104
mm). Values are 8 bits, and what is over 255 is cut off. Atropos: `-m [0.1,1x1x1] -c [5,0] -i
kmeans[3]`, without N4 before it, as gmmseg has nothing before it. scikit-learn is fitted on a
sample of 10 000 voxels. Seconds are of whole processes, the volumes read and the labels written,
after one of gmmseg that is not counted.

| noise | field | method | CSF | GM | WM | mean | seconds |
|---|---|---|---|---|---|---|---|
"""


MORE = """
## What a field of 40 % costs

Dice that `gmmseg tissue` loses against the scan without a field, for fields of other seeds, too.

| field | CSF | GM | WM |
|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="DATA_DIR", type=Path)
    parser.add_argument("--ants", metavar="PYTHON", help="leave it out to leave out Atropos")
    parser.add_argument("--quick", action="store_true", help="only the first case")
    parser.add_argument("--output", type=Path, help="write the table as Markdown to this file")
    args = parser.parse_args()
    text = HEAD
    values, mask, _ = brain.read(args.folder / "mni152_nilearn", 0.0)
    _by_gmmseg(values, mask)
    parts = [rows(args.folder, args.ants, CASES[:1] if args.quick else CASES)]
    if not args.quick:
        parts += [iter([MORE]), lost_to_fields(args.folder)]
    for line in chain.from_iterable(parts):
        print(line, flush=True)
        text += line.removesuffix("\n") + "\n"
        if args.output:
            args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
