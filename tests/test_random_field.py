"""Segmenting with neighbours: images, models and EM with a hidden Markov random field."""

import naive
import naive_field
import numpy as np
import pytest

import gmmseg
from gmmseg import EMOptions, FeatureSpec, SegmentOptions, SmoothingOptions, smooth
from gmmseg.classes import class_table
from gmmseg.image import Image
from gmmseg.mixture import Mixture
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.passes import statistics_with_shares
from gmmseg.mixture.rows import Frame, Rows
from gmmseg.model import Model


def scene(shape=(40, 60), noise=40, dtype=np.uint8, bands=1, seed=0):
    """A bright disc on a dark ground under strong noise, and where the disc is."""
    grid = np.stack(np.indices(shape), axis=-1) - np.array(shape) / 2 + 0.5
    disc = (grid**2).sum(axis=-1) < (0.4 * min(shape)) ** 2
    values = np.where(disc, 160, 90)[..., None] + np.random.default_rng(seed).normal(
        0, noise, (*shape, bands)
    )
    return np.clip(values, 0, 255).astype(dtype), disc


def smoothed(**chosen):
    return SegmentOptions(
        features=FeatureSpec(colour_space="raw"),
        em=EMOptions(covariance_type="tied"),
        smoothing=SmoothingOptions(**{"beta": 1.0, **chosen}),
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("masked", [False, True])
def test_labels_and_maps_are_those_of_the_smoothed_posterior(dtype, masked):
    values, _ = scene(dtype=dtype)
    mask = np.random.default_rng(1).random(values.shape[:2]) > 0.2 if masked else None
    seg = gmmseg.segment(values, 2, smoothed(contrast=1.0), mask=mask, axes="YXC")
    used = np.ones(seg.labels.shape, bool) if mask is None else mask
    p = seg.mixture.posterior(values.reshape(-1, 1)).reshape(*used.shape, 2)
    expected = smooth(
        np.moveaxis(p, -1, 0),
        seg.model.smoothing,
        mask=mask,
        guide=np.moveaxis(values, -1, 0),
    ).probabilities
    soft = seg.probabilities
    np.testing.assert_allclose(np.moveaxis(soft, -1, 0), expected, atol=5e-4)  # edges: 1/255
    np.testing.assert_array_equal(seg.labels, np.where(used, soft.argmax(axis=-1) + 1, 0))
    np.testing.assert_array_equal(seg.probability(2), soft[..., 1])
    assert (np.isnan(seg.entropy) == ~used).all()
    certain = np.where(soft > 0, soft, 1)
    entropy = -(certain * np.log2(certain)).sum(axis=-1)
    np.testing.assert_allclose(seg.entropy[used], entropy[used], atol=1e-5)
    exact = class_table(seg.labels[used], values[used], None, 2)
    for row, other in zip(seg.table, exact, strict=True):
        assert row.pixels == other.pixels
        assert row.mean == pytest.approx(other.mean)
        assert row.std == pytest.approx(other.std)


@pytest.mark.parametrize("shape", [(40, 60), (20, 24, 28)])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("beta", [0.4, "auto"])
def test_smoothing_finds_what_noise_hides(shape, inside, beta):
    values, disc = scene(shape)
    axes = "YXC" if len(shape) == 2 else "ZYXC"
    plain = gmmseg.segment(values, 2, smoothed(beta=0), axes=axes)
    seg = gmmseg.segment(values, 2, smoothed(beta=beta, inside=inside), axes=axes)
    assert plain.smoothed is None
    wrong, left = (((found.labels == 2) != disc).mean() for found in (plain, seg))
    assert left < 0.8 * wrong
    assert seg.smoothed.beta > 0.1
    assert seg.to_dict()["smoothing"]["beta"] == seg.smoothed.beta


def test_spacing_counts():
    """Rows far from each other say little about one another."""
    values, _ = scene()
    near, far = (
        gmmseg.segment(values, 2, smoothed(tol=0), axes="YXC", spacing=spacing).probabilities
        for spacing in ((1, 1), (1e6, 1))
    )
    model = gmmseg.segment(values, 2, smoothed(tol=0), axes="YXC").model
    rows = [
        gmmseg.apply(model, Image.from_array(row[None], axes="YXC")).probabilities[0]
        for row in values
    ]
    assert np.abs(near - far).max() > 0.5
    np.testing.assert_allclose(far, rows, atol=1e-4)


def test_the_model_file_keeps_the_smoothing(tmp_path):
    values, _ = scene()
    seg = gmmseg.segment(values, 2, smoothed(contrast=0.5), axes="YXC")
    seg.model.save(tmp_path / "m.gmm.json")
    model = gmmseg.load_model(tmp_path / "m.gmm.json")
    assert model.smoothing == seg.model.smoothing
    other = gmmseg.apply(model, Image.from_array(values, axes="YXC"))
    np.testing.assert_array_equal(other.labels, seg.labels)
    np.testing.assert_array_equal(other.probabilities, seg.probabilities)


def test_classes_of_several_components_are_smoothed_as_one():
    values, _ = scene()
    model = gmmseg.segment(values, 3, smoothed(), axes="YXC").model
    merged = Model(
        features=model.features,
        feature_names=model.feature_names,
        mixture=model.mixture,
        labels=(1, 1, 2),
        smoothing=model.smoothing,
    )
    p = model.mixture.posterior(values.reshape(-1, 1)).reshape(*values.shape[:2], 3)
    both = np.stack([p[..., 0] + p[..., 1], p[..., 2]])
    found = gmmseg.apply(merged, Image.from_array(values, axes="YXC"))
    expected = smooth(both, model.smoothing).probabilities
    np.testing.assert_allclose(np.moveaxis(found.probabilities, -1, 0), expected, atol=2e-5)


# EM with the field inside


def test_statistics_of_given_shares():
    rng = np.random.default_rng(0)
    for covariance_type, n_features in (("full", 1), ("full", 5), ("diag", 2), ("tied", 20)):
        X = rng.normal(size=(2500, n_features)).astype(np.float32)
        r = rng.dirichlet(np.ones(3), 2500).astype(np.float32)
        start = naive.m_step(X[:500], r[:500], covariance_type)
        mixture = Mixture(**dict(zip(("weights", "means", "covariances"), start, strict=True)),
                          covariance_type=covariance_type)  # fmt: skip
        rows = Rows(X, None, Frame.identity(n_features))
        with Workers(2) as workers:
            found = statistics_with_shares(rows, mixture, workers, np.ascontiguousarray(r.T))
        after = found.m_step(mixture, np.zeros(n_features))
        expected = naive.m_step(X, r.astype(float), covariance_type)
        for name, value in zip(("weights", "means", "covariances"), expected, strict=True):
            np.testing.assert_allclose(getattr(after, name), value, rtol=1e-4, atol=1e-5)


def test_the_fit_with_a_field_is_at_rest():
    """Sweeps and M-steps in plain NumPy, from where the fit ended, lead nowhere else."""
    values, _ = scene((24, 30))
    options = smoothed(beta=0.5, inside=True)
    model = gmmseg.segment(values.astype(np.float32), 2, options, axes="YXC").model
    assert model.provenance["random_field"]["converged"]
    mixture = model.mixture
    x = values.reshape(-1, 1).astype(float)
    ties = naive_field.offsets(2, 8, (1, 1))
    used = np.ones((24, 30), bool)
    logs = naive.component_log_densities(x, mixture.weights, mixture.means, mixture.covariances,
                                         "tied").T.reshape(2, 24, 30)  # fmt: skip
    q = np.exp(logs - logs.max(axis=0))
    q /= q.sum(axis=0)
    for _ in range(60):
        naive_field.sweep(logs, q, used, ties, 0.5)
    _, means, covariances = naive.m_step(x, q.reshape(2, -1).T, "tied")
    np.testing.assert_allclose(means, mixture.means, atol=0.2)
    np.testing.assert_allclose(covariances, mixture.covariances, rtol=0.01)
    expected = np.zeros(2)
    for pixel in np.ndindex(24, 30):
        value = np.log(mixture.weights) + 0.5 * naive_field.pull(
            q, pixel, used, ties, naive_field.no_edges
        )
        expected += np.exp(value) / np.exp(value).sum()
    np.testing.assert_allclose(expected, q.sum(axis=(1, 2)), rtol=0.02)


def test_classes_do_not_die_out():
    """Shares taken as weights would: they count the neighbours twice."""
    values, _ = scene((60, 60), noise=25)
    values[25:35, 25:35] = np.clip(values[25:35, 25:35] + 60.0, 0, 255).astype(np.uint8)
    seg = gmmseg.segment(values, 3, smoothed(beta=0.6, inside=True), axes="YXC")
    assert min(row.share for row in seg.table) > 0.01


def test_one_model_of_many_images_with_the_field_inside():
    images = [Image.from_array(scene(seed=seed)[0], axes="YXC") for seed in (0, 1)]
    options = smoothed(beta="auto", inside=True)
    model = gmmseg.fit(images, 2, options)
    alone = gmmseg.fit(images[:1], 2, options)
    twice = gmmseg.fit([images[0], images[0]], 2, options)
    assert model.smoothing.beta != "auto"
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(
            getattr(twice.mixture, name), getattr(alone.mixture, name), rtol=2e-3
        )
    for image, seed in zip(images, (0, 1), strict=True):
        assert ((gmmseg.apply(model, image).labels == 2) == scene(seed=seed)[1]).mean() > 0.95


@pytest.mark.parametrize("inside", [False, True])
def test_bits_do_not_depend_on_threads(inside):
    values, _ = scene((150, 900))
    one, many = (
        gmmseg.segment(values, 2, smoothed(beta="auto", inside=inside), axes="YXC", threads=n)
        for n in (1, 4)
    )
    np.testing.assert_array_equal(one.probabilities, many.probabilities)
    np.testing.assert_array_equal(one.mixture.means, many.mixture.means)
