"""Pictures for a page: small, encoded, as data of the page itself."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmmseg.heatmap import heat_map
from gmmseg.image import Image
from gmmseg.overlay import display_rgb, overlay
from gmmseg.report.options import PictureBudget

__all__ = ["LAYERS", "data_of_png", "data_of_webp", "layers_of", "shrunk"]

#: What a viewer can show, from the first.
LAYERS = ("image", "overlay", "uncertainty")

_QUALITIES = (80, 66, 50, 35)
_SMALLEST = 64

#: The grey below classes whose image is not there.
_CANVAS = 225

Picture = NDArray[np.uint8]


def layers_of(
    image: Image | None,
    labels: NDArray[Any],
    entropy: NDArray[Any] | None,
    n_labels: int,
    side: int,
) -> dict[str, Picture]:
    """The layers of one image that can be made, RGB, all of one shape.

    Parameters
    ----------
    image : Image, optional
        Without it the classes are upon plain grey.
    labels : ndarray of int, of the image's shape
    entropy : ndarray of float, of the image's shape, optional
    n_labels : int
    side : int
        Longest side in pixels; small images stay as they are. Of a volume the middle plane.
    """
    layers: dict[str, Picture] = {}
    if image is not None:
        layers["image"] = shrunk(display_rgb(image), side)
    canvas = np.full((*_plane(labels).shape, 3), _CANVAS, np.uint8)
    shown = layers.get("image", shrunk(canvas, side))
    classes = _sampled(_plane(labels), shown.shape[:2])
    layers["overlay"] = overlay(shown, classes, n_labels=n_labels)
    if entropy is not None:
        plane = _plane(entropy)
        layers["uncertainty"] = shrunk(heat_map(plane, 0.0, 1.0), side)
    return layers


def _plane(values: NDArray[Any]) -> NDArray[Any]:
    return values if values.ndim == 2 else values[len(values) // 2]


def shrunk(rgb: Picture, side: int) -> Picture:
    """The picture with no side longer than `side`.

    Examples
    --------
    >>> shrunk(np.zeros((100, 300, 3), np.uint8), 30).shape
    (10, 30, 3)
    """
    rows, cols = rgb.shape[:2]
    scale = side / max(rows, cols)
    if scale >= 1:
        return rgb
    from PIL import Image as Pillow

    size = max(1, round(cols * scale)), max(1, round(rows * scale))
    picture = Pillow.fromarray(np.ascontiguousarray(rgb))
    return np.asarray(picture.resize(size, Pillow.Resampling.BOX, reducing_gap=None))


def _sampled(labels: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The label in the middle of every pixel of a smaller picture."""
    rows, cols = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, labels.shape, strict=True)
    )
    return np.ascontiguousarray(labels[np.ix_(rows, cols)])


def data_of_webp(rgb: Picture, budget: PictureBudget) -> str:
    """The picture as the address of an <img>: as good as its budget allows."""
    best = b""
    for quality in _QUALITIES:
        best = _encoded(rgb, quality)
        if len(best) <= budget.n_bytes:
            return _address("webp", best)
    if min(rgb.shape[:2]) > 2 * _SMALLEST:
        return data_of_webp(shrunk(rgb, max(rgb.shape[:2]) // 2), budget)
    return _address("webp", best)


def _encoded(rgb: Picture, quality: int) -> bytes:
    from PIL import Image as Pillow

    file = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(rgb)).save(file, "WEBP", quality=quality, method=3)
    return file.getvalue()


def data_of_png(rgba: Picture) -> str:
    """A small picture with alpha, without loss, as the address of an <img>."""
    from PIL import Image as Pillow

    file = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(rgba)).save(file, "PNG", optimize=True)
    return _address("png", file.getvalue())


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
