"""Files as scanners and programs write them: segmented, or refused with the reason.

docs/medical.md lists sixteen; those that are small are here.
"""

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

import gmmseg
from gmmseg.errors import UnsupportedFormatError
from gmmseg.io import read_image

SAMPLES = Path(__file__).parent / "data/dicom"


@pytest.mark.parametrize(
    ("name", "shape", "spacing", "least"),
    [
        ("CT_small", (128, 128), (0.661468, 0.661468), 0.04),
        ("MR_small", (64, 64), (0.3125, 0.3125), 0.1),
        ("emri_small_RLE", (10, 64, 64), None, 0.09),
    ],
)
def test_pictures_are_segmented(name, shape, spacing, least):
    """Values are those of pydicom in the units of the modality, and no class is empty."""
    path = SAMPLES / f"{name}.dcm"
    image = read_image(path)
    assert image.shape == shape
    assert image.spacing == spacing
    data = pydicom.dcmread(path)
    expected = pydicom.pixels.apply_modality_lut(data.pixel_array, data)
    assert np.array_equal(image.data[..., 0], expected)
    seg = gmmseg.segment(image, 3)
    means = [row.mean[0] for row in seg.table]
    assert means == sorted(means)
    assert min(row.share for row in seg.table) > least


def test_hounsfield_units_tell_lung_from_bone():
    lung, tissue, bone = (row.mean[0] for row in gmmseg.segment(SAMPLES / "CT_small.dcm", 3).table)
    assert lung < -700 < -100 < tissue < 100 < 400 < bone


@pytest.mark.parametrize(
    ("name", "reason"),
    [("liver", r"a segmentation \(SEG\)"), ("parametric_map_float", "a parametric map")],
)
def test_what_is_no_picture_is_refused(name, reason):
    with pytest.raises(UnsupportedFormatError, match=f"{name}.dcm is {reason}.*Give the images"):
        read_image(SAMPLES / f"{name}.dcm")


def test_labels_lie_where_the_picture_does(tmp_path, run):
    done = run("segment", SAMPLES / "CT_small.dcm", "-k", 3, "-o", f"{tmp_path}/")
    assert done.status == 0, done.err
    labels = nibabel.load(tmp_path / "CT_small_labels.nii.gz")
    data = pydicom.dcmread(SAMPLES / "CT_small.dcm")
    corner = np.array(data.ImagePositionPatient, float) * [-1, -1, 1]
    assert np.allclose(labels.affine[:3, 3], corner, atol=1e-4)
    assert np.allclose(np.abs(np.diag(labels.affine))[:2], data.PixelSpacing)
    assert labels.shape[:2] == data.pixel_array.shape[::-1]
