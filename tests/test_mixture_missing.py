"""Rows with gaps: every formula by brute force, and what must not matter."""

import naive
import numpy as np
import pytest
from test_mixture_oracle import parameters, random_mixture

from gmmseg.mixture import Mixture, accumulate, fit_mixture, patterns
from gmmseg.mixture import rows as rows_module

TYPES = ("full", "tied", "diag", "spherical")
every_type = pytest.mark.parametrize("covariance_type", TYPES)
D_AND_K = [(1, 2), (2, 3), (3, 2), (4, 3), (6, 2), (9, 2), (18, 2)]


@pytest.fixture(params=["kernels", "numpy", "both"])
def path(request, monkeypatch):
    """Frequent patterns go through the kernels, rare ones through NumPy: each, and both."""
    monkeypatch.setattr(
        patterns, "_FREQUENT", {"kernels": 1, "numpy": 1 << 40, "both": 5}[request.param]
    )


def with_gaps(X, rng, share=0.3, empty=2):
    """`X` with NaN at random, and some rows of nothing else."""
    X = X.copy()
    X[rng.random(X.shape) < share] = np.nan
    X[rng.choice(len(X), empty, replace=False)] = np.nan
    return X


def problem(n_features, n_components, covariance_type, n=60, dtype=np.float64):
    rng = np.random.default_rng(n_features + 10 * n_components)
    mixture = random_mixture(rng, n_components, n_features, covariance_type)
    return mixture, with_gaps(mixture.sample(n, rng)[0].astype(dtype), rng), rng


@every_type
@pytest.mark.parametrize(("d", "k"), D_AND_K)
def test_densities_by_scipy_row_by_row(d, k, covariance_type, path):
    mixture, X, _ = problem(d, k, covariance_type)
    known = parameters(mixture)
    np.testing.assert_allclose(
        mixture.log_density(X), naive.missing_log_density(X, *known), rtol=0, atol=1e-10
    )
    posterior = mixture.posterior(X)
    np.testing.assert_allclose(posterior, naive.missing_posterior(X, *known), rtol=0, atol=1e-10)
    np.testing.assert_array_equal(mixture.predict(X), posterior.argmax(axis=1))
    np.testing.assert_allclose(
        mixture.mahalanobis(X), naive.missing_mahalanobis(X, *known[1:]), rtol=0, atol=1e-9
    )
    assert mixture.log_likelihood(X) == pytest.approx(
        naive.missing_log_density(X, *known).sum(), abs=1e-9
    )


@every_type
@pytest.mark.parametrize(("d", "k"), D_AND_K)
def test_em_step_completes_every_row(d, k, covariance_type, path):
    mixture, X, rng = problem(d, k, covariance_type)
    weights = rng.uniform(0, 3, len(X))
    weights[::9] = 0
    ridge = np.linspace(0.1, 0.2, d)
    for w in (None, weights):
        statistics = accumulate(X, w, mixture)
        after = statistics.m_step(mixture, ridge)
        expected = naive.missing_em_step(X, *parameters(mixture), w, ridge)
        np.testing.assert_allclose(after.weights, expected[0], rtol=0, atol=1e-10)
        np.testing.assert_allclose(after.means, expected[1], rtol=0, atol=1e-9)
        np.testing.assert_allclose(after.covariances, expected[2], rtol=0, atol=1e-9)
        density = naive.missing_log_density(X, *parameters(mixture))
        ones = np.ones(len(X)) if w is None else w
        assert statistics.log_likelihood == pytest.approx(ones @ density, abs=1e-9)
        assert statistics.weight == pytest.approx(ones[~np.isnan(X).all(axis=1)].sum())


@every_type
def test_float32(covariance_type, path):
    mixture, X, _ = problem(4, 3, covariance_type, n=400, dtype=np.float32)
    known = parameters(mixture)
    wide = X.astype(np.float64)
    posterior = mixture.posterior(X)
    assert posterior.dtype == np.float32
    np.testing.assert_allclose(posterior, naive.missing_posterior(wide, *known), atol=2e-5)
    density = mixture.log_density(X)
    assert density.dtype == np.float32
    np.testing.assert_allclose(density, naive.missing_log_density(wide, *known), atol=1e-4)
    after = accumulate(X, None, mixture).m_step(mixture, np.zeros(4))
    expected = naive.missing_em_step(wide, *known)
    np.testing.assert_allclose(after.means, expected[1], atol=1e-4)
    np.testing.assert_allclose(after.covariances, expected[2], atol=1e-4)
    values, variances = mixture.impute(X, return_variance=True)
    assert values.dtype == variances.dtype == np.float32
    np.testing.assert_allclose(values, naive.impute(wide, *known)[0], atol=1e-4)


