"""Scenes read in strips: what is fitted and labelled is what it is in memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmseg.classes import ClassSums, class_table
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.mixture.merging import MergeOptions
from gmmseg.mixture.options import EMOptions
from gmmseg.options import SegmentOptions
from gmmseg.pipeline import fit, segment
from gmmseg.regions import RegionOptions
from gmmseg.smoothing import SmoothingOptions
from gmmseg.streaming import (
    SceneTable,
    StreamOptions,
    check_streamable,
    fit_scenes,
    fits_into,
    label_strips,
)
from gmmseg.tiles import ImageScene, SceneRows, Strips, strip_height
from gmmseg.used_pixels import used_values


def picture(rows=50, cols=37, bands=3, dtype=np.uint16, seed=0):
    rng = np.random.default_rng(seed)
    level = np.array([200.0, 420.0, 900.0])[
        (np.add.outer(np.arange(rows), np.arange(cols)) // 9) % 3
    ]
    values = level[..., None] * (1 + 0.2 * np.arange(bands))
    return (values + rng.normal(0, 90, (rows, cols, bands))).astype(dtype)


def with_gaps(kind):
    data = picture()
    mask = np.ones(data.shape[:2], bool)
    mask[:3], mask[20:30, 5:] = False, False
    missing = np.zeros(data.shape, bool)
    missing[5:40:3, :, 1] = True
    images = {
        "whole": Image(data=data),
        "masked": Image(data=data, mask=mask),
        "gaps": Image(data=data, mask=mask, missing=missing),
        "nan": Image(data=np.where(missing, np.nan, data).astype(np.float32), mask=mask),
        "bytes": Image(data=(data[..., :1] // 8).astype(np.uint8), mask=mask),
        "colour": Image(data=(data // 8).astype(np.uint8), colour=True),
    }
    return images[kind]


KINDS = ("whole", "masked", "gaps", "nan", "bytes", "colour")


def streamed(scene, model, tile, **options):
    out = np.zeros(scene.shape, np.uint8)
    table = SceneTable(scene, model)

    def again():
        table.__init__(scene, model)

    stream = StreamOptions(tile=tile, **options)
    for strip in label_strips(scene, model, stream, again=again):
        if strip.segmentation is not None:
            out[strip.rows] = strip.segmentation.labels
        table.add(strip)
    return out, table.rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tile", [1, 8, 1000, None])
def test_rows_are_those_of_the_image(kind, tile):
    image = with_gaps(kind)
    spec = FeatureSpec(colour_space="raw")
    expected = np.asarray(used_values(image, spec, spec.valid(image)))
    rows = SceneRows(ImageScene(image), spec, 1 << 16, height=tile)
    try:
        assert rows.dtype == expected.dtype
        np.testing.assert_array_equal(np.asarray(rows), expected)
        order = np.random.default_rng(0).permutation(len(expected))[:200]
        np.testing.assert_array_equal(rows[order], expected[order])
        np.testing.assert_array_equal(rows[7:333], expected[7:333])
        assert rows[5:5].shape == (0, expected.shape[1])
    finally:
        rows.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tile", [1, 7, 1000])
def test_model_and_labels_are_those_in_memory(kind, tile):
    image = with_gaps(kind)
    scene = ImageScene(image)
    held = segment(image, 3, SegmentOptions())
    model, warnings = fit_scenes([scene], 3, SegmentOptions(), StreamOptions(tile=tile))
    assert warnings == held.warnings
    np.testing.assert_array_equal(model.mixture.means, held.mixture.means)
    np.testing.assert_array_equal(model.mixture.covariances, held.mixture.covariances)
    labels, table = streamed(scene, model, tile)
    np.testing.assert_array_equal(labels, held.labels)
    for row, expected in zip(table, held.table, strict=True):
        assert (row.label, row.pixels, row.share) == (
            expected.label,
            expected.pixels,
            expected.share,
        )
        assert row.mean == pytest.approx(expected.mean, rel=1e-12)
        assert row.std == pytest.approx(expected.std, rel=1e-9)


@pytest.mark.parametrize("kind", ["whole", "masked", "gaps"])
@pytest.mark.parametrize("tile", [1, 7, 16, 1000])
@pytest.mark.parametrize(
    "options",
    [
        SmoothingOptions(beta=0.8),
        SmoothingOptions(beta=0.8, sweeps=3, neighbours=4),
        SmoothingOptions(beta=1.2, tol=0.05),
        SmoothingOptions(beta=0.6, method="icm"),
        SmoothingOptions(beta="auto"),
    ],
    ids=["usual", "few sweeps", "early rest", "icm", "auto"],
)
def test_smoothing_has_no_seams(kind, tile, options):
    image = with_gaps(kind)
    held = segment(image, 3, SegmentOptions(smoothing=options))
    labels, _ = streamed(ImageScene(image), held.model, tile)
    np.testing.assert_array_equal(labels, held.labels)


def test_the_number_of_sweeps_is_that_of_the_whole_scene():
    """Bands that are at rest early do not end the sweeps of a scene that is not."""
    data = picture(rows=400, cols=64)
    data[48:] = np.random.default_rng(1).integers(150, 1000, data[48:].shape)
    image = Image(data=data)
    options = SmoothingOptions(beta=0.9, tol=0.01)
    held = segment(image, 3, SegmentOptions(smoothing=options))
    told = []
    small = StreamOptions(tile=32, memory=1 << 20)  # few rows are asked beforehand
    out = np.zeros(image.shape, np.uint8)
    strips = label_strips(ImageScene(image), held.model, small, again=lambda: told.append(1))
    for strip in strips:
        out[strip.rows] = strip.segmentation.labels
    np.testing.assert_array_equal(out, held.labels)


def test_all_pixels_in_every_iteration():
    image = with_gaps("masked")
    options = SegmentOptions(em=EMOptions(gap=0))
    model, _ = fit_scenes([ImageScene(image)], 3, options, StreamOptions(tile=5))
    expected = fit([image], 3, options)
    np.testing.assert_array_equal(model.mixture.means, expected.mixture.means)


def test_several_scenes_have_one_model():
    images = [Image(data=picture(seed=seed)) for seed in (1, 2)]
    model, _ = fit_scenes(
        [ImageScene(i) for i in images], 3, SegmentOptions(), StreamOptions(tile=9)
    )
    expected = fit(images, 3, SegmentOptions())
    np.testing.assert_array_equal(model.mixture.means, expected.mixture.means)


def test_merged_classes():
    image = Image(data=picture())
    options = SegmentOptions(merging=MergeOptions(gaussians_per_segment=2, merge_touching=False))
    held = segment(image, 2, options)
    model, _ = fit_scenes([ImageScene(image)], 2, options, StreamOptions(tile=9))
    assert model.labels == held.model.labels
    np.testing.assert_array_equal(streamed(ImageScene(image), model, 9)[0], held.labels)


@pytest.mark.parametrize(
    ("options", "k", "what"),
    [
        (SegmentOptions(features=FeatureSpec(position=1)), 3, "features of place"),
        (SegmentOptions(smoothing=SmoothingOptions(beta=1, inside=True)), 3, "inside EM"),
        (SegmentOptions(smoothing=SmoothingOptions(beta=1, contrast=1)), 3, "weakened by edges"),
        (SegmentOptions(regions=RegionOptions(min_area=9)), 3, "cleaning of regions"),
        (SegmentOptions(), "auto", "-k auto"),
    ],
)
def test_what_needs_the_whole_image_is_refused(options, k, what):
    with pytest.raises(InvalidParameterError, match=rf"{what}.*Raise memory \(--memory\)"):
        check_streamable(options, k)


def test_no_pixel_at_all():
    image = Image(data=picture(), mask=np.zeros((50, 37), bool))
    with pytest.raises(InvalidDataError, match="no pixel may be used"):
        fit_scenes([ImageScene(image)], 3, SegmentOptions(), StreamOptions(tile=9))


def test_a_field_that_does_not_fit():
    image = Image(data=picture())
    held = segment(image, 3, SegmentOptions(smoothing=SmoothingOptions(beta=1.0)))
    with pytest.raises(InvalidDataError, match=r"needs at least .* Raise memory .*--sweeps"):
        list(label_strips(ImageScene(image), held.model, StreamOptions(memory=10_000)))


def test_memory_decides():
    scene = ImageScene(Image(data=picture()))
    assert fits_into(scene, StreamOptions())
    assert not fits_into(scene, StreamOptions(memory=1 << 20))
    with pytest.raises(InvalidParameterError, match="tile must be at least 1"):
        StreamOptions(tile=0)
    with pytest.raises(InvalidParameterError, match="memory must be a whole number"):
        StreamOptions(memory=1.5)


def test_strips_are_read_once_and_ahead_and_begin_with_blocks():
    class Counting(ImageScene):
        reads: list = []  # noqa: RUF012

        def read(self, rows):
            self.reads.append(rows.start)
            return super().read(rows)

    scene = Counting(Image(data=picture()), block_rows=4)
    assert strip_height(scene, 10**9) == 50
    assert strip_height(scene, 40_000) % 4 == 0
    assert strip_height(scene, 1) == 4
    with Strips(scene, 10, lambda image: image.data.sum(), keep=3) as strips:
        found = [strips[i] for i in range(len(strips))]
        assert [strips[4], strips[3]] == found[4:2:-1]
    assert sorted(scene.reads) == [0, 10, 20, 30, 40]


def test_an_error_of_the_reader_reaches_all_who_ask():
    class Broken(ImageScene):
        def read(self, rows):
            raise InvalidDataError("broken")

    with Strips(Broken(Image(data=picture())), 10, lambda image: image) as strips:
        for _ in range(2):
            with pytest.raises(InvalidDataError, match="broken"):
                strips[0]


@given(st.integers(1, 200), st.integers(1, 4), st.floats(-1e6, 1e6), st.integers(0, 2**32 - 1))
def test_sums_of_classes_in_parts_are_the_table(n, k, offset, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, k + 1, n).astype(np.uint8)
    bands = rng.normal(offset, 3, (n, 2))
    bands[rng.random((n, 2)) < 0.1] = np.nan
    sums = ClassSums(np.full((k, 2), offset))
    for part in np.array_split(np.arange(n), 3):
        sums.add(labels[part], bands[part])
    for row, expected in zip(
        sums.table((2, 3)), class_table(labels, bands, None, k, (2, 3)), strict=True
    ):
        assert (row.pixels, row.area) == (expected.pixels, expected.area)
        np.testing.assert_allclose(row.mean, expected.mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(row.std, expected.std, rtol=1e-6, atol=1e-5)
