"""Contours, components, boxes, codes of grabCut, cutouts and BGR, against OpenCV itself."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import gmmseg
from gmmseg._optional import import_optional
from gmmseg.components import boxes_of_labels, find_components
from gmmseg.contours import find_contours, outlines, signed_area
from gmmseg.errors import InvalidDataError, InvalidParameterError, MissingDependencyError
from gmmseg.opencv import cut_out, from_bgr, grabcut_codes

MASKS = arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 9)] * 2), elements=st.integers(0, 1))


def scene(shape=(40, 60)):
    """A dark ground with a bright ring and a bright square."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot(y - 20, x - 20)
    bright = ((distance < 14) & (distance > 6)) | ((x > 45) & (x < 55) & (y > 5) & (y < 30))
    values = np.where(bright, 190, 60)[..., None] + rng.normal(0, 12, (*shape, 3))
    return values.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def seg():
    return gmmseg.segment(scene(), 2, "plain")


@given(MASKS, st.sampled_from([4, 8]))
def test_components_are_those_of_opencv(mask, connectivity):
    ours = find_components(mask, connectivity)
    n, labels, stats, centroids = cv2.connectedComponentsWithStats(mask, connectivity=connectivity)
    assert ours.n == n
    assert (ours.labels.dtype, ours.stats.dtype) == (labels.dtype, stats.dtype)
    pairs = np.unique(np.stack([ours.labels.ravel(), labels.ravel()]), axis=1)
    if mask.all():  # OpenCV makes up a box for a background without pixels
        pairs = pairs[:, pairs[0] > 0]
    assert len(pairs[0]) == len(set(pairs[0])) == len(set(pairs[1]))
    np.testing.assert_array_equal(ours.stats[pairs[0]], stats[pairs[1]])
    np.testing.assert_allclose(ours.centroids[pairs[0]], centroids[pairs[1]])


def test_components_of_a_volume():
    mask = np.zeros((3, 4, 5), bool)
    mask[0, 1, 2] = mask[1, 2, 3] = True
    n, labels, stats, centroids = find_components(mask)
    assert (n, labels.shape) == (2, mask.shape)
    assert stats[1].tolist() == [2, 1, 0, 2, 2, 2, 2]
    assert centroids[1].tolist() == [2.5, 1.5, 0.5]
    assert find_components(mask, 6).n == 3


def test_a_background_without_pixels():
    n, _, stats, centroids = find_components(np.ones((2, 3)) > 0)
    assert (n, stats.tolist()) == (2, [[0, 0, 0, 0, 0], [0, 0, 3, 2, 6]])
    assert np.isnan(centroids[0]).all()


@given(MASKS)
def test_boxes_are_those_of_opencv(mask):
    boxes = boxes_of_labels(mask, 2)
    assert boxes[0].tolist() == list(cv2.boundingRect(mask))
    assert boxes[1].tolist() == [0, 0, 0, 0]


@given(MASKS)
def test_outlines_enclose_the_pixels_and_nothing_else(mask):
    lines = outlines(mask)
    rows, cols = mask.shape
    centres = np.stack(np.meshgrid(np.arange(cols) + 0.5, np.arange(rows) + 0.5), axis=-1)
    crossings = np.zeros(mask.shape, int)
    for line in lines:
        assert len(np.unique(line - np.roll(line, 1, axis=0), axis=0)) >= 4
        for (x, y0), (_, y1) in zip(line, np.roll(line, -1, axis=0), strict=True):
            between = (centres[..., 1] > min(y0, y1)) & (centres[..., 1] < max(y0, y1))
            crossings += between & (centres[..., 0] > x)
    np.testing.assert_array_equal(crossings % 2, mask)
    assert sum(map(signed_area, lines)) == mask.sum()
    n_outer = sum(signed_area(line) > 0 for line in lines)
    assert n_outer == cv2.connectedComponents(mask, connectivity=8)[0] - 1


@given(MASKS)
def test_contours_fill_to_the_mask(mask):
    contours, hierarchy = find_contours(mask, hierarchy=True)
    assert hierarchy.shape == (1, len(contours), 4)
    drawn = np.zeros_like(mask)
    cv2.drawContours(drawn, contours, -1, 1, cv2.FILLED, hierarchy=hierarchy)
    np.testing.assert_array_equal(drawn, mask)


def test_contours_of_a_segmentation(seg):
    contours = seg.contours(2)
    assert len(contours) == 2
    assert all(c.dtype == np.int32 and c.shape[1:] == (1, 2) for c in contours)
    assert len(seg.contours(2, simplify=False)[0]) > len(contours[0])
    inner, hierarchy = seg.contours(2, hierarchy=True)
    assert len(inner) == 3
    assert hierarchy[0, :, 3].max() >= 0  # the hole of the ring has a parent


def test_components_and_boxes_of_a_segmentation(seg):
    n, labels, stats, _ = seg.components(2)
    assert n == 3
    np.testing.assert_array_equal(labels > 0, seg.labels == 2)
    np.testing.assert_array_equal(seg.boxes(2), stats[1:, :4])
    assert [46, 6, 9, 24] in seg.boxes(2).tolist()
    assert seg.boxes().tolist() == [list(cv2.boundingRect(seg.mask(j))) for j in (1, 2)]


