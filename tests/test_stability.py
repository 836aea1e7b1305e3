"""Stability: what becomes of labels and areas when a model is refitted to blocks of the image."""

import json

import numpy as np
import pytest

import gmmseg
from gmmseg.__main__ import main
from gmmseg.errors import InvalidParameterError
from gmmseg.image import Image
from gmmseg.io import read_image
from gmmseg.mixture.em import fit_rows
from gmmseg.mixture.options import EMOptions
from gmmseg.options import SegmentOptions
from gmmseg.priors import PriorOptions
from gmmseg.stability import Stability, StabilityOptions, _blocks, refitted_models

PLAIN = SegmentOptions()


def picture(shape=(60, 80), *, apart=60.0, seed=0):
    """Two sides whose grey values are `apart`, with noise."""
    rng = np.random.default_rng(seed)
    values = rng.normal(100, 10, shape)
    values[..., shape[-1] // 3 :] += apart
    return values.astype(np.float32)


def test_refits_are_em_over_blocks_by_their_numbers():
    seg = gmmseg.segment(picture(), 2, PLAIN)
    options = StabilityOptions(refits=3, rng=5)
    first, *drawn = refitted_models(seg.model, seg._rows, PLAIN.em, options)
    rows, blocks = picture().reshape(-1, 1), _blocks(np.arange(60 * 80), (60, 80), 64)
    n = blocks.max() + 1
    rng = np.random.default_rng(5)
    em = EMOptions(gap=0.0)
    for model in (first, *drawn):
        times = np.ones(n) if model is first else np.bincount(rng.integers(n, size=n), minlength=n)
        expected = fit_rows(rows, 2, em, sample_weight=times[blocks], start=seg.mixture).mixture
        np.testing.assert_allclose(model.mixture.means, expected.means, rtol=1e-5)
        np.testing.assert_allclose(model.mixture.weights, expected.weights, rtol=1e-5)


def test_every_block_once_is_the_fit_itself():
    seg = gmmseg.segment(picture(), 2, PLAIN)
    first = next(refitted_models(seg.model, seg._rows, PLAIN.em, StabilityOptions()))
    np.testing.assert_allclose(first.mixture.means, seg.mixture.means, rtol=1e-3)


@pytest.mark.parametrize("shape", [(64, 64), (30, 300), (7, 5), (16, 16, 16), (1, 1)])
def test_blocks_hold_neighbours_and_are_about_as_many_as_asked_for(shape):
    n = int(np.prod(shape))
    blocks = _blocks(np.arange(n), shape, 64)
    assert set(blocks) == set(range(blocks.max() + 1))
    assert min(n, 64) / 2.5 <= blocks.max() + 1 <= min(n, 64) * 1.5
    for block in range(blocks.max() + 1):
        places = np.argwhere(blocks.reshape(shape) == block)
        extent = np.ptp(places, axis=0) + 1
        assert np.prod(extent) == len(places)  # a box, without holes
        assert extent.max() <= 2 * max(extent.min(), 1) + 1 or 1 in shape


def test_sure_pixels_keep_their_label_and_borderline_ones_do_not():
    steps = np.tile(np.linspace(0, 100, 80), (60, 1))  # no two classes: the cut is arbitrary
    rng = np.random.default_rng(1)
    unsure = gmmseg.segment(steps + rng.normal(0, 3, steps.shape), 2, PLAIN)
    assert gmmseg.segment(picture(), 2, PLAIN).stability.mean() > 0.999
    assert unsure.stability[:, [0, -1]].min() == 1
    assert unsure.stability.min() < 0.8
    middle = np.abs(np.arange(80) - 40) < 20
    lowest = np.argmin(unsure.stability.mean(axis=0))
    assert middle[lowest]


def test_the_interval_covers_what_another_part_of_the_scene_would_tell():
    """Over many pictures from one source, the share at their common optimum is in the interval."""
    hits = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        block = rng.normal(0, 1, (8, 8)).repeat(8, 0).repeat(8, 1)  # neighbours go together
        values = np.where(rng.random((64, 64)) < 0.3, 4.0, 0.0) + 0.5 * block
        values += rng.normal(0, 1, values.shape)
        options = SegmentOptions(stability=StabilityOptions(refits=30))
        seg = gmmseg.segment(values, 2, options)
        threshold = values[seg.labels == 2].min()
        seg.refit()
        low, high = seg.table[1].share_interval
        # what the optimum for all such pictures would call class 2 in this one
        hits.append(low <= np.mean(values > 2.2) <= high)
        assert low < seg.table[1].share < high
        assert 0.5 < threshold < 3.5
    assert np.mean(hits) > 0.8


def test_the_result_is_repeatable_and_independent_of_threads():
    one = gmmseg.segment(picture(apart=20), 2, PLAIN, threads=1)
    two = gmmseg.segment(picture(apart=20), 2, PLAIN, threads=2)
    np.testing.assert_array_equal(one.stability, two.stability)
    np.testing.assert_array_equal(one.refits.shares, two.refits.shares)


def test_unused_pixels_have_no_stability():
    mask = np.ones((60, 80), bool)
    mask[:20] = False
    seg = gmmseg.segment(picture(), 2, PLAIN, mask=mask)
    assert np.isnan(seg.stability[:20]).all()
    assert not np.isnan(seg.stability[20:]).any()


def test_hints_stay():
    hints = np.zeros((60, 80), np.uint8)
    hints[:, :4], hints[:, -4:] = 2, 1  # the other way round than by grey
    seg = gmmseg.segment(picture(apart=20), options=PLAIN, hints=hints)
    assert np.all(seg.stability[hints > 0] == 1)
    bright = seg.labels[:, 60:]
    assert np.mean(bright == 1) > 0.8


def test_prior_maps_are_known_to_the_refits():
    """The classes are those of the maps, and what the maps settle is stable."""
    maps = np.full((2, 60, 80), 0.5)
    maps[:, :, :20], maps[:, :, 60:] = [[[0.02]], [[0.98]]], [[[0.98]], [[0.02]]]
    mask = np.ones((60, 80), bool)
    mask[:7] = False
    noisy = picture(apart=4.0)  # too close to be told apart without
    plain = gmmseg.segment(noisy, 2, PLAIN, mask=mask)
    trusting = SegmentOptions(priors=PriorOptions(weight=1.0))
    seg = gmmseg.segment(noisy, options=trusting, priors=list(maps), mask=mask)
    assert np.mean(seg.labels[7:, :20] == 2) > 0.9
    assert np.nanmean(seg.stability[:, 60:]) > np.nanmean(plain.stability[:, 60:])


@pytest.mark.parametrize("preset", ["photo", "microscopy", "satellite", "mri"])
def test_the_refits_go_the_whole_way_of_every_preset(preset):
    seg = gmmseg.segment(picture((48, 64)), 2, preset)
    assert seg.stability.shape == seg.labels.shape
    assert seg.stability.min() >= 0
    assert seg.table[0].share_interval[0] <= seg.table[0].share <= seg.table[0].share_interval[1]


def test_pictures_on_a_working_grid_are_relabelled_at_their_own_size():
    from gmmseg.feature_spec import FeatureSpec

    options = SegmentOptions(features=FeatureSpec(working_pixels=600))
    seg = gmmseg.segment(picture((60, 80)), 2, options)
    assert type(seg).__name__ == "EnlargedSegmentation"
    assert seg.stability.shape == (60, 80)
    assert np.nanmean(seg.stability) > 0.9


def test_large_pictures_are_refitted_by_a_part_of_their_pixels(monkeypatch):
    import gmmseg.stability as module

    monkeypatch.setattr(module, "_PIXELS", 1000)
    seg = gmmseg.segment(picture(), 2, PLAIN)
    first = next(refitted_models(seg.model, seg._rows, PLAIN.em, StabilityOptions()))
    np.testing.assert_allclose(first.mixture.means, seg.mixture.means, rtol=0.02)
    assert seg.stability.mean() > 0.99


def test_a_given_model_has_no_stability():
    seg = gmmseg.segment(picture(), 2, PLAIN)
    with pytest.raises(InvalidParameterError, match="stability is of a fit"):
        _ = gmmseg.apply(seg.model, picture()).stability


def test_progress_is_told():
    shares = []
    gmmseg.segment(picture(), 2, PLAIN).refit(shares.append)
    assert shares[-1] == 1
    assert shares == sorted(shares)
    assert len(shares) == 21


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refits": 1}, "refits must be at least 2"),
        ({"blocks": 1}, "blocks must be at least 2"),
        ({"level": 1.0}, "level must be less than 1"),
        ({"level": 0.0}, "level must be more than 0"),
        ({"rng": -1}, "rng must be at least 0"),
    ],
)
def test_options_have_rules(options, message):
    with pytest.raises(InvalidParameterError, match=message):
        StabilityOptions(**options)


