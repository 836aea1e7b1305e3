"""Smoothing against pixels updated one by one, and what must not matter to it."""

import naive_field as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmseg import SmoothingOptions, smooth
from gmmseg.errors import InvalidDataError, InvalidParameterError, ModelFormatError
from gmmseg.lattice import Lattice, Prior
from gmmseg.mixture._threads import Workers


def posterior(shape, k=3, seed=0):
    p = np.random.default_rng(seed).dirichlet(np.ones(k), shape)
    return np.ascontiguousarray(np.moveaxis(p, -1, 0), np.float32)


def pattern(shape, seed=0):
    used = np.random.default_rng(seed).random(shape) > 0.3
    used.flat[0] = True
    return used


def options(**chosen):
    return SmoothingOptions(**{"beta": 0.7, "sweeps": 3, "tol": 0.0, **chosen})


GRIDS = [
    ((9, 13), 8, (1.0, 1.0)),
    ((8, 70), 4, (1.0, 2.0)),
    ((7, 133), 8, (2.0, 1.0)),
    ((1, 9), 8, (1.0, 1.0)),
    ((5, 1), 4, (1.0, 1.0)),
    ((3, 8, 9), 26, (3.0, 1.0, 1.5)),
    ((4, 5, 67), 18, (1.0, 1.0, 1.0)),
    ((2, 9, 8), 6, (1.0, 2.0, 3.0)),
    ((5, 3, 1), 26, (1.0, 1.0, 1.0)),
]


