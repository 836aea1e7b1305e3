"""One meaning over many images: no label swaps, whatever exposure and shares of the classes do."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

import gmmseg
from gmmseg import folder_modes
from gmmseg.errors import InvalidDataError
from gmmseg.folder_modes import (
    DriftOptions,
    class_mixture,
    compared,
    drifted,
    exposure,
    matched,
    reweighted,
)
from gmmseg.image import Image
from gmmseg.mixture import Mixture
from gmmseg.mixture.em import accumulate
from gmmseg.pixels import pixel_rows
from gmmseg.pooling import fit_aligned, fit_pooled, rows_of_image

COLOURS = np.array([[60, 50, 45], [120, 110, 90], [190, 180, 170]], float)
N = 48
PLAIN = gmmseg.SegmentOptions()


def scene(seed, gain=1.0, offset=0.0, shares=(1 / 3, 1 / 3, 1 / 3)):
    """A picture of three materials, and which pixel is of which."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, size=(N, N), p=shares)
    values = COLOURS[truth] * gain + offset + rng.normal(0, 9, (N, N, 3))
    return values.clip(0, 255).astype(np.uint8), truth + 1


@pytest.fixture(scope="module")
def reference():
    return gmmseg.fit([scene(0)[0]], 3, "plain")


def rows_of(picture, model):
    return pixel_rows(Image.from_array(picture), model.features)


def right(model, picture, truth):
    """Share of the pixels with the label that their material has in the reference."""
    return (gmmseg.apply(model, picture).labels == truth).mean()


def exposures(n, concentration):
    rng = np.random.default_rng(5)
    for seed in range(1, n + 1):
        gain, offset = rng.uniform(0.65, 1.3), rng.uniform(-15, 15)
        yield scene(seed, gain, offset, rng.dirichlet([concentration] * 3))


def test_drift_over_50_images_swaps_no_label(reference):
    """Any shares, down to classes that are all but absent; exposure from two thirds to 1.3."""
    options = DriftOptions(max_drift=12)
    for picture, truth in exposures(50, concentration=1):
        rows = rows_of(picture, reference)
        model = drifted(reference, rows.features, rows.counts, options)
        assert right(model, picture, truth) > 0.97


def test_a_reference_of_aligned_images_is_right_for_all_of_them():
    """Of images under different exposures a plain pooled model takes exposures for classes."""
    pictures = list(exposures(32, concentration=1))
    parts = [rows_of_image(Image.from_array(picture), PLAIN, 1 << 20) for picture, _ in pictures]
    wrong = {}
    for fit in (fit_pooled, fit_aligned):
        model = fit(parts, 3, PLAIN)
        wrong[fit] = 0
        for picture, truth in pictures:
            rows = rows_of(picture, model)
            own = drifted(model, rows.features, rows.counts, DriftOptions(max_drift=12))
            wrong[fit] += right(own, picture, truth) < 0.97
    assert wrong[fit_pooled] > 0
    assert wrong[fit_aligned] == 0


def test_an_exposure_is_found(reference):
    picture, _ = scene(1)
    rows = rows_of(picture, reference)
    features = np.asarray(rows.features, float)
    told = np.array([0.8, 1.0, 1.0]), np.array([12.0, -3.0, 5.0])
    gain, offset = exposure(reference, features * told[0] + told[1], rows.counts)
    np.testing.assert_allclose(gain[0], told[0][0], atol=0.02)
    middle = features.mean(axis=0)  # of colours that hardly differ a gain is an offset
    np.testing.assert_allclose(gain * middle + offset, told[0] * middle + told[1], atol=1.0)
    gain, offset = exposure(reference, features, rows.counts)
    np.testing.assert_allclose(gain * middle + offset, middle, atol=0.5)


def test_what_is_no_exposure_changes_nothing(reference, monkeypatch):
    monkeypatch.setattr(folder_modes, "_LEAST_GAIN", 9.0)
    gain, offset = exposure(reference, np.full((50, 3), [25.0, 2.0, 6.0]))
    assert gain.tolist() == [1, 1, 1]
    assert offset.tolist() == [0, 0, 0]


