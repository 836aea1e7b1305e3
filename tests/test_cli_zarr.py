"""Zarr on the command line: one input, outputs beside it and never inside."""

import json

import numpy as np
import pytest

from gmmseg.io import read_image

zarr = pytest.importorskip("zarr")

from zarr_files import landscape, ome_zarr  # noqa: E402

SMALL = ("--memory", "1MB")  # everything is streamed


@pytest.fixture
def scene(tmp_path):
    return ome_zarr(tmp_path / "scan.ome.zarr", landscape(), scale={"y": 0.5, "x": 0.5},
                    names=("red", "nir", "swir"))  # fmt: skip


def labels_of(path):
    return read_image(path).data[..., 0]


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("smooth", [(), ("--smooth", "0.8")])
def test_held_or_streamed_the_labels_are_the_same(tmp_path, run, scene, smooth):
    before, found = files(scene), []
    memory = ("--memory", "250MB") if smooth else SMALL
    for i, more in enumerate([(), (*memory, "--tile", "7"), (*memory, "--tile", "60")]):
        out = tmp_path / str(i)
        done = run("segment", scene, "-k", 3, "-o", f"{out}/", "--json", "--preset", "plain",
                   "--probabilities", *smooth, *more)  # fmt: skip
        assert done.status == 0, done.err
        summary = json.loads(done.out)
        assert ("read strip by strip" in summary["notes"]) is bool(more)
        assert summary["bands"] == ["red", "nir", "swir"]
        found.append((labels_of(out / "scan_labels.ome.zarr"),
                      read_image(out / "scan_prob.ome.zarr").data))  # fmt: skip
    for labels, soft in found[1:]:
        assert np.array_equal(labels, found[0][0])
        assert np.array_equal(soft, found[0][1])
    assert files(scene) == before


@pytest.mark.parametrize("more", [(), SMALL])
def test_fit_apply_and_the_area_in_real_units(tmp_path, run, scene, more):
    other = ome_zarr(tmp_path / "other.zarr", landscape(seed=3), names=("red", "nir", "swir"))
    model = tmp_path / "m.gmm.json"
    assert run("fit", scene, other, "-k", 3, "-o", model, *more).status == 0
    done = run("apply", model, scene, "-o", f"{tmp_path}/out/", *more)
    assert done.status == 0, done.err
    assert "area µm²" in done.err
    assert labels_of(tmp_path / "out" / "scan_labels.ome.zarr").max() == 3


def test_beside_the_input_and_for_one_resolution(tmp_path, run, scene, monkeypatch):
    before = files(scene)
    monkeypatch.chdir(tmp_path)
    assert run("segment", "scan.ome.zarr", "-k", 2, "--no-overlay").status == 0
    done = run("segment", "scan.ome.zarr/s1", "-k", 2, "--no-overlay")
    assert "-> scan_s1_labels.ome.zarr" in done.err
    assert labels_of(tmp_path / "scan_labels.ome.zarr").shape == (90, 120)
    assert labels_of(tmp_path / "scan_s1_labels.ome.zarr").shape == (45, 60)
    assert files(scene) == before


@pytest.mark.parametrize(
    ("inside", "word", "stem"),
    [("s1", "../../scan.ome.zarr", "scan"), ("", ".", "scan"), ("", "s1", "scan_s1"),
     ("s1", "..", "scan"), ("s1", ".", "scan_s1"), ("", "s0/../s1", "scan_s1")],
)  # fmt: skip
def test_whoever_stands_in_a_zarr(tmp_path, run, scene, monkeypatch, inside, word, stem):
    before = files(scene)
    monkeypatch.chdir(scene / inside)
    done = run("segment", word, "-k", 2, "--no-overlay", "--preset", "plain")
    assert done.status == 0, done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["scan.ome.zarr", f"{stem}_labels.ome.zarr"]
    )
    assert read_image(tmp_path / f"{stem}_labels.ome.zarr").spacing is not None
    assert files(scene) == before


def test_never_into_the_input(tmp_path, run, scene):
    before = files(scene)
    places = [f"{scene}/", f"{scene}/labels/", f"{scene}/x.tif", scene]
    for place in places:
        done = run("segment", scene, "-k", 2, "-o", place, "--overwrite")
        assert done.status != 0
        assert "Choose another place with -o" in done.err
    model = run("fit", scene, "-k", 2, "-o", scene / "m.gmm.json")
    assert model.status != 0
    assert files(scene) == before


