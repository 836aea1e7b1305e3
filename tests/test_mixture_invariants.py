"""What must hold for any data: Hypothesis looks for exceptions."""

import json
import warnings

import naive
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gmmseg.errors import GmmsegWarning
from gmmseg.mixture import Mixture, accumulate, fit_mixture
from gmmseg.mixture.rows import Frame

TYPES = naive.TYPES
STARTS = ("kmeans", "k-means++", "random", "random_from_data")
types = st.sampled_from(TYPES)
seeds = st.integers(0, 2**16)


def quietly(X, k, **options):
    """A fit whose warnings do not matter to the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GmmsegWarning)
        return fit_mixture(X, k, **options)


def clusters(seed, n=400, n_features=2, k=3, dtype=np.float64):
    """Rows around k centres that overlap a little."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, n_features)) * 4
    chosen = rng.integers(0, k, n)
    return (centres[chosen] + rng.normal(size=(n, n_features))).astype(dtype)


def assert_same(a, b, *, relative=1e-8, absolute=1e-8):
    """Equal mixtures but for rounding; absolute in standard deviations."""
    unit = a.standard_deviations.max()
    np.testing.assert_allclose(a.weights, b.weights, rtol=0, atol=absolute)
    np.testing.assert_allclose(a.means, b.means, rtol=relative, atol=absolute * unit)
    np.testing.assert_allclose(a.covariances, b.covariances, rtol=relative, atol=absolute * unit**2)


@given(types, seeds, st.integers(1, 5), st.sampled_from(STARTS), st.booleans())
def test_likelihood_never_falls(covariance_type, seed, k, init, accelerate):
    X = clusters(seed, n_features=3)
    options = {"init": init, "rng": seed, "tol": 1e-7, "max_iter": 60, "accelerate": accelerate}
    fit = quietly(X, k, covariance_type=covariance_type, reg_covar=0.0, **options)
    assert np.diff(fit.history).min() > -1e-9
    assert len(fit.history) <= fit.n_iter + 1 <= 61
    assert accelerate or len(fit.history) == fit.n_iter + 1


@given(types, seeds)
def test_a_row_of_weight_three_is_three_rows(covariance_type, seed):
    X = clusters(seed, n=120)
    counts = np.random.default_rng(seed).integers(0, 4, len(X))
    repeated = np.repeat(X, counts, axis=0)
    start = Mixture(
        weights=[0.5, 0.5],
        means=X[:2],
        covariances=naive.of_type([np.eye(2) * 9] * 2, covariance_type),
        covariance_type=covariance_type,
    )
    options = {"covariance_type": covariance_type, "init": start, "tol": 0.0, "max_iter": 10}
    options["accelerate"] = False
    weighted = quietly(X, 2, sample_weight=counts, **options)
    assert_same(weighted.mixture, quietly(repeated, 2, **options).mixture)
    assert weighted.log_likelihood == pytest.approx(weighted.mixture.log_likelihood(repeated))


@given(types, seeds, st.sampled_from(["kmeans", "k-means++", "random_from_data"]))
def test_a_row_of_weight_three_is_three_rows_for_the_start_too(covariance_type, seed, init):
    X = clusters(seed, n=120)
    counts = np.random.default_rng(seed).integers(0, 4, len(X))
    repeated = np.repeat(X, counts, axis=0)
    options = {"covariance_type": covariance_type, "init": init, "max_iter": 3}
    weighted = quietly(X, 3, sample_weight=counts, **options)
    assert_same(weighted.mixture, quietly(repeated, 3, **options).mixture)


@given(types, seeds)
def test_the_order_of_the_rows_does_not_matter(covariance_type, seed):
    X = clusters(seed, n=700)
    start = quietly(X, 3, covariance_type=covariance_type, max_iter=1).mixture
    order = np.random.default_rng(seed).permutation(len(X))
    options = {"covariance_type": covariance_type, "init": start, "max_iter": 10, "tol": 0.0}
    options["accelerate"] = False
    fit, permuted = quietly(X, 3, **options), quietly(X[order], 3, **options)
    assert_same(fit.mixture, permuted.mixture)
    posterior = fit.mixture.posterior(X)[order]
    assert (posterior == fit.mixture.posterior(X[order])).all()


