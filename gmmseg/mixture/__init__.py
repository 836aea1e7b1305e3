"""Gaussian mixtures on arrays: no images, no files, no printing.

Begin at `em.py` (the loop) and `statistics.py` (the algebra it rests on). `mixture.py` is the
value that comes out; `passes.py` drives the kernels of `_kernels.py` over `rows.py`.
"""

from gmmseg.mixture.em import Fit, accumulate, fit_mixture
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.selection import Selection, SelectOptions, select_rows
from gmmseg.mixture.statistics import Statistics

__all__ = [
    "EMOptions",
    "Fit",
    "Mixture",
    "SelectOptions",
    "Selection",
    "Statistics",
    "accumulate",
    "fit_mixture",
    "select_rows",
]
