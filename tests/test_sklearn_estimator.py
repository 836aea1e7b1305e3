"""The estimator against scikit-learn's class: what it promises to be, beside its results."""

import importlib
import inspect
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from gmmseg.errors import MissingDependencyError

sklearn_mixture = pytest.importorskip("sklearn.mixture")
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from gmmseg.sklearn import GaussianMixture  # noqa: E402

Theirs = sklearn_mixture.GaussianMixture
TYPES = ("full", "tied", "diag", "spherical")

STARTS_DIFFER = (
    "with more than one component the start is random: of weighted rows it is this package's, of "
    "repeated rows scikit-learn's, and 15 rows in 30 dimensions have many optima"
)


def expected_failures(estimator):
    if estimator.n_components == 1:
        return {}
    return {"check_sample_weight_equivalence_on_dense_data": STARTS_DIFFER}


CHECKS = parametrize_with_checks(
    [
        *(GaussianMixture(covariance_type=name) for name in TYPES),
        GaussianMixture(2, random_state=0),
        GaussianMixture(3, covariance_type="diag", init_params="random", random_state=0),
    ],
    expected_failed_checks=expected_failures,
)


# before 1.9 they give pytest a generator, which it deprecates
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.fixture(name="X")
def two_clusters():
    rng = np.random.default_rng(1)
    return np.concatenate([rng.normal(0, 1, (60, 2)), rng.normal(6, 2, (90, 2))])


def test_it_is_their_class_with_their_parameters():
    assert issubclass(GaussianMixture, Theirs)
    assert GaussianMixture().get_params() == Theirs().get_params()
    assert inspect.signature(GaussianMixture) == inspect.signature(Theirs)


def message_of(cls, X, parameters, weights=None):
    estimator = cls(**parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        with pytest.raises(ValueError, match=r"\S") as caught:
            estimator.fit(X) if weights is None else estimator.fit(X, sample_weight=weights)
    return str(caught.value)


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_components": 0},
        {"n_components": 1000},
        {"covariance_type": "round"},
        {"tol": -1.0},
        {"reg_covar": -1.0},
        {"max_iter": -1},
        {"n_init": 0},
        {"init_params": "best"},
        {"random_state": "now"},
        {"warm_start": 3},
        {"verbose": -1},
        {"verbose_interval": 0},
        {"n_components": 2, "weights_init": [0.5, 0.6]},
        {"n_components": 2, "weights_init": [1.5, -0.5]},
        {"n_components": 2, "weights_init": [1.0]},
        {"n_components": 2, "means_init": [[0.0, 0.0]]},
        {"n_components": 2, "precisions_init": np.ones((2, 2, 2))},
        {"n_components": 2, "covariance_type": "tied", "precisions_init": np.ones((3, 3))},
        {"n_components": 2, "covariance_type": "diag", "precisions_init": -np.ones((2, 2))},
        {"n_components": 2, "covariance_type": "spherical", "precisions_init": np.zeros(2)},
    ],
    ids=str,
)
def test_errors_are_theirs(X, parameters):
    assert message_of(GaussianMixture, X, parameters) == message_of(Theirs, X, parameters)


@pytest.mark.parametrize(
    "data",
    [np.zeros(5), np.zeros((1, 2)), np.zeros((0, 2)), [[1.0, np.inf], [1.0, 2.0]], [["a"], ["b"]]],
    ids=["one dimension", "one row", "no rows", "infinity", "text"],
)
def test_errors_of_data_are_theirs(data):
    assert message_of(GaussianMixture, data, {}) == message_of(Theirs, data, {})


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_collapse_without_regularisation_is_their_error(covariance_type):
    X = np.array([[0.0, 0.0]] * 5 + [[1.0, 2.0], [3.0, 1.0], [2.0, 5.0], [4.0, 4.0]])
    ones = {"full": np.stack([np.eye(2)] * 2), "diag": np.ones((2, 2))}
    parameters = {
        "n_components": 2,
        "covariance_type": covariance_type,
        "reg_covar": 0.0,
        "weights_init": [0.5, 0.5],
        "means_init": [[0.0, 0.0], [2.5, 3.0]],
        "precisions_init": ones[covariance_type],
    }
    ours = message_of(GaussianMixture, X, parameters)
    assert ours.startswith("Fitting the mixture model failed because some components have ill-")
    assert ours[:150] == message_of(Theirs, X, parameters)[:150]
    GaussianMixture(**{**parameters, "reg_covar": 1e-6}).fit(X)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_collapse_with_regularisation_has_its_variance(covariance_type):
    X = np.array([[0.0, 0.0]] * 5 + [[100.0, 200.0]] * 3)
    mixture = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    theirs = Theirs(2, covariance_type=covariance_type, random_state=0).fit(X)
    np.testing.assert_allclose(mixture.covariances_, theirs.covariances_, rtol=1e-4, atol=1e-10)


