"""Zarr and OME-Zarr: what is read, and how maps are written."""

import numpy as np
import pytest

import gmmseg
from gmmseg.errors import (
    AmbiguousAxesError,
    InvalidDataError,
    ReadError,
    TooManyPixelsError,
    UnsupportedFormatError,
)
from gmmseg.image import Image
from gmmseg.io import ReadOptions, image_info, read_image
from gmmseg.io.scenes import open_scene
from gmmseg.outputs import OutputOptions, planned_outputs, write_outputs
from gmmseg.pixel_grid import PixelGrid
from gmmseg.scene_outputs import write_scene
from gmmseg.streaming import StreamOptions, fit_scenes

zarr = pytest.importorskip("zarr")

from zarr_files import landscape, levels_of, ome_zarr, rewrite  # noqa: E402

SCALE = {"z": 2.0, "y": 0.5, "x": 0.25}


def plain(path, array, **more):
    zarr.create_array(str(path), data=array, chunks=more.pop("chunks", "auto"), **more)
    return path


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_of_ome_zarr(tmp_path, version):
    x = landscape()
    path = ome_zarr(
        tmp_path / "a.ome.zarr", x, version=version, scale=SCALE, shift={"y": 7.0},
        names=("DAPI", "GFP", "RFP"),
    )  # fmt: skip
    image = read_image(path)
    assert np.array_equal(image.data, np.moveaxis(x, 0, -1))
    assert (image.spacing, image.unit) == ((0.5, 0.25), "µm")
    assert image.band_names == ("DAPI", "GFP", "RFP")
    assert not image.colour
    assert image.notes == ("the finest of 3 resolutions",)
    assert image.grid == PixelGrid(
        axes=("y", "x"), units=("micrometer",) * 2, scale=(0.5, 0.25), translation=(7.0, 0.0),
        zarr_format=3 if version == "0.5" else 2,
    )  # fmt: skip


def test_a_resolution_by_its_path_has_its_own_scale(tmp_path):
    x = landscape()
    path = ome_zarr(tmp_path / "a.ome.zarr", x, scale=SCALE, names=("a", "b", "c"))
    image = read_image(path / "s1")
    assert np.array_equal(image.data, np.moveaxis(x, 0, -1)[::2, ::2])
    assert (image.spacing, image.unit) == ((1.0, 0.5), "µm")
    assert image.band_names == ("a", "b", "c")


@pytest.mark.parametrize("form", [2, 3])
@pytest.mark.parametrize("dtype", [bool, np.int8, "<u2", ">u2", np.int32, np.float16, ">f8"])
def test_plain_arrays_of_any_type(tmp_path, form, dtype):
    x = (np.arange(30).reshape(5, 6) % 7).astype(dtype)
    image = read_image(plain(tmp_path / "a.zarr", x, zarr_format=form))
    wanted = Image.from_array(x)
    assert image.data.dtype == wanted.data.dtype.newbyteorder("=")
    assert image.data.dtype.isnative
    assert np.array_equal(image.data, wanted.data)


@pytest.mark.parametrize(
    ("names", "order"),
    [(("x", "y"), (1, 0)), (("band", "lat", "lon"), (1, 2, 0)), (("Y", "channel", "X"), (0, 2, 1))],
)
def test_names_of_axes_count_in_any_order(tmp_path, names, order):
    x = landscape(20, 30)[: len(names) - 1] if len(names) == 3 else landscape(20, 30)[0]
    path = plain(tmp_path / "a", x, dimension_names=names)
    found, wanted = read_image(path).data, x.transpose(order)
    assert np.array_equal(found, wanted if wanted.ndim == 3 else wanted[..., None])


def test_names_that_xarray_gives_and_what_stands_for_nothing(tmp_path):
    x = landscape(20, 30).astype(np.int16)
    x[:, 3] = -9
    x[0, 5] = -9
    path = plain(tmp_path / "a.zarr", x, zarr_format=2)
    zarr.open_array(str(path)).attrs.update(
        {"_ARRAY_DIMENSIONS": ["band", "y", "x"], "_FillValue": -9}
    )
    image = read_image(path)
    assert image.data.shape == (20, 30, 3)
    assert not image.mask[3].any()
    assert image.missing[5, :, 0].all()
    with open_scene([path]) as scene:
        assert scene.nodata == (-9.0,)
        assert np.array_equal(scene.read(slice(0, 20)).missing, image.missing)
        assert not scene.is_complete


def test_without_names_the_axes_have_to_be_told(tmp_path):
    path = plain(tmp_path / "a.zarr", np.zeros((13, 20, 30), np.uint8))
    with pytest.raises(AmbiguousAxesError, match=r"axes= \(--axes\)"):
        read_image(path)
    assert read_image(path, ReadOptions(axes="CYX")).n_bands == 13
    assert read_image(path, ReadOptions(axes="ZYX")).shape == (13, 20, 30)
    assert image_info(path)["axes"] == "QQQ"


