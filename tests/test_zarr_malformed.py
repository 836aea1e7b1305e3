"""Zarr from strangers: clear errors, nothing outside of the folder, memory that stays flat."""

import json
import os
import struct
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmseg.errors import GmmsegError, MissingFileError, ReadError, UnsupportedFormatError
from gmmseg.io import image_info, read_image
from gmmseg.io.scenes import open_scene

zarr = pytest.importorskip("zarr")

from zarr_files import landscape, ome_zarr, rewrite  # noqa: E402


@pytest.fixture
def image(tmp_path):
    return ome_zarr(tmp_path / "a.zarr", landscape(20, 30), levels=2)


@pytest.fixture
def array(tmp_path):
    zarr.create_array(str(tmp_path / "v3"), data=landscape(20, 30)[0], chunks=(8, 8))
    return tmp_path / "v3"


@pytest.fixture
def old(tmp_path):
    zarr.create_array(str(tmp_path / "v2"), data=landscape(20, 30)[0], chunks=(8, 8),
                      zarr_format=2)  # fmt: skip
    return tmp_path / "v2"


def refused(path, match, error=ReadError):
    """By the reader, by the scene and by info, without large allocations."""
    tracemalloc.start()
    try:
        for door in (read_image, lambda p: open_scene([p])):
            with pytest.raises(error, match=match):
                door(path)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


def dataset(found):
    return found["attributes"]["ome"]["multiscales"][0]["datasets"][0]


@pytest.mark.parametrize(
    "word",
    ["../../x", "s0/../../x", "/etc", "https://example.org/a", "C:\\x", "..", "", ".", "a//b",
     "s3:bucket", 7, None, ["s0"], "a\0b"],
)  # fmt: skip
def test_paths_that_lead_elsewhere(image, word):
    rewrite(image, lambda found: dataset(found).update(path=word))
    refused(image, "which is not a path in it")


def test_links_that_lead_elsewhere(image, tmp_path):
    zarr.create_array(str(tmp_path / "other"), data=landscape(20, 30))
    (image / "link").symlink_to(tmp_path / "other")
    rewrite(image, lambda found: dataset(found).update(path="link"))
    refused(image, "a link that leads out of it")


def test_a_path_to_nothing_and_to_a_group(image):
    rewrite(image, lambda found: dataset(found).update(path="nowhere"))
    refused(image, "There is no file", MissingFileError)
    zarr.create_group(str(image / "inner"))
    rewrite(image, lambda found: dataset(found).update(path="inner"))
    refused(image, "should be an array, but is a group")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"multiscales": {}}, "an?d? ?.*(group|image)"),
        ({"multiscales": [7]}, "multiscales in its metadata"),
        ({"multiscales": [{}]}, "datasets in its metadata"),
        ({"multiscales": [{"axes": 5}]}, "axes in its metadata"),
        ({"multiscales": [{"axes": [{"name": 5}]}]}, "axes in its metadata"),
        ({"multiscales": [{"datasets": [5]}]}, "datasets in its metadata"),
        ({"multiscales": [{"datasets": [{"path": "s0"}] * 65}]}, "datasets in its metadata"),
        ({"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "s0"}]}]}, "3 axes, but"),
    ],
)
def test_odd_metadata_of_ome(image, change, match):
    rewrite(image, lambda found: found["attributes"]["ome"].update(change))
    refused(image, match)


@pytest.mark.parametrize(
    "told",
    [5, [5], [{"type": "scale"}], [{"type": "scale", "scale": [1, 2]}],
     [{"type": "scale", "scale": [1, 0, 1]}], [{"type": "scale", "scale": [1, -2, 1]}],
     [{"type": "scale", "scale": ["1", 1, 1]}], [{"type": "scale", "scale": [1, float("inf"), 1]}],
     [{"type": "translation", "translation": [0, float("nan"), 0]}]],
)  # fmt: skip
def test_odd_transformations(image, told):
    rewrite(image, lambda found: dataset(found).update(coordinateTransformations=told))
    refused(image, "coordinateTransformations in its metadata")


@pytest.mark.parametrize(
    ("attributes", "match"),
    [
        ({"plate": {"wells": [{"path": "B/2"}]}}, r"plate of many images.*v/B/2/0"),
        ({"plate": 5}, "plate of many images.*A/1/0"),
        ({"well": {}}, r"is a well. Name one of its images: \S*v/0"),
        ({"bioformats2raw.layout": 3}, r"list of images. Name one of them: \S*v/0"),
        ({"labels": ["cells", 7]}, r"list of label maps. Name one of them: \S*v/cells\."),
        ({}, r"that OME-Zarr does not describe. Name one of: \S*v/0"),
    ],
)
@pytest.mark.parametrize("version", [2, 3])
def test_groups_that_are_no_image(tmp_path, attributes, match, version):
    path = tmp_path / "v"
    found = {"ome": {"version": "0.5", **attributes}} if version == 3 else attributes
    group = zarr.create_group(str(path), zarr_format=version, attributes=found)
    group.create_array("0", shape=(4, 4), dtype="u1")
    refused(path, match, UnsupportedFormatError)
    with pytest.raises(UnsupportedFormatError, match=match):
        image_info(path)


