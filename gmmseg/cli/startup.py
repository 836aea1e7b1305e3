"""What a process does to be there at once, and gone at once."""

from __future__ import annotations

import gc
import sys
from threading import Thread

__all__ = ["hurry", "leave", "prepare_kernels", "wait_for_kernels"]

# Decoding a PNG takes hundreds of short steps that each need the interpreter for a moment. With
# Python's usual 5 ms it would wait for them as long as loading takes: measured 790 and 520 ms.
_SWITCH_SECONDS = 5e-5


def hurry() -> None:
    """No garbage collection while modules are imported: they make much that stays, and no garbage.

    It takes a fifth of the time of loading Numba.
    """
    gc.disable()


def leave() -> None:
    """Let the end of the process free memory: Python would need 0.1 s to do it piece by piece."""
    gc.freeze()


_threads: list[Thread] = []


def prepare_kernels() -> None:
    """Load Numba in a thread: decoding leaves the interpreter idle, and loading needs it."""
    hurry()
    _threads.append(Thread(target=_load, daemon=True))
    _threads[-1].start()


def wait_for_kernels() -> None:
    """Return when `prepare_kernels` is done, if it was called.

    To be called before anything else imports Numba: two threads that import the same modules in
    a different order meet them half initialised.
    """
    while _threads:
        _threads.pop().join()


def _load() -> None:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        from gmmseg.mixture import _distinct_kernels, _jit, _kernels  # noqa: F401

        _jit.load_without_blas()
    finally:
        sys.setswitchinterval(usual)
        gc.freeze()  # what has been loaded stays: never look at it again
        gc.enable()
