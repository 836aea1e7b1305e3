"""gmmseg: image segmentation by Gaussian mixtures fitted by EM.

>>> import numpy as np
>>> import gmmseg
>>> picture = np.zeros((20, 30), np.uint8)
>>> picture[:, 15:] = 200
>>> gmmseg.segment(picture, k=2).labels.max()
np.uint8(2)

Names are loaded when they are first used: ``import gmmseg`` alone costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gmmseg.feature_spec import FeatureSpec
    from gmmseg.image import Image
    from gmmseg.io import ReadOptions, read_image
    from gmmseg.mixture import EMOptions, Mixture, fit_mixture
    from gmmseg.model import Model, load_model
    from gmmseg.pipeline import SegmentOptions, apply, fit, segment
    from gmmseg.segmentation import Segmentation
    from gmmseg.smoothing import SmoothingOptions, smooth

_HOME = {
    "EMOptions": "gmmseg.mixture",
    "FeatureSpec": "gmmseg.feature_spec",
    "Image": "gmmseg.image",
    "Mixture": "gmmseg.mixture",
    "Model": "gmmseg.model",
    "ReadOptions": "gmmseg.io",
    "SegmentOptions": "gmmseg.pipeline",
    "Segmentation": "gmmseg.segmentation",
    "SmoothingOptions": "gmmseg.smoothing",
    "apply": "gmmseg.pipeline",
    "fit": "gmmseg.pipeline",
    "fit_mixture": "gmmseg.mixture",
    "load_model": "gmmseg.model",
    "read_image": "gmmseg.io",
    "segment": "gmmseg.pipeline",
    "smooth": "gmmseg.smoothing",
}

__all__ = [
    "EMOptions",
    "FeatureSpec",
    "Image",
    "Mixture",
    "Model",
    "ReadOptions",
    "SegmentOptions",
    "Segmentation",
    "SmoothingOptions",
    "__version__",
    "apply",
    "fit",
    "fit_mixture",
    "load_model",
    "read_image",
    "segment",
    "smooth",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gmmseg' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
