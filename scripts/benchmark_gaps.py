"""EM on rows with gaps against the same rows without, in one process.

    python scripts/benchmark_gaps.py [--output docs/benchmarks-gaps.md]

Two million rows of float32, of which a fifth lacks some features, in seven patterns (six of three
features). Times are the best of several iterations (E-step and M-step), taken in turn with those
of the complete rows.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from gmmseg.mixture import Mixture
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.missing import e_step
from gmmseg.mixture.patterns import rows_of

N_ROWS = 2_000_000
REPEATS = 15


def make_mixture(n_features: int, k: int, covariance_type: str) -> Mixture:
    """Components that overlap."""
    rng = np.random.default_rng(n_features + k)
    full = np.stack([np.eye(n_features) * (j + 1) + 0.3 for j in range(k)])
    return Mixture(
        weights=np.full(k, 1 / k),
        means=rng.normal(size=(k, n_features)) * 2,
        covariances=full if covariance_type == "full" else np.diagonal(full, axis1=1, axis2=2),
        covariance_type=covariance_type,
    )


def with_gaps(rows: np.ndarray) -> np.ndarray:
    """A fifth of the rows with one of at most seven patterns of gaps."""
    rng = np.random.default_rng(0)
    n, n_features = rows.shape
    patterns = 1 + rng.permutation(2**n_features - 2)[:7]  # bits of the missing features
    which = np.where(rng.random(n) < 0.2, patterns[rng.integers(0, len(patterns), n)], 0)
    rows = rows.copy(order="K")
    for d, column in enumerate(rows.T):
        column[which >> d & 1 == 1] = np.nan
    return rows


def seconds(sets: list, mixture: Mixture, workers: Workers) -> list[float]:
    """Seconds of an iteration over each of the sets."""
    best = [float("inf")] * len(sets)
    ridge = np.zeros(mixture.n_features)
    for _ in range(REPEATS):
        for i, rows in enumerate(sets):
            begin = time.perf_counter()
            e_step(rows, mixture, workers).m_step(mixture, ridge)
            best[i] = min(best[i], time.perf_counter() - begin)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the table as Markdown to this file")
    args = parser.parse_args()
    lines = [
        "| covariance | K | D | complete, ms per million rows | with gaps | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for covariance_type in ("full", "diag"):
        for n_features, k in ((3, 3), (3, 5), (6, 3), (6, 5)):
            mixture = make_mixture(n_features, k, covariance_type)
            X = np.asfortranarray(mixture.sample(N_ROWS, 1)[0].astype(np.float32))
            frame = mixture._frame
            with Workers() as workers:
                sets = [rows_of(rows, None, frame) for rows in (X, with_gaps(X))]
                for rows in sets:
                    rows.preload(workers)
                complete, gapped = seconds(sets, mixture.in_frame(frame), workers)
            unit = 1e3 / (N_ROWS / 1e6)
            lines.append(
                f"| {covariance_type} | {k} | {n_features} | {complete * unit:.2f} "
                f"| {gapped * unit:.2f} | **{gapped / complete:.2f}x** |"
            )
            print(lines[-1], flush=True)
    if args.output:
        title = "# Rows with gaps\n\nWritten by `scripts/benchmark_gaps.py`; not edited by hand."
        args.output.write_text(title + "\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
