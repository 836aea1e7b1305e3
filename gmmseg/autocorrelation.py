"""How many independent pixels an image is worth.

Neighbours resemble one another, so that n pixels tell less than n independent ones would. The
log-likelihood of a Gaussian is quadratic in the values, and the variance of a sum of such terms
grows with the sum of the *squared* autocorrelations (Clifford, Richardson and Hemon, Biometrics 45
(1989) 123-134; Dale and Fortin, J. Agric. Biol. Environ. Stat. 14 (2009) 188-206):

    n_effective = n / sum over all lags h of rho(h)^2

The sum is the correlation area, in pixels. It is taken as the product of the sums along the axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.mixture.lazy import LazyRows

__all__ = ["correlation_area", "correlation_length", "effective_number"]

# Lines that are looked at along each axis: a correlation of 0.01 is seen in some 10 000 pairs.
_MOST_LINES = 256


def effective_number(
    numbers: NDArray[np.integer], bands: NDArray[Any] | LazyRows, n_pixels: int
) -> float:
    """Number of independent pixels that `n_pixels` are worth, at least 1.

    Parameters
    ----------
    numbers : ndarray of int, of the image's spatial shape
        Which row of `bands` each pixel has; -1 where a pixel is not used.
    bands : ndarray or LazyRows of shape (M, B)
        A constant band tells nothing.
    n_pixels : int
        Number of used pixels.
    """
    lines = [_lines(numbers, axis) for axis in range(numbers.ndim)]
    areas = [
        _area([_values(bands, band, along) for along in lines]) for band in range(bands.shape[1])
    ]
    known = [area for area in areas if area is not None]
    return max(1.0, n_pixels / float(np.mean(known))) if known else float(n_pixels)


def _values(
    bands: NDArray[Any] | LazyRows, band: int, lines: NDArray[np.integer]
) -> NDArray[np.float64]:
    rows = np.maximum(lines, 0).ravel()
    values: NDArray[Any] = bands[rows, band]
    return np.where(lines < 0, np.nan, values.astype(np.float64).reshape(lines.shape))


def correlation_area(plane: NDArray[np.floating]) -> float | None:
    """Pixels that tell as much as one independent one; None where nothing varies.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(500, 500))
    >>> round(correlation_area(noise), 1)
    1.0
    """
    return _area([_lines(plane, axis) for axis in range(plane.ndim)])


def _area(lines_of_axes: list[NDArray[np.floating]]) -> float | None:
    lengths = [correlation_length(lines) for lines in lines_of_axes]
    known = [length for length in lengths if length is not None]
    return float(np.prod(known)) if known else None


def correlation_length(lines: NDArray[np.floating]) -> float | None:
    """Sum of the squared autocorrelations along lines (m, n), up to where they first vanish.

    NaN is a gap. None where nothing varies.
    """
    n = lines.shape[1]
    used = np.isfinite(lines)
    values = lines[used]
    if not values.size or values.max() == values.min():
        return None
    unit = np.abs(values).max()
    centred = np.where(used, lines / unit - (values / unit).mean(), 0.0)
    products, pairs = _sums_by_lag(centred), np.rint(_sums_by_lag(used.astype(np.float64)))
    covariance = np.where(pairs > 0, products / np.maximum(pairs, 1.0), 0.0)
    correlation = covariance[1:] / covariance[0]
    ends = np.flatnonzero(correlation <= 0)
    last = int(ends[0]) if ends.size else len(correlation)
    fading = 1.0 - np.arange(1, last + 1) / n  # a line has fewer pairs at longer lags
    return 1.0 + 2.0 * float((fading * correlation[:last] ** 2).sum())


def _lines(plane: NDArray[Any], axis: int) -> NDArray[Any]:
    """At most `_MOST_LINES` lines along an axis, evenly spread, (lines, n)."""
    moved = np.moveaxis(plane, axis, -1)
    n_lines = int(np.prod(moved.shape[:-1]))
    chosen = np.unique(np.linspace(0, n_lines - 1, min(n_lines, _MOST_LINES)).astype(np.intp))
    return moved[np.unravel_index(chosen, moved.shape[:-1])]


def _sums_by_lag(lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over all lines of ``x_i x_(i + h)`` for the lags h = 0, 1, ... n - 1."""
    n = lines.shape[1]
    spectrum = np.fft.rfft(lines, 2 * n, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=0)
    return np.fft.irfft(power, 2 * n)[:n]
