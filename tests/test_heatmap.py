"""The colour scale and its bar."""

import numpy as np
import pytest

from gmmseg._colour import SPACES
from gmmseg.errors import InvalidParameterError
from gmmseg.heatmap import heat_colours, heat_map, with_scale


def test_the_scale_is_inferno():
    matplotlib = pytest.importorskip("matplotlib")
    expected = matplotlib.colormaps["inferno"](np.arange(256))[:, :3] * 255
    assert np.abs(heat_colours() - expected).max() < 6


def test_equal_steps_look_equal():
    lab = np.empty((3, 256), np.float32)
    SPACES["lab"].fill(heat_colours(), lab)
    assert (np.diff(lab[0].astype(float)[::5]) > 0).all()  # ever lighter: readable in grey
    steps = np.linalg.norm(np.diff(lab[:, ::15], axis=1), axis=0)
    assert steps.max() < 5 * steps.min()


def test_values_become_colours():
    picture = heat_map([[-1.0, 0.0, 5.0, 10.0, np.inf, np.nan]], 0, 10)
    colours = heat_colours()
    expected = [colours[0], colours[0], colours[128], colours[255], colours[255], (128, 128, 128)]
    np.testing.assert_array_equal(picture[0], expected)


def test_the_picture_stands_above_its_scale():
    picture = heat_map(np.random.default_rng(0).random((120, 200)), 0, 1)
    framed = with_scale(picture, 0.5, 2.0, caption="score", mark=1.0)
    np.testing.assert_array_equal(framed[:120, :200], picture)
    bar = framed[120:]
    for end in heat_colours()[[0, 255]]:
        assert (bar == end).all(axis=-1).any()
    assert len(with_scale(picture, 0, 1, caption="score")) > len(with_scale(picture, 0, 1))
    unmarked = with_scale(picture, 0.5, 2.0, caption="score")
    assert (framed != unmarked).any()
    outside = with_scale(picture, 0.5, 2.0, caption="score", mark=3.0)
    np.testing.assert_array_equal(outside, unmarked)


def test_a_tiny_picture_has_a_readable_scale():
    framed = with_scale(np.zeros((1, 1, 3), np.uint8), 0, 1, caption="anomaly score")
    assert framed.shape[1] > 100


def test_volumes_are_refused():
    with pytest.raises(InvalidParameterError, match=r"^values must be \(rows, cols\), got shape"):
        heat_map(np.zeros((2, 3, 4)), 0, 1)
    with pytest.raises(InvalidParameterError, match=r"^high must be more than low"):
        heat_map(np.zeros((2, 3)), 1, 1)
