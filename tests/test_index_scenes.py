"""Indices of scenes: strips, Dask, DataArrays and the command line give what memory gives."""

import json
from dataclasses import replace

import numpy as np
import pytest

import gmmseg
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.model import load_model
from gmmseg.options import SegmentOptions
from gmmseg.streaming import StreamOptions, fit_scenes, label_strips
from gmmseg.tiles import ImageScene

NAMES = ("B02", "B03", "B04", "B08")
TURNED = [3, 1, 0, 2]


def numbers(rows=60, cols=80, seed=0):
    """Water, soil and plants as a Sentinel-2 has them, uint16; a corner without light."""
    rng = np.random.default_rng(seed)
    kind = np.sin(np.arange(cols) / 9 + seed) + np.cos(np.arange(rows) / 7)[:, None]
    kind = np.digitize(kind, [-0.4, 0.5])
    level = np.array([[600, 500, 300, 100], [900, 1100, 1300, 2200], [300, 700, 400, 3800]])
    values = (level[kind] * rng.uniform(0.9, 1.1, (rows, cols, 4))).astype(np.uint16)
    values[:4, :9, 2:] = 0
    values[-3:, :5] = 0
    return values


def reflectances(**more):
    return (numbers(**more) * np.float32(1e-4)).astype(np.float32)


def with_missing():
    missing = np.zeros((60, 80, 4), bool)
    missing[20:30, ::3, 3] = True
    missing[25:28, :, :] = True
    return missing


IMAGES = {
    "numbers": lambda: Image(data=numbers(), band_names=NAMES),
    "reflectances": lambda: Image(data=reflectances(), band_names=NAMES),
    "gaps": lambda: Image(data=numbers(), missing=with_missing(), band_names=NAMES),
    "nan": lambda: Image(
        data=np.where(with_missing(), np.float32(np.nan), reflectances()), band_names=NAMES
    ),
}

SPECS = {
    "beside": FeatureSpec(indices=("ndvi", "ndwi")),
    "alone": FeatureSpec(indices=("ndvi", "ndwi"), colour_space="none"),
    "of other bands": FeatureSpec(bands=("B02",), indices=("ndvi",)),
    "complete": FeatureSpec(indices=("ndvi",), gaps="drop"),
}


@pytest.mark.parametrize("tile", [7, 60])
@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("spec", SPECS)
def test_strips_give_what_memory_gives(kind, spec, tile):
    image, options = IMAGES[kind](), SegmentOptions(features=SPECS[spec])
    expected = gmmseg.fit([image], 3, options)
    stream = StreamOptions(tile=tile)
    found, _ = fit_scenes([ImageScene(image)], 3, options, stream)
    np.testing.assert_array_equal(found.mixture.means, expected.mixture.means)
    np.testing.assert_array_equal(found.mixture.covariances, expected.mixture.covariances)
    assert found.features == expected.features
    whole = gmmseg.apply(expected, image).labels
    for smooth in (0.0, 0.7):
        model = replace(expected, smoothing=gmmseg.SmoothingOptions(beta=smooth))
        labels = np.zeros_like(whole)
        for strip in label_strips(ImageScene(image), model, stream):
            labels[strip.rows] = 0 if strip.segmentation is None else strip.segmentation.labels
        np.testing.assert_array_equal(labels, gmmseg.apply(model, image).labels)
    assert (whole == 0).any() == (spec in ("alone", "complete") or kind in ("gaps", "nan"))


def test_strips_of_another_order():
    first, second = Image(data=numbers(), band_names=NAMES), numbers(seed=2)[..., TURNED]
    turned = Image(data=second, band_names=tuple(NAMES[i] for i in TURNED))
    options = SegmentOptions(features=SPECS["beside"])
    scenes = [ImageScene(first), ImageScene(turned)]
    found, _ = fit_scenes(scenes, 3, options, StreamOptions(tile=9))
    expected = gmmseg.fit([first, Image(data=numbers(seed=2), band_names=NAMES)], 3, options)
    np.testing.assert_array_equal(found.mixture.means, expected.mixture.means)
    parts = [s.segmentation.labels for s in label_strips(scenes[1], found, StreamOptions(tile=9))]
    np.testing.assert_array_equal(
        np.concatenate(parts), gmmseg.apply(expected, Image(data=numbers(seed=2))).labels
    )


# --- Dask and xarray ----------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["beside", "alone"])
def test_dask_gives_what_memory_gives(spec):
    da = pytest.importorskip("dask.array")
    from gmmseg import distributed
    from gmmseg.scattered_scenes import ScatteredOptions

    image = IMAGES["reflectances"]()
    options = SegmentOptions(features=replace(SPECS[spec], gaps="drop"))
    expected = gmmseg.fit([image], 3, options)
    reading = ScatteredOptions(band_names=NAMES)
    array = da.from_array(image.data, chunks=(17, 30, 2))
    found = distributed.fit(array, 3, options, reading)
    np.testing.assert_allclose(found.mixture.means, expected.mixture.means, rtol=1e-10)
    assert found.feature_names == expected.feature_names
    turned = da.from_array(image.data[..., TURNED], chunks=(17, 30, 2))
    reading = ScatteredOptions(band_names=tuple(NAMES[i] for i in TURNED))
    labels = distributed.apply(found, turned, reading).compute()
    np.testing.assert_array_equal(labels, gmmseg.apply(expected, image).labels)
    assert (labels[:4, :9] == 0).all()


