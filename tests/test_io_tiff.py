"""TIFF: bands, stacks, colours, tags; never a guess and never a wrong value."""

import io
import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from image_files import GREY, RGB, by_pillow, by_tifffile, random_values, with_bytes, with_tiff_tag
from PIL import Image

from gmmseg.errors import AmbiguousAxesError, ImageWarning, ReadError, UnsupportedFormatError
from gmmseg.io import ReadOptions, image_info, read_bytes, read_image


def read(content, **options):
    return read_bytes(content, "test.tif", ReadOptions(**options))


DTYPES = "u1 u2 u4 i1 i2 i4 f4 f8"


@pytest.mark.parametrize("dtype", DTYPES.split())
@pytest.mark.parametrize("byteorder", "<>")
def test_every_type_and_byte_order(dtype, byteorder):
    values = random_values((9, 13), dtype)
    image = read(by_tifffile(values, byteorder=byteorder, metadata=None))
    np.testing.assert_array_equal(image.data[..., 0], values)
    assert image.data.dtype == dtype
    assert image.data.dtype.isnative


def test_half_floats_become_float32():
    values = random_values((9, 13), np.float16)
    assert read(by_tifffile(values)).data.dtype == np.float32


@pytest.mark.parametrize("bands", [2, 3, 4, 7])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_bands_without_colour_are_bands(bands, dtype, planar):
    values = random_values((9, 13, bands), dtype)
    stored = values if planar == "contig" else np.moveaxis(values, -1, 0)
    image = read(by_tifffile(stored, photometric="minisblack", planarconfig=planar))
    np.testing.assert_array_equal(image.data, values)
    assert not image.colour


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_by_the_tag(dtype, planar):
    values = random_values((9, 13, 3), dtype)
    stored = values if planar == "contig" else np.moveaxis(values, -1, 0)
    image = read(by_tifffile(stored, photometric="rgb", planarconfig=planar))
    np.testing.assert_array_equal(image.data, values)
    assert image.colour


def test_near_infrared_beside_colours_is_a_band():
    values = random_values((9, 13, 4), "u1")
    image = read(by_tifffile(values, photometric="rgb", extrasamples=["unspecified"]))
    np.testing.assert_array_equal(image.data, values)
    assert image.colour
    assert image.mask is None


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_alpha_by_the_tag(kind, photometric):
    bands = 3 if photometric == "rgb" else 1
    values = random_values((9, 13, bands + 1), "u2") | np.uint16(1)
    values[2, 3, -1] = 0
    content = by_tifffile(
        values, photometric=photometric, planarconfig="contig", extrasamples=[kind]
    )
    image = read(content)
    np.testing.assert_array_equal(image.data, values[..., :-1])
    assert np.argwhere(~image.mask).tolist() == [[2, 3]]
    assert read(content, keep_alpha=True).n_bands == bands + 1


def test_palette():
    indices = random_values((9, 13), "u1")
    colours = random_values((3, 256), "u2")
    content = by_tifffile(indices, photometric="palette", colormap=colours)
    image = read(content)
    np.testing.assert_array_equal(image.data, (colours.T >> 8)[indices])
    assert image.colour
    np.testing.assert_array_equal(read(content, indexed=True).data[..., 0], indices)


def test_white_is_zero_is_turned_so_that_bright_is_bright():
    image = read(by_tifffile(GREY, photometric="miniswhite"))
    np.testing.assert_array_equal(image.data[..., 0], 255 - GREY)
    assert image.notes == ("inverted, because the file stores white as 0",)


def test_cmyk_becomes_rgb_as_pillow_does_it():
    picture = Image.fromarray(random_values((9, 13, 4), "u1"), "CMYK")
    with pytest.warns(ImageWarning, match="colours converted from CMYK to RGB"):
        image = read(by_pillow(picture, "TIFF"))
    expected = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(image.data.astype(int) - expected).max() <= 1
    assert image.colour


def test_other_colour_models_are_told():
    content = by_tifffile(RGB, photometric="cielab")
    with pytest.warns(ImageWarning, match="the colour model of the file is CIELAB"):
        assert not read(content).colour


def test_camera_raw_is_refused():
    content = by_tifffile(GREY, extratags=[(50706, 1, 4, (1, 4, 0, 0), True)])
    with pytest.raises(UnsupportedFormatError, match=r"test.tif is a camera raw file. Develop it"):
        read(content)
    with pytest.raises(UnsupportedFormatError, match="camera raw"):
        read(by_tifffile(GREY, photometric="cfa"))


