"""The CPU kernels of regions: loops over pixels and regions, and nothing else.

Conventions of every kernel:

* Images are volumes of one plane or more, given flat: pixel (z, y, x) has the number
  ``(z * rows + y) * cols + x``. 0 in `labels` and in `regions` is a pixel that is not used.
* `steps[i]` is (dz, dy, dx) of a neighbour that comes earlier in this order. The later neighbours
  are the same steps backwards: whatever is a pair is seen once from either side.
* Regions are numbered from 1 in the order of their first pixels. While they are merged, `parent`
  is a forest: the root of a region's tree stands for all regions that it was merged with.
"""

from gmmseg.mixture._jit import inline, kernel


@inline
def _root(parent, i):
    """The root of `i`; the way there is halved."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@inline
def _unite(parent, a, b):
    """Make `a` and `b` one tree, under the smaller root; return it."""
    a, b = _root(parent, a), _root(parent, b)
    if a < b:
        parent[b] = a
        return a
    parent[a] = b
    return b


@kernel
def number_regions(labels, shape, steps, regions):
    """Connected pixels of equal label get the same number from 1; return how many there are."""
    planes, rows, cols = shape
    for z in range(planes):
        for y in range(rows):
            for x in range(cols):
                here = (z * rows + y) * cols + x
                regions[here] = here
                if labels[here] == 0:
                    continue
                for i in range(steps.shape[0]):
                    z2, y2, x2 = z + steps[i, 0], y + steps[i, 1], x + steps[i, 2]
                    if z2 >= 0 and 0 <= y2 < rows and 0 <= x2 < cols:
                        there = (z2 * rows + y2) * cols + x2
                        if labels[there] == labels[here]:
                            _unite(regions, here, there)
    # A root is the first pixel of its region: its number is settled before the others ask.
    n = 0
    for here in range(labels.shape[0]):
        if labels[here] == 0:
            regions[here] = 0
        elif regions[here] == here:
            n += 1
            regions[here] = -n
        else:
            regions[here] = regions[regions[here]]
    for here in range(labels.shape[0]):
        regions[here] = -regions[here]
    return n


@kernel
def list_pixels(regions, sizes, limit, head, tail, following):
    """Chain the pixels of every region of less than `limit` pixels: head, following, ..., -1."""
    for r in range(head.shape[0]):
        head[r] = tail[r] = -1
    for back in range(regions.shape[0]):
        here = regions.shape[0] - 1 - back
        r = regions[here]
        if r > 0 and sizes[r] < limit:
            following[here] = head[r]
            if head[r] < 0:
                tail[r] = here
            head[r] = here


@inline
def _look_around(
    r,
    regions,
    shape,
    steps,
    widths,
    head,
    following,
    parent,
    classes,
    border,
    seen,
    touched,
    serial,
):
    """Who touches region `r`: their number, and whether `r` ends at the image or at unused pixels.

    `touched` lists their roots, `border` sums the lengths of the borders by class; a class that
    touches at corners only has a border of 0, the others -1.
    """
    planes, rows, cols = shape
    border[:] = -1.0
    n, open_end = 0, False
    here = head[r]
    while here >= 0:
        x = here % cols
        y = (here // cols) % rows
        z = here // (cols * rows)
        for i in range(2 * steps.shape[0]):
            j, sign = i // 2, 1 - 2 * (i % 2)
            z2, y2, x2 = z + sign * steps[j, 0], y + sign * steps[j, 1], x + sign * steps[j, 2]
            if not (0 <= z2 < planes and 0 <= y2 < rows and 0 <= x2 < cols):
                open_end = True
                continue
            other = regions[(z2 * rows + y2) * cols + x2]
            if other == 0:
                open_end = True
                continue
            q = _root(parent, other)
            if q == r:
                continue
            c = classes[q]
            border[c] = max(border[c], 0.0) + widths[j]
            if seen[q] != serial:
                seen[q] = serial
                touched[n] = q
                n += 1
        here = following[here]
    return n, open_end


@inline
def _chosen(r, border, scores):
    """The class that `r` goes to: the likeliest by its scores, or that of the longest border."""
    best = 0
    for c in range(1, border.shape[0]):
        if border[c] < 0:
            continue
        if scores.shape[0] > 0:
            better = best == 0 or scores[c - 1, r] > scores[best - 1, r]
        else:
            better = best == 0 or border[c] > border[best]
        if better:
            best = c
    return best


@inline
def _absorb(q, root, parent, sizes, scores, head, tail, following):
    """Make region `q` a part of the region `root`."""
    parent[q] = root
    sizes[root] += sizes[q]
    for c in range(scores.shape[0]):
        scores[c, root] += scores[c, q]
    if head[q] >= 0:
        following[tail[q]] = head[root]
        if head[root] < 0:
            tail[root] = tail[q]
        head[root] = head[q]


@kernel
def absorb_small(
    regions, shape, steps, widths, classes, sizes, parent, scores, min_size, max_hole,
    head, tail, following, first, after, border, seen, touched, queued
):  # fmt: skip
    """Give regions of less than `min_size` pixels, and holes of at most `max_hole`, to others.

    The smallest first: whatever is merged at least doubles, so that no pixel is looked at more
    than log2(min_size) times. `first[s]` begins the queue of regions of s pixels, linked by
    `after`; `queued` says which are there. A region joins all neighbours of the class that it
    goes to. Returns how many moved.
    """
    limit = first.shape[0]
    for s in range(limit):
        first[s] = 0
    for back in range(parent.shape[0] - 1):
        r = parent.shape[0] - 1 - back
        if parent[r] == r and sizes[r] < limit:
            after[r], first[sizes[r]], queued[r] = first[sizes[r]], r, True
    n_moved, serial = 0, 0
    for s in range(1, limit):
        while first[s] > 0:
            r = first[s]
            first[s] = after[r]
            queued[r] = False
            if parent[r] != r:
                continue
            if sizes[r] != s:
                if sizes[r] < limit:
                    after[r], first[sizes[r]], queued[r] = first[sizes[r]], r, True
                continue
            serial += 1
            n, open_end = _look_around(
                r, regions, shape, steps, widths, head, following, parent, classes, border, seen,
                touched, serial
            )  # fmt: skip
            if n == 0 or not (s < min_size or (s <= max_hole and n == 1 and not open_end)):
                continue
            goal = _chosen(r, border, scores)
            root = 0
            for i in range(n):
                if classes[touched[i]] == goal:
                    if root == 0:
                        root = touched[i]
                    else:
                        _absorb(touched[i], root, parent, sizes, scores, head, tail, following)
            _absorb(r, root, parent, sizes, scores, head, tail, following)
            n_moved += 1
            if sizes[root] < limit and not queued[root]:
                after[root], first[sizes[root]], queued[root] = first[sizes[root]], root, True
    return n_moved


@kernel
def settle(parent):
    """Let every region point at its root."""
    for r in range(parent.shape[0]):
        parent[r] = _root(parent, r)


@kernel
def look_up(regions, table, out):
    """What the table says of every pixel's region."""
    for here in range(regions.shape[0]):
        out[here] = table[regions[here]]


