"""Writers: what is written is read back by others, whole or not at all."""

import io
import os

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import GREY, RGB, random_values
from PIL import Image

from gmmseg.errors import (
    InvalidDataError,
    InvalidParameterError,
    MissingFileError,
    OutputExistsError,
    WriteError,
)
from gmmseg.io import (
    encode_png,
    png_writer,
    read_bytes,
    read_image,
    replacing,
    write_npz,
    write_png,
    write_text,
    write_tiff,
)

WRITERS = {
    "png": lambda path, **options: write_png(path, GREY, **options),
    "tiff": lambda path, **options: write_tiff(path, GREY, **options),
    "npz": lambda path, **options: write_npz(path, values=GREY, **options),
    "text": lambda path, **options: write_text(path, "text", **options),
}
every_writer = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


def names_in(folder):
    return [path.name for path in folder.iterdir()]


# --- whole or not at all -----------------------------------------------------------------------


@every_writer
def test_nothing_else_is_left(write, tmp_path):
    write(tmp_path / "out")
    assert names_in(tmp_path) == ["out"]


@every_writer
def test_existing_output_is_kept_unless_told(write, tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match=r"out exists already. Replace it with .*overwrite"):
        write(path)
    assert path.read_bytes() == b"precious"
    write(path, overwrite=True)
    assert path.read_bytes() != b"precious"
    assert names_in(tmp_path) == ["out"]


@every_writer
@pytest.mark.parametrize("dangling", [False, True])
def test_link_is_replaced_and_never_followed(write, dangling, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    if not dangling:
        target.write_bytes(b"precious")
    link.symlink_to(target)
    with pytest.raises(OutputExistsError):
        write(link)
    write(link, overwrite=True)
    assert not link.is_symlink()
    assert target.exists() is not dangling
    assert dangling or target.read_bytes() == b"precious"


@every_writer
def test_missing_folder(write, tmp_path):
    with pytest.raises(WriteError, match=r"the folder .*none is not there"):
        write(tmp_path / "none" / "out")


@every_writer
def test_folder_in_the_way(write, tmp_path):
    with pytest.raises(WriteError, match="it is a directory"):
        write(tmp_path, overwrite=True)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left"), RuntimeError])
def test_failure_leaves_nothing(error, tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"precious")
    expected = WriteError if isinstance(error, OSError) else error
    with pytest.raises(expected), replacing(path, overwrite=True) as file:  # noqa: PT012
        file.write(b"half")
        assert len(names_in(tmp_path)) == 2
        raise error
    assert names_in(tmp_path) == ["out"]
    assert path.read_bytes() == b"precious"


def test_output_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "out"
    with pytest.raises(OutputExistsError), replacing(path, overwrite=False) as file:  # noqa: PT012
        path.write_bytes(b"precious")
        file.write(b"ours")
    assert path.read_bytes() == b"precious"
    assert names_in(tmp_path) == ["out"]


def test_reason_of_the_system_is_told(tmp_path):
    with (
        pytest.raises(WriteError, match=r"cannot write .*out: No space left on device\."),
        replacing(tmp_path / "out", overwrite=False),
    ):
        raise OSError(28, "No space left on device")


def test_leftover_of_a_killed_process_gives_way(tmp_path):
    (tmp_path / f".out.{os.getpid()}.tmp").write_bytes(b"half")
    write_text(tmp_path / "out", "text")
    assert names_in(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["x" * 251 + ".txt", "ü" * 125 + ".txt", "写真.txt", "a\tb"])
def test_any_name_that_the_system_allows(name, tmp_path):
    write_text(tmp_path / name, "text")
    assert names_in(tmp_path) == [name]


def test_impossible_name(tmp_path):
    with pytest.raises(WriteError, match="cannot write "):
        write_text(tmp_path / ("x" * 300), "text")
    with pytest.raises(WriteError, match=r"a\\x00b"):
        write_text(tmp_path / "a\0b", "text")


# --- PNG ---------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    cols=st.integers(1, 40),
    kind=st.sampled_from([("u1", ()), ("u2", ()), ("u1", (3,))]),
    few=st.booleans(),
    strip=st.integers(1, 3000),
)
def test_png_is_read_back_by_pillow_and_us(rows, cols, kind, few, strip):
    values = random_values((rows, cols, *kind[1]), kind[0])
    if few:
        values = values % values.dtype.type(3)
    stream = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png_writer, "_STRIP_BYTES", strip)
        encode_png(stream, values)
    with Image.open(stream) as picture:
        np.testing.assert_array_equal(np.asarray(picture), values)
    np.testing.assert_array_equal(
        np.squeeze(read_bytes(stream.getvalue()).data), np.squeeze(values)
    )


