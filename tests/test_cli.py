"""The command line in this process: files in, files out, messages and exit codes."""

import io
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

import gmmseg
from gmmseg import outputs as outputs_module
from gmmseg.__main__ import main
from gmmseg.cli import labelling
from gmmseg.errors import WriteError
from gmmseg.io import encode_png, read_bytes, read_image, write_png, write_tiff
from gmmseg.mixture import _jit

RNG = np.random.default_rng(8)


def picture(rows=40, cols=60, bands=3):
    """Three noisy stripes, dark to bright from the left."""
    levels = np.repeat(np.array([30, 120, 220]), cols // 3)
    values = levels[None, :, None] + RNG.normal(0, 6, (rows, cols, bands))
    return np.squeeze(values.clip(0, 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photo(folder):
    write_png("photo.png", picture())
    return "photo.png"


def names(folder="."):
    return sorted(path.name for path in Path(folder).iterdir())


def contents():
    return {path.name: path.read_bytes() for path in Path().iterdir()}


def encoded(values):
    stream = io.BytesIO()
    encode_png(stream, values)
    return stream.getvalue()


def labels_of(path):
    return read_image(path).data[..., 0]


# --- segment ---------------------------------------------------------------------------------


def test_the_main_job(run, photo):
    done = run("segment", photo, "-k", 3)
    assert done.status == 0
    assert done.out == ""
    assert names() == ["photo.png", "photo_labels.png", "photo_overlay.png"]
    labels = labels_of("photo_labels.png")
    assert labels.dtype == np.uint8
    assert (labels == np.repeat([1, 2, 3], 20)).mean() > 0.95  # a column at each border
    overlay = read_image("photo_overlay.png").data
    assert overlay.shape[0] > 40  # the legend
    assert overlay.shape[2] == 3
    assert re.search(r"^photo.png: 3 classes, \d+ iterations, [\d.]+ s -> photo_l", done.err, re.M)
    assert "class" in done.err
    assert "33.3 %" in done.err
    assert "look black in most viewers: look at the overlays" in done.err
    assert "EM" not in done.err  # no bar where stderr is not a terminal


def test_everything_at_once(run, photo):
    words = ["--masks", "--probabilities", "--entropy", "--novelty", "--save-model", "-o", "out/"]
    done = run("segment", photo, "-k", 2, *words)
    assert done.status == 0
    kinds = [
        "entropy.tif",
        "labels.png",
        "mask_1.png",
        "mask_2.png",
        "novelty.tif",
        "overlay.png",
        "prob.tif",
    ]
    assert names("out") == ["photo.gmm.json", *(f"photo_{kind}" for kind in kinds)]
    assert "out/photo_labels.png and 7 more" in done.err.replace(os.sep, "/")
    labels = labels_of("out/photo_labels.png")
    assert set(np.unique(labels_of("out/photo_mask_2.png"))) == {0, 255}
    assert ((labels_of("out/photo_mask_2.png") == 255) == (labels == 2)).all()
    soft = read_image("out/photo_prob.tif").data
    assert soft.dtype == np.float32
    assert (soft.argmax(axis=-1) + 1 == labels).all()
    assert read_image("out/photo_entropy.tif").data.dtype == np.float32
    assert gmmseg.load_model("out/photo.gmm.json").k == 2


def test_probabilities_as_npz_and_png(run, photo):
    assert run("segment", photo, "-k", 2, "--posteriors", "npz", "-q").status == 0
    assert run("segment", photo, "-k", 2, "--probabilities=png", "-q", "--overwrite").status == 0
    soft = np.load("photo_prob.npz")["probabilities"]
    first = read_image("photo_prob_1.png").data[..., 0]
    assert first.dtype == np.uint16
    assert np.abs(first / 65535 - soft[..., 0]).max() < 1e-5


def test_the_options_reach_the_library(run, photo, monkeypatch):
    seen = {}

    def spy(image, k, options, **rest):
        seen.update(k=k, options=options, **rest)
        return gmmseg.segment(image, k, options)

    monkeypatch.setattr("gmmseg.cli.segment.segment", spy)
    words = [
        "--covariance",
        "diag",
        "--seed",
        "3",
        "--bands",
        "2,1",
        "--colour-space",
        "raw",
        "--threads",
        "1",
        "-q",
    ]
    assert run("segment", photo, "-k", 2, *words).status == 0
    assert (seen["k"], seen["threads"]) == (2, 1)
    assert (seen["options"].em.covariance_type, seen["options"].em.rng) == ("diag", 3)
    assert seen["options"].features.bands == (2, 1)


@pytest.mark.parametrize(
    "words",
    [
        ["--position", "0.5"],
        ["--local-mean", "1.5"],
        ["--local-std", "1,2"],
        ["--init", "random", "--n-init", "2"],
        ["--criterion", "parameters", "--tol", "1e-2"],
        ["--no-accelerate"],
    ],
)
def test_features_and_fitting(run, photo, words):
    assert run("segment", photo, "-k", 2, "-q", *words).status == 0
    assert set(np.unique(labels_of("photo_labels.png"))) == {1, 2}


def test_nodata(run, photo):
    values = picture(bands=1)
    values[:, :20] = 7
    write_png("grey.png", values)
    assert run("segment", "grey.png", "-k", 2, "--nodata", "7", "-q").status == 0
    labels = labels_of("grey_labels.png")
    assert (labels[:, :20] == 0).all()
    assert (labels[:, 20:] > 0).all()


def test_mask(run, photo):
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 20:] = 255
    write_png("use.png", mask)
    assert run("segment", photo, "-k", 2, "--mask", "use.png", "-q").status == 0
    assert ((labels_of("photo_labels.png") > 0) == (mask > 0)).all()


def test_a_mask_of_another_size(run, photo):
    write_png("use.png", np.ones((4, 6), np.uint8))
    done = run("segment", photo, "-k", 2, "--mask", "use.png")
    assert done.status == 1
    assert "the mask use.png is of shape (4, 6), but the image of (40, 60)" in done.err


def test_spacing_gives_areas(run, photo):
    done = run("segment", photo, "-k", 3, "--preset", "plain", "--spacing", "0.5,2", "--json")
    assert json.loads(done.out)["classes"][0]["area"] == pytest.approx(800, rel=0.02)
    assert " area" in done.err
    assert run("segment", photo, "-k", 3, "--spacing", "2", "--overwrite").status == 0


def test_a_wrong_spacing(run, photo):
    done = run("segment", photo, "-k", 3, "--spacing", "1,2,3")
    assert done.status == 1
    assert "spacing must be one number or one for each of the 2 axes" in done.err


def test_axes_frame_and_volumes(run, folder):
    volume = np.stack([picture(bands=1)] * 5)
    np.save("volume.npy", volume)
    done = run("segment", "volume.npy", "-k", 3)
    assert done.status == 1
    assert "ambiguous" in done.err
    assert "--axes" in done.err
    words = ["--axes", "ZYX", "--masks", "--probabilities", "png", "--entropy", "-q"]
    assert run("segment", "volume.npy", "-k", 2, *words).status == 0
    assert read_image("volume_labels.tif").shape == (5, 40, 60)
    assert read_image("volume_mask_2.tif").shape == (5, 40, 60)
    assert read_image("volume_prob_1.tif").data.dtype == np.uint16
    assert read_image("volume_overlay.png").data.ndim == 3
    done = run("segment", "volume.npy", "-k", 2, "--axes", "ZYX", "-o", "flat.png")
    assert done.status == 1
    assert "the label map of a volume cannot be flat.png" in done.err


def test_frame(run, folder):
    tifffile.imwrite("pages.tif", np.stack([picture(bands=1)] * 4), photometric="minisblack")
    assert run("segment", "pages.tif", "-k", 2, "--frame", "1", "-q").status == 0
    assert read_image("pages_labels.tif").shape == (40, 60)
    assert run("segment", "pages.tif", "-k", 2, "--frame", "9", "-q").status == 1


def test_max_pixels(run, photo):
    done = run("segment", photo, "-k", 2, "--max-pixels", 100)
    assert done.status == 1
    assert "more than the limit of 100" in done.err


def test_alpha_palette_and_orientation(run, folder):
    from PIL import Image

    colours = Image.fromarray(picture())
    alpha = Image.new("L", colours.size, 255)
    alpha.paste(0, (0, 0, 10, 40))
    colours.putalpha(alpha)
    colours.save("alpha.png")
    assert run("segment", "alpha.png", "-k", 2, "-q").status == 0
    assert (labels_of("alpha_labels.png")[:, :10] == 0).all()
    kept = run("segment", "alpha.png", "-k", 2, "--keep-alpha", "--json", "--overwrite")
    assert len(json.loads(kept.out)["bands"]) >= 3
    assert (labels_of("alpha_labels.png") > 0).all()

    colours.convert("P").save("palette.gif")
    done = run("segment", "palette.gif", "-k", 2, "--indexed", "--json")
    assert len(json.loads(done.out)["bands"]) == 1

    turned = Image.fromarray(picture())
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save("turned.jpg", exif=exif)
    assert run("segment", "turned.jpg", "-k", 2, "-q").status == 0
    assert labels_of("turned_labels.png").shape == (60, 40)
    assert run("segment", "turned.jpg", "-k", 2, "--no-exif", "-q", "--overwrite").status == 0
    assert labels_of("turned_labels.png").shape == (40, 60)


def test_a_tiff_gives_a_tiff_in_its_place(run, folder):
    place = [(33550, 12, 3, (30.0, 30.0, 0.0), True), (33922, 12, 6, (0, 0, 0, 5e5, 4e6, 0), True)]
    tifffile.imwrite("scene.tif", picture(), photometric="rgb", extratags=place)
    assert run("segment", "scene.tif", "-k", 3, "--probabilities", "-q").status == 0
    for name in ("scene_labels.tif", "scene_prob.tif"):
        with tifffile.TiffFile(name) as tif:
            assert tif.pages.first.tags[33550].value == (30.0, 30.0, 0.0)


def test_a_tiff_under_another_name(run, folder):
    write_tiff("scene.dat", picture(bands=1))
    assert run("segment", "scene.dat", "-k", 2, "-q").status == 0
    assert "scene_labels.tif" in names()


def test_more_classes_than_a_byte_holds(run, folder):
    write_png("ramp.png", np.arange(40 * 60, dtype=np.uint16).reshape(40, 60) * 20)
    done = run("segment", "ramp.png", "-k", 300, "--max-iter", 1, "--no-overlay")
    assert done.status == 0
    assert labels_of("ramp_labels.png").dtype == np.uint16
    assert "did not converge in 1 iterations" in done.err


def test_strict(run, photo):
    done = run("segment", photo, "-k", 3, "--max-iter", 1, "--strict", "--tol", "0", "--json")
    assert done.status == 1
    assert "photo.png: EM did not converge, and --strict takes it as a failure" in done.err
    assert "photo_labels.png" in names()
    assert json.loads(done.out)["error"].startswith("photo.png: EM did not converge")


# --- messages --------------------------------------------------------------------------------


def test_quiet_says_nothing(run, photo):
    done = run("segment", photo, "-k", 3, "--max-iter", 1, "-q")
    assert (done.status, done.out, done.err) == (0, "", "")


def test_verbose_says_more(run, photo):
    write_png("other.png", picture())
    quieter = run("segment", photo, "other.png", "-k", 2, "--masks", "--no-progress")
    louder = run("segment", photo, "other.png", "-k", 2, "--masks", "-v", "--overwrite")
    assert "pixels" not in quieter.err
    assert louder.err.count("pixels") == 2
    assert "photo_mask_2.png" in louder.err


def test_json_is_one_valid_object(run, photo):
    done = run("segment", photo, "-k", 3, "--json", "--masks")
    assert done.out.count("\n") == 1
    found = json.loads(done.out, parse_constant=pytest.fail)
    assert found["input"] == "photo.png"
    assert found["shape"] == [40, 60]
    assert [row["label"] for row in found["classes"]] == [1, 2, 3]
    assert found["fit"]["converged"] is True
    assert found["outputs"]["mask_3"] == "photo_mask_3.png"
    assert next(iter(found)) == "input"


def test_json_of_a_class_without_pixels_is_valid(run, folder):
    write_png("flat.png", np.full((40, 60), 9, np.uint8))
    done = run("segment", "flat.png", "-k", 3, "--json")
    assert done.status == 0
    assert json.loads(done.out, parse_constant=pytest.fail)["warnings"]
    assert "components have no rows" in done.err


def test_json_lines_for_several_inputs(run, photo):
    Path("empty.png").touch()
    done = run("segment", photo, "empty.png", "-k", 2, "--json", "-q")
    assert done.status == 1
    first, second = (json.loads(line) for line in done.out.splitlines())
    assert (first["input"], second["input"]) == ("photo.png", "empty.png")
    assert second["error"] == "cannot read empty.png: the file is empty."
    assert "outputs" not in second


def test_the_first_compilation_is_told_once(run, photo, monkeypatch):
    def compiling(image, k, options, **_):
        for kernel in (_jit.kernel(lambda x: x + 1), _jit.kernel(lambda x: x - 1)):
            monkeypatch.setattr(kernel, "_source", None)  # nothing is kept of it
            kernel(1)
        return gmmseg.segment(image, k, options)

    run("segment", photo, "-k", 2)  # whatever had to be compiled for this image is now
    again = run("segment", photo, "-k", 2, "--overwrite")
    assert "compiling" not in again.err
    monkeypatch.setattr("gmmseg.cli.segment.segment", compiling)
    told = run("segment", photo, "-k", 2, "--overwrite")
    assert told.err.startswith("compiling kernels, first run only ...\nphoto.png")


def test_names_that_steer_a_terminal_are_escaped(run, folder):
    name = "a\x1b[2Jb.png"
    write_png(name, picture())
    done = run("segment", name, "-k", 2)
    assert done.status == 0
    assert "\x1b" not in done.err
    assert r"a\x1b[2Jb_labels.png" in done.err
    assert "\x1b" not in run("segment", "c\x1bd.png", "-k", 2).err
    assert "\x1b" not in run("apply", "c\x1bd.json", name).err
    assert "\x1b" not in run("info", name, "c\x1bd.json").err


def test_warnings_of_reading_are_one_line(run, folder):
    from PIL import Image

    frames = [Image.fromarray(picture(bands=1)) for _ in range(3)]
    frames[1].putpixel((0, 0), 77)
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    done = run("segment", "moving.gif", "-k", 2)
    assert done.status == 0
    assert re.search(r"^gmmseg: warning: moving.gif.*only the first is read", done.err, re.M)
    assert "ImageWarning" not in done.err
    assert run("segment", "moving.gif", "-k", 2, "-q", "--overwrite").err == ""


# --- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.png", None, "There is no file none.png."),
        ("empty.png", b"", "cannot read empty.png: the file is empty."),
        ("cut.png", "cut", "cut.png"),
        ("text.png", b"hello there, this is no image", "which gmmseg does not read"),
    ],
)
def test_files_that_cannot_be_read(run, folder, name, content, message):
    if content == "cut":
        content = encoded(picture(400, 600))[:3000]
    if content is not None:
        (folder / name).write_bytes(content)
    before = names()
    done = run("segment", name, "-k", 2)
    assert done.status == 1
    assert done.err.startswith("gmmseg: error: ")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert names() == before


