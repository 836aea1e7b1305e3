"""``--scheduler``: the option, and the cluster that it leads to."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gmmseg.cli.console import Console
from gmmseg.io import printable

if TYPE_CHECKING:
    from gmmseg.cli.scattered import Cluster

__all__ = ["add_scheduler", "cluster_of"]


def add_scheduler(parser: ArgumentParser) -> None:
    """The cluster."""
    group = parser.add_argument_group("cluster (extra dask)")
    group.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="work on the cluster of this Dask scheduler, such as tcp://host:8786; its workers "
        "open rasters and Zarr arrays themselves. local: worker processes on this machine, "
        "as many as --threads",
    )


@contextmanager
def cluster_of(args: Namespace, console: Console) -> Iterator[Cluster | None]:
    """The cluster that is asked for; None = this process."""
    if args.scheduler is None:
        yield None
        return
    from gmmseg.cli.scattered import Cluster  # 5 ms of start-up that others do not need
    from gmmseg.schedulers import connected, n_threads

    with connected(args.scheduler, workers=args.threads) as client:
        workers = len(client.nthreads())
        told = f"{workers} worker{'s' * (workers > 1)}, {n_threads(client)} tasks at once"
        console.say(f"{printable(args.scheduler)}: {told}")
        yield Cluster(client, args, console)
