"""What a process does to be there at once, and gone at once."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

__all__ = ["hurry", "leave", "load_ahead", "one_thread_of_blas", "settle"]

#: Where the libraries that NumPy is built with look for how many threads they may have.
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def hurry() -> None:
    """No garbage collection while modules are imported: much is made that stays, and no garbage."""
    gc.disable()


def settle() -> None:
    """Collect garbage again, but never look at what has been imported."""
    gc.freeze()
    gc.enable()


def leave() -> None:
    """Let the end of the process free memory: Python would need 0.1 s to do it piece by piece."""
    gc.freeze()


def one_thread_of_blas() -> None:
    """Let NumPy's linear algebra work in the thread that calls it, unless the user has said more.

    Matrices of images are small, and kernels have threads of their own. BLAS starts its threads
    when NumPy is imported, which takes 30 ms of CPU time, and lets them spin wherever they wait:
    a bias field of 800 coefficients took 0.58 s of CPU time instead of 0.21 s.
    """
    if "numpy" not in sys.modules:  # afterwards nobody looks
        for name in _BLAS_THREADS:
            os.environ.setdefault(name, "1")


def load_ahead() -> None:
    """Let a thread open the library that loads machine code, while modules are imported.

    It takes 30 ms and does not need the interpreter. Nothing is imported in the thread: two that
    import the same modules in a different order would meet them half initialised.
    """
    spec = find_spec("llvmlite")
    if spec is not None and spec.origin is not None:
        for path in Path(spec.origin).parent.glob("binding/*llvmlite.*"):
            Thread(target=_open, args=(path,), daemon=True).start()


def _open(library: Path) -> None:
    with suppress(OSError):  # whoever needs it will tell
        ctypes.CDLL(str(library))
