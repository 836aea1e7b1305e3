"""Bias fields: smooth factors over an image, estimated together with a mixture and removed.

Wells, Grimson, Kikinis and Jolesz (IEEE Trans. Med. Imaging 15 (1996) 429-442), Van Leemput, Maes,
Vandermeulen and Suetens (ibid. 18 (1999) 885-896), Ashburner and Friston (NeuroImage 26 (2005)
839-851). EM sees corrected rows and knows nothing of the field (docs/math.md, equations 90 to 94).
A field is what the classes show on average (107), if that is more than chance and anatomy make
(108): white matter is not equally bright everywhere, either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_integer, check_real
from gmmseg.cubes import Cubes, box_of
from gmmseg.errors import InvalidDataError
from gmmseg.image import Image
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.em import fit_rows
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.options import EMOptions
from gmmseg.quantiles import quantiles
from gmmseg.splines import Splines

__all__ = ["USUAL_SMOOTHNESS", "BiasField", "BiasOptions", "estimate_bias"]

Array = NDArray[np.float64]

#: In mm. On a T1 template twelve fields of 40 % (coils, smooth noise) cost grey and white matter a
#: Dice of at most .013 and .019; at 50 mm white matter up to .024, at 70 mm .028, at 80 mm .036.
USUAL_SMOOTHNESS = 55.0

#: A cube of this share of the smoothness is averaged; one cube for each twice that length.
_CUBE = 1 / 30

#: The share of cubes that is looked at, those of least contrast: edges of tissues are mixtures of
#: two, and how many there are differs from place to place. All cubes cost white matter up to .032,
#: and with 5 % of noise .076.
_EVEN_SHARE = 0.8

#: Pixels that are corrected at once.
_AT_ONCE = 1 << 17

#: Classes of a lesser share of the cubes are not asked: of cerebrospinal fluid hardly a cube is
#: not in part something else, and with it among the three white matter loses up to .10.
_LEAST_SHARE = 0.15

#: How far tissues are shaded alike by their own nature (standard deviation of the logarithm): those
#: of the template, with noise of 0 to 9 %, by .017 to .0205.
_BY_NATURE = 0.022

#: Variances are bounded: with free ones, few even cubes being cerebrospinal fluid, two Gaussians
#: share one tissue. First they are nearly equal, until a round changes the field by less than so
#: many times the tolerance: with the wider bound from the start some fields are missed where
#: voxels are of 2 mm. Bounds of 2, 3, 4 and 6 cost white matter at most .032, .024, .023 and .024
#: (at 70 mm), 1.2 to the end .035.
_EM = EMOptions(max_ratio=1.2, max_iter=100, tol=1e-5, reg_covar=1e-4)
_MAX_RATIO = 3.0
_ROUGH = 30.0
_EM_STEPS = 6
_LEAST_CUBES = 100

# A leap is at most so many times longer than the step before.
_FARTHEST = 3.0
_TINY = 1e-300
# What a cube between two tissues counts.
_HARDLY = 1e-6


@dataclass(frozen=True, kw_only=True)
class BiasOptions:
    """How a bias field is estimated.

    Attributes
    ----------
    smoothness : float
        Waves of the field of this length, in the unit of the spacing (mm), are halved, longer ones
        kept. 0 = no field is estimated.
    gaussians : int
        Gaussians of the values that the field goes by; need not be the number of classes.
    rounds : int
        Most rounds of EM and field.
    tol : float
        Rounds end when one changes the logarithm of the field by less (root mean square).
    """

    smoothness: float = 0.0
    gaussians: int = 3
    rounds: int = 20
    tol: float = 1e-3

    def __post_init__(self) -> None:
        checked = {
            "smoothness": check_real(self.smoothness, "smoothness", minimum=0.0),
            "gaussians": check_integer(self.gaussians, "gaussians", minimum=1),
            "rounds": check_integer(self.rounds, "rounds", minimum=1),
            "tol": check_real(self.tol, "tol", minimum=0.0),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def is_on(self) -> bool:
        """False when no field is estimated."""
        return self.smoothness > 0


@dataclass(frozen=True, kw_only=True, eq=False)
class BiasField:
    """A smooth factor for every pixel and band; its geometric mean over the used pixels is 1.

    Attributes
    ----------
    coefficients : ndarray of shape (bands, ...)
        Of the splines of the field's logarithm.
    splines : Splines
    rounds : int
        How many were made.
    converged : bool
    range : tuple of float
        Least and largest factor where the field was estimated.
    """

    coefficients: Array
    splines: Splines
    rounds: int
    converged: bool
    range: tuple[float, float]

    def slabs(self, step: int = 1) -> Iterator[NDArray[np.float32]]:
        """The field (n, ..., bands), so many planes (of a picture: rows) at once."""
        for start in range(0, self.splines.shape[0], step):
            yield self._slab(slice(start, start + step))

    def _slab(self, along: slice) -> NDArray[np.float32]:
        logs = self.splines.slab(self.coefficients, along)
        return np.moveaxis(np.exp(logs, out=logs), 0, -1)

    def values(self) -> NDArray[np.float32]:
        """The field, of the shape of the image's data."""
        return np.concatenate(list(self.slabs()))

    def corrected(self, image: Image, *, threads: int | None = None) -> Image:
        """The image divided by the field, float32 (float64 where it was); as it is without one."""
        if not self.coefficients.any():
            return replace(image, notes=(*image.notes, "no bias field is seen"))
        dtype = np.float64 if image.data.dtype == np.float64 else np.float32
        data = np.empty(image.data.shape, dtype)
        parts = list(image.slabs(_AT_ONCE))

        def task(i: int) -> None:
            np.divide(image.data[parts[i]], self._slab(parts[i]), out=data[parts[i]], dtype=dtype)

        with Workers(threads) as workers:
            workers.run(task, len(parts))
        low, high = self.range
        note = f"divided by a bias field of {low:.2f} to {high:.2f}"
        return replace(image, data=data, colour=False, notes=(*image.notes, note))

    def to_dict(self) -> dict[str, Any]:
        """What was found, as plain JSON values."""
        return {
            "rounds": self.rounds,
            "converged": self.converged,
            "least": self.range[0],
            "largest": self.range[1],
        }


