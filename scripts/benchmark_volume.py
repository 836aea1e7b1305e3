"""Memory and time of the command line on a CT of 512 x 512 x 600 voxels, NIfTI and DICOM.

    python scripts/benchmark_volume.py CT.dcm [--planes 600] [--output docs/benchmarks-volume.md]

CT.dcm is one real plane of 512 x 512. Planes are made of it: moved a little, with noise, written as
int16. Each command is a process; told is the most memory that it had (resident, pages of the mapped
file included), and as a multiple of the volume in float32.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
from pydicom.uid import generate_uid

COMMANDS = {
    "segment, NIfTI, not smoothed": ["segment", "{nifti}", "-k", "3", "--smooth", "0"],
    "segment, NIfTI": ["segment", "{nifti}", "-k", "3", "--preset", "mri"],
    "segment, DICOM series": ["segment", "{series}", "-k", "3", "--preset", "mri"],
    "segment, NIfTI, probabilities": [
        *("segment", "{nifti}", "-k", "3", "--preset", "mri", "--probabilities"),
    ],
    "tissue, NIfTI, no bias field": ["tissue", "{nifti}", "--no-bias"],
    "tissue, NIfTI": ["tissue", "{nifti}"],
}


def planes(real: Any, n: int) -> Iterator[np.ndarray]:
    """Stored values of one plane after the other."""
    rng = np.random.default_rng(0)
    stored = real.pixel_array
    for z in range(n):
        moved = np.roll(stored, (round(40 * np.sin(z / 90)), round(30 * np.cos(z / 70))), (0, 1))
        noise = rng.normal(0, 15, stored.shape)
        yield np.where(moved > -2000, moved + noise, moved).astype(np.int16)


def make(real: Any, n: int, folder: Path) -> dict[str, Path]:
    """The volume as a NIfTI file, and as a series."""
    series, nifti = folder / "series", folder / "ct.nii"
    series.mkdir()
    volume = np.empty((n, real.Rows, real.Columns), np.int16)
    for z, plane in enumerate(planes(real, n)):
        volume[z] = plane + np.int16(real.RescaleIntercept)
        real.PixelData = plane.tobytes()
        real.ImagePositionPatient = [0, 0, float(z)]
        real.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        real.SOPInstanceUID = real.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        real.save_as(series / f"{z:04}.dcm")
    affine = np.diag([*real.PixelSpacing, 1.0, 1.0])
    nibabel.Nifti1Image(volume.T, affine).to_filename(nifti)
    return {"series": series, "nifti": nifti}


def measured(words: list[str]) -> tuple[float, float, int]:
    """Largest resident memory in bytes, seconds, and exit code."""
    started = time.perf_counter()
    process = subprocess.Popen(words, stderr=subprocess.PIPE)
    process.stderr.read()  # type: ignore[union-attr]
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss * 1024, time.perf_counter() - started, process.returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plane", metavar="CT.dcm")
    parser.add_argument("--planes", type=int, default=600)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--output", type=Path, help="write the table as Markdown to this file")
    args = parser.parse_args()
    real = pydicom.dcmread(args.plane)
    size = 4 * args.planes * real.Rows * real.Columns
    title = f"{real.Rows} x {real.Columns} x {args.planes} voxels, {size / 1e6:.0f} MB in float32."
    lines = [
        title,
        "",
        "| command | MB | times the volume in float32 | seconds |",
        "|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = make(real, args.planes, folder)
        for case in args.commands:
            words = [word.format(**places) for word in COMMANDS[case]]
            out = ["-o", f"{folder}/out/", "--overwrite"]
            memory, seconds, code = measured([sys.executable, "-m", "gmmseg", *words, *out])
            cells = f"{memory / 1e6:.0f} | {memory / size:.2f} | {seconds:.0f}"
            lines.append(f"| {case} | {cells if code == 0 else f'failed ({code}) | |'} |")
            print(lines[-1], flush=True)
    if args.output:
        head = f"# A large volume\n\nWritten by `scripts/benchmark_volume.py`.\n\n{TEXT}\n"
        args.output.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


TEXT = """\
Each command is a process of its own; MB (10^6) are the most that was resident, pages of the mapped
file included, which are the system's to take back. Where it does not say otherwise, labels are
smoothed (the preset `mri`, which `auto` chooses, too); `tissue` looks for a bias field, of which a
CT has none.
"""


if __name__ == "__main__":
    main()
