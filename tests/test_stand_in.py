"""A sample in the place of all rows: true where it was completed, and near by."""

import naive
import numpy as np
import pytest

from gmmseg.mixture import Mixture, accumulate, fit_mixture
from gmmseg.mixture import certificate as certificate_module
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.expectation import e_step
from gmmseg.mixture.rows import Frame, Rows
from gmmseg.mixture.stand_in import StandIn

every_type = pytest.mark.parametrize("covariance_type", naive.TYPES)


def clusters(seed, n=6000, d=2):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, (3, d))[rng.integers(0, 3, n)] + rng.normal(size=(n, d))


def fitted(X, covariance_type):
    return fit_mixture(X, 3, covariance_type=covariance_type, init=X[:3], max_iter=4, tol=0)


@every_type
@pytest.mark.filterwarnings("ignore:EM did not converge")
def test_expected_is_the_sum_over_rows(covariance_type):
    X = clusters(1, 400)
    one = fitted(X, covariance_type).mixture
    other = fitted(X[:60], covariance_type).mixture
    found = accumulate(X, None, one)
    logs = naive.component_log_densities(
        X, other.weights, other.means, other.covariances, covariance_type
    )
    assert found.expected(other) == pytest.approx((one.posterior(X) * logs).sum(), rel=1e-9)
    moved = found.moved(found.about + 2.5)
    assert moved.expected(other) == pytest.approx(found.expected(other), rel=1e-9)
    # an M-step maximises it, and the likelihood gains no less
    after = found.m_step(one, np.zeros(2))
    promised = found.expected(after) - found.expected(one)
    assert promised >= 0
    assert after.log_likelihood(X) - one.log_likelihood(X) >= promised - 1e-9


def test_what_one_set_has_beside_another():
    X = clusters(2)
    one = Mixture(weights=[1.0], means=[[0.0, 0.0]], covariances=[np.eye(2)])
    rest = accumulate(X, None, one) - accumulate(X[:1000], None, one)
    expected = accumulate(X[1000:], None, one)
    for name in ("nk", "first", "second", "log_likelihood", "weight"):
        np.testing.assert_allclose(getattr(rest, name), getattr(expected, name), rtol=1e-9)


@every_type
@pytest.mark.filterwarnings("ignore:EM did not converge")
def test_it_is_all_rows_to_the_first_order(covariance_type):
    X = clusters(3)
    at = fitted(X[::10], covariance_type).mixture
    rows = Rows(X, None, Frame.identity(2))
    sample = rows.part(600, np.random.default_rng(0))
    with Workers(1) as workers:
        known = e_step(rows, at, workers)
        stand_in = StandIn.of(sample, at, e_step(sample, at, workers), known)
        there = e_step(stand_in, at, workers)
        for name in ("nk", "first", "second", "log_likelihood", "weight"):
            np.testing.assert_allclose(getattr(there, name), getattr(known, name), rtol=1e-9)

        def error(step):
            moved = Mixture.trusted(at.weights, at.means + step, at.covariances, covariance_type)
            found = e_step(stand_in, moved, workers).log_likelihood - known.log_likelihood
            true = e_step(rows, moved, workers).log_likelihood - known.log_likelihood
            return abs(found - true), abs(true)

        wrong, change = error(1e-3)
        assert wrong < 0.02 * change  # of the sample alone it would be some 1 / sqrt(600)
        assert error(5e-4)[0] == pytest.approx(wrong / 4, rel=0.1)  # of second order


def test_a_sample_that_misleads_is_left(monkeypatch):
    X = clusters(4, 400_000)
    monkeypatch.setattr(certificate_module, "_LEAST_GAIN", np.inf)
    heard = []
    quick = fit_mixture(
        X, 3, gap=1e-7, tol=1e-9, init=X[:3], callback=lambda i, value: heard.append(value)
    )
    full = fit_mixture(X, 3, gap=0.0, tol=1e-9, init=X[:3])
    assert full.history[-1] - quick.history[-1] < 1e-5
    assert np.diff(quick.history).min() > -1e-12
    assert quick.certificate.full_passes == quick.n_iter + 1 > len(quick.history)
    assert heard[-1] == quick.history[-1]


def test_too_many_parameters_for_a_sample():
    X = clusters(5, 330_000, 30)
    options = {"covariance_type": "full", "max_iter": 1}
    with pytest.warns(UserWarning, match="did not converge"):
        found = fit_mixture(X, 9, **options)  # 4472 parameters, a sample of 33 000 rows
    assert found.certificate is None
