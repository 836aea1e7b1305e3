"""Partial volume: against the definition in NumPy, and phantoms whose fractions are known."""

import numpy as np
import pytest
from scipy.special import ndtr

import gmmseg
from gmmseg import FeatureSpec, SegmentOptions, SmoothingOptions
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.fractions import Mixing, fractions_of
from gmmseg.image import Image
from gmmseg.lattice import Lattice
from gmmseg.mixture._threads import Workers
from gmmseg.model import Model
from gmmseg.priors import PriorOptions
from gmmseg.tissue import TissueOptions, tissue

MEANS = np.array([60.0, 120.0, 180.0])


def phantom(noise, n=28, fine=4, seed=0):
    """A head of three shells with a wavy border, its voxels the means of finer ones: values,
    where the head is, and how much of each class is in every voxel.
    """
    z, y, x = (2 * (np.indices((n * fine,) * 3) + 0.5) / (n * fine) - 1).astype(np.float32)
    radius = np.sqrt(x**2 + y**2 + z**2)
    radius += 0.06 * np.sin(9 * x) * np.cos(8 * y) + 0.05 * np.sin(11 * z + 2 * x)
    label = np.select([radius < 0.45, radius < 0.7, radius < 0.95], [2, 1, 0], 3)
    blocks = label.reshape(n, fine, n, fine, n, fine)
    parts = np.stack([(blocks == c).mean(axis=(1, 3, 5)) for c in range(3)], axis=-1)
    mask = parts.sum(axis=-1) > 0.999
    values = parts @ MEANS + np.random.default_rng(seed).normal(0, noise, mask.shape)
    return values.astype(np.float32), mask, parts


def pixels(noise=6.0, n=20_000, seed=0):
    """Values of pure pixels and mixed ones, half of each."""
    rng = np.random.default_rng(seed)
    pure = MEANS[rng.integers(0, 3, n)]
    share, at = rng.random(n), rng.integers(0, 2, n)
    mixed = MEANS[at] * (1 - share) + MEANS[at + 1] * share
    values = np.concatenate([pure, mixed])
    return (values + rng.normal(0, noise, 2 * n)).astype(np.float32)[None]


def by_definition(mixing, x, known=None):
    """Expected fractions: the integral over all proportions on a fine grid."""
    k = len(mixing.means)
    inverse = np.linalg.inv(mixing.covariance)
    known = np.zeros((k, x.shape[1])) if known is None else known
    top = np.zeros((k, x.shape[1]))
    total = np.zeros(x.shape[1])

    def add(weight, fraction):
        delta = x.T - fraction @ mixing.means
        density = weight * np.exp(
            fraction @ known - 0.5 * np.einsum("nd,de,ne->n", delta, inverse, delta)
        )
        top[:] += fraction[:, None] * density
        total[:] += density

    for c in range(k):
        add(mixing.weights[c], np.eye(k)[c])
    n = 2000
    for p in range(k - 1):
        for share in (np.arange(n) + 0.5) / n:
            add(mixing.weights[k + p] / n, (1 - share) * np.eye(k)[p] + share * np.eye(k)[p + 1])
    return top / total


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("believed", [False, True])
@pytest.mark.parametrize("noise", [3.0, 30.0])
def test_fractions_are_the_means_of_their_posterior(d, believed, noise):
    rng = np.random.default_rng(1)
    means = np.sort(rng.uniform(0, 200, (3, d)), axis=0)
    root = rng.normal(0, 0.4, (d, d)) + np.eye(d)
    mixing = Mixing(means, noise**2 * root @ root.T, np.array([0.1, 0.3, 0.2, 0.25, 0.15]))
    x = rng.dirichlet(np.ones(3), 200) @ means + noise * 2 * rng.normal(size=(200, d))
    x = np.ascontiguousarray(x.T, np.float32)
    known = rng.normal(0, 1.5, (3, 200)).astype(np.float32) if believed else None
    with Workers() as workers:
        found = mixing.fractions(x, workers, known)
    np.testing.assert_allclose(found, by_definition(mixing, x, known), atol=2e-3)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_far_from_all_classes_fractions_stay_fractions():
    mixing = Mixing(MEANS[:, None], np.eye(1), np.full(5, 0.2))
    x = np.array([[-1e4, -100, 50, 130, 190, 1e4]], np.float32)
    with Workers() as workers:
        found = mixing.fractions(x, workers)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, 0], [1, 0, 0], atol=1e-3)
    np.testing.assert_allclose(found[:, -1], [0, 0, 1], atol=1e-3)
    assert found[2, 3] == pytest.approx(1 / 6, abs=0.01)


