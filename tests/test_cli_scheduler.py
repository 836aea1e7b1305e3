"""--scheduler: a cluster of two worker processes gives what one process does."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("dask.array")
dask_cluster = pytest.importorskip("distributed")
rasterio = pytest.importorskip("rasterio")

from scene_files import PLACE, landscape, write  # noqa: E402

import gmmseg  # noqa: E402
from gmmseg import schedulers  # noqa: E402
from gmmseg.errors import ReadError  # noqa: E402
from gmmseg.scattered_outputs import check_scattered_outputs  # noqa: E402
from gmmseg.scattered_scenes import scattered_scene  # noqa: E402
from gmmseg.schedulers import ClusterError, check_workers, connected  # noqa: E402

PLAIN = ("--preset", "plain", "--gaps", "drop", "--tile", "16")


@pytest.fixture(scope="module")
def address():
    """A scheduler with two worker processes of one thread."""
    with dask_cluster.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = landscape(rows=200, cols=130)
    values[0, 50:55] = 0
    values[:, 20:24] = 0
    for name, array in (("a", values), ("b", landscape(rows=90, cols=130, seed=2))):
        write(tmp_path / f"{name}.tif", array, names=("red", "nir", "swir"), nodata=0)
    return tmp_path


def read(path):
    with rasterio.open(path) as file:
        return file.read(1), file.crs.to_epsg(), file.transform, file.tags(1)


def close(path, other):
    one, two = (gmmseg.load_model(name).mixture for name in (path, other))
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("smooth", [(), ("--smooth", "0.7")])
def test_fit_and_apply_are_those_of_one_process(run, folder, address, smooth):
    there = ("--scheduler", address)
    for name, more in (("here", ()), ("there", there)):
        words = ("fit", "a.tif", "b.tif", "-k", 3, "-o", f"{name}.gmm.json", *PLAIN, *smooth, *more)
        done = run(*words)
        assert done.status == 0, done.err
    assert "2 workers, 2 tasks at once" in done.err
    close("here.gmm.json", "there.gmm.json")
    for name, more in (("here", ()), ("there", there)):
        tile = ("--tile", "16", "--json")
        done = run("apply", "there.gmm.json", "a.tif", "b.tif", "-o", f"{name}/", *tile, *more)
        assert done.status == 0, done.err
        found = [json.loads(line) for line in done.out.splitlines()]
        pixels = [[row["pixels"] for row in one["classes"]] for one in found]
        areas = [[row["area"] for row in one["classes"]] for one in found]
        if name == "here":
            expected = pixels, areas
    assert (pixels, areas) == expected
    for name in ("a", "b"):
        labels, epsg, transform, tags = read(f"there/{name}_labels.tif")
        np.testing.assert_array_equal(labels, read(f"here/{name}_labels.tif")[0])
        assert (epsg, transform) == (32633, PLACE)
        assert tags == read(f"here/{name}_labels.tif")[3]
        picture, other = (
            gmmseg.io.read_image(f"{out}/{name}_overlay.png").data for out in ("here", "there")
        )
        assert picture.shape == other.shape
    assert sorted(path.name for path in (folder / "there").iterdir()) == [
        "a_labels.tif",
        "a_overlay.png",
        "b_labels.tif",
        "b_overlay.png",
    ]


@pytest.mark.slow
def test_zarr_in_zarr_out_and_a_stack(run, folder, address):
    zarr = pytest.importorskip("zarr")
    values = np.moveaxis(landscape(rows=200, cols=130), 0, -1)
    zarr.create_array("c.zarr", data=values, chunks=(64, 64, 3))
    words = ("-k", 3, "-o", "out/", *PLAIN, "--scheduler", address, "--save-model", "--no-overlay")
    done = run("segment", "c.zarr", *words)
    assert done.status == 0, done.err
    labels = zarr.open("out/c_labels.zarr", mode="r")[:]
    model = gmmseg.load_model("out/c.gmm.json")
    image = gmmseg.Image.from_array(values, axes="YXC")
    np.testing.assert_array_equal(labels, gmmseg.apply(model, image).labels)
    done = run("segment", "c.zarr", *words)
    assert (done.status, "exists already" in done.err) == (1, True)
    for band in (1, 2):
        write(folder / f"S_B{band}.tif", landscape(bands=2)[band - 1 : band])
    done = run("segment", "--stack", "S_B1.tif", "S_B2.tif", *words)
    assert done.status == 0, done.err
    assert gmmseg.load_model("out/S.gmm.json").feature_names == ("B1", "B2")


@pytest.mark.slow
def test_what_a_cluster_cannot_do_is_one_line(run, folder, address):
    there = ("-k", 3, "-o", "out/", "--scheduler", address, "--preset", "plain")
    cases = [
        (["segment", "none.tif"], "There is no file"),
        (["segment", "none.zarr"], "There is no file"),
        (["segment", "a.tif", "--mask", "a.tif"], "does not go with --mask"),
        (["segment", "a.tif", "--entropy"], "entropy cannot be written from a cluster"),
        (["segment", "a.tif", "--position", "1"], "features of place"),
        (["segment", "-"], "standard input cannot be read by workers"),
    ]
    for words, message in cases:
        done = run(*words, *there)
        lines = [line for line in done.err.splitlines() if "workers" not in line or "-" in words]
        assert done.status == 1, words
        assert message in lines[-1]
        assert lines[-1].startswith("gmmseg: error: ")
        assert not (folder / "out").exists() or not list((folder / "out").iterdir())
    write(folder / "empty.tif", np.zeros((3, 60, 80), np.uint16), nodata=0)
    cut = (folder / "a.tif").read_bytes()[:-4000]
    (folder / "cut.tif").write_bytes(cut)
    for name, message in (("empty", "no pixel may be used"), ("cut", "cannot read")):
        done = run("segment", f"{name}.tif", *there)
        assert (done.status, message in done.err.splitlines()[-1]) == (1, True), done.err
        assert not list((folder / "out").iterdir()) if (folder / "out").exists() else True


@pytest.mark.slow
def test_a_cluster_on_this_machine(run, folder):
    words = ("fit", "b.tif", "-k", 3, *PLAIN)
    done = run(*words, "-o", "there.gmm.json", "--scheduler", "local", "--threads", 1)
    assert done.status == 0, done.err
    assert "local: 1 worker, 1 tasks at once" in done.err
    assert run(*words, "-o", "here.gmm.json").status == 0
    close("here.gmm.json", "there.gmm.json")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("tcp://127.0.0.1:9", "no Dask scheduler answers at tcp://127.0.0.1:9"),
        ("nonsense://a", "no Dask scheduler answers at nonsense://a"),
    ],
)
def test_no_scheduler(run, folder, monkeypatch, word, message):
    monkeypatch.setattr(schedulers, "_PATIENCE", 1)
    done = run("fit", "a.tif", "-k", 3, "-o", "m.gmm.json", "--scheduler", word)
    assert done.status == 1
    assert len(done.err.splitlines()) == 1
    assert message in done.err
    assert not (folder / "m.gmm.json").exists()
    with pytest.raises(ValueError, match="No clients found"):  # nothing waits for it any more
        dask_cluster.Client.current()


def test_a_scheduler_without_workers(monkeypatch):
    monkeypatch.setattr(schedulers, "_PATIENCE", 1)
    with (
        dask_cluster.LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        pytest.raises(ClusterError, match=r"has no workers. Start some: dask worker tcp://"),
        connected(cluster.scheduler_address),
    ):
        pass


def told_by(**workers):
    return SimpleNamespace(run=lambda function, paths: workers)


def test_workers_that_cannot_work():
    here = gmmseg.__version__
    check_workers(told_by(a=(here, [])))
    with pytest.raises(ClusterError, match=r"worker b cannot read /x/a.tif. Workers open files"):
        check_workers(told_by(a=(here, []), b=(here, ["/x/a.tif"])), ["/x/a.tif"])
    with pytest.raises(ClusterError, match=rf"worker a has gmmseg 0.0, not {here} as here"):
        check_workers(told_by(a=("0.0", [])))

    def run(function, paths):
        raise ModuleNotFoundError("No module named 'gmmseg'")

    with pytest.raises(ClusterError, match="the workers cannot run gmmseg: No module named"):
        check_workers(SimpleNamespace(run=run))


def test_what_a_worker_tells(tmp_path):
    missing = str(tmp_path / "none")
    assert schedulers._facts([os.fspath(tmp_path), missing]) == (gmmseg.__version__, [missing])


def test_names_of_label_maps(tmp_path):
    with pytest.raises(gmmseg.errors.InvalidParameterError, match=r"is .tif or .zarr, got a.png"):
        check_scattered_outputs({"labels": tmp_path / "a.png"})


def test_a_group_of_arrays_is_no_scene(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.create_group(str(tmp_path / "g.zarr"))
    group.create_array("red", shape=(4, 4), dtype="f4")
    with pytest.raises(ReadError, match=r"is a group that OME-Zarr does not describe. Name one of"):
        scattered_scene(tmp_path / "g.zarr")
