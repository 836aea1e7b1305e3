"""Rasters on earth: what is read of them, what is refused."""

import shutil

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")

from rasterio.control import GroundControlPoint  # noqa: E402
from rasterio.enums import ColorInterp, Resampling  # noqa: E402
from scene_files import PLACE, landscape, write  # noqa: E402

from gmmseg.errors import (  # noqa: E402
    InvalidDataError,
    InvalidParameterError,
    MissingFileError,
    ReadError,
    TooManyPixelsError,
    UnsupportedFormatError,
)
from gmmseg.io import ReadOptions, read_image  # noqa: E402
from gmmseg.io.raster_scene import SceneOptions  # noqa: E402
from gmmseg.io.scenes import band_files, open_scene, scene_image, stack_stem  # noqa: E402

COARSE = rasterio.Affine(60.0, 0.0, PLACE.c, 0.0, -60.0, PLACE.f)


def whole(*paths, options=SceneOptions(), reading=ReadOptions()):  # noqa: B008
    with open_scene(paths, options, reading) as scene:
        return scene_image(scene, reading)


def test_values_place_names_and_size_of_a_pixel(tmp_path):
    values = landscape()
    path = write(tmp_path / "a.tif", values, names=("red", "nir", "swir"))
    image = read_image(path)
    assert np.array_equal(image.data, np.moveaxis(values, 0, -1))
    assert image.band_names == ("red", "nir", "swir")
    assert (image.spacing, image.unit) == ((30.0, 30.0), "m")
    assert image.georeference.transform == tuple(PLACE)[:6]
    assert rasterio.crs.CRS.from_wkt(image.georeference.crs).to_epsg() == 32633


@pytest.mark.parametrize("height", [1, 7, 16, 60])
def test_strips_are_parts_of_the_whole(tmp_path, height):
    path = write(tmp_path / "a.tif", landscape())
    with open_scene([path]) as scene:
        parts = [scene.read(slice(i, min(i + height, 60))) for i in range(0, 60, height)]
    assert np.array_equal(np.concatenate([p.data for p in parts]), read_image(path).data)
    last = parts[-1].georeference.transform
    assert last[5] == PLACE.f - 30.0 * (60 - len(parts[-1].data))


def test_nodata_of_all_bands_and_of_some(tmp_path):
    values = landscape()
    values[:, 0, 0] = 9
    values[1, 0, 1] = 9
    image = read_image(write(tmp_path / "a.tif", values, nodata=9))
    assert not image.mask[0, 0]
    assert image.mask[0, 1]
    assert image.missing[0, 1].tolist() == [False, True, False]
    assert image.notes == (
        "1 pixels of nodata value 9 not used",
        "1 pixels have nodata value 9 in some bands",
    )


def test_nodata_and_nan_at_the_same_time(tmp_path):
    values = landscape(dtype=np.float32)
    values[:, 0, 0], values[:, 0, 1] = -9999, np.nan
    image = read_image(write(tmp_path / "a.tif", values, nodata=-9999))
    assert image.valid[0, :3].tolist() == [False, False, True]


def test_nodata_that_the_user_tells(tmp_path):
    values = landscape()
    values[:, 3] = 0
    image = read_image(write(tmp_path / "a.tif", values), ReadOptions(nodata=0))
    assert not image.valid[3].any()
    assert image.valid[4].all()


def test_a_mask_band_inside(tmp_path):
    def setup(dataset):
        mask = np.full((60, 80), 255, np.uint8)
        mask[:10] = 0
        dataset.write_mask(mask)

    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write(tmp_path / "a.tif", landscape(), setup=setup)
    image = read_image(path)
    assert not image.valid[:10].any()
    assert image.valid[10:].all()


def test_alpha_is_no_band(tmp_path):
    values = landscape(bands=4)
    values[3] = 65535
    values[3, :5] = 0

    def setup(dataset):
        names = (ColorInterp.gray, ColorInterp.undefined, ColorInterp.undefined, ColorInterp.alpha)
        dataset.colorinterp = names

    path = write(tmp_path / "a.tif", values, setup=setup)
    image = read_image(path)
    assert image.n_bands == 3
    assert image.valid[4:6, 0].tolist() == [False, True]
    assert read_image(path, ReadOptions(keep_alpha=True)).n_bands == 4


