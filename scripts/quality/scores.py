"""How well labels agree with a truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Table = NDArray[np.int64]


def contingency(a: NDArray[Any], b: NDArray[Any]) -> Table:
    """Pixels shared by each label from 0 of `a` and of `b` that there is, (n_a, n_b)."""
    first, second = (np.asarray(x, np.int64).ravel() for x in (a, b))
    n_a, n_b = int(first.max()) + 1, int(second.max()) + 1
    table = np.bincount(first * n_b + second, minlength=n_a * n_b).reshape(n_a, n_b)
    table = table[table.any(axis=1)]
    return table[:, table.any(axis=0)]


def dice(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """2 |A and B| / (|A| + |B|)."""
    total = int(mask.sum()) + int(truth.sum())
    return 2.0 * int((mask & truth).sum()) / total if total else 1.0


def overall_accuracy(table: Table) -> float:
    """Share of pixels that are right under the best one-to-one match of labels and classes."""
    matched = linear_sum_assignment(table, maximize=True)
    return float(table[matched].sum() / table.sum())


def region_scores(labels: NDArray[Any], truths: list[NDArray[Any]]) -> tuple[float, ...]:
    """(sum of covering, area, Rand index, variation of information in bits) over several humans.

    The region measures of the BSDS500 benchmark (Arbelaez et al., PAMI 33 (2011) 898-916).
    """
    rows = np.array([_against_one(labels, truth) for truth in truths])
    return (*rows[:, :2].sum(axis=0), *rows[:, 2:].mean(axis=0))


def pooled(rows: NDArray[np.float64]) -> tuple[float, float, float]:
    """Covering over all regions of all images, Rand index and variation of information (n, 4)."""
    return (
        float(rows[:, 0].sum() / rows[:, 1].sum()),
        float(rows[:, 2].mean()),
        float(rows[:, 3].mean()),
    )


def _against_one(labels: NDArray[Any], truth: NDArray[Any]) -> tuple[float, ...]:
    table = contingency(labels, truth)
    total = int(table.sum())
    n_a, n_b = table.sum(axis=1), table.sum(axis=0)
    overlap = table / (n_a[:, None] + n_b[None, :] - table)
    pairs = total * (total - 1) / 2
    squares = [float((part.astype(float) ** 2).sum()) for part in (n_a, n_b, table)]
    rand = 1 - ((squares[0] + squares[1]) / 2 - squares[2]) / pairs
    entropies = [_entropy(part.ravel(), total) for part in (n_a, n_b, table)]
    information = 2 * entropies[2] - entropies[0] - entropies[1]
    return float((overlap.max(axis=0) * n_b).sum()), total, rand, information


def _entropy(counts: Table, total: int) -> float:
    share = counts[counts > 0] / total
    return float(-(share * np.log2(share)).sum())
