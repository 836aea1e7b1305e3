"""The model file: exact, whole or not there at all, and refused with one clear line."""

import contextlib
import copy
import json
import os
import tracemalloc

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gmmseg
from gmmseg import FeatureSpec, SegmentOptions, load_model
from gmmseg.errors import (
    InvalidDataError,
    MissingFileError,
    ModelFormatError,
    OutputExistsError,
    ReadError,
    WriteError,
)
from gmmseg.image import Image
from gmmseg.mixture import EMOptions
from gmmseg.mixture import Mixture as GaussianMixture
from gmmseg.model import Model


def picture(seed=0):
    values = np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8)
    values[:, 15:] //= 4
    return values


def made(k=2, **options):
    return gmmseg.segment(
        picture(),
        k,
        SegmentOptions(
            features=FeatureSpec(**options.pop("features", {})), em=EMOptions(**options)
        ),
    ).model


@pytest.fixture(scope="module")
def model():
    return made()


def assert_equal(one, other):
    """Equal to the last bit."""
    assert one.features == other.features
    assert one.feature_names == other.feature_names
    assert one.labels == other.labels
    assert one.provenance == other.provenance
    assert one.mixture.covariance_type == other.mixture.covariance_type
    for name in ("weights", "means", "covariances"):
        a, b = getattr(one.mixture, name), getattr(other.mixture, name)
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()


# There and back


@pytest.mark.parametrize("covariance_type", naive.TYPES)
@pytest.mark.parametrize(
    "features",
    [{}, {"colour_space": "raw", "bands": (3, 1)}, {"position": 0.3, "local_std": (1, 2.5)}],
)
def test_a_saved_model_is_the_same(tmp_path, covariance_type, features):
    model = made(covariance_type=covariance_type, features=features)
    model.save(tmp_path / "a.gmm.json")
    again = load_model(str(tmp_path / "a.gmm.json"))
    assert_equal(model, again)
    assert again.to_json() == model.to_json()
    before, after = gmmseg.apply(model, picture(1)), gmmseg.apply(again, picture(1))
    np.testing.assert_array_equal(before.labels, after.labels)
    np.testing.assert_array_equal(before.probabilities, after.probabilities)


def test_awkward_numbers_come_back_to_the_last_bit(tmp_path):
    means = [[5e-324], [-0.0], [1 / 3], [1.7976931348623157e308], [-1e-310]]
    model = Model(
        features=FeatureSpec(colour_space="raw"),
        feature_names=("x",),
        mixture=GaussianMixture(
            weights=[0.1, 0.2, 0.3, 0.4, 0.0],
            means=means,
            covariances=[1e-300, 0.1, 2 / 3, 1e300, 1.0],
            covariance_type="spherical",
        ),
        labels=(1, 2, 3, 1, 2),
    )
    model.save(tmp_path / "m")
    assert_equal(model, load_model(tmp_path / "m"))


def test_names_of_any_script_survive(tmp_path, model):
    values = model.to_dict() | {"feature_names": ["клас", "\u2028", "\ud800"]}
    Model.from_dict(values).save(tmp_path / "m")
    assert load_model(tmp_path / "m").feature_names == ("клас", "\u2028", "\ud800")


def test_the_file_is_json_with_lines(tmp_path, model):
    model.save(tmp_path / "m")
    data = (tmp_path / "m").read_bytes()
    assert data.endswith(b"}\n")
    assert b"\r" not in data
    assert json.loads(data) == model.to_dict()
    assert json.loads(data)["format"] == "gmmseg-model"


def test_what_is_recorded(model):
    fit = model.provenance["fit"]
    assert model.provenance["gmmseg"] == gmmseg.__version__
    assert fit["n_pixels"] == 600
    assert fit["log_likelihood"] == pytest.approx(600 * fit["mean_log_likelihood"])
    assert fit["converged"] is True
    assert EMOptions(**model.provenance["options"]["em"]) == EMOptions()


@pytest.mark.parametrize("options", [{"rng": np.int64(3)}, {"tol": np.float32(1e-4)}])
def test_options_given_as_numpy_numbers_can_be_saved(options):
    json.loads(made(**options).to_json())


# Writing


def test_overwriting_is_a_choice(tmp_path, model):
    path = tmp_path / "m.gmm.json"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match=r"m\.gmm\.json exists already.*overwrite="):
        model.save(path, overwrite=False)
    assert path.read_text() == "mine"
    model.save(path)
    assert_equal(model, load_model(path))


def test_a_model_is_written_whole_or_not_at_all(tmp_path, model, monkeypatch):
    path = tmp_path / "m.gmm.json"
    path.write_text("mine")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(WriteError, match=r"cannot write .*: No space left on device\."):
        model.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.gmm.json"]
    assert path.read_text() == "mine"


def test_places_that_cannot_be_written(tmp_path, model):
    with pytest.raises(WriteError, match=r"it is a directory\."):
        model.save(tmp_path)
    with pytest.raises(WriteError, match=r"the folder .*none is not there\."):
        model.save(tmp_path / "none" / "m")


