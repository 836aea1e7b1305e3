"""Every message: what was wrong, with the value, and what to do about it."""

import numpy as np
import pytest

from gmmseg.errors import GmmsegError, InvalidDataError, InvalidParameterError
from gmmseg.mixture import EMOptions, Mixture, accumulate, fit_mixture

X = np.random.default_rng(0).normal(size=(100, 2))
ONE = Mixture(weights=[1.0], means=[[0.0, 0.0]], covariances=[np.eye(2)])


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (np.zeros(5), r"two-dimensional.*got shape \(5,\).*reshape\(-1, 1\)"),
        (np.zeros((2, 3, 4)), r"two-dimensional.*got shape \(2, 3, 4\)"),
        (3.0, r"two-dimensional.*got shape \(\)"),
        (np.zeros((0, 2)), r"at least one row and one column, got \(0, 2\)"),
        (np.zeros((4, 0)), r"at least one row and one column, got \(4, 0\)"),
        (np.zeros((4, 2), complex), "real numbers, got dtype complex128"),
        (np.array([["a", "b"]]), "real numbers, got dtype <U1"),
        (np.array([[None, 1.0]]), "real numbers, got dtype object"),
    ],
)
def test_rows(rows, match):
    for call in (
        lambda: fit_mixture(rows, 1),
        lambda: accumulate(rows, None, ONE),
        lambda: ONE.predict(rows),
        lambda: ONE.posterior(rows),
        lambda: ONE.log_density(rows),
        lambda: ONE.mahalanobis(rows),
    ):
        with pytest.raises(InvalidDataError, match=match) as caught:
            call()
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, GmmsegError)


INFINITY = (
    r"X contains infinity\. Say that those values were not observed, by NaN: "
    r"X\[np\.isinf\(X\)\] = np\.nan"
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_but_nan(dtype):
    with pytest.raises(InvalidDataError, match=r"X has no values: all that counts is NaN\. Check"):
        fit_mixture(np.full((10, 2), np.nan, dtype), 2)
    rows = X.astype(dtype)
    rows[:50] = np.nan
    with pytest.raises(InvalidDataError, match="X has no values"):
        fit_mixture(rows, 2, sample_weight=np.repeat([1.0, 0.0], 50))


@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize(
    ("row", "dtype"),
    [
        (57, np.float32),
        (57, np.float64),
        pytest.param(0, np.float32),
    ],
)
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity(row, dtype, value, gap):
    rows = X.astype(dtype)
    rows[row, 1] = value
    if gap:
        rows[3:8, 0] = np.nan
        rows[row, 0] = np.nan
        rows = np.column_stack([rows, rows[::-1, 0]])
    with pytest.raises(InvalidDataError, match=INFINITY):
        fit_mixture(rows, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [-np.inf, np.inf])
def test_one_infinity_in_many_rows(value, dtype):
    rows = np.random.default_rng(0).normal(size=(300_000, 2)).astype(dtype)
    for row in (5, 1000, 1003, 150_000, 299_999):
        changed = rows.copy()
        changed[row, 1] = value
        with pytest.raises(InvalidDataError, match=INFINITY):
            fit_mixture(changed, 2)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (np.ones(99), r"one entry for each of the 100 rows, got shape \(99,\)"),
        (np.ones((100, 1)), r"one entry for each of the 100 rows, got shape \(100, 1\)"),
        (-np.ones(100), "finite and not negative"),
        (np.full(100, np.nan), "finite and not negative"),
        (np.full(100, np.inf), "finite and not negative"),
        (np.zeros(100), "not be zero for every row"),
    ],
)
def test_sample_weight(weights, match):
    for call in (
        lambda: fit_mixture(X, 2, sample_weight=weights),
        lambda: accumulate(X, weights, ONE),
        lambda: ONE.log_likelihood(X, weights),
        lambda: ONE.bic(X, weights),
        lambda: ONE.aic(X, weights),
    ):
        with pytest.raises(InvalidParameterError, match=f"sample_weight must .*{match}"):
            call()


