"""Kernels that count distinct rows of small integers.

A row is packed into one key of at most 64 bits: ``key = sum (value_b - low) << (bits * b)``. Keys
of few bits index a table directly; longer ones go through a hash table with linear probing.
`bands` is a tuple of B zeros: its length is known at compile time, which makes twice the speed.
"""

import numpy as np

from gmmseg.mixture._jit import inline, kernel


@inline
def _key(values, i, bands, low, bits):
    key = np.int64(0)
    for b in range(len(bands)):
        key |= (np.int64(values[i, b]) - low) << (bits * b)
    return key


@kernel
def count_keys(values, bands, low, bits, table, overflow):
    """Count every row of `values` (N, B) at its key in `table` (uint8), modulo 256.

    A key is written to `overflow` (N // 256,) whenever its count comes round to 0; the number of
    those is returned. Counts of one byte keep the table in the last-level cache, where counts of
    four bytes would not stay.
    """
    n = 0
    for i in range(values.shape[0]):
        key = _key(values, i, bands, low, bits)
        table[key] += np.uint8(1)
        if table[key] == 0:
            overflow[n] = key
            n += 1
    return n


@kernel
def look_up(values, bands, low, bits, table, out):
    """Write the table's entry at the key of every row of `values` to `out` (N,)."""
    for i in range(values.shape[0]):
        out[i] = table[_key(values, i, bands, low, bits)]


@inline
def _slot(key, mask):
    # the golden ratio's bits scatter keys that differ in a few low bits only
    return ((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & mask


@kernel
def place_keys(keys, n, slots):
    """Put the numbers of the first `n` keys into empty slots."""
    mask = np.uint64(slots.shape[0] - 1)
    for number in range(n):
        slot = _slot(keys[number], mask)
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = number


@kernel
def hash_rows(values, bands, low, bits, start, slots, keys, counts):
    """Number the distinct rows from row `start` on; return the row where `keys` is full, or N.

    `slots` (a power of two) holds the numbers of the keys, -1 = empty; ``counts[-1]`` holds how
    many there are.
    """
    mask = np.uint64(slots.shape[0] - 1)
    n_keys = counts[-1]
    for i in range(start, values.shape[0]):
        key = _key(values, i, bands, low, bits)
        slot = _slot(key, mask)
        while slots[slot] >= 0 and keys[slots[slot]] != key:
            slot = (slot + np.uint64(1)) & mask
        number = slots[slot]
        if number < 0:
            if n_keys == keys.shape[0]:
                counts[-1] = n_keys
                return i
            number = n_keys
            slots[slot] = number
            keys[number] = key
            n_keys += 1
        counts[number] += 1
    counts[-1] = n_keys
    return values.shape[0]


@kernel
def number_rows(values, bands, low, bits, slots, keys, index):
    """Write the number of every row, whose key is among `keys`, to `index` (N,)."""
    mask = np.uint64(slots.shape[0] - 1)
    for i in range(values.shape[0]):
        key = _key(values, i, bands, low, bits)
        slot = _slot(key, mask)
        while keys[slots[slot]] != key:
            slot = (slot + np.uint64(1)) & mask
        index[i] = slots[slot]
