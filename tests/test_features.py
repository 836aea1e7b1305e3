"""Colour against other software and formulas; place, texture and scale against their rules."""

import colorsys
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

import gmmseg
from gmmseg import _colour, _texture
from gmmseg.errors import InvalidParameterError, ModelFormatError
from gmmseg.feature_spec import COLOUR_SPACES, FeatureSpec
from gmmseg.features import (
    image_features,
    pixel_values,
    point_features,
    put_back,
    start_scale,
)
from gmmseg.image import Image

EVERYTHING = FeatureSpec(colour_space="raw", position=1, local_mean=(1.5,), local_std=(0.8, 1.5))


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def colours(rng):
    """All corners, all greys, dark and random colours, as uint8 rows."""
    corners = np.array(list(itertools.product((0, 255), repeat=3)))
    greys = np.repeat(np.arange(256)[:, np.newaxis], 3, axis=1)
    dark, random = rng.integers(0, 20, (500, 3)), rng.integers(0, 256, (5000, 3))
    return np.concatenate([corners, greys, dark, random]).astype(np.uint8)


def convert(values, space):
    return point_features(values, FeatureSpec(colour_space=space))


# Colour spaces


@pytest.mark.parametrize("space", ["lab", "luv"])
def test_cie_spaces_agree_with_scikit_image(colours, space):
    color = pytest.importorskip("skimage.color")
    theirs = getattr(color, f"rgb2{space}")(colours[:, np.newaxis])[:, 0]
    # measured 0.005 and 0.008: scikit-image's white differs from its matrix in the fourth digit
    np.testing.assert_allclose(convert(colours, space), theirs, atol=0.01)


def test_hsv_is_colorsys_with_hue_and_saturation_as_a_point_of_the_disc(colours):
    hue, saturation, value = np.array([colorsys.rgb_to_hsv(*row) for row in colours / 255]).T
    angle = 2 * np.pi * hue
    disc = np.stack([value, saturation * np.cos(angle), saturation * np.sin(angle)], axis=1)
    np.testing.assert_allclose(convert(colours, "hsv"), disc, atol=2e-6)


def test_reds_on_both_sides_of_the_hue_circle_are_neighbours():
    reds = np.array([colorsys.hsv_to_rgb(degrees / 360, 1, 1) for degrees in (359, 1, 180)])
    just_below, just_above, opposite = convert(reds, "hsv")
    assert np.linalg.norm(just_below - just_above) < 0.04
    assert np.linalg.norm(just_below - opposite) > 1.9


def test_luma_and_its_differences_follow_bt601(colours):
    red, green, blue = colours.T / 255
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    np.testing.assert_allclose(convert(colours, "gray")[:, 0], luma, atol=1e-6)
    expected = np.stack([luma, 0.5 + (red - luma) / 1.402, 0.5 + (blue - luma) / 1.772], axis=1)
    np.testing.assert_allclose(convert(colours, "ycrcb"), expected, atol=1e-6)


@pytest.mark.parametrize("space", ["gray", "ycrcb", "luv"])
def test_opencv_agrees_where_its_floats_are_exact_enough(colours, space):
    cv2 = pytest.importorskip("cv2")
    code = {"gray": cv2.COLOR_RGB2GRAY, "ycrcb": cv2.COLOR_RGB2YCrCb, "luv": cv2.COLOR_RGB2Luv}
    theirs = cv2.cvtColor(np.float32(colours[np.newaxis]) / 255, code[space])
    # OpenCV rounds the factors of Cr and Cb to 0.713 and 0.564, and interpolates Luv in a table
    tolerance = 0.02 if space == "luv" else 5e-4
    ours = convert(colours, space)
    np.testing.assert_allclose(ours, theirs.reshape(ours.shape), atol=tolerance)


def test_rgb_is_display_values(colours):
    np.testing.assert_allclose(convert(colours, "rgb"), colours / 255, rtol=1e-7)


