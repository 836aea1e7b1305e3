"""The command line as a process of its own: starts, signals, pipes and terminals."""

import json
import os
import select
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import gmmseg
from gmmseg.io import write_png

TIMEOUT = 120  # seconds; a cold cache means compiling first
SCRIPT = Path(sysconfig.get_path("scripts")) / "gmmseg"
MODULE = [sys.executable, "-m", "gmmseg"]

# A shell that runs its jobs in the background has them ignore Ctrl-C; a terminal does not.
HEEDING_CTRL_C = [
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from gmmseg.__main__ import main; sys.exit(main())",
]

posix = pytest.mark.skipif(os.name != "posix", reason="signals and terminals of POSIX")


@pytest.fixture
def photo(tmp_path):
    values = np.random.default_rng(3).integers(0, 255, (40, 60, 3), np.uint8)
    write_png(tmp_path / "photo.png", values)
    return tmp_path / "photo.png"


def started(command, *words, **options):
    command = [*command, *(str(word) for word in words)]
    return subprocess.Popen(command, stderr=options.pop("stderr", subprocess.PIPE), **options)


def test_as_a_module(photo):
    with started(
        MODULE, "segment", photo.name, "-k", 2, "--json", cwd=photo.parent, stdout=subprocess.PIPE
    ) as process:
        out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert json.loads(out)["outputs"]["labels"] == "photo_labels.png"
    assert b"Traceback" not in err
    assert (photo.parent / "photo_overlay.png").is_file()


@pytest.mark.skipif(not SCRIPT.is_file(), reason="the package is not installed")
def test_as_the_installed_script():
    with started([SCRIPT], "--version", stdout=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, err) == (0, b"")
    assert out.decode().split() == ["gmmseg", gmmseg.__version__]


@posix
def test_standard_input_to_standard_output(photo):
    with photo.open("rb") as stdin:
        done = subprocess.run(
            [*MODULE, "segment", "-", "-k", "2", "-o", "-", "-q"],
            stdin=stdin,
            capture_output=True,
            timeout=TIMEOUT,
            check=True,
        )
    assert done.stdout.startswith(b"\x89PNG")
    assert done.stderr == b""


@posix
def test_ctrl_c_while_fitting(tmp_path):
    import termios

    values = np.random.default_rng(3).random((600, 600, 4), np.float32)
    np.save(tmp_path / "noise.npy", values)
    terminal, stderr = os.openpty()  # a terminal, so that the bar tells when EM has begun
    termios.tcsetwinsize(stderr, (24, 100))
    words = "segment noise.npy -k 8 --tol 0 --max-iter 1000000 --save-model --init random"
    with started(HEEDING_CTRL_C, *words.split(), cwd=tmp_path, stderr=stderr) as process:
        os.close(stderr)
        try:
            seen = read_until(terminal, b"log-likelihood")
            assert b"EM: " in seen
            process.send_signal(signal.SIGINT)
            seen = read_until(terminal, b"gmmseg: interrupted")
            process.wait(TIMEOUT)
        finally:
            process.kill()
            os.close(terminal)
    assert process.returncode == 130
    assert b"Traceback" not in seen
    assert [path.name for path in tmp_path.iterdir()] == ["noise.npy"]


def read_until(terminal, text):
    """What is written to a terminal, up to `text`."""
    seen = b""
    while text not in seen:
        assert select.select([terminal], [], [], TIMEOUT)[0], f"nothing more after {seen!r}"
        seen += os.read(terminal, 4096)
    return seen


@posix
@pytest.mark.parametrize("words", [["--json"], ["-o", "-"]])
def test_a_reader_that_goes_away(photo, words):
    reader, writer = os.pipe()
    os.close(reader)
    with started(MODULE, "segment", photo, "-k", 2, "-q", *words, stdout=writer) as process:
        os.close(writer)
        err = process.communicate(timeout=TIMEOUT)[1]
    assert (process.returncode, err) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
def test_a_full_disk_behind_standard_output(photo):
    with (
        Path("/dev/full").open("wb") as full,
        started(MODULE, "segment", photo, "-k", 2, "-q", "--json", stdout=full) as process,
    ):
        err = process.communicate(timeout=TIMEOUT)[1]
    assert process.returncode == 1
    assert err.decode() == (
        "gmmseg: error: cannot write to standard output: No space left on device.\n"
    )


def test_warmup_reaches_every_kernel():
    code = (
        "from gmmseg.__main__ import main; main(['warmup', '-q'])\n"
        "from gmmseg import _class_kernels as c, _overlay_kernels as o, _smoothing_kernels as s\n"
        "from gmmseg.mixture import _distinct_kernels as d, _distribution_kernels as f\n"
        "from gmmseg.mixture import _kernels as k, _missing_kernels as m\n"
        "kept = [g for module in (c, o, s, d, f, k, m) for g in vars(module).values()\n"
        "        if type(g).__name__ == 'Kernel']\n"
        "print(len(kept) > 15, [g.__name__ for g in kept if not g.calls])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.strip() == "True []"


def test_images_need_one_thread_of_blas_and_tables_have_what_there_is():
    code = (
        "import os, sys, gmmseg.__main__\n"
        "from gmmseg.cli.parser import parse\n"
        "name = 'OPENBLAS_NUM_THREADS'\n"
        "os.environ.pop(name, None)\n"
        "assert 'numpy' not in sys.modules\n"
        "command, given = sys.argv[1:]\n"
        "if given: os.environ[name] = given\n"
        "parse([command, 'a'])\n"
        "assert 'numpy' in sys.modules\n"
        "print(os.environ.get(name))\n"
    )
    for command, given, expected in (
        ("segment", "", "1"), ("segment", "3", "3"), ("cluster", "", "None")
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", code, command, given],
            capture_output=True, text=True, timeout=TIMEOUT, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == expected
