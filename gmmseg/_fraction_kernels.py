"""The kernel of partial volume: what is in pixels of two classes. Loops and nothing else."""

import math

import numpy as np

from gmmseg.mixture._jit import inline, kernel

_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_PI = math.sqrt(2.0 * math.pi)

# Beyond so many deviations a tail is that of an exponential distribution, to a hundredth.
_FAR = 8.0


@inline
def _tail(a):
    """What a normal deviate has above `a`."""
    return 0.5 * math.erfc(a * _SQRT_HALF)


@inline
def _truncated(m, length, moments):
    """Logarithm of what a normal deviate about `m` has in 0..length; its mean and variance there.

    They go to moments[0] and moments[1].
    """
    a, b = -m, length - m
    near = a if a > 0 else (-b if b < 0 else 0.0)
    if near > _FAR:
        moments[0] = 1 / near if a > 0 else length - 1 / near
        moments[1] = 1 / (near * near)
        return -0.5 * near * near - math.log(near * _SQRT_2_PI)
    # the difference of the smaller tails: nothing cancels
    inside = _tail(-b) - _tail(-a) if b < 0 else _tail(a) - _tail(b)
    low = math.exp(-0.5 * a * a) / (_SQRT_2_PI * inside)
    high = math.exp(-0.5 * b * b) / (_SQRT_2_PI * inside)
    moments[0] = min(max(m + low - high, 0.0), length)
    moments[1] = max(1 + a * low - b * high - (low - high) ** 2, 0.0)
    return math.log(inside)


@inline
def _known(known, k, i):
    return known[k, i] if known.size else np.float32(0)


@kernel
def mixel_pass(z, known, centres, ways, lengths, logs, first, stop, work, out, nk, gram, products):
    """Fractions of the classes in pixels first:stop, and the sums of the M-step.

    z (D, N) are the values in the metric of the noise, centres (K, D) the classes there, and
    ways (K - 1, D) the directions from each to the next, of `lengths`. `logs` (2 K - 1,) are the
    logarithms of the weights of pure pixels, and of those of two classes; `known` (K, N) is what
    the share of a class is worth, or of size 0. Fractions go to out (K, N), unless that is of size
    0; sums of the responsibilities, of f f' and of f z' to the rest.
    """
    joint, share, spread, fraction, moments = work
    n_classes, n_features = centres.shape
    for i in range(first, stop):
        top = -math.inf
        for k in range(n_classes):
            squared = 0.0
            for d in range(n_features):
                delta = z[d, i] - centres[k, d]
                squared += delta * delta
            fraction[k] = squared
            joint[k] = logs[k] - 0.5 * squared
            joint[k] += _known(known, k, i)
            top = max(top, joint[k])
        for p in range(n_classes - 1):
            along = 0.0
            for d in range(n_features):
                along += (z[d, i] - centres[p, d]) * ways[p, d]
            height = _known(known, p, i)
            at = along + (_known(known, p + 1, i) - height) / lengths[p]
            height += _truncated(at, lengths[p], moments) + math.log(_SQRT_2_PI / lengths[p])
            share[p] = moments[0] / lengths[p]
            spread[p] = moments[1] / (lengths[p] * lengths[p])
            # beside the way, and on it, where `known` has moved the middle
            height += -0.5 * (fraction[p] - along * along) + 0.5 * (at * at - along * along)
            joint[n_classes + p] = logs[n_classes + p] + height
            top = max(top, joint[n_classes + p])
        total = 0.0
        for c in range(2 * n_classes - 1):
            joint[c] = math.exp(joint[c] - top)
            total += joint[c]
        for c in range(2 * n_classes - 1):
            joint[c] /= total
            nk[c] += joint[c]
        for k in range(n_classes):
            fraction[k] = joint[k]
            gram[k, k] += joint[k]
        for p in range(n_classes - 1):
            r, f, f2 = joint[n_classes + p], share[p], share[p] * share[p] + spread[p]
            fraction[p] += r * (1 - f)
            fraction[p + 1] += r * f
            gram[p, p] += r * (1 - 2 * f + f2)
            gram[p + 1, p + 1] += r * f2
            gram[p, p + 1] += r * (f - f2)
            gram[p + 1, p] += r * (f - f2)
        for k in range(n_classes):
            for d in range(n_features):
                products[k, d] += fraction[k] * z[d, i]
            if out.size:
                out[k, i] = fraction[k]
