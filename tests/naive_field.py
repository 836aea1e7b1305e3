"""Markov random fields pixel by pixel in plain NumPy and float64: slow and obviously right."""

import itertools

import numpy as np

REACH = {4: 1, 8: 2, 6: 1, 18: 2, 26: 3}


def offsets(ndim, neighbours, spacing):
    """Every neighbour's offset and weight: the least distance over the neighbour's."""
    return [
        (offset, min(spacing) / np.hypot.reduce(np.multiply(offset, spacing)))
        for offset in itertools.product((-1, 0, 1), repeat=ndim)
        if 0 < np.abs(offset).sum() <= REACH[neighbours]
    ]


def neighbours_of(pixel, used, ties):
    for offset, weight in ties:
        other = tuple(np.add(pixel, offset))
        inside = all(0 <= at < size for at, size in zip(other, used.shape, strict=True))
        if inside and used[other]:
            yield other, weight


def squared_difference(guide, one, other):
    return float(((guide[(..., *one)] - guide[(..., *other)]) ** 2).sum())


def edges(guide, used, ties, contrast):
    """What is left of a tie between two pixels, in steps of 1/255 as it is stored."""
    squares = [
        squared_difference(guide, pixel, other)
        for pixel in np.ndindex(used.shape)
        if used[pixel]
        for other, _ in neighbours_of(pixel, used, ties)
    ]
    mean = np.mean(squares) if squares else 1.0

    def left(one, other):
        exact = np.exp(-contrast * squared_difference(guide, one, other) / (2 * mean))
        return np.floor(255 * exact + 0.5) / 255

    return left


def no_edges(one, other):
    return 1.0


def pull(q, pixel, used, ties, edge):
    total = np.zeros(len(q))
    for other, weight in neighbours_of(pixel, used, ties):
        total += weight * edge(pixel, other) * q[(..., *other)]
    return total


def in_order(shape):
    """Pixels colour by colour: by whether plane, row and column are odd."""
    return sorted(np.ndindex(shape), key=lambda pixel: tuple(at % 2 for at in pixel))


def sweep(log_posterior, q, used, ties, beta, edge=no_edges, hard=False):
    """Update every used pixel of `q` in place, one after the other."""
    for pixel in in_order(used.shape):
        if used[pixel]:
            value = log_posterior[(..., *pixel)] + beta * pull(q, pixel, used, ties, edge)
            relative = np.exp(value - value.max())
            chosen = np.eye(len(q))[np.argmax(value)]
            q[(..., *pixel)] = chosen if hard else relative / relative.sum()


def free_energy(log_posterior, q, used, ties, beta):
    """What mean fields minimise: energy less entropy."""
    total = 0.0
    for pixel in np.ndindex(used.shape):
        if used[pixel]:
            p = q[(..., *pixel)].astype(float)
            entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
            pulled = pull(q.astype(float), pixel, used, ties, no_edges)
            total -= (p * (log_posterior[(..., *pixel)] + beta / 2 * pulled)).sum() + entropy
    return total


def log_pseudo_likelihood(q, used, ties, weights, beta):
    total = 0.0
    for pixel in np.ndindex(used.shape):
        if used[pixel]:
            value = np.log(weights) + beta * pull(q, pixel, used, ties, no_edges)
            total += (q[(..., *pixel)] * value).sum() - np.log(np.exp(value).sum())
    return total
