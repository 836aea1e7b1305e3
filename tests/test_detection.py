"""Anomalies of images and tables: maps, regions, models, files."""

import json

import numpy as np
import pytest
from scipy import ndimage

import gmmseg
from gmmseg import AnomalyOptions, detect_anomalies
from gmmseg.detection import AnomalyOutputs, planned_anomaly_outputs, write_anomalies
from gmmseg.errors import InvalidDataError, InvalidParameterError, OutputExistsError
from gmmseg.io import read_image, read_table

RX = AnomalyOptions(k=1)


def scene(seed=0, shape=(60, 80), bands=4):
    """Two kinds of ground, and a foreign object of 3 x 2 pixels at (20, 30)."""
    rng = np.random.default_rng(seed)
    data = rng.normal(100, 5, (*shape, bands))
    data[:, 40:] += 60
    data[20:23, 30:32] = 300, 20, 300, 20
    return data


def test_the_foreign_object_is_found():
    found = detect_anomalies(scene(), AnomalyOptions(quantile=0.002))
    first = found.regions[0]
    assert first["box"] == [20, 30, 23, 32]
    assert first["pixels"] == 6
    assert found.mask[20:23, 30:32].all()
    assert set(np.unique(found.mask)) == {0, 255}
    assert found.n_anomalies == np.count_nonzero(found.mask) <= 0.002 * found.n_pixels
    assert found.threshold == pytest.approx(found.score[found.mask > 0].min())
    assert found.score[found.mask == 0].max() < found.threshold
    assert first["score"] == found.score.max()
    assert len(found.regions) == ndimage.label(found.mask, np.ones((3, 3)))[1]


def test_maps_agree_with_each_other():
    found = detect_anomalies(scene(), RX)
    np.testing.assert_allclose(found.score, found.mahalanobis**2, rtol=1e-4)
    scores = found.scores
    order = np.argsort(scores.score)
    assert (np.diff(scores.p_empirical[order]) <= 0).all()
    assert (np.diff(scores.p_value[order]) <= 1e-12).all()
    assert (np.diff(scores.log_density[order]) <= 0).all()
    for name in ("score", "mahalanobis", "p_value", "p_empirical", "log_density"):
        assert getattr(found, name).dtype == np.float32


