"""EM with a spatial prior on a brain volume, against Atropos of ANTs in one run.

    python scripts/benchmark_atropos.py T1_VOLUME --ants PYTHON
        [--output docs/benchmarks-atropos.md]

Both find three classes in the voxels over 0, with all 26 neighbours: Atropos with the prior of its
documentation and five iterations, gmmseg with EM inside the field until it is at rest. PYTHON is
the interpreter of an environment of its own that has antspyx; this one needs nibabel. The two take
turns, so that whatever else the machine does slows both; told are the best of the turns, reading
the file and starting Python left out. CPU is the time of all threads.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

import gmmseg
from gmmseg import EMOptions, SegmentOptions, SmoothingOptions
from gmmseg.image import Image
from gmmseg.mixture._threads import available_cpus

ATROPOS = """
import json, sys, time
import ants
image = ants.image_read(sys.argv[1])
mask = image.new_image_like((image.numpy() > 0).astype("float32"))
begin, cpu = time.perf_counter(), time.process_time()
ants.atropos(a=image, x=mask, i="kmeans[3]", m="[0.1,1x1x1]", c="[5,0]")
print(json.dumps([time.perf_counter() - begin, time.process_time() - cpu]))
"""

OPTIONS = {
    "gmmseg, EM inside the field to rest": SegmentOptions(
        em=EMOptions(covariance_type="tied"), smoothing=SmoothingOptions(beta=0.3, inside=True)
    ),
    "gmmseg, the preset mri": "mri",
}


def atropos(python: str, path: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of one run in a process of its own."""
    found = subprocess.run(
        [python, "-c", ATROPOS, str(path)], check=True, capture_output=True, text=True
    )
    seconds, cpu = json.loads(found.stdout.splitlines()[-1])
    return seconds, cpu


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    begin, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin, time.process_time() - cpu


def table(path: Path, python: str, turns: int) -> list[str]:
    values = np.asarray(nibabel.load(path).dataobj)
    image = Image.from_array(values, axes="ZYX", mask=values > 0, spacing=1.0)

    def labels(options: Any) -> Any:
        return gmmseg.segment(image, 3, options).labels

    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ("Atropos", *OPTIONS)}
    for options in OPTIONS.values():
        labels(options)  # kernels are compiled or loaded
    for _ in range(turns):
        times["Atropos"].append(atropos(python, path))
        for name, options in OPTIONS.items():
            times[name] += [timed(lambda options=options: labels(options)) for _ in range(5)]
    best = {name: np.min(found, axis=0) for name, found in times.items()}
    lines = [
        f"{values.size / 1e6:.1f} million voxels, {image.data[values > 0].size / 1e6:.2f} million "
        f"of them used, {available_cpus()} CPUs.",
        "",
        "| what | seconds | faster by | CPU seconds | less by |",
        "|---|---|---|---|---|",
    ]
    for name, (seconds, cpu) in best.items():
        faster, less = best["Atropos"] / (seconds, cpu)
        lines.append(f"| {name} | {seconds:.2f} | {faster:.1f}x | {cpu:.2f} | {less:.1f}x |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volume", type=Path, metavar="T1_VOLUME")
    parser.add_argument("--ants", required=True, metavar="PYTHON")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--output", type=Path, help="write the table as Markdown to this file")
    args = parser.parse_args()
    lines = [
        "# A spatial prior on a brain, against Atropos",
        "",
        "Written by `scripts/benchmark_atropos.py`; not edited by hand.",
        "",
        *table(args.volume, args.ants, args.turns),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if args.output:
        args.output.write_text(text)


if __name__ == "__main__":
    main()
