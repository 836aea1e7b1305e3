"""gmmseg export: COCO against pycocotools, contours against OpenCV, masks; hostile files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from gmmseg.bridges.coco import coco_annotations, encode_run_lengths
from gmmseg.components import find_components
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.export import ExportOptions, export_labels, read_labels
from gmmseg.io import read_image, write_png, write_tiff

# pycocotools 2.0.11 is older than NumPy's copy=
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MAPS = arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 12)] * 2), elements=st.integers(0, 2))


def scene():
    """A disc with two holes, specks that touch it by a corner, and a second class around."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:70, :90]
    labels = np.ones((70, 90), np.uint8)
    labels[np.hypot(y - 35, x - 40) < 28] = 3
    labels[np.hypot(y - 30, x - 30) < 6] = 0
    labels[np.hypot(y - 45, x - 48) < 9] = 2
    labels[rng.random(labels.shape) < 0.03] = 3
    return labels


def pixels(segmentation, shape):
    """The mask that pycocotools makes of an annotation."""
    if isinstance(segmentation, list):
        segmentation = coco_mask.merge(coco_mask.frPyObjects(segmentation, *shape))
    return coco_mask.decode(segmentation)


@pytest.mark.parametrize("polygons", [False, True])
@given(labels=MAPS)
def test_annotations_are_the_components_to_the_pixel(labels, polygons):
    _, regions, stats, _ = find_components(labels)
    found = list(coco_annotations(labels, polygons=polygons))
    assert len(found) == len(stats) - 1
    for region, annotation in enumerate(found, start=1):
        mask = regions == region
        np.testing.assert_array_equal(pixels(annotation["segmentation"], labels.shape), mask)
        assert labels[mask].tolist() == [annotation["category_id"]] * annotation["area"]
        assert annotation["bbox"] == list(cv2.boundingRect(mask.view(np.uint8)))


@pytest.mark.parametrize("polygons", [False, True])
def test_annotations_of_a_scene(polygons):
    labels = scene()
    drawn = np.zeros_like(labels)
    for annotation in coco_annotations(labels, polygons=polygons):
        drawn += pixels(annotation["segmentation"], labels.shape) * annotation["category_id"]
    np.testing.assert_array_equal(drawn, labels)


@given(st.lists(st.integers(0, 1 << 20), min_size=1, max_size=9))
def test_run_lengths_are_those_of_pycocotools(counts):
    rle = {"size": [sum(counts), 1], "counts": counts}
    expected = coco_mask.frPyObjects(rle, *rle["size"])["counts"].decode()
    assert encode_run_lengths(counts) == expected


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_png("photo_labels.png", scene())
    write_png("photo.png", np.zeros((70, 90, 3), np.uint8))
    write_tiff("scan_labels.tif", scene()[::-1].astype(np.uint16), axes="YX")
    return tmp_path


def test_coco_of_several_label_maps(folder, run):
    words = ["photo_labels.png", "scan_labels.tif", "--to", "set_coco.json", "--min-pixels", "3"]
    done = run("export", *words, "--names", "soil,water")
    assert (done.status, done.out) == (0, "")
    assert done.err in ("", "compiling kernels, first run only ...\n")
    coco = COCO("set_coco.json")
    assert [image["file_name"] for image in coco.loadImgs([1, 2])] == [
        "photo.png", "scan_labels.tif",
    ]  # fmt: skip
    assert [c["name"] for c in coco.loadCats([1, 2, 3])] == ["soil", "water", "class 3"]
    drawn = np.zeros((70, 90), int)
    for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[2])):
        assert annotation["area"] >= 3
        drawn += coco.annToMask(annotation) * annotation["category_id"]
    assert ((drawn == scene()[::-1]) | (drawn == 0)).all()
    assert (drawn > 0).mean() > 0.9


def test_polygons(folder, run):
    words = ["export", "photo_labels.png", "--to", "coco.json", "--polygons"]
    assert run(*words).status == 0
    coco = COCO("coco.json")
    drawn = sum(coco.annToMask(a) * a["category_id"] for a in coco.loadAnns(coco.getAnnIds()))
    np.testing.assert_array_equal(drawn, scene())
    again = run(*words)
    assert (again.status, "coco.json exists already" in again.err) == (1, True)
    assert run(*words, "--overwrite").status == 0


