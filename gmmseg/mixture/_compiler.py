"""From a function to machine code that runs without Numba: the one module that lets it compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, typeof
from numba.core import event, types
from numba.core.compiler import Compiler
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from gmmseg.mixture._machine_code import C_TYPES, ENTRY, HEAD, Code, target_machine

__all__ = ["Apart", "call_at_compilation", "machine_code", "prefetch"]

#: What machine code may call: functions of the C library that every Python has loaded.
_C_LIBRARY = {
    f"{name}{kind}" for kind in ("", "f")
    for name in ("erf", "erfc", "exp", "exp2", "expm1", "floor", "ceil", "trunc", "rint", "round",
                 "fma", "fmod", "log", "log1p", "log2", "log10", "pow", "sqrt", "sin", "cos")
} | {"memcpy", "memmove", "memset"}  # fmt: skip

_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"),
     ("size", "<u8")]
)  # fmt: skip


class Apart(Compiler):
    """Compiles functions that write to no array which they reach by another argument, too.

    Without this promise LLVM compares the ends of all arrays before every loop: 100 to 200 cycles,
    in which it could have worked on 400 rows.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)  # type: ignore[no-untyped-call]
        self.state.flags.noalias = True


@intrinsic
def prefetch(_: Any, array: Any, offset: Any) -> Any:
    """Have what lies `offset` bytes after the beginning of an array fetched into the cache."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        given = make_array(signature.args[0])(context, builder, values[0])  # type: ignore[no-untyped-call]
        address, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.gep(builder.bitcast(given.data, address), [values[1]])
        kind = ir.FunctionType(ir.VoidType(), [address, word, word, word])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [address], kind)
        to_read, into_second_level, data = word(0), word(2), word(1)
        builder.call(fetch, [place, to_read, into_second_level, data])
        return context.get_dummy_value()

    return types.none(array, types.intp), generate


class _Caller(event.Listener):
    """Tells that Numba compiles something, which takes seconds."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def on_start(self, _: Any) -> None:
        self._tell()

    def on_end(self, _: Any) -> None:
        """Nobody asks."""


def call_at_compilation(tell: Callable[[], None]) -> None:
    """Call `tell` whenever Numba compiles something from now on."""
    event.register("numba:compile", _Caller(tell))  # type: ignore[no-untyped-call]


def machine_code(
    function: Callable[..., Any], options: dict[str, Any], args: tuple[Any, ...]
) -> Code | None:
    """Compile `function` for the types of `args`; None when it could not run without Numba."""
    alone: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    compile_for: Any = njit(**options, **alone)(function)
    signature = tuple(map(typeof, args))
    if not hasattr(compile_for, "compile"):  # NUMBA_DISABLE_JIT
        return None
    compile_for.compile(signature)
    compiled = compile_for.overloads[signature]
    result = str(compiled.signature.return_type)
    leaves = [leaf for argument in signature for leaf in _leaves(argument)]
    kinds = tuple("array" if isinstance(leaf, types.Array) else str(leaf) for leaf in leaves)
    if not C_TYPES.keys() >= {*kinds, result} - {"none"}:
        return None
    module = binding.parse_assembly(compile_for.inspect_llvm(signature))
    module.link_in(binding.parse_assembly(str(_entry(compiled, leaves))))
    content = target_machine().emit_object(module)
    needs = _undefined(content)
    return Code(kinds, result, needs, content) if _C_LIBRARY.issuperset(needs) else None


def _leaves(kind: Any) -> list[Any]:
    """The types of a type's leaves."""
    parts = getattr(kind, "types", None)  # of a tuple
    return [kind] if parts is None else [leaf for part in parts for leaf in _leaves(part)]


def _entry(compiled: Any, leaves: list[Any]) -> ir.Module:
    """A C function that calls a compiled kernel, in a module of its own."""
    context, description = compiled.target_context, compiled.fndesc
    module = context.create_module(ENTRY)
    convention = context.call_conv
    kernel_type = convention.get_function_type(description.restype, description.argtypes)
    kernel = ir.Function(module, kernel_type, description.llvm_func_name)
    word, address = ir.IntType(32), ir.IntType(8).as_pointer()
    given = [address if isinstance(leaf, types.Array) else context.get_data_type(leaf)
             for leaf in leaves]  # fmt: skip
    entry = ir.Function(module, ir.FunctionType(word, [address, *given]), ENTRY)
    builder = ir.IRBuilder(entry.append_basic_block())
    remaining = iter(entry.args[1:])
    values = [_value(context, builder, kind, remaining) for kind in description.argtypes]
    status, result = convention.call_function(
        builder, kernel, description.restype, description.argtypes, values
    )
    with builder.if_then(status.is_error, likely=False):
        builder.ret(status.code)
    if description.restype is not types.none:
        stored = context.get_value_as_data(builder, description.restype, result)
        builder.store(stored, builder.bitcast(entry.args[0], stored.type.as_pointer()))
    builder.ret(word(0))
    return module


def _value(context: Any, builder: ir.IRBuilder, kind: Any, given: Any) -> Any:
    """A kernel's argument in Numba's form, of the leaves that come next."""
    if (parts := getattr(kind, "types", None)) is not None:
        values = [_value(context, builder, part, given) for part in parts]
        return context.make_tuple(builder, kind, values)
    value = next(given)
    if not isinstance(kind, types.Array):
        return context.data_model_manager[kind].from_data(builder, value)
    return _array(context, builder, kind, value)


def _array(context: Any, builder: ir.IRBuilder, kind: types.Array, python_object: Any) -> Any:
    """An array in Numba's form, of its Python object."""
    size = context.get_value_type(types.intp)
    item = context.get_data_type(kind.dtype)
    array = make_array(kind)(context, builder)  # type: ignore[no-untyped-call]

    def field(number: int, field_type: Any) -> Any:
        place = builder.gep(python_object, [size(HEAD + number * (size.width // 8))])
        return builder.load(builder.bitcast(place, field_type.as_pointer()))

    def sizes(number: int) -> list[Any]:
        first = field(number, size.as_pointer())
        return [builder.load(builder.gep(first, [size(axis)])) for axis in range(kind.ndim)]

    populate_array(  # type: ignore[no-untyped-call]
        array, data=field(0, item.as_pointer()), shape=sizes(2), strides=sizes(3),
        itemsize=size(context.get_abi_sizeof(item)), meminfo=None,
    )  # fmt: skip
    return array._getvalue()


def _undefined(content: bytes) -> tuple[str, ...]:
    """The names that an object file in the format ELF takes from elsewhere."""
    sections = {section.name(): section.data() for section in
                binding.ObjectFileRef.from_data(content).sections()}  # fmt: skip
    names = sections[b".strtab"]
    symbols = np.frombuffer(sections[b".symtab"], _SYMBOL)
    starts = symbols["name"][(symbols["section"] == 0) & (symbols["name"] != 0)]
    return tuple(sorted(names[start : names.index(b"\0", start)].decode() for start in starts))
