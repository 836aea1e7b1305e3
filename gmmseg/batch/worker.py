"""The life of a worker process. Its supervisor is `workers`.

What is imported here is loaded once, by the server that forks the workers.
"""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from gmmseg._files import printable
from gmmseg.errors import GmmsegError, GmmsegWarning
from gmmseg.mixture import _distinct_kernels, _kernels  # noqa: F401  # loaded before the fork
from gmmseg.mixture._jit import load_without_blas

__all__ = ["READY", "can_limit_memory", "serve"]

READY = "ready"


def serve(pipe: Connection, work: Callable[[Any], Any], memory_limit: int | None) -> None:
    """Do what comes through the pipe until it is closed.

    Sends `READY`, and then for each task ``(None, result)`` or ``(kind of failure, text)``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor
    threading.Thread(target=_end_with_parent, daemon=True).start()
    load_without_blas()
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", GmmsegWarning)
    if memory_limit is not None:
        _limit_memory(memory_limit)
    pipe.send(READY)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        pipe.send(_outcome(work, task))


def _outcome(work: Callable[[Any], Any], task: Any) -> tuple[str | None, Any]:
    try:
        return None, work(task)
    except MemoryError:
        return "memory", "not enough memory."
    except GmmsegError as error:
        return "error", printable(error)
    except RecursionError:
        return "error", "it is malformed: nested too deeply."
    except Exception as error:  # a file must not stop the others
        return "error", printable(f"{type(error).__name__}: {error}")


def _end_with_parent() -> None:
    """A supervisor that was killed cannot tell its workers to end."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def can_limit_memory() -> bool:
    """Whether the address space of a process can be limited, and its size be known."""
    return _STATM.exists()


_STATM = Path("/proc/self/statm")


def _limit_memory(more: int) -> None:
    """Let this process take so many bytes more than it has."""
    import resource

    pages = int(_STATM.read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + more
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