def test_the_others_go_on_after_a_failure(run, photo):
    write_png("other.png", picture())
    done = run("segment", "none.png", photo, "gone.png", "other.png", "-k", 2)
    assert done.status == 1
    assert {"photo_labels.png", "other_labels.png"} < set(names())
    assert done.err.splitlines()[-1] == ("gmmseg: error: 2 of 4 inputs failed: none.png, gone.png")


def test_a_folder_is_no_input(run, folder):
    done = run("segment", ".", "-k", 2)
    assert done.status == 1
    assert "it is a directory" in done.err


def test_an_option_that_does_not_suit_the_image(run, photo):
    done = run("segment", photo, "-k", 2, "--bands", "4")
    assert done.status == 1
    assert done.err.startswith("gmmseg: error: photo.png: bands must be within 1..3")


def test_not_enough_memory_is_one_line(run, photo, monkeypatch):
    def greedy(*_, **__):
        raise MemoryError

    monkeypatch.setattr("gmmseg.cli.segment.segment", greedy)
    done = run("segment", photo, "-k", 2)
    assert (done.status, done.err) == (1, "gmmseg: error: photo.png: not enough memory.\n")


def test_ctrl_c(run, photo, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("gmmseg.cli.segment.segment", interrupted)
    done = run("segment", photo, "-k", 2)
    assert (done.status, done.err) == (130, "gmmseg: interrupted\n")
    assert names() == [photo]


@pytest.mark.parametrize("error", [WriteError("the disk is full."), KeyboardInterrupt()])
@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_is_written_when_a_writer_fails_midway(run, photo, monkeypatch, error, overwrite):
    if overwrite:
        assert run("segment", photo, "-k", 3, "--masks", "--save-model", "-q").status == 0
    before = contents()

    def broken(*_, **__):
        raise error

    monkeypatch.setattr(outputs_module, "write_text", broken)
    words = ["--overwrite"] if overwrite else []
    done = run("segment", photo, "-k", 2, "--masks", "--save-model", *words)
    assert done.status == (1 if isinstance(error, WriteError) else 130)
    assert contents() == before


# --- where outputs go ------------------------------------------------------------------------


def test_existing_outputs_are_an_error_before_anything_is_computed(run, photo, monkeypatch):
    assert run("segment", photo, "-k", 2).status == 0
    monkeypatch.setattr("gmmseg.cli.segment.segment", pytest.fail)
    done = run("segment", photo, "-k", 2)
    assert done.status == 1
    assert "photo_labels.png exists already" in done.err
    assert "--overwrite" in done.err


def test_overwrite(run, photo):
    assert run("segment", photo, "-k", 3, "-q").status == 0
    assert run("segment", photo, "-k", 2, "-q", "--overwrite").status == 0
    assert labels_of("photo_labels.png").max() == 2


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        ("new/deep/", "new/deep/photo_labels.png"),
        ("new", "new/photo_labels.png"),
        ("seg.png", "seg.png"),
        ("sub/seg.tif", "sub/seg.tif"),
    ],
)
def test_output_of_a_single_input(run, photo, out, expected):
    assert run("segment", photo, "-k", 2, "-o", out, "-q").status == 0
    assert labels_of(expected).max() == 2