def test_equal_pixels_count_as_many():
    """Distinct colours with counts give what all pixels give."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 9, (700, 700)).astype(np.uint8)
    small[5, 5] = 200
    found = detect_anomalies(small, RX)
    values = small.astype(float)
    expected = (values - values.mean()) ** 2 / values.var()
    np.testing.assert_allclose(found.score, expected, rtol=1e-3, atol=1e-4)
    assert found.n_anomalies == 1
    assert found.p_empirical[5, 5] == pytest.approx(1 / small.size)


def test_unused_pixels_are_nan_and_no_anomalies():
    data = scene()
    data[0, :5] = np.nan
    mask = np.ones((60, 80), bool)
    mask[20:23, 30:32] = False
    found = detect_anomalies(data, RX, mask=mask)
    unused = ~mask
    unused[0, :5] = True
    np.testing.assert_array_equal(np.isnan(found.score), unused)
    assert not found.mask[unused].any()
    assert found.n_pixels == 60 * 80 - unused.sum()
    assert (found.heat_map()[0, 0] == 128).all()


def test_a_saved_model_tells_what_is_new(tmp_path):
    usual = scene()
    usual[20:23, 30:32] = usual[10:13, 30:32]
    learnt = detect_anomalies(usual)
    learnt.model.save(tmp_path / "usual.gmm.json")
    model = gmmseg.load_model(tmp_path / "usual.gmm.json")
    again = detect_anomalies(usual, model=model)
    np.testing.assert_allclose(again.score, learnt.score, rtol=1e-5, atol=1e-4)
    found = detect_anomalies(scene(1), AnomalyOptions(fdr=0.01), model=model)
    assert found.mask[20:23, 30:32].all()
    assert found.n_anomalies < 100


def test_all_classes_of_a_saved_model_are_meant():
    data = np.random.default_rng(0).normal(0, 1, (50, 50))
    data[:1] += 40  # 2 %, but a class
    model = gmmseg.fit([data], 2)
    assert detect_anomalies(data, model=model).p_value[0].mean() > 0.1
    strict = AnomalyOptions(min_share=0.05)
    assert detect_anomalies(data, strict, model=model).p_value[0].max() < 1e-9
    with pytest.raises(InvalidDataError, match=r"^the model was fitted on 1 features"):
        detect_anomalies(scene(), model=model)


def test_a_colour_picture_and_a_volume():
    rng = np.random.default_rng(0)
    photo = rng.integers(90, 110, (40, 50, 3)).astype(np.uint8)
    photo[7, 9] = 255, 0, 0
    found = detect_anomalies(photo)
    assert found.regions[0]["at"] == [7, 9]
    assert found.model.feature_names == ("L", "a", "b")
    volume = rng.normal(size=(5, 30, 40))
    volume[2, 3, 4] = 99
    found = detect_anomalies(volume, RX, axes="ZYX")
    assert found.regions[0]["box"] == [2, 3, 4, 3, 4, 5]
    assert found.heat_map().shape == (30, 40, 3)


def test_hundreds_of_bands():
    rng = np.random.default_rng(0)
    cube = rng.normal(size=(30, 40, 3)) @ rng.normal(size=(3, 150)) * 9
    cube += rng.normal(size=cube.shape)
    cube[11, 12, 70:80] += 9
    found = detect_anomalies(cube, axes="YXC")
    assert found.regions[0]["at"] == [11, 12]
    assert found.model.mixture.n_features == 150


@pytest.mark.parametrize(
    "image",
    [
        np.full((9, 9), 7, np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.tile(np.array([0, 200], np.uint8), (5, 5)),
        np.ones((9, 9, 40)),
    ],
)
def test_dull_images_have_no_anomalies(image):
    found = detect_anomalies(image, axes="YXC" if image.ndim == 3 else None)
    assert found.n_anomalies == 0
    assert found.threshold is None
    assert found.regions == ()
    assert np.isfinite(found.score).all()
    assert json.dumps(found.to_dict(), allow_nan=False)
    assert found.heat_map(legend=True).dtype == np.uint8
    assert found.warnings[0].startswith("no anomaly can be found: the quantile 0.001 of ")


def test_the_summary_is_json():
    found = detect_anomalies(scene(), AnomalyOptions(fdr=0.01))
    summary = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert summary["rule"] == {"fdr": 0.01}
    assert summary["anomalies"] == found.n_anomalies
    assert summary["n_regions"] >= len(summary["regions"]) > 0


# Tables


def test_rows_of_a_table(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    X[17] = 9, -9
    np.savetxt(tmp_path / "t.csv", X, delimiter=",", header="x,y", comments="")
    table = read_table(tmp_path / "t.csv")
    found = detect_anomalies(table, AnomalyOptions(quantile=0.01))
    columns = found.columns
    assert list(columns) == [
        "anomaly_score", "log_density", "mahalanobis", "p_value", "p_empirical", "anomaly",
    ]  # fmt: skip
    assert columns["anomaly_score"].argmax() == 17
    assert columns["anomaly"][17]
    assert columns["anomaly"].sum() == 3
    assert found.to_dict()["columns"] == ["x", "y"]
    again = detect_anomalies(table, model=found.model)
    np.testing.assert_allclose(again.score, found.score, rtol=1e-6)
    with pytest.raises(InvalidParameterError, match=r"^maps are written of images; of a table"):
        write_anomalies(found, {"score": tmp_path / "no.tif"})


# Files


def test_files(tmp_path):
    found = detect_anomalies(scene(), AnomalyOptions(quantile=0.002))
    outputs = AnomalyOutputs(all_maps=True, save_model=True)
    plan = planned_anomaly_outputs(tmp_path / "out" / "scene", outputs)
    write_anomalies(found, plan)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "scene.gmm.json", "scene_anomalies.png", "scene_anomaly_heat.png",
        "scene_anomaly_maps.tif", "scene_anomaly_score.tif",
    ]  # fmt: skip
    np.testing.assert_array_equal(read_image(plan["mask"]).data[..., 0], found.mask)
    np.testing.assert_array_equal(read_image(plan["score"]).data[..., 0], found.score)
    maps = read_image(plan["maps"])
    assert maps.band_names == ("score", "log_density", "mahalanobis", "p_value", "p_empirical")
    np.testing.assert_array_equal(maps.data[..., 3], found.p_value)
    heat = read_image(plan["heat"]).data
    np.testing.assert_array_equal(heat, found.heat_map(legend=True))
    with pytest.raises(OutputExistsError, match=r"exists already"):
        write_anomalies(found, plan)
    write_anomalies(found, plan, overwrite=True)


def test_less_files():
    plan = planned_anomaly_outputs("x", AnomalyOutputs(heat=False), tiff=True)
    assert [path.name for path in plan.values()] == ["x_anomalies.tif", "x_anomaly_score.tif"]
