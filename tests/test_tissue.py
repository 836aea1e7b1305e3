"""Tissues of a head: names, volumes, modalities, masks, and the files that pipelines look for."""

import json

import nibabel
import numpy as np
import pytest

from gmmseg.bias import BiasOptions
from gmmseg.bridges.nibabel import from_nibabel, to_nibabel
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.image import Image
from gmmseg.io import read_image, write_png
from gmmseg.modalities import foreground, joined_modalities
from gmmseg.model import load_model
from gmmseg.mosaic import mosaic
from gmmseg.pipeline import segment
from gmmseg.placement import Placement
from gmmseg.tissue import TissueOptions, tissue
from gmmseg.tissue_files import TissueOutputs, planned_tissue

SHAPE = (24, 28, 26)  # planes, rows, columns
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 2.5, 0, -40], [0, 0, 3, -20], [0, 0, 0, 1]])
PLAIN = TissueOptions(bias=BiasOptions())


def head(seed=0, noise=4.0):
    """Shells of fluid, grey and white matter; values, truth (0 outside)."""
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    radius = np.sqrt(sum(g**2 for g in grid))
    truth = np.select([radius < 0.5, radius < 0.8, radius < 0.98], [3, 2, 1], 0)
    values = np.array([0.0, 60, 120, 180])[truth]
    values += (truth > 0) * np.random.default_rng(seed).normal(0, noise, SHAPE)
    return values.astype(np.float32), truth


def saved(path, values, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(values.T, affine), path)
    return path


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("head") / "T1.nii.gz", head()[0])


def test_tissues_are_found_and_measured(scan):
    truth = head()[1]
    found = tissue(scan, PLAIN)
    assert np.mean(found.labels == truth) > 0.99
    assert found.names == ("csf", "gm", "wm")
    assert "that are not 0 are used" in found.mask_note
    for row in found.rows:
        assert row.voxels == np.count_nonzero(found.labels == row.label)
        assert row.ml == pytest.approx(row.voxels * 0.015)
        probability = found.probabilities[..., row.label - 1]
        assert row.ml_expected == pytest.approx(probability.sum() * 0.015, rel=1e-5)
        low, high = row.ml_interval
        assert low == pytest.approx(np.count_nonzero(probability >= 0.975) * 0.015)
        assert low <= row.ml_expected <= high
    assert "wm" in found.summary()


def test_t2_has_the_names_in_reverse():
    values = head()[0]
    bright = np.where(values > 0, 240 - values, 0)
    found = tissue(bright, TissueOptions(contrast="t2", bias=BiasOptions()))
    assert found.names == ("wm", "gm", "csf")
    assert found.labels[12, 14, 13] == 1
    assert found.rows[0].ml is None
    assert "ml" in found.summary()


def test_contrast_has_a_rule():
    with pytest.raises(InvalidParameterError, match="contrast must be one of 't1', 't2'"):
        TissueOptions(contrast="flair")


def test_modalities_are_bands():
    values, truth = head(noise=25.0)
    other = np.where(values > 0, 300 - head(1, 25.0)[0], 0).astype(np.float32)
    one, both = (tissue(images, PLAIN) for images in ([values], [values, other]))
    assert np.mean(both.labels == truth) > np.mean(one.labels == truth)
    assert len(both.rows[0].mean) == 2


def test_different_grids_are_an_error(tmp_path, scan):
    moved = AFFINE.copy()
    moved[0, 3] += 5
    other = saved(tmp_path / "T2.nii.gz", head()[0], moved)
    with pytest.raises(
        InvalidDataError, match=r"different grids: T1.nii.gz .*30; .*T2.nii.gz .*35"
    ):
        tissue([scan, other], PLAIN)
    with pytest.raises(InvalidDataError, match="different grids"):
        joined_modalities([Image.from_array(np.zeros((2, 3))), Image.from_array(np.zeros((3, 2)))])
    with pytest.raises(InvalidParameterError, match="at least one modality"):
        tissue([], PLAIN)


def test_masks_of_modalities_are_joined():
    mask = np.ones(SHAPE, bool)
    mask[0] = False
    gap = head()[0].copy()
    gap[1] = np.nan
    images = [Image.from_array(head()[0], axes="ZYX", mask=mask), Image.from_array(gap, axes="ZYX")]
    joint = joined_modalities(images)
    assert not joint.mask[0].any()
    assert joint.usable((0, 1), complete=True)[2].all()
    assert not joint.usable((0, 1), complete=True)[1].any()


