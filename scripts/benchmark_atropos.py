"""Tissues of a brain volume, against Atropos of ANTs in one run.

    python scripts/benchmark_atropos.py T1_VOLUME --ants PYTHON [--gmmseg PYTHON]
        [--output docs/benchmarks-atropos.md]

All find three classes in the voxels over 0, with all 26 neighbours: Atropos with the prior of its
documentation and five iterations. Each PYTHON is the interpreter of an environment: the first has
antspyx, the second gmmseg as pip installs it (by default the one that runs this).

Whole processes: from the start of Python to its end, with reading the volume and writing the
labels; gmmseg takes a bias field out first, and also writes volumes of the tissues and a picture
of slices. Within a process: starting Python, imports, reading and writing left out. The programs
take turns, so that whatever else the machine does slows all; told are the best of the turns. CPU
is the time of all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import gmmseg
from gmmseg import EMOptions, SegmentOptions, SmoothingOptions
from gmmseg.mixture._threads import available_cpus
from gmmseg.tissue import tissue

ATROPOS = """
import json, sys, time
import ants
image = ants.image_read(sys.argv[1])
mask = image.new_image_like((image.numpy() > 0).astype("float32"))
begin, cpu = time.perf_counter(), time.process_time()
found = ants.atropos(a=image, x=mask, i="kmeans[3]", m="[0.1,1x1x1]", c="[5,0]")
print(json.dumps([time.perf_counter() - begin, time.process_time() - cpu]))
ants.image_write(found["segmentation"], sys.argv[2])
"""

TISSUE = "tissue: bias field, the preset mri, volumes"

OPTIONS: dict[str, SegmentOptions | str] = {
    "EM inside the field to rest": SegmentOptions(
        em=EMOptions(covariance_type="tied"), smoothing=SmoothingOptions(beta=0.3, inside=True)
    ),
    "the preset mri": "mri",
}

#: Runs of gmmseg for each of Atropos.
RUNS = 5

Times = dict[str, list[tuple[float, float]]]


def process(words: list[str]) -> tuple[tuple[float, float], str]:
    """Seconds and CPU seconds of a process from start to end, and what it printed.

    Not where this one runs: Python would take what is installed for what lies there.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    done = subprocess.run(
        words, check=True, capture_output=True, text=True, cwd=tempfile.gettempdir()
    )
    seconds = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (seconds, cpu), done.stdout


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    begin, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin, time.process_time() - cpu


def measured(path: Path, ants: str, python: str, turns: int) -> tuple[Times, Times]:
    """Times of whole processes and of the work within one."""
    image = gmmseg.read_image(path)
    image = image.with_mask(image.data[..., 0] > 0)
    works: dict[str, Callable[[], Any]] = {TISSUE: lambda: tissue(image).rows} | {
        name: lambda options=options: gmmseg.segment(image, 3, options).labels
        for name, options in OPTIONS.items()
    }
    whole: Times = {"Atropos": [], "`gmmseg tissue`": []}
    within: Times = {"Atropos": [], **{name: [] for name in works}}
    with tempfile.TemporaryDirectory() as folder:
        own = [python, "-m", "gmmseg", "tissue", str(path), "-q", "-o", f"{folder}{os.sep}"]
        process(own)  # kernels are compiled, files cached
        for work in works.values():
            work()
        for _ in range(turns):
            times, printed = process([ants, "-c", ATROPOS, str(path), f"{folder}/labels.nii.gz"])
            whole["Atropos"].append(times)
            within["Atropos"].append(tuple(json.loads(printed.splitlines()[-1])))
            for _ in range(RUNS):
                whole["`gmmseg tissue`"].append(process([*own, "--overwrite"])[0])
                for name, work in works.items():
                    within[name].append(timed(work))
    return whole, within


def table(heading: str, times: Times) -> list[str]:
    """The best of the times, and how much better than those of Atropos."""
    best = {name: np.min(found, axis=0) for name, found in times.items()}
    lines = [
        f"| {heading} | seconds | faster by | CPU seconds | less by |",
        "|---|---|---|---|---|",
    ]
    for name, (seconds, cpu) in best.items():
        faster, less = best["Atropos"] / (seconds, cpu)
        lines.append(f"| {name} | {seconds:.2f} | {faster:.1f}x | {cpu:.2f} | {less:.1f}x |")
    return [*lines, ""]


def report(path: Path, ants: str, python: str, turns: int) -> list[str]:
    values = gmmseg.read_image(path).data
    whole, within = measured(path, ants, python, turns)
    return [
        f"{values.size / 1e6:.1f} million voxels, {np.count_nonzero(values) / 1e6:.2f} million "
        f"of them used, {available_cpus()} CPUs.",
        "",
        *table("whole process, from file to files", whole),
        *table("within a process, from array to labels", within),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volume", type=Path, metavar="T1_VOLUME")
    parser.add_argument("--ants", required=True, metavar="PYTHON")
    parser.add_argument("--gmmseg", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--output", type=Path, help="write the tables as Markdown to this file")
    args = parser.parse_args()
    lines = [
        "# Tissues of a brain, against Atropos",
        "",
        "Written by `scripts/benchmark_atropos.py`, which tells what is measured; not edited.",
        "",
        *report(
            args.volume.resolve(),
            str(Path(args.ants).absolute()),
            str(Path(args.gmmseg).absolute()),
            args.turns,
        ),
    ]
    text = "\n".join(lines)
    print(text)
    if args.output:
        args.output.write_text(text)


if __name__ == "__main__":
    main()
