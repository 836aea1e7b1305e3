"""Segment, fit, apply: what goes in, what the labels mean, and what must not matter."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

import gmmseg
from gmmseg import EMOptions, FeatureSpec, Model, SegmentOptions
from gmmseg.errors import (
    AmbiguousAxesError,
    InvalidDataError,
    InvalidParameterError,
    MissingFileError,
)
from gmmseg.image import Image
from gmmseg.mixture import fit_mixture
from gmmseg.mixture.distinct import distinct_rows
from gmmseg.pixels import pixel_rows

RAW = SegmentOptions(features=FeatureSpec(colour_space="raw"))


def picture(shape=(24, 32), bands=1, k=3, seed=0):
    """Float64 values in 0..255 of `k` classes, and the classes."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, k, shape)
    centres = np.linspace(30, 220, k)[classes]
    values = centres[..., np.newaxis] + rng.normal(0, 8, (*shape, bands))
    return np.clip(values, 0, 255), classes + 1


def assert_same_model(one, other, rtol=0.0, atol=0.0):
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(
            getattr(one.mixture, name), getattr(other.mixture, name), rtol=rtol, atol=atol
        )


# What goes in


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "i2", "i4", "u8", "f2", "f4", "f8", "g"])
@pytest.mark.parametrize(("shape", "bands"), [((24, 32), 0), ((24, 32), 3), ((4, 12, 16), 1)])
def test_arrays(dtype, shape, bands):
    values, classes = picture(shape, max(bands, 1))
    values = values.astype(dtype) if bands else values[..., 0].astype(dtype)
    seg = gmmseg.segment(values, 3, "plain")
    assert seg.labels.shape == shape
    assert seg.labels.dtype == np.uint8
    assert (seg.labels == classes).mean() > 0.99


def test_scale_of_16_bits():
    values, classes = picture(bands=3)
    seg = gmmseg.segment((values * 257).astype(np.uint16), 3, "plain")
    assert seg.model.feature_names == ("L", "a", "b")
    assert (seg.labels == classes).mean() > 0.99


@pytest.mark.parametrize(
    ("axes", "order"), [("YXC", (0, 1, 2)), ("CYX", (2, 0, 1)), ("ZYX", None), ("ZYXC", None)]
)
def test_axes(axes, order):
    if order is None:
        values, classes = picture((5, 12, 16), 6 if "C" in axes else 1)
        values = values if "C" in axes else values[..., 0]
    else:
        values, classes = picture(bands=6)
        values = values.transpose(order)
    seg = gmmseg.segment(values.astype(np.uint8), 3, axes=axes)
    assert seg.labels.shape == classes.shape
    assert (seg.labels == classes).mean() > 0.99
    again = gmmseg.apply(seg.model, values.astype(np.uint8), axes=axes)
    np.testing.assert_array_equal(again.labels, seg.labels)


def test_ambiguous_axes():
    values = np.zeros((3, 24, 32))
    model = gmmseg.segment(picture()[0], 2).model
    for ask in (
        lambda: gmmseg.segment(values, 2),
        lambda: gmmseg.fit([values], 2),
        lambda: gmmseg.apply(model, values),
    ):
        with pytest.raises(AmbiguousAxesError, match=r"Say what they mean with axes= .*: YXC, CYX"):
            ask()


def test_arrays_images_and_paths_are_the_same(tmp_path):
    values = picture(bands=3)[0].astype(np.uint8)
    Pillow.fromarray(values).save(tmp_path / "a.png")
    by_array = gmmseg.segment(values, 3)
    for image in (Image.from_array(values), tmp_path / "a.png", str(tmp_path / "a.png")):
        seg = gmmseg.segment(image, 3)
        np.testing.assert_array_equal(seg.labels, by_array.labels)
        assert_same_model(seg.model, by_array.model)
        assert_same_model(gmmseg.fit([image], 3), by_array.model)
        np.testing.assert_array_equal(gmmseg.apply(seg.model, image).labels, seg.labels)
    assert gmmseg.fit([tmp_path / "a.png"], 2).provenance["images"] == ["a.png"]
    with pytest.raises(MissingFileError):
        gmmseg.segment(tmp_path / "none.png", 2)


