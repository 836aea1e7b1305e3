"""Data that break EM in the textbook: the fit goes on, and says what it did."""

import warnings

import naive
import numpy as np
import pytest

from gmmseg.errors import ConvergenceWarning, DegenerateDataWarning, GmmsegWarning
from gmmseg.mixture import Mixture, accumulate, fit_mixture

TYPES = naive.TYPES
DTYPES = (np.float32, np.float64)
STARTS = ("kmeans", "k-means++", "random", "random_from_data")

every_type = pytest.mark.parametrize("covariance_type", TYPES)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def finite_fit(X, k, **options):
    """A fit of which every number is finite, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GmmsegWarning)
        fit = fit_mixture(X, k, **options)
    for name in ("weights", "means", "covariances", "standard_deviations"):
        assert np.isfinite(getattr(fit.mixture, name)).all()
    assert np.isfinite(fit.history).all()
    assert np.isfinite(fit.log_likelihood)
    posterior = fit.mixture.posterior(X)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=1e-5)
    assert fit.mixture.predict(X).max() < k
    return fit


def normal_rows(n=300, d=2):
    return np.random.default_rng(0).normal(size=(n, d))


DEGENERATE = {
    "one row": np.full((1, 2), 3.3),
    "two rows": np.array([[0.0, 1.0], [5.0, 2.0]]),
    "all rows equal": np.full((40, 2), 3.3),
    "all rows zero": np.zeros((40, 2)),
    "two values": np.repeat([[0.0, 0.0], [1.0, 1.0]], 50, axis=0),
    "three values": np.repeat([[0.0, 7.0], [1.0, 1.0], [2.0, 3.0]], 20, axis=0),
    "one constant feature": np.column_stack([normal_rows()[:, 0], np.full(300, 7.0)]),
    "equal features": np.repeat(normal_rows()[:, :1], 2, axis=1),
    "duplicates": np.concatenate([normal_rows(200), np.tile([5.0, 5.0], (100, 1))]),
    "a line in a cloud": np.concatenate([normal_rows(200), np.linspace([6, 6], [9, 9], 100)]),
    "one far row": np.concatenate([normal_rows(), [[1e6, -1e6]]]),
}


@both_dtypes
@every_type
@pytest.mark.parametrize("name", DEGENERATE)
def test_the_fit_goes_on(name, covariance_type, dtype):
    X = DEGENERATE[name].astype(dtype)
    for k in (1, 2, 3, 6):
        for init in STARTS:
            finite_fit(X, k, covariance_type=covariance_type, init=init)


@every_type
def test_constant_features_without_regularisation(covariance_type):
    name = "all rows equal" if "spherical" in covariance_type else "one constant feature"
    finite_fit(DEGENERATE[name], 2, covariance_type=covariance_type, reg_covar=0.0)


@both_dtypes
@every_type
@pytest.mark.parametrize("name", ["two values", "three values", "duplicates", "a line in a cloud"])
def test_collapse_without_regularisation(name, covariance_type, dtype):
    for k in (2, 3, 5):
        X = DEGENERATE[name].astype(dtype)
        finite_fit(X, k, covariance_type=covariance_type, reg_covar=0.0, max_iter=50)


@both_dtypes
@every_type
@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_extreme_units(unit, covariance_type, dtype):
    X = normal_rows().astype(dtype)
    fit = finite_fit(X, 2, covariance_type=covariance_type)
    other = finite_fit(X * dtype(unit), 2, covariance_type=covariance_type)
    np.testing.assert_allclose(other.mixture.means / unit, fit.mixture.means, atol=0.05)


@every_type
def test_float32_far_from_zero_is_as_good_as_float64(covariance_type):
    """Standard deviation 1 at 1e6: float32 keeps 1/16 of it, and moments must not lose more."""
    rng = np.random.default_rng(3)
    X = np.concatenate([rng.normal(0, 1, (2000, 2)), rng.normal([4, 1], [2, 1], (3000, 2))])
    X = (X + 1e6).astype(np.float32)
    exact = finite_fit(X.astype(np.float64), 2, covariance_type=covariance_type, max_iter=30)
    fit = finite_fit(X, 2, covariance_type=covariance_type, max_iter=30)
    np.testing.assert_allclose(fit.mixture.means, exact.mixture.means, rtol=0, atol=1e-4)
    wanted = exact.mixture.full_covariances
    np.testing.assert_allclose(fit.mixture.full_covariances, wanted, rtol=0, atol=1e-4)


@both_dtypes
@every_type
def test_first_step_from_far_means_keeps_the_covariance(covariance_type, dtype):
    """Moments are about the old means: when these are far off, float32 loses some digits."""
    X = normal_rows(2000).astype(dtype)
    covariances = naive.of_type([np.eye(2)], covariance_type)
    start = Mixture(
        weights=[1.0], means=[[100.0, -300.0]], covariances=covariances,
        covariance_type=covariance_type,
    )  # fmt: skip
    options = {"covariance_type": covariance_type, "init": start, "reg_covar": 0.0}
    fit = finite_fit(X, 1, max_iter=1, **options)
    expected = naive.m_step(X, np.ones((len(X), 1)), covariance_type)
    tolerance = 3e-2 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(fit.mixture.covariances, expected[2], atol=tolerance)


@every_type
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6])
@pytest.mark.parametrize("distance", [1e3, 1e4])
def test_a_start_from_afar_recovers_in_float32(covariance_type, distance, reg_covar):
    check_far_start(covariance_type, distance, reg_covar)


@pytest.mark.parametrize("covariance_type", ["full"])
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6])
def test_a_start_from_very_far_recovers_in_float32(covariance_type, reg_covar):
    check_far_start(covariance_type, 1e5, reg_covar)


def check_far_start(covariance_type, distance, reg_covar):
    X = np.concatenate([normal_rows(500), normal_rows(500) + 8]).astype(np.float32)
    covariances = naive.of_type([np.eye(2)] * 2, covariance_type)
    start = Mixture(
        weights=[0.5, 0.5], means=[[-distance, 0.0], [distance, 8.0]], covariances=covariances,
        covariance_type=covariance_type,
    )  # fmt: skip
    options = {"covariance_type": covariance_type, "reg_covar": reg_covar}
    fit = finite_fit(X, 2, init=start, **options)
    one = finite_fit(X, 1, **options)
    assert fit.log_likelihood > one.log_likelihood - 1e-2 * len(X)


@pytest.mark.parametrize("factor", [1e-20, 1e-6, 1e12])
@both_dtypes
@every_type
def test_tiny_and_huge_weights(covariance_type, dtype, factor):
    X = normal_rows().astype(dtype)
    one = finite_fit(X, 2, covariance_type=covariance_type, max_iter=5)
    other = finite_fit(
        X, 2, covariance_type=covariance_type, max_iter=5, sample_weight=np.full(len(X), factor)
    )
    np.testing.assert_allclose(other.mixture.means, one.mixture.means, atol=1e-4)
    assert other.log_likelihood == pytest.approx(factor * one.log_likelihood, rel=1e-4)


@pytest.mark.parametrize("factor", [1e-60, 1e60])
@pytest.mark.parametrize(
    "dtype",
    [
        pytest.param(np.float32),
        np.float64,
    ],
)
def test_weights_outside_the_range_of_float32(dtype, factor):
    X = normal_rows().astype(dtype)
    one = finite_fit(X, 2, max_iter=5)
    other = finite_fit(X, 2, max_iter=5, sample_weight=np.full(len(X), factor))
    np.testing.assert_allclose(other.mixture.means, one.mixture.means, atol=1e-4)


@both_dtypes
def test_rows_of_weight_zero_do_not_count(dtype):
    X = normal_rows(600).astype(dtype)
    weights = np.tile([1.0, 0.0], 300)
    fit = finite_fit(X, 2, sample_weight=weights, max_iter=5)
    alone = finite_fit(X[::2], 2, max_iter=5)
    np.testing.assert_allclose(fit.mixture.means, alone.mixture.means, atol=1e-4)
    garbage = X.copy()
    garbage[1::2] = 1e9
    fit = finite_fit(garbage, 2, sample_weight=weights, max_iter=5)
    np.testing.assert_allclose(fit.mixture.means, alone.mixture.means, atol=1e-4)


def test_a_fill_value_of_weight_zero_does_not_count():
    X = (normal_rows() / 1000).astype(np.float32)
    X[7] = -3.4e38
    weights = np.ones(len(X))
    weights[7] = 0
    finite_fit(X, 2, sample_weight=weights)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1e38, np.float32),
        (1e25, np.float64),
        (1e15, np.float32),
    ],
)
def test_a_fill_value_that_the_frame_has_not_seen(value, dtype):
    X = normal_rows(200_000).astype(dtype)
    X[77_777] = value
    finite_fit(X, 2, max_iter=5)


@both_dtypes
@every_type
@pytest.mark.parametrize("distance", [1e6, 1e12, 1e18, 1e30])
def test_far_rows_get_probabilities(distance, covariance_type, dtype):
    mixture = finite_fit(normal_rows(), 3, covariance_type=covariance_type).mixture
    X = (np.array([[1.0, 0], [0, -1.0], [1.0, 1.0]]) * distance).astype(dtype)
    posterior = mixture.posterior(X)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=1e-5)
    assert np.isfinite(mixture.log_density(X)).all()
    assert np.isfinite(mixture.mahalanobis(X)).all()
    assert (mixture.predict(X) == posterior.argmax(axis=1)).all()
    statistics = accumulate(X[:0:-1], None, mixture)
    assert np.isfinite(statistics.log_likelihood)


def test_a_component_of_weight_zero_takes_no_row():
    mixture = Mixture(
        weights=[0.0, 1.0], means=[[0.0], [9.0]], covariances=[1.0, 1.0],
        covariance_type="spherical",
    )  # fmt: skip
    X = np.zeros((5, 1))
    assert mixture.predict(X).tolist() == [1] * 5
    assert mixture.posterior(X)[:, 0].max() < 1e-30
    assert mixture.log_density(X) == pytest.approx(-40.5 - 0.5 * np.log(2 * np.pi))


@both_dtypes
@every_type
@pytest.mark.parametrize("name", ["one row", "two rows", "all rows equal", "two values"])
def test_components_without_rows_are_told(name, covariance_type, dtype):
    X = DEGENERATE[name].astype(dtype)
    distinct = len(np.unique(X, axis=0))
    with pytest.warns(DegenerateDataWarning, match=rf"{5 - distinct} of 5 .* Ask for {distinct}"):
        fit = fit_mixture(X, 5, covariance_type=covariance_type, accelerate=False)
    assert fit.converged
    assert len(fit.warnings) == 1
    assert set(fit.mixture.predict(X)) <= set(np.flatnonzero(fit.mixture.weights > 0))


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
@pytest.mark.parametrize("name", ["one row", "all rows equal"])
def test_leaps_leave_components_without_rows_alone(name, covariance_type):
    X = DEGENERATE[name].astype(np.float32)
    with pytest.warns(DegenerateDataWarning, match="4 of 5"):
        fit_mixture(X, 5, covariance_type=covariance_type)


@every_type
def test_ordinary_data_give_no_warning(covariance_type):
    for init in STARTS[:3]:
        fit = fit_mixture(
            normal_rows(3000), 2, covariance_type=covariance_type, init=init, tol=1e-4
        )
        assert fit.warnings == ()
        assert fit.converged


def test_too_few_iterations_are_told():
    with pytest.warns(ConvergenceWarning, match="did not converge in 2 iterations.*Raise max_iter"):
        fit = fit_mixture(normal_rows(), 3, max_iter=2)
    assert not fit.converged
    assert fit.n_iter == 2


def test_every_warning_is_of_its_own_category():
    X = np.repeat([[0.0, 0.0], [1.0, 1.0]], 50, axis=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_mixture(X, 5, max_iter=2, tol=0.0)
    assert [w.category for w in caught] == [ConvergenceWarning, DegenerateDataWarning]


@pytest.mark.parametrize("n", [20, 2000])
def test_random_rows_are_distinct(n):
    """Nothing is degenerate here: every component can have rows of its own."""
    values = np.random.default_rng(0).permutation(np.arange(n) % 20)[:, None].astype(np.uint8)
    for seed in range(6):
        finite = finite_fit(values, 8, init="random_from_data", rng=seed, max_iter=2)
        assert (finite.mixture.weights > 0).all()
        assert not any("no rows" in str(message) for message in finite.warnings)


FLAT = np.array(
    [[0, 0, 19], [1, 0, 0], [22, 0, 0], [67, 58, 119], [111, 110, 13], [217, 255, 244],
     [248, 242, 255], [255, 205, 255], [255, 238, 255]], np.uint8,
)  # fmt: skip
FLAT_COUNTS = [2103, 56, 510, 19748, 3, 19, 155479, 6695375, 604358]


@pytest.mark.parametrize(
    "init",
    [
        "kmeans",
        "k-means++",
        "random",
        pytest.param("random_from_data"),
    ],
)
def test_a_flat_picture_by_its_colours_and_counts(init):
    """Nearly all pixels are white: what is dark lies hundreds of standard deviations away."""
    for seed in range(20):
        for k in (2, 3, 4, 5):
            finite_fit(FLAT, k, init=init, rng=seed, sample_weight=FLAT_COUNTS)
