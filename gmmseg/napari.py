"""The napari plugin: a reader, and a widget that labels image layers while options are turned.

The extra "napari"; `napari.yaml` tells napari what is here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import napari
import numpy as np
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSlider,
    Label,
    LineEdit,
    PushButton,
    Select,
    SpinBox,
)
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from napari.qt.threading import thread_worker
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer

from gmmseg.area import parse_area
from gmmseg.errors import GmmsegError, InvalidDataError
from gmmseg.image import Image
from gmmseg.io import read_image
from gmmseg.labels import palette
from gmmseg.options import SegmentOptions
from gmmseg.pipeline import segment
from gmmseg.presets import DEFAULT, PRESET_NAMES, options_for
from gmmseg.segmentation import Segmentation

__all__ = ["SegmentWidget", "get_reader", "image_of"]

#: Milliseconds after the last change before it is computed again.
_PATIENCE = 250

#: Pixels of the list of layers: a few names, and not the whole window.
_LIST_HEIGHT = 90

#: At first a picture is looked at, not measured: this many classes.
_CLASSES = 3


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[tuple[Any, ...]]] | None:
    """What napari asks of a reader: a function for this path, or None for several paths."""
    return _layers_of_file if isinstance(path, str | os.PathLike) else None


def _layers_of_file(path: str) -> list[tuple[Any, ...]]:
    """An image file as gmmseg reads it: one layer for a picture, else one for each band."""
    image = read_image(path)
    common = {"scale": image.spacing} if image.spacing else {}
    name = os.path.basename(path)  # noqa: PTH119 - a name, not a place
    if image.colour:
        return [(image.data[..., :3], {"name": name, "rgb": True, **common}, "image")]
    names = image.band_names or [str(band + 1) for band in range(image.n_bands)]
    return [
        (
            image.data[..., band],
            {
                "name": f"{name} {names[band]}" if image.n_bands > 1 else name,
                "blending": "additive" if image.n_bands > 1 else "translucent",
                **common,
            },
            "image",
        )
        for band in range(image.n_bands)
    ]


def image_of(layers: Sequence[ImageLayer]) -> Image:
    """The bands of an image from layers of the same shape.

    Parameters
    ----------
    layers : sequence of napari image layers
        Pictures in colour, planes, or volumes (planes, rows, cols); each grey one is a band.

    Raises
    ------
    InvalidDataError
        When there is no layer, the shapes differ, or there are more than three spatial axes.
    """
    if not layers:
        raise InvalidDataError("Choose at least one image layer.")
    first = layers[0]
    bands = []
    for layer in layers:
        data = np.asarray(layer.data[0] if layer.multiscale else layer.data)
        bands.append(data if layer.rgb else data[..., np.newaxis])
    shapes = {band.shape[:-1] for band in bands}
    if len(shapes) > 1:
        raise InvalidDataError(f"The layers must have the same shape, got {sorted(shapes)}.")
    if bands[0].ndim not in (3, 4):
        raise InvalidDataError(
            f"A layer must have 2 or 3 axes in space, got {bands[0].ndim - 1}. Take one time point."
        )
    values = bands[0] if len(bands) == 1 else np.concatenate(bands, axis=-1)
    axes = "YXC" if values.ndim == 3 else "ZYXC"
    spacing = [abs(float(size)) for size in first.scale]
    image = Image.from_array(values, axes=axes, spacing=spacing)
    return replace(image, colour=bool(first.rgb) and len(bands) == 1)


class SegmentWidget(Container):  # type: ignore[misc]
    """Options on one side, a labels layer that follows them on the other.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        napari gives it.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self.layers = Select(
            label="layers",
            choices=lambda _: [layer for layer in viewer.layers if type(layer) is ImageLayer],
            tooltip="image layers; several of the same shape are the bands of one image",
        )
        self.k = SpinBox(label="classes", value=_CLASSES, min=1, max=64)
        self.preset = ComboBox(label="preset", choices=PRESET_NAMES, value=DEFAULT)
        self.own_smoothing = CheckBox(label="own smoothing", value=False)
        self.beta = FloatSlider(label="smoothing", value=1.0, min=0.0, max=5.0, step=0.1)
        self.min_area = LineEdit(
            label="smallest region",
            value="",
            tooltip="pixels, or with a unit: 20, 0.5 %, 3 mm2; empty: as the preset has it",
        )
        self.live = CheckBox(label="live", value=False, tooltip="label again at every change")
        self.go = PushButton(label="Segment")
        self.soft = PushButton(label="Soft masks", enabled=False)
        self.summary = Label(value="")
        super().__init__(
            widgets=[
                self.layers, self.k, self.preset, self.own_smoothing, self.beta,
                self.min_area, self.live, self.go, self.soft, self.summary,
            ],
        )  # fmt: skip
        self.layers.native.setMaximumHeight(_LIST_HEIGHT)
        self.beta.enabled = False
        self.result: Segmentation | None = None
        self._source: ImageLayer | None = None
        self._running = self._again = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PATIENCE)
        self._timer.timeout.connect(self.segment)
        self.own_smoothing.changed.connect(self._free_smoothing)
        for option in (self.layers, self.k, self.preset, self.own_smoothing, self.beta):
            option.changed.connect(self._changed)
        self.min_area.changed.connect(self._changed)
        self.live.changed.connect(self._changed)
        self.go.changed.connect(self.segment)
        self.soft.changed.connect(self.add_soft_masks)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._follow_layers)
        self._follow_layers()

    def options(self, image: Image) -> SegmentOptions:
        """The options as they are set."""
        options = options_for(self.preset.value, image)
        if self.own_smoothing.value:
            smoothing = replace(options.smoothing, beta=float(self.beta.value))
            options = replace(options, smoothing=smoothing)
        if text := self.min_area.value.strip():
            found = parse_area(text, "smallest region")
            regions = replace(options.regions, min_area=text if found.unit else found.value)
            options = replace(options, regions=regions)
        return options

    def segment(self) -> None:
        """Label the layers in a thread; what is changed meanwhile is done after it."""
        if self._running:
            self._again = True
            return
        try:
            image = image_of(self.layers.value)
            options = self.options(image)
        except GmmsegError as error:
            self._show_error(error)
            return
        self._running, self._source = True, self.layers.value[0]
        self.go.text = "Segmenting ..."
        work = thread_worker(segment)(image, int(self.k.value), options)
        work.returned.connect(self._show)
        work.errored.connect(self._show_error)
        work.finished.connect(self._finished)
        work.start()

    def add_soft_masks(self) -> None:
        """The probability of each class as an image layer."""
        if self.result is None or self._source is None:
            return
        planes = np.moveaxis(self.result.probabilities, -1, 0)
        for label, plane in enumerate(planes, start=1):
            name = f"{self._source.name} probability {label}"
            self._put(ImageLayer, name, plane, contrast_limits=(0, 1), visible=False)

    def _show(self, result: Segmentation) -> None:
        self.result = result
        assert self._source is not None  # noqa: S101 - `segment` has set it
        colours = {None: "transparent", 0: "transparent"}
        for label, colour in enumerate(palette(result.k) / 255, start=1):
            colours[label] = (*colour, 1.0)  # type: ignore[assignment]
        name = f"{self._source.name} classes"
        layer = self._put(Labels, name, result.labels, opacity=0.5)
        layer.colormap = DirectLabelColormap(color_dict=colours)
        self.summary.value = "\n".join(f"{row.label}: {row.share:.1%}" for row in result.table)
        self.soft.enabled = True

    def _put(self, kind: Any, name: str, data: Any, **settings: Any) -> Any:
        """A new layer over the source, or new data for the one of that name."""
        assert self._source is not None  # noqa: S101 - only called with a result
        if name in self._viewer.layers and isinstance(self._viewer.layers[name], kind):
            self._viewer.layers[name].data = data
            return self._viewer.layers[name]
        source = self._source
        layer = kind(data, name=name, scale=source.scale, translate=source.translate, **settings)
        return self._viewer.add_layer(layer)

    def _finished(self) -> None:
        self._running = False
        self.go.text = "Segment"
        if self._again:
            self._again = False
            self.segment()

    def _changed(self) -> None:
        if self.live.value:
            self._timer.start()

    def _free_smoothing(self, free: bool) -> None:
        self.beta.enabled = free

    def _follow_layers(self) -> None:
        """Offer the image layers that there are; the first is chosen when none was."""
        self.layers.reset_choices()
        if not self.layers.value and self.layers.choices:
            self.layers.value = [self.layers.choices[0]]

    def _show_error(self, error: Exception) -> None:
        self.summary.value = str(error)
        show_error(str(error))
