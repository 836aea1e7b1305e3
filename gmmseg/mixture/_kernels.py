"""The CPU kernels of the mixture: loops over blocks of rows, and nothing else.

Conventions of every kernel:

* Rows come standardised, in blocks ``blocks[b, d, i]`` of `BLOCK` rows, feature by feature,
  C-contiguous, of float32 or float64. A block stays in the first-level cache while it is worked
  on, and blocks follow one another in memory. The innermost loop always runs over the rows of one
  block, with a constant trip count, so that LLVM vectorises it and every row meets the same
  instructions wherever it stands (a scalar tail would round differently). The last block is
  filled up with zeros of weight 0. More than `MOST_IN_REGISTERS` features are filled up with
  features of zeros to a multiple of `TILE`.
* Densities are in base 2: ``logs[k] - |W_k (x - mu_k)|^2`` is log2 of weight times density, with
  sqrt(0.5 log2 e) taken into the whitening matrix ``W_k`` (equation 6 of docs/math.md).
* Sums inside a block are of the data's own type, across blocks of float64. Moments are about the
  component's current mean, so that they do not cancel.
* Functions called inside are `apart`: what they write to they reach by no other argument. LLVM
  then makes no checks before their loops, which took a quarter of the time.
* Nothing allocates, nothing holds the GIL. Work space comes from outside, `space`: an array for
  two blocks of all features, one for a line of a block for each component, one for three
  more lines; all of the data's type, all C-contiguous. It begins at a line of the cache.

The parameters come as one of five named tuples, which choose the loops at compile time:
`Full` and `Diagonal` carry a tuple as long as the number of features, so that LLVM unrolls the
loops over features and keeps everything in registers: up to `MOST_IN_REGISTERS` features, beyond
which it stops unrolling and the code becomes 50 times slower. `FullGrouped` unrolls the densities
by groups of rows of W, up to `MOST_GROUPED` features. `FullTiled` and `DiagonalTiled` serve any
number of features: padded to a multiple of `TILE`, taken four by four in named registers.

All kernels that call each other stand in this one file, because Numba's cache does not see
changes in other files.
"""

from typing import NamedTuple

import numpy as np

from gmmseg.mixture._jit import apart, from_numba, kernel, overload

prefetch = from_numba("gmmseg.mixture._compiler", "prefetch")
tuple_setitem = from_numba("numba.cpython.unsafe.tuple", "tuple_setitem")

BLOCK = 1024  # 512 take 5 % longer (sums across a vector), 2048 30 % (they leave the cache)
TILE = 4
LINE = 64  # bytes that processors fetch at once
MOST_IN_REGISTERS = 3
MOST_GROUPED = 16
GROUP_ENDS = (8, 12, 16)  # some 50 products in each group: as much as LLVM unrolls

_LOWEST = -1e30  # log2 of a density that counts for nothing, yet finite: differences stay numbers


class Full(NamedTuple):
    """Unrolled full covariances: means (K, D), whiten (K, D(D+1)/2) packed lower triangles."""

    means: np.ndarray
    whiten: np.ndarray
    features: tuple  # D zeros: its length is known at compile time
    sums: tuple  # 1 + D + D(D+1)/2 zeros of the data's type: where the accumulators start


class Diagonal(NamedTuple):
    """Unrolled diagonal covariances: means (K, D), whiten (K, D) reciprocal deviations."""

    means: np.ndarray
    whiten: np.ndarray
    features: tuple
    sums: tuple  # 1 + 2 D zeros


class FullGrouped(NamedTuple):
    """Full covariances, P padded: means (K, P), whiten (K, D(D+1)/2) packed lower triangles."""

    means: np.ndarray
    whiten: np.ndarray
    first: tuple  # as many zeros as the number of the row of W where the first group ends
    second: tuple  # the same of the second group
    third: tuple  # D zeros


class FullTiled(NamedTuple):
    """Any number of features: means (K, P), whiten (K, P, P) lower triangles, P padded."""

    means: np.ndarray
    whiten: np.ndarray


