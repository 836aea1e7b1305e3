"""Smoothing on a 12-megapixel image, against box blurs of the same planes by OpenCV in one run.

    python scripts/benchmark_smoothing.py [--output docs/benchmarks-smoothing.md] [--volume FILE]

Five sweeps read every neighbour of every pixel as five 3x3 box blurs of the K planes do, and take K
exponentials and a division for each pixel besides. The floor is the memory: a sweep reads K planes
of the posterior and K of probabilities, and writes K. Times are the best of several, one after the
other in the same process. With --volume, a brain volume (voxels over 0 are used; needs nibabel) is
fitted with the field inside, to rest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import gmmseg
from gmmseg import EMOptions, SegmentOptions, SmoothingOptions
from gmmseg.lattice import Lattice, Prior
from gmmseg.mixture._threads import Workers

ROWS, COLUMNS, SWEEPS = 2828, 4243, 5
HEAD = "| what | seconds | of the blurs | of the copies |\n|---|---|---|---|"


def best(work: Callable[[], Any], times: int = 5) -> float:
    """The least seconds of several runs, after one to warm up."""
    work()
    found = float("inf")
    for _ in range(times):
        begin = time.perf_counter()
        work()
        found = min(found, time.perf_counter() - begin)
    return found


def odds(k: int) -> np.ndarray:
    """log2 of the posterior of `k` classes in bands under strong noise, (k, 1, rows, columns)."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(k), -(-ROWS // k))[:ROWS, None]
    x = truth + 0.7 * rng.standard_normal((ROWS, COLUMNS), dtype=np.float32)
    return np.stack([-((x - j) ** 2) / 0.98 / np.log(2) for j in range(k)])[:, None].astype("f4")


def image_table(k: int) -> Iterator[str]:
    import cv2

    unary = odds(k)
    planes, blurred = [u[0] for u in unary], np.empty((ROWS, COLUMNS), np.float32)
    spare = np.empty_like(unary)

    def blur() -> None:
        for _ in range(SWEEPS):
            for plane in planes:
                cv2.blur(plane, (3, 3), dst=blurred)

    def copy() -> None:
        for _ in range(SWEEPS):
            np.copyto(spare, unary)

    blurs, copies = best(blur), best(copy)
    yield f"| five 3x3 box blurs of {k} planes, OpenCV | {blurs:.3f} | 1x | {blurs / copies:.1f}x |"
    yield f"| five copies of {k} planes, NumPy | {copies:.3f} | {copies / blurs:.1f}x | 1x |"
    prior = Prior(beta=1.0, field=np.zeros(k, np.float32))
    cases: dict[str, dict[str, Any]] = {
        "8 neighbours": {},
        "4 neighbours": {"neighbours": 4},
        "8 neighbours, ICM": {"hard": True},
        "8 neighbours, ties weakened by edges": {"contrast": 1.0},
        "8 neighbours, 1 thread": {"threads": 1},
    }
    for name, case in cases.items():
        with Workers(case.get("threads")) as workers:
            lattice = Lattice((ROWS, COLUMNS), workers, neighbours=case.get("neighbours"))
            lattice.weaken(unary[:1], case.get("contrast", 0.0))
            q = lattice.start(unary)

            def sweeps(lattice: Lattice = lattice, q: Any = q, case: Any = case) -> None:
                for _ in range(SWEEPS):
                    lattice.sweep(unary, q, prior, hard=case.get("hard", False))

            seconds = best(sweeps)
        ratios = f"{seconds / blurs:.1f}x | {seconds / copies:.1f}x"
        yield f"| {SWEEPS} sweeps, {k} classes, {name} | {seconds:.3f} | {ratios} |"


def volume_table(path: Path) -> Iterator[str]:
    import nibabel

    values = nibabel.load(path).get_fdata(dtype=np.float32)
    grey = np.clip(values / values.max() * 255, 0, 255).astype(np.uint8)
    for name, inside in (("EM, then sweeps to rest", False), ("EM with the field inside", True)):
        options = SegmentOptions(
            em=EMOptions(covariance_type="tied"),
            smoothing=SmoothingOptions(beta=0.3, inside=inside, sweeps=50),
        )

        def run(options: SegmentOptions = options) -> gmmseg.Segmentation:
            found = gmmseg.segment(grey, 3, options, mask=values > 0, axes="ZYX")
            _ = found.labels
            return found

        seconds, found = best(run, 3), run()
        n_iter = found.model.provenance.get("random_field", {}).get("n_iter", 0)
        yield f"| {name} | {seconds:.2f} | {n_iter} | {found.to_dict()['smoothing']['sweeps']} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the tables as Markdown to this file")
    parser.add_argument("--volume", type=Path, help="a brain volume that nibabel reads")
    args = parser.parse_args()
    lines = ["# Smoothing", "", "Written by `scripts/benchmark_smoothing.py`; not edited by hand."]
    lines += ["", f"## {ROWS * COLUMNS / 1e6:.0f} megapixels, float32", "", *HEAD.split("\n")]
    for k in (3, 8):
        lines += image_table(k)
    if args.volume:
        lines += ["", f"## {args.volume.name}, 3 classes, 26 neighbours, tied covariances", ""]
        lines += ["| what | seconds | EM iterations | sweeps afterwards |", "|---|---|---|---|"]
        lines += volume_table(args.volume)
    text = "\n".join(lines) + "\n"
    print(text)
    if args.output:
        args.output.write_text(text)


if __name__ == "__main__":
    main()
