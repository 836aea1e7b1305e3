"""Spatial prior: neighbours tend to belong to the same class (a hidden Markov random field)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg._check import check_choice, check_integer, check_real
from gmmseg._entries import options_of_entries
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.labels import label_dtype
from gmmseg.lattice import NEIGHBOURS, Lattice, Prior, check_planes
from gmmseg.mixture._threads import Workers

__all__ = ["METHODS", "Smoothed", "SmoothingOptions", "smooth"]

#: How the field is solved.
METHODS = ("mean-field", "icm")

_COUNTS = tuple(sorted({n for counts in NEIGHBOURS.values() for n in counts}))

# The estimate of beta starts here, ends there, and takes so many steps with each sweep.
_FIRST_BETA = 0.5
_LARGEST_BETA = 5.0
_STEPS = 8
_PRIOR_TOL = 1e-2
_FLAT = 1e-9
_LEAST = 1e-6

# Pixels that are labelled in one task, and in the first level of the cache.
_AT_ONCE = 1 << 19
_IN_CACHE = 2048

#: log2 of no probability at all: nothing outweighs it, yet differences stay numbers.
_IMPOSSIBLE = np.float32(-1e4)


@dataclass(frozen=True, kw_only=True)
class SmoothingOptions:
    """How strongly neighbouring pixels pull each other into their class.

    Attributes
    ----------
    beta : float or "auto"
        What a nearest neighbour of the same class is worth, in nats. Farther neighbours are worth
        less in proportion to their distance: the same value means the same at any resolution.
        0 = off. "auto" = estimated from each image by pseudo-likelihood.
    neighbours : {4, 8, 6, 18, 26} or None
        4 or 8 in two dimensions, 6, 18 or 26 in three; None = all that touch.
    sweeps : int
        Most sweeps over the image.
    tol : float
        Sweeps end when one moves less than this share of the probability to other classes.
    contrast : float
        How much edges in the image weaken the ties across them; 0 = off, 1 as in GrabCut.
    method : {"mean-field", "icm"}
        Mean field keeps probabilities; iterated conditional modes decide.
    inside : bool
        Also use the ties while fitting: EM with a hidden Markov random field. The mixture's
        weights are then what a class is worth where its neighbours do not tell.
    """

    beta: float | str = 0.0
    neighbours: int | None = None
    sweeps: int = 10
    tol: float = 1e-3
    contrast: float = 0.0
    method: str = "mean-field"
    inside: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.inside, bool):
            raise InvalidParameterError(f"inside must be True or False, got {self.inside!r}.")
        if isinstance(self.beta, str) and self.beta != "auto":
            raise InvalidParameterError(f"beta must be a number or 'auto', got {self.beta!r}.")
        if self.neighbours is not None:
            check_integer(self.neighbours, "neighbours")
            if self.neighbours not in _COUNTS:
                listed = ", ".join(map(str, _COUNTS))
                raise InvalidParameterError(
                    f"neighbours must be one of {listed}, got {self.neighbours}."
                )
        checked: dict[str, Any] = {
            "sweeps": check_integer(self.sweeps, "sweeps", minimum=1),
            "tol": check_real(self.tol, "tol", minimum=0.0),
            "contrast": check_real(self.contrast, "contrast", minimum=0.0),
            "method": check_choice(self.method, "method", METHODS),
        }
        if not isinstance(self.beta, str):
            checked["beta"] = check_real(self.beta, "beta", minimum=0.0)
        for name, value in checked.items():  # plain Python numbers: they go to model files
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, entries: Any) -> SmoothingOptions:
        """The inverse of `to_dict`.

        Raises
        ------
        ModelFormatError
            When an entry is unknown, missing, of the wrong type or out of range.
        """
        return options_of_entries(cls, entries, "smoothing")

    @property
    def is_on(self) -> bool:
        """False when every pixel stands for itself."""
        return self.beta != 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Smoothed:
    """What smoothing found.

    Attributes
    ----------
    probabilities : ndarray, float32
        Of the shape of the posterior: classes first; 0 where not used.
    beta : float
        As given, or as estimated.
    n_sweeps : int
    converged : bool
        Whether the last sweep moved less than `tol`.
    moves : tuple of float
        What each sweep moved: shares of probability, summed over the pixels.
    """

    probabilities: NDArray[np.float32]
    beta: float
    n_sweeps: int
    converged: bool
    moves: tuple[float, ...] = ()

    def labels(self, *, threads: int | None = None) -> NDArray[Any]:
        """The most probable class of each pixel, from 1, (planes, rows, cols); 0 where not used."""
        dtype = label_dtype(len(self.probabilities))
        return most_probable(self.probabilities, dtype, threads=threads)

    def slabs(
        self, shape: tuple[int, ...], step: int, *, index: int | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Probabilities (K, n, ...) of so many rows, or planes, of an image of this shape at once.

        With `index` of that class alone: K is then 1.
        """
        chosen = slice(None) if index is None else slice(index, index + 1)
        planes = self.probabilities.reshape(-1, *shape)[chosen]
        return (planes[:, start : start + step] for start in range(0, shape[0], step))


