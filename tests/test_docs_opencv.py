"""docs/from-opencv-em.md: its code runs, and its stand-in agrees with cv2.ml.EM where that is."""

import doctest
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "from-opencv-em.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def names():
    """What the code of the page defines, after its sessions came out as printed."""
    names = {"__name__": "page"}
    for kind, code in re.findall(r"^```(python|pycon)\n(.*?)^```$", PAGE, re.S | re.M):
        if kind == "python":
            exec(compile(code, "from-opencv-em.md", "exec"), names)  # noqa: S102 - our own page
            continue
        test = doctest.DocTestParser().get_doctest(code, names, "page", None, 0)
        failed, tried = doctest.DocTestRunner().run(test, clear_globs=False)
        assert (failed, tried > 0) == (0, True)
        names |= test.globs
    return names


def rows():
    rng = np.random.default_rng(5)
    centres = np.array([[0, 0], [10, 3], [-5, 12]])
    return (centres[rng.integers(0, 3, 3000)] + rng.normal(0, 1.2, (3000, 2))).astype(np.float32)


def test_the_page_runs(names):
    assert names["foreground"].shape == (60, 80)
    assert names["rgba"].shape == (60, 80, 4)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_starts_of_the_stand_in(names, kind):
    X = rows()
    em = names["EM"]()
    em.setClustersNumber(3)
    em.setCovarianceMatrixType(kind)
    _, log_likelihoods, labels, _ = em.trainEM(X)
    means, covariances, weights = em.getMeans(), em.getCovs(), em.getWeights()
    assert weights.shape == (1, 3)
    for again in (
        em.trainE(X, means, np.array(covariances), weights),
        em.trainE(X, means),
        em.trainM(X, np.eye(3)[labels.ravel()]),
    ):
        np.testing.assert_array_equal(again[2], labels)
        np.testing.assert_allclose(again[1], log_likelihoods, atol=1e-3)


@pytest.mark.skipif(not hasattr(cv2, "ml"), reason="OpenCV 5 has no ml module")
@pytest.mark.parametrize("kind", [1, 2])
def test_the_stand_in_agrees_with_opencv(names, kind):
    X = rows()
    results = []
    for em in (cv2.ml.EM_create() if hasattr(cv2, "ml") else None, names["EM"]()):
        em.setClustersNumber(3)
        em.setCovarianceMatrixType(kind)
        em.setTermCriteria((3, 500, 1e-9))
        _, log_likelihoods, labels, probs = em.trainEM(X)
        order = np.argsort(em.getMeans()[:, 0])
        results.append((log_likelihoods, np.argsort(order)[labels], em.getMeans()[order]))
        assert (log_likelihoods.shape, labels.shape, probs.shape) == ((3000, 1),) * 2 + ((3000, 3),)
        assert (log_likelihoods.dtype, labels.dtype, probs.dtype) == (float, np.int32, float)
        (likelihood, label), probabilities = em.predict2(X[:1])
        assert (likelihood, label) == (pytest.approx(log_likelihoods[0, 0], abs=1e-3), labels[0, 0])
        assert probabilities.shape == (1, 3)
    (theirs, their_labels, their_means), (ours, our_labels, our_means) = results
    np.testing.assert_allclose(our_means, their_means, atol=1e-3)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    np.testing.assert_array_equal(our_labels, their_labels)
