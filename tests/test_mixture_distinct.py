"""Distinct rows: nothing is lost, and a fit to them is a fit to all."""

import naive
import numpy as np
import pytest

from gmmseg.mixture import fit_mixture
from gmmseg.mixture.distinct import distinct_rows

SMALL, LARGE = 500, 1 << 19  # by sorting; through a table


def values_of(dtype, n, n_bands):
    info = np.iinfo(dtype)
    values = np.random.default_rng(0).integers(info.min, int(info.max) + 1, (n, n_bands))
    values[0], values[1] = info.min, info.max
    values[n // 2 :] = values[: n - n // 2]
    return values.astype(dtype)


@pytest.mark.parametrize("n", [1, 2, SMALL, LARGE])
@pytest.mark.parametrize(
    ("dtype", "n_bands"), [("u1", 1), ("u1", 2), ("u1", 3), ("i1", 3), ("u2", 1), ("i2", 1)]
)
def test_rows_come_back(dtype, n_bands, n):
    values = values_of(dtype, max(n, 2), n_bands)[:n]
    found = distinct_rows(values)
    expected, counts = np.unique(values, axis=0, return_counts=True)
    order = np.lexsort(found.rows.T[::-1])
    assert (found.rows[order] == expected).all()
    assert (found.counts[order] == counts).all()
    assert found.rows.dtype == values.dtype
    back = found.spread(found.rows)
    assert (back == values).all()
    assert back.T.flags.c_contiguous
    assert (found.spread(found.rows[:, 0].astype(float)) == values[:, 0]).all()


@pytest.mark.parametrize("times", [255, 256, 257, 512, 513])
def test_counts_beyond_a_byte(times):
    values = np.zeros((LARGE, 1), np.uint8)
    values[:times] = 7
    values[-1] = 255
    found = distinct_rows(values)
    assert found.rows.ravel().tolist() == [0, 7, 255]
    assert found.counts.tolist() == [LARGE - times - 1, times, 1]


@pytest.mark.parametrize("layout", ["F", "slice", "read-only"])
@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_layouts(layout, n):
    values = values_of("u1", n, 3)
    other = {"F": np.asfortranarray(values), "slice": np.repeat(values, 2, axis=0)[::2]}.get(
        layout, values.copy()
    )
    other.setflags(write=False)
    found = distinct_rows(other)
    assert (found.spread(found.rows) == values).all()


@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_other_byte_order(n):
    values = values_of("u2", n, 1).astype(">u2")
    found = distinct_rows(values)
    assert (found.spread(found.rows) == values).all()


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((4, 1)),
        np.zeros((4, 1), np.int32),
        np.zeros((4, 9), np.uint8),
        np.zeros((4, 5), np.uint16),
        np.zeros((4, 1), bool),
        np.zeros((0, 1), np.uint8),
    ],
)
def test_no_small_table(values):
    assert distinct_rows(values) is None


@pytest.mark.parametrize("covariance_type", naive.TYPES)
def test_a_fit_to_distinct_rows_is_a_fit_to_all(covariance_type):
    rng = np.random.default_rng(1)
    centres = rng.choice([60, 180], (5000, 1))
    values = np.clip(rng.normal(centres, 20, (5000, 2)), 0, 255).astype(np.uint8)
    found = distinct_rows(values)
    options = {"covariance_type": covariance_type, "tol": 1e-7}
    all_rows = fit_mixture(values, 2, **options)
    few = fit_mixture(found.rows, 2, sample_weight=found.counts, init=all_rows.mixture, **options)
    np.testing.assert_allclose(few.mixture.means, all_rows.mixture.means, atol=0.02)
    assert few.log_likelihood == pytest.approx(all_rows.log_likelihood, rel=1e-6)
    labels = found.spread(all_rows.mixture.predict(found.rows))
    assert (labels == all_rows.mixture.predict(values)).all()