def test_without_zeros_otsu_finds_the_head():
    values, truth = head()
    noisy = np.abs(values + np.random.default_rng(3).normal(0, 5, SHAPE)) + 1
    mask, note = foreground(Image.from_array(noisy, axes="ZYX"))
    assert np.mean(mask == (truth > 0)) > 0.8
    assert "(Otsu) are used; with skull" in note


def test_a_mask_that_is_given_is_used(scan):
    mask = head()[1] > 1
    found = tissue(scan, PLAIN, mask=mask)
    assert np.array_equal(found.labels > 0, mask)
    assert found.mask_note == ""


def test_a_bias_field_is_taken_out():
    values, truth = head()
    field = np.linspace(0.7, 1.3, SHAPE[2])
    found = tissue(Image.from_array(values * field, axes="ZYX", spacing=5.0))
    plain = tissue(Image.from_array(values * field, axes="ZYX", spacing=5.0), PLAIN)
    assert np.mean(found.labels == truth) > max(0.98, np.mean(plain.labels == truth))
    assert found.to_dict()["bias"]["least"] < 0.85


# --- nibabel -----------------------------------------------------------------------------------


def test_nibabel_in_and_out(scan):
    volume = nibabel.load(scan)
    image = from_nibabel(volume)
    read = read_image(scan)
    assert np.array_equal(image.data, read.data)
    assert image.spacing == read.spacing
    assert image.placement.matrix.tolist() == read.placement.matrix.tolist()
    seg = segment(volume, 3)
    labels = to_nibabel(seg.image, seg.labels, labels=True)
    assert np.array_equal(labels.affine, volume.affine)
    assert labels.shape == volume.shape
    assert labels.header["intent_code"] == 1002
    soft = to_nibabel(seg.image, seg.probabilities)
    assert soft.shape == (*volume.shape, 3)
    assert np.array_equal(soft.dataobj[..., 1], seg.probabilities[..., 1].T)
    assert tissue(volume, PLAIN).labels.shape == SHAPE


def test_scaled_values_and_four_dimensions_of_nibabel(tmp_path):
    volume = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    volume.header.set_slope_inter(0.5, 1)
    nibabel.save(volume, tmp_path / "a.nii")
    assert from_nibabel(nibabel.load(tmp_path / "a.nii")).data.dtype == np.float32
    assert from_nibabel(nibabel.Nifti1Image(np.zeros((2, 3, 4, 5)), np.eye(4))).n_bands == 5
    with pytest.raises(InvalidDataError, match="three or four dimensions and an affine"):
        from_nibabel(nibabel.Nifti1Image(np.zeros((2, 3)), np.eye(4)))
    with pytest.raises(InvalidDataError, match="values must have the image's shape"):
        to_nibabel(Image.from_array(np.zeros((2, 3))), np.zeros((3, 2)))


# --- the picture -------------------------------------------------------------------------------


def test_a_mosaic_shows_slices_upright():
    """A bright spot high, in front and to the right of the patient, in any orientation."""
    volume = np.full((20, 30, 40), 50, np.uint8)
    volume[15, 25, 33] = 250
    labels = np.ones(volume.shape, np.uint8)
    upright = Image.from_array(volume, axes="ZYX", spacing=1.0).placed(
        Placement.of_affine(np.eye(4))
    )
    expected = mosaic(upright, labels, n_labels=1, slices=3)
    turned = volume[:, ::-1, ::-1].transpose(2, 0, 1)  # planes: x, rows: z, columns: y
    affine = np.array([[0.0, 0, -1, 39], [-1, 0, 0, 29], [0, 1, 0, 0], [0, 0, 0, 1]])
    other = Image.from_array(turned, axes="ZYX", spacing=1.0).placed(Placement.of_affine(affine))
    assert other.placement.orientation == "PSL"
    found = mosaic(other, labels[:, ::-1, ::-1].transpose(2, 0, 1), n_labels=1, slices=3)
    assert np.array_equal(found, expected)


