"""gmmseg plot: kinds, features, images, files."""

from pathlib import Path

import numpy as np
import pytest

import gmmseg
from gmmseg.__main__ import main
from gmmseg.io import read_image, write_png

pytest.importorskip("matplotlib")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    levels = np.repeat(np.array([30, 120, 220]), 20)
    noise = np.random.default_rng(0).normal(0, 6, (40, 60, 3))
    picture = (levels[None, :, None] + noise).clip(0, 255).astype(np.uint8)
    write_png("a.png", picture)
    write_png("grey.png", picture[..., 0])
    gmmseg.fit(["a.png"], 3, "plain").save("m.gmm.json")
    gmmseg.fit(["grey.png"], 3).save("grey.gmm.json")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["m.gmm.json"],
        ["m.gmm.json", "a.png"],
        ["m.gmm.json", "a.png", "--features", "b,1"],
        ["m.gmm.json", "a.png", "--kind", "histogram"],
        ["m.gmm.json", "--kind", "histogram", "--features", "a"],
        ["m.gmm.json", "--kind", "history"],
        ["grey.gmm.json", "grey.png"],
        ["m.gmm.json", "a.png", "--mask", "grey.png"],
    ],
)
def test_a_figure_appears(folder, words, capsys):
    assert main(["plot", *words, "-o", "figure.png"]) == 0
    assert capsys.readouterr().out == ""
    shown = read_image("figure.png").data[..., :3].astype(int)
    assert min(shown.shape[:2]) > 400
    assert (np.ptp(shown, axis=-1) > 60).sum() > 200  # colours, on
    assert (shown.min(axis=-1) > 250).mean() > 0.3  # white paper


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["m.gmm.json", "-o", "f.jpg"], 2, "a figure must end in .png, .svg, .pdf, got f.jpg."),
        (["m.gmm.json", "-o", "f.png", "--features", "L,z"], 2, "--features must be of L, a, b"),
        (["m.gmm.json", "-o", "f.png", "--features", "0,1"], 2, "or numbers in 1..3, got 0."),
        (
            ["m.gmm.json", "-o", "f.png", "--features", "L"],
            2,
            "needs two different features, got 1",
        ),
        (["grey.gmm.json", "-o", "f.png", "--kind", "scatter"], 2, "of the 1 of the model"),
        (["m.gmm.json", "a.png", "-o", "a.png", "--overwrite"], 2, "a.png is an input"),
        (["m.gmm.json", "grey.png", "-o", "f.png"], 2, "'lab' needs three bands"),
        (["m.gmm.json", "none.png", "-o", "f.png"], 1, "none.png"),
        (["none.gmm.json", "-o", "f.png"], 1, "there is no model file none.gmm.json"),
    ],
)
def test_failures_write_nothing(folder, words, status, message, capsys):
    before = sorted(Path().iterdir())
    assert main(["plot", *words]) == status
    assert message in capsys.readouterr().err
    assert sorted(Path().iterdir()) == before


def test_a_file_that_exists_is_kept(folder, capsys):
    Path("f.png").write_bytes(b"mine")
    assert main(["plot", "m.gmm.json", "-o", "f.png"]) == 1
    assert "f.png exists already" in capsys.readouterr().err
    assert Path("f.png").read_bytes() == b"mine"
    assert main(["plot", "m.gmm.json", "-o", "f.png", "--overwrite"]) == 0


def test_info_does_not_list_the_history(folder, capsys):
    assert main(["info", "m.gmm.json"]) == 0
    assert "history" not in capsys.readouterr().out
    assert main(["info", "m.gmm.json", "--json"]) == 0
    assert '"history"' in capsys.readouterr().out