@pytest.mark.parametrize("chunked", [False, True])
def test_data_arrays_name_their_bands(chunked):
    xr = pytest.importorskip("xarray")
    xarrays = pytest.importorskip("gmmseg.xarrays")
    if chunked:
        pytest.importorskip("dask")
    array = xr.DataArray(
        reflectances()[4:-3], dims=("y", "x", "band"),
        coords={"band": ["B2", "B3", "B4", "B5"]}, attrs={"platform": "landsat-8"},
    )  # fmt: skip
    whole = array.values
    array = array.chunk({"y": 20}) if chunked else array
    options = SegmentOptions(features=replace(SPECS["beside"], gaps="drop"))
    labels = xarrays.segment(array, 3, options).labels.values
    image = Image(data=whole, band_names=("blue", "green", "red", "nir"))
    np.testing.assert_array_equal(labels, gmmseg.segment(image, 3, options).labels)


# --- files and the command line -----------------------------------------------------------------

SMALL = ("--memory", "1MB", "--tile", "9")  # everything is streamed


@pytest.fixture
def raster():
    pytest.importorskip("rasterio")
    from scene_files import write

    return write


def planes(**more):
    return np.moveaxis(numbers(**more), -1, 0)


def labels_of(path):
    import rasterio

    with rasterio.open(path) as found:
        return found.read(1)


@pytest.mark.parametrize("more", [(), SMALL])
def test_one_model_for_scenes_of_another_order(tmp_path, run, raster, more):
    scene = raster(tmp_path / "a.tif", planes(), names=NAMES)
    names = [NAMES[i] for i in TURNED]
    other = raster(tmp_path / "b.tif", planes()[TURNED], names=names)
    model = tmp_path / "m.gmm.json"
    options = ("--preset", "plain", "--index", "ndvi,ndwi")
    done = run("fit", scene, "-k", 3, "-o", model, *options, *more)
    assert done.status == 0, done.err
    features = load_model(model).features
    assert features.indices == ("ndvi", "ndwi")
    assert dict(features.roles) == {"green": 2, "red": 3, "nir": 4}
    for path in (scene, other):
        done = run("apply", model, path, "-o", tmp_path / path.stem, *more)
        assert done.status == 0, done.err
    first, second = (labels_of(tmp_path / n / f"{n}_labels.tif") for n in "ab")
    np.testing.assert_array_equal(first, second)
    assert set(np.unique(first)) == {1, 2, 3}


@pytest.mark.parametrize("more", [(), SMALL])
def test_an_index_alone(tmp_path, run, raster, more):
    scene = raster(tmp_path / "a.tif", planes())
    words = ("--bands", "red=3,nir=4", "--index", "ndvi", "--colour-space", "none")
    plain = ("--preset", "plain", "--save-model", "--no-overlay")
    done = run("segment", scene, "-k", 3, *words, *plain, *more, "-o", f"{tmp_path}/out/")
    assert done.status == 0, done.err
    labels = labels_of(tmp_path / "out" / "a_labels.tif")
    red, nir = planes()[2:].astype(float)
    dark = (nir + red) == 0
    assert (labels[dark] == 0).all()
    with np.errstate(invalid="ignore"):
        ndvi = (nir - red) / (nir + red)
    for label in (1, 2):
        assert ndvi[labels == label].max() <= ndvi[labels == label + 1].min()


def test_a_default_preset_goes_with_an_index_that_is_not_defined_everywhere(tmp_path, run, raster):
    scene = raster(tmp_path / "a.tif", planes(), names=NAMES)
    done = run("segment", scene, "-k", 3, "--index", "ndvi", "-o", f"{tmp_path}/out/")
    assert done.status == 0, done.err


def test_the_names_of_landsat_files_tell_the_roles(tmp_path, run, raster):
    found = []
    for sensor, bands in (("LC08", (2, 3, 4, 5)), ("LT05", (1, 2, 3, 4))):
        folder = tmp_path / sensor
        folder.mkdir()
        for plane, band in zip(planes(), bands, strict=True):
            raster(folder / f"{sensor}_L2SP_013031_SR_B{band}.TIF", plane[np.newaxis])
        model = tmp_path / f"{sensor}.gmm.json"
        done = run("fit", "--stack", folder, "-k", 3, "-o", model, "--index", "ndvi",
                   "--colour-space", "none", "--preset", "plain")  # fmt: skip
        assert done.status == 0, done.err
        found.append(load_model(model))
    assert dict(found[0].features.roles) == dict(found[1].features.roles) == {"red": 3, "nir": 4}
    assert [model.features.band_names for model in found] == [("B4", "B5"), ("B3", "B4")]
    np.testing.assert_array_equal(found[0].mixture.means, found[1].mixture.means)