def test_an_interval_stays_within_0_and_1():
    found = Stability(
        agreement=np.ones((1, 1), np.float32),
        shares=np.array([[0.9, 0.1], [0.1, 0.9]]),
        share=np.array([0.5, 0.5]),
        level=0.95,
    )
    assert found.interval(1, 0.5) == (0.0, 1.0)


def test_the_command_line_writes_the_map_and_tells_intervals(tmp_path, capsys):
    from gmmseg.io import write_png

    write_png(tmp_path / "a.png", picture().astype(np.uint8))
    words = [
        "segment",
        str(tmp_path / "a.png"),
        "-k",
        "2",
        "--stability",
        "--refits",
        "5",
        "--json",
    ]
    assert main([*words, "--spacing", "2", "-o", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert summary["stability"]["refits"] == 5
    low, high = summary["classes"][1]["share_interval"]
    assert 0 <= low <= summary["classes"][1]["share"] <= high <= 1
    np.testing.assert_allclose(
        summary["classes"][1]["area_interval"], [low * 4800 * 4, high * 4800 * 4]
    )
    assert "interval" in err
    found = read_image(tmp_path / "out" / "a_stability.tif").data[..., 0]
    assert found.dtype == np.float32
    assert np.nanmax(found) <= 1


def test_streamed_scenes_refuse_it(tmp_path):
    """The whole image is needed at once."""
    from gmmseg.outputs import OutputOptions, planned_outputs
    from gmmseg.scene_outputs import check_scene_outputs

    plan = planned_outputs(tmp_path / "a", 2, OutputOptions(stability=True), tiff=True)
    with pytest.raises(InvalidParameterError, match="stability cannot be written so"):
        check_scene_outputs(plan)


def test_an_image_object_is_taken_too():
    image = Image(data=picture()[..., None])
    assert gmmseg.segment(image, 2, PLAIN).stability.shape == (60, 80)