SCALES = st.sampled_from([1e-12, 1e-5, 0.3, 1.0, 2.0, 255.0, 1e12])
OFFSETS = st.sampled_from([0.0, -3.0, 1e6])  # in units of the scale


@settings(max_examples=40)
@given(
    st.sampled_from(["full", "tied", "diag", "tied_diag"]), seeds, st.sampled_from(STARTS),
    st.tuples(SCALES, SCALES), st.tuples(OFFSETS, OFFSETS), st.sampled_from([0.0, 1e-6, 1e-2]),
)  # fmt: skip
def test_units_do_not_matter(covariance_type, seed, init, scale, offset, reg_covar):
    X = clusters(seed, n=300)
    scale, offset = np.array(scale), np.array(offset)
    changed = (X + offset) * scale
    X = changed / scale - offset  # the same rounding, without the change
    options = {"covariance_type": covariance_type, "init": init, "reg_covar": reg_covar}
    options["accelerate"] = False  # how far a leap goes is a matter of rounding
    # a fixed number of iterations: which one converges first is a matter of rounding
    fit = quietly(X, 3, max_iter=5, tol=0.0, **options)
    other = quietly(changed, 3, max_iter=5, tol=0.0, **options)
    assert fit.mixture.weights == pytest.approx(other.mixture.weights, abs=1e-6)
    np.testing.assert_allclose(
        fit.mixture.means, other.mixture.means / scale - offset, rtol=0, atol=1e-5
    )
    back = other.mixture.full_covariances / np.outer(scale, scale)
    np.testing.assert_allclose(fit.mixture.full_covariances, back, rtol=0, atol=1e-5)
    gain = len(X) * np.log(scale).sum()
    assert fit.log_likelihood == pytest.approx(other.log_likelihood + gain, abs=1e-3)
    agreement = fit.mixture.predict(X) == other.mixture.predict(changed)
    assert agreement.mean() > 0.995


@given(seeds, SCALES, st.sampled_from(STARTS))
def test_units_shared_by_all_features_do_not_matter_to_spheres(seed, scale, init):
    X = clusters(seed, n=300)
    changed = X * scale
    options = {"covariance_type": "spherical", "init": init, "max_iter": 5, "tol": 0.0}
    options["accelerate"] = False
    fit, other = quietly(X, 3, **options), quietly(changed, 3, **options)
    np.testing.assert_allclose(fit.mixture.means, other.mixture.means / scale, atol=1e-7)
    np.testing.assert_allclose(
        fit.mixture.covariances, other.mixture.covariances / scale**2, atol=1e-7
    )


