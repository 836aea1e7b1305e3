"""Optional and heavy packages: one place to import them, one helpful error."""

import importlib
from types import ModuleType

from gmmseg.errors import MissingDependencyError

_REMEDIES = {
    "cv2": (
        "OpenCV cannot be loaded. On a bare server its system libraries are missing: "
        "apt-get install -y libgl1 libglib2.0-0 libxcb1"
    ),
    "imagecodecs": "Install the codecs of compressed TIFF: pip install 'gmmseg[tiff]'",
    "rasterio": "Install the readers of geographic rasters: pip install 'gmmseg[geo]'",
    "nibabel": "Install the readers of medical files: pip install 'gmmseg[medical]'",
    "matplotlib": "Install the plots: pip install 'gmmseg[plot]'",
}


def import_optional(name: str) -> ModuleType:
    """Import `name`, or raise `MissingDependencyError` with the command that helps."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        remedy = _REMEDIES.get(package, f"Install it: pip install {package}")
        raise MissingDependencyError(f"{remedy} ({error})") from error