@pytest.mark.parametrize("name", ["seg.png", "seg_labels.png"])
def test_the_other_outputs_are_named_after_the_label_map(run, photo, name):
    assert run("segment", photo, "-k", 2, "-o", name, "--masks", "-q").status == 0
    assert {name, "seg_overlay.png", "seg_mask_1.png", "seg_mask_2.png"} < set(names())


def test_an_existing_folder_with_a_dot(run, photo, folder):
    (folder / "results.v1").mkdir()
    assert run("segment", photo, "-k", 2, "-o", "results.v1", "-q").status == 0
    assert "photo_labels.png" in names("results.v1")


@pytest.mark.parametrize("out", ["seg.jpg", "seg.gz", "note"])
def test_an_output_that_is_neither_folder_nor_label_map(run, photo, folder, out):
    (folder / "note").write_text("a file")
    done = run("segment", photo, "-k", 2, "-o", out)
    assert done.status == 2
    assert (
        f"-o must be a folder or a label map ending in .png, .tif, .nii.gz or .ome.zarr, got {out}"
        in done.err
    )


def test_several_inputs_need_a_folder(run, photo):
    write_png("b.png", picture())
    assert run("segment", photo, "b.png", "-k", 2, "-o", "both.d", "-q").status == 0
    assert len(names("both.d")) == 4
    done = run("segment", photo, "b.png", "-k", 2, "-o", "b.png")
    assert done.status == 2
    assert "-o must be a folder for several inputs, but b.png is a file" in done.err


