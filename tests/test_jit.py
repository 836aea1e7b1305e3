"""Kernels: by machine code the same bits as by Numba; kept, found again, never trusted blindly."""

import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
import pytest

from gmmseg import image  # noqa: F401  (imported, so that it can be found)
from gmmseg.mixture import _code_files, _jit, _kernels, _machine_code
from gmmseg.mixture._distinct_kernels import count_keys, hash_rows
from gmmseg.mixture._distribution_kernels import quantiles_of
from gmmseg.mixture.seeding import lloyd_space

SOURCE = """
    from gmmseg.mixture._jit import inline, kernel

    @inline
    def _twice(x):
        return 2 * x

    @kernel
    def double(x, out):
        for i in range(x.shape[0]):
            out[i] = _twice(x[i])
        return x.shape[0]
"""

needs_machine_code = pytest.mark.skipif(
    _machine_code.environment() is None, reason="machine code is not kept on this system"
)


def imported(path):
    """A module that nobody has imported before."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def module_file(tmp_path, monkeypatch):
    """The file of a module with a kernel, which keeps its code beside it."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    path = tmp_path / "some_kernels.py"
    path.write_text(textwrap.dedent(SOURCE))
    return path


def doubled(kernel, n=5):
    out = np.zeros(n)
    assert kernel(np.arange(float(n)), out) == n
    return out.tolist()


DOUBLED = [0.0, 2.0, 4.0, 6.0, 8.0]


def kept_file(path):
    (file,) = (path.parent / "__pycache__").glob("*.kernel")
    return file


# --- the same bits --------------------------------------------------------------------------------


def em_arguments(parameters, dtype, n_features):
    rng = np.random.default_rng(n_features)
    k, padded = parameters.means.shape
    blocks = rng.normal(size=(3, padded, _kernels.BLOCK)).astype(dtype)
    space = tuple(np.empty((n, _kernels.BLOCK), dtype) for n in (2 * padded, k, 3))
    shapes = (), (k,), (k, padded), (k, padded, padded)
    likelihood, *sums = (np.zeros((2, *shape)) for shape in shapes)
    return (
        blocks,
        0,
        2500,
        rng.random(2500).astype(dtype),
        np.zeros(k, dtype),
        parameters,
        space,
        2,
        *sums,
        likelihood,
    )


def full(n_features, dtype):
    rng = np.random.default_rng(1)
    means = rng.normal(size=(4, n_features)).astype(dtype)
    packed = n_features * (n_features + 1) // 2
    zeros = (dtype(0),) * (1 + n_features + packed)
    whiten = rng.random((4, packed)).astype(dtype)
    return _kernels.Full(means, whiten, (0,) * n_features, zeros)


def full_tiled(n_features, dtype):
    rng = np.random.default_rng(2)
    means = rng.normal(size=(4, n_features)).astype(dtype)
    return _kernels.FullTiled(means, np.tril(rng.random((4, n_features, n_features))).astype(dtype))


def calls():
    rng = np.random.default_rng(0)
    for n_features, dtype in itertools.product((1, 3), (np.float32, np.float64)):
        yield _kernels.em_pass, em_arguments(full(n_features, dtype), dtype, n_features)
    yield _kernels.em_pass, em_arguments(full_tiled(20, np.float32), np.float32, 20)
    x = rng.normal(size=(2, 3000))
    sums, labels = np.zeros((3, 3)), np.empty(3000, np.int32)
    space = lloyd_space(2, x.dtype)
    yield (
        _kernels.lloyd_pass,
        (x, np.ones(3000), x[:, :3].T.copy(), space, labels, sums, np.zeros(1)),
    )
    values = rng.integers(0, 9, (3000, 2)).astype(np.uint8)
    values.flags.writeable = False
    table, overflow = np.zeros(256, np.uint8), np.zeros(3000, np.int64)
    yield count_keys, (values, (0, 0), 0, 4, table, overflow)
    yield count_keys, (values[::2], (0, 0), 0, 4, table, overflow)
    keys, counts, slots = np.zeros(256, int), np.zeros(257, int), np.full(512, -1, np.int32)
    yield hash_rows, (values, (0, 0), 0, 4, 0, slots, keys, counts)
    goals, ones = np.linspace(-9, -1, 50), np.ones(2)
    yield quantiles_of, (goals, np.log(ones / 2), ones, 3 * ones, np.empty(2), np.empty(50))


def copied(value):
    if isinstance(value, np.ndarray):
        copy = value.copy()
        copy.flags.writeable = value.flags.writeable
        return copy if copy.strides == value.strides else value[...]
    if isinstance(value, tuple):
        parts = [copied(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def arrays_of(values):
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, tuple):
            yield from arrays_of(value)


@pytest.mark.parametrize("number", range(len(list(calls()))))
def test_machine_code_gives_what_numba_gives(number):
    kernel, args = list(calls())[number]
    again = copied(args)
    result = kernel(*args)
    expected = kernel._dispatcher(*again)
    assert result == expected
    for one, other in zip(arrays_of(args), arrays_of(again), strict=True):
        assert one.dtype == other.dtype
        # the C entry is another caller, for which LLVM may choose another order of the sums
        # within a block, which are of float32
        rtol = 1e-5 if one.dtype == "f4" else 1e-6
        size = np.abs(other[np.isfinite(other)]).max(initial=0)  # sums cancel
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * size)


