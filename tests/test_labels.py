"""Label maps: types, colours, borders, masks, grey maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.color import deltaE_ciede2000, rgb2lab

from gmmseg.errors import InvalidParameterError
from gmmseg.labels import (
    boundaries,
    check_labels,
    class_mask,
    grey_map,
    label_counts,
    label_dtype,
    palette,
)

# Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, severity 1, for linear RGB.
DEUTERANOPIA = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)
PROTANOPIA = np.array(
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]
)

label_maps = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16]),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.integers(0, 4),
)


def smallest_difference(colours, matrix):
    """Smallest CIEDE2000 between any two colours as seen through `matrix`."""
    encoded = colours / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ matrix.T, 0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055))
    distance = deltaE_ciede2000(lab[:, np.newaxis], lab[np.newaxis])
    return distance[np.triu_indices(len(lab), 1)].min()


@pytest.mark.parametrize("matrix", [np.eye(3), DEUTERANOPIA, PROTANOPIA])
@pytest.mark.parametrize(("n", "least"), [(2, 40), (5, 15), (8, 13), (12, 11)])
def test_first_colours_are_told_apart(n, least, matrix):
    assert smallest_difference(palette(n).astype(float), matrix) > least


def test_colour_of_a_class_does_not_depend_on_n():
    most = palette(65_535)
    assert most.shape == (65_535, 3)
    assert most.dtype == np.uint8
    for n in (1, 2, 12, 13, 300):
        np.testing.assert_array_equal(palette(n), most[:n])


def test_all_colours_differ_and_neighbours_much():
    colours = palette(65_535).astype(int)
    assert len(np.unique(colours, axis=0)) == 65_535
    assert np.abs(np.diff(colours, axis=0)).max(axis=1).min() >= 60
    assert colours.max(axis=1).min() >= 90  # none is black, which stands for "not used"


@pytest.mark.parametrize("n", [0, -1, 65_536, 2.0, True])
def test_impossible_numbers_of_classes(n):
    with pytest.raises(InvalidParameterError, match=r"n must be .*got"):
        palette(n)
    with pytest.raises(InvalidParameterError, match=r"n_labels must be .*got"):
        label_dtype(n)


def test_label_dtype():
    assert [label_dtype(n) for n in (1, 255, 256, 65_535)] == ["u1", "u1", "u2", "u2"]


def test_check_labels():
    labels = np.array([[0, 3]], np.uint8)
    assert check_labels(labels, 3) is labels
    assert check_labels(np.zeros((0, 2), np.uint8), 3).size == 0
    with pytest.raises(InvalidParameterError, match=r"labels must be at most n_labels = 2, got 3"):
        check_labels(labels, 2)
    with pytest.raises(InvalidParameterError, match=r"labels must be uint8 or uint16, got int64"):
        check_labels(labels.astype(np.int64), 3)


@given(label_maps)
def test_label_counts(labels):
    expected = [(labels == label).sum() for label in range(5)]
    counts = label_counts(labels, 4)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, expected)


def test_label_counts_of_more_than_a_block():
    labels = np.random.default_rng(0).integers(0, 4, (400, 401), np.uint8)
    np.testing.assert_array_equal(
        label_counts(labels, 9), np.bincount(labels.ravel(), minlength=10)
    )


@given(label_maps)
def test_masks_add_up_to_the_labels(labels):
    again = sum(label * (class_mask(labels, label) // 255) for label in range(1, 5))
    np.testing.assert_array_equal(again, labels)


@pytest.mark.parametrize("order", ["C", "F"])
def test_masks_are_what_opencv_wants(order):
    labels = np.asarray(np.arange(6, dtype=np.uint16).reshape(2, 3), order=order)
    mask = class_mask(labels.T, 4)
    assert mask.dtype == np.uint8
    assert mask.flags.c_contiguous
    assert mask.tolist() == [[0, 0], [0, 255], [0, 0]]
    assert class_mask(np.zeros((2, 3, 4), np.uint8), 0).shape == (2, 3, 4)


def test_label_of_a_mask_is_a_whole_number():
    with pytest.raises(InvalidParameterError, match=r"label must be at least 0, got -1"):
        class_mask(np.zeros((2, 2), np.uint8), -1)


def naive_boundaries(labels):
    rows, cols = labels.shape
    edge = np.zeros((rows, cols), bool)
    for i in range(rows):
        for j in range(cols):
            right = j + 1 < cols and labels[i, j] != labels[i, j + 1]
            lower = i + 1 < rows and labels[i, j] != labels[i + 1, j]
            edge[i, j] = right or lower
    return edge


@given(label_maps)
def test_boundaries_against_a_loop(labels):
    np.testing.assert_array_equal(boundaries(labels), naive_boundaries(labels))


def test_boundaries_are_of_planes():
    with pytest.raises(
        InvalidParameterError, match=r"labels must be \(rows, cols\), got .*\(2, 2, 2\)"
    ):
        boundaries(np.zeros((2, 2, 2), np.uint8))


def test_grey_map():
    values = np.array([[np.nan, -np.inf, -1.0], [0.25, np.inf, 1.0]], np.float32)
    grey = grey_map(values)
    assert grey.dtype == np.uint8
    assert grey.tolist() == [[0, 0, 0], [64, 255, 255]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint64, np.float32, np.float64])
def test_grey_map_of_all_types(dtype):
    values = np.array([0, 10, 110, 127], dtype)
    assert grey_map(values, 10, 110).tolist() == [0, 0, 255, 255]


def test_grey_map_of_large_numbers_that_differ_little():
    values = 1_000_000_000 + np.arange(256, dtype=np.int64)
    np.testing.assert_array_equal(grey_map(values, 1e9, 1e9 + 255), np.arange(256))


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3)))
def test_grey_map_of_bytes_changes_nothing(values):
    np.testing.assert_array_equal(grey_map(values, 0, 255), values)
    np.testing.assert_array_equal(grey_map(values / 255), values)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1)])
def test_grey_map_needs_a_range(low, high):
    with pytest.raises(InvalidParameterError, match=r"high must be more than low"):
        grey_map([0.0], low, high)
