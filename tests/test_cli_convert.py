"""gmmseg convert: by endings, by options, through standard output."""

from pathlib import Path

import numpy as np
import pytest

import gmmseg
from gmmseg.__main__ import main
from gmmseg.io import write_png

DATA = Path(__file__).parent / "data"


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    picture = np.repeat([40, 120, 220], 40)[None, :, None] + rng.normal(0, 8, (50, 120, 3))
    write_png("a.png", picture.clip(0, 255).astype(np.uint8))
    options = gmmseg.SegmentOptions(features=gmmseg.FeatureSpec(colour_space="raw"))
    gmmseg.fit(["a.png"], 3, options).save("m.gmm.json")
    return gmmseg.load_model("m.gmm.json")


@pytest.mark.parametrize("out", ["m.yml", "m.gsg", "m.sig"])
def test_there_and_back_labels_images_the_same(model, out, capsys):
    assert main(["convert", "m.gmm.json", out]) == 0
    assert main(["convert", out, "back.gmm.json"]) == 0
    assert capsys.readouterr() == ("", "")
    back = gmmseg.load_model("back.gmm.json")
    before, after = gmmseg.apply(model, "a.png"), gmmseg.apply(back, "a.png")
    np.testing.assert_array_equal(before.labels, after.labels)


def test_formats_by_name(model, capsys):
    assert main(["convert", "m.gmm.json", "sig", "--to", "grass7"]) == 0
    assert main(["convert", "sig", "-", "--from", "grass7", "--to", "arcgis"]) == 0
    assert capsys.readouterr().out.startswith("# Signatures Produced by gmmseg\n")


def test_a_model_over_lab_is_converted_with_a_warning(model, capsys):
    gmmseg.fit(["a.png"], 2, "plain").save("lab.gmm.json")
    assert main(["convert", "lab.gmm.json", "lab.yml"]) == 0
    assert "warning: the model is over L, a, b, which gmmseg makes of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["m.gmm.json", "m.txt"], 2, "the name m.txt tells no format: end it in one of .json"),
        (["m.gmm.json", "-"], 2, "standard output has no ending: say the format with --to."),
        (["m.gmm.json", "m.gmm.json", "--overwrite"], 2, "is an input"),
        (["m.gmm.json", "x.gsg", "--from", "grass"], 1, "m.gmm.json: the first line must be the"),
        (["none", "x.gsg"], 1, "there is no model file none."),
        (["a.png", "x.gsg"], 1, "a.png is not a model file: it is not text."),
    ],
)
def test_failures(model, words, status, message, capsys):
    before = sorted(Path().iterdir())
    assert main(["convert", *words]) == status
    assert message in capsys.readouterr().err
    assert sorted(Path().iterdir()) == before


def test_a_file_that_exists_is_kept(model, capsys):
    Path("m.gsg").write_text("mine", encoding="utf-8")
    assert main(["convert", "m.gmm.json", "m.gsg"]) == 1
    assert "m.gsg exists already" in capsys.readouterr().err
    assert main(["convert", "m.gmm.json", "m.gsg", "--overwrite"]) == 0
    assert Path("m.gsg").read_text(encoding="utf-8").startswith("# Signatures")
