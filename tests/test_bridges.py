"""Models of other programs: files that they wrote, round trips, and objects of scikit-learn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmseg.bridges import FORMATS, from_sklearn, read_model, to_sklearn, write_model
from gmmseg.bridges.formats import dumps, loads
from gmmseg.errors import (
    GmmsegWarning,
    InvalidParameterError,
    MissingDependencyError,
    MissingFileError,
    ModelFormatError,
    OutputExistsError,
)
from gmmseg.feature_spec import FeatureSpec
from gmmseg.mixture import Mixture, fit_mixture
from gmmseg.model import Model

DATA = Path(__file__).parent / "data"
TYPES = ("full", "tied", "diag", "spherical")
every_type = pytest.mark.parametrize("covariance_type", TYPES)


def a_mixture(covariance_type="full", k=3, d=4, seed=0, unit=1.0):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(k, d, d))
    full = (factors @ factors.transpose(0, 2, 1) + np.eye(d)) * unit**2
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": full.diagonal(axis1=1, axis2=2),
        "spherical": full[:, 0, 0],
    }[covariance_type]
    return Mixture(
        weights=rng.dirichlet(np.full(k, 2.0)),
        means=rng.normal(size=(k, d)) * 3 * unit,
        covariances=covariances,
        covariance_type=covariance_type,
    )


def a_model(covariance_type="full", k=3, d=4, seed=0, unit=1.0, **more):
    return Model(
        features=FeatureSpec(colour_space="raw"),
        feature_names=tuple(f"B{i + 1}" for i in range(d)),
        mixture=a_mixture(covariance_type, k, d, seed, unit),
        labels=tuple(range(1, k + 1)),
        **more,
    )


# --- files that other programs wrote ----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "covariance_type"),
    [("generic", "full"), ("diagonal", "diag"), ("spherical", "spherical")],
)
def test_a_file_of_opencv(name, covariance_type):
    model = read_model(DATA / f"opencv_em_{name}.yml")
    mixture = model.mixture
    assert mixture.covariance_type == covariance_type
    assert model.feature_names == ("band 1", "band 2")
    assert model.provenance["converted_from"] == "opencv"
    assert mixture.weights.sum() == pytest.approx(1, abs=1e-12)
    assert mixture.weights[0] == pytest.approx(0.6, abs=0.01)
    np.testing.assert_allclose(mixture.means[1], [7.66, 8.03], atol=0.1)


def test_the_numbers_of_opencv_are_read_to_the_last_digit():
    mixture = read_model(DATA / "opencv_em_generic.yml").mixture
    assert mixture.means[0].tolist() == [0.055473585568413877, 0.19548231166107824]
    assert mixture.covariances[1, 0].tolist() == [4.0182050784944296, 0.31037305929080716]


def test_a_file_of_arcgis():
    model = read_model(DATA / "arcgis.gsg")
    assert model.feature_names == ("redlands3", "redlands1", "redlands2")
    assert model.provenance["class_names"] == ["sand", "Class 4"]
    np.testing.assert_array_equal(model.mixture.weights, [0.654, 0.346])
    np.testing.assert_array_equal(model.mixture.means[0], [170.4908, 155.7569, 161.9419])
    assert model.mixture.covariances[0, 1].tolist() == [182.3661, 127.8076, 139.3009]
    assert model.labels == (1, 2)


@pytest.mark.parametrize(
    ("name", "bands"), [("grass_v2", ("TM_1", "TM_2")), ("grass7", ("band 1", "band 2"))]
)
def test_files_of_grass(name, bands):
    model = read_model(DATA / f"{name}.sig")
    assert model.feature_names == bands
    np.testing.assert_array_equal(model.mixture.weights, [0.75, 0.25])
    np.testing.assert_array_equal(model.mixture.means, [[10.5, 20.25], [-3.0, 75.0]])
    np.testing.assert_array_equal(
        model.mixture.covariances, [[[4.0, 1.5], [1.5, 9.0]], [[2.5, -1.0], [-1.0, 16.0]]]
    )


def test_class_names_go_on_to_the_next_program():
    text = dumps(read_model(DATA / "grass_v2.sig"), "arcgis")
    assert " 100   water\n" in text
    assert loads(text).provenance["class_names"] == ["Class_1", "water"]


# --- round trips ------------------------------------------------------------------------------

models = st.builds(
    a_model,
    st.sampled_from(TYPES),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(0, 10_000),
    st.sampled_from([1e-6, 1.0, 3e4]),
)


@pytest.mark.parametrize("name", FORMATS)
@given(model=models)
def test_what_is_written_is_read_back(name, model):
    back = loads(dumps(model, name)).mixture
    np.testing.assert_array_equal(back.means, model.mixture.means)
    np.testing.assert_array_equal(back.full_covariances, model.mixture.full_covariances)
    # the counts of signature files are whole numbers
    exact = name in ("json", "opencv")
    np.testing.assert_allclose(back.weights, model.mixture.weights, atol=0 if exact else 1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_recognised(name):
    text = dumps(a_model(), name)
    assert next(known for known in FORMATS if FORMATS[known].recognise(text)) == name


def test_counts_are_those_of_the_pixels():
    for provenance, pixels in (
        ({"fit": {"n_pixels": 5000}}, 5000),
        ({"n_pixels": 70}, 70),
        ({"fit": []}, 1_000_000),
        ({"fit": {"n_pixels": 10**12}}, 1_000_000),
        ({"fit": {"n_pixels": "many"}, "class_names": 3}, 1_000_000),
    ):
        text = dumps(a_model(provenance=provenance), "grass")
        assert loads(text).provenance["n_pixels"] == pytest.approx(pixels, abs=2)


def test_classes_without_pixels_are_equally_probable():
    text = (DATA / "grass7.sig").read_text().replace("300", "0").replace("100", "0")
    np.testing.assert_array_equal(loads(text).mixture.weights, [0.5, 0.5])


def test_names_are_made_such_as_the_programs_can_read():
    model = Model(
        features=FeatureSpec(colour_space="raw", local_std=(2.0,)),
        feature_names=("near infrared", "8a"),
        mixture=a_mixture(d=2),
        labels=(1, 2, 3),
        provenance={"class_names": ["wet land, with a long name", "x", "\x1b[2J"]},
    )
    with pytest.warns(GmmsegWarning, match="the model is over near infrared, 8a, which gmmseg mak"):
        text = dumps(model, "arcgis")
    assert loads(text).feature_names == ("near_infrared", "band_8a")
    assert loads(text).provenance["class_names"] == ["wet_land_with_", "x", "x1b_2J"]


def test_files(tmp_path):
    model = a_model()
    for name in ("m.gmm.json", "m.yml", "m.YAML", "m.gsg", "m.sig"):
        write_model(model, tmp_path / name)
        means = read_model(tmp_path / name).mixture.means
        np.testing.assert_array_equal(means, model.mixture.means)
    with pytest.raises(OutputExistsError, match=r"m.gsg exists already"):
        write_model(model, tmp_path / "m.gsg")
    with pytest.raises(MissingFileError, match="there is no model file"):
        read_model(tmp_path / "none.gsg")
    with pytest.raises(InvalidParameterError, match=r"^the name m.txt tells no format: end it in"):
        write_model(model, tmp_path / "m.txt")
    with pytest.raises(InvalidParameterError, match=r"^format must be one of 'json', 'opencv'"):
        dumps(model, "pickle")
    (tmp_path / "bad.gsg").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(ModelFormatError, match=r"^bad.gsg: not a model of a known format: json"):
        read_model(tmp_path / "bad.gsg")


@pytest.mark.parametrize("covariance_type", TYPES)
def test_opencv_finds_the_same_densities(covariance_type, tmp_path):
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2, "ml"):
        pytest.skip("OpenCV 5 has no ml")
    model = a_model(covariance_type)
    write_model(model, tmp_path / "em.yml")
    em = cv2.ml.EM_load(str(tmp_path / "em.yml"))
    X, _ = model.mixture.sample(100)
    np.testing.assert_allclose(em.predict(X)[1], model.mixture.posterior(X), atol=1e-12)
    em.save(str(tmp_path / "back.yml"))
    np.testing.assert_array_equal(read_model(tmp_path / "back.yml").mixture.means, em.getMeans())


# --- scikit-learn -----------------------------------------------------------------------------


@every_type
def test_scikit_learn_predicts_the_same(covariance_type):
    pytest.importorskip("sklearn")
    mixture = a_mixture(covariance_type)
    estimator = to_sklearn(mixture)
    X, _ = mixture.sample(300)
    np.testing.assert_allclose(estimator.predict_proba(X), mixture.posterior(X), atol=1e-12)
    np.testing.assert_allclose(estimator.score_samples(X), mixture.log_density(X), rtol=1e-12)
    assert estimator.bic(X) == pytest.approx(mixture.bic(X), rel=1e-12)
    assert estimator.sample(5)[0].shape == (5, 4)
    np.testing.assert_allclose(
        np.linalg.inv(estimator.covariances_)
        if mixture.covariances.ndim > 1 and covariance_type in ("full", "tied")
        else 1 / estimator.covariances_,
        estimator.precisions_,
        rtol=1e-9,
    )
    back = from_sklearn(estimator)
    np.testing.assert_allclose(back.weights, mixture.weights, rtol=1e-15)
    np.testing.assert_array_equal(back.covariances, mixture.covariances)


@pytest.mark.parametrize("covariance_type", ["tied_diag", "tied_spherical"])
@pytest.mark.parametrize("name", ["opencv", "grass", "arcgis", "sklearn"])
def test_types_that_others_have_not(covariance_type, name, tmp_path):
    X = np.random.default_rng(0).normal(0, 1, (200, 3)) + np.arange(200)[:, None] % 2 * 5
    mixture = fit_mixture(X, 2, covariance_type=covariance_type).mixture
    if name == "sklearn":
        pytest.importorskip("sklearn")
        back = from_sklearn(to_sklearn(mixture))
    else:
        write_model(replace(a_model(k=2, d=3), mixture=mixture), tmp_path / "model", name)
        back = read_model(tmp_path / "model").mixture
    np.testing.assert_allclose(back.full_covariances, mixture.full_covariances, rtol=1e-12)


@every_type
@pytest.mark.parametrize("name", ["GaussianMixture", "BayesianGaussianMixture"])
def test_fits_of_scikit_learn(covariance_type, name):
    kind = getattr(pytest.importorskip("sklearn.mixture"), name)
    X, _ = a_mixture().sample(500)
    fitted = kind(n_components=2, covariance_type=covariance_type, random_state=0, tol=0.1).fit(X)
    mixture = from_sklearn(fitted)
    np.testing.assert_array_equal(mixture.means, fitted.means_)
    np.testing.assert_allclose(mixture.weights, fitted.weights_, rtol=1e-12)
    if name == "GaussianMixture":  # the other one's probabilities are not those of its means
        np.testing.assert_allclose(mixture.posterior(X), fitted.predict_proba(X), atol=1e-10)


def test_what_is_not_fitted_is_refused():
    sklearn_mixture = pytest.importorskip("sklearn.mixture")
    with pytest.raises(InvalidParameterError, match=r"GaussianMixture has no weights_. Fit it"):
        from_sklearn(sklearn_mixture.GaussianMixture(2))
    with pytest.raises(InvalidParameterError, match="list has no weights_"):
        from_sklearn([])


def test_scikit_learn_is_optional(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.mixture", None)
    with pytest.raises(MissingDependencyError, match=r"^Install scikit-learn"):
        to_sklearn(a_mixture())
