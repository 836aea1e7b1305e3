"""What is not an image, lies about itself or is damaged: one clear line, quickly, and no memory."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import GREY, RGB, bad_files, by_pillow, good_files, png
from PIL import Image as PillowImage

from gmmseg.errors import (
    GmmsegError,
    ImageWarning,
    InvalidParameterError,
    MissingFileError,
    ReadError,
    TooManyPixelsError,
    UnsupportedFormatError,
)
from gmmseg.image import Image
from gmmseg.io import (
    ReadOptions,
    image_info,
    limits,
    output_stem,
    printable,
    read_bytes,
    read_image,
)

# --- paths -------------------------------------------------------------------------------------


def test_missing_file():
    with pytest.raises(MissingFileError, match=r"There is no file no/such\.png\.") as caught:
        read_image("no/such.png")
    assert isinstance(caught.value, FileNotFoundError)


def test_folder(tmp_path):
    with pytest.raises(ReadError, match="it is a directory, not an image file"):
        read_image(tmp_path)


def test_empty_file(tmp_path):
    path = tmp_path / "a.png"
    path.touch()
    with pytest.raises(ReadError, match=r"cannot read .*a\.png: the file is empty"):
        read_image(path)


def test_pipe_is_refused_before_it_is_opened(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes in the file system")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ReadError, match="it is not a regular file"):
        read_image(tmp_path / "pipe")


def test_forbidden_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(png(GREY, 0))

    def forbidden(self, *_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(ReadError, match=r"cannot read .*a\.png: Permission denied"):
        read_image(path)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_impossible_name(name):
    with pytest.raises(ReadError, match="cannot read "):
        read_image(name)


@pytest.mark.parametrize("name", ["grün.png", "写真.png", "a b'\".png", "no_ending", "wrong.tif"])
def test_names_do_not_matter(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(png(GREY, 0))
    np.testing.assert_array_equal(read_image(path).data[..., 0], GREY)


def test_names_cannot_steer_the_terminal():
    with pytest.raises(MissingFileError) as caught:
        read_image("a\x1b[2J\n\u202egnp.b")
    assert r"a\x1b[2J\n\u202egnp.b" in str(caught.value)
    assert printable("plain ö") == "plain ö"


# --- what it is --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("script.png", r"script\.png is PostScript \(EPS\), which gmmseg does not read"),
        ("document.png", "is a PDF document"),
        ("archive.tif", "is a zip archive .* Unpack it first"),
        ("text.png", "is of an unknown kind, .*It reads PNG, JPEG, TIFF, BMP, WebP, GIF"),
        ("scan.nii.gz", "is compressed by gzip, and not NIfTI .* Unpack it first"),
    ],
)
def test_other_formats_are_named(name, message):
    with pytest.raises(UnsupportedFormatError, match=message):
        read_bytes(bad_files()[name], name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("huge.png", r"declares 100000 x 100000 \(YX\) = 10000000000 pixels, more than the limit"),
        ("tall.png", "2147483647 x 13"),
        ("huge.bmp", "1073741824 x 1073741824"),
        ("wide.tif", "9 x 2147483648"),
        ("high_deflate.tif", "1073741824 x 13"),
        ("huge.ppm", "9999999999 x 9999999999"),
    ],
)
def test_huge_headers_are_refused(name, message):
    with pytest.raises(TooManyPixelsError, match=message) as caught:
        read_bytes(bad_files()[name], name)
    assert "--max-pixels" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("large.png", r"declares 900000000 bytes of pixels, but .*compression: deflate"),
        ("deep_large.png", "declares 2400000000 bytes"),
        ("lying.bmp", "declares 2700000000 bytes"),
        ("large.tif", "declares 900000000 bytes of pixels, but the file holds only 117 bytes"),
        ("wide_tiled.tif", "is malformed|declares"),
        ("lying.pgm", "declares 900000000 bytes"),
        ("lying.npy", "declares 8000000000000 bytes"),
        ("negative.npy", r"declares a negative shape \(-1, 4\)"),
        ("objects.npy", "it holds object, but an image is made of"),
        ("complex.npy", "it holds complex128"),
        ("code.npy", "its header is malformed or cut short"),
        ("nested.npy", "its header is malformed or cut short"),
        ("five_axes.npy", "An image has two to four axes"),
        ("bad_type.png", "its header names a colour type 5"),
        ("no_pixels.png", "the file is damaged or cut short"),
        ("cut_deep.png", "the file is damaged or cut short"),
        ("cut_rgb.tif", "the file is cut short"),
    ],
)
def test_lies_are_found_before_decoding(name, message):
    with pytest.raises(ReadError, match=f"^cannot read {name}: .*({message})"):
        read_bytes(bad_files()[name], name, ReadOptions(max_pixels=2**40))


@pytest.mark.parametrize("name", bad_files())
def test_every_refusal_is_one_line(name):
    with pytest.raises(ReadError, match=r"^[^\n]{10,400}\.$"):
        read_bytes(bad_files()[name], name)


def test_npy_that_lies_on_disk(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(bad_files()["lying.npy"])
    with pytest.raises(ReadError, match="declares 8000000000000 bytes"):
        read_image(path)


def test_npy_of_another_version():
    with pytest.raises(ReadError, match=r"NPY version 3\.0 is only used for records"):
        read_bytes(b"\x93NUMPY\x03\x00" + bytes(100), "a")


def test_limit_of_the_user():
    assert read_bytes(png(GREY, 0), "a", ReadOptions(max_pixels=117)).n_pixels == 117
    for name, content in good_files().items():
        with pytest.raises(TooManyPixelsError, match="more than the limit of 3"):
            read_bytes(content, name, ReadOptions(max_pixels=3))


def test_memory_limits_the_pixels(monkeypatch):
    monkeypatch.setattr(limits, "free_memory", lambda: 2 * 3 * 100)
    with pytest.raises(TooManyPixelsError, match="more than the limit of 100"):
        read_bytes(png(RGB, 2), "a")


def test_pillows_own_limit_neither_stops_us_nor_is_changed(monkeypatch):
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 20)
    seen = []
    load = PillowImage.Image.load

    def spy(self):
        seen.append(PillowImage.MAX_IMAGE_PIXELS)
        return load(self)

    monkeypatch.setattr(PillowImage.Image, "load", spy)
    for name, content in good_files().items():
        read_bytes(content, name)
    assert PillowImage.MAX_IMAGE_PIXELS == 20
    assert None not in seen
    with pytest.raises(ReadError):
        read_bytes(bad_files()["cut_rgb.png"], "a")
    assert PillowImage.MAX_IMAGE_PIXELS == 20


def test_memory_that_is_free_is_known():
    assert 2**20 < limits.free_memory() < 2**50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": "XY"}, r"axes must be one of 'YX', .* got 'XY'"),
        ({"frame": -1}, "frame must be at least 0, got -1"),
        ({"frame": 1.0}, r"frame must be a whole number, got 1\.0"),
        ({"max_pixels": 0}, "max_pixels must be at least 1, got 0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InvalidParameterError, match=message):
        ReadOptions(**options)


# --- facts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", good_files())
def test_facts_agree_with_the_image(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(good_files()[name])
    facts, image = image_info(path), read_image(path, ReadOptions(exif=False, keep_alpha=False))
    assert json.loads(json.dumps(facts)) == facts
    assert facts["bytes"] == path.stat().st_size
    assert facts["dtype"] == image.data.dtype.name
    assert facts["bands"] == image.n_bands
    assert sorted(facts["shape"]) == sorted(n for n in image.data.shape if n > 1 or image.ndim < 2)


def test_facts_of_what_is_too_large(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(bad_files()["huge.png"])
    assert image_info(path)["shape"] == [100_000, 100_000]


def test_facts_of_damaged_files_are_errors_or_facts(tmp_path):
    path = tmp_path / "a"
    for content in bad_files().values():
        path.write_bytes(content)
        with contextlib.suppress(ReadError):
            assert image_info(path)["format"]


def test_facts_tell_of_orientation_and_frames(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(good_files()["exif.png"])
    assert image_info(path)["orientation"] == 6
    picture = PillowImage.fromarray(GREY)
    path.write_bytes(by_pillow(picture, "GIF", save_all=True, append_images=[picture.rotate(90)]))
    assert image_info(path)["frames"] == 2
    with pytest.raises(ReadError, match="cannot read frame 2"):
        image_info(path, ReadOptions(frame=2))


# --- silence -----------------------------------------------------------------------------------


def test_no_noise_from_the_decoders(capfd, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ImageWarning)
        for name, content in (bad_files() | good_files()).items():
            with contextlib.suppress(ReadError):
                read_bytes(content, name)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_warnings_of_others_are_still_seen_and_filters_put_back():
    before = list(warnings.filters)
    threads = [
        threading.Thread(target=read_bytes, args=(content, name))
        for name, content in good_files().items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


_MEMORY = 3 * 2**30
_ALL_BAD_FILES = """
import resource, sys, warnings
from pathlib import Path
import PIL.Image, tifffile, numpy
from gmmseg.errors import ReadError
from gmmseg.io import read_image
warnings.simplefilter("ignore")
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
for path in sorted(Path(sys.argv[2]).iterdir()):
    try:
        read_image(path)
        print("READ", path.name)
    except ReadError:
        pass
    except BaseException as error:
        print(type(error).__name__, path.name)
