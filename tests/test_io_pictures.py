"""PNG, JPEG, GIF, WebP, BMP and PNM: every bit of them, upright, without alpha as a feature."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from image_files import (
    GREY,
    RGB,
    by_pillow,
    chunk,
    exif_block,
    good_files,
    npy,
    png,
    random_values,
)
from PIL import Image, ImageOps

from gmmseg.errors import AmbiguousAxesError, ImageWarning, ReadError
from gmmseg.io import ReadOptions, read_bytes, read_image


def read(content, **options):
    return read_bytes(content, "test", ReadOptions(**options))


@pytest.mark.parametrize("name", good_files())
def test_every_good_file_is_read_plainly(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(good_files()[name])
    image = read_image(path)
    assert image.path == path
    assert image.data.dtype.isnative
    assert image.data.flags.c_contiguous
    assert image.mask is None


# --- PNG ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("colour_type", "samples"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_keeps_every_bit(dtype, colour_type, samples):
    values = random_values((9, 13, samples), dtype)
    image = read(png(values, colour_type), keep_alpha=True)
    np.testing.assert_array_equal(image.data, values)
    assert image.data.dtype == dtype
    assert image.colour == (samples >= 3)


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("filters", [0x08, 0x10, 0x20, 0x40, 0x80, 0xF8])
def test_deep_colour_png_agrees_with_opencv(samples, filters):
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2, "IMWRITE_PNG_FILTER"):
        pytest.skip("this OpenCV cannot be told the filter")
    values = np.cumsum(random_values((33, 40, samples), np.uint16) // 99, axis=1, dtype=np.uint16)
    swapped = values[..., [2, 1, 0, 3][:samples]]
    _, content = cv2.imencode(".png", swapped, [cv2.IMWRITE_PNG_FILTER, filters])
    image = read(content.tobytes(), keep_alpha=True)
    np.testing.assert_array_equal(image.data, values)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (8, 8), (17, 5), (9, 33)])
def test_interlaced_deep_colour_png(shape):
    values = random_values((*shape, 3), np.uint16)
    image = read(_interlaced(values))
    np.testing.assert_array_equal(image.data, values)


def _interlaced(values):
    """A PNG of 16-bit colour in the seven passes of Adam7."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)]
    passes += [(0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [values[y::down, x::right] for x, y, right, down in passes]
    rows = [row for part in parts if part.size for row in part]
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 1)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_png_of_few_bits_is_spread_to_8(bits):
    values = random_values((9, 13), np.uint8) % 2**bits
    image = read(png(values, 0, bits))
    np.testing.assert_array_equal(image.data[..., 0], values * (255 // (2**bits - 1)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colour_type", [4, 6])
def test_transparent_pixels_are_masked_and_alpha_is_no_band(dtype, colour_type):
    values = random_values((9, 13, 2 if colour_type == 4 else 4), dtype)
    values[..., -1] = 7
    values[2, 3, -1] = 0
    image = read(png(values, colour_type))
    assert image.n_bands == values.shape[-1] - 1
    assert np.argwhere(~image.mask).tolist() == [[2, 3]]
    assert image.notes == ("alpha channel dropped; 1 transparent pixels not used",)


def test_opaque_alpha_gives_no_mask():
    values = random_values((9, 13, 4), np.uint8) | np.uint8(1)
    image = read(png(values, 6))
    assert image.mask is None
    assert image.notes == ("alpha channel dropped; no pixel is wholly transparent",)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colour_type", [0, 2])
def test_transparent_colour_is_masked(dtype, colour_type):
    values = random_values((9, 13, 3 if colour_type else 1), dtype)
    values[4, 5] = 17
    values[4, 6] = 17
    transparent = values[4, 5].astype(">u2").tobytes()
    image = read(png(values, colour_type, before=[(b"tRNS", transparent)]))
    np.testing.assert_array_equal(image.data, values)
    np.testing.assert_array_equal(image.mask, (values != 17).any(axis=-1))


def test_palette_is_read_as_colours_unless_indices_are_asked_for():
    indices = random_values((9, 13), np.uint8) % 3
    palette = bytes([10, 20, 30, 40, 50, 60, 70, 80, 90])
    content = png(indices, 3, before=[(b"PLTE", palette)])
    colours = np.frombuffer(palette, np.uint8).reshape(3, 3)
    image = read(content)
    np.testing.assert_array_equal(image.data, colours[indices])
    assert image.colour
    image = read(content, indexed=True)
    np.testing.assert_array_equal(image.data[..., 0], indices)
    assert not image.colour
    assert image.notes == ("read as indices of its palette",)


def test_transparent_entry_of_a_palette_is_masked():
    indices = random_values((9, 13), np.uint8) % 3
    image = read(png(indices, 3, before=[(b"PLTE", bytes(range(9))), (b"tRNS", b"\xff\0\x80")]))
    np.testing.assert_array_equal(image.mask, indices != 1)


# --- orientation -------------------------------------------------------------------------------


def test_every_orientation_agrees_with_pillow():
    for orientation in range(1, 9):
        content = png(RGB, 2, before=[(b"eXIf", exif_block(orientation))])
        with Image.open(io.BytesIO(content)) as picture:
            upright = np.asarray(ImageOps.exif_transpose(picture))
        np.testing.assert_array_equal(read(content).data, upright)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_orientation_is_applied_in_every_format_that_has_it(file_format):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = by_pillow(Image.fromarray(RGB), file_format, exif=exif)
    image, as_stored = read(content), read(content, exif=False)
    assert as_stored.shape == (9, 13)
    np.testing.assert_array_equal(image.data, np.rot90(as_stored.data, -1))
    assert image.notes == ("turned upright by its orientation tag (6)",)
    assert as_stored.notes == ()


def test_mask_turns_with_the_image():
    values = random_values((9, 13, 4), np.uint8) | np.uint8(1)
    values[0, 0, 3] = 0
    image = read(png(values, 6, after=[(b"eXIf", exif_block(6))]))
    assert np.argwhere(~image.mask).tolist() == [[0, 8]]
    assert image.data.flags.c_contiguous
    assert image.mask.flags.c_contiguous


@pytest.mark.parametrize("exif", [b"", b"II", b"garbage" * 9, exif_block(0), exif_block(77)])
def test_broken_exif_means_upright(exif):
    assert read(png(RGB, 2, before=[(b"eXIf", exif)])).shape == (9, 13)


# --- colour models -----------------------------------------------------------------------------


def test_cmyk_jpeg_becomes_rgb_with_a_warning():
    content = by_pillow(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=100)
    with pytest.warns(ImageWarning, match="test: colours converted from CMYK to RGB"):
        image = read(content)
    assert image.data.shape == (9, 13, 3)
    assert image.colour
    assert image.notes == ("colours converted from CMYK to RGB without a colour profile",)


def test_grey_jpeg_has_one_band():
    image = read(by_pillow(Image.fromarray(GREY), "JPEG"))
    assert image.data.shape == (9, 13, 1)
    assert not image.colour


def test_one_bit_picture_becomes_0_and_255():
    bits = GREY > 99
    for file_format in ("PNG", "BMP", "TIFF"):
        image = read(by_pillow(Image.fromarray(bits), file_format))
        np.testing.assert_array_equal(image.data[..., 0], bits * np.uint8(255))


# --- frames ------------------------------------------------------------------------------------


def _animation(file_format, **options):
    frames = [Image.fromarray(random_values((9, 13, 3), np.uint8)) for _ in range(3)]
    content = by_pillow(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    return frames, content


@pytest.mark.parametrize(
    ("file_format", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})]
)
def test_animation_gives_its_first_frame_with_a_warning(file_format, options):
    frames, content = _animation(file_format, **options)
    with pytest.warns(ImageWarning, match=r"holds 3 frames; only the first is read.*--frame N"):
        image = read(content)
    assert image.shape == (9, 13)
    if file_format != "GIF":  # which has to reduce the colours
        np.testing.assert_array_equal(image.data, np.asarray(frames[0]))
        np.testing.assert_array_equal(read(content, frame=2).data, np.asarray(frames[2]))
    assert read(content, frame=1).notes == ()


def test_frame_beyond_the_last_is_refused():
    _, content = _animation("GIF")
    with pytest.raises(ReadError, match=r"cannot read frame 3 of test: it holds 3, counted from 0"):
        read(content, frame=3)
    with pytest.raises(ReadError, match="cannot read frame 1 of test: it holds 1"):
        read(png(GREY, 0), frame=1)
    with pytest.raises(ReadError, match="cannot read frame 1 of test: it holds 1"):
        read(b"P5 1 1 255 a", frame=1)


def test_frame_of_a_deep_animated_png_is_refused():
    control = (b"acTL", b"\0\0\0\2\0\0\0\0")
    content = png(random_values((9, 13, 3), np.uint16), 2, before=[control])
    with pytest.raises(ReadError, match="with 16 bits of colour only the first frame is read"):
        read(content, frame=1)


def test_second_picture_of_a_phone_is_passed_over_without_a_warning():
    _, content = _animation("MPO")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = read(content)
    assert image.shape == (9, 13)
    assert read(content, frame=1).shape == (9, 13)


# --- PNM ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"P1\n# note\n3 2\n101\n0 1 0\n", [[0, 255, 0], [255, 0, 255]]),
        (b"P4 3 2\n\xa0\x40", [[0, 255, 0], [255, 0, 255]]),
        (b"P2 3 1 15 1 # one\n 2 15", [[1, 2, 15]]),
        (b"P3 1 1 9 1 2 3", [[[1, 2, 3]]]),
        (b"P5 2 1 1023\n\x00\x01\x03\xff", [[1, 1023]]),
        (b"P6 1 1 65535\n\x00\x01\x00\x02\xff\xff", [[[1, 2, 65535]]]),
        (b"Pf 1 2 -1\n" + np.array([1, 2], "<f4").tobytes(), [[2], [1]]),
        (b"PF 1 1 1\n" + np.array([1, 2, 3], ">f4").tobytes(), [[[1, 2, 3]]]),
    ],
)
def test_pnm_keeps_its_values(content, values):
    image = read(content)
    np.testing.assert_array_equal(np.squeeze(image.data), np.squeeze(values))
    assert image.data.dtype.isnative
    assert image.colour == (content[:2] in (b"P3", b"P6"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"P5\n", "its header is malformed"),
        (b"P5 2 2 70000\nabcd", "its greatest value must be 1 to 65535, not 70000"),
        (b"P5 2 2 0\nabcd", "its greatest value must be 1 to 65535, not 0"),
        (b"P2 2 2 9\n1 2 3\n", "its values are cut short or out of range"),
        (b"P2 2 1 9\n1 10\n", "its values are cut short or out of range"),
        (b"P5 2 2 255\nabc", "its header declares 4 bytes of pixels, but the file holds only 3"),
    ],
)
def test_malformed_pnm_is_refused(content, message):
    with pytest.raises(ReadError, match=f"^cannot read test: {message}"):
        read(content)