def smooth(
    posterior: ArrayLike,
    options: SmoothingOptions,
    *,
    mask: ArrayLike | None = None,
    spacing: Any = None,
    guide: ArrayLike | None = None,
    threads: int | None = None,
) -> Smoothed:
    """Smooth the posterior of an image's pixels by a Potts field (equation 40 of docs/math.md).

    Parameters
    ----------
    posterior : array_like of shape (K, rows, cols) or (K, planes, rows, cols)
        Probabilities of the classes, each pixel for itself. Need not sum to 1.
    options : SmoothingOptions
    mask : array_like of bool, of the image's shape, optional
        True = use this pixel. Others neither give nor take.
    spacing : float or sequence of float, optional
        Size of a pixel along each axis; only the ratios matter.
    guide : array_like of shape (F, rows, cols) or (F, planes, rows, cols), optional
        The image whose edges weaken the ties; needed where `contrast` is not 0.
    threads : int, optional
        None = as many as this process may use. The result does not depend on it.

    Returns
    -------
    Smoothed

    Raises
    ------
    InvalidDataError
        When shapes disagree, or a used pixel has a probability that is negative or not finite.
    InvalidParameterError
        When `neighbours` does not suit the number of axes.

    Examples
    --------
    >>> import numpy as np
    >>> sure = np.full((5, 5), 0.9)
    >>> sure[2, 2] = 0.4
    >>> found = smooth([sure, 1 - sure], SmoothingOptions(beta=1.0))
    >>> bool(found.probabilities[0, 2, 2] > 0.99)
    True
    """
    planes = check_planes(posterior, "posterior")
    shape = np.shape(posterior)[1:]
    used = None if mask is None else _as_mask(mask, shape)
    at_all = True if used is None else used.reshape(planes.shape[1:])
    if not (np.isfinite(planes) & (planes >= 0)).all(where=at_all):
        raise InvalidDataError("posterior must be finite and not negative in every used pixel.")
    with np.errstate(divide="ignore", invalid="ignore"):
        unary = np.log2(planes, out=np.zeros_like(planes), where=at_all)
    np.maximum(unary, _IMPOSSIBLE, out=unary)
    weights = planes.sum(axis=(1, 2, 3), dtype=np.float64, where=at_all)
    with Workers(threads) as workers:
        lattice = Lattice(shape, workers, neighbours=options.neighbours, mask=used, spacing=spacing)
        if options.contrast:
            lattice.weaken(_as_guide(guide, planes.shape), options.contrast)
        found = relax(lattice, unary, options, weights)
    return replace(found, probabilities=found.probabilities.reshape(-1, *shape))


def relax(
    lattice: Lattice,
    unary: NDArray[np.float32],
    options: SmoothingOptions,
    weights: ArrayLike,
    *,
    rows: slice | None = None,
) -> Smoothed:
    """Sweep over a lattice until it is at rest.

    Parameters
    ----------
    lattice : Lattice
    unary : ndarray of shape (K, planes, rows, cols), float32, C-contiguous
        log2 of the posterior, up to a constant for each pixel.
    options : SmoothingOptions
    weights : array_like of shape (K,)
        Shares of the classes, up to a factor; for the estimate of beta.
    rows : slice, optional
        Of a flat image: the rows whose moves are told.
    """
    return relax_together([(lattice, unary)], options, weights, rows=rows)[0]


def relax_together(
    parts: Sequence[tuple[Lattice, NDArray[np.float32]]],
    options: SmoothingOptions,
    weights: ArrayLike,
    *,
    rows: slice | None = None,
) -> list[Smoothed]:
    """`relax` of several lattices with one prior, until they are at rest as a whole."""
    share = np.asarray(weights, dtype=np.float64)
    share = share / share.sum()
    found = [lattice.start(unary) for lattice, unary in parts]
    prior = first_prior(options, len(parts[0][1]))
    hard = options.method == "icm"
    if hard:
        for (lattice, unary), q in zip(parts, found, strict=True):
            lattice.sweep(unary, q, replace(prior, beta=0.0), hard=True)
    n_used = max(sum(lattice.n_used_in(rows) for lattice, _ in parts), 1)
    moves: list[float] = []
    while len(moves) < options.sweeps and not (moves and moves[-1] / n_used < options.tol):
        if options.beta == "auto":
            hidden = [(lattice, q) for (lattice, _), q in zip(parts, found, strict=True)]
            prior = learnt_prior(hidden, share, prior, beta=True)
        moves.append(
            sum(
                lattice.sweep(unary, q, prior, hard=hard, rows=rows) * lattice.n_used_in(rows)
                for (lattice, unary), q in zip(parts, found, strict=True)
            )
        )
    return [
        Smoothed(
            probabilities=q,
            beta=prior.beta,
            n_sweeps=len(moves),
            converged=bool(moves[-1] / n_used < options.tol),
            moves=tuple(moves),
        )
        for q in found
    ]