def estimate_bias(
    image: Image, options: BiasOptions, *, rng: int = 0, threads: int | None = None
) -> BiasField:
    """Estimate the bias field of an image.

    Every round takes EM steps over the values as they are corrected so far, and then, for each
    class by itself, the smooth field under which they are most likely, by a weighted least squares
    step from the posteriors. The field is the mean over the classes: a scanner darkens all tissues,
    anatomy one of them. Where that mean is no more than what classes differ by and tissues have in
    common by nature, the field is 1. Values are means of small cubes on a coarse grid: the field is
    smooth, and fits of some ten thousand values take a tenth of a second.

    Parameters
    ----------
    image : Image
        Values must be positive where it is used; each band has a field of its own.
    options : BiasOptions
    rng : int
        Seed of the start of EM.
    threads : int, optional

    Returns
    -------
    BiasField

    Raises
    ------
    InvalidDataError
        When there are too few positive pixels, or the image is too large for so small a smoothness.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scan = rng.choice([100.0, 200.0], (40, 40)) + rng.normal(0, 2, (40, 40))
    >>> tilted = scan * np.linspace(0.8, 1.2, 40)
    >>> field = estimate_bias(Image.from_array(tilted), BiasOptions(smoothness=40, gaussians=2))
    >>> [round(float(v), 1) for v in field.values()[20, [0, 20, 39], 0]]
    [0.8, 1.0, 1.2]
    """
    spacing = image.spacing or (1.0,) * image.ndim
    sample = _Sample.of(image, spacing, options)
    field = np.zeros((image.n_bands, *sample.splines.n_coefficients))
    mixture: Mixture | None = None
    n_rounds, change, rough = 0, np.inf, True
    em = replace(_EM, rng=rng)
    leap = _Leap()
    while n_rounds < options.rounds and (rough or change >= options.tol):
        if rough and (change < _ROUGH * options.tol or 2 * n_rounds >= options.rounds):
            rough, em, leap = False, replace(em, max_ratio=_MAX_RATIO), _Leap()
        logs = sample.logs(field)
        rows = (sample.values * np.exp(-logs)).astype(np.float32)
        mixture = fit_rows(rows, options.gaussians, em, start=mixture, threads=threads).mixture
        em = replace(em, max_iter=_EM_STEPS)
        posterior = mixture.posterior(rows, threads=threads).astype(np.float64)
        found, seen = sample.fitted(logs, posterior, mixture)
        step = found - field
        change = float(np.sqrt(np.mean(np.square(sample.logs(step)))))
        field = field + leap.of(step)
        n_rounds += 1
    field[~seen] = 0
    factors = np.exp(sample.logs(field))
    return BiasField(
        coefficients=field,
        splines=sample.splines,
        rounds=n_rounds,
        converged=change < options.tol,
        range=(float(factors.min()), float(factors.max())),
    )


