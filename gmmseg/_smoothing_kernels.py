"""The CPU kernels of spatial smoothing: loops over rows of pixels, and nothing else.

Conventions of every kernel:

* Images are volumes of one plane or more: ``q[k, z, y, x]`` float32, C-contiguous, is the
  probability of class k; 0 for pixels that are not used. ``unary[k, z, y, x]`` is the log2 of the
  mixture's posterior, up to a constant for each pixel.
* Pixels of one colour, (z % 2, y % 2, x % 2), are never neighbours. They are updated colour after
  colour, in place: as good as pixel by pixel in sequence, where the free energy cannot rise, and
  the same whatever the order within a colour. Updating all pixels at once from a copy came to rest
  in half as many more sweeps under weak ties (4 neighbours, beta 0.5), and under strong ones never:
  it ends in two states by turns. Where both came to rest, colours had the lower free energy.
* `order` lists the rows to work on, ``(z, y, start, stop)``: columns start:stop hold all used
  pixels of the row, and `start` is even. Who makes the list sees to it that a row comes after its
  neighbours of earlier colours and before those of later ones.
* A row is worked on in buffers that stay in the first two levels of the cache, its even and its odd
  columns apart: every loop runs over contiguous numbers, and no exponential is computed in vain.
* `ties[dz + 1, dy + 1]` is what a neighbour in the row at (dz, dy) weighs, in base 2: straight
  across, and one column to the left or right.
"""

import numpy as np

from gmmseg.mixture._jit import forced_inline as inline
from gmmseg.mixture._jit import kernel
from gmmseg.mixture._kernels import exp2

# Buffers are rounded up to whole vectors, unrolled four times: tails would run one by one.
LANES = 64

_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(32)
_LOWEST = np.float32(-3e38)


