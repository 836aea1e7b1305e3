"""Models of other programs: OpenCV, GRASS, ArcGIS, scikit-learn.

Begin at `formats.py`: the table of file formats. `scikit_learn.py` converts objects.
"""

from gmmseg.bridges.formats import FORMATS, Format, read_model, write_model
from gmmseg.bridges.scikit_learn import from_sklearn, to_sklearn

__all__ = ["FORMATS", "Format", "from_sklearn", "read_model", "to_sklearn", "write_model"]
