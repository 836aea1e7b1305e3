"""Prior maps: EM against NumPy, what weights mean, and what is refused."""

import naive
import naive_field
import numpy as np
import pytest

import gmmseg
from gmmseg import EMOptions, FeatureSpec, SegmentOptions, SmoothingOptions
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.image import Image
from gmmseg.io import write_png
from gmmseg.lattice import Lattice, Prior
from gmmseg.mixture import Mixture
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.em import fit_rows
from gmmseg.mixture.expectation import e_step
from gmmseg.mixture.prior_rows import Beliefs, PriorRows
from gmmseg.mixture.rows import Frame
from gmmseg.placement import Placement
from gmmseg.priors import PriorOptions

MEANS = np.array([60.0, 100.0, 140.0])


def stripes(shape=(40, 60), noise=30.0, seed=0):
    """Three stripes of classes that overlap, where they are, and blurred maps of them."""
    truth = np.zeros(shape, int)
    truth[..., 20:], truth[..., 45:] = 1, 2
    values = MEANS[truth] + np.random.default_rng(seed).normal(0, noise, shape)
    kernel = np.exp(-0.5 * (np.arange(-12, 13) / 4) ** 2)
    blur = np.apply_along_axis(
        lambda line: np.convolve(np.pad(line, 12, "edge"), kernel / kernel.sum(), "valid"),
        -1,
        np.moveaxis(np.eye(3)[truth], -1, 0),
    )
    return np.clip(values, 0, 255).astype(np.uint8), truth, blur


def options(weight, **smoothing):
    return SegmentOptions(
        features=FeatureSpec(colour_space="raw"),
        em=EMOptions(tol=1e-9, max_iter=2000),
        smoothing=SmoothingOptions(**smoothing),
        priors=PriorOptions(weight=weight),
    )


def beliefs_of(n, k, weight, seed=0):
    return Beliefs(
        np.random.default_rng(seed).dirichlet(np.ones(k), n).T.astype(np.float32) ** weight, weight
    )


def prior_of(weights, maps):
    """Equation 102, (N, K)."""
    prior = weights * maps.T.astype(float)
    return prior / prior.sum(axis=1, keepdims=True)


def expected(X, mixture, maps):
    """Responsibilities and log densities by their definition."""
    parts = mixture.means, mixture.covariances, mixture.covariance_type
    even = np.ones(len(mixture.means))
    joint = np.exp(naive.component_log_densities(X, even, *parts)) * prior_of(mixture.weights, maps)
    total = joint.sum(axis=1)
    return joint / total[:, None], np.log(total)


def some_mixture(X, k, kind, seed=1):
    rng = np.random.default_rng(seed)
    full = np.stack([np.cov(X.T).reshape(X.shape[1], -1) * (1 + j) for j in range(k)])
    return Mixture(
        weights=rng.dirichlet(np.ones(k)),
        means=X[rng.choice(len(X), k, replace=False)],
        covariances=naive.of_type(full, kind),
        covariance_type=kind,
    )


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_is_that_of_its_definition(kind, weighted):
    rng = np.random.default_rng(2)
    X = rng.normal(0, 3, (700, 2)) + rng.integers(0, 3, 700)[:, None] * 4
    weights = rng.uniform(0.5, 9, 700) if weighted else None
    w = np.ones(700) if weights is None else weights
    mixture, beliefs = some_mixture(X, 3, kind), beliefs_of(700, 3, 0.7)
    rows = PriorRows.of(X, weights, Frame.identity(2), beliefs)
    with Workers() as workers:
        found = e_step(rows, mixture, workers)
    resp, logs = expected(X, mixture, beliefs.maps)
    assert found.log_likelihood == pytest.approx(w @ logs, rel=1e-10)
    np.testing.assert_allclose(found.nk, w @ resp, rtol=1e-9)
    np.testing.assert_allclose(found.foreseen, w @ prior_of(mixture.weights, beliefs.maps), 1e-6)
    step = found.m_step(mixture, np.zeros(2))
    _, means, covariances = naive.m_step(X, w[:, None] * resp, kind)
    np.testing.assert_allclose(step.means, means, rtol=1e-8)
    np.testing.assert_allclose(step.covariances, covariances, rtol=1e-6)
    corrected = mixture.weights * found.nk / found.foreseen
    np.testing.assert_allclose(step.weights, corrected / corrected.sum(), rtol=1e-9)


