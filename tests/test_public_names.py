"""The names at the top: all there, none of them dear."""

import importlib.metadata
import subprocess
import sys

import pytest

import gmmseg

HEAVY = ("numpy", "numba", "scipy", "skimage", "cv2", "PIL", "tifffile", "tqdm")


def run_python(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize("name", gmmseg.__all__)
def test_every_name_is_there(name):
    value = getattr(gmmseg, name)
    assert value is getattr(gmmseg, name)
    assert getattr(value, "__name__", name) == name
    assert name == "__version__" or value.__doc__


def test_names_are_sorted_and_listed():
    assert gmmseg.__all__ == sorted(gmmseg.__all__)
    assert dir(gmmseg) == gmmseg.__all__


def test_every_lazy_name_is_public():
    assert set(gmmseg._HOME) | {"__version__"} == set(gmmseg.__all__)


def test_a_star_import_gives_them_all():
    names = run_python("from gmmseg import *; print(*sorted(n for n in dir() if n[0].isalpha()))")
    assert names.split() == sorted(set(gmmseg.__all__) - {"__version__"})


def test_the_version_is_that_of_the_installed_package():
    assert gmmseg.__version__ == importlib.metadata.version("gmmseg")


def test_the_import_loads_nothing_heavy():
    code = f"import sys, gmmseg; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert run_python(code) == "[]"


def test_listing_and_asking_for_the_version_load_nothing_heavy():
    code = (
        "import sys, gmmseg; dir(gmmseg); gmmseg.__version__; hasattr(gmmseg, 'none'); "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    assert run_python(code) == "[]"


@pytest.mark.parametrize(
    "module", ["pipeline", "cli.segment", "cli.apply", "cli.fit", "segmentation", "mixture.em"]
)
def test_functions_are_not_hidden_by_modules_of_their_name(module):
    code = (
        f"import gmmseg.{module}, gmmseg; "
        "print(*(type(f).__name__ for f in (gmmseg.segment, gmmseg.apply, gmmseg.fit)))"
    )
    assert run_python(code) == "function function function"


def test_unknown_names():
    with pytest.raises(AttributeError, match=r"^module 'gmmseg' has no attribute 'segmnt'$"):
        gmmseg.segmnt  # noqa: B018 - looking it up is what is tested
    with pytest.raises(ImportError, match="cannot import name 'segmnt'"):
        from gmmseg import segmnt  # noqa: F401
