"""Maps that lie where the scene lies."""

import json
import subprocess
import sys

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")

from scene_files import PLACE, UTM, landscape, write  # noqa: E402

import gmmseg  # noqa: E402
from gmmseg.errors import InvalidDataError, InvalidParameterError, WriteError  # noqa: E402
from gmmseg.georeference import Georeference  # noqa: E402
from gmmseg.image import Image  # noqa: E402
from gmmseg.io import read_image  # noqa: E402
from gmmseg.io.geotiff import MapLayout, geotiff  # noqa: E402
from gmmseg.labels import palette  # noqa: E402
from gmmseg.model import parse_model  # noqa: E402
from gmmseg.outputs import OutputOptions, planned_outputs, write_outputs  # noqa: E402
from gmmseg.scene_outputs import write_scene  # noqa: E402
from gmmseg.streaming import StreamOptions  # noqa: E402
from gmmseg.tiles import ImageScene  # noqa: E402

GEO = Georeference(crs=rasterio.crs.CRS.from_string(UTM).to_wkt(), transform=tuple(PLACE)[:6])
ALL = OutputOptions(probabilities="tif", entropy=True, novelty=True, save_model=True)


def layout(**more):
    return MapLayout(**({"shape": (60, 80), "dtype": np.dtype(np.uint8)} | more))


@pytest.fixture
def scene(tmp_path):
    values = landscape()
    values[:, 0, :5] = 0
    return read_image(write(tmp_path / "scene.tif", values, nodata=0))


@pytest.mark.parametrize("cog", [False, True])
def test_labels_say_what_they_are(tmp_path, scene, cog):
    seg = gmmseg.segment(scene, k=3)
    plan = planned_outputs(tmp_path / "out", 3, tiff=True)
    write_outputs(seg, plan, cog=cog)
    with rasterio.open(plan["labels"]) as found:
        assert np.array_equal(found.read(1), seg.labels)
        assert found.crs.to_epsg() == 32633
        assert found.transform == PLACE
        assert (found.nodata, found.dtypes, found.count) == (0, ("uint8",), 1)
        assert found.compression.name == "deflate"
        assert found.profile["tiled"]
        colours = found.colormap(1)
        assert [colours[j][:3] for j in (1, 2, 3)] == [tuple(c) for c in palette(3).tolist()]
        assert found.tags(1)["class_2"].startswith("class 2: band 1 ")
        model = parse_model(json.dumps(json.loads(found.tags()["GMMSEG_MODEL"])))
        structure = found.tags(ns="IMAGE_STRUCTURE")
    assert np.array_equal(model.mixture.means, seg.mixture.means)
    assert (structure.get("LAYOUT") == "COG") is cog
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_streamed_outputs_are_those_in_memory(tmp_path, scene):
    seg = gmmseg.segment(scene, k=3)
    held = planned_outputs(tmp_path / "held", 3, ALL, tiff=True)
    write_outputs(seg, held)
    plan = planned_outputs(tmp_path / "streamed", 3, ALL, tiff=True)
    shares = []
    found = write_scene(
        ImageScene(scene), seg.model, plan, StreamOptions(tile=7), progress=shares.append
    )
    assert shares[-1] == 1.0
    assert found.n_pixels == 60 * 80 - 5
    for name in ("labels", "probabilities", "entropy", "novelty"):
        with rasterio.open(held[name]) as one, rasterio.open(plan[name]) as other:
            assert np.array_equal(one.read(), other.read(), equal_nan=True), name
            assert repr(one.profile) == repr(other.profile)
            assert one.descriptions == other.descriptions
    assert read_image(plan["overlay"]).colour
    assert plan["model"].read_text() == held["model"].read_text()


def test_strips_without_any_used_pixel(tmp_path, scene):
    data = scene.data.copy()
    mask = np.ones(scene.shape, bool)
    mask[:30] = False
    image = Image(data=data, mask=mask, georeference=GEO)
    model = gmmseg.segment(image, k=2).model
    plan = planned_outputs(tmp_path / "x", 2, ALL, tiff=True)
    write_scene(ImageScene(image), model, plan, StreamOptions(tile=10))
    with rasterio.open(plan["labels"]) as labels, rasterio.open(plan["entropy"]) as entropy:
        assert not labels.read(1)[:30].any()
        assert labels.read(1)[30:].all()
        assert np.isnan(entropy.read(1)[:30]).all()


