"""Kernels that count distinct rows through a table with one entry for every possible key.

A row of small integers is packed into one key: ``key = sum (value_b - low) << (bits * b)``.
"""

import numpy as np

from gmmseg.mixture._jit import inline, kernel


@inline
def _key(values, i, low, bits):
    key = np.int64(0)
    for b in range(values.shape[1]):
        key |= (np.int64(values[i, b]) - low) << (bits * b)
    return key


@kernel
def count_keys(values, low, bits, table):
    """Count every row of `values` (N, B) at its key in `table`."""
    for i in range(values.shape[0]):
        table[_key(values, i, low, bits)] += 1


@kernel
def look_up(values, low, bits, table, out):
    """Write the table's entry at the key of every row of `values` to `out` (N,)."""
    for i in range(values.shape[0]):
        out[i] = table[_key(values, i, low, bits)]
