"""Schedulers of Dask: reaching one, starting one here, and what its workers can see.

The extra "dask".
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import gmmseg
from gmmseg._files import printable
from gmmseg._optional import import_optional
from gmmseg.errors import GmmsegError
from gmmseg.mixture._threads import available_cpus

__all__ = ["LOCAL", "ClusterError", "check_workers", "connected", "n_threads"]

#: In the place of an address: worker processes on this machine.
LOCAL = "local"

#: Seconds until a scheduler that does not answer is given up, and one without workers.
_PATIENCE = 10


class ClusterError(GmmsegError, RuntimeError):
    """A cluster cannot be reached, or cannot do what it is asked."""


@contextmanager
def connected(address: str, *, workers: int | None = None) -> Iterator[Any]:
    """A client of a scheduler, which everything of Dask in the block goes to.

    Parameters
    ----------
    address : str
        Such as ``tcp://host:8786``, or `LOCAL`.
    workers : int, optional
        How many processes, of one thread each, are started for `LOCAL`; None = one for each CPU.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ClusterError
        When no scheduler answers, it has no workers, or workers die again and again.
    MissingDependencyError
        Without the extra `dask`.
    """
    distributed = import_optional("distributed")
    closed = import_optional("distributed.comm").CommClosedError
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # one line of ours is enough
    with ExitStack() as stack:
        where: Any = address
        if address == LOCAL:
            where = distributed.LocalCluster(
                n_workers=workers or available_cpus(),
                threads_per_worker=1,
                processes=True,
                dashboard_address=":0",
            )
            stack.enter_context(where)
        try:
            # a client that cannot connect stays the one that all of Dask waits for, if it was to be
            distributed.Client(where, timeout=_PATIENCE, set_as_default=False).close()
            client = stack.enter_context(distributed.Client(where, timeout=_PATIENCE))
            client.wait_for_workers(1, timeout=_PATIENCE)
        except (OSError, ValueError, TimeoutError) as error:
            raise ClusterError(_unreached(address, error)) from error
        try:
            yield client
        except (distributed.KilledWorker, closed) as error:
            raise ClusterError(
                f"the cluster at {printable(address)} has given up: {_first_line(error)} "
                "Look at the logs of its workers; they may need more memory."
            ) from error


def _unreached(address: str, error: Exception) -> str:
    shown = printable(address)
    if "worker" in str(error):
        return f"the scheduler at {shown} has no workers. Start some: dask worker {shown}"
    return (
        f"no Dask scheduler answers at {shown}: {_first_line(error)} Give the address that `dask "
        f"scheduler` prints, such as tcp://host:8786, or {LOCAL!r}."
    )


def _first_line(error: Exception) -> str:
    return printable((str(error) or type(error).__name__).partition("\n")[0].rstrip(".")) + "."


def n_threads(client: Any) -> int:
    """How many tasks a cluster works on at once."""
    return max(1, sum(client.nthreads().values()))


def check_workers(client: Any, paths: Sequence[str | os.PathLike[str]] = ()) -> None:
    """Make sure that all workers have this version of gmmseg, and can read these files.

    Raises
    ------
    ClusterError
        With the first worker that cannot.
    """
    wanted = [os.fspath(path) for path in paths]
    try:
        facts = client.run(_facts, wanted)
    except Exception as error:  # whatever kept a worker from importing us
        raise ClusterError(
            f"the workers cannot run gmmseg: {_first_line(error)} Install it where they run."
        ) from error
    for worker, (version, hidden) in sorted(facts.items()):
        if version != gmmseg.__version__:
            raise ClusterError(
                f"worker {printable(worker)} has gmmseg {printable(version)}, not "
                f"{gmmseg.__version__} as here. Install the same version everywhere."
            )
        if hidden:
            raise ClusterError(
                f"worker {printable(worker)} cannot read {printable(hidden[0])}. Workers open "
                "files themselves: put them where all machines see them under the same name."
            )


def _facts(paths: list[str]) -> tuple[str, list[str]]:
    """What a worker tells: the version of gmmseg, and which files it cannot read."""
    return gmmseg.__version__, [path for path in paths if not os.access(Path(path), os.R_OK)]