def test_names_that_say_nothing_have_to_be_told(tmp_path):
    x = landscape(20, 30)
    path = plain(tmp_path / "a.zarr", x, dimension_names=("phase", "y", "x"))
    with pytest.raises(AmbiguousAxesError, match="not those of an image: phase 3, y 20, x 30"):
        read_image(path)
    assert read_image(path, ReadOptions(axes="CYX")).n_bands == 3


def test_moments_in_time(tmp_path):
    x = np.stack([landscape(20, 30), landscape(20, 30, seed=1)])
    path = ome_zarr(tmp_path / "a.zarr", x, "tcyx", scale={"t": 5.0}, shift={"t": 100.0})
    with pytest.raises(AmbiguousAxesError, match=r"2 moments in time .* frame= \(--frame N\)"):
        read_image(path)
    image = read_image(path, ReadOptions(frame=1))
    assert np.array_equal(image.data, np.moveaxis(x[1], 0, -1))
    assert image.grid.translation == (105.0, 0.0, 0.0)
    assert read_image(path, ReadOptions(frame=1, axes="ZYX")).shape == (3, 20, 30)
    with pytest.raises(ReadError, match="cannot read frame 2"):
        read_image(path, ReadOptions(frame=2))
    assert image_info(path)["frames"] == 2


def test_volumes_and_planes(tmp_path):
    x = landscape(20, 30, 8).astype(np.uint8)
    path = ome_zarr(tmp_path / "a.zarr", x[None, None], "tczyx", scale=SCALE, levels=1)
    image = read_image(path)
    assert np.array_equal(image.data[..., 0], x)
    assert image.spacing == (2.0, 0.5, 0.25)
    flat = read_image(ome_zarr(tmp_path / "b.zarr", x[None, :, None], "tczyx"))
    assert flat.shape == (20, 30)
    assert flat.grid.axes == ("t", "z", "y", "x")


def test_units_that_differ_are_brought_to_one(tmp_path):
    units = {"z": "nanometer", "y": "micrometer", "x": "micrometer"}
    path = ome_zarr(
        tmp_path / "a.zarr", landscape(9, 9), "zyx", scale={"z": 500.0, "y": 0.5}, units=units
    )
    image = read_image(path)
    assert image.spacing == pytest.approx((0.5, 0.5, 1.0))
    assert image.unit == "µm"
    assert image.grid.units == ("nanometer", "micrometer", "micrometer")


def test_sizes_without_a_unit_and_nothing_known(tmp_path):
    bare = read_image(ome_zarr(tmp_path / "a.zarr", landscape(), units={}))
    assert (bare.spacing, bare.unit) == (None, "")
    sized = read_image(ome_zarr(tmp_path / "b.zarr", landscape(), units={}, scale={"x": 3.0}))
    assert (sized.spacing, sized.unit) == ((1.0, 3.0), "")


def test_another_spacing_is_written_too():
    grid = PixelGrid(
        axes=("t", "y", "x"), units=("second", "", "micrometer"), scale=(1.0, 1.0, 1.0),
        translation=(0.0,) * 3,
    )  # fmt: skip
    image = Image(data=np.zeros((4, 5, 1)), grid=grid).with_spacing(2.0)
    assert image.grid.scale == (1.0, 2.0, 2.0)
    assert image.grid.units == ("second", "micrometer", "micrometer")


def test_colour_is_what_is_meant_as_such(tmp_path):
    x = landscape(dtype=np.uint16).astype(np.uint8)
    colours = ("ff0000", "00FF00", "0000FF")
    assert read_image(ome_zarr(tmp_path / "a.zarr", x, colours=colours)).colour
    assert not read_image(ome_zarr(tmp_path / "b.zarr", x)).colour
    assert read_image(plain(tmp_path / "c.zarr", np.moveaxis(x, 0, -1))).colour


def test_transformations_of_the_whole_come_after_those_of_a_level(tmp_path):
    path = ome_zarr(tmp_path / "a.zarr", landscape(), scale={"y": 2.0, "x": 2.0}, shift={"y": 1.0})

    def both(found):
        found["attributes"]["ome"]["multiscales"][0]["coordinateTransformations"] = [
            {"type": "scale", "scale": [1, 3, 4]},
            {"type": "translation", "translation": [0, 5, 0]},
        ]

    grid = read_image(rewrite(path, both)).grid
    assert (grid.scale, grid.translation) == ((6.0, 8.0), (8.0, 0.0))