class Pair(NamedTuple):
    first: tuple
    second: np.ndarray


@_jit.kernel
def describe_all(pair, number, real, flag, small, array):
    a, b, c = pair.first
    total = number + real + small + array[0, 1] + pair.second[1] + a + b + c
    return total if flag else -total


@pytest.mark.parametrize("flag", [True, False, np.True_])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arguments_of_every_kind(flag, order):
    array = np.array([[1, 2], [4, 8]], np.int16, order=order)
    for grid, expected in ((array, 2), (array[::-1], 8), (array[:, ::-1], 1), (array.T, 4)):
        pair = Pair((16, 32.0, np.float32(64)), np.array([0, 128], np.uint8))
        total = describe_all(pair, 256, np.float64(512), flag, np.int8(-1), grid)
        assert total == (1 if flag else -1) * (1007 + expected)


@pytest.mark.parametrize(
    ("given", "expected"), [(2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)), (2**64 - 1, 2**64 - 1)]
)
def test_integers_are_never_cut(given, expected):
    same = _jit.kernel(lambda x: x)
    assert same(given) == expected


@pytest.mark.parametrize("value", [True, 3, 2.5, np.float32(1.5), np.uint8(200), np.int64(-4)])
def test_results_of_every_kind(value):
    result = _jit.kernel(lambda x: x)(value)
    assert result == value
    assert isinstance(result, bool) == isinstance(value, bool)


def test_a_result_that_is_no_number_is_left_to_numba():
    assert _jit.kernel(lambda x: (x, x + 1))(1) == (1, 2)


def test_whatever_numba_tells_apart_is_told_apart():
    grid = np.zeros((4, 6))
    constant = grid.copy()
    constant.flags.writeable = False
    values = [
        grid, grid.T, grid[::2], grid[:1], grid[:, :1], grid[0], constant, constant.T, grid[:0],
        grid.astype("f4"), np.zeros((4, 6, 1)), np.zeros((4, 6), "i8"),
        np.zeros(49, "u1")[1:].view(float).reshape(1, 6), 1, 2**63, True, 1.0, np.int32(1),
        np.float32(1), np.bool_(True), (), (1,), (1, 1), (1, 1.0), ((1,), 1), (1, (1,)),
        Pair((1,), grid), Pair((1, 1), grid), ((1,), grid),
    ]  # fmt: skip
    for one, other in itertools.product(values, repeat=2):
        kinds = []
        for value in (one, other):
            found = []
            _machine_code.describe((value,), found, [])
            kinds.append(found)
        if kinds[0] == kinds[1]:
            assert numba.typeof(one) == numba.typeof(other)


def twice(x, out):
    for i in range(1024):
        out[i] = 2 * x[i]


@pytest.mark.parametrize(("part", "checked"), [(_jit.inline, True), (_jit.apart, False)])
def test_loops_over_arrays_that_are_apart_are_not_preceded_by_checks(part, checked):
    compiled = part(twice).make()
    x, out = np.ones(1024), np.zeros(1024)
    compiled(x, out)
    assert (out == 2).all()
    (code,) = compiled.inspect_llvm().values()
    before, vector_loop, _ = code[code.index("define") :].partition("\nvector.body:")
    assert vector_loop
    assert ("icmp" in before) == checked


prefetch = _jit.from_numba("gmmseg.mixture._compiler", "prefetch")


@_jit.kernel
def fetch_and_sum(x):
    total = 0.0
    for i in range(x.shape[0]):
        prefetch(x, 8 * i + 64)  # beyond the end, too
        total += x[i]
    return total


def test_fetching_changes_nothing():
    x = np.arange(100.0)
    assert fetch_and_sum(x) == 4950
    assert (x == np.arange(100)).all()


@needs_machine_code
def test_what_goes_wrong_in_a_kernel_is_an_error():
    def check(x):
        if x < 0:
            raise ValueError("negative")
        return x

    kernel = _jit.kernel(check)
    assert kernel(1) == 1
    with pytest.raises(RuntimeError, match=r"kernel failed with status"):
        kernel(-1)


# --- what is kept ---------------------------------------------------------------------------------


@needs_machine_code
def test_later_processes_do_without_numba(module_file):
    code = (
        f"import sys; sys.path.insert(0, {str(module_file.parent)!r})\n"
        "import numpy as np, some_kernels\n"
        "out = np.zeros(3); some_kernels.double(np.arange(3.0), out)\n"
        "print(out.tolist(), 'numba' in sys.modules)\n"
    )
    env = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    command = [sys.executable, "-c", code]
    several = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE) for _ in range(2)]
    for process in several:  # at once, with nothing kept
        out, _ = process.communicate(timeout=120)
        assert out.split(b"]")[0] == b"[0.0, 2.0, 4.0"
    last = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert last.stdout == "[0.0, 2.0, 4.0] False\n"
    assert kept_file(module_file).name.startswith("some_kernels.double.")
    assert list((module_file.parent / "__pycache__").glob("*.tmp")) == []


