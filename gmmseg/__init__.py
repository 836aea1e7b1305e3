"""gmmseg: image segmentation by Gaussian mixtures."""

__version__ = "0.1.0"