class DiagonalTiled(NamedTuple):
    """Any number of features: means (K, P), whiten (K, P), P padded."""

    means: np.ndarray
    whiten: np.ndarray


# --- elementary functions: numba has no vector mathematics library, a scalar exp costs 3 ns -----


def exp2(x):
    """2**x for x <= 0, by a polynomial in the fraction and the exponent's bits.

    Not less than 2**-90 (2**-900 in float64): products of such a responsibility with moments stay
    clear of denormal numbers, with which processors are slow, and count for nothing anyway.
    """


def log2(x):
    """log2(x) for x >= 1, by the series of atanh."""


@overload(exp2)
def _exp2(x):
    if getattr(x, "bitwidth", 64) == 32:
        one, lowest = np.float32(1), np.float32(-90)
        c1, c2, c3 = np.float32(0.69314720670), np.float32(0.24022650922), np.float32(0.05550327227)
        c4, c5, c6 = (
            np.float32(0.00961805668),
            np.float32(0.00134004282),
            np.float32(0.000154614447),
        )

        def exp2_32(x):  # relative error 6e-8
            x = max(x, lowest)
            n = np.rint(x)
            f = x - n
            p = one + f * (c1 + f * (c2 + f * (c3 + f * (c4 + f * (c5 + f * c6)))))
            exponent = np.int32(np.int32(n) << np.int32(23))
            return np.int32(np.float32(p).view(np.int32) + exponent).view(np.float32)

        return exp2_32

    def exp2_64(x):  # relative error 2e-16
        x = max(x, -900.0)
        n = np.rint(x)
        f = x - n
        p = 7.07419429728852101e-9 + f * 4.45581790833606449e-10
        p = 1.32154325359123762e-6 + f * (1.01780570877339411e-7 + f * p)
        p = 0.000154035304637243542 + f * (0.0000152527338415567726 + f * p)
        p = 0.00961812910758725667 + f * (0.00133335581464064707 + f * p)
        p = 0.240226506959101596 + f * (0.055504108664821627 + f * p)
        p = 1.0 + f * (0.693147180559945309 + f * p)
        exponent = np.int64(n) << np.int64(52)
        return np.int64(np.float64(p).view(np.int64) + exponent).view(np.float64)

    return exp2_64


@overload(log2)
def _log2(x):
    if getattr(x, "bitwidth", 64) == 32:
        one = np.float32(1)
        c0, c1 = np.float32(2.88539007972), np.float32(0.961798904864)
        c2, c3 = np.float32(0.576707729023), np.float32(0.431919591821)

        def log2_32(x):
            bits = np.float32(x).view(np.int32)
            # 0x3F3504F3 is sqrt(1/2): the mantissa comes out between sqrt(1/2) and sqrt(2)
            exponent = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23))
            mantissa = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32)
            z = (mantissa - one) / (mantissa + one)
            u = z * z
            return np.float32(exponent) + z * (c0 + u * (c1 + u * (c2 + u * c3)))

        return log2_32

    def log2_64(x):
        bits = np.float64(x).view(np.int64)
        exponent = (bits - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52)
        mantissa = np.int64(bits - (exponent << np.int64(52))).view(np.float64)
        z = (mantissa - 1.0) / (mantissa + 1.0)
        u = z * z
        p = 0.221990960829511251 + u * (0.191113533532775014 + u * 0.191563600341699355)
        p = 0.412198583071122135 + u * (0.320598904878084232 + u * (0.262307521273153479 + u * p))
        p = 2.88539008177792681 + u * (0.961796693925975475 + u * (0.577078016355701417 + u * p))
        return np.float64(exponent) + z * p

    return log2_64


# --- one component's log2 densities: out[i] = log - |W (x_i - mu)|^2, top[i] = max(top[i], out[i])


def density(p, k, x, work, log, out, top):
    """Write the log2 densities of component `k` for one block; keep the running maximum."""


