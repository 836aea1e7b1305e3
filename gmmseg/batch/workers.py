"""Worker processes that may crash, hang or run out of memory without taking anything with them.

A pool of the standard library ends with its first worker that dies. Here every worker has a pipe of
its own to the supervisor, which knows what each of them is working on: the task of one that dies,
or takes too long, has failed, and another worker takes its place.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from gmmseg.batch import worker
from gmmseg.errors import GmmsegError

__all__ = ["Outcome", "WorkerPool", "WorkerStartError"]

Task = TypeVar("Task")

#: Workers start together but the first task is waited for so long: it compiles kernels, which the
#: others then find on the disk.
_HEAD_START = 60.0

#: Workers in a row that may die before they have begun anything.
_MOST_STILLBORN = 3

#: How long a worker that was told to end may take.
_PATIENCE = 5.0

#: A server process that has loaded what workers need, and forks them, where there is such a thing.
_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"

#: Libraries of linear algebra would otherwise start a thread for each CPU in each worker, and these
#: wait for work by turning round.
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerStartError(GmmsegError, RuntimeError):
    """Worker processes die before they begin to work."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a task.

    Attributes
    ----------
    value : object
        What the work returned, when `failure` is None.
    failure : str or None
        ``error`` (a message), ``exists``, ``memory``, ``timeout`` or ``crash``.
    error : str
        What happened, on one line.
    seconds : float
    """

    value: Any = None
    failure: str | None = None
    error: str = ""
    seconds: float = 0.0


class _Worker(Generic[Task]):
    """One process, its pipe, and the task that it has."""

    def __init__(self, start: Callable[[Connection], BaseProcess]) -> None:
        self.pipe, other = multiprocessing.Pipe()
        self.process = start(other)
        other.close()
        self.is_ready = False
        self.task: Task | None = None
        self.since = 0.0

    @property
    def is_idle(self) -> bool:
        return self.is_ready and self.task is None

    def give(self, task: Task) -> None:
        self.task, self.since = task, time.monotonic()
        self.pipe.send(task)

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join(_PATIENCE)


class WorkerPool(Generic[Task]):
    """Processes that do the same work on many tasks.

    Use as a context manager.

    Parameters
    ----------
    work : callable
        From a task to its result. It and tasks and results are sent to other processes: modules
        define them. An error that it raises fails its task only.
    jobs : int
        Number of processes.
    timeout : float, optional
        Seconds that a task may take; its process is then killed.
    memory_limit : int, optional
        Bytes of address space that a task may take beyond what a worker holds at its start.
    """

    def __init__(
        self,
        work: Callable[[Task], Any],
        jobs: int,
        *,
        timeout: float | None = None,
        memory_limit: int | None = None,
    ) -> None:
        self._work = work
        self._timeout, self._memory_limit = timeout, memory_limit
        self._context = multiprocessing.get_context(_METHOD)
        if _METHOD == "forkserver":
            self._context.set_forkserver_preload(list(worker.PRELOADED))
        self._workers: list[_Worker[Task] | None] = [None] * jobs
        self._stillborn = 0
        self._alone_until = 0.0

    def __enter__(self) -> WorkerPool[Task]:
        return self

    def __exit__(self, *_: object) -> None:
        for own in self._workers:
            if own is not None:
                own.end()
        self._workers = [None] * len(self._workers)

    def outcomes(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Outcome]]:
        """Every task with what became of it, in the order in which they end.

        Raises
        ------
        WorkerStartError
            When processes die before they begin to work.
        """
        waiting = iter(tasks)
        following = next(waiting, None)
        while following is not None or any(own and own.task is not None for own in self._workers):
            if following is not None:
                self._fill_up()
            for own in self._free():
                if following is None:
                    break
                self._give(own, following)
                following = next(waiting, None)
            yield from self._ended()

    def _fill_up(self) -> None:
        for number, own in enumerate(self._workers):
            if own is None:
                self._workers[number] = _Worker(self._started)

    def _started(self, pipe: Connection) -> BaseProcess:
        process: BaseProcess = self._context.Process(  # type: ignore[attr-defined]
            target=worker.serve, args=(pipe, self._work, self._memory_limit), daemon=True
        )
        with _environment(dict.fromkeys(_THREAD_VARIABLES, "1")):
            process.start()
        return process

    def _free(self) -> list[_Worker[Task]]:
        """The workers that may begin a task: one, while the first task is on its way."""
        idle = [own for own in self._workers if own is not None and own.is_idle]
        if self._alone_until == 0.0:
            return idle[:1]
        return idle if time.monotonic() >= self._alone_until else []

    def _give(self, own: _Worker[Task], task: Task) -> None:
        if self._alone_until == 0.0:
            self._alone_until = time.monotonic() + _HEAD_START
        with suppress(OSError):  # it died while idle: found out, and told, by `_ended`
            own.give(task)

    def _ended(self) -> Iterator[tuple[Task, Outcome]]:
        """What has ended by the time that something has, or a task has taken too long."""
        living = {own.pipe: own for own in self._workers if own is not None}
        for pipe in wait(list(living), self._patience()):
            own = living[pipe]  # type: ignore[index]
            try:
                message = own.pipe.recv()
            except (EOFError, OSError):
                yield from self._died(own)
                continue
            if message == worker.READY:
                own.is_ready, self._stillborn = True, 0
                continue
            task, seconds = self._taken_from(own)
            failure, value = message
            if failure is None:
                yield task, Outcome(value=value, seconds=seconds)
            else:
                yield task, Outcome(failure=failure, error=value, seconds=seconds)
        yield from self._overdue()

    def _patience(self) -> float | None:
        """Seconds until something may have to be done without a message."""
        now = time.monotonic()
        busy = [own for own in self._workers if own is not None and own.task is not None]
        ends = [self._alone_until] if self._alone_until > now else []
        if self._timeout is not None:
            ends += [own.since + self._timeout for own in busy]
        return max(0.0, min(ends) - now) if ends else None

    def _overdue(self) -> Iterator[tuple[Task, Outcome]]:
        if self._timeout is None:
            return
        limit = time.monotonic() - self._timeout
        for own in list(self._workers):
            if own is None or own.task is None or own.since > limit or own.pipe.poll():
                continue
            self._remove(own)
            task, seconds = self._taken_from(own)
            text = f"it took more than {self._timeout:g} seconds."
            yield task, Outcome(failure="timeout", error=text, seconds=seconds)

    def _died(self, own: _Worker[Task]) -> Iterator[tuple[Task, Outcome]]:
        own.process.join(_PATIENCE)
        code = own.process.exitcode
        self._remove(own)
        if own.task is None:
            self._stillborn += not own.is_ready
            if self._stillborn >= _MOST_STILLBORN:
                raise WorkerStartError(f"worker processes die at their start: {_reason(code)}.")
            return
        task, seconds = self._taken_from(own)
        text = f"the process that worked on it died: {_reason(code)}."
        yield task, Outcome(failure="crash", error=text, seconds=seconds)

    def _taken_from(self, own: _Worker[Task]) -> tuple[Task, float]:
        """The task that a worker had, and for how long."""
        now = time.monotonic()
        self._alone_until = min(self._alone_until, now)
        task, own.task = own.task, None
        assert task is not None  # noqa: S101 - only asked of workers that have one
        return task, now - own.since

    def _remove(self, own: _Worker[Task]) -> None:
        own.end()
        self._workers[self._workers.index(own)] = None


def _reason(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"signal {-code} ({signal.Signals(-code).name})"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables that are not set yet, for processes that are started in the block."""
    new = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]
