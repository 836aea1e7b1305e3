"""Regions as one would write them on a blackboard: slow, and obviously right."""

import itertools

import numpy as np


def neighbours(place, shape, connectivity):
    """All neighbours of a pixel that are in the image."""
    reach = {4: 1, 8: 2, 6: 1, 18: 2, 26: 3}[connectivity]
    for step in itertools.product((-1, 0, 1), repeat=len(shape)):
        there = tuple(p + s for p, s in zip(place, step, strict=True))
        inside = all(0 <= t < n for t, n in zip(there, shape, strict=True))
        if 0 < sum(map(abs, step)) <= reach and inside:
            yield there, sum(map(abs, step)) == 1


def flood(labels, connectivity):
    """Numbers of connected regions from 1, in the order of their first pixels."""
    regions = np.zeros(labels.shape, int)
    number = 0
    for start in np.ndindex(labels.shape):
        if labels[start] == 0 or regions[start]:
            continue
        number += 1
        regions[start], waiting = number, [start]
        while waiting:
            place = waiting.pop()
            for there, _ in neighbours(place, labels.shape, connectivity):
                if labels[there] == labels[start] and not regions[there]:
                    regions[there] = number
                    waiting.append(there)
    return regions


def borders(labels, inside, connectivity):
    """Length of the border of some pixels with every class around them; 0 at corners only."""
    found = {}
    for place in zip(*np.nonzero(inside), strict=True):
        for there, is_face in neighbours(place, labels.shape, connectivity):
            if labels[there] and not inside[there]:
                found[labels[there]] = found.get(labels[there], 0) + is_face
    return found


def clean_one(labels, connectivity, min_area, probabilities=None):
    """Give away the first of the smallest regions that can go; None when none can."""
    regions = flood(labels, connectivity)
    sizes = np.bincount(regions.ravel())
    order = sorted(range(1, len(sizes)), key=lambda r: sizes[r])
    for r in order:
        inside = regions == r
        around = borders(labels, inside, connectivity)
        if sizes[r] >= min_area or not around:
            continue
        worth = around
        if probabilities is not None:
            worth = {c: probabilities[c - 1][inside].sum() for c in around}
        goal = max(sorted(around), key=lambda c: worth[c])
        return np.where(inside, goal, labels), r
    return None


def ward(a, b, values, regions):
    """What joining two regions adds to the sum of squares within regions."""
    one, two = values[:, regions == a], values[:, regions == b]
    both = np.concatenate([one, two], axis=1)
    return _scatter(both) - _scatter(one) - _scatter(two)


def _scatter(values):
    return ((values - values.mean(axis=1, keepdims=True)) ** 2).sum()


def touching(regions, connectivity):
    """All pairs of regions that touch."""
    pairs = set()
    for place in np.ndindex(regions.shape):
        for there, _ in neighbours(place, regions.shape, connectivity):
            a, b = regions[place], regions[there]
            if a and b and a < b:
                pairs.add((int(a), int(b)))
    return pairs
