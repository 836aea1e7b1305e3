"""DICOM files and folders: values, places, what is refused, and SEG objects."""

import json
import subprocess
import sys
import zlib

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from gmmseg.errors import InvalidDataError, ReadError, TooManyPixelsError, UnsupportedFormatError
from gmmseg.image import Image
from gmmseg.io import ReadOptions, image_info, read_image, write_nifti
from gmmseg.io.dicom_seg import write_seg

CT = "1.2.840.10008.5.1.4.1.1.2"
ROWS, COLUMNS, PLANES = 24, 20, 8
PATIENT = "Doe^Jane"


def volume(seed=0):
    """Stored values: three tissues in shells."""
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in (PLANES, ROWS, COLUMNS)), indexing="ij")
    radius = np.sqrt(sum(g**2 for g in grid))
    values = np.select([radius < 0.4, radius < 0.8, radius < 1.1], [1300, 1150, 1050], 900)
    return (values + np.random.default_rng(seed).normal(0, 8, values.shape)).astype(np.uint16)


def data_set(plane, position, uid, **fields):
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    found.file_meta.MediaStorageSOPClassUID = found.SOPClassUID = CT
    found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID = generate_uid()
    found.SeriesInstanceUID, found.StudyInstanceUID = uid, f"{uid}.1"
    found.FrameOfReferenceUID = f"{uid}.2"
    found.PatientName, found.PatientID, found.PatientBirthDate = PATIENT, "4711", "19700101"
    found.PatientSex, found.StudyDate, found.StudyTime, found.StudyID = "F", "", "", ""
    found.AccessionNumber, found.ReferringPhysicianName, found.Modality = "", "", "CT"
    found.Rows, found.Columns = plane.shape[-2:]
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.BitsAllocated = found.BitsStored = 16
    found.HighBit, found.PixelRepresentation = 15, 0
    found.RescaleSlope, found.RescaleIntercept = 1, -1000
    found.PixelSpacing = [1.5, 1.25]
    found.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    found.ImagePositionPatient = [float(p) for p in position]
    found.PixelData = plane.astype("<u2").tobytes()
    for name, value in fields.items():
        setattr(found, name, value)
    return found


def series(folder, values=None, *, step=(0, 0, 3.0), shuffle=False, skip=(), **fields):
    """The files of a series, named in the order of their planes or at random."""
    values = volume() if values is None else values
    folder.mkdir(exist_ok=True)
    names = [f"{i:03}" for i in range(len(values))]
    if shuffle:
        names = [names[i] for i in np.random.default_rng(3).permutation(len(names))]
    uid = f"1.2.3.{zlib.crc32(str(folder).encode())}"
    for i, (name, plane) in enumerate(zip(names, values, strict=True)):
        if i not in skip:
            position = np.array([-10, -20, 5]) + i * np.array(step)
            found = data_set(plane, position, uid, InstanceNumber=1, **fields)
            found.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    return folder


def single(path, plane=None, **fields):
    plane = volume()[4] if plane is None else plane
    data_set(plane, (0, 0, 0), "1.2.3", **fields).save_as(path, enforce_file_format=True)
    return path


# --- values ------------------------------------------------------------------------------------


def test_values_are_those_of_the_modality(tmp_path):
    image = read_image(single(tmp_path / "a.dcm"))
    assert image.data.dtype == np.int16
    assert np.array_equal(image.data[..., 0], volume()[4].astype(int) - 1000)
    assert image.spacing == (1.5, 1.25)
    assert image.unit == "mm"


def test_a_slope_gives_floats(tmp_path):
    image = read_image(single(tmp_path / "a.dcm", RescaleSlope=0.5, RescaleIntercept=2))
    assert image.data.dtype == np.float32
    assert np.allclose(image.data[..., 0], volume()[4] * 0.5 + 2)


def test_a_modality_table_is_applied(tmp_path):
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4, 0, 16])
    table.add_new("LUTData", "US", [5, 10, 20, 40])
    table.ModalityLUTType = "US"
    plane = np.arange(16).reshape(4, 4) % 4
    path = single(tmp_path / "a.dcm", plane, ModalityLUTSequence=Sequence([table]))
    assert np.array_equal(read_image(path).data[..., 0], np.array([5, 10, 20, 40])[plane])