# Files that are no models


def refusal(tmp_path, content, name="bad.json"):
    """The text with which a file of this content is refused."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelFormatError) as caught:
        load_model(path)
    assert caught.value.args[0].isprintable()
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "bad.json: not a model file: not valid JSON (Expecting value"),
        ("{", "bad.json: not a model file: not valid JSON ("),
        ("hello", "bad.json: not a model file: not valid JSON ("),
        ('{"format": "gmmseg-model"} x', "bad.json: not a model file: not valid JSON (Extra data"),
        ("[" * 100_000, "bad.json: not a model file: not valid JSON ("),
        ('{"a":' * 100_000, "bad.json: not a model file: not valid JSON ("),
        ("1" * 10_000, "bad.json: not a model file: not valid JSON ("),
        ("{}", 'bad.json: not a model file: it does not say "format": "gmmseg-model".'),
        ("[]", 'bad.json: not a model file: it does not say "format": "gmmseg-model".'),
        ("null", 'bad.json: not a model file: it does not say "format": "gmmseg-model".'),
        ('{"format": ["gmmseg-model"]}', "bad.json: not a model file: it does not say"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "bad.json is not a model file: it is not text."),
        (b"\x00\x01\x02", "bad.json: not a model file: not valid JSON ("),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_other_files(tmp_path, content, message):
    assert refusal(tmp_path, content).startswith(message)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("place", ['"weights": [\n   ', '"mean_log_likelihood": '])
def test_numbers_that_are_not_finite(tmp_path, model, constant, place):
    text = model.to_json()
    at = text.index(place) + len(place)
    end = min(text.index(mark, at) for mark in ",\n")
    assert refusal(tmp_path, text[:at] + constant + text[end:]) == (
        f"bad.json: numbers must be finite, got {constant}."
    )


def test_a_newer_version_is_told_politely(tmp_path, model):
    values = model.to_dict() | {"format_version": 2, "tomorrow": 1}
    assert refusal(tmp_path, json.dumps(values)) == (
        "bad.json: the model is of format version 2, newer than 1, which this version of gmmseg "
        "understands. Upgrade gmmseg: pip install -U gmmseg"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, 'not a model file: it does not say "format": "gmmseg-model".'),
        ({"format_version": 0}, "format_version must be a whole number from 1, got 0."),
        ({"format_version": True}, "format_version must be a whole number from 1, got True."),
        ({"format_version": "1"}, "format_version must be a whole number from 1, got '1'."),
        ({"format_version": 1.0}, "format_version must be a whole number from 1, got 1.0."),
        ({"more": 1}, "the entry 'more' is not known."),
        ({"\x1b[2J": 1}, "the entry '\\x1b[2J' is not known."),
        ({"feature_names": "abc"}, "feature_names must be a list, got str."),
        ({"feature_names": [1, 2, 3]}, "feature_names must be a list of text."),
        ({"feature_names": ["a"]}, "a model needs a name for each of its 3 features, got 1."),
        ({"labels": {}}, "labels must be a list, got dict."),
        ({"labels": [1.0, 2.0]}, "labels must be a list of whole numbers."),
        ({"labels": [True, 2]}, "labels must be a list of whole numbers."),
        ({"labels": [1]}, "labels must give each of the 2 components one of 1..k, got [1]."),
        ({"labels": []}, "labels must give each of the 2 components one of 1..k, got []."),
        ({"labels": [0, 1]}, "labels must give each of the 2 components one of 1..k, got [0, 1]."),
        ({"labels": [2, 2]}, "labels must give each of the 2 components one of 1..k, got [2, 2]."),
        ({"labels": [1, 3]}, "labels must give each of the 2 components one of 1..k, got [1, 3]."),
        ({"labels": [-1, 1]}, "labels must give each of the 2 components one of 1..k"),
        ({"provenance": []}, "provenance must be an object, got list."),
        ({"features": None}, "features must be an object, got NoneType."),
        ({"features": {}}, "features: the entry 'background' is missing."),
        ({"mixture": None}, "a mixture must have exactly the keys covariance_type, "),
        ({"mixture": {}}, "a mixture must have exactly the keys covariance_type, "),
    ],
    ids=str,
)
def test_entries_that_break_their_rule(tmp_path, model, change, message):
    text = refusal(tmp_path, json.dumps(model.to_dict() | change))
    assert text.startswith(f"bad.json: {message}")


@pytest.mark.parametrize(
    "key", ["format_version", "features", "feature_names", "mixture", "labels", "provenance"]
)
def test_missing_entries(tmp_path, model, key):
    values = model.to_dict()
    del values[key]
    expected = f"the entry '{key}' is missing."
    if key == "format_version":
        expected = "format_version must be a whole number from 1, got None."
    assert refusal(tmp_path, json.dumps(values)) == f"bad.json: {expected}"


@pytest.mark.parametrize("change", [{"position": 10**400}, {"local_mean": [10**400]}])
def test_numbers_too_large_for_a_float(tmp_path, model, change):
    values = model.to_dict()
    values["features"] |= change
    assert "must be finite" in refusal(tmp_path, json.dumps(values))


def test_decimals_too_large_for_a_float(tmp_path, model):
    text = model.to_json().replace('"n_pixels": 600', '"n_pixels": 1e999')
    assert "must be finite" in refusal(tmp_path, text)


def test_a_large_label_takes_no_memory():
    values = BASE | {"labels": [1, 2, 10**6]}
    tracemalloc.start()
    try:
        with pytest.raises(ModelFormatError, match=r"one of 1\.\.k"):
            Model.from_dict(values)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_huge_files_are_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(5 << 30)  # sparse
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(
        ModelFormatError, match=r"^huge\.json is not a model file: it has over 33554432 bytes"
    ):
        load_model(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(MissingFileError, match=r"^there is no model file .*none\.json\.$"):
        load_model(tmp_path / "none.json")
    with pytest.raises(ReadError, match=rf"^cannot read {tmp_path.name}: Is a directory\.$"):
        load_model(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ReadError, match=r"^cannot read a: Not a directory\.$"):
        load_model(tmp_path / "file" / "a")


def test_a_name_that_no_file_can_have():
    with pytest.raises(ReadError):
        load_model("a\0b")


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_names_that_steer_a_terminal_are_escaped(tmp_path):
    name = "a\x1b[2J\n\u202e.json"
    assert refusal(tmp_path, "{", name).startswith(r"a\x1b[2J\n\u202e.json: not a model file: ")
    assert refusal(tmp_path, b"\xff", name).startswith(r"a\x1b[2J\n\u202e.json is not a model file")
    (tmp_path / name).unlink()
    with pytest.raises(MissingFileError) as caught:
        load_model(tmp_path / name)
    assert r"a\x1b[2J\n\u202e.json" in str(caught.value)


# Anything at all

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 5), st.floats(), st.text(max_size=4),
    st.sampled_from([10**5, "raw", "gmmseg-model", -0.0]),
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def paths_in(value, path=()):
    """Every place in nested lists and dictionaries."""
    yield path
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield from paths_in(value[key], (*path, key))


def with_change(value, path, new):
    value = copy.deepcopy(value)
    place = value
    for key in path[:-1]:
        place = place[key]
    if new is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    return value


def model_or_refusal(value):
    try:
        model = Model.from_dict(value)
    except ModelFormatError:
        return
    assert len(model.feature_names) == model.mixture.n_features
    assert len(model.labels) == model.mixture.n_components
    assert set(model.labels) == set(range(1, model.k + 1))
    assert Model.from_dict(model.to_dict()).to_dict() == model.to_dict()


@settings(max_examples=100)
@given(anything)
def test_any_value_is_refused(value):
    with pytest.raises(ModelFormatError):
        Model.from_dict(value)


BASE = json.loads(made(3).to_json())
PLACES = [path for path in paths_in(BASE) if path]
RULED = [path for path in PLACES if path[0] != "provenance"]


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_leaving_an_entry_out(path):
    if path[0] == "provenance" and len(path) > 1:
        assert_equal(
            Model.from_dict(with_change(BASE, path, ...)),
            Model.from_dict(BASE | {"provenance": with_change(BASE, path, ...)["provenance"]}),
        )
        return
    with pytest.raises(ModelFormatError):
        Model.from_dict(with_change(BASE, path, ...))


@settings(max_examples=400)
@given(path=st.sampled_from(RULED), new=anything)
def test_a_changed_entry_is_a_model_or_a_refusal(path, new):
    model_or_refusal(with_change(BASE, path, new))


@settings(max_examples=100)
@given(text=st.text(max_size=30), at=st.floats(0, 1))
def test_a_damaged_file_is_a_model_or_a_refusal(tmp_path_factory, text, at):
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    whole = json.dumps(BASE)
    cut = int(at * len(whole))
    path.write_bytes((whole[:cut] + text).encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelFormatError):
        load_model(path)
    path.write_bytes((whole[:cut] + text + whole[cut:]).encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ModelFormatError):
        load_model(path)


# Use


def test_images_of_other_bands_are_refused(model):
    raw = made(features={"colour_space": "raw"})
    four = Image.from_array(np.zeros((4, 5, 4), np.uint8))
    with pytest.raises(InvalidDataError) as caught:
        raw.for_image(four)
    assert str(caught.value) == (
        "the model was fitted on 3 features (band 1, band 2, band 3), but this image gives 4 "
        "(band 1, band 2, band 3, band 4). Choose its bands with bands= (--bands)."
    )
    raw.for_image(Image.from_array(picture()))
    model.for_image(Image.from_array(picture()))


def test_k_is_the_number_of_labels(model):
    assert model.k == 2
    merged = Model.from_dict(BASE | {"labels": [2, 1, 2]})
    assert merged.k == 2
    assert merged.mixture.n_components == 3


def test_a_model_describes_itself(model):
    described = model.describe()
    assert described.feature_names == ("L", "a", "b")
    assert [component.label for component in described.components] == [1, 2]
    assert described.components[0].mean == tuple(model.mixture.means[0])
