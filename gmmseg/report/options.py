"""What a report looks like: options, and nothing that uses them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gmmseg._check import check_integer

__all__ = ["PictureBudget", "ReportOptions"]

#: base64 needs 4 characters for 3 bytes.
_BASE64 = 4 / 3

#: Bytes of the page that are no pictures: for each file, and for all.
_FACTS, _PAGE = 6_000, 200_000

#: An image, its overlay and its uncertainty.
_LAYERS = 3

#: Bytes that a pixel of a picture takes at a quality that looks good, about.
_BYTES_OF_A_PIXEL = 0.18

_SMALLEST_SIDE, _LARGEST_SIDE = 96, 1024


@dataclass(frozen=True)
class PictureBudget:
    """How large the pictures of one file may be.

    Attributes
    ----------
    side : int
        Longest side in pixels.
    n_bytes : int
        Of each picture, as a file.
    """

    side: int
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """How a report is made.

    Attributes
    ----------
    title : str, optional
        Heading of the page; the name of the folder or file when not given.
    side : int, optional
        Longest side of the pictures in pixels. None = 1024 for a few files and less for many.
    most_bytes : int
        Size of the page that pictures are made small for.
    """

    title: str | None = None
    side: int | None = None
    most_bytes: int = 56_000_000

    def __post_init__(self) -> None:
        if self.side is not None:
            check_integer(self.side, "side", minimum=16)
        check_integer(self.most_bytes, "most_bytes", minimum=1_000_000)

    def budget(self, n_files: int) -> PictureBudget:
        """What the pictures of each of so many files may take.

        Examples
        --------
        >>> [ReportOptions().budget(n).side for n in (1, 100, 1000, 5000)]
        [1024, 875, 262, 96]
        """
        room = (self.most_bytes - _PAGE) / max(1, n_files) - _FACTS
        n_bytes = max(1_000, int(room / _BASE64 / _LAYERS))
        side = int(math.sqrt(n_bytes / _BYTES_OF_A_PIXEL))
        side = min(max(side, _SMALLEST_SIDE), _LARGEST_SIDE)
        return PictureBudget(self.side or side, n_bytes)