OPTIONS = [
    ("covariance_type", "round", "must be one of 'full', 'tied', 'diag', .*, got 'round'"),
    ("init", "spread", "must be one of 'kmeans', 'k-means.*random_from_data', got 'spread'"),
    ("criterion", "time", "must be one of 'likelihood', 'parameters', got 'time'"),
    ("n_init", 0, "must be at least 1, got 0"),
    ("n_init", 1.5, "must be a whole number, got 1.5"),
    ("n_init", True, "must be a whole number, got True"),
    ("tol", -1.0, "must be at least 0, got -1.0"),
    ("tol", "small", "must be a number, got 'small'"),
    ("tol", float("nan"), "must be finite, got nan"),
    ("accelerate", 1, "must be True or False, got 1"),
    ("max_iter", 0, "must be at least 1, got 0"),
    ("max_iter", None, "must be a whole number, got None"),
    ("reg_covar", -1e-9, "must be at least 0, got -1e-09"),
    ("reg_covar", float("inf"), "must be finite, got inf"),
    ("prior", -1.0, "must be at least 0, got -1.0"),
    ("prior", None, "must be a number, got None"),
    ("max_ratio", 0.5, "must be at least 1, got 0.5"),
    ("max_ratio", "ten", "must be a number, got 'ten'"),
    ("max_ratio", float("inf"), "must be finite, got inf"),
    ("rng", -1, "must be at least 0, got -1"),
    ("rng", "lucky", "must be a whole number, got 'lucky'"),
]


@pytest.mark.parametrize(("name", "value", "match"), OPTIONS)
def test_options(name, value, match):
    with pytest.raises(InvalidParameterError, match=f"{name} {match}"):
        EMOptions(**{name: value})
    with pytest.raises(InvalidParameterError, match=f"{name} {match}"):
        fit_mixture(X, 2, **{name: value})


def test_options_that_cannot_be_looked_up():
    with pytest.raises(
        InvalidParameterError, match=r"covariance_type must be one of.*got \['full'\]"
    ):
        fit_mixture(X, 2, covariance_type=["full"])


@pytest.mark.parametrize(
    ("value", "match"),
    [(0, "at least 1, got 0"), (2.0, "whole number, got 2.0"), ("3", "whole number, got '3'")],
)
def test_n_components_and_threads(value, match):
    with pytest.raises(InvalidParameterError, match=f"n_components must be a?.*{match}"):
        fit_mixture(X, value)
    with pytest.raises(InvalidParameterError, match=f"threads must be a?.*{match}"):
        fit_mixture(X, 2, threads=value)
    with pytest.raises(InvalidParameterError, match=f"threads must be a?.*{match}"):
        ONE.predict(X, threads=value)


@pytest.mark.parametrize(
    ("init", "match"),
    [
        (np.zeros((3, 2)), r"finite means of shape \(2, 2\), got shape \(3, 2\)"),
        (np.zeros(4), r"finite means of shape \(2, 2\), got shape \(4,\)"),
        (np.full((2, 2), np.nan), r"finite means of shape \(2, 2\)"),
        (np.zeros(99, int), "a label for each of the 100 rows, got 99 labels"),
        (np.arange(100), "labels from 0 to 1, got 0 to 99"),
        (np.full(100, -1), "labels from 0 to 1, got -1 to -1"),
        (np.zeros(100), r"got shape \(100,\) of float64. A partition of the rows is one whole"),
        (5, r"finite means of shape \(2, 2\), got shape \(\)"),
        (ONE, r"'full' mixture with means of shape \(2, 2\), got 'full' with \(1, 2\)"),
        (
            Mixture(
                weights=[0.5, 0.5], means=X[:2], covariances=[1, 1], covariance_type="spherical"
            ),
            r"'full' mixture with means of shape \(2, 2\), got 'spherical' with \(2, 2\)",
        ),
    ],
)
def test_init(init, match):
    with pytest.raises(InvalidParameterError, match=f"init must be .*{match}"):
        fit_mixture(X, 2, init=init)


