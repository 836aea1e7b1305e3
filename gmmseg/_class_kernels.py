"""Sums over the classes of pixels: loops and nothing else."""

from __future__ import annotations

from gmmseg.mixture._jit import kernel


@kernel
def add_band(labels, values, origin, pixels, sums, squares):
    """Add a band's values about ``origin[label]``, and their squares; NaN does not count.

    All but `labels` and `values` are of k + 1 entries, that of label 0 being of no interest.
    """
    for i in range(len(labels)):
        label = labels[i]
        value = values[i] - origin[label]
        if value == value:
            pixels[label] += 1
            sums[label] += value
            squares[label] += value * value
