"""EM against scikit-learn in one run: same data, same start, same number of iterations.

    python scripts/benchmark_em.py [--quick] [--output docs/benchmarks.md]

Times of an iteration are differences between runs of different length, so that starts and
conversions do not count; every method runs alone, in a process of its own, and the best of
several repeats is taken. Needs the `test` extra (scikit-learn). `--opencv` and `--torch` name
Python interpreters of environments with `opencv-contrib-python<5` and with `torch`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from machine_ceilings import ceilings
from startup_times import start_table

_COMPARED = 5  # iterations, after which likelihoods are compared
COVARIANCES = ("full", "tied", "diag", "spherical")


def make_rows(n: int, n_features: int, k: int, dtype: str) -> np.ndarray:
    """Overlapping Gaussian clusters in the range of 8-bit colours, row-major."""
    rng = np.random.default_rng(n_features * 100 + k)
    means = rng.uniform(40, 215, (k, n_features))
    spreads = rng.uniform(10, 30, (k, n_features))
    labels = rng.integers(0, k, n)
    rows = rng.standard_normal((n, n_features), dtype=np.float32)
    rows *= spreads[labels].astype(np.float32)
    rows += means[labels].astype(np.float32)
    return rows.astype(dtype)


def make_start(rows: np.ndarray, k: int, covariance: str):
    """The same start for everyone: one EM step from k-means on a part of the rows."""
    from gmmseg.mixture import fit_mixture

    part = rows[:: max(1, len(rows) // 20000)].astype(np.float64)
    warnings.simplefilter("ignore")  # one step is what is wanted
    return fit_mixture(part, k, covariance_type=covariance, max_iter=1, tol=0, threads=1).mixture


def timed(run, n_short: int, n_long: int, repeats: int) -> float:
    """Seconds per iteration: the difference of a long and a short run, best of `repeats`."""
    best = {n: float("inf") for n in (n_short, n_long)}
    run(1)
    for _ in range(repeats):
        for n in best:
            begin = time.perf_counter()
            run(n)
            best[n] = min(best[n], time.perf_counter() - begin)
    return (best[n_long] - best[n_short]) / (n_long - n_short)


def child_gmmseg(case: dict) -> dict:
    from gmmseg.mixture import fit_mixture

    rows = make_rows(case["n"], case["d"], case["k"], case["dtype"])
    start = make_start(rows, case["k"], case["covariance"])

    def run(n_iter: int, threads: int | None = None):
        return fit_mixture(
            rows, case["k"], covariance_type=case["covariance"], init=start,
            max_iter=n_iter, tol=0, reg_covar=0, gap=0, accelerate=False, threads=threads,
        )  # fmt: skip

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = timed(run, 2, 2 + case["iterations"], case["repeats"])
    fit = run(_COMPARED)
    return {
        "seconds": seconds,
        "seconds_1": timed(lambda n: run(n, 1), 2, 2 + case["iterations"], case["repeats"]),
        "log_likelihood": fit.log_likelihood / len(rows),
        "added_memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024,
        "same_bits": run(5, 1).log_likelihood == run(5, 2).log_likelihood,
    }


def child_sklearn(case: dict) -> dict:
    from sklearn.mixture import GaussianMixture

    rows = make_rows(case["n"], case["d"], case["k"], case["dtype"])
    start = make_start(rows, case["k"], case["covariance"])
    variances = start.covariances
    precisions = (
        np.linalg.inv(variances) if case["covariance"] in ("full", "tied") else 1 / variances
    )

    def run(n_iter: int):
        return GaussianMixture(
            case["k"], covariance_type=case["covariance"], tol=0, max_iter=n_iter, reg_covar=0,
            weights_init=start.weights, means_init=start.means, precisions_init=precisions,
            init_params="random_from_data",  # or it would run k-means first, and not use it
        ).fit(rows)  # fmt: skip

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = timed(run, 1, 1 + max(2, case["iterations"] // 10), max(1, case["repeats"] // 2))
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    fit = run(_COMPARED) if case["likelihood"] else None
    return {
        "seconds": seconds,
        "log_likelihood": None if fit is None else float(fit.score(rows)),
        "added_memory": added,
    }


def child_opencv(case: dict) -> dict:
    """OpenCV's EM has no single iterations either: the difference of a long and a short run."""
    import cv2

    rows = make_rows(case["n"], case["d"], case["k"], case["dtype"])
    start = {name: np.array(values) for name, values in case["start"].items()}

    def run(n_iter: int):
        model = cv2.ml.EM_create()
        model.setClustersNumber(case["k"])
        model.setCovarianceMatrixType(cv2.ml.EM_COV_MAT_GENERIC)
        model.setTermCriteria((cv2.TERM_CRITERIA_MAX_ITER, n_iter, 0))
        model.trainE(rows, start["means"])  # its Python binding takes no covariances

    return {"seconds": timed(run, 1, 3, 2)}


