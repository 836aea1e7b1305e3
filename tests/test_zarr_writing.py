"""OME-Zarr as it is written: by us, read by us and by others; strips, and what goes wrong."""

import numpy as np
import pytest

import gmmseg
from gmmseg.errors import UnsupportedFormatError
from gmmseg.image import Image
from gmmseg.io import image_info, read_image
from gmmseg.io.scenes import open_scene
from gmmseg.outputs import OutputOptions, planned_outputs, write_outputs
from gmmseg.scene_outputs import write_scene
from gmmseg.streaming import StreamOptions, fit_scenes

zarr = pytest.importorskip("zarr")

from zarr_files import landscape, levels_of, ome_zarr  # noqa: E402

SCALE = {"z": 2.0, "y": 0.5, "x": 0.25}


def outputs(image, folder, stem="a"):
    found = gmmseg.segment(image, 3, "plain")
    options = OutputOptions(probabilities="tif", entropy=True, regions=True, masks=True)
    plan = planned_outputs(
        folder / stem, 3, options, zarr=image.grid is not None, volume=image.ndim == 3
    )
    write_outputs(found, plan)
    return found, plan


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_round_trip(tmp_path, version, monkeypatch):
    monkeypatch.setattr("gmmseg.io.zarr_writer._SIDE", 32)
    monkeypatch.setattr("gmmseg.io.zarr_writer._SIDE_OF_FLOATS", 32)
    path = ome_zarr(tmp_path / "a.ome.zarr", landscape(), version=version, scale=SCALE,
                    shift={"x": 3.0})  # fmt: skip
    image = read_image(path)
    found, plan = outputs(image, tmp_path / "out")
    assert plan["labels"].name == "a_labels.ome.zarr"
    assert plan["mask_1"].name == "a_mask_1.png"
    back = read_image(plan["labels"])
    assert np.array_equal(back.data[..., 0], found.labels)
    assert back.grid == image.grid
    assert np.array_equal(read_image(plan["probabilities"]).data, found.probabilities)
    assert np.array_equal(read_image(plan["entropy"]).data[..., 0], found.entropy)
    assert np.array_equal(read_image(plan["regions"]).data[..., 0], found.regions)
    assert read_image(plan["probabilities"]).band_names == ("class 1", "class 2", "class 3")
    levels, attributes, ome = levels_of(plan["labels"])
    assert [level.shape for level in levels] == [(90, 120), (45, 60), (23, 30)]
    assert all(np.array_equal(level, found.labels[:: 2**i, :: 2**i])
               for i, level in enumerate(levels))  # fmt: skip
    assert ome["multiscales"][0]["datasets"][1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 0.5]},
        {"type": "translation", "translation": [0.0, 3.0]},
    ]
    assert ome["image-label"]["colors"][1] == {"label-value": 1, "rgba": [48, 111, 216, 255]}
    assert ome["image-label"]["properties"][3]["class"].startswith("class 3: band 1 1")
    assert gmmseg.model.parse_model(attributes["GMMSEG_MODEL"]).k == 3


@pytest.mark.parametrize(("shape", "axes"), [((7, 40, 50), "zyx"), ((1, 2, 7, 40, 50), "tczyx")])
def test_a_volume_keeps_its_axes(tmp_path, shape, axes, monkeypatch):
    monkeypatch.setattr("gmmseg.io.zarr_writer._SIDE", 32)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, shape).astype(np.float32)
    x[..., 20:] += 9
    image = read_image(ome_zarr(tmp_path / "a.zarr", x, axes, scale=SCALE, levels=1))
    found, plan = outputs(image, tmp_path / "out")
    levels, _, ome = levels_of(plan["labels"])
    own = [axis["name"] for axis in ome["multiscales"][0]["axes"]]
    assert own == [a for a in axes if a != "c"]
    assert np.array_equal(levels[0].reshape(7, 40, 50), found.labels)
    assert np.array_equal(levels[1].reshape(7, 20, 25), found.labels[:, ::2, ::2])
    soft, _, ome = levels_of(plan["probabilities"])
    assert [axis["name"] for axis in ome["multiscales"][0]["axes"]] == [
        a for a in "tczyx" if a in axes or a == "c"
    ]
    assert np.array_equal(np.moveaxis(soft[0].reshape(3, 7, 40, 50), 0, -1), found.probabilities)
    assert plan["mask_1"].name == "a_mask_1.ome.zarr"
    assert np.array_equal(levels_of(plan["mask_1"])[0][0].reshape(7, 40, 50), found.mask(1))