def test_init_that_is_no_number():
    with pytest.raises(InvalidParameterError, match="init must be"):
        fit_mixture(X, 2, init=[["a", "b"], ["c", "d"]])


def test_number_of_features():
    for call in (
        ONE.predict,
        ONE.posterior,
        ONE.log_density,
        ONE.mahalanobis,
        ONE.log_likelihood,
        ONE.bic,
        lambda rows: accumulate(rows, None, ONE),
    ):
        with pytest.raises(InvalidDataError, match="X has 3 features, but this mixture has 2"):
            call(np.zeros((4, 3)))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"weights": [0.5, 0.6]}, "not be negative and must sum to 1, got sum 1.1"),
        ({"weights": [-0.5, 1.5]}, "not be negative and must sum to 1"),
        ({"weights": [1.0]}, r"weights must have shape \(2,\) for means .*got \(1,\)"),
        ({"weights": [np.nan, 1.0]}, "weights must be finite"),
        ({"means": [0.0, 1.0]}, r"means must be \(n_components, n_features\), got shape \(2,\)"),
        ({"means": np.zeros((2, 0))}, r"means must be .*got shape \(2, 0\)"),
        ({"means": [[np.inf], [0.0]]}, "means must be finite"),
        ({"covariances": [1.0, 1.0]}, r"covariances must have shape \(2, 1\).*'diag', got \(2,\)"),
        ({"covariances": [[0.0], [1.0]]}, "covariances must have positive variances"),
        ({"covariances": [[-1.0], [1.0]]}, "covariances must have positive variances"),
        ({"covariances": [[np.nan], [1.0]]}, "covariances must be finite"),
        ({"covariance_type": "full"}, r"covariances must have shape \(2, 1, 1\).*got \(2, 1\)"),
        ({"covariance_type": "oval"}, "covariance_type must be one of .*got 'oval'"),
    ],
)
def test_mixture_parameters(changes, match):
    good = {
        "weights": [0.5, 0.5],
        "means": [[0.0], [1.0]],
        "covariances": [[1.0], [1.0]],
        "covariance_type": "diag",
    }
    Mixture(**good)
    with pytest.raises(InvalidParameterError, match=match):
        Mixture(**(good | changes))


@pytest.mark.parametrize("matrix", [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.9], [0.1, 1.0]]])
def test_matrices_that_are_no_covariances(matrix):
    for kind, covariances in (("full", [matrix]), ("tied", matrix)):
        with pytest.raises(InvalidParameterError, match="covariances must be"):
            Mixture(weights=[1], means=[[0, 0]], covariances=covariances, covariance_type=kind)


def test_statistics_about_different_means():
    other = Mixture(weights=[1.0], means=[[0.5, 0.0]], covariances=[np.eye(2)])
    with pytest.raises(InvalidParameterError, match="same means: accumulate both with the same"):
        accumulate(X, None, ONE) + accumulate(X, None, other)


@pytest.mark.parametrize(("n", "match"), [(-1, "at least 0, got -1"), (1.5, "whole number")])
def test_sample_size(n, match):
    with pytest.raises(InvalidParameterError, match=match):
        ONE.sample(n)


@pytest.mark.parametrize("huge", [1e-3, 1e300])
def test_numbers_at_the_ends_of_their_range_are_refused_without_a_warning(huge):
    with pytest.raises(InvalidParameterError, match="symmetric and positive definite"):
        Mixture(weights=[1], means=[[0, 0]], covariances=[[[5e-324, huge], [huge, 5e-324]]])
    with pytest.raises(InvalidParameterError, match="must sum to 1, got sum inf"):
        Mixture(
            weights=[1e308, 1e308],
            means=[[0], [0]],
            covariances=[1, 1],
            covariance_type="spherical",
        )