def test_images_are_not_changed():
    values = picture()[0]
    values.setflags(write=False)
    before = values.copy()
    gmmseg.segment(values, 3).overlay()
    np.testing.assert_array_equal(values, before)


# Pixels that are not used


def test_masked_pixels_never_count():
    values, classes = picture()
    mask = np.random.default_rng(1).random(classes.shape) < 0.6
    junk = np.where(mask, values[..., 0], 1e9)
    seg = gmmseg.segment(junk, 3, mask=mask)
    assert (seg.labels[~mask] == 0).all()
    assert (seg.labels[mask] == classes[mask]).mean() > 0.99
    other = gmmseg.segment(values, 3, mask=mask.astype(np.uint8) * 255)
    np.testing.assert_array_equal(seg.labels, other.labels)
    assert_same_model(seg.model, other.model)
    assert seg.model.provenance["fit"]["n_pixels"] == mask.sum()
    applied = gmmseg.apply(seg.model, junk, mask=mask)
    np.testing.assert_array_equal(applied.labels, seg.labels)


@pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("missing", "gaps"), [((slice(3, 6), slice(None), 1), "drop"), (slice(3, 6), "use")]
)
def test_pixels_that_are_not_finite_get_zero(gap, missing, gaps):
    values, classes = picture(bands=2)
    values[missing] = gap
    seg = gmmseg.segment(values, 3, SegmentOptions(features=FeatureSpec(gaps=gaps)))
    assert (seg.labels[3:6] == 0).all()
    rest = np.delete(seg.labels, slice(3, 6), axis=0)
    assert (rest == np.delete(classes, slice(3, 6), axis=0)).mean() > 0.99
    assert seg.to_dict()["pixels_not_used"] == 3 * 32


@pytest.mark.parametrize("values", [np.full((4, 5), np.nan), np.zeros((4, 5), np.uint8)])
def test_nothing_to_use(values):
    mask = np.zeros((4, 5))
    model = gmmseg.segment(picture()[0], 2).model
    for ask in (
        lambda: gmmseg.segment(values, 2, mask=mask),
        lambda: gmmseg.apply(model, values, mask=mask),
        lambda: gmmseg.fit([Image.from_array(values, mask=mask)], 2),
    ):
        with pytest.raises(InvalidDataError) as caught:
            ask()
        assert str(caught.value) == (
            "no pixel may be used: every one is masked, transparent, nodata or not finite."
        )


def test_spacing_is_for_areas():
    values, _ = picture()
    seg = gmmseg.segment(values, 3, spacing=(2, 0.5))
    assert seg.image.spacing == (2.0, 0.5)
    assert [row.area for row in seg.table] == [row.pixels for row in seg.table]
    plain = gmmseg.segment(values, 3)
    np.testing.assert_array_equal(seg.labels, plain.labels)
    assert gmmseg.apply(plain.model, values, spacing=3).table[0].area == 9 * plain.table[0].pixels


# k


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (0, "k must be at least 1, got 0."),
        (65536, "k must be at most 65535, got 65536."),
        (2.0, "k must be a whole number, got 2.0."),
        (True, "k must be a whole number, got True."),
        ("3", "k must be a whole number, got '3'."),
    ],
)
def test_k_is_checked(k, message):
    for ask in (lambda: gmmseg.segment(picture()[0], k), lambda: gmmseg.fit([picture()[0]], k)):
        with pytest.raises(InvalidParameterError) as caught:
            ask()
        assert str(caught.value) == message


