"""Optional and heavy packages: one place to import them, one helpful error."""

import importlib
from types import ModuleType

from gmmseg.errors import MissingDependencyError

_REMEDIES = {
    "cv2": "Install OpenCV: pip install --force-reinstall opencv-python",
    "dask": "Install Dask: pip install 'gmmseg[dask]'",
    "zarr": "Install what reads Zarr: pip install 'gmmseg[zarr]'",
    "xarray": "Install xarray: pip install 'gmmseg[xarray]'",
    "matplotlib": "Install what draws plots: pip install 'gmmseg[plot]'",
    "imagecodecs": "Install the codecs of compressed TIFF: pip install 'gmmseg[tiff]'",
    "pyarrow": "Install what reads Parquet: pip install 'gmmseg[tables]'",
    **dict.fromkeys(
        ("rasterio", "shapely", "pyogrio", "pyproj"),
        "Install what reads and writes maps: pip install 'gmmseg[geo]'",
    ),
    "nibabel": "Install what medical images need: pip install 'gmmseg[medical]'",
    "pydicom": "Install what reads DICOM: pip install 'gmmseg[medical]'",
    "highdicom": "Install what writes DICOM SEG: pip install 'gmmseg[medical]'",
    "shtab": "Install what writes completions: pip install 'gmmseg[completion]'",
    "sklearn": "Install scikit-learn 1.6 or later: pip install 'gmmseg[sklearn]'",
}

#: Packages that are there but cannot be loaded without libraries of the system.
_LIBRARIES = {
    "cv2": "OpenCV needs libraries of the system; on Debian and Ubuntu: apt-get install -y libgl1 "
    "libglib2.0-0 libxcb1",
}


def import_optional(name: str) -> ModuleType:
    """Import `name`, or raise `MissingDependencyError` with the command that helps."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        remedy = _REMEDIES.get(package, f"Install it: pip install {package}")
        if not isinstance(error, ModuleNotFoundError):
            remedy = _LIBRARIES.get(package, remedy)
        raise MissingDependencyError(f"{remedy} ({error})") from error
