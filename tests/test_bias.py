"""Bias fields: the splines that they are made of, and fields that were put into phantoms."""

from functools import reduce
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_bands import matrix_of
from scipy.interpolate import BSpline

import gmmseg
from gmmseg.bias import USUAL_SMOOTHNESS, BiasOptions, _is_seen, estimate_bias
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.image import Image
from gmmseg.io import write_nifti
from gmmseg.splines import Splines, _cubic

MEANS = np.array([60.0, 120.0, 180.0])


def phantom(shape=(30, 40, 36), seed=0, noise=4.0):
    """Three tissues in patches of some ten voxels, and where there is a head."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 3, [-(-n // 5) for n in shape])
    labels = small
    for axis, n in enumerate(shape):
        labels = np.repeat(labels, 5, axis=axis).take(range(n), axis=axis)
    values = MEANS[labels] + rng.normal(0, noise, shape)
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    mask = sum(g**2 for g in grid) < 1.2
    return values.astype(np.float32), labels, mask


def field_of(shape, amount, mask):
    """A field as of a coil: near at one corner, from 1 - amount / 2 to 1 + amount / 2."""
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    bump = np.exp(-sum((g - 0.7 * (-1) ** i) ** 2 for i, g in enumerate(grid)) / 3)
    low, high = bump[mask].min(), bump[mask].max()
    return 1 - amount / 2 + amount * (bump - low) / (high - low)


def error_of(found, true, mask):
    """Standard deviation of the ratio's logarithm: a constant factor is nobody's."""
    return float(np.std(np.log(found / true)[mask]))


# --- splines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [0, 1, 2])
def test_pieces_are_those_of_scipy(order):
    segments = 4
    knots = np.arange(-3, segments + 4, dtype=float)
    t = np.linspace(0, segments, 50)
    expected = np.stack(
        [
            BSpline(knots, np.eye(segments + 3)[i], 3).derivative(order)(t)
            if order
            else BSpline(knots, np.eye(segments + 3)[i], 3)(t)
            for i in range(segments + 3)
        ],
        axis=1,
    )
    found = _cubic(t, segments, order)
    assert np.allclose(found[:-1], expected[:-1], atol=1e-12)


def splines_of(shape=(20, 30), wavelength=20.0, spacing=(1.0, 0.5)):
    centres = [np.arange(n) + 0.5 for n in shape]
    return Splines.over(shape, spacing, tuple(slice(0, n) for n in shape), wavelength, centres)


def test_bending_is_the_integral_of_squared_second_derivatives():
    splines = splines_of()
    coefficients = np.random.default_rng(0).normal(size=splines.n_coefficients)
    fine = [np.linspace(0, n, 400 * 2 + 1)[1::2] for n in (20, 30)]
    values = coefficients
    for axis, where in zip(splines._axes, fine, strict=True):
        values = np.tensordot(values, axis.basis(where), (0, 1))
    steps = 20 / 400 * 1.0, 30 / 400 * 0.5
    yy = np.gradient(np.gradient(values, steps[0], axis=0), steps[0], axis=0)
    xx = np.gradient(np.gradient(values, steps[1], axis=1), steps[1], axis=1)
    xy = np.gradient(np.gradient(values, steps[0], axis=0), steps[1], axis=1)
    expected = np.mean((yy**2 + 2 * xy**2 + xx**2)[2:-2, 2:-2]) * (20 / (2 * np.pi)) ** 4
    flat = coefficients.ravel()
    assert flat @ matrix_of(splines.penalty(1.0)) @ flat == pytest.approx(expected, rel=0.03)
    assert flat @ matrix_of(splines.penalty(0.25)) @ flat == pytest.approx(4 * expected, rel=0.03)


def integral(splines, order):
    """Of the products of the derivatives along the axes in turn."""
    grams = [axis.grams[order.count(i)] for i, axis in enumerate(splines._axes)]
    return reduce(np.kron, grams)


def test_mixed_derivatives_count_twice():
    splines = splines_of((9, 12, 8), 15.0, (1.0, 0.5, 2.0))
    bending = sum(integral(splines, pair) for pair in product(range(3), repeat=2))
    expected = bending * (15 / (2 * np.pi)) ** 4 / 0.7 + 1e-6 * integral(splines, ())
    np.testing.assert_allclose(matrix_of(splines.penalty(0.7)), expected, rtol=1e-12)


def test_fitting_is_weighted_least_squares_with_the_penalty():
    splines = splines_of()
    rng = np.random.default_rng(1)
    where = rng.random((20, 30)) < 0.7
    targets, weights = rng.normal(size=(2, where.sum()))
    weights = weights**2 + 0.1
    basis = np.kron(splines._axes[0].observed, splines._axes[1].observed)[where.ravel()]
    penalty = splines.penalty(0.7)
    normal = basis.T @ (weights[:, None] * basis) + weights.sum() * matrix_of(penalty)
    expected = np.linalg.solve(normal, basis.T @ (weights * targets))
    found = splines.fitted(where, targets, weights, penalty)
    assert np.allclose(found.ravel(), expected)
    assert np.allclose(splines.at(found, where), basis @ expected)


def test_a_long_box_has_the_field_that_all_equations_at_once_give():
    """More than 2500 coefficients; they are those of the dense equations."""
    shape, spacing = (140, 30, 35), (4.0, 6.0, 6.0)
    box = tuple(slice(0, n) for n in shape)
    centres = [np.arange(0, n, 2) + 0.5 for n in shape]
    splines = Splines.over(shape, spacing, box, 70.0, centres)
    assert np.prod(splines.n_coefficients) > 2500
    rng = np.random.default_rng(2)
    where = rng.random([len(c) for c in centres]) < 0.2
    targets, weights = rng.normal(size=(2, where.sum()))
    weights = weights**2 * 100
    penalty = splines.penalty(0.2)
    basis = reduce(np.kron, [axis.observed for axis in splines._axes])[where.ravel()]
    normal = basis.T @ (weights[:, None] * basis) + weights.sum() * matrix_of(penalty)
    expected = basis @ np.linalg.solve(normal, basis.T @ (weights * targets))
    found = splines.at(splines.fitted(where, targets, weights, penalty), where)
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(("times", "kept"), [(1, 0.5), (2, 16 / 17), (3, 81 / 82)])
def test_a_wave_of_the_wavelength_is_halved_and_longer_ones_stay(times, kept):
    n, wavelength = 600, 30.0
    x = np.arange(n) + 0.5
    centres = [np.array([0.5]), x]
    box = slice(0, 1), slice(0, n)
    splines = Splines.over((1, n), (1.0, 1.0), box, wavelength, centres)
    wave = np.sin(2 * np.pi * x / (times * wavelength))
    where = np.ones((1, n), bool)
    found = splines.at(splines.fitted(where, wave, np.ones(n), splines.penalty(1.0)), where)
    middle = slice(120, 480)
    share = found[middle] @ wave[middle] / (wave[middle] @ wave[middle])
    assert share == pytest.approx(kept, abs=0.06 / times**2)  # there are few knots


def test_a_slope_costs_nothing():
    splines = splines_of()
    where = np.ones((20, 30), bool)
    slope = (np.arange(20)[:, None] * 0.3 + np.arange(30) * 0.1).ravel()
    found = splines.at(splines.fitted(where, slope, np.ones(600), splines.penalty(1.0)), where)
    assert np.allclose(found, slope, atol=1e-3)


# --- fields ------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [0.2, 0.4])
def test_a_field_in_a_volume_is_found(amount):
    values, _, mask = phantom()
    true = field_of(values.shape, amount, mask)
    tilted = (values * true).astype(np.float32)
    image = Image.from_array(tilted, axes="ZYX", mask=mask, spacing=4.0)
    found = estimate_bias(image, BiasOptions(smoothness=70))
    assert found.converged
    assert error_of(found.values()[..., 0], true, mask) < 0.015
    assert found.range[1] - found.range[0] == pytest.approx(amount, abs=0.08)
    corrected = found.corrected(image).data[..., 0]
    assert corrected.dtype == np.float32
    assert np.allclose(corrected, image.data[..., 0] / found.values()[..., 0], rtol=1e-5)


def test_a_field_along_a_trunk_is_found():
    """600 mm: over 3000 coefficients."""
    values, _, mask = phantom((150, 52, 52))
    true = field_of(values.shape, 0.4, mask)
    image = Image.from_array(values * true, axes="ZYX", mask=mask, spacing=4.0)
    found = estimate_bias(image, BiasOptions(smoothness=70))
    assert np.prod(found.splines.n_coefficients) > 3000
    assert error_of(found.values()[..., 0], true, mask) < 0.006


def test_where_there_is_none_nearly_none_is_found():
    values, _, mask = phantom()
    image = Image.from_array(values, axes="ZYX", mask=mask, spacing=4.0)
    found = estimate_bias(image, BiasOptions(smoothness=70))
    assert error_of(found.values()[..., 0], np.ones(values.shape), mask) < 0.01


def shaded(amounts):
    """A head in which each tissue is shaded from front to back by an amount of its own."""
    values, labels, mask = phantom(noise=2.0)
    slope = np.linspace(-0.5, 0.5, values.shape[1])[:, None]
    return values * (1 + np.array(amounts)[labels] * slope), mask


def test_what_only_one_tissue_shows_is_no_field():
    """White matter is not equally bright everywhere: that is anatomy, not the scanner."""
    values, mask = shaded((0.0, 0.0, 0.15))
    image = Image.from_array(values, axes="ZYX", mask=mask, spacing=4.0)
    found = estimate_bias(image, BiasOptions(smoothness=70))
    assert found.range[1] - found.range[0] < 0.02


def test_what_a_rare_tissue_shows_does_not_matter():
    """Of fluid hardly a voxel is pure: what it shows is mostly what else is in them."""
    values, labels, mask = phantom(noise=2.0)
    rare = (labels == 0) & (np.random.default_rng(3).random(labels.shape) < 0.75)
    values[rare] += MEANS[1] - MEANS[0]
    slope = np.linspace(-0.5, 0.5, values.shape[1])[:, None]
    values = values * (1 + np.where((labels == 0) & ~rare, -0.4, 0.15) * slope)
    image = Image.from_array(values, axes="ZYX", mask=mask, spacing=4.0)
    found = estimate_bias(image, BiasOptions(smoothness=70))
    assert found.range[1] - found.range[0] == pytest.approx(0.15, abs=0.02)


@pytest.mark.parametrize(
    ("own", "common", "seen"),
    [(0.0, 0.021, False), (0.0, 0.023, True), (0.06, 0.021, False), (0.06, 0.023, True)],
)
def test_a_field_is_more_than_chance_and_nature_make(own, common, seen):
    """The shades of three classes add a third of their variance, which is taken off."""
    waves = np.sqrt(2) * np.cos(2 * np.pi * np.outer(np.arange(1, 5), np.arange(60)) / 60)
    fields = common * waves[0] + own * waves[1:] + np.array([[0.3], [0.0], [-0.2]])
    assert _is_seen(fields) is seen


def test_what_all_tissues_show_is_a_field():
    values, mask = shaded((0.15, 0.15, 0.15))
    image = Image.from_array(values, axes="ZYX", mask=mask, spacing=4.0)
    found = estimate_bias(image, BiasOptions(smoothness=70))
    assert found.range[1] - found.range[0] == pytest.approx(0.15, abs=0.02)


def test_without_a_field_the_image_stays_as_it_is():
    values, _, mask = phantom()
    image = Image.from_array(values.astype(np.uint8), axes="ZYX", mask=mask, spacing=4.0)
    found = estimate_bias(image, BiasOptions(smoothness=70))
    assert found.range == (1.0, 1.0)
    assert (found.values() == 1).all()
    corrected = found.corrected(image)
    assert corrected.data is image.data
    assert corrected.notes[-1] == "no bias field is seen"


def test_each_band_has_its_own_field():
    values, _, mask = phantom()
    true = np.stack([field_of(values.shape, 0.3, mask), field_of(values.shape, -0.3, mask)], -1)
    both = np.stack([values, 300 - values + np.random.default_rng(2).normal(0, 4, mask.shape)], -1)
    image = Image.from_array(both * true, axes="ZYXC", mask=mask, spacing=4.0)
    found = estimate_bias(image, BiasOptions(smoothness=70)).values()
    for band in range(2):
        assert error_of(found[..., band], true[..., band], mask) < 0.015


def test_pictures_have_fields_too():
    values, _, mask = phantom((160, 200))
    true = field_of(values.shape, 0.4, mask)
    found = estimate_bias(Image.from_array(values * true, mask=mask), BiasOptions(smoothness=80))
    assert error_of(found.values()[..., 0], true, mask) < 0.02


@settings(max_examples=5)
@given(st.floats(1e-3, 1e3), st.floats(0.1, 10))
def test_units_do_not_matter(gain, size):
    values, _, mask = phantom((16, 20, 18))
    true = field_of(values.shape, 0.3, mask)
    fields = [
        estimate_bias(
            Image.from_array(values * true * g, axes="ZYX", mask=mask, spacing=s),
            BiasOptions(smoothness=20 * s, rounds=5),
        ).values()
        for g, s in ((1.0, 1.0), (gain, size))
    ]
    assert np.allclose(*fields, rtol=1e-2)


def test_what_is_not_used_does_not_matter():
    values, _, mask = phantom()
    true = field_of(values.shape, 0.4, mask)
    options = BiasOptions(smoothness=70, rounds=4)
    images = [
        Image.from_array(np.where(mask, values * true, outside), axes="ZYX", mask=mask, spacing=4.0)
        for outside in (0.0, 1e6)
    ]
    fields = [estimate_bias(image, options).values() for image in images]
    assert np.array_equal(*fields)


def test_threads_do_not_matter():
    values, _, mask = phantom()
    image = Image.from_array(values, axes="ZYX", mask=mask, spacing=4.0)
    options = BiasOptions(smoothness=70, rounds=3)
    fields = [estimate_bias(image, options, threads=n).values() for n in (1, 3)]
    assert np.array_equal(*fields)


# --- options and errors ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoothness": -1}, "smoothness must be at least 0"),
        ({"gaussians": 0}, "gaussians must be at least 1"),
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"tol": -1.0}, "tol must be at least 0"),
    ],
)
def test_options_have_rules(options, message):
    with pytest.raises(InvalidParameterError, match=message):
        BiasOptions(**options)


def test_too_few_pixels():
    image = Image.from_array(np.full((8, 8), -1.0))
    with pytest.raises(InvalidDataError, match=r"needs more pixels: only 0 cubes .*--no-bias"):
        estimate_bias(image, BiasOptions(smoothness=70))
    empty = Image.from_array(np.ones((8, 8)), mask=np.zeros((8, 8)))
    with pytest.raises(InvalidDataError, match="needs pixels: none may be used"):
        estimate_bias(empty, BiasOptions(smoothness=70))


def test_too_many_coefficients():
    image = Image.from_array(np.ones((200, 200)))
    with pytest.raises(InvalidDataError, match=r"smoothness 1 would take 253009 coefficients"):
        estimate_bias(image, BiasOptions(smoothness=1))


# --- segmenting --------------------------------------------------------------------------------


def test_segmenting_without_a_field_is_right_again():
    values, truth, mask = phantom()
    tilted = values * field_of(values.shape, 0.6, mask)
    plain = gmmseg.SegmentOptions()
    right = []
    for options in (plain, gmmseg.SegmentOptions(bias=BiasOptions(smoothness=70))):
        image = Image.from_array(tilted, axes="ZYX", mask=mask, spacing=4.0)
        seg = gmmseg.segment(image, 3, options)
        right.append(np.mean((seg.labels == truth + 1)[mask]))
    assert right[0] < 0.95 < 0.995 < right[1]
    assert seg.to_dict()["bias"]["converged"]
    assert any("divided by a bias field" in note for note in seg.to_dict()["notes"])
    assert seg.table[2].mean[0] / seg.table[0].mean[0] == pytest.approx(3, rel=0.02)


def test_the_command_line(tmp_path, run):
    values, _, mask = phantom()
    image = np.where(mask, values * field_of(values.shape, 0.6, mask), 0)
    path = tmp_path / "t1.nii.gz"
    write_nifti(path, image.astype(np.float32), spacing=(4.0,) * 3)
    np.save(tmp_path / "mask.npy", mask.astype(np.uint8))
    shared = ("-k", 3, "--mask", tmp_path / "mask.npy", "--preset", "plain", "-o", f"{tmp_path}/o/")
    shared = (*shared, "--axes", "ZYX", "--no-overlay", "--overwrite", "--json")
    texts = {}
    for name, words in {
        "usual": ("--bias", path),
        "same": ("--bias", f"{USUAL_SMOOTHNESS:g}", path),
        "off": ("--no-bias", path),
    }.items():
        done = run("segment", *words, *shared)
        assert done.status == 0, done.err
        texts[name] = done.out
    assert '"rounds"' in texts["usual"]
    assert texts["usual"] == texts["same"]
    assert '"bias": null' in texts["off"]
