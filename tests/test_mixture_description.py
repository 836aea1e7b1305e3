"""What a mixture is said to be: against geometry, integrals and scipy."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmseg.errors import InvalidParameterError
from gmmseg.mixture import Mixture
from gmmseg.mixture.description import describe
from gmmseg.mixture.overlap import bhattacharyya, confusion_bounds

stats = pytest.importorskip("scipy.stats")

TYPES = ("full", "tied", "diag", "spherical")
every_type = pytest.mark.parametrize("covariance_type", TYPES)


def a_mixture(covariance_type="full", k=3, d=2, seed=0):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(k, d, d)) + np.eye(d)
    full = factors @ factors.transpose(0, 2, 1) + 0.1 * np.eye(d)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": full.diagonal(axis1=1, axis2=2),
        "spherical": full[:, 0, 0],
    }[covariance_type]
    return Mixture(
        weights=rng.dirichlet(np.full(k, 3.0)),
        means=rng.normal(size=(k, d)) * 2,
        covariances=covariances,
        covariance_type=covariance_type,
    )


def densities(mixture):
    """Densities of the components on a grid, (K, points), and the size of a cell."""
    axis = np.linspace(-25, 25, 801)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    parts = [
        stats.multivariate_normal(mean, matrix).pdf(grid).ravel()
        for mean, matrix in zip(mixture.means, mixture.full_covariances, strict=True)
    ]
    return np.array(parts), (axis[1] - axis[0]) ** 2


@every_type
def test_overlap_is_the_integral_of_the_root_of_the_product(covariance_type):
    mixture = a_mixture(covariance_type)
    parts, cell = densities(mixture)
    expected = np.sqrt(parts)[:, None] * np.sqrt(parts)[None]
    np.testing.assert_allclose(
        np.exp(-bhattacharyya(mixture)), expected.sum(axis=-1) * cell, rtol=1e-4
    )


@every_type
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bounds_are_bounds(covariance_type, seed):
    mixture = a_mixture(covariance_type, seed=seed)
    parts, cell = densities(mixture)
    joint = mixture.weights[:, None] * parts
    wrong = (joint.sum(axis=0) - joint.max(axis=0)).sum() * cell
    pairs = np.minimum(joint[:, None], joint[None]).sum(axis=-1) * cell
    bounds = confusion_bounds(mixture.weights, bhattacharyya(mixture))
    off = ~np.eye(3, dtype=bool)
    assert (bounds[off] >= pairs[off] - 1e-6).all()
    assert wrong <= describe(mixture).error_bound + 1e-6


@given(st.sampled_from(TYPES), st.integers(0, 999), st.integers(1, 5))
def test_distances_do_not_depend_on_units(covariance_type, seed, d):
    mixture = a_mixture(covariance_type, 3, d, seed)
    scale = 10.0 ** np.random.default_rng(seed).integers(-8, 9, d)
    if covariance_type == "spherical":
        scale[:] = scale[0]
    kind = {"full": np.outer(scale, scale), "tied": np.outer(scale, scale), "diag": scale**2}
    other = Mixture(
        weights=mixture.weights,
        means=mixture.means * scale + 3.0 * scale,
        covariances=mixture.covariances * kind.get(covariance_type, scale[0] ** 2),
        covariance_type=covariance_type,
    )
    distances = bhattacharyya(mixture)
    np.testing.assert_allclose(bhattacharyya(other), distances, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(distances, distances.T)
    assert (distances.diagonal() == 0).all()
    assert (distances >= 0).all()


@every_type
def test_the_axes_are_those_of_the_ellipse(covariance_type):
    mixture = a_mixture(covariance_type, d=4)
    for component, matrix in zip(
        describe(mixture).components, mixture.full_covariances, strict=True
    ):
        directions = np.array([axis.direction for axis in component.axes])
        lengths = np.array([axis.std for axis in component.axes])
        np.testing.assert_allclose(directions @ directions.T, np.eye(4), atol=1e-12)
        rebuilt = directions.T @ np.diag(lengths**2) @ directions
        np.testing.assert_allclose(rebuilt, matrix, atol=1e-12)
        assert (np.diff(lengths) <= 1e-12).all()
        assert (directions.max(axis=1) == np.abs(directions).max(axis=1)).all()
        outer = np.outer(component.std, component.std)
        np.testing.assert_allclose(np.array(component.correlations) * outer, matrix, atol=1e-12)


@pytest.mark.parametrize("angle", [-89.0, -45.0, -1.0, 0.0, 30.0, 45.0, 89.0, 90.0])
def test_the_angle_of_an_ellipse(angle):
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ np.diag([9.0, 1.0]) @ rotation.T
    mixture = Mixture(weights=[1.0], means=[[0.0, 0.0]], covariances=matrix[None])
    assert describe(mixture).components[0].angle == pytest.approx(angle, abs=1e-9)


def test_components_that_are_nearly_the_same():
    mixture = Mixture(
        weights=[0.3, 0.3, 0.4], means=[[0.0], [0.5], [9.0]], covariances=[1.0, 1.0, 1.0],
        covariance_type="spherical",
    )  # fmt: skip
    described = describe(mixture, ["L"])
    assert [pair.labels for pair in described.nearly_the_same] == [(1, 2)]
    assert [pair.components for pair in described.pairs] == [(0, 1), (1, 2), (0, 2)]
    assert described.pairs[0].distance == pytest.approx(0.5**2 / 8, rel=1e-12)
    assert "Classes 1 and 2 are nearly the same: they overlap by 0.969." in str(described)
    assert describe(mixture, same=0.99).nearly_the_same == ()


def test_components_of_one_class_are_not_confused():
    mixture = a_mixture(k=2)
    assert describe(mixture).error_bound > 0
    assert describe(mixture, labels=[1, 1]).error_bound == 0.0


def test_everything_is_plain_json():
    described = describe(a_mixture(d=3), ("L", "a", "b"))
    values = json.loads(json.dumps(described.to_dict(), allow_nan=False))
    assert values["feature_names"] == ["L", "a", "b"]
    assert len(values["components"]) == len(values["pairs"]) == 3
    assert values["components"][0]["angle"] is None


def test_the_text_of_one_feature_and_of_one_component():
    mixture = Mixture(weights=[1.0], means=[[2.0]], covariances=[4.0], covariance_type="spherical")
    assert (
        str(describe(mixture, ["L"]))
        == "class  weight  L mean +- std\n    1  1.0000         2 +- 2"
    )


def test_many_features_are_told_line_by_line():
    text = str(describe(a_mixture(k=2, d=6), [f"band {i}" for i in range(1, 7)]))
    lines = text.splitlines()
    assert lines[0].split() == ["class", "1", "2"]
    assert lines[1].startswith("weight")
    assert lines[7].startswith("band 6 mean +- std")


def test_many_pairs_are_counted():
    text = str(describe(a_mixture(k=7)))
    assert "and 9 pairs further apart" in text


def test_a_component_without_weight_is_never_confused():
    mixture = Mixture(
        weights=[0.0, 1.0], means=[[0.0], [0.0]], covariances=[1.0, 1.0],
        covariance_type="spherical",
    )  # fmt: skip
    assert describe(mixture).error_bound == 0.0
    assert describe(mixture).pairs[0].overlap == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature_names": ["a"]}, "feature_names must have 2 entries, got 1."),
        ({"labels": [1, 2]}, "labels must have 3 entries, got 2."),
        ({"same": 1.5}, r"same must be within 0\.\.1, got 1.5."),
        ({"same": -1}, "same must be at least 0, got -1."),
    ],
)
def test_messages(options, message):
    with pytest.raises(InvalidParameterError, match=f"^{message}$"):
        describe(a_mixture(), **options)
