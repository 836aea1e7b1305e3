"""Threads, and kernels that cannot be kept on disk."""

import itertools
import os
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest

from gmmseg.errors import InvalidParameterError
from gmmseg.mixture import _threads
from gmmseg.mixture._threads import Workers, available_cpus
from gmmseg.mixture.rows import row_groups


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("n_tasks", [0, 1, 2, 100])
def test_every_task_is_done_once(threads, n_tasks):
    done = np.zeros(n_tasks, int)

    def task(i):
        done[i] += 1

    with Workers(threads) as workers:
        workers.run(task, n_tasks)
        workers.run(task, n_tasks)
    assert (done == 2).all()


def test_one_thread_makes_no_pool():
    names = set()
    before = threading.active_count()
    with Workers(1) as workers:
        workers.run(lambda i: names.add(threading.current_thread()), 20)
        assert threading.active_count() == before
    assert names == {threading.current_thread()}


def test_a_single_task_makes_no_pool():
    before = threading.active_count()
    with Workers(4) as workers:
        workers.run(lambda i: None, 1)
        assert threading.active_count() == before


def test_helpers_work_beside_the_caller_and_leave():
    barrier = threading.Barrier(3, timeout=20)
    before = threading.active_count()
    with Workers(3) as workers:
        workers.run(lambda i: barrier.wait(), 3)  # would hang if one thread did two of them
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_come_through_and_stop_the_rest(threads, error):
    done = []

    def task(i):
        if i == 2:
            raise error("task 2")
        done.append(i)

    with Workers(threads) as workers, pytest.raises(error, match="task 2"):
        workers.run(task, 1_000_000)
    assert len(done) < 1_000_000


def test_errors_of_helpers_come_through():
    caller = threading.current_thread()
    barrier = threading.Barrier(2, timeout=20)

    def task(i):
        barrier.wait()
        if threading.current_thread() is not caller:
            raise ValueError("in a helper")

    with Workers(2) as workers, pytest.raises(ValueError, match="in a helper"):
        workers.run(task, 2)


def test_workers_can_be_used_after_an_error():
    def fail(i):
        raise ValueError(str(i))

    done = []
    with Workers(2) as workers:
        with pytest.raises(ValueError, match=r"\d"):
            workers.run(fail, 10)
        workers.run(done.append, 10)
    assert sorted(done) == list(range(10))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_what_was_begun_is_done_when_it_is_ended(threads):
    done, other = [], []
    with Workers(threads) as workers:
        finish = workers.begin(done.append, 50)
        workers.run(other.append, 20)
        finish()
        assert sorted(done) == list(range(50))
    assert sorted(other) == list(range(20))


def test_helpers_begin_by_themselves():
    begun = threading.Event()
    with Workers(2) as workers:
        finish = workers.begin(lambda i: begun.set(), 3)
        assert begun.wait(timeout=20)
        finish()


def test_nobody_waits_for_helpers_that_are_held_up():
    begun, go_on = threading.Event(), threading.Event()

    def wait(i):
        begun.set()
        assert go_on.wait(timeout=20)

    done = []
    with Workers(2) as workers:
        finish = workers.begin(wait, 2)
        assert begun.wait(timeout=20)
        workers.run(done.append, 10)  # the only helper is still at the other thing
        assert sorted(done) == list(range(10))
        go_on.set()
        finish()


def test_what_was_begun_and_never_ended_stops_with_the_workers():
    begun, done = threading.Event(), []

    def task(i):
        begun.set()
        done.append(i)

    with Workers(2) as workers:
        workers.begin(task, 1_000_000_000)
        assert begun.wait(timeout=20)
    assert 0 < len(done) < 1_000_000_000


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_number_of_threads_is_checked(threads):
    with pytest.raises(InvalidParameterError, match="threads must be"):
        Workers(threads)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("max 100000\n", 1 << 30),
        ("", 1 << 30),
        ("nonsense", 1 << 30),
    ],
)
def test_quota_of_control_groups(tmp_path, text, cpus):
    path = tmp_path / "cpu.max"
    path.write_text(text)
    assert _threads._cgroup_quota(path) == cpus


def test_no_control_groups(tmp_path):
    assert _threads._cgroup_quota(tmp_path / "cpu.max") == 1 << 30


def test_available_cpus_heeds_the_quota(monkeypatch):
    assert 1 <= available_cpus() <= (os.cpu_count() or 1)
    monkeypatch.setattr(_threads, "_cgroup_quota", lambda: 1)
    assert available_cpus() == 1
    assert Workers().threads == 1


def test_available_cpus_without_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cpus() == 1


@pytest.mark.parametrize("n", [1, 511, 512, 513, 16384, 16385, 100_000, 5_000_000])
@pytest.mark.parametrize("size", [0, 10, 10**7])
def test_groups_of_rows_cover_all_and_start_at_blocks(n, size):
    groups = row_groups(n, size)
    assert groups[0][0] == 0
    assert groups[-1][1] == n
    assert all(a[1] == b[0] for a, b in itertools.pairwise(groups))
    assert all(start % 512 == 0 and start < stop for start, stop in groups)
    assert len(groups) <= 128


FIT = """
import warnings
import numpy as np
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from gmmseg.mixture import fit_mixture
    X = np.linspace(0, 1, 100)[:, None]
    fit = fit_mixture(X, 1, covariance_type="diag", max_iter=3)
told = [w for w in caught if issubclass(w.category, RuntimeWarning)]
assert len(told) == 1, caught
assert "NUMBA_CACHE_DIR" in str(told[0].message)
assert abs(fit.mixture.means[0, 0] - 0.5) < 1e-12
"""


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.skipif(
    not hasattr(numba.core.config, "CACHE_LOCATOR_CLASSES"),
    reason="this Numba cannot be kept from writing beside the sources",
)
def test_kernels_work_where_no_cache_can_be_written():
    # without the second, Numba would write beside the sources of this checkout
    done = run(
        FIT,
        NUMBA_CACHE_DIR="/dev/null/cache",
        NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator",
    )
    assert done.returncode == 0, done.stderr


def test_importing_the_mixture_is_cheap():
    code = (
        "import sys, gmmseg.mixture;"
        "print([m for m in ('scipy', 'sklearn', 'cv2', 'skimage') if m in sys.modules])"
    )
    done = run(code)
    assert done.stdout.strip() == "[]", done.stderr
