"""The kernels by themselves: elementary functions on dense grids, clusters, ties, far rows."""

import naive
import numpy as np
import pytest

from gmmseg.mixture import Mixture, _kernels, rows
from gmmseg.mixture._jit import kernel
from gmmseg.mixture._kernels import exp2, lloyd_pass, log2
from gmmseg.mixture.seeding import lloyd_space


@kernel
def exp2_of(x, out):
    for i in range(x.size):
        out[i] = exp2(x[i])


@kernel
def log2_of(x, out):
    for i in range(x.size):
        out[i] = log2(x[i])


def applied(function, x):
    out = np.empty_like(x)
    function(x, out)
    return out


def relative_error(actual, exact):
    """In long double, so that the reference does not round as coarsely as what it judges."""
    return np.abs((actual.astype(np.longdouble) - exact) / exact).max()


@pytest.mark.parametrize(("dtype", "lowest", "bound"), [("f4", -90, 1.2e-7), ("f8", -900, 4e-16)])
def test_exp2_is_accurate(dtype, lowest, bound):
    rng = np.random.default_rng(0)
    grids = (
        np.linspace(lowest, 0, 200_001),
        np.linspace(-2, 0, 200_001),
        np.arange(lowest, 1) + 0.0,
        np.arange(lowest, 0) + 0.5,
        -np.exp2(rng.uniform(-100, 6, 50_000)),
    )
    x = np.concatenate(grids).astype(dtype)
    exact = np.exp2(x.astype(np.longdouble))
    assert relative_error(applied(exp2_of, x), exact) <= bound


@pytest.mark.parametrize(("dtype", "lowest"), [("f4", -90), ("f8", -900)])
def test_exp2_of_extremes_is_a_tiny_number_never_an_accident(dtype, lowest):
    x = np.array([lowest, lowest - 0.4, lowest - 0.6, 2 * lowest, -1e30, -np.inf], dtype=dtype)
    assert (applied(exp2_of, x) == np.exp2(float(lowest))).all()
    assert applied(exp2_of, np.array([0.0, -0.0, -1.0], dtype=dtype)).tolist() == [1.0, 1.0, 0.5]


@pytest.mark.parametrize(("dtype", "bound"), [("f4", 2e-7), ("f8", 4e-16)])
def test_log2_is_accurate(dtype, bound):
    """The error relative to the larger of the logarithm and 1: it is added to a log density."""
    rng = np.random.default_rng(0)
    grids = (
        np.linspace(1, 4, 200_001),
        np.linspace(1, 300, 200_001),
        1 + np.exp2(rng.uniform(-52, 0, 50_000)),
        np.exp2(np.arange(0, 120, 0.25)),
        np.exp2(np.arange(-120, 0, 0.25)),
    )
    x = np.concatenate(grids).astype(dtype)
    exact = np.log2(x.astype(np.longdouble))
    error = np.abs(applied(log2_of, x).astype(np.longdouble) - exact)
    assert (error / np.maximum(np.abs(exact), 1)).max() <= bound
    assert applied(log2_of, np.array([1, 2, 4, 1024], dtype=dtype)).tolist() == [0, 1, 2, 10]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "n_clusters", "n_features"), [(1, 1, 1), (700, 4, 3), (513, 9, 2)])
def test_lloyd_pass_agrees_with_the_oracle(n, n_clusters, n_features, dtype):
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, n_features)).astype(dtype)
    centres = rng.normal(size=(n_clusters, n_features)).astype(dtype)
    weights = rng.uniform(0, 2, n)
    labels = np.empty(n, np.int32)
    sums = np.zeros((n_clusters, 1 + n_features))
    inertia = np.zeros(1)
    space = lloyd_space(n_features, X.dtype)
    lloyd_pass(np.ascontiguousarray(X.T), weights, centres, space, labels, sums, inertia)
    expected, moved, expected_inertia = naive.lloyd_step(X, centres, weights)
    assert (labels == expected).all()
    filled = sums[:, 0] > 0
    np.testing.assert_allclose((sums[:, 1:] / sums[:, :1])[filled], moved[filled], rtol=1e-10)
    assert inertia[0] == pytest.approx(expected_inertia, rel=1e-6)


def test_lloyd_pass_gives_ties_to_the_first():
    labels, sums, inertia = np.empty(5, np.int32), np.zeros((3, 2)), np.zeros(1)
    space = lloyd_space(1, np.dtype(float))
    lloyd_pass(np.zeros((1, 5)), np.ones(5), np.ones((3, 1)), space, labels, sums, inertia)
    assert labels.tolist() == [0] * 5
    assert sums[:, 0].tolist() == [5, 0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_components_tie_to_the_first(dtype):
    mixture = Mixture(
        weights=[0.25] * 4,
        means=[[0.0], [0.0], [1.0], [1.0]],
        covariances=[1.0] * 4,
        covariance_type="spherical",
    )
    X = np.linspace(-3, 4, 1001)[:, None].astype(dtype)
    assert set(mixture.predict(X)) == {0, 2}
    posterior = mixture.posterior(X)
    assert (posterior[:, 0] == posterior[:, 1]).all()
    assert (mixture.predict(X) == posterior.argmax(axis=1)).all()


@pytest.mark.parametrize("n_components", [2, 256, 257, 300])
def test_labels_have_room_for_every_component(n_components):
    mixture = Mixture(
        weights=np.full(n_components, 1 / n_components),
        means=np.arange(n_components)[:, None],
        covariances=np.full(n_components, 0.01),
        covariance_type="spherical",
    )
    labels = mixture.predict(mixture.means)
    assert labels.dtype == (np.uint8 if n_components <= 256 else np.uint16)
    assert (labels == np.arange(n_components)).all()


def test_rows_and_kernels_mean_the_same_blocks():
    assert (rows.BLOCK, rows._TILE, rows._MOST_IN_REGISTERS, rows._LINE) == (
        _kernels.BLOCK, _kernels.TILE, _kernels.MOST_IN_REGISTERS, _kernels.LINE,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(1, 1024), (5, 3, 1024), (7,)])
def test_blocks_and_work_space_begin_at_lines_of_the_cache(shape, dtype):
    for _ in range(5):  # NumPy's own do now and then
        lines = rows.empty_lines(shape, np.dtype(dtype))
        lines[...] = 1
        assert (lines.shape, lines.dtype) == (shape, np.dtype(dtype))
        assert lines.flags.c_contiguous
        assert lines.ctypes.data % _kernels.LINE == 0
