"""Models of other programs: OpenCV, GRASS, ArcGIS, scikit-learn.

Begin at `formats.py`: the table of file formats. `scikit_learn.py` converts objects. Names are
loaded when they are first used: whoever wants one module does not import them all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gmmseg.bridges.formats import FORMATS, Format, read_model, write_model
    from gmmseg.bridges.scikit_learn import from_sklearn, to_sklearn

__all__ = ["FORMATS", "Format", "from_sklearn", "read_model", "to_sklearn", "write_model"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'gmmseg.bridges' has no attribute {name!r}")
    home = "scikit_learn" if name.endswith("sklearn") else "formats"
    return getattr(import_module(f"gmmseg.bridges.{home}"), name)
