"""Figures: what is drawn is what the model says; files of every kind."""

import subprocess
import sys

import numpy as np
import pytest

import gmmseg
from gmmseg.errors import (
    InvalidDataError,
    InvalidParameterError,
    MissingDependencyError,
    OutputExistsError,
)
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.labels import palette
from gmmseg.mixture import Mixture
from gmmseg.model import Model

pytest.importorskip("matplotlib")

from gmmseg.plots.figure import caption, class_colours, ink, save_figure
from gmmseg.plots.histogram import component_densities, plot_histograms
from gmmseg.plots.history import plot_history
from gmmseg.plots.pixels import pixels_of, shown_range
from gmmseg.plots.scatter import COVERED, plot_scatter

RNG = np.random.default_rng(5)


def stripes(dtype=np.uint8, bands=3, rows=40):
    levels = np.repeat(np.array([30, 120, 220]), 20)
    values = levels[None, :, None] + RNG.normal(0, 6, (rows, 60, bands))
    return values.clip(0, 255).astype(dtype)


def raw_model(mixture, labels=None, **more):
    return Model(
        features=FeatureSpec(colour_space="raw"),
        feature_names=tuple(f"B{i + 1}" for i in range(mixture.n_features)),
        mixture=mixture,
        labels=labels or tuple(range(1, mixture.n_components + 1)),
        **more,
    )


@pytest.fixture(scope="module")
def image():
    return Image.from_array(stripes())


@pytest.fixture(scope="module")
def model(image):
    return gmmseg.fit([image], 3, "plain")


@pytest.fixture(scope="module")
def narrow():
    """A needle beside two wide classes; two components make up class 2."""
    mixture = Mixture(
        weights=[0.5, 0.2, 0.2, 0.1], means=[[0.0], [100.0], [140.0], [180.0]],
        covariances=[1e-4, 100.0, 100.0, 400.0], covariance_type="spherical",
    )  # fmt: skip
    return raw_model(mixture, (1, 2, 2, 3))


def drawn(figure):
    figure.canvas.draw()
    return figure


# --- histograms -------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [0.5, 4.0])
def test_densities_hold_the_weights_of_the_classes(narrow, width):
    x = np.arange(-300, 500, width)
    parts = component_densities(narrow, 0, x, width)
    np.testing.assert_allclose(parts.sum(axis=1) * width, [0.5, 0.4, 0.1], rtol=1e-12)


def test_densities_are_those_of_the_mixture(model):
    x = np.linspace(0, 100, 50)
    total = component_densities(model, 0, x, 1e-3).sum(axis=0)
    expected = np.exp(model.mixture.marginal([0]).log_density(x[:, None]))
    np.testing.assert_allclose(total, expected, rtol=1e-4, atol=1e-12)


def test_a_histogram_is_a_density(model, image):
    pixels = pixels_of(model, image)
    figure = drawn(plot_histograms(model, pixels))
    assert len(figure.axes) == 3
    for feature, axes in enumerate(figure.axes):
        (bars,) = axes.patches
        heights, edges, _ = bars.get_data()
        assert (heights * np.diff(edges)).sum() == pytest.approx(1, abs=0.01)
        assert axes.get_xlabel() == caption(model, feature)
        assert axes.get_xlim() == shown_range(model, pixels, feature)
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == [
        "pixels", "sum of the classes",
    ]  # fmt: skip


def test_the_curves_have_the_colours_of_the_overlay(model):
    (axes,) = plot_histograms(model, features=[0]).axes
    colours = [line.get_color() for line in axes.lines[: model.k]]
    expected = [ink(tuple(colour / 255)) for colour in palette(model.k)]
    np.testing.assert_allclose(colours, expected)
    assert class_colours([3, 1])[1] == tuple(palette(1)[0] / 255)


def test_whole_numbers_have_bars_of_whole_width():
    grey = Image.from_array(stripes(bands=1)[..., 0])
    model = gmmseg.fit([grey], 3, "plain")
    (axes,) = plot_histograms(model, pixels_of(model, grey)).axes
    _, edges, _ = axes.patches[0].get_data()
    assert np.ptp(np.diff(edges)) == 0
    assert edges[0] % 1 == 0.5
    assert np.diff(edges)[0] % 1 == 0


def test_a_needle_is_cut_and_marked(narrow):
    (axes,) = plot_histograms(narrow).axes
    parts = component_densities(narrow, 0, np.linspace(*axes.get_xlim(), 600), 1.0)
    assert axes.get_ylim()[1] < 0.2 * parts[0].max()
    assert axes.get_ylim()[1] > parts[1:].max()
    assert [line.get_marker() for line in axes.lines].count("^") == 1


def test_nothing_is_cut_where_classes_are_alike(model):
    for axes in plot_histograms(model).axes:
        assert all(line.get_marker() != "^" for line in axes.lines)


def test_many_features_take_rows_of_panels_and_end_at_twelve():
    mixture = Mixture(
        weights=[1.0], means=np.zeros((1, 14)), covariances=np.ones((1, 14)), covariance_type="diag"
    )
    figure = drawn(plot_histograms(raw_model(mixture)))
    assert len(figure.axes) == 12
    assert drawn(plot_histograms(raw_model(mixture), features=[3, 5, 7, 9])).axes[3].axison


def test_the_range_of_pixels_counts_them(model, image):
    pixels = pixels_of(model, image)
    values = np.repeat(pixels.features[:, 0], pixels.counts.astype(int))
    low, high = pixels.range_of(0)
    assert np.mean(values < low) <= 0.003
    assert np.mean(values > high) <= 0.003
    assert low < np.quantile(values, 0.01)


# --- scatter ----------------------------------------------------------------------------------


