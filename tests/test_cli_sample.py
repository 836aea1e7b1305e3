"""gmmseg sample: rows of a model as csv and npy, in blocks, to files and standard output."""

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gmmseg.__main__ import main
from gmmseg.cli import sample
from gmmseg.feature_spec import FeatureSpec
from gmmseg.mixture import Mixture
from gmmseg.model import Model

MODEL = Model(
    features=FeatureSpec(colour_space="raw"),
    feature_names=("near infrared", 'red, "B4"'),
    mixture=Mixture(
        weights=[0.25, 0.5, 0.25],
        means=[[0.0, 1.0], [40.0, -40.0], [300.0, 5.0]],
        covariances=[[1.0, 4.0], [2.0, 2.0], [1.0, 1.0]],
        covariance_type="diag",
    ),
    labels=(1, 2, 2),
)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    MODEL.save("m.gmm.json")

    def call(*words):
        status = main(["sample", "m.gmm.json", *map(str, words)])
        out, err = capsys.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return call


def table(text):
    header, *rows = csv.reader(io.StringIO(text))
    return header, np.array(rows, dtype=float)


def test_a_csv_with_the_names_of_the_features(run):
    done = run("-n", 500, "-o", "rows.csv")
    assert (done.status, done.out, done.err) == (0, "", "")
    header, rows = table(Path("rows.csv").read_text(encoding="utf-8"))
    assert header == list(MODEL.feature_names)
    expected, _ = MODEL.mixture.sample(500, rng=0)
    np.testing.assert_array_equal(rows, expected)  # to the last digit


def test_npy_holds_the_same_rows(run):
    assert run("-n", 200, "-o", "rows.npy", "--seed", 7).status == 0
    np.testing.assert_array_equal(np.load("rows.npy"), MODEL.mixture.sample(200, rng=7)[0])


def test_labels_are_the_classes(run):
    done = run("-n", 300, "-o", "-", "--labels")
    header, rows = table(done.out)
    assert header[-1] == "class"
    assert set(rows[:, -1]) == {1, 2}
    np.testing.assert_array_equal(rows[:, -1] == 1, rows[:, 0] < 20)
    assert done.out.splitlines()[1].rsplit(",", 1)[1] in ("1", "2")
    assert run("-n", 300, "-o", "rows.npy", "--labels").status == 0
    np.testing.assert_array_equal(np.load("rows.npy"), rows)


@pytest.mark.parametrize("name", ["rows.csv", "rows.npy"])
def test_many_rows_come_in_blocks(run, name, monkeypatch):
    monkeypatch.setattr(sample, "_BLOCK", 64)
    assert run("-n", 1000, "-o", name).status == 0
    rows = np.load(name) if name.endswith("npy") else table(Path(name).read_text())[1]
    assert rows.shape == (1000, 2)
    assert len(np.unique(rows[:, 0])) == 1000
    share = np.mean(rows[:, 0] < 20)
    assert share == pytest.approx(0.25, abs=0.05)


def test_a_file_that_exists_is_kept(run):
    Path("rows.csv").write_text("mine")
    done = run("-n", 5, "-o", "rows.csv")
    assert done.status == 1
    assert "rows.csv exists already" in done.err
    assert Path("rows.csv").read_text() == "mine"
    assert run("-n", 5, "-o", "rows.csv", "--overwrite").status == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-n", 5, "-o", "rows.txt"], "-o must be a file ending in .csv or .npy, or - for"),
        (["-n", 0, "-o", "-"], "must be a whole number, at least 1, got '0'"),
        (["-n", 5, "-o", "-", "--seed", "-1"], "--seed must be at least 0, got -1."),
    ],
)
def test_wrong_usage(run, words, message):
    done = run(*words)
    assert done.status == 2
    assert done.out == ""
    assert message in done.err


def test_the_model_is_never_replaced(run):
    Path("m.csv").write_bytes(Path("m.gmm.json").read_bytes())
    assert main(["sample", "m.csv", "-n", "5", "-o", "m.csv", "--overwrite"]) == 2
    assert Path("m.csv").read_bytes() == Path("m.gmm.json").read_bytes()
