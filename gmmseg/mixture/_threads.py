"""Threads that share out numbered tasks. Results never depend on how many there are."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from gmmseg._check import check_integer

__all__ = ["Workers", "available_cpus", "in_turn"]

#: Arithmetic that takes about 0.3 ms: waking another thread takes 0.05 ms on an idle machine, and
#: many times that on a busy one.
_WORTH_A_THREAD = 4e6

#: More than one, so that nobody waits long for a thread that is held up. Every task waits for the
#: GIL: two threads take 0.77 ms for a million rows (K = 3, D = 3) with 1 or 2 tasks each, 0.81 with
#: 4, 0.89 with 8, 3 with 32; one takes 1.21.
_TASKS_OF_A_THREAD = 2


class Workers:
    """A pool of threads for tasks that release the GIL.

    Use as a context manager. The calling thread works too, so that one thread costs no pool.

    Parameters
    ----------
    threads : int or None
        None = as many as this process may use.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = (
            available_cpus() if threads is None else check_integer(threads, "threads", minimum=1)
        )
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def tasks(self, operations: float) -> int:
        """In how many tasks to cut work of so many operations that can be cut at will."""
        threads = min(self.threads, _worth(operations))
        return int(threads) * _TASKS_OF_A_THREAD if threads > 1 else 1

    def run(self, task: Callable[[int], None], n_tasks: int, operations: float = math.inf) -> None:
        """Call ``task(i)`` for every i below `n_tasks`, in any order, on all threads.

        When it is known to take less than `operations` in all, threads may not be worth waking.
        """
        self.begin(task, n_tasks, operations)()

    def begin(
        self, task: Callable[[int], None], n_tasks: int, operations: float = math.inf
    ) -> Callable[[], None]:
        """As `run`, but the calling thread is free until it calls the result, which ends it."""
        helpers = int(min(self.threads, n_tasks, _worth(operations))) - 1
        numbers = itertools.count()  # next() on it is atomic: threads draw their tasks from it
        stop = False

        def work() -> None:
            while not (stop or self._closed) and (i := next(numbers)) < n_tasks:
                task(i)

        if helpers > 0 and self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="gmmseg")
        futures = [self._pool.submit(work) for _ in range(helpers)] if self._pool else []

        def finish() -> None:
            nonlocal stop
            try:
                work()
            finally:
                stop = True  # after an error or Ctrl-C the helpers finish the task at hand, no more
                # no waiting for helpers that something else holds up: nothing is left for them
                errors = [future.exception() for future in futures if not future.cancel()]
            for error in errors:
                if error is not None:
                    raise error

        return finish


def in_turn(ends: Sequence[Callable[[], None]]) -> Callable[[], None]:
    """What ends several things that were begun."""

    def finish() -> None:
        for end in ends:
            end()

    return finish


def _worth(operations: float) -> float:
    """Threads that so many operations are worth."""
    return 1 + operations // _WORTH_A_THREAD if operations < math.inf else math.inf


def available_cpus() -> int:
    """Number of CPUs that this process may use: affinity and container quota, not the machine."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cpus = os.cpu_count() or 1
    return max(1, min(cpus, _cgroup_quota()))


def _cgroup_quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Whole CPUs allowed by control groups version 2; a large number when not limited."""
    try:
        quota, period = path.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no control groups, or "max 100000"
        return 1 << 30
