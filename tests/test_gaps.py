"""Images of which some bands are missing in some pixels: nodata, NaN, masks for each band."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import chi2

import gmmseg
from gmmseg import Image
from gmmseg.__main__ import main
from gmmseg.feature_spec import FeatureSpec
from gmmseg.features import image_features
from gmmseg.pipeline import SegmentOptions

DROP = SegmentOptions(features=FeatureSpec(gaps="drop"))


def scene(dtype=np.float32, shape=(48, 64)):
    """Four bands of three classes, the classes, and stripes that are missing in bands 2 and 4."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    classes = 1 + (cols > 20) + (cols + rows > 70)
    centres = np.array([[40, 60, 50, 45], [90, 120, 100, 80], [150, 160, 170, 200]])
    values = centres[classes - 1] + 6 * rng.normal(size=(*shape, 4))
    missing = np.zeros(values.shape, bool)
    missing[..., 1] = (rows + cols // 8) % 8 < 3
    missing[..., 3] = (rows + 2 + cols // 8) % 8 < 3
    return values.round().astype(dtype), classes, missing


def stripes_missing(dtype=np.float32):
    values, classes, missing = scene(dtype)
    return Image(data=values, missing=missing), classes, missing


def test_bands_are_used_where_they_are():
    image, classes, missing = stripes_missing()
    seg = gmmseg.segment(image, 3)
    assert (seg.labels > 0).all()
    assert (seg.labels == classes).mean() > 0.995
    gapped = missing.any(axis=-1)
    assert 0.4 < gapped.mean() < 0.8
    assert (seg.labels == classes)[gapped].mean() > 0.99
    assert seg.to_dict()["pixels_not_used"] == 0
    json.dumps(seg.to_dict(), allow_nan=False)


def test_gaps_are_dropped_when_asked():
    image, _, missing = stripes_missing()
    seg = gmmseg.segment(image, 3, DROP)
    whole = ~missing.any(axis=-1)
    np.testing.assert_array_equal(seg.labels > 0, whole)
    other = gmmseg.segment(image.data, 3, mask=whole)
    np.testing.assert_array_equal(seg.labels, other.labels)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float64])
def test_all_ways_to_say_missing_are_the_same(dtype):
    image, _, missing = stripes_missing(dtype)
    expected = gmmseg.segment(image, 3)
    wide = np.float64 if np.dtype(dtype).itemsize > 2 else np.float32
    nan = np.where(missing, np.nan, image.data.astype(wide))
    infinite = np.where(missing, np.inf, image.data.astype(wide))
    for other in (
        gmmseg.segment(nan, 3, axes="YXC"),
        gmmseg.segment(infinite, 3, axes="YXC"),
        gmmseg.segment(image.data, 3, mask=~missing),
        gmmseg.segment(np.moveaxis(nan, -1, 0), 3, axes="CYX"),
    ):
        np.testing.assert_array_equal(other.labels, expected.labels)
        np.testing.assert_array_equal(other.mixture.means, expected.mixture.means)


def test_pixels_without_any_band_get_zero():
    image, _, missing = stripes_missing()
    missing[10:12, 5:9] = True
    seg = gmmseg.segment(image.with_mask(~missing), 3)
    nothing = missing.all(axis=-1)
    assert nothing.sum() >= 8
    np.testing.assert_array_equal(seg.labels == 0, nothing)
    np.testing.assert_array_equal(seg.probabilities[nothing], 0)
    assert np.isnan(seg.entropy[nothing]).all()
    assert np.isnan(seg.novelty[nothing]).all()
    assert np.isfinite(seg.novelty[~nothing]).all()


def test_only_the_chosen_bands_count():
    image, _, missing = stripes_missing()
    for gaps in ("use", "drop"):
        spec = FeatureSpec(bands=(1, 3), gaps=gaps)
        assert (gmmseg.segment(image, 3, SegmentOptions(features=spec)).labels > 0).all()
    spec = FeatureSpec(bands=(2,))
    labels = gmmseg.segment(image, 3, SegmentOptions(features=spec)).labels
    np.testing.assert_array_equal(labels == 0, missing[..., 1])


def test_probabilities_novelty_and_table():
    image, _, missing = stripes_missing()
    seg = gmmseg.segment(image, 3, "plain")
    rows = np.where(missing, np.nan, image.data).reshape(-1, 4)
    posterior = seg.mixture.posterior(rows).reshape(seg.probabilities.shape)
    np.testing.assert_allclose(seg.probabilities, posterior, atol=1e-6)
    nearest = seg.mixture.mahalanobis(rows).min(axis=1)
    freedom = (~np.isnan(rows)).sum(axis=1)
    expected = chi2.cdf(nearest**2, freedom).reshape(seg.novelty.shape)
    np.testing.assert_allclose(seg.novelty, expected, atol=1e-5)
    assert 0.3 < np.mean(seg.novelty) < 0.7  # uniform, whatever is missing
    for label, row in enumerate(seg.table, start=1):
        members = rows[seg.labels.ravel() == label]
        np.testing.assert_allclose(row.mean, np.nanmean(members, axis=0), rtol=1e-6)
        np.testing.assert_allclose(row.std, np.nanstd(members, axis=0), rtol=1e-5)
        assert row.pixels == len(members)