def child_torch(case: dict) -> dict:
    """EM by hand, as one writes it with PyTorch: matrices of N x K, float32."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    x = torch.from_numpy(make_rows(case["n"], case["d"], case["k"], case["dtype"]))
    start = {
        name: torch.tensor(values, dtype=torch.float32) for name, values in case["start"].items()
    }

    def run(n_iter: int):
        weights, means, covariances = start["weights"], start["means"], start["covariances"]
        for _ in range(n_iter):
            normal = torch.distributions.MultivariateNormal(means, covariances)
            resp = torch.softmax(normal.log_prob(x[:, None]) + weights.log(), dim=1)
            nk = resp.sum(0)
            means = resp.T @ x / nk[:, None]
            centred = [(x - mean) * resp[:, k, None].sqrt() for k, mean in enumerate(means)]
            covariances = torch.stack([c.T @ c for c in centred]) / nk[:, None, None]
            weights = nk / len(x)

    with torch.no_grad():
        return {"seconds": timed(run, 1, 4, 2)}


CHILDREN = {
    "gmmseg": child_gmmseg,
    "sklearn": child_sklearn,
    "opencv": child_opencv,
    "torch": child_torch,
}


def in_child(method: str, case: dict, python: str = sys.executable) -> dict:
    """Run one method in a process of its own, with BLAS on all cores as by default."""
    command = [python, __file__, "--child", method, json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{method} failed on {case}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def peer_table(pythons: dict[str, str | None]) -> list[str]:
    """Other programs, each in an environment of its own: K = 3, D = 3, full."""
    n = 400_000
    case = {"n": n, "k": 3, "d": 3, "covariance": "full", "dtype": "float32", "iterations": 30,
            "repeats": 5, "likelihood": False}  # fmt: skip
    start = make_start(make_rows(n, 3, 3, "float32"), 3, "full")
    given = {name: getattr(start, name).tolist() for name in ("weights", "means", "covariances")}
    seconds = in_child("gmmseg", case)["seconds"]
    lines = ["| program | ms per Mpixel and iteration | of gmmseg |", "|---|---|---|"]
    lines.append(f"| gmmseg | {seconds / n * 1e9:.2f} | 1 |")
    for name, python in pythons.items():
        if python:
            took = in_child(name, {**case, "start": given}, python)["seconds"]
            lines.append(f"| {name} | {took / n * 1e9:.0f} | **{took / seconds:.0f}x** |")
    for line in lines[2:]:
        print(line, flush=True)
    return lines


def scaling_table() -> list[str]:
    """From ten thousand to a hundred million rows: the cost must grow linearly."""
    lines = ["| rows | ms per Mpixel and iteration | memory added, MB |", "|---|---|---|"]
    for n in (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000):
        case = {"n": n, "k": 3, "d": 3, "covariance": "full", "dtype": "float32",
                "iterations": 30 if n < 10_000_000 else 4, "repeats": 5 if n < 10_000_000 else 2,
                "likelihood": False}  # fmt: skip
        found = in_child("gmmseg", case)
        lines.append(
            f"| {n} | {found['seconds'] / n * 1e9:.2f} | {found['added_memory'] / 2**20:.0f} |"
        )
        print(lines[-1], flush=True)
    return lines


def arithmetic_table(n: int) -> list[str]:
    """Operations and bytes of an iteration, and the share of the machine's ceilings reached."""
    peak, bandwidth = ceilings()
    lines = [
        f"Measured ceilings, both cores: {peak / 1e9:.0f} Gflop/s of float32 multiply-adds in "
        f"registers, {bandwidth / 1e9:.1f} GB/s read from memory.",
        "",
        "| K | D | operations per row | bytes per row | Gflop/s | of the ceiling "
        "| GB/s | of the ceiling |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for k, d in ((3, 1), (3, 3), (8, 3), (16, 3), (5, 13)):
        case = {"n": n, "k": k, "d": d, "covariance": "full", "dtype": "float32",
                "iterations": 20, "repeats": 3, "likelihood": False}  # fmt: skip
        seconds = in_child("gmmseg", case)["seconds"] / n
        # whitening and its squares, exponential, moments; multiply and add count as two
        operations = k * (d * (d + 1) + 3 * d + 20 + 2 + 3 * d + d * (d + 1)) + 30
        rate, bytes_per_second = operations / seconds, 4 * d / seconds
        lines.append(
            f"| {k} | {d} | {operations} | {4 * d} | {rate / 1e9:.0f} | {rate / peak:.0%} "
            f"| {bytes_per_second / 1e9:.1f} | {bytes_per_second / bandwidth:.0%} |"
        )
        print(lines[-1], flush=True)
    return lines


def iteration_table(n: int, quick: bool) -> list[str]:
    """The table of times per iteration, as lines of Markdown."""
    cases = [("full", 3, 3), ("full", 8, 3)]
    if not quick:
        cases += [("full", 16, 3), ("full", 3, 1), ("full", 3, 6), ("full", 5, 13)]
        cases += [("full", 8, 1), ("full", 3, 100), ("diag", 3, 100)]
        cases += [(covariance, 3, 3) for covariance in COVARIANCES[1:]]
    lines = [
        "| covariance | K | D | gmmseg, 2 threads | 1 thread | scikit-learn float64 | float32 "
        "| ratio to float64 | to float32 | log-likelihood per row, ours / theirs (float64) "
        "| memory added, ours / theirs |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for covariance, k, d in cases:
        rows = n if d < 50 else n // 10
        case = {"n": rows, "k": k, "d": d, "covariance": covariance, "dtype": "float32",
                "iterations": 30 if d < 6 else 10, "repeats": 5, "likelihood": False}  # fmt: skip
        ours = in_child("gmmseg", case)
        double = in_child("sklearn", {**case, "dtype": "float64", "likelihood": True})
        single = in_child("sklearn", {**case, "repeats": 1})
        if not ours["same_bits"]:
            raise SystemExit("1 and 2 threads gave different bits")
        per = 1e3 / (rows / 1e6)
        theirs = double["log_likelihood"]
        lines.append(
            f"| {covariance} | {k} | {d} "
            f"| {ours['seconds'] * per:.2f} | {ours['seconds_1'] * per:.2f} "
            f"| {double['seconds'] * per:.0f} | {single['seconds'] * per:.0f} "
            f"| **{double['seconds'] / ours['seconds']:.0f}x** "
            f"| {single['seconds'] / ours['seconds']:.0f}x "
            f"| {ours['log_likelihood']:.6f} / {theirs:.6f} "
            f"| {ours['added_memory'] / 2**20:.0f} / {double['added_memory'] / 2**20:.0f} MB |"
        )
        print(lines[-1], flush=True)
    return lines


def child_whole(case: dict) -> dict:
    """A whole fit from nothing: start included, to each one's default or the same likelihood."""
    rows = make_rows(case["n"], case["d"], case["k"], case["dtype"])
    if case["method"] == "gmmseg":
        from gmmseg.mixture import fit_mixture

        fit_mixture(rows[:5000], case["k"])
        begin = time.perf_counter()
        fit = fit_mixture(rows, case["k"])
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "likelihood": fit.log_likelihood / len(rows), "n": fit.n_iter}
    from sklearn.mixture import GaussianMixture

    begin = time.perf_counter()
    model = GaussianMixture(case["k"], tol=1e-5, max_iter=500, random_state=0).fit(rows)
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "likelihood": float(model.score(rows)), "n": model.n_iter_}


