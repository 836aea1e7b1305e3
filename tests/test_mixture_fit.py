"""The loop: starts, restarts, convergence, history, callback."""

import warnings

import naive
import numpy as np
import pytest

from gmmseg.errors import ConvergenceWarning
from gmmseg.mixture import EMOptions, Fit, Mixture, fit_mixture
from gmmseg.mixture.em import fit_rows
from gmmseg.mixture.seeding import STARTS, kmeans

TYPES = naive.TYPES


@pytest.fixture(scope="module", name="X")
def three_clusters():
    """Three clusters, far enough apart that every good start finds them."""
    rng = np.random.default_rng(1)
    parts = [rng.normal(centre, 1, (400, 2)) for centre in ([0, 0], [8, 0], [0, 9])]
    return np.concatenate(parts)[rng.permutation(1200)]


def quietly(X, k, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit_mixture(X, k, **options)


def sorted_means(mixture):
    return mixture.means[np.lexsort(mixture.means.T.round(1))]


CENTRES = [[0, 0], [8, 0], [0, 9]]


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init", ["kmeans", "k-means++"])
def test_good_starts_find_the_clusters(X, init, covariance_type):
    fit = fit_mixture(X, 3, init=init, covariance_type=covariance_type)
    np.testing.assert_allclose(sorted_means(fit.mixture), CENTRES, atol=0.2)
    assert fit.converged


@pytest.mark.parametrize("init", STARTS)
def test_several_starts_of_any_kind_find_the_clusters(X, init):
    fit = quietly(X, 3, init=init, n_init=5, tol=1e-7)
    np.testing.assert_allclose(sorted_means(fit.mixture), CENTRES, atol=0.2)


@pytest.mark.parametrize("init", STARTS)
def test_starts_depend_on_the_seed_alone(X, init):
    one = quietly(X, 7, init=init, max_iter=1, rng=3)
    again = quietly(X, 7, init=init, max_iter=1, rng=3)
    other = quietly(X, 7, init=init, max_iter=1, rng=4)
    assert one.history == again.history
    assert one.history != other.history


def test_start_from_means(X):
    fit = fit_mixture(X, 3, init=[[8, 1], [0, 1], [1, 8]])
    np.testing.assert_allclose(fit.mixture.means, [[8, 0], [0, 0], [0, 9]], atol=0.2)


def test_start_from_a_mixture_is_that_mixture(X):
    start = Mixture(
        weights=[0.2, 0.3, 0.5], means=CENTRES, covariances=np.ones(3) * 2.0,
        covariance_type="spherical",
    )  # fmt: skip
    fit = quietly(X, 3, covariance_type="spherical", init=start, max_iter=1)
    assert fit.history[0] == pytest.approx(start.log_likelihood(X) / len(X), rel=1e-12)


def test_a_converged_fit_is_a_fixed_point(X):
    fit = fit_mixture(X, 3, tol=1e-12)
    again = fit_mixture(X, 3, tol=1e-9, init=fit.mixture)
    assert again.n_iter == 1
    np.testing.assert_allclose(again.mixture.means, fit.mixture.means, atol=1e-4)


def test_the_best_of_several_starts_is_kept():
    X = np.random.default_rng(5).normal(size=(400, 2))
    plain = {"init": "random_from_data", "max_iter": 30, "tol": 0.0, "accelerate": False}
    many = quietly(X, 5, n_init=6, **plain)
    finals = []
    quietly(
        X, 5, n_init=6, **plain,
        callback=lambda i, value: finals.append(value) if i == 30 else None,
    )  # fmt: skip
    assert len(finals) == 6
    assert len(set(finals)) > 1
    assert many.history[-1] == pytest.approx(max(finals), abs=1e-12)
    one = quietly(X, 5, n_init=1, **plain)
    assert many.log_likelihood >= one.log_likelihood


def test_history_and_log_likelihood(X):
    weights = np.random.default_rng(0).uniform(0, 2, len(X))
    fit = fit_mixture(X, 3, sample_weight=weights)
    assert len(fit.history) <= fit.n_iter + 1
    assert fit.history[-1] == pytest.approx(fit.log_likelihood / weights.sum(), rel=1e-12)
    assert fit.log_likelihood == pytest.approx(fit.mixture.log_likelihood(X, weights), rel=1e-10)
    assert isinstance(fit, Fit)


@pytest.mark.parametrize("tol", [1e-3, 1e-6])
def test_likelihood_criterion(X, tol):
    fit = fit_mixture(X, 4, tol=tol, max_iter=2000, accelerate=False)
    steps = np.abs(np.diff(fit.history))
    assert steps[-1] < tol
    assert (steps[:-1] >= tol).all()


def test_parameters_criterion(X):
    means = [quietly(X, 4, max_iter=i, tol=0.0).mixture.means for i in range(1, 6)]
    plain = {"criterion": "parameters", "max_iter": 5000, "accelerate": False}
    fit = fit_mixture(X, 4, tol=1e-3, **plain)
    assert fit.converged
    before = quietly(X, 4, max_iter=fit.n_iter - 1, tol=0.0, accelerate=False).mixture.means
    assert np.abs(fit.mixture.means - before).max() < 1e-3 * 2 * X.std()
    assert np.abs(means[-1] - means[-2]).max() > 1e-3
    strict = fit_mixture(X, 4, tol=1e-5, **plain)
    assert strict.n_iter > fit.n_iter


def test_tolerance_zero_runs_to_the_end(X):
    with pytest.warns(ConvergenceWarning, match="in 7 iterations"):
        fit = fit_mixture(X, 2, tol=0.0, max_iter=7, accelerate=False)
    assert (fit.n_iter, fit.converged, len(fit.history)) == (7, False, 8)


def test_callback_hears_every_iteration(X):
    heard = []
    fit = fit_mixture(X * 100, 3, accelerate=False, callback=lambda *values: heard.append(values))
    assert [i for i, _ in heard] == list(range(1, fit.n_iter + 1))
    assert [value for _, value in heard] == pytest.approx(list(fit.history[1:]), rel=1e-12)


def test_an_exception_in_the_callback_ends_the_fit(X):
    heard = []

    def stop(iteration, _):
        heard.append(iteration)
        if iteration == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_mixture(X, 3, callback=stop, tol=0.0, threads=2, accelerate=False)
    assert heard == [1, 2]
    assert fit_mixture(X, 3).converged


def test_one_component_is_the_mean_and_covariance(X):
    fit = fit_mixture(X, 1, reg_covar=0.0)
    np.testing.assert_allclose(fit.mixture.means[0], X.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fit.mixture.covariances[0], np.cov(X.T, ddof=0), rtol=1e-10)
    assert fit.converged


def test_regularisation_is_relative_to_the_variance(X):
    fit = fit_mixture(X, 1, reg_covar=0.25, covariance_type="diag")
    np.testing.assert_allclose(fit.mixture.covariances[0], 1.25 * X.var(axis=0), rtol=1e-10)


def test_options_are_those_of_the_function(X):
    a = fit_rows(X, 3, EMOptions(covariance_type="diag", init="random", rng=7, tol=1e-3))
    b = fit_mixture(X, 3, covariance_type="diag", init="random", rng=7, tol=1e-3)
    assert (a.mixture.means == b.mixture.means).all()
    assert a.history == b.history


def test_metric_decides_the_clusters_of_the_start():
    rng = np.random.default_rng(2)
    grid = rng.integers(0, 2, (800, 2)) * [10.0, 10.0] + rng.normal(size=(800, 2))
    options = EMOptions(max_iter=1, covariance_type="spherical")
    for factors, axis in (([1.0, 1e-3], 0), ([1e-3, 1.0], 1)):
        factors = np.array(factors)
        means = fit_rows(grid, 2, options, metric=lambda _, f=factors: f).mixture.means
        apart = np.abs(means[0] - means[1])
        assert apart[axis] > 8
        assert apart[1 - axis] < 1


def test_kmeans_comes_to_rest_where_a_step_changes_nothing():
    points = np.random.default_rng(0).normal(size=(2, 1500))
    labels, _ = kmeans(points, np.ones(1500), 4, np.random.default_rng(0))
    centres = np.stack([points[:, labels == k].mean(axis=1) for k in range(4)])
    again, moved, _ = naive.lloyd_step(points.T, centres)
    assert (again == labels).mean() > 0.99
    np.testing.assert_allclose(moved, centres, atol=0.03)


def test_starts_on_a_sample_serve_many_rows():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (150_000, 1)), rng.normal(9, 1, (50_000, 1))])
    weights = np.where(X[:, 0] > 4.5, 3.0, 1.0)
    fit = fit_mixture(X.astype(np.float32), 2, sample_weight=weights)
    assert sorted(fit.mixture.weights) == pytest.approx([0.5, 0.5], abs=0.01)
    assert sorted(fit.mixture.means.ravel()) == pytest.approx([0, 9], abs=0.05)