def test_not_converged_is_told_in_their_words(X):
    caught = []
    for cls in (GaussianMixture, Theirs):
        with pytest.warns(ConvergenceWarning) as found:
            cls(3, max_iter=1, random_state=0).fit(X)
        caught.append(str(found[0].message))
    assert caught[0] == caught[1]


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score", "bic"])
def test_not_fitted(X, method):
    with pytest.raises(NotFittedError, match="This GaussianMixture instance is not fitted yet"):
        getattr(GaussianMixture(), method)(X)


def test_other_features_than_fitted(X):
    mixture = GaussianMixture().fit(X)
    with pytest.raises(ValueError, match="X has 1 features, but GaussianMixture is expecting 2"):
        mixture.predict(X[:, :1])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"sample_weight.shape == \(3,\), expected \(150,\)"),
        (-np.ones(150), "Negative values in data passed to `?sample_weight"),
        (np.zeros(150), r"(?i)sample.weights? must"),
        (np.full(150, np.nan), "sample_weight contains NaN"),
    ],
)
def test_weights_that_break_the_rules(X, weights, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture().fit(X, sample_weight=weights)


def test_clone_and_pickle(X):
    mixture = GaussianMixture(2, covariance_type="diag", reg_covar=1e-3, random_state=0).fit(X)
    assert not hasattr(clone(mixture), "means_")
    assert clone(mixture).get_params() == mixture.get_params()
    again = pickle.loads(pickle.dumps(mixture))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(again.predict_proba(X), mixture.predict_proba(X))
    assert vars(again).keys() == vars(mixture).keys()


def test_pipeline_and_grid_search(X):
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(random_state=0))
    grid = {"gaussianmixture__n_components": [1, 2], "gaussianmixture__covariance_type": TYPES}
    ours = GridSearchCV(pipeline, grid, cv=3).fit(X)
    theirs = GridSearchCV(make_pipeline(StandardScaler(), Theirs(random_state=0)), grid, cv=3).fit(
        X
    )
    assert ours.best_params_ == theirs.best_params_
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-8
    )
    assert ours.best_params_["gaussianmixture__n_components"] == 2
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_weights_reach_it_through_a_pipeline(X):
    weights = np.repeat([1.0, 0.0], [60, 90])
    pipeline = make_pipeline(StandardScaler(with_mean=False, with_std=False), GaussianMixture())
    pipeline.fit(X, gaussianmixture__sample_weight=weights)
    np.testing.assert_allclose(pipeline[-1].means_[0], X[:60].mean(axis=0), atol=1e-9)


def test_names_of_features_are_kept_and_checked(X):
    pandas = pytest.importorskip("pandas")
    mixture = GaussianMixture(2, random_state=0).fit(pandas.DataFrame(X, columns=["u", "v"]))
    assert mixture.feature_names_in_.tolist() == ["u", "v"]
    assert mixture.n_features_in_ == 2
    with pytest.raises(ValueError, match="feature names should match"):
        mixture.predict(pandas.DataFrame(X, columns=["v", "u"]))


def printed(cls, X, capsys, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        cls(3, n_init=2, random_state=0, **parameters).fit(X)
    return re.sub(r"time lapse [\d.]+s", "time lapse", capsys.readouterr().out)


@pytest.mark.parametrize("verbose", [0, 1, 2])
@pytest.mark.parametrize("max_iter", [0, 3, 100])
def test_it_prints_what_they_print(X, capsys, verbose, max_iter):
    parameters = {"verbose": verbose, "verbose_interval": 2, "max_iter": max_iter, "tol": 1e-4}
    ours = printed(GaussianMixture, X, capsys, **parameters)
    assert ours == printed(Theirs, X, capsys, **parameters)
    assert bool(ours) == bool(verbose)


def test_missing_package_is_told_with_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "gmmseg.sklearn")
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gmmseg\[sklearn\]'"):
        importlib.import_module("gmmseg.sklearn")


@pytest.mark.slow
def test_their_own_tests_pass_with_this_class():
    script = Path(__file__).parents[1] / "scripts" / "sklearn_own_tests.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests of the class pass" in done.stdout