@overload(density)
def _density(p, k, x, work, log, out, top):
    return {
        "Full": _density_full,
        "FullGrouped": _density_full_grouped,
        "Diagonal": _density_diagonal,
        "FullTiled": _density_full_tiled,
        "DiagonalTiled": _density_diagonal_tiled,
    }[p.instance_class.__name__]


def _density_full(p, k, x, work, log, out, top):
    means, whiten = p.means, p.whiten
    for i in range(BLOCK):
        q = x.dtype.type(0)
        for j in range(len(p.features)):
            y = x.dtype.type(0)
            for d in range(j + 1):
                y += whiten[k, j * (j + 1) // 2 + d] * (x[d, i] - means[k, d])
            q += y * y
        v = log - q
        out[i] = v
        top[i] = max(top[i], v)


def _density_full_grouped(p, k, x, work, log, out, top):
    for i in range(BLOCK):
        out[i] = log
    _subtract_norm(p, k, x, out, (), p.first)
    _subtract_norm(p, k, x, out, p.first, p.second)
    _subtract_norm(p, k, x, out, p.second, p.third)
    for i in range(BLOCK):
        top[i] = max(top[i], out[i])


@apart
def _subtract_norm(p, k, x, out, begin, end):
    """Subtract the squares of ``W (x - mean)`` in the rows len(begin):len(end) of W."""
    means, whiten = p.means, p.whiten
    for i in range(BLOCK):
        q = x.dtype.type(0)
        for j in range(len(begin), len(end)):
            y = x.dtype.type(0)
            for d in range(j + 1):
                y += whiten[k, j * (j + 1) // 2 + d] * (x[d, i] - means[k, d])
            q += y * y
        out[i] -= q


def _density_diagonal(p, k, x, work, log, out, top):
    means, whiten = p.means, p.whiten
    for i in range(BLOCK):
        q = x.dtype.type(0)
        for d in range(len(p.features)):
            y = whiten[k, d] * (x[d, i] - means[k, d])
            q += y * y
        v = log - q
        out[i] = v
        top[i] = max(top[i], v)


def _density_full_tiled(p, k, x, work, log, out, top):
    means, whiten = p.means, p.whiten
    n_padded = means.shape[1]
    y = work[n_padded : n_padded + TILE]
    for d in range(n_padded):
        _subtract(x[d], means[k, d], work[d])
    _fill(out, log)
    for j in range(0, n_padded, TILE):
        for row in range(TILE):
            _fill(y[row], 0)
        for d in range(0, j + TILE, TILE):
            _add_products(whiten[k, j : j + TILE, d : d + TILE], work[d : d + TILE], y)
        _subtract_squared(y, out)
    for i in range(BLOCK):
        top[i] = max(top[i], out[i])


@apart
def _subtract(x, mean, out):
    for i in range(BLOCK):
        out[i] = x[i] - mean


@apart
def _add_products(w, x, y):
    """Add the product of a tile of W and four features to four lines `y`."""
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    w00, w01, w02, w03 = w0[0], w0[1], w0[2], w0[3]
    w10, w11, w12, w13 = w1[0], w1[1], w1[2], w1[3]
    w20, w21, w22, w23 = w2[0], w2[1], w2[2], w2[3]
    w30, w31, w32, w33 = w3[0], w3[1], w3[2], w3[3]
    x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
    y0, y1, y2, y3 = y[0], y[1], y[2], y[3]
    for i in range(BLOCK):
        y0[i] += w00 * x0[i] + w01 * x1[i] + w02 * x2[i] + w03 * x3[i]
        y1[i] += w10 * x0[i] + w11 * x1[i] + w12 * x2[i] + w13 * x3[i]
        y2[i] += w20 * x0[i] + w21 * x1[i] + w22 * x2[i] + w23 * x3[i]
        y3[i] += w30 * x0[i] + w31 * x1[i] + w32 * x2[i] + w33 * x3[i]


@apart
def _subtract_squared(y, out):
    """Subtract the squares of four lines."""
    y0, y1, y2, y3 = y[0], y[1], y[2], y[3]
    for i in range(BLOCK):
        out[i] -= y0[i] * y0[i] + y1[i] * y1[i] + y2[i] * y2[i] + y3[i] * y3[i]


def _density_diagonal_tiled(p, k, x, work, log, out, top):
    means, whiten = p.means, p.whiten
    for i in range(BLOCK):
        out[i] = log
    for d in range(0, means.shape[1], TILE):
        _subtract_squares(whiten[k, d : d + TILE], means[k, d : d + TILE], x[d : d + TILE], out)
    for i in range(BLOCK):
        top[i] = max(top[i], out[i])


@apart
def _subtract_squares(w, mean, x, out):
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    m0, m1, m2, m3 = mean[0], mean[1], mean[2], mean[3]
    x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
    for i in range(BLOCK):
        y0, y1 = w0 * (x0[i] - m0), w1 * (x1[i] - m1)
        y2, y3 = w2 * (x2[i] - m2), w3 * (x3[i] - m3)
        out[i] -= y0 * y0 + y1 * y1 + y2 * y2 + y3 * y3


# --- one component's weighted moments about its mean, added to nk[k], first[k], second[k] --------


def moments(p, k, x, e, scale, work, nk, first, second):
    """Add the moments of one block about the mean of `k` to the sums.

    Rows are weighted by ``e * scale``; `e` may be overwritten.
    """


@overload(moments)
def _moments(p, k, x, e, scale, work, nk, first, second):
    return {
        "Full": _moments_full,
        "FullGrouped": _moments_full_tiled,
        "Diagonal": _moments_diagonal,
        "FullTiled": _moments_full_tiled,
        "DiagonalTiled": _moments_diagonal_tiled,
    }[p.instance_class.__name__]


def _moments_full(p, k, x, e, scale, work, nk, first, second):
    means = p.means
    n_features = len(p.features)
    s = p.sums
    for i in range(BLOCK):
        r = e[i] * scale[i]
        s = tuple_setitem(s, 0, s[0] + r)
        for d in range(n_features):
            rd = r * (x[d, i] - means[k, d])
            s = tuple_setitem(s, 1 + d, s[1 + d] + rd)
            for c in range(d + 1):
                j = 1 + n_features + d * (d + 1) // 2 + c
                s = tuple_setitem(s, j, s[j] + rd * (x[c, i] - means[k, c]))
    nk[k] += s[0]
    for d in range(n_features):
        first[k, d] += s[1 + d]
        for c in range(d + 1):
            second[k, d, c] += s[1 + n_features + d * (d + 1) // 2 + c]


def _moments_diagonal(p, k, x, e, scale, work, nk, first, second):
    means = p.means
    n_features = len(p.features)
    s = p.sums
    for i in range(BLOCK):
        r = e[i] * scale[i]
        s = tuple_setitem(s, 0, s[0] + r)
        for d in range(n_features):
            difference = x[d, i] - means[k, d]
            rd = r * difference
            s = tuple_setitem(s, 1 + d, s[1 + d] + rd)
            j = 1 + n_features + d
            s = tuple_setitem(s, j, s[j] + rd * difference)
    nk[k] += s[0]
    for d in range(n_features):
        first[k, d] += s[1 + d]
        second[k, d] += s[1 + n_features + d]


def _moments_full_tiled(p, k, x, e, scale, work, nk, first, second):
    means = p.means
    n_padded = means.shape[1]
    nk[k] += _scaled(e, scale)
    for d in range(n_padded):
        first[k, d] += _weighted_difference(x[d], means[k, d], e, work[d], work[n_padded + d])
    for d in range(0, n_padded, TILE):
        for c in range(0, d + TILE, TILE):
            _moment_tile(work[n_padded + d :], work[c:], second[k, d:, c:])


@apart
def _scaled(e, scale):
    """Multiply `e` by `scale` and return the sum."""
    s = e.dtype.type(0)
    for i in range(BLOCK):
        e[i] *= scale[i]
        s += e[i]
    return s


@apart
def _weighted_difference(x, mean, r, difference, weighted):
    s = x.dtype.type(0)
    for i in range(BLOCK):
        t = x[i] - mean
        rt = r[i] * t
        difference[i] = t
        weighted[i] = rt
        s += rt
    return s


@apart
def _moment_tile(a, b, out):
    a0, a1, a2, a3 = a[0], a[1], a[2], a[3]
    b0, b1, b2, b3 = b[0], b[1], b[2], b[3]
    zero = a.dtype.type(0)
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = zero
    s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = zero
    for i in range(BLOCK):
        s00 += a0[i] * b0[i]
        s01 += a0[i] * b1[i]
        s02 += a0[i] * b2[i]
        s03 += a0[i] * b3[i]
        s10 += a1[i] * b0[i]
        s11 += a1[i] * b1[i]
        s12 += a1[i] * b2[i]
        s13 += a1[i] * b3[i]
        s20 += a2[i] * b0[i]
        s21 += a2[i] * b1[i]
        s22 += a2[i] * b2[i]
        s23 += a2[i] * b3[i]
        s30 += a3[i] * b0[i]
        s31 += a3[i] * b1[i]
        s32 += a3[i] * b2[i]
        s33 += a3[i] * b3[i]
    _add_row(out[0], s00, s01, s02, s03)
    _add_row(out[1], s10, s11, s12, s13)
    _add_row(out[2], s20, s21, s22, s23)
    _add_row(out[3], s30, s31, s32, s33)


@apart
def _add_row(out, s0, s1, s2, s3):
    out[0] += s0
    out[1] += s1
    out[2] += s2
    out[3] += s3


def _moments_diagonal_tiled(p, k, x, e, scale, work, nk, first, second):
    means = p.means
    nk[k] += _scaled(e, scale)
    for d in range(means.shape[1]):
        mean = means[k, d]
        s1 = x.dtype.type(0)
        s2 = x.dtype.type(0)
        for i in range(BLOCK):
            difference = x[d, i] - mean
            rd = e[i] * difference
            s1 += rd
            s2 += rd * difference
        first[k, d] += s1
        second[k, d] += s2


# --- passes over rows -----------------------------------------------------------------------------
#
# Processors foresee which memory will be read, but not beyond a page of 4 KiB: every feature of
# every block comes as a surprise. So the next block is fetched while there is arithmetic to do, a
# bit for each component, because requests for all of it at once would have to queue. Without this
# an iteration takes 45 % longer where K = 3 and D = 3.
#
# Slices, here and below, because an index that might be negative (start + i) is wrapped around
# by Numba, which keeps LLVM from vectorising the loop.


@apart
def _copy(source, target):
    # not target[:n] = source: Numba would compile the text of its error message for two seconds
    for i in range(source.shape[0]):
        target[i] = source[i]


@apart
def _fill(out, value):
    for i in range(BLOCK):
        out[i] = value


@apart
def _fetch_next(blocks, b, part, parts):
    """While block `b` is worked on, have one of so many parts of the next one fetched."""
    x = blocks[min(b + 1, blocks.shape[0] - 1)]
    n_lines = x.size * x.itemsize // LINE
    for line in range(n_lines * part // parts, n_lines * (part + 1) // parts):
        prefetch(x, line * LINE)


@apart
def _log_densities(p, blocks, b, work, logs, joint, top):
    """Write the log2 densities of all components for one block, and their maximum."""
    n_components = joint.shape[0]
    for i in range(BLOCK):
        top[i] = _LOWEST
    for k in range(n_components):
        _fetch_next(blocks, b, k, 3 * n_components)
        density(p, k, blocks[b], work, logs[k], joint[k], top)


@apart
def _normalise(blocks, b, joint, top, total):
    """Turn log2 densities into densities relative to the largest, and sum them.

    A row with NaN has the sum NaN: `exp2` and the maximum would lose it.
    """
    n_components = joint.shape[0]
    zero, nan = joint.dtype.type(0), joint.dtype.type(np.nan)
    for i in range(BLOCK):
        total[i] = nan if np.isnan(joint[0, i]) else zero
    for k in range(n_components):
        _fetch_next(blocks, b, n_components + k, 3 * n_components)
        for i in range(BLOCK):
            e = exp2(joint[k, i] - top[i])
            joint[k, i] = e
            total[i] += e


@kernel
def em_pass(
    blocks, first_block, n_rows, weights, logs, p, space, group, nk, first, second, log_likelihood
):  # fmt: skip
    """Add the statistics of `n_rows` rows to nk, first, second and log_likelihood.

    The E-step and the sums of the M-step in one pass; log_likelihood is in base 2. Every `group`
    blocks have sums of their own: the first axis of all four. `weights` has an entry for each
    row, or none when all are 1.
    """
    work, joint, lines = space
    top, total, w = lines[0], lines[1], lines[2]
    n_components = joint.shape[0]
    _fill(w, 1)
    for b in range((n_rows + BLOCK - 1) // BLOCK):
        block = first_block + b
        n = min(BLOCK, n_rows - b * BLOCK)
        if weights.size:
            _copy(weights[b * BLOCK : b * BLOCK + n], w)
        for i in range(n, BLOCK):
            w[i] = 0
        _log_densities(p, blocks, block, work, logs, joint, top)
        _normalise(blocks, block, joint, top, total)
        sum_of_logs = blocks.dtype.type(0)
        for i in range(BLOCK):
            sum_of_logs += w[i] * (top[i] + log2(total[i]))
            total[i] = w[i] / total[i]
        g = b // group
        log_likelihood[g] += sum_of_logs
        for k in range(n_components):
            _fetch_next(blocks, block, 2 * n_components + k, 3 * n_components)
            moments(p, k, blocks[block], joint[k], total, work, nk[g], first[g], second[g])


@kernel
def given_pass(blocks, first_block, n_rows, given, p, space, nk, first, second):
    """Add the moments of `n_rows` rows to nk, first and second, weighted by `given` (K, n_rows)."""
    work, _, lines = space
    share, ones = lines[0], lines[1]
    _fill(ones, 1)
    for b in range((n_rows + BLOCK - 1) // BLOCK):
        n = min(BLOCK, n_rows - b * BLOCK)
        for k in range(given.shape[0]):
            _copy(given[k, b * BLOCK : b * BLOCK + n], share)
            for i in range(n, BLOCK):
                share[i] = 0
            moments(p, k, blocks[first_block + b], share, ones, work, nk, first, second)


@kernel
def odds_pass(blocks, first_block, n_rows, logs, p, space, row, odds):
    """Write log2 of each posterior over the row's largest to odds[:, row:]."""
    work, joint, lines = space
    top = lines[0]
    for b in range((n_rows + BLOCK - 1) // BLOCK):
        begin = row + b * BLOCK
        n = min(BLOCK, n_rows - b * BLOCK)
        _log_densities(p, blocks, first_block + b, work, logs, joint, top)
        for k in range(logs.shape[0]):
            out = odds[k, begin : begin + n]
            for i in range(n):
                out[i] = joint[k, i] - top[i]


@kernel
def label_pass(blocks, first_block, n_rows, logs, p, space, label, labels):
    """Write the most probable component of `n_rows` rows to `labels`; ties go to the lowest.

    `label` is room for a block of labels.
    """
    work, _, lines = space
    joint, top, previous = lines[0], lines[1], lines[2]
    for b in range((n_rows + BLOCK - 1) // BLOCK):
        x = blocks[first_block + b]
        n = min(BLOCK, n_rows - b * BLOCK)
        for i in range(BLOCK):
            top[i] = _LOWEST
            label[i] = 0
        for k in range(logs.shape[0]):
            for i in range(BLOCK):
                previous[i] = top[i]
            density(p, k, x, work, logs[k], joint, top)
            for i in range(BLOCK):
                if top[i] > previous[i]:
                    label[i] = k
        _copy(label[:n], labels[b * BLOCK :])


@kernel
def posterior_pass(blocks, first_block, n_rows, logs, p, space, row, posterior, log_density):
    """Write posteriors to posterior[:, row:] and log2 densities to log_density[row:].

    A `posterior` or `log_density` of size 0 is not wanted.
    """
    work, joint, lines = space
    top, total = lines[0], lines[1]
    for b in range((n_rows + BLOCK - 1) // BLOCK):
        begin = row + b * BLOCK
        n = min(BLOCK, n_rows - b * BLOCK)
        _log_densities(p, blocks, first_block + b, work, logs, joint, top)
        _normalise(blocks, first_block + b, joint, top, total)
        if posterior.size:
            for k in range(logs.shape[0]):
                out = posterior[k, begin : begin + n]
                for i in range(n):
                    out[i] = joint[k, i] / total[i]
        if log_density.size:
            for i in range(BLOCK):  # the bits of NaN would give log2 a number
                top[i] = total[i] if np.isnan(total[i]) else top[i] + log2(total[i])
            _copy(top[:n], log_density[begin:])


@kernel
def certainty_pass(blocks, first_block, n_rows, weights, logs, p, space, sums):
    """Add log2 densities of `n_rows` rows to sums[0], log2 of largest posteriors to sums[1]."""
    work, joint, lines = space
    top, total, w = lines[0], lines[1], lines[2]
    _fill(w, 1)
    for b in range((n_rows + BLOCK - 1) // BLOCK):
        n = min(BLOCK, n_rows - b * BLOCK)
        if weights.size:
            _copy(weights[b * BLOCK : b * BLOCK + n], w)
        for i in range(n, BLOCK):
            w[i] = 0
        _log_densities(p, blocks, first_block + b, work, logs, joint, top)
        _normalise(blocks, first_block + b, joint, top, total)
        density = certainty = blocks.dtype.type(0)
        for i in range(BLOCK):
            logarithm = log2(total[i])
            density += w[i] * (top[i] + logarithm)
            certainty -= w[i] * logarithm
        sums[0] += density
        sums[1] += certainty


@kernel
def lloyd_pass(planes, weights, centres, space, labels, sums, inertia):
    """Assign every row of `planes` (D, n) to the nearest of `centres` (K, D), add up the clusters.

    `sums` (K, 1 + D) receives weights and weighted sums, `inertia[0]` the weighted squared
    distances, `labels` the assignments. `space` is a block of all features, two lines more,
    and one for labels (int32).
    """
    n_clusters, n_features = centres.shape
    x, lines, label = space
    distance, nearest = lines[0], lines[1]
    for b in range(0, planes.shape[1], BLOCK):
        n = min(BLOCK, planes.shape[1] - b)
        for d in range(n_features):
            _copy(planes[d, b : b + n], x[d])
        for i in range(BLOCK):
            nearest[i] = np.inf
            label[i] = 0
        for k in range(n_clusters):
            for i in range(BLOCK):
                distance[i] = 0
            for d in range(n_features):
                for i in range(BLOCK):
                    difference = x[d, i] - centres[k, d]
                    distance[i] += difference * difference
            for i in range(BLOCK):
                if distance[i] < nearest[i]:
                    nearest[i] = distance[i]
                    label[i] = k
        _copy(label[:n], labels[b:])
        for i in range(n):
            w = weights[b + i]
            k = label[i]
            inertia[0] += w * nearest[i]
            sums[k, 0] += w
            for d in range(n_features):
                sums[k, 1 + d] += w * x[d, i]