# --- stacks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"metadata": None}, {"metadata": {"axes": "TYX"}}])
@pytest.mark.parametrize("planes", [3, 5])
def test_pages_of_unknown_meaning_are_never_guessed(options, planes):
    values = random_values((planes, 9, 13), "u1")
    content = by_tifffile(values, photometric="minisblack", **options)
    with pytest.raises(AmbiguousAxesError) as caught:
        read(content)
    message = str(caught.value)
    assert message.startswith("The axes of test.tif are ambiguous: it holds an array of shape")
    for choice in ("ZYX (planes)", "CYX (bands)", "--axes", "--frame N"):
        assert choice in message
    np.testing.assert_array_equal(read(content, axes="ZYX").data[..., 0], values)
    np.testing.assert_array_equal(read(content, axes="CYX").data, np.moveaxis(values, 0, -1))
    np.testing.assert_array_equal(read(content, frame=2).data[..., 0], values[2])


def test_pages_of_colours():
    values = random_values((5, 9, 13, 3), "u1")
    content = by_tifffile(values, photometric="rgb")
    with pytest.raises(AmbiguousAxesError, match=r"ZYXC \(planes of colours or bands\)"):
        read(content)
    image = read(content, axes="ZYXC")
    np.testing.assert_array_equal(image.data, values)
    assert image.colour
    np.testing.assert_array_equal(read(content, frame=4).data, values[4])


@pytest.mark.parametrize(
    ("axes", "shape"), [("ZYX", (5, 9, 13)), ("CYX", (3, 9, 13)), ("ZCYX", (2, 3, 9, 13))]
)
@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_named_axes_are_known(axes, shape, kind):
    values = random_values(shape, "u2")
    content = by_tifffile(values, photometric="minisblack", metadata={"axes": axes}, **{kind: True})
    image = read(content)
    expected = np.moveaxis(values, axes.index("C"), -1) if "C" in axes else values[..., np.newaxis]
    np.testing.assert_array_equal(image.data, expected)
    assert not image.colour


def test_colours_in_depth():
    values = random_values((2, 9, 13, 3), "u1")
    image = read(by_tifffile(values, imagej=True, metadata={"axes": "ZYXS"}))
    np.testing.assert_array_equal(image.data, values)
    assert image.colour


def test_five_axes_can_be_read_by_the_page():
    values = random_values((2, 3, 4, 9, 13), "u2")
    content = by_tifffile(values, imagej=True, metadata={"axes": "TZCYX"})
    with pytest.raises(AmbiguousAxesError, match=r"calls TZCYX. Read one page with frame="):
        read(content)
    np.testing.assert_array_equal(read(content, frame=5).data[..., 0], values[0, 1, 1])


def test_axes_that_do_not_fit():
    with pytest.raises(ValueError, match="axes 'ZYX' names 3 axes, but the array has 2"):
        read(by_tifffile(GREY), axes="ZYX")


@pytest.mark.parametrize("byteorder", "<>")
def test_planes_that_imagej_describes_only_once(byteorder, tmp_path):
    values = random_values((5, 9, 13), "u2")
    content = by_tifffile(
        values, imagej=True, truncate=True, metadata={"axes": "ZYX"}, byteorder=byteorder
    )
    np.testing.assert_array_equal(read(content).data[..., 0], values)
    np.testing.assert_array_equal(read(content, frame=3).data[..., 0], values[3])
    with pytest.raises(ReadError, match="cut short, it holds 1 of its 5 planes"):
        read(content[:-1])


def test_pages_of_different_shapes():
    stream = io.BytesIO()
    small = random_values((4, 5), "u1")
    with tifffile.TiffWriter(stream) as writer:
        writer.write(GREY)
        writer.write(small)
    content = stream.getvalue()
    with pytest.raises(AmbiguousAxesError, match=r"holds 2 pages of different shapes.*0 to 1"):
        read(content)
    np.testing.assert_array_equal(read(content, frame=1).data[..., 0], small)
    with pytest.raises(ReadError, match=r"cannot read frame 2 of test\.tif: it holds 2"):
        read(content, frame=2)


def test_overviews_and_masks_are_no_pages():
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(GREY, metadata=None)
        writer.write(GREY[::2, ::2], subfiletype=1, metadata=None)
        writer.write(GREY > 99, subfiletype=4, photometric="mask", metadata=None)
    image = read(stream.getvalue())
    np.testing.assert_array_equal(image.data[..., 0], GREY)
    np.testing.assert_array_equal(image.mask, GREY > 99)


def test_orientation_tag():
    content = by_tifffile(RGB, photometric="rgb", extratags=[(274, 3, 1, 8, True)])
    np.testing.assert_array_equal(read(content).data, np.rot90(RGB))
    np.testing.assert_array_equal(read(content, exif=False).data, RGB)


