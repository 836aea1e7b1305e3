"""Memory that fitting and writing add to an image that is in memory, each case in a process.

    python scripts/benchmark_memory.py [--pixels 100] [--output docs/benchmarks-memory.md]

A child makes the image, fits a small one of the same kind, so that what has to be loaded is
loaded, and tells how much memory is its own (RssAnon of /proc: pages of mapped files are the
system's to take back). The parent looks at that number every two milliseconds until the child is
done. The table tells by how much the largest exceeds the first.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MB = 1e6
PAUSE = 0.002


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table."""

    dtype: str
    bands: int
    like: str = "unlike"
    masked: bool = False
    mapped: bool = False
    features: str = "raw"
    k: int | str = 3
    write: str = ""
    stored: str = ""


CASES = {
    "scene": Case(dtype="uint16", bands=4),
    "scene-masked": Case(dtype="uint16", bands=4, masked=True),
    "scene-16": Case(dtype="uint16", bands=4, k=16),
    "scene-mapped": Case(dtype="uint16", bands=4, mapped=True),
    "scene-tiff": Case(dtype="uint16", bands=4, mapped=True, stored="TIFF, plain"),
    "scene-tiles": Case(dtype="uint16", bands=4, mapped=True, stored="TIFF, deflated tiles"),
    "scene-auto": Case(dtype="uint16", bands=4, k="auto"),
    "few-values": Case(dtype="uint16", bands=4, like="alike", masked=True),
    "grey": Case(dtype="uint8", bands=1, masked=True),
    "photo": Case(dtype="uint8", bands=3, like="alike", features="lab", masked=True),
    "noise": Case(dtype="uint8", bands=3, features="lab"),
    "deep-photo": Case(dtype="uint16", bands=3, features="lab"),
    "position": Case(dtype="uint8", bands=3, features="lab+position"),
    "floats": Case(dtype="float32", bands=2, masked=True),
    "probabilities-tif": Case(dtype="uint16", bands=4, k=8, write="tif"),
    "probabilities-npz": Case(dtype="uint16", bands=4, k=8, write="npz"),
}


