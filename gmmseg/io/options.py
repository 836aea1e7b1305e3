"""What a user may say about how a file is to be read."""

from __future__ import annotations

from dataclasses import dataclass

from gmmseg._check import check_choice, check_integer
from gmmseg.image import AXES

__all__ = ["ReadOptions"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read an image file. The only place with the defaults of reading.

    Attributes
    ----------
    axes : {"YX", "YXC", "CYX", "ZYX", "ZYXC", "CZYX", "ZCYX"}, optional
        Meaning of the axes of a stack (Z planes, Y rows, X columns, C bands), where the file
        itself does not settle it.
    exif : bool
        Turn the image upright as its EXIF or TIFF orientation says.
    keep_alpha : bool
        Keep the alpha channel as the last band. Otherwise it is dropped, and pixels whose
        alpha is 0 are left out of the mask; partly transparent pixels are used.
    indexed : bool
        Read the indices of a palette image, not its colours.
    frame : int, optional
        The frame or page to read, from 0, of a file that holds several.
    nodata : float, optional
        This value means "not observed", band by band, besides the value that the file itself
        declares. Pixels that are nothing else are left out of the mask. NaN is allowed.
    max_pixels : int, optional
        Refuse a header that declares more pixels than this. None = as many as fit into half of
        the memory that is free, and at most 2**31.

    Raises
    ------
    InvalidParameterError
        When a value breaks its rule.

    Examples
    --------
    >>> ReadOptions(axes="ZYX").axes
    'ZYX'
    """

    axes: str | None = None
    exif: bool = True
    keep_alpha: bool = False
    indexed: bool = False
    frame: int | None = None
    nodata: float | None = None
    max_pixels: int | None = None

    def __post_init__(self) -> None:
        if self.axes is not None:
            check_choice(self.axes, "axes", AXES)
        if self.frame is not None:
            check_integer(self.frame, "frame", minimum=0)
        if self.max_pixels is not None:
            check_integer(self.max_pixels, "max_pixels", minimum=1)