@pytest.mark.parametrize(
    ("space", "neutral"),
    [("lab", (0, 0)), ("luv", (0, 0)), ("hsv", (0, 0)), ("ycrcb", (0.5, 0.5))],
)
def test_greys_have_exactly_no_chroma(space, neutral):
    greys = np.repeat(np.arange(65536, dtype=np.uint16)[:, np.newaxis], 3, axis=1)
    features = convert(greys, space)
    assert (features[:, 1:] == neutral).all()
    assert (np.diff(features[:, 0]) > 0).all()


@pytest.mark.parametrize("space", sorted(_colour.SPACES))
def test_16_bits_equal_8_bits_times_257_and_floats_come_close(colours, space):
    features = convert(colours, space)
    np.testing.assert_array_equal(convert(colours.astype(np.uint16) * 257, space), features)
    np.testing.assert_array_equal(convert(colours.astype(">u2") * 257, space), features)
    np.testing.assert_allclose(convert(colours / 255, space), features, atol=3e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("space", sorted(_colour.SPACES))
def test_a_row_does_not_depend_on_its_neighbours_or_the_block(monkeypatch, rng, space, dtype):
    values = rng.integers(0, 255, (301, 3))
    values = (
        values.astype(dtype) if np.issubdtype(dtype, np.integer) else (values / 255).astype(dtype)
    )
    whole = convert(values, space)
    order = rng.permutation(len(values))
    np.testing.assert_array_equal(convert(values[order], space), whole[order])
    monkeypatch.setattr(_colour, "BLOCK", 7)
    np.testing.assert_array_equal(convert(values, space), whole)


@pytest.mark.parametrize(
    "space", [s for s in COLOUR_SPACES if s not in ("auto", "raw", "rgb", "none")]
)
def test_the_first_feature_is_lightness(space):
    assert np.argsort(
        convert(np.array([[200] * 3, [10] * 3, [90] * 3], np.uint8), space)[:, 0]
    ).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        *[(dtype, np.float32) for dtype in ("u1", "i1", "u2", "i2", ">u2", ">i2", "f4")],
        *[(dtype, np.float64) for dtype in ("u4", "i4", "u8", "i8", "f8")],
    ],
)
def test_raw_values_are_kept_exactly(dtype, expected):
    values = np.array([[0, 100], [127, 3]]).astype(dtype)
    features = convert(values, "raw")
    assert features.dtype == expected
    np.testing.assert_array_equal(features, values)


@pytest.mark.parametrize("space", ["raw", "lab", "gray"])
def test_features_are_planes_in_memory(colours, space):
    features = convert(colours, space)
    assert features.shape[0] == len(colours)
    assert features.T.flags.c_contiguous
    assert image_features(Image.from_array(colours[np.newaxis]), EVERYTHING).T.flags.c_contiguous


def test_no_rows_give_no_features():
    assert convert(np.empty((0, 3), np.uint8), "lab").shape == (0, 3)
    image = Image.from_array(np.zeros((3, 4, 3), np.float32), mask=np.zeros((3, 4)))
    spec = FeatureSpec(colour_space="lab", position=1, local_std=(1,))
    features = image_features(image, spec)
    assert features.shape == (0, 6)


def test_floats_a_little_outside_the_range_go_on_smoothly():
    values = np.array([[-0.01, 0, 0.01], [1.01, 1, 0.99]], np.float32)
    for space in _colour.SPACES:
        assert np.isfinite(convert(values, space)).all()


@pytest.mark.parametrize(
    ("values", "space", "message"),
    [
        (
            np.zeros((2, 3), np.uint8),
            "auto",
            r"colour_space must be resolved here, got 'auto': use",
        ),
        (np.zeros((2, 4), np.uint8), "lab", r"values must have 3 bands .*'lab', got 4\. Pass the"),
        (np.zeros((2, 2), np.uint8), "gray", r"values must have 1 or 3 bands .*'gray', got 2"),
        (np.zeros(3, np.uint8), "raw", r"values must be \(N, bands\) .* got shape \(3,\) of uint8"),
        (np.zeros((2, 3), complex), "raw", r"values must be \(N, bands\) .* of complex128"),
    ],
)
def test_unfit_rows_are_refused(values, space, message):
    with pytest.raises(InvalidParameterError, match=message):
        convert(values, space)


