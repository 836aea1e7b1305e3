"""The mixture as a value: drawing, distances, criteria, order, text, dictionaries."""

import json

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmseg.errors import ModelFormatError
from gmmseg.mixture import Mixture

TYPES = naive.TYPES
MATRICES = np.array(
    [[[2.0, 0.6], [0.6, 1.0]], [[0.5, -0.2], [-0.2, 0.8]], [[1.0, 0.0], [0.0, 3.0]]]
)
COVARIANCES = {
    "full": MATRICES,
    "tied": MATRICES[0],
    "diag": MATRICES.diagonal(axis1=1, axis2=2),
    "spherical": np.array([2.0, 0.5, 1.0]),
    "tied_diag": np.array([2.0, 0.5]),
    "tied_spherical": np.array(0.5),
}


def a_mixture(covariance_type="full"):
    return Mixture(
        weights=[0.2, 0.5, 0.3], means=[[0.0, 1.0], [4.0, -2.0], [9.0, 9.0]],
        covariances=COVARIANCES[covariance_type], covariance_type=covariance_type,
    )  # fmt: skip


every_type = pytest.mark.parametrize("covariance_type", TYPES)


@every_type
def test_samples_have_the_moments_of_the_mixture(covariance_type):
    mixture = a_mixture(covariance_type)
    X, components = mixture.sample(60_000, rng=1)
    assert X.shape == (60_000, 2)
    matrices = naive.matrices(mixture.covariances, covariance_type, 3, 2)
    for k in range(3):
        drawn = X[components == k]
        assert len(drawn) / len(X) == pytest.approx(mixture.weights[k], abs=0.01)
        np.testing.assert_allclose(drawn.mean(axis=0), mixture.means[k], atol=0.06)
        np.testing.assert_allclose(np.cov(drawn.T), matrices[k], atol=0.12)


def test_samples_depend_on_the_seed():
    mixture = a_mixture()
    one, other = mixture.sample(10, rng=1), mixture.sample(10, rng=2)
    assert (mixture.sample(10, rng=1)[0] == one[0]).all()
    assert (mixture.sample(10, rng=np.random.default_rng(1))[0] == one[0]).all()
    assert (one[0] != other[0]).any()
    assert mixture.sample(0)[0].shape == (0, 2)


@every_type
def test_mahalanobis(covariance_type):
    mixture = a_mixture(covariance_type)
    X = np.random.default_rng(0).normal(size=(50, 2)) * 5
    expected = naive.mahalanobis(X, mixture.means, mixture.covariances, covariance_type)
    np.testing.assert_allclose(mixture.mahalanobis(X), expected, rtol=1e-12)
    assert mixture.mahalanobis(X.astype(np.float32)).dtype == np.float64
    many = np.tile(X, (700, 1))  # more than one piece
    np.testing.assert_allclose(mixture.mahalanobis(many)[-50:], expected, rtol=1e-12)


@every_type
def test_density_is_that_of_scipy(covariance_type):
    stats = pytest.importorskip("scipy.stats")
    mixture = a_mixture(covariance_type)
    X, _ = mixture.sample(200)
    density = sum(
        weight * stats.multivariate_normal(mean, matrix).pdf(X)
        for weight, mean, matrix in zip(
            mixture.weights, mixture.means, mixture.full_covariances, strict=True
        )
    )
    np.testing.assert_allclose(mixture.log_density(X), np.log(density), rtol=1e-10)


@every_type
def test_criteria(covariance_type):
    mixture = a_mixture(covariance_type)
    X, _ = mixture.sample(300)
    weights = np.random.default_rng(0).uniform(0, 3, 300)
    p = naive.n_parameters(covariance_type, 3, 2)
    assert mixture.n_parameters == p
    for w, n in ((None, 300), (weights, weights.sum())):
        total = mixture.log_likelihood(X, w)
        assert mixture.bic(X, w) == pytest.approx(naive.bic(total, p, n), rel=1e-12)
        assert mixture.aic(X, w) == pytest.approx(naive.aic(total, p), rel=1e-12)


@pytest.mark.parametrize("n_features", [1, 2, 7])
@every_type
def test_number_of_parameters(covariance_type, n_features):
    covariances = naive.of_type([np.eye(n_features)] * 4, covariance_type)
    mixture = Mixture(
        weights=[0.25] * 4, means=np.zeros((4, n_features)), covariances=covariances,
        covariance_type=covariance_type,
    )  # fmt: skip
    assert mixture.n_parameters == naive.n_parameters(covariance_type, 4, n_features)
    assert mixture.n_components == 4
    assert mixture.n_features == n_features


@every_type
def test_derived_arrays(covariance_type):
    mixture = a_mixture(covariance_type)
    matrices = naive.matrices(mixture.covariances, covariance_type, 3, 2)
    np.testing.assert_allclose(mixture.full_covariances, matrices)
    deviations = np.sqrt(matrices.diagonal(axis1=1, axis2=2))
    np.testing.assert_allclose(mixture.standard_deviations, deviations)
    upper = mixture.precisions_chol
    assert (np.tril(upper, -1) == 0).all()
    np.testing.assert_allclose(
        upper @ upper.transpose(0, 2, 1), np.linalg.inv(matrices), atol=1e-12
    )