def test_a_place_that_cannot_be_written(run, photo, folder):
    (folder / "file").write_text("in the way")
    done = run("segment", photo, "-k", 2, "-o", "file/deep/")
    assert done.status == 1
    assert "file is a file" in done.err
    (folder / "photo_labels.png").mkdir()
    done = run("segment", photo, "-k", 2, "--overwrite")
    assert done.status == 1
    assert "photo_labels.png: it is a folder" in done.err


def test_colliding_inputs_keep_their_endings(run, photo):
    write_tiff("photo.tif", picture())
    write_png("other.png", picture())
    done = run("segment", photo, "photo.tif", "other.png", "-k", 2, "-q", "--no-overlay")
    assert done.status == 0
    written = {"photo.png_labels.png", "photo.tif_labels.tif", "other_labels.png"}
    assert written < set(names())


def test_inputs_that_would_collide_all_the_same(run, folder):
    for place in ("a", "b"):
        (folder / place).mkdir()
        write_png(f"{place}/x.png", picture())
    done = run("segment", "a/x.png", "b/x.png", "-k", 2, "-o", "out")
    assert done.status == 2
    assert "a/x.png and b/x.png would both be written to" in done.err.replace(os.sep, "/")
    assert not (folder / "out").exists()
    assert run("segment", "a/x.png", "b/x.png", "-k", 2, "-q").status == 0