print("done")
"""


def test_every_bad_file_ends_in_a_read_error_without_memory(tmp_path):
    pytest.importorskip("resource")
    for name, content in bad_files().items():
        (tmp_path / name).write_bytes(content)
    found = subprocess.run(
        [sys.executable, "-c", _ALL_BAD_FILES, str(_MEMORY), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert found.stdout == "done\n"
    assert found.stderr == ""


# --- any bytes ---------------------------------------------------------------------------------

_edits = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "delete", "insert", "max"]),
        st.integers(0, 2**16),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=6,
)


def _edited(content, edits):
    content = bytearray(content)
    for kind, at, value in edits:
        at %= max(1, len(content))
        if kind == "set":
            content[at : at + 1] = [value]
        elif kind == "max":
            content[at : at + 4] = b"\xff\xff\xff\x7f"
        elif kind == "cut":
            del content[at + 1 :]
        elif kind == "delete":
            del content[at : at + value % 20]
        else:
            content[at:at] = [value] * (value % 9)
    return bytes(content)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(sorted(good_files())), edits=_edits)
def test_damaged_files_give_an_image_or_our_error(name, edits):
    content = _edited(good_files()[name], edits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)
        with contextlib.suppress(GmmsegError):
            assert isinstance(read_bytes(content, name, ReadOptions(max_pixels=10**6)), Image)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=64), st.sampled_from(sorted(good_files())))
def test_any_bytes_behind_a_magic(tail, name):
    with pytest.raises(GmmsegError):
        read_bytes(good_files()[name][:8] + tail, name, ReadOptions(max_pixels=10**6))


@pytest.mark.parametrize("gap", [b" ", b"\n", b" \t", b"# a comment\n", b"#\n \n"])
@pytest.mark.parametrize("begin", [b"P5", b"P5 3", b"P5 3 4"])
def test_long_gaps_in_a_header_are_passed_at_once(gap, begin):
    """A header of blanks once took for ever."""
    with pytest.raises(GmmsegError):  # malformed, or of no format that is known
        read_bytes(begin + gap * 1000 + b"x", "blanks.pgm")


# --- names of outputs --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a/b/scan.nii.gz", "scan"),
        ("cells.ome.tif", "cells"),
        ("cells.OME.TIFF", "cells"),
        ("plate.ome.zarr", "plate"),
        ("data.tar.gz", "data"),
        ("photo.v1.2.jpg", "photo.v1.2"),
        ("photo", "photo"),
        (".hidden", ".hidden"),
        (".nii.gz", ".nii"),
    ],
)
def test_stems(name, stem):
    assert output_stem(name) == stem


def test_import_is_cheap():
    heavy = ["cv2", "PIL", "tifffile", "scipy", "numba"]
    code = f"import sys, gmmseg.io; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
