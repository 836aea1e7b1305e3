"""Worker processes: what they do with crashes, hangs, greed and errors."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gmmseg.batch.memory import can_limit_memory
from gmmseg.batch.options import BatchOptions
from gmmseg.batch.workers import WorkerPool, WorkerStartError
from gmmseg.errors import InvalidDataError, InvalidParameterError

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
limited = pytest.mark.skipif(not can_limit_memory(), reason="no limit on memory here")


def double(task):
    return 2 * task


def act(task):
    """What a task's name says."""
    return _ACTS.get(task, lambda: task.upper())()


def _abort():
    os.abort()


def _kill():
    os.kill(os.getpid(), signal.SIGKILL)


def _leave():
    os._exit(3)


def _hang():
    time.sleep(600)


def _refuse():
    raise InvalidDataError("no \x1b[2J pixels.")


def _stumble():
    raise KeyError("what")


def _recurse():
    return _recurse()


def _devour():
    return len(bytearray(1 << 33))


def _environment():
    return os.environ.get("OMP_NUM_THREADS")


_ACTS = {
    "abort": _abort,
    "kill": _kill,
    "leave": _leave,
    "hang": _hang,
    "refuse": _refuse,
    "stumble": _stumble,
    "recurse": _recurse,
    "devour": _devour,
    "environment": _environment,
}


def found(tasks, jobs=2, **limits):
    with WorkerPool(act, jobs, **limits) as pool:
        return dict(pool.outcomes(tasks))


def test_every_task_once():
    with WorkerPool(double, 2) as pool:
        outcomes = list(pool.outcomes(range(40)))
        assert sorted(task for task, _ in outcomes) == list(range(40))
        assert all(outcome.value == 2 * task for task, outcome in outcomes)
        assert [task for task, _ in pool.outcomes([7])] == [7]  # the same workers again
        assert list(pool.outcomes([])) == []


@posix
def test_crashes_cost_their_own_task_only():
    names = ["a", "abort", "b", "kill", "c", "leave", "abort", "d"]
    with WorkerPool(act, 2) as pool:
        outcomes = list(pool.outcomes(names))
    assert sorted(task for task, _ in outcomes) == sorted(names)
    told = {task: (outcome.failure, outcome.error) for task, outcome in outcomes}
    assert told["abort"] == (
        "crash",
        "the process that worked on it died: signal 6 (SIGABRT).",
    )
    assert "signal 9 (SIGKILL)" in told["kill"][1]
    assert "exit code 3" in told["leave"][1]
    assert {outcome.value for _, outcome in outcomes} == {"A", "B", "C", "D", None}


def test_errors_are_told_on_one_line():
    outcomes = found(["refuse", "stumble", "recurse", "a"], jobs=1)
    assert outcomes["refuse"].error == r"no \x1b[2J pixels."
    assert outcomes["stumble"].error == "KeyError: 'what'"
    assert outcomes["recurse"].error == "it is malformed: nested too deeply."
    assert {outcomes[name].failure for name in ("refuse", "stumble", "recurse")} == {"error"}
    assert outcomes["a"].value == "A"


@posix
def test_a_task_that_takes_too_long():
    outcomes = found(["hang", "a", "b"], timeout=1.0)
    assert outcomes["hang"].failure == "timeout"
    assert outcomes["hang"].error == "it took more than 1 seconds."
    assert (outcomes["a"].value, outcomes["b"].value) == ("A", "B")


@limited
def test_a_task_that_needs_too_much_memory():
    outcomes = found(["devour", "a"], memory_limit=1 << 28)
    assert (outcomes["devour"].failure, outcomes["devour"].error) == (
        "memory",
        "not enough memory.",
    )
    assert outcomes["a"].value == "A"


def test_libraries_start_no_threads_in_workers(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert found(["environment"], jobs=1)["environment"].value == "1"
    assert "OMP_NUM_THREADS" not in os.environ


class Unloadable:
    """A work that no process can load."""

    def __reduce__(self):
        return sys.exit, (5,)


@posix
def test_workers_that_never_begin():
    with (
        WorkerPool(Unloadable(), 2) as pool,
        pytest.raises(WorkerStartError, match="worker processes die at their start: exit code"),
    ):
        list(pool.outcomes([1, 2]))


@posix
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs handles of processes")
def test_workers_end_with_a_supervisor_that_is_killed(tmp_path):
    code = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "from gmmseg.batch.workers import WorkerPool\n"
        "import test_batch_workers as t, os\n"
        "if __name__ == '__main__':\n"
        "    with WorkerPool(t.act, 1) as pool:\n"
        "        for _ in pool.outcomes(['a', 'hang']):\n"
        "            own = pool._workers[0].process.pid\n"
        "            print(own, flush=True)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    here = str(Path(__file__).parent)
    with subprocess.Popen(
        [sys.executable, str(script), here], stdout=subprocess.PIPE, text=True
    ) as process:
        worker = int(process.stdout.readline())
        handle = os.pidfd_open(worker)
        process.kill()
    try:
        assert select.select([handle], [], [], 60)[0], "the worker is still there"
    finally:
        os.close(handle)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
        ({"threads": 1.5}, "threads must be a whole number"),
        ({"timeout": 0}, "timeout must be more than 0, got 0"),
        ({"memory_limit": 5}, "memory_limit must be at least 16777216, got 5"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InvalidParameterError, match=message):
        BatchOptions(**options)
