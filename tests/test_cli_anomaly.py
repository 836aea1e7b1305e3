"""``gmmseg anomaly`` in this process."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from gmmseg.io import read_image, write_png, write_tiff


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scene(folder):
    rng = np.random.default_rng(0)
    data = rng.normal(100, 5, (50, 60, 5)).astype(np.float32)
    data[7:9, 11] = 200, 20, 200, 20, 200
    write_tiff("scene.tif", data)
    return "scene.tif"


def names():
    return sorted(path.name for path in Path().iterdir())


def test_the_main_job(run, scene):
    done = run("anomaly", scene)
    assert done.status == 0
    assert done.out == ""
    assert names() == [
        "scene.tif", "scene_anomalies.tif", "scene_anomaly_heat.png", "scene_anomaly_score.tif",
    ]  # fmt: skip
    mask = read_image("scene_anomalies.tif").data[..., 0]
    assert mask[7:9, 11].tolist() == [255, 255]
    assert np.count_nonzero(mask) == 3
    assert "scene.tif: 3 anomalies (0.1 %, score from " in done.err


def test_everything_as_json(run, scene):
    words = ["-k", 1, "--fdr", 0.01, "--all-maps", "--save-model", "--json", "-o", "out"]
    done = run("anomaly", scene, *words)
    assert done.status == 0
    summary = json.loads(done.out)
    assert summary["rule"] == {"fdr": 0.01}
    assert summary["components"] == 1
    assert summary["regions"][0]["box"] == [7, 11, 9, 12]
    assert set(summary["outputs"]) == {"mask", "score", "heat", "maps", "model"}
    again = run("anomaly", scene, "--model", "out/scene.gmm.json", "--json", "--no-heat", "-q")
    assert json.loads(again.out)["regions"][0] == summary["regions"][0]
    assert "scene_anomaly_heat.png" not in names()


def test_options_reach_the_library(run, scene, monkeypatch):
    from gmmseg.cli import anomaly

    seen = []

    def spy(data, options, **rest):
        seen.append(options)
        return real(data, options, **rest)

    real = anomaly.detect_anomalies
    monkeypatch.setattr(anomaly, "detect_anomalies", spy)
    assert run("anomaly", scene).status == 0
    assert seen[0] == anomaly.AnomalyOptions()  # the command has the library's defaults
    words = ["-k", 3, "--quantile", 0.01, "--min-share", 0, "--principal-share", 0.9, "--shrink",
             "--covariance", "diag", "--bands", "1,2", "--seed", 5, "--overwrite"]  # fmt: skip
    assert run("anomaly", scene, *words).status == 0
    options = seen[1]
    assert (options.k, options.quantile, options.min_share) == (3, 0.01, 0)
    assert (options.principal_share, options.shrink) == (0.9, True)
    assert (options.em.covariance_type, options.em.rng) == ("diag", 5)
    assert options.features.bands == (1, 2)


def test_png_gives_png_and_the_second_run_leaves_outputs_out(run, folder):
    picture = np.random.default_rng(0).integers(90, 110, (40, 40, 3)).astype(np.uint8)
    write_png("p.png", picture)
    assert run("anomaly", "*.png").status == 0
    done = run("anomaly", "*.png")
    assert done.status == 1
    assert "p_anomalies.png exists already" in done.err
    assert (
        "left out, being outputs of other inputs: p_anomalies.png, p_anomaly_heat.png" in done.err
    )


def test_a_table(run, folder):
    rng = np.random.default_rng(0)
    lines = [
        "id,x,y",
        *(f"r{i},{x:.4f},{y:.4f}" for i, (x, y) in enumerate(rng.normal(size=(99, 2)))),
    ]
    lines[40] = "r39,9,-9"
    Path("t.csv").write_text("\n".join(lines) + "\n")
    done = run("anomaly", "t.csv", "--quantile", 0.02, "--save-model")
    assert done.status == 0
    assert names() == ["t.csv", "t.gmm.json", "t_anomalies.csv"]
    with Path("t_anomalies.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[39]["anomaly"] == "1"
    assert rows[39]["id"] == "r39"
    assert float(rows[39]["p_value"]) < 1e-6
    assert sum(int(row["anomaly"]) for row in rows) == 1
    done = run("anomaly", "t.csv", "--model", "t.gmm.json", "--overwrite", "--json")
    assert done.status == 0
    assert json.loads(done.out)["columns"] == ["x", "y"]
    assert "no anomaly can be found: the quantile 0.001 of 99 is less than one" in done.err


def test_npy_is_an_image_unless_told(run, folder):
    np.save("a.npy", np.random.default_rng(0).normal(size=(50, 3)))
    assert run("anomaly", "a.npy", "--table").status == 0
    assert names() == ["a.npy", "a_anomalies.csv"]
    assert run("anomaly", "a.npy", "--no-heat").status == 0
    assert "a_anomalies.png" in names()


def test_failures(run, scene):
    done = run("anomaly", "none.tif", scene, "--overwrite", "--strict", "--max-iter", 1)
    assert done.status == 1
    assert "--strict takes it as a failure" in done.err
    assert done.err.splitlines()[-1].startswith("gmmseg: error: 2 of 2 inputs failed: none.tif")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "m", "--save-model"], "--save-model writes what was fitted, but --model"),
        (["--quantile", "2"], "quantile must be less than 1, got 2.0."),
        (["--fdr", "0.1", "--quantile", "0.1"], "not allowed with argument"),
    ],
)
def test_usage(run, scene, words, message):
    done = run("anomaly", scene, *words)
    assert done.status == 2
    assert message in done.err
    assert names() == ["scene.tif"]
