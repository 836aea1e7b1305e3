"""The CPU kernel of working grids: labels of squares -> labels of pixels."""

from gmmseg.mixture._jit import inline, kernel


@inline
def _heavier(labels, weights, i, best, most):
    """The label of square i and its weight, where it outweighs the best so far."""
    label = labels[i]
    total = 0.0
    for j in range(4):
        if labels[j] == label:
            total += weights[j]
    if label > 0 and total > most:
        return label, total
    return best, most


@kernel
def enlarge_map(values, top, bottom, down, left, right, across, out):
    """Every pixel takes the label that weighs most among the four squares around it.

    Row y lies between the squares `top[y]` and `bottom[y]`, `down[y]` of the way from the first to
    the second; columns likewise.
    """
    for y in range(out.shape[0]):
        above, below = values[top[y]], values[bottom[y]]
        for x in range(out.shape[1]):
            labels = (above[left[x]], above[right[x]], below[left[x]], below[right[x]])
            if labels[0] == labels[1] and labels[0] == labels[2] and labels[0] == labels[3]:
                out[y, x] = labels[0]
                continue
            weights = (
                (1.0 - down[y]) * (1.0 - across[x]),
                (1.0 - down[y]) * across[x],
                down[y] * (1.0 - across[x]),
                1.0 * down[y] * across[x],
            )
            nearest = 2 * int(down[y] > 0.5) + int(across[x] > 0.5)
            best, most = _heavier(labels, weights, nearest, labels[0] * 0, 0.0)
            for i in range(4):
                best, most = _heavier(labels, weights, i, best, most)
            out[y, x] = best
