"""Where DICOM images lie: planes, and the volume that they make (DICOM PS3.3, C.7.6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import ReadError

__all__ = ["Plane", "affine_of", "plane_of", "plane_of_frame"]

Array = NDArray[np.float64]

#: DICOM's patient axes lead to the left, back and head; ours to the right, front and head.
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])

#: Share of the step between planes by which one may be out of place.
_TOLERANCE = 0.02
_SAME_DIRECTION = 1e-3


@dataclass(frozen=True, eq=False)
class Plane:
    """One image in space, in DICOM's axes.

    Attributes
    ----------
    position : ndarray of shape (3,)
        Of the centre of the first pixel, in mm.
    along_columns, along_rows : ndarray of shape (3,)
        One column, or one row, further.
    """

    position: Array
    along_columns: Array
    along_rows: Array

    @property
    def normal(self) -> Array:
        normal = np.cross(self.along_columns, self.along_rows)
        found: Array = normal / np.linalg.norm(normal)
        return found

    def affine(self, step: Array | None = None) -> Array:
        """From (column, row, plane) to x, y, z (RAS+); a single plane is 1 mm thick."""
        matrix = np.eye(4)
        step = self.normal if step is None else step
        columns = (self.along_columns, self.along_rows, step, self.position)
        matrix[:3] = np.stack([column * _LPS_TO_RAS for column in columns], axis=1)
        return matrix


def plane_of(data: Any) -> Plane | None:
    """The place of a single-frame image; None when it does not say."""
    return _plane(
        data.get("ImagePositionPatient"),
        data.get("ImageOrientationPatient"),
        data.get("PixelSpacing"),
    )


def plane_of_frame(group: Any, shared: Any) -> Plane | None:
    """The place of a frame, by its own functional groups or those of all frames."""

    def entry(sequence: str, name: str) -> Any:
        for source in (group, shared):
            found = source.get(sequence)
            if found and found[0].get(name) is not None:
                return found[0].get(name)
        return None

    return _plane(
        entry("PlanePositionSequence", "ImagePositionPatient"),
        entry("PlaneOrientationSequence", "ImageOrientationPatient"),
        entry("PixelMeasuresSequence", "PixelSpacing"),
    )


def _plane(position: Any, orientation: Any, spacing: Any) -> Plane | None:
    if position is None or orientation is None or spacing is None:
        return None
    if (len(position), len(orientation), len(spacing)) != (3, 6, 2):
        return None
    where = np.array([float(v) for v in position])
    directions = np.array([float(v) for v in orientation]).reshape(2, 3)
    sizes = np.array([float(v) for v in spacing])  # between rows, between columns
    right = directions @ directions.T
    if not np.isfinite(where).all() or not (np.isfinite(sizes) & (sizes > 0)).all():
        return None
    if not np.allclose(right, np.eye(2), atol=_SAME_DIRECTION):
        return None
    return Plane(where, directions[0] * sizes[1], directions[1] * sizes[0])


def affine_of(planes: list[Plane], name: str) -> tuple[list[int], Array]:
    """The order of the planes along their normal, and the affine of the volume that they make.

    Raises
    ------
    ReadError
        When they are not parallel, not evenly spaced, or sheared (a tilted gantry).
    """
    first = planes[0]
    for plane in planes:
        here = np.stack([plane.along_columns, plane.along_rows])
        there = np.stack([first.along_columns, first.along_rows])
        if not np.allclose(here, there, atol=_SAME_DIRECTION * np.abs(there).max()):
            raise ReadError(
                f"cannot read {name}: its images are not parallel, or of different pixel sizes: "
                "they make no volume. Read them one by one."
            )
    places = np.array([plane.position for plane in planes])
    along = places @ first.normal
    order = [int(i) for i in np.argsort(along, kind="stable")]
    steps = np.diff(along[order])
    usual = float(np.median(steps))
    _check_steps(name, steps, usual)
    shift = places[order[-1]] - places[order[0]]
    step = shift / (len(planes) - 1)
    sideways = np.linalg.norm(step - first.normal * (step @ first.normal))
    if sideways > _TOLERANCE * usual:
        raise ReadError(
            f"cannot read {name}: each image lies {sideways:.2f} mm beside the one before (a "
            "tilted gantry). Resample it to a straight volume first."
        )
    expected = places[order[0]] + np.arange(len(planes))[:, None] * step
    if np.abs(places[order] - expected).max() > _TOLERANCE * usual * 2:
        raise ReadError(f"cannot read {name}: its images are shifted against each other.")
    return order, planes[order[0]].affine(step)


def _check_steps(name: str, steps: Array, usual: float) -> None:
    if steps.min() <= _TOLERANCE * max(usual, 0.0):
        raise ReadError(
            f"cannot read {name}: several of its images lie in the same place (times, echoes, or "
            "repetitions). Put those of one volume into a folder of their own."
        )
    odd = np.flatnonzero(np.abs(steps - usual) > _TOLERANCE * usual * 2)
    if len(odd):
        at = int(odd[0])
        raise ReadError(
            f"cannot read {name}: between images {at + 1} and {at + 2} of {len(steps) + 1} the "
            f"step is {steps[at]:.3f} mm, elsewhere {usual:.3f} mm: an image is missing."
        )
