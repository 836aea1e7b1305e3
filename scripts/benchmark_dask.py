"""EM on clusters of one and two worker processes: time of an iteration, and what travels.

    python scripts/benchmark_dask.py [--mpixels 24] [--output docs/benchmarks-dask.md]

Each worker has one thread. The scene is made on the workers. What travels in an iteration is
counted from the pickled sizes of the mixture that goes out and of the sums that come back.
"""

from __future__ import annotations

import argparse
import itertools
import pickle
import sys
import time
from pathlib import Path

BANDS, K, STEPS = 4, 6, 12


def scene(mpixels: float, chunks: int):
    """A normal scene of four bands, float32, made where it is used."""
    import dask.array as da

    cols = 4096
    rows = int(mpixels * 1e6 / cols)
    random = da.random.default_rng(0)
    noise = random.standard_normal((rows, cols, BANDS), chunks=(-(-rows // chunks), -1, -1))
    place = da.arange(rows, chunks=-(-rows // chunks))[:, None, None] * K // rows
    return (noise + 2.5 * place).astype("float32")


def measured(n_workers: int, array) -> tuple[float, float]:
    """Seconds of an iteration, and of everything before the first, on so many workers."""
    from distributed import Client, LocalCluster

    from gmmseg import distributed
    from gmmseg.mixture import EMOptions
    from gmmseg.options import SegmentOptions

    options = SegmentOptions(em=EMOptions(gap=0.0, tol=0.0, accelerate=False, max_iter=STEPS))
    times: list[float] = []
    with (
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        distributed.fit(array[:64, :64], K, options)  # kernels
        begin = time.perf_counter()
        distributed.fit(array, K, options, callback=lambda *_: times.append(time.perf_counter()))
    steps = sorted(b - a for a, b in itertools.pairwise(times))
    return steps[len(steps) // 2], times[0] - begin


def sizes() -> tuple[int, int]:
    """Bytes of the mixture, and of the sums of a part."""
    import numpy as np

    from gmmseg.mixture import Mixture
    from gmmseg.mixture.rows import Frame
    from gmmseg.mixture.scattered import _Expectation

    mixture = Mixture(
        weights=np.full(K, 1 / K), means=np.zeros((K, BANDS)), covariances=[np.eye(BANDS)] * K
    )
    work = _Expectation(mixture, Frame.identity(BANDS))
    sums = work(np.zeros((10, BANDS), np.float32))
    return len(pickle.dumps(work)), len(pickle.dumps(sums))


def report(mpixels: float, chunks: int) -> str:
    """The table."""
    array = scene(mpixels, chunks)
    (one, first), (two, second) = (measured(n, array) for n in (1, 2))
    out, back = sizes()
    numbers = K * (1 + BANDS + BANDS * (BANDS + 1) // 2) + 1
    parts = 1e12 / 32e6
    return "\n".join(
        [
            "# EM on a cluster",
            "",
            "Written by `scripts/benchmark_dask.py`; not edited by hand.",
            "",
            f"{array.shape[0]} x {array.shape[1]} pixels of {BANDS} bands, float32, {chunks} "
            f"parts, {K} classes with full covariances, all pixels in each iteration; workers of "
            "one thread on one machine of two processors.",
            "",
            "| worker processes | s per iteration | s before the first | speed |",
            "|---|---|---|---|",
            f"| 1 | {one:.3f} | {first:.1f} | 1.0x |",
            f"| 2 | {two:.3f} | {second:.1f} | {one / two:.2f}x |",
            "",
            f"In an iteration each worker gets the mixture, {out} bytes as pickled, and each part "
            f"gives back {numbers} numbers, {back} bytes; they are added eight by eight on the "
            "way, so that one vector reaches the client.",
            "",
            f"Projection: 10^12 pixels in parts of 32 million (512 MB) are {parts:.0f} parts. They "
            f"give back {parts * back / 1e6:.0f} MB in an iteration, most of it between neighbours "
            f"in the tree; the scheduler has about {parts * 8 / 7:.0f} tasks, at some 0.2 ms each "
            f"{parts * 8 / 7 * 2e-4:.0f} s. At the rate above a worker thread takes "
            f"{1e12 / (array.shape[0] * array.shape[1]) * one / 3600:.0f} hours for an iteration, "
            "a thousand of them a thousandth of it. The fit by a sample (`--gap`) needs a few such "
            "iterations instead of dozens.",
        ]
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mpixels", type=float, default=24.0)
    parser.add_argument("--parts", type=int, default=16)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    text = report(args.mpixels, args.parts)
    print(text)
    if args.output:
        args.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