def test_png_is_read_by_opencv(tmp_path):
    cv2 = pytest.importorskip("cv2")
    values = random_values((300, 200), "u2")
    write_png(tmp_path / "a.png", values)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"), -1), values)


def test_png_does_not_depend_on_layout_or_threads(monkeypatch):
    values = random_values((700, 900, 3), "u1")
    streams = []
    for cores, array in ((1, values), (7, values), (2, np.asfortranarray(values))):
        monkeypatch.setattr(png_writer, "n_cores", lambda cores=cores: cores)
        streams.append(io.BytesIO())
        encode_png(streams[-1], array)
    assert streams[0].getvalue() == streams[1].getvalue() == streams[2].getvalue()


def test_png_can_be_written_as_the_rows_come():
    values = random_values((50, 30), "u2")
    stream = io.BytesIO()
    png_writer.encode_strips(
        stream, values.shape, values.dtype, (values[i : i + 7] for i in range(0, 50, 7))
    )
    np.testing.assert_array_equal(read_bytes(stream.getvalue()).data[..., 0], values)


def test_labels_take_little_space(tmp_path):
    labels = np.kron(random_values((20, 30), "u1") % 8, np.ones((50, 50), np.uint8))
    write_png(tmp_path / "a.png", labels)
    assert (tmp_path / "a.png").stat().st_size < labels.size / 50


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.int32),
        np.zeros((4, 4), np.int64),
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4), bool),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
    ],
    ids=str,
)
def test_png_clips_nothing(array, tmp_path):
    with pytest.raises(InvalidDataError, match=r"A PNG holds uint8 or uint16 .*Nothing is clipped"):
        write_png(tmp_path / "a.png", array)
    assert names_in(tmp_path) == []


# --- TIFF --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(9, 13), (9, 13, 1), (9, 13, 2), (9, 13, 3), (9, 13, 5)])
def test_tiff_is_read_back(dtype, shape, tmp_path):
    values = random_values(shape, dtype)
    write_tiff(tmp_path / "a.tif", values)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data.reshape(shape), values)
    assert image.data.dtype == values.dtype
    assert not image.colour


@pytest.mark.parametrize("shape", [(4, 9, 13), (4, 9, 13, 3)])
@pytest.mark.parametrize("unit", ["mm", "µm"])
def test_volume_is_read_back_with_its_spacing(shape, unit, tmp_path):
    values = random_values(shape, "f4")
    axes = "ZYX" if len(shape) == 3 else None
    write_tiff(tmp_path / "a.tif", values, axes=axes, spacing=(2, 0.5, 0.25), unit=unit)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.squeeze(image.data), values)
    assert image.spacing == (2, 0.5, 0.25)
    assert image.unit == unit


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_colours(dtype, tmp_path):
    values = random_values((9, 13, 3), dtype)
    write_tiff(tmp_path / "a.tif", values, colour=True)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, values)
    assert image.colour


def test_large_tiff_is_tiled_and_compressed(tmp_path):
    values = np.zeros((600, 700, 2), np.float32)
    write_tiff(tmp_path / "a.tif", values)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.pages[0].is_tiled
        assert tif.pages[0].compression == 8
        assert not tif.is_bigtiff
    assert (tmp_path / "a.tif").stat().st_size < values.nbytes / 100