@pytest.mark.parametrize(("shape", "neighbours", "spacing"), GRIDS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("contrast", [0.0, 1.5])
@pytest.mark.parametrize("method", ["mean-field", "icm"])
def test_sweeps_are_those_of_pixels_one_by_one(
    shape, neighbours, spacing, masked, contrast, method
):
    p = posterior(shape)
    used = pattern(shape) if masked else np.ones(shape, bool)
    guide = np.random.default_rng(1).random((2, *shape)).astype(np.float32)
    ties = naive.offsets(len(shape), neighbours, spacing)
    edge = naive.edges(guide, used, ties, contrast) if contrast else naive.no_edges
    logs = np.log(p.astype(float))
    q = p * used / p.sum(axis=0, dtype=float)
    hard = method == "icm"
    if hard:
        naive.sweep(logs, q, used, ties, 0.0, hard=True)
    for _ in range(3):
        naive.sweep(logs, q, used, ties, 0.7, edge, hard)
    found = smooth(
        np.where(used, p, np.nan),
        options(neighbours=neighbours, contrast=contrast, method=method),
        mask=used,
        spacing=spacing,
        guide=guide,
    )
    assert found.n_sweeps == 3
    np.testing.assert_allclose(found.probabilities, q, atol=3e-6, rtol=0)


def test_strong_evidence_is_not_cut_off():
    """Odds of 2**-100 outweigh neighbours that pull with less, although 2**-90 would not."""
    p = np.full((2, 3, 3, 3), 0.5, np.float32)
    p[:, 1, 1, 1] = [1e-30, 1.0]
    p[0] = np.where(p[0] == 0.5, 1.0, p[0])
    p[1] = np.where(p[1] == 0.5, 0.0, p[1])
    weak = smooth(p, options(beta=3.4)).probabilities[1, 1, 1, 1]
    strong = smooth(p, options(beta=3.8)).probabilities[1, 1, 1, 1]
    pulls = sum(weight for _, weight in naive.offsets(3, 26, (1, 1, 1)))
    assert 3.4 * pulls < -np.log(1e-30) < 3.8 * pulls
    assert weak > 0.9
    assert strong < 0.1


@given(seed=st.integers(0, 99), k=st.integers(1, 5))
def test_no_strength_leaves_the_posterior(seed, k):
    p = posterior((6, 7), k, seed)
    found = smooth(p, options(beta=0.0)).probabilities
    np.testing.assert_allclose(found, p / p.sum(axis=0), atol=2e-7)


@given(seed=st.integers(0, 99), data=st.data())
def test_order_of_the_classes_does_not_matter(seed, data):
    p = posterior((6, 7), 4, seed)
    order = data.draw(st.permutations(range(4)))
    found = smooth(p, options()).probabilities[order]
    np.testing.assert_allclose(smooth(p[order], options()).probabilities, found, atol=2e-6)


@given(seed=st.integers(0, 99), factor=st.floats(0.01, 100), axes=st.sampled_from([2, 3]))
def test_the_unit_of_the_spacing_does_not_matter(seed, factor, axes):
    p = posterior((5, 6, 7)[:axes], 3, seed)
    spacing = np.array([3.0, 1.0, 1.5][:axes])
    found = smooth(p, options(), spacing=spacing * factor).probabilities
    np.testing.assert_allclose(found, smooth(p, options(), spacing=spacing).probabilities, 0, 2e-6)


@given(seed=st.integers(0, 99))
def test_images_of_odd_sizes_may_be_flipped_at_any_time(seed):
    p = posterior((7, 9), 3, seed)
    found = smooth(p, options()).probabilities
    for flip in np.s_[:, ::-1], np.s_[:, :, ::-1]:
        other = smooth(p[flip], options()).probabilities
        np.testing.assert_allclose(other, found[flip], atol=2e-6)


@settings(max_examples=20)
@given(seed=st.integers(0, 99))
def test_at_rest_orientation_does_not_matter(seed):
    p = posterior((6, 8), 3, seed)
    until_rest = options(beta=0.15, sweeps=200, tol=1e-7)
    found = smooth(p, until_rest).probabilities
    for turned, back in (
        (p[:, ::-1], np.s_[:, ::-1]),
        (p[:, :, ::-1], np.s_[:, :, ::-1]),
    ):
        np.testing.assert_allclose(smooth(turned, until_rest).probabilities[back], found, 0, 1e-5)
    across = smooth(p.transpose(0, 2, 1), until_rest).probabilities.transpose(0, 2, 1)
    np.testing.assert_allclose(across, found, atol=1e-5)


@given(seed=st.integers(0, 99), filling=st.floats(0, 1))
def test_pixels_that_are_not_used_do_not_matter(seed, filling):
    p, used = posterior((6, 7), 3, seed), pattern((6, 7), seed)
    found = smooth(p, options(), mask=used).probabilities
    other = smooth(np.where(used, p, np.float32(filling)), options(), mask=used).probabilities
    np.testing.assert_array_equal(found, other)
    assert (found[:, ~used] == 0).all()
    np.testing.assert_allclose(found[:, used].sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("shape", [(301, 1200), (6, 40, 50)])
@pytest.mark.parametrize("beta", [1.0, "auto"])
def test_bits_do_not_depend_on_threads(shape, beta):
    p = posterior(shape)
    chosen = options(beta=beta, contrast=1.0)
    one, many = (smooth(p, chosen, mask=pattern(shape), guide=p, threads=n) for n in (1, 5))
    assert one.beta == many.beta
    np.testing.assert_array_equal(one.probabilities, many.probabilities)


@pytest.mark.parametrize("shape", [(37, 21), (7, 9, 21)])
@pytest.mark.parametrize("masked", [False, True])
def test_bits_do_not_depend_on_the_size_of_tasks(shape, masked, monkeypatch):
    p = posterior(shape)
    mask = pattern(shape) if masked else None
    whole = smooth(p, options(), mask=mask, threads=3).probabilities
    for pixels in (1, 100, 250):
        monkeypatch.setattr("gmmseg.lattice._TASK", pixels)
        found = smooth(p, options(), mask=mask, threads=3).probabilities
        np.testing.assert_array_equal(found, whole)


@settings(max_examples=20)
@given(seed=st.integers(0, 99), beta=st.floats(0.1, 4), neighbours=st.sampled_from([4, 8]))
def test_the_free_energy_never_rises(seed, beta, neighbours):
    """Even under ties so strong that updates of all pixels at once would swing to and fro."""
    p = posterior((7, 8), 3, seed)
    ties = naive.offsets(2, neighbours, (1, 1))
    used = np.ones((7, 8), bool)
    energies = [
        naive.free_energy(
            np.log(p.astype(float)),
            smooth(p, options(beta=beta, neighbours=neighbours, sweeps=n)).probabilities,
            used,
            ties,
            beta,
        )
        for n in range(1, 8)
    ]
    assert (np.diff(energies) <= 1e-5 * np.abs(energies[1:])).all()


def test_more_contrast_keeps_more_edges():
    guide = np.zeros((1, 20, 20), np.float32)
    guide[0, :, 10:] = 1
    p = np.where(guide > 0, 0.45, 0.55) + np.zeros((2, 1, 1))
    p[1] = 1 - p[0]
    p[:, :, 9] = 0.5
    alone = smooth(p, options(beta=0.5, sweeps=20, contrast=30.0), guide=guide).probabilities
    assert (alone[0, :, :10] > 0.7).all()
    assert (alone[0, :, 10:] < 0.3).all()
    tied = smooth(p, options(beta=0.5, sweeps=20)).probabilities
    assert (tied[0, :, 9] < alone[0, :, 9]).all()


def test_sweeps_end_at_rest():
    p = posterior((40, 40))
    found = smooth(p, options(sweeps=500, tol=1e-4))
    assert found.converged
    assert found.n_sweeps < 500
    assert not smooth(p, options(sweeps=1, tol=1e-9)).converged


# Estimation of beta


def test_pseudo_likelihood_has_its_derivatives_and_shares():
    p, used = posterior((6, 9)), pattern((6, 9))
    q = (p * used)[:, None]
    q /= np.where(q.sum(axis=0) > 0, q.sum(axis=0), 1)
    weights = np.array([0.5, 0.3, 0.2])
    ties = naive.offsets(2, 8, (1, 2))

    def exact(beta):
        return naive.log_pseudo_likelihood(q[:, 0].astype(float), used, ties, weights, beta)

    with Workers(2) as workers:
        lattice = Lattice((6, 9), workers, mask=used, spacing=(1, 2))
        found = lattice.expectations(q, weights, Prior(beta=0.4, field=np.zeros(3, np.float32)))
    step = 1e-3
    assert found.slope == pytest.approx((exact(0.4 + step) - exact(0.4 - step)) / 2 / step, 1e-4)
    curvature = (exact(0.4 + step) - 2 * exact(0.4) + exact(0.4 - step)) / step**2
    assert found.curvature == pytest.approx(curvature, 1e-3)
    np.testing.assert_allclose(found.shares, q.sum(axis=(1, 2, 3)), rtol=1e-5)
    assert found.expected.sum() == pytest.approx(used.sum(), 1e-5)


def potts(beta, k, size, rng):
    """A sample of the Potts model with 8 neighbours, by Gibbs sampling colour by colour."""
    z = rng.integers(0, k, (size, size))
    rows, columns = np.indices(z.shape)
    for _ in range(60):
        for colour in range(4):
            ones = np.pad(np.eye(k)[z], ((1, 1), (1, 1), (0, 0)))
            pull = np.zeros((size, size, k))
            for (dy, dx), weight in naive.offsets(2, 8, (1, 1)):
                pull += weight * ones[1 + dy : size + 1 + dy, 1 + dx : size + 1 + dx]
            p = np.exp(beta * pull)
            p /= p.sum(axis=-1, keepdims=True)
            drawn = (rng.random((size, size, 1)) > p.cumsum(axis=-1)).sum(axis=-1).clip(0, k - 1)
            z = np.where((rows % 2 == colour // 2) & (columns % 2 == colour % 2), drawn, z)
    return z


@pytest.mark.parametrize("beta", [0.3, 0.5, 0.7])
def test_beta_is_found_again(beta):
    rng = np.random.default_rng(0)
    z = potts(beta, 2, 128, rng)
    x = z + rng.normal(0, 0.25, z.shape)
    density = np.stack([np.exp(-((x - k) ** 2) / (2 * 0.25**2)) for k in range(2)])
    found = smooth(density / density.sum(axis=0), SmoothingOptions(beta="auto"))
    assert found.beta == pytest.approx(beta, abs=0.06)


@pytest.mark.parametrize("shape", [(1, 1), (6, 6)])
def test_beta_of_hopeless_images_is_a_number(shape):
    for p in (np.full((2, *shape), 0.5), np.stack([np.ones(shape), np.zeros(shape)])):
        found = smooth(p, SmoothingOptions(beta="auto"))
        assert 0 <= found.beta <= 5
        assert np.isfinite(found.probabilities).all()


# Rules


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"beta": -1}, "beta must be at least 0, got -1"),
        ({"beta": "much"}, "beta must be a number or 'auto', got 'much'"),
        ({"beta": None}, "beta must be a number, got None"),
        ({"neighbours": 5}, "neighbours must be one of 4, 6, 8, 18, 26, got 5"),
        ({"neighbours": 8.0}, "neighbours must be a whole number, got 8.0"),
        ({"sweeps": 0}, "sweeps must be at least 1, got 0"),
        ({"tol": -1}, "tol must be at least 0, got -1"),
        ({"contrast": float("nan")}, "contrast must be finite, got nan"),
        ({"method": "gibbs"}, "method must be one of 'mean-field', 'icm', got 'gibbs'"),
        ({"inside": 1}, "inside must be True or False, got 1"),
    ],
)
def test_options_have_rules(wrong, message):
    with pytest.raises(InvalidParameterError, match=message):
        SmoothingOptions(**wrong)


