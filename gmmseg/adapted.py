"""What presets leave open until they see the image: by the image alone, never by its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import GmmsegError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.mixture.em import fit_rows
from gmmseg.mixture.options import EMOptions
from gmmseg.options import SegmentOptions
from gmmseg.pixels import pixel_rows
from gmmseg.quantiles import quantiles
from gmmseg.used_pixels import box_around

__all__ = ["bands_are_equal", "for_brain", "for_nuclei", "noise_share", "separation"]

#: What stained pictures are told apart by. Tied covariances, Dice on those tuned on: grey .82, Lab
#: .85, without a .87; optical density .72, its first principal axis .66, hematoxylin by
#: deconvolution .77, red alone .82.
_STAINED = FeatureSpec(colour_space="lb")

#: Powers of grey that are compared where the background is dark: light counts. The likelihood,
#: with the power's Jacobian, prefers the least power nearly always, and so tells nothing.
_POWERS = (0.5, 0.75)

#: Sigma in pixels of the surroundings, and how much better they have to separate the classes: on
#: pictures tuned on they do by 1.3 or more where light is uneven or cells lie on one another, by
#: less than 1.12 elsewhere.
_BACKGROUND = 12.0
_WORTH_IT = 1.2

#: Of more of the variance within the image the noise leaves too little to tell classes by the
#: voxels alone: a field inside EM. 5 % of Rician noise is 0.12 of a brain's variance, 9 % is 0.29.
_NOISY = 0.2
_PLANES = 32


def for_nuclei(preset: SegmentOptions, image: Image) -> SegmentOptions:
    """Features of a micrograph: stained or grey, on bright or dark ground, evenly lit or not."""
    if image.colour and not bands_are_equal(image):
        return replace(preset, features=_STAINED)
    grey = FeatureSpec(colour_space="gray")
    powers = (1.0,) if _is_bright(image, grey) else _POWERS
    best = _best(image, [replace(grey, power=power) for power in powers])
    level = replace(best, background=_BACKGROUND)
    if separation(image, level) > _WORTH_IT * separation(image, best):
        best = level
    return replace(preset, features=best)


def for_brain(preset: SegmentOptions, image: Image) -> SegmentOptions:
    """A volume with little noise is smoothed after EM, one with much inside of it, and more."""
    if noise_share(image) < _NOISY:
        return preset
    noisy = replace(preset.smoothing, beta=0.3, inside=True)
    return replace(preset, em=EMOptions(covariance_type="tied"), smoothing=noisy)


def separation(image: Image, features: FeatureSpec) -> float:
    """How far apart two classes are, in their common standard deviation.

    The distance of the means of two Gaussians of one covariance, the root of Fisher's criterion
    (equation 77 of docs/math.md); 0 where there are no two classes.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> picture = np.repeat([10.0, 50.0], 2000).reshape(50, 80) + rng.normal(size=(50, 80))
    >>> round(separation(Image.from_array(picture), FeatureSpec(colour_space="raw")))
    40
    """
    options = EMOptions(covariance_type="tied")
    try:
        rows = pixel_rows(image, features)
        mixture = fit_rows(rows.features, 2, options, sample_weight=rows.counts).mixture
    except GmmsegError:  # no two different values
        return 0.0
    difference = mixture.means[1] - mixture.means[0]
    shared = mixture.full_covariances[0]
    return float(np.sqrt(difference @ np.linalg.solve(shared, difference)))


def noise_share(image: Image) -> float:
    """The share of noise in the variance of the first band, by second differences.

    Those along all axes one after the other leave nothing of what is smooth, and of white noise of
    deviation `sigma` one of `6^(d/2) sigma` in `d` dimensions (Immerkaer, Comput. Vis. Image
    Underst. 64 (1996) 300-302); its median is not moved by edges. Of a volume the middle planes
    are looked at.

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.arange(60.0)[:, None] + np.arange(50.0)
    >>> noise_share(Image.from_array(ramp)) < 1e-9
    True
    >>> noise = np.random.default_rng(0).normal(size=(200, 200))
    >>> round(noise_share(Image.from_array(noise)), 1)
    1.0
    """
    used = image.usable((0,), complete=True)
    used = np.ones(image.shape, bool) if used is None else used
    planes = np.flatnonzero(used.any(axis=tuple(range(1, used.ndim))))
    if len(planes) == 0:
        return 0.0
    middle = slice(None)
    if image.ndim == 3:
        first = max(int(planes[len(planes) // 2]) - _PLANES // 2, 0)
        middle = slice(first, first + _PLANES)
    box = box_around(used[middle])
    values, used = image.data[..., 0][middle][box].astype(np.float32), used[middle][box]
    variance = float(np.var(values[used], dtype=np.float64))
    differences, inside = values, used
    for axis in range(values.ndim):
        ahead, here, behind = _three(differences, axis)
        differences = np.subtract(2 * here, ahead)
        differences -= behind
        inside = np.logical_and.reduce(_three(inside, axis))
    if not inside.any() or variance == 0:
        return 0.0
    median = quantiles(np.abs(differences[inside]), (0.5,))[0]
    deviation = median / 0.6745 / 6 ** (values.ndim / 2)
    return min(deviation**2 / variance, 1.0)


def _three(values: NDArray[Any], axis: int) -> list[NDArray[Any]]:
    """What is before, at and behind every place of an axis but its ends."""
    n = values.shape[axis]
    here = [slice(None)] * values.ndim
    found = []
    for start in range(3):
        here[axis] = slice(start, max(n - 2 + start, start))
        found.append(values[tuple(here)])
    return found


def bands_are_equal(image: Image) -> bool:
    """Whether a picture in colour is a grey one, as many microscopes and viewers write it."""
    red, green, blue = np.moveaxis(image.data[..., :3], -1, 0)
    return np.array_equal(red, green) and np.array_equal(red, blue)


def _best(image: Image, candidates: Iterable[FeatureSpec]) -> FeatureSpec:
    """The features that separate two classes best, the first of equals."""
    return max(candidates, key=lambda features: separation(image, features))


def _is_bright(image: Image, grey: FeatureSpec) -> bool:
    """Whether most pixels are brighter than the middle of the range: light shines through."""
    rows = pixel_rows(image, grey)
    values = np.asarray(rows.features)[:, 0]
    middle = (float(values.min()) + float(values.max())) / 2
    counts = np.ones(len(values)) if rows.counts is None else rows.counts
    return bool(counts[values > middle].sum() * 2 > counts.sum())
