"""Dask: the same models and labels as in one place, on any scheduler, with workers that die."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest

import gmmseg
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.mixture import EMOptions
from gmmseg.options import SegmentOptions
from gmmseg.smoothing import SmoothingOptions

da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("gmmseg.distributed")
from gmmseg.scattered_scenes import ScatteredOptions, scattered_scene  # noqa: E402

OPTIONS = SegmentOptions(features=FeatureSpec(gaps="drop"))


def scene(rows=350, cols=261, bands=3, dtype=float):
    rng = np.random.default_rng(0)
    x = rng.normal(50, 2, (rows, cols, bands))
    x[:, cols // 3 :, 0] += 20
    x[rows // 2 :, :, 1:] += 15
    return x.astype(dtype)


def with_gaps():
    x = scene()
    x[40:60, :50, 1] = np.nan
    x[:3] = np.nan
    return x


def in_memory(x, k=3, options=OPTIONS):
    return gmmseg.fit([gmmseg.Image.from_array(x, axes="YXC")], k, options)


def agree(a, b, tolerance=1e-10):
    for name in ("weights", "means", "covariances"):
        ours, theirs = getattr(a.mixture, name), getattr(b.mixture, name)
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("chunks", [(100, 261, 3), (37, 100, 2), (350, 261, 3), (1, 261, 3)])
@pytest.mark.parametrize("make", [scene, with_gaps])
def test_a_fit_equals_that_in_memory(chunks, make):
    x = make()
    options = ScatteredOptions(strip=None if chunks[0] > 1 else 11)
    found = distributed.fit(da.from_array(x, chunks=chunks), 3, OPTIONS, options)
    agree(found, in_memory(x))


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_types_that_are_fitted_in_single_precision(dtype):
    x = scene(dtype=dtype)
    features = FeatureSpec(colour_space="raw", gaps="drop")
    options = SegmentOptions(features=features, em=EMOptions(gap=0.0))
    found = distributed.fit(da.from_array(x, chunks=(64, 261, 3)), 4, options)
    assert found.provenance["fit"]["n_pixels"] == x.shape[0] * x.shape[1]
    if dtype == np.float32:  # of integers equal pixels are counted in memory
        agree(found, in_memory(x, 4, options))
    else:
        agree(found, in_memory(x, 4, options), tolerance=1e-3)


def test_a_fit_by_a_sample_equals_that_in_memory():
    x = scene(1100, 900, 2)
    options = replace(OPTIONS, em=EMOptions(gap=1e-3))
    found = distributed.fit(da.from_array(x, chunks=(300, 900, 2)), 3, options)
    assert found.provenance["fit"]["certificate"] is not None
    agree(found, in_memory(x, options=options))


@pytest.mark.parametrize("covariance_type", ["tied", "diag", "spherical", "tied_diag"])
def test_other_covariances(covariance_type):
    x = scene()
    options = replace(OPTIONS, em=EMOptions(covariance_type=covariance_type, prior=1.0))
    found = distributed.fit(da.from_array(x, chunks=(90, 261, 3)), 3, options)
    agree(found, in_memory(x, options=options))


def test_many_scenes_are_one_set():
    x, y = scene(), scene(120, 90) + 3
    found = distributed.fit([da.from_array(x, chunks=(80, -1, -1)), da.from_array(y)], 3, OPTIONS)
    images = [gmmseg.Image.from_array(part, axes="YXC") for part in (x, y)]
    agree(found, gmmseg.fit(images, 3, OPTIONS))


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("make", [scene, with_gaps])
def test_labels_equal_those_in_memory(beta, make):
    x = make()
    x[::7, ::5] += 9  # what smoothing has to do with
    model = replace(in_memory(x), smoothing=SmoothingOptions(beta=beta))
    image = gmmseg.Image.from_array(x, axes="YXC")
    found = distributed.apply(model, da.from_array(x, chunks=(33, 100, 3)))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found.compute(), gmmseg.apply(model, image).labels)


def test_nodata_axes_and_a_single_band():
    x = scene(dtype=np.uint16)
    x[10:20] = 7
    wanted = in_memory(x)
    found = distributed.fit(
        da.from_array(np.moveaxis(x, -1, 0), chunks=(1, 50, -1)),
        3,
        OPTIONS,
        ScatteredOptions(axes="CYX", nodata=7),
    )
    assert found.provenance["fit"]["n_pixels"] == 340 * 261
    assert not np.allclose(found.mixture.means, wanted.mixture.means)
    labels = distributed.apply(
        found,
        da.from_array(np.moveaxis(x, -1, 0), chunks=(1, 50, -1)),
        ScatteredOptions(axes="CYX", nodata=7),
    ).compute()
    assert (labels[10:20] == 0).all()
    assert (labels[20:] > 0).all()
    assert distributed.fit(da.from_array(x[..., 0], chunks=50), 2).mixture.n_features == 1


def test_zarr(tmp_path):
    zarr = pytest.importorskip("zarr")
    x = scene()
    store = str(tmp_path / "scene.zarr")
    zarr.create_array(store, data=x, chunks=(64, 64, 3))
    found = distributed.fit(store, 3, OPTIONS)
    agree(found, in_memory(x))
    labels = distributed.apply(found, store)
    labels.to_zarr(str(tmp_path / "labels.zarr"))
    assert set(np.unique(zarr.open(str(tmp_path / "labels.zarr"))[:])) == {1, 2, 3}


def test_rasters_are_opened_by_the_workers(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    x = np.moveaxis(scene(dtype=np.float32), -1, 0)
    path = tmp_path / "scene.tif"
    place = rasterio.Affine(10, 0, 4e5, 0, -10, 5e6)
    with rasterio.open(
        path, "w", driver="GTiff", width=261, height=350, count=3, dtype="float32",
        crs="EPSG:32633", transform=place,
    ) as file:  # fmt: skip
        file.write(x)
    found = distributed.fit(path, 3, OPTIONS, ScatteredOptions(strip=50))
    agree(found, in_memory(np.moveaxis(x, 0, -1)))
    assert scattered_scene(path).georeference is not None


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (np.zeros((2, 3, 4, 5)), InvalidDataError, "must be .rows, cols. or have three axes"),
        (np.zeros((4, 5), complex), InvalidDataError, "of integers or floats"),
        (np.full((4, 5), np.nan), InvalidDataError, "no pixel may be used"),
    ],
)
def test_what_is_no_scene_is_told(source, error, message):
    with pytest.raises(error, match=message):
        distributed.fit(da.from_array(source), 2)


def test_what_needs_the_whole_image_is_refused():
    options = SegmentOptions(features=FeatureSpec(local_std=(2.0,)))
    with pytest.raises(InvalidParameterError, match="features of place or surroundings"):
        distributed.fit(da.zeros((4, 5)), 2, options)
    with pytest.raises(InvalidParameterError, match="axes must be"):
        ScatteredOptions(axes="XY")


# --- a cluster ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    dask_cluster = pytest.importorskip("distributed")
    with (
        dask_cluster.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as workers,
        dask_cluster.Client(workers) as client,
    ):
        yield client


def a_worker(client):
    return next(iter(client.run(os.getpid).values()))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Dask's own, about workers that are killed
def test_a_cluster_gives_the_same_and_survives_the_death_of_a_worker(cluster):
    x = scene(1200, 261)
    array = da.from_array(x, chunks=(100, 261, 3))
    options = replace(OPTIONS, em=EMOptions(gap=0.0, tol=1e-9, accelerate=False))
    wanted = in_memory(x, options=options)
    killed = []

    def kill(iteration, _):
        if iteration == 2 and not killed:
            killed.append(a_worker(cluster))
            os.kill(killed[0], signal.SIGKILL)

    found = distributed.fit(array, 3, options, callback=kill)
    assert killed
    agree(found, wanted)
    image = gmmseg.Image.from_array(x, axes="YXC")
    labels = cluster.compute(distributed.apply(found, array))
    os.kill(a_worker(cluster), signal.SIGKILL)
    np.testing.assert_array_equal(labels.result(), gmmseg.apply(wanted, image).labels)