def test_scale_and_offset_make_other_numbers_of_the_same_pixels(tmp_path):
    def setup(dataset):
        dataset.scales, dataset.offsets = (1e-4,) * 3, (-0.1,) * 3

    values = landscape()
    values[:, 0, 0] = 0
    image = read_image(write(tmp_path / "a.tif", values, setup=setup, nodata=0))
    assert image.data.dtype == np.float32
    expected = values[:, 5, 5] * 1e-4 - 0.1
    assert image.data[5, 5] == pytest.approx(expected, rel=1e-6)
    assert not image.valid[0, 0]


@pytest.mark.parametrize(("scale", "offset"), [(0.0, 1.0), (np.nan, 0.0), (1.0, np.inf)])
def test_a_scale_that_is_none(tmp_path, scale, offset):
    def setup(dataset):
        dataset.scales, dataset.offsets = (scale,) * 3, (offset,) * 3

    path = write(tmp_path / "a.tif", landscape(), setup=setup)
    with pytest.raises(ReadError, match=r"a\.tif: a scale is 0, or no finite number"):
        open_scene([path])


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_control_points(tmp_path):
    points = [GroundControlPoint(row=0, col=0, x=10, y=50), GroundControlPoint(1, 1, 11, 49)]

    def setup(dataset):
        dataset.gcps = points, rasterio.crs.CRS.from_epsg(4326)

    path = write(tmp_path / "a.tif", landscape(), crs=None, transform=None, setup=setup)
    found = read_image(path).georeference
    assert found.gcps[0] == (0.0, 0.0, 10.0, 50.0, 0.0)
    assert "4326" in found.gcps_crs
    assert found.transform is None
    assert found.of_window(1, 0).gcps[0][0] == -1.0


def test_overviews_are_the_first_look(tmp_path):
    path = write(tmp_path / "a.tif", landscape())
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4], Resampling.nearest)
    with open_scene([path]) as scene:
        look = scene.look(30 * 40)
    assert look.shape == (30, 40)
    assert look.spacing == (60.0, 60.0)


# --- stacks -----------------------------------------------------------------------------------


def bands_of(folder, values, **more):
    return [
        write(folder / f"LC08_B{i}.TIF", values[i - 1 : i], **more)
        for i in range(1, len(values) + 1)
    ]


def test_a_stack_is_one_scene(tmp_path):
    values = landscape()
    values[1, 0, 0] = 0
    paths = bands_of(tmp_path, values, nodata=0)
    image = whole(*paths)
    assert np.array_equal(image.data, np.moveaxis(values, 0, -1))
    assert image.band_names == ("B1", "B2", "B3")
    assert image.missing[0, 0].tolist() == [False, True, False]
    assert image.valid is None
    assert stack_stem(paths) == "LC08"


def test_band_files_of_a_folder_come_by_number(tmp_path):
    for name in ("X_B10.TIF", "X_B2.TIF", "X_B8A.tif", "X_B8.TIF", "X_MTL.txt", "X_BQA.TIF"):
        (tmp_path / name).touch()
    names = [path.name for path in band_files(tmp_path)]
    assert names == ["X_B2.TIF", "X_B8.TIF", "X_B8A.tif", "X_B10.TIF"]
    (tmp_path / "Y_B1.TIF").touch()
    with pytest.raises(InvalidDataError, match=r"several scenes: X_, Y_. Name the files"):
        band_files(tmp_path)


def test_a_folder_without_bands(tmp_path):
    with pytest.raises(InvalidDataError, match=r"no file in .* is called like a band"):
        band_files(tmp_path)


def test_another_resolution_is_refused_with_both_grids(tmp_path):
    fine = write(tmp_path / "B1.tif", landscape(bands=1))
    coarse = landscape(30, 40, bands=1)
    coarse = write(tmp_path / "B2.tif", coarse, transform=COARSE)
    with pytest.raises(
        InvalidDataError,
        match=r"different grids: .*B1.tif is 80 x 60 pixels of 30 x -30 .* is 40 x 30 pixels of "
        r"60 x -60 .*resample= \(--resample METHOD\)",
    ):
        whole(fine, coarse)
    image = whole(fine, coarse, options=SceneOptions(resample="nearest"))
    assert image.shape == (60, 80)
    stored = read_image(coarse).data[..., 0]
    assert image.valid is None
    assert np.array_equal(image.data[..., 1], stored.repeat(2, axis=0).repeat(2, axis=1))


