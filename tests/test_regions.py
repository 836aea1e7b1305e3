"""Regions: numbers, specks, holes, neighbours that are joined; areas as people write them."""

import naive_regions as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmseg.area import parse_area
from gmmseg.errors import InvalidDataError, InvalidParameterError, ModelFormatError
from gmmseg.regions import (
    RegionOptions,
    as_map,
    clean_labels,
    connected_regions,
    merge_regions,
)

CONNECTIVITY = [((11, 13), 4), ((11, 13), 8), ((4, 6, 7), 6), ((4, 6, 7), 18), ((4, 6, 7), 26)]


def maps(shape=(9, 12), most=3):
    """Label maps with pixels that are not used; patches as well as noise."""
    sizes = st.sampled_from([1, 2, 3])
    return st.builds(_patches, st.integers(0, 2**32 - 1), sizes, st.just(shape), st.just(most))


def _patches(seed, size, shape, most):
    coarse = tuple(-(-n // size) for n in shape)
    labels = np.random.default_rng(seed).integers(0, most + 1, coarse).astype(np.uint8)
    for axis in range(len(shape)):
        labels = labels.repeat(size, axis=axis)
    return np.ascontiguousarray(labels[tuple(slice(0, n) for n in shape)])


def random_labels(shape, seed=0, most=3):
    return np.random.default_rng(seed).integers(0, most + 1, shape).astype(np.uint8)


@pytest.mark.parametrize(("shape", "connectivity"), CONNECTIVITY)
def test_regions_are_what_a_flood_reaches(shape, connectivity):
    for most in (1, 3):
        labels = random_labels(shape, most, most)
        found = connected_regions(labels, connectivity)
        np.testing.assert_array_equal(found, naive.flood(labels, connectivity))


@given(maps(), st.sampled_from([4, 8]))
def test_regions_of_patches(labels, connectivity):
    found = connected_regions(labels, connectivity)
    np.testing.assert_array_equal(found, naive.flood(labels, connectivity))


def test_edges_connect_by_default_and_faces_in_volumes():
    corner = np.array([[1, 2], [2, 1]], np.uint8)
    assert connected_regions(corner).max() == 4
    assert connected_regions(np.stack([corner, corner])).max() == 4


@pytest.mark.parametrize(("shape", "connectivity"), CONNECTIVITY)
@pytest.mark.parametrize("use_probabilities", [False, True])
def test_the_smallest_goes_first_to_the_class_that_suits(shape, connectivity, use_probabilities):
    """One region smaller than the rest, so that no order of equals matters."""
    rng = np.random.default_rng(len(shape) + connectivity)
    labels = random_labels(shape, 5)
    soft = rng.random((3, *shape)).astype(np.float32) if use_probabilities else None
    took = (lambda c: soft[c - 1]) if use_probabilities else None
    options = RegionOptions(min_area=2, connectivity=connectivity)
    found = clean_labels(labels, options, probability=took)
    expected = labels
    while (step := naive.clean_one(expected, connectivity, 2, soft)) is not None:
        expected = step[0]
    np.testing.assert_array_equal(found, expected)


@given(maps(), st.integers(1, 40), st.sampled_from([4, 8]), st.integers(0, 30))
@settings(max_examples=60)
def test_what_cleaning_leaves(labels, min_area, connectivity, max_hole):
    options = RegionOptions(min_area=min_area, max_hole=max_hole, connectivity=connectivity)
    found = clean_labels(labels, options)
    assert found.dtype == labels.dtype
    np.testing.assert_array_equal(found == 0, labels == 0)
    assert set(np.unique(found)) <= set(np.unique(labels))
    regions = connected_regions(found, connectivity)
    for r, size in enumerate(np.bincount(regions.ravel())[1:], start=1):
        assert size >= min_area or not naive.borders(found, regions == r, connectivity)
    np.testing.assert_array_equal(clean_labels(found, options), found)
    large = connected_regions(labels, connectivity)
    for r, size in enumerate(np.bincount(large.ravel())[1:], start=1):
        if size >= max(min_area, max_hole + 1):  # nothing large moves
            np.testing.assert_array_equal(found[large == r], labels[large == r])


@given(st.permutations(range(1, 9)), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_flips_commute(widths, seed):
    """Stripes of different widths, with probabilities of their classes: there are no ties."""
    rng = np.random.default_rng(seed)
    classes = np.cumsum(rng.integers(1, 3, 8)) % 3 + 1  # neighbours differ
    labels = np.repeat(classes, widths)[None].astype(np.uint8)
    soft = rng.random((3, *labels.shape)).astype(np.float32)
    options = RegionOptions(min_area=2)
    there = clean_labels(labels, options, probability=lambda c: soft[c - 1])
    back = clean_labels(labels[:, ::-1], options, probability=lambda c: soft[c - 1][:, ::-1])
    np.testing.assert_array_equal(there, back[:, ::-1])


def test_a_speck_goes_where_its_pixels_belong_not_where_its_border_is():
    labels = np.ones((5, 6), np.uint8)
    labels[:, 3:] = 2
    labels[2, 2] = 3
    assert clean_labels(labels, RegionOptions(min_area=2))[2, 2] == 1
    soft = np.zeros((3, 5, 6), np.float32)
    soft[1, 2, 2] = 0.4
    kept = RegionOptions(min_area=2)
    assert clean_labels(labels, kept, probability=lambda c: soft[c - 1])[2, 2] == 2


def test_borders_are_measured_in_real_units():
    labels = np.ones((5, 5), np.uint8)
    labels[2] = 2, 2, 3, 2, 2
    options = RegionOptions(min_area=2)
    assert clean_labels(labels, options, spacing=(1.0, 5.0))[2, 2] == 1  # edges below and above
    assert clean_labels(labels, options, spacing=(5.0, 1.0))[2, 2] == 2


HOLED = np.array(
    [
        [1, 1, 1, 1, 1, 2],
        [1, 2, 2, 1, 1, 1],
        [1, 2, 3, 1, 0, 1],
        [1, 1, 1, 1, 3, 1],
    ],
    np.uint8,
)


def test_holes_are_filled_and_nothing_else():
    found = clean_labels(HOLED, RegionOptions(max_hole=1))
    np.testing.assert_array_equal(found, HOLED)  # 3 within 2 and 1 is no hole of a single region
    lake = np.ones((6, 6), np.uint8)
    lake[1:5, 1:5] = 2
    lake[2, 2] = 3
    assert (clean_labels(lake, RegionOptions(max_hole=16)) == 1).all()
    np.testing.assert_array_equal(np.unique(clean_labels(lake, RegionOptions(max_hole=1))), [1, 2])
    np.testing.assert_array_equal(clean_labels(lake, RegionOptions(max_hole=15)) == 2, lake > 1)
    assert lake[2, 2] == 3  # what was given stays as it was


def test_a_hole_that_shows_late_is_filled_too():
    labels = np.ones((5, 7), np.uint8)
    labels[1:4, 1:6] = 2
    labels[2, 2:5] = 3
    labels[1, 1] = 1  # 3 lies within 2, and 2 within 1: the outer one is examined after the inner
    assert (clean_labels(labels, RegionOptions(max_hole=15)) == 1).all()


def test_an_island_without_neighbours_stays():
    labels = np.array([[1, 0, 2, 2], [0, 0, 2, 2]], np.uint8)
    np.testing.assert_array_equal(clean_labels(labels, RegionOptions(min_area=99)), labels)
    empty = np.zeros((3, 4), np.uint8)
    np.testing.assert_array_equal(clean_labels(empty, RegionOptions(min_area=9)), empty)


def test_all_is_one_class_when_nothing_is_large_enough():
    found = clean_labels(random_labels((20, 20), most=3) % 3 + 1, RegionOptions(min_area=1e300))
    assert len(np.unique(found)) == 1


@pytest.mark.parametrize("connectivity", [4, 8])
def test_regions_join_by_least_growth_of_the_variance(connectivity):
    rng = np.random.default_rng(3)
    regions = naive.flood(random_labels((9, 9), 1), connectivity).astype(np.int32)
    values = rng.normal(size=(2, 9, 9))
    n = int(regions.max())
    pairs = naive.touching(regions, connectivity)
    costs = {pair: naive.ward(*pair, values, regions) for pair in pairs}
    a, b = min(costs, key=costs.__getitem__)
    expected = np.where(regions == b, a, regions)
    options = RegionOptions(n_regions=n - 1, connectivity=connectivity)
    found = merge_regions(regions, values, options)
    assert found.max() == n - 1
    np.testing.assert_array_equal(found, np.unique(expected, return_inverse=True)[1].reshape(9, 9))


@given(maps(), st.integers(1, 30), st.integers(0, 99))
@settings(max_examples=40)
def test_so_many_regions_are_left(labels, n_regions, seed):
    regions = connected_regions(labels)
    values = np.random.default_rng(seed).normal(size=(2, *labels.shape))
    found = merge_regions(regions, values, RegionOptions(n_regions=n_regions))
    islands = connected_regions((labels > 0).astype(np.uint8)).max()
    assert found.max() == min(max(n_regions, islands), regions.max())
    np.testing.assert_array_equal(found == 0, regions == 0)
    for r in range(1, regions.max() + 1):
        assert len(np.unique(found[regions == r])) == 1  # regions are joined, never cut


@given(maps(), st.floats(0.1, 2.0), st.integers(0, 99))
@settings(max_examples=40)
def test_no_neighbours_are_left_nearer_than_the_distance(labels, distance, seed):
    regions = connected_regions(labels)
    values = np.random.default_rng(seed).normal(size=(2, *labels.shape))
    found = merge_regions(regions, values, RegionOptions(merge_distance=distance))
    for a, b in naive.touching(found, 4):
        means = [values[:, found == r].mean(axis=1) for r in (a, b)]
        assert np.linalg.norm(means[0] - means[1]) >= distance * (1 - 1e-9)


def test_the_type_of_a_map_of_regions():
    few, many = np.array([[65535]], np.int32), np.array([[65536]], np.int32)
    assert (as_map(few).dtype, as_map(many).dtype) == (np.uint16, np.uint32)


@pytest.mark.parametrize(
    ("text", "n_axes", "length", "expected"),
    [
        (20, 2, "", 20.0),
        ("20", 3, "mm", 20.0),
        ("20 px", 2, "m", 20.0),
        ("0.5 %", 2, "", 5.0),
        ("5 mm2", 2, "mm", 20.0),
        ("5 mm^2", 2, "", 20.0),
        ("5e6 µm²", 2, "mm", 20.0),
        ("1 ha", 2, "m", 40000.0),
        ("0.5ml", 3, "mm", 4000.0),
        ("0.5ml", 3, "", 4000.0),
        ("1 cm3", 3, "mm", 8000.0),
        ("1 l", 3, "cm", 8000.0),
        ("1 km2", 2, "m", 4e6),
    ],
)
def test_areas_in_pixels(text, n_axes, length, expected):
    found = parse_area(text, "it").in_pixels(1000, n_axes, (0.5,) * n_axes, length)
    assert found == pytest.approx(expected, rel=1e-12)


def test_areas_decide_by_their_size_in_the_image():
    labels = np.ones((9, 9), np.uint8)
    labels[4, 2:6] = 2  # 4 pixels of 0.1 mm by 0.1 mm: a hair off 0.04 mm2 in binary
    for area, left in (("0.04 mm2", 2), ("0.041 mm2", 1)):
        options = RegionOptions(min_area=area)
        assert clean_labels(labels, options, spacing=(0.1, 0.1), unit="mm").max() == left
    for area, left in (("0.04 mm2", 1), ("0.039 mm2", 2)):
        options = RegionOptions(max_hole=area)
        assert clean_labels(labels, options, spacing=(0.1, 0.1), unit="mm").max() == left


@pytest.mark.parametrize(
    "wrong", ["5 apples", "mm2", "-3", "5 mm", "1e999", "1.2.3", "5 ha2", "nan"]
)
def test_areas_that_are_none(wrong):
    with pytest.raises(InvalidParameterError, match=r"^min_area must be a number of pixels, or a"):
        RegionOptions(min_area=wrong)


@pytest.mark.parametrize(
    ("area", "shape", "spacing", "unit", "message"),
    [
        ("5 mm2", (4, 4), None, "", r"^5 mm2 needs the size of a pixel.*--spacing"),
        (
            "5 ml",
            (4, 4),
            (1, 1),
            "mm",
            r"^5 ml is a volume, but the image has 2 axes: give an area",
        ),
        ("5 mm2", (2, 4, 4), (1, 1, 1), "mm", r"^5 mm2 is an area.* give a volume or a number"),
        ("5 mm2", (4, 4), (1, 1), "degree", r"^5 mm2 cannot be told in pixels of 'degree'"),
    ],
)
def test_areas_that_do_not_suit_the_image(area, shape, spacing, unit, message):
    with pytest.raises(InvalidParameterError, match=message):
        clean_labels(
            np.ones(shape, np.uint8), RegionOptions(min_area=area), spacing=spacing, unit=unit
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_area": -1}, r"^min_area must be at least 0, got -1\.$"),
        ({"max_hole": None}, r"^max_hole must be a number of pixels, or a text"),
        ({"connectivity": 5}, r"^connectivity must be one of 4, 6, 8, 18, 26, got 5\.$"),
        ({"merge_distance": float("nan")}, r"^merge_distance must be finite, got nan\.$"),
        ({"n_regions": 0}, r"^n_regions must be at least 1, got 0\.$"),
    ],
)
def test_options_that_break_a_rule(wrong, message):
    with pytest.raises(InvalidParameterError, match=message):
        RegionOptions(**wrong)


def test_options_as_json_and_back():
    chosen = RegionOptions(min_area="5 mm2", max_hole=7, connectivity=8, n_regions=3)
    assert RegionOptions.from_dict(chosen.to_dict()) == chosen
    assert RegionOptions(min_area=np.float32(2)).to_dict()["min_area"] == 2.0
    for wrong, message in (
        ([], r"^regions must be an object, got list\.$"),
        ({}, r"^regions: the entry 'connectivity' is missing\.$"),
        (chosen.to_dict() | {"x": 1}, r"^regions: the entry 'x' is not known to this version\.$"),
        (chosen.to_dict() | {"min_area": "x"}, r"^regions: min_area must be a number of pixels"),
    ):
        with pytest.raises(ModelFormatError, match=message):
            RegionOptions.from_dict(wrong)


def test_arrays_that_do_not_suit():
    with pytest.raises(InvalidDataError, match=r"^labels must be \(rows, cols\) or .* of float64"):
        connected_regions(np.ones((3, 3)))
    with pytest.raises(
        InvalidDataError, match=r"^features must be of shape \(F, \*\(1, 3\)\), got"
    ):
        merge_regions([[1, 2, 3]], [[1.0]], RegionOptions(n_regions=1))
    with pytest.raises(
        InvalidParameterError, match=r"^connectivity must be 4 or 8 in 2 dimen.* 26"
    ):
        connected_regions(np.ones((3, 3), np.uint8), 26)
