"""gmmseg.sklearn.GaussianMixture against scikit-learn's, fit and predict, in one process.

    python scripts/benchmark_sklearn.py [--output docs/benchmarks-sklearn.md]

Both get the same parameters, scikit-learn's defaults but for the number of components. The two
take turns; the best of several repeats is taken. Needs the `sklearn` extra.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from benchmark_em import machine
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture as Theirs

from gmmseg.sklearn import GaussianMixture as Ours


def clusters(n: int, n_features: int, k: int) -> np.ndarray:
    """Overlapping clusters of different widths, float64."""
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(k, n_features)) * 2.5
    widths = rng.uniform(0.5, 1.5, (k, n_features))
    chosen = rng.integers(0, k, n)
    return centres[chosen] + widths[chosen] * rng.normal(size=(n, n_features))


CASES = (
    ("iris", load_iris().data, {"n_components": 3}, 20),
    ("iris", load_iris().data, {"n_components": 3, "covariance_type": "diag"}, 20),
    ("clusters", clusters(2_000, 3, 5), {"n_components": 5}, 10),
    ("clusters", clusters(100_000, 3, 5), {"n_components": 5}, 3),
    ("clusters", clusters(1_000_000, 3, 5), {"n_components": 5}, 2),
    ("clusters", clusters(1_000_000, 3, 5), {"n_components": 5, "covariance_type": "diag"}, 2),
)


def seconds(run) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def best_of(repeats: int, *runs) -> list[float]:
    """Best time of each, taking turns."""
    runs[0]()  # compiles
    rounds = [[seconds(run) for run in runs] for _ in range(repeats)]
    return np.min(rounds, axis=0).tolist()


def row(name: str, X: np.ndarray, parameters: dict, repeats: int) -> str:
    """One line of the table."""
    ours, theirs = (cls(random_state=0, **parameters) for cls in (Ours, Theirs))
    fit = best_of(repeats, lambda: ours.fit(X), lambda: theirs.fit(X))
    predict = best_of(repeats, lambda: ours.predict(X), lambda: theirs.predict(X))
    kind = parameters.get("covariance_type", "full")
    return (
        f"| {name} {len(X)} x {X.shape[1]} | {parameters['n_components']}, {kind} "
        f"| {1e3 * fit[0]:.1f} ({ours.n_iter_}) | {1e3 * fit[1]:.1f} ({theirs.n_iter_}) "
        f"| **{fit[1] / fit[0]:.1f}x** | {1e3 * predict[0]:.2f} | {1e3 * predict[1]:.2f} "
        f"| {predict[1] / predict[0]:.1f}x | {ours.score(X):.6f} / {theirs.score(X):.6f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the table as Markdown to this file")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    text = [
        "# GaussianMixture: gmmseg against scikit-learn",
        "",
        "Written by `scripts/benchmark_sklearn.py`; not edited by hand. Milliseconds, with the",
        "number of iterations in brackets; start included.",
        "",
        machine(),
        "",
        "| rows | K, covariance | fit, gmmseg | fit, scikit-learn | ratio | predict, gmmseg "
        "| predict, scikit-learn | ratio | mean log-likelihood, ours / theirs |",
        "|---" * 9 + "|",
    ]
    print("\n".join(text))
    for case in CASES:
        text.append(row(*case))
        print(text[-1], flush=True)
    if args.output:
        args.output.write_text("\n".join([*text, ""]))


if __name__ == "__main__":
    main()
