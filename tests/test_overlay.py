"""Pictures for people: display, overlay, legend."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gmmseg.errors import InvalidParameterError
from gmmseg.image import Image
from gmmseg.labels import palette
from gmmseg.overlay import LegendEntry, describe_display, display_rgb, overlay, with_legend

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (30, 40, 3), np.uint8)


def image_of(values, **options):
    return Image.from_array(np.asarray(values), **options)


# --- display --------------------------------------------------------------------------------


def test_photos_are_shown_as_they_are():
    image = image_of(PHOTO)
    np.testing.assert_array_equal(display_rgb(image), PHOTO)
    assert describe_display(image) == ""


def test_grey_is_shown_as_it_is():
    grey = PHOTO[..., 0]
    np.testing.assert_array_equal(display_rgb(image_of(grey)), np.stack([grey] * 3, axis=-1))


def test_the_display_is_not_a_view_of_the_data():
    image = image_of(PHOTO.copy())
    display_rgb(image)[:] = 0
    np.testing.assert_array_equal(image.data, PHOTO)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_dark_and_deep_images_are_stretched(dtype):
    image = image_of(np.linspace(10, 40, 900).reshape(30, 30).astype(dtype))
    shown = display_rgb(image)
    assert (shown.min(), shown.max()) == (0, 255)
    assert (np.diff(shown[..., 0].reshape(-1).astype(int)) >= 0).all()
    assert describe_display(image) == "stretched 1-99 %"


def test_big_endian_values_are_read_as_such():
    values = np.arange(1000, 1900, dtype=np.uint16).reshape(30, 30)
    swapped = display_rgb(image_of(values.astype(">u2")))
    np.testing.assert_array_equal(swapped, display_rgb(image_of(values)))


def test_the_stretch_of_colour_keeps_hues():
    values = np.linspace(0, 4000, 600).reshape(20, 30, 1) * np.array([1.0, 0.5, 0.25])
    shown = display_rgb(image_of(values.astype(np.uint16))).astype(int)
    np.testing.assert_allclose(shown[..., 0], 2 * shown[..., 1], atol=140)
    assert shown[-1, -1].tolist()[0] == 255
    assert 100 < shown[-1, -1, 1] < 160


def test_bands_are_stretched_each_by_its_own():
    values = np.linspace(0, 1, 400).reshape(20, 20, 1) * np.array([1.0, 10.0, 1e4, 1e-9])
    shown = display_rgb(image_of(values))
    np.testing.assert_array_equal(shown[..., 0], shown[..., 1])
    np.testing.assert_array_equal(shown[..., 0], shown[..., 2])


def brightest_bands(image):
    """Which band each display channel shows, when band b is brighter to the pixel b only."""
    return display_rgb(image)[0].argmax(axis=0).tolist()


@pytest.mark.parametrize(
    ("n_bands", "names", "bands"),
    [
        (3, (), [0, 1, 2]),
        (6, (), [2, 1, 0]),
        (4, ("Red", "Green", "Blue", "NIR"), [0, 1, 2]),
        (5, ("coastal", "blue", "green", "red", "nir"), [3, 2, 1]),
    ],
)
def test_bands_that_are_shown(n_bands, names, bands):
    values = np.eye(n_bands, dtype=np.float32)[np.newaxis]
    image = Image(data=values, band_names=names)
    assert brightest_bands(image) == bands
    listed = "" if bands == [0, 1, 2] else f"bands {', '.join(str(b + 1) for b in bands)}; "
    assert describe_display(image) == f"{listed}stretched 1-99 %"


def test_of_two_bands_the_first_is_shown():
    image = image_of(np.stack([np.eye(5), np.ones((5, 5))], axis=-1))
    np.testing.assert_array_equal(display_rgb(image)[..., 1], 255 * np.eye(5))
    assert describe_display(image) == "band 1; stretched 1-99 %"


def test_unused_pixels_are_dark_and_do_not_count():
    values = np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)
    values[0, 0], values[0, 1] = np.nan, 1e30
    image = image_of(values, mask=values < 1e30)
    shown = display_rgb(image)
    assert shown[0, :2].max() <= 24 + 255 // 3
    assert shown[9, 9, 0] == 255
    assert 100 < shown[5, 0, 0] < 150


def test_nothing_usable_and_constants():
    assert display_rgb(image_of(np.full((3, 4), np.nan))).max() <= 24
    assert (display_rgb(image_of(np.full((3, 4), 7.0))) == 128).all()
    assert display_rgb(image_of(PHOTO, mask=np.zeros((30, 40)))).max() <= 24 + 255 // 3


def test_few_bright_dots_are_seen():
    values = np.zeros((50, 50), np.uint16)
    values[7, 9] = 3000
    assert display_rgb(image_of(values))[7, 9].tolist() == [255, 255, 255]


def test_planes_of_a_volume():
    volume = np.arange(5, dtype=np.float32)[:, np.newaxis, np.newaxis] * np.ones((5, 4, 3))
    image = image_of(volume, axes="ZYX")
    np.testing.assert_array_equal(display_rgb(image), display_rgb(image, plane=2))
    brightness = [display_rgb(image, plane=p)[0, 0, 0] for p in range(5)]
    assert brightness == sorted(set(brightness))
    assert display_rgb(image).shape == (4, 3, 3)


def test_planes_that_are_not_there():
    volume = image_of(np.zeros((5, 4, 6)), axes="ZYX")
    with pytest.raises(InvalidParameterError, match=r"plane must be less than .* planes 5, got 5"):
        display_rgb(volume, plane=5)
    with pytest.raises(InvalidParameterError, match=r"plane must be at least 0, got -1"):
        display_rgb(volume, plane=-1)
    with pytest.raises(InvalidParameterError, match=r"plane is for volumes"):
        display_rgb(image_of(PHOTO), plane=0)


def test_large_images_are_sampled_fairly():
    values = np.add.outer(np.arange(1200.0), np.arange(900.0))
    shown = display_rgb(image_of(values))[..., 0]
    low, high = np.percentile(values, (1, 99))
    expected = np.clip((values - low) / (high - low), 0, 1) * 255
    assert np.abs(shown - expected).max() < 3


def test_what_lies_between_the_samples_is_seen():
    values = np.zeros((1200, 900), np.float32)
    values[600, 450:453] = 5
    assert display_rgb(image_of(values))[600, 450].tolist() == [255, 255, 255]
    values[:] = np.arange(900)
    mask = np.zeros(values.shape, bool)
    mask[5, 400:421] = True
    shown = display_rgb(image_of(values, mask=mask))[5, :, 0]
    np.testing.assert_allclose(shown[[400, 410, 420]].astype(int), [0, 127.5, 255], atol=1)


# --- overlay --------------------------------------------------------------------------------


@given(
    hnp.arrays(np.uint8, (9, 7, 3)),
    hnp.arrays(np.uint8, (9, 7), elements=st.integers(0, 3)),
    st.booleans(),
    st.sampled_from([3, 200, 5000]),
)
def test_unused_pixels_are_untouched(rgb, labels, outlines, n_labels):
    rgb_before, labels_before = rgb.copy(), labels.copy()
    result = overlay(rgb, labels, n_labels=n_labels, outlines=outlines)
    assert result.shape == rgb.shape
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[labels == 0], rgb[labels == 0])
    np.testing.assert_array_equal(rgb, rgb_before)
    np.testing.assert_array_equal(labels, labels_before)


def naive_overlay(rgb, labels, n_labels, alpha, outlines):
    result = rgb.copy()
    rows, cols = labels.shape
    for i in range(rows):
        for j in range(cols):
            if labels[i, j] == 0:
                continue
            around = [labels[i, j]]
            if j + 1 < cols and labels[i, j + 1]:
                around.append(labels[i, j + 1])
            if i + 1 < rows and labels[i + 1, j]:
                around.append(labels[i + 1, j])
            r, g, b = (int(v) for v in rgb[i, j])
            grey = (77 * r + 150 * g + 29 * b + 128) >> 8
            opacity = alpha * (0.8 + 0.2 * grey / 255)
            if outlines and len(set(around)) > 1:
                opacity, base = 0.9, 0.1 * grey
            else:
                base = (1 - alpha) * grey
            colour = palette(n_labels)[max(around) - 1 if opacity == 0.9 else labels[i, j] - 1]
            result[i, j] = np.rint(base + opacity * colour)
    return result


@pytest.mark.parametrize("outlines", [True, False])
@pytest.mark.parametrize("n_labels", [4, 127, 128, 300])
def test_overlay_against_a_loop(n_labels, outlines):
    labels = RNG.integers(0, 5, (30, 40)).astype(np.uint8 if n_labels < 256 else np.uint16)
    result = overlay(PHOTO, labels, n_labels=n_labels, alpha=0.5, outlines=outlines)
    expected = naive_overlay(PHOTO, labels, n_labels, 0.5, outlines)
    assert np.abs(result.astype(int) - expected).max() <= 1  # float32 against float64


def test_wide_labels_of_few_classes():
    labels = RNG.integers(0, 5, (30, 40), np.uint8)
    np.testing.assert_array_equal(
        overlay(PHOTO, labels.astype(np.uint16), n_labels=4), overlay(PHOTO, labels, n_labels=4)
    )


def test_overlay_of_many_classes():
    labels = np.arange(1200, dtype=np.uint16).reshape(30, 40) * 54
    result = overlay(PHOTO, labels, n_labels=65_535, outlines=False)
    few = overlay(PHOTO, (labels > 0).astype(np.uint8), n_labels=1, outlines=False)
    assert result.shape == PHOTO.shape
    assert not np.array_equal(result, few)


def test_light_stays_visible():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[np.newaxis, :, np.newaxis], 3, axis=2)
    for label in (1, 2, 6):
        shown = overlay(ramp, np.full((1, 256), label, np.uint8), n_labels=6).astype(int)
        luma = shown @ (0.299, 0.587, 0.114)
        assert luma[0, -1] - luma[0, 0] > 100
        assert (np.diff(luma[0]) > -1).all()


def test_alpha_zero_is_the_grey_picture_and_one_the_classes():
    grey = np.repeat(PHOTO[..., :1], 3, axis=2)
    labels = np.ones((30, 40), np.uint8)
    np.testing.assert_array_equal(overlay(grey, labels, n_labels=1, alpha=0), grey)
    white = np.full_like(PHOTO, 255)
    assert (overlay(white, labels, n_labels=1, alpha=1) == palette(1)[0]).all()


def test_large_overlays_are_the_same_in_blocks():
    rgb = RNG.integers(0, 256, (400, 300, 3), np.uint8)
    labels = RNG.integers(0, 4, (400, 300), np.uint8)
    whole = overlay(rgb, labels, n_labels=3, outlines=False)
    rows = [
        overlay(rgb[i : i + 1], labels[i : i + 1], n_labels=3, outlines=False) for i in range(400)
    ]
    np.testing.assert_array_equal(whole, np.concatenate(rows))
    views = overlay(rgb[::2, ::-1], labels[::2, ::-1], n_labels=3, outlines=False)
    np.testing.assert_array_equal(views, whole[::2, ::-1])


@pytest.mark.parametrize(
    ("rgb", "labels", "options", "message"),
    [
        (PHOTO[..., 0], np.ones((30, 40), np.uint8), {}, r"rgb must be \(rows, cols, 3\)"),
        (PHOTO / 255, np.ones((30, 40), np.uint8), {}, r"rgb must be .* float64"),
        (PHOTO[:0], np.ones((0, 40), np.uint8), {}, r"rgb must be .* not empty"),
        (PHOTO, np.ones((40, 30), np.uint8), {}, r"shape \(30, 40\), got \(40, 30\)"),
        (PHOTO, np.ones((30, 40), np.int32), {}, r"labels must be uint8 or uint16, got int32"),
        (PHOTO, np.full((30, 40), 4, np.uint8), {}, r"labels must be at most n_labels = 3, got 4"),
        (PHOTO, np.ones((30, 40), np.uint8), {"alpha": 1.5}, r"alpha must be at most 1, got 1.5"),
        (PHOTO, np.ones((30, 40), np.uint8), {"alpha": -1}, r"alpha must be at least 0, got -1"),
    ],
)
def test_overlays_that_cannot_be(rgb, labels, options, message):
    with pytest.raises(InvalidParameterError, match=message):
        overlay(rgb, labels, n_labels=3, **options)


# --- legend ---------------------------------------------------------------------------------


def count_of(picture, colour):
    return int((picture == colour).all(axis=-1).sum())


@pytest.mark.parametrize("shape", [(1, 1), (8, 2000), (2000, 8), (233, 197), (600, 800)])
def test_the_picture_is_not_changed(shape):
    picture = RNG.integers(0, 256, (*shape, 3), np.uint8)
    framed = with_legend(picture, [(1, 0.4), (2, 0.35), (3, 0.25)])
    assert framed.dtype == np.uint8
    assert framed.flags.c_contiguous
    assert framed.shape[0] > shape[0]
    assert framed.shape[1] >= shape[1]
    np.testing.assert_array_equal(framed[: shape[0], : shape[1]], picture)
    strip = framed[shape[0] :]
    for colour in palette(3):
        assert count_of(strip, colour) >= 12 * 12


def test_letters_grow_with_the_picture():
    def swatch(size):
        strip = with_legend(np.zeros((size, size, 3), np.uint8), [(1, 1.0)])[size:]
        return count_of(strip, palette(1)[0])

    assert swatch(100) == swatch(300)
    assert swatch(3000) > 25 * swatch(300)


def test_entries_wrap():
    picture = np.zeros((100, 300, 3), np.uint8)
    heights = [len(with_legend(picture, [(j + 1, 1 / n) for j in range(n)])) for n in (1, 3, 6, 12)]
    assert heights == sorted(heights)
    assert heights[3] > heights[0]
    assert with_legend(picture, [(j + 1, 0.1) for j in range(12)]).shape[1] == 300


def test_very_many_entries_are_counted():
    picture = np.zeros((200, 300, 3), np.uint8)
    framed = with_legend(picture, [(j + 1, 1e-4) for j in range(5000)])
    assert framed.shape[0] <= 2 * 200 + 40
    assert framed.shape[1] == 300


def test_no_entries_no_strip():
    np.testing.assert_array_equal(with_legend(PHOTO, []), PHOTO)
    assert len(with_legend(PHOTO, [], note="stretched")) > len(PHOTO)


def test_names_and_notes_take_room():
    picture = np.zeros((20, 20, 3), np.uint8)
    plain = with_legend(picture, [(1, 0.5)])
    named = with_legend(picture, [LegendEntry(1, 0.5, "water")])
    noted = with_legend(picture, [(1, 0.5)], note="bands 3, 2, 1; stretched 1-99 %")
    assert named.shape[1] > plain.shape[1]
    assert noted.shape[0] > plain.shape[0]
    assert noted.shape[1] > plain.shape[1]


def test_odd_names_do_no_harm():
    picture = np.zeros((20, 20, 3), np.uint8)
    one_line = with_legend(picture, [LegendEntry(1, 0.5, "a b")])
    lines = with_legend(picture, [LegendEntry(1, 0.5, "a\nb\t")], note="\n")
    np.testing.assert_array_equal(one_line, lines)
    long = with_legend(picture, [LegendEntry(1, 0.5, "W" * 500)])
    assert long.shape[1] < 1000
    assert with_legend(picture, [LegendEntry(1, 0.5, "Wald Ñ 水 \u202e")]).shape[0] > 20


def test_shares_that_are_not_known_are_not_written():
    picture = np.zeros((20, 20, 3), np.uint8)
    unknown = with_legend(picture, [(1, np.nan)])
    assert unknown.shape[1] < with_legend(picture, [(1, 0.5)]).shape[1]
    tiny = with_legend(picture, [(1, 0.0001)])
    assert tiny.shape[1] > with_legend(picture, [(1, 0.0)]).shape[1]


def test_legends_need_a_picture():
    with pytest.raises(InvalidParameterError, match=r"rgb must be \(rows, cols, 3\) of uint8"):
        with_legend(np.zeros((3, 4)), [(1, 1.0)])
    with pytest.raises(InvalidParameterError, match=r"n must be at least 1, got 0"):
        with_legend(PHOTO, [(0, 1.0)])
