"""Classes of pixels, their table and the box around them against plain NumPy."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmseg._class_kernels import share_pass
from gmmseg.classes import class_table, class_table_of_levels, format_table
from gmmseg.smoothing import most_probable
from gmmseg.used_pixels import box_around


def naive(labels, bands, counts, k):
    """Pixels, means and standard deviations, by looking at each class apart."""
    if counts is not None:
        labels, bands = np.repeat(labels, counts), np.repeat(bands, counts, axis=0)
    for label in range(1, k + 1):
        rows = bands[labels == label].astype(np.float64)
        yield len(rows), rows.mean(axis=0), rows.std(axis=0)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 300),
    k=st.integers(1, 5),
    counted=st.booleans(),
    dtype=st.sampled_from(["uint8", "uint16", "int32", "float32", "float64"]),
)
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value", "ignore:Degrees")
def test_against_numpy(seed, n, k, counted, dtype):
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, k + 1, n).astype(np.uint8)
    bands = rng.uniform(0, 255, (n, 3)).astype(dtype)
    counts = rng.integers(1, 9, n) if counted else None
    table = class_table(labels, bands, counts, k)
    assert [row.label for row in table] == list(range(1, k + 1))
    assert sum(row.share for row in table) == pytest.approx(1)
    total = n if counts is None else counts.sum()
    for row, (pixels, mean, std) in zip(table, naive(labels, bands, counts, k), strict=True):
        assert (row.pixels, row.share) == (pixels, pytest.approx(pixels / total))
        assert row.area is None
        np.testing.assert_allclose(row.mean, mean, rtol=1e-12)
        np.testing.assert_allclose(row.std, std, rtol=1e-10, atol=1e-10)


def test_a_class_without_pixels_has_no_mean():
    empty, full = class_table(np.array([2, 2]), np.array([[1.0], [3.0]]), None, 2, (2.0, 3.0))
    assert (empty.pixels, empty.share, empty.area) == (0, 0.0, 0.0)
    assert np.isnan([*empty.mean, *empty.std]).all()
    assert (full.mean, full.std, full.area) == ((2.0,), (1.0,), 12.0)
    assert empty.to_dict()["mean"] == [None]
    json.dumps(empty.to_dict(), allow_nan=False)


@pytest.mark.parametrize("offset", [1e6, 1e9, -1e12])
@pytest.mark.parametrize("counted", [False, True])
def test_large_offsets_do_not_cancel(offset, counted):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 64, (5000, 1)).astype(np.float64)
    labels = rng.integers(1, 3, 5000)
    counts = rng.integers(1, 5, 5000) if counted else None
    near = class_table(labels, small, counts, 2)
    for row, far in zip(near, class_table(labels, small + offset, counts, 2), strict=True):
        assert far.std[0] == pytest.approx(row.std[0], rel=1e-12)
        assert far.mean[0] == pytest.approx(row.mean[0] + offset, rel=1e-15)


def test_two_classes_far_apart_keep_their_small_spread():
    labels = np.repeat([1, 2], 1000)
    wave = np.tile([-0.5, 0.5], 500)
    bands = np.concatenate([wave, wave + 1e9])[:, np.newaxis]
    assert [row.std[0] for row in class_table(labels, bands, None, 2)] == pytest.approx([0.5, 0.5])


def test_a_constant_band_has_exactly_no_spread():
    row = class_table(np.ones(999, int), np.full((999, 1), 0.1), None, 1)[0]
    assert (row.mean, row.std) == ((0.1,), (0.0,))


def test_the_bands_are_left_as_they_are():
    bands = np.arange(6.0).reshape(3, 2)
    bands.setflags(write=False)
    class_table(np.array([1, 1, 2]), bands, np.array([1, 2, 3]), 2)


@pytest.mark.parametrize(("spacing", "area"), [((2.0, 0.5), 3.0), ((2.0, 2.0, 2.0), 24.0)])
def test_area_is_pixels_times_their_size(spacing, area):
    assert class_table(np.array([1, 1, 1]), np.ones((3, 1)), None, 1, spacing)[0].area == area


def test_the_text_for_people():
    table = class_table(
        np.array([1, 1, 1, 2]), np.array([[1.0], [2.0], [3.0], [9.0]]), None, 3, (2.0, 2.0)
    )
    lines = format_table(table, ["grey"], unit="mm").splitlines()
    assert [line.split() for line in lines] == [
        ["class", "share", "pixels", "area", "mm²", "grey", "mean", "+-", "std"],
        ["1", "75.0", "%", "3", "12", "2", "+-", "0.816"],
        ["2", "25.0", "%", "1", "4", "9", "+-", "0"],
        ["3", "0.0", "%", "0", "0", "nan", "+-", "nan"],
    ]
    assert len({len(line) for line in lines}) == 1
    assert "mm³" in format_table(table, ["grey"], unit="mm", n_axes=3)


# --- kernels -----------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 5),
    shape=st.sampled_from([(1,), (7, 9), (3, 40, 50)]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_the_most_probable_class_is_the_first_of_the_largest(seed, k, shape, dtype):
    shares = np.random.default_rng(seed).integers(0, 4, (k, *shape)).astype(dtype)
    expected = np.where(shares.max(axis=0) > 0, shares.argmax(axis=0) + 1, 0)
    for labels in (np.uint8, np.uint16):
        found = most_probable(shares, labels, threads=1)
        assert found.dtype == labels
        np.testing.assert_array_equal(found, expected)


def test_threads_and_layout_do_not_matter_to_labels():
    shares = np.random.default_rng(0).random((600_000, 3), np.float32).T
    one = most_probable(shares, np.uint8, threads=1)
    np.testing.assert_array_equal(one, most_probable(shares.copy(), np.uint8, threads=2))
    np.testing.assert_array_equal(one, shares.argmax(axis=0) + 1)


@pytest.mark.parametrize("n", [0, 1, 1001])
def test_sums_of_shares(n):
    shares = np.random.default_rng(n).random(n, np.float32)
    sums = np.empty(3)
    share_pass(shares, (np.float32(0.9), np.float32(0.1)), sums)
    expected = shares.sum(dtype=np.float64), (shares >= 0.9).sum(), (shares >= 0.1).sum()
    np.testing.assert_allclose(sums, expected, rtol=1e-12)


# --- boxes -------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from([(9,), (4, 6), (3, 5, 4)]))
def test_the_box_around_what_is_used(seed, shape):
    used = np.random.default_rng(seed).random(shape) < 0.15
    box = box_around(used)
    places = np.argwhere(used)
    if len(places) == 0:
        assert box[0] == slice(0, 0)
        assert used[box].size == 0
    else:
        ends = zip(places.min(axis=0).tolist(), places.max(axis=0).tolist(), strict=True)
        assert box == tuple(slice(first, last + 1) for first, last in ends)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_picture_of_8_bits_has_the_same_table_by_levels(threads):
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (37, 23, 4), dtype=np.uint8)
    labels = rng.integers(0, 4, (37, 23)).astype(np.uint8)  # 0 does not count; class 4 has none
    bands, used = (2, 0), labels > 0
    found = class_table_of_levels(labels, picture, bands, 4, (2.0, 0.5), threads)
    expected = class_table(labels[used], picture[used][:, list(bands)], None, 4, (2.0, 0.5))
    for one, other in zip(found, expected, strict=True):
        assert (one.label, one.pixels, one.share, one.area) == (
            other.label, other.pixels, other.share, other.area,
        )  # fmt: skip
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12)
        np.testing.assert_allclose(one.std, other.std, rtol=1e-12)
