"""The choice of the number of components: criteria, table, sweep, plot."""

import json
import warnings

import naive
import numpy as np
import pytest

import gmmseg
from gmmseg.errors import GmmsegWarning, InvalidParameterError
from gmmseg.mixture import EMOptions, fit_mixture
from gmmseg.mixture.selection import SELECT_BY, SelectOptions, select_rows


def three(n=600, seed=0):
    rng = np.random.default_rng(seed)
    return np.array([[0, 0], [7, 0], [0, 9]])[rng.integers(0, 3, n)] + rng.normal(size=(n, 2))


def blobs(seed=0, shape=(90, 120)):
    """An image of three classes in patches, with white noise."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, (shape[0] // 10, shape[1] // 10)).repeat(10, 0).repeat(10, 1)
    return np.array([20.0, 90.0, 200.0])[classes] + rng.normal(0, 8, shape)


@pytest.fixture(scope="module")
def selection():
    options = SelectOptions(k_range=range(1, 6), covariance_types=["full", "tied", "spherical"])
    w = np.random.default_rng(1).integers(1, 4, 600)
    return three(), w, select_rows(three(), EMOptions(), options, sample_weight=w, n_effective=50.0)


def test_rows_of_the_table(selection):
    found = selection[2]
    assert [(row.covariance_type, row.k) for row in found.candidates] == [
        (kind, k) for kind in ("full", "tied", "spherical") for k in range(1, 6)
    ]
    assert found.n == selection[1].sum()
    assert all(row.converged for row in found.candidates)


def test_criteria_by_their_definitions(selection):
    X, w, found = selection
    n = float(w.sum())
    for row in found.candidates:
        mixture = row.fit.mixture
        parameters = mixture.weights, mixture.means, mixture.covariances, row.covariance_type
        p = naive.n_parameters(row.covariance_type, row.k, 2)
        total = naive.log_likelihood(X, *parameters, w)
        certainty = w @ np.log(naive.posterior(X, *parameters).max(axis=1))
        assert row.n_parameters == p
        assert row.log_likelihood == pytest.approx(total, rel=1e-10)
        assert row.bic == pytest.approx(naive.bic(total, p, n), rel=1e-10)
        assert row.aic == pytest.approx(naive.aic(total, p), rel=1e-10)
        assert row.icl == pytest.approx(naive.bic(total, p, n) - 2 * certainty, rel=1e-10)
        assert row.bic_effective == pytest.approx(-2 * total / n * 50 + p * np.log(50), rel=1e-10)
        assert row.bic == pytest.approx(mixture.bic(X, w), rel=1e-10)
        assert row.icl == pytest.approx(mixture.icl(X, w), rel=1e-10)


def test_each_row_is_the_fit_of_its_own(selection):
    X, w, found = selection
    for row in found.candidates:
        alone = fit_mixture(X, row.k, covariance_type=row.covariance_type, sample_weight=w)
        assert alone.log_likelihood == row.log_likelihood
        assert (alone.mixture.means == row.fit.mixture.means).all()


def test_several_starts_share_their_clusters_and_stay_the_same():
    X, options = three(), EMOptions(n_init=3, rng=5)
    types = ("full", "diag")
    found = select_rows(X, options, SelectOptions(k_range=[4], covariance_types=types))
    for row in found.candidates:
        alone = fit_mixture(X, 4, covariance_type=row.covariance_type, n_init=3, rng=5)
        assert alone.log_likelihood == row.log_likelihood


def test_the_best(selection):
    found = selection[2]
    assert found.best("bic").k == found.best("icl").k == 3
    assert found.best() is found.best("bic_effective")
    for name in SELECT_BY:
        lowest = min(getattr(row, name) for row in found.candidates)
        assert getattr(found.best(name), name) == lowest


def test_of_equal_ones_the_smallest():
    found = select_rows(three(), EMOptions(), SelectOptions(k_range=[1, 2]), n_effective=1.0)
    rows = found.candidates
    same = gmmseg.Selection(candidates=(rows[1], rows[0]), n=2.0, n_effective=1.0)
    assert same.best("aic").k == 2
    equal = tuple(_with(row, aic=0.0) for row in (rows[1], rows[0]))
    assert gmmseg.Selection(candidates=equal, n=2.0, n_effective=1.0).best("aic").k == 1


def _with(row, **changes):
    from dataclasses import replace

    return replace(row, **changes)


def test_as_values_and_as_text(selection):
    found = selection[2]
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert values["best"]["bic"] == {"k": 3, "covariance_type": found.best("bic").covariance_type}
    assert set(values["candidates"][0]) == {
        "k", "covariance_type", "log_likelihood", "n_parameters", "bic", "aic", "icl",
        "bic_effective", "converged",
    }  # fmt: skip
    lines = str(found).splitlines()
    assert lines[0].split() == ["k", "covariance", "log-likelihood", "parameters", *SELECT_BY]
    assert len(lines) == 16
    assert sum(line.count("*") for line in lines) == len(SELECT_BY)


def test_not_converged_is_said():
    options = EMOptions(max_iter=1, tol=0.0)
    found = select_rows(three(), options, SelectOptions(k_range=[4]))
    assert not found.candidates[0].converged
    assert "(not converged)" in str(found)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"k_range": ()}, r"k_range must be a sequence of one or more, got \(\)"),
        ({"k_range": 3}, "k_range must be a sequence of one or more, got 3"),
        ({"k_range": "1-3"}, "k_range must be a sequence of one or more, got '1-3'"),
        ({"k_range": (0, 1)}, "k_range must be at least 1, got 0"),
        ({"k_range": (1.5,)}, "k_range must be a whole number, got 1.5"),
        ({"covariance_types": ()}, "covariance_types must be a sequence of one or more"),
        ({"covariance_types": ("full", "oval")}, "covariance_types must be one of .*got 'oval'"),
        ({"by": "taste"}, "by must be one of 'bic_effective', 'icl', 'bic', 'aic', got 'taste'"),
    ],
)
def test_options(changes, match):
    with pytest.raises(InvalidParameterError, match=match):
        SelectOptions(**changes)


def test_best_by_what_is_no_criterion(selection):
    with pytest.raises(InvalidParameterError, match=r"by must be one of .*got 'beauty'"):
        selection[2].best("beauty")


def test_fewer_than_one_independent_row():
    with pytest.raises(InvalidParameterError, match=r"n_effective must be at least 1, got 0\.5"):
        select_rows(three(), n_effective=0.5)


# Images


def test_white_noise_around_patches_gives_their_number():
    found = gmmseg.select_k(blobs(), range(1, 7))
    assert found.best().k == 3
    assert found.n == 90 * 120
    assert 30 < found.n_effective < 1000  # there are 108 patches


def test_more_of_the_same_pixels_do_not_buy_classes():
    image = blobs()
    finer = image.repeat(3, 0).repeat(3, 1)
    coarse, fine = (gmmseg.select_k(picture, range(1, 5)) for picture in (image, finer))
    assert fine.n == 9 * coarse.n
    assert fine.n_effective == pytest.approx(coarse.n_effective, rel=0.2)
    assert fine.best().k == coarse.best().k == 3


def test_a_mask_and_several_bands():
    image = np.stack([blobs(), blobs(1)], axis=-1)
    image[:30] = 1e6
    mask = np.ones((90, 120), bool)
    mask[:30] = False
    found = gmmseg.select_k(image, [1, 2], mask=mask)
    alone = gmmseg.select_k(image[30:], [1, 2])
    assert found.n == 60 * 120
    # other lines are looked at: the image has more of them
    assert found.n_effective == pytest.approx(alone.n_effective, rel=0.1)
    assert found.candidates[1].log_likelihood == alone.candidates[1].log_likelihood


def test_auto_is_the_best_of_the_selection():
    image = blobs()
    options = gmmseg.SegmentOptions(selection=SelectOptions(k_range=range(1, 5)))
    seg = gmmseg.segment(image, "auto", options)
    found = gmmseg.select_k(image, options=options)
    assert seg.k == found.best().k == 3
    assert seg.model.provenance["selection"] == found.to_dict()
    assert (seg.labels == gmmseg.segment(image, 3).labels).all()
    assert len(seg.table) == 3


def test_auto_for_several_images():
    images = [blobs(0), blobs(1, (50, 60))]
    options = gmmseg.SegmentOptions(selection=SelectOptions(k_range=range(1, 5)))
    model = gmmseg.fit(images, "auto", options)
    assert model.k == 3
    each = [gmmseg.select_k(image, [1]).n_effective for image in images]
    assert model.provenance["selection"]["n_effective"] == pytest.approx(sum(each))
    assert gmmseg.Model.from_dict(json.loads(model.to_json())).k == 3


def test_a_constant_image_is_one_class():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GmmsegWarning)
        assert gmmseg.select_k(np.full((20, 30), 7, np.uint8), range(1, 4)).best().k == 1


def test_what_k_may_be():
    with pytest.raises(InvalidParameterError, match="k must be a whole number, got 'many'"):
        gmmseg.segment(blobs(), "many")
    with pytest.raises(InvalidParameterError, match="k must be at most 65535, got 70000"):
        gmmseg.select_k(blobs(), [2, 70000])


# The plot


def test_the_plot_shows_every_curve(selection):
    pytest.importorskip("matplotlib")
    from gmmseg.plots.selection import plot_selection

    figure = plot_selection(selection[2])
    assert len(figure.axes) == len(SELECT_BY)
    for axes, name in zip(figure.axes, SELECT_BY, strict=True):
        curves, ring = axes.lines[:-1], axes.lines[-1]
        assert [line.get_label() for line in curves] == ["full", "tied", "spherical"]
        assert list(curves[0].get_xdata()) == [1, 2, 3, 4, 5]
        values = [getattr(row, name) for row in selection[2].candidates]
        assert [y for line in curves for y in line.get_ydata()] == values
        assert list(ring.get_ydata()) == [min(values)]


@pytest.mark.parametrize(("ending", "begin"), [(".png", b"\x89PNG"), (".PDF", b"%PDF")])
def test_the_plot_as_a_file(selection, tmp_path, ending, begin):
    pytest.importorskip("matplotlib")
    from gmmseg.plots.figure import save_figure
    from gmmseg.plots.selection import plot_selection

    path = tmp_path / f"plot{ending}"
    save_figure(plot_selection(selection[2]), path)
    assert path.read_bytes().startswith(begin)
