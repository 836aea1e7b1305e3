"""``gmmseg select`` and ``-k auto``: tables, files, messages, exit codes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import gmmseg
from gmmseg.io import read_image, write_png


def patches(seed=0, shape=(60, 80)):
    """Three classes in patches of ten pixels, with white noise."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, (shape[0] // 10, shape[1] // 10)).repeat(10, 0).repeat(10, 1)
    values = np.array([30.0, 110.0, 220.0])[classes] + rng.normal(0, 5, shape)
    return values.clip(0, 255).round().astype(np.uint8)


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_png("photo.png", patches())
    return "photo.png"


def names():
    return sorted(path.name for path in Path().iterdir())


def test_a_table_on_stdout(run, photo):
    done = run("select", photo, "--k-range", "1-4")
    assert done.status == 0
    title, table = done.out.split("\n", 1)
    assert title.startswith("photo.png: 4800 pixels, worth ")
    assert title.endswith(" independent ones. Best by bic_effective: k = 3, tied")
    found = gmmseg.select_k(photo, range(1, 5))
    assert table.rstrip() == str(found)
    assert names() == ["photo.png"]


def test_json(run, photo):
    done = run("select", photo, "--k-range", "2,3", "--covariance-types", "full,tied", "--json")
    values = json.loads(done.out)
    assert values["input"] == "photo.png"
    assert values["best"]["bic_effective"]["k"] == 3
    rows = [(row["covariance_type"], row["k"]) for row in values["candidates"]]
    assert rows == [("full", 2), ("full", 3), ("tied", 2), ("tied", 3)]


def test_files(run, photo):
    pytest.importorskip("matplotlib")
    words = ["select", photo, "--k-range", "1-3", "-o", "table.json", "--plot", "curves.png"]
    done = run(*words, "--by", "aic")
    assert done.status == 0
    assert "Best by aic" in done.out
    values = json.loads(Path("table.json").read_text())
    assert values["by"] == "aic"
    assert read_image("curves.png").shape[0] > 300
    before = Path("table.json").read_bytes()
    again = run(*words)
    assert again.status == 1
    assert "exists already" in again.err
    assert Path("table.json").read_bytes() == before
    assert run(*words, "--overwrite", "--by", "icl").status == 0
    assert json.loads(Path("table.json").read_text())["by"] == "icl"


def test_without_matplotlib(run, photo, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = run("select", photo, "--plot", "curves.png")
    assert done.status == 1
    assert "pip install 'gmmseg[plot]'" in done.err


def test_a_plot_in_an_unknown_format(run, photo):
    done = run("select", photo, "--k-range", "1", "--plot", "curves.doc")
    assert done.status == 2
    assert "a figure must end in .png, .svg, .pdf, got curves.doc" in done.err
    assert names() == ["photo.png"]


def test_several_inputs(run, photo):
    write_png("other.png", patches(1))
    Path("bad.png").write_bytes(b"no image")
    done = run("select", "photo.png", "bad.png", "other.png", "--k-range", "1-2", "--json")
    assert done.status == 1
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["input"] for line in lines] == ["photo.png", "bad.png", "other.png"]
    assert "bad.png" in lines[1]["error"]
    done = run("select", "photo.png", "other.png", "-o", "table.json")
    assert done.status == 2
    assert "-o and --plot name one file, but there are several inputs. Use --json." in done.err


def test_not_converged(run, photo):
    words = ["select", photo, "--k-range", "4", "--max-iter", "1", "--tol", "0"]
    done = run(*words)
    assert done.status == 0
    assert "(not converged)" in done.out
    done = run(*words, "--strict")
    assert done.status == 1
    assert "EM did not converge, and --strict takes it as a failure" in done.err


def test_segment_chooses(run, photo):
    done = run("segment", photo, "-k", "auto", "--k-range", "1-5", "--masks", "--save-model")
    assert done.status == 0
    assert "photo.png: 3 classes" in done.err
    assert "hold the numbers of the classes and" in done.err
    masks = [f"photo_mask_{j}.png" for j in (1, 2, 3)]
    assert [name for name in names() if "mask" in name] == masks
    model = gmmseg.load_model("photo.gmm.json")
    assert model.k == 3
    assert model.provenance["selection"]["best"]["bic_effective"]["k"] == 3
    assert read_image("photo_labels.png").data.max() == 3


def test_a_mask_that_might_be_written_is_not_overwritten(run, photo):
    write_png("photo_mask_5.png", np.zeros((2, 2), np.uint8))
    done = run("segment", photo, "-k", "auto", "--k-range", "1-5", "--masks")
    assert done.status == 1
    assert "photo_mask_5.png exists already" in done.err


def test_segment_by_another_criterion(run, photo):
    done = run("segment", photo, "-k", "auto", "--k-range", "1-2", "--by", "bic", "--json")
    assert json.loads(done.out)["k"] == 2


def test_fit_chooses(run, photo):
    write_png("other.png", patches(1))
    done = run(
        "fit", photo, "other.png", "-k", "auto", "--k-range", "2-4", "-o", "m.gmm.json", "--json"
    )
    assert done.status == 0
    assert json.loads(done.out)["k"] == 3
    assert gmmseg.load_model("m.gmm.json").k == 3


@pytest.mark.parametrize("words", [["--prior", "2", "--max-ratio", "50"], ["--prior", "0.5"]])
def test_prior_and_ratio(run, photo, words):
    assert run("segment", photo, "-k", 3, "--save-model", *words).status == 0
    em = gmmseg.load_model("photo.gmm.json").provenance["options"]["em"]
    assert em["prior"] == float(words[1])
    assert em["max_ratio"] == (50.0 if len(words) > 2 else None)


def test_a_ratio_below_one(run, photo):
    done = run("segment", photo, "-k", 3, "--max-ratio", "0.5")
    assert done.status == 2
    assert "max_ratio must be at least 1, got 0.5" in done.err
