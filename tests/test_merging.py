"""Components merged to classes: by entropy, by misclassification, by borders."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmseg import FeatureSpec, MergeOptions, SegmentOptions, apply, fit, segment
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.mixture import Mixture
from gmmseg.mixture import merging as merging_module
from gmmseg.mixture.merging import (
    MERGE_BY,
    merge_components,
    ordered_classes,
    shared_borders,
)


def mixture_of(means, weights=None, variances=None):
    k = len(means)
    return Mixture(
        weights=np.full(k, 1 / k) if weights is None else weights,
        means=np.reshape(np.asarray(means, float), (k, -1)),
        covariances=np.ones(k) if variances is None else variances,
        covariance_type="spherical",
    )


def entropy_overlap(t, w):
    """By how much the entropy falls for every two columns that become one."""
    gain = np.full((t.shape[1],) * 2, -np.inf)
    for a, b in itertools.combinations(range(t.shape[1]), 2):
        total = 0.0
        for row, weight in zip(t, w, strict=True):
            entropy = -sum(p * np.log(p) for p in row if p > 0)
            joined = [row[a] + row[b], *np.delete(row, [a, b])]
            total += weight * (entropy + sum(p * np.log(p) for p in joined if p > 0))
        gain[a, b] = total
    return gain


def misclassification(t, w):
    """The larger share of one that is taken for the other."""
    out = np.full((t.shape[1],) * 2, -np.inf)
    best = t.argmax(axis=1)
    for a, b in itertools.combinations(range(t.shape[1]), 2):
        shares = [
            sum(w[i] * t[i, x] for i in range(len(t)) if best[i] == y) / (w @ t[:, x])
            for x, y in ((a, b), (b, a))
        ]
        out[a, b] = max(shares)
    return out


def balanced(t, w):
    """The fall of the entropy for each row of one and row of the other."""
    return entropy_overlap(t, w) / np.outer(w @ t, w @ t)


ORACLES = {"balanced": balanced, "entropy": entropy_overlap, "misclassification": misclassification}


def naive_merge(mixture, X, k, by, w):
    t = mixture.posterior(X).astype(float)
    groups = [{j} for j in range(mixture.n_components)]
    while len(groups) > k:
        a, b = np.unravel_index(np.argmax(ORACLES[by](t, w)), (len(groups),) * 2)
        groups[a] |= groups.pop(b)
        t[:, a] += t[:, b]
        t = np.delete(t, b, axis=1)
    return {frozenset(group) for group in groups}


def groups_of(labels):
    return {frozenset(np.flatnonzero(np.array(labels) == c).tolist()) for c in set(labels)}


@pytest.mark.parametrize("by", MERGE_BY)
@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_papers(by, seed):
    rng = np.random.default_rng(seed)
    mixture = mixture_of(
        rng.normal(0, 3, (6, 2)), rng.dirichlet(np.full(6, 5.0)), rng.uniform(0.5, 2, 6)
    )
    X = mixture.sample(300, rng=seed)[0]
    w = rng.uniform(0.5, 3, len(X))
    for k in (5, 3, 2):
        found = merge_components(mixture, X, k, by=by, sample_weight=w)
        assert groups_of(found) == naive_merge(mixture, X, k, by, w)


@given(st.integers(1, 6), st.integers(0, 50), st.sampled_from(MERGE_BY))
@settings(max_examples=40)
def test_what_merging_keeps(k, seed, by):
    rng = np.random.default_rng(seed)
    mixture = mixture_of(rng.normal(0, 3, (6, 2)), rng.dirichlet(np.ones(6)))
    X = mixture.sample(200, rng=seed)[0]
    labels = merge_components(mixture, X, k, by=by)
    assert set(labels) == set(range(1, k + 1))
    places = [
        np.average(mixture.means[at, 0], weights=mixture.weights[at])
        for at in (np.array(labels) == c for c in range(1, k + 1))
    ]
    assert places == sorted(places)  # dark to bright
    finer = merge_components(mixture, X, min(k + 1, 6), by=by)
    assert all(any(g <= whole for whole in groups_of(labels)) for g in groups_of(finer))


def test_counts_are_rows():
    mixture = mixture_of([0.0, 1.0, 4.0, 9.0])
    X = np.linspace(-3, 12, 40)[:, None]
    counts = np.arange(40) % 4 + 1
    for by in MERGE_BY:
        weighted = merge_components(mixture, X, 2, by=by, sample_weight=counts)
        assert weighted == merge_components(mixture, np.repeat(X, counts, axis=0), 2, by=by)


def test_a_sample_of_many_rows_tells_the_same(monkeypatch):
    mixture = mixture_of([0.0, 1.5, 7.0, 8.6])
    X = mixture.sample(20_000, rng=0)[0]
    counts = np.arange(len(X)) % 3
    whole = merge_components(mixture, X, 2, sample_weight=counts)
    monkeypatch.setattr(merging_module, "_ROWS", 1000)
    assert merge_components(mixture, X, 2, sample_weight=counts) == whole
    assert merge_components(mixture, X, 2) == whole == (1, 1, 2, 2)


def test_components_without_rows_go_first():
    mixture = mixture_of([0.0, 1.0, 5.0, 6.0], weights=[0.5, 0.5, 0.0, 0.0])
    X = np.array([[0.0], [1.0]])
    labels = merge_components(mixture, X, 2)
    assert labels[0] != labels[1]


def test_of_equals_the_nearest_are_merged():
    mixture = mixture_of([0.0, 1e3, 1.5e3, 9e3])  # posteriors are 0 and 1: nothing overlaps
    for by in MERGE_BY:
        assert merge_components(mixture, mixture.means, 3, by=by) == (1, 2, 2, 3)


def test_borders_keep_apart_what_does_not_touch():
    mixture = mixture_of([0.0, 1.0, 3.0])
    X = np.linspace(-3, 6, 200)[:, None]
    assert merge_components(mixture, X, 2) == (1, 1, 2)
    borders = np.array([[0, 0, 5], [0, 0, 5], [5, 5, 0]])
    labels = merge_components(mixture, X, 2, borders=borders)
    assert labels[0] != labels[1]
    none = np.zeros((3, 3))
    assert merge_components(mixture, X, 2, borders=none) == (1, 1, 2)


def test_shared_borders_are_pairs_of_neighbours():
    rng = np.random.default_rng(0)
    for shape in ((7, 9), (3, 5, 6)):
        components = rng.integers(-1, 3, shape)
        expected = np.zeros((3, 3))
        for place in np.ndindex(shape):
            for axis in range(len(shape)):
                there = list(place)
                there[axis] += 1
                if there[axis] < shape[axis]:
                    a, b = components[place], components[tuple(there)]
                    if a >= 0 and b >= 0 and a != b:
                        expected[a, b] += 1
                        expected[b, a] += 1
        np.testing.assert_array_equal(shared_borders(components, 3), expected)


def test_order_of_classes():
    mixture = mixture_of([5.0, 0.0, 9.0], weights=[0.5, 0.5, 0.0])
    assert ordered_classes(mixture, [[0], [1, 2]]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"k": 4}, r"^k must be at most the number of components, 3, got 4\.$"),
        ({"k": 0}, r"^k must be at least 1, got 0\.$"),
        (
            {"k": 2, "by": "x"},
            r"^by must be one of 'balanced', 'entropy', 'misclassification', got 'x'\.$",
        ),
    ],
)
def test_arguments_that_break_a_rule(chosen, message):
    with pytest.raises(InvalidParameterError, match=message):
        merge_components(mixture_of([0.0, 1.0, 2.0]), np.zeros((3, 1)), **chosen)


def test_borders_of_the_wrong_shape():
    with pytest.raises(InvalidDataError, match=r"^borders must be .*\(2, 2\), got shape \(3,\)\.$"):
        merge_components(mixture_of([0.0, 1.0]), np.zeros((3, 1)), 1, borders=np.zeros(3))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gaussians_per_segment": 0}, r"^gaussians_per_segment must be at least 1, got 0\.$"),
        ({"merge_by": "size"}, r"^merge_by must be one of 'balanced', .*, got 'size'\.$"),
        ({"merge_touching": 1}, r"^merge_touching must be True or False, got 1\.$"),
    ],
)
def test_options_that_break_a_rule(wrong, message):
    with pytest.raises(InvalidParameterError, match=message):
        MergeOptions(**wrong)


def two_textures():
    """Left: a chequered texture of two greys. Right: one grey between them, but brighter."""
    rng = np.random.default_rng(0)
    picture = rng.normal(90, 6, (60, 80))
    picture[::2, :40] = rng.normal(60, 6, (30, 40))
    picture[:, 40:] = rng.normal(200, 8, (60, 40))
    return picture


def merged(**chosen):
    return SegmentOptions(
        features=FeatureSpec(), merging=MergeOptions(gaussians_per_segment=2, **chosen)
    )


@pytest.mark.parametrize(
    "chosen",
    [{}, {"merge_by": "entropy"}, {"merge_by": "misclassification"}, {"merge_touching": True}],
)
def test_a_class_of_several_gaussians(chosen):
    picture = two_textures()
    found = segment(picture, 2, merged(**chosen))
    assert (found.k, found.mixture.n_components) == (2, 4)
    truth = np.where(np.arange(80) < 40, 1, 2)
    assert (found.labels == truth).mean() > 0.99
    np.testing.assert_allclose(found.probabilities.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_array_equal(found.labels, found.probabilities.argmax(axis=-1) + 1)
    assert [row.pixels for row in found.table] == np.bincount(found.labels.ravel())[1:].tolist()
    again = apply(found.model.from_dict(found.model.to_dict()), picture)
    np.testing.assert_array_equal(again.labels, found.labels)


def test_one_model_of_merged_classes_for_many_images():
    picture = two_textures()
    model = fit([picture, picture + 5], 2, merged())
    assert (model.k, len(model.labels)) == (2, 4)
    assert apply(model, picture).labels[0, -1] == 2


def test_the_number_of_classes_may_be_chosen():
    found = segment(two_textures(), "auto", merged())
    assert found.mixture.n_components == 2 * found.k
    assert "selection" in found.model.provenance


def test_too_many_gaussians():
    with pytest.raises(InvalidParameterError, match=r"^k must be at most 65535, got 80000\.$"):
        segment(
            np.zeros((4, 4)),
            2,
            SegmentOptions(merging=MergeOptions(gaussians_per_segment=40_000)),
        )