# --- NPY ---------------------------------------------------------------------------------------


def test_npy_is_mapped_from_the_file(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, RGB)
    image = read_image(path)
    assert isinstance(image.data, np.memmap)
    assert image.colour
    np.testing.assert_array_equal(image.data, RGB)


@pytest.mark.parametrize(
    ("stored", "dtype"),
    [(bool, np.uint8), (np.float16, np.float32), (">u2", np.uint16), (">f8", np.float64)],
)
def test_npy_of_other_types_is_converted(stored, dtype, tmp_path):
    values = (GREY > 99).astype(stored)
    np.save(tmp_path / "a.npy", values)
    for image in (read_image(tmp_path / "a.npy"), read(npy(values))):
        assert image.data.dtype == dtype
        assert image.data.dtype.isnative
        scale = 255 if stored is bool else 1
        np.testing.assert_array_equal(image.data[..., 0], values.astype(dtype) * scale)


def test_npy_in_fortran_order_and_with_told_axes(tmp_path):
    values = np.asfortranarray(random_values((5, 9, 13), np.int16))
    np.save(tmp_path / "a.npy", values)
    for options, expected in [("ZYX", values[..., None]), ("CYX", np.moveaxis(values, 0, -1))]:
        image = read_image(tmp_path / "a.npy", ReadOptions(axes=options))
        np.testing.assert_array_equal(image.data, expected)
        np.testing.assert_array_equal(read(npy(values), axes=options).data, expected)