def test_folders_with_nothing_in_them(tmp_path):
    zarr.create_group(str(tmp_path / "a"))
    refused(tmp_path / "a", "empty Zarr group", UnsupportedFormatError)
    (tmp_path / "b.zarr").mkdir()
    refused(tmp_path / "b.zarr", "has none of them")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[1]", "no JSON object"),
        (b"[" * 200_000, "nested too deeply"),
        (b"{}", "not that of version 3"),
        (b'{"zarr_format": 3, "node_type": "array"}', "malformed"),
        (b'{"zarr_format": 3, "node_type": "group", "attributes": 5}', "attributes are malformed"),
    ],
)
def test_metadata_that_are_damaged(array, text, match):
    (array / "zarr.json").write_bytes(text)
    refused(array, match)


def test_metadata_without_end(array):
    with (array / "zarr.json").open("r+b") as file:
        file.truncate(1 << 40)  # a file with a hole
    refused(array, "more than 16777216 bytes")


def chunk_shape(n):
    return {"name": "regular", "configuration": {"chunk_shape": n}}


ODD = [
    ({"shape": [2**40, 2**40]}, "declares 1208925819614629174706176 values"),
    ({"shape": [-1, 4]}, "shape or that of its chunks is malformed"),
    ({"shape": [True, 4]}, "shape or that of its chunks is malformed"),
    ({"shape": [4.5, 4]}, "shape or that of its chunks is malformed"),
    ({"shape": 4}, "shape or that of its chunks is malformed"),
    ({"shape": [4]}, "not the same number of axes"),
    ({"shape": [0, 4]}, "it is empty"),
    ({"shape": [1] * 40}, "shape or that of its chunks is malformed"),
    ({"chunk_grid": chunk_shape([0, 4])}, "shape or that of its chunks is malformed"),
    ({"chunk_grid": chunk_shape([2**20, 2**20])}, "more than half of the free memory"),
    ({"chunk_grid": 5}, "malformed"),
    ({"data_type": "complex64"}, "holds complex64, but an image"),
    ({"data_type": "string"}, "holds string, but an image"),
    ({"data_type": {"name": "numpy.datetime64"}}, "but an image is made of"),
    ({"codecs": [{"name": "bytes"}, {"name": "pickle"}]}, "packed by 'pickle'"),
    ({"codecs": [{"name": "numcodecs.pickle"}]}, "packed by 'pickle'"),
    ({"codecs": 5}, "malformed"),
    ({"codecs": [{"name": "sharding_indexed"}]}, "malformed"),
]


@pytest.mark.parametrize(("change", "match"), ODD)
def test_odd_arrays_of_version_3(array, change, match):
    refused(rewrite(array, lambda found: found.update(change)), match)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"dtype": "|O", "filters": [{"id": "pickle"}]}, r"holds \|O, but an image"),
        ({"dtype": [["a", "<i4"]]}, "but an image is made of"),
        ({"dtype": "nonsense"}, "holds nonsense"),
        ({"dtype": "<M8[s]"}, "but an image is made of"),
        ({"filters": [{"id": "pickle"}]}, "packed by 'pickle'"),
        ({"filters": [{"id": "json2"}]}, "packed by 'json2'"),
        ({"compressor": {"id": "evil"}}, "packed by 'evil'"),
        ({"compressor": 5}, "malformed"),
        ({"chunks": [2**30, 2**30]}, "more than half of the free memory"),
        ({"shape": [2**62, 2]}, "declares"),
    ],
)
def test_odd_arrays_of_version_2(old, change, match):
    refused(rewrite(old, lambda found: found.update(change), ".zarray"), match)


def test_wide_rows_of_chunks_do_not_fill_the_memory(old):
    rewrite(old, lambda found: found.update(shape=[4096, 2**36], chunks=[4096, 8]), ".zarray")
    with pytest.raises(ReadError, match="chunks of 4096 rows, which over its width"):
        open_scene([old])
    with pytest.raises(ReadError, match="more than the limit"):
        read_image(old)


# --- chunks -------------------------------------------------------------------------------------


