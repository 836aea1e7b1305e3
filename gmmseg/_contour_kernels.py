"""The CPU kernels of components and outlines: loops over pixels, and nothing else."""

from gmmseg.mixture._jit import kernel


@kernel
def measure(regions, shape, low, high, sums, counts):
    """Box, sum of coordinates and pixels of every region; axes are (z, y, x).

    `low` and `high`, the first and the last coordinate, hold the largest and -1 when this begins.
    """
    planes, rows, cols = shape
    for z in range(planes):
        for y in range(rows):
            for x in range(cols):
                region = regions[(z * rows + y) * cols + x]
                place = (z, y, x)
                counts[region] += 1
                for axis in range(3):
                    at = place[axis]
                    sums[region, axis] += at
                    low[region, axis] = min(low[region, axis], at)
                    high[region, axis] = max(high[region, axis], at)


@kernel
def trace(mask, begun, points, ends):
    """Follow the edges of the pixels of a mask with the inside at the right; return loops.

    `mask` has a frame of False. Corner (y, x) is the upper left one of pixel (y, x) of `mask`.
    `points` gets (x, y) of the corners where the way turns, `ends` where each loop ends in it.
    Where two pixels touch by a corner, the way goes through between their neighbours: such pixels
    are connected. `begun` marks upper edges of pixels that a loop has passed.
    """
    rows, cols = mask.shape
    n_points, n_loops = 0, 0
    for y0 in range(1, rows):
        for x0 in range(1, cols):
            if not mask[y0, x0] or mask[y0 - 1, x0] or begun[y0, x0]:
                continue
            y, x, dy, dx = y0, x0, 0, 1
            while True:
                if dx == 1:
                    if begun[y, x]:
                        break
                    begun[y, x] = True
                y, x = y + dy, x + dx
                # the pixels ahead: at the left hand and at the right hand of the way
                left = mask[y + (dy - dx - 1) // 2, x + (dx + dy - 1) // 2]
                right = mask[y + (dy + dx - 1) // 2, x + (dx - dy - 1) // 2]
                if not left and right:
                    continue
                points[n_points, 0], points[n_points, 1] = x, y
                n_points += 1
                if left:
                    dy, dx = -dx, dy
                else:
                    dy, dx = dx, -dy
            ends[n_loops] = n_points
            n_loops += 1
    return n_loops