@given(types, seeds, st.integers(1, 6), st.sampled_from([np.float32, np.float64]))
def test_posteriors_sum_to_one_and_their_largest_is_the_label(covariance_type, seed, k, dtype):
    X = clusters(seed, n=777, n_features=3, dtype=dtype)
    mixture = quietly(X, k, covariance_type=covariance_type, max_iter=3).mixture
    posterior = mixture.posterior(X)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=4 * np.finfo(dtype).eps)
    assert posterior.min() >= 0
    assert posterior.T.flags.c_contiguous
    labels = mixture.predict(X)
    chosen = posterior[np.arange(len(X)), labels]
    # where two are equal but for the last bit either may come first
    assert (posterior.max(axis=1) - chosen).max() <= 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("n", [700, 50_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_threads_do_not_change_a_bit(covariance_type, dtype, n):
    X = clusters(5, n=n, n_features=3, dtype=dtype)
    weights = np.random.default_rng(0).uniform(0, 2, n)
    options = {"covariance_type": covariance_type, "sample_weight": weights, "max_iter": 8}
    fits = [quietly(X, 3, threads=threads, **options) for threads in (1, 2, 3)]
    for threads, fit in enumerate(fits, 1):
        for name in ("weights", "means", "covariances"):
            assert (getattr(fit.mixture, name) == getattr(fits[0].mixture, name)).all()
        assert fit.history == fits[0].history
        assert fit.log_likelihood == fits[0].log_likelihood
        mixture = fits[0].mixture
        for method in ("predict", "posterior", "log_density"):
            one = getattr(mixture, method)(X, threads=1)
            assert (getattr(mixture, method)(X, threads=threads) == one).all()


@given(types, seeds, st.integers(1, 399), st.booleans())
def test_statistics_add_up(covariance_type, seed, cut, weighted):
    X = clusters(seed)
    mixture = quietly(X, 3, covariance_type=covariance_type, max_iter=2).mixture
    w = np.random.default_rng(seed).uniform(0.1, 2, len(X)) if weighted else None
    parts = (slice(cut), slice(cut, None))
    a, b = (accumulate(X[p], None if w is None else w[p], mixture) for p in parts)
    whole, both = accumulate(X, w, mixture), a + b
    for name in ("nk", "first", "second", "log_likelihood", "weight"):
        actual, wanted = np.asarray(getattr(both, name)), np.asarray(getattr(whole, name))
        np.testing.assert_allclose(actual, wanted, rtol=1e-11, atol=1e-11 * np.abs(wanted).max())


@given(types, seeds, st.sampled_from([0.0, 1e-3]))
def test_a_step_by_statistics_is_an_iteration_of_the_fit(covariance_type, seed, reg_covar):
    X = clusters(seed)
    weights = np.random.default_rng(seed).uniform(0, 2, len(X))
    options = {"covariance_type": covariance_type, "sample_weight": weights, "tol": 0.0}
    start = quietly(X, 3, max_iter=2, **options).mixture
    fit = quietly(X, 3, init=start, max_iter=1, reg_covar=reg_covar, **options)
    mean = np.average(X, axis=0, weights=weights)
    variance = np.average((X - mean) ** 2, axis=0, weights=weights)
    statistics = accumulate(X, weights, start)
    if "spherical" in covariance_type:
        ridge = reg_covar * np.full(2, variance.mean())
    else:
        ridge = reg_covar * variance
    assert_same(fit.mixture, statistics.m_step(start, ridge), relative=1e-9, absolute=1e-9)
    assert statistics.mean_log_likelihood == pytest.approx(fit.history[0], rel=1e-10)


@given(types, seeds)
def test_a_mixture_survives_json_to_the_last_bit(covariance_type, seed):
    mixture = quietly(clusters(seed), 3, covariance_type=covariance_type, max_iter=2).mixture
    again = Mixture.from_dict(json.loads(json.dumps(mixture.to_dict())))
    for name in ("weights", "means", "covariances"):
        assert (getattr(again, name) == getattr(mixture, name)).all()
        assert not getattr(again, name).flags.writeable
    assert again.covariance_type == mixture.covariance_type


@given(types, seeds, st.floats(-1e6, 1e6), st.floats(1e-12, 1e12))
def test_frames_are_left_as_they_were_entered(covariance_type, seed, origin, deviation):
    assume(abs(origin) < 1e6 * deviation)
    rng = np.random.default_rng(seed)
    X = origin + deviation * clusters(seed)
    mixture = quietly(X, 2, covariance_type=covariance_type, max_iter=2).mixture
    frame = Frame.around(
        np.array([origin, -origin]), deviation * rng.uniform(0.1, 9, 2), np.dtype(float),
        isotropic="spherical" in covariance_type,
    )  # fmt: skip
    again = mixture.in_frame(frame).out_of_frame(frame)
    assert (again.covariances == mixture.covariances).all()  # powers of two
    np.testing.assert_allclose(again.means, mixture.means, rtol=1e-12, atol=1e-9 * deviation)
    moved = (X - frame.origin) * frame.scale
    np.testing.assert_allclose(
        mixture.in_frame(frame).log_density(moved) + frame.log_scale, mixture.log_density(X),
        rtol=1e-9, atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_lone_row_of_weight_three_starts_like_three_rows(covariance_type):
    X = np.concatenate([clusters(1, n=60, k=1), [[40.0, 40.0]]])
    counts = np.ones(61, int)
    counts[-1] = 3
    options = {"covariance_type": covariance_type, "max_iter": 1, "tol": 0.0}
    weighted = quietly(X, 2, sample_weight=counts, **options)
    repeated = quietly(np.repeat(X, counts, axis=0), 2, **options)
    assert weighted.history[0] == pytest.approx(repeated.history[0], rel=1e-6)
