"""One model for many images of which only some rows are held."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

import gmmseg
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.image import Image
from gmmseg.mixture.merging import MergeOptions
from gmmseg.mixture.sampling import sampled_rows
from gmmseg.mixture.selection import SelectOptions
from gmmseg.options import SegmentOptions
from gmmseg.pooling import fit_pooled, rows_of_image

PLAIN = SegmentOptions()


def picture(seed, shape=(40, 50), bands=3):
    rng = np.random.default_rng(seed)
    levels = rng.choice([40, 120, 210], size=shape)[..., None]
    values = levels + rng.normal(0, 8, (*shape, bands))
    return np.squeeze(values.clip(0, 255).astype(np.uint8))


def parts(pictures, options=PLAIN, most=100_000):
    return [rows_of_image(Image.from_array(p), options, most) for p in pictures]


def test_with_all_rows_it_is_the_model_of_all_images():
    pictures = [picture(seed) for seed in range(3)]
    found = fit_pooled(parts(pictures), 3, PLAIN)
    expected = gmmseg.fit(pictures, 3, "plain")
    np.testing.assert_allclose(found.mixture.means, expected.mixture.means, rtol=1e-6)
    np.testing.assert_allclose(found.mixture.weights, expected.mixture.weights, rtol=1e-6)
    assert (found.features, found.labels) == (expected.features, expected.labels)
    assert found.provenance["fit"]["n_pixels"] == 3 * 40 * 50


def test_with_some_rows_it_is_near_to_it():
    pictures = [picture(seed) for seed in range(3)]
    some = parts(pictures, most=300)
    assert all(len(part.features) <= 300 for part in some)
    assert all(part.weights.sum() == pytest.approx(2000) for part in some)
    found, expected = fit_pooled(some, 3, PLAIN), gmmseg.fit(pictures, 3, "plain")
    np.testing.assert_allclose(found.mixture.means, expected.mixture.means, atol=2)


def test_parts_travel_between_processes():
    (part,) = parts([picture(0)])
    other = pickle.loads(pickle.dumps(part))  # noqa: S301
    assert (other.spec, other.feature_names) == (part.spec, part.feature_names)
    np.testing.assert_array_equal(other.features, part.features)


def test_the_number_of_classes_is_chosen():
    options = replace(PLAIN, selection=SelectOptions(k_range=(1, 2, 3, 4)))
    model = fit_pooled(parts([picture(0), picture(1)], options), "auto", options)
    assert model.k == 3
    assert model.provenance["selection"]["by"] == "bic_effective"


def test_classes_of_several_gaussians():
    options = replace(PLAIN, merging=MergeOptions(gaussians_per_segment=2))
    model = fit_pooled(parts([picture(0), picture(1)], options), 3, options)
    assert (model.k, model.mixture.n_components) == (3, 6)


def test_what_cannot_be_pooled():
    with pytest.raises(InvalidDataError, match="there are no images to fit a model to"):
        fit_pooled([], 3, PLAIN)
    mixed = [*parts([picture(0)]), *parts([picture(0, bands=1)])]
    with pytest.raises(InvalidDataError, match="the images are of different kinds"):
        fit_pooled(mixed, 3, PLAIN)
    merging = MergeOptions(gaussians_per_segment=2, merge_touching=True)
    with pytest.raises(InvalidParameterError, match="merge_touching needs whole images"):
        fit_pooled(parts([picture(0)]), 3, replace(PLAIN, merging=merging))


def test_a_sample_keeps_the_weight_and_the_mean():
    rng = np.random.default_rng(0)
    X, weights = rng.normal(size=(50_000, 2)), rng.random(50_000)
    rows, own = sampled_rows(X, weights, 4000)
    assert len(rows) <= 4000
    assert own.sum() == pytest.approx(weights.sum())
    mean = np.average(X, axis=0, weights=weights)
    np.testing.assert_allclose(np.average(rows, axis=0, weights=own), mean, atol=0.06)
    all_rows, all_weights = sampled_rows(X[:10], None, 10)
    np.testing.assert_array_equal(all_rows, X[:10])
    np.testing.assert_array_equal(all_weights, np.ones(10))