def test_monochrome1_is_inverted(tmp_path):
    path = single(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1", RescaleIntercept=0)
    image = read_image(path)
    assert np.array_equal(image.data[..., 0], 65535 - volume()[4])
    assert any("MONOCHROME1" in note for note in image.notes)


@pytest.mark.parametrize(
    ("fields", "padding"),
    [
        ({"PixelPaddingValue": 7}, [7]),
        ({"PixelPaddingValue": 7, "PixelPaddingRangeLimit": 9}, [7, 8, 9]),
        ({"PixelPaddingValue": 9, "PixelPaddingRangeLimit": 7}, [7, 8, 9]),
        ({"PixelPaddingValue": 6}, []),
    ],
)
def test_padding_is_not_used(tmp_path, fields, padding):
    """A round field of view is filled up with values that are no tissue."""
    plane = volume()[4]
    plane[:3, :4] = np.arange(7, 10)[:, None]
    image = read_image(single(tmp_path / "a.dcm", plane, **fields))
    inside = ~np.isin(plane, padding)
    assert np.array_equal(np.ones(plane.shape, bool) if image.mask is None else image.mask, inside)
    assert any("are padding" in note for note in image.notes) == bool(padding)
    values = np.stack([volume()[4], plane, volume()[4]])
    whole = read_image(series(tmp_path / "b", values, shuffle=True, **fields))
    assert (whole.mask is None) == (not padding)
    assert whole.valid is None or np.array_equal(whole.mask, ~np.isin(values, padding))


def test_padding_of_frames_is_sorted_with_them(tmp_path):
    order = [3, 1, 0, 2, 7, 6, 5, 4]
    path = enhanced(tmp_path / "a.dcm", order)
    data = pydicom.dcmread(path)
    stored = data.pixel_array.copy()
    stored[order.index(5), :4] = 9
    data.PixelData = stored.tobytes()
    data.add_new("PixelPaddingValue", "US", 9)
    data.save_as(path)
    expected = np.ones((PLANES, ROWS, COLUMNS), bool)
    expected[5, :4] = False
    assert np.array_equal(read_image(path).mask, expected)


def test_signed_padding_written_as_unsigned(tmp_path):
    plane = volume()[4].astype(np.int16)
    plane[0] = -2000
    path = single(tmp_path / "a.dcm", plane, PixelRepresentation=1)
    data = pydicom.dcmread(path)
    data.add_new("PixelPaddingValue", "US", 65536 - 2000)
    data.save_as(path)
    assert np.array_equal(read_image(path).mask, plane != -2000)


def test_padding_everywhere_is_no_padding(tmp_path):
    path = single(tmp_path / "a.dcm", np.full((4, 5), 7, np.uint16), PixelPaddingValue=7)
    assert read_image(path).mask is None


@pytest.mark.parametrize("syntax", [pydicom.uid.RLELossless, pydicom.uid.JPEGLSLossless])
def test_compressed_files(tmp_path, syntax):
    plain = single(tmp_path / "a.dcm")
    packed = pydicom.dcmread(plain)
    packed.compress(syntax)
    packed.save_as(tmp_path / "b.dcm")
    assert np.array_equal(read_image(tmp_path / "b.dcm").data, read_image(plain).data)


def test_colours(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (4, 6, 3)).astype(np.uint8)
    found = data_set(rgb[..., 0], (0, 0, 0), "1.2.3", SamplesPerPixel=3, BitsAllocated=8)
    found.BitsStored, found.HighBit, found.PlanarConfiguration = 8, 7, 0
    found.PhotometricInterpretation, found.PixelData = "RGB", rgb.tobytes()
    del found.RescaleSlope, found.RescaleIntercept
    found.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    image = read_image(tmp_path / "a.dcm")
    assert image.colour
    assert np.array_equal(image.data, rgb)


def test_info_tells_nothing_of_the_patient(tmp_path):
    facts = image_info(single(tmp_path / "a.dcm"))
    assert facts["format"] == "DICOM"
    assert facts["shape"] == [ROWS, COLUMNS]
    assert "Doe" not in json.dumps(facts)


# --- series ------------------------------------------------------------------------------------


def test_a_shuffled_series_is_the_ordered_one(tmp_path):
    ordered = read_image(series(tmp_path / "a"))
    shuffled = read_image(series(tmp_path / "b", shuffle=True))
    assert np.array_equal(ordered.data, shuffled.data)
    assert ordered.placement.affine == shuffled.placement.affine
    assert ordered.spacing == (3.0, 1.5, 1.25)
    assert [p.name for p in ordered.placement.files] != [p.name for p in shuffled.placement.files]


@pytest.mark.parametrize(
    ("orientation", "step"),
    [
        ([1, 0, 0, 0, 1, 0], (0, 0, 3.0)),
        ([0, 1, 0, 0, 0, -1], (-2.0, 0, 0)),
        ([0.8, 0.6, 0, 0, 0, -1], (-0.6 * 2, 0.8 * 2, 0)),
    ],
)
def test_the_place_is_that_of_simpleitk(tmp_path, orientation, step):
    folder = series(tmp_path / "a", step=step, ImageOrientationPatient=orientation)
    image = read_image(folder)
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(names)
    other = reader.Execute()
    assert np.array_equal(SimpleITK.GetArrayFromImage(other), image.data[..., 0])
    for index in [(0, 0, 0), (5, 0, 0), (3, 7, 2)]:
        point = np.array(other.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
        assert (image.placement.matrix @ [*index, 1])[:3] == pytest.approx(point, abs=1e-4)
    write_nifti(tmp_path / "a.nii.gz", image.data[..., 0], placement=image.placement)
    assert np.allclose(nibabel.load(tmp_path / "a.nii.gz").affine, image.placement.matrix)


def test_a_missing_image_is_an_error(tmp_path):
    folder = series(tmp_path / "a", skip=(3,))
    with pytest.raises(ReadError, match=r"between images 3 and 4 of 7 the step is 6.000 mm"):
        read_image(folder)


def test_a_tilted_gantry_is_an_error(tmp_path):
    with pytest.raises(ReadError, match=r"0.50 mm beside the one before \(a tilted gantry\)"):
        read_image(series(tmp_path / "a", step=(0, 0.5, 3.0)))


def test_images_in_one_place_are_an_error(tmp_path):
    with pytest.raises(ReadError, match="several of its images lie in the same place"):
        read_image(series(tmp_path / "a", step=(0, 0, 0)))


def test_two_series_are_an_error(tmp_path):
    folder = series(tmp_path / "a")
    other = series(tmp_path / "b")
    (other / "000.dcm").rename(folder / "x.dcm")
    with pytest.raises(ReadError, match=r"it holds 2 series \(of 8, 1 images\)") as caught:
        read_image(folder)
    assert "Doe" not in str(caught.value)


def test_other_files_are_left_out(tmp_path):
    folder = series(tmp_path / "a")
    (folder / "readme.txt").write_text("notes")
    (folder / "empty").write_bytes(b"")
    image = read_image(folder)
    assert image.shape == (PLANES, ROWS, COLUMNS)
    assert "2 other files left out" in image.notes


def test_folders_without_images(tmp_path):
    with pytest.raises(ReadError, match="a directory, not an image file, and without DICOM"):
        read_image(tmp_path)


def test_images_of_different_shapes(tmp_path):
    folder = series(tmp_path / "a")
    other = pydicom.dcmread(folder / "003.dcm")
    other.Rows = 12
    other.save_as(folder / "003.dcm")
    with pytest.raises(ReadError, match="its images differ in shape"):
        read_image(folder)


def enhanced(path, order):
    """One file of many frames, in any order."""
    values = volume()
    found = data_set(values[order], (0, 0, 0), "1.2.3")
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(found, name)
    del found.RescaleSlope, found.RescaleIntercept
    found.NumberOfFrames = len(values)
    found.SOPClassUID = found.file_meta.MediaStorageSOPClassUID = f"{CT}.1"
    shared, orientation, measures, rescaling = (Dataset() for _ in range(4))
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [1.5, 1.25], 3.0
    rescaling.RescaleSlope, rescaling.RescaleIntercept = 1, -1000
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PixelValueTransformationSequence = Sequence([rescaling])
    found.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for i in order:
        group, place = Dataset(), Dataset()
        place.ImagePositionPatient = [-10, -20, 5 + 3.0 * i]
        group.PlanePositionSequence = Sequence([place])
        groups.append(group)
    found.PerFrameFunctionalGroupsSequence = Sequence(groups)
    found.save_as(path, enforce_file_format=True)
    return path


def test_frames_are_sorted_as_files_are(tmp_path):
    expected = read_image(series(tmp_path / "a"))
    found = read_image(enhanced(tmp_path / "b.dcm", [3, 1, 0, 2, 7, 6, 5, 4]))
    assert np.array_equal(found.data, expected.data)
    assert found.placement.affine == expected.placement.affine
    assert found.spacing == expected.spacing


# --- files that lie ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"Rows": 60_000, "Columns": 60_000}, "declares 7200000000 bytes of pixels|more than the"),
        ({"NumberOfFrames": 500}, "declares 480000 bytes of pixels|declares"),
        ({"Rows": 0}, "a DICOM file without an image"),
        ({"SamplesPerPixel": 2}, "with 2 samples of 16 bits"),
        ({"RescaleSlope": 0}, "rescaled by 0"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, r"a segmentation \(SEG\)"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.30"}, "a parametric map"),
    ],
)
def test_a_lying_header_is_an_error(tmp_path, fields, message):
    with pytest.raises(ReadError, match=message):
        read_image(single(tmp_path / "a.dcm", **fields))


def test_the_limit_counts(tmp_path):
    with pytest.raises(TooManyPixelsError, match="more than the limit of 10"):
        read_image(single(tmp_path / "a.dcm"), ReadOptions(max_pixels=10))


def test_deflated_files_are_refused(tmp_path):
    found = data_set(volume()[4], (0, 0, 0), "1.2.3")
    found.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    found.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(UnsupportedFormatError, match="a deflated DICOM file"):
        read_image(tmp_path / "a.dcm")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_file_that_is_cut_short(tmp_path, share):
    path = single(tmp_path / "a.dcm")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ReadError):
        read_image(path)


