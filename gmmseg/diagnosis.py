"""What this installation is made of, and what is wrong with it."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from gmmseg import __version__
from gmmseg.errors import MissingDependencyError
from gmmseg.mixture._threads import available_cpus

__all__ = ["Finding", "cache_folder", "diagnose"]

#: Wheels that all install a package `cv2`: each overwrites the files of the others.
_OPENCV_WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    subject : str
        What was looked at.
    value : str
        What was found.
    problem : str
        What is wrong, and the remedy; empty when all is well.
    """

    subject: str
    value: str
    problem: str = ""


def diagnose() -> list[Finding]:
    """Look at versions, OpenCV, threads, the kernels' cache, the GPU and the extras.

    Examples
    --------
    >>> [finding.subject for finding in diagnose()][:2]
    ['gmmseg', 'Python']
    """
    return [
        Finding("gmmseg", f"{__version__} in {Path(__file__).parent}"),
        Finding("Python", f"{platform.python_version()} on {platform.platform()}"),
        *_requirements(),
        _opencv(),
        Finding("threads", f"{available_cpus()} of {os.cpu_count()} CPUs may be used"),
        _cache(),
        _gpu(),
        *_extras(),
    ]


def cache_folder() -> str:
    """Where compiled kernels are kept; empty when there is no folder that can be written."""
    from gmmseg.mixture._kernels import em_pass

    return em_pass.stats.cache_path or ""


def _requirements() -> Iterator[Finding]:
    """The packages without which nothing works; OpenCV is looked at by itself."""
    for name, wanted in _requirements_of(""):
        if name != "opencv-python":
            yield _package(name, wanted, "missing, and needed")


def _extras() -> Iterator[Finding]:
    """The packages of each extra that a user may want."""
    for extra in metadata.metadata("gmmseg").get_all("Provides-Extra") or ():
        packages = [_package(*one, "not installed") for one in _requirements_of(extra)]
        if extra in ("test", "dev") or not packages:
            continue
        missing = any(package.value == "not installed" for package in packages)
        remedy = f" (pip install 'gmmseg[{extra}]')" if missing else ""
        found = ", ".join(f"{package.subject} {package.value}" for package in packages)
        problems = "; ".join(
            p.problem for p in packages if p.value != "not installed" and p.problem
        )
        yield Finding(f"extra {extra}", found + remedy, problems)


def _requirements_of(extra: str) -> list[tuple[str, str]]:
    """Name and lowest version of what the package, or one of its extras, requires."""
    rules = metadata.requires("gmmseg") or ()
    parts = [re.split(r"\s*;\s*extra\s*==\s*", rule) for rule in rules]
    wanted = [rule for rule, *of in parts if (of[0].strip("'\"") if of else "") == extra]
    found = (re.match(r"([\w.-]+)(?:\[.*\])?\s*(?:.*>=\s*([\w.]+))?", rule) for rule in wanted)
    pairs = [(match[1], match[2] or "0") for match in found if match]
    return [pair for pair in pairs if pair[0] != "gmmseg"]


def _package(name: str, wanted: str, absent: str) -> Finding:
    version = _version(name)
    if not version:
        return Finding(name, "not installed", f"{name} is {absent}: pip install '{name}>={wanted}'")
    if _numbers(version) < _numbers(wanted):
        remedy = f"{name} {version} is older than {wanted}: pip install '{name}>={wanted}'"
        return Finding(name, version, remedy)
    return Finding(name, version)


def _opencv() -> Finding:
    """Several wheels of OpenCV overwrite one another, and pip says nothing."""
    wheels = [(name, version) for name in _OPENCV_WHEELS if (version := _version(name))]
    value = ", ".join(f"{name} {version}" for name, version in wheels) or "not installed"
    if len(wheels) > 1:
        names = " ".join(name for name, _ in wheels)
        remedy = f"pip uninstall {names}, then install one of them"
        return Finding("OpenCV", value, f"its wheels overwrite one another: {remedy}")
    try:
        from gmmseg._optional import import_optional

        import_optional("cv2")
    except MissingDependencyError as error:
        return Finding("OpenCV", value, f"it cannot be loaded: {error}")
    return Finding("OpenCV", value)


def _cache() -> Finding:
    folder = cache_folder()
    if folder:
        return Finding("compiled kernels", f"kept in {folder}")
    remedy = "set NUMBA_CACHE_DIR to a folder that can be written"
    return Finding("compiled kernels", "memory only", f"each process compiles anew: {remedy}")


def _gpu() -> Finding:
    """Nothing computes on it yet; who has one wants to know that it is not used."""
    driver = Path("/proc/driver/nvidia/version")
    found = driver.exists() or bool(os.environ.get("CUDA_PATH"))
    return Finding(
        "GPU", "an NVIDIA driver is there; not used" if found else "none found; not used"
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        # A system's package may come without metadata: what counts is that it can be imported.
        module = {"pillow": "PIL", "scikit-image": "skimage"}.get(name, name.replace("-", "_"))
        return "of unknown version" if find_spec(module) else ""


def _numbers(version: str) -> list[int]:
    if not version[:1].isdigit():
        return [sys.maxsize]
    return [int(part) for part in re.findall(r"\d+", version)[:3]]
