"""Presets: which one an image gets, that each runs, and what options mean beside them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gmmseg
from gmmseg import adapted
from gmmseg.errors import InvalidParameterError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.features import image_features
from gmmseg.image import Image
from gmmseg.mixture.options import EMOptions
from gmmseg.options import SegmentOptions
from gmmseg.presets import (
    AUTOMATIC,
    PRESET_NAMES,
    PRESETS,
    ChangedPreset,
    options_for,
    preset_name,
)
from gmmseg.smoothing import SmoothingOptions

SAMPLES = Path(__file__).parents[1] / "sample_images"
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "dtype", "axes", "name"),
    [
        ((6, 7), np.uint8, "YX", "grey"),
        ((6, 7), np.float32, "YX", "grey"),
        ((6, 7, 3), np.uint8, "YXC", "photo"),
        ((6, 7, 3), np.uint16, "YXC", "photo"),
        ((6, 7, 3), np.float64, "YXC", "satellite"),
        ((6, 7, 13), np.int16, "YXC", "satellite"),
        ((5, 6, 7), np.uint8, "ZYX", "mri"),
        ((5, 6, 7, 2), np.uint8, "ZYXC", "satellite"),
    ],
)
def test_auto_goes_by_bands_and_axes(shape, dtype, axes, name):
    image = Image.from_array(np.arange(np.prod(shape)).reshape(shape).astype(dtype), axes=axes)
    assert preset_name(image) == name
    options = options_for(AUTOMATIC, image)
    assert options == options_for(name, image)
    assert options.regions == PRESETS[name].regions


def test_a_grey_picture_in_three_bands_is_grey():
    grey = RNG.integers(0, 255, (6, 7, 1), dtype=np.uint8)
    assert preset_name(Image.from_array(np.repeat(grey, 3, axis=2))) == "grey"


@pytest.mark.parametrize(("most", "inside"), [(20**3, True), (20**3 - 1, False)])
def test_a_noisy_volume_is_smoothed_inside_em_unless_it_is_large(most, inside, monkeypatch):
    """Inside EM all probabilities are held; after EM they need not be."""
    monkeypatch.setattr(adapted, "_MOST_INSIDE", most)
    scan = Image.from_array(RNG.normal(100, 30, (20, 20, 20)), axes="ZYX")
    smoothing = options_for("auto", scan).smoothing
    assert smoothing.is_on
    assert smoothing.inside is inside


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("photo.jpg", "photo"),
        ("mri.png", "grey"),
        ("grey16.png", "grey"),
        ("satellite.tif", "satellite"),
    ],
)
def test_auto_of_the_sample_images(file, name):
    assert preset_name(gmmseg.read_image(SAMPLES / file)) == name


def test_options_are_taken_as_they_are():
    image = Image.from_array(np.zeros((4, 5)))
    options = replace(PRESETS["photo"], features=FeatureSpec())
    assert options_for(options, image) is options
    assert options_for("plain", image) == SegmentOptions()


def test_an_object_in_a_box_is_plain_unless_a_preset_is_named():
    image = Image.from_array(RNG.integers(0, 255, (6, 7, 3), dtype=np.uint8))
    assert options_for(AUTOMATIC, image, boxed=True) == SegmentOptions()
    assert options_for("photo", image, boxed=True) == PRESETS["photo"]


def test_a_preset_that_is_not_there():
    image = Image.from_array(np.zeros((4, 5)))
    with pytest.raises(InvalidParameterError, match=r"options must be one of .*microscopy"):
        options_for("xray", image)


def test_where_bands_are_missing_smoothing_comes_after_em():
    values = RNG.normal(size=(9, 10, 5))
    whole = Image.from_array(values, axes="YXC")
    assert options_for("satellite", whole).smoothing.inside
    values[2, 3, 1] = np.nan
    assert not options_for("satellite", Image.from_array(values, axes="YXC")).smoothing.inside
    values[2, 3] = np.nan  # a pixel without any band is no gap: it is not used at all
    assert options_for("satellite", Image.from_array(values, axes="YXC")).smoothing.inside


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_a_name_means_the_value(name):
    picture = np.kron(RNG.integers(20, 90, (3, 4)), np.ones((8, 8))).astype(np.uint8)
    picture += RNG.integers(0, 9, picture.shape, dtype=np.uint8)
    options = options_for(name, Image.from_array(picture))
    by_name = gmmseg.segment(picture, 2, name)
    assert np.array_equal(by_name.labels, gmmseg.segment(picture, 2, options).labels)
    assert set(np.unique(by_name.labels)) == {1, 2}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("photo.jpg", "photo"),
        ("microscopy.png", "microscopy"),
        ("mri.png", "mri"),
        ("grey16.png", "grey"),
        ("satellite.tif", "satellite"),
        ("satellite_gaps.tif", "auto"),
    ],
)
def test_presets_run_on_their_sample_images(file, name):
    found = gmmseg.segment(SAMPLES / file, 3, name)
    assert [row.pixels > 0 for row in found.table] == [True] * 3


@pytest.mark.parametrize("scale", [1e-3, 1.0, 65536.0])
def test_a_power_keeps_the_sign_and_leaves_the_classes_whatever_the_unit(scale):
    values = np.array([[-4.0, 0.0, 9.0]]) * scale
    image = Image.from_array(values)
    found = image_features(image, FeatureSpec(power=0.5)).ravel()
    np.testing.assert_allclose(found, np.array([-2.0, 0.0, 3.0]) * np.sqrt(scale), rtol=1e-12)
    assert FeatureSpec(power=0.5).names(image) == ("band 1^0.5",)


def test_a_power_of_distinct_values_is_that_of_the_pixels():
    picture = RNG.integers(0, 255, (40, 50), dtype=np.uint8)
    spec = FeatureSpec(power=0.5)
    seg = gmmseg.segment(picture, 2, SegmentOptions(features=spec))
    means = seg.mixture.weights @ seg.mixture.means
    np.testing.assert_allclose(means, np.sqrt(picture.astype(float)).mean(), rtol=1e-4)


def test_blur_puts_local_means_in_the_place_of_the_values():
    image = Image.from_array(RNG.normal(size=(12, 13, 2)), axes="YXC")
    blurred = image_features(image, FeatureSpec(blur=1.5, local_std=(2.0,)))
    both = image_features(image, FeatureSpec(local_mean=(1.5,), local_std=(2.0,)))
    np.testing.assert_array_equal(blurred, both[:, 2:])
    assert FeatureSpec(blur=1.5).names(image) == ("mean 1.5 of band 1", "mean 1.5 of band 2")


def test_blur_neither_gives_to_nor_takes_from_unused_pixels():
    values = np.ones((9, 9))
    values[4, 4] = 1e6
    mask = np.ones((9, 9), bool)
    mask[4, 4] = False
    found = image_features(Image.from_array(values, mask=mask), FeatureSpec(blur=2.0))
    np.testing.assert_allclose(found, 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"power": 0.0}, "power must be more than 0, got 0.0"),
        ({"blur": -1.0}, "blur must be at least 0, got -1.0"),
        ({"background": -1.0}, "background must be at least 0, got -1.0"),
        ({"local_gain": -1.0}, "local_gain must be at least 0, got -1.0"),
    ],
)
def test_options_that_break_their_rule(option, message):
    with pytest.raises(InvalidParameterError, match=message):
        FeatureSpec(**option)


def test_classes_that_are_followed_from_image_to_image():
    """Scenes of many bands have one covariance and a field after EM, in strips as in memory."""
    scene = Image.from_array(RNG.random((6, 7, 4)))
    photo = Image.from_array(RNG.integers(0, 255, (6, 7, 3), dtype=np.uint8))
    chosen = ChangedPreset(followed=True)
    options = chosen(scene)
    assert options.em == replace(EMOptions(n_init=10), covariance_type="tied")
    assert options.smoothing == SmoothingOptions(beta=1.0)
    assert chosen.of_stream(scene) == options
    assert chosen(photo) == PRESETS["plain"] == chosen.of_stream(photo)
    assert replace(chosen, preset="photo")(photo) == PRESETS["photo"]
