"""Optional and heavy packages: one place to import them, one helpful error."""

import importlib
from types import ModuleType

from gmmseg.errors import MissingDependencyError

_REMEDIES = {
    "matplotlib": "Install what draws plots: pip install 'gmmseg[plot]'",
    "imagecodecs": "Install the codecs of compressed TIFF: pip install 'gmmseg[tiff]'",
    "pyarrow": "Install what reads Parquet: pip install 'gmmseg[tables]'",
    "nibabel": "Install what medical images need: pip install 'gmmseg[medical]'",
    "pydicom": "Install what reads DICOM: pip install 'gmmseg[medical]'",
    "highdicom": "Install what writes DICOM SEG: pip install 'gmmseg[medical]'",
    "shtab": "Install what writes completions: pip install 'gmmseg[completion]'",
    "sklearn": "Install scikit-learn 1.6 or later: pip install 'gmmseg[sklearn]'",
}


def import_optional(name: str) -> ModuleType:
    """Import `name`, or raise `MissingDependencyError` with the command that helps."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        remedy = _REMEDIES.get(package, f"Install it: pip install {package}")
        raise MissingDependencyError(f"{remedy} ({error})") from error
