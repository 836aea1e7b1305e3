"""Times of starting: imports, help, the first run that compiles and the runs after it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START_CODE = {
    "python -c pass": "pass",
    "import gmmseg": "import gmmseg",
    "gmmseg --help": "import gmmseg.__main__ as m; m.main(['--help'])",
    "gmmseg segment --help": "import gmmseg.__main__ as m; m.main(['segment', '--help'])",
    "import the kernels": "import gmmseg.mixture._kernels",
}


def start_table() -> list[str]:
    """Time of a process, best of five; and the first run ever against later ones."""
    lines = ["| process | seconds |", "|---|---|"]
    for name, code in START_CODE.items():
        best = min(run_timed([sys.executable, "-c", f"try:\n {code}\nexcept SystemExit: pass"])
                   for _ in range(5))  # fmt: skip
        lines.append(f"| `{name}` | {best:.3f} |")
    photo = Path(__file__).parents[1] / "sample_images" / "photo.jpg"
    with_cache = fresh_cache()
    for name in ("first run ever, compiling", "second run", "third run"):
        command = [sys.executable, "-m", "gmmseg", "segment", str(photo), "-k", "3",
                   "--preset", "plain", "-q", "--overwrite",
                   "-o", with_cache["NUMBA_CACHE_DIR"]]  # fmt: skip
        seconds = run_timed(command, with_cache)
        lines.append(f"| `gmmseg segment photo.jpg -k 3 --preset plain`, {name} | {seconds:.2f} |")
    for line in lines:
        print(line, flush=True)
    return lines


def fresh_cache() -> dict[str, str]:
    return {**os.environ, "NUMBA_CACHE_DIR": tempfile.mkdtemp(prefix="gmmseg-benchmark-")}


def run_timed(command: list[str], env: dict[str, str] | None = None) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=env)
    return time.perf_counter() - begin
