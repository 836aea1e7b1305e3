"""Partial volume: how much of each class is in a pixel, where borders run through pixels.

Santago and Gage (IEEE Trans. Med. Imaging 12 (1993) 566-574), Shattuck et al. (NeuroImage 13
(2001) 856-876); "Partial volume" in docs/math.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.lattice import Lattice
from gmmseg.mixture._threads import Workers
from gmmseg.mixture.rows import row_groups
from gmmseg.segmentation import Segmentation

__all__ = ["Mixing", "fractions_of"]

Array = NDArray[np.float64]

_SAMPLE = 1 << 14
_MOST_STEPS = 200
_AT_REST = 2e-4  # of the noise's deviation
_SWEEPS = 3

#: Classes nearer than this, in deviations of the noise, cannot be told from their mixtures.
_NEAREST = 0.2

_LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class Mixing:
    """Pure classes, noise that all pixels share, and how many pixels are of one class or of two.

    Attributes
    ----------
    means : ndarray of shape (K, D)
        Of pure pixels, ascending in the first feature.
    covariance : ndarray of shape (D, D)
        Of the noise.
    weights : ndarray of shape (2 K - 1,)
        Shares of the pixels that are pure, class after class, and of those of a class and the next.
    """

    means: Array
    covariance: Array
    weights: Array

    @classmethod
    def started(cls, means: Array, covariances: Array) -> Mixing:
        """From Gaussians (K, D), (K, D, D): the noise is that of the narrowest."""
        k = len(means)
        narrowest = np.linalg.slogdet(covariances)[1].argmin()
        return cls(means, covariances[narrowest], np.full(2 * k - 1, 1 / (2 * k - 1)))

    def fitted(self, x: NDArray[Any], workers: Workers) -> Mixing:
        """EM over values (D, n), until no mean moves by more than `_AT_REST` (equation 106)."""
        at = self
        for _ in range(_MOST_STEPS):
            following = at._step(x, workers)
            if not following._is_in_order():
                break
            moved = np.abs((following.means - at.means) @ at._whitening.T).max()
            at = following
            if moved < _AT_REST:
                break
        return at

    def fractions(
        self, x: NDArray[Any], workers: Workers, known: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Expected fractions (K, n) of the classes in pixels of values (D, n).

        `known` (K, n) is what the share of a class in a pixel is worth beside its values, in nats.
        """
        out = np.empty((len(self.means), x.shape[1]), np.float32)
        self._pass(x, known, workers, out)
        return out

    @property
    def _whitening(self) -> Array:
        return np.asarray(np.linalg.inv(np.linalg.cholesky(self.covariance)))

    def _is_in_order(self) -> bool:
        """Whether every class is beyond the one before."""
        lengths = np.linalg.norm(np.diff(self.means, axis=0) @ self._whitening.T, axis=1)
        ascending = np.diff(self.means[:, 0]) > 0
        return bool(ascending.all() and (lengths > _NEAREST).all())

    def _step(self, x: NDArray[Any], workers: Workers) -> Mixing:
        """One EM step: means by least squares from the fractions, noise from what is left."""
        nk, gram, products, squares = self._pass(x, None, workers, np.empty((0, 0), np.float32))
        means = np.linalg.solve(gram + _LEAST * np.trace(gram) * np.eye(len(gram)), products)
        left = (
            squares - means.T @ products - products.T @ means + means.T @ gram @ means
        ) / nk.sum()
        back = np.linalg.inv(self._whitening)
        noise = back @ left @ back.T
        return Mixing(means @ back.T, (noise + noise.T) / 2, nk / nk.sum())

    def _pass(
        self,
        x: NDArray[Any],
        known: NDArray[np.float32] | None,
        workers: Workers,
        out: NDArray[np.float32],
    ) -> tuple[Array, Array, Array, Array]:
        """Responsibilities, f f', f z' and z z', summed; z are the values in the noise's metric."""
        from gmmseg._fraction_kernels import mixel_pass

        whitening = self._whitening
        z = np.einsum("ij,jn->in", whitening.astype(np.float32), x)  # no BLAS: it waits for threads
        centres = self.means @ whitening.T
        ways = np.diff(centres, axis=0)
        lengths = np.linalg.norm(ways, axis=1)
        logs = np.log(np.maximum(self.weights, _LEAST))
        known = np.empty((0, 0), np.float32) if known is None else known
        k, d = centres.shape
        groups = row_groups(x.shape[1])
        sums = [(np.zeros(2 * k - 1), np.zeros((k, k)), np.zeros((k, d))) for _ in groups]

        def task(i: int) -> None:
            work = np.empty(2 * k - 1), np.empty(k), np.empty(k), np.empty(k), np.empty(2)
            mixel_pass(
                z, known, centres, ways / lengths[:, None], lengths, logs, *groups[i], work, out,
                *sums[i],
            )  # fmt: skip

        workers.run(task, len(groups))
        nk, gram, products = (np.sum(part, axis=0) for part in zip(*sums, strict=True))
        wide = z.astype(np.float64) if not out.size else np.empty((d, 0))
        return nk, gram, products, np.einsum("in,jn->ij", wide, wide)


