"""A mixture in terms that people can interpret: spreads, correlations, axes, overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg._check import check_real
from gmmseg.errors import InvalidParameterError
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.overlap import bhattacharyya, confusion_bounds

__all__ = ["Axis", "Component", "Description", "Pair", "describe"]

Array = NDArray[np.float64]

#: Components that overlap by this much are called nearly the same: with equal variances,
#: means 0.64 standard deviations apart.
NEARLY_THE_SAME = 0.95

_SHOWN_AXES, _SHOWN_PAIRS, _SHOWN_CORRELATIONS, _SHOWN_PARTS = 3, 12, 3, 4
_WORTH_TELLING = 0.1  # weaker correlations, and smaller parts of directions, are left out


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A principal axis of a component.

    Attributes
    ----------
    std : float
        Standard deviation along it: half the axis of the ellipse of one standard deviation.
    direction : tuple of float
        Unit vector in feature space; its largest element is positive.
    """

    std: float
    direction: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Component:
    """One Gaussian.

    Attributes
    ----------
    label : int
        Its class.
    weight : float
    mean, std : tuple of float
        For every feature.
    correlations : tuple of tuple of float
        Matrix (D, D) with 1 on its diagonal.
    axes : tuple of Axis
        Longest first.
    angle : float or None
        For two features the direction of the longest axis in degrees, -90 < angle <= 90,
        counted from the first feature's axis towards the second's.
    """

    label: int
    weight: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    correlations: tuple[tuple[float, ...], ...]
    axes: tuple[Axis, ...]
    angle: float | None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """How two components lie to each other.

    Attributes
    ----------
    components : tuple of int
        Their positions in the mixture, from 0.
    labels : tuple of int
        Their classes.
    distance : float
        Bhattacharyya's.
    overlap : float
        ``exp(-distance)``: 1 = the same, 0 = apart.
    confused : float
        At most this share of all rows belongs to one of them but is ascribed to the other.
    """

    components: tuple[int, int]
    labels: tuple[int, int]
    distance: float
    overlap: float
    confused: float


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a mixture says, for people and programs: ``str()`` gives tables.

    Attributes
    ----------
    feature_names : tuple of str
    covariance_type : str
    components : tuple of Component
    pairs : tuple of Pair
        Nearest first.
    nearly_the_same : tuple of Pair
        Those of `pairs` that overlap by at least the limit that was asked for.
    error_bound : float
        At most this share of rows, drawn from the mixture, is ascribed to a wrong class.
    """

    feature_names: tuple[str, ...]
    covariance_type: str
    components: tuple[Component, ...]
    pairs: tuple[Pair, ...]
    nearly_the_same: tuple[Pair, ...]
    error_bound: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        """Tables for a terminal: classes, correlations, axes, and the nearest pairs."""
        blocks = [_component_table(self)]
        if len(self.feature_names) > 1:
            blocks += [_axis_table(self), _correlation_lines(self)]
        if self.pairs:
            blocks += [_pair_table(self), _verdict(self)]
        return "\n\n".join(block for block in blocks if block)


def describe(
    mixture: Mixture,
    feature_names: Sequence[str] | None = None,
    labels: Sequence[int] | None = None,
    *,
    same: float = NEARLY_THE_SAME,
) -> Description:
    """Describe a mixture.

    Parameters
    ----------
    mixture : Mixture
    feature_names : sequence of str, optional
        "feature 0", "feature 1" ... when not given.
    labels : sequence of int, optional
        Class of every component; 1..K when not given. Components of one class are not confused.
    same : float
        Overlap, in 0..1, from which two components are called nearly the same.

    Returns
    -------
    Description

    Raises
    ------
    InvalidParameterError
        When an argument does not suit the mixture.

    Examples
    --------
    >>> mixture = Mixture(weights=[0.4, 0.6], means=[[0.0, 0.0], [6.0, 1.0]],
    ...                   covariances=[[2.0, 1.0], [1.0, 2.0]], covariance_type="tied")
    >>> print(describe(mixture, ["red", "infrared"]))  # doctest: +NORMALIZE_WHITESPACE
    class  weight  red mean +- std  infrared mean +- std
        1  0.4000       0 +- 1.414            0 +- 1.414
        2  0.6000       6 +- 1.414            1 +- 1.414
    <BLANKLINE>
    class  axis    std  direction
        1     1  1.732  +0.71 red +0.71 infrared
              2      1  +0.71 red -0.71 infrared
        2     1  1.732  +0.71 red +0.71 infrared
              2      1  +0.71 red -0.71 infrared
    <BLANKLINE>
    class 1: red ~ infrared +0.50
    class 2: red ~ infrared +0.50
    <BLANKLINE>
    classes  Bhattacharyya distance  overlap  rows confused
      1, 2                    2.583   0.0755        < 3.7 %
    <BLANKLINE>
    At most 3.7 % of rows drawn from this mixture are ascribed to a wrong class.
    """
    k, d = mixture.means.shape
    names = tuple(feature_names or (f"feature {i}" for i in range(d)))
    classes = tuple(labels or range(1, k + 1))
    for name, values, n in (("feature_names", names, d), ("labels", classes, k)):
        if len(values) != n:
            raise InvalidParameterError(f"{name} must have {n} entries, got {len(values)}.")
    if check_real(same, "same", minimum=0) > 1:
        raise InvalidParameterError(f"same must be within 0..1, got {same:g}.")
    pairs = _pairs(mixture, classes)
    apart = sum(pair.confused for pair in pairs if pair.labels[0] != pair.labels[1])
    return Description(
        feature_names=names,
        covariance_type=mixture.covariance_type,
        components=tuple(
            _component(label, *parts)
            for label, *parts in zip(
                classes,
                mixture.weights,
                mixture.means,
                mixture.standard_deviations,
                mixture.full_covariances,
                strict=True,
            )
        ),
        pairs=pairs,
        nearly_the_same=tuple(pair for pair in pairs if pair.overlap >= same),
        error_bound=min(apart, 1.0 - _largest_class(mixture.weights, classes)),
    )


def _largest_class(weights: Array, labels: Sequence[int]) -> float:
    """Weight of the heaviest class: ascribing every row to it would err no more than the rest."""
    return min(float(np.bincount(labels, weights=weights).max()), 1.0)


def _component(label: int, weight: float, mean: Array, std: Array, matrix: Array) -> Component:
    correlations = matrix / np.outer(std, std)
    np.fill_diagonal(correlations, 1.0)
    variances, vectors = np.linalg.eigh(matrix)
    axes = []
    for variance, vector in zip(variances[::-1], vectors.T[::-1], strict=True):
        sign = np.sign(vector[np.abs(vector).argmax()])
        direction = tuple((sign * vector + 0.0).tolist())
        axes.append(Axis(std=float(np.sqrt(max(variance, 0.0))), direction=direction))
    return Component(
        label=int(label),
        weight=float(weight),
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        correlations=tuple(map(tuple, correlations.tolist())),
        axes=tuple(axes),
        angle=_angle(axes[0].direction) if len(std) == 2 else None,
    )


def _angle(direction: tuple[float, ...]) -> float:
    x, y = direction
    angle = float(np.degrees(np.arctan2(y, x)))
    return angle - 180.0 if angle > 90.0 else angle + 180.0 if angle <= -90.0 else angle


def _pairs(mixture: Mixture, labels: Sequence[int]) -> tuple[Pair, ...]:
    distances = bhattacharyya(mixture)
    bounds = confusion_bounds(mixture.weights, distances)
    pairs = [
        Pair(
            components=(a, b),
            labels=(int(labels[a]), int(labels[b])),
            distance=float(distances[a, b]),
            overlap=float(np.exp(-distances[a, b])),
            confused=float(bounds[a, b]),
        )
        for a, b in combinations(range(mixture.n_components), 2)
    ]
    return tuple(sorted(pairs, key=lambda pair: pair.distance))


# --- text ------------------------------------------------------------------------------------


def _component_table(described: Description) -> str:
    head = ["class", "weight", *(f"{name} mean +- std" for name in described.feature_names)]
    rows = [
        [
            str(c.label),
            f"{c.weight:.4f}",
            *(f"{m:.4g} +- {s:.4g}" for m, s in zip(c.mean, c.std, strict=True)),
        ]
        for c in described.components
    ]
    table = [head, *rows]
    if len(described.feature_names) > max(4, len(rows)):  # a line for each feature
        return _aligned([list(column) for column in zip(*table, strict=True)], left=0)
    return _aligned(table)


def _axis_table(described: Description) -> str:
    rows = [["class", "axis", "std", "direction"]]
    for component in described.components:
        for i, axis in enumerate(component.axes[:_SHOWN_AXES]):
            parts = sorted(
                zip(axis.direction, described.feature_names, strict=True),
                key=lambda part: -abs(part[0]),
            )[:_SHOWN_PARTS]
            told = [f"{x:+.2f} {name}" for x, name in parts if abs(x) >= _WORTH_TELLING]
            label = str(component.label) if i == 0 else ""
            rows.append([label, str(i + 1), f"{axis.std:.4g}", " ".join(told)])
    return _aligned(rows, left=3)


def _correlation_lines(described: Description) -> str:
    lines = []
    for component in described.components:
        strongest = sorted(
            (
                (component.correlations[i][j], i, j)
                for i, j in combinations(range(len(component.mean)), 2)
            ),
            key=lambda found: -abs(found[0]),
        )[:_SHOWN_CORRELATIONS]
        told = [
            f"{described.feature_names[i]} ~ {described.feature_names[j]} {r:+.2f}"
            for r, i, j in strongest
            if abs(r) >= _WORTH_TELLING
        ]
        if told:
            lines.append(f"class {component.label}: {', '.join(told)}")
    return "\n".join(lines)


def _pair_table(described: Description) -> str:
    rows = [["classes", "Bhattacharyya distance", "overlap", "rows confused"]]
    for pair in described.pairs[:_SHOWN_PAIRS]:
        names = f"{pair.labels[0]}, {pair.labels[1]}".center(len(rows[0][0]))
        rows.append([names, f"{pair.distance:.4g}", f"{pair.overlap:.3g}", _most(pair.confused)])
    left_out = len(described.pairs) - _SHOWN_PAIRS
    return _aligned(rows) + (f"\nand {left_out} pairs further apart" if left_out > 0 else "")


def _most(share: float) -> str:
    """A bound, rounded upwards."""
    return f"< {np.ceil(1000 * share) / 10:.1f} %" if share >= 0.001 else "< 0.1 %"


def _verdict(described: Description) -> str:
    lines = [
        f"Classes {pair.labels[0]} and {pair.labels[1]} are nearly the same: they overlap by "
        f"{pair.overlap:.3f}."
        for pair in described.nearly_the_same
    ]
    most = _most(described.error_bound).removeprefix("< ")
    lines.append(f"At most {most} of rows drawn from this mixture are ascribed to a wrong class.")
    return "\n".join(lines)


def _aligned(rows: list[list[str]], left: int | None = None) -> str:
    """Columns aligned to the right; column `left` to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