def test_contours(folder, run):
    assert run("export", "photo_labels.png", "--to", "contours.json").status == 0
    (image,) = json.loads(Path("contours.json").read_text())["images"]
    assert (image["file_name"], image["width"], image["height"]) == ("photo.png", 90, 70)
    drawn = np.zeros((70, 90), np.uint8)
    for entry in image["classes"]:
        points = [np.array(c["points"], np.int32) for c in entry["contours"]]
        mask = np.zeros_like(drawn)
        for wanted in (1, 0):  # outer ones, then holes without their borders
            for contour, own in zip(entry["contours"], points, strict=True):
                if wanted == (contour["parent"] is None):
                    cv2.drawContours(mask, [own], -1, wanted, cv2.FILLED)
                    if not wanted:
                        cv2.polylines(mask, [own], isClosed=True, color=1)
        drawn[mask > 0] = entry["label"]
    assert (drawn == scene()).mean() > 0.95  # components within holes are drawn over


def test_masks(folder, run):
    assert run("export", "photo_labels.png", "--to", "masks/").status == 0
    assert sorted(path.name for path in Path("masks").iterdir()) == [
        "photo_mask_1.png", "photo_mask_2.png", "photo_mask_3.png",
    ]  # fmt: skip
    mask = read_image("masks/photo_mask_3.png").data[..., 0]
    np.testing.assert_array_equal(mask, np.where(scene() == 3, 255, 0))


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["photo_labels.png", "--to", "x.json"], 2, "the name x.json tells no format: end it in"),
        (["photo_labels.png", "--to", "photo_labels.png"], 2, "tells no format"),
        (["-", "--to", "coco.json"], 2, "LABELS must be files"),
        (["none.png", "--to", "coco.json"], 1, "none.png"),
        (["photo.png", "--to", "coco.json"], 1, "photo.png must be a label map (rows, cols) of "),
        (["photo_labels.png", "a/photo_labels.png", "--to", "m/"], 2, "photo_mask_1.png. Export"),
        (["bad.png", "--to", "masks/"], 1, "bad.png"),
    ],
)  # fmt: skip
def test_failures(folder, run, words, status, message):
    Path("bad.png").write_bytes(Path("photo_labels.png").read_bytes()[:60])
    before = sorted(folder.rglob("*"))
    done = run("export", *words)
    assert (done.status, done.out) == (status, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0.5, 1.0]], np.float32),
        np.array([[np.nan, 1.0]], np.float32),
        np.array([[np.inf, 1.0]], np.float32),
        np.array([[-1, 1]], np.int16),
        np.array([[1 << 31, 1]], np.uint32),
    ],
)
def test_values_that_are_no_labels(tmp_path, values):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(InvalidDataError, match=r"x\.npy must hold labels: whole numbers from 0"):
        read_labels(tmp_path / "x.npy")


def test_other_types_that_hold_labels(tmp_path):
    for dtype in (np.float64, np.uint32, np.int64, bool):
        np.save(tmp_path / "x.npy", np.array([[0, 1]], dtype))
        assert read_labels(tmp_path / "x.npy").max() in (1, 255)


def test_volumes_and_large_maps(tmp_path):
    write_tiff(tmp_path / "v.tif", np.ones((3, 4, 5), np.uint8), axes="ZYX")
    with pytest.raises(InvalidDataError, match=r"got a volume\. Give the file"):
        read_labels(tmp_path / "v.tif")
    write_png(tmp_path / "a.png", np.ones((40, 50), np.uint8))
    with pytest.raises(OSError, match="--max-pixels"):
        read_labels(tmp_path / "a.png", max_pixels=100)


def test_maps_of_regions_are_too_many_masks(tmp_path):
    write_png(tmp_path / "r.png", np.arange(1100, dtype=np.uint16).reshape(1, -1))
    with pytest.raises(InvalidDataError, match="has 1099 labels, more than 1000 masks"):
        export_labels([tmp_path / "r.png"], tmp_path)
    with pytest.raises(InvalidParameterError, match="min_area must be at least 0, got -1"):
        ExportOptions(min_area=-1)


def test_names_that_could_steer_a_terminal(tmp_path):
    name = "a\x1b[2J_labels.png"
    write_png(tmp_path / name, np.ones((2, 2), np.uint8))
    export_labels([tmp_path / name], tmp_path / "coco.json")
    (image,) = json.loads((tmp_path / "coco.json").read_text())["images"]
    assert image["file_name"] == r"a\x1b[2J_labels.png"
