"""scikit-learn's own tests of its GaussianMixture, with gmmseg's class in place of theirs.

    python scripts/sklearn_own_tests.py [--output docs/sklearn-tests.md]

Runs `sklearn/mixture/tests/test_gaussian_mixture.py` of the installed scikit-learn twice, as it
is and with its tests in float32, and prints a table. Of the tests for any library's arrays those
with NumPy's are run: others are not computed with, as the estimator's tags say. Exits 1 when a
test fails that is not among the exceptions below, or when fewer than 90 % of the tests that use
the public class pass.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

MODULE = "sklearn.mixture.tests.test_gaussian_mixture"
REQUIRED_SHARE = 0.9

#: Tests that need not pass, and why.
EXCEPTIONS = {
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": (
        "counts calls of a private function of scikit-learn's EM, which does not run here"
    ),
}


class Recorder:
    """A pytest plugin that writes one line for each test: its name and its outcome."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def pytest_runtest_logreport(self, report) -> None:
        if report.when == "call" or report.skipped or report.failed:
            with self.path.open("a") as lines:
                lines.write(f"{report.nodeid.rpartition('::')[2]}\t{report.outcome}\n")


def run_with_ours(path: str) -> int:
    """Run their tests in this process, with their class replaced before they import it."""
    import pytest
    import sklearn.mixture

    from gmmseg.sklearn import GaussianMixture

    sklearn.mixture.GaussianMixture = GaussianMixture
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", "-c", os.devnull, "-W", "ignore"]
    options += ["-k", "not array_api or numpy"]
    return int(pytest.main([*options, "--pyargs", MODULE], plugins=[Recorder(path)]))


def outcomes(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """Outcome of every test, by name, in a process of its own."""
    path = folder / "outcomes.txt"
    path.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--child", str(path)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode > 1 or not path.exists():
        raise SystemExit(f"the tests could not be run:\n{done.stdout}\n{done.stderr}")
    print(
        "".join(line + "\n" for line in done.stdout.splitlines() if line.startswith("E ")), end=""
    )
    return dict(line.split("\t") for line in path.read_text().splitlines())


def tests_of_the_class() -> set[str]:
    """Names of their tests that use the class; the others call private functions only."""
    import importlib.util

    spec = importlib.util.find_spec(MODULE)
    assert spec is not None  # noqa: S101 - their wheel contains its tests
    assert spec.origin is not None  # noqa: S101
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and any(isinstance(n, ast.Name) and n.id == "GaussianMixture" for n in ast.walk(node))
    }


def table(results: dict[str, dict[str, str]], public: set[str]) -> list[str]:
    """One row for each test function and run, as lines of Markdown."""
    lines = ["| test | " + " | ".join(results) + " |", "|---" * (1 + len(results)) + "|"]
    for name in sorted({test.partition("[")[0] for found in results.values() for test in found}):
        cells = []
        for found in results.values():
            counts = Counter(o for test, o in found.items() if test.partition("[")[0] == name)
            cells.append(", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items())))
        private = "" if name in public else " (private functions only)"
        lines.append(f"| `{name}`{private} | " + " | ".join(cells) + " |")
    return lines


def verdict(results: dict[str, dict[str, str]], public: set[str]) -> tuple[list[str], bool]:
    """What the table means, and whether that is good enough."""
    lines, good = [], True
    for label, found in results.items():
        counted = {t: o for t, o in found.items() if t.partition("[")[0] in public}
        passed = sum(outcome == "passed" for outcome in counted.values())
        failed = sorted(test for test, outcome in counted.items() if outcome == "failed")
        share = passed / max(1, passed + len(failed))
        lines.append(
            f"- {label}: {passed} of {passed + len(failed)} tests of the class pass "
            f"({share:.0%}); {len(counted) - passed - len(failed)} are skipped by themselves."
        )
        for test in failed:
            reason = EXCEPTIONS.get(test.partition("[")[0], "NOT EXPECTED")
            lines.append(f"  - fails: `{test}`: {reason}.")
            good &= reason != "NOT EXPECTED"
        good &= share >= REQUIRED_SHARE
    return lines, good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="write the table as Markdown to this file")
    args = parser.parse_args()
    if args.child:
        sys.exit(run_with_ours(args.child))
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gmmseg-") as folder:
        plain = {"SCIPY_ARRAY_API": "1"}  # without it those tests are skipped or fail
        results = {
            "float64": outcomes({**plain, "SKLEARN_RUN_FLOAT32_TESTS": "0"}, Path(folder)),
            "with float32": outcomes({**plain, "SKLEARN_RUN_FLOAT32_TESTS": "1"}, Path(folder)),
        }
    public = tests_of_the_class()
    summary, good = verdict(results, public)
    text = [
        f"# scikit-learn {version('scikit-learn')}: its own tests of GaussianMixture",
        "",
        "Written by `scripts/sklearn_own_tests.py`; not edited by hand.",
        "",
        *summary,
        "",
        *table(results, public),
        "",
    ]
    print("\n".join(text))
    if args.output:
        args.output.write_text("\n".join(text))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
