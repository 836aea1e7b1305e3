"""Clustering the rows of tables, in Python and on the command line."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import gmmseg
from gmmseg.errors import InvalidDataError
from gmmseg.mixture import EMOptions
from gmmseg.tabular import cluster_table


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def flowers(folder):
    """Two kinds in two columns; the first column of the second kind is smaller."""
    rng = np.random.default_rng(0)
    lines = ["name,length,width"]
    for i in range(80):
        kind = i % 2
        length, width = rng.normal([6, 3] if kind else [2, 9], [0.5, 0.3])
        lines.append(f"f{i},{length:.3f},{width:.3f}")
    Path("flowers.csv").write_text("\n".join(lines) + "\n")
    return "flowers.csv"


def rows_of(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def names():
    return sorted(path.name for path in Path().iterdir())


# In Python


def test_labels_and_probabilities(flowers):
    found = cluster_table(flowers, 2)
    assert found.labels.tolist() == [1 + i % 2 for i in range(80)]  # by the first column's mean
    assert found.labels.dtype == np.uint8
    assert found.probabilities.shape == (80, 2)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-6)
    assert (found.probabilities.argmax(axis=1) + 1 == found.labels).all()
    X = found.table.values
    mixture = found.model.mixture
    density = np.stack(
        [
            w * stats.multivariate_normal(m, c).pdf(X)
            for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
        ],
        axis=1,
    )
    expected = density / density.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-9)
    np.testing.assert_allclose(mixture.means[0], X[::2].mean(axis=0), rtol=1e-4)


def test_options_reach_em(flowers):
    found = cluster_table(flowers, 2, EMOptions(covariance_type="spherical", max_iter=1, tol=0))
    assert found.model.mixture.covariance_type == "spherical"
    assert "did not converge in 1 iterations" in found.warnings[0]


def test_a_model_means_the_same_in_another_table(flowers):
    fitted = cluster_table(flowers, 2)
    lines = Path(flowers).read_text().splitlines()
    swapped = [",".join([c, b, a]) for a, b, c in (line.split(",") for line in lines)]
    Path("other.csv").write_text("\n".join(swapped) + "\n")  # columns in another order
    fitted.model.save("m.gmm.json")
    found = cluster_table("other.csv", model=gmmseg.load_model("m.gmm.json"))
    np.testing.assert_array_equal(found.labels, fitted.labels)
    Path("less.csv").write_text("length\n1\n2\n")
    with pytest.raises(InvalidDataError, match=r"this table has no numeric column 'width'. It has"):
        cluster_table("less.csv", model=fitted.model)


def test_the_summary(flowers):
    found = cluster_table(flowers, 2)
    head, *lines = found.summary().splitlines()
    assert head.split() == ["cluster", "rows", "weight", "length", "width"]
    assert [line.split()[:3] for line in lines] == [["1", "40", "0.5000"], ["2", "40", "0.5000"]]
    summary = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert summary["clusters"][0]["mean"]["length"] == pytest.approx(2, abs=0.3)
    assert summary["rows"] == 80
    assert summary["notes"] == list(found.table.notes) != []


# On the command line


def test_the_main_job(run, flowers):
    done = run("cluster", flowers, "-k", 2, "--save-model")
    assert done.status == 0
    assert names() == ["flowers.csv", "flowers.gmm.json", "flowers_clusters.csv"]
    assert done.out.splitlines()[0].split() == ["cluster", "rows", "weight", "length", "width"]
    assert "flowers.csv: left out, not numeric: name ('f0' near line 2)" in done.err
    assert "2 clusters of 80 rows -> flowers_clusters.csv, flowers.gmm.json" in done.err
    rows, before = rows_of("flowers_clusters.csv"), rows_of(flowers)
    assert [row["cluster"] for row in rows] == ["1", "2"] * 40
    assert all(before[i].items() <= row.items() for i, row in enumerate(rows))
    assert float(rows[0]["probability_1"]) > 0.99


def test_a_model_is_applied(run, flowers):
    assert run("cluster", flowers, "-k", 2, "--save-model", "-q").status == 0
    Path("new.csv").write_text("width;length\n9;2\n3;6\n")
    done = run("cluster", "new.csv", "--model", "flowers.gmm.json", "--json", "-o", "out")
    assert done.status == 0
    assert json.loads(done.out)["outputs"] == {"clusters": str(Path("out/new_clusters.csv"))}
    text = Path("out/new_clusters.csv").read_text()
    assert text.startswith("width;length;cluster;probability_1;probability_2\n9;2;1;")


def test_results_of_the_first_time_are_left_out(run, flowers):
    assert run("cluster", "*.csv", "-k", 2).status == 0
    done = run("cluster", "*.csv", "-k", 2, "--overwrite")
    assert done.status == 0
    assert "left out, being outputs of other inputs: flowers_clusters.csv" in done.err
    assert names() == ["flowers.csv", "flowers_clusters.csv"]


def test_outputs_that_exist_are_kept(run, flowers):
    Path("flowers_clusters.csv").write_text("mine")
    done = run("cluster", flowers, "-k", 2)
    assert done.status == 1
    assert "exists already" in done.err
    assert Path("flowers_clusters.csv").read_text() == "mine"


def test_columns_delimiter_and_decimal(run, folder):
    Path("t.txt").write_text("1,5\t2\t3\n9,5\t8\t7\n1,4\t2\t3\n9,2\t8\t7\n")
    done = run("cluster", "t.txt", "-k", 2, "--columns", "1,3", "--decimal", ",", "--no-header",
               "--delimiter", "tab", "--json")  # fmt: skip
    assert done.status == 0
    assert json.loads(done.out)["columns"] == ["column 1", "column 3"]
    assert Path("t_clusters.tsv").read_text().startswith("1,5\t2\t3\t1\t1\t")


def test_others_go_on_after_a_failure(run, flowers):
    Path("bad.csv").write_text("x,y\n1,2\n3\n")
    done = run("cluster", "bad.csv", flowers, "gone.csv", "-k", 2)
    assert done.status == 1
    assert "bad.csv: line 3 has 1 fields" in done.err
    assert done.err.splitlines()[-1] == "gmmseg: error: 2 of 3 inputs failed: bad.csv, gone.csv"
    assert Path("flowers_clusters.csv").exists()


def test_strict_makes_no_convergence_a_failure(run, flowers):
    words = ["cluster", flowers, "-k", 2, "--max-iter", 1, "--tol", 0]
    done = run(*words, "--strict")
    assert done.status == 1
    assert "--strict takes it as a failure" in done.err
    assert run(*words, "--overwrite").status == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either the number of clusters (-k) or a --model"),
        (["-k", "2", "--model", "m"], "give either the number of clusters (-k) or a --model"),
        (["--model", "m", "--save-model"], "--save-model writes what was fitted, but --model"),
    ],
)
def test_usage(run, flowers, words, message):
    done = run("cluster", flowers, *words)
    assert done.status == 2
    assert message in done.err


def test_standard_input_is_no_table(run, folder):
    done = run("cluster", "-", "-k", 2)
    assert done.status == 1
    assert "a table cannot come from standard input: name a file" in done.err


def test_a_bar_tells_how_much_is_read(run, flowers, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    done = run("cluster", flowers, "-k", 2)
    assert "reading flowers.csv:   0 %" in done.err
