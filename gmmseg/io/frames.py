"""Files that hold several pictures: which one is read."""

from __future__ import annotations

from gmmseg.errors import ReadError
from gmmseg.io.options import ReadOptions
from gmmseg.io.remarks import Remarks

__all__ = ["check_frame", "chosen_frame"]


def check_frame(name: str, frame: int | None, n_frames: int) -> None:
    """The `frame` that is asked for must be one of `n_frames`."""
    if frame is not None and frame >= n_frames:
        raise ReadError(
            f"cannot read frame {frame} of {name}: it holds {n_frames}, counted from 0. "
            "Choose another with frame= (--frame)."
        )


def chosen_frame(name: str, n_frames: int, options: ReadOptions, remarks: Remarks) -> int:
    """The frame of an animation that is read: the one asked for, else the first."""
    if options.frame is not None:
        check_frame(name, options.frame, n_frames)
        return options.frame
    if n_frames > 1:
        remarks.warn(
            f"{name} holds {n_frames} frames; only the first is read. "
            "Choose another with frame= (--frame N)."
        )
    return 0
