"""What the commands write lies on what they read: in nibabel and SimpleITK, voxel by voxel."""

import nibabel
import numpy as np
import pytest
import SimpleITK

ROTATION = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])
OFFSET = [-10.5, 20.25, 3.0]
SIZES = np.array([1.0, 1.5, 2.0])


def affine_of(axes):
    affine = np.eye(4)
    affine[:3, :3] = axes * SIZES
    affine[:3, 3] = OFFSET
    return affine


AFFINES = {
    "RAS": affine_of(np.eye(3)),
    "LPS": affine_of(np.diag([-1.0, -1.0, 1.0])),
    "PIR": affine_of(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])),
    "oblique": affine_of(ROTATION),
}


@pytest.fixture(params=AFFINES)
def scan(request, tmp_path):
    """Three tissues in no symmetric order, nothing around them, and where each is."""
    truth = np.zeros((20, 16, 12), np.uint8)
    truth[2:18, 3:14, 1:10] = 1
    truth[4:17, 5:12, 2:7] = 2
    truth[10:15, 6:9, 3:6] = 3
    noise = np.random.default_rng(0).normal(0, 3, truth.shape)
    values = np.where(truth, 60 * truth + noise, 0).astype(np.int16)
    path = tmp_path / "T1.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, AFFINES[request.param]), path)
    return path, truth


def place_of(path):
    """What SimpleITK says about where an image of three dimensions lies."""
    image = SimpleITK.ReadImage(str(path))
    return image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()


@pytest.mark.parametrize("command", ["segment", "tissue"])
def test_labels_lie_on_the_scan(tmp_path, run, scan, command):
    path, truth = scan
    words = ("--probabilities", "-k", 4, "--preset", "grey")
    if command == "tissue":
        words = ("--probability-maps", "--no-bias")
    done = run(command, path, *words, "-o", f"{tmp_path}/o/")
    assert done.status == 0, done.err
    source = nibabel.load(path)
    labels, soft = (nibabel.load(tmp_path / f"o/T1_{name}.nii.gz") for name in ("labels", "prob"))
    for image in (labels, soft):
        assert np.array_equal(image.affine, source.affine)
        assert image.shape[:3] == source.shape
    assert (labels.get_data_dtype(), soft.get_data_dtype()) == (np.uint8, np.float32)
    found = np.asarray(labels.dataobj)
    expected = truth + 1 if command == "segment" else truth
    assert np.mean(found == expected) > 0.99
    inside = found > 0
    probable = np.asarray(soft.dataobj).argmax(axis=-1) + 1
    assert np.array_equal(probable[inside], found[inside])
    assert place_of(tmp_path / "o/T1_labels.nii.gz") == place_of(path)
    seen = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "o/T1_labels.nii.gz")))
    assert np.array_equal(seen.T, found)


def test_fields_and_corrected_scans_lie_on_the_scan(tmp_path, run, scan):
    path, truth = scan
    words = ("--bias", 8, "--bias-field", tmp_path / "b.nii.gz", "--corrected", "--no-mosaic")
    done = run("tissue", path, *words, "-o", f"{tmp_path}/o/")
    assert done.status == 0, done.err
    source = nibabel.load(path)
    field, corrected = (
        nibabel.load(file) for file in (tmp_path / "b.nii.gz", tmp_path / "o/T1_corrected.nii.gz")
    )
    for image in (field, corrected):
        assert np.array_equal(image.affine, source.affine)
        assert image.shape == source.shape
    product = np.asarray(field.dataobj) * np.asarray(corrected.dataobj)
    assert np.allclose(product[truth > 0], np.asarray(source.dataobj)[truth > 0], atol=1e-2)
    assert place_of(tmp_path / "b.nii.gz") == place_of(path)