def naive_fit(x, maps, weight, steps=3000):
    """EM from the maps in float64: means, deviations, weights, log-likelihood, posterior."""
    powered = (maps + 1e-4 * (1 - weight)) ** weight
    resp = maps.T
    weights = resp.mean(axis=0)
    for _ in range(steps):
        nk = resp.sum(axis=0)
        means = resp.T @ x / nk
        variances = (resp * (x[:, None] - means) ** 2).sum(axis=0) / nk
        prior = prior_of(weights, powered)
        joint = prior * np.exp(-0.5 * (x[:, None] - means) ** 2 / variances)
        joint /= np.sqrt(2 * np.pi * variances)
        resp = joint / joint.sum(axis=1, keepdims=True)
        weights = weights * resp.sum(axis=0) / prior.sum(axis=0)
        weights /= weights.sum()
    return means, weights, np.log(joint.sum(axis=1)).sum(), resp


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_segmenting_is_em_with_a_prior_of_each_pixel(weight):
    values, _, maps = stripes()
    seg = gmmseg.segment(values, None, options(weight), priors=list(maps))
    x = values.ravel().astype(float)
    means, weights, log_likelihood, resp = naive_fit(x, maps.reshape(3, -1), weight)
    np.testing.assert_allclose(seg.mixture.means[:, 0], means, atol=2e-2)
    np.testing.assert_allclose(seg.mixture.weights, weights, atol=2e-3)
    fit = seg.model.provenance["fit"]
    assert fit["log_likelihood"] == pytest.approx(log_likelihood, abs=1e-2)
    history = seg.model.provenance["history"]
    assert (np.diff(history) > -1e-6).all()
    np.testing.assert_allclose(seg.probabilities.reshape(-1, 3), resp, atol=2e-3)
    np.testing.assert_array_equal(seg.labels, seg.probabilities.argmax(axis=-1) + 1)
    assert seg.model.provenance["priors"] == {"weight": weight}
    assert seg.to_dict()["smoothing"] is None


@pytest.mark.parametrize("smoothing", [{}, {"beta": 0.5}, {"beta": 0.5, "inside": True}])
def test_without_weight_the_result_is_the_plain_one(smoothing):
    values, _, maps = stripes()
    plain = gmmseg.segment(values, 3, options(0.5, **smoothing))
    seg = gmmseg.segment(values, None, options(0.0, **smoothing), priors=maps)
    np.testing.assert_array_equal(seg.labels, plain.labels)
    np.testing.assert_array_equal(seg.probabilities, plain.probabilities)
    np.testing.assert_array_equal(seg.mixture.means, plain.mixture.means)


@pytest.mark.parametrize("smoothing", [{}, {"beta": 0.2}, {"beta": 0.2, "inside": True}])
def test_certain_maps_of_full_weight_are_the_result(smoothing):
    values, truth, _ = stripes()
    certain = [3 * (truth == (j + 1) % 3) for j in range(3)]  # the brightest first
    seg = gmmseg.segment(values, None, options(1.0, **smoothing), priors=certain)
    np.testing.assert_array_equal(seg.labels, (truth + 2) % 3 + 1)
    assert seg.probabilities.max(axis=-1).min() > 0.999
    for j, mean in enumerate(seg.mixture.means[:, 0]):
        assert mean == pytest.approx(values[seg.labels == j + 1].mean(), abs=0.01)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("beta", [0.3, "auto"])
def test_maps_help_where_values_do_not_tell(beta, inside):
    values, truth, maps = stripes()
    with_maps = gmmseg.segment(values, None, options(0.5, beta=beta, inside=inside), priors=maps)
    without = gmmseg.segment(values, 3, options(0.0, beta=beta, inside=inside))
    wrong, left = (np.mean(seg.labels != truth + 1) for seg in (without, with_maps))
    assert left < 0.03
    assert left <= wrong