def test_nothing_is_left_of_a_scene_without_pixels(tmp_path, scene):
    model = gmmseg.segment(scene, k=2).model
    image = Image(data=scene.data, mask=np.zeros(scene.shape, bool), georeference=GEO)
    plan = planned_outputs(tmp_path / "o" / "x", 2, tiff=True)
    with pytest.raises(InvalidDataError, match="no pixel may be used"):
        write_scene(ImageScene(image), model, plan)
    assert [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "scene.tif"] == []


def test_an_interrupt_leaves_nothing(tmp_path, scene):
    model = gmmseg.segment(scene, k=2).model

    def stop(_):
        raise KeyboardInterrupt

    plan = planned_outputs(tmp_path / "o" / "x", 2, tiff=True)
    with pytest.raises(KeyboardInterrupt):
        write_scene(ImageScene(scene), model, plan, StreamOptions(tile=7), progress=stop)
    assert list((tmp_path / "o").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "name", "what"),
    [
        (OutputOptions(masks=True), None, "mask_1"),
        (OutputOptions(regions=True), None, "regions"),
        (OutputOptions(probabilities="npz"), None, "probabilities"),
        (OutputOptions(), "x.png", "labels"),
    ],
)
def test_what_cannot_be_streamed(tmp_path, scene, options, name, what):
    labels = name and tmp_path / name
    plan = planned_outputs(tmp_path / "x", 2, options, tiff=True, labels=labels)
    model = gmmseg.segment(scene, k=2).model
    with pytest.raises(InvalidParameterError, match=f"{what} cannot be written so"):
        write_scene(ImageScene(scene), model, plan)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_control_points_and_coefficients_are_written(tmp_path):
    points = ((0.0, 0.0, 10.0, 50.0, 0.0), (5.0, 7.0, 11.0, 49.0, 3.0))
    wkt = rasterio.crs.CRS.from_epsg(4326).to_wkt()
    place = Georeference(gcps=points, gcps_crs=wkt)
    with geotiff(tmp_path / "a.tif", layout(georeference=place)) as write_rows:
        write_rows(0, np.ones((60, 80), np.uint8))
    assert read_image(tmp_path / "a.tif").georeference.gcps == points


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_sixteen_bits_of_labels_have_colours_too(tmp_path):
    colours = palette(300)
    wide = layout(dtype=np.dtype(np.uint16), colours=colours, nodata=0)
    with geotiff(tmp_path / "a.tif", wide) as write_rows:
        write_rows(0, np.full((60, 80), 300, np.uint16))
    with rasterio.open(tmp_path / "a.tif") as found:
        assert found.colormap(1)[300][:3] == tuple(colours[-1].tolist())


def test_a_folder_that_is_not_there(tmp_path):
    with (
        pytest.raises(WriteError, match=r"cannot write a.tif"),
        geotiff(tmp_path / "none" / "a.tif", layout()),
    ):
        pass


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from gmmseg.errors import WriteError
from gmmseg.io.geotiff import MapLayout, geotiff
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
rng = np.random.default_rng(0)
try:
    with geotiff(sys.argv[1], MapLayout(shape=(600, 600), dtype=np.dtype(np.uint8))) as write:
        for row in range(0, 600, 100):
            write(row, rng.integers(0, 255, (100, 600), np.uint8))
except WriteError as error:
    print(error)
"""


def test_a_full_disk(tmp_path):
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "a.tif")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cannot write a.tif: ")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_a_file_that_lost_its_end_is_seen(tmp_path, monkeypatch):
    """GDAL passes over what it cannot write when it closes a file."""
    from gmmseg.io import geotiff as module

    check = module._check_whole

    def cut(path):
        path.write_bytes(path.read_bytes()[:300])
        check(path)

    monkeypatch.setattr(module, "_check_whole", cut)
    rows = np.ones((60, 80), np.uint8)
    with (
        pytest.raises(WriteError, match=r"cannot write a.tif: the disk may be full"),
        geotiff(tmp_path / "a.tif", layout()) as write_rows,
    ):
        write_rows(0, rows)