@pytest.mark.parametrize(("k", "dtype"), [(255, np.uint8), (256, np.uint16)])
def test_many_classes(k, dtype):
    values = np.arange(40 * 40).reshape(40, 40).astype(np.uint16)
    seg = gmmseg.segment(values, k, SegmentOptions(em=EMOptions(max_iter=3)))
    assert seg.labels.dtype == dtype
    assert seg.labels.max() > 200
    assert (np.diff(seg.mixture.means[:, 0]) >= 0).all()
    assert seg.mask(k).dtype == np.uint8


# What labels mean


@pytest.mark.parametrize("seed", range(3))
def test_labels_go_from_dark_to_bright(seed):
    values = picture(bands=3, k=4, seed=seed)[0].astype(np.uint8)
    seg = gmmseg.segment(values, 4, "plain")
    assert seg.model.labels == (1, 2, 3, 4)
    assert (np.diff(seg.mixture.means[:, 0]) > 0).all()
    assert np.diff([row.mean[0] for row in seg.table]).min() > 0
    second = FeatureSpec(colour_space="raw", bands=(2, 1))
    values[..., 1] = 255 - values[..., 1]
    by_green = gmmseg.segment(values, 4, SegmentOptions(features=second))
    assert (np.diff(by_green.mixture.means[:, 0]) > 0).all()


def test_a_label_means_the_same_in_every_image():
    values, classes = picture(k=3)
    model = gmmseg.segment(values.astype(np.uint8), 3).model
    for label in (1, 2, 3):
        part = np.where(classes == label, values[..., 0], 0).astype(np.uint8)
        seg = gmmseg.apply(model, part, mask=classes == label)
        assert (seg.labels[classes == label] == label).mean() > 0.99
        assert seg.model is model
        assert seg.warnings == ()


def test_applying_gives_the_labels_of_the_fit():
    options = SegmentOptions(features=FeatureSpec(position=0.4, local_std=(1.5,)))
    values = picture(bands=3)[0].astype(np.uint8)
    seg = gmmseg.segment(values, 3, options)
    again = gmmseg.apply(seg.model, values)
    np.testing.assert_array_equal(again.labels, seg.labels)
    np.testing.assert_array_equal(again.probabilities, seg.probabilities)
    assert again.table == seg.table


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_a_fit_to_many_is_a_fit_to_all_their_pixels(dtype):
    values = picture((30, 20), 3, k=3)[0].astype(dtype)
    parts = [values[:7], values[7:22, :13], values[7:22, 13:], values[22:]]
    steps = SegmentOptions(features=RAW.features, em=EMOptions(tol=1e-9, max_iter=2000))
    many, whole = gmmseg.fit(parts, 3, steps), gmmseg.fit([values], 3, steps)
    assert_same_model(many, whole, rtol=1e-4, atol=1e-5)
    assert many.provenance["fit"]["n_pixels"] == 600
    labels = gmmseg.apply(whole, values).labels
    np.testing.assert_array_equal(gmmseg.apply(many, values).labels, labels)


def test_tables_of_distinct_colours_add_up():
    values = picture((30, 20))[0].astype(np.uint8)
    rows = [pixel_rows(Image.from_array(part), RAW.features) for part in (values[:9], values[9:])]
    whole = pixel_rows(Image.from_array(values), RAW.features)
    joined = np.zeros(256, int)
    for part in rows:
        joined[part.features[:, 0].astype(int)] += part.counts
    np.testing.assert_array_equal(joined[whole.features[:, 0].astype(int)], whole.counts)
    assert joined.sum() == whole.n_pixels == 600


def test_a_fit_takes_a_sequence_of_images(tmp_path):
    for images in ([], "a.png", tmp_path / "a.png", Image.from_array(np.zeros((2, 3)))):
        with pytest.raises(InvalidParameterError, match="images must be a sequence of at least"):
            gmmseg.fit(images, 2)


def test_a_fit_of_an_iterator_is_refused_or_works():
    assert gmmseg.fit(iter([picture()[0]]), 2).k == 2


