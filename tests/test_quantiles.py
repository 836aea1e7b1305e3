"""Quantiles against NumPy's."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gmmseg.quantiles import quantiles


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    dtype=st.sampled_from(["uint8", "int32", "float32", "float64"]),
)
def test_as_numpy(values, shares, dtype):
    array = np.clip(values, *((0, 255) if dtype == "uint8" else (-1e6, 1e6))).astype(dtype)
    given = array.copy()
    expected = np.quantile(array.astype(np.float64), shares)
    np.testing.assert_array_equal(quantiles(array, shares), expected)
    np.testing.assert_array_equal(array, given)


def test_tissues_are_found_without_modules_that_they_do_not_need():
    spare = "numpy.ma", "numpy.polynomial", "gmmseg.bridges.formats", "gmmseg.io.tables", "tomllib"
    code = (
        "import sys, numpy as np, gmmseg.cli.tissue\n"
        "from gmmseg.tissue import tissue\n"
        "from gmmseg.mosaic import mosaic\n"
        "noise = np.random.default_rng(0).integers(-4, 5, (60,) * 3)\n"
        "head = np.repeat([40, 90, 140], 20) + noise\n"
        "found = tissue(head.astype(np.uint8), mask=np.ones(head.shape))\n"
        "found.rows, mosaic(found.segmentation.image, found.labels, n_labels=3)\n"
        f"print([name for name in {spare} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.strip() == "[]"