@pytest.mark.parametrize(
    "words",
    [
        ["segment", "photo.png", "-k", "2", "-o", "photo.png", "--overwrite"],
        ["segment", "photo.png", "-k", "2", "--mask", "m.png", "-o", "m.png", "--overwrite"],
        ["segment", "photo.png", "-k", "2", "--model", "photo.png", "--overwrite"],
        ["fit", "photo.png", "-k", "2", "-o", "photo.png", "--overwrite"],
    ],
)
def test_an_output_never_replaces_an_input(run, photo, words):
    write_png("m.png", np.ones((40, 60), np.uint8))
    before = contents()
    done = run(*words)
    assert done.status in (1, 2)
    assert "is an input: it would be replaced by an output" in done.err
    assert contents() == before


def test_two_outputs_of_one_name(run, photo):
    done = run("segment", photo, "-k", 2, "--model", "photo_labels.png")
    assert done.status == 1
    assert "labels and model would both be written to photo_labels.png" in done.err


def test_model_names_the_model_file(run, photo):
    assert run("segment", photo, "-k", 2, "--model", "m.json", "-q").status == 0
    assert gmmseg.load_model("m.json").k == 2
    write_png("b.png", picture())
    done = run("segment", photo, "b.png", "-k", 2, "--model", "n.json")
    assert done.status == 2
    assert "--model names one file, but there are several inputs" in done.err