def test_images_of_different_bands_are_not_fitted_together():
    with pytest.raises(InvalidDataError, match="different numbers of bands: fit them apart"):
        gmmseg.fit([picture(bands=2)[0], picture(bands=3)[0]], 2)


def test_images_of_different_features_are_not_fitted_together():
    values = picture(bands=3)[0]
    with pytest.raises(InvalidDataError):
        gmmseg.fit([values.astype(np.uint8), (values / 255).astype(np.float32)], 2)


def test_a_model_is_not_applied_to_other_bands():
    model = gmmseg.segment(picture(bands=2)[0], 2).model
    with pytest.raises(InvalidDataError) as caught:
        gmmseg.apply(model, picture(bands=4)[0])
    assert str(caught.value).startswith(
        "the model was fitted on 2 features (band 1^0.333, band 2^0.333), but this image gives 4 "
    )


# Distinct colours


def rows_and_counts(values):
    found = distinct_rows(values)
    assert found is not None
    return found


@given(
    seed=st.integers(0, 2**32 - 1),
    covariance_type=st.sampled_from(naive.TYPES),
    bands=st.integers(1, 3),
    n=st.integers(200, 3000),
)
def test_distinct_rows_are_as_good_as_all(seed, covariance_type, bands, n):
    values = picture((n,), bands, seed=seed)[0].astype(np.uint8)
    found = rows_and_counts(values)
    start = values[np.random.default_rng(seed).choice(n, 3, replace=False)].astype(float)
    start += np.arange(3)[:, np.newaxis] * 1e-3  # no two alike
    options = {"init": start, "covariance_type": covariance_type, "tol": 1e-3}
    # in float64: the sums of float32 differ in the seventh digit with the order of the rows
    few = fit_mixture(found.rows.astype(float), 3, sample_weight=found.counts, **options)
    every = fit_mixture(values.astype(float), 3, **options)
    assert few.n_iter == every.n_iter
    assert_same_model(few, every, rtol=1e-9, atol=1e-9)
    labels = found.spread(few.mixture.predict(found.rows))
    np.testing.assert_array_equal(labels, every.mixture.predict(values))


@pytest.mark.parametrize("bands", [1, 2, 3])
def test_the_default_start_is_the_same_from_distinct_colours(bands):
    # the rows in the order of the distinct colours: k-means++ then draws the same
    values = picture((128, 128), bands)[0].astype(np.uint8)
    flat = values.reshape(-1, bands)
    flat = flat[np.lexsort(tuple(flat.T))]
    found = rows_and_counts(flat)
    np.testing.assert_array_equal(np.repeat(found.rows, found.counts, axis=0), flat)
    few = fit_mixture(found.rows.astype(float), 3, sample_weight=found.counts)
    every = fit_mixture(flat.astype(float), 3)
    assert few.n_iter == every.n_iter
    assert_same_model(few, every, rtol=1e-9, atol=1e-9)


@given(seed=st.integers(0, 2**32 - 1), bands=st.integers(1, 3))
def test_whole_images_by_colours_or_by_pixels(seed, bands):
    values = picture(bands=bands, seed=seed)[0].astype(np.uint8)
    by_colours = gmmseg.segment(Image.from_array(values, axes="YXC"), 3, RAW)
    by_pixels = gmmseg.segment(Image.from_array(values.astype(float), axes="YXC"), 3, RAW)
    assert by_colours._rows.counts is not None
    assert by_pixels._rows.counts is None
    np.testing.assert_array_equal(by_colours.labels, by_pixels.labels)
    assert_same_model(by_colours.model, by_pixels.model, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(by_colours.probabilities, by_pixels.probabilities, atol=1e-3)
    for one, other in zip(by_colours.table, by_pixels.table, strict=True):
        assert one.pixels == other.pixels
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-9)
        np.testing.assert_allclose(one.std, other.std, rtol=1e-9)


# What must not matter


