"""Leaps between EM steps: fewer passes, the same optimum, nothing that an M-step would not give."""

import naive
import numpy as np
import pytest

from gmmseg.mixture import EMOptions, Mixture, fit_mixture
from gmmseg.mixture.acceleration import Squarem, contraction
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.em import accumulate, fit_rows


def crowded(seed, n=1500, d=2):
    """Clusters that overlap: EM is slow there."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 2, (3, d))
    return centres[rng.integers(0, 3, n)] + rng.normal(size=(n, d))


def spheres(means, variances=(1.0, 1.0)):
    return Mixture(
        weights=[0.5, 0.5],
        means=np.reshape(means, (2, 1)),
        covariances=variances,
        covariance_type="spherical",
    )


@pytest.fixture(scope="module")
def fits():
    """Fits to sets of 1 to 4 features, with leaps and without, from the same start."""
    sets = [(crowded(seed, d=d), d) for seed in range(3) for d in (1, 2, 4)]
    return [
        [
            fit_rows(X, 3, EMOptions(accelerate=leaps, tol=1e-9, max_iter=50_000), start=X[:3])
            for leaps in (True, False)
        ]
        for X, _ in sets
    ]


def test_the_history_never_falls(fits):
    for pair in fits:
        for fit in pair:
            assert fit.converged
            assert np.diff(fit.history).min() > -1e-12


def test_the_same_optimum(fits):
    for leaping, walking in fits:
        assert leaping.history[-1] == pytest.approx(walking.history[-1], abs=1e-5)


def test_fewer_passes_in_total(fits):
    passes = np.array([[fit.n_iter for fit in pair] for pair in fits]).sum(axis=0)
    assert passes[0] < 0.6 * passes[1]


# How fast EM slows down


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.9])
def test_contraction_of_a_linear_way(rate):
    places = np.cumsum([0.0, 1.0, rate])
    mixtures = [spheres([place, 5 - 2 * place]) for place in places]
    assert contraction(*mixtures) == pytest.approx(rate, abs=1e-12)


def test_contraction_is_below_one_and_zero_at_rest():
    still, moved, far = spheres([0, 5]), spheres([1, 5]), spheres([9, 5])
    assert contraction(still, still, moved) == 0
    assert contraction(still, moved, far) < 1


@pytest.mark.parametrize("covariance_type", naive.TYPES)
def test_contraction_of_em_near_its_optimum_is_that_of_its_gains(covariance_type):
    # a linear way of rate r gains r squared of the step before
    options = {"covariance_type": covariance_type, "accelerate": False, "reg_covar": 0.0}
    X = crowded(1, 400)
    fit = fit_mixture(X, 2, **options, tol=1e-7, max_iter=5000)
    way = [fit.mixture]
    gains = []
    for _ in range(3):
        found = accumulate(X, None, way[-1])
        gains.append(found.mean_log_likelihood)
        way.append(found.m_step(way[-1], np.zeros(2)))
    gain, next_gain = np.diff(gains)
    assert contraction(*way[1:]) ** 2 == pytest.approx(next_gain / gain, rel=0.1)


# Where a leap lands


def way_to(fixed, rate, n=3):
    """Mixtures whose means come closer to `fixed` by `rate` each."""
    return [spheres([fixed[0] + rate**i, fixed[1] - 3 * rate**i]) for i in range(n)]


def test_a_linear_way_is_leapt_to_its_end():
    # The limit of the first leap is 4: that is the whole way at rate 0.75.
    leap = Squarem().leap(*way_to((2.0, 7.0), 0.75), 1e-5, 1e-12)
    np.testing.assert_allclose(leap.means.ravel(), [2, 7], rtol=1e-12)
    np.testing.assert_allclose(leap.weights, 0.5)


def test_the_limit_learns():
    squarem = Squarem()
    way = way_to((0.0, 9.0), 0.99)

    def distance():
        return float(np.abs(squarem.leap(*way, 1e-5, 1e-12).means.ravel() - [0, 9]).max())

    short = distance()
    squarem.learn(accepted=True)
    long = distance()
    assert long < short
    squarem.learn(accepted=False)
    assert distance() == pytest.approx(short)
    squarem.learn(accepted=False)
    assert distance() == pytest.approx(short)  # never below the first


def test_no_leap_where_it_would_not_pay():
    way = way_to((0.0, 9.0), 0.9)
    assert Squarem().leap(*way, 1.0, 1e-12) is None  # EM still chooses its optimum
    assert Squarem().leap(way[0], way[0], way[0], 1e-5, 1e-12) is None  # at rest
    turning = [spheres([0, 9]), spheres([1, 9]), spheres([0, 9])]
    assert Squarem().leap(*turning, 1e-5, 1e-12) is None


@pytest.mark.parametrize("covariance_type", naive.TYPES)
@pytest.mark.parametrize("floor", [1e-3, 0.3, 0.6])
def test_a_leap_keeps_to_the_floor(covariance_type, floor):
    kind = COVARIANCE_TYPES[covariance_type]
    landed = 0
    for seed in range(10):
        X = crowded(seed, 200)
        way = [fit_rows(X, 3, EMOptions(covariance_type=covariance_type, max_iter=5)).mixture]
        for _ in range(2):
            way.append(accumulate(X, None, way[-1]).m_step(way[-1], np.zeros(2)))
        leap = Squarem().leap(*way, 1e-3, floor)
        if leap is not None:
            landed += 1
            assert kind.smallest_variance(leap.covariances) >= floor
            assert leap.weights.sum() == pytest.approx(1)
    assert landed > 0 or floor > 0.5


def test_shrinking_variances_stop_the_leap_at_the_floor():
    # logarithms of the variances fall by less and less towards 1e-4, which is below the floor
    variances = np.exp(np.log(1e-4) * (1 - 0.75 ** np.arange(3.0)))
    way = [spheres([0, 9], (variance, 1.0)) for variance in variances]
    assert Squarem().leap(*way, 1e-5, 1e-3) is None
    leap = Squarem().leap(*way, 1e-5, 1e-6)
    np.testing.assert_allclose(leap.covariances, [1e-4, 1.0], rtol=1e-9)


def test_a_singular_covariance_gives_no_leap_and_a_slow_rate():
    flat = Mixture.trusted(np.ones(1), np.zeros((1, 2)), np.zeros((1, 2, 2)), "full")
    assert Squarem().leap(flat, flat, flat, 1e-5, 1e-12) is None
    assert 0.99 < contraction(flat, flat, flat) < 1
