"""How far a segmentation hangs on the pixels that it was learnt from: a block bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_integer, check_real
from gmmseg.errors import InvalidParameterError
from gmmseg.mixture.em import fit_rows
from gmmseg.mixture.hinted import Hints
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.prior_rows import Beliefs
from gmmseg.model import Model
from gmmseg.pixels import PixelRows
from gmmseg.priors import PriorMaps

__all__ = ["Stability", "StabilityOptions", "refitted_models"]

#: Pixels of a refit. What differs between refits is which blocks they have, not how many pixels a
#: block has: more of them would change nothing but the time.
_PIXELS = 1 << 17


@dataclass(frozen=True, kw_only=True)
class StabilityOptions:
    """How a segmentation is refitted to find out how far it hangs on its pixels.

    Attributes
    ----------
    refits : int
        How many times.
    blocks : int
        Of about how many blocks of neighbouring pixels, equally large, the image consists. Pixels
        of one block resemble one another, and come or stay away together.
    level : float
        Of the intervals.
    rng : int
        Seed of the draws.
    """

    refits: int = 20
    blocks: int = 64
    level: float = 0.95
    rng: int = 0

    def __post_init__(self) -> None:
        check_integer(self.refits, "refits", minimum=2)
        check_integer(self.blocks, "blocks", minimum=2)
        check_integer(self.rng, "rng", minimum=0)
        if check_real(self.level, "level", minimum=0.0, exclusive=True) >= 1:
            raise InvalidParameterError(f"level must be less than 1, got {self.level!r}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Stability:
    """What became of a segmentation in its refits.

    Attributes
    ----------
    agreement : ndarray of float32, of the image's shape
        In which part of the refits a pixel had the same label; NaN where not used.
    shares : ndarray of shape (refits, k)
        Of the classes, in each refit.
    share : ndarray of shape (k,)
        Of the classes in the refit with every block once: about it the others vary.
    level : float
        Of the intervals.
    """

    agreement: NDArray[np.float32]
    shares: NDArray[np.float64]
    share: NDArray[np.float64]
    level: float

    @classmethod
    def of(cls, labels: Iterator[NDArray[Any]], k: int, level: float) -> Stability:
        """From label maps: that of every block once, then those of the draws."""
        whole = next(labels)
        agreeing = np.zeros(whole.shape, np.float32)
        shares = [_shares(whole, k)]
        for found in labels:
            agreeing += found == whole
            shares.append(_shares(found, k))
        agreeing /= len(shares) - 1
        agreeing[whole == 0] = np.nan
        return cls(agreement=agreeing, shares=np.array(shares[1:]), share=shares[0], level=level)

    def interval(self, label: int, share: float) -> tuple[float, float]:
        """The interval of a class whose share of the used pixels is `share`, within 0..1."""
        spread = self.shares[:, label - 1] - self.share[label - 1]
        error = NormalDist().inv_cdf((1 + self.level) / 2) * float(np.sqrt(np.mean(spread**2)))
        return max(share - error, 0.0), min(share + error, 1.0)

    def to_dict(self) -> dict[str, Any]:
        """A summary as plain JSON values."""
        return {
            "refits": len(self.shares),
            "level": self.level,
            "mean_agreement": float(np.nanmean(self.agreement)),
        }


def _shares(labels: NDArray[Any], k: int) -> NDArray[np.float64]:
    """Of the classes in the used pixels."""
    pixels = np.bincount(labels.ravel(), minlength=k + 1)[1:]
    return pixels / max(int(pixels.sum()), 1)


def refitted_models(
    model: Model,
    rows: PixelRows,
    em: EMOptions,
    options: StabilityOptions,
    *,
    hints: NDArray[Any] | None = None,
    priors: PriorMaps | None = None,
    threads: int | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Iterator[Model]:
    """The model refitted to every block once, then to blocks drawn with replacement.

    Every refit begins where the fit ended, so that its classes are the same ones, and sees the
    same pixels, drawn evenly: block bootstrap (Davison and Hinkley, 1997, section 8.2.3) with
    blocks fixed, equation (116).

    Parameters
    ----------
    model : Model
    rows : PixelRows
        Of the image that it was fitted to.
    em : EMOptions
        How it was fitted.
    options : StabilityOptions
    hints : ndarray of int of the image's shape, optional
    priors : PriorMaps, optional
        What was known of the pixels.
    threads : int, optional
    progress : callable
        Called with the share that is done when the next model is asked for, 0..1.

    Yields
    ------
    Model
        One, and as many as there are refits.
    """
    rng = np.random.default_rng(options.rng)
    pixels = _sample(rows, rng)
    numbers = rows.numbers.ravel()[pixels].astype(np.intp)
    features = rows.features[numbers]
    blocks = _blocks(pixels, rows.shape, options.blocks)
    n_blocks = int(blocks.max()) + 1
    em = replace(em, covariance_type=model.mixture.covariance_type, gap=0.0)
    known: Hints | Beliefs | None = None
    if hints is not None:
        known = Hints(hints.ravel()[pixels], model.labels)
    elif priors is not None:
        known = priors.of_rows(rows)[2].of(numbers)
    once = np.ones(n_blocks)
    drawn = (
        np.bincount(rng.integers(n_blocks, size=n_blocks), minlength=n_blocks)
        for _ in range(options.refits)
    )
    for done, times in enumerate((once, *drawn)):
        fitted = fit_rows(
            features,
            model.mixture.n_components,
            em,
            sample_weight=times[blocks] * (rows.n_pixels / len(pixels)),
            start=model.mixture,
            known=known,
            threads=threads,
        )
        yield replace(model, mixture=fitted.mixture)
        progress((done + 1) / (options.refits + 1))


def _sample(rows: PixelRows, rng: np.random.Generator) -> NDArray[np.intp]:
    """Numbers of used pixels, in order: all of them, or one of each of many equal parts."""
    used = np.arange(np.prod(rows.shape)) if rows.valid is None else np.flatnonzero(rows.valid)
    if len(used) <= _PIXELS:
        return used
    places = (np.arange(_PIXELS) + rng.random(_PIXELS)) * (len(used) / _PIXELS)
    return used[places.astype(np.intp)]


def _blocks(pixels: NDArray[np.intp], shape: tuple[int, ...], n_blocks: int) -> NDArray[np.intp]:
    """The block of every pixel, from 0; blocks are squares or cubes, as far as they fit in."""
    side = max(1.0, (float(np.prod(shape)) / n_blocks) ** (1 / len(shape)))
    counts = [max(1, round(length / side)) for length in shape]
    block = np.zeros(len(pixels), np.intp)
    for place, length, n in zip(np.unravel_index(pixels, shape), shape, counts, strict=True):
        block = block * n + place * n // length
    return np.unique(block, return_inverse=True)[1]