def test_labels_are_in_the_order_of_the_maps_whatever_their_unit():
    values, _, maps = stripes()
    one = gmmseg.segment(values, None, options(0.5), priors=maps)
    other = gmmseg.segment(values, 3, options(0.5), priors=254 * maps[::-1])
    np.testing.assert_allclose(one.mixture.means, other.mixture.means[::-1], rtol=1e-4)
    assert np.mean(one.labels == 4 - other.labels) > 0.999


def test_where_nothing_is_known_pixels_stand_for_themselves():
    values, _, maps = stripes()
    maps = maps.copy()
    maps[:, :20] = 0
    seg = gmmseg.segment(values, None, options(1.0), priors=maps)
    posterior = seg.mixture.posterior(values[:20].reshape(-1, 1))
    np.testing.assert_allclose(seg.probabilities[:20].reshape(-1, 3), posterior, atol=1e-5)


def test_unused_pixels_need_no_maps():
    values, truth, maps = stripes()
    mask = np.ones(values.shape, bool)
    mask[:5] = False
    maps = maps.copy()
    maps[:, ~mask] = np.nan
    for beta in (0.0, 0.3):
        seg = gmmseg.segment(values, None, options(0.5, beta=beta), priors=maps, mask=mask)
        assert (seg.labels[~mask] == 0).all()
        assert np.mean(seg.labels[mask] == truth[mask] + 1) > 0.9
        assert (seg.probabilities[~mask] == 0).all()


def test_large_images_are_fitted_by_a_sample_of_pixels_and_maps():
    values, _, maps = stripes((700, 500))
    by_sample = gmmseg.segment(
        values, None, SegmentOptions(features=FeatureSpec(colour_space="raw")), priors=maps
    )
    exact = gmmseg.segment(values, None, options(0.5), priors=maps)
    assert by_sample.model.provenance["fit"]["certificate"] is not None
    found, best = (seg.model.provenance["fit"]["mean_log_likelihood"] for seg in (by_sample, exact))
    assert best - 2e-4 < found < best + 1e-6
    assert np.mean(by_sample.labels == exact.labels) > 0.995


def test_what_neighbours_are_expected_to_be_counts_what_is_known():
    rng = np.random.default_rng(5)
    q = rng.dirichlet(np.ones(3), (8, 9)).transpose(2, 0, 1).astype(np.float32)[:, None]
    logs = rng.normal(0, 1, q.shape).astype(np.float32)
    weights, beta = np.array([0.2, 0.5, 0.3]), 0.4
    with Workers() as workers:
        lattice = Lattice((8, 9), workers, neighbours=8)
        lattice.know(logs)
        found = lattice.expectations(q, weights, Prior(beta=beta, field=np.zeros(3, np.float32)))
    used, ties = np.ones((8, 9), bool), naive_field.offsets(2, 8, (1, 1))
    total, slope = np.zeros(3), 0.0
    for pixel in np.ndindex(8, 9):
        pull = naive_field.pull(q[:, 0], pixel, used, ties, naive_field.no_edges)
        at = (slice(None), 0, *pixel)
        e = weights * np.exp2(logs[at]) * np.exp(beta * pull)
        e /= e.sum()
        total += e
        slope += ((q[at] - e) * pull).sum()
    np.testing.assert_allclose(found.expected, total, rtol=1e-5)
    np.testing.assert_allclose(found.shares, q.sum(axis=(1, 2, 3)), rtol=1e-5)
    assert found.slope == pytest.approx(slope, rel=1e-3)


def test_volumes_take_maps_of_one_grid_only():
    values, truth, maps = stripes((4, 40, 60))
    image = Image.from_array(values, axes="ZYX").placed(Placement.of_affine(np.eye(4)))
    there = [Image.from_array(m.astype(np.float32), axes="ZYX") for m in maps]
    seg = gmmseg.segment(image, None, options(0.5), priors=there)
    assert np.mean(seg.labels == truth + 1) > 0.85
    moved = np.eye(4)
    moved[0, 3] = 2
    away = [one.placed(Placement.of_affine(moved)) for one in there]
    with pytest.raises(
        InvalidDataError, match=r"prior map lie on different grids: .*0 0; 0 1.* \[1 0 0 2;"
    ):
        gmmseg.segment(image, None, options(0.5), priors=away)


