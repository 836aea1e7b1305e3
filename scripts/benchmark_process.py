"""Whole processes on a 12-megapixel photo, against "decode, threshold, encode" by OpenCV.

    python scripts/benchmark_process.py [--output docs/benchmarks-process.md]

The photo is the sample photo enlarged to 4243 x 2828 with camera-like noise, as PNG and JPEG. The
floor is a bare process that imports OpenCV, reads the file, thresholds it and writes a label map:
nobody can be faster and still read and write. Times are the best of seven after one to warm up.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KINDS = ("png", "jpg")
SAMPLE = Path(__file__).parents[1] / "sample_images" / "photo.jpg"
FLOOR = (
    "import sys, cv2; image = cv2.imread(sys.argv[1]); "
    "grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY); "
    "_, labels = cv2.threshold(grey, 0, 2, cv2.THRESH_BINARY + cv2.THRESH_OTSU); "
    "cv2.imwrite(sys.argv[2], labels)"
)


def enlarged_photo(mpixels: float = 12.0):
    """The enlarged sample with noise that grows with light, as a sensor's does; RGB uint8."""
    import cv2
    import numpy as np

    image = cv2.imdecode(np.fromfile(SAMPLE, np.uint8), cv2.IMREAD_COLOR)
    cols = round((mpixels * 1.5e6) ** 0.5)
    size = (cols, round(mpixels * 1e6 / cols))
    large = cv2.resize(image[..., ::-1], size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(large.shape, dtype=np.float32)
    large += noise * (1 + np.sqrt(np.maximum(large, 0)) / 8)
    return np.clip(np.rint(large), 0, 255).astype(np.uint8)


def make_photo(folder: Path) -> None:
    """The photo as PNG and JPEG."""
    import cv2
    import numpy as np

    photo = np.ascontiguousarray(enlarged_photo()[..., ::-1])
    for kind in KINDS:
        cv2.imencode(f".{kind}", photo)[1].tofile(folder / f"photo.{kind}")


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds (best of seven) and peak memory in MB of a process."""
    seconds, memory = float("inf"), 0.0
    for _ in range(8):
        begin = time.perf_counter()
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            _, status, usage = os.wait4(process.pid, 0)
            took = time.perf_counter() - begin
            errors = process.stderr.read().decode() if process.stderr else ""
        if status:
            raise SystemExit(f"{command} failed:\n{errors}")
        seconds, memory = min(seconds, took), max(memory, usage.ru_maxrss / 1024)
    return seconds, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the table as Markdown to this file")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make:
        make_photo(args.make)
        return
    lines = [
        "| file | process | seconds | of the floor | peak memory MB |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory(prefix="gmmseg-benchmark-") as name:
        folder = Path(name)
        # in a process of its own: children would inherit its peak of memory
        subprocess.run([sys.executable, __file__, "--make", name], check=True)
        for kind in KINDS:
            path = folder / f"photo.{kind}"
            default = [sys.executable, "-m", "gmmseg", "segment", str(path), "-k", "3",
                       "-q", "--overwrite", "-o", str(folder / "out")]  # fmt: skip
            segment = [*default, "--preset", "plain"]
            commands = {
                "floor: OpenCV reads, thresholds, writes": [
                    sys.executable, "-c", FLOOR, str(path), str(folder / "floor.png")
                ],
                "`gmmseg segment -k 3 --preset plain --no-overlay`": [*segment, "--no-overlay"],
                "`gmmseg segment -k 3 --preset plain`": segment,
                "`gmmseg segment -k 3 --no-overlay` (preset photo)": [*default, "--no-overlay"],
                "`gmmseg segment -k 3` (preset photo)": default,
            }  # fmt: skip
            floor = None
            for label, command in commands.items():
                seconds, memory = measured(command)
                floor = floor or seconds
                lines.append(
                    f"| 12 Mpixel {kind} | {label} | {seconds:.2f} | {seconds / floor:.2f}x "
                    f"| {memory:.0f} |"
                )
                print(lines[-1], flush=True)
    if args.output:
        title = (
            "# Whole processes\n\nWritten by `scripts/benchmark_process.py`; not edited by hand."
        )
        args.output.write_text(title + "\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