def packed(tmp_path, compressor, content, form=2):
    """An array of one chunk of 4096 bytes, with this as its file."""
    path = tmp_path / "p"
    array = zarr.create_array(
        str(path), shape=(64, 64), chunks=(64, 64), dtype="u1", zarr_format=form,
        compressors=compressor,
    )  # fmt: skip
    array[...] = 1
    chunk = path / ("0.0" if form == 2 else "c/0/0")
    assert chunk.exists()
    chunk.write_bytes(content)
    return path


def fails(path, match):
    tracemalloc.start()
    try:
        with pytest.raises(ReadError, match=match):
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


def test_chunks_that_become_larger_than_their_values(tmp_path):
    import numcodecs

    many = bytes(64 << 20)
    bombs = {
        "gzip": zlib.compressobj(9, zlib.DEFLATED, 31),
        "zlib": zlib.compressobj(9),
    }
    codecs = {"gzip": numcodecs.GZip(), "zlib": numcodecs.Zlib()}
    for name, pack in bombs.items():
        content = pack.compress(many) + pack.flush()
        fails(packed(tmp_path / name, codecs[name], content), "would become larger than the 4096")
    del many
    lies = {
        "blosc": (numcodecs.Blosc(), b"\x02\x01\x21\x01" + struct.pack("<III", 2**31, 0, 40)),
        "lz4": (numcodecs.LZ4(), struct.pack("<I", 2**31 - 9) + bytes(40)),
        "zstd": (numcodecs.Zstd(), b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 2**40) + bytes(9)),
        "endless": (numcodecs.Zstd(), b"\x28\xb5\x2f\xfd\x00\x58" + bytes(40)),
    }
    for name, (codec, content) in lies.items():
        fails(packed(tmp_path / name, codec, content), "would become larger than the 4096")


@pytest.mark.parametrize("form", [2, 3])
def test_chunks_that_are_damaged(tmp_path, form):
    for i, content in enumerate([b"", b"abc", bytes(100), b"\x28\xb5\x2f\xfd" + bytes(30)]):
        fails(packed(tmp_path / str(i), "auto", content, form), "cannot read")


def test_chunks_with_holes_and_pipes(tmp_path):
    path = packed(tmp_path, "auto", b"")
    with (path / "0.0").open("r+b") as file:
        file.truncate(1 << 40)
    fails(path, "has 1099511627776 bytes, but values of only 4096")
    (path / "0.0").unlink()
    os.mkfifo(path / "0.0")
    fails(path, "is not a regular file")


def test_ordinary_chunks_of_every_codec_are_read(tmp_path):
    import numcodecs

    x = landscape(60, 70, 1)[0]
    codecs = [numcodecs.Blosc(), numcodecs.Zstd(), numcodecs.GZip(), numcodecs.Zlib(),
              numcodecs.LZ4(), numcodecs.BZ2(), None]  # fmt: skip
    for i, codec in enumerate(codecs):
        path = tmp_path / str(i)
        zarr.create_array(str(path), data=x, chunks=(16, 16), zarr_format=2, compressors=codec,
                          filters=[numcodecs.Delta("u2")])  # fmt: skip
        assert np.array_equal(read_image(path).data[..., 0], x)


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


def places(found, at=()):
    """Where in JSON something could be changed."""
    pairs = found.items() if isinstance(found, dict) else enumerate(found)
    for key, value in pairs:
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from places(value, (*at, key))


@settings(max_examples=150)
@given(data=st.data())
def test_any_metadata_are_read_or_refused(tmp_path_factory, data):
    """Whatever stands in a place of the metadata of a group or an array, of either version."""
    version = data.draw(st.sampled_from(["0.4", "0.5"]))
    path = tmp_path_factory.mktemp("a") / "a.zarr"
    ome_zarr(path, landscape(8, 9), version=version, levels=1, names=("a", "b", "c"))
    names = ["zarr.json"] if version == "0.5" else [".zattrs", ".zarray"]
    name = data.draw(st.sampled_from(names))
    folder = path / "s0" if name == ".zarray" else path
    folder = data.draw(st.sampled_from([path, path / "s0"])) if version == "0.5" else folder
    found = json.loads((folder / name).read_text())
    place = data.draw(st.sampled_from(list(places(found))))
    inner = found
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = data.draw(odd)
    (folder / name).write_text(json.dumps(found))
    for door in (read_image, image_info):
        with suppress(GmmsegError):
            door(path)


def test_names_cannot_steer_the_terminal(image):
    rewrite(image, lambda found: dataset(found).update(path="../\x1b[2J"))
    with pytest.raises(ReadError) as caught:
        read_image(image)
    assert "\x1b" not in str(caught.value)
    assert json.dumps(str(caught.value)).isascii()