@pytest.mark.parametrize("noise", [3.0, 12.0])
def test_pure_values_noise_and_shares_are_found(noise):
    start = Mixing.started(np.array([[75.0], [120.0], [165.0]]), np.full((3, 1, 1), 400.0))
    with Workers() as workers:
        found = start.fitted(pixels(noise), workers)
    np.testing.assert_allclose(found.means[:, 0], MEANS, atol=0.15 * noise)
    assert found.covariance[0, 0] == pytest.approx(noise**2, rel=0.1)
    np.testing.assert_allclose(found.weights, [1 / 6] * 3 + [1 / 4] * 2, atol=0.04)


def test_steps_never_lower_the_likelihood():
    x = pixels(10.0, 2000)
    at = Mixing.started(np.array([[80.0], [110.0], [170.0]]), np.full((3, 1, 1), 300.0))
    values = []
    with Workers() as workers:
        for _ in range(15):
            s = np.sqrt(at.covariance[0, 0])
            m = at.means[:, 0]
            parts = np.exp(-0.5 * ((x - m[:, None]) / s) ** 2) / np.sqrt(2 * np.pi) / s
            ends = ndtr((x - m[:, None]) / s)
            mixed = (ends[:-1] - ends[1:]) / np.diff(m)[:, None]
            values.append(np.log(at.weights @ np.concatenate([parts, mixed])).mean())
            at = at._step(x, workers)
    assert (np.diff(values) > -1e-7).all()
    assert values[-1] > values[0] + 0.01


@pytest.mark.parametrize(("noise", "better"), [(2.0, 0.3), (6.0, 0.75)])
def test_fractions_are_nearer_to_the_truth_than_probabilities(noise, better):
    values, mask, parts = phantom(noise)
    image = Image.from_array(values, axes="ZYX", mask=mask, spacing=1.0)
    seg = gmmseg.segment(image, 3, "mri")
    found = fractions_of(seg)

    def error(maps):
        return np.abs(maps - parts)[mask].mean()

    hard = np.eye(4)[seg.labels][..., 1:]
    assert error(found) < better * error(seg.probabilities)
    assert error(found) < better * error(hard)
    np.testing.assert_allclose(
        found[mask].sum(axis=0), parts[mask].sum(axis=0), rtol=0.03
    )  # volumes
    assert (found[~mask] == 0).all()


def test_neighbours_help_under_noise():
    values, mask, parts = phantom(15.0)
    image = Image.from_array(values, axes="ZYX", mask=mask, spacing=1.0)
    errors = []
    for beta in (0.0, 0.3):
        options = SegmentOptions(smoothing=SmoothingOptions(beta=beta))
        found = fractions_of(gmmseg.segment(image, 3, options))
        errors.append(np.abs(found - parts)[mask].mean())
    assert errors[1] < 0.7 * errors[0]


def test_what_neighbours_pull_with():
    q = np.random.default_rng(0).random((2, 1, 5, 6)).astype(np.float32)
    with Workers() as workers:
        found = Lattice((5, 6), workers, neighbours=8).pull(q, 0.7)
    padded = np.pad(q[:, 0], ((0, 0), (1, 1), (1, 1)))
    expected = sum(
        0.7 / np.hypot(dy, dx) * padded[:, 1 + dy : 6 + dy, 1 + dx : 7 + dx]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if dy or dx
    )
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5)


