"""Guards that run on the header, before any pixel is decoded.

Every decoder believes a lying header and asks for the memory that it declares, so the sizes are
compared here with what the user allows, with the memory that is free, and with what a file of
that many bytes can hold at all.
"""

from __future__ import annotations

import os
from pathlib import Path

from gmmseg.errors import ReadError, TooManyPixelsError
from gmmseg.io.header import Header
from gmmseg.io.options import ReadOptions

__all__ = ["check_content", "check_pixels", "most_pixels"]

MOST_PIXELS = 2**31

#: What is assumed where the system does not tell.
_UNKNOWN_MEMORY = 8 * 2**30

#: One byte of the file becomes at most so many bytes of pixels. Deflate cannot do better than
#: 258 bytes in two bits; an LZW code of 12 bits stands for at most 4096 - 256 bytes, but the
#: table has to grow and is cleared, so the mean stays below half of that.
_EXPANSION = {"none": 1, "deflate": 1032, "lzw": 2048, "packbits": 64}


def check_pixels(name: str, header: Header, options: ReadOptions) -> None:
    """Refuse an image with more pixels than allowed."""
    limit = most_pixels(header, options)
    if header.pixels > limit:
        shape = " x ".join(str(n) for n in header.shape)
        raise TooManyPixelsError(
            f"{name} declares {shape} ({header.axes}) = {header.pixels} pixels, more than the "
            f"limit of {limit}. If that is meant, allow more with max_pixels= (--max-pixels)."
        )


def most_pixels(header: Header, options: ReadOptions) -> int:
    """The limit: what the user said, or what half of the free memory holds."""
    if options.max_pixels is not None:
        return options.max_pixels
    if not header.resident:
        return MOST_PIXELS
    per_pixel = max(1, header.nbytes // max(1, header.pixels))
    return min(MOST_PIXELS, free_memory() // 2 // per_pixel)


def check_content(name: str, needed: int, available: int, compression: str = "none") -> None:
    """Refuse a header that declares more bytes than `available` bytes can hold.

    A compression that the table does not know may expand without bound (a blank WebP of
    16383 x 16383 pixels takes some 100 bytes), so it is not held to any ratio.
    """
    most = _EXPANSION.get(compression)
    if most is not None and needed > available * most + 1024 * (most > 1):
        raise ReadError(
            f"cannot read {name}: its header declares {needed} bytes of pixels, but the file "
            f"holds only {available} bytes (compression: {compression}). It is cut short or "
            "its header is wrong."
        )


def free_memory() -> int:
    """Bytes that this process could still take."""
    known = [probe() for probe in (_meminfo, _cgroup, _address_space)]
    return min((n for n in known if n is not None), default=_UNKNOWN_MEMORY)


def _meminfo() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kib = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kib) * 1024
    except (OSError, StopIteration, ValueError):
        return _physical()


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None


def _cgroup() -> int | None:
    """What a container may still take; `memory.max` says "max" when it is not limited.

    Only anonymous memory counts as used: the files in the page cache give way.
    """
    folder = Path("/sys/fs/cgroup")
    try:
        most = int((folder / "memory.max").read_text(encoding="ascii"))
        counts = (folder / "memory.stat").read_text(encoding="ascii").split()
        used = int(counts[counts.index("anon") + 1])
    except (OSError, ValueError, IndexError):
        return None
    return max(0, most - used)


def _address_space() -> int | None:
    """The limit that `ulimit -v` sets."""
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit
