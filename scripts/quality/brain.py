"""A T1 template of the brain with maps of grey and white matter: three classes, without a prior.

The truth is the most probable of grey matter, white matter and neither, where the brain is. One
volume has no parts: of every 24 planes 8 are kept aside in the scores; all voxels are fitted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gmmseg.image import Image
from quality import fields, peers
from quality.scores import dice

NAME = "brain (mni152, k = 3, Dice)"
STEM = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
TISSUES = ("CSF", "GM", "WM")


def cases(folder: Path) -> list[dict[str, Any]]:
    return [{"folder": folder / "mni152_nilearn", "noise": noise} for noise in (0.0, 0.09)]


def evaluate(case: dict[str, Any]) -> list[dict[str, Any]]:
    values, mask, truth = read(case["folder"], case["noise"])
    image = Image.from_array(values, axes="ZYX", mask=mask, spacing=1.0)
    inside = values[mask][:, None]
    labels = {
        "k-means": put_on(mask, ordered(peers.kmeans(inside, 3), inside)),
        "scikit-learn GMM": put_on(mask, ordered(peers.mixture(inside, 3), inside)),
        "gmmseg plain": peers.ours(image, 3, "plain"),
        "gmmseg (auto: mri)": peers.ours(image, 3, "auto"),
    }
    aside = (np.arange(len(truth)) // 8 % 3 == 2)[:, None, None]
    return [
        {
            "method": method,
            "case": {"noise": case["noise"], "aside": part},
            "scores": [
                dice((found == c) & _of_part(aside, part), (truth == c) & _of_part(aside, part))
                for c in (1, 2, 3)
            ],
        }
        for method, found in labels.items()
        for part in (False, True, None)
    ]


def _of_part(aside: np.ndarray, part: bool | None) -> np.ndarray:
    return np.ones_like(aside) if part is None else aside == part


def summarise(rows: list[dict[str, Any]]) -> dict[str, float]:
    found = {}
    for row in rows:
        name = f"{row['case']['noise']:.0%} noise"
        found |= {f"{name}, {t}": s for t, s in zip(TISSUES, row["scores"], strict=True)}
        found[f"{name}, mean"] = float(np.mean(row["scores"]))
    return found


def read(
    folder: Path, noise: float, field: str = "", amount: float = 0.0, seed: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, the brain, and the truth.

    Noise is Rician, its sigma a share of the range; a bias field is multiplied on before.
    """
    import nibabel

    t1, gm, wm = (
        np.asarray(nibabel.load(folder / STEM.format(name)).dataobj) for name in ("t1", "gm", "wm")
    )
    mask = t1 > 0
    truth = np.argmax([254 - gm.astype(int) - wm, gm, wm], axis=0) + 1
    truth[~mask] = 0
    if field:
        t1 = t1 * fields.field(field, amount, mask, seed)
    if noise:
        rng = np.random.default_rng(0)
        real, imaginary = (rng.normal(0, noise * 255, t1.shape) for _ in range(2))
        t1 = np.hypot(t1 + real, imaginary)
    return np.clip(np.rint(t1), 0, 255).astype(np.uint8), mask, truth


def ordered(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Classes from 1, dark to bright."""
    means = [values[labels == c].mean() for c in range(3)]
    return np.argsort(np.argsort(means))[labels] + 1


def put_on(mask: np.ndarray, labels: np.ndarray) -> np.ndarray:
    full = np.zeros(mask.shape, int)
    full[mask] = labels
    return full
