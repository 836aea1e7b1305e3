"""Files to images and back.

Cheap to import: OpenCV, Pillow and tifffile are loaded when a file needs them, and what is for
tables when one of its names is first used.
"""

from typing import TYPE_CHECKING, Any

from gmmseg._files import printable, replacing, write_text
from gmmseg.io.names import output_stem
from gmmseg.io.nifti_writer import write_nifti
from gmmseg.io.npz_writer import write_npz
from gmmseg.io.options import ReadOptions
from gmmseg.io.png_writer import encode_png, write_png
from gmmseg.io.read import image_info, read_bytes, read_image
from gmmseg.io.tiff_writer import write_tiff

if TYPE_CHECKING:
    from gmmseg.io.tables import Table, TableOptions, is_table_name, read_table, write_table

__all__ = [
    "ReadOptions",
    "Table",
    "TableOptions",
    "encode_png",
    "image_info",
    "is_table_name",
    "output_stem",
    "printable",
    "read_bytes",
    "read_image",
    "read_table",
    "replacing",
    "write_nifti",
    "write_npz",
    "write_png",
    "write_table",
    "write_text",
    "write_tiff",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'gmmseg.io' has no attribute {name!r}")
    from gmmseg.io import tables

    return getattr(tables, name)