def test_images_with_gaps_and_of_one_colour_are_aligned():
    rng = np.random.default_rng(0)
    parts = []
    for gain in (1.0, 1.2, 0.9):
        values = rng.choice([10.0, 30.0, 60.0], (30, 40))[..., None] * [1, 2] + 20
        values = gain * (values + rng.normal(0, 4, values.shape))
        values[3:6, :, 1] = np.nan
        parts.append(rows_of_image(Image.from_array(values, axes="YXC"), PLAIN, 1 << 20))
    flat = Image.from_array(np.full((9, 9, 2), 40.0), axes="YXC")
    parts.append(rows_of_image(flat, PLAIN, 1 << 20))
    model = fit_aligned(parts, 3, PLAIN)
    assert np.isfinite(model.mixture.means).all()
    free = DriftOptions(max_drift=60)
    shares = [drifted(model, p.features, p.weights, free).mixture.weights for p in parts[:3]]
    np.testing.assert_allclose(shares, 1 / 3, atol=0.05)


def test_images_beyond_the_limit_are_at_the_limit(reference):
    """With the usual limit four of the 50 are beyond it, and every one of them shows it."""
    wrong = []
    for picture, truth in exposures(50, concentration=1):
        rows = rows_of(picture, reference)
        model = drifted(reference, rows.features, rows.counts)
        if right(model, picture, truth) < 0.97:
            wrong.append(max(model.provenance["adapted"]["moves"]))
    assert 0 < len(wrong) <= 5
    np.testing.assert_allclose(wrong, DriftOptions().max_drift, rtol=1e-6)


def test_matching_over_50_images_swaps_no_label(reference):
    """Fits of their own, of which labels were mixed up on purpose."""
    orders = list(permutations((1, 2, 3)))
    options = gmmseg.SegmentOptions(em=gmmseg.mixture.EMOptions(n_init=5))
    for i, (picture, truth) in enumerate(exposures(50, concentration=8)):
        own = gmmseg.fit([picture], 3, options)
        mixed = replace(own, labels=orders[i % 6])
        assert right(matched(mixed, reference), picture, truth) > 0.97


def test_without_freedom_exposure_does_swap_labels(reference):
    """What the modes are for: the same images under the reference as it is."""
    worst = min(
        right(reference, picture, truth) for picture, truth in exposures(50, concentration=8)
    )
    assert worst < 0.6


def test_shares_are_found(reference):
    picture, truth = scene(1, shares=(0.7, 0.25, 0.05))
    rows = rows_of(picture, reference)
    model = reweighted(reference, rows.features, rows.counts)
    expected = np.bincount(truth.ravel(), minlength=4)[1:] / truth.size
    np.testing.assert_allclose(model.mixture.weights, expected, atol=5e-3)
    np.testing.assert_array_equal(model.mixture.means, reference.mixture.means)
    assert model.provenance["adapted"] == {"mode": "reference"}
    assert model.provenance["fit"]["n_pixels"] == N * N


def test_moves_are_bounded_and_told(reference):
    picture, _ = scene(2, gain=0.5)
    rows = rows_of(picture, reference)
    model = drifted(reference, rows.features, rows.counts, DriftOptions(max_drift=2.0))
    moves = model.provenance["adapted"]["moves"]
    assert max(moves) == pytest.approx(2.0, rel=1e-6)
    found = compared(model, reference, rows.features, rows.counts)
    np.testing.assert_allclose(found.moves, moves, rtol=1e-9)
    assert max(found.shifts) > 2.0  # the pixels are elsewhere
    assert found.novelty_share > 0.2


def test_an_image_like_the_reference_fits_it(reference):
    picture, _ = scene(3)
    rows = rows_of(picture, reference)
    model = drifted(reference, rows.features, rows.counts)
    found = compared(model, reference, rows.features, rows.counts)
    assert max(found.moves) < 0.2
    assert found.novelty_share < 0.03
    assert found.log_likelihood == pytest.approx(
        model.mixture.score(rows.features, rows.counts), rel=1e-5
    )
    assert sum(found.shares) == pytest.approx(1)


