"""NPZ, atomically."""

from __future__ import annotations

import os
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from gmmseg._files import replacing
from gmmseg.errors import InvalidDataError
from gmmseg.io.streamed import Streamed

__all__ = ["write_npz"]

#: Level 1 of deflate: on probabilities twice as fast as NumPy's 6, and no larger.
_LEVEL = 1
_SLAB_BYTES = 1 << 24
#: The oldest date of a zip archive, so that the same arrays give the same bytes.
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def write_npz(
    path: str | os.PathLike[str], *, overwrite: bool = False, **arrays: NDArray[Any] | Streamed
) -> None:
    """Write arrays to a compressed NPZ file, which `numpy.load` reads.

    Parameters
    ----------
    path : str or path
        The file; unlike `numpy.savez` nothing is appended to its name.
    overwrite : bool
        Replace a file that exists.
    **arrays : ndarray or Streamed
        Of any shape and plain type, by name.

    Raises
    ------
    InvalidDataError
        When an array holds Python objects, which only pickle could store.
    OutputExistsError
        When the file exists and `overwrite` is False.
    WriteError
        When it cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "soft.npz")
    ...     write_npz(path, probabilities=np.ones((2, 3), dtype=np.float32))
    ...     with np.load(path) as stored:
    ...         print(stored["probabilities"].sum())
    6.0
    """
    for name, array in arrays.items():
        dtype = array.dtype if isinstance(array, Streamed) else np.asarray(array).dtype
        if dtype.hasobject:
            raise InvalidDataError(
                f"{name} holds Python objects; only numbers and text are stored."
            )
    import zipfile  # 3 ms

    with (
        replacing(path, overwrite=overwrite) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive,
    ):
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", _NO_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as stream:
                if isinstance(array, Streamed):
                    _write_slabs(stream, array)
                else:
                    npy_format.write_array(stream, np.asarray(array), allow_pickle=False)


def _write_slabs(stream: IO[bytes], array: Streamed) -> None:
    header = {
        "descr": npy_format.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": array.shape,
    }
    npy_format.write_array_header_1_0(stream, header)
    for slab in array.make(array.step_of(_SLAB_BYTES), None):
        stream.write(slab.tobytes())