def test_contours_are_of_planes():
    seg = gmmseg.segment(np.arange(60, dtype=np.uint8).reshape(3, 4, 5), 2, axes="ZYX")
    with pytest.raises(InvalidDataError, match=r"got shape \(3, 4, 5\)\. Take one plane"):
        seg.contours(1)
    assert seg.components(1).stats.shape[1] == 7
    assert seg.cutout(1).shape == (4, 5, 4)
    assert seg.grabcut_mask().shape == (3, 4, 5)


def test_grabcut_takes_the_mask(seg):
    mask = seg.grabcut_mask()
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {cv2.GC_BGD, cv2.GC_FGD, cv2.GC_PR_BGD, cv2.GC_PR_FGD}
    codes = mask.copy()
    bgr = np.ascontiguousarray(scene()[..., ::-1])
    cv2.grabCut(bgr, codes, None, *np.zeros((2, 1, 65)), 2, cv2.GC_INIT_WITH_MASK)
    assert (np.isin(codes, (1, 3)) == (seg.labels == 2)).mean() > 0.99
    np.testing.assert_array_equal(np.isin(seg.grabcut_mask((1,)), (1, 3)), seg.labels == 1)


def test_codes_of_grabcut():
    probability = np.array([0, 0.05, 0.1, 0.3, 0.5, 0.89, 0.9, 1], np.float32)
    used = np.array([1, 1, 1, 1, 1, 1, 1, 0], bool)
    codes = grabcut_codes(probability, used, sure=0.9)
    names = {cv2.GC_BGD: "b", cv2.GC_FGD: "f", cv2.GC_PR_BGD: "pb", cv2.GC_PR_FGD: "pf"}
    assert [names[c] for c in codes] == ["b", "b", "b", "pb", "pf", "pf", "f", "b"]
    with pytest.raises(InvalidParameterError, match=r"sure must be more than 0\.5 .*, got 0\.5"):
        grabcut_codes(probability, used, sure=0.5)


def test_cutout_is_as_opaque_as_probable(seg):
    picture = seg.cutout(2)
    assert (picture.dtype, picture.shape) == (np.uint8, (40, 60, 4))
    np.testing.assert_array_equal(picture[..., :3], scene())
    np.testing.assert_allclose(picture[..., 3] / 255, seg.probability(2), atol=0.503 / 255)
    assert (seg.cutout((1, 2))[..., 3] == 255).all()
    with pytest.raises(InvalidParameterError, match=r"label must be at most k = 2, got 3\."):
        seg.cutout(3)
    with pytest.raises(InvalidParameterError, match="label must name one class at least"):
        seg.cutout(())
    with pytest.raises(InvalidParameterError, match="rgb must be"):
        cut_out(np.zeros((2, 2)), np.zeros((2, 2)))


def test_bgr_is_segmented_as_rgb():
    rgb = scene()
    rgb[..., 0] //= 2
    bgr = rgb[..., ::-1]
    image = from_bgr(bgr)
    assert image.colour
    np.testing.assert_array_equal(image.data, rgb)
    expected = gmmseg.segment(rgb, 2)
    np.testing.assert_array_equal(gmmseg.segment(gmmseg.from_bgr(bgr), 2).labels, expected.labels)


def test_alpha_of_bgra_is_a_mask():
    bgra = np.dstack([scene(), np.full((40, 60), 9, np.uint8)])
    bgra[:5, :, 3] = 0
    image = from_bgr(bgra, mask=np.arange(60) < 50 + np.zeros((40, 1)), spacing=2)
    assert image.n_bands == 3
    assert image.spacing == (2, 2)
    assert image.mask.sum() == 35 * 50
    assert from_bgr(scene()[..., :1]).n_bands == from_bgr(scene()[..., 0]).n_bands == 1
    with pytest.raises(InvalidDataError, match=r"got shape \(4, 5, 2\)\. Give other bands"):
        from_bgr(np.zeros((4, 5, 2)))


LIBGL = "ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"


def test_a_bare_server_needs_opencv_for_contours_only():
    """`import cv2` fails as it does where libGL is not there."""
    code = f"""
import sys
class Bare:
    def find_spec(self, name, *_):
        if name == "cv2":
            raise {LIBGL}
sys.meta_path.insert(0, Bare())
import numpy as np, gmmseg
from gmmseg.contours import outlines
seg = gmmseg.segment(np.array([[9, 0, 9, 9]], np.uint8), k=2)
seg.components(2), seg.boxes(), seg.grabcut_mask(), seg.cutout(2), outlines(seg.mask(2))
gmmseg.from_bgr(np.zeros((2, 2, 3), np.uint8))
try:
    seg.contours(2)
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout == (
        "OpenCV needs libraries of the system; on Debian and Ubuntu: apt-get install -y libgl1 "
        "libglib2.0-0 libxcb1 (libGL.so.1: cannot open shared object file: No such file or "
        "directory)\n"
    )
    assert done.stderr == ""


def test_opencv_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    message = "Install OpenCV: pip install --force-reinstall opencv-python"
    with pytest.raises(MissingDependencyError, match=message):
        import_optional("cv2")
