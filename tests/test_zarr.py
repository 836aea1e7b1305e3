"""Zarr and OME-Zarr: what is read, as an image and as a scene."""

import numpy as np
import pytest

import gmmseg
from gmmseg.errors import (
    AmbiguousAxesError,
    InvalidDataError,
    ReadError,
    TooManyPixelsError,
)
from gmmseg.image import Image
from gmmseg.io import ReadOptions, image_info, read_image
from gmmseg.io.scenes import open_scene
from gmmseg.pixel_grid import PixelGrid

zarr = pytest.importorskip("zarr")

from zarr_files import landscape, ome_zarr, rewrite  # noqa: E402

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
