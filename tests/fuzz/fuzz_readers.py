"""Feed the readers whatever leads to new code: anything but a result or our error is a bug.

    python tests/fuzz/fuzz_readers.py -max_total_time=60

Needs atheris (pip install atheris); the words after the name are libFuzzer's. The first byte of an
input chooses the reader, so that one run covers them all. It starts from the sample files of the
tests, made anew each time; a finding is left as crash-* in the working folder.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["gmmseg"]):
    from image_files import bad_files, good_files

    from gmmseg.bridges import formats
    from gmmseg.cli import config
    from gmmseg.errors import GmmsegError
    from gmmseg.io import ReadOptions, image_info, read_bytes, read_table

#: Small, so that a lie about the size is found at once and a true one costs little.
LIMIT = ReadOptions(max_pixels=10**5)
SCRATCH = Path(tempfile.mkdtemp(prefix="gmmseg-fuzz-"))


def on_disk(content: bytes, name: str) -> Path:
    """The content as a file, for readers that want one."""
    path = SCRATCH / name
    path.write_bytes(content)
    return path


def image(content: bytes) -> None:
    """Pixels."""
    read_bytes(content, "fuzz", LIMIT)


def facts(content: bytes) -> None:
    """Headers."""
    image_info(on_disk(content, "fuzz.bin"), LIMIT)


def model(content: bytes) -> None:
    """Models of all formats, recognised by their content."""
    formats.loads(content.decode("utf-8", errors="replace"))


def table(content: bytes) -> None:
    """Text tables."""
    read_table(on_disk(content, "fuzz.csv"))


def configuration(content: bytes) -> None:
    """Files of options."""
    config._read(on_disk(content, "fuzz.toml"))


READERS = (image, facts, model, table, configuration)


def one_input(data: bytes) -> None:
    """What libFuzzer calls."""
    if len(data) < 2:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(GmmsegError):
            READERS[data[0] % len(READERS)](data[1:])


def write_corpus(folder: Path) -> None:
    """Good and bad files, each with the number of its reader in front."""
    for number, content in enumerate((*good_files().values(), *bad_files().values())):
        if len(content) < 1 << 16:
            (folder / f"image{number}").write_bytes(b"\0" + content)
            (folder / f"facts{number}").write_bytes(b"\1" + content)
    data = Path(__file__).parents[1] / "data"
    for path in data.rglob("*"):
        if path.suffix in (".json", ".sig", ".gsg", ".yml"):
            (folder / f"model_{path.name}").write_bytes(b"\2" + path.read_bytes()[: 1 << 16])
    (folder / "table").write_bytes(b"\3a;b\n1,5;2\n;x\n")
    (folder / "config").write_bytes(b'\4seed = 1\n[segment]\ncovariance = "tied"\n')


def main() -> None:
    """Fuzz until told to stop."""
    atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
    corpus = SCRATCH / "corpus"
    corpus.mkdir()
    write_corpus(corpus)
    atheris.Setup([*sys.argv, "-max_len=65536", "-rss_limit_mb=4096", str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