def test_a_model_serves_images_with_other_gaps(tmp_path):
    image, classes, missing = stripes_missing()
    model = gmmseg.segment(Image(data=image.data), 3).model
    seg = gmmseg.apply(model, image)
    assert (seg.labels == classes).mean() > 0.99
    model = gmmseg.fit([image, Image(data=image.data, missing=missing[::-1])], 3, DROP)
    model.save(tmp_path / "a.gmm.json")
    again = gmmseg.load_model(tmp_path / "a.gmm.json")
    assert again.features.gaps == "drop"
    np.testing.assert_array_equal(gmmseg.apply(again, image).labels == 0, missing.any(axis=-1))


def test_a_band_without_any_value_is_told_of():
    image, _, _ = stripes_missing()
    missing = np.zeros(image.data.shape, bool)
    missing[..., 2] = True
    seg = gmmseg.segment(Image(data=image.data, missing=missing), 3)
    assert "features without any value (number 3) play no part" in seg.warnings[0]
    assert np.isnan(seg.table[0].mean[2])
    without = gmmseg.segment(image.data[..., [0, 1, 3]], 3, axes="YXC")
    np.testing.assert_array_equal(seg.labels, without.labels)


def test_colours_need_all_their_bands():
    image, _, missing = stripes_missing(np.uint8)
    picture = Image(data=image.data[..., :3], missing=missing[..., :3], colour=True)
    seg = gmmseg.segment(picture, 3)
    assert seg.model.features.colour_space == "lab"
    np.testing.assert_array_equal(seg.labels == 0, missing[..., 1])
    raw = SegmentOptions(features=FeatureSpec(colour_space="raw"))
    assert (gmmseg.segment(picture, 3, raw).labels > 0).all()


def test_display_values_are_judged_where_they_are():
    values = np.full((4, 5, 3), 0.5)
    values[0, 0] = [np.nan, 7.0, 0.5]
    assert FeatureSpec(colour_space="lab").resolve(Image(data=values)).colour_space == "lab"


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_texture_is_of_what_is_there(scale):
    image, _, missing = stripes_missing(np.float64)
    spec = FeatureSpec(local_mean=(scale,), local_std=(scale,), position=1.0)
    rows = image_features(image, spec).reshape(*image.shape, -1)
    for band in range(4):
        known = ~missing[..., band]

        def smooth(values):
            return gaussian_filter(values, scale, mode="constant")

        values = np.where(known, image.data[..., band] - 100, 0)
        weight = smooth(known.astype(float))
        with np.errstate(invalid="ignore"):
            mean = smooth(values) / weight
            std = np.sqrt(smooth(values**2) / weight - mean**2)
        for found, expected in ((rows[..., band + 4], mean + 100), (rows[..., band + 8], std)):
            np.testing.assert_array_equal(np.isnan(found), ~known)
            np.testing.assert_allclose(found[known], expected[known], atol=1e-6)
    assert np.isfinite(rows[..., 12:]).all()
    assert (gmmseg.segment(image, 3, SegmentOptions(features=spec)).labels > 0).all()


# --- files and the command line -------------------------------------------------------------------


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A TIFF with nodata 0 in stripes, the same without, and masks."""
    rasterio = pytest.importorskip("rasterio")
    monkeypatch.chdir(tmp_path)
    values, classes, missing = scene(np.uint8)

    def write(name, array, nodata=None):
        profile = {"driver": "GTiff", "height": 48, "width": 64, "count": array.shape[-1]}
        profile |= {"dtype": "uint8", "photometric": "MINISBLACK", "nodata": nodata}
        profile |= {"crs": "EPSG:32622", "transform": rasterio.Affine(30, 0, 0, 0, -30, 0)}
        with rasterio.open(name, "w", **profile) as target:
            target.write(np.moveaxis(array, -1, 0))

    write("gaps.tif", np.where(missing, 0, values), nodata=0)
    write("untagged.tif", np.where(missing, 0, values))
    write("whole.tif", values)
    write("seen.tif", (~missing * 255).astype(np.uint8))
    write("seen1.tif", (~missing.any(axis=-1, keepdims=True) * 255).astype(np.uint8))
    return classes, missing


def labels_of(name):
    import tifffile

    return tifffile.imread(name)


@pytest.mark.parametrize(
    "words",
    [
        ["gaps.tif"],
        ["untagged.tif", "--nodata", "0"],
        ["whole.tif", "--mask", "seen.tif"],
    ],
)
def test_gaps_of_files(files, words, capsys):
    classes, missing = files
    common = ["-k", "3", "--no-overlay", "--json", "--no-progress"]
    assert main(["segment", *words, "-o", "a.tif", *common]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pixels_not_used"] == 0
    if "--mask" not in words:
        count = missing.any(axis=-1).sum()
        assert f"{count} pixels have nodata value 0 in some bands" in told["notes"]
    assert (labels_of("a.tif") == classes).mean() > 0.99
    assert main(["segment", *words, "-o", "b.tif", "--gaps", "drop", *common]) == 0
    np.testing.assert_array_equal(labels_of("b.tif") == 0, missing.any(axis=-1))


def test_fit_and_apply_with_gaps(files):
    classes, _ = files
    assert main(["fit", "gaps.tif", "-k", "3", "-o", "m.gmm.json", "-q"]) == 0
    assert main(["apply", "m.gmm.json", "gaps.tif", "whole.tif", "-o", "out", "-q"]) == 0
    for name in ("gaps", "whole"):
        assert (labels_of(f"out/{name}_labels.tif") == classes).mean() > 0.99


def test_a_mask_of_one_band_is_for_all_bands(files):
    _, missing = files
    words = ["whole.tif", "--mask", "seen1.tif", "-k", "3", "-q"]
    assert main(["segment", *words, "-o", "a.tif"]) == 0
    np.testing.assert_array_equal(labels_of("a.tif") == 0, missing.any(axis=-1))
