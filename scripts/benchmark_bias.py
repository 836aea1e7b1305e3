"""Tissues of a brain under simulated bias fields and noise: with the field taken out, and as it is.

    python scripts/benchmark_bias.py DATA_DIR docs/quality-bias.md

DATA_DIR holds mni152_nilearn: a T1 template with maps of grey and white matter. The truth is the
most probable of grey matter, white matter and neither. Fields are multiplied on, their range over
the brain a share of their mean; then comes Rician noise, its sigma a share of the range of values.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from gmmseg.bias import BiasOptions
from gmmseg.image import Image
from gmmseg.io import read_image
from gmmseg.tissue import TissueOptions, tissue

STEM = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
NOISE = (0.0, 0.05)
AMOUNTS = (0.2, 0.4)
RANGE = 255.0


def coordinates(shape: tuple[int, ...]) -> list[np.ndarray]:
    return list(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))


def coils(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    grid = coordinates(shape)
    places = rng.uniform(-1, 1, (3, 3))
    return sum(np.exp(-sum((g - p) ** 2 for g, p in zip(grid, place, strict=True)))
               for place in places)  # fmt: skip


def smooth_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """White noise under a Gaussian of 104 mm full width at half maximum."""
    from scipy.ndimage import gaussian_filter, zoom

    coarse = gaussian_filter(rng.normal(size=[n // 4 + 1 for n in shape]), 11)
    return zoom(coarse, [n / m for n, m in zip(shape, coarse.shape, strict=True)], order=1)


FIELDS: dict[str, Callable[..., np.ndarray]] = {
    "coils": coils,
    "smooth noise": smooth_noise,
}


def simulated(
    t1: np.ndarray, mask: np.ndarray, kind: str, amount: float, noise: float
) -> np.ndarray:
    rng = np.random.default_rng(1)
    values = t1.astype(np.float32)
    if amount:
        field = FIELDS[kind](t1.shape, rng)
        low, high = field[mask].min(), field[mask].max()
        values *= (1 - amount / 2 + amount * (field - low) / (high - low)).astype(np.float32)
    if noise:
        real, imaginary = rng.normal(0, noise * RANGE, (2, *t1.shape)).astype(np.float32)
        values = np.hypot(values + real, imaginary)
    return values


def dice(found: np.ndarray, truth: np.ndarray) -> list[float]:
    return [
        float(2 * np.sum((found == c) & (truth == c)) / (np.sum(found == c) + np.sum(truth == c)))
        for c in (1, 2, 3)
    ]


def rows(folder: Path) -> Iterator[str]:
    t1, gm, wm = (
        read_image(folder / "mni152_nilearn" / STEM.format(name)).data[..., 0]
        for name in ("t1", "gm", "wm")
    )
    mask = t1 > 0
    truth = np.where(mask, np.argmax([254 - gm.astype(int) - wm, gm, wm], axis=0) + 1, 0)
    cases = [("none", 0.0), *((kind, amount) for amount in AMOUNTS for kind in FIELDS)]
    corrected = TissueOptions()
    plain = replace(corrected, bias=BiasOptions())
    for noise in NOISE:
        for kind, amount in cases:
            values = simulated(t1, mask, kind, amount, noise)
            image = Image.from_array(values, axes="ZYX", mask=mask, spacing=1.0, unit="mm")
            cells = []
            for options in (plain, corrected):
                started = time.perf_counter()
                found = tissue(image, options).labels
                seconds = time.perf_counter() - started
                print(noise, kind, amount, f"{seconds:.1f} s", file=sys.stderr)
                cells += [f"{score:.3f}" for score in dice(found, truth)]
            yield f"| {noise:.0%} | {kind} | {amount:.0%} | {' | '.join(cells)} |"


HEAD = """# Tissues under a bias field

Made by `scripts/benchmark_bias.py`: Dice of `gmmseg.tissue.tissue` on the MNI T1 template with
simulated noise and fields, as it is (`--no-bias`) and corrected.

| noise | field | range | csf as it is | gm | wm | csf corrected | gm | wm |
|---|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    data, out = map(Path, sys.argv[1:3])
    lines: list[str] = []
    for row in rows(data):
        lines.append(row)
        out.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
