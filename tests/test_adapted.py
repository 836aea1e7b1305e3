"""What presets leave to the image: features of micrographs and scenes, smoothing of brains."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import gmmseg
from gmmseg.adapted import is_stained, noise_share, separation
from gmmseg.errors import GmmsegError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.features import image_features
from gmmseg.image import Image
from gmmseg.presets import AUTOMATIC, PRESETS, options_for


def spots(rng, shape=(120, 160), radius=6):
    """True in discs that do not touch."""
    grid = np.indices(shape)
    inside = np.zeros(shape, bool)
    for row in range(20, shape[0], 40):
        for col in range(20, shape[1], 40):
            centre = np.array([row, col]) + rng.integers(-6, 7, 2)
            inside |= ((grid - centre[:, None, None]) ** 2).sum(axis=0) < radius**2
    return inside


def micrograph(glow=0.0, seed=0):
    """Counts of photons from discs on a dark ground that may glow in a corner, and the discs."""
    rng = np.random.default_rng(seed)
    inside = spots(rng)
    row, col = np.indices(inside.shape)
    uneven = glow * np.exp(-(row**2 + col**2) / (2 * 70.0**2))
    return rng.poisson(6 + uneven + 40 * inside).clip(0, 255).astype(np.uint8), inside


def dice(labels, truth):
    found = labels == 1
    found = found if found.mean() < 0.5 else ~found
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def test_uneven_light_is_taken_away_where_it_is():
    even, inside = micrograph()
    assert options_for("microscopy", Image.from_array(even)).features.background == 0
    uneven, _ = micrograph(glow=100)
    options = options_for("microscopy", Image.from_array(uneven))
    assert options.features.background > 0
    for picture in (even, uneven):
        assert dice(gmmseg.segment(picture, 2, "microscopy").labels, inside) > 0.9
    plain = gmmseg.segment(uneven, 2, PRESETS["microscopy"]).labels
    assert dice(plain, inside) < 0.5


def test_a_bright_ground_lets_light_through():
    dark, _ = micrograph()
    features = options_for("microscopy", Image.from_array(255 - dark)).features
    assert (features.colour_space, features.power, features.local_gain) == ("gray", 1.0, 0.0)
    assert options_for("microscopy", Image.from_array(dark)).features.power < 1


def test_colours_of_a_micrograph_are_stains():
    grey, _ = micrograph()
    coloured = np.stack([grey, grey // 2, 255 - grey], axis=2)
    assert options_for("microscopy", Image.from_array(coloured)).features.colour_space == "stain"
    thrice = np.repeat(grey[..., None], 3, axis=2)
    assert options_for("microscopy", Image.from_array(thrice)).features.colour_space == "gray"


def slide(eosin=0.0, seed=0):
    """Nuclei (hematoxylin) on a slice, a third of which eosin makes redder and darker than them."""
    rng = np.random.default_rng(seed)
    inside = spots(rng)
    red = np.zeros(inside.shape)
    red[:40] = eosin * ~inside[:40]
    hematoxylin, stain = np.array([0.65, 0.70, 0.29]), np.array([0.0, 0.99, 0.35])
    density = np.multiply.outer(0.2 + 0.6 * inside, hematoxylin) + np.multiply.outer(red, stain)
    noise = rng.normal(0, 0.05, density.shape)
    return (240 * np.exp(-density + noise)).clip(0, 255).astype(np.uint8), inside


def test_eosin_is_not_taken_for_nuclei():
    for eosin in (0.0, 0.7, 1.5):
        picture, inside = slide(eosin)
        assert dice(gmmseg.segment(picture, 2, "microscopy").labels, inside) > 0.95
    in_lab = replace(PRESETS["microscopy"], features=FeatureSpec(colour_space="lab"))
    assert dice(gmmseg.segment(picture, 2, in_lab).labels, inside) < 0.5


def test_a_stained_slice_is_known_by_the_light_that_it_takes():
    picture, _ = slide(1.5)
    image = Image.from_array(picture)
    assert is_stained(image)
    assert options_for(AUTOMATIC, image) == options_for("microscopy", image)
    as_floats = Image.from_array(picture / 255, axes="YXC")
    assert is_stained(as_floats)
    green_to_blue = Image.from_array(picture[..., [0, 2, 1]])
    dark = Image.from_array(picture // 2)
    dense = Image.from_array((picture.astype(float) ** 3 / 255**2).astype(np.uint8))
    for other in (green_to_blue, dense):
        assert not is_stained(other)
    assert is_stained(dark) == is_stained(image)  # the lamp is what the brightest pixels have
    nothing = Image.from_array(picture, mask=np.zeros(picture.shape[:2], bool))
    assert not is_stained(nothing)


def test_grey_on_a_dark_ground_is_counts():
    dark, _ = micrograph()
    for values, power in (
        (dark, 0.75),
        (dark.astype(np.float32) * 1000, 0.75),
        (255 - dark, 1.0),
        (dark - 20.0, 1.0),
    ):
        image = Image.from_array(values)
        assert options_for(AUTOMATIC, image).features.power == power
        found = gmmseg.segment(image, 2)
        assert set(np.unique(found.labels)) == {1, 2}


@pytest.mark.parametrize(
    ("least", "missing", "power"),
    [(0.0, False, 1 / 3), (-0.2, False, 1.0), (-0.2, True, 1 / 3), (-1e-3, False, 1 / 3)],
)
def test_bands_below_zero_get_no_power(least, missing, power):
    values = np.random.default_rng(0).uniform(0.05, 0.6, (40, 50, 4))
    values[:2, :, 1] = least if least in (0.0, -0.2) else 0.05
    values[0, 0, 1] = least
    mask = values[..., 1] >= 0 if missing else None
    image = Image.from_array(values, axes="YXC", mask=mask)
    options = options_for(AUTOMATIC, image)
    assert options.features.power == power
    assert (options.em.covariance_type == "tied") == (power == 1)
    assert options.smoothing.inside == (power == 1)


def test_bands_of_a_volume_get_no_power():
    volume = Image.from_array(np.ones((3, 4, 5, 2)), axes="ZYXC")
    assert options_for("satellite", volume).features.power == 1


def test_scenes_lit_by_different_slopes():
    rng = np.random.default_rng(0)
    truth = np.kron(rng.integers(0, 3, (5, 6)), np.ones((12, 12), int))
    spectra = np.array([[30, 60, 40], [60, 40, 90], [90, 120, 60]])
    light = np.exp(rng.normal(0, 0.25, truth.shape))
    bands = rng.poisson(spectra[truth] * light[..., None]).astype(np.uint16)
    found = gmmseg.segment(Image.from_array(bands, axes="YXC"), 3).labels
    right = max((np.array(p)[found - 1] == truth).mean() for p in permutations(range(3)))
    assert right > 0.9


def test_a_micrograph_without_anything_on_it():
    image = Image.from_array(np.full((20, 30), 7, np.uint8))
    assert options_for("microscopy", image).features.background == 0


def test_nothing_used_is_told_by_those_who_read_the_pixels():
    image = Image.from_array(np.ones((5, 6)), mask=np.zeros((5, 6), bool))
    assert noise_share(image) == 0
    for name in ("microscopy", "grey"):
        with pytest.raises(GmmsegError, match="no pixel may be used"):
            gmmseg.segment(image, 2, name)


def test_separation_does_not_depend_on_units():
    picture, _ = micrograph()
    raw = FeatureSpec(colour_space="raw")
    one, other = (
        separation(Image.from_array(values), raw)
        for values in (picture.astype(float), picture * 1000.0 - 4)
    )
    assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize("shape", [(90, 100), (40, 50, 60)])
@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_the_share_of_noise(shape, sigma):
    rng = np.random.default_rng(0)
    steps = np.kron(rng.normal(0, 4, [-(-n // 10) for n in shape]), np.ones((10,) * len(shape)))
    clean = steps[tuple(slice(n) for n in shape)]
    noisy = clean + rng.normal(0, sigma, shape)
    mask = np.ones(shape, bool)
    mask[..., :5] = False
    image = Image.from_array(noisy, axes="ZYX"[-len(shape) :], mask=mask)
    expected = sigma**2 / noisy[mask].var()
    assert noise_share(image) == pytest.approx(expected, rel=0.35)  # edges count as noise, too


def test_a_noisy_brain_is_smoothed_inside_em_a_clean_one_after():
    rng = np.random.default_rng(0)
    brain = np.kron(rng.choice([60.0, 120.0, 180.0], (5, 6, 7)), np.ones((6, 6, 6)))
    for sigma, inside in ((2.0, False), (50.0, True)):
        image = Image.from_array(brain + rng.normal(0, sigma, brain.shape), axes="ZYX")
        assert options_for("mri", image).smoothing.inside == inside
        assert options_for(AUTOMATIC, image) == options_for("mri", image)


def naive_level(values, sigma, rounds=3):
    """Equation 76, pixel by pixel."""
    rows, cols = np.indices(values.shape)
    weights = np.ones(values.shape)
    for last in (False,) * rounds + (True,):
        mean, variance = np.empty((2, *values.shape))
        for i, j in np.ndindex(values.shape):
            near = (abs(rows - i) <= int(4 * sigma + 0.5)) & (abs(cols - j) <= int(4 * sigma + 0.5))
            g = near * weights * np.exp(-((rows - i) ** 2 + (cols - j) ** 2) / (2 * sigma**2))
            mean[i, j] = (g * values).sum() / g.sum()
            variance[i, j] = (g * values**2).sum() / g.sum() - mean[i, j] ** 2
        if not last:
            weights = 1 / (1 + (values - mean) ** 2 / variance) ** 2
    return mean


def test_the_level_of_the_surroundings():
    values = np.random.default_rng(0).normal(size=(12, 15)) * 3 + 50
    spec = FeatureSpec(background=1.5)
    found = image_features(Image.from_array(values), spec)[:, 0].reshape(values.shape)
    np.testing.assert_allclose(found, values - naive_level(values, 1.5), atol=1e-6)
    assert spec.names(Image.from_array(values)) == ("band 1 over surroundings",)


def micrograph_of_unequals(seed=0):
    """Bright discs with halos, and dim ones hardly above the halos."""
    rng = np.random.default_rng(seed)
    discs = spots(rng)
    rows, cols = np.indices(discs.shape)
    bright = discs & ((rows // 40 + cols // 40) % 2 == 0)
    halo = 25 * gaussian_filter(bright.astype(float), 6.0)
    mean = 8 + 45 * discs + 90 * bright + halo
    return rng.poisson(gaussian_filter(mean, 0.7)).astype(np.uint16), discs


def test_dim_objects_are_found_beside_bright_ones():
    picture, discs = micrograph_of_unequals()
    options = options_for("microscopy", Image.from_array(picture))
    assert options.features.local_gain > 0
    assert dice(gmmseg.segment(picture, 2, options).labels, discs) > 0.9
    without = replace(options, features=replace(options.features, local_gain=0.0))
    assert dice(gmmseg.segment(picture, 2, without).labels, discs) < 0.75


def test_the_gain_of_objects_nearby():
    """Equation 112, pixel by pixel."""
    values = np.random.default_rng(0).normal(size=(14, 15)) * 3 + 50
    used = np.ones(values.shape, bool)
    used[3:6, 4] = False
    spec = FeatureSpec(local_gain=1.5)
    image = Image.from_array(values, mask=used)
    found = image_features(image, spec)[:, 0]
    height = values - np.median(values[used])
    above = np.maximum(height, 0) * used
    rows, cols = np.indices(values.shape)
    expected = []
    for i, j in zip(*np.nonzero(used), strict=True):
        near = (abs(rows - i) <= 6) & (abs(cols - j) <= 6) & used
        g = near * np.exp(-((rows - i) ** 2 + (cols - j) ** 2) / (2 * 1.5**2))
        cube, square = (
            (g * above**p).sum() / g.sum() + (above**p).sum() / used.sum() for p in (3, 2)
        )
        expected.append(height[i, j] * square / cube)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert spec.names(image) == ("band 1 in objects nearby",)
    scaled = image_features(Image.from_array(values * 1e4 - 7, mask=used), spec)[:, 0]
    np.testing.assert_allclose(scaled, found, rtol=1e-6, atol=1e-9)


def test_the_gain_where_there_is_nothing_above_the_ground():
    flat = Image.from_array(np.full((9, 9), 3.0))
    np.testing.assert_array_equal(image_features(flat, FeatureSpec(local_gain=2.0)), 0.0)
    values = np.random.default_rng(0).normal(size=(8, 9, 2))
    values[3, 4, 1] = np.nan
    found = image_features(
        Image.from_array(values, axes="YXC"), FeatureSpec(colour_space="raw", local_gain=2.0)
    )
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [3 * 9 + 4]


def test_surroundings_are_pixels_that_are_used():
    values = np.random.default_rng(0).normal(size=(20, 24))
    mask = np.ones(values.shape, bool)
    mask[:, 10:14] = False
    wild = np.where(mask, values, 1e9)
    spec = FeatureSpec(background=2.0)
    one, other = (image_features(Image.from_array(v, mask=mask), spec) for v in (values, wild))
    np.testing.assert_array_equal(one, other)
    flat = image_features(Image.from_array(np.full((9, 9), 3.0)), spec)
    np.testing.assert_array_equal(flat, 0.0)


def test_gaps_stay_gaps_over_their_surroundings():
    values = np.random.default_rng(0).normal(size=(8, 9, 2))
    values[3, 4, 1] = np.nan
    found = image_features(
        Image.from_array(values, axes="YXC"), FeatureSpec(colour_space="raw", background=2.0)
    ).reshape(8, 9, 2)
    assert np.isnan(found[3, 4, 1])
    assert np.isfinite(np.delete(found.reshape(-1), (3 * 9 + 4) * 2 + 1)).all()


def test_only_lightness_is_taken_from_its_surroundings():
    picture = np.random.default_rng(0).integers(0, 255, (9, 10, 3), dtype=np.uint8)
    image = Image.from_array(picture)
    plain, level = (
        image_features(image, FeatureSpec(colour_space="lab", background=b)) for b in (0, 2.0)
    )
    np.testing.assert_array_equal(plain[:, 1:], level[:, 1:])
    assert np.abs(level[:, 0]).mean() < plain[:, 0].mean()


def test_stain_is_lightness_in_red_and_half_of_b():
    image = Image.from_array(np.random.default_rng(0).integers(0, 255, (9, 10, 3), dtype=np.uint8))
    lab, stain = (
        image_features(image, FeatureSpec(colour_space=space)) for space in ("lab", "stain")
    )
    np.testing.assert_array_equal(stain[:, 1] * 2, lab[:, 2])
    red_as_grey = Image.from_array(np.repeat(image.data[..., :1], 3, axis=2))
    lightness = image_features(red_as_grey, FeatureSpec(colour_space="lab"))[:, 0]
    np.testing.assert_allclose(stain[:, 0], lightness, atol=1e-4)
