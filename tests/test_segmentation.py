"""What a segmentation tells, against NumPy on its label map."""

import json

import naive
import numpy as np
import pytest

import gmmseg
from gmmseg import FeatureSpec, SegmentOptions
from gmmseg.errors import InvalidParameterError
from gmmseg.image import Image
from gmmseg.model import Model
from gmmseg.segmentation import Segmentation

RGB = ("red", "green", "blue")


def picture(shape=(30, 40), bands=3, dtype=np.uint8):
    rng = np.random.default_rng(3)
    centres = np.linspace(40, 210, 3)[rng.integers(0, 3, shape)]
    values = centres[..., np.newaxis] + rng.normal(0, 18, (*shape, bands))
    return np.clip(values, 0, 255).astype(dtype)


def half(shape):
    mask = np.ones(shape, bool)
    mask[..., : shape[-1] // 2] = False
    mask[..., 0, 0] = True
    return mask


IMAGES = {
    "photo": Image.from_array(picture()),
    "masked photo": Image.from_array(picture(), mask=half((30, 40)), spacing=(0.5, 2), unit="mm"),
    "grey": Image.from_array(picture(bands=1), spacing=3),
    "floats": Image.from_array(picture(dtype=np.float32), mask=half((30, 40))),
    "bands": Image.from_array(picture(bands=6, dtype=np.uint16), axes="YXC"),
    "volume": Image.from_array(picture((6, 10, 20), 1), mask=half((6, 10, 20)), spacing=(2, 1, 1)),
}


@pytest.fixture(scope="module", params=IMAGES)
def seg(request):
    return gmmseg.segment(IMAGES[request.param], 3, "plain")


def used(seg):
    mask = seg.image.mask
    return np.ones(seg.image.shape, bool) if mask is None else mask


def test_labels(seg):
    assert seg.labels.shape == seg.image.shape
    assert seg.labels.dtype == np.uint8
    np.testing.assert_array_equal(seg.labels == 0, ~used(seg))
    assert set(np.unique(seg.labels)) >= {1, 2, 3}
    assert seg.k == 3
    assert seg.mixture is seg.model.mixture


def test_probabilities(seg):
    p = seg.probabilities
    assert p.shape == (*seg.image.shape, 3)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p[used(seg)].sum(axis=-1), 1, atol=1e-5)
    assert not p[~used(seg)].any()
    best = np.sort(p[used(seg)], axis=-1)
    clear = best[:, -1] - best[:, -2] > 1e-4
    np.testing.assert_array_equal(
        p[used(seg)].argmax(axis=-1)[clear] + 1, seg.labels[used(seg)][clear]
    )


def test_probabilities_of_one_class(seg):
    for label in (1, 2, 3):
        one = seg.probability(label)
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, seg.probabilities[..., label - 1])


def test_probabilities_are_the_posterior_of_the_model():
    seg = gmmseg.segment(picture(bands=2, dtype=np.float64), 3, "plain")
    mixture = seg.mixture
    expected = naive.posterior(
        seg.image.data.reshape(-1, 2), mixture.weights, mixture.means, mixture.covariances, "full"
    )
    np.testing.assert_allclose(seg.probabilities.reshape(-1, 3), expected, atol=1e-6)


def test_uncertainty(seg):
    p = seg.probabilities[used(seg)].astype(np.float64)
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    expected = -(p * logs).sum(axis=-1) / np.log(3)
    for values in (seg.entropy, seg.novelty):
        assert values.shape == seg.image.shape
        assert values.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(values), ~used(seg))
        assert np.nanmin(values) >= 0
        assert np.nanmax(values) <= 1
    np.testing.assert_allclose(seg.entropy[used(seg)], expected, atol=1e-5)


