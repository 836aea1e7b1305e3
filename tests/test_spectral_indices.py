"""Spectral indices as features: formulas, bands by their roles, gaps."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import gmmseg
from gmmseg.band_roles import ROLES, known_roles
from gmmseg.errors import InvalidDataError, InvalidParameterError, ModelFormatError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.features import image_features, lazy_features, pixel_values, start_scale
from gmmseg.image import Image
from gmmseg.model import Model, load_model
from gmmseg.pixels import pixel_rows
from gmmseg.spectral_indices import INDICES, index_values

#: As the publications have them.
PUBLISHED = {
    "ndvi": lambda b: (b["nir"] - b["red"]) / (b["nir"] + b["red"]),
    "gndvi": lambda b: (b["nir"] - b["green"]) / (b["nir"] + b["green"]),
    "ndre": lambda b: (b["nir"] - b["red_edge"]) / (b["nir"] + b["red_edge"]),
    "ndwi": lambda b: (b["green"] - b["nir"]) / (b["green"] + b["nir"]),
    "mndwi": lambda b: (b["green"] - b["swir1"]) / (b["green"] + b["swir1"]),
    "ndmi": lambda b: (b["nir"] - b["swir1"]) / (b["nir"] + b["swir1"]),
    "ndbi": lambda b: (b["swir1"] - b["nir"]) / (b["swir1"] + b["nir"]),
    "ndsi": lambda b: (b["green"] - b["swir1"]) / (b["green"] + b["swir1"]),
    "nbr": lambda b: (b["nir"] - b["swir2"]) / (b["nir"] + b["swir2"]),
    "bsi": lambda b: (
        ((b["swir1"] + b["red"]) - (b["nir"] + b["blue"]))
        / ((b["swir1"] + b["red"]) + (b["nir"] + b["blue"]))
    ),
    "savi": lambda b: (b["nir"] - b["red"]) / (b["nir"] + b["red"] + 0.5) * 1.5,
    "evi": lambda b: 2.5 * (b["nir"] - b["red"]) / (b["nir"] + 6 * b["red"] - 7.5 * b["blue"] + 1),
    "evi2": lambda b: 2.5 * (b["nir"] - b["red"]) / (b["nir"] + 2.4 * b["red"] + 1),
    "vari": lambda b: (b["green"] - b["red"]) / (b["green"] + b["red"] - b["blue"]),
}

NAMED = ("blue", "green", "red", "nir")


def reflectances(shape=(30, 40), n_bands=4, seed=0):
    """Two kinds of ground and noise, float32, away from 0."""
    rng = np.random.default_rng(seed)
    plants = rng.random(shape) < 0.5
    level = np.where(plants[..., None], [0.04, 0.08, 0.05, 0.4], [0.1, 0.12, 0.15, 0.2])
    level = np.concatenate([level, level], axis=-1)[..., :n_bands]
    return (level * rng.uniform(0.8, 1.2, level.shape)).astype(np.float32)


def scene(data=None, names=NAMED, **more):
    return Image(data=reflectances() if data is None else data, band_names=names, **more)


def by_role(image, names=NAMED):
    return {name: image.data[..., i].astype(float) for i, name in enumerate(names)}


def test_the_oracle_has_all_of_them():
    assert set(PUBLISHED) == set(INDICES)
    assert {role for index in INDICES.values() for role in index.roles} == set(ROLES)


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-6), (np.float64, 1e-13)])
def test_formulas_are_those_that_were_published(name, dtype, tolerance):
    rng = np.random.default_rng(1)
    bands = {role: rng.uniform(0.1, 0.5, 500).astype(dtype) for role in ROLES}
    bands["blue"] *= dtype(0.1)  # less than others: no sum is near 0
    expected = PUBLISHED[name]({role: band.astype(float) for role, band in bands.items()})
    found = index_values(name, bands, dtype)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


#: Of bright and dark ground, and what lies below 0 after the atmosphere was removed.
REFLECTANCE = st.floats(-0.125, 1.5, width=32)


@given(arrays(np.float32, (7, 20), elements=REFLECTANCE), st.floats(0.01, 100))
@settings(max_examples=50, deadline=None)
def test_what_is_bounded_stays_within_bounds_and_knows_no_unit(values, unit):
    bands = dict(zip(ROLES, values, strict=True))
    for name, index in INDICES.items():
        found = index_values(name, bands, np.float32)
        assert not np.isinf(found).any()
        if np.isfinite(index.limit):
            assert np.nanmax(np.abs(found), initial=0) <= np.float32(index.limit)
        if not index.needs_reflectance and np.isfinite(index.limit):
            exact = {role: np.abs(band.astype(float)) for role, band in bands.items()}
            other = {role: band * unit for role, band in exact.items()}
            np.testing.assert_allclose(
                index_values(name, other, np.float64), index_values(name, exact, np.float64),
                rtol=1e-6, atol=1e-9,
            )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_nothing_over_nothing_is_a_gap(dtype):
    zero = {"nir": np.zeros(3, dtype), "red": np.array([0, 1, 2], dtype)}
    assert np.array_equal(index_values("ndvi", zero, np.float32), [np.nan, -1, -1], equal_nan=True)


def test_overflow_is_a_gap_not_infinite():
    huge = {role: np.full(2, 3e38, np.float32) for role in ROLES}
    for name in INDICES:
        assert not np.isinf(index_values(name, huge, np.float32)).any()


def test_formulas_can_be_read():
    assert INDICES["ndvi"].formula == "(nir - red) / (nir + red)"
    assert INDICES["savi"].formula == "1.5 (nir - red) / (nir + red + 0.5)"
    assert INDICES["evi"].formula == "2.5 (nir - red) / (nir + 6 red - 7.5 blue + 1)"


# --- which band is which ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "origin", "expected"),
    [
        (["blue", "Green", "RED", "near infrared"], "", [1, 2, 3, None, 4, None, None]),
        (["red", "nir08", "swir16", "swir22", "red-edge"], "", [None, None, 1, 5, 2, 3, 4]),
        (["B02", "B03", "B04", "B05", "B08", "B11", "B12"], "", [1, 2, 3, 4, 5, 6, 7]),
        (["B02", "B03", "B04", "B8A"], "T33UVP_20200701T100031", [1, 2, 3, None, 4, None, None]),
        (["B4", "B8", "B8A"], "", [None, None, 1, None, 2, None, None]),
        (["SR_B2", "SR_B5", "SR_B6"], "", [1, None, None, None, 2, 3, None]),
        (["SR_B2", "SR_B5", "ST_B10"], "", [1, None, None, None, 2, None, None]),
        (["B4", "B5", "B6", "B7"], "LC08_L2SP_013031", [None, None, 1, None, 2, 3, 4]),
        (["B4", "B5", "B6", "B7"], "LANDSAT_9 OLI_TIRS", [None, None, 1, None, 2, 3, 4]),
        (["B1", "B3", "B4", "B5", "B7"], "LE07_L2SP_225078", [1, None, 2, None, 3, 4, 5]),
        (["B1", "B3", "B4", "B5", "B7"], "LT52240631988227CUB02", [1, None, 2, None, 3, 4, 5]),
        (["B4, central wavelength 665 nm", "B12"], "", [None, None, 1, None, None, None, 2]),
        (["B04", "B05"], "HLS.L30.T33UVP", [None, None, 1, None, 2, None, None]),
        (["B3", "B4"], "", [None] * 7),  # of Landsat 5 or 8
        (["red", "red"], "", [None] * 7),
        (["a", "b"], "", [None] * 7),
        ([], "LC08", [None] * 7),
    ],
)
def test_roles_are_known_by_names_where_these_are_clear(names, origin, expected):
    found = known_roles(names, origin)
    assert [found.get(role) for role in ROLES] == expected


def test_roles_come_from_names_or_are_told():
    named = scene()
    spec = FeatureSpec(indices=("ndvi",)).resolve(named)
    assert spec.roles == (("red", 3), ("nir", 4))
    assert spec.names(named) == (*NAMED, "ndvi")
    bare = scene(names=())
    told = FeatureSpec(bands={"red": 3, "nir": 4}, indices=("ndvi",)).resolve(bare)
    assert (told.bands, told.roles) == ((3, 4), (("red", 3), ("nir", 4)))
    assert told.names(bare) == ("band 3", "band 4", "ndvi")
    apart = FeatureSpec(roles={"nir": 4, "red": 3}, bands=(1,), indices=("ndvi",)).resolve(bare)
    assert apart.names(bare) == ("band 1", "ndvi")
    np.testing.assert_array_equal(
        image_features(bare, apart)[:, 1], image_features(named, spec)[:, 4]
    )


def test_bands_are_chosen_by_name_and_by_role():
    named = scene(names=("B02", "B03", "B04", "B08"))
    assert FeatureSpec(bands=("b08", "red", 1)).resolve(named).bands == (4, 3, 1)
    other = FeatureSpec(bands=[1, ("nir", "B03")], roles={"red": "B04"}, indices=("ndvi",))
    assert other.resolve(named).roles == (("red", 3), ("nir", 2))


def test_what_took_the_scene_is_told_by_the_image():
    names = ("B2", "B3", "B4", "B5")
    wanted = FeatureSpec(indices=("ndvi",))
    assert wanted.resolve(scene(names=names, sensor="LANDSAT_8")).roles == (("red", 3), ("nir", 4))
    assert wanted.resolve(scene(names=names, sensor="LANDSAT_5")).roles == (("red", 2), ("nir", 3))


def fails(spec, image, text, error=InvalidParameterError):
    with pytest.raises(error, match=text):
        spec.resolve(image)


def test_a_role_that_is_not_known_is_one_clear_error():
    three = scene(reflectances(n_bands=3), names=("blue", "green", "red"))
    fails(
        FeatureSpec(indices=("ndvi", "ndwi")), three,
        r"ndvi, ndwi: it is not known which band is nir\. Known: blue \(band 1\), "
        r"green \(band 2\), red \(band 3\); the bands are called blue, green, red\. Tell it "
        r"by number or name with bands= \(--bands nir=N,red=3,green=2, and",
    )  # fmt: skip
    fails(FeatureSpec(indices=("ndvi",)), scene(names=()), r"Known: none; .* called nothing")
    odd = scene(names=("\x1b[2J", "green", "red", "x"))
    fails(FeatureSpec(indices=("ndvi",)), odd, re.escape(r"called \x1b[2J, green"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"indices": ("ndxi",)}, "each of indices must be one of 'ndvi', .* got 'ndxi'"),
        ({"indices": "ndvi"}, "indices must be a sequence of names, got 'ndvi'"),
        ({"indices": ("ndvi", "ndvi")}, "indices must be different ones"),
        ({"colour_space": "none"}, r"takes no band as a feature: name indices \(--index ndvi\)"),
        ({"bands": {"rot": 3}}, "a role must be one of 'blue', .* got 'rot'"),
        ({"bands": {"red": 0}}, "each of bands must be at least 1"),
        ({"roles": {"red": 3, "nir": 3}}, "roles must be of different bands, each role once"),
        ({"bands": (("red", 1), ("red", 2))}, "roles must be of different bands, each role once"),
        ({"bands": ("",)}, "each of bands must be a number from 1 or a name, got ''"),
    ],
)
def test_bad_options_are_refused(options, text):
    with pytest.raises(InvalidParameterError, match=text):
        FeatureSpec(**options)


def test_bands_that_are_not_there_are_refused():
    fails(FeatureSpec(bands=("B9",)), scene(), "bands names 'B9', but .* are blue, green, red, nir")
    fails(FeatureSpec(roles={"red": 3, "nir": 9}, indices=("ndvi",)), scene(), r"within 1\.\.4")


def test_constants_of_formulas_need_reflectances():
    numbers = scene((reflectances() * 10_000).astype(np.uint16))
    FeatureSpec(indices=("ndvi", "bsi")).resolve(
        Image(data=np.ones((2, 2, 5), np.uint16), band_names=(*NAMED, "swir1"))
    )
    fails(
        FeatureSpec(indices=("ndvi", "evi2")), numbers,
        r"evi2 needs reflectances of 0 to 1, .* \(2\.5 \(nir - red\) / \(nir \+ 2\.4 red \+ 1\)\), "
        r"but the bands are numbers of uint16 .*--scale, --offset",
    )  # fmt: skip


# --- features -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("space", ["raw", "none"])
def test_features_are_the_bands_and_the_indices(dtype, space):
    scale = 1 if np.dtype(dtype).kind == "f" else 200
    image = scene((reflectances() * scale).astype(dtype))
    spec = FeatureSpec(colour_space=space, indices=("ndwi", "ndvi"), gaps="drop").resolve(image)
    rows = image_features(image, spec)
    used = spec.valid(image)
    own = {role: band.ravel() for role, band in by_role(image).items()}
    if used is not None:
        own = {role: band[used.ravel()] for role, band in own.items()}
    expected = np.stack([PUBLISHED["ndwi"](own), PUBLISHED["ndvi"](own)], axis=1)
    np.testing.assert_allclose(rows[:, -2:], expected, rtol=1e-5, atol=1e-6)
    assert rows.shape[1] == (2 if space == "none" else 6)
    assert spec.names(image) == (() if space == "none" else NAMED) + ("ndwi", "ndvi")
    assert rows.dtype == (np.float64 if dtype is np.float64 else np.float32)


def test_all_ways_to_features_give_the_same_bits():
    image = scene((reflectances() * 20).astype(np.uint8))
    spec = FeatureSpec(indices=("ndvi", "ndwi"), position=1).resolve(image)
    whole = image_features(image, spec)
    values = pixel_values(image, spec)
    lazy = lazy_features(values, spec, image, spec.valid(image))
    np.testing.assert_array_equal(np.asarray(lazy), whole)
    np.testing.assert_array_equal(lazy[17:400], whole[17:400])
    distinct = pixel_rows(image, FeatureSpec(indices=("ndvi", "ndwi")))
    assert distinct.counts is not None
    np.testing.assert_array_equal(distinct.put_back(distinct.features).reshape(-1, 6), whole[:, :6])


def test_texture_and_powers_go_with_indices():
    image = scene()
    spec = FeatureSpec(bands=(4,), indices=("ndvi",), local_mean=(2,), power=0.5)
    assert spec.names(image) == ("nir^0.5", "ndvi", "mean 2 of nir^0.5", "mean 2 of ndvi")
    rows = image_features(image, spec)
    ndvi = PUBLISHED["ndvi"]({role: band.ravel() for role, band in by_role(image).items()})
    np.testing.assert_allclose(rows[:, 1], ndvi, rtol=1e-5)
    assert rows[:, 3].std() < rows[:, 1].std() / 2


def test_colours_keep_their_scale_beside_an_index():
    spec = FeatureSpec(colour_space="lab", indices=("vari",))
    np.testing.assert_allclose(start_scale([4.0, 2.0, 1.0, 0.5], spec, 2), [0.25, 0.25, 0.25, 2.0])


def test_a_photo_has_an_index_too():
    picture = np.random.default_rng(0).integers(20, 250, (20, 30, 3), np.uint8)
    spec = FeatureSpec(bands={"red": 1, "green": 2, "blue": 3}, indices=("vari",))
    image = Image.from_array(picture)
    assert spec.names(image) == ("L", "a", "b", "vari")
    rows = pixel_rows(image, spec)
    assert np.isfinite(rows.features).all()  # colours need all their features
    assert rows.n_pixels < image.n_pixels


# --- gaps ---------------------------------------------------------------------------------------


def with_gaps():
    """Five odd pixels: 0/0, red missing, nir infinite, nothing, and only blue."""
    data = reflectances()
    data[0, 0, 2:] = 0
    data[0, 1, 2] = np.nan
    data[0, 2, 3] = np.inf
    data[0, 3] = np.nan
    data[0, 4, 1:] = np.nan
    return scene(data)


@pytest.mark.parametrize(
    ("options", "unused"),
    [
        ({}, [3]),
        ({"gaps": "drop"}, [0, 1, 2, 3, 4]),
        ({"colour_space": "none"}, [0, 1, 2, 3, 4]),
        ({"bands": (1,)}, [3]),
        ({"bands": (2,)}, [3, 4]),
        ({"bands": (3,)}, [1, 3, 4]),
        ({"colour_space": "none", "indices": ("ndvi", "ndwi")}, [2, 3, 4]),
    ],
)
def test_a_pixel_is_used_that_has_a_feature(options, unused):
    image = with_gaps()
    spec = FeatureSpec(**({"indices": ("ndvi",)} | options)).resolve(image)
    rows = image_features(image, spec)
    some = np.isfinite(rows)
    assert (some.all(axis=1) if spec.gaps == "drop" else some.any(axis=1)).all()
    np.testing.assert_array_equal(np.flatnonzero(~spec.valid(image)), unused)
    assert not np.isinf(rows).any()


def test_segmenting_leaves_no_pixel_out_that_has_a_band():
    image = with_gaps()
    options = gmmseg.SegmentOptions(features=FeatureSpec(indices=("ndvi", "ndwi")))
    found = gmmseg.segment(image, 2, options)
    assert np.flatnonzero(found.labels == 0).tolist() == [3]
    alone = FeatureSpec(indices=("ndvi",), colour_space="none")
    found = gmmseg.segment(image, 2, gmmseg.SegmentOptions(features=alone))
    assert np.flatnonzero(found.labels == 0).tolist() == [0, 1, 2, 3, 4]
    plants = image.data[..., 3] > 3 * image.data[..., 2]
    plants.ravel()[:5] = found.labels.ravel()[:5] == 2
    assert ((found.labels == 2) == plants).mean() > 0.99


def test_a_field_inside_em_is_put_after_it_where_an_index_is_not_defined():
    from gmmseg.presets import ChangedPreset

    data = reflectances()
    data[5, :, 1] = -0.01  # bands are as they are, and the field is inside
    chosen = ChangedPreset(preset="satellite", changes={"features": {"indices": ("ndvi",)}})
    assert chosen(scene(data)).smoothing.inside
    data[0, 0, 2:] = 0
    assert not chosen(scene(data)).smoothing.inside
    told = {"features": {"indices": ("ndvi",)}, "smoothing": {"inside": True}}
    assert ChangedPreset(preset="satellite", changes=told)(scene(data)).smoothing.inside


# --- models -------------------------------------------------------------------------------------


def fitted(image, **features):
    options = gmmseg.SegmentOptions(features=FeatureSpec(**features))
    return gmmseg.fit([image], 2, options)


@pytest.mark.parametrize("space", ["raw", "none"])
def test_a_model_finds_its_bands_by_name_in_whatever_order(space, tmp_path):
    image = scene(names=("B02", "B03", "B04", "B08"))
    model = fitted(image, indices=("ndvi",), colour_space=space)
    model.save(tmp_path / "m.gmm.json")
    again = load_model(tmp_path / "m.gmm.json")
    assert again.to_json() == model.to_json()
    expected = gmmseg.apply(model, image).labels
    order = [3, 0, 2, 1]
    turned = scene(image.data[..., order], names=("B08", "B02", "B04", "B03"))
    np.testing.assert_array_equal(gmmseg.apply(again, turned).labels, expected)
    more = np.concatenate([np.ones_like(image.data), image.data], axis=-1)
    names = ("a", "b", "c", "d", *image.band_names)
    np.testing.assert_array_equal(gmmseg.apply(again, scene(more, names)).labels, expected)
    np.testing.assert_array_equal(
        gmmseg.apply(again, scene(image.data, names=())).labels, expected
    )  # by number


def test_chosen_bands_are_found_in_an_image_that_has_them_in_that_order():
    image = scene(names=("B02", "B03", "B04", "B08"))
    model = fitted(image, bands=("B08", "B02"), indices=("ndvi",))
    assert model.features.band_names == ("B08", "B02", "B04")
    turned = scene(image.data[..., [3, 0, 2]], names=("B08", "B02", "B04"))
    found = gmmseg.apply(model, turned)
    np.testing.assert_array_equal(found.labels, gmmseg.apply(model, image).labels)
    assert found.model.features.bands == (1, 2)


def test_bands_without_an_index_are_found_by_name_too():
    image = scene(names=("B02", "B03", "B04", "B08"))
    model = fitted(image)
    turned = scene(image.data[..., ::-1], names=image.band_names[::-1])
    found = gmmseg.apply(model, turned)
    np.testing.assert_array_equal(found.labels, gmmseg.apply(model, image).labels)
    assert found.band_names == image.band_names
    np.testing.assert_allclose(found.table[0].mean, gmmseg.apply(model, image).table[0].mean)


LANDSAT8, LANDSAT5 = ("B2", "B3", "B4", "B5"), ("B1", "B2", "B3", "B4")


@pytest.mark.parametrize("space", ["raw", "none"])
def test_a_model_takes_the_same_colours_of_another_sensor(space, tmp_path):
    image = scene(names=LANDSAT8, sensor="LANDSAT_8")
    model = fitted(image, indices=("ndvi",), colour_space=space)
    assert model.features.sensor == "Landsat 8/9"
    model.save(tmp_path / "m.gmm.json")
    expected = gmmseg.apply(model, image).labels
    more = np.concatenate([image.data, image.data[..., :1] + 9], axis=-1)
    other = scene(more, names=(*LANDSAT5, "B5"), sensor="LANDSAT_5")  # has all of these names
    found = gmmseg.apply(load_model(tmp_path / "m.gmm.json"), other)
    np.testing.assert_array_equal(found.labels, expected)
    third = scene(image.data[..., ::-1], names=("B08", "B04", "B03", "B02"))
    np.testing.assert_array_equal(gmmseg.apply(model, third).labels, expected)


def test_bands_that_another_sensor_has_not_are_told():
    image = scene(names=("B3", "B4", "B5", "B10"), sensor="LANDSAT_8")
    model = fitted(image, indices=("ndvi",))
    other = scene(names=LANDSAT5, sensor="LANDSAT_5")
    with pytest.raises(
        InvalidParameterError,
        match=r"bands of Landsat 8/9, and this image, of Landsat 4/5/7, .* like its B10\. Fit",
    ):
        gmmseg.apply(model, other)
    model = fitted(scene(names=LANDSAT8, sensor="LANDSAT_8"))
    three = scene(reflectances(n_bands=3), names=LANDSAT5[:3], sensor="LANDSAT_5")
    with pytest.raises(InvalidParameterError, match=r"like its B5 \(nir\)"):
        gmmseg.apply(model, three)


def test_one_model_of_several_sensors():
    first, second = scene(names=LANDSAT8, sensor="LC08"), scene(reflectances(seed=2))
    other = scene(second.data, names=LANDSAT5, sensor="LT05")
    options = gmmseg.SegmentOptions(features=FeatureSpec(indices=("ndvi",)))
    found = gmmseg.fit([first, other], 2, options).mixture
    expected = gmmseg.fit([scene(), second], 2, options).mixture
    np.testing.assert_array_equal(found.means, expected.means)


def test_images_of_one_model_may_have_their_bands_in_another_order():
    first, second = scene(), scene(reflectances(seed=2))
    turned = scene(second.data[..., ::-1], names=NAMED[::-1])
    options = gmmseg.SegmentOptions(features=FeatureSpec(indices=("ndvi",)))
    expected = gmmseg.fit([first, second], 2, options).mixture
    found = gmmseg.fit([first, turned], 2, options).mixture
    np.testing.assert_allclose(found.means, expected.means, rtol=1e-12)
    np.testing.assert_allclose(found.covariances, expected.covariances, rtol=1e-9)


def test_an_image_without_the_bands_is_refused():
    model = fitted(scene(), indices=("ndvi",))
    two = scene(reflectances(n_bands=2), names=NAMED[:2])
    with pytest.raises(InvalidParameterError, match=r"bands must be within 1\.\.2"):
        gmmseg.apply(model, two)
    plain = fitted(scene(names=()))
    with pytest.raises(InvalidDataError, match="fitted on 4 features"):
        gmmseg.apply(plain, two)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"roles": {}}, "features: roles must be those that the indices need"),
        ({"bands": None}, "features: bands must be listed beside indices"),
        ({"colour_space": "none"}, "features: bands .* be null where these are alone"),
        ({"indices": []}, "features: roles must be those"),
        ({"roles": ["red"]}, "features: roles must be an object"),
        ({"roles": {"red": 3, "nir": "B08"}}, "bands and roles of a model must be numbers"),
        ({"roles": {"red": 3, "nir": -4}}, "features: nir must be at least 1"),
        ({"indices": "ndvi"}, "features: indices must be a list"),
        ({"indices": ["x"]}, "features: each of indices must be one of"),
        ({"band_names": [1, 2, 3, 4]}, "features: band_names must be a list of text"),
        ({"sensor": "Landsat 6"}, "features: sensor must be one of Sentinel-2, Landsat 8/9"),
        ({"sensor": 3}, "features: sensor must be one of"),
        ({"sensor": "Sentinel-2", "band_names": []}, "features: sensor .* and bands have names"),
        ({"band_names": ["red"]}, "features: band_names must be as many as the bands, or none"),
    ],
)
def test_a_damaged_model_is_refused(changes, text):
    entries = fitted(scene(), indices=("ndvi",)).to_dict()
    entries["features"] |= changes
    with pytest.raises(ModelFormatError, match=text):
        Model.from_dict(entries)


def test_the_manual_has_the_formulas_that_are_computed():
    manual = (Path(__file__).parents[1] / "docs" / "satellite.md").read_text(encoding="utf-8")
    for name, index in INDICES.items():
        assert f"| `{name}` | {index.formula} | {index.meaning} | {index.source} |" in manual
