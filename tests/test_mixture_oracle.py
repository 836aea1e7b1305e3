"""Densities, posteriors, statistics and EM steps against the plain NumPy of naive.py."""

import itertools

import naive
import numpy as np
import pytest

from gmmseg.errors import ConvergenceWarning
from gmmseg.mixture import Mixture, accumulate, fit_mixture
from gmmseg.mixture import rows as rows_module

TYPES = naive.TYPES
FEATURES = (1, 2, 3, 4, 5, 8, 9, 13, 16, 33)  # unrolled, in registers or not, tiled, padded
COMPONENTS = {1: 7, 2: 10, 3: 3, 4: 2, 5: 6, 8: 4, 9: 5, 13: 1, 16: 8, 33: 9}


def random_mixture(rng, n_components, n_features, covariance_type):
    """Parameters of a mixture whose components overlap, in some arbitrary units."""
    d, k = n_features, n_components
    factors = rng.normal(size=(k, d, d)) / np.sqrt(d)
    full = factors @ factors.transpose(0, 2, 1) + 0.5 * np.eye(d)
    diagonal, sphere = rng.uniform(0.3, 3.0, (k, d)), rng.uniform(0.3, 3.0, k)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": diagonal,
        "spherical": sphere,
        "tied_diag": diagonal[0],
        "tied_spherical": sphere[0],
    }[covariance_type]
    return Mixture(
        weights=rng.dirichlet(np.full(k, 3.0)),
        means=rng.normal(size=(k, d)) * 2.0 / np.sqrt(d) + 5.0,
        covariances=covariances,
        covariance_type=covariance_type,
    )


def parameters(mixture):
    return mixture.weights, mixture.means, mixture.covariances, mixture.covariance_type


def rows_of(mixture, n, rng, dtype=np.float64):
    """Rows from the mixture, some of them far out."""
    X, _ = mixture.sample(n, rng)
    X[::7] = mixture.means.mean(axis=0) + 3.0 * (X[::7] - mixture.means.mean(axis=0))
    return X.astype(dtype)


def check_rows(mixture, X, weights, *, relative, posterior_error):
    """Compare all that a pass over rows gives with the oracle."""
    expected = naive.log_density(X, *parameters(mixture))
    np.testing.assert_allclose(mixture.log_density(X), expected, rtol=relative, atol=relative)
    posterior = mixture.posterior(X)
    wanted = naive.posterior(X, *parameters(mixture))
    np.testing.assert_allclose(posterior, wanted, rtol=0, atol=posterior_error)
    sure = np.sort(wanted, axis=1)[:, -1:] - wanted > 10 * posterior_error
    sure = sure.sum(axis=1) == mixture.n_components - 1
    assert (mixture.predict(X)[sure] == wanted.argmax(axis=1)[sure]).all()
    np.testing.assert_allclose(
        mixture.log_likelihood(X, weights),
        naive.log_likelihood(X, *parameters(mixture), weights),
        rtol=relative,
    )


def check_step(mixture, X, weights, *, relative):
    """Compare one EM step by statistics with the oracle's."""
    ridge = np.linspace(0.1, 0.2, mixture.n_features)
    statistics = accumulate(X, weights, mixture)
    after = statistics.m_step(mixture, ridge)
    expected = naive.em_step(X, *parameters(mixture), weights, ridge)
    scale = 1.0 + np.abs(X).max()
    np.testing.assert_allclose(after.weights, expected[0], rtol=relative, atol=relative / 10)
    np.testing.assert_allclose(after.means, expected[1], rtol=0, atol=relative * scale)
    np.testing.assert_allclose(after.covariances, expected[2], rtol=0, atol=relative * scale**2)
    np.testing.assert_allclose(
        statistics.log_likelihood,
        naive.log_likelihood(X, *parameters(mixture), weights),
        rtol=relative,
    )
    assert statistics.weight == pytest.approx(len(X) if weights is None else weights.sum())