def test_table(seg):
    chosen = seg.image.data[used(seg)].astype(np.float64)
    labels = seg.labels[used(seg)]
    assert [row.label for row in seg.table] == [1, 2, 3]
    for row in seg.table:
        pixels = chosen[labels == row.label]
        assert row.pixels == len(pixels)
        assert row.share == pytest.approx(len(pixels) / len(chosen))
        np.testing.assert_allclose(row.mean, pixels.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(row.std, pixels.std(axis=0), rtol=1e-9)
        if seg.image.spacing is None:
            assert row.area is None
        else:
            assert row.area == pytest.approx(len(pixels) * np.prod(seg.image.spacing))
    assert len(seg.band_names) == len(seg.table[0].mean)


def test_mask(seg):
    for label in (1, 2, 3):
        mask = seg.mask(label)
        assert mask.dtype == np.uint8
        assert mask.flags.c_contiguous
        np.testing.assert_array_equal(mask, np.where(seg.labels == label, 255, 0))


def test_overlay(seg):
    rows, cols = seg.image.shape[-2:]
    plain, legend = seg.overlay(), seg.overlay(legend=True)
    assert plain.dtype == legend.dtype == np.uint8
    assert plain.shape == (rows, cols, 3)
    assert legend.shape[0] > rows
    assert legend.shape[1] >= cols
    assert legend.shape[2] == 3


def test_summary_is_json(seg):
    found = json.loads(json.dumps(seg.to_dict(), allow_nan=False))
    assert found == seg.to_dict()
    assert found["shape"] == list(seg.image.shape)
    assert found["pixels_used"] == np.count_nonzero(seg.labels)
    assert found["pixels_not_used"] == np.count_nonzero(seg.labels == 0)
    assert found["bands"] == list(seg.band_names)
    assert [entry["pixels"] for entry in found["classes"]] == [row.pixels for row in seg.table]
    assert (found["k"], found["input"], found["warnings"]) == (3, None, [])
    assert found["fit"]["n_pixels"] == found["pixels_used"]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (0, "label must be at least 1, got 0."),
        (4, "label must be at most k = 3, got 4."),
        (1.0, "label must be a whole number, got 1.0."),
        (True, "label must be a whole number, got True."),
    ],
)
def test_labels_out_of_range(seg, label, message):
    for ask in (seg.mask, seg.probability):
        with pytest.raises(InvalidParameterError) as caught:
            ask(label)
        assert str(caught.value) == message


def test_large_maps_are_made_once(seg):
    for name in ("labels", "probabilities", "entropy", "novelty", "table"):
        assert getattr(seg, name) is getattr(seg, name)


@pytest.mark.parametrize(
    ("image", "options", "names"),
    [
        (IMAGES["photo"], {}, ("red", "green", "blue")),
        (IMAGES["photo"], {"colour_space": "raw", "bands": (3, 1)}, ("blue", "red")),
        (IMAGES["grey"], {}, ("grey",)),
        (IMAGES["bands"], {"bands": (5, 2)}, ("band 5", "band 2")),
        (Image(data=picture(bands=4), colour=True), {}, ("red", "green", "blue", "band 4")),
        (Image(data=picture(bands=4), colour=True), {"colour_space": "hsv"}, RGB),
        (Image(data=picture(bands=2), band_names=("nir", "swir")), {}, ("nir", "swir")),
    ],
)  # fmt: skip
def test_band_names(image, options, names):
    seg = gmmseg.segment(image, 2, SegmentOptions(features=FeatureSpec(**options)))
    assert seg.band_names == names
    assert len(seg.table[0].mean) == len(names)


def test_the_table_is_of_the_chosen_bands():
    image = IMAGES["bands"]
    seg = gmmseg.segment(image, 2, SegmentOptions(features=FeatureSpec(bands=(5, 2))))
    dark = image.data[seg.labels == 1]
    np.testing.assert_allclose(seg.table[0].mean, dark[:, [4, 1]].mean(axis=0))


def test_classes_of_several_components():
    plain = gmmseg.segment(picture(), 3, "plain")
    values = plain.model.to_dict() | {"labels": [2, 1, 2]}
    seg = gmmseg.apply(Model.from_dict(values), picture())
    assert seg.k == 2
    np.testing.assert_array_equal(seg.labels, np.array([0, 2, 1, 2])[plain.labels])
    p = plain.probabilities
    np.testing.assert_allclose(seg.probabilities[..., 0], p[..., 1])
    np.testing.assert_allclose(seg.probabilities[..., 1], p[..., 0] + p[..., 2], rtol=1e-6)
    np.testing.assert_allclose(seg.probabilities.sum(axis=-1), 1, atol=1e-5)
    assert [row.pixels for row in seg.table] == [
        plain.table[1].pixels, plain.table[0].pixels + plain.table[2].pixels
    ]  # fmt: skip


def test_a_class_without_pixels():
    model = gmmseg.segment(picture(), 3, "plain").model
    seg = gmmseg.apply(model, np.full((4, 5, 3), 210, np.uint8))
    assert [row.pixels > 0 for row in seg.table].count(True) == 1
    assert not seg.mask(1).any()
    json.dumps(seg.to_dict(), allow_nan=False)
    assert seg.overlay(legend=True).shape[0] > 4


def test_one_class():
    seg = gmmseg.segment(picture(), 1)
    assert (seg.labels == 1).all()
    assert not seg.entropy.any()
    np.testing.assert_allclose(seg.probabilities, 1)


def test_it_does_not_change():
    seg = gmmseg.segment(picture(), 1)
    assert isinstance(seg, Segmentation)
    with pytest.raises(AttributeError):
        seg.model = None
