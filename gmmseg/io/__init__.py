"""Files to images and back.

Cheap to import: OpenCV, Pillow and tifffile are loaded when a file needs them.
"""

from gmmseg._files import printable, replacing, write_text
from gmmseg.io.names import output_stem
from gmmseg.io.npz_writer import write_npz
from gmmseg.io.options import ReadOptions
from gmmseg.io.png_writer import encode_png, write_png
from gmmseg.io.read import image_info, read_bytes, read_image
from gmmseg.io.tiff_writer import write_tiff

__all__ = [
    "ReadOptions",
    "encode_png",
    "image_info",
    "output_stem",
    "printable",
    "read_bytes",
    "read_image",
    "replacing",
    "write_npz",
    "write_png",
    "write_text",
    "write_tiff",
]
