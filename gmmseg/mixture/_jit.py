"""How kernels are compiled: one decorator, one policy."""

import functools
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core.registry import cpu_target

__all__ = [
    "FAST_MATH",
    "inline",
    "kernel",
    "load_without_blas",
    "uncounted_inline",
    "uncounted_kernel",
]

# Full fast-math would add "nnan" and "ninf", under which isnan() is compiled to False: a silent
# wrong answer in a library where NaN means "missing". Without the two the kernels are as fast.
FAST_MATH = {"nsz", "arcp", "contract", "afn", "reassoc"}

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": FAST_MATH, "error_model": "numpy"}


# Without reference counts. A slice of an array counts as a reference to it, by an atomic operation
# at each end: kernels that take many short slices spent 4 microseconds per image row on it, more
# than on their work. Such a kernel cannot allocate: its work space comes from outside.
_UNCOUNTED = {**_OPTIONS, "_nrt": False}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` at its first call and keep the machine code on disk if that can be.

    Numba raises while decorating when neither the package's folder nor the user's cache folder
    can be written (a read-only container, a home that does not exist; numba issue 5566). The
    kernel is then compiled anew in every process, which costs seconds, not correctness.
    """
    return _kept(function, _OPTIONS)


def uncounted_kernel(function: Callable[..., Any]) -> Any:
    """As `kernel`, for loops over short slices: nothing is counted, nothing can be allocated."""
    return _kept(function, _UNCOUNTED)


def _kept(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    try:
        return njit(function, cache=True, **options)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        _warn_uncached()
        return njit(function, **options)


def inline(function: Callable[..., Any]) -> Any:
    """Compile `function` as a part of the kernels that call it."""
    return njit(function, **_OPTIONS)


_loading = threading.Lock()


def uncounted_inline(function: Callable[..., Any]) -> Any:
    """Compile `function` as a part of the uncounted kernels that call it.

    LLVM takes it for too long to be inlined. Calls cost more than the work: an array is seven
    arguments, and a row of a volume takes some fifty calls (1250 ns instead of 650 for 91 voxels).
    """
    return njit(function, forceinline=True, **_UNCOUNTED)


def load_without_blas() -> None:
    """Prepare Numba for kernels that use no linear algebra: 0.2 s less of start-up.

    Numba imports scipy.linalg only to look for BLAS, which no kernel here calls. Code of others
    in the same process might want it: this is for the command line, which owns its process, and
    calls it from a thread while the first image is decoded.
    """
    with _loading:
        if "scipy.linalg" in sys.modules:
            return
        sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
        try:
            cpu_target.target_context.refresh()
        finally:
            del sys.modules["scipy.linalg"]


@functools.cache
def _warn_uncached() -> None:
    warnings.warn(
        "compiled kernels cannot be kept: no cache folder is writable. Every run will compile "
        "them again; set NUMBA_CACHE_DIR to a writable folder of your own to avoid that.",
        RuntimeWarning,
        stacklevel=3,
    )
