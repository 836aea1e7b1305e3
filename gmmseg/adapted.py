"""What presets leave open until they see the image: by the image alone, never by its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._colour import full_scale
from gmmseg.errors import GmmsegError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.mixture.em import fit_rows
from gmmseg.mixture.options import EMOptions
from gmmseg.options import SegmentOptions
from gmmseg.pixels import pixel_rows
from gmmseg.quantiles import quantiles
from gmmseg.used_pixels import box_around

__all__ = [
    "bands_are_equal",
    "for_brain",
    "for_grey",
    "for_nuclei",
    "for_scene",
    "has_zero_of_light",
    "is_stained",
    "noise_share",
    "separation",
]

#: What stained pictures are told apart by. Tied covariances, Dice on those tuned on: red light and
#: b .87, L and b, too, but where eosin is the darker stain it is taken for nuclei. So it is with
#: red and b if b weighs as much in the start. Grey .82, Lab .85, optical density .72, its first
#: principal axis .66, hematoxylin by deconvolution .77, red light alone .82.
_STAINED = FeatureSpec(colour_space="stain")

#: Light that shone through a stained slice: the mean optical density, and how much more of green is
#: lost than of red and of blue. Slices tuned on: at most 0.5, at least 1.6 times as much; of photos
#: those with more than 1.3 times as much have 1.3, and none below 0.7 has more than 1.0.
_MOST_DENSE = 0.7
_GREENS_LOSS = 1.45
_SAMPLE = 200_000
_DARK = 1 / 255

#: On a dark ground, where light is counted. Sigma in pixels of the window in which objects are
#: measured against one another: Dice of those tuned on, without the one that is lit unevenly, .91
#: without, .940 with 7, 10 and 14 pixels. The best single threshold for each image, chosen by the
#: truth, has .935.
_GAIN = {"bright": 0.0, "dark": 10.0}
_ON_DARK = 0.75
_ON_GROUND = {
    "bright": FeatureSpec(colour_space="gray"),
    "dark": FeatureSpec(colour_space="gray", power=_ON_DARK),
}

#: Sigma in pixels of the surroundings, and how much better they have to separate the classes. On a
#: bright ground, where cells lie on one another, they do by 1.3 or more. On a dark one by 3.9 where
#: light is uneven; halos of bright objects, which it makes darker, too, give up to 1.4.
_BACKGROUND = 12.0
_WORTH_IT = {"bright": 1.2, "dark": 1.6}

#: Of more of the variance within the image the noise leaves too little to tell classes by the
#: voxels alone: a field inside EM. 5 % of Rician noise is 0.12 of a brain's variance, 9 % is 0.29.
_NOISY = 0.2
_PLANES = 32

#: Voxels, 406 along each axis: of three classes a field inside EM holds 40 bytes for each.
_MOST_INSIDE = 1 << 26

#: Reflectances fall a little below zero where the haze was overestimated: so many may.
_BELOW_ZERO = 0.01


def for_nuclei(preset: SegmentOptions, image: Image) -> SegmentOptions:
    """Features of a micrograph: stained or grey, on bright or dark ground, evenly lit or not."""
    if image.colour and not bands_are_equal(image):
        return replace(preset, features=_STAINED)
    ground = "bright" if _is_bright(image) else "dark"
    features = _ON_GROUND[ground]
    level = replace(features, background=_BACKGROUND)
    if separation(image, level) > _WORTH_IT[ground] * separation(image, features):
        features = level
    return replace(preset, features=replace(features, local_gain=_GAIN[ground]))


def for_grey(preset: SegmentOptions, image: Image) -> SegmentOptions:
    """Light on a dark ground is counted: a power makes its variance more alike everywhere.

    Of 1, 0.75 and 0.5: Dice of fluorescent nuclei tuned on .886, .905, .902, of slices of brains
    .83, .85, .85, under noise of 9 % of the range .57, .65, .30: noise around the head is split.
    """
    if image.ndim != 2 or not has_zero_of_light(image) or _is_bright(image):
        return preset
    return replace(preset, features=FeatureSpec(colour_space="gray", power=_ON_DARK))


def for_brain(preset: SegmentOptions, image: Image) -> SegmentOptions:
    """A volume with little noise is smoothed after EM, one with much inside of it, and more.

    Unless it is so large that a field inside EM would hardly find the memory.
    """
    if noise_share(image) < _NOISY:
        return preset
    noisy = replace(preset.smoothing, beta=0.3, inside=image.n_pixels <= _MOST_INSIDE)
    return replace(preset, em=EMOptions(covariance_type="tied"), smoothing=noisy)


def for_scene(preset: SegmentOptions, image: Image) -> SegmentOptions:
    """Bands that measure light as they are meant; others, and volumes, by one covariance.

    A power means something only where zero means none: not for decibels, differences and indices.
    """
    if image.ndim == 2 and has_zero_of_light(image):
        return preset
    return replace(
        preset,
        features=replace(preset.features, power=1.0),
        em=replace(preset.em, covariance_type="tied", max_ratio=None),
        smoothing=replace(preset.smoothing, inside=True),
    )


def has_zero_of_light(image: Image) -> bool:
    """Whether hardly any value of any band is negative.

    Examples
    --------
    >>> has_zero_of_light(Image.from_array(np.array([[-3.0, 4.0]])))
    False
    """
    if image.data.dtype.kind == "u":
        return True
    samples = (_sample(image, (band,)) for band in range(image.n_bands))
    return all(np.count_nonzero(x < 0) <= _BELOW_ZERO * len(x) for x in samples)


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


def is_stained(image: Image) -> bool:
    """Whether a picture in colour shows a stained slice: little light is lost, most of it green.

    Hematoxylin and eosin absorb green most (Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23
    (2001) 291-299). Optical densities are those of display values, with the 99th percentile of each
    band for the lamp.

    Examples
    --------
    >>> slide = np.full((20, 30, 3), (230, 225, 235), np.uint8)
    >>> slide[5:9, 5:9] = 120, 60, 150
    >>> is_stained(Image.from_array(slide)), is_stained(Image.from_array(slide[..., [1, 0, 2]]))
    (True, False)
    """
    values = _sample(image, (0, 1, 2)) / full_scale(image.data.dtype) + _DARK
    if len(values) == 0:
        return False
    lamp = np.percentile(values, 99, axis=0)
    lost = np.log(lamp / np.maximum(values, _DARK)).clip(min=0).mean(axis=0)
    red, green, blue = lost
    return bool(lost.mean() < _MOST_DENSE and green > _GREENS_LOSS * max(red, blue))


def bands_are_equal(image: Image) -> bool:
    """Whether a picture in colour is a grey one, as many microscopes and viewers write it."""
    red, green, blue = np.moveaxis(image.data[..., :3], -1, 0)
    return np.array_equal(red, green) and np.array_equal(red, blue)


def _is_bright(image: Image) -> bool:
    """Whether most pixels are brighter than the middle of the range: light shines through."""
    values = _sample(image, (0,))
    if len(values) == 0:
        return False
    return bool(np.median(values) > (float(values.min()) + float(values.max())) / 2)


def _sample(image: Image, bands: Sequence[int]) -> NDArray[Any]:
    """Some bands of used pixels all over the image, (n, bands)."""
    used = image.usable(bands, complete=True)
    pixels = image.data[..., bands]
    pixels = pixels.reshape(-1, len(bands)) if used is None else pixels[used]
    return np.asarray(pixels[:: len(pixels) // _SAMPLE + 1])
