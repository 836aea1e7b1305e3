"""Empty cells are gaps: tables and anomalies with missing values."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gmmseg import AnomalyOptions, cluster_table, detect_anomalies, read_table
from gmmseg.__main__ import main
from gmmseg.anomaly import score_rows
from gmmseg.mixture import Mixture


@pytest.fixture
def gappy(tmp_path, monkeypatch):
    """Two clusters; every fifth cell of the second column and one whole row are empty."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = ["x,y"]
    for i in range(100):
        x, y = rng.normal([6, 3] if i % 2 else [2, 9], [0.5, 0.3])
        lines.append(f"{x:.3f}," if i % 5 == 0 else f"{x:.3f},{y:.3f}")
    lines[31] = ","
    Path("t.csv").write_text("\n".join(lines) + "\n")
    return "t.csv"


def test_rows_with_gaps_are_clustered(gappy):
    found = cluster_table(gappy, 2)
    expected = [1 + i % 2 for i in range(100)]
    expected[30] = 0
    assert found.labels.tolist() == expected
    assert np.isnan(found.probabilities[30]).all()
    assert np.isfinite(np.delete(found.probabilities, 30, axis=0)).all()
    assert found.to_dict()["rows_without_values"] == 1


def test_gaps_on_the_command_line(gappy, capsys):
    assert main(["cluster", gappy, "-k", "2"]) == 0
    with Path("t_clusters.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[30] == {"x": "", "y": "", "cluster": "0", "probability_1": "", "probability_2": ""}
    assert rows[0]["y"] == ""
    assert rows[0]["cluster"] == "1"


def test_scores_of_rows_with_gaps_are_those_of_the_marginal():
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(3, 3, 3))
    mixture = Mixture(
        weights=[0.2, 0.3, 0.5],
        means=rng.normal(0, 3, (3, 3)),
        covariances=shapes @ shapes.transpose(0, 2, 1) + 0.1 * np.eye(3),
    )
    X = rng.normal(0, 4, (60, 3))
    X[::2, 1] = np.nan
    X[::3, 0] = np.nan
    found = score_rows(mixture, X)
    for i, x in enumerate(X):
        o = np.flatnonzero(~np.isnan(x))
        parts = [
            stats.multivariate_normal(m[o], c[np.ix_(o, o)])
            for m, c in zip(mixture.means, mixture.covariances, strict=True)
        ]
        density = sum(w * p.pdf(x[o]) for w, p in zip(mixture.weights, parts, strict=True))
        peak = sum(w * p.pdf(p.mean) for w, p in zip(mixture.weights, parts, strict=True))
        assert found.score[i] == pytest.approx(-2 * np.log(density / peak), rel=1e-6)
        squared = min((x[o] - p.mean) @ np.linalg.solve(np.atleast_2d(p.cov), x[o] - p.mean)
                      for p in parts)  # fmt: skip
        assert found.p_value[i] == pytest.approx(stats.chi2(len(o)).sf(squared), rel=1e-6)


def test_anomalies_of_a_table_with_gaps(gappy):
    text = Path(gappy).read_text().splitlines()
    text[50] = "2.0,3.0"  # between the clusters
    Path(gappy).write_text("\n".join(text) + "\n")
    found = detect_anomalies(read_table(gappy), AnomalyOptions(k=2, quantile=0.015))
    assert np.flatnonzero(found.mask).tolist() == [49]
    assert found.score[30] == pytest.approx(0, abs=1e-9)  # nothing observed, nothing odd