@needs_machine_code
def test_the_command_line_does_without_numba(tmp_path):
    photo = tmp_path / "a.pgm"
    photo.write_bytes(b"P5 40 30 255\n" + bytes(range(200)) * 6)
    code = (
        "import sys; from gmmseg.__main__ import main\n"
        f"main(['segment', {str(photo)!r}, '-k', '2', '-q', '--overwrite'])\n"
        "print('numba' in sys.modules)\n"
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
    assert done.stdout == "False\n"


def broken(content):
    """A file of machine code, damaged in all manners."""
    yield b""
    yield content[:10]
    yield content[: len(content) // 2]
    yield content[:-1]
    yield content + b"\0"
    yield b"x" + content[1:]
    yield content.replace(b"int64", b"int32", 1)
    for place in (25, 60, len(content) // 2, len(content) - 1):
        yield content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


@needs_machine_code
def test_damaged_files_are_replaced(module_file):
    doubled(imported(module_file).double)
    file = kept_file(module_file)
    content = file.read_bytes()
    kernel = imported(module_file).double
    assert doubled(kernel) == DOUBLED
    (key,) = kernel.calls
    assert _code_files.read(kernel._source, key) is not None
    for damaged in broken(content):
        assert damaged != content
        file.write_bytes(damaged)
        assert _code_files.read(kernel._source, key) is None
    assert doubled(imported(module_file).double) == DOUBLED
    assert _code_files.read(kernel._source, key) is not None
    file.unlink()
    file.mkdir()
    assert doubled(imported(module_file).double) == DOUBLED


@needs_machine_code
def test_code_of_changed_sources_is_not_used(module_file):
    assert doubled(imported(module_file).double) == DOUBLED
    text = module_file.read_text()
    module_file.write_text(text.replace("2 * x", "3 * x"))
    _code_files._digest.cache_clear()
    assert doubled(imported(module_file).double) == [1.5 * x for x in DOUBLED]
    kept_file(module_file)  # the one before was replaced
    other = module_file.with_name("other.py")
    other.write_text(
        "from gmmseg import image\nimport numpy\nfrom gmmseg.mixture import _kernels\n"
    )
    names = {name.rsplit("/", 1)[-1] for name in _code_files._sources(other)}
    assert names >= {"other.py", "image.py", "_kernels.py", "_jit.py", "_compiler.py"}
    assert not names & {"em.py", "__init__.py"}


@needs_machine_code
def test_code_is_of_one_environment(module_file, monkeypatch):
    doubled(imported(module_file).double)
    here = _machine_code.environment()
    monkeypatch.setenv("NUMBA_OPT", "1")
    _machine_code.environment.cache_clear()
    try:
        assert _machine_code.environment() not in (here, None)
        kernel = imported(module_file).double
        assert kernel._kept(("anything",)) is None
    finally:
        monkeypatch.undo()
        _machine_code.environment.cache_clear()
    assert _machine_code.environment() == here


@needs_machine_code
def test_code_that_needs_what_is_not_there_is_not_loaded(module_file):
    kernel = imported(module_file).double
    doubled(kernel)
    code = _code_files.read(kernel._source, next(iter(kernel.calls)))
    assert _machine_code.load(code) is not None
    assert _machine_code.load(code._replace(needs=("no_such_function",))) is None


def test_other_systems_leave_all_to_numba(module_file, monkeypatch):
    monkeypatch.setattr(_machine_code, "environment", lambda: None)
    monkeypatch.setattr(_code_files, "environment", lambda: None)
    kernel = imported(module_file).double
    assert doubled(kernel) == DOUBLED
    assert list((module_file.parent / "__pycache__").glob("*.nbi"))
    assert list((module_file.parent / "__pycache__").glob("*.kernel")) == []
    assert kernel.folder == str(module_file.parent / "__pycache__")


@needs_machine_code
def test_where_code_is_kept(module_file, tmp_path, monkeypatch):
    given = tmp_path / "given"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(given))
    kernel = imported(module_file).double
    assert kernel.folder.startswith(str(given))
    assert not given.exists()
    doubled(kernel)
    assert kernel.folder.startswith(str(given))
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.rmtree(module_file.with_name("__pycache__"), ignore_errors=True)
    module_file.with_name("__pycache__").write_text("a file where the folder should be")
    doubled(kernel := imported(module_file).double)
    assert kernel.folder.startswith(str(tmp_path / "cache"))


def test_threads_compile_once(module_file):
    kernel = imported(module_file).double
    told = []
    with (
        _jit.telling_of_compilation(lambda: told.append("compiling")),
        ThreadPoolExecutor(8) as pool,
    ):
        results = list(pool.map(lambda n: doubled(kernel, n), range(2, 40)))
    assert results == [[2.0 * i for i in range(n)] for n in range(2, 40)]
    assert len(kernel.calls) == 1
    assert told
    n_told = len(told)
    with _jit.telling_of_compilation(lambda: told.append("again")):
        doubled(imported(module_file).double)
    assert len(told) == n_told or _machine_code.environment() is None