@every_type
@pytest.mark.parametrize(("d", "k"), D_AND_K)
def test_impute_by_moments(d, k, covariance_type, path):
    mixture, X, _ = problem(d, k, covariance_type)
    values, variances = mixture.impute(X, return_variance=True)
    expected, expected_variances = naive.impute(X, *parameters(mixture))
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(variances, expected_variances, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(values[~np.isnan(X)], X[~np.isnan(X)])
    assert (variances[~np.isnan(X)] == 0).all()
    assert (variances[np.isnan(X)] > 0).all()
    np.testing.assert_array_equal(mixture.impute(X), values)


def test_impute_leaves_the_rows_given_alone():
    mixture, X, _ = problem(3, 2, "full")
    before = X.copy()
    mixture.impute(X)
    np.testing.assert_array_equal(X, before)
    whole = np.arange(6).reshape(2, 3)
    values, variances = mixture.impute(whole, return_variance=True)
    np.testing.assert_array_equal(values, whole)
    assert values.dtype == np.float64
    assert not variances.any()


def test_impute_by_sampling():
    """The mean and variance of many draws whose first feature is near the observed one."""
    mixture = Mixture(
        weights=[0.4, 0.6],
        means=[[0.0, 0.0], [1.0, 4.0]],
        covariances=[[[1.0, 0.8], [0.8, 1.0]], [[1.0, -0.5], [-0.5, 2.0]]],
    )
    drawn, _ = mixture.sample(2_000_000, rng=1)
    near = drawn[np.abs(drawn[:, 0] - 0.5) < 0.01, 1]
    value, variance = mixture.impute([[0.5, np.nan]], return_variance=True)
    error = near.std() / np.sqrt(len(near))
    assert value[0, 1] == pytest.approx(near.mean(), abs=5 * error)
    assert variance[0, 1] == pytest.approx(near.var(), rel=0.05)


@every_type
@pytest.mark.parametrize("accelerate", [False, True])
def test_the_likelihood_never_falls(covariance_type, accelerate):
    mixture, X, _ = problem(4, 3, covariance_type, n=2000)
    fit = fit_mixture(
        X, 3, covariance_type=covariance_type, reg_covar=0, tol=1e-5, accelerate=accelerate
    )
    assert len(fit.history) > 5
    assert np.diff(fit.history).min() > -1e-12
    assert fit.log_likelihood == pytest.approx(fit.mixture.log_likelihood(X), abs=1e-8)
    n_used = (~np.isnan(X).all(axis=1)).sum()
    assert fit.history[-1] == pytest.approx(fit.log_likelihood / n_used)
    assert fit.log_likelihood > mixture.log_likelihood(X)


def test_parameters_are_found_again():
    rng = np.random.default_rng(5)
    truth = Mixture(
        weights=[0.3, 0.7],
        means=[[0.0, 0.0, 0.0], [4.0, -3.0, 5.0]],
        covariances=[np.eye(3) + 0.5, np.diag([1.0, 2.0, 3.0])],
    )
    X = with_gaps(truth.sample(200_000, rng)[0], rng, share=0.25)
    found = fit_mixture(X, 2).mixture
    found = found.reordered(np.argsort(found.means[:, 0]))
    np.testing.assert_allclose(found.weights, truth.weights, atol=0.01)
    np.testing.assert_allclose(found.means, truth.means, atol=0.03)
    np.testing.assert_allclose(found.covariances, truth.covariances, atol=0.07)


@every_type
def test_monotone_gaps_of_one_gaussian_by_factored_likelihood(covariance_type):
    """Little and Rubin (2002), section 7.2: closed form where x_2 is missing in some rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)) @ np.array([[1.0, 0.7], [0.0, 0.5]]) + [3.0, -1.0]
    X[rng.random(500) < 0.4, 1] = np.nan
    fit = fit_mixture(X, 1, covariance_type=covariance_type, reg_covar=0, tol=1e-14, max_iter=5000)
    both = X[~np.isnan(X[:, 1])]
    if covariance_type in ("full", "tied"):
        slope, intercept = np.polyfit(both[:, 0], both[:, 1], 1)
        expected = [X[:, 0].mean(), intercept + slope * X[:, 0].mean()]
        rest = np.mean((both[:, 1] - intercept - slope * both[:, 0]) ** 2)
        variance = [X[:, 0].var(), rest + slope**2 * X[:, 0].var()]
    else:
        expected = [X[:, 0].mean(), both[:, 1].mean()]
        variance = [X[:, 0].var(), both[:, 1].var()]
    if covariance_type == "spherical":
        squares = np.concatenate([X[:, 0] - expected[0], both[:, 1] - expected[1]]) ** 2
        variance = [squares.mean()] * 2
    np.testing.assert_allclose(fit.mixture.means[0], expected, atol=1e-5)
    np.testing.assert_allclose(fit.mixture.standard_deviations[0] ** 2, variance, rtol=1e-5)


# --- what must not matter -------------------------------------------------------------------------


def same_bits(one, other):
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(one.mixture, name), getattr(other.mixture, name))
    assert one.log_likelihood == other.log_likelihood
    assert one.history == other.history


@every_type
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_nothing_count_for_nothing(covariance_type, dtype):
    _, X, rng = problem(3, 2, covariance_type, n=3000, dtype=dtype)
    X = np.nan_to_num(X)
    place = np.sort(rng.choice(len(X), 400))
    more = np.insert(X, place, np.nan, axis=0)
    with_them = fit_mixture(more, 2, covariance_type=covariance_type)
    same_bits(with_them, fit_mixture(X, 2, covariance_type=covariance_type))
    mixture = with_them.mixture
    assert mixture.log_likelihood(more) == pytest.approx(mixture.log_likelihood(X), rel=1e-12)
    assert mixture.bic(more) == pytest.approx(mixture.bic(X), rel=1e-12)
    nothing = np.isnan(more).all(axis=1)
    np.testing.assert_allclose(
        mixture.posterior(more)[nothing], np.tile(mixture.weights, (nothing.sum(), 1)), rtol=1e-6
    )
    assert (mixture.log_density(more)[nothing] == 0).all()
    assert (mixture.mahalanobis(more)[nothing] == 0).all()
    assert (mixture.predict(more)[nothing] == mixture.weights.argmax()).all()
    np.testing.assert_array_equal(mixture.posterior(more)[~nothing], mixture.posterior(X))
    np.testing.assert_array_equal(mixture.log_density(more)[~nothing], mixture.log_density(X))


def test_nothing_but_rows_of_nothing():
    mixture, _, _ = problem(2, 3, "full")
    X = np.full((5, 2), np.nan)
    statistics = accumulate(X, None, mixture)
    assert statistics.weight == statistics.log_likelihood == 0
    assert not statistics.nk.any()
    assert mixture.log_likelihood(X) == 0
    np.testing.assert_allclose(mixture.impute(X), np.tile(mixture.weights @ mixture.means, (5, 1)))


@every_type
@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
def test_a_column_of_nan_equals_no_column(covariance_type, init):
    _, X, _ = problem(3, 2, covariance_type, n=1000)
    wide = np.insert(X, 1, np.nan, axis=1)
    narrow_fit = fit_mixture(X, 2, covariance_type=covariance_type, init=init)
    with pytest.warns(match=r"features without any value \(number 2\) play no part"):
        fit = fit_mixture(wide, 2, covariance_type=covariance_type, init=init)
    assert fit.log_likelihood == narrow_fit.log_likelihood
    assert fit.history == narrow_fit.history
    mixture, narrow = fit.mixture, narrow_fit.mixture
    np.testing.assert_array_equal(mixture.means[:, [0, 2, 3]], narrow.means)
    np.testing.assert_array_equal(mixture.means[:, 1], 0)
    np.testing.assert_allclose(mixture.posterior(wide), narrow.posterior(X), atol=1e-12)
    np.testing.assert_allclose(mixture.log_density(wide), narrow.log_density(X), atol=1e-11)
    full = mixture.full_covariances
    np.testing.assert_array_equal(full[:, 1, [0, 2, 3]], 0)
    if covariance_type != "spherical":
        np.testing.assert_array_equal(full[:, 1, 1], 1)
    again = Mixture.from_dict(mixture.to_dict())
    assert again.n_features == 4


@every_type
def test_a_column_of_nan_with_a_start_given(covariance_type):
    mixture, X, _ = problem(3, 2, covariance_type, n=500)
    X[:, 1] = np.nan
    for start in (mixture, mixture.means):
        with pytest.warns(match="play no part"):
            fit = fit_mixture(X, 2, covariance_type=covariance_type, init=start)
        assert fit.log_likelihood == pytest.approx(fit.mixture.log_likelihood(X))


@every_type
def test_weights_are_repeats(covariance_type, path):
    mixture, X, rng = problem(3, 2, covariance_type, n=300)
    counts = rng.integers(0, 4, len(X))
    weighted = accumulate(X, counts, mixture)
    repeated = accumulate(np.repeat(X, counts, axis=0), None, mixture)
    for name in ("nk", "first", "second", "log_likelihood", "weight"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), atol=1e-9)
    one = fit_mixture(X, 2, covariance_type=covariance_type, sample_weight=counts, init=mixture)
    other = fit_mixture(
        np.repeat(X, counts, axis=0), 2, covariance_type=covariance_type, init=mixture
    )
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-5)
    np.testing.assert_allclose(one.mixture.means, other.mixture.means, atol=1e-2)


def test_rows_of_weight_0_may_hold_anything():
    mixture, X, _ = problem(3, 2, "full", n=300)
    weights = np.ones(len(X))
    weights[:50] = 0
    expected = accumulate(X[50:], None, mixture)
    X[:20], X[20:50] = np.inf, np.nan
    found = accumulate(X, weights, mixture)
    np.testing.assert_allclose(found.second, expected.second, atol=1e-9)
    assert found.weight == expected.weight


@every_type
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_do_not_change_bits(covariance_type, dtype):
    _, X, _ = problem(4, 3, covariance_type, n=60_000, dtype=dtype)
    fits = [fit_mixture(X, 3, covariance_type=covariance_type, threads=n) for n in (1, 2, 5)]
    for other in fits[1:]:
        same_bits(fits[0], other)
    mixture = fits[0].mixture
    for ask in (mixture.posterior, mixture.predict, mixture.log_density):
        np.testing.assert_array_equal(ask(X, threads=1), ask(X, threads=3))


@every_type
def test_blocks_or_pieces(covariance_type, monkeypatch):
    """Sets that are too large to be kept as blocks are read in pieces: the same bits."""
    _, X, _ = problem(3, 2, covariance_type, n=40_000)
    kept = fit_mixture(X, 2, covariance_type=covariance_type)
    monkeypatch.setattr(rows_module, "_LARGEST_COPY", 0)
    same_bits(kept, fit_mixture(X, 2, covariance_type=covariance_type))


@pytest.mark.parametrize("layout", ["C", "F", "reversed", "big-endian"])
def test_memory_layout(layout):
    mixture, X, _ = problem(3, 2, "full", n=5000)
    other = {
        "C": np.ascontiguousarray,
        "F": np.asfortranarray,
        "reversed": lambda X: X[::-1].copy()[::-1],
        "big-endian": lambda X: X.astype(">f8"),
    }[layout](X)
    np.testing.assert_array_equal(mixture.log_density(X), mixture.log_density(other))
    same_bits(fit_mixture(X, 2), fit_mixture(other, 2))


@every_type
def test_units_do_not_matter(covariance_type):
    _, X, _ = problem(3, 2, covariance_type, n=2000)
    scale = 2.0**11 if covariance_type == "spherical" else np.array([2.0**30, 1.0, 2.0**-20])
    one = fit_mixture(X, 2, covariance_type=covariance_type)
    other = fit_mixture(X * scale, 2, covariance_type=covariance_type)
    np.testing.assert_allclose(other.mixture.means, one.mixture.means * scale, rtol=1e-9)
    jacobian = (~np.isnan(X) * np.log(np.broadcast_to(scale, 3))).sum()
    assert other.log_likelihood == pytest.approx(one.log_likelihood - jacobian, rel=1e-9)


def test_far_from_zero_in_float32():
    _, X, _ = problem(3, 2, "full", n=3000)
    far = (X * 4 + 30_000).astype(np.float32)
    near = far.astype(np.float64) - 30_000
    one, other = fit_mixture(near, 2, tol=1e-8), fit_mixture(far, 2, tol=1e-8)
    np.testing.assert_allclose(other.mixture.means - 30_000, one.mixture.means, atol=0.01)
    np.testing.assert_allclose(other.mixture.covariances, one.mixture.covariances, rtol=0.01)


def test_statistics_of_parts_add_up():
    mixture, X, _ = problem(3, 2, "full", n=500)
    whole = accumulate(X, None, mixture)
    parts = accumulate(X[:123], None, mixture) + accumulate(X[123:], None, mixture)
    for name in ("nk", "first", "second", "log_likelihood", "weight"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-9)
