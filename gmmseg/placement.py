"""Where the voxels of an image lie in a patient or an atlas, and what its file is called after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gmmseg.errors import InvalidDataError

__all__ = ["Placement"]

_TOWARDS = (("L", "R"), ("P", "A"), ("I", "S"))

#: Affines of one grid as two programs write them differ by rounding to float32.
_SAME = 1e-3


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The place of a volume in space.

    Attributes
    ----------
    affine : tuple of 4 tuples of 4 floats
        From (column, row, plane, 1), each from 0, to (x, y, z, 1) in the image's unit, x towards
        the patient's right, y to the front, z upwards (RAS+, as NIfTI has it).
    header : bytes
        The NIfTI header that it was read from; outputs repeat it. Empty = from another format.
    files : tuple of Path
        The DICOM files that it was read from, in the order of the planes.

    Examples
    --------
    >>> Placement.of_affine(np.diag([-2.0, 2.0, 3.0, 1.0])).orientation
    'LAS'
    """

    affine: tuple[tuple[float, ...], ...]
    header: bytes = b""
    files: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        matrix = np.array(self.affine, np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise InvalidDataError(
                f"affine must be 4 x 4 and finite, got {self.affine}: the place of the volume is "
                "not known."
            )

    @classmethod
    def of_affine(
        cls, matrix: NDArray[np.floating], *, header: bytes = b"", files: tuple[Path, ...] = ()
    ) -> Placement:
        """The placement of a 4 x 4 array."""
        rows = np.asarray(matrix, np.float64).tolist()
        return cls(affine=tuple(map(tuple, rows)), header=header, files=files)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """`affine` as an array (4, 4)."""
        return np.array(self.affine, np.float64)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Size of a voxel along planes, rows and columns."""
        columns, rows, planes = np.linalg.norm(self.matrix[:3, :3], axis=0).tolist()
        return planes, rows, columns

    @property
    def axes(self) -> tuple[tuple[int, int], ...]:
        """For columns, rows and planes: the axis of space (0 x, 1 y, 2 z) that each is nearest to,
        all different, and 1 or -1 for its direction.
        """
        size = np.linalg.norm(self.matrix[:3, :3], axis=0)
        direction = self.matrix[:3, :3] / np.where(size > 0, size, 1)
        found: dict[int, tuple[int, int]] = {}
        left = np.abs(direction)
        for _ in range(3):
            axis, own = (int(i) for i in np.unravel_index(left.argmax(), (3, 3)))
            found[own] = axis, 1 if direction[axis, own] >= 0 else -1
            left[axis, :] = left[:, own] = -1
        return tuple(found[own] for own in range(3))

    @property
    def orientation(self) -> str:
        """Where columns, rows and planes lead to, such as "RAS" or "LPS", to the nearest axes."""
        return "".join(_TOWARDS[axis][sign > 0] for axis, sign in self.axes)

    def agrees_with(self, other: Placement) -> bool:
        """Whether the voxels of both lie in the same places, to a thousandth of a voxel."""
        scale = min(self.spacing) or 1.0
        return bool(np.allclose(self.matrix, other.matrix, rtol=0, atol=_SAME * scale))

    def __str__(self) -> str:
        rows = (" ".join(f"{value:g}" for value in row) for row in self.affine[:3])
        return f"[{'; '.join(rows)}]"
