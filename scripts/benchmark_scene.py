"""A large scene segmented by the command line, beside a copy of one of its bands.

    python scripts/make_large_scene.py scene.tif --sample ...
    python scripts/benchmark_scene.py scene.tif [-k 6] [--exact] [--output docs/benchmarks-scene.md]

Every case is a process of its own; of each the time and the largest resident memory are told, the
best of some rounds. The copy is what `rio convert --bidx 1` does: decode, write one band by the
file's own profile.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import rasterio

COPY = """
import sys, rasterio
with rasterio.open(sys.argv[1]) as source:
    profile = source.profile | {"count": 1}
    band = source.read(1)
with rasterio.open(sys.argv[2], "w", **profile) as copy:
    copy.write(band, 1)
"""


def main() -> None:
    """Run the cases, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path)
    parser.add_argument("-k", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--exact", action="store_true", help="EM over all pixels, too: minutes")
    parser.add_argument("--fast", action="store_true", help="without smoothing")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    segment = ["-m", "gmmseg", "segment", str(args.scene), "-k", str(args.k), "--overwrite", "-q"]
    cases = {
        "copy of one band": ["-c", COPY, str(args.scene), "{folder}/copy.tif"],
        "gmmseg segment": [*segment, "-o", "{folder}/a/"],
        "gmmseg segment --smooth 1": [*segment, "--smooth", "1", "-o", "{folder}/b/"],
    }
    if args.fast:
        del cases["gmmseg segment --smooth 1"]
    if args.exact:
        cases["gmmseg segment --exact"] = [*segment, "--exact", "-o", "{folder}/c/"]
    found = {name: best(words, 1 if "--" in name else args.rounds) for name, words in cases.items()}
    text = table(args.scene, args.k, found)
    print(text)
    if args.output:
        args.output.write_text(text, encoding="utf-8")


def best(words: list[str], rounds: int) -> tuple[float, float]:
    """Seconds and megabytes of a process, the fastest of some."""
    with tempfile.TemporaryDirectory() as folder:
        return min(run([w.replace("{folder}", folder) for w in words]) for _ in range(rounds))


def run(words: list[str]) -> tuple[float, float]:
    started = time.perf_counter()
    child = os.posix_spawn(sys.executable, [sys.executable, *words], os.environ)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(words)[:200]}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def table(scene: Path, k: int, found: dict[str, tuple[float, float]]) -> str:
    with rasterio.open(scene) as source:
        size = source.width * source.height * source.count * 2 / 1e6
        what = (
            f"{source.width} x {source.height} pixels of {source.count} bands, "
            f"{source.dtypes[0]}, {source.compression.name} in blocks of "
            f"{source.block_shapes[0][0]}: {size:.0f} MB decoded, "
            f"{scene.stat().st_size / 1e6:.0f} MB in the file; k = {k}"
        )
    unit = found["copy of one band"][0]
    lines = [
        "# A large scene",
        "",
        f"By `scripts/benchmark_scene.py`: {what}.",
        "Whole processes, their start included, kernels from the cache; "
        f"{os.cpu_count()} CPUs, {platform.machine()}.",
        "",
        "| process | seconds | times the copy | peak memory, MiB |",
        "|---|---|---|---|",
        *(
            f"| {name} | {seconds:.1f} | {seconds / unit:.2f} | {memory:.0f} |"
            for name, (seconds, memory) in found.items()
        ),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
