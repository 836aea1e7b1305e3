"""Sums over the classes of pixels: loops and nothing else."""

from __future__ import annotations

from gmmseg.mixture._jit import kernel


@kernel
def add_band(labels, values, counts, origin, pixels, sums, squares):
    """Add a band's values about ``origin[label]``, and their squares; NaN does not count.

    `counts` tell how many pixels a value stands for; empty = one each. What follows it is of k + 1
    entries, that of label 0 being of no interest.
    """
    for i in range(len(labels)):
        label = labels[i]
        value = values[i] - origin[label]
        if value == value:
            n = counts[i] if len(counts) else 1
            pixels[label] += n
            sums[label] += n * value
            squares[label] += n * value * value


@kernel
def count_levels(labels, values, bands, first, last, table):
    """Add how often each label goes with each value of 8 bits, in the rows first:last of a picture.

    `values` are (rows, cols, bands of the picture), `bands` the chosen ones; `table` is (labels,
    chosen, 256).
    """
    for r in range(first, last):
        line, here = values[r], labels[r]
        for c in range(len(here)):
            label = here[c]
            for b in range(len(bands)):
                table[label, b, line[c, bands[b]]] += 1
