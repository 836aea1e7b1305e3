"""How kernels are compiled, kept and called: a few decorators, one policy.

A module of kernels imports no Numba, and neither does calling a kernel that was compiled before:
its machine code is read from a file (`_code_files`) and called as a C function (`_machine_code`).
Numba, whose import takes longer than to fit a mixture to a photo, comes in when something has to
be compiled (`_compiler`), or where machine code cannot be kept in this manner: other processors
and systems than those of `machine_code.environment`, results that are no numbers. There
Numba calls its own kernels and keeps them in its own cache.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

from gmmseg.mixture import _code_files, _machine_code

__all__ = [
    "Kernel",
    "apart",
    "forced_inline",
    "from_numba",
    "inline",
    "kernel",
    "overload",
    "telling_of_compilation",
]

F = TypeVar("F", bound=Callable[..., Any])
Call = Callable[[tuple[Any, ...], list[Any]], Any]

# Full fast-math would add "nnan" and "ninf", under which isnan() is compiled to False: a silent
# wrong answer in a library where NaN means "missing". Without the two the kernels are as fast.
_FAST_MATH = {"nsz", "arcp", "contract", "afn", "reassoc"}

# "_nrt": nothing is counted. A slice of an array counts as a reference to it, by an atomic
# operation at each end: kernels that take many short slices spent 4 microseconds per image row on
# it, more than on their work. And machine code that counts would need Numba's run-time library.
# It follows that nothing can be allocated: work space comes from outside.
_OPTIONS: dict[str, Any] = {
    "nogil": True, "fastmath": _FAST_MATH, "error_model": "numpy", "_nrt": False
}  # fmt: skip


class Kernel:
    """A function that runs as machine code, for each combination of types its own.

    Arguments are arrays, numbers and (named) tuples of them; the result is a number or None. Runs
    without the GIL.

    Parameters
    ----------
    function : callable
        What Numba compiles.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.calls: dict[tuple[Any, ...], Call] = {}
        # now: a file that is edited later is not what this process has imported
        self._source = _code_files.source_of(function)

    @property
    def folder(self) -> str | None:
        """Where its machine code is kept; None when no folder can be written."""
        if _machine_code.environment() is None:
            return self._dispatcher.stats.cache_path
        folder = self._source and _code_files.folder_of(self._source)
        return str(folder) if folder else None

    def __call__(self, *args: Any) -> Any:
        """Run on these arguments; the first time of their types is slower."""
        kinds: list[Any] = []
        leaves: list[Any] = []
        _machine_code.describe(args, kinds, leaves)
        key = tuple(kinds)
        call = self.calls.get(key) or self._prepared(key, args)
        return call(args, leaves)

    def _prepared(self, key: tuple[Any, ...], args: tuple[Any, ...]) -> Call:
        with _preparing:
            if key not in self.calls:
                self.calls[key] = self._kept(key) or self._compiled(key, args)
            return self.calls[key]

    def _kept(self, key: tuple[Any, ...]) -> Call | None:
        """Machine code of an earlier process."""
        code = self._source and _code_files.read(self._source, key)
        return _machine_code.load(code) if code else None

    def _compiled(self, key: tuple[Any, ...], args: tuple[Any, ...]) -> Call:
        _load_numba()
        from gmmseg.mixture import _compiler

        if _machine_code.environment() is not None:
            code = _compiler.machine_code(self.function, _OPTIONS, args)
            call = _machine_code.load(code) if code else None
            if code and call:
                if self._source and not _code_files.write(self._source, key, code):
                    _warn_uncached()
                return call
        dispatcher = self._dispatcher
        return lambda args, _: dispatcher(*args)

    @functools.cached_property
    def _dispatcher(self) -> Any:
        """Numba's own, which raises when it is made while no cache folder can be written.

        (A read-only container, a home that does not exist; numba issue 5566.)
        """
        _load_numba()
        from numba import njit

        try:
            return njit(self.function, cache=True, **_OPTIONS)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            _warn_uncached()
            return njit(self.function, **_OPTIONS)


_preparing = threading.RLock()


class _Deferred:
    """What stands for a value in a module of kernels until Numba is there."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


_modules: dict[int, dict[str, Any]] = {}  # names in the modules that have kernels
_overloads: list[Callable[[], None]] = []
_listeners: list[Callable[[], None]] = []


def kernel(function: Callable[..., Any]) -> Kernel:
    """A function that runs as machine code."""
    _modules[id(function.__globals__)] = function.__globals__
    return Kernel(function)


def inline(function: Callable[..., Any]) -> Any:
    """Compile `function` as a part of the kernels that call it."""
    return _part(function, {})


def apart(function: Callable[..., Any]) -> Any:
    """Compile `function` as a part of the kernels that call it with arrays that do not overlap.

    What it writes by one argument it must not reach by another. Then its loops need no checks.
    """

    def make() -> Any:
        from numba import njit

        from gmmseg.mixture._compiler import Apart

        return njit(function, **_OPTIONS, pipeline_class=Apart)

    return _Deferred(make)


def forced_inline(function: Callable[..., Any]) -> Any:
    """Compile `function` as a part of its callers that LLVM takes for too long to be inlined.

    Where calls cost more than the work: an array is seven arguments, and a row of a volume takes
    some fifty calls (1250 ns instead of 650 for 91 voxels).
    """
    return _part(function, {"forceinline": True})


def _part(function: Callable[..., Any], more: dict[str, Any]) -> Any:
    def make() -> Any:
        from numba import njit

        return njit(function, **_OPTIONS, **more)

    return _Deferred(make)


def overload(stub: Callable[..., Any]) -> Callable[[F], F]:
    """Let the decorated function choose by types what stands for `stub` in kernels.

    The arrays must not overlap (see `apart`).
    """

    def register(choose: F) -> F:
        def make() -> None:
            from numba import extending

            from gmmseg.mixture._compiler import Apart

            options: Any = {"fastmath": _FAST_MATH, "_nrt": False, "pipeline_class": Apart}
            extending.overload(stub, jit_options=options)(choose)

        _overloads.append(make)
        return choose

    return register


def from_numba(module: str, name: str) -> Any:
    """Import a name of Numba for kernels."""
    return _Deferred(lambda: getattr(import_module(module), name))


def _load_numba() -> None:
    """Put what was deferred in its place."""
    _listen()
    while _overloads:
        _overloads.pop()()
    for names in list(_modules.values()):
        for name, value in list(names.items()):
            if isinstance(value, _Deferred):
                names[name] = value.make()


@functools.cache
def _listen() -> None:
    from gmmseg.mixture import _compiler

    def tell_all() -> None:
        for tell in _listeners:
            tell()

    _compiler.call_at_compilation(tell_all)


@contextmanager
def telling_of_compilation(tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell` before every compilation."""
    _listeners.append(tell)
    try:
        yield
    finally:
        _listeners.remove(tell)


@functools.cache
def _warn_uncached() -> None:
    warnings.warn(
        "compiled kernels cannot be kept: no cache folder is writable. Every run will compile "
        "them again; set NUMBA_CACHE_DIR to a writable folder of your own to avoid that.",
        RuntimeWarning,
        stacklevel=3,
    )