# The specification


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour_space": "cmyk"}, r"colour_space must be one of 'auto', .*, got 'cmyk'"),
        ({"bands": 3}, r"bands must be a sequence of numbers, got 3"),
        ({"bands": "321"}, r"bands must be a sequence of numbers, got '321'"),
        ({"bands": (0,)}, r"each of bands must be at least 1, got 0"),
        ({"bands": (1.5,)}, r"each of bands must be a whole number, got 1\.5"),
        (
            {"bands": (2, 2)},
            r"bands must be different band numbers or names, .* got \(2, 2\)\. None takes",
        ),
        ({"bands": ()}, r"bands must be different band numbers or names, at least one, got \(\)"),
        ({"position": -1}, r"position must be at least 0, got -1"),
        ({"position": np.nan}, r"position must be finite, got nan"),
        ({"local_mean": (0,)}, r"each of local_mean must be more than 0, got 0"),
        ({"local_std": 2}, r"local_std must be a sequence of numbers, got 2"),
        ({"local_std": (2, 2.0)}, r"local_std must be different scales, got \(2, 2\.0\)"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InvalidParameterError, match=message):
        FeatureSpec(**options)


@pytest.mark.parametrize(
    ("options", "pointwise"),
    [
        ({}, True),
        ({"position": 0.1}, False),
        ({"local_mean": [1]}, False),
        ({"local_std": [1]}, False),
    ],
)
def test_is_pointwise(options, pointwise):
    assert FeatureSpec(**options).is_pointwise is pointwise


@pytest.mark.parametrize(
    "spec",
    [FeatureSpec(), EVERYTHING, FeatureSpec(bands=[np.int64(3), 1], local_mean=[2])],
)
def test_a_spec_survives_json(spec):
    assert FeatureSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": 1}, r"features: the entry 'gamma' is not known to this version"),
        ({3: 1}, r"features: the entry 3 is not known"),
        ({"bands": 3}, r"features: bands must be a list, got 3"),
        ({"local_std": None}, r"features: local_std must be a list, got None"),
        ({"bands": ["1"]}, r"features: bands and roles of a model must be numbers"),
        ({"position": "1"}, r"features: position must be a number, got '1'"),
        ({"position": True}, r"features: position must be a number, got True"),
        ({"colour_space": ["lab"]}, r"features: colour_space must be one of"),
    ],
)
def test_a_malformed_spec_is_refused(change, message):
    with pytest.raises(ModelFormatError, match=message):
        FeatureSpec.from_dict({**FeatureSpec().to_dict(), **change})


def test_an_incomplete_spec_is_refused():
    entries = FeatureSpec().to_dict()
    del entries["position"]
    with pytest.raises(ModelFormatError, match=r"the entry 'position' is missing"):
        FeatureSpec.from_dict(entries)
    with pytest.raises(ModelFormatError, match=r"features must be an object, got list"):
        FeatureSpec.from_dict([])


def colour_image(shape=(2, 3, 3), dtype=np.uint8):
    return Image(data=np.zeros(shape, dtype), colour=True)


