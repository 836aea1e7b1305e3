"""Classes of pixels and sums over them: loops and nothing else."""

from __future__ import annotations

from gmmseg.mixture._jit import inline, kernel


@inline
def _keep_better(shares, label, best, labels):
    for i in range(len(labels)):
        share = shares[i]
        is_better = share > best[i]
        best[i] = share if is_better else best[i]
        labels[i] = label if is_better else labels[i]


@kernel
def most_probable_pass(shares, best, labels):
    """The class (from 1) of the largest share (K, N) of every pixel, the first of equals.

    0 where no share is above 0. As many pixels as `best` has room for are worked on at once.
    """
    for start in range(0, len(labels), len(best)):
        stop = min(start + len(best), len(labels))
        for i in range(stop - start):
            best[i] = 0
            labels[start + i] = 0
        for k in range(len(shares)):
            _keep_better(shares[k, start:stop], k + 1, best, labels[start:stop])


@kernel
def share_pass(shares, limits, sums):
    """The sum of the shares (N,), and how many reach each of two limits; to sums (3,)."""
    first, second = limits
    total, n_first, n_second = 0.0, 0, 0
    for i in range(len(shares)):
        share = shares[i]
        total += share
        n_first += share >= first
        n_second += share >= second
    sums[0] = total
    sums[1] = n_first
    sums[2] = n_second


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
