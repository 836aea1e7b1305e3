"""EM on clusters of one and two worker processes and in one: time of an iteration, what travels.

    python scripts/benchmark_dask.py [--mpixels 12] [--output docs/benchmarks-dask.md]

Each worker has one thread. The scene is made on the workers. What travels in an iteration is
counted from the pickled sizes of the mixture that goes out and of the sums that come back.
"""

from __future__ import annotations

import argparse
import itertools
import pickle
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

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


def options():
    """So many iterations over all pixels, none of them a leap."""
    from gmmseg.feature_spec import FeatureSpec
    from gmmseg.mixture import EMOptions
    from gmmseg.options import SegmentOptions

    em = EMOptions(gap=0.0, tol=0.0, accelerate=False, max_iter=STEPS)
    return SegmentOptions(features=FeatureSpec(gaps="drop"), em=em)


class Run(NamedTuple):
    """Seconds of an iteration (the median), of all before the first, and what was found."""

    step: float
    before: float
    model: Any


def timed(fit) -> Run:
    """`fit` is given a callback."""
    times: list[float] = []
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it cannot converge in so few
        model = fit(lambda *_: times.append(time.perf_counter()))
    steps = sorted(b - a for a, b in itertools.pairwise(times))
    return Run(steps[len(steps) // 2], times[0] - begin, model)


def on_workers(n_workers: int, array) -> Run:
    """On a cluster of so many processes."""
    from distributed import Client, LocalCluster

    from gmmseg import distributed

    with (
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        timed(lambda callback: distributed.fit(array[:64, :64], K, options(), callback=callback))
        return timed(lambda callback: distributed.fit(array, K, options(), callback=callback))


def in_one_process(threads: int, image) -> Run:
    """In memory."""
    import gmmseg

    return timed(
        lambda callback: gmmseg.fit([image], K, options(), threads=threads, callback=callback)
    )


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
    import numpy as np

    from gmmseg.image import Image

    array = scene(mpixels, chunks)
    image = Image.from_array(array.compute(), axes="YXC")
    in_one_process(1, Image.from_array(image.data[:64, :64], axes="YXC"))  # kernels
    runs = {
        "this process, 1 thread": in_one_process(1, image),
        "this process, 2 threads": in_one_process(2, image),
        "cluster, 1 worker": on_workers(1, array),
        "cluster, 2 workers": on_workers(2, array),
    }
    first = runs["this process, 1 thread"]
    apart = max(
        float(np.abs(run.model.mixture.means - first.model.mixture.means).max())
        for run in runs.values()
    )
    rows = [
        f"| {name} | {run.step:.3f} | {run.before:.1f} | {first.step / run.step:.2f}x |"
        for name, run in runs.items()
    ]
    out, back = sizes()
    numbers = K * (1 + BANDS + BANDS * (BANDS + 1) // 2) + 1
    parts, pixels = 1e12 / 32e6, array.shape[0] * array.shape[1]
    hours = 1e12 / pixels * runs["cluster, 1 worker"].step / 3600
    return "\n".join(
        [
            "# EM on a cluster",
            "",
            "Written by `scripts/benchmark_dask.py`; not edited by hand.",
            "",
            f"{array.shape[0]} x {array.shape[1]} pixels of {BANDS} bands, float32, {chunks} "
            f"parts, {K} classes with full covariances, {STEPS} iterations over all pixels; "
            "workers of one thread, all on one machine of two processors, where the client and the "
            "scheduler want their share as well. Before the first iteration a cluster makes the "
            "scene; in this process it is there. The means that the four runs have found differ by "
            f"at most {apart:.1e}.",
            "",
            "| where | s per iteration | s before the first | speed |",
            "|---|---|---|---|",
            *rows,
            "",
            f"In an iteration each worker gets the mixture, {out} bytes as pickled, and each part "
            f"gives back {numbers} numbers, {back} bytes; they are added eight by eight on the "
            "way, so that one vector reaches the client.",
            "",
            f"Projection: 10^12 pixels in parts of 32 million (512 MB) are {parts:.0f} parts. They "
            f"give back {parts * back / 1e6:.0f} MB in an iteration, most of it between neighbours "
            f"in the tree; the scheduler has about {parts * 8 / 7:.0f} tasks, at some 0.2 ms each "
            f"{parts * 8 / 7 * 2e-4:.0f} s. At the rate above a worker thread takes {hours:.1f} "
            f"hours for an iteration, a thousand of them {hours * 3.6:.0f} s. The fit by a sample "
            "(`--gap`) needs a few such iterations instead of dozens.",
        ]
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mpixels", type=float, default=12.0)
    parser.add_argument("--parts", type=int, default=16)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    text = report(args.mpixels, args.parts)
    print(text)
    if args.output:
        args.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