def test_two_channels_tell_more_than_one():
    values, mask, parts = phantom(20.0)
    other = phantom(20.0, seed=1)[0]
    errors = []
    for bands in [values], [values, 240 - other]:
        image = Image.from_array(np.stack(bands, axis=-1), axes="ZYXC", mask=mask)
        options = SegmentOptions(smoothing=SmoothingOptions(beta=0.2))
        found = fractions_of(gmmseg.segment(image, 3, options))
        errors.append(np.abs(found - parts)[mask].mean())
    assert errors[1] < 0.85 * errors[0]


def test_whatever_the_units_and_the_order_of_labels():
    values, mask, parts = phantom(4.0)
    maps = np.moveaxis(parts, -1, 0)[[2, 0, 1]]
    image = Image.from_array(values, axes="ZYX", mask=mask)
    plain = fractions_of(gmmseg.segment(image, 3, "plain"))
    scaled = Image.from_array(7 * values + 3000, axes="ZYX", mask=mask)
    np.testing.assert_allclose(fractions_of(gmmseg.segment(scaled, 3, "plain")), plain, atol=2e-3)
    turned = SegmentOptions(priors=PriorOptions(weight=0.01))
    found = fractions_of(gmmseg.segment(image, None, turned, priors=list(maps)))
    np.testing.assert_allclose(found[..., [1, 2, 0]], plain, atol=0.1)


def test_integers_and_threads_do_not_matter():
    values, mask, _ = phantom(8.0)
    image = Image.from_array(np.rint(values).astype(np.uint8), axes="ZYX", mask=mask)
    seg = gmmseg.segment(image, 3, "mri")
    one, two = (fractions_of(seg, threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one, two)


def test_pictures_have_fractions_too():
    halves = np.repeat([10.0, 10, 30, 90, 90], 40)
    picture = halves + np.random.default_rng(0).normal(0, 2, (50, 200))
    found = fractions_of(gmmseg.segment(picture, 2, "plain"))
    assert found[:, 80:120, 1].mean() == pytest.approx(0.25, abs=0.02)


def test_tissues_have_volumes_by_fractions():
    values, mask, parts = phantom(3.0)
    image = Image.from_array(values, axes="ZYX", mask=mask, spacing=2.0, unit="mm")
    found = tissue(image, TissueOptions(fractions=True))
    truth = parts[mask].sum(axis=0) * 0.008
    assert [row.ml_fractions for row in found.rows] == pytest.approx(truth.tolist(), rel=0.06)
    assert "fractions" in found.summary()


def test_what_has_no_fractions_is_told():
    values, mask, _ = phantom(3.0)
    image = Image.from_array(values, axes="ZYX", mask=mask)
    with pytest.raises(InvalidParameterError, match="two classes or more of one Gaussian each, go"):
        fractions_of(gmmseg.segment(image, 1, "plain"))
    seg = gmmseg.segment(image, 3, "plain")
    merged = Model(
        features=seg.model.features,
        feature_names=seg.model.feature_names,
        mixture=seg.mixture,
        labels=(1, 2, 2),
    )
    with pytest.raises(InvalidParameterError, match="got 2 of 3"):
        fractions_of(gmmseg.apply(merged, image))
    both = np.stack([values, values + np.random.default_rng(0).normal(0, 3, mask.shape)], -1)
    both[12, 12, 12, 0] = np.nan
    gapped = gmmseg.segment(
        Image.from_array(both, axes="ZYXC", mask=mask), 3, SegmentOptions(features=FeatureSpec())
    )
    with pytest.raises(InvalidDataError, match="fractions need pixels that have all their bands"):
        fractions_of(gapped)
