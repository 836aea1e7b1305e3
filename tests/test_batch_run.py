"""Batches through the command line: outputs, record, resumption, failures, modes."""

import csv
import json
import os
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from image_files import png

import gmmseg
from gmmseg.batch import run as run_module
from gmmseg.batch.job import ImageJob
from gmmseg.batch.record import RECORD_NAME, read_record
from gmmseg.batch.settings import BatchSettings
from gmmseg.errors import InvalidParameterError
from gmmseg.io import read_image, write_png

posix = pytest.mark.skipif(os.name != "posix", reason="links and crashes of POSIX")

SIDE = 24


def picture(seed, gain=1.0):
    """Three noisy stripes, dark to bright from the left."""
    rng = np.random.default_rng(seed)
    levels = np.repeat([40, 110, 190], SIDE // 3)
    values = gain * levels[None, :, None] + rng.normal(0, 5, (SIDE, SIDE, 3))
    return values.clip(0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        (tmp_path / "scans/sub").mkdir(parents=True, exist_ok=True)
        write_png(tmp_path / f"scans/{'sub/' * (number == 2)}p{number}.png", picture(number))
    return tmp_path


def batch(run, *words):
    return run("batch", "scans", "-r", "-o", "out", "--jobs", 1, *words)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def table_of(name):
    with Path("out", name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def statuses():
    return {e["input"]: e["status"] for e in read_record("out") if "status" in e}


def test_a_folder_from_its_images_to_its_tables(run, folder):
    done = batch(run, "-k", 3, "--preset", "plain")
    assert (done.status, done.out) == (0, "")
    assert "3 images in" in done.err
    stems = ["p0", "p1", "sub/p2"]
    kinds = ["labels.png", "overlay.png", "summary.json"]
    expected = [f"{stem}_{kind}" for stem in stems for kind in kinds]
    assert names(folder / "out") == sorted([*expected, "classes.csv", RECORD_NAME, "sub"])
    labels = read_image("out/sub/p2_labels.png").data[..., 0]
    assert (labels == np.repeat([1, 2, 3], SIDE // 3)).mean() > 0.99
    summary = json.loads((folder / "out/sub/p2_summary.json").read_text())
    assert (summary["input"], summary["k"]) == ("sub/p2.png", 3)
    rows = table_of("classes.csv")
    assert [(r["input"], r["class"]) for r in rows][:4] == [
        ("p0.png", "1"),
        ("p0.png", "2"),
        ("p0.png", "3"),
        ("p1.png", "1"),
    ]


def test_the_record_is_as_documented(run, folder):
    batch(run, "-k", 3)
    header, *lines, end = read_record("out")
    assert header["record"] == "gmmseg-run"
    assert header["root"] == str(folder / "scans")
    assert (header["files"], header["mode"], header["k"], header["model"]) == (3, "each", 3, None)
    assert header["options"]["segment"]["preset"] == "auto"
    for line in lines:
        assert line["status"] == "ok"
        assert line["settings"] == header["settings"]
        assert line["outputs"].keys() == line["bytes"].keys() == {"labels", "overlay", "json"}
        for kind, name in line["outputs"].items():
            assert (folder / "out" / name).stat().st_size == line["bytes"][kind]
        assert line["size"] == (folder / "scans" / line["input"]).stat().st_size
    assert {k: end[k] for k in ("ok", "failed", "skipped", "interrupted")} == {
        "ok": 3,
        "failed": 0,
        "skipped": 0,
        "interrupted": False,
    }


def test_json_lines(run, folder):
    done = batch(run, "-k", 2, "--json", "-q")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert {line["input"] for line in lines} == {"p0.png", "p1.png", "sub/p2.png"}
    assert done.err == ""


def test_a_dry_run_writes_nothing(run, folder):
    done = batch(run, "-k", 3, "--dry-run")
    assert done.status == 0
    assert [line.split("\t")[0] for line in done.out.splitlines()] == [
        "p0.png",
        "p1.png",
        "sub/p2.png",
    ]
    assert not (folder / "out").exists()


def test_resuming_does_what_is_left(run, folder):
    batch(run, "-k", 3)
    before = {path: path.read_bytes() for path in (folder / "out").rglob("p*")}
    done = batch(run, "-k", 3)
    assert done.status == 1
    assert "has the record of an earlier run" in done.err

    (folder / "out/p0_overlay.png").unlink()  # one is gone, one has changed
    os.utime("scans/p1.png", ns=(1, 1))
    done = batch(run, "-k", 3, "--resume")
    assert done.status == 0
    assert "2 images in" in done.err
    assert "1 done before" in done.err
    assert statuses() == {"p0.png": "ok", "p1.png": "ok", "sub/p2.png": "skipped"}
    assert before == {path: path.read_bytes() for path in (folder / "out").rglob("p*")}

    assert "3 done before" in batch(run, "-k", 3, "--resume", "--jobs", 2).err
    assert "3 images in" in batch(run, "-k", 2, "--resume").err  # other options: all anew


def test_files_that_fail_are_listed_and_the_others_done(run, folder):
    (folder / "scans/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (folder / "scans/empty.tif").write_bytes(b"")
    done = batch(run, "-k", 3)
    assert done.status == 1
    assert "3 images in" in done.err
    assert "2 of 5 files failed:" in done.err
    told = done.err[done.err.index("files failed") :]
    assert "broken.png" in told
    assert "empty.tif" in told
    failed = {e["input"]: e for e in read_record("out") if e.get("status") == "failed"}
    assert {e["kind"] for e in failed.values()} == {"error"}
    (folder / "scans/empty.tif").unlink()
    write_png("scans/broken.png", picture(7), overwrite=True)
    assert batch(run, "-k", 3, "--resume").status == 0


def test_outputs_of_others_are_never_replaced(run, folder):
    (folder / "out").mkdir()
    (folder / "out/p0_labels.png").write_bytes(b"mine")
    for words in ([], ["--resume"], ["--resume"]):
        done = batch(run, "-k", 3, *words)
        assert done.status == 1
        assert "outputs named p0_... exist already" in done.err or "exists already" in done.err
        assert (folder / "out/p0_labels.png").read_bytes() == b"mine"
    write_png("scans/new.png", picture(9))  # not known to the first run, but what it would write is
    (folder / "out/new_overlay.png").write_bytes(b"mine")
    os.utime("out/new_overlay.png", (1, 1))
    assert "2 of 4 files failed" in batch(run, "-k", 3, "--resume").err
    assert "2 of 4 files failed" in batch(run, "-k", 3, "--resume").err
    assert (folder / "out/new_overlay.png").read_bytes() == b"mine"
    assert batch(run, "-k", 3, "--overwrite").status == 0
    assert (folder / "out/p0_labels.png").read_bytes() != b"mine"


@posix
def test_a_link_that_leads_out_of_the_output(run, folder):
    (folder / "elsewhere").mkdir()
    (folder / "out").mkdir()
    (folder / "out/sub").symlink_to(folder / "elsewhere")
    done = batch(run, "-k", 3)
    assert done.status == 1
    assert "it is a link that leads out of the folder of the outputs" in done.err
    assert names(folder / "elsewhere") == []
    assert (folder / "out/p0_labels.png").exists()


def test_strict_and_warnings(run, folder):
    done = batch(run, "-k", 3, "--max-iter", 1, "--tol", 0, "-v")
    assert done.status == 0
    assert "did not converge" in done.err
    done = batch(run, "-k", 3, "--max-iter", 1, "--tol", 0, "--strict", "--overwrite")
    assert done.status == 1
    assert "strict takes it as a failure" in done.err


def test_masks_spacing_and_more_outputs(run, folder):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:12] = 1
    write_png("mask.png", mask)
    done = batch(run, "-k", 3, "--mask", "mask.png", "--spacing", 0.5, "--masks", "--save-model")
    assert done.status == 0
    assert (read_image("out/p0_labels.png").data[12:] == 0).all()
    summary = json.loads((folder / "out/p0_summary.json").read_text())
    assert summary["pixels_used"] == 12 * SIDE
    assert summary["classes"][0]["area"] == summary["classes"][0]["pixels"] * 0.25
    assert gmmseg.load_model("out/p0.gmm.json").k == 3
    settings = read_record("out")[0]["settings"]
    mask[:13] = 1
    write_png("mask.png", mask, overwrite=True)
    batch(run, "-k", 3, "--mask", "mask.png", "--resume")
    headers = [e["settings"] for e in read_record("out") if "record" in e]
    assert headers[0] == settings != headers[1]


def test_the_examples_of_the_manual(run, folder):
    root = Path(__file__).parents[1]
    manual = (root / "docs/batch.md").read_text(encoding="utf-8")
    block = manual.split("<!-- tested -->\n```\n")[1].split("```")[0]
    shutil.copytree(root / "sample_images", "sample_images")
    commands = [shlex.split(line) for line in block.splitlines()]
    assert len(commands) == 4
    for program, *words in commands:
        assert program == "gmmseg"
        done = run(*words)
        assert done.status == 0, done.err
    assert statuses() == dict.fromkeys(statuses(), "skipped")
    assert len(statuses()) == 6
    assert (folder / "scenes/drift.csv").exists()


# --- one meaning over the folder ----------------------------------------------------------------


@pytest.mark.parametrize("mode", ["pooled", "drift", "independent"])
def test_modes_that_make_their_own_reference(run, folder, mode):
    write_png("scans/p3.png", picture(3, gain=0.9))
    done = batch(run, "-k", 3, "--mode", mode)
    assert done.status == 0
    reference = gmmseg.load_model("out/reference.gmm.json")
    assert reference.k == 3
    assert sorted(reference.provenance["images"]) == ["p0.png", "p1.png", "p2.png", "p3.png"]
    table = json.loads((folder / "out/drift.json").read_text())
    assert [row["input"] for row in table["files"]] == ["p0.png", "p1.png", "p3.png", "sub/p2.png"]
    moved = np.array([row["moves"] for row in table["files"]])
    assert (moved == 0).all() == (mode == "pooled")
    rows = table_of("drift.csv")
    assert float(rows[2]["shift 3"]) == table["files"][2]["shifts"][2]
    before = (folder / "out/reference.gmm.json").read_bytes()
    done = batch(run, "-k", 3, "--mode", mode, "--resume")
    assert "4 done before" in done.err
    assert (folder / "out/reference.gmm.json").read_bytes() == before
    first, second = [e["reference"] for e in read_record("out") if "record" in e]
    assert first == second
    assert first["files"] == 4


def test_a_reference_that_is_given(run, folder):
    model = gmmseg.fit([picture(0)], k=3)
    model.save("m.gmm.json")
    write_png("scans/odd.png", np.full((SIDE, SIDE, 3), (250, 0, 250), np.uint8))
    done = batch(run, "--mode", "reference", "--model", "m.gmm.json")
    assert done.status == 0
    assert "1 images do not fit the reference (drift.csv):" in done.err
    assert "odd.png: unlikely, novel" in done.err
    assert gmmseg.load_model("out/reference.gmm.json").to_json() == model.to_json()
    (folder / "m.gmm.json").unlink()
    gmmseg.fit([picture(0)], k=2).save("m.gmm.json")
    done = batch(run, "--mode", "reference", "--model", "m.gmm.json", "--resume")
    assert "4 images in" in done.err  # another model: all anew


def test_an_image_of_another_kind_fails_alone(run, folder):
    write_png("scans/grey.png", picture(5)[..., 0])
    done = batch(run, "-k", 3, "--mode", "drift", "--colour-space", "raw")
    assert done.status == 1
    assert "the model was fitted on 3 features" in done.err
    assert "1 of 4 files failed" in done.err


def test_no_image_of_which_a_reference_could_be_made(run, folder):
    for path in (folder / "scans").rglob("*.png"):
        path.write_bytes(b"nothing")
    done = batch(run, "-k", 3, "--mode", "pooled")
    assert done.status == 1
    assert "no image could be read, so there is no model" in done.err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"k is missing: give the number of classes \(-k K\)"),
        ({"k": 3, "mode": "swap"}, "mode must be one of 'each', 'pooled'"),
        ({"mode": "reference"}, "mode 'reference' needs model="),
        ({"model": 2}, "a model needs mode="),
        ({"model": 2, "mode": "drift", "k": 5}, "the model has 2 classes, but k is 5"),
    ],
)
def test_settings_that_do_not_go_together(values, message):
    if "model" in values:
        values = values | {"model": gmmseg.fit([picture(0)], k=values["model"])}
    with pytest.raises(InvalidParameterError, match=message):
        BatchSettings(**values)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-k", 3], "the following arguments are required: -o"),
        (["-k", 3, "-o", "out", "--memory-limit", "much"], "must be a size such as 500M or 2G"),
        (["-k", 3, "-o", "out", "--timeout", "0"], "must be a number above 0, got '0'"),
        (["-o", "out"], "k is missing"),
        (["-k", 3, "-o", "out", "--max-drift", "-1"], "max_drift must be at least 0"),
        (["-k", 3, "-o", "out", "--mode", "reference"], "needs model= (--model FILE)"),
        (["-k", 3, "-o", "out", "--tol", "-1"], "tol must be at least 0"),
    ],
)
def test_wrong_usage(run, folder, words, message):
    done = run("batch", "scans", *words)
    assert done.status == 2
    assert message in done.err
    assert not (folder / "out").exists()