def test_metadata_tell_what_took_the_scene(tmp_path, run, raster):
    def tag(dataset):
        dataset.update_tags(SPACECRAFT_ID="LANDSAT_8")

    names = ("B2", "B3", "B4", "B5")
    told = raster(tmp_path / "told.tif", planes(), names=names, setup=tag)
    bare = raster(tmp_path / "bare.tif", planes(), names=names)
    words = ("-k", 3, "--index", "ndvi", "--preset", "plain", "-o", f"{tmp_path}/out/")
    assert run("segment", told, *words).status == 0
    done = run("segment", bare, *words)
    assert done.status == 1
    assert "ndvi: it is not known which band is nir and which red" in done.err
    assert "--bands nir=N,red=N" in done.err
    assert not list((tmp_path / "out").glob("bare*"))


@pytest.mark.parametrize("more", [(), SMALL])
def test_scenes_of_other_scale_and_offset_get_equal_labels(tmp_path, run, raster, more):
    """The same reflectances, stored as before and after January 2022."""

    def units(scale, offset):
        def setup(dataset):
            dataset.scales, dataset.offsets = (scale,) * 4, (offset,) * 4

        return setup

    before = raster(tmp_path / "a.tif", planes(), names=NAMES, setup=units(1e-4, 0.0))
    after = raster(tmp_path / "b.tif", planes() + 1000, names=NAMES, setup=units(1e-4, -0.1))
    finer = raster(tmp_path / "c.tif", planes() * 2, names=NAMES, setup=units(5e-5, 0.0))
    bare = raster(tmp_path / "d.tif", planes() + 1000, names=NAMES)
    model = tmp_path / "m.gmm.json"
    words = ("--index", "ndvi,evi", "--preset", "plain")
    assert run("fit", before, "-k", 3, "-o", model, *words, *more).status == 0
    found = []
    for path, told in ((before, ()), (after, ()), (finer, ()),
                       (bare, ("--scale", "0.0001", "--offset=-0.1"))):  # fmt: skip
        done = run("apply", model, path, "-o", tmp_path / "out", *told, *more)
        assert done.status == 0, done.err
        found.append(labels_of(tmp_path / "out" / f"{path.stem}_labels.tif"))
    for labels in found[1:]:
        np.testing.assert_array_equal(labels, found[0])
    assert run("apply", model, bare, "-o", tmp_path / "raw", *more).status == 1


def test_a_scale_belongs_to_scenes(tmp_path, run):
    from PIL import Image as Picture

    Picture.fromarray(numbers()[..., :3].astype(np.uint8)).save(tmp_path / "a.png")
    done = run("segment", tmp_path / "a.png", "-k", 2, "--scale", "0.1")
    assert done.status == 1
    assert "--scale and --offset belong to rasters on earth, which" in done.err
    done = run("segment", tmp_path / "a.png", "-k", 2, "--scale", "0")
    assert done.status == 1
    assert "scale must be more than 0" in done.err


def test_constants_need_reflectances_on_the_command_line(tmp_path, run, raster):
    scene = raster(tmp_path / "a.tif", planes(), names=NAMES)
    words = ("-k", 3, "--index", "evi", "--preset", "plain", "-o", f"{tmp_path}/out/", "--json")
    done = run("segment", scene, *words)
    assert done.status == 1
    assert "evi needs reflectances of 0 to 1" in done.err
    done = run("segment", scene, *words, "--scale", "1e-4")
    assert done.status == 0, done.err
    assert json.loads(done.out)["bands"] == list(NAMES)


def test_other_commands_know_indices(tmp_path, run, raster):
    scene = raster(tmp_path / "a.tif", planes(), names=NAMES)
    alone = ("--index", "ndvi,ndwi", "--colour-space", "none")
    done = run("anomaly", scene, *alone, "--save-model", "-o", f"{tmp_path}/out/")
    assert done.status == 0, done.err
    found = load_model(tmp_path / "out" / "a.gmm.json")
    assert found.feature_names == ("ndvi", "ndwi")
    done = run("select", scene, *alone, "--k-range", "1-4", "--json")
    assert done.status == 0, done.err
    done = run("batch", scene, "-k", 3, "--index", "ndvi", "-o", tmp_path / "many", "--mode",
               "pooled", "--save-model", "-j", 1)  # fmt: skip
    assert done.status == 0, done.err
    assert "ndvi" in load_model(tmp_path / "many" / "a.gmm.json").feature_names


def test_an_index_that_there_is_not(run, tmp_path):
    done = run("segment", tmp_path / "a.tif", "-k", 3, "--index", "ndxi")
    assert done.status == 2
    assert "each of indices must be one of 'ndvi'" in done.err