# --- patterns and standard input -------------------------------------------------------------


def test_quoted_patterns_and_duplicates(run, folder):
    for name in ("b.png", "a.png", "c.tif"):
        write_png(name, picture(bands=1))
    done = run("segment", "*.png", "a.png", "./b.png", "-k", 2, "--json", "-q")
    assert [json.loads(line)["input"] for line in done.out.splitlines()] == ["a.png", "b.png"]


def test_patterns_through_folders(run, folder):
    (folder / "deep" / "er").mkdir(parents=True)
    write_png("deep/er/x.png", picture(bands=1))
    assert run("segment", "**/*.png", "-k", 2, "-q").status == 0
    assert "x_labels.png" in names("deep/er")


def test_a_file_wins_over_what_its_name_means_as_a_pattern(run, folder):
    for name in ("[12].png", "1.png"):
        write_png(name, picture(bands=1))
    done = run("segment", "[12].png", "-k", 2, "--json", "-q")
    assert [json.loads(line)["input"] for line in done.out.splitlines()] == ["[12].png"]


def test_a_pattern_without_a_match(run, folder):
    done = run("segment", "*.png", "-k", 2)
    assert (done.status, done.err) == (1, "gmmseg: error: There is no file *.png.\n")


def test_outputs_of_the_inputs_are_no_inputs(run, photo):
    first = run("segment", "*.png", "-k", 2, "--masks", "-q")
    again = run("segment", "*.png", "-k", 2, "--masks", "--overwrite")
    assert (first.status, again.status) == (0, 0)
    assert "left out, being outputs of other inputs: photo_labels.png" in again.err
    assert len(names()) == 5
    assert run("segment", "photo_labels.png", "-k", 2, "-q").status == 0


