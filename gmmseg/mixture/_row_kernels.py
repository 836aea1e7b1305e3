"""Rows into blocks, for sets so large that compiling it pays (see `_kernels` for the rules)."""

from gmmseg.mixture._jit import kernel

__all__ = ["fill_blocks"]

BLOCK = 1024  # as in rows.py


@kernel
def fill_blocks(rows, origin, scale, farthest, blocks):
    """Write ``(rows - origin) * scale`` feature by feature into blocks (n_blocks, >= D, BLOCK).

    Returns how many of the values are not within `farthest` of 0: NaN is not, either.
    """
    n_features = rows.shape[1]
    n_far = 0
    for b in range((rows.shape[0] + BLOCK - 1) // BLOCK):
        part = rows[b * BLOCK : b * BLOCK + BLOCK]
        block = blocks[b]
        for d in range(n_features):
            out, zero, factor = block[d], origin[d], scale[d]
            for i in range(part.shape[0]):
                value = (part[i, d] - zero) * factor
                out[i] = value
                n_far += 0 if abs(value) <= farthest else 1
    return n_far
