"""Batches that are killed or interrupted at any moment, and resumed."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gmmseg.batch.record import RECORD_NAME, RunRecord, latest_entries, read_record
from gmmseg.io import read_image, write_png

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

SAMPLES = Path(__file__).parent.parent / "sample_images"
TIMEOUT = 600

# A shell that runs its jobs in the background has them ignore Ctrl-C; a terminal does not.
COMMAND = [
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "if __name__ == '__main__':\n"
    "    from gmmseg.__main__ import main; sys.exit(main())",
]


def started(folder, *words, **options):
    words = ["batch", "in", "-r", "-o", "out", "-k", "3", "--jobs", "2", "--json", *words]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen([*COMMAND, *words], cwd=folder, **options)


def made(folder, n, side):
    """Parts of the sample images: colour, grey, 16 bits."""
    rng = np.random.default_rng(0)
    pictures = [
        read_image(SAMPLES / name).data
        for name in ("photo.jpg", "microscopy.png", "mri.png", "grey16.png")
    ]
    for number in range(n):
        values = pictures[number % len(pictures)]
        y, x = (int(rng.integers(0, size - side)) for size in values.shape[:2])
        place = folder / "in" / f"group{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        part = np.squeeze(values[y : y + side, x : x + side])
        write_png(place / f"i{number:03d}.png", np.ascontiguousarray(part))


def contents(folder):
    """All that lies in the folder of the outputs, but for the record, which tells times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != RECORD_NAME
    }


def finished(process):
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    return out


@pytest.mark.slow
def test_killed_five_times_the_outputs_are_those_of_an_undisturbed_run(tmp_path):
    n, side = 500, 96
    made(tmp_path, n, side)
    finished(started(tmp_path))
    undisturbed = contents(tmp_path / "out")
    assert len(undisturbed) == 3 * n + 1
    (tmp_path / "out").rename(tmp_path / "expected")

    seed = 20
    moments = random.Random(seed)  # noqa: S311
    for attempt in range(5):
        with started(tmp_path, *(["--resume"] if attempt else [])) as process:
            left = moments.randint(1, n // 7)
            while left:
                left -= json.loads(process.stdout.readline())["status"] == "ok"
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=TIMEOUT)
        assert process.returncode == -signal.SIGKILL
    before = {
        name: (tmp_path / "out" / entry["outputs"]["labels"]).stat().st_mtime_ns
        for name, entry in latest_entries(read_record(tmp_path / "out")).items()
    }
    assert 5 <= len(before) < n
    finished(started(tmp_path, "--resume"))
    assert contents(tmp_path / "out") == undisturbed
    entries = latest_entries(read_record(tmp_path / "out"))
    assert len(entries) == n
    for name, time in before.items():  # nothing that was finished was lost
        assert entries[name]["status"] == "skipped"
        labels = tmp_path / "out" / entries[name]["outputs"]["labels"]
        assert labels.stat().st_mtime_ns == time


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_leaves_nothing_half_written(tmp_path, number):
    made(tmp_path, 30, 64)
    with started(tmp_path) as process:
        seen = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(number)
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert "Traceback" not in err
    done = latest_entries(read_record(tmp_path / "out"))
    assert {entry["input"] for entry in seen} <= done.keys()
    assert len(done) < 30
    assert read_record(tmp_path / "out")[-1]["interrupted"] is True
    for path in contents(tmp_path / "out"):
        assert "/." not in f"/{path}"
    for entry in done.values():
        for name in entry["outputs"].values():
            assert (tmp_path / "out" / name).is_file()
    finished(started(tmp_path, "--resume"))
    assert len(contents(tmp_path / "out")) == 3 * 30 + 1


def test_two_runs_in_one_folder(tmp_path):
    made(tmp_path, 1, 64)
    with RunRecord.opened(tmp_path / "out"), started(tmp_path, "--resume") as process:
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "another run is at work in" in err
    assert contents(tmp_path / "out") == {}