def sweeps_wanted(moves: Any, n_used: int, n_sweeps: int, options: SmoothingOptions) -> int:
    """How many sweeps a whole image takes to be at rest, by what each moved everywhere.

    Equation 86 of docs/math.md: `n_sweeps` were made.
    """
    still = np.flatnonzero(moves / max(n_used, 1) < options.tol)
    return min(int(still[0]) + 1 if len(still) else n_sweeps + 1, options.sweeps)


def first_prior(options: SmoothingOptions, n_classes: int) -> Prior:
    """What is believed before any pixel was looked at."""
    beta = _FIRST_BETA if isinstance(options.beta, str) else options.beta
    return Prior(beta=beta, field=np.zeros(n_classes, np.float32))


def learnt_prior(
    hidden: Sequence[tuple[Lattice, NDArray[np.float32]]],
    weights: NDArray[np.float64],
    prior: Prior,
    *,
    beta: bool = False,
    field: bool = False,
) -> Prior:
    """The prior under which probabilities are most likely, pixel by pixel given its neighbours.

    The pseudo-likelihood (Besag 1975; with mean fields Celeux, Forbes and Peyrard 2003) is concave:
    beta goes by Newton's method, the field by iterative scaling, so that the prior expects as
    much of every class as there is (equation 43 of docs/math.md).

    Parameters
    ----------
    hidden : sequence of (Lattice, ndarray of shape (K, planes, rows, cols))
        The images with the probabilities of their pixels.
    weights : ndarray of shape (K,)
        Of the classes in the mixture.
    prior : Prior
        Where to start.
    beta, field : bool
        Which of them to learn; the other stays.
    """
    for _ in range(_STEPS if beta or field else 0):
        found = [lattice.expectations(q, weights, prior) for lattice, q in hidden]
        slope, curvature, shares, expected = (sum(part) for part in zip(*found, strict=True))
        ratio = np.maximum(shares, _LEAST) / np.maximum(expected, _LEAST)
        shift = np.log2(ratio).astype(np.float32) if field else np.zeros_like(prior.field)
        following = _newton(slope, curvature, prior.beta) if beta else prior.beta
        change = max(abs(following - prior.beta), float(np.abs(shift).max()))
        prior = Prior(beta=following, field=prior.field + shift)
        if change < _PRIOR_TOL:
            break
    return prior


def _newton(slope: float, curvature: float, beta: float) -> float:
    if curvature > -_FLAT:  # no two neighbours differ, or none has a neighbour
        return _LARGEST_BETA if slope > 0 else beta
    return float(np.clip(beta - slope / curvature, 0.0, _LARGEST_BETA))


def pin(unary: NDArray[np.float32], hints: NDArray[Any] | None) -> None:
    """Make the classes of pixels certain, in place: they stay so, and give to their neighbours.

    Parameters
    ----------
    unary : ndarray of shape (K, ...), float32
        log2 of the posterior, up to a constant for each pixel.
    hints : ndarray of int with as many entries as pixels, or None
        Class from 1; 0 = not known. None = of no pixel.
    """
    if hints is None:
        return
    known = hints.reshape(unary.shape[1:])
    for label, plane in enumerate(unary, start=1):
        plane[known > 0] = _IMPOSSIBLE
        plane[known == label] = 0.0


def most_probable(
    probabilities: NDArray[np.float32], dtype: Any, *, threads: int | None = None
) -> NDArray[Any]:
    """The most probable class from 1, the lowest of equals; 0 where no class has any probability.

    Parameters
    ----------
    probabilities : ndarray of shape (K, ...)
    dtype : dtype
        Of the labels.
    threads : int, optional

    Examples
    --------
    >>> most_probable(np.array([[0.2, 0.5, 0.0], [0.8, 0.5, 0.0]]), np.uint8)
    array([2, 1, 0], dtype=uint8)
    """
    from gmmseg._class_kernels import most_probable_pass

    shares = probabilities.reshape(len(probabilities), -1)
    labels = np.empty(shares.shape[1], dtype)

    def task(i: int) -> None:
        part = slice(i * _AT_ONCE, (i + 1) * _AT_ONCE)
        most_probable_pass(shares[:, part], np.empty(_IN_CACHE, shares.dtype), labels[part])

    with Workers(threads) as workers:
        workers.run(task, -(-len(labels) // _AT_ONCE), operations=len(shares) * len(labels))
    return labels.reshape(probabilities.shape[1:])


def _as_mask(mask: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    used = np.asarray(mask).astype(bool)
    if used.shape != shape:
        raise InvalidDataError(f"mask must have the image's shape {shape}, got {used.shape}.")
    return used


def _as_guide(guide: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if guide is None:
        raise InvalidParameterError("contrast needs a guide: the image whose edges count.")
    planes = check_planes(guide, "guide")
    if planes.shape[1:] != shape[1:]:
        raise InvalidDataError(
            f"guide must have the posterior's spatial shape {shape[1:]}, got {planes.shape[1:]}."
        )
    return planes
