"""Rows made where they are read: the same as arrays to their users, without the room."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gmmseg
from gmmseg import FeatureSpec, SegmentOptions, pixels, used_pixels
from gmmseg.errors import InvalidParameterError
from gmmseg.image import Image
from gmmseg.io.streamed import Streamed, streamed
from gmmseg.io.tiff_writer import write_tiff
from gmmseg.mixture import lazy
from gmmseg.mixture import rows as rows_module
from gmmseg.mixture.lazy import JoinedRows, LazyRows, MaskIndex
from gmmseg.outputs import OutputOptions, planned_outputs, write_outputs
from gmmseg.used_pixels import used_values

SCRIPT = Path(__file__).parents[1] / "scripts" / "benchmark_memory.py"
RAW = FeatureSpec(colour_space="raw")


@given(
    n=st.integers(1, 3000),
    share=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_a_mask_is_an_index(n, share, seed, data):
    rng = np.random.default_rng(seed)
    mask = rng.random(n) < share
    index, expected = MaskIndex(mask), np.flatnonzero(mask)
    assert len(index) == len(expected)
    start = data.draw(st.integers(0, len(expected)))
    stop = data.draw(st.integers(start, len(expected)))
    np.testing.assert_array_equal(index[start:stop], expected[start:stop])
    chosen = rng.integers(0, max(len(expected), 1), 20 * bool(len(expected)))
    np.testing.assert_array_equal(index[chosen], expected[chosen])


def test_rows_far_apart_in_a_mask(monkeypatch):
    monkeypatch.setattr(lazy, "PART", 700)
    mask = np.random.default_rng(0).random(9000) < 0.3
    chosen = np.array([2500, 3, 3, 1999, 0])
    np.testing.assert_array_equal(MaskIndex(mask)[chosen], np.flatnonzero(mask)[chosen])


def test_joined_rows_are_one_set():
    parts = [np.arange(8.0).reshape(4, 2), np.arange(6, dtype=np.uint8).reshape(3, 2)]
    joined, whole = JoinedRows(parts), np.concatenate(parts)
    np.testing.assert_array_equal(np.asarray(joined), whole)
    for key in (slice(2, 6), slice(4, 7), slice(0, 7, 3), np.array([6, 0, 3])):
        np.testing.assert_array_equal(joined[key], whole[key])
        np.testing.assert_array_equal(joined[key, 1], whole[key, 1])
    columns = joined[:, np.array([True, False])]
    assert isinstance(columns, LazyRows)
    np.testing.assert_array_equal(columns[3:5], whole[3:5, :1])


@pytest.fixture
def nothing_held(monkeypatch):
    monkeypatch.setattr(used_pixels, "_HELD", 0)
    monkeypatch.setattr(pixels, "_HELD", 0)
    monkeypatch.setattr(rows_module, "_LARGEST_COPY", 0)


def scene(dtype=np.uint16, shape=(60, 80), bands=4):
    rng = np.random.default_rng(5)
    ground = rng.integers(0, 3, shape)[..., None] * 15000 + 10000
    return (ground + rng.normal(0, 1500, (*shape, bands))).astype(dtype)


def holes(shape=(60, 80)):
    mask = np.random.default_rng(6).random(shape) < 0.7
    mask[: shape[0] // 3] = False
    return mask


def with_gaps():
    values = scene(np.float32)
    values[30:40, :30, 1] = np.nan
    values[50, 60:] = np.nan
    values[55, 3, 2] = np.inf
    return Image.from_array(values, axes="YXC")


IMAGES = {
    "bands": Image.from_array(scene(), axes="YXC"),
    "masked": Image.from_array(scene(), axes="YXC", mask=holes()),
    "planes of bands": Image.from_array(
        np.moveaxis(scene(shape=(5, 12, 80)), -1, 1), axes="ZCYX", mask=holes((5, 12, 80))
    ),
    "bands missing": Image.from_array(
        scene(), axes="YXC", mask=np.random.default_rng(1).random((60, 80, 4)) < 0.9
    ),
    "gaps": with_gaps(),
}


@pytest.mark.parametrize("bands", [None, (3, 1)])
@pytest.mark.parametrize("name", IMAGES)
def test_values_are_those_of_the_image(name, bands, nothing_held):
    image = IMAGES[name]
    spec = FeatureSpec(colour_space="raw", bands=bands).resolve(image)
    valid = spec.valid(image)
    expected = image.data[np.ones(image.shape, bool) if valid is None else valid].astype(float)
    missing = np.zeros(image.data.shape, bool) if image.missing is None else image.missing
    gaps = missing[np.ones(image.shape, bool) if valid is None else valid]
    expected[gaps | ~np.isfinite(expected)] = np.nan
    expected = expected[:, list(spec.chosen(image))]
    found = used_values(image, spec, valid)
    np.testing.assert_array_equal(np.asarray(found), expected)
    np.testing.assert_array_equal(found[7:300], expected[7:300])
    np.testing.assert_array_equal(found[np.array([200, 3])], expected[[200, 3]])


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("position", [0.0, 1.0])
def test_what_is_not_held_is_fitted_the_same(name, position, monkeypatch):
    options = SegmentOptions(features=FeatureSpec(colour_space="raw", position=position))
    held = gmmseg.segment(IMAGES[name], 3, options)
    monkeypatch.setattr(used_pixels, "_HELD", 0)
    monkeypatch.setattr(pixels, "_HELD", 0)
    free = gmmseg.segment(IMAGES[name], 3, options)
    np.testing.assert_array_equal(free.mixture.means, held.mixture.means)
    np.testing.assert_array_equal(free.labels, held.labels)
    np.testing.assert_array_equal(free.novelty, held.novelty)
    assert free.table == held.table


def test_many_images_are_fitted_where_they_lie(nothing_held):
    image = scene()
    whole = gmmseg.fit([Image.from_array(image, axes="YXC")], 3, "plain").mixture.means
    halves = [Image.from_array(half, axes="YXC") for half in (image[:25], image[25:])]
    found = gmmseg.fit(halves, 3, "plain").mixture.means
    np.testing.assert_allclose(found, whole, rtol=1e-9)


@pytest.mark.parametrize("name", IMAGES)
def test_slabs_are_parts_of_the_whole(name, monkeypatch):
    seg = gmmseg.segment(IMAGES[name], 3, SegmentOptions(features=RAW))
    wholes = {what: getattr(seg, what) for what in ("probabilities", "entropy", "novelty")}
    for step in (1, 7, 1000):
        for what, whole in wholes.items():
            np.testing.assert_array_equal(np.concatenate(list(seg.slabs(what, step))), whole)
        one = np.concatenate(list(seg.slabs("probabilities", step, label=2)))
        np.testing.assert_array_equal(one, seg.probability(2))


def test_slabs_of_what_is_not_there():
    seg = gmmseg.segment(IMAGES["bands"], 2)
    with pytest.raises(InvalidParameterError, match="what must be one of 'probabilities'"):
        seg.slabs("labels", 4)
    with pytest.raises(InvalidParameterError, match="step must be at least 1, got 0"):
        seg.slabs("entropy", 0)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((40, 50, 3), "YXC"), ((600, 700, 2), "YXC"), ((520, 530), "YX"), ((3, 20, 30), "ZYX")],
)
def test_streams_are_written_as_arrays_are(shape, axes, tmp_path):
    array = np.random.default_rng(0).random(shape, np.float32)
    whole = streamed(array)
    parts = Streamed(shape, array.dtype, whole.make)
    for name, values in (("array", array), ("parts", parts)):
        write_tiff(tmp_path / f"{name}.tif", values, axes=axes)
    read = [gmmseg.read_image(tmp_path / f"{name}.tif").data for name in ("array", "parts")]
    np.testing.assert_array_equal(read[0].reshape(shape), array)
    np.testing.assert_array_equal(read[1].reshape(shape), array)


@pytest.mark.parametrize("kind", ["tif", "npz"])
@pytest.mark.parametrize("name", ["bands", "masked", "gaps"])
def test_files_hold_what_is_in_memory(name, kind, tmp_path):
    seg = gmmseg.segment(IMAGES[name], 3)
    options = OutputOptions(overlay=False, probabilities=kind, entropy=True)
    plan = planned_outputs(tmp_path / "a", 3, options)
    write_outputs(seg, plan)
    if kind == "npz":
        with np.load(plan["probabilities"]) as stored:
            soft = stored["probabilities"]
    else:
        soft = gmmseg.read_image(plan["probabilities"]).data
    np.testing.assert_array_equal(soft, seg.probabilities)
    entropy = gmmseg.read_image(plan["entropy"]).data[..., 0]
    np.testing.assert_array_equal(entropy, seg.entropy)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("case", ["scene", "scene-masked"])
def test_fitting_adds_little_to_a_large_image(case):
    """24 Mpixel of 4 bands take 192 MB: a copy would add so much, features as floats twice that."""
    command = [sys.executable, str(SCRIPT), "--pixels", "24", "--cases", case]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    added = float(done.stdout.splitlines()[-1].split("**")[1])
    assert 0 <= added < 100