def test_a_mosaic_stretches_voxels_to_cubes():
    labels = np.ones((10, 20, 20), np.uint8)
    image = Image.from_array(np.arange(4000.0).reshape(10, 20, 20), axes="ZYX", spacing=(2, 1, 1))
    shown = mosaic(image, labels, n_labels=1, slices=2)
    assert shown.shape == (20 + 4 + 20 + 4 + 20, 40, 3)
    with pytest.raises(InvalidDataError, match="a mosaic is of a volume and its labels"):
        mosaic(image, labels[0], n_labels=1)


# --- files -------------------------------------------------------------------------------------


def test_names_of_pipelines():
    fsl = planned_tissue("d/sub1", 3, TissueOutputs(naming="fsl"))
    assert [path.name for path in fsl.values()] == [
        "sub1_seg.nii.gz", "sub1_seg.json", "sub1_mosaic.png",
        "sub1_pve_0.nii.gz", "sub1_pve_1.nii.gz", "sub1_pve_2.nii.gz",
    ]  # fmt: skip
    both = TissueOutputs(naming="fsl", probabilities=True, mosaic=False, histogram=True)
    assert [path.name for path in planned_tissue("s", 2, both).values()] == [
        "s_seg.nii.gz", "s_seg.json", "s_histogram.png",
        "s_prob_0.nii.gz", "s_prob_1.nii.gz", "s_pve_0.nii.gz", "s_pve_1.nii.gz",
    ]  # fmt: skip
    ants = planned_tissue("sub1_", 2, TissueOutputs(naming="ants", mosaic=False))
    assert [path.name for path in ants.values()] == [
        "sub1_Segmentation.nii.gz", "sub1_Segmentation.json",
        "sub1_Posteriors01.nii.gz", "sub1_Posteriors02.nii.gz",
    ]  # fmt: skip
    with pytest.raises(InvalidParameterError, match="naming must be one of 'gmmseg', 'fsl'"):
        TissueOutputs(naming="spm")


def test_the_command_line(tmp_path, run, scan):
    out = tmp_path / "out"
    done = run(
        "tissue", scan, "-o", f"{out}/", "--probability-maps", "--bias-field", out / "b.nii.gz",
        "--corrected", "--json", "--save-model",
    )  # fmt: skip
    assert done.status == 0, done.err
    source = nibabel.load(scan)
    labels = nibabel.load(out / "T1_labels.nii.gz")
    assert np.array_equal(labels.affine, source.affine)
    assert np.asarray(labels.dataobj).dtype == np.uint8
    soft = nibabel.load(out / "T1_prob.nii.gz")
    assert soft.shape == (*source.shape, 3)
    field, corrected = (np.asarray(nibabel.load(out / name).dataobj) for name in
                        ("b.nii.gz", "T1_corrected.nii.gz"))  # fmt: skip
    assert np.allclose(field * corrected, np.asarray(source.dataobj), atol=1e-3)
    sidecar = json.loads((out / "T1_tissue.json").read_text())
    told = json.loads(done.out)
    assert told["tissues"] == sidecar["tissues"]
    assert sidecar["inputs"] == ["T1.nii.gz"]
    assert [row["name"] for row in sidecar["tissues"]] == ["csf", "gm", "wm"]
    assert "that are not 0 are used" in done.err
    assert (out / "T1_mosaic.png").exists()
    assert load_model(out / "T1.gmm.json").k == 3
    plot = ("plot", out / "T1.gmm.json", out / "T1_corrected.nii.gz", "-o", out / "histogram.png")
    assert run(*plot).status == 0
    again = run("tissue", scan, "-o", f"{out}/")
    assert again.status == 1
    assert "exists already" in again.err


@pytest.mark.parametrize(
    ("naming", "first"), [("fsl", "sub_seg.nii.gz"), ("ants", "subSegmentation.nii.gz")]
)
def test_the_command_line_names_as_others_do(tmp_path, run, scan, naming, first):
    words = ("--no-bias", "--no-mosaic", "--naming", naming, "-o", tmp_path / "sub", "-q")
    assert run("tissue", scan, *words).status == 0
    assert (tmp_path / first).exists()
    assert len(list(tmp_path.iterdir())) == 5