def test_a_file_whose_name_begins_with_a_dash(run, folder):
    write_png("-x.png", picture(bands=1))
    assert run("segment", "-k", 2, "-q", "--", "-x.png").status == 0
    assert "-x_labels.png" in names()


def test_standard_input(run, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encoded(picture()))))
    done = run("segment", "-", "-k", 2, "--json")
    assert done.status == 0
    assert json.loads(done.out)["input"] == "-"
    assert "standard input: 2 classes" in done.err
    assert names() == ["stdin_labels.png", "stdin_overlay.png"]


def test_a_tiff_from_standard_input(run, folder, monkeypatch):
    write_tiff("scene.tif", picture(bands=1))
    content = (folder / "scene.tif").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert run("segment", "-", "-k", 2, "-q", "--entropy").status == 0
    assert "stdin_labels.tif" in names()


def test_empty_standard_input(run, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    done = run("segment", "-", "-k", 2)
    assert done.status == 1
    assert "cannot read standard input: the file is empty" in done.err


def test_a_terminal_is_no_image(run, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    done = run("segment", "-", "-k", 2)
    assert done.status == 1
    assert "standard input is a terminal: pipe an image into it" in done.err


def test_standard_output(photo, capsysbinary):
    assert main(["segment", photo, "-k", "2", "-o", "-"]) == 0
    out, err = capsysbinary.readouterr()
    assert out.startswith(b"\x89PNG")
    assert set(np.unique(read_bytes(out).data)) == {1, 2}
    assert b"-> standard output" in err
    assert names() == [photo]


@pytest.mark.parametrize("words", [["--json"], ["--masks"], ["b.png"], ["--save-model"]])
def test_standard_output_takes_one_label_map(run, photo, words):
    write_png("b.png", picture())
    done = run("segment", photo, "-k", 2, "-o", "-", *words)
    assert done.status == 2
    assert "-o - writes the label map of a single input to standard output" in done.err


def test_no_label_map_for_a_terminal(run, photo, monkeypatch):
    monkeypatch.setattr(labelling.sys.stdout, "isatty", lambda: True)
    done = run("segment", photo, "-k", 2, "-o", "-")
    assert done.status == 2
    assert "standard output is a terminal" in done.err


# --- apply, fit, info, warmup ----------------------------------------------------------------


def test_fit_and_apply(run, folder):
    bright = picture()
    bright[:, :20] = bright[:, 20:40]  # no dark stripe
    write_png("all.png", picture())
    write_png("bright.png", bright)
    done = run("fit", "*.png", "-k", 3, "--preset", "plain", "-o", "m.gmm.json", "--json")
    assert done.status == 0
    assert json.loads(done.out)["k"] == 3
    assert "3 classes of 4800 pixels" in done.err
    done = run("apply", "m.gmm.json", "all.png", "bright.png", "--masks", "--json", "-o", "out")
    assert done.status == 0
    assert set(np.unique(labels_of("out/bright_labels.png"))) == {2, 3}
    assert labels_of("out/bright_mask_1.png").max() == 0
    assert len(done.out.splitlines()) == 2
    assert "iterations" not in done.err


def test_fit_does_not_replace_a_model(run, photo):
    assert run("fit", photo, "-k", 2, "-o", "m.json", "-q").status == 0
    done = run("fit", photo, "-k", 3, "-o", "m.json")
    assert done.status == 1
    assert "m.json exists already" in done.err
    assert run("fit", photo, "-k", 3, "-o", "m.json", "-q", "--overwrite").status == 0
    assert gmmseg.load_model("m.json").k == 3


def test_fit_fails_as_a_whole(run, photo):
    done = run("fit", photo, "none.png", "-k", 2, "-o", "m.json")
    assert (done.status, done.err) == (1, "gmmseg: error: There is no file none.png.\n")
    assert names() == [photo]


def test_fit_tells_when_it_has_not_converged(run, photo):
    words = ["fit", photo, "-k", 3, "--max-iter", 1, "--tol", 0, "-o", "m.json"]
    done = run(*words)
    assert done.status == 0
    assert "gmmseg: warning: EM did not converge in 1 iterations" in done.err
    assert run(*words, "--strict", "--overwrite").status == 1


def test_fit_uses_masks(run, photo):
    mask = np.zeros((40, 60), np.uint8)
    mask[:10] = 1
    write_png("use.png", mask)
    done = run("fit", photo, "-k", 2, "-o", "m.json", "--mask", "use.png", "--json", "-q")
    assert json.loads(done.out)["fit"]["n_pixels"] == 600


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no model file m.json"),
        ("{}", "not a model file"),
        ("{", "not valid JSON"),
        ("photo", "not a model file"),
    ],
)
def test_apply_with_a_bad_model(run, photo, folder, content, message):
    if content == "photo":
        (folder / "m.json").write_bytes((folder / "photo.png").read_bytes())
    elif content is not None:
        (folder / "m.json").write_text(content)
    done = run("apply", "m.json", photo)
    assert done.status == 1
    assert message in done.err
    assert done.err.count("\n") == 1


