"""Large pictures on a coarser grid: means of squares, the way back, and segmenting there."""

from dataclasses import replace

import numpy as np
import pytest

import gmmseg
from gmmseg.errors import InvalidParameterError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.options import SegmentOptions
from gmmseg.presets import PRESETS
from gmmseg.regions import RegionOptions
from gmmseg.smoothing import SmoothingOptions
from gmmseg.working_grid import enlarged, interpolated, on_working_grid

RNG = np.random.default_rng(5)
RAW = FeatureSpec(colour_space="raw")


def blocky(rows, cols, side, dtype=np.uint8):
    """A picture of three colours in blocks of so many pixels, with some noise."""
    colours = np.array([[200, 60, 40], [30, 120, 60], [60, 70, 190]])
    picture = np.kron(RNG.integers(0, 3, (rows, cols)), np.ones((side, side), int))
    noise = RNG.integers(-8, 9, (*picture.shape, 3))
    return (colours[picture] + noise).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_squares_have_the_means_of_their_used_pixels(dtype):
    values = RNG.integers(0, 200, (7, 11, 2)).astype(dtype)
    mask = RNG.random((7, 11)) < 0.7
    mask[:3, 3:6] = False
    missing = RNG.random(values.shape) < 0.2
    image = replace(
        Image.from_array(values, axes="YXC", mask=mask, spacing=(2.0, 1.0)), missing=missing
    )
    found = on_working_grid(image, replace(RAW, working_pixels=8))
    assert found.shape == (3, 4)
    assert found.spacing == (6.0, 3.0)
    for y, x, b in np.ndindex(found.data.shape):
        square = (slice(3 * y, 3 * y + 3), slice(3 * x, 3 * x + 3))
        there = values[square][..., b][mask[square] & ~missing[square][..., b]]
        mean = there.astype(float).mean() if there.size else np.nan
        np.testing.assert_allclose(found.data[y, x, b], mean, rtol=1e-6)


def test_display_values_stay_display_values():
    image = Image.from_array(np.full((8, 8, 3), 51, np.uint8))
    spec = FeatureSpec(working_pixels=4).resolve(image)
    np.testing.assert_allclose(on_working_grid(image, spec).data, 0.2, rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "working_pixels", "step"),
    [((9, 9), 0, 1), ((9, 9), 21, 1), ((9, 9), 20, 2), ((9, 9), 9, 3), ((9, 9, 9), 9, 1)],
)
def test_the_squares_are_as_large_as_so_many_allow(shape, working_pixels, step):
    spec = replace(RAW, working_pixels=working_pixels)
    assert spec.step(shape) == step
    image = Image.from_array(np.zeros(shape), axes="ZYX"[-len(shape) :])
    assert (on_working_grid(image, spec) is image) == (step == 1)


def weights_of(n_pixels, step, n_squares):
    """What each square weighs in each pixel, (n_pixels, n_squares)."""
    place = np.clip((np.arange(n_pixels) + 0.5) / step - 0.5, 0, n_squares - 1)
    return np.maximum(1 - abs(place[:, None] - np.arange(n_squares)), 0)


@pytest.mark.parametrize("step", [2, 3, 5])
def test_labels_and_values_are_those_of_bilinear_weights(step):
    labels = RNG.integers(0, 4, (5, 6)).astype(np.uint8)
    shape = (5 * step - 1, 6 * step)
    down, across = weights_of(shape[0], step, 5), weights_of(shape[1], step, 6)
    votes = np.stack([down @ (labels == c) @ across.T for c in range(4)])
    votes[0] = 0
    found = enlarged(labels, step, shape)
    chosen = np.take_along_axis(votes, found[None].astype(int), 0)[0]
    np.testing.assert_allclose(chosen, votes.max(axis=0), atol=1e-6)
    assert ((found == 0) == (votes.max(axis=0) == 0)).all()
    planes = RNG.random((2, 5, 6)).astype(np.float32)
    values = interpolated(planes, step, slice(1, shape[0]), shape[1])
    np.testing.assert_allclose(values, (down @ planes @ across.T)[:, 1:], atol=1e-6)


def test_what_is_not_known_has_no_weight():
    planes = np.full((1, 4, 4), 0.25, np.float32)
    planes[0, 1:3, 2] = np.nan
    found = interpolated(planes, 3, slice(0, 12), 12)
    np.testing.assert_allclose(found[~np.isnan(found)], 0.25, rtol=1e-6)
    assert 0 < np.isnan(found).sum() < 3 * 3 * 2


