"""Segmentations with regions: labels, tables, models, files, the command line."""

import json

import numpy as np
import pytest
from PIL import Image as PillowImage

from gmmseg import RegionOptions, SegmentOptions, SmoothingOptions, apply, segment
from gmmseg.__main__ import main
from gmmseg.errors import InvalidParameterError
from gmmseg.image import Image
from gmmseg.mixture import Mixture
from gmmseg.outputs import OutputOptions, planned_outputs, write_outputs
from gmmseg.regions import clean_labels, connected_regions


def speckled(shape=(40, 60), seed=0):
    """Dark left, bright right, and single pixels of the other."""
    rng = np.random.default_rng(seed)
    picture = np.full(shape, 60.0)
    picture[..., shape[-1] // 2 :] = 160
    specks = rng.random(shape) < 0.02
    picture[specks] = 220 - picture[specks]
    return np.clip(np.rint(picture + rng.normal(0, 8, shape)), 0, 255).astype(np.uint8)


def chosen(**regions):
    return SegmentOptions(regions=RegionOptions(**regions))


@pytest.mark.parametrize("smooth", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(40, 60), (5, 20, 30)])
def test_specks_are_gone_from_labels_table_and_regions(shape, smooth):
    image = Image.from_array(speckled(shape), axes="ZYX"[-len(shape) :])
    smoothing = SmoothingOptions(beta=smooth)
    plain = segment(image, 2, SegmentOptions(smoothing=smoothing))
    regions = RegionOptions(min_area=20)
    found = segment(image, 2, SegmentOptions(smoothing=smoothing, regions=regions))
    assert plain.regions.max() > 2
    assert found.regions.max() == 2
    assert found.regions.dtype == np.uint16
    np.testing.assert_array_equal(found.labels, clean_labels(plain.labels, regions))
    np.testing.assert_array_equal(found.regions, connected_regions(found.labels))
    counts = [int((found.labels == label).sum()) for label in (1, 2)]
    assert [row.pixels for row in found.table] == counts
    means = [image.data[found.labels == label].mean() for label in (1, 2)]
    np.testing.assert_allclose([row.mean[0] for row in found.table], means, rtol=1e-6)
    np.testing.assert_array_equal(found.probabilities, plain.probabilities)


def test_a_model_cleans_what_it_is_applied_to():
    picture = speckled()
    found = segment(picture, 2, chosen(min_area=20, max_hole=30, connectivity=8))
    model = found.model.from_dict(json.loads(found.model.to_json()))
    assert model.regions == RegionOptions(min_area=20, max_hole=30, connectivity=8)
    np.testing.assert_array_equal(apply(model, picture).labels, found.labels)


def test_masked_pixels_stay_out():
    mask = np.ones((40, 60), bool)
    mask[10:20, 20:45] = False
    found = segment(speckled(), 2, chosen(min_area=50), mask=mask)
    np.testing.assert_array_equal(found.labels == 0, ~mask)
    np.testing.assert_array_equal(found.regions == 0, ~mask)


def test_the_result_does_not_depend_on_threads():
    one, two = (segment(speckled(), 2, chosen(min_area=9), threads=t) for t in (1, 2))
    np.testing.assert_array_equal(one.labels, two.labels)


def test_areas_in_real_units():
    picture = speckled()
    by_unit = segment(picture, 2, chosen(min_area="5 mm2"), spacing=0.5)
    np.testing.assert_array_equal(by_unit.labels, segment(picture, 2, chosen(min_area=20)).labels)
    with pytest.raises(InvalidParameterError, match="needs the size of a pixel"):
        _ = segment(picture, 2, chosen(min_area="5 mm2")).labels


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_like_regions_are_joined_whatever_the_unit(unit):
    """Three stripes of 60, 62 and 160: the first two are one region, though two classes."""
    rng = np.random.default_rng(0)
    picture = np.repeat([60.0, 72.0, 160.0], 20)[None] + rng.normal(0, 2, (30, 60))
    far = np.array([60.0, 72.0, 160.0])
    mixture = Mixture(
        weights=np.full(3, 1 / 3),
        means=unit * far[:, None],
        covariances=[4 * unit**2] * 3,
        covariance_type="spherical",
    )
    plain = segment(unit * picture, 3, chosen(min_area=30))
    assert plain.regions.max() == 3
    for options in ({"n_regions": 2}, {"merge_distance": 20.0}):
        found = segment(unit * picture, 3, chosen(min_area=30, **options))
        np.testing.assert_allclose(found.mixture.means, mixture.means, rtol=0.05)
        assert found.regions[0, [0, 25, 59]].tolist() == [1, 1, 2]
        np.testing.assert_array_equal(found.labels, plain.labels)  # classes stay
    assert segment(unit * picture, 3, chosen(min_area=30, merge_distance=2.0)).regions.max() == 3


def test_regions_are_written(tmp_path):
    found = segment(speckled(), 2, chosen(min_area=20))
    for tiff, ending in ((False, "png"), (True, "tif")):
        plan = planned_outputs(tmp_path / "a", 2, OutputOptions(regions=True), tiff=tiff)
        assert plan["regions"].name == f"a_regions.{ending}"
        write_outputs(found, plan, overwrite=True)
        with PillowImage.open(plan["regions"]) as file:
            np.testing.assert_array_equal(np.asarray(file), found.regions)
    assert found.to_dict()["regions"] == {"number": 2}
    assert segment(speckled(), 2).to_dict()["regions"] is None


def test_more_regions_than_a_png_can_number(tmp_path):
    picture = (np.indices((300, 300)).sum(axis=0) % 2 * 200).astype(np.uint8)
    found = segment(picture, 2)
    plan = planned_outputs(tmp_path / "a", 2, OutputOptions(regions=True))
    with pytest.raises(
        InvalidParameterError, match=r"has 90000 regions, but a PNG can number 65535"
    ):
        write_outputs(found, plan)
    assert list(tmp_path.iterdir()) == []
    plan = planned_outputs(tmp_path / "a", 2, OutputOptions(regions=True), tiff=True)
    write_outputs(found, plan)
    import tifffile

    values = tifffile.imread(plan["regions"])
    assert (values.dtype, values.max()) == (np.uint32, 90000)


def test_the_command_line(tmp_path, capsys):
    PillowImage.fromarray(speckled()).save(tmp_path / "a.png")
    words = ["segment", str(tmp_path / "a.png"), "-k", "2", "--regions", "--json"]
    cleaning = ["--min-area", "0.5 %", "--max-hole", "20", "--gaussians-per-segment", "2"]
    assert main([*words, *cleaning, "--save-model"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["regions"] == {"number": 2}
    with PillowImage.open(tmp_path / "a_regions.png") as file:
        assert np.asarray(file).max() == 2
    model = str(tmp_path / "a.gmm.json")
    again = ["apply", model, words[1], "--regions", "--json", "-o", str(tmp_path / "out") + "/"]
    assert main(again) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == summary["classes"]