def test_apply_to_other_bands(run, photo):
    assert run("fit", photo, "-k", 2, "-o", "m.json", "-q").status == 0
    write_png("grey.png", picture(bands=1))
    done = run("apply", "m.json", "grey.png", photo, "-q")
    assert done.status == 1
    assert "grey.png" in done.err
    assert "photo_labels.png" in names()


def test_info_of_an_image(run, photo):
    done = run("info", photo)
    assert done.status == 0
    assert done.err == ""
    assert "photo.png\n  type: image\n" in done.out
    assert "  shape: 40, 60, 3\n" in done.out
    found = json.loads(run("info", photo, "--json").out)
    assert (found["file"], found["type"], found["format"]) == ("photo.png", "image", "PNG")


def test_info_of_a_model(run, photo):
    assert run("fit", photo, "-k", 2, "--preset", "plain", "-o", "m.json", "-q").status == 0
    done = run("info", "m.json")
    assert done.status == 0
    assert "  type: model\n  k: 2\n" in done.out
    assert "- label: 1, weight: 0." in done.out
    found = json.loads(run("info", "m.json", "--json").out)
    assert found["covariance_type"] == "full"
    assert [row["label"] for row in found["classes"]] == [1, 2]
    assert found["provenance"]["fit"]["converged"] is True


def test_info_of_files_that_are_neither(run, photo, folder):
    (folder / "bad.json").write_text('{"a": 1}')
    done = run("info", "none.png", "bad.json", ".", photo, "--json")
    assert done.status == 1
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert ["error" in line for line in lines] == [True, True, True, False]
    assert done.err.count("gmmseg: error: ") == 3


def test_warmup(run, folder, monkeypatch):
    from gmmseg.cli import warmup

    monkeypatch.setattr(warmup, "_images", lambda _: [picture(bands=1)])
    done = run("warmup")
    assert done.status == 0
    assert "all kernels are ready" in done.err
    assert "kept in" in done.err
    assert run("warmup", "-q").err == ""