def test_drift_without_room_is_the_reference_mode(reference):
    picture, _ = scene(4, gain=0.9)
    rows = rows_of(picture, reference)
    held = drifted(reference, rows.features, rows.counts, DriftOptions(max_drift=0))
    fixed = reweighted(reference, rows.features, rows.counts)
    np.testing.assert_array_equal(held.mixture.means, reference.mixture.means)
    np.testing.assert_allclose(held.mixture.weights, fixed.mixture.weights, atol=1e-3)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_matching_undoes_any_permutation(reference, order):
    shuffled = replace(reference, mixture=reference.mixture.reordered(order))
    found = matched(shuffled, reference)
    assert found.labels == tuple(i + 1 for i in order)
    np.testing.assert_allclose(found.provenance["adapted"]["distances"], 0, atol=1e-12)


def test_classes_that_all_moved_keep_their_order():
    """Each by one place: a distance with an upper limit would match the far ones crosswise."""
    model = gmmseg.fit([scene(0)[0][..., 0]], 3, "plain")
    mean = np.array([[10.0], [20.0], [30.0]])
    one = Mixture(weights=[1 / 3] * 3, means=mean, covariances=np.ones((3, 1, 1)))
    moved = replace(model, mixture=replace(one, means=mean + 10))
    assert matched(moved, replace(model, mixture=one)).labels == (1, 2, 3)


def test_a_class_of_several_gaussians_is_one_gaussian():
    mixture = Mixture(
        weights=[0.2, 0.3, 0.5],
        means=[[0.0], [10.0], [50.0]],
        covariances=[[[1.0]], [[4.0]], [[9.0]]],
    )
    model = replace(
        gmmseg.fit([scene(0)[0][..., 0]], 3, "plain"), mixture=mixture, labels=(1, 1, 2)
    )
    found = class_mixture(model)
    X, component = mixture.sample(200_000, rng=0)
    first = X[component < 2]
    np.testing.assert_allclose(found.weights, [0.5, 0.5])
    np.testing.assert_allclose(found.means.ravel(), [first.mean(), 50], rtol=0.01)
    np.testing.assert_allclose(found.covariances.ravel(), [first.var(), 9], rtol=0.02)


def test_comparison_of_several_gaussians_a_class(reference):
    model = replace(reference, labels=(1, 2, 2))
    rows = rows_of(scene(6)[0], reference)
    found = compared(model, model, rows.features, rows.counts)
    nk = accumulate(rows.features, rows.counts, model.mixture).nk
    np.testing.assert_allclose(found.shares, [nk[0] / nk.sum(), nk[1:].sum() / nk.sum()])
    assert found.moves == (0.0, 0.0)


def test_a_class_without_pixels_has_no_shift(reference):
    one = replace(reference.mixture, weights=[0.5, 0.5, 0.0])
    model = replace(reference, mixture=one)
    rows = rows_of(scene(7)[0], reference)
    assert compared(model, model, rows.features, rows.counts).to_dict()["shifts"][2] is None


def test_what_cannot_be_matched(reference):
    two = gmmseg.fit([scene(0)[0]], 2, "plain")
    with pytest.raises(InvalidDataError, match="the image has 2 classes, the reference 3"):
        matched(two, reference)
    grey = gmmseg.fit([scene(0)[0][..., 0]], 3, "plain")
    with pytest.raises(InvalidDataError, match=r"the reference has .*cannot be matched"):
        matched(grey, reference)


def test_planes_of_gaps_are_adapted_too(reference):
    X, component = reference.mixture.sample(2000, rng=1)
    X[::2, 1] = np.nan
    shares = np.bincount(component) / 2000
    np.testing.assert_allclose(reweighted(reference, X).mixture.weights, shares, atol=0.01)
    assert right(drifted(reference, X), *scene(0)) > 0.97


@pytest.mark.parametrize("shares", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0, 0.5)])
def test_classes_that_an_image_lacks_take_nothing(reference, shares):
    picture, truth = scene(8, gain=0.95, shares=shares)
    rows = rows_of(picture, reference)
    model = drifted(reference, rows.features, rows.counts)
    assert right(model, picture, truth) > 0.97