def test_an_image_of_another_format_may_become_ome_zarr(tmp_path):
    image = Image.from_array(landscape()[0], spacing=2.0, unit="mm")
    found = gmmseg.segment(image, 2, "plain")
    write_outputs(found, {"labels": tmp_path / "x.ome.zarr"})
    back = read_image(tmp_path / "x.ome.zarr")
    assert np.array_equal(back.data[..., 0], found.labels)
    assert (back.spacing, back.unit) == ((2.0, 2.0), "mm")


@pytest.mark.parametrize("tile", [1, 7, 32, 45, 90])
def test_strips_give_what_is_found_in_memory(tmp_path, tile, monkeypatch):
    monkeypatch.setattr("gmmseg.io.zarr_writer._SIDE", 32)
    monkeypatch.setattr("gmmseg.io.zarr_writer._SIDE_OF_FLOATS", 16)
    path = ome_zarr(tmp_path / "a.zarr", landscape(), scale=SCALE)
    found, plan = outputs(read_image(path), tmp_path / "held")
    stream = StreamOptions(memory=1 << 20, tile=tile)
    wanted = {name: tmp_path / "strips" / plan[name].name
              for name in ("labels", "probabilities", "entropy")}  # fmt: skip
    with open_scene([path]) as scene:
        model, _ = fit_scenes([scene], 3, gmmseg.presets.PRESETS["plain"], stream)
        assert np.array_equal(model.mixture.means, found.model.mixture.means)
        write_scene(scene, model, wanted, stream)
    for name, own in wanted.items():
        levels, _, ome = levels_of(own)
        others, _, same = levels_of(plan[name])
        assert ome["multiscales"] == same["multiscales"]
        assert all(np.array_equal(a, b) for a, b in zip(levels, others, strict=True))


def test_writing_anew_from_the_top_replaces_what_was_written(tmp_path, monkeypatch):
    from gmmseg.io.geotiff import MapLayout
    from gmmseg.io.zarr_writer import ome_zarr as writer

    monkeypatch.setattr("gmmseg.io.zarr_writer._SIDE", 8)
    x = np.arange(20 * 12, dtype=np.uint8).reshape(20, 12)
    with writer(tmp_path / "a.zarr", MapLayout(shape=(20, 12), dtype=x.dtype, nodata=0)) as write:
        for values in (x[::-1], x):
            for first in range(0, 20, 3):
                write(first, values[first : first + 3])
    levels, _, _ = levels_of(tmp_path / "a.zarr")
    assert np.array_equal(levels[0], x)
    assert np.array_equal(levels[1], x[::2, ::2])


def test_what_was_there_is_replaced_or_kept(tmp_path):
    from gmmseg.errors import OutputExistsError, WriteError

    found = gmmseg.segment(landscape()[0], 2, "plain")
    plan = {"labels": tmp_path / "x.ome.zarr"}
    write_outputs(found, plan)
    (plan["labels"] / "mark").touch()
    with pytest.raises(OutputExistsError, match="exists already"):
        write_outputs(found, plan)
    assert (plan["labels"] / "mark").exists()
    write_outputs(found, plan, overwrite=True)
    assert not (plan["labels"] / "mark").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.ome.zarr"]
    (tmp_path / "y.zarr").mkdir()
    (tmp_path / "y.zarr" / "photo.jpg").touch()  # of somebody who calls folders so
    with pytest.raises(WriteError, match="it is a folder"):
        write_outputs(found, {"labels": tmp_path / "y.zarr"}, overwrite=True)


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    found = gmmseg.segment(landscape()[0], 2, "plain")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gmmseg.io.zarr_writer._Level.finish", stop)
    with pytest.raises(KeyboardInterrupt):
        write_outputs(found, {"labels": tmp_path / "x.ome.zarr"})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    from gmmseg.errors import WriteError

    found = gmmseg.segment(landscape()[0], 2, "plain")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gmmseg.io.zarr_writer._Level._write", full)
    with pytest.raises(WriteError, match=r"cannot write x\.ome\.zarr: No space left"):
        write_outputs(found, {"labels": tmp_path / "x.ome.zarr"})
    assert list(tmp_path.iterdir()) == []