def test_names_of_the_label_map(tmp_path, run, scene):
    for name in ("x.ome.zarr", "y.tif", "z.png"):
        assert run("segment", scene, "-k", 2, "-o", tmp_path / name, "--no-overlay").status == 0
    first, *others = (labels_of(tmp_path / name) for name in ("x.ome.zarr", "y.tif", "z.png"))
    assert all(np.array_equal(first, other) for other in others)
    done = run("segment", scene, "-k", 2, "-o", tmp_path / "x.ome.zarr", "--no-overlay")
    assert (done.status, "exists already" in done.err) == (1, True)


def test_patterns_find_a_zarr_and_nothing_inside(tmp_path, run, scene):
    done = run("segment", f"{tmp_path}/**", "-k", 2, "--json", "--no-overlay")
    assert done.status == 0, done.err
    assert len(done.out.splitlines()) == 1
    again = run("segment", f"{tmp_path}/*.zarr", "-k", 2, "--json", "--overwrite", "--no-overlay")
    assert len(again.out.splitlines()) == 1
    assert "left out, being outputs" in again.err


def test_moments_masks_and_hints(tmp_path, run, scene):
    x = np.stack([landscape(), landscape(seed=1)])
    series = ome_zarr(tmp_path / "t.zarr", x, "tcyx")
    done = run("segment", series, "-k", 2, "-o", f"{tmp_path}/o/")
    assert (done.status, "2 moments in time" in done.err) == (1, True)
    for more in ((), SMALL):
        done = run("segment", series, "-k", 2, "--frame", 1, "-o", f"{tmp_path}/o/",
                   "--overwrite", *more)  # fmt: skip
        assert done.status == 0, done.err
        assert read_image(tmp_path / "o" / "t_labels.ome.zarr").grid.axes == ("t", "y", "x")
    labels = tmp_path / "o" / "t_labels.ome.zarr"
    assert run("segment", scene, "-k", 2, "--mask", labels, "-o", f"{tmp_path}/a/").status == 0
    assert run("segment", scene, "--hints", labels, "-o", f"{tmp_path}/b/").status == 0


def test_a_volume(tmp_path, run):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (6, 30, 40)).astype(np.float32)
    x[..., 20:] += 9
    path = ome_zarr(tmp_path / "v.zarr", x, "zyx", levels=1)
    done = run("segment", path, "-k", 2, "-o", f"{tmp_path}/o/", "--save-model")
    assert done.status == 0, done.err
    assert labels_of(tmp_path / "o" / "v_labels.ome.zarr").shape == (6, 30, 40)


def test_info_and_export(tmp_path, run, scene):
    done = run("info", scene, "--json")
    facts = json.loads(done.out)
    assert (facts["format"], facts["unit"]) == ("OME-Zarr 0.5", "µm")
    assert run("segment", scene, "-k", 2, "-o", f"{tmp_path}/o/", "-q").status == 0
    table = tmp_path / "t.csv"
    assert run("export", tmp_path / "o" / "scan_labels.ome.zarr", "--to", table).status == 0
    assert len(table.read_text().splitlines()) == 3


@pytest.mark.parametrize("more", [(), ("--allow-remote",)])
def test_remote_zarr_is_refused(run, more):
    done = run("segment", "https://127.0.0.1:9/a.zarr", "-k", 2, *more)
    assert (done.status, "a Zarr is read from one only" in done.err) == (1, True)


def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, run, scene):
    (scene / "s0" / "c" / "0" / "1" / "1").write_bytes(b"nonsense")
    for more in ((), SMALL):
        done = run("segment", scene, "-k", 3, "-o", f"{tmp_path}/out/", *more)
        lines = [line for line in done.err.splitlines() if "compiling" not in line]
        assert (done.status, len(lines)) == (1, 1), lines
        assert "cannot read" in lines[0]
        assert not list(tmp_path.glob("out/*"))


def test_batch_takes_a_zarr_as_one_image(tmp_path, run, scene):
    ome_zarr(tmp_path / "deep" / "b.zarr", landscape(seed=2), names=("red", "nir", "swir"))
    words = ("batch", tmp_path, "-k", 3, "-o", tmp_path / "out", "--jobs", 1, "--recursive")
    done = run(*words)
    assert done.status == 0, done.err
    assert labels_of(tmp_path / "out" / "scan_labels.ome.zarr").max() == 3
    assert labels_of(tmp_path / "out" / "deep" / "b_labels.ome.zarr").max() == 3
    assert "2 done before" in run(*words, "--resume").err
    chunk = scene / "s0" / "c" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes())  # changed, as far as times tell
    assert "1 done before" in run(*words, "--resume").err
    (tmp_path / "out" / "deep" / "b_labels.ome.zarr" / "0" / "c" / "0" / "0").unlink()
    assert "1 done before" in run(*words, "--resume").err
    assert run("report", tmp_path / "out").status == 0
    done = run(*words[:4], "-o", scene / "out")
    assert "would be written into" in done.err