CHILDREN["whole"] = child_whole


def whole_table(n: int) -> list[str]:
    """Whole fits from nothing, k-means start included, to the same tolerance of 1e-5."""
    lines = [
        "| rows | K | D | gmmseg s (iterations) | scikit-learn s (iterations) | ratio "
        "| log-likelihood per row, ours / theirs |",
        "|---|---|---|---|---|---|---|",
    ]
    for k, d in ((3, 3), (8, 3)):
        case = {"n": n, "k": k, "d": d, "dtype": "float32"}
        ours = in_child("whole", {**case, "method": "gmmseg"})
        theirs = in_child("whole", {**case, "method": "sklearn", "dtype": "float64"})
        lines.append(
            f"| {n} | {k} | {d} | {ours['seconds']:.3f} ({ours['n']}) "
            f"| {theirs['seconds']:.1f} ({theirs['n']}) "
            f"| **{theirs['seconds'] / ours['seconds']:.0f}x** "
            f"| {ours['likelihood']:.6f} / {theirs['likelihood']:.6f} |"
        )
        print(lines[-1], flush=True)
    return lines


def machine() -> str:
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.processor(),
    )  # fmt: skip
    packages = ", ".join(f"{name} {version(name)}" for name in ("numba", "numpy", "scikit-learn"))
    cores = len(os.sched_getaffinity(0))
    return f"{cpu}, {cores} cores, Python {platform.python_version()}, {packages}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="two rows of the table, fewer pixels")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--opencv", metavar="PYTHON", help="with opencv-contrib-python<5")
    parser.add_argument("--torch", metavar="PYTHON", help="with torch")
    parser.add_argument("--output", type=Path, help="write the tables as Markdown to this file")
    args = parser.parse_args()
    if args.child:
        warnings.simplefilter("ignore")
        method, case = args.child
        print(json.dumps(CHILDREN[method](json.loads(case))))
        return
    n = args.rows // 4 if args.quick else args.rows
    text = [
        "# Benchmarks",
        "",
        "Written by `scripts/benchmark_em.py`; not edited by hand.",
        "",
        machine(),
        "",
        f"## One EM iteration, {n / 1e6:g} million rows of float32: milliseconds per million rows",
        "",
        *iteration_table(n, args.quick),
        "",
        "## Other programs: 0.4 million rows, K = 3, D = 3, full",
        "",
        *peer_table({"opencv": args.opencv, "torch": args.torch}),
        "",
        "## Rows: K = 3, D = 3, full",
        "",
        *scaling_table(),
        "",
        "## Arithmetic",
        "",
        *arithmetic_table(n),
        "",
        "## Whole fits from nothing, k-means start included, tolerance 1e-5",
        "",
        *whole_table(n // 4),
        "",
        "## Start-up",
        "",
        *start_table(),
        "",
    ]
    if args.output:
        args.output.write_text("\n".join(text))


if __name__ == "__main__":
    main()
