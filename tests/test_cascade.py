"""Volumes smoothed in one way through them against sweeps over the whole volume: the same bits."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gmmseg
from gmmseg import SegmentOptions, SmoothingOptions, cascade, pixels, random_field, smooth
from gmmseg.cascade import Evidence, SmoothedVolume, smooth_volume
from gmmseg.errors import InvalidParameterError
from gmmseg.image import Image
from gmmseg.smoothing import Smoothed
from gmmseg.tissue import TissueOptions, tissue


def posterior(shape, k, seed):
    p = np.random.default_rng(seed).dirichlet(np.full(k, 0.5), shape)
    return np.ascontiguousarray(np.moveaxis(p, -1, 0), np.float32)


def evidence_of(p, mask, options, spacing, threads=None):
    at = True if mask is None else mask
    with np.errstate(divide="ignore"):
        logs = np.log2(p, out=np.zeros_like(p), where=np.broadcast_to(at, p.shape))
    logs = np.maximum(logs, np.float32(-1e4))
    return Evidence(
        shape=p.shape[1:],
        n_classes=len(p),
        unary=lambda parts: (np.ascontiguousarray(logs[:, part]) for part in parts),
        mask=mask,
        neighbours=options.neighbours,
        spacing=spacing,
        threads=threads,
    )


def assert_same(found, whole):
    assert isinstance(found, SmoothedVolume)
    assert isinstance(whole, Smoothed)
    shape = whole.probabilities.shape[1:]
    assert np.array_equal(found.labels(), whole.labels())
    assert np.array_equal(found.probabilities, whole.probabilities)
    for step in (1, 3, shape[0]):
        assert np.array_equal(np.concatenate([*found.slabs(shape, step)], 1), whole.probabilities)
    one = np.concatenate([*found.slabs(shape, 4, index=1)], 1)
    assert np.array_equal(one[0], whole.probabilities[1])
    assert (found.n_sweeps, found.converged) == (whole.n_sweeps, whole.converged)
    np.testing.assert_allclose(found.moves, whole.moves, rtol=1e-9)


@given(
    planes=st.integers(1, 34),
    across=st.tuples(st.integers(1, 7), st.integers(1, 70)),
    k=st.integers(2, 5),
    masked=st.booleans(),
    spacing=st.tuples(*[st.sampled_from([1.0, 2.5])] * 3),
    at_once=st.sampled_from([1, 300, 2000]),
    sweeps=st.integers(1, 6),
    tol=st.sampled_from([0.0, 1e-2]),
    beta=st.sampled_from([0.2, 0.9]),
    neighbours=st.sampled_from([6, 18, 26, None]),
    method=st.sampled_from(["mean-field", "icm"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_bits_are_those_of_sweeps_over_the_whole_volume(
    planes, across, k, masked, spacing, at_once, seed, **chosen
):
    shape = planes, *across
    options = SmoothingOptions(**chosen)
    p = posterior(shape, k, seed)
    mask = None
    if masked:
        mask = np.random.default_rng(seed).random(shape) > 0.4
        mask[planes // 2] = True
        mask[planes // 3] &= planes < 5  # a plane without any
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cascade, "_AT_ONCE", at_once)
        found = smooth_volume(
            evidence_of(p, mask, options, spacing, threads=1 + seed % 2), options, np.ones(k)
        )
        assert_same(found, smooth(p, options, mask=mask, spacing=spacing))


@pytest.mark.parametrize("guess", [1, 2, 9])
def test_a_wrong_guess_of_the_sweeps_is_put_right(guess, monkeypatch):
    monkeypatch.setattr(cascade, "_AT_ONCE", 1)
    monkeypatch.setattr(cascade, "_guess", lambda *_: guess)
    options = SmoothingOptions(beta=0.3, tol=1.2e-2)
    p = posterior((40, 9, 10), 3, 0)
    whole = smooth(p, options)
    assert 2 < whole.n_sweeps < 9
    assert_same(smooth_volume(evidence_of(p, None, options, None), options, np.ones(3)), whole)


def test_what_is_held_does_not_grow_with_the_volume(monkeypatch):
    """Beside labels, mask and image: some planes, not numbers for all voxels and classes."""
    monkeypatch.setattr(cascade, "_AT_ONCE", 1 << 14)
    monkeypatch.setattr(pixels, "_AT_ONCE", 1 << 14)
    monkeypatch.setattr(random_field, "_HELD", 0)
    values = np.random.default_rng(0).normal(100, 30, (240, 64, 64)).astype(np.int16)
    values[:, 20:40] += 90
    values[:, 40:, 20:] += 200
    options = SegmentOptions(smoothing=SmoothingOptions(beta=0.3))
    seg = gmmseg.segment(Image.from_array(values, axes="ZYX"), 3, options)
    tracemalloc.start()
    try:
        assert seg.labels.max() == 3
        assert sum(len(part) for part in seg.slabs("probabilities", 4)) == 240
        assert sum(row.pixels for row in seg.table) == values.size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(seg.smoothed, SmoothedVolume)
    assert peak < 4 * values.size  # the volume in float32; the probabilities are three of it


# --- images ------------------------------------------------------------------------------------


def volume(dtype=np.int16, seed=0):
    rng = np.random.default_rng(seed)
    values = 100.0 + rng.normal(0, 25, (26, 17, 19))
    values[:, 6:] += 80
    values[9:, :, 8:] += 150
    return values.astype(dtype)


def both_ways(monkeypatch, **given):
    """Segmentations whose probabilities are held, and computed where they are asked for."""
    given = {"k": 3, "options": SegmentOptions(smoothing=SmoothingOptions(beta=0.4)), **given}
    held = gmmseg.segment(**given)
    assert isinstance(held.smoothed, Smoothed)
    monkeypatch.setattr(random_field, "_HELD", 0)
    monkeypatch.setattr(cascade, "_AT_ONCE", 400)
    made = gmmseg.segment(**given)
    return held, made


def hints_of(shape):
    hints = np.zeros(shape, np.uint8)
    hints[2, 3, 4:9], hints[20, 12, 12:] = 1, 3
    return hints


GIVEN = {
    "counted values": {},
    "two classes": {"k": 2},
    "five classes": {"k": 5},
    "floats": {"image": volume(np.float32)},
    "a mask": {"mask": np.random.default_rng(1).random((26, 17, 19)) > 0.3},
    "gaps": {"image": np.where(volume(np.float64) < 60, np.nan, volume(np.float64))},
    "hints": {"hints": hints_of((26, 17, 19))},
    "thick planes": {"spacing": (3.0, 1.0, 0.7)},
    "several Gaussians": {
        "options": SegmentOptions(
            smoothing=SmoothingOptions(beta=0.4),
            merging=gmmseg.MergeOptions(gaussians_per_segment=2),
        )
    },
}


@pytest.mark.parametrize("given_", GIVEN.values(), ids=GIVEN)
def test_segmentations_are_the_same(given_, monkeypatch):
    given_ = {"image": volume(), "axes": "ZYX", **given_}
    held, made = both_ways(monkeypatch, **given_)
    assert isinstance(made.smoothed, SmoothedVolume)
    assert np.array_equal(made.labels, held.labels)
    assert np.array_equal(made.probabilities, held.probabilities)
    assert np.array_equal(made.probability(2), held.probability(2))
    assert np.array_equal(made.entropy, held.entropy, equal_nan=True)
    assert made.to_dict() == held.to_dict()


@pytest.mark.parametrize(
    "options", [SmoothingOptions(beta="auto"), SmoothingOptions(beta=0.4, contrast=1.0)]
)
def test_what_is_a_matter_of_the_whole_volume_is_held(options, monkeypatch):
    _, made = both_ways(
        monkeypatch, image=volume(), axes="ZYX", options=SegmentOptions(smoothing=options)
    )
    assert isinstance(made.smoothed, Smoothed)


def test_tissues_are_the_same(monkeypatch):
    image = Image.from_array(volume(), axes="ZYX", spacing=2.0)
    mask = volume() > 80
    held = tissue(image, TissueOptions(bias=gmmseg.BiasOptions()), mask=mask)
    rows = held.rows
    monkeypatch.setattr(random_field, "_HELD", 0)
    monkeypatch.setattr(cascade, "_AT_ONCE", 400)
    made = tissue(image, TissueOptions(bias=gmmseg.BiasOptions()), mask=mask)
    assert isinstance(made.segmentation.smoothed, SmoothedVolume)
    assert np.array_equal(made.labels, held.labels)
    assert made.rows == rows


def test_a_class_must_exist(monkeypatch):
    _, made = both_ways(monkeypatch, image=volume(), axes="ZYX")
    with pytest.raises(InvalidParameterError, match="label must be at most k = 3, got 4"):
        made.probability(4)
