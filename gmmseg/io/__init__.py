"""Files to images and back.

Cheap to import: OpenCV, Pillow and tifffile are loaded when a file needs them.
"""

from gmmseg.io.names import output_stem
from gmmseg.io.options import ReadOptions
from gmmseg.io.png_writer import write_png
from gmmseg.io.read import image_info, read_bytes, read_image

__all__ = [
    "ReadOptions",
    "image_info",
    "output_stem",
    "read_bytes",
    "read_image",
    "write_png",
]