@kernel
def add_up(regions, values, sums):
    """Add every pixel's value to the sum of its region."""
    for here in range(regions.shape[0]):
        sums[regions[here]] += values[here]


@inline
def _cost(a, b, means, sizes, by_size):
    """Squared distance of two regions' means; times ``n_a n_b / (n_a + n_b)`` (Ward) if by size."""
    total = 0.0
    for f in range(means.shape[1]):
        total += (means[a, f] - means[b, f]) ** 2
    if by_size:
        total *= sizes[a] / (sizes[a] + sizes[b]) * sizes[b]
    return total


@inline
def _sift_down(heap, n, cost):
    """Move the first entry of a heap to its place: costs ascend, then numbers."""
    i, entry = 0, heap[0]
    while 2 * i + 1 < n:
        child = 2 * i + 1
        if child + 1 < n:
            one, two = heap[child], heap[child + 1]
            if cost[two] < cost[one] or (cost[two] == cost[one] and two < one):
                child += 1
        below = heap[child]
        if cost[entry] < cost[below] or (cost[entry] == cost[below] and entry < below):
            break
        heap[i] = below
        i = child
    heap[i] = entry


@kernel
def merge_pairs(
    pairs, heap, cost, parent, means, sizes, by_size, most_cost, least_number, number, versions,
    costed
):  # fmt: skip
    """Merge neighbouring regions, the most alike first; return how many are left.

    Each pair of neighbours is in the heap once, with the cost that it had when it was last looked
    at. A merger changes the costs of all pairs of the new region: they are computed anew when
    they come up, and go back to their places. `heap` is sorted by `cost` when this is called, and
    `versions` of regions and `costed` of pairs, which tell what has to be computed anew, are 0.
    """
    n = heap.shape[0]
    while n > 0 and number > least_number and cost[heap[0]] <= most_cost:
        e = heap[0]
        a, b = _root(parent, pairs[e, 0]), _root(parent, pairs[e, 1])
        if a == b:
            n -= 1
            heap[0] = heap[n]
        elif costed[e] != versions[a] + versions[b]:
            cost[e] = _cost(a, b, means, sizes, by_size)
            costed[e] = versions[a] + versions[b]
        else:
            root = _unite(parent, a, b)
            gone = a + b - root
            share = sizes[gone] / (sizes[root] + sizes[gone])
            for f in range(means.shape[1]):
                means[root, f] += share * (means[gone, f] - means[root, f])
            sizes[root] += sizes[gone]
            versions[root] += versions[gone] + 1
            number -= 1
            n -= 1
            heap[0] = heap[n]
        if n > 0:
            _sift_down(heap, n, cost)
    return number
