"""What the machine can do at best: arithmetic in registers, and reading memory."""

from __future__ import annotations

import os
import time

import numpy as np


def ceilings() -> tuple[float, float]:
    """Multiply-adds per second (as two operations), and bytes read per second, on all cores."""
    from concurrent.futures import ThreadPoolExecutor

    import numba

    lanes = 16 * 8  # as many independent sums as keep the units busy

    @numba.njit(nogil=True, fastmath=True)
    def multiply_add(repeats, x):
        for _ in range(repeats):
            for i in range(lanes):
                x[i] = x[i] * np.float32(0.999) + np.float32(0.001)
        return x[0]

    @numba.njit(nogil=True, fastmath=True)
    def read(x):
        total = np.float32(0)
        for i in range(x.size):
            total += x[i]
        return total

    cores = len(os.sched_getaffinity(0))
    repeats = 2_000_000
    data = [np.ones(64_000_000, np.float32) for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool:

        def all_cores(task, work) -> float:
            best = float("inf")
            for _ in range(4):
                begin = time.perf_counter()
                list(pool.map(task, work))
                best = min(best, time.perf_counter() - begin)
            return best

        sums = [np.zeros(lanes, np.float32) for _ in range(cores)]
        adding = all_cores(lambda x: multiply_add(repeats, x), sums)
        reading = all_cores(read, data)
    return 2 * lanes * repeats * cores / adding, sum(x.nbytes for x in data) / reading
