"""A disk that is full: one clear line, exit 1, and nothing half-written.

The disk is a small tmpfs where one can be mounted; a limit on the size of files stands for it
elsewhere.
"""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

rasterio = pytest.importorskip("rasterio")
resource = pytest.importorskip("resource")

from scene_files import landscape, write  # noqa: E402

STREAMED = ("--memory", "1MB")
KIB = 1024


@contextmanager
def small_disk(place):
    """A tmpfs of some pages; nothing limits the process."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", os.fspath(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield None
    finally:
        subprocess.run(["umount", os.fspath(place)], check=True)  # noqa: S607


@contextmanager
def small_files(place):
    """Files may be no longer than so much."""
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (32 * KIB, resource.RLIM_INFINITY))


def gmmseg(*words, limit):
    done = subprocess.run(
        [sys.executable, "-m", "gmmseg", *map(str, words)],
        capture_output=True,
        text=True,
        preexec_fn=limit,  # one thread
        check=False,
    )
    return done.returncode, [line for line in done.stderr.splitlines() if "compiling" not in line]


@pytest.fixture
def scene(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return write(tmp_path / "in" / "a.tif", landscape(600, 600))


def left(folder):
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("disk", [small_disk, small_files])
@pytest.mark.parametrize("more", [(), STREAMED, ("--cog",), (*STREAMED, "--no-overlay")])
def test_segment(tmp_path, scene, disk, more):
    out = tmp_path / "out"
    with disk(out) as limit:
        words = ("-k", 3, "--preset", "plain", "--probabilities", "--save-model", *more)
        status, lines = gmmseg("segment", scene, "-o", f"{out}/", *words, limit=limit)
        assert status == 1
        assert len(lines) == 1, lines
        assert lines[0].startswith("gmmseg: error: ")
        assert "cannot write" in lines[0]
        assert any(text in lines[0] for text in ("disk may be full", "No space", "too large"))
        assert left(out) == []


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), STREAMED], ids=["held", "streamed"])
def test_batch_goes_on_with_what_fits(tmp_path, scene, more):
    write(tmp_path / "in" / "b.tif", landscape(40, 50))
    out = tmp_path / "out"
    with small_files(out) as limit:
        words = ("-o", out, "-k", 3, "--mode", "pooled", "--no-overlay", "--jobs", 1, *more)
        status, lines = gmmseg("batch", tmp_path / "in", *words, "--probabilities", limit=limit)
        assert status == 1
        failed = [line for line in lines if "cannot write" in line]
        assert len(failed) == 1, lines
        assert failed[0].startswith("gmmseg: error: a.tif: cannot write ")
        assert not [name for name in left(out) if name.startswith(("a", "."))]
        assert "b_labels.tif" in left(out)


@pytest.mark.slow
def test_a_model(tmp_path, scene):
    with small_disk(tmp_path / "out") as limit:
        (tmp_path / "out" / "full").write_bytes(bytes(32 * KIB))
        words = ("fit", scene, "-k", 3, "-o", tmp_path / "out" / "m.gmm.json", *STREAMED)
        status, lines = gmmseg(*words, limit=limit)
        assert status == 1
        assert len(lines) == 1
        assert "No space left on device" in lines[0]
        assert left(tmp_path / "out") == ["full"]