def test_what_a_resampled_band_does_not_cover_is_missing(tmp_path):
    fine = write(tmp_path / "B1.tif", landscape(bands=1))
    half = write(tmp_path / "B2.tif", landscape(15, 40, bands=1), transform=COARSE)
    image = whole(fine, half, options=SceneOptions(resample="bilinear"))
    assert image.missing[:30, :, 1].sum() == 0
    assert image.missing[30:, :, 1].all()
    assert not image.missing[..., 0].any()


def test_another_system_of_coordinates_is_refused(tmp_path):
    first = write(tmp_path / "B1.tif", landscape(bands=1))
    second = write(tmp_path / "B2.tif", landscape(bands=1), crs="EPSG:32634")
    with pytest.raises(InvalidDataError, match=r"EPSG:32633.*EPSG:32634. Reproject one of them"):
        whole(first, second, options=SceneOptions(resample="nearest"))


def test_an_unknown_way_of_resampling():
    with pytest.raises(InvalidParameterError, match="resample must be one of 'nearest'"):
        SceneOptions(resample="magic")


def test_no_files():
    with pytest.raises(InvalidParameterError, match="at least one raster"):
        open_scene([])


# --- what is refused --------------------------------------------------------------------------


def test_a_missing_band(tmp_path):
    first = write(tmp_path / "B1.tif", landscape(bands=1))
    with pytest.raises(MissingFileError, match=r"There is no file .*B2.tif"):
        whole(first, tmp_path / "B2.tif")


def test_a_truncated_file(tmp_path):
    path = write(tmp_path / "a.tif", landscape())
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ReadError, match=r"cannot read .*a.tif"):
        whole(path)


def test_more_pixels_than_allowed(tmp_path):
    path = write(tmp_path / "a.tif", landscape())
    with pytest.raises(TooManyPixelsError, match="4800 pixels, more than the limit of 100"):
        whole(path, reading=ReadOptions(max_pixels=100))


def test_something_else(tmp_path):
    path = tmp_path / "a.tif"
    path.write_text("nothing of the kind")
    with pytest.raises(UnsupportedFormatError, match="no raster on earth that is read"):
        whole(path)


@pytest.mark.parametrize("word", ["https://127.0.0.1:9/a.tif", "/vsicurl/http://127.0.0.1:9/a.tif"])
def test_remote_places_need_a_word(word):
    with pytest.raises(ReadError, match=r"not a local file.*\(--allow-remote\)"):
        open_scene([word])


def vrt(folder, source, *, relative=1, more=""):
    path = folder / "a.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="80" rasterYSize="60"><VRTRasterBand dataType="UInt16" band="1">'
        f'{more}<SimpleSource><SourceFilename relativeToVRT="{relative}">{source}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


def test_a_vrt_of_local_rasters(tmp_path):
    values = landscape(bands=1)
    write(tmp_path / "b.tif", values)
    assert np.array_equal(whole(vrt(tmp_path, "b.tif")).data[..., 0], values[0])


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        ("http://127.0.0.1:9/b.tif", "", "it uses '://'"),
        ("/vsicurl/x", "", "it uses '/vsi'"),
        ("&#47;vsicurl/x", "", "it uses '/vsi'"),
        ("b.tif", "<PixelFunctionType>x</PixelFunctionType>", "it uses 'PixelFunction'"),
        ("none.tif", "", "none.tif, which it names, is no raster on this machine"),
        ("a.vrt", "", "or a VRT itself"),
    ],
)
def test_a_vrt_that_leads_elsewhere(tmp_path, source, more, message):
    with pytest.raises(ReadError, match=message):
        whole(vrt(tmp_path, source, more=more))


def test_a_vrt_that_names_a_text(tmp_path):
    (tmp_path / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    with pytest.raises(ReadError, match="cannot read"):
        whole(vrt(tmp_path, "passwd"))


def test_a_vrt_in_disguise(tmp_path):
    shutil.copy(vrt(tmp_path, "b.tif"), tmp_path / "c.tif")
    with pytest.raises(UnsupportedFormatError, match="is a VRT, a list of files, but not called"):
        whole(tmp_path / "c.tif")
