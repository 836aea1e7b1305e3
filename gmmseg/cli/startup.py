"""What a process does to be there at once, and gone at once."""

from __future__ import annotations

import gc

__all__ = ["hurry", "leave"]


def hurry() -> None:
    """No garbage collection while modules are imported: they make much that stays, and no garbage.
    """
    gc.disable()


def leave() -> None:
    """Let the end of the process free memory: Python would need 0.1 s to do it piece by piece."""
    gc.freeze()