def test_one_image_may_have_a_band_for_each_class(tmp_path):
    values, _, maps = stripes()
    path = tmp_path / "maps.npy"
    np.save(path, maps.transpose(1, 2, 0))
    one = gmmseg.segment(values, None, options(0.5), priors=path)
    other = gmmseg.segment(values, None, options(0.5), priors=maps)
    np.testing.assert_array_equal(one.labels, other.labels)


def test_what_is_wrong_with_maps_is_told():
    values, _, maps = stripes()

    def segmented(priors, k=None, **more):
        return gmmseg.segment(values, k, options(0.5), priors=priors, **more)

    with pytest.raises(InvalidDataError, match=r"shape \(40, 60\); prior 3 is of shape \(39, 60\)"):
        segmented([maps[0], maps[1], maps[2][1:]])
    with pytest.raises(InvalidParameterError, match="k must be the number of prior maps, 3, got 4"):
        segmented(maps, 4)
    with pytest.raises(InvalidParameterError, match="k must be the number of prior maps, 3, got "):
        segmented(maps, "auto")
    with pytest.raises(InvalidParameterError, match="priors exclude hints and a box"):
        segmented(maps, hints=(values > 128).astype(int))
    with pytest.raises(InvalidDataError, match="finite and not negative in every used pixel"):
        segmented(maps - 0.5)
    with pytest.raises(InvalidDataError, match="must not be 0 in every used pixel"):
        segmented(0 * maps)
    with pytest.raises(InvalidDataError, match="those of classes 1 and 3 are the same"):
        segmented([maps[0], maps[1], maps[0]])
    with pytest.raises(InvalidParameterError, match=r"prior weight must be from 0 to 1, got 1.5"):
        PriorOptions(weight=1.5)
    with pytest.raises(InvalidParameterError, match=r"prior weight must be .*-1"):
        PriorOptions(weight=-1)


def test_rows_with_gaps_have_no_priors():
    X = np.random.default_rng(0).normal(size=(50, 2))
    X[0, 0] = np.nan
    with pytest.raises(InvalidDataError, match="priors need rows that have all their features"):
        fit_rows(X, 2, EMOptions(), known=beliefs_of(50, 2, 1.0))


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_matter(threads):
    values, _, maps = stripes((300, 400))
    seg = gmmseg.segment(values, None, options(0.5), priors=maps, threads=threads)
    one = gmmseg.segment(values, None, options(0.5), priors=maps, threads=2)
    np.testing.assert_array_equal(seg.mixture.means, one.mixture.means)
    np.testing.assert_array_equal(seg.probabilities, one.probabilities)


def test_the_command_line_takes_a_file_for_each_class(tmp_path, run):
    values, truth, maps = stripes()
    write_png(tmp_path / "stripes.png", values)
    names = [tmp_path / f"p{j}.png" for j in range(3)]
    for name, one in zip(names, maps, strict=True):
        write_png(name, np.rint(255 * one).astype(np.uint8))
    words = (
        "segment",
        tmp_path / "stripes.png",
        "--preset",
        "plain",
        "--json",
        "-o",
        tmp_path / "o",
    )
    done = run(*words, "--prior-weight", 0.8, "--save-model", "--priors", *names)
    assert done.status == 0, done.err
    labels = gmmseg.read_image(tmp_path / "o" / "stripes_labels.png").data[..., 0]
    assert np.mean(labels == truth + 1) > 0.9
    model = gmmseg.load_model(tmp_path / "o" / "stripes.gmm.json")
    assert model.provenance["priors"] == {"weight": 0.8}
    one = run(*words, "--overwrite", "--priors", names[0])
    assert one.status == 2
    assert "or --priors with a file for each class" in one.err
    high = run(*words, "--overwrite", "--prior-weight", 2, "--priors", *names)
    assert high.status == 2
    assert "prior weight must be from 0 to 1, got 2" in high.err
    box = run(*words, "--overwrite", "--box", "1,1,9,9", "--priors", *names)
    assert box.status == 1
    assert "priors exclude hints and a box" in box.err