def test_metric_is_told_the_deviations_of_the_data():
    told = []

    def metric(deviations):
        told.append(deviations)
        return 1.0 / deviations

    X = np.random.default_rng(2).normal(size=(800, 2)) * [10.0, 1e-3]
    fit_rows(X, 2, EMOptions(max_iter=1), metric=metric)
    np.testing.assert_allclose(told[0], X.std(axis=0), rtol=1e-6)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_leaps_end_in_the_same_optimum_with_fewer_passes(X, covariance_type):
    rng = np.random.default_rng(3)
    crowded = np.concatenate([X * 0.3, rng.normal(1, 2, (600, 2))])
    passes = {}
    for accelerate in (False, True):
        fit = fit_mixture(
            crowded, 3, covariance_type=covariance_type, tol=1e-9, max_iter=20_000,
            accelerate=accelerate,
        )  # fmt: skip
        passes[accelerate] = fit.n_iter, fit.history[-1]
    assert passes[True][0] < passes[False][0]
    assert passes[True][1] == pytest.approx(passes[False][1], abs=1e-5)


def test_leaps_count_as_passes(X):
    heard = []
    fit = quietly(X, 5, tol=0.0, max_iter=40, callback=lambda i, value: heard.append((i, value)))
    assert fit.n_iter == 40
    assert len(fit.history) <= 41
    numbers = [i for i, _ in heard]
    assert numbers == sorted(set(numbers))
    assert [value for _, value in heard] == pytest.approx(list(fit.history[1:]), rel=1e-12)