def test_a_picture_of_larger_pixels_has_the_same_classes():
    small = blocky(4, 5, 6)
    large = np.kron(small, np.ones((3, 3, 1), np.uint8))
    options = SegmentOptions(
        features=FeatureSpec(blur=1.0, local_std=(2.0,)), smoothing=SmoothingOptions(beta=1.0)
    )
    coarse = replace(options, features=replace(options.features, working_pixels=small[..., 0].size))
    a, b = gmmseg.segment(small, 3, options), gmmseg.segment(large, 3, coarse)
    assert b.labels.shape == large.shape[:2]
    assert np.array_equal(enlarged(a.labels, 3, b.labels.shape), b.labels)
    assert np.array_equal(b.labels[1::3, 1::3], a.labels)
    np.testing.assert_allclose(b.mixture.means, a.mixture.means, rtol=1e-3, atol=1e-2)
    assert b.to_dict()["pixels_used"] == b.labels.size
    assert b.to_dict()["smoothing"]["beta"] == 1.0


@pytest.fixture
def masked():
    """A large picture with holes, segmented on a coarser grid."""
    picture = blocky(4, 5, 20)
    mask = RNG.random(picture.shape[:2]) < 0.9
    mask[:30, :30] = False
    features = FeatureSpec(blur=1.0, working_pixels=500)
    options = replace(PRESETS["photo"], features=features)
    return gmmseg.segment(picture, 3, options, mask=mask, spacing=0.5), picture, mask


def test_maps_are_of_the_picture(masked):
    seg, picture, mask = masked
    assert seg.model.features.step(mask.shape) == 4
    assert ((seg.labels > 0) == mask).all()
    assert ((seg.regions > 0) == mask).all()
    assert seg.probabilities.shape == (*mask.shape, 3)
    np.testing.assert_allclose(seg.probabilities.sum(axis=-1), mask, atol=1e-5)
    np.testing.assert_array_equal(seg.probability(2), seg.probabilities[..., 1])
    for values in (seg.entropy, seg.novelty):
        assert (np.isnan(values) == ~mask).all()
    for what in ("probabilities", "entropy", "novelty"):
        parts = np.concatenate(list(seg.slabs(what, 7)))
        np.testing.assert_array_equal(parts, getattr(seg, what))
    assert seg.overlay().shape == picture.shape


def test_the_table_is_of_all_used_pixels(masked):
    seg, picture, _ = masked
    for row in seg.table:
        there = picture[seg.labels == row.label]
        assert row.pixels == len(there)
        assert row.area == pytest.approx(0.25 * len(there))
        np.testing.assert_allclose(row.mean, there.mean(axis=0))
        np.testing.assert_allclose(row.std, there.std(axis=0))


def test_a_saved_model_gives_the_same_labels(masked, tmp_path):
    seg, picture, mask = masked
    seg.model.save(tmp_path / "m.gmm.json")
    model = gmmseg.load_model(tmp_path / "m.gmm.json")
    again = gmmseg.apply(model, picture, mask=mask, spacing=0.5)
    assert np.array_equal(again.labels, seg.labels)
    together = gmmseg.fit([picture, picture], 3, replace(PRESETS["photo"], features=model.features))
    assert together.provenance["fit"]["n_pixels"] == 2 * 20 * 25


def test_areas_in_pixels_are_those_of_the_picture():
    options = RegionOptions(min_area="64 px", max_hole="2 %", merge_distance=1.0)
    assert options.on_grid(16) == replace(options, min_area=4.0)
    picture = blocky(3, 3, 20)
    picture[25:33, 25:33] = (250, 250, 250)
    found = {}
    for area in (150, 40):
        options = SegmentOptions(
            features=FeatureSpec(working_pixels=900), regions=RegionOptions(min_area=area)
        )
        found[area] = gmmseg.segment(picture, 4, options).labels
    assert (found[40] == 4).sum() >= 36
    assert (found[150] == 4).sum() == 0


def test_what_is_known_of_pixels_is_told_pixel_by_pixel():
    picture = blocky(2, 3, 20)
    hints = np.zeros(picture.shape[:2], np.uint8)
    hints[5, 5], hints[30, 50] = 1, 2
    options = SegmentOptions(features=FeatureSpec(working_pixels=100))
    seg = gmmseg.segment(picture, 2, options, hints=hints)
    assert seg.model.features.working_pixels == 0
    assert (seg.labels[5, 5], seg.labels[30, 50]) == (1, 2)
    boxed = gmmseg.segment(picture, options=options, box=(10, 5, 30, 25))
    assert boxed.model.features.working_pixels == 0


def test_a_negative_number_of_pixels():
    with pytest.raises(InvalidParameterError, match="working_pixels must be at least 0, got -1"):
        FeatureSpec(working_pixels=-1)


def test_anomalies_are_sought_in_every_pixel():
    picture = blocky(2, 3, 20)
    options = gmmseg.AnomalyOptions(features=FeatureSpec(working_pixels=100))
    with pytest.raises(InvalidParameterError, match=r"working_pixels must be 0 here"):
        gmmseg.detect_anomalies(picture, options)


def test_plots_show_the_pixels_that_were_fitted():
    from gmmseg.plots.pixels import pixels_of

    picture = blocky(2, 3, 20)
    options = SegmentOptions(features=FeatureSpec(working_pixels=100))
    model = gmmseg.segment(picture, 2, options).model
    assert len(pixels_of(model, Image.from_array(picture)).features) == 10 * 15
