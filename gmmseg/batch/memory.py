"""A limit on what a process may take."""

from __future__ import annotations

from pathlib import Path

__all__ = ["can_limit_memory", "limit_memory"]

_STATM = Path("/proc/self/statm")


def can_limit_memory() -> bool:
    """Whether the address space of a process can be limited, and its size be known."""
    return _STATM.exists()


def limit_memory(more: int) -> None:
    """Let this process take so many bytes of address space more than it has."""
    import resource

    pages = int(_STATM.read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + more
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
