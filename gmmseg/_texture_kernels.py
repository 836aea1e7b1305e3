"""The kernel of texture: a weighted mean of each line of a grid and the lines around it."""

from gmmseg.mixture._jit import kernel


@kernel
def smooth_lines(lines, weights, out):
    """Lines (n, m), each with its neighbours up to len(weights) - 1 away; none beyond the ends.

    ``out[i] = weights[0] lines[i] + sum_j weights[j] (lines[i - j] + lines[i + j])``
    """
    n, m = lines.shape
    for i in range(n):
        target, here = out[i], lines[i]
        for c in range(m):
            target[c] = weights[0] * here[c]
        for j in range(1, len(weights)):
            weight = weights[j]
            before, after = lines[max(i - j, 0)], lines[min(i + j, n - 1)]
            if i >= j and i + j < n:
                for c in range(m):
                    target[c] += weight * (before[c] + after[c])
            elif i >= j:
                for c in range(m):
                    target[c] += weight * before[c]
            elif i + j < n:
                for c in range(m):
                    target[c] += weight * after[c]