def test_companion_files_are_not_opened(tmp_path, monkeypatch):
    """OME-XML can name other files; a file from elsewhere must not make us read them."""
    monkeypatch.chdir(tmp_path)
    secret = random_values((9, 13), "u1")
    tifffile.imwrite("secret.tif", secret)
    xml = tifffile.OmeXml()
    xml.addimage("u1", (2, 9, 13), (2, 1, 1, 9, 13, 1), axes="ZYX")
    text = xml.tostring().replace(
        "<TiffData",
        '<TiffData FirstZ="1" IFD="0" PlaneCount="1"><UUID FileName="secret.tif">'
        "urn:uuid:1</UUID></TiffData><TiffData",
    )
    tifffile.imwrite("a.ome.tif", GREY, description=text, metadata=None)
    image = read_image("a.ome.tif")
    assert not (image.data == secret[..., np.newaxis]).all()


# --- tags --------------------------------------------------------------------------------------


def test_spacing_of_imagej():
    notes = {"axes": "ZYX", "unit": "um", "spacing": 3.0}
    image = read(
        by_tifffile(random_values((5, 9, 13), "u2"), imagej=True, resolution=(4, 2), metadata=notes)
    )
    assert image.spacing == (3.0, 0.5, 0.25)
    assert image.unit == "µm"


def test_spacing_of_ome():
    notes = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 3}
    notes |= {f"PhysicalSize{axis}Unit": "mm" for axis in "XYZ"}
    image = read(by_tifffile(random_values((5, 9, 13), "u2"), ome=True, metadata=notes))
    assert image.spacing == (3.0, 0.5, 0.25)
    assert image.unit == "mm"


def test_spacing_on_paper_is_none():
    image = read(by_tifffile(GREY, resolution=(72, 72), resolutionunit="inch"))
    assert image.spacing is None
    assert image.unit == ""


def _geo_tags(model=1, unit=9001, scale=(30.0, 15.0, 0.0)):
    keys = (1, 1, 0, 2, 1024, 0, 1, model, 3076, 0, 1, unit)
    return [
        (33550, "d", 3, scale, True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 5e5, 5e6, 0.0), True),
        (34735, "H", len(keys), keys, True),
    ]


@pytest.mark.parametrize(
    ("tags", "spacing", "unit"),
    [
        ({}, (15.0, 30.0), "m"),
        ({"unit": 9003}, (15.0, 30.0), "ft"),
        ({"unit": 9099}, None, ""),
        ({"model": 2}, None, ""),
        ({"scale": (0.0, 0.0, 0.0)}, None, ""),
        ({"scale": (np.nan, 1.0, 0.0)}, None, ""),
    ],
)
def test_spacing_of_geotiff(tags, spacing, unit):
    image = read(by_tifffile(GREY, extratags=_geo_tags(**tags), metadata=None))
    assert image.spacing == spacing
    assert image.unit == unit


def test_spacing_turns_with_the_image():
    tags = [*_geo_tags(), (274, "H", 1, 6, True)]
    assert read(by_tifffile(GREY, extratags=tags)).spacing == (30.0, 15.0)


@pytest.mark.parametrize(("text", "masked"), [("7", [[1, 2]]), ("nan", []), ("junk", []), ("", [])])
def test_nodata_tag(text, masked):
    values = GREY | np.uint8(8)
    values[1, 2] = 7
    image = read(by_tifffile(values, extratags=[(42113, "s", 0, text, True)]))
    mask = np.ones(values.shape, bool) if image.mask is None else image.mask
    assert np.argwhere(~mask).tolist() == masked


def test_nodata_of_the_file_and_of_the_user_add_up():
    values = GREY | np.uint8(8)
    values[1, 2], values[3, 4] = 7, 6
    image = read(by_tifffile(values, extratags=[(42113, "s", 0, "7", True)]), nodata=6)
    assert np.argwhere(~image.mask).tolist() == [[1, 2], [3, 4]]