@pytest.mark.parametrize(
    ("image", "options", "space"),
    [
        (colour_image(), {}, "lab"),
        (colour_image(dtype=np.uint16), {}, "lab"),
        (colour_image(dtype=np.dtype(">u2")), {}, "lab"),
        (colour_image(dtype=np.float32), {}, "raw"),
        (colour_image(), {"bands": (2,)}, "raw"),
        (colour_image(), {"bands": (3, 2, 1)}, "raw"),
        (colour_image((2, 3, 4)), {}, "raw"),  # a fourth band must not be lost
        (colour_image((2, 3, 4)), {"bands": (1, 2, 3)}, "lab"),
        (colour_image((2, 3, 4)), {"colour_space": "luv"}, "luv"),
        (Image(data=np.zeros((2, 3, 3), np.uint8)), {}, "raw"),
        (Image(data=np.zeros((2, 3, 3), np.uint8)), {"colour_space": "hsv"}, "hsv"),
        (Image(data=np.ones((2, 3, 8))), {"colour_space": "lab", "bands": (4, 3, 2)}, "lab"),
        (Image.from_array(np.zeros((2, 3), np.uint8)), {}, "raw"),
        (Image.from_array(np.zeros((2, 3), np.uint8)), {"colour_space": "gray"}, "gray"),
        (Image.from_array(np.zeros((2, 3), np.int16)), {"colour_space": "gray"}, "raw"),
        (Image.from_array(np.full((2, 3), 7.0)), {"colour_space": "gray"}, "raw"),
    ],
)
def test_colour_space_is_resolved(image, options, space):
    resolved = FeatureSpec(**options).resolve(image)
    assert resolved.colour_space == space
    assert resolved.resolve(image) == resolved
    assert image_features(image, resolved).shape[1] == len(resolved.names(image))


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (
            colour_image(),
            {"bands": (1, 4)},
            r"bands must be within 1\.\.3, .*, got 4\. Choose .*--bands",
        ),
        (
            Image(data=np.zeros((2, 3, 5))),
            {"colour_space": "lab"},
            r"'lab' needs three bands, .*, but 5 bands are chosen\. .*--colour-space raw",
        ),
        (
            Image.from_array(np.zeros((2, 3))),
            {"colour_space": "hsv"},
            r"'hsv' needs three bands, .* but 1 band is chosen\..*--bands 3,2,1",
        ),
        (
            colour_image(dtype=np.int16),
            {"colour_space": "luv"},
            r"'luv' needs display values: .*, got int16\. .*--colour-space raw",
        ),
        (
            Image(data=np.array([[[-3.0, 0, 0], [7, 0, 0]]])),
            {"colour_space": "rgb"},
            r"'rgb' needs display values: .*, got floats in -3\.\.7\.",
        ),
    ],
)
def test_an_image_that_does_not_suit_is_refused(image, options, message):
    with pytest.raises(InvalidParameterError, match=message):
        FeatureSpec(**options).resolve(image)


def test_unused_pixels_do_not_decide_whether_floats_are_display_values():
    data = np.array([[[0.5, 0.5, 0.5], [9, 9, 9], [np.nan, 0, 0]]])
    image = Image(data=data, mask=np.array([[True, False, True]]))
    assert FeatureSpec(colour_space="lab").resolve(image).colour_space == "lab"


def test_names():
    volume = Image(data=np.zeros((2, 3, 4, 2)), band_names=("T1", "T2"))
    spec = FeatureSpec(position=1, local_mean=(2, 0.5), local_std=(2,))
    assert spec.names(volume) == (
        *("T1", "T2", "mean 2 of T1", "mean 2 of T2", "mean 0.5 of T1", "mean 0.5 of T2"),
        *("std 2 of T1", "std 2 of T2", "plane", "row", "col"),
    )
    assert FeatureSpec(bands=(5, 2)).names(Image(data=np.zeros((2, 3, 6)))) == ("band 5", "band 2")
    assert FeatureSpec(local_std=(1,)).names(colour_image()) == ("L", "a", "b", "std 1 of L")


# Pixels and their order


def test_bands_are_chosen_in_their_order(rng):
    data = rng.normal(size=(3, 4, 6))
    image = Image(data=data)
    spec = FeatureSpec(bands=(5, 1))
    np.testing.assert_array_equal(image_features(image, spec), data[..., [4, 0]].reshape(-1, 2))
    np.testing.assert_array_equal(pixel_values(image, spec), data[..., [4, 0]].reshape(-1, 2))


def test_all_pixels_and_bands_are_a_view():
    data = np.zeros((3, 4, 2))
    assert np.shares_memory(pixel_values(Image(data=data), FeatureSpec()), data)