def fractions_of(segmentation: Segmentation, *, threads: int | None = None) -> NDArray[np.float32]:
    """How much of each class is in every pixel.

    A pixel is of one class, or of two that follow each other in brightness, in any proportion; its
    value is the mean of theirs, and noise. Pure values and noise are learnt from the pixels, and
    neighbours pull as strongly as in the segmentation: they are worth what their fractions have in
    common.

    Parameters
    ----------
    segmentation : Segmentation
        Of one Gaussian for each class, on pixels that have all their bands.
    threads : int, optional

    Returns
    -------
    ndarray of float32, the image's shape and (k,)
        They add up to 1; 0 where a pixel is not used.

    Raises
    ------
    InvalidParameterError
        When a class is of several Gaussians, or there is only one.
    InvalidDataError
        When pixels lack some of their bands.

    Examples
    --------
    >>> import gmmseg
    >>> rng = np.random.default_rng(0)
    >>> halves = np.repeat([0.0, 0.0, 0.0, 30.0, 100.0, 100.0], 50)
    >>> scan = halves + rng.normal(0, 2, (60, 300))
    >>> soft = fractions_of(gmmseg.segment(scan, 2, "plain"))
    >>> [round(float(share), 1) for share in soft[30, [20, 175, 280], 1]]
    [0.0, 0.3, 1.0]
    """
    seg, model = segmentation, segmentation.model
    if not model.one_to_one or model.k < 2:
        raise InvalidParameterError(
            f"fractions need two classes or more of one Gaussian each, got {model.k} of "
            f"{model.mixture.n_components}."
        )
    rows = seg._rows
    centre = model.mixture.weights @ model.mixture.means
    order = np.argsort(model.mixture.means[:, 0], kind="stable")  # of components
    labels = np.array(model.labels)[order] - 1
    planes = rows.planes((np.asarray(rows.features) - centre).T)
    used = np.ones(planes.shape[1:], bool) if rows.valid is None else rows.valid.reshape(
        planes.shape[1:]
    )  # fmt: skip
    x = planes[:, used]
    if not np.isfinite(x).all():
        raise InvalidDataError(
            "fractions need pixels that have all their bands. Leave out those with gaps: "
            "FeatureSpec(gaps='drop') (--gaps drop), or a mask."
        )
    at = (np.arange(_SAMPLE) + 0.5) * x.shape[1] / _SAMPLE
    sample = x if x.shape[1] <= _SAMPLE else x[:, at.astype(np.intp)]
    with Workers(threads) as workers:
        mixing = Mixing.started(
            model.mixture.means[order] - centre, model.mixture.full_covariances[order]
        ).fitted(sample, workers)
        found = _related(mixing, seg, x, used, labels, workers)
    out = np.zeros((*seg.image.shape, model.k), np.float32)
    at_used = used.reshape(seg.image.shape)
    for label, one in zip(labels, found, strict=True):
        out[at_used, label] = one
    return out


def _related(
    mixing: Mixing,
    seg: Segmentation,
    x: NDArray[Any],
    used: NDArray[np.bool_],
    labels: NDArray[np.intp],
    workers: Workers,
) -> NDArray[np.float32]:
    """Fractions of pixels that look at their neighbours, and at what is believed of them."""
    options = seg.model.smoothing
    believed = None
    if seg._priors is not None:
        believed = seg._priors.maps[labels]
        believed = np.log(np.maximum(believed, np.float32(_LEAST)))
    found = mixing.fractions(x, workers, believed)
    if not options.is_on or seg.smoothed is None:
        return found
    lattice = Lattice(
        seg.image.shape,
        workers,
        neighbours=options.neighbours,
        mask=used.reshape(seg.image.shape),
        spacing=seg.image.spacing,
    )
    volumes = np.zeros((len(found), *used.shape), np.float32)
    for _ in range(_SWEEPS):
        volumes[:, used] = found
        known = lattice.pull(volumes, seg.smoothed.beta)[:, used]
        found = mixing.fractions(x, workers, known if believed is None else known + believed)
    return found