def test_names_of_bands():
    names = ["red", "near &amp; far", "sw\x1b[2J"]
    items = "".join(
        f'<Item name="DESCRIPTION" sample="{i}" role="description">{name}</Item>'
        for i, name in enumerate(names)
    )
    tag = (42112, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>", True)
    image = read(by_tifffile(RGB, photometric="minisblack", planarconfig="contig", extratags=[tag]))
    assert image.band_names == ("red", "near & far", r"sw\x1b[2J")


def test_facts(tmp_path):
    values = random_values((5, 9, 13), "u2")
    path = tmp_path / "a.tif"
    path.write_bytes(by_tifffile(values, imagej=True, metadata={"axes": "ZYX"}))
    facts = image_info(path)
    assert facts["axes"] == "ZYX"
    assert facts["shape"] == [5, 9, 13]
    assert facts["frames"] == 5
    assert facts["bits"] == 16
    path.write_bytes(by_tifffile(values, compression="zlib"))
    facts = image_info(path, ReadOptions(frame=1))
    assert facts["shape"] == [9, 13]
    assert facts["compression"] == "deflate"


# --- codecs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["lzw", "deflate", "packbits", "zstd", "jpeg", "lerc"])
def test_compressions(compression):
    pytest.importorskip("imagecodecs")
    values = np.kron(random_values((4, 4), "u1"), np.ones((16, 16), np.uint8))
    image = read(by_tifffile(values, compression=compression))
    assert np.abs(image.data[..., 0].astype(int) - values).max() <= 2 * (compression == "jpeg")


_WITHOUT_CODECS = """
import sys
sys.modules["imagecodecs"] = None
import numpy as np
from gmmseg.errors import GmmsegError
from gmmseg.io import read_image
for path in sys.argv[1:]:
    try:
        data = read_image(path).data
        print(data.dtype, data.shape, int(data.astype(np.int64).sum()))
    except GmmsegError as error:
        print(type(error).__name__, error)
"""


def test_without_imagecodecs_pillow_helps_or_the_remedy_is_told(tmp_path):
    pytest.importorskip("imagecodecs")
    bits = GREY > 99
    cases = {
        "grey": (GREY, {"compression": "lzw"}),
        "deep": (random_values((9, 13), "u2"), {"compression": "lzw", "predictor": True}),
        "rgb": (RGB, {"compression": "lzw", "photometric": "rgb"}),
        "white": (GREY, {"compression": "lzw", "photometric": "miniswhite"}),
        "float": (np.abs(random_values((9, 13), "f4")) * 99, {"compression": "lzw"}),
        "bits": (bits, {"photometric": "minisblack"}),
        "bands": (
            random_values((9, 13, 5), "u2"),
            {"compression": "lzw", "planarconfig": "contig"},
        ),
        "lerc": (GREY, {"compression": "lerc"}),
    }
    paths = []
    for name, (values, options) in cases.items():
        paths.append(str(tmp_path / f"{name}.tif"))
        tifffile.imwrite(paths[-1], values, **({"photometric": "minisblack"} | options))
    expected = []
    for path in paths:
        data = read_image(path).data
        expected.append(f"{data.dtype} {data.shape} {int(data.astype(np.int64).sum())}")
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", _WITHOUT_CODECS, *paths],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stderr == ""
    lines = found.stdout.splitlines()
    assert lines[:-2] == expected[:-2]
    for line in lines[-2:]:
        assert line.startswith("MissingDependencyError")
        assert "pip install 'gmmseg[tiff]'" in line


# --- damage ------------------------------------------------------------------------------------


def test_chain_that_is_a_circle_is_refused():
    content = by_tifffile(GREY, metadata=None)
    n_tags = struct.unpack_from("<H", content, 8)[0]
    circle = with_bytes(content, 10 + 12 * n_tags, struct.pack("<I", 8))
    with pytest.raises(ReadError, match="its chain of pages is a circle or overlaps itself"):
        read(circle)


def test_chain_that_leads_out_of_the_file_is_told():
    content = by_tifffile(GREY, metadata=None)
    n_tags = struct.unpack_from("<H", content, 8)[0]
    broken = with_bytes(content, 10 + 12 * n_tags, struct.pack("<I", 2**30))
    with pytest.warns(ImageWarning, match="leads beyond the end of the file"):
        np.testing.assert_array_equal(read(broken).data[..., 0], GREY)


def test_stack_that_lost_its_last_pages_is_refused():
    values = random_values((3, 9, 13), "u2")
    content = by_tifffile(values, imagej=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(io.BytesIO(content)) as tif:
        last = tif.pages[2].offset
    with pytest.raises(ReadError, match=r"cannot read .*(malformed|cut short)"):
        read(content[:last])


def test_blocks_left_out_by_gdal_are_nodata(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    profile = {"driver": "GTiff", "height": 32, "width": 32, "count": 1, "dtype": "float32"}
    profile |= {"tiled": True, "blockxsize": 16, "blockysize": 16, "nodata": -9, "crs": "EPSG:3035"}
    profile |= {"transform": rasterio.Affine(9, 0, 0, 0, -9, 0), "sparse_ok": True}
    values = random_values((16, 16), "f4")
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as dataset:
        dataset.write(values, 1, window=rasterio.windows.Window(16, 0, 16, 16))
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data[:16, 16:, 0], values)
    assert np.argwhere(image.mask).min(axis=0).tolist() == [0, 16]
    assert image.mask.sum() == 256


def test_block_without_a_length_is_refused():
    content = with_tiff_tag(by_tifffile(GREY, metadata=None), 279, 0)
    with pytest.raises(ReadError, match=r"cannot read test\.tif: the file is malformed"):
        read(content)


def test_more_blocks_declared_than_stored_is_refused():
    content = by_tifffile(random_values((40, 40), "u1"), tile=(16, 16), compression="zlib")
    with pytest.raises(ReadError, match=r"cannot read test\.tif: the file is malformed"):
        read(with_tiff_tag(content, 256, 4000))
