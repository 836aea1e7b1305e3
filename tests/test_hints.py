"""Segmenting with a little help: hints for some pixels, and a box around an object."""

import json

import numpy as np
import pytest

import gmmseg
from gmmseg import EMOptions, FeatureSpec, SegmentOptions, SmoothingOptions
from gmmseg.__main__ import main
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.hints import BoxOptions, around_box, box_hints
from gmmseg.io import write_png, write_tiff

RAW = SegmentOptions(features=FeatureSpec(colour_space="raw"), em=EMOptions(tol=1e-8, max_iter=500))


def scene(shape=(40, 60), noise=12, bands=1, seed=0, dtype=np.uint8):
    """A bright disc on a dark ground, and where the disc is."""
    grid = np.stack(np.indices(shape), axis=-1) - np.array(shape) / 2 + 0.5
    disc = (grid**2).sum(axis=-1) < (0.3 * min(shape)) ** 2
    values = np.where(disc, 160, 90)[..., None] + np.random.default_rng(seed).normal(
        0, noise, (*shape, bands)
    )
    return np.clip(values, 0, 255).astype(dtype), disc


def scribbles(disc):
    """Class 2 is the ground, class 1 the disc: not as brightness would have it."""
    hints = np.zeros(disc.shape, np.uint8)
    hints[..., 1:3, 3:-3] = 2
    middle = tuple(n // 2 for n in disc.shape)
    hints[tuple(slice(m - 2, m + 2) for m in middle)] = 1
    return hints


@pytest.mark.parametrize("shape", [(40, 60), (12, 24, 26)])
@pytest.mark.parametrize("bands", [1, 5])
@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_scribbles_say_which_class_is_which(shape, bands, beta):
    values, disc = scene(shape, bands=bands)
    options = SegmentOptions(
        features=FeatureSpec(colour_space="raw"), smoothing=SmoothingOptions(beta=beta)
    )
    axes = "YXC" if len(shape) == 2 else "ZYXC"
    seg = gmmseg.segment(values, options=options, hints=scribbles(disc), axes=axes)
    assert seg.k == 2
    assert np.mean((seg.labels == 1) == disc) > 0.98
    assert seg.model.provenance["hints"] == {
        "1": int((scribbles(disc) == 1).sum()),
        "2": int((scribbles(disc) == 2).sum()),
    }


@pytest.mark.parametrize("beta", [0.0, 1.5])
@pytest.mark.parametrize("inside", [False, True])
def test_hinted_pixels_are_certain_and_give_to_their_neighbours(beta, inside):
    values, disc = scene(noise=40)
    hints = scribbles(disc)
    hints[0, 0], hints[20, 28] = 1, 2  # against what the pixels say
    smoothing = SmoothingOptions(beta=beta, inside=inside)
    options = SegmentOptions(features=FeatureSpec(colour_space="raw"), smoothing=smoothing)
    seg = gmmseg.segment(values, 2, options, hints=hints)
    known = hints > 0
    np.testing.assert_array_equal(seg.labels[known], hints[known])
    for j in (1, 2):
        np.testing.assert_array_equal(seg.probability(j)[known], hints[known] == j)
        np.testing.assert_array_equal(seg.probabilities[..., j - 1], seg.probability(j))
    assert (seg.entropy[known] == 0).all()
    assert sum(row.pixels for row in seg.table) == disc.size
    assert [row.pixels for row in seg.table] == [int((seg.labels == j).sum()) for j in (1, 2)]
    if beta and not inside:
        free = gmmseg.apply(seg.model, values)
        near = seg.probability(1)[0, 1], free.probability(1)[0, 1]
        assert near[0] > near[1]


def test_hints_everywhere_are_the_result():
    values, disc = scene(bands=3)
    seg = gmmseg.segment(values, options=RAW, hints=disc + 1)
    np.testing.assert_array_equal(seg.labels, disc + 1)
    for j, where in ((0, ~disc), (1, disc)):
        np.testing.assert_allclose(seg.mixture.means[j], values[where].mean(axis=0), rtol=1e-5)


def test_other_numbers_give_other_numbers():
    values, disc = scene(noise=30)
    hints = scribbles(disc)
    one = gmmseg.segment(values, 2, RAW, hints=hints).labels
    other = gmmseg.segment(values, 2, RAW, hints=(3 - hints) * (hints > 0)).labels
    np.testing.assert_array_equal(one, 3 - other)


def test_distinct_values_give_what_pixels_give():
    values, disc = scene(noise=30)
    hints = scribbles(disc)
    one = gmmseg.segment(values, 2, RAW, hints=hints)
    other = gmmseg.segment(values.astype(np.float32), 2, RAW, hints=hints, axes="YXC")
    np.testing.assert_allclose(one.mixture.means, other.mixture.means, atol=1e-2)
    assert (one.labels == other.labels).mean() > 0.999


def test_more_classes_than_hints():
    values, disc = scene(noise=5)
    values[:, :10] = 30 + values[:, :10] // 20
    values[:, -10:] = 230 + values[:, -10:] // 20
    hints = scribbles(disc) * np.uint8(2)  # 2 and 4
    hints[:, :10] = 0
    hints[:, -10:] = 0
    seg = gmmseg.segment(values, 4, RAW, hints=hints)
    assert np.mean(seg.labels[disc] == 2) > 0.97
    assert seg.mixture.means[0, 0] < seg.mixture.means[2, 0]
    assert (seg.labels[:, :10] == 1).all()
    assert (seg.labels[:, -10:] == 3).all()


def test_hints_of_pixels_with_gaps_and_of_masked_ones():
    values, disc = scene(bands=4, dtype=np.float32)
    values[np.random.default_rng(1).random(values.shape) < 0.2] = np.nan
    mask = np.ones(disc.shape, bool)
    mask[:2] = False
    seg = gmmseg.segment(values, 2, RAW, hints=scribbles(disc), mask=mask, axes="YXC")
    assert (seg.labels[:2] == 0).all()
    used = seg.labels > 0
    assert np.mean((seg.labels == 1)[used] == disc[used]) > 0.98


HINTS = [
    (np.zeros((40, 60)), InvalidDataError, "must name the class of a used pixel at least"),
    (np.ones((4, 6)), InvalidDataError, r"hints must have the image's shape \(40, 60\), got"),
    (np.full((40, 60), 1.5), InvalidDataError, "hints must be whole numbers"),
    (np.full((40, 60), np.nan), InvalidDataError, "hints must be whole numbers"),
    (np.full((40, 60), -1), InvalidDataError, "hints must be from 0 to 65535, got -1 to -1"),
    (np.full((40, 60), 3), InvalidParameterError, "k must be at least the largest class .* 3, got"),
]


@pytest.mark.parametrize(("hints", "error", "text"), HINTS)
def test_bad_hints(hints, error, text):
    values, _ = scene()
    with pytest.raises(error, match=text):
        gmmseg.segment(values, 2, hints=hints)


def test_what_does_not_go_together():
    values, disc = scene()
    with pytest.raises(InvalidParameterError, match="hints and box exclude each other"):
        gmmseg.segment(values, hints=scribbles(disc), box=(1, 1, 5, 5))
    with pytest.raises(InvalidParameterError, match="k must be a number with hints or a box"):
        gmmseg.segment(values, "auto", hints=scribbles(disc))
    with pytest.raises(InvalidParameterError, match="k must be 2 with a box"):
        gmmseg.segment(values, 3, box=(1, 1, 5, 5))


# --- boxes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 3, 6])
def test_the_object_in_a_box(bands):
    values, disc = scene(noise=25, bands=bands)
    seg = gmmseg.segment(values, box=(15, 5, 30, 30), axes="YXC")
    assert seg.k == 2
    object_found = seg.labels == 2
    outside = box_hints((15, 5, 30, 30), disc.shape) == 1
    assert not object_found[outside].any()
    assert (seg.probability(1)[outside] == 1).all()
    overlap = (object_found & disc).sum() / (object_found | disc).sum()
    assert overlap > 0.9
    soft = seg.probability(2)
    np.testing.assert_allclose(soft + seg.probability(1), 1.0, atol=1e-5)


def test_the_object_in_a_box_of_a_volume():
    values, disc = scene((16, 30, 34))
    seg = gmmseg.segment(values, box=(9, 7, 2, 16, 16, 12), axes="ZYXC")
    found = seg.labels == 2
    assert (found & disc).sum() / (found | disc).sum() > 0.9


def test_a_model_of_a_box_is_saved_and_applied(tmp_path):
    values, _ = scene(bands=3)
    seg = gmmseg.segment(values, box=(15, 5, 30, 30))
    assert set(seg.model.labels) == {1, 2}
    assert len(seg.model.labels) > 2
    seg.model.save(tmp_path / "box.gmm.json")
    other, there = scene(bands=3, seed=1)
    found = gmmseg.apply(gmmseg.load_model(tmp_path / "box.gmm.json"), other)
    assert found.k == 2
    assert np.mean((found.labels == 2) == there) > 0.95


def test_a_box_of_one_pixel_and_one_around_all_but_a_row():
    values, _ = scene()
    one = gmmseg.segment(values, box=(30, 20, 1, 1))
    assert (one.labels == 2).sum() <= 1
    most = gmmseg.segment(values, box=(0, 0, 60, 39))
    assert (most.labels[39] == 1).all()


BOXES = [
    ((1, 2, 3), r"box must be \(x, y, width, height\) in pixels, got \(1, 2, 3\)"),
    ("1,2,3,4", "box must be .* in pixels, got '1,2,3,4'"),
    ((0, 0, 0, 5), "box must lie in the image and be of at least one pixel"),
    ((50, 0, 20, 5), r"of an image of 60 x 40 pixels, got \(50, 0, 20, 5\)"),
    ((-1, 0, 20, 5), "box must lie in the image"),
    ((0, 0, 60, 40), "box must leave pixels of the background outside"),
    ((0.5, 0, 6, 4), "box must be a whole number, got 0.5"),
]


@pytest.mark.parametrize(("box", "text"), BOXES)
def test_bad_boxes(box, text):
    values, _ = scene()
    with pytest.raises(InvalidParameterError, match=text):
        gmmseg.segment(values, box=box)


@pytest.mark.parametrize(("inside", "name"), [(True, "in it"), (False, "outside of it")])
def test_a_box_needs_used_pixels_on_both_sides(inside, name):
    values, _ = scene()
    mask = box_hints((10, 10, 20, 20), (40, 60)) == (1 if inside else 0)
    with pytest.raises(InvalidDataError, match=f"used pixels inside and outside.* none {name}"):
        gmmseg.segment(values, box=(10, 10, 20, 20), mask=mask)


def test_what_is_near_a_box():
    near = around_box((10, 4, 8, 4), (20, 40), 0.5)
    expected = np.zeros((20, 40), bool)
    expected[2:10, 6:22] = True
    np.testing.assert_array_equal(near, expected)


@pytest.mark.parametrize(("name", "value"), [("gaussians", 0), ("iterations", 0), ("margin", 0.0)])
def test_bad_options_of_a_box(name, value):
    with pytest.raises(InvalidParameterError, match=f"{name} must be"):
        BoxOptions(**{name: value})


# --- the command line -----------------------------------------------------------------------------


def test_hints_of_a_file(tmp_path, capsys):
    values, disc = scene()
    write_png(tmp_path / "photo.png", values[..., 0])
    write_png(tmp_path / "hints.png", scribbles(disc))
    words = ["segment", str(tmp_path / "photo.png"), "--hints", str(tmp_path / "hints.png")]
    assert main([*words, "--json", "--masks"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["k"] == 2
    found = gmmseg.read_image(told["outputs"]["labels"]).data[..., 0]
    assert np.mean((found == 1) == disc) > 0.98


def test_hints_of_a_volume(tmp_path):
    values, disc = scene((8, 30, 34))
    write_tiff(tmp_path / "scan.tif", values[..., 0], axes="ZYX")
    write_tiff(tmp_path / "hints.tif", scribbles(disc), axes="ZYX")
    words = [str(tmp_path / "scan.tif"), "--hints", str(tmp_path / "hints.tif"), "--axes", "ZYX"]
    assert main(["segment", *words, "-k", "2", "-q"]) == 0
    found = gmmseg.read_image(tmp_path / "scan_labels.tif", gmmseg.ReadOptions(axes="ZYX")).data[
        ..., 0
    ]
    assert np.mean((found == 1) == disc) > 0.98


def test_a_box_on_the_command_line(tmp_path, capsys):
    values, disc = scene(bands=3)
    write_png(tmp_path / "photo.png", values)
    words = ["segment", str(tmp_path / "photo.png"), "--box", "15,5,30,30", "--save-model"]
    assert main([*words, "--probabilities", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["outputs"]) == {"labels", "overlay", "probabilities", "model"}
    found = gmmseg.read_image(told["outputs"]["labels"]).data[..., 0]
    assert np.mean((found == 2) == disc) > 0.95
    assert main(["segment", str(tmp_path / "photo.png"), "--box", "50,5,30,30", "--overwrite"]) == 1
    assert "box must lie in the image" in capsys.readouterr().err


def test_what_the_command_line_refuses(tmp_path, capsys):
    values, _ = scene(bands=3)
    write_png(tmp_path / "photo.png", values)
    photo = str(tmp_path / "photo.png")
    assert main(["segment", photo]) == 2
    assert "the number of classes is missing: give -k K" in capsys.readouterr().err
    assert main(["segment", photo, "--hints", photo]) == 1
    assert "have 3 bands. They must be a label image" in capsys.readouterr().err
    assert main(["segment", photo, "--hints", str(tmp_path / "none.png")]) == 1
    assert "none.png" in capsys.readouterr().err
    assert main(["segment", photo, "--hints", photo, "--box", "1,2,3,4"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_gaps_near_a_box_are_told_or_left_out():
    values, disc = scene(noise=25, bands=3)
    values = values.astype(np.float32)
    values[20, 30, 1] = np.nan
    box = (15, 5, 30, 30)
    with pytest.raises(InvalidDataError, match=r"an object in a box .* \(--gaps drop\)"):
        gmmseg.segment(values, box=box, axes="YXC")
    dropped = gmmseg.SegmentOptions(features=gmmseg.FeatureSpec(gaps="drop"))
    seg = gmmseg.segment(values, options=dropped, box=box, axes="YXC")
    assert seg.labels[20, 30] == 0
    assert np.mean((seg.labels == 2)[seg.labels > 0] == disc[seg.labels > 0]) > 0.95