@inline
def _padded(n):
    """Length of the buffers for half of `n` columns."""
    return ((n + 1) // 2 + LANES - 1) // LANES * LANES


@inline
def _fill(out, value):
    for j in range(out.shape[0]):
        out[j] = value


@inline
def _copy(source, out):
    for j in range(source.shape[0]):
        out[j] = source[j]


@inline
def _add_constant(source, value, out):
    for j in range(source.shape[0]):
        out[j] = source[j] + value


@inline
def _split(pairs, even, odd):
    """Take pairs of float32 apart. Shifts of 64 bits are vectorised, strides of two are not."""
    for j in range(pairs.shape[0]):
        pair = pairs[j]
        even[j] = np.uint32(pair & _LOW).view(np.float32)
        odd[j] = np.uint32(pair >> _HIGH).view(np.float32)


@inline
def _join(even, odd, pairs):
    """The inverse of `_split`."""
    for j in range(pairs.shape[0]):
        low = np.uint64(np.float32(even[j]).view(np.uint32))
        high = np.uint64(np.float32(odd[j]).view(np.uint32))
        pairs[j] = low | (high << _HIGH)


@inline
def _set_two(above, below, across_above, across_below, aside_above, aside_below, centre, side):
    for j in range(above.shape[0]):
        a, b = above[j], below[j]
        centre[j] = across_above * a + across_below * b
        side[j] = aside_above * a + aside_below * b


@inline
def _add_three(above, level, below, across, aside, centre, side):
    across_above, across_level, across_below = across
    aside_above, aside_level, aside_below = aside
    for j in range(above.shape[0]):
        a, b, c = above[j], level[j], below[j]
        centre[j] += across_above * a + across_level * b + across_below * c
        side[j] += aside_above * a + aside_level * b + aside_below * c


@inline
def _add_pull(centre, left, right, out):
    for j in range(out.shape[0]):
        out[j] += centre[j] + (left[j] + right[j])


@inline
def _add_tied(row, edge, tie, out):
    for j in range(out.shape[0]):
        out[j] += tie * np.float32(edge[j]) * row[j]


@inline
def _pull_evenly(plane, ties, z, y, start, stop, centre, side, out):
    """Add to out[:stop - start] what the eight rows around row (z, y) pull with."""
    # three rows in one loop: one by one, the sums went through memory eight times, and took half
    # of a sweep. Beyond the image any row does, with ties of zero.
    n_planes, n_rows, n_columns = plane.shape
    n, shift = stop - start, 1 - start
    low, high = max(start - 1, 0), min(stop + 1, n_columns)
    up, down = max(y - 1, 0), min(y + 1, n_rows - 1)
    has_up, has_down = np.float32(y > 0), np.float32(y < n_rows - 1)
    for edge in (0, n + 1):  # columns that the image may not have
        centre[edge] = side[edge] = np.float32(0)
    c, s = centre[low + shift : high + shift], side[low + shift : high + shift]
    _set_two(
        plane[z, up, low:high],
        plane[z, down, low:high],
        has_up * ties[1, 0, 0],
        has_down * ties[1, 2, 0],
        has_up * ties[1, 0, 1],
        has_down * ties[1, 2, 1],
        c,
        s,
    )
    for dz in (-1, 1):
        if 0 <= z + dz < n_planes:
            t = ties[dz + 1]
            _add_three(
                plane[z + dz, up, low:high],
                plane[z + dz, y, low:high],
                plane[z + dz, down, low:high],
                (has_up * t[0, 0], t[1, 0], has_down * t[2, 0]),
                (has_up * t[0, 1], t[1, 1], has_down * t[2, 1]),
                c,
                s,
            )
    _add_pull(centre[1 : n + 1], side[:n], side[2 : n + 2], out[:n])


@inline
def _pull_by_edges(plane, edges, ties, z, y, start, stop, out):
    """The same where every tie is weakened by its edge; ties are in units of 255."""
    n_planes, n_rows, n_columns = plane.shape
    # columns with a neighbour to their right, and with one to their left
    last, first = min(stop, n_columns - 1), max(start, 1)
    for dz in range(max(-1, -z), min(2, n_planes - z)):
        for dy in range(max(-1, -y), min(2, n_rows - y)):
            across, aside = ties[dz + 1, dy + 1, 0], ties[dz + 1, dy + 1, 1]
            ahead = 3 * dz + dy
            if ahead == 0 or (across == 0 and aside == 0):
                continue
            row = plane[z + dz, y + dy]
            if ahead > 0:  # an edge is kept at its first pixel: this one
                e, ez, ey, right, left = 3 * ahead - 1, z, y, 0, 0
            else:  # the neighbour, which has this pixel on the other side
                e, ez, ey, right, left = -3 * ahead - 1, z + dz, y + dy, 1, -1
            to_right, to_left = (e + 1, e - 1) if ahead > 0 else (e - 1, e + 1)
            _add_tied(row[start:stop], edges[e, ez, ey, start:stop], across, out[: stop - start])
            if aside == 0:
                continue
            _add_tied(
                row[start + 1 : last + 1],
                edges[to_right, ez, ey, start + right : last + right],
                aside,
                out[: last - start],
            )
            _add_tied(
                row[first - 1 : stop - 1],
                edges[to_left, ez, ey, first + left : stop + left],
                aside,
                out[first - start : stop - start],
            )


@inline
def _pull_of_rows(plane, edges, ties, z, y, start, stop, centre, side, out):
    if edges.size:
        _pull_by_edges(plane, edges, ties, z, y, start, stop, out)
    else:
        _pull_evenly(plane, ties, z, y, start, stop, centre, side, out)


@inline
def _ties_in_row(edges, z, y, start, stop, tie, out):
    """The tie of every column to the next one."""
    _fill(out, tie)
    if edges.size:
        row = edges[0, z, y]
        for j in range(stop - start):
            out[j] = tie * np.float32(row[start + j])


@inline
def _add_neighbours(left, left_tie, right, right_tie, out, top):
    """Add the pull of both neighbours in the row; keep the maximum over the classes."""
    for j in range(out.shape[0]):
        v = out[j] + (left_tie[j] * left[j] + right_tie[j] * right[j])
        out[j] = v
        top[j] = max(top[j], v)


@inline
def _soften(value, top, total):
    for j in range(value.shape[0]):
        e = exp2(value[j] - top[j])
        value[j] = e
        total[j] += e


@inline
def _harden(value, top, total):
    """1 for the first class that has the maximum, 0 for the others."""
    for j in range(value.shape[0]):
        e = np.float32(1) - total[j] if value[j] >= top[j] else np.float32(0)
        value[j] = e
        total[j] += e


@inline
def _normalise(total, used):
    for j in range(total.shape[0]):
        total[j] = used[j] / total[j]


@inline
def _scale(value, factor, out):
    for j in range(value.shape[0]):
        out[j] = value[j] * factor[j]


@inline
def _update_half(value, around, ties, after, hard, used, top, total, out):
    """New probabilities of every other column of a row, from all its neighbours.

    Column j of this half stands between around[:, j] and around[:, j + 1], to which it is tied
    by ties[0] and ties[1]. Its new values go to out[:, after:].
    """
    # whole arrays and where to begin, because a slice of two dimensions is not known to be
    # contiguous, and loops over its rows were six times slower
    half = used.shape[0]
    _fill(top, _LOWEST)
    _fill(total, np.float32(0))
    for k in range(value.shape[0]):
        left, right = around[k, :half], around[k, 1 : half + 1]
        _add_neighbours(left, ties[0], right, ties[1], value[k, :half], top)
    for k in range(value.shape[0]):
        if hard:
            _harden(value[k, :half], top, total)
        else:
            _soften(value[k, :half], top, total)
    _normalise(total, used)
    for k in range(value.shape[0]):
        _scale(value[k, :half], total, out[k, after : after + half])


@inline
def _replace(new, row):
    """Write a row and return the sum of its changes."""
    change = np.float32(0)
    for j in range(row.shape[0]):
        change += abs(new[j] - row[j])
        row[j] = new[j]
    return change


@kernel
def relax_pass(unary, q, field, mask, edges, ties, hard, order, work, change):
    """Update the rows in `order`, in place; change[i] receives the sum of changes of the i-th.

    `mask` is 1 where a pixel is used, or of size 0. `edges` has what is left of each tie, 0 to 255,
    or is of size 0: see `edge_pass`. With `hard` the most probable class gets all (ICM).
    """
    n_classes = q.shape[0]
    pairs_of_row, buffers, value_even, value_odd, even, odd = work
    for i in range(order.shape[0]):
        z, y, start, stop = order[i, 0], order[i, 1], order[i, 2], order[i, 3]
        n = stop - start
        half = _padded(n)
        pairs = pairs_of_row[:half]
        row = pairs.view(np.float32)
        used_even, used_odd = buffers[2, :half], buffers[3, :half]
        top, total = buffers[4, :half], buffers[5, :half]
        tie_even, tie_odd = buffers[6, :half], buffers[7, 1 : half + 1]
        _ties_in_row(edges, z, y, start, stop, ties[1, 1, 1], row)
        _split(pairs, tie_even, tie_odd)
        _fill(row[:n], np.float32(1))
        _fill(row[n:], np.float32(0))
        if mask.size:
            _copy(mask[z, y, start:stop], row)
        _split(pairs, used_even, used_odd)
        for k in range(n_classes):
            _copy(q[k, z, y, start:stop], row)
            _split(pairs, even[k, :half], odd[k, 1 : half + 1])
            even[k, half] = 0
            odd[k, 0] = 0
        for k in range(n_classes):
            _add_constant(unary[k, z, y, start:stop], field[k], row)
            _pull_of_rows(q[k], edges, ties, z, y, start, stop, buffers[0], buffers[1], row)
            _split(pairs, value_even[k, :half], value_odd[k, :half])
        around_even = (buffers[7, :half], tie_even)
        around_odd = (tie_even, tie_odd)
        _update_half(value_even, odd, around_even, 0, hard, used_even, top, total, even)
        _update_half(value_odd, even, around_odd, 1, hard, used_odd, top, total, odd)
        moved = np.float32(0)
        for k in range(n_classes):
            _join(even[k, :half], odd[k, 1 : half + 1], pairs)
            moved += _replace(row[:n], q[k, z, y, start:stop])
        change[i] = moved


@inline
def _pull_within_row(row, edges, tie, z, y, start, stop, out):
    """Add what the neighbours to the left and right pull with."""
    last, first = min(stop, row.shape[0] - 1), max(start, 1)
    if edges.size:
        edge = edges[0, z, y]
        _add_tied(row[start + 1 : last + 1], edge[start:last], tie, out[: last - start])
        _add_tied(row[first - 1 : stop - 1], edge[first - 1 : stop - 1], tie, out[first - start :])
    else:
        _add_scaled(row[start + 1 : last + 1], tie, out[: last - start])
        _add_scaled(row[first - 1 : stop - 1], tie, out[first - start :])


@inline
def _add_scaled(row, tie, out):
    for j in range(row.shape[0]):
        out[j] += tie * row[j]


@kernel
def affinity_pass(q, mask, edges, ties, field, known, beta, order, work, derivatives, shares):
    """First and second derivatives by `beta` of the log pseudo-likelihood of the rows in `order`.

    Sums over the used pixels of row i go to derivatives[i], those of `q` and of what is expected of
    it to shares[i, 0] and shares[i, 1]. `field` (K,) is the log2 of what the classes are worth by
    themselves; `ties` are those of beta = 1, and `beta` is in base 2 (docs/math.md, equation 43).
    `known` has as much for single pixels, or is of size 0.
    """
    n_classes = q.shape[0]
    buffers, pull, expected = work
    for i in range(order.shape[0]):
        z, y, start, stop = order[i, 0], order[i, 1], order[i, 2], order[i, 3]
        n = stop - start
        used, top, total, seen = buffers[2, :n], buffers[3, :n], buffers[4, :n], buffers[5, :n]
        _fill(used, np.float32(1))
        if mask.size:
            _copy(mask[z, y, start:stop], used)
        _fill(top, _LOWEST)
        _fill(total, np.float32(0))
        for k in range(n_classes):
            s, e = pull[k, :n], expected[k, :n]
            _fill(s, np.float32(0))
            _pull_of_rows(q[k], edges, ties, z, y, start, stop, buffers[0], buffers[1], s)
            _pull_within_row(q[k, z, y], edges, ties[1, 1, 1], z, y, start, stop, s)
            _fill(e, field[k])
            if known.size:
                _add_constant(known[k, z, y, start:stop], field[k], e)
            for j in range(n):
                e[j] += beta * s[j]
                top[j] = max(top[j], e[j])
        for k in range(n_classes):
            _soften(expected[k, :n], top, total)
        _normalise(total, used)
        first = second = np.float32(0)
        _fill(seen, np.float32(0))
        for k in range(n_classes):
            s, e, p = pull[k, :n], expected[k, :n], q[k, z, y, start:stop]
            is_share, has_share = np.float32(0), np.float32(0)
            for j in range(n):
                r = e[j] * total[j]
                first += (p[j] - r) * s[j]
                second += r * s[j] * s[j]
                seen[j] += r * s[j]
                is_share += p[j]
                has_share += r
            shares[i, 0, k] = is_share
            shares[i, 1, k] = has_share
        for j in range(n):
            second -= seen[j] * seen[j]
        derivatives[i, 0] = first
        derivatives[i, 1] = -second


@kernel
def pull_pass(q, edges, ties, order, work, out):
    """What the neighbours of the pixels in the rows in `order` pull with: out like `q`."""
    for i in range(order.shape[0]):
        z, y, start, stop = order[i, 0], order[i, 1], order[i, 2], order[i, 3]
        n = stop - start
        for k in range(q.shape[0]):
            pull = work[2, :n]
            _fill(pull, np.float32(0))
            _pull_of_rows(q[k], edges, ties, z, y, start, stop, work[0], work[1], pull)
            _pull_within_row(q[k, z, y], edges, ties[1, 1, 1], z, y, start, stop, pull)
            _copy(pull, out[k, z, y, start:stop])


@inline
def _squared_differences(guide, z, y, start, stop, dz, dy, dx, out):
    """|x_i - x_j|^2 of the pixels of a row and their neighbours at (dz, dy, dx)."""
    _fill(out, np.float32(0))
    for f in range(guide.shape[0]):
        one, other = guide[f, z, y, start:stop], guide[f, z + dz, y + dy, start + dx : stop + dx]
        for j in range(out.shape[0]):
            difference = one[j] - other[j]
            out[j] += difference * difference


@inline
def _forward(e):
    """The offset of the e-th edge of a pixel: one of the 13 of which none is another's opposite."""
    return (e + 4) // 9, (e + 4) // 3 % 3 - 1, (e + 4) % 3 - 1


@kernel
def contrast_pass(guide, mask, ties, order, work, squares, pairs):
    """Sums of the squared differences of the tied pairs of row i, and how many there are."""
    _, n_planes, n_rows, n_columns = guide.shape
    for i in range(order.shape[0]):
        z, y = order[i, 0], order[i, 1]
        total, n = np.float32(0), 0
        for e in range(1, 14):
            dz, dy, dx = _forward(e)
            if (
                not (z + dz < n_planes and 0 <= y + dy < n_rows)
                or ties[dz + 1, dy + 1, abs(dx)] == 0
            ):
                continue
            start, stop = max(order[i, 2], -dx), min(order[i, 3], n_columns - dx)
            out = work[: max(stop - start, 0)]
            _squared_differences(guide, z, y, start, start + out.shape[0], dz, dy, dx, out)
            if mask.size == 0:
                for j in range(out.shape[0]):
                    total += out[j]
                n += out.shape[0]
                continue
            one, other = mask[z, y, start:], mask[z + dz, y + dy, start + dx :]
            for j in range(out.shape[0]):
                both = one[j] & other[j]
                total += out[j] * np.float32(both)
                n += both
        squares[i] = total
        pairs[i] = n


@kernel
def edge_pass(guide, ties, scale, order, work, edges):
    """What is left of every tie: 255 exp2(-scale |x_i - x_j|^2), rounded, of the rows in `order`.

    edges[e, z, y, x] is for the tie of pixel (z, y, x) to the one at the offset of edge e.
    """
    _, n_planes, n_rows, n_columns = guide.shape
    for i in range(order.shape[0]):
        z, y = order[i, 0], order[i, 1]
        for e in range(1, 14):
            dz, dy, dx = _forward(e)
            if (
                not (z + dz < n_planes and 0 <= y + dy < n_rows)
                or ties[dz + 1, dy + 1, abs(dx)] == 0
            ):
                continue
            start, stop = max(order[i, 2], -dx), min(order[i, 3], n_columns - dx)
            out = work[: max(stop - start, 0)]
            _squared_differences(guide, z, y, start, start + out.shape[0], dz, dy, dx, out)
            row = edges[e - 1, z, y, start : start + out.shape[0]]
            for j in range(out.shape[0]):
                row[j] = np.uint8(np.int32(255 * exp2(-scale * out[j]) + np.float32(0.5)))
