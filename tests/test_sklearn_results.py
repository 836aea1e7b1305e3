"""The estimator's results against scikit-learn's, step for step, and what weights mean."""

import warnings

import numpy as np
import pytest

sklearn_mixture = pytest.importorskip("sklearn.mixture")
from sklearn.exceptions import ConvergenceWarning  # noqa: E402

import gmmseg.sklearn  # noqa: E402
from gmmseg.mixture import Mixture  # noqa: E402
from gmmseg.sklearn import GaussianMixture  # noqa: E402

Theirs = sklearn_mixture.GaussianMixture
TYPES = ("full", "tied", "diag", "spherical")
INITS = ("kmeans", "k-means++", "random", "random_from_data")
PARAMETERS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def rows(seed=0, n=400, n_features=3, dtype=np.float64):
    """Overlapping clusters in units of their own for every feature."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(4, n_features)) * 2
    X = centres[rng.integers(0, 4, n)] + rng.normal(size=(n, n_features))
    return ((X + 3.0) * np.array([1.0, 10.0, 0.1])[:n_features]).astype(dtype)


def given_start(X, n_components, covariance_type, seed=0):
    """Weights, means and precisions to start from."""
    rng = np.random.default_rng(seed)
    precision = 1.0 / X.var(axis=0)
    return {
        "weights_init": rng.dirichlet(np.full(n_components, 5.0)),
        "means_init": X[rng.choice(len(X), n_components, replace=False)],
        "precisions_init": {
            "full": np.stack([np.diag(precision)] * n_components),
            "tied": np.diag(precision),
            "diag": np.stack([precision] * n_components),
            "spherical": np.full(n_components, precision.mean()),
        }[covariance_type],
    }


def assert_same(ours, theirs, tolerance=1e-8):
    assert (ours.n_iter_, ours.converged_) == (theirs.n_iter_, theirs.converged_)
    np.testing.assert_allclose(ours.lower_bound_, theirs.lower_bound_, rtol=tolerance)
    if hasattr(theirs, "lower_bounds_"):  # 1.7 and later
        np.testing.assert_allclose(ours.lower_bounds_, theirs.lower_bounds_, rtol=tolerance)
    for name in PARAMETERS:
        expected = getattr(theirs, name)
        np.testing.assert_allclose(
            getattr(ours, name), expected,
            rtol=tolerance, atol=tolerance * np.abs(expected).max(), err_msg=name,
        )  # fmt: skip


def both(X, *, weights=None, **parameters):
    ours = GaussianMixture(**parameters)
    ours.fit(X) if weights is None else ours.fit(X, sample_weight=weights)
    return ours, Theirs(**parameters).fit(X)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init_params", INITS)
@pytest.mark.parametrize("n_components", [1, 2, 5])
def test_same_seed_same_result(covariance_type, init_params, n_components):
    X = rows(n_components)
    ours, theirs = both(
        X, n_components=n_components, covariance_type=covariance_type, init_params=init_params,
        n_init=2 if n_components > 1 else 1, random_state=n_components,
    )  # fmt: skip
    assert_same(ours, theirs)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-8)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-8)
    for criterion in ("score", "bic", "aic"):
        expected = getattr(theirs, criterion)(X)
        assert getattr(ours, criterion)(X) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("max_iter", [1, 2, 7, 60])
@pytest.mark.parametrize("tol", [0.0, 1e-5, 0.1])
def test_same_steps_from_a_given_start(covariance_type, max_iter, tol):
    X = rows()
    ours, theirs = both(
        X, n_components=3, covariance_type=covariance_type, max_iter=max_iter, tol=tol,
        **given_start(X, 3, covariance_type),
    )  # fmt: skip
    assert_same(ours, theirs)
    assert len(ours.lower_bounds_) == ours.n_iter_
    assert ours.lower_bound_ == ours.lower_bounds_[-1]


@pytest.mark.parametrize("part", ["weights_init", "means_init", "precisions_init"])
def test_parts_of_a_start(part):
    X = rows()
    start = given_start(X, 3, "full")
    assert_same(*both(X, n_components=3, random_state=0, **{part: start[part]}))


@pytest.mark.parametrize("reg_covar", [0.0, 1e-6, 1.0, 50.0])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_regularisation_is_absolute(covariance_type, reg_covar):
    X = rows()
    parameters = {"covariance_type": covariance_type, "reg_covar": reg_covar, "tol": 1e-6}
    assert_same(*both(X, n_components=2, random_state=0, **parameters))


@pytest.mark.parametrize("n_components", [1, 3])
def test_no_iterations_give_the_start(n_components):
    X = rows()
    ours, theirs = both(X, n_components=n_components, max_iter=0, random_state=0, n_init=2)
    for name in PARAMETERS:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-8)
    assert (ours.n_iter_, ours.lower_bound_, ours.lower_bounds_) == (0, -np.inf, [])
    assert not ours.converged_


def test_no_iterations_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GaussianMixture(2, max_iter=0, random_state=0).fit(rows())


@pytest.mark.parametrize("max_iter", [1, 2, 50])
def test_warm_start_goes_on_as_theirs(max_iter):
    X = rows()
    ours, theirs = (
        cls(3, warm_start=True, max_iter=max_iter, random_state=0, tol=1e-4, n_init=3)
        for cls in (GaussianMixture, Theirs)
    )
    for part in (X, X, X[:300], X):
        ours.fit(part)
        theirs.fit(part)
        assert_same(ours, theirs)


def test_warm_start_equals_one_long_fit():
    X = rows()
    short = GaussianMixture(3, warm_start=True, max_iter=4, tol=0, random_state=0).fit(X).fit(X)
    long = GaussianMixture(3, max_iter=8, tol=0, random_state=0).fit(X)
    np.testing.assert_allclose(short.means_, long.means_, rtol=1e-10)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_single_precision_stays(covariance_type):
    X = rows(dtype=np.float32)
    single = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    double = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(
        X.astype(np.float64)
    )
    for name in PARAMETERS:
        assert getattr(single, name).dtype == np.float32
        assert getattr(double, name).dtype == np.float64
    assert single.predict_proba(X).dtype == single.score_samples(X).dtype == np.float32
    assert single.score_samples(X.astype(np.float64)).dtype == np.float64
    np.testing.assert_allclose(single.means_, double.means_, rtol=1e-4)
    assert single.predict(X).dtype == Theirs(2, random_state=0).fit(X).predict(X).dtype


def test_integers_are_read_in_double_precision():
    X = np.random.default_rng(0).integers(0, 255, (300, 2)).astype(np.uint8)
    ours, theirs = both(X, n_components=2, random_state=0)
    assert_same(ours, theirs)
    assert ours.means_.dtype == ours.score_samples(X).dtype == np.float64
    # given integers, scikit-learn 1.7 and later round the densities to integers
    expected = theirs.score_samples(X.astype(np.float64))
    np.testing.assert_allclose(ours.score_samples(X), expected, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_samples_are_theirs(covariance_type):
    ours, theirs = both(rows(), n_components=3, covariance_type=covariance_type, random_state=4)
    (x, labels), (expected, expected_labels) = ours.sample(50), theirs.sample(50)
    np.testing.assert_allclose(x, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(labels, expected_labels)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_weights_equal_repetition(covariance_type):
    X = rows(n=150)
    counts = np.random.default_rng(3).integers(0, 4, len(X))
    parameters = {"n_components": 2, "covariance_type": covariance_type, "tol": 1e-6}
    parameters |= given_start(X, 2, covariance_type)
    weighted = GaussianMixture(**parameters).fit(X, sample_weight=counts)
    repeated = np.repeat(X, counts, axis=0)
    assert_same(weighted, Theirs(**parameters).fit(repeated))
    for criterion in ("score", "bic", "aic"):
        criterion = getattr(weighted, criterion)
        assert criterion(X, sample_weight=counts) == pytest.approx(criterion(repeated), rel=1e-9)


def far_clusters(seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(0, 1, (60, 2)), rng.normal(30, 2, (90, 2))])


def assert_same_but_for_the_order(one, other):
    first, second = (np.argsort(fit.means_[:, 0]) for fit in (one, other))
    for name in ("weights_", "means_", "covariances_"):
        ours, expected = getattr(one, name)[first], getattr(other, name)[second]
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("init_params", INITS)
def test_weights_equal_repetition_from_starts_by_name(init_params):
    X = far_clusters()
    counts = np.random.default_rng(0).integers(0, 4, len(X))
    parameters = {"n_components": 2, "init_params": init_params, "random_state": 0}
    parameters |= {"max_iter": 1000, "tol": 1e-9}
    weighted = GaussianMixture(**parameters).fit(X, sample_weight=counts)
    repeated = GaussianMixture(**parameters).fit(np.repeat(X, counts, axis=0))
    assert_same_but_for_the_order(weighted, repeated)


def test_scale_of_the_weights_does_not_matter():
    X = rows(n=200)
    weights = np.random.default_rng(0).random(len(X))
    one, other = (
        GaussianMixture(3, random_state=0).fit(X, sample_weight=scale * weights)
        for scale in (1.0, 1e6)
    )
    np.testing.assert_allclose(one.means_, other.means_, rtol=1e-9)
    assert one.lower_bound_ == pytest.approx(other.lower_bound_, rel=1e-9)


@pytest.mark.parametrize("init_params", INITS)
def test_many_rows_start_from_a_sample(monkeypatch, init_params):
    monkeypatch.setattr(gmmseg.sklearn, "SAMPLE_SIZE", 100)
    X = far_clusters()
    parameters = {"n_components": 2, "init_params": init_params, "random_state": 0, "n_init": 2}
    parameters |= {"max_iter": 1000, "tol": 1e-9}
    ours = GaussianMixture(**parameters).fit(X)
    assert ours.converged_
    assert_same_but_for_the_order(ours, Theirs(**parameters).fit(X))
    again = GaussianMixture(**parameters).fit(X)
    np.testing.assert_array_equal(ours.means_, again.means_)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_given_parts_hold_for_many_rows_too(monkeypatch, covariance_type):
    monkeypatch.setattr(gmmseg.sklearn, "SAMPLE_SIZE", 100)
    X = rows()
    start = given_start(X, 3, covariance_type)
    attributes = {
        "weights_init": "weights_",
        "means_init": "means_",
        "precisions_init": "precisions_",
    }
    for name, attribute in attributes.items():
        mixture = GaussianMixture(
            3, covariance_type=covariance_type, max_iter=0, random_state=0, **{name: start[name]}
        ).fit(X)
        np.testing.assert_allclose(getattr(mixture, attribute), start[name], rtol=1e-10, atol=1e-12)
    assert_same(*both(X, n_components=3, covariance_type=covariance_type, **start))


@pytest.mark.parametrize("covariance_type", TYPES)
def test_attributes_set_by_hand_are_a_model(covariance_type):
    X = rows()
    fitted = Theirs(3, covariance_type=covariance_type, random_state=0).fit(X)
    loaded = GaussianMixture(3, covariance_type=covariance_type)
    for name in ("weights_", "means_", "precisions_cholesky_"):
        setattr(loaded, name, getattr(fitted, name))
    np.testing.assert_allclose(loaded.predict_proba(X), fitted.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_mixture_is_the_same_density(covariance_type):
    X = rows()
    estimator = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    mixture = estimator.mixture_
    assert isinstance(mixture, Mixture)
    np.testing.assert_allclose(mixture.covariances, estimator.covariances_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mixture.log_density(X), estimator.score_samples(X), rtol=1e-12)


def test_not_converged_by_their_count():
    X = rows()
    start = given_start(X, 4, "full")
    needed = GaussianMixture(4, tol=1e-4, max_iter=500, **start).fit(X).n_iter_
    for max_iter, expected in ((needed, True), (needed - 1, False)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            fit = GaussianMixture(4, tol=1e-4, max_iter=max_iter, **start).fit(X)
        assert fit.converged_ is expected
        assert bool(caught) is not expected


def with_gaps(X, share, seed=0):
    gapped = X.copy()
    gapped[np.random.default_rng(seed).random(X.shape) < share] = np.nan
    return gapped


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("init_params", INITS)
def test_gaps_are_fitted(covariance_type, init_params):
    X = far_clusters()
    parameters = {"covariance_type": covariance_type, "init_params": init_params}
    gapped = with_gaps(X, 0.2)
    fit = GaussianMixture(2, random_state=0, **parameters).fit(gapped)
    assert fit.__sklearn_tags__().input_tags.allow_nan
    expected = np.repeat([0, 1], [60, 90])
    seen = np.isfinite(gapped).any(axis=1)
    agree = np.mean(fit.predict(gapped)[seen] == expected[seen])
    assert max(agree, 1 - agree) > 0.95
    np.testing.assert_allclose(fit.predict_proba(gapped)[seen].sum(axis=1), 1.0)
    assert np.isfinite(fit.score(gapped[seen]))


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_column_of_gaps_is_no_column(covariance_type):
    X = far_clusters()
    start = given_start(X, 2, covariance_type)
    wide = {
        "weights_init": start["weights_init"],
        "means_init": np.column_stack([start["means_init"], np.zeros(2)]),
        "precisions_init": np.stack([np.diag([*(1 / X.var(axis=0)), 1.0])] * 2)
        if covariance_type == "full"
        else np.column_stack([start["precisions_init"], np.ones(2)]),
    }
    gapped = np.column_stack([X, np.full(len(X), np.nan)])
    ours = GaussianMixture(2, covariance_type=covariance_type, **wide).fit(gapped)
    theirs = Theirs(2, covariance_type=covariance_type, **start).fit(X)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.means_[:, :2], theirs.means_, rtol=1e-8)


def test_infinity_is_still_refused():
    with pytest.raises(ValueError, match="infinity"):
        GaussianMixture().fit([[1.0, np.inf], [np.nan, 2.0], [3.0, 4.0]])
