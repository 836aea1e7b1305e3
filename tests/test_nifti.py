"""NIfTI files: read and written as nibabel and SimpleITK do, within bounds."""

import gzip
import struct
import subprocess
import sys
import zlib

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from gmmseg.errors import (
    AmbiguousAxesError,
    ImageWarning,
    InvalidDataError,
    InvalidParameterError,
    OutputExistsError,
    ReadError,
    TooManyPixelsError,
)
from gmmseg.image import Image
from gmmseg.io import ReadOptions, image_info, read_bytes, read_image, write_nifti
from gmmseg.io.gzip_stream import GzipReader
from gmmseg.io.streamed import Streamed
from gmmseg.placement import Placement

SHAPE = (7, 6, 5)  # columns, rows, planes


def oblique():
    """A rotation about a skew axis, with sizes 1, 2 and 3."""
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    cross = np.cross(np.eye(3), axis)
    rotation = np.eye(3) + np.sin(0.5) * cross + (1 - np.cos(0.5)) * cross @ cross
    affine = np.eye(4)
    affine[:3, :3] = rotation * [1.0, 2.0, 3.0]
    affine[:3, 3] = -10.5, 20.25, 3.0
    return affine


AFFINES = {
    "RAS": np.diag([1.0, 1.5, 2.0, 1.0]),
    "LPS": np.diag([-1.0, -1.5, 2.0, 1.0]),
    "PIR": np.array([[0.0, 0, 3, 1], [-1, 0, 0, 2], [0, -2, 0, 3], [0, 0, 0, 1]]),
    "oblique": oblique(),
}
TYPES = ("u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8")


