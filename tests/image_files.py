"""Small image files, good and bad, made when a test asks for them; nothing is stored."""

import functools
import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image

RNG = np.random.default_rng(20)


def random_values(shape, dtype):
    """Values over the whole range of an integer type, or around 0."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return RNG.normal(size=shape).astype(dtype)
    bounds = np.iinfo(dtype)
    return RNG.integers(bounds.min, bounds.max, shape, dtype=dtype, endpoint=True)


def exif_block(orientation):
    """The least EXIF that tells an orientation."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)


def chunk(name, content):
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def png(values, colour_type, bits=None, *, before=(), after=(), size=None):
    """A PNG by hand: (rows, cols[, samples]) of uint8 or uint16, with extra chunks."""
    rows, cols = values.shape[:2]
    bits = bits or 8 * values.dtype.itemsize
    packed = values.astype(values.dtype.newbyteorder(">")).reshape(rows, -1)
    if bits < 8:
        spread = np.unpackbits(values[..., np.newaxis].astype(np.uint8), axis=-1)[..., -bits:]
        packed = np.packbits(spread.reshape(rows, -1), axis=1)
    raw = b"".join(b"\0" + row.tobytes() for row in packed)
    width, height = size or (cols, rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *(chunk(*c) for c in before)]
    parts += [chunk(b"IDAT", zlib.compress(raw)), *(chunk(*c) for c in after), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def by_pillow(picture, file_format, **options):
    stream = io.BytesIO()
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def by_tifffile(values, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, **options)
    return stream.getvalue()


def npy(values):
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=True)
    return stream.getvalue()


def npy_with_header(header, content=b""):
    text = header.encode("latin1")
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def with_tiff_tag(content, code, value):
    """The little-endian classic TIFF with the value of a short or long tag replaced."""
    content = bytearray(content)
    at = struct.unpack_from("<I", content, 4)[0]
    for i in range(struct.unpack_from("<H", content, at)[0]):
        entry = at + 2 + 12 * i
        if struct.unpack_from("<H", content, entry)[0] == code:
            struct.pack_into("<HI", content, entry + 2, 4, 1)
            struct.pack_into("<I", content, entry + 8, value)
            return bytes(content)
    raise KeyError(code)


def with_bytes(content, at, replacement):
    return content[:at] + replacement + content[at + len(replacement) :]


GREY = random_values((9, 13), np.uint8)
RGB = random_values((9, 13, 3), np.uint8)


@functools.cache
def good_files():
    """Small valid files of every format, by name."""
    grey, rgb = Image.fromarray(GREY), Image.fromarray(RGB)
    return {
        "grey.png": png(GREY, 0),
        "rgb.png": png(RGB, 2),
        "deep.png": png(random_values((9, 13, 3), np.uint16), 2),
        "rgba.png": png(random_values((9, 13, 4), np.uint8) | np.uint8(1), 6),
        "palette.png": by_pillow(rgb.quantize(8), "PNG"),
        "exif.png": png(RGB, 2, before=[(b"eXIf", exif_block(6))]),
        "grey.jpg": by_pillow(grey, "JPEG"),
        "rgb.jpg": by_pillow(rgb, "JPEG"),
        "lossless.webp": by_pillow(rgb, "WEBP", lossless=True),
        "palette.gif": by_pillow(rgb.quantize(8), "GIF"),
        "rgb.bmp": by_pillow(rgb, "BMP"),
        "palette.bmp": by_pillow(rgb.quantize(8), "BMP"),
        "raw.pgm": b"P5\n13 9\n255\n" + GREY.tobytes(),
        "raw.ppm": b"P6\n13 9\n255\n" + RGB.tobytes(),
        "plain.pgm": b"P2 # made by hand\n2 2\n9\n1 2\n3 9\n",
        "bits.pbm": b"P4\n13 9\n" + np.packbits(GREY > 99, axis=1).tobytes(),
        "grey.tif": by_tifffile(GREY, metadata=None),
        "rgb.tif": by_tifffile(RGB, photometric="rgb", metadata=None),
        "deflate.tif": by_tifffile(RGB, photometric="rgb", compression="zlib", rowsperstrip=4),
        "bands.tif": by_tifffile(
            random_values((4, 9, 13), np.float32), photometric="minisblack", planarconfig="separate"
        ),
        "tiled.tif": by_tifffile(random_values((40, 40), np.uint16), tile=(16, 16), metadata=None),
        "imagej.tif": by_tifffile(
            random_values((3, 9, 13), np.uint16), imagej=True, metadata={"axes": "ZYX"}
        ),
        "grey.npy": npy(GREY),
        "float.npy": npy(random_values((9, 13, 3), np.float64)),
    }


def bad_files():
    """Files that lie, are cut short or are something else, by name."""
    good = good_files()
    cut = {f"cut_{name}": content[: len(content) * 2 // 3] for name, content in good.items()}
    heads = {f"head_{name}": content[:20] for name, content in good.items()}
    bmp, tif = good["rgb.bmp"], good["grey.tif"]
    tiled, deflate = good["tiled.tif"], good["deflate.tif"]
    lies = {
        "huge.png": png(GREY, 0, size=(100_000, 100_000)),
        "tall.png": png(GREY, 0, size=(13, 2**31 - 1)),
        "large.png": png(GREY, 0, size=(30_000, 30_000)),
        "deep_large.png": png(random_values((9, 13, 3), np.uint16), 2, size=(20_000, 20_000)),
        "lying.bmp": with_bytes(bmp, 18, struct.pack("<ii", 30_000, 30_000)),
        "huge.bmp": with_bytes(bmp, 18, struct.pack("<ii", 2**30, 2**30)),
        "wide.tif": with_tiff_tag(tif, 256, 2**31),
        "wide_tiled.tif": with_tiff_tag(tiled, 256, 2**20),
        "high_deflate.tif": with_tiff_tag(deflate, 257, 2**30),
        "large.tif": with_tiff_tag(with_tiff_tag(tif, 256, 30_000), 257, 30_000),
        "lying.pgm": b"P5\n30000 30000\n255\n" + b"x" * 100,
        "huge.ppm": b"P6\n9999999999 9999999999\n65535\n",
        "lying.npy": npy_with_header(
            "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}"
        ),
        "negative.npy": npy_with_header(
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 4)}"
        ),
        "objects.npy": npy(np.array([[None, 1], [2, 3]], dtype=object)),
        "complex.npy": npy(np.ones((3, 3), dtype=complex)),
        "code.npy": npy_with_header("__import__('os').abort()"),
        "nested.npy": npy_with_header("{'descr': " + "(" * 3000 + ")" * 3000 + "}"),
        "five_axes.npy": npy(np.zeros((2, 2, 2, 2, 2))),
        "bad_type.png": png(GREY, 5),
        "no_pixels.png": good["grey.png"][:33],
    }
    others = {
        "empty.png": b"",
        "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n",
        "document.png": b"%PDF-1.7\n",
        "archive.tif": b"PK\x03\x04" + b"\0" * 50,
        "text.png": b"not an image at all, but long enough to be looked at",
        "scan.nii": b"\0" * 344 + b"n+1\0",
        "scan.dcm": b"II*\0" + b"\0" * 124 + b"DICM" + b"\0" * 50,
        "scan.nii.gz": b"\x1f\x8b\x08\0" + b"\0" * 50,
    }
    return cut | heads | lies | others