def make_image(case: Case, shape: tuple[int, int], folder: str) -> Any:
    """Two grounds with noise: `unlike` pixels are nearly all different, `alike` ones repeat."""
    kind = np.dtype(case.dtype)
    path = Path(folder, f"image-{shape[0]}.npy")
    out = (
        np.lib.format.open_memmap(path, "w+", kind, (*shape, case.bands))
        if case.mapped
        else np.empty((*shape, case.bands), kind)
    )
    rng = np.random.default_rng(0)
    top = float(np.iinfo(kind).max) if kind.kind in "ui" else 1.0
    spread = top / 8 if case.like == "unlike" else 3.0
    for row in range(0, shape[0], 64):
        lines = out[row : row + 64]
        ground = np.where(np.arange(shape[1]) < shape[1] // 3, 0.3, 0.7) * top
        noise = rng.standard_normal(lines.shape, np.float32) * np.float32(spread)
        values = np.clip(ground[:, None] + noise, 0, top)
        lines[:] = np.rint(values) if kind.kind in "ui" else values
    if not case.mapped:
        return out
    out.flush()
    del out
    return np.load(path, mmap_mode="r")


def stored_as_tiff(values: Any, case: Case, folder: str) -> Path:
    """A file with the image, as satellite scenes come."""
    import tifffile

    path = Path(folder, f"image-{len(values)}.tif")
    packed = {"tile": (512, 512), "compression": "zlib", "compressionargs": {"level": 1}}
    more = packed if "tiles" in case.stored else {}
    tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig", **more)
    return path


def own_memory(pid: int | str = "self") -> float:
    """Bytes of a process that are in memory and in no file."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return float(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def give_back() -> None:
    """Return freed memory to the system, or it would not be seen when it is used again."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def child(name: str, n_pixels: int, folder: str) -> None:
    """Fit one case; tell on standard output when it begins, and what it found."""
    import gmmseg
    from gmmseg.outputs import OutputOptions, planned_outputs, write_outputs

    case = CASES[name]
    space, _, place = case.features.partition("+")
    spec = gmmseg.FeatureSpec(colour_space=space, position=1.0 if place else 0.0)
    options = gmmseg.SegmentOptions(features=spec)

    def run(side: int) -> tuple[Any, float, float]:
        image = make_image(case, (side, side), folder)
        mask = None
        if case.masked:
            mask = np.ones((side, side), bool)
            mask[: side // 2, : side // 5] = mask[::7, ::3] = False
        image = (
            stored_as_tiff(image, case, folder)
            if case.stored
            else gmmseg.Image.from_array(image, axes="YXC", mask=mask)
        )
        give_back()
        print("begin", own_memory(), flush=True)
        sys.stdin.readline()
        started = time.perf_counter()
        if not case.write:
            model = gmmseg.fit([image], case.k, options)
            return model, model.provenance["fit"]["n_iter"], time.perf_counter() - started
        made = gmmseg.segment(image, case.k, options)
        outputs = OutputOptions(overlay=False, probabilities=case.write, entropy=True, novelty=True)
        plan = planned_outputs(Path(folder, f"a{side}"), case.k, outputs)
        write_outputs(made, plan)
        return made.model, made.model.provenance["fit"]["n_iter"], time.perf_counter() - started

    for side in (1200, int(np.sqrt(n_pixels))):
        _, n_iter, seconds = run(side)
        print("end", n_iter, f"{seconds:.1f}", flush=True)


def measured(name: str, n_pixels: int) -> tuple[float, int, float]:
    """Bytes added, passes over the rows, and seconds of one case."""
    with tempfile.TemporaryDirectory(prefix="gmmseg-memory-") as folder:
        command = [sys.executable, __file__, "--child", name, str(n_pixels), folder]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            for _ in range(2):  # the small image loads the kernels, the large one counts
                first, peak, words = _watched(process)
            return peak - first, int(words[1]), float(words[2])


def _watched(process: Any) -> tuple[float, float, list[str]]:
    """Memory when the child begins, the most until it writes a line, and the line's words."""
    first = peak = float(process.stdout.readline().split()[1])
    process.stdin.write("\n")
    process.stdin.flush()
    while not select.select([process.stdout], [], [], PAUSE)[0]:
        peak = max(peak, own_memory(process.pid))
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args} failed.")
    return first, peak, line.split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", type=float, default=100, help="megapixels (default: 100)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--output", type=Path, help="write the table as Markdown to this file")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        name, n_pixels, folder = args.child
        child(name, int(n_pixels), folder)
        return
    lines = [
        "| case | Mpixel | bands | dtype | input MB | features | K | mask | what is done "
        "| added MB | passes | seconds |",
        "|" + "---|" * 12,
    ]
    print("\n".join(lines), flush=True)
    for name in args.cases:
        case = CASES[name]
        n_pixels = int(args.pixels * 1e6)
        added, n_iter, seconds = measured(name, n_pixels)
        size = n_pixels * case.bands * np.dtype(case.dtype).itemsize / MB
        done = f"segment, write {case.write}, entropy, novelty" if case.write else "fit"
        kept = f", {case.stored or 'mapped'}" if case.mapped else ""
        lines.append(
            f"| {name} | {args.pixels:g} | {case.bands} | {case.dtype}{kept} | {size:.0f} "
            f"| {case.features} | {case.k} | {'yes' if case.masked else 'no'} | {done} "
            f"| **{added / MB:.0f}** | {n_iter} | {seconds:.1f} |"
        )
        print(lines[-1], flush=True)
    if args.output:
        title = "# Memory\n\nWritten by `scripts/benchmark_memory.py`; not edited by hand.\n"
        args.output.write_text(f"{title}\n{TEXT}\n\n" + "\n".join(lines) + "\n")


TEXT = """\
Megabytes (10^6) that a process adds to the image, which is in its memory: the most that it holds
at any time, less what it holds when the call begins, kernels loaded. "mapped": an `.npy` file
that is read by blocks; its pages in memory are the system's to take back and do not count. A TIFF
file is read by the call: one with plain values is mapped, too; one with compressed tiles is decoded
to a temporary file, by tiles, and that is mapped. K = auto compares 1 to 10 classes."""


if __name__ == "__main__":
    main()
