"""Batches of scenes that are larger than the memory allowed: what they are in memory."""

import json

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")

from scene_files import PLACE, landscape, write  # noqa: E402

from gmmseg.batch.modes import MODES  # noqa: E402
from gmmseg.batch.record import read_record  # noqa: E402

SMALL = ("--memory", "1MB", "--tile", "7")
HELD = ("--memory", "1GiB")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three dates of which one is brighter, with gaps in one of them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dates").mkdir()
    for number, gain in enumerate((1.0, 1.3, 1.0)):
        values = (landscape(seed=number) * gain).astype(np.uint16)
        if number == 2:
            values[0, 5::10] = 0
            values[:, 20:24] = 0
        write(tmp_path / f"dates/d{number}.tif", values, names=("red", "nir", "swir"), nodata=0)
    return tmp_path


def batch(run, out, *words):
    return run("batch", "dates", "-o", out, "--jobs", 1, "--threads", 1, "-k", 3, *words)


def labels_of(folder):
    found = {}
    for path in sorted(folder.glob("*_labels.tif")):
        with rasterio.open(path) as file:
            assert (file.crs.to_epsg(), file.transform) == (32633, PLACE)
            found[path.name] = file.read(1)
    return found


def rounded(value):
    """Sums over strips differ from sums over the image in their last digits."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return value


@pytest.mark.parametrize("mode", ["each", *sorted(MODES)])
def test_streamed_scenes_get_the_labels_and_the_drift_of_scenes_in_memory(run, folder, mode):
    given = ()
    if mode == "reference":
        made = run("fit", "dates/d0.tif", "-k", 3, "-o", "m.gmm.json", "--preset", "plain")
        assert made.status == 0
        given = ("--model", "m.gmm.json")
    plain = ("--mode", mode, "--preset", "plain", "--entropy", "--save-model", *given)
    for out, more in (("held", HELD), ("streamed", SMALL)):
        done = batch(run, out, *plain, *more)
        assert done.status == 0, done.err
    held, streamed = labels_of(folder / "held"), labels_of(folder / "streamed")
    assert len(held) == 3
    for name, expected in held.items():
        assert set(np.unique(expected)) >= {1, 2, 3}
        np.testing.assert_array_equal(streamed[name], expected)
    tables = [] if mode == "each" else ["drift.json"]
    for name in ("d0_summary.json", "d2_summary.json", *tables):
        one, other = (json.loads((folder / out / name).read_text()) for out in ("held", "streamed"))
        if "notes" in one:
            assert other.pop("notes") == ["read strip by strip"]
            one.pop("notes")
        assert rounded(other) == rounded(one)
    model = (folder / "held/d1.gmm.json").read_bytes()
    assert (folder / "streamed/d1.gmm.json").read_bytes() == model


def test_smoothing_after_em_has_no_seams(run, folder):
    words = ("--mode", "drift", "--preset", "plain", "--smooth", "0.8")
    assert batch(run, "held", *words).status == 0
    assert batch(run, "streamed", *words, "--memory", "250MB", "--tile", "6").status == 0
    for name, expected in labels_of(folder / "held").items():
        np.testing.assert_array_equal(labels_of(folder / "streamed")[name], expected)


def test_resuming_knows_what_was_streamed(run, folder):
    words = ("--mode", "pooled")
    assert batch(run, "out", *words, *SMALL).status == 0
    (folder / "out/d1_labels.tif").unlink()
    done = batch(run, "out", *words, "--memory", "1MB", "--tile", "30", "--resume")
    assert done.status == 0
    assert "2 done before" in done.err  # the height of strips changes nothing


def test_cloud_optimised_maps(run, folder):
    for out, more in (("held", HELD), ("streamed", SMALL)):
        assert batch(run, out, "--cog", *more).status == 0
        with rasterio.open(folder / out / "d0_labels.tif") as file:
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--mask", "dates/d0.tif"], "--mask"),
        (["--spacing", "2"], "--spacing"),
        (["--smooth", "1", "--smooth-inside"], "smoothing inside EM"),
        (["--masks"], "mask_1 cannot be written so"),
    ],
)
def test_what_needs_the_whole_scene_fails_with_a_line_for_each_file(run, folder, words, what):
    done = batch(run, "out", *SMALL, *words)
    assert done.status == 1
    told = [line for line in done.err.splitlines() if what in line]
    assert len(told) == 3
    assert all("Raise memory (--memory)" in line for line in told)
    assert not list((folder / "out").glob("d*"))


def test_why_there_is_no_reference_is_told(run, folder):
    done = batch(run, "out", *SMALL, "--mode", "pooled", "-k", "auto")
    assert done.status == 1
    assert "so there is no model that would give labels a meaning: d0.tif: the scene" in done.err
    assert "which does not go with -k auto" in done.err


def cut(path):
    path.write_bytes(path.read_bytes()[:-4000])


def emptied(path):
    write(path, np.zeros((3, 60, 80), np.uint16), nodata=0)


def with_fewer_bands(path):
    write(path, landscape(bands=2))


BAD = [
    (cut, "cannot read"),
    (emptied, "no pixel may be used"),
    (with_fewer_bands, "fitted on"),
]


@pytest.mark.parametrize("more", [HELD, SMALL], ids=["held", "streamed"])
@pytest.mark.parametrize(("spoil", "message"), BAD, ids=[spoil.__name__ for spoil, _ in BAD])
def test_a_bad_scene_is_one_line_and_leaves_nothing(run, folder, spoil, message, more):
    made = run("fit", "dates/d0.tif", "-k", 3, "-o", "m.gmm.json", "--preset", "plain")
    assert made.status == 0
    spoil(folder / "dates/d1.tif")
    words = ("--mode", "drift", "--model", "m.gmm.json", *more)
    done = batch(run, "out", *words)
    assert done.status == 1
    lines = [line for line in done.err.splitlines() if message in line]
    assert len(lines) == 1, done.err
    assert "1 of 3 files failed" in done.err
    failed = [e["input"] for e in read_record("out") if e.get("status") == "failed"]
    assert failed == ["d1.tif"]
    left = [path.name for path in (folder / "out").iterdir()]
    assert not [name for name in left if name.startswith(("d1", "."))]
    assert "d2_labels.tif" in left
