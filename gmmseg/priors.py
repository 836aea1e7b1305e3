"""Prior maps: how probable every class is in each pixel before that is looked at, as an atlas has.

"Prior maps" in docs/math.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_integer, check_real
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.prior_rows import Beliefs
from gmmseg.pixels import PixelRows

__all__ = ["PriorMaps", "PriorOptions"]

#: What is added to a map that is not wholly trusted, as SPM does: no class is then impossible.
_DOUBT = 1e-4

#: In the place of 0 where logarithms are taken: nothing that pixels say outweighs it.
_LEAST = np.float32(1e-37)


@dataclass(frozen=True, kw_only=True)
class PriorOptions:
    """How much prior maps count.

    Attributes
    ----------
    weight : float
        The power of the maps, 0..1: 0 = they are not looked at; 1 = they are probabilities, and
        where one is 0 its class cannot be.
    """

    weight: float = 0.5

    def __post_init__(self) -> None:
        weight = check_real(self.weight, "prior weight", minimum=0.0)
        if weight > 1:
            raise InvalidParameterError(f"prior weight must be from 0 to 1, got {weight:g}.")
        object.__setattr__(self, "weight", weight)


@dataclass(frozen=True, eq=False)
class PriorMaps:
    """The probability of every class in each pixel, and how much it counts.

    Attributes
    ----------
    maps : ndarray of shape (K, N), float32
        What every class is worth in each used pixel beside its share in the image, up to a factor
        for the pixel: probabilities to the power of `weight`.
    weight : float
        As in `PriorOptions`.
    """

    maps: NDArray[np.float32]
    weight: float

    @classmethod
    def of(
        cls,
        given: Sequence[NDArray[Any]],
        rows: PixelRows,
        k: int | str | None,
        options: PriorOptions,
    ) -> PriorMaps | None:
        """Maps in whatever unit; None when they have no weight.

        Where all maps are 0 nothing is known: every class is as probable as the others.

        Raises
        ------
        InvalidDataError
            When they are not of the image's shape, negative or not finite, all 0, or do not tell
            the classes apart.
        InvalidParameterError
            When there are not as many as classes.
        """
        if isinstance(k, str) or (k is not None and check_integer(k, "k") != len(given)):
            raise InvalidParameterError(
                f"k must be the number of prior maps, {len(given)}, got {k!r}. Leave it out."
            )
        for number, one in enumerate(given, start=1):
            if one.shape != rows.shape:
                raise InvalidDataError(
                    f"priors must be on the grid of the image, of shape {rows.shape}; prior "
                    f"{number} is of shape {one.shape}. Bring them there with a registration "
                    "program first."
                )
        if options.weight == 0:
            return None
        found = _normalised([rows.of_used(one[np.newaxis])[0] for one in given])
        return cls(_weighted(found, options.weight), options.weight)

    hints = None
    assumed = 0

    @property
    def priors(self) -> PriorMaps:
        """Themselves: beside them nothing is known. As of `Guidance`, as are the next ones."""
        return self

    @property
    def labels(self) -> tuple[int, ...]:
        """The class of each component."""
        return tuple(range(1, len(self.maps) + 1))

    @property
    def n_fitted(self) -> int:
        """How many components are fitted."""
        return len(self.maps)

    @property
    def provenance(self) -> dict[str, Any]:
        """For the model."""
        return {"priors": {"weight": self.weight}}

    def of_rows(self, rows: PixelRows) -> tuple[Any, None, Beliefs]:
        """Features of the used pixels, each a row of its own, and what is believed of them."""
        return rows.features, None, Beliefs(self.maps, self.weight)

    def ordered(self, mixture: Mixture) -> tuple[Mixture, PriorMaps]:
        """Classes are what the maps say, whatever their brightness."""
        return mixture, self

    def logs(self, rows: PixelRows) -> NDArray[np.float32]:
        """log2 of the maps as pictures (K, ...) with three spatial axes."""
        return rows.planes(np.log2(np.maximum(self.maps, _LEAST)))


def _normalised(given: list[NDArray[Any]]) -> NDArray[np.float32]:
    """Maps (K, N) that add up to 1 for each pixel, all alike where nothing is known."""
    maps = np.stack([one.astype(np.float32) for one in given])
    if not np.isfinite(maps).all() or (maps < 0).any():
        raise InvalidDataError("priors must be finite and not negative in every used pixel.")
    total = maps.sum(axis=0)
    if not total.any():
        raise InvalidDataError("priors must not be 0 in every used pixel: nothing is known then.")
    for one, other in combinations(range(len(maps)), 2):
        if np.array_equal(maps[one], maps[other]):
            raise InvalidDataError(
                f"priors must tell the classes apart: those of classes {one + 1} and {other + 1} "
                "are the same in every used pixel."
            )
    unknown = total == 0
    maps[:, unknown] = 1
    total[unknown] = len(maps)
    maps /= total
    return maps


def _weighted(maps: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """Maps to the power of their weight, in place (equation 102)."""
    maps += np.float32(_DOUBT * (1 - weight))
    if weight < 1:
        np.power(maps, np.float32(weight), out=maps)
    return maps