class _Leap:
    """How far to go along a step, seeing how the last one has changed it.

    Anderson's acceleration (J. ACM 12 (1965) 547-560) of depth 1: the posterior follows the field,
    so a step alone goes too short where classes overlap, and just far enough where they do not.
    """

    def __init__(self) -> None:
        self._last: tuple[Array, Array] | None = None

    def of(self, step: Array) -> Array:
        taken = step
        if self._last is not None:
            before, went = self._last
            change = step - before
            share = float(np.vdot(step, change)) / max(float(np.vdot(change, change)), _TINY)
            taken = step - np.clip(share, -_FARTHEST, 1.0) * (went + change)
        self._last = step, taken
        return taken


def _pulls(
    x: Array, posterior: Array, mixture: Mixture, band: int
) -> Iterator[tuple[Array, Array]]:
    """For each class that is asked, its part of the first derivative of the log-likelihood by the
    log field at each row, and of minus the expected second (equation 92).
    """
    shares = posterior.mean(axis=0)
    asked = shares >= min(_LEAST_SHARE, shares.max())
    # twice as probable as not is half sure: what lies between two tissues is a mixture of them
    sure = np.maximum(2 * posterior - 1, _HARDLY)
    precisions = np.linalg.inv(mixture.full_covariances)[:, band]
    for weight, mean, precision in zip(
        sure.T[asked], mixture.means[asked], precisions[asked], strict=True
    ):
        pull = weight * (x[:, band] * ((x - mean) @ precision) - 1)
        yield pull, weight * (1 + np.square(x[:, band]) * precision[band])


def _is_seen(fields: Array) -> bool:
    """Whether the mean of the fields (n, places) of classes is more than chance and nature make.

    Equation 108.
    """
    n = len(fields)
    apart = fields - fields.mean(axis=1, keepdims=True)
    common = apart.mean(axis=0)
    chance = np.square(apart - common).sum(axis=0).mean() / (n * max(n - 1, 1))
    return bool(np.mean(np.square(common)) > chance + _BY_NATURE**2)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sample:
    """Means of even cubes on a coarse grid.

    Attributes
    ----------
    values : ndarray of shape (N, bands)
    where : ndarray of bool
        Which cubes of the grid they are of.
    splines : Splines
        Over the box around the used pixels, on the grid.
    penalty : ndarray
        Of the splines, by how much of the box is used.
    """

    values: Array
    where: NDArray[np.bool_]
    splines: Splines
    penalty: Array

    @classmethod
    def of(cls, image: Image, spacing: tuple[float, ...], options: BiasOptions) -> _Sample:
        size = [max(1, round(options.smoothness * _CUBE / s)) for s in spacing]
        size = [min(n, length) for n, length in zip(size, image.shape, strict=True)]
        box = box_of(image)
        cubes = Cubes(image, box, size)
        mean, variance, used = cubes.moments()
        if np.count_nonzero(used) < _LEAST_CUBES * image.n_bands:
            raise InvalidDataError(
                f"a bias field needs more pixels: only {np.count_nonzero(used)} cubes of {size} "
                "pixels are used and positive throughout. Leave it out (--no-bias), or make it "
                "less smooth."
            )
        splines = Splines.over(image.shape, spacing, box, options.smoothness, cubes.centres())
        contrast = (variance / np.square(mean[used]).mean(axis=0)).sum(axis=-1)
        even = used & (contrast <= quantiles(contrast[used], (_EVEN_SHARE,))[0])
        penalty = splines.penalty(float(used.mean()))
        return cls(values=mean[even], where=even, splines=splines, penalty=penalty)

    def logs(self, field: Array) -> Array:
        """Logarithms of a field (N, bands), given its coefficients."""
        return np.stack([self._values(band) for band in field], axis=1)

    def fitted(
        self, logs: Array, posterior: Array, mixture: Mixture
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Coefficients of the field of each band under the posterior, band after band.

        And whether there is such a field.
        """
        logs = logs.copy()
        found, seen = [], []
        for band in range(logs.shape[1]):
            corrected = self.values * np.exp(-logs)
            fields = np.stack(
                [
                    self._field(logs[:, band] + pull / weight, weight)
                    for pull, weight in _pulls(corrected, posterior, mixture, band)
                ]
            )
            shown = np.stack([self._values(field) for field in fields])
            seen.append(_is_seen(shown))
            values = shown.mean(axis=0)
            centre = values.mean()  # a constant factor would be one of the means
            logs[:, band] = values - centre
            found.append(fields.mean(axis=0) - centre)  # the splines add up to 1
        return np.stack(found), np.array(seen)

    def _values(self, field: Array) -> Array:
        return self.splines.at(field, self.where)

    def _field(self, target: Array, weight: Array) -> Array:
        return self.splines.fitted(self.where, target, weight, self.penalty)