def test_very_large_tiff_is_bigtiff(tmp_path, monkeypatch):
    from gmmseg.io import tiff_writer

    monkeypatch.setattr(tiff_writer, "_LARGEST_CLASSIC", 10)
    write_tiff(tmp_path / "a.tif", GREY)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_bigtiff
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").data[..., 0], GREY)


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (np.zeros((4, 4), np.int64), {}),
        (np.zeros((4, 4), bool), {}),
        (np.zeros((4, 4), np.float16), {}),
        (np.zeros(4, np.uint8), {}),
        (np.zeros((0, 4), np.uint8), {}),
        (np.zeros((4, 4), np.uint8), {"axes": "ZYX"}),
    ],
    ids=str,
)
def test_tiff_of_other_arrays_is_refused(array, options, tmp_path):
    with pytest.raises(InvalidDataError, match="A TIFF is written of"):
        write_tiff(tmp_path / "a.tif", array, **options)


def test_tiff_options_are_checked(tmp_path):
    with pytest.raises(InvalidParameterError, match="axes must be one of 'YX'"):
        write_tiff(tmp_path / "a.tif", GREY, axes="CYX")
    with pytest.raises(InvalidParameterError, match="spacing must be one number or one for each"):
        write_tiff(tmp_path / "a.tif", GREY, spacing=(1, 2, 3))
    with pytest.raises(InvalidDataError, match="Colours are written of"):
        write_tiff(tmp_path / "a.tif", GREY, colour=True)
    with pytest.raises(MissingFileError, match="There is no file"):
        write_tiff(tmp_path / "a.tif", GREY, georeference=tmp_path / "none.tif")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("shape", [(9, 13, 1), (9, 13, 2), (9, 13, 5), (600, 520, 3)])
@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_bands_are_bands_for_gdal(shape, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    values = random_values(shape, "f4")
    names = tuple(f"class {i} < ü" for i in range(shape[-1]))
    write_tiff(tmp_path / "a.tif", values, band_names=names, nodata=-1)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.count == shape[-1]
        np.testing.assert_array_equal(dataset.read(), np.moveaxis(values, -1, 0))
        assert dataset.descriptions == names
        assert dataset.nodata == -1
    assert read_image(tmp_path / "a.tif").band_names == names


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of rasterio's own affine
def test_place_on_earth_is_copied(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    source, target = tmp_path / "source.tif", tmp_path / "labels.tif"
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(30, 0, 5e5, 0, -20, 5e6)}
    profile = {"driver": "GTiff", "height": 9, "width": 13, "count": 3, "dtype": "uint8"}
    with rasterio.open(source, "w", **profile, **place) as dataset:
        dataset.write(np.moveaxis(RGB, -1, 0))
    write_tiff(target, GREY, georeference=source, nodata=0)
    with rasterio.open(source) as before, rasterio.open(target) as after:
        assert after.crs == before.crs
        assert after.transform == before.transform
        assert after.nodata == 0
    image = read_image(target)
    assert image.spacing == (20.0, 30.0)
    assert image.unit == "m"


# --- NPZ and text ------------------------------------------------------------------------------


def test_npz_is_read_by_numpy_and_always_the_same(tmp_path):
    arrays = {"labels": GREY, "soft": random_values((9, 13, 3), "f4"), "k": np.array(3)}
    write_npz(tmp_path / "a.npz", **arrays)
    write_npz(tmp_path / "b", **arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b").read_bytes()
    with np.load(tmp_path / "a.npz") as stored:
        assert sorted(stored) == sorted(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(stored[name], array)
            assert stored[name].dtype == array.dtype


def test_npz_never_pickles(tmp_path):
    with pytest.raises(InvalidDataError, match="things holds Python objects"):
        write_npz(tmp_path / "a.npz", things=np.array([None, 1], dtype=object))
    assert names_in(tmp_path) == []


def test_text_is_utf8_with_plain_line_ends(tmp_path):
    write_text(tmp_path / "a.csv", "Größe\n1\n")
    assert (tmp_path / "a.csv").read_bytes() == "Größe\n1\n".encode()
