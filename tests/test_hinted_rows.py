"""EM with rows of known classes: against NumPy, and what must not matter to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmseg.errors import InvalidDataError
from gmmseg.mixture import EMOptions, Mixture
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.em import fit_rows
from gmmseg.mixture.expectation import e_step, log_certainty
from gmmseg.mixture.hinted import HintedRows, Hints
from gmmseg.mixture.rows import Frame


def rows_and_classes(n=600, d=2, k=3, seed=0, spread=4.0):
    """Rows of overlapping clusters, and the cluster of each from 1."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(1, k + 1, n)
    centres = rng.normal(0, spread, (k + 1, d))
    return centres[classes] + rng.normal(0, 1 + 0.3 * classes[:, None], (n, d)), classes


def some(classes, share=0.3, seed=1):
    """The classes of some rows, 0 for the others."""
    return np.where(np.random.default_rng(seed).random(len(classes)) < share, classes, 0)


def mixture_of(X, k, kind, seed=0):
    rng = np.random.default_rng(seed)
    d = X.shape[1]
    covariances = COVARIANCE_TYPES[kind].estimate(
        np.tile(np.cov(X.T, bias=True).reshape(d, d), (k, 1, 1))
        if COVARIANCE_TYPES[kind].is_matrix
        else np.tile(X.var(axis=0), (k, 1)),
        np.ones(k),
        float(k),
        np.zeros(d),
    )
    return Mixture(
        weights=rng.dirichlet(np.ones(k)),
        means=X[rng.choice(len(X), k, replace=False)],
        covariances=covariances,
        covariance_type=kind,
    )


def expected_responsibilities(X, mixture, hints):
    """Responsibilities, and the log-likelihood of rows and hints, by their definition."""
    joint = np.stack(
        [
            weight * np.exp(naive_log_density(X, mean, covariance))
            for weight, mean, covariance in zip(
                mixture.weights, mixture.means, mixture.full_covariances, strict=True
            )
        ],
        axis=1,
    )
    allowed = (hints.of_rows[:, None] == 0) | (
        hints.of_rows[:, None] == np.array(hints.labels)[None]
    )
    joint = joint * allowed
    total = joint.sum(axis=1, keepdims=True)
    return joint / total, np.log(total[:, 0])


def naive_log_density(X, mean, covariance):
    delta = X - mean
    squared = np.einsum("nd,de,ne->n", delta, np.linalg.inv(covariance), delta)
    log_det = np.linalg.slogdet(2 * np.pi * covariance)[1]
    return -0.5 * (squared + log_det)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("labels", [(1, 2, 3), (1, 2, 1, 3, 3)])
def test_the_sums_are_those_of_fixed_responsibilities(kind, d, labels):
    X, classes = rows_and_classes(d=d)
    hints = Hints(some(classes), labels)
    mixture = mixture_of(X, len(labels), kind)
    weights = np.random.default_rng(2).integers(0, 4, len(X)).astype(float)
    rows = HintedRows.of(X, weights, Frame.identity(d), hints)
    with Workers(2) as workers:
        found = e_step(rows, mixture, workers)
        total, certainty = log_certainty(rows, mixture, workers)
    resp, logs = expected_responsibilities(X, mixture, hints)
    share = resp * weights[:, None]
    np.testing.assert_allclose(found.nk, share.sum(axis=0), rtol=1e-9)
    delta = X[:, None, :] - mixture.means
    np.testing.assert_allclose(found.first, np.einsum("nk,nkd->kd", share, delta), atol=1e-8)
    outer = np.einsum("nk,nkd,nke->kde", share, delta, delta)
    second = outer if found.second.ndim == 3 else np.diagonal(outer, axis1=1, axis2=2)
    np.testing.assert_allclose(found.second, second, rtol=1e-8, atol=1e-8)
    assert found.log_likelihood == pytest.approx(weights @ logs, rel=1e-10)
    assert total == pytest.approx(weights @ logs, rel=1e-10)
    assert certainty == pytest.approx(weights @ np.log(resp.max(axis=1)), rel=1e-8)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_hints_everywhere_give_the_moments_of_the_classes(kind):
    X, classes = rows_and_classes(d=3)
    fit = fit_rows(
        X, 3, EMOptions(covariance_type=kind, reg_covar=0.0), known=Hints(classes, (1, 2, 3))
    )
    parts = [X[classes == j] for j in (1, 2, 3)]
    shares = np.array([len(part) for part in parts]) / len(X)
    np.testing.assert_allclose(fit.mixture.weights, shares, rtol=1e-12)
    np.testing.assert_allclose(fit.mixture.means, [p.mean(axis=0) for p in parts], rtol=1e-9)
    covariances = np.stack([np.cov(part.T, bias=True) for part in parts])
    if kind.startswith("tied"):
        covariances = np.tile(np.einsum("k,kde->de", shares, covariances), (3, 1, 1))
    if kind.endswith(("diag", "spherical")):
        covariances = covariances * np.eye(3)
    if kind.endswith("spherical"):
        means = np.trace(covariances, axis1=1, axis2=2) / 3
        covariances = means[:, None, None] * np.eye(3)
    np.testing.assert_allclose(fit.mixture.full_covariances, covariances, atol=1e-9)


