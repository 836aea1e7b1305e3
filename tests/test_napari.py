"""The napari plugin, with Qt drawing nowhere. Skipped where napari is not installed."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

import gmmseg
from gmmseg.errors import InvalidDataError
from gmmseg.io import write_png, write_tiff

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # napari's own while it is imported
    napari = pytest.importorskip("napari")
    plugin = pytest.importorskip("gmmseg.napari")
SegmentWidget, get_reader, image_of = plugin.SegmentWidget, plugin.get_reader, plugin.image_of
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


def picture(*shape):
    rng = np.random.default_rng(0)
    values = np.zeros(shape, np.uint8)
    values[: shape[0] // 2] = 90
    values[shape[0] // 2 :, shape[1] // 2 :] = 200
    return values + rng.integers(0, 20, shape, dtype=np.uint8)


@pytest.fixture
def viewer(qapp):
    viewer = napari.viewer.ViewerModel()
    yield viewer
    viewer.layers.clear()


def test_the_manifest_is_found_and_valid():
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(Path(gmmseg.__file__).parent / "napari.yaml")
    manifest.validate_imports()
    assert {reader.command for reader in manifest.contributions.readers} == {"gmmseg.get_reader"}


def test_the_reader_gives_a_picture_or_bands(tmp_path):
    write_png(tmp_path / "a.png", picture(20, 30, 3))
    write_tiff(tmp_path / "b.tif", picture(20, 30, 5), axes="YXC")
    ((data, about, kind),) = get_reader(str(tmp_path / "a.png"))(str(tmp_path / "a.png"))
    assert (data.shape, about["rgb"], kind) == ((20, 30, 3), True, "image")
    layers = get_reader(str(tmp_path / "b.tif"))(str(tmp_path / "b.tif"))
    assert [layer[0].shape for layer in layers] == [(20, 30)] * 5
    assert get_reader(["a.png", "b.png"]) is None


def test_layers_become_an_image(viewer):
    grey = viewer.add_image(picture(20, 30), scale=(0.5, 0.5))
    more = viewer.add_image(picture(20, 30))
    colour = viewer.add_image(picture(20, 30, 3), rgb=True)
    volume = viewer.add_image(picture(6, 20, 30))
    assert image_of([grey]).spacing == (0.5, 0.5)
    assert image_of([grey, more]).n_bands == 2
    assert image_of([colour]).colour
    assert image_of([volume]).ndim == 3
    with pytest.raises(InvalidDataError, match="must have the same shape"):
        image_of([grey, volume])
    with pytest.raises(InvalidDataError, match="at least one image layer"):
        image_of([])
    with pytest.raises(InvalidDataError, match="2 or 3 axes in space, got 4"):
        image_of([viewer.add_image(np.zeros((2, 3, 4, 5), np.uint8))])


def test_the_widget_labels_the_layer_and_follows_changes(viewer, qtbot):
    viewer.add_image(picture(40, 60), name="cells")
    widget = SegmentWidget(viewer)
    widget.go.changed.emit(True)
    qtbot.waitUntil(lambda: "cells classes" in viewer.layers, timeout=60_000)
    labels = viewer.layers["cells classes"]
    assert set(np.unique(labels.data)) == {1, 2, 3}
    assert widget.summary.value.startswith("1: ")
    widget.live.value = True
    widget.k.value = 2
    qtbot.waitUntil(lambda: labels.data.max() == 2, timeout=60_000)
    widget.own_smoothing.value = True
    assert widget.beta.enabled
    qtbot.waitUntil(lambda: not widget._running and not widget._timer.isActive(), timeout=60_000)
    widget.add_soft_masks()
    assert viewer.layers["cells probability 2"].data.dtype == np.float32
    assert sum(type(layer) is napari.layers.Labels for layer in viewer.layers) == 1


def test_errors_are_shown_and_not_raised(viewer, qtbot):
    widget = SegmentWidget(viewer)
    widget.segment()
    assert widget.summary.value == "Choose at least one image layer."
    viewer.add_image(picture(10, 10))
    widget.min_area.value = "much"
    widget.segment()
    assert "much" in widget.summary.value
    assert not widget._running