@given(
    seed=st.integers(0, 1000),
    factors=st.tuples(*[st.sampled_from([1e-6, 0.01, 3.0, 1e5])] * 2),
    shifts=st.tuples(*[st.sampled_from([-1e3, 0.0, 0.1, 77.0])] * 2),
)
def test_units_of_bands_do_not_matter(seed, factors, shifts):
    values = picture(bands=2, seed=seed)[0]
    plain = gmmseg.segment(values, 3, RAW)
    other = gmmseg.segment((values + shifts) * factors, 3, RAW)
    np.testing.assert_array_equal(plain.labels, other.labels)
    means = (plain.mixture.means + shifts) * factors
    np.testing.assert_allclose(other.mixture.means, means, rtol=1e-6, atol=1e-6 * max(factors))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_threads_do_not_change_a_bit(dtype):
    values = picture((200, 300), 3)[0].astype(dtype)
    first = gmmseg.segment(values, 3, threads=1)
    for threads in (2, 3):
        seg = gmmseg.segment(values, 3, threads=threads)
        assert seg.model.to_json() == first.model.to_json()
        assert seg.labels.tobytes() == first.labels.tobytes()
        assert seg.probabilities.tobytes() == first.probabilities.tobytes()
        applied = gmmseg.apply(first.model, values, threads=threads)
        assert applied.probabilities.tobytes() == first.probabilities.tobytes()
    assert gmmseg.fit([values], 3, threads=2).to_json() == first.model.to_json()


# Whatever comes


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("bands", [1, 3])
def test_a_constant_image(dtype, bands):
    seg = gmmseg.segment(np.full((9, 8, bands), 7, dtype), 2)
    assert len(np.unique(seg.labels)) == 1
    assert sum(row.pixels for row in seg.table) == 72
    assert any("no rows" in text for text in seg.warnings)
    assert seg.to_dict()["warnings"] == list(seg.warnings)


def test_more_classes_than_colours():
    values = np.array([[10, 10, 200], [10, 200, 200]], np.uint8)
    seg = gmmseg.segment(values, 4)
    assert len(np.unique(seg.labels)) == 2
    assert (seg.labels[values == 10] < seg.labels[values == 200].min()).all()
    assert [text for text in seg.warnings if "components have no rows" in text]


def test_not_converging_is_told():
    seg = gmmseg.segment(picture()[0], 3, SegmentOptions(em=EMOptions(max_iter=1, tol=0.0)))
    assert seg.warnings == (
        "EM did not converge in 1 iterations. Raise max_iter or tol, or use fewer components.",
    )
    assert seg.model.provenance["fit"]["converged"] is False


def test_one_pixel():
    assert gmmseg.segment(np.full((1, 1), 3.5), 1).labels.tolist() == [[1]]


@pytest.mark.parametrize("unit", [1e150, 1e-60])
def test_units_beyond_those_of_float32(unit):
    values, classes = picture()
    seg = gmmseg.segment(values[..., 0] * unit, 3)
    assert (seg.labels == classes).mean() > 0.99
    assert seg.table[0].std[0] > 0


def test_callback():
    heard = []
    values = picture()[0]
    seg = gmmseg.segment(values, 3, callback=lambda i, value: heard.append((i, value)))
    assert heard[0][0] == 1
    assert heard[-1][1] == pytest.approx(seg.model.provenance["fit"]["mean_log_likelihood"])
    again = []
    model = gmmseg.fit([values], 3, callback=lambda i, value: again.append((i, value)))
    assert again == heard
    assert isinstance(model, Model)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gmmseg.segment(values, 3, callback=stop)


def test_what_a_sample_cost_goes_with_the_model():
    picture = np.random.default_rng(0).normal(size=(600, 600)).astype(np.float32)
    told = gmmseg.segment(picture, 2).model.provenance["fit"]["certificate"]
    assert told["sample_size"] < picture.size
    assert told["gap"] < 1e-4
    assert gmmseg.segment(picture[:50], 2).model.provenance["fit"]["certificate"] is None