def test_sharded_arrays_and_an_array_that_was_written_in_part(tmp_path):
    x = landscape(64, 96)
    path = plain(tmp_path / "a.zarr", x, chunks=(1, 16, 16), shards=(1, 32, 48),
                 dimension_names=("c", "y", "x"))  # fmt: skip
    with open_scene([path]) as scene:
        assert scene.block_rows == 16
        assert np.array_equal(scene.read(slice(5, 40)).data, np.moveaxis(x, 0, -1)[5:40])
    part = zarr.create_array(str(tmp_path / "b"), shape=(9, 9), chunks=(4, 4), dtype="u2",
                             fill_value=7)  # fmt: skip
    part[:4] = 1
    assert np.unique(read_image(tmp_path / "b").data).tolist() == [1, 7]


@pytest.mark.parametrize("n_bytes", [1, 5000, 20_000])
def test_a_few_chunks_at_a_time(tmp_path, n_bytes, monkeypatch):
    monkeypatch.setattr("gmmseg.io.zarr_image._AT_ONCE", n_bytes)
    x = np.stack([landscape(), landscape(seed=1)])
    path = ome_zarr(tmp_path / "a.zarr", x, "tcyx")
    with open_scene([path], reading=ReadOptions(frame=1)) as scene:
        found = scene.read(slice(5, 71)).data
    assert np.array_equal(found, np.moveaxis(x[1], 0, -1)[5:71])


def test_large_images_are_read_to_a_temporary_file(tmp_path, monkeypatch):
    x = landscape()
    path = ome_zarr(tmp_path / "a.zarr", x)
    monkeypatch.setattr("gmmseg.io.scratch._SMALLEST", 1000)
    monkeypatch.setattr("gmmseg.io.zarr_image._AT_ONCE", 1000)
    image = read_image(path)
    assert isinstance(image.data, np.memmap)
    assert np.array_equal(image.data, np.moveaxis(x, 0, -1))


def test_info_without_decoding(tmp_path):
    facts = image_info(ome_zarr(tmp_path / "a.ome.zarr", landscape(), scale=SCALE, version="0.4"))
    assert facts["format"] == "OME-Zarr 0.4"
    assert (facts["shape"], facts["axes"], facts["bands"]) == ([3, 90, 120], "CYX", 3)
    assert (facts["levels"], facts["chunks"]) == (["s0", "s1", "s2"], [1, 32, 32])
    assert (facts["spacing"], facts["unit"]) == ([0.5, 0.25], "µm")
    assert facts["bytes"] > 1000


def test_an_array_of_zarr_is_an_array(tmp_path):
    x = landscape()
    array = zarr.open_array(str(plain(tmp_path / "a.zarr", x)))
    found, wanted = (gmmseg.segment(a, 3, "plain", axes="CYX") for a in (array, x))
    assert np.array_equal(found.labels, wanted.labels)


# --- scenes -------------------------------------------------------------------------------------


def test_a_scene_is_looked_at_by_its_lower_resolutions(tmp_path):
    x = landscape()
    with open_scene([ome_zarr(tmp_path / "a.zarr", x, scale=SCALE)]) as scene:
        look = scene.look(3000)
        assert np.array_equal(look.data, np.moveaxis(x, 0, -1)[::2, ::2])
        assert look.spacing == (1.0, 0.5)
        assert scene.look(100_000).shape == (90, 120) or scene.look(100_000).shape == (45, 60)


def test_without_lower_resolutions_the_middle_is_looked_at(tmp_path):
    x = landscape()
    with open_scene([ome_zarr(tmp_path / "a.zarr", x, levels=1, chunk=10)]) as scene:
        assert np.array_equal(scene.look(2400).data, np.moveaxis(x, 0, -1)[30:50])
        assert scene.look(20_000).shape == (90, 120)


def test_lower_resolutions_of_another_kind_are_not_looked_at(tmp_path):
    path = ome_zarr(tmp_path / "a.zarr", landscape(), levels=2)
    zarr.create_array(str(path / "s1"), data=np.zeros((3, 45, 60), "f4"), overwrite=True)
    with open_scene([path]) as scene:
        assert scene.look(6000).shape == (32, 120)


def test_a_volume_and_several_are_no_scene(tmp_path):
    path = ome_zarr(tmp_path / "a.zarr", landscape(), "zyx")
    with pytest.raises(ReadError, match="it is a volume"):
        open_scene([path])
    with pytest.raises(InvalidDataError, match="cannot be stacked"):
        open_scene([path, path])


def test_limits_of_pixels(tmp_path):
    path = ome_zarr(tmp_path / "a.zarr", landscape())
    with pytest.raises(TooManyPixelsError, match="more than the limit of 100"):
        read_image(path, ReadOptions(max_pixels=100))
    with pytest.raises(TooManyPixelsError, match="more than the limit of 100"):
        open_scene([path], reading=ReadOptions(max_pixels=100))


# --- writing ------------------------------------------------------------------------------------


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