@every_type
def test_reordered(covariance_type):
    mixture = a_mixture(covariance_type)
    other = mixture.reordered([2, 0, 1])
    X, _ = mixture.sample(100)
    np.testing.assert_allclose(other.posterior(X), mixture.posterior(X)[:, [2, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(other.log_density(X), mixture.log_density(X), rtol=1e-12)


def test_arrays_belong_to_the_mixture_and_stay():
    weights, means = np.array([1.0]), np.zeros((1, 2))
    mixture = Mixture(weights=weights, means=means, covariances=[np.eye(2)])
    means[:] = 5
    assert (mixture.means == 0).all()
    with pytest.raises(ValueError, match="read-only"):
        mixture.means[0, 0] = 1.0
    with pytest.raises(AttributeError):
        mixture.weights = weights


def test_text_lists_every_component():
    text = str(a_mixture())
    assert text.splitlines()[0] == "Mixture of 3 Gaussians over 2 features, full covariances"
    assert len(text.splitlines()) == 5
    assert "0.5000  4 +- 0.707  -2 +- 0.894" in text


@every_type
def test_rows_with_infinity_have_nan_posteriors(covariance_type):
    X = np.array([[0.0, 1.0], [np.inf, 1.0], [4.0, -2.0]])
    for dtype in (np.float32, np.float64):
        posterior = a_mixture(covariance_type).posterior(X.astype(dtype))
        assert np.isnan(posterior[1]).all()
        assert np.isfinite(posterior[[0, 2]]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_type
def test_rows_with_infinity_have_nan_densities(covariance_type, dtype):
    X = np.array([[0.0, 1.0], [np.inf, 1.0], [4.0, -2.0]], dtype=dtype)
    density = a_mixture(covariance_type).log_density(X)
    assert np.isnan(density).tolist() == [False, True, False]


def test_pickles_to_the_same_mixture():
    import copy

    mixture = a_mixture()
    mixture.precisions_chol  # noqa: B018  a cached property must not get in the way
    again = copy.deepcopy(mixture)
    assert (again.covariances == mixture.covariances).all()


# --- dictionaries -----------------------------------------------------------------------------

numbers = st.one_of(
    st.floats(), st.integers(-(10**3), 10**3), st.integers(-(10**400), 10**400), st.booleans()
)
sane = st.floats(0, 1e300)
values = st.recursive(
    st.one_of(st.none(), numbers, sane, st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
vectors = st.lists(st.one_of(sane, numbers), min_size=1, max_size=3)
tables = st.lists(vectors, min_size=1, max_size=3)
fields = {
    "covariance_type": st.one_of(st.sampled_from(TYPES), values),
    "weights": st.one_of(st.sampled_from([[1.0], [0.5, 0.5], [0.0, 1.0]]), vectors, values),
    "means": st.one_of(st.sampled_from([[[0.0]], [[0.0], [1e9]]]), tables, values),
    "covariances": st.one_of(
        st.sampled_from([[[[1.0]]], [[2.0]], [[1.0], [2.0]], [3.0], [3.0, 1e-9]]),
        vectors, tables, st.lists(tables, max_size=2), values,
    ),
}  # fmt: skip


def made_or_refused(given_values):
    try:
        mixture = Mixture.from_dict(given_values)
    except ModelFormatError:
        return
    assert mixture.weights.sum() == pytest.approx(1.0, abs=1e-4)
    assert np.isfinite(mixture.means).all()
    assert (mixture.standard_deviations > 0).all()
    json.dumps(mixture.to_dict(), allow_nan=False)


@settings(max_examples=150)
@given(values)
def test_any_value_is_a_mixture_or_a_model_format_error(value):
    made_or_refused(value)


@settings(max_examples=500)
@given(st.fixed_dictionaries(fields))
def test_any_fields_are_a_mixture_or_a_model_format_error(value):
    made_or_refused(value)


GOOD = {"covariance_type": "diag", "weights": [1.0], "means": [[0.0]], "covariances": [[1.0]]}
MALFORMED = {
    "text for numbers": {"means": "abc"},
    "ragged": {"means": [[1, 2], [3]]},
    "null": {"weights": None},
    "object": {"means": {}},
    "not a number": {"weights": [float("nan")]},
    "too deep": {"weights": [[[[1]]]]},
    "unknown type": {"covariance_type": "round"},
    "list for type": {"covariance_type": []},
    "null for type": {"covariance_type": None},
    "negative variance": {"covariances": [[-1.0]]},
    "two weights": {"weights": [0.5, 0.5]},
    "empty": {"means": []},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_mixtures_are_refused(name):
    with pytest.raises(ModelFormatError, match="the mixture is not valid: "):
        Mixture.from_dict(GOOD | MALFORMED[name])


@pytest.mark.parametrize(
    "value", [None, 3, [], "mixture", {}, GOOD | {"more": 1}, {"weights": [1]}]
)
def test_other_keys_are_refused(value):
    with pytest.raises(ModelFormatError, match="exactly the keys covariance_type, weights, means"):
        Mixture.from_dict(value)


def test_numbers_too_large_for_a_float_are_refused():
    with pytest.raises(ModelFormatError):
        Mixture.from_dict(GOOD | {"weights": [10**400]})


def test_text_is_no_number():
    with pytest.raises(ModelFormatError):
        Mixture.from_dict(GOOD | {"weights": ["1.0"]})
