"""How a batch is run: the options, and nothing that uses them."""

from __future__ import annotations

from dataclasses import dataclass

from gmmseg._check import check_integer, check_real
from gmmseg.batch.memory import can_limit_memory
from gmmseg.errors import InvalidParameterError
from gmmseg.mixture._threads import available_cpus

__all__ = ["BatchOptions"]

_SMALLEST_LIMIT = 16 << 20


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How a batch is run; none of it changes what is written.

    Attributes
    ----------
    jobs : int or None
        Worker processes; None = one for each CPU that this process may use.
    threads : int or None
        Threads of each; None = the CPUs divided among the workers.
    timeout : float or None
        Seconds that one image may take.
    memory_limit : int or None
        Bytes of address space that one image may take beyond what an idle worker holds (Linux).
    resume : bool
        Go on from an earlier run: what it has done, with the same settings, stays.
    overwrite : bool
        Begin anew where there are outputs; replace them.
    strict : bool
        EM that does not converge is a failure.
    """

    jobs: int | None = None
    threads: int | None = None
    timeout: float | None = None
    memory_limit: int | None = None
    resume: bool = False
    overwrite: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        for name in ("jobs", "threads"):
            if getattr(self, name) is not None:
                check_integer(getattr(self, name), name, minimum=1)
        if self.timeout is not None:
            check_real(self.timeout, "timeout", minimum=0.0, exclusive=True)
        if self.memory_limit is not None:
            check_integer(self.memory_limit, "memory_limit", minimum=_SMALLEST_LIMIT)
            if not can_limit_memory():
                raise InvalidParameterError(
                    "memory_limit needs Linux: this system does not tell how much a process has. "
                    "Leave it out."
                )

    def shared_out(self, n_tasks: int) -> tuple[int, int]:
        """Workers for so many tasks, and the threads of each.

        Examples
        --------
        >>> BatchOptions(jobs=3, threads=2).shared_out(2)
        (2, 2)
        """
        cpus = available_cpus()
        jobs = max(1, min(self.jobs or cpus, n_tasks))
        return jobs, self.threads or max(1, cpus // jobs)