def test_options_go_through_plain_values():
    chosen = SmoothingOptions(beta="auto", neighbours=18, contrast=0.5, method="icm", inside=True)
    assert SmoothingOptions.from_dict(chosen.to_dict()) == chosen
    for values, message in (
        ([], "smoothing must be an object, got list"),
        ({"beta": 1.0}, "the entry 'contrast' is missing"),
        (chosen.to_dict() | {"alpha": 1}, "the entry 'alpha' is not known"),
        (chosen.to_dict() | {"beta": -1}, "smoothing: beta must be at least 0"),
    ):
        with pytest.raises(ModelFormatError, match=message):
            SmoothingOptions.from_dict(values)


def test_data_have_rules():
    p = posterior((4, 5))
    with pytest.raises(InvalidDataError, match=r"posterior must be \(classes, rows, cols\)"):
        smooth(p[0], options())
    with pytest.raises(InvalidDataError, match="posterior must be finite and not negative"):
        smooth(-p, options())
    with pytest.raises(InvalidDataError, match=r"mask must have the image's shape \(4, 5\)"):
        smooth(p, options(), mask=np.ones((5, 4)))
    with pytest.raises(InvalidDataError, match="guide must have the posterior's spatial shape"):
        smooth(p, options(contrast=1.0), guide=p[:, :3])
    with pytest.raises(InvalidParameterError, match="contrast needs a guide"):
        smooth(p, options(contrast=1.0))
    with pytest.raises(InvalidParameterError, match="neighbours must be 4 or 8 in 2 dimensions"):
        smooth(p, options(neighbours=26))
    with pytest.raises(InvalidParameterError, match="spacing must be one number or one for each"):
        smooth(p, options(), spacing=(1, 2, 3))
