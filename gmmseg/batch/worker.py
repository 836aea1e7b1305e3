"""The life of a worker process. Its supervisor is `workers`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from gmmseg._files import printable
from gmmseg.batch.memory import limit_memory
from gmmseg.errors import GmmsegError, GmmsegWarning, OutputExistsError

__all__ = ["EXISTS", "PRELOADED", "READY", "serve"]

READY = "ready"

#: The failure of a task whose outputs are there, and not the work of a batch: they stay.
EXISTS = "exists"

#: What is loaded once, by the server that forks the workers.
PRELOADED = (
    __name__,
    "gmmseg.batch.job",
    "gmmseg.mixture._distinct_kernels",
    "gmmseg.mixture._kernels",
)


def serve(pipe: Connection, work: Callable[[Any], Any], memory_limit: int | None) -> None:
    """Do what comes through the pipe until it is closed.

    Sends `READY`, and then for each task ``(None, result)`` or ``(kind of failure, text)``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if "fork" in multiprocessing.get_all_start_methods():
        # locks that libraries make (numcodecs has one) are then not left over when we are killed
        multiprocessing.set_start_method("fork", force=True)
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", GmmsegWarning)
    if memory_limit is not None:
        limit_memory(memory_limit)
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
    except OutputExistsError as error:
        return EXISTS, printable(error)
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