# --- crashes --------------------------------------------------------------------------------------


class Crashing(ImageJob):
    """Stands for a decoder that crashes on a certain file."""

    def __call__(self, task):
        if "crash" in task.file.input:
            os.abort()
        return super().__call__(task)


@posix
@pytest.mark.slow
def test_97_of_100(run, folder, monkeypatch):
    """One file is damaged, one declares 10^10 pixels, one crashes its worker."""
    monkeypatch.setattr(run_module, "ImageJob", Crashing)
    for number in range(3, 97):
        write_png(f"scans/p{number}.png", picture(number))
    write_png("scans/crash.png", picture(0))
    (folder / "scans/damaged.png").write_bytes((folder / "scans/p3.png").read_bytes()[:90])
    bomb = png(np.zeros((1, 1), np.uint8), 0, size=(100_000, 100_000))
    (folder / "scans/bomb.png").write_bytes(bomb)
    done = batch(run, "-k", 3, "--jobs", 2)
    assert done.status == 1
    assert "97 images in" in done.err
    failed = {e["input"]: e["kind"] for e in read_record("out") if e.get("status") == "failed"}
    assert failed == {"crash.png": "crash", "damaged.png": "error", "bomb.png": "error"}
    told = done.err[done.err.index("3 of 100 files failed") :]
    assert all(name in told for name in failed)
    assert "crash.png: the process that worked on it died: signal 6 (SIGABRT)" in told
    assert len(list((folder / "out").rglob("*_labels.png"))) == 97
    assert not [name for name in names(folder / "out") if "/." in f"/{name}"]


def test_a_report_in_the_end(run, folder):
    done = batch(run, "-k", 3, "--report", "--entropy")
    assert (done.status, "out/report.html" in done.err) == (0, True)
    page = (folder / "out/report.html").read_text(encoding="utf-8")
    assert "sub/p2.png" in page
    batch(run, "-k", 3, "--report", "--resume")  # a page that exists is made anew
    assert (folder / "out/report.html").exists()


def test_a_report_of_maps_on_earth(run, folder):
    rasterio = pytest.importorskip("rasterio")
    place = rasterio.Affine(10, 0, 4e5, 0, -10, 5e6)
    about = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8"}
    with rasterio.open("scans/scene.tif", "w", crs="EPSG:32633", transform=place, **about) as file:
        file.write(np.moveaxis(picture(7), -1, 0))
    done = batch(run, "-k", 3, "--report")
    assert done.status == 0
    assert "cannot be shown" not in (folder / "out/report.html").read_text(encoding="utf-8")
