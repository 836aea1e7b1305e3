"""The notebooks under docs/: their cells run, and they were run when they were written."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))

#: Packages of the extras that a notebook is about.
NEEDS = {"satellite.ipynb": ("rasterio", "shapely", "pyogrio", "pyproj")}


def code_cells(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_cells_run(path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    for package in NEEDS.get(path.name, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(ROOT)
    matplotlib.use("agg")
    names = {}
    for cell in code_cells(path):
        exec(compile("".join(cell["source"]), path.name, "exec"), names)  # noqa: S102
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_was_executed_in_order(path):
    counts = [cell["execution_count"] for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))
