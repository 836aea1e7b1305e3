"""What the signature files of GRASS and ArcGIS hold: classes with counts, means, covariances."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import gmmseg
from gmmseg._files import printable
from gmmseg.errors import ModelFormatError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.mixture.mixture import Mixture
from gmmseg.model import Model

__all__ = ["Signature", "band_model", "count", "identifier", "numbers", "signatures", "to_model"]

#: Pixels that the classes are said to have when the model does not know how many it saw.
_PIXELS = 1_000_000

#: What the other programs keep a count in.
_LARGEST_COUNT = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One class.

    Attributes
    ----------
    name : str
    count : int
        Pixels that it was learnt from: the weights of the mixture are the shares.
    mean : sequence of float
    covariance : sequence of sequence of float
        All rows, (D, D).
    """

    name: str
    count: int
    mean: Sequence[float]
    covariance: Sequence[Sequence[float]]


def numbers(words: Sequence[str], what: str) -> list[float]:
    """The words as finite numbers."""
    values = []
    for word in words:
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or "_" in word:
            raise ModelFormatError(f"{what} must be finite numbers, got {_short(word)}.")
        values.append(value)
    return values


def count(word: str, what: str) -> int:
    """The word as a whole number from 0."""
    if not (word.isascii() and word.isdecimal() and len(word) < 20):
        raise ModelFormatError(f"{what} must be a whole number from 0, got {_short(word)}.")
    return int(word)


def _short(word: str) -> str:
    return repr(printable(word[:30]))


def identifier(name: str, longest: int) -> str:
    """`name` as programs take it that split at spaces: letters, digits, dots and underscores.

    Examples
    --------
    >>> identifier("std 2 of L", 254), identifier("8a", 14)
    ('std_2_of_L', 'band_8a')
    """
    plain = re.sub(r"[^A-Za-z0-9_.]+", "_", name).strip("_.") or "band"
    return (plain if plain[0].isalpha() else f"band_{plain}")[:longest]


def signatures(model: Model) -> list[Signature]:
    """A signature for every component of a model."""
    names = model.provenance.get("class_names")
    if not isinstance(names, list) or len(names) != model.mixture.n_components:
        names = [f"Class {label}" for label in model.labels]
    pixels = _pixels(model.provenance)
    mixture = model.mixture
    return [
        Signature(
            name=" ".join(printable(name).split()),
            count=round(float(weight) * pixels),
            mean=mean.tolist(),
            covariance=matrix.tolist(),
        )
        for name, weight, mean, matrix in zip(
            names, mixture.weights, mixture.means, mixture.full_covariances, strict=True
        )
    ]


def _pixels(provenance: Mapping[str, Any]) -> int:
    """How many pixels the model has seen, if its provenance tells it."""
    fit = provenance.get("fit")
    seen = fit.get("n_pixels") if isinstance(fit, dict) else provenance.get("n_pixels")
    if isinstance(seen, int) and 0 < seen <= _LARGEST_COUNT:
        return seen
    return _PIXELS


def to_model(found: Sequence[Signature], band_names: Sequence[str], origin: str) -> Model:
    """The model that the classes of a signature file make, in their order.

    Raises
    ------
    ModelFormatError
        When there is no class, or a covariance matrix is none.
    """
    if not found:
        raise ModelFormatError("there is no class in it.")
    counts = [signature.count for signature in found]
    total = sum(counts)
    mixture = Mixture.from_dict(
        {
            "covariance_type": "full",
            "weights": [n / total if total else 1 / len(counts) for n in counts],
            "means": [signature.mean for signature in found],
            "covariances": [signature.covariance for signature in found],
        }
    )
    names = [signature.name for signature in found]
    return band_model(mixture, band_names, origin, {"class_names": names, "n_pixels": total})


def band_model(
    mixture: Mixture, band_names: Sequence[str], origin: str, more: dict[str, object] | None = None
) -> Model:
    """A model over bands as they are, class j the j-th component."""
    return Model(
        features=FeatureSpec(colour_space="raw"),
        feature_names=tuple(band_names),
        mixture=mixture,
        labels=tuple(range(1, mixture.n_components + 1)),
        provenance={"gmmseg": gmmseg.__version__, "converted_from": origin, **(more or {})},
    )


def symmetric(triangle: Sequence[float], n: int) -> list[list[float]]:
    """The matrix whose lower triangle is given row by row."""
    matrix = np.zeros((n, n))
    matrix[np.tril_indices(n)] = triangle
    full: list[list[float]] = (matrix + np.tril(matrix, -1).T).tolist()
    return full
