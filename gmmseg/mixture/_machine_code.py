"""Machine code of kernels: what is kept of it, how it is loaded, and how it is called.

A kernel's object code has one C function `ENTRY`, made by `_compiler`:

    int32 gmmseg_entry(result *, leaf 1, leaf 2, ...)

It returns 0, or what went wrong. The leaves are the kernel's arguments with the tuples among them
taken apart: an array as the address of its Python object, of which the entry reads where
the data are, the shape and the strides; a number as itself.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["C_TYPES", "ENTRY", "HEAD", "Code", "describe", "environment", "load", "target_machine"]

ENTRY = "gmmseg_entry"

#: Where NumPy's part of an array object begins: data, number of dimensions, shape, strides.
HEAD = object.__basicsize__

# Of ndarray.flags.num: contiguous in C's or Fortran's order, aligned, writeable.
_C_ORDER, _OTHER_FLAGS = 0x1, 0x2 | 0x100 | 0x400
_IF_C_ORDER = 0x1 | 0x100 | 0x400  # that it is in Fortran's too does not matter then
_PLAIN = {float, bool, np.float32, np.float64}  # ctypes takes them as they are

#: The types of leaves.
C_TYPES: dict[str, Any] = {
    "array": ctypes.py_object,
    "bool": ctypes.c_bool,
    **{f"int{bits}": getattr(ctypes, f"c_int{bits}") for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": getattr(ctypes, f"c_uint{bits}") for bits in (8, 16, 32, 64)},
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
}


class Code(NamedTuple):
    """One kernel, compiled for one combination of types."""

    parameters: tuple[str, ...]  # of the leaves: "array" or a number's type
    result: str  # a number's type, or "none"
    needs: tuple[str, ...]  # functions of the C library that it calls
    machine_code: bytes  # an object file


def describe(values: tuple[Any, ...], kinds: list[Any], leaves: list[Any]) -> None:
    """Append what Numba would tell apart to `kinds`, and the leaves to `leaves`."""
    for value in values:
        kind = type(value)
        kinds.append(kind)
        if isinstance(value, np.ndarray):
            flags = value.flags.num
            flags &= _IF_C_ORDER if flags & _C_ORDER else _OTHER_FLAGS
            kinds += (value.dtype, value.ndim, flags)
            leaves.append(value)
        elif kind is int:
            if not -(1 << 63) <= value < 1 << 63:
                kinds.append("large")
            leaves.append(value)
        elif kind in _PLAIN:
            leaves.append(value)
        elif isinstance(value, tuple):
            kinds.append(len(value))
            describe(value, kinds, leaves)
        else:
            leaves.append(value.item() if isinstance(value, np.generic) else value)


def load(code: Code) -> Callable[[tuple[Any, ...], list[Any]], Any] | None:
    """A function of a kernel's arguments and their leaves; None where the C library lacks one."""
    from llvmlite import binding

    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine())
    if not all(binding.address_of_symbol(name) for name in code.needs):
        return None
    engine.add_object_file(binding.ObjectFileRef.from_data(code.machine_code))
    engine.finalize_object()
    _engines.append(engine)
    types = (C_TYPES[name] for name in code.parameters)
    entry = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, *types)(
        engine.get_function_address(ENTRY)
    )
    if code.result == "none":

        def run(_: tuple[Any, ...], leaves: list[Any]) -> None:
            if status := entry(None, *leaves):
                raise RuntimeError(f"a kernel failed with status {status}.")

        return run
    result_type = C_TYPES[code.result]

    def compute(_: tuple[Any, ...], leaves: list[Any]) -> Any:
        result = result_type()
        if status := entry(ctypes.addressof(result), *leaves):
            raise RuntimeError(f"a kernel failed with status {status}.")
        return result.value

    return compute


_engines: list[Any] = []  # they own the machine code


def target_machine() -> Any:
    """The processor as Numba sees it, so that the same machine code comes out."""
    from llvmlite import binding

    _initialise()
    return binding.Target.from_triple(binding.get_process_triple()).create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        reloc="static" if platform.machine() == "x86_64" else "default",
        codemodel="jitdefault",
        jit=True,
    )


@functools.cache
def _initialise() -> None:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()


@functools.cache
def environment() -> str | None:
    """A digest of all but the sources that machine code depends on; None where it is not kept.

    Kept where the layout of object files and array objects is known: CPython on Linux, on 64-bit
    processors of Intel, AMD or ARM.
    """
    numba = importlib.util.find_spec("numba")
    known = (sys.platform, platform.machine()) in (("linux", "x86_64"), ("linux", "aarch64"))
    if not known or numba is None or numba.origin is None or not _arrays_lie_as_expected():
        return None
    import llvmlite
    from llvmlite import binding

    settings = sorted(
        item for item in os.environ.items() if item[0].startswith("NUMBA_")
        and item[0] != "NUMBA_CACHE_DIR"
    )  # fmt: skip
    parts = (
        binding.get_process_triple(), binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(), sys.version, np.__version__,
        llvmlite.__version__, _content(Path(numba.origin).with_name("_version.py")), settings,
        _content(Path(".numba_config.yaml")), HEAD,
    )  # fmt: skip
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _arrays_lie_as_expected() -> bool:
    """Whether an array object is laid out as NumPy's headers say."""
    if sys.implementation.name != "cpython" or sys.byteorder != "little":
        return False
    array = np.zeros((2, 3), np.int16)
    data, n, shape, strides = (ctypes.c_ssize_t * 4).from_address(id(array) + HEAD)
    return (
        data == array.__array_interface__["data"][0]
        and n & 0xFFFFFFFF == array.ndim
        and tuple((ctypes.c_ssize_t * 2).from_address(shape)) == array.shape
        and tuple((ctypes.c_ssize_t * 2).from_address(strides)) == array.strides
    )