def check_all(n, n_components, n_features, covariance_type, dtype, weighted):
    rng = np.random.default_rng([n, n_components, n_features])
    mixture = random_mixture(rng, n_components, n_features, covariance_type)
    X = rows_of(mixture, n, rng, dtype)
    weights = rng.integers(0, 4, n) * rng.uniform(0.5, 1.5, n) if weighted else None
    if dtype == np.float64:
        check_rows(mixture, X, weights, relative=1e-10, posterior_error=1e-10)
        check_step(mixture, X, weights, relative=1e-10)
    else:
        # rows three times as far out as they should be: squared distances are some 10 n_features
        error = 1e-5 * max(1.0, n_features / 16)
        check_rows(mixture, X, weights, relative=1e-5, posterior_error=error)
        check_step(mixture, X, weights, relative=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_features", FEATURES)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_every_kernel_agrees_with_the_oracle(covariance_type, n_features, dtype):
    for n, weighted in ((1500, False), (700, True)):
        check_all(n, COMPONENTS[n_features], n_features, covariance_type, dtype, weighted)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_every_number_of_components_agrees_with_the_oracle(covariance_type, dtype):
    for n_features, k in itertools.product(FEATURES, range(1, 11)):
        for n, weighted in ((997, False), (997, True), (300, True)):
            check_all(n, k, n_features, covariance_type, dtype, weighted)


@pytest.mark.parametrize("n", [2, 15, 511, 512, 513, 1024, 16384, 16385, 40000])
def test_blocks_and_groups_of_any_size(n):
    check_all(n, 3, 3, "full", np.float64, True)
    check_all(n, 3, 3, "full", np.float32, False)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_one_row(covariance_type):
    rng = np.random.default_rng(0)
    mixture = random_mixture(rng, 3, 3, covariance_type)
    check_rows(mixture, rng.normal(5, 1, (1, 3)), None, relative=1e-10, posterior_error=1e-10)


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "every other column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "list": lambda X: X.tolist(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts_give_the_same_bits(layout):
    rng = np.random.default_rng(4)
    mixture = random_mixture(rng, 3, 3, "full")
    X = rows_of(mixture, 1000, rng)
    other = LAYOUTS[layout](X)
    assert (mixture.posterior(other) == mixture.posterior(X)).all()
    assert (mixture.predict(other) == mixture.predict(X)).all()
    assert (accumulate(other, None, mixture).second == accumulate(X, None, mixture).second).all()
    a, b = fit_mixture(other, 2), fit_mixture(X, 2)
    assert (a.mixture.covariances == b.mixture.covariances).all()


def test_read_only_and_memory_mapped_rows(tmp_path):
    rng = np.random.default_rng(4)
    mixture = random_mixture(rng, 3, 3, "full")
    X = rows_of(mixture, 1000, rng, np.float32)
    np.save(tmp_path / "X.npy", X)
    X.setflags(write=False)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    expected = fit_mixture(X, 2)
    assert (fit_mixture(mapped, 2).mixture.means == expected.mixture.means).all()
    assert (mixture.posterior(mapped) == mixture.posterior(X)).all()


def test_rows_are_never_written_to():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(800, 3))
    weights = rng.uniform(size=800)
    before, weights_before = X.copy(), weights.copy()
    fit = fit_mixture(X, 2, sample_weight=weights)
    fit.mixture.posterior(X)
    assert (before == X).all()
    assert (weights_before == weights).all()


SINGLE = ("bool", "i1", "u1", "i2", "u2", "f2", "f4", ">i2", ">f4")  # exact in float32
DOUBLE = ("i4", "u4", "i8", "u8", "f8", "g", ">f8")


@pytest.mark.parametrize("dtype", SINGLE + DOUBLE)
def test_every_real_type(dtype):
    rng = np.random.default_rng(8)
    values = rng.integers(0, 2 if dtype == "bool" else 120, (1200, 2))
    X = values.astype(dtype)
    single = dtype in SINGLE
    mixture = fit_mixture(X, 2, max_iter=3, tol=10.0).mixture
    tolerance = 1e-5 if single else 1e-10
    assert mixture.posterior(X).dtype == (np.float32 if single else np.float64)
    check_rows(mixture, X, None, relative=tolerance, posterior_error=tolerance)
    check_step(mixture, values.astype(float), None, relative=1e-10)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_several_steps_of_a_fit_agree_with_the_oracle(covariance_type):
    rng = np.random.default_rng(11)
    start = random_mixture(rng, 3, 3, covariance_type)
    X = rows_of(start, 900, rng)
    weights = rng.uniform(0, 3, 900)
    expected = parameters(start)
    for _ in range(5):
        expected = (*naive.em_step(X, *expected, weights), covariance_type)
    with pytest.warns(ConvergenceWarning):
        fit = fit_mixture(
            X, 3, init=start, covariance_type=covariance_type, sample_weight=weights, tol=0.0,
            max_iter=5, reg_covar=0.0, accelerate=False,
        )  # fmt: skip
    np.testing.assert_allclose(fit.mixture.weights, expected[0], rtol=1e-10)
    np.testing.assert_allclose(fit.mixture.means, expected[1], rtol=1e-10)
    np.testing.assert_allclose(fit.mixture.covariances, expected[2], rtol=0, atol=1e-10)


def test_rows_read_in_pieces_give_the_same_bits(monkeypatch):
    rng = np.random.default_rng(3)
    mixture = random_mixture(rng, 3, 3, "full")
    X = rows_of(mixture, 50000, rng, np.float32)
    weights = rng.uniform(0, 2, len(X))
    copied = fit_mixture(X, 3, sample_weight=weights)
    monkeypatch.setattr(rows_module, "_LARGEST_COPY", 0)
    read = fit_mixture(X, 3, sample_weight=weights)
    assert (copied.mixture.means == read.mixture.means).all()
    assert (copied.mixture.covariances == read.mixture.covariances).all()
    assert copied.history == read.history
