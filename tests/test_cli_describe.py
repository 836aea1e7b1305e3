"""gmmseg describe: tables for people, JSON for programs."""

import json

import numpy as np
import pytest

import gmmseg
from gmmseg.__main__ import main


@pytest.fixture
def model(tmp_path):
    rng = np.random.default_rng(0)
    picture = np.repeat([40, 120, 220], 40)[None, :, None] + rng.normal(0, 8, (50, 120, 3))
    fitted = gmmseg.fit([picture.clip(0, 255).astype(np.uint8)], 3, "plain")
    fitted.save(tmp_path / "m.gmm.json")
    return str(tmp_path / "m.gmm.json")


def test_tables_go_to_stdout(model, capsys):
    assert main(["describe", model]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("class  weight")
    assert "L mean +- std" in out
    assert "Bhattacharyya distance" in out
    assert "ascribed to a wrong class" in out


def test_json_is_one_object(model, capsys):
    assert main(["describe", model, "--json", "--same", "0.5"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == model
    assert told["k"] == 3
    assert [component["label"] for component in told["components"]] == [1, 2, 3]
    assert told["feature_names"] == ["L", "a", "b"]


def test_wrong_usage_and_missing_models(model, capsys):
    assert main(["describe", model, "--same", "2"]) == 2
    assert "same must be within 0..1, got 2." in capsys.readouterr().err
    assert main(["describe", "none.gmm.json"]) == 1
    assert "there is no model file none.gmm.json" in capsys.readouterr().err