def test_nested_sequences_end_in_an_error(tmp_path):
    """Ten thousand sequences within each other, of undefined length."""
    path = single(tmp_path / "a.dcm")
    data = path.read_bytes()
    at = data.index(b"\x28\x00\x02\x00")  # before SamplesPerPixel
    nest = b"\x18\x00\x14\x93SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 10_000
    path.write_bytes(data[:at] + nest + data[at:])
    code = (
        "import sys; from gmmseg.io import read_image\n"
        "try: read_image(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    words = [sys.executable, "-c", code, path]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ReadError cannot read")
    assert "Traceback" not in done.stderr


def test_without_pydicom_the_extra_is_named(tmp_path, monkeypatch):
    path = single(tmp_path / "a.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImportError, match=r"pip install 'gmmseg\[medical\]'"):
        read_image(path)


# --- segmenting --------------------------------------------------------------------------------


def test_a_series_on_the_command_line(tmp_path, run):
    folder = series(tmp_path / "ct", shuffle=True)
    words = ("-k", 3, "--preset", "plain", "-o", f"{tmp_path}/out/", "--json", "--save-model")
    done = run("segment", folder, *words)
    assert done.status == 0, done.err
    labels = nibabel.load(tmp_path / "out/ct_labels.nii.gz")
    assert np.allclose(labels.affine, read_image(folder).placement.matrix)
    texts = [done.out, done.err, (tmp_path / "out/ct.gmm.json").read_text()]
    assert not any("Doe" in text or "4711" in text for text in texts)


@pytest.mark.parametrize("kind", ["binary", "fractional", "labelmap"])
@pytest.mark.parametrize("source", ["series", "frames"])
def test_a_seg_refers_to_its_images(tmp_path, kind, source):
    if source == "series":
        path = series(tmp_path / "ct", shuffle=True)
    else:
        path = enhanced(tmp_path / "ct.dcm", [3, 1, 0, 2, 7, 6, 5, 4])
    image = read_image(path)
    labels = np.digitize(image.data[..., 0], [0, 100, 250]).astype(np.uint8)
    values = labels
    if kind == "fractional":
        values = np.stack([labels == j for j in (1, 2, 3)], axis=-1).astype(np.float32)
    write_seg(tmp_path / "seg.dcm", image, values, ("csf", "gm", "wm"), kind=kind)
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    assert seg.segmentation_type.name == kind.upper()
    uids = [pydicom.dcmread(p).SOPInstanceUID for p in image.placement.files]
    together = {"combine_segments": kind != "fractional"}
    if source == "series":
        found = seg.get_pixels_by_source_instance(uids, **together)
    else:
        found = seg.get_pixels_by_source_frame(uids[0], [3, 2, 4, 1, 8, 7, 6, 5], **together)
    if kind == "fractional":
        found = np.where(found.max(-1) > 0, found.argmax(-1) + 1, 0)
    assert np.array_equal(found, labels)
    assert [seg.get_segment_description(i).segment_label for i in (1, 2, 3)] == ["csf", "gm", "wm"]


def test_a_seg_needs_dicom(tmp_path):
    image = Image.from_array(np.zeros((2, 3, 4)), axes="ZYX")
    with pytest.raises(InvalidDataError, match="refers to the DICOM images"):
        write_seg(tmp_path / "a.dcm", image, np.zeros((2, 3, 4), np.uint8), ("a",))


def test_tissue_of_a_series(tmp_path, run):
    folder = series(tmp_path / "mr", RescaleIntercept=-890)
    words = ("--no-bias", "--dicom-seg", "labelmap", "-o", f"{tmp_path}/o/")
    done = run("tissue", folder, *words)
    assert done.status == 0, done.err
    seg = pydicom.dcmread(tmp_path / "o/mr_seg.dcm")
    assert [s.SegmentLabel for s in seg.SegmentSequence] == ["Background", "csf", "gm", "wm"]
    assert "Doe" not in (tmp_path / "o/mr_tissue.json").read_text()