def test_ellipses_hold_their_share(model):
    X, components = model.mixture.sample(40_000)
    main = plot_scatter(model, features=(0, 2)).axes[0]
    ellipses = [patch for patch in main.patches if hasattr(patch, "angle")]
    assert len(ellipses) == 2 * model.k
    order = np.argsort(model.mixture.weights)
    for i, ellipse in enumerate(ellipses):
        rows = X[components == order[i // 2]][:, [0, 2]]
        turn = np.radians(ellipse.angle)
        x, y = (rows - ellipse.center).T
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        inside = (2 * along / ellipse.width) ** 2 + (2 * across / ellipse.height) ** 2 <= 1
        assert inside.mean() == pytest.approx(COVERED[i % 2], abs=0.015)


def test_cells_have_the_colour_of_their_class(model, image):
    figure = drawn(plot_scatter(model, pixels_of(model, image)))
    main = figure.axes[0]
    (picture,) = main.images
    values = picture.get_array()
    seen = values[values[..., 3] > 0][:, :3]
    distances = np.abs(seen[:, None] - np.array(class_colours([1, 2, 3]))).max(axis=-1)
    assert (distances.min(axis=1) < 1e-6).mean() > 0.99
    assert main.get_xlabel() == "L, lightness"
    assert main.get_ylabel() == "a, green to red"


def test_few_pixels_are_points():
    table = Image.from_array(RNG.normal(size=(20, 20, 2)))
    model = gmmseg.fit([table], 2)
    main = drawn(plot_scatter(model, pixels_of(model, table))).axes[0]
    assert len(main.collections[0].get_offsets()) == 400
    assert not main.images


def test_classes_of_several_components_and_without_weight():
    mixture = Mixture(
        weights=[0.0, 0.5, 0.5], means=[[0.0, 0.0], [3.0, 3.0], [9.0, 0.0]],
        covariances=[1.0, 1.0, 1.0], covariance_type="spherical",
    )  # fmt: skip
    figure = drawn(plot_scatter(raw_model(mixture, (1, 2, 2))))
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2", "2"]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["class 1: 0.0 %", "class 2: 100.0 %"]


def test_a_long_legend_ends():
    k = 40
    mixture = Mixture(
        weights=np.full(k, 1 / k), means=np.arange(2 * k).reshape(k, 2) * 1.0,
        covariances=np.ones(k), covariance_type="spherical",
    )  # fmt: skip
    texts = drawn(plot_scatter(raw_model(mixture))).legends[0].get_texts()
    assert texts[-1].get_text() == "and 24 more"


@pytest.mark.parametrize("features", [(0, 0), (0, 3), (0,), (0, 1, 2)])
def test_scatter_needs_two_features(model, features):
    with pytest.raises(InvalidParameterError, match="features must be two different ones of the 3"):
        plot_scatter(model, features=features)


# --- history ----------------------------------------------------------------------------------


def test_the_history_is_that_of_the_fit(model):
    history = model.provenance["history"]
    assert history[-1] == pytest.approx(model.provenance["fit"]["mean_log_likelihood"], rel=1e-14)
    whole, distance = drawn(plot_history(model)).axes
    np.testing.assert_array_equal(whole.lines[0].get_ydata(), history)
    assert (np.asarray(distance.lines[0].get_ydata()) > 0).all()
    assert "converged" in whole.figure.get_suptitle()


@pytest.mark.parametrize("history", [None, [], [1.0], ["a", "b"], {"a": 1}, [1.0, True]])
def test_a_model_without_history_is_refused(narrow, history):
    told = raw_model(narrow.mixture, narrow.labels, provenance={"history": history})
    with pytest.raises(
        InvalidDataError, match=r"^the model does not tell the history of its fit\."
    ):
        plot_history(told)


def test_any_provenance_is_drawn(narrow):
    for fit in (None, [], {"converged": "maybe"}, {"converged": False}):
        told = raw_model(
            narrow.mixture, narrow.labels, provenance={"history": [-3.0, -2.5, -2.5], "fit": fit}
        )
        assert "3 classes: 2 accepted steps to -2.5" in plot_history(told).get_suptitle()


# --- names and files --------------------------------------------------------------------------


def test_names_are_no_formulas_and_steer_nothing(narrow):
    odd = Model(
        features=narrow.features, feature_names=("$\\frac{a$ \x1b[2J",),
        mixture=narrow.mixture, labels=narrow.labels,
    )  # fmt: skip
    figure = drawn(plot_histograms(odd))
    assert "\x1b" not in figure.axes[0].get_xlabel()


@pytest.mark.parametrize(
    ("ending", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")]
)
def test_files(model, tmp_path, ending, magic):
    path = tmp_path / f"figure{ending}"
    save_figure(plot_history(model), path)
    assert path.read_bytes().startswith(magic)
    with pytest.raises(OutputExistsError, match="exists already"):
        save_figure(plot_history(model), path)
    save_figure(plot_history(model), path, overwrite=True)
    with pytest.raises(InvalidParameterError, match=r"^a figure must end in .png, .svg, .pdf, got"):
        save_figure(plot_history(model), tmp_path / "figure.jpg")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_matplotlib_is_optional(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gmmseg\[plot\]'"):
        plot_history(model)


def test_nothing_global_is_loaded():
    code = (
        "import sys, gmmseg.plots.figure, gmmseg.plots.scatter, gmmseg.plots.histogram\n"
        "import gmmseg.cli.plot\n"
        "print([m for m in sys.modules if m.startswith('matplotlib')])\n"
        "gmmseg.plots.figure.new_figure(3, 3).savefig(open('/dev/null', 'wb'), format='png')\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["[]", "False"]