@pytest.mark.parametrize("shape", [(3, 5, 2), (2, 3, 5, 2)])
def test_rows_are_the_used_pixels_in_row_major_order(rng, shape):
    data = rng.normal(size=shape)
    mask = rng.random(shape[:-1]) < 0.5
    data[(1,) * (len(shape) - 1)][0] = np.inf
    mask[(1,) * (len(shape) - 1)] = True
    image = Image(data=data, mask=mask)
    features = image_features(image, FeatureSpec())
    finite = np.where(np.isfinite(data), data, np.nan)
    np.testing.assert_array_equal(features, finite[mask & np.isfinite(data).any(-1)])
    whole = image_features(image, FeatureSpec(gaps="drop"))
    np.testing.assert_array_equal(whole, data[mask & np.isfinite(data).all(-1)])
    restored = put_back(features, image.valid, image.shape, fill=np.nan)
    np.testing.assert_array_equal(restored[image.valid], features)
    assert np.isnan(restored[~image.valid]).all()


def test_put_back_of_whole_images():
    np.testing.assert_array_equal(put_back(np.arange(6), None, (2, 3)), np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("space", sorted(_colour.SPACES))
def test_image_features_are_the_point_features_of_its_pixels(rng, space):
    image = Image.from_array(
        rng.integers(0, 256, (9, 7, 3), dtype=np.uint8), mask=rng.random((9, 7)) < 0.6
    )
    spec = FeatureSpec(colour_space=space)
    np.testing.assert_array_equal(
        image_features(image, spec), point_features(pixel_values(image, spec), spec)
    )


shapes = st.one_of(st.tuples(*[st.integers(1, 6)] * 2), st.tuples(*[st.integers(1, 4)] * 3))


@settings(deadline=None, max_examples=60)
@given(st.data(), shapes, st.sampled_from([np.nan, np.inf, 1e30, -5.0]))
def test_values_of_unused_pixels_change_nothing(data, shape, junk):
    values = data.draw(hnp.arrays(np.float32, (*shape, 2), elements=st.floats(-1e3, 1e3, width=32)))
    mask = data.draw(hnp.arrays(bool, shape))
    spoilt = np.where(mask[..., np.newaxis], values, np.float32(junk))
    clean = image_features(Image(data=values, mask=mask), EVERYTHING)
    np.testing.assert_array_equal(image_features(Image(data=spoilt, mask=mask), EVERYTHING), clean)


# Place


def place_of(shape, spacing=None):
    image = Image(data=np.zeros((*shape, 1), np.float32), spacing=spacing)
    place = image_features(image, FeatureSpec(position=1))[:, 1:]
    return place.reshape(*shape, len(shape))


def test_place_is_planes_then_rows_then_cols_in_physical_units():
    place = place_of((2, 3, 4), spacing=(3.0, 1.0, 0.5))  # extents 6, 3, 2
    np.testing.assert_allclose(place[1, 2, 3], [4.5 / 6, 2.5 / 6, 1.75 / 6])
    np.testing.assert_allclose(place[0, 0, 0], [1.5 / 6, 0.5 / 6, 0.25 / 6])


@given(st.tuples(st.integers(1, 8), st.integers(1, 8)), st.floats(0.1, 10), st.floats(0.1, 10))
@settings(deadline=None, max_examples=40)
def test_place_does_not_depend_on_the_resolution(shape, step, ratio):
    coarse = place_of(shape, (step, step * ratio))
    rows, cols = shape
    fine = place_of((2 * rows, 2 * cols), (step / 2, step * ratio / 2))
    np.testing.assert_allclose(
        fine.reshape(rows, 2, cols, 2, 2).mean(axis=(1, 3)), coarse, rtol=1e-5
    )
    assert 0 < fine.min() <= fine.max() < 1


# Texture


def naive_moments(values, used, sigmas):
    """Local mean and std of (shape) values by the definition, at every used pixel."""
    reach = [int(4 * sigma + 0.5) for sigma in sigmas]
    places = np.argwhere(used)
    rows = []
    for here in places:
        near = places[(np.abs(places - here) <= reach).all(axis=1)]
        weight = np.exp(-0.5 * (((near - here) / sigmas) ** 2).sum(axis=1))
        found = values[tuple(near.T)]
        mean = (weight @ found) / weight.sum()
        rows.append((mean, np.sqrt(weight @ (found - mean) ** 2 / weight.sum())))
    return np.array(rows)


@pytest.mark.parametrize("slab", [1, 1 << 20])
@pytest.mark.parametrize(
    ("shape", "spacing", "sigmas"),
    [
        ((9, 8), None, (1.3, 1.3)),
        ((9, 8), (2.0, 0.5), (1.3 / 4, 1.3)),
        ((5, 7, 6), (3.0, 1.0, 2.0), (1.3 / 3, 1.3, 0.65)),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_texture_is_the_gaussian_moments_of_used_pixels(
    monkeypatch, rng, shape, spacing, sigmas, masked, slab
):
    monkeypatch.setattr(_texture, "_SLAB", slab)
    values = 1e6 + rng.normal(size=(*shape, 2))
    used = rng.random(shape) < 0.6 if masked else np.ones(shape, dtype=bool)
    image = Image(data=values, mask=used, spacing=spacing)
    features = image_features(image, FeatureSpec(local_mean=(1.3,), local_std=(1.3,)))
    for band in range(2):
        expected = naive_moments(values[..., band], used, np.array(sigmas))
        np.testing.assert_allclose(features[:, 2 + band], expected[:, 0], rtol=1e-12)
        np.testing.assert_allclose(features[:, 4 + band], expected[:, 1], atol=1e-7)


@pytest.mark.parametrize("shape", [(40, 7), (11, 6, 5)])
def test_texture_does_not_depend_on_the_slabs(monkeypatch, rng, shape):
    image = Image(data=rng.normal(size=(*shape, 1)), mask=rng.random(shape) < 0.8)
    whole = image_features(image, EVERYTHING)
    monkeypatch.setattr(_texture, "_SLAB", 1)
    np.testing.assert_array_equal(image_features(image, EVERYTHING), whole)


def test_a_mask_that_allows_everything_changes_no_texture(rng):
    data = rng.normal(size=(9, 8, 1))
    bordered = np.pad(data, ((3, 3), (3, 3), (0, 0)), constant_values=99)
    mask = np.zeros((15, 14), dtype=bool)
    mask[3:-3, 3:-3] = True
    spec = FeatureSpec(local_mean=(2,), local_std=(2,))
    np.testing.assert_allclose(
        image_features(Image(data=bordered, mask=mask), spec),
        image_features(Image(data=data), spec),
        rtol=1e-12,
    )


@pytest.mark.parametrize("value", [0.1, 200.1, 1e12])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_images_have_exactly_no_local_std(value, dtype):
    image = Image.from_array(np.full((20, 30), value, dtype))
    features = image_features(image, FeatureSpec(local_mean=(3,), local_std=(3,)))
    np.testing.assert_array_equal(features[:, 1], features[:, 0])
    np.testing.assert_array_equal(features[:, 2], 0)


def test_texture_of_colour_is_of_lightness(rng):
    image = Image.from_array(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8))
    features = image_features(image, FeatureSpec(local_mean=(1,), local_std=(2,)))
    lightness = Image.from_array(features[:, 0].reshape(12, 10))
    alone = image_features(lightness, FeatureSpec(local_mean=(1,), local_std=(2,)))
    np.testing.assert_array_equal(features[:, 3:], alone[:, 1:])


# The scale of the k-means start


def test_colours_share_a_scale_and_the_rest_have_their_own(rng):
    image = Image.from_array(rng.integers(0, 256, (30, 10, 3), dtype=np.uint8))
    spec = FeatureSpec(local_mean=(1,), local_std=(2,), position=0.5).resolve(image)
    features = image_features(image, spec)
    scale = start_scale(features.std(axis=0, dtype=np.float64), spec, 2)
    std = features.std(axis=0, dtype=np.float64)
    colours = 1 / std[:3].max()
    expected = [*[colours] * 3, colours, 2 * colours, *[0.5 / std[5:].max()] * 2]
    np.testing.assert_allclose(scale, expected, rtol=1e-6)


def test_texture_has_the_scale_of_its_band(rng):
    spec = FeatureSpec(colour_space="raw", local_mean=(1, 2), local_std=(3,))
    scale = start_scale(np.array([2.0, 0.0, *rng.uniform(1, 9, 4), 4.0, 5.0]), spec, 2)
    np.testing.assert_allclose(scale[[0, 1, 2, 4, 6]], [1 / 2, 0, 1 / 2, 1 / 2, 1])
    assert (scale[[3, 5, 7]] > 0).all()  # of a band that does not vary: its own


def test_the_start_does_not_take_edges_for_classes(rng):
    stripes = np.repeat([30, 120, 220], 60)[None, :, None] + rng.normal(0, 6, (120, 180, 3))
    spec = FeatureSpec(blur=2.0, local_std=(2.0, 6.0))
    options = gmmseg.SegmentOptions(features=spec, em=gmmseg.EMOptions(covariance_type="tied"))
    labels = gmmseg.segment(stripes.clip(0, 255).astype(np.uint8), 3, options).labels
    assert (labels == np.repeat([1, 2, 3], 60)).mean() > 0.95


@pytest.mark.parametrize("space", sorted(_colour.SPACES))
def test_every_colour_space_keeps_its_metric(colours, space):
    deviations = convert(colours, space).std(axis=0)
    scale = start_scale(deviations, FeatureSpec(colour_space=space), 2)
    assert len(set(scale)) == 1
    assert scale[0] > 0


def test_place_in_volumes(rng):
    image = Image(data=rng.normal(size=(4, 5, 6, 2)))
    spec = FeatureSpec(position=2.0).resolve(image)
    features = image_features(image, spec)
    scale = start_scale(features.std(axis=0), spec, 3)
    np.testing.assert_allclose(scale[2:], 2 / features[:, 2:].std(axis=0).max())


bands = hnp.arrays(np.float64, (12, 2), elements=st.floats(-100, 100).map(lambda x: round(x, 3)))


@settings(deadline=None, max_examples=80)
@given(bands, st.floats(1e-3, 1e6), st.floats(-1e4, 1e4))
def test_units_of_raw_bands_do_not_matter(values, factor, shift):
    spec = FeatureSpec(colour_space="raw", local_mean=(1,), local_std=(1,))

    def standardised(data):
        features = image_features(Image(data=data.reshape(3, 4, 2)), spec)
        return (features - features.mean(axis=0)) * start_scale(features.std(axis=0), spec, 2)

    changed = standardised(values * factor + shift * factor)
    np.testing.assert_allclose(changed, standardised(values), atol=1e-5)


def test_unresolved_specs_have_no_scale():
    with pytest.raises(InvalidParameterError, match=r"resolved here, got 'auto'"):
        start_scale(np.ones(3), FeatureSpec(), 2)


def test_the_import_is_light():
    heavy = "{'cv2', 'scipy', 'skimage', 'numba'}"
    code = f"import sys, gmmseg.features; sys.exit(str({heavy} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize(
    ("shape", "sigmas"),
    [((31, 47), (2.0, 6.0)), ((5, 9, 7), (0.05, 1.0, 3.0)), ((3, 2), (9.0, 9.0))],
)
def test_windows_are_those_of_scipy(shape, sigmas):
    values = np.random.default_rng(1).normal(size=shape)
    found = values
    for axis, sigma in enumerate(sigmas):
        found = _texture._smoothed_along(found, axis, sigma)
    expected = ndimage.gaussian_filter(values, sigmas, mode="constant", truncate=_texture._REACH)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