def values_of(dtype, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def saved(path, data, affine=AFFINES["RAS"], kind=nibabel.Nifti1Image, **fields):
    image = kind(data, affine)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


@pytest.fixture
def scan(tmp_path):
    return saved(tmp_path / "scan.nii.gz", values_of("u1"))


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("dtype", TYPES)
def test_values_are_those_of_nibabel(tmp_path, dtype, kind, ending):
    data = values_of(dtype)
    image = read_image(saved(tmp_path / f"a{ending}", data, oblique(), kind))
    assert image.data.dtype == data.dtype
    assert np.array_equal(image.data[..., 0], data.T)
    assert np.array_equal(image.placement.matrix, nibabel.load(tmp_path / f"a{ending}").affine)
    assert image.unit == "mm"
    assert image.spacing == pytest.approx((3, 2, 1))


@pytest.mark.parametrize("dtype", [">i2", ">f4"])
def test_the_other_byte_order(tmp_path, dtype):
    data = values_of(dtype)
    header = nibabel.Nifti1Header(endianness=">")
    nibabel.save(nibabel.Nifti1Image(data, oblique(), header), tmp_path / "a.nii")
    image = read_image(tmp_path / "a.nii")
    assert image.data.dtype.isnative
    assert np.array_equal(image.data[..., 0], data.T)
    write_nifti(tmp_path / "b.nii.gz", image.data[..., 0], placement=image.placement)
    written = nibabel.load(tmp_path / "b.nii.gz")
    assert written.header.endianness == ">"
    assert np.array_equal(np.asarray(written.dataobj), data)


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_scaling_is_honoured(tmp_path, dtype):
    image = nibabel.Nifti1Image(values_of(dtype), np.eye(4))
    image.header.set_slope_inter(0.25, -3)
    nibabel.save(image, tmp_path / "a.nii.gz")
    found = read_image(tmp_path / "a.nii.gz")
    assert found.data.dtype == np.float32
    assert np.array_equal(found.data[..., 0].T, nibabel.load(tmp_path / "a.nii.gz").get_fdata())
    assert any("scaled by 0.25" in note for note in found.notes)


@pytest.mark.parametrize(
    "fields",
    [
        {"sform_code": 0, "qform_code": 1},
        {"sform_code": 0, "qform_code": 0},
        {"sform_code": 2, "qform_code": 1},
    ],
)
@pytest.mark.parametrize("name", AFFINES)
def test_which_affine_counts_is_as_in_nibabel(tmp_path, name, fields):
    image = nibabel.Nifti1Image(values_of("u1"), AFFINES[name])
    image.set_qform(AFFINES[name])
    for field, value in fields.items():
        image.header[field] = value
    data = image.header.binaryblock + b"\0" * 4 + bytes(np.prod(SHAPE))
    data = bytearray(data)
    struct.pack_into("<f", data, 108, 352)
    data[344:348] = b"n+1\0"
    (tmp_path / "a.nii").write_bytes(data)
    expected = nibabel.load(tmp_path / "a.nii").affine
    assert np.allclose(read_image(tmp_path / "a.nii").placement.matrix, expected, atol=1e-5)


def test_a_single_plane_is_a_picture(tmp_path):
    data = values_of("i2", (7, 6, 1))
    image = read_image(saved(tmp_path / "a.nii", data))
    assert image.shape == (6, 7)
    assert image.spacing == (1.5, 1.0)
    write_nifti(tmp_path / "b.nii", image.data[..., 0], placement=image.placement)
    assert np.array_equal(np.asarray(nibabel.load(tmp_path / "b.nii").dataobj), data)


def test_a_plain_file_is_mapped(tmp_path):
    assert isinstance(read_image(saved(tmp_path / "a.nii", values_of("f4"))).data.base, np.memmap)


def test_colours(tmp_path):
    rgb = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    rgb["G"] = values_of("u1")
    image = read_image(saved(tmp_path / "a.nii.gz", rgb))
    assert image.colour
    assert np.array_equal(image.data[..., 1], values_of("u1").T)


def test_four_dimensions_are_told_not_guessed(tmp_path):
    data = values_of("i2", (*SHAPE, 2))
    path = saved(tmp_path / "a.nii.gz", data)
    with pytest.raises(AmbiguousAxesError, match=r"holds 2 volumes.*--axes CZYX.*--frame N"):
        read_image(path)
    both = read_image(path, ReadOptions(axes="CZYX"))
    assert np.array_equal(both.data, np.moveaxis(data.T, 0, -1))
    second = read_image(path, ReadOptions(frame=1))
    assert np.array_equal(second.data[..., 0], data[..., 1].T)
    with pytest.raises(ReadError, match=r"frame 2 of .* it holds 2"):
        read_image(path, ReadOptions(frame=2))


def test_axes_of_a_volume_are_known(scan):
    assert read_image(scan, ReadOptions(axes="ZYX")).shape == SHAPE[::-1]
    with pytest.raises(InvalidParameterError, match=r"the axes of .* are ZYX"):
        read_image(scan, ReadOptions(axes="CYX"))


def test_from_bytes(scan):
    image = read_bytes(scan.read_bytes(), "-")
    assert np.array_equal(image.data, read_image(scan).data)
    plain = gzip.decompress(scan.read_bytes())
    assert np.array_equal(read_bytes(plain, "-").data, image.data)


def test_info(scan):
    facts = image_info(scan)
    assert facts["format"] == "NIfTI-1"
    assert facts["shape"] == [5, 6, 7]
    assert facts["axes"] == "ZYX"
    assert facts["orientation_of_axes"] == "RAS"
    assert facts["spacing"] == [2.0, 1.5, 1.0]


def test_sizes_that_make_no_sense_are_those_of_the_affine(tmp_path):
    path = saved(tmp_path / "a.nii", values_of("u1"))
    data = bytearray(path.read_bytes())
    struct.pack_into("<3f", data, 80, 0, -1, np.nan)
    path.write_bytes(data)
    image = read_image(path)
    assert image.spacing == (2.0, 1.5, 1.0)
    assert any("sizes of voxels" in note for note in image.notes)


@pytest.mark.parametrize(("code", "unit"), [(1, "m"), (2, "mm"), (3, "µm"), (0, "mm")])
def test_units(tmp_path, code, unit):
    assert read_image(saved(tmp_path / "a.nii", values_of("u1"), xyzt_units=code)).unit == unit


def test_members_of_gzip_are_joined(tmp_path, scan):
    plain = gzip.decompress(scan.read_bytes())
    path = tmp_path / "two.nii.gz"
    path.write_bytes(gzip.compress(plain[:400]) + gzip.compress(plain[400:]))
    assert np.array_equal(read_image(path).data, read_image(scan).data)


def test_without_isal_zlib_unpacks(monkeypatch, scan):
    expected = read_image(scan).data
    monkeypatch.setitem(sys.modules, "isal", None)
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    assert np.array_equal(read_image(scan).data, expected)


# --- files that lie ----------------------------------------------------------------------------


def changed(path, at, layout, *values):
    """The unpacked file with another value in its header."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into(layout, data, at, *values)
    return bytes(data)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("at", "layout", "values", "message"),
    [
        (40, "<4h", (3, 32000, 32000, 32000), "declares 32000 x 32000 x 32000 .*--max-pixels"),
        (40, "<4h", (3, 90, 90, 90), r"cut short or its header is wrong"),
        (40, "<4h", (3, 7, -6, 5), r"declares the dimensions \[3, 7, -6, 5"),
        (40, "<h", (8,), "which make no image"),
        (40, "<6h", (5, 7, 1, 1, 1, 30), "it has 5 dimensions"),
        (70, "<h", (32,), r"of type 32 \(complex\)"),
        (70, "<h", (77,), r"of type 77 \(unknown\)"),
        (108, "<f", (1e30,), "bytes before the voxels, more than the limit"),
        (108, "<f", (-5.0,), "declares voxels at byte -5"),
        (108, "<f", (float("nan"),), "declares voxels at byte nan"),
        (280, "<f", (float("inf"),), "its affine is malformed"),
        (280, "<12f", (0.0,) * 12, "its affine is malformed"),
        (344, "4s", (b"ni1\0",), "pair of .hdr and .img"),
    ],
)
def test_a_lying_header_is_an_error(scan, at, layout, values, message, packed):
    data = changed(scan, at, layout, *values)
    with pytest.raises(ReadError, match=message):
        read_bytes(gzip.compress(data) if packed else data, "scan.nii")


def test_the_limit_counts(scan):
    with pytest.raises(TooManyPixelsError, match="more than the limit of 10"):
        read_image(scan, ReadOptions(max_pixels=10))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_is_cut_short(scan, share):
    data = scan.read_bytes()
    with pytest.raises(ReadError, match=r"cannot read scan|compressed by gzip"):
        read_bytes(data[: int(share * len(data))], "scan.nii.gz")


def test_a_damaged_gzip_file(scan):
    data = bytearray(scan.read_bytes())
    data[-6] ^= 1  # in the checksum
    with pytest.raises(ReadError, match="the gzip file is damaged"):
        read_bytes(bytes(data), "scan.nii.gz")


def test_what_follows_the_voxels_is_told(scan):
    data = gzip.compress(gzip.decompress(scan.read_bytes()) + b"more")
    with pytest.warns(ImageWarning, match="bytes that follow the voxels"):
        image = read_bytes(data, "scan.nii.gz")
    assert np.array_equal(image.data, read_image(scan).data)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_bomb_is_read_within_bounds(tmp_path, scan):
    """A gigabyte of zeros behind a small volume, and before one."""
    plain = gzip.decompress(scan.read_bytes())
    late = bytearray(plain)
    struct.pack_into("<f", late, 108, float(60 << 20))
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush()
    (tmp_path / "behind.nii.gz").write_bytes(scan.read_bytes() + zeros)
    (tmp_path / "before.nii.gz").write_bytes(gzip.compress(bytes(late)) + zeros)
    code = (
        "import sys, warnings; from pathlib import Path; from gmmseg.io import read_image\n"
        "warnings.simplefilter('ignore')\n"
        "for name in sys.argv[1:]:\n"
        "    print(read_image(name).shape)\n"
        "status = Path('/proc/self/status').read_text().split()\n"
        "print(int(status[status.index('VmHWM:') + 1]) // 1024)"
    )
    words = [sys.executable, "-c", code, tmp_path / "behind.nii.gz", tmp_path / "before.nii.gz"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")
    assert shown[:2] == ["(5, 6, 7)"] * 2
    assert int(shown[2]) < 150  # MiB


@given(st.binary(max_size=400), st.integers(0, 400))
def test_any_change_of_a_file_is_an_error_or_an_image(noise, at):
    header = bytearray(nibabel.Nifti1Image(values_of("u1"), np.eye(4)).header.binaryblock)
    header[344:348] = b"n+1\0"
    data = header + b"\0" * 4 + values_of("u1").tobytes()
    data[at : at + len(noise)] = noise
    try:
        image = read_bytes(bytes(data), "a.nii", ReadOptions(max_pixels=10_000))
    except (ReadError, InvalidParameterError):
        return
    assert isinstance(image, Image)


def test_a_gzip_reader_gives_what_is_there(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"0123456789"))
    with (tmp_path / "a.gz").open("rb") as file:
        reader, buffer = GzipReader(file, "a"), bytearray(20)
        reader.skip(3)
        assert reader.fill(memoryview(buffer)) == 7
        assert buffer[:7] == b"3456789"


# --- writing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("name", AFFINES)
def test_a_round_trip_keeps_the_place_to_the_last_bit(tmp_path, name, kind, ending):
    source = saved(tmp_path / "in.nii", values_of("i2"), AFFINES[name], kind, descrip=b"J. Doe")
    image = read_image(source)
    labels = (image.data[..., 0] > 50).astype(np.uint8) + 1
    path = tmp_path / f"out{ending}"
    write_nifti(path, labels, placement=image.placement, labels=True, name="tissue")
    was, now = nibabel.load(source), nibabel.load(path)
    for field in ("qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x", "pixdim"):
        assert np.array_equal(was.header[field], now.header[field])
    assert np.array_equal(was.affine, now.affine)
    assert np.array_equal(np.asarray(now.dataobj), labels.T)
    assert type(now) is kind
    assert int(now.header["intent_code"]) == 1002
    assert now.get_data_dtype() == np.uint8
    assert b"Doe" not in (path.read_bytes() if ending == ".nii" else b"")
    again = read_image(path)
    assert again.spacing == image.spacing
    assert again.placement.matrix.tolist() == image.placement.matrix.tolist()


@pytest.mark.parametrize("name", AFFINES)
def test_simpleitk_sees_the_same_place_and_values(tmp_path, name):
    affine = AFFINES[name]
    labels = values_of("u1").T.copy()
    placement = Placement.of_affine(affine)
    write_nifti(tmp_path / "a.nii.gz", labels, placement=placement, labels=True)
    image = SimpleITK.ReadImage(str(tmp_path / "a.nii.gz"))
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), labels)
    for index in [(0, 0, 0), (6, 0, 0), (2, 5, 4)]:
        point = np.array(image.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
        assert point == pytest.approx((affine @ [*index, 1])[:3], abs=1e-4)


@pytest.mark.parametrize("name", AFFINES)
def test_a_new_header_has_both_affines(tmp_path, name):
    write_nifti(tmp_path / "a.nii", values_of("f4").T, placement=Placement.of_affine(AFFINES[name]))
    header = nibabel.load(tmp_path / "a.nii").header
    assert np.allclose(header.get_qform(), AFFINES[name], atol=1e-5)
    assert np.allclose(header.get_sform(), AFFINES[name], atol=1e-5)


def test_a_sheared_affine_has_no_rotation(tmp_path):
    affine = np.eye(4)
    affine[0, 1] = 0.5
    write_nifti(tmp_path / "a.nii", values_of("f4").T, placement=Placement.of_affine(affine))
    header = nibabel.load(tmp_path / "a.nii").header
    assert int(header["qform_code"]) == 0
    assert np.array_equal(nibabel.load(tmp_path / "a.nii").affine, affine)


def test_bands_are_the_fourth_dimension(tmp_path):
    values = np.random.default_rng(0).random((5, 6, 7, 3)).astype(np.float32)

    def make(step, band):
        return (values[i : i + step, ..., band] for i in range(0, 5, step))

    placement = Placement.of_affine(oblique())
    for name, data in (("a", values), ("b", Streamed(values.shape, values.dtype, make))):
        write_nifti(tmp_path / f"{name}.nii.gz", data, placement=placement, bands=True)
        found = nibabel.load(tmp_path / f"{name}.nii.gz")
        assert np.array_equal(np.asarray(found.dataobj), np.moveaxis(values, -1, 0).T)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize(("most", "dtype"), [(300, np.int16), (40_000, np.uint16)])
def test_labels_are_int16_when_they_fit(tmp_path, most, dtype):
    labels = np.full((2, 3, 4), most, np.uint16)
    write_nifti(tmp_path / "a.nii", labels, labels=True)
    assert nibabel.load(tmp_path / "a.nii").get_data_dtype() == dtype


def test_without_a_place_the_centre_is_at_the_origin(tmp_path):
    write_nifti(tmp_path / "a.nii", np.zeros((3, 5, 7), np.uint8), spacing=(4.0, 2.0, 1.0))
    image = nibabel.load(tmp_path / "a.nii")
    assert (image.affine @ [3, 2, 1, 1])[:3].tolist() == [0, 0, 0]
    assert [float(size) for size in image.header.get_zooms()] == [1, 2, 4]


def test_long_axes_need_nifti_2(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", np.zeros((40_000, 2), np.uint8))
    assert isinstance(nibabel.load(tmp_path / "a.nii.gz"), nibabel.Nifti2Image)


def test_large_volumes_are_packed_in_strips(tmp_path):
    values = np.arange(3_000_000, dtype=np.float32).reshape(3, 1000, 1000)
    write_nifti(tmp_path / "a.nii.gz", values)
    assert np.array_equal(np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj).T, values)
    assert np.array_equal(read_image(tmp_path / "a.nii.gz").data[..., 0], values)


@pytest.mark.parametrize("values", [np.zeros((2, 2), bool), np.zeros(3), np.zeros((0, 2, 2))])
def test_what_cannot_be_written(tmp_path, values):
    with pytest.raises(InvalidDataError, match="A NIfTI file holds integers or floats"):
        write_nifti(tmp_path / "a.nii", values)


def test_what_exists_stays(scan):
    with pytest.raises(OutputExistsError, match="exists already"):
        write_nifti(scan, np.zeros((2, 2, 2), np.uint8))


# --- the place ---------------------------------------------------------------------------------


def test_the_names_of_orientations():
    assert Placement.of_affine(AFFINES["PIR"]).orientation == "PIR"
    assert Placement.of_affine(AFFINES["LPS"]).orientation == "LPS"
    for name, affine in AFFINES.items():
        expected = "".join(nibabel.aff2axcodes(affine))
        assert Placement.of_affine(affine).orientation == expected, name


def test_grids_agree_up_to_rounding():
    first = Placement.of_affine(oblique())
    assert first.agrees_with(Placement.of_affine(oblique().astype(np.float32)))
    moved = oblique()
    moved[0, 3] += 0.01
    assert not first.agrees_with(Placement.of_affine(moved))


def test_an_affine_must_be_finite():
    with pytest.raises(InvalidDataError, match="affine must be 4 x 4 and finite"):
        Placement.of_affine(np.full((4, 4), np.nan))


# --- the command line --------------------------------------------------------------------------


def phantom(tmp_path, affine=None):
    planes = np.zeros((8, 12, 10), np.int16)
    planes[2:6, 3:9, 2:8] = 100
    planes[3:5, 5:7, 4:6] = 200
    noise = np.random.default_rng(1).normal(0, 3, planes.shape)
    return saved(tmp_path / "t1.nii.gz", (planes + noise).astype(np.int16).T, oblique())


def test_segmenting_writes_where_the_volume_lies(tmp_path, run):
    path = phantom(tmp_path)
    done = run(
        "segment", path, "-k", 3, "-o", f"{tmp_path}/out/", "--preset", "plain", "--probabilities",
        "--entropy", "--masks", "--regions",
    )  # fmt: skip
    assert done.status == 0, done.err
    source = nibabel.load(path)
    names = ("labels", "prob", "entropy", "mask_1", "regions")
    found = {name: nibabel.load(tmp_path / f"out/t1_{name}.nii.gz") for name in names}
    for image in found.values():
        assert np.array_equal(image.affine, source.affine)
        assert image.shape[:3] == source.shape
    labels = np.asarray(found["labels"].dataobj)
    assert labels.dtype == np.uint8
    assert labels[5, 6, 4] == 3
    assert np.array_equal(np.asarray(found["prob"].dataobj).argmax(-1) + 1, labels)
    assert "mm³" in done.err


def test_a_label_map_may_be_called_nii(tmp_path, run):
    out = tmp_path / "seg.nii"
    assert run("segment", phantom(tmp_path), "-k", 2, "-o", out, "--no-overlay").status == 0
    assert out.stat().st_size == 352 + 8 * 12 * 10
    assert run("info", out).status == 0
