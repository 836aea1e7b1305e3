"""Many small images: `gmmseg batch` on all CPUs and on one, against a plain loop of scikit-learn.

    python scripts/benchmark_batch.py [--images 300] [--peer-images 6] [--output FILE.md]

The images are 256 x 256 parts of the sample photo of changing exposure with noise, as PNG. Each is
read, fitted with three classes, and its label map and overlay are written. Times of `gmmseg batch`
are those of whole processes, start and tables included, best of three. The loop reads and writes by
Pillow and fits `GaussianMixture(3)` as it is, on all pixels; starting Python and importing are not
counted. It runs over fewer images, because of the time it takes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SAMPLE = Path(__file__).parents[1] / "sample_images" / "photo.jpg"
SIDE, K = 256, 3
COLOURS = np.array([[68, 1, 84], [33, 145, 140], [253, 231, 37]], np.float32)


def make_images(folder: Path, n: int) -> None:
    """Parts of the photo with exposures from 0.8 to 1.2 and noise."""
    from gmmseg.io import read_image, write_png

    photo = read_image(SAMPLE).data.astype(np.float32)
    rng = np.random.default_rng(0)
    for number in range(n):
        y, x = (int(rng.integers(0, size - SIDE + 1)) for size in photo.shape[:2])
        part = photo[y : y + SIDE, x : x + SIDE] * rng.uniform(0.8, 1.2)
        part = part + rng.normal(0, 2, part.shape)
        write_png(folder / f"i{number:04d}.png", np.rint(part.clip(0, 255)).astype(np.uint8))


def best(work: Callable[[], object], times: int) -> float:
    """The least seconds of several runs."""
    found = float("inf")
    for _ in range(times):
        begin = time.perf_counter()
        work()
        found = min(found, time.perf_counter() - begin)
    return found


def batch(folder: Path, output: Path, *words: str) -> None:
    """A whole process over all images."""
    command = [sys.executable, "-m", "gmmseg", "batch", str(folder), "-o", str(output)]
    subprocess.run([*command, "-k", str(K), "-q", "--overwrite", *words], check=True)


def loop(paths: list[Path], output: Path) -> None:
    """What a user of scikit-learn and Pillow writes."""
    from PIL import Image
    from sklearn.mixture import GaussianMixture

    for path in paths:
        pixels = np.asarray(Image.open(path)).reshape(-1, 3).astype(np.float64)
        mixture = GaussianMixture(K, random_state=0).fit(pixels)
        order = np.argsort(np.argsort(mixture.means_[:, 0]))
        labels = order[mixture.predict(pixels)].reshape(SIDE, SIDE)
        Image.fromarray((labels + 1).astype(np.uint8)).save(output / f"{path.stem}_labels.png")
        overlay = 0.5 * pixels.reshape(SIDE, SIDE, 3) + 0.5 * COLOURS[labels]
        Image.fromarray(overlay.astype(np.uint8)).save(output / f"{path.stem}_overlay.png")


def table(n: int, n_peer: int, modes: tuple[str, ...]) -> str:
    """The figures as Markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder, output, other = (Path(name, part) for part in ("in", "out", "peer"))
        for place in (folder, other):
            place.mkdir()
        make_images(folder, n)
        paths = sorted(folder.iterdir())
        plain = ("--preset", "plain")  # what the loop does, too
        batch(folder, output)  # compiles what is not compiled yet
        batch(folder, output, *plain)
        cpus = len(os.sched_getaffinity(0))
        one = ("--jobs", "1", "--threads", "1")
        rates = {
            f"`gmmseg batch --preset plain`, {cpus} jobs": n
            / best(lambda: batch(folder, output, *plain), 3),
            "`gmmseg batch --preset plain --jobs 1`": n
            / best(lambda: batch(folder, output, *plain, *one), 2),
            f"`gmmseg batch` (preset photo), {cpus} jobs": n
            / best(lambda: batch(folder, output), 2),
        }
        for mode in modes:
            seconds = best(lambda mode=mode: batch(folder, output, "--mode", mode), 1)
            rates[f"`gmmseg batch --mode {mode}`, {cpus} jobs"] = n / seconds
        loop(paths[:1], other)
        peer = n_peer / best(lambda: loop(paths[:n_peer], other), 1)
    rates["loop of scikit-learn and Pillow"] = peer
    lines = [f"| {what} | {rate:.1f} | {rate / peer:.1f}x |" for what, rate in rates.items()]
    return "\n".join(["| what | images a second | of the loop |", "|---|---|---|", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--peer-images", type=int, default=6)
    parser.add_argument("--modes", nargs="*", default=["pooled", "drift", "independent"])
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    found = table(args.images, args.peer_images, tuple(args.modes))
    print(found)
    if args.output is not None:
        head = (
            "# Many images\n\nWritten by `scripts/benchmark_batch.py`; not edited by hand.\n\n"
            f"{args.images} colour images of {SIDE} x {SIDE} pixels: read, fitted with {K} "
            "classes, label map and overlay\nwritten. Processes of gmmseg from start to end; "
            f"the loop ran over {args.peer_images}.\n\n"
        )
        args.output.write_text(head + found + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
