"""Large TIFF files are mapped: the same values as in memory, and room that is asked for first."""

import errno
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

import gmmseg
from gmmseg.errors import ReadError, TooManyPixelsError
from gmmseg.io import ReadOptions, image_info, read_bytes, read_image
from gmmseg.io import scratch as scratch_module

SCENE = np.random.default_rng(0).integers(0, 60_000, (150, 170, 4)).astype(np.uint16)
BANDS = np.ascontiguousarray(np.moveaxis(SCENE, -1, 0))

TILES = {"tile": (64, 48), "compression": "zlib", "photometric": "minisblack"}
CONTIGUOUS = {"photometric": "minisblack", "planarconfig": "contig"}
KINDS = {
    "tiles": (SCENE, TILES | {"planarconfig": "contig"}),
    "tiles, predictor": (SCENE, TILES | {"planarconfig": "contig", "predictor": 2}),
    "tiles, big-endian": (SCENE, TILES | {"planarconfig": "contig", "byteorder": ">"}),
    "tiles, bands apart": (BANDS, TILES | {"planarconfig": "separate"}),
    "tiles, floats": (SCENE / np.float32(3), TILES | {"planarconfig": "contig"}),
    "strips": (SCENE, {"rowsperstrip": 7, "compression": "zlib"} | CONTIGUOUS),
    "plain": (SCENE, CONTIGUOUS),
    "plain, big-endian": (SCENE, {"byteorder": ">"} | CONTIGUOUS),
    "plain, bands apart": (BANDS, {"photometric": "minisblack", "planarconfig": "separate"}),
    "colours and alpha": (SCENE.astype(np.uint8), {"photometric": "rgb", "compression": "zlib"}),
    "stack": (BANDS, {"photometric": "minisblack", "compression": "zlib"}),
    "plain stack": (BANDS, {"photometric": "minisblack"}),
}


@pytest.fixture(name="all_are_large")
def large(monkeypatch):
    monkeypatch.setattr(scratch_module, "_SMALLEST", 1)


def written(folder, kind):
    path = folder / "scene.tif"
    values, how = KINDS[kind]
    tifffile.imwrite(path, values, **how)
    return path


def options_for(kind):
    apart = "stack" in kind
    return ReadOptions(axes="CYX" if apart else None, nodata=7.0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_as_in_memory(tmp_path, monkeypatch, kind):
    path = written(tmp_path, kind)
    held = read_image(path, options_for(kind))
    assert not isinstance(held.data, np.memmap)
    monkeypatch.setattr(scratch_module, "_SMALLEST", 1)
    mapped = read_image(path, options_for(kind))
    assert isinstance(mapped.data, np.memmap)
    piped = read_bytes(path.read_bytes(), "-", options_for(kind))
    for image in (mapped, piped):
        assert image.data.dtype == held.data.dtype
        assert image.data.dtype.isnative
        np.testing.assert_array_equal(image.data, held.data)
        np.testing.assert_array_equal(image.valid, held.valid)
        assert (image.notes, image.colour) == (held.notes, held.colour)


def test_plain_values_are_mapped_where_they_lie(tmp_path, all_are_large):
    path = written(tmp_path, "plain")
    assert read_image(path).data.filename == path
    assert read_image(written(tmp_path, "tiles")).data.filename != path


@pytest.mark.parametrize("kind", ["tiles", "plain"])
def test_fit_and_segment(tmp_path, all_are_large, kind):
    path = written(tmp_path, kind)
    model, same = gmmseg.fit([path], 2), gmmseg.fit([SCENE], 2)
    np.testing.assert_array_equal(model.mixture.means, same.mixture.means)
    labels = gmmseg.segment(path, 2).labels
    np.testing.assert_array_equal(labels, gmmseg.segment(SCENE, 2).labels)


def test_what_becomes_something_else_is_held(tmp_path, all_are_large):
    path = tmp_path / "inverted.tif"
    tifffile.imwrite(path, SCENE[..., 0], photometric="miniswhite", compression="zlib")
    assert not isinstance(read_image(path).data, np.memmap)
    kept = read_image(written(tmp_path, "colours and alpha"), ReadOptions(keep_alpha=True))
    assert not isinstance(kept.data, np.memmap)
    assert kept.n_bands == 4
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, BANDS, photometric="minisblack", compression="zlib")
    one = read_image(stack, ReadOptions(frame=2))
    np.testing.assert_array_equal(one.data[..., 0], BANDS[2])


def test_little_room_is_left_alone(tmp_path, all_are_large, monkeypatch):
    path = written(tmp_path, "tiles")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * SCENE.nbytes - 1))
    assert not isinstance(read_image(path).data, np.memmap)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * SCENE.nbytes))
    assert isinstance(read_image(path).data, np.memmap)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="there room is taken by writing")
def test_no_room_is_an_error_and_not_the_end(tmp_path, all_are_large, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ReadError, match=r"204000 bytes are needed .*No space left.*TMPDIR"):
        read_image(written(tmp_path, "tiles"))


def test_room_without_posix(monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr(scratch_module, "_CHUNK", 1000)
    array = scratch_module.scratch((33, 77), np.dtype(np.float64))
    assert not array.any()
    array[:] = 3
    assert array.sum() == 3 * 33 * 77


def test_the_limit_is_not_that_of_memory(tmp_path, all_are_large, monkeypatch):
    path = written(tmp_path, "tiles")
    monkeypatch.setattr("gmmseg.io.limits.free_memory", lambda: 1000)
    assert read_image(path).shape == SCENE.shape[:2]
    with pytest.raises(TooManyPixelsError, match="max-pixels"):
        read_image(path, ReadOptions(max_pixels=100))
    monkeypatch.setattr(scratch_module, "_SMALLEST", 1 << 40)
    with pytest.raises(TooManyPixelsError, match="max-pixels"):
        read_image(path)


def test_a_damaged_tile_is_an_error(tmp_path, all_are_large):
    path = written(tmp_path, "tiles")
    with tifffile.TiffFile(path) as tif:
        at = tif.pages[0].dataoffsets[2]
    content = bytearray(path.read_bytes())
    content[at : at + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(ReadError, match=r"cannot read .*scene\.tif"):
        read_image(path)
    assert image_info(path)["shape"] == [150, 170, 4]