def test_ambiguous_npy_names_the_file_and_the_choices():
    with pytest.raises(AmbiguousAxesError, match=r"^test: .*\(--axes\): YXC, CYX, ZYX "):
        read(npy(random_values((5, 9, 13), np.int16)))


# --- nodata ------------------------------------------------------------------------------------


@pytest.mark.parametrize("nodata", [-9999.0, np.nan, -3.4028234663852886e38])
def test_nodata_in_all_bands_is_masked_in_some_is_missing(nodata):
    values = random_values((9, 13, 3), np.float32)
    values[1, 2, 0] = nodata
    values[3, 4] = nodata
    image = read(npy(values), nodata=nodata)
    assert np.argwhere(~image.mask).tolist() == [[3, 4]]
    assert np.argwhere(image.missing & image.mask[..., np.newaxis]).tolist() == [[1, 2, 0]]
    assert image.notes[0].startswith("1 pixels of nodata value ")
    assert image.notes[1].startswith("1 pixels have nodata value ")
    assert image.notes[1].endswith(" in some bands")
    assert not image.usable([0], complete=True)[1, 2]
    assert image.usable([1], complete=True)[1, 2]
    values[1, 2, 0] = 1
    assert read(npy(values), nodata=nodata).missing is None


@pytest.mark.parametrize("nodata", [-1, 256, 0.5, np.nan, np.inf])
def test_nodata_that_the_type_cannot_hold_masks_nothing(nodata):
    assert read(png(GREY, 0), nodata=nodata).mask is None


def test_gaps_turn_with_the_image(tmp_path):
    values = random_values((4, 6, 5), np.uint8) | np.uint8(1)
    values[0, 1, 3] = 0
    path = tmp_path / "a.tif"
    tifffile = pytest.importorskip("tifffile")
    tags = [(274, "H", 1, 6, True)]
    tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig", extratags=tags)
    image = read_image(path, ReadOptions(nodata=0))
    assert np.argwhere(image.missing).tolist() == np.argwhere(image.data == 0).tolist()
    assert image.missing.shape == (6, 4, 5)
    assert image.missing.flags.c_contiguous


def test_nodata_of_integers():
    values = GREY.copy()
    values[values == 5] = 6
    values[0, 1] = 5
    assert np.argwhere(~read(png(values, 0), nodata=5).mask).tolist() == [[0, 1]]