def test_what_fsl_calls_pve_are_fractions(tmp_path, run, scan):
    words = ("--no-bias", "--no-mosaic", "--naming", "fsl", "-o", tmp_path / "sub", "--json")
    done = run("tissue", scan, *words)
    found = tissue(scan, PLAIN)
    for j in range(3):
        written = np.asarray(nibabel.load(tmp_path / f"sub_pve_{j}.nii.gz").dataobj)
        np.testing.assert_allclose(written.T, found.fractions[..., j], atol=1e-6)
    told = json.loads(done.out)["tissues"]
    volumes = found.fractions.sum(axis=(0, 1, 2)) * 0.015
    assert [row["ml_fractions"] for row in told] == pytest.approx(volumes.tolist(), rel=1e-5)
    assert "fractions" in done.err
    assert found.rows[0].ml_fractions is None


def test_fractions_and_a_histogram_on_request(tmp_path, run, scan):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    done = run("tissue", scan, "--no-bias", "--fractions", "--histogram", "-o", f"{out}/")
    assert done.status == 0, done.err
    parts = nibabel.load(out / "T1_fractions.nii.gz")
    assert parts.shape == (*nibabel.load(scan).shape, 3)
    sums = np.asarray(parts.dataobj).sum(axis=-1).T
    np.testing.assert_allclose(sums, head()[1] > 0, atol=1e-5)
    assert (out / "T1_histogram.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_line_takes_priors(tmp_path, run, scan):
    truth = head()[1]
    maps = [(truth == j).astype(np.float32) for j in (1, 2, 3)]
    names = [saved(tmp_path / f"p{j}.nii.gz", one) for j, one in enumerate(maps)]
    four = np.stack([one.T for one in maps], axis=-1)
    nibabel.save(nibabel.Nifti1Image(four, AFFINE), tmp_path / "p.nii.gz")
    shared = ("--no-bias", "--no-mosaic", "--prior-weight", 1)
    for priors, out in (names, "a"), ([tmp_path / "p.nii.gz"], "b"):
        done = run("tissue", scan, *shared, "-o", f"{tmp_path / out}/", "--priors", *priors)
        assert done.status == 0, done.err
        labels = np.asarray(nibabel.load(tmp_path / out / "T1_labels.nii.gz").dataobj)
        np.testing.assert_array_equal(labels.T, truth)
    same = ("--axes", "ZYX", "--preset", "plain", "--no-overlay", "--prior-weight", 1)
    mask = saved(tmp_path / "m.nii.gz", (truth > 0).astype(np.uint8))
    done = run("segment", scan, "--mask", mask, *same, "-o", tmp_path / "c", "--priors", *names)
    assert done.status == 0, done.err
    few = run("tissue", scan, "-o", tmp_path / "d", "--priors", *names[:2])
    assert few.status == 1
    assert "k must be the number of prior maps, 2, got 3" in few.err
    one = run("tissue", scan, "-o", tmp_path / "d", "--priors", names[0])
    assert one.status == 1
    assert "priors must be a file for each class, or one of four dimensions" in one.err
    over = run("tissue", scan, "--priors", *names, "-o", tmp_path / "p", "--bias-field", names[0])
    assert over.status == 2
    assert "is an input" in over.err


def test_the_command_line_takes_modalities_and_masks(tmp_path, run, scan):
    t2 = saved(tmp_path / "T2.nii.gz", np.where(head()[0] > 0, 240 - head(1)[0], 0))
    mask = saved(tmp_path / "m.nii.gz", (head()[1] > 1).astype(np.uint8))
    shared = ("--no-bias", "--no-mosaic", "-o", f"{tmp_path}/o/")
    done = run("tissue", scan, "-i", t2, "--mask", mask, "--smooth", 0.2, *shared)
    assert done.status == 0, done.err
    labels = np.asarray(nibabel.load(tmp_path / "o/T1_labels.nii.gz").dataobj)
    assert np.array_equal(labels > 0, np.asarray(nibabel.load(mask).dataobj) > 0)
    assert run("tissue").status == 2
    over = run("tissue", scan, "--bias-field", scan, "--overwrite")
    assert over.status == 2
    assert "is an input" in over.err


def test_one_plane_is_no_head(tmp_path, run):
    path = tmp_path / "plane.png"
    write_png(path, np.random.default_rng(0).integers(0, 255, (20, 30), np.uint8))
    done = run("tissue", path)
    assert done.status == 1
    assert "the image plane.png is one plane of (20, 30)" in done.err
    assert "gmmseg segment FILE -k 3 --preset mri" in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["plane.png"]
