"""Bias fields to put into a volume: smooth factors, their range a share of their mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def coils(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Three receivers anywhere in the box, each a Gaussian of 0.7 of half its length."""
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    places = rng.uniform(-1, 1, (3, 3))
    return sum(np.exp(-sum((g - p) ** 2 for g, p in zip(grid, place, strict=True)))
               for place in places)  # fmt: skip


def smooth_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """White noise under a Gaussian of 104 voxels full width at half maximum."""
    from scipy.ndimage import gaussian_filter, zoom

    coarse = gaussian_filter(rng.normal(size=[n // 4 + 1 for n in shape]), 11)
    return zoom(coarse, [n / m for n, m in zip(shape, coarse.shape, strict=True)], order=1)


FIELDS: dict[str, Callable[..., np.ndarray]] = {"coils": coils, "smooth noise": smooth_noise}


def field(kind: str, amount: float, mask: np.ndarray, seed: int = 1) -> np.ndarray:
    """From 1 - amount / 2 to 1 + amount / 2 within the mask."""
    found = FIELDS[kind](mask.shape, np.random.default_rng(seed))
    low, high = found[mask].min(), found[mask].max()
    return 1 - amount / 2 + amount * (found - low) / (high - low)