# --- other software -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.filterwarnings("ignore")  # theirs
def test_the_models_of_ome_accept_it(tmp_path, version):
    models = pytest.importorskip(f"ome_zarr_models.v{version.replace('.', '')}")
    x = landscape(40, 50)[None, :, None]
    path = ome_zarr(tmp_path / "a.zarr", x, "tczyx", version=version, levels=1)
    _, plan = outputs(read_image(path), tmp_path / "out")
    labels = models.ImageLabel.from_zarr(zarr.open_group(str(plan["labels"]), mode="r"))
    soft = models.Image.from_zarr(zarr.open_group(str(plan["probabilities"]), mode="r"))
    assert labels is not None
    assert soft is not None


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.filterwarnings("ignore")  # theirs
def test_the_library_of_ome_shows_it(tmp_path, version):
    reader = pytest.importorskip("ome_zarr.reader")
    parse_url = pytest.importorskip("ome_zarr.io").parse_url
    path = ome_zarr(tmp_path / "a.zarr", landscape(40, 50), version=version, levels=1)
    found, plan = outputs(read_image(path), tmp_path / "out")
    (node,) = reader.Reader(parse_url(str(plan["labels"])))()
    assert np.array_equal(node.data[0].compute(), found.labels)
    assert node.metadata["color"][1] == pytest.approx([48 / 255, 111 / 255, 216 / 255, 1])
    assert node.load(reader.Label) is not None


def test_dask_reads_it(tmp_path):
    da = pytest.importorskip("dask.array")
    path = ome_zarr(tmp_path / "a.zarr", landscape(), levels=1)
    found, plan = outputs(read_image(path), tmp_path / "out")
    assert np.array_equal(da.from_zarr(str(plan["labels"]), "0").compute(), found.labels)


def test_a_fit_by_dask(tmp_path):
    pytest.importorskip("dask.array")
    distributed = pytest.importorskip("gmmseg.distributed")
    path = ome_zarr(tmp_path / "a.zarr", landscape(dtype=np.float32), names=("a", "b", "c"))
    options = gmmseg.presets.PRESETS["plain"]
    reading = distributed.ScatteredOptions(strip=32)
    model = distributed.fit(path, 3, options, reading)
    wanted = gmmseg.fit([read_image(path)], 3, options)
    assert model.feature_names == ("a", "b", "c")
    np.testing.assert_allclose(model.mixture.means, wanted.mixture.means, rtol=1e-8)
    labels = distributed.apply(model, path, reading)
    assert np.array_equal(labels.compute(), gmmseg.apply(wanted, read_image(path)).labels)


def test_what_has_no_zarr_is_told(tmp_path, monkeypatch):
    import importlib

    from gmmseg.errors import MissingDependencyError

    path = ome_zarr(tmp_path / "a.zarr", landscape())
    real = importlib.import_module

    def without(name, *rest):
        if name == "zarr":
            raise ModuleNotFoundError("No module named 'zarr'", name="zarr")
        return real(name, *rest)

    monkeypatch.setattr("gmmseg._optional.importlib.import_module", without)
    with pytest.raises(MissingDependencyError, match=r"gmmseg\[zarr\]"):
        read_image(path)
    assert image_info(path)["bands"] == 3  # metadata are read by us


def test_groups_that_are_no_image_say_what_to_name(tmp_path):
    path = tmp_path / "a.zarr"
    ome_zarr(path, landscape(9, 9))
    group = zarr.open_group(str(path))
    labels = group.create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["cells"]}
    with pytest.raises(UnsupportedFormatError, match=r"list of label maps.*a\.zarr/labels/cells"):
        read_image(path / "labels")
