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
    from gmmseg.anomaly import AnomalyOptions
    from gmmseg.bias import BiasOptions
    from gmmseg.detection import Anomalies, detect_anomalies
    from gmmseg.feature_spec import FeatureSpec
    from gmmseg.image import Image
    from gmmseg.io import ReadOptions, Table, TableOptions, read_image, read_table
    from gmmseg.mixture import EMOptions, Mixture, fit_mixture
    from gmmseg.mixture.merging import MergeOptions
    from gmmseg.mixture.selection import Selection, SelectOptions
    from gmmseg.model import Model, load_model
    from gmmseg.opencv import from_bgr
    from gmmseg.options import SegmentOptions
    from gmmseg.pipeline import apply, fit, segment, select_k
    from gmmseg.priors import PriorOptions
    from gmmseg.regions import RegionOptions
    from gmmseg.segmentation import Segmentation
    from gmmseg.smoothing import SmoothingOptions, smooth
    from gmmseg.tabular import Clustering, cluster_table

_HOME = {
    "Anomalies": "gmmseg.detection",
    "AnomalyOptions": "gmmseg.anomaly",
    "BiasOptions": "gmmseg.bias",
    "Clustering": "gmmseg.tabular",
    "EMOptions": "gmmseg.mixture",
    "FeatureSpec": "gmmseg.feature_spec",
    "Image": "gmmseg.image",
    "MergeOptions": "gmmseg.mixture.merging",
    "Mixture": "gmmseg.mixture",
    "Model": "gmmseg.model",
    "PriorOptions": "gmmseg.priors",
    "ReadOptions": "gmmseg.io",
    "RegionOptions": "gmmseg.regions",
    "SegmentOptions": "gmmseg.options",
    "Segmentation": "gmmseg.segmentation",
    "Table": "gmmseg.io",
    "TableOptions": "gmmseg.io",
    "SelectOptions": "gmmseg.mixture.selection",
    "Selection": "gmmseg.mixture.selection",
    "SmoothingOptions": "gmmseg.smoothing",
    "apply": "gmmseg.pipeline",
    "cluster_table": "gmmseg.tabular",
    "detect_anomalies": "gmmseg.detection",
    "fit": "gmmseg.pipeline",
    "fit_mixture": "gmmseg.mixture",
    "from_bgr": "gmmseg.opencv",
    "load_model": "gmmseg.model",
    "read_image": "gmmseg.io",
    "read_table": "gmmseg.io",
    "segment": "gmmseg.pipeline",
    "select_k": "gmmseg.pipeline",
    "smooth": "gmmseg.smoothing",
}

__all__ = [
    "Anomalies",
    "AnomalyOptions",
    "BiasOptions",
    "Clustering",
    "EMOptions",
    "FeatureSpec",
    "Image",
    "MergeOptions",
    "Mixture",
    "Model",
    "PriorOptions",
    "ReadOptions",
    "RegionOptions",
    "SegmentOptions",
    "Segmentation",
    "SelectOptions",
    "Selection",
    "SmoothingOptions",
    "Table",
    "TableOptions",
    "__version__",
    "apply",
    "cluster_table",
    "detect_anomalies",
    "fit",
    "fit_mixture",
    "from_bgr",
    "load_model",
    "read_image",
    "read_table",
    "segment",
    "select_k",
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