@given(seed=st.integers(0, 1000), share=st.floats(0.01, 0.9), prior=st.sampled_from([0.0, 1.0]))
def test_the_likelihood_of_rows_and_hints_never_falls(seed, share, prior):
    X, classes = rows_and_classes(n=300, seed=seed, spread=2.0)
    given_hints = some(classes, share, seed)
    options = EMOptions(tol=1e-7, max_iter=300, prior=prior)
    fit = fit_rows(X, 4, options, known=Hints(given_hints, (1, 2, 3, 4)))
    assert (np.diff(fit.history) > -1e-8).all()  # the ridge: a step is not the exact maximum
    if prior == 0:
        logs = expected_responsibilities(X, fit.mixture, Hints(given_hints, (1, 2, 3, 4)))[1]
        assert fit.log_likelihood == pytest.approx(logs.sum(), rel=1e-7)


def test_other_numbers_of_the_classes_give_other_numbers_and_nothing_else():
    X, classes = rows_and_classes(n=2000)
    hints = some(classes, 0.05)
    options = EMOptions(tol=1e-10, max_iter=500)
    one = fit_rows(X, 3, options, known=Hints(hints, (1, 2, 3))).mixture
    new = np.array([0, 3, 1, 2])
    other = fit_rows(X, 3, options, known=Hints(new[hints], (1, 2, 3))).mixture
    order = new[1:] - 1
    np.testing.assert_allclose(other.means[order], one.means, atol=1e-6)
    np.testing.assert_allclose(other.weights[order], one.weights, atol=1e-7)


def test_a_component_is_the_class_of_its_hints_and_others_are_free():
    X, classes = rows_and_classes(n=3000, k=4, seed=3, spread=9.0)
    hints = np.where((classes == 2) & (np.arange(len(X)) < 200), 3, 0)
    mixture = fit_rows(X, 4, EMOptions(), known=Hints(hints, (1, 2, 3, 4))).mixture
    np.testing.assert_allclose(mixture.means[2], X[classes == 2].mean(axis=0), atol=0.2)
    found = mixture.predict(X) + 1
    for j in range(1, 5):
        assert np.bincount(found[classes == j]).max() > 0.9 * (classes == j).sum()
    assert (np.sort([np.median(found[classes == j]) for j in range(1, 5)]) == [1, 2, 3, 4]).all()


def test_counts_equal_repeated_rows():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 30, (400, 2)).astype(np.float32)
    hints = rng.integers(0, 3, 400) * (rng.random(400) < 0.2)
    counts = rng.integers(1, 5, 400)
    options = EMOptions(tol=1e-9, max_iter=400)
    one = fit_rows(X, 2, options, sample_weight=counts, known=Hints(hints, (1, 2)))
    many = fit_rows(
        np.repeat(X, counts, axis=0), 2, options, known=Hints(np.repeat(hints, counts), (1, 2))
    )
    assert one.log_likelihood == pytest.approx(many.log_likelihood, rel=1e-6)
    np.testing.assert_allclose(one.mixture.means, many.mixture.means, atol=5e-3)


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_rows_with_gaps_may_have_hints(kind):
    X, classes = rows_and_classes(n=900, d=3, spread=6.0)
    missing = np.random.default_rng(4).random(X.shape) < 0.15
    gapped = np.where(missing, np.nan, X)
    few = Hints(some(classes), (1, 2, 3))
    fit = fit_rows(gapped, 3, EMOptions(covariance_type=kind), known=few)
    assert (np.diff(fit.history) > -1e-9).all()
    for j in (1, 2, 3):
        np.testing.assert_allclose(fit.mixture.means[j - 1], X[classes == j].mean(0), atol=0.3)
    some_row = ~missing.all(axis=1)
    all_hints = Hints(classes, (1, 2, 3))
    whole = fit_rows(gapped, 3, EMOptions(covariance_type=kind, tol=1e-9), known=all_hints)
    shares = np.bincount(classes[some_row])[1:] / some_row.sum()
    np.testing.assert_allclose(whole.mixture.weights, shares, rtol=1e-9)


def test_the_result_does_not_depend_on_threads():
    X, classes = rows_and_classes(n=100_000)
    hints = Hints(some(classes, 0.2), (1, 2, 3))
    one, two = (fit_rows(X, 3, EMOptions(), known=hints, threads=n).mixture for n in (1, 2))
    np.testing.assert_array_equal(one.means, two.means)
    np.testing.assert_array_equal(one.covariances, two.covariances)


@pytest.mark.slow
def test_a_sample_keeps_every_hint():
    X, classes = rows_and_classes(n=400_000)
    hints = np.zeros(len(X), int)
    hints[::40_000] = classes[::40_000]
    hints[:3] = [1, 2, 3]
    classes[:3] = [1, 2, 3]
    fit = fit_rows(X.astype(np.float32), 3, EMOptions(), known=Hints(hints, (1, 2, 3)))
    assert fit.certificate is not None
    exact = fit_rows(X.astype(np.float32), 3, EMOptions(gap=0.0), known=Hints(hints, (1, 2, 3)))
    assert fit.log_likelihood / len(X) == pytest.approx(exact.log_likelihood / len(X), abs=1e-3)


def test_a_free_class_needs_rows_without_a_hint():
    X, classes = rows_and_classes()
    with pytest.raises(InvalidDataError, match=r"every row has a hint, but of 1 of the 4 comp"):
        fit_rows(X, 4, EMOptions(), known=Hints(classes, (1, 2, 3, 4)))
