"""The in-memory image: what its axes mean, and which pixels may be used."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gmmseg.errors import AmbiguousAxesError, InvalidDataError, InvalidParameterError
from gmmseg.image import AXES, Image

# Four lengths that differ, so that an axis at the wrong place is seen.
LENGTHS = {"Z": 5, "Y": 6, "X": 7, "C": 8}


def array_of(axes, dtype=np.uint8):
    shape = tuple(LENGTHS[letter] for letter in axes)
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("axes", AXES)
def test_axes_are_put_in_order(axes):
    array = array_of(axes, np.int32)
    image = Image.from_array(array, axes=axes)
    spatial = axes.replace("C", "")
    assert image.shape == tuple(LENGTHS[letter] for letter in "ZYX" if letter in axes)
    assert image.ndim == len(spatial)
    assert image.n_bands == (LENGTHS["C"] if "C" in axes else 1)
    assert image.n_pixels == np.prod(image.shape)
    full = array if "C" in axes else array[..., np.newaxis]
    expected = np.einsum(f"{axes if 'C' in axes else axes + 'C'}->{spatial}C", full)
    np.testing.assert_array_equal(image.data, expected)


def test_the_array_is_not_copied():
    for axes in ("YXC", "CYX"):
        array = array_of(axes)
        assert np.shares_memory(Image.from_array(array, axes=axes).data, array)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 6), (5, 6, 1)),
        ((5, 6, 1), (5, 6, 1)),
        ((5, 6, 4), (5, 6, 4)),
        ((2, 3, 4), (2, 3, 4)),
        ((5, 6, 7, 3), (5, 6, 7, 3)),
    ],
)
def test_obvious_axes(shape, expected):
    assert Image.from_array(np.zeros(shape)).data.shape == expected


@pytest.mark.parametrize(
    ("shape", "choices"),
    [
        ((5, 6, 7), "YXC, CYX, ZYX"),
        ((3, 60, 70), "YXC, CYX, ZYX"),
        ((5, 6, 7, 8), "ZYXC, CZYX, ZCYX"),
    ],
)
def test_ambiguous_axes_list_the_choices(shape, choices):
    with pytest.raises(AmbiguousAxesError) as caught:
        Image.from_array(np.zeros(shape))
    assert str(caught.value) == (
        f"The axes of an array of shape {shape} are ambiguous. Say what they mean with axes= "
        f"(--axes): {choices} (Z planes, Y rows, X columns, C bands)."
    )
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("shape", [(), (5,), (1, 2, 3, 4, 5)])
def test_wrong_number_of_axes(shape):
    with pytest.raises(InvalidDataError, match="An image has two to four axes, got shape "):
        Image.from_array(np.zeros(shape))


def test_axes_are_checked():
    with pytest.raises(InvalidParameterError, match=r"axes must be one of YX, YXC, .*, got 'XY'"):
        Image.from_array(np.zeros((2, 3)), axes="XY")
    with pytest.raises(InvalidParameterError, match=r"'ZYX' names 3 axes, but the array has 2: "):
        Image.from_array(np.zeros((2, 3)), axes="ZYX")


def test_booleans_are_black_and_white():
    image = Image.from_array([[True, False]])
    assert image.data.dtype == np.uint8
    assert image.data.ravel().tolist() == [255, 0]


def test_half_floats_are_widened():
    image = Image.from_array(np.array([[0.1, 60000.0]], np.float16))
    assert image.data.dtype == np.float32
    assert image.data[0, 1, 0] == 60000 - 60000 % 32


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"])
def test_other_types_are_kept(kind):
    assert Image.from_array(np.zeros((2, 3), kind)).data.dtype == np.dtype(kind)


@pytest.mark.parametrize("array", [np.zeros((2, 3), complex), [["a", "b"]], [[None]]])
def test_other_values_are_refused(array):
    with pytest.raises(InvalidDataError, match=r"of integers or floats, got shape "):
        Image.from_array(array)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (4, 4, 0), (0, 4, 4, 3)])
def test_empty_images_are_refused(shape):
    with pytest.raises(InvalidDataError, match=r"The image is empty: its shape is \("):
        Image.from_array(np.zeros(shape))


@pytest.mark.parametrize(
    ("array", "colour"),
    [
        (np.zeros((2, 3, 3), np.uint8), True),
        (np.zeros((2, 3, 3), np.uint16), True),
        (np.zeros((2, 3, 4, 3), np.uint8), True),
        (np.zeros((2, 3, 3), np.float32), False),
        (np.zeros((2, 3, 3), np.int16), False),
        (np.zeros((2, 3, 4), np.uint8), False),
        (np.zeros((2, 3), np.uint8), False),
    ],
)
def test_colour_is_three_bands_of_display_integers(array, colour):
    assert Image.from_array(array).colour is colour


def test_byte_order_does_not_decide_colour():
    swapped = np.zeros((2, 3, 3), np.dtype(np.uint16).newbyteorder())
    assert Image.from_array(swapped).colour


def test_details_are_kept():
    image = Image.from_array(
        np.zeros((2, 3)), spacing=[0.5, 2], unit="mm", path=Path("a.png"), notes=("first",)
    )
    assert (image.spacing, image.unit, image.path) == ((0.5, 2.0), "mm", Path("a.png"))
    assert image.notes == ("first",)
    assert image.mask is None
    assert image.band_names == ()


def test_a_colour_image_needs_three_bands():
    with pytest.raises(InvalidDataError, match="A colour image needs 3 bands, got 2"):
        Image(data=np.zeros((2, 3, 2), np.uint8), colour=True)


@pytest.mark.parametrize("data", [np.zeros((2, 3)), np.zeros((2, 3, 1), bool)])
def test_bare_data_are_checked(data):
    with pytest.raises(InvalidDataError, match=r"An image must be \(rows, cols, bands\) or"):
        Image(data=data)


def test_images_do_not_change():
    image = Image.from_array(np.zeros((2, 3)))
    with pytest.raises(AttributeError):
        image.unit = "m"


# Masks


@given(
    hnp.arrays(
        np.float32, (4, 3, 2), elements=st.sampled_from([0.0, 1.5, np.nan, np.inf, -np.inf])
    ),
    st.one_of(st.none(), hnp.arrays(bool, (4, 3))),
)
def test_usable_is_the_mask_where_bands_are_finite(data, mask):
    image = Image.from_array(data, mask=mask)
    asked = [
        (any, image.valid),
        (any, image.usable([0, 1])),
        (all, image.usable([0, 1], complete=True)),
    ]
    for combine, found in asked:
        expected = np.array(
            [
                [
                    combine(abs(value) < np.inf for value in data[y, x])
                    and (mask is None or mask[y, x])
                    for x in range(3)
                ]
                for y in range(4)
            ]
        )
        if expected.all():
            assert found is None
        else:
            np.testing.assert_array_equal(found, expected)


@given(hnp.arrays(bool, (3, 4, 2)), st.sampled_from([np.uint8, np.float32]))
def test_a_mask_for_each_band(observed, dtype):
    data = np.ones((3, 4, 2), dtype)
    for image in (
        Image.from_array(data, mask=observed),
        Image.from_array(data.transpose(2, 0, 1), mask=observed.transpose(2, 0, 1), axes="CYX"),
        Image.from_array(data).with_mask(observed.astype(np.uint8)),
        Image.from_array(data).with_mask(observed | [True, False]).with_mask(observed),
        Image.from_array(data, mask=np.ones((3, 4))).with_mask(observed),
        Image(data=data, missing=~observed),
    ):
        for band in (0, 1):
            found = image.observed(band)
            np.testing.assert_array_equal(True if found is None else found, observed[..., band])
        valid = image.valid
        np.testing.assert_array_equal(True if valid is None else valid, observed.any(axis=-1))


def test_missing_must_be_bool_of_the_shape_of_the_data():
    for missing in (np.zeros((2, 3), bool), np.zeros((2, 3, 2), int)):
        with pytest.raises(InvalidDataError, match=r"missing must be bool of .* \(2, 3, 2\), got"):
            Image(data=np.zeros((2, 3, 2)), missing=missing)


def test_integers_without_a_mask_are_all_valid():
    assert Image.from_array(np.zeros((2, 3), np.uint8)).valid is None


def test_any_number_but_zero_is_in_the_mask():
    image = Image.from_array(np.zeros((1, 4)), mask=[[0, 1, 255, -0.5]])
    assert image.mask.tolist() == [[False, True, True, True]]


@pytest.mark.parametrize("mask", [np.ones((3, 2)), np.ones((2, 3, 1)), np.ones(6)])
def test_masks_have_the_shape_of_the_image(mask):
    with pytest.raises(InvalidDataError, match=r"must be bool of the image's shape \(2, 3\), got"):
        Image.from_array(np.zeros((2, 3)), mask=mask)
    with pytest.raises(InvalidParameterError, match=r"must have the image's shape \(2, 3\), got"):
        Image.from_array(np.zeros((2, 3))).with_mask(mask)


def test_a_mask_of_another_type_is_refused():
    with pytest.raises(InvalidDataError, match=r"must be bool .*, got uint8"):
        Image(data=np.zeros((2, 3, 1)), mask=np.ones((2, 3), np.uint8))


def test_masks_restrict_one_another():
    plain = Image.from_array(np.zeros((1, 3)))
    once = plain.with_mask([[1, 1, 0]])
    twice = once.with_mask([[0, 1, 1]])
    assert plain.mask is None
    assert once.mask.tolist() == [[True, True, False]]
    assert twice.mask.tolist() == [[False, True, False]]


# Spacing


def test_spacing_is_one_number_for_each_axis():
    flat, volume = Image.from_array(np.zeros((2, 3))), Image.from_array(np.zeros((2, 3, 4, 1)))
    assert flat.spacing is None
    assert flat.with_spacing(2).spacing == (2.0, 2.0)
    assert volume.with_spacing(np.float32(0.5)).spacing == (0.5, 0.5, 0.5)
    assert volume.with_spacing((3, 1, 1)).spacing == (3.0, 1.0, 1.0)
    assert flat.with_spacing((2,)).spacing == (2.0, 2.0)


@pytest.mark.parametrize("spacing", [(1, 2, 3), (), [[1, 2]]])
def test_spacing_of_another_number_of_axes(spacing):
    with pytest.raises(InvalidParameterError, match="one number or one for each of the 2 axes"):
        Image.from_array(np.zeros((2, 3)), spacing=spacing)


@pytest.mark.parametrize("spacing", [0, -1.0, (1, np.nan), (np.inf, 1)])
def test_spacing_is_positive_and_finite(spacing):
    with pytest.raises(InvalidParameterError, match="spacing must be positive and finite, got"):
        Image.from_array(np.zeros((2, 3))).with_spacing(spacing)


@pytest.mark.parametrize("spacing", ["abc", [[1], [1, 2]]])
def test_spacing_that_is_no_number(spacing):
    image = Image.from_array(np.zeros((2, 3)))
    try:
        image.with_spacing(spacing)
    except InvalidParameterError as error:
        assert "spacing" in str(error)  # noqa: PT017 - an error of NumPy has to come through
