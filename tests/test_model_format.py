"""docs/model-format.md and the schema beside it say what the reader does."""

import copy
import json
import re
from pathlib import Path

import pytest

import gmmseg
from gmmseg.errors import ModelFormatError
from gmmseg.feature_spec import COLOUR_SPACES
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.model import FORMAT_VERSION, Model

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "model-format.md").read_text(encoding="utf-8")
SCHEMA = json.loads((DOCS / "model.schema.json").read_text(encoding="utf-8"))
EXAMPLE = json.loads(re.search(r"```json\n(.*?)```", TEXT, re.S)[1])


def test_the_example_is_a_model_to_the_last_entry():
    model = Model.from_dict(EXAMPLE)
    assert model.to_dict() == EXAMPLE
    assert model.k == 2


def test_the_schema_names_what_the_reader_knows():
    properties = SCHEMA["properties"]
    assert set(properties) == set(SCHEMA["required"]) == set(EXAMPLE)
    assert properties["format_version"]["const"] == FORMAT_VERSION
    features = properties["features"]
    assert set(features["properties"]) == set(gmmseg.FeatureSpec().to_dict())
    assert set(features["properties"]["colour_space"]["enum"]) == set(COLOUR_SPACES) - {"auto"}
    assert set(properties["smoothing"]["properties"]) == set(gmmseg.SmoothingOptions().to_dict())
    assert set(properties["regions"]["properties"]) == set(gmmseg.RegionOptions().to_dict())
    kinds = properties["mixture"]["properties"]["covariance_type"]["enum"]
    assert kinds == list(COVARIANCE_TYPES)


def test_every_entry_is_told():
    for name in ("features", "mixture", "smoothing", "regions"):
        for entry in SCHEMA["properties"][name]["properties"]:
            assert f"`{name}.{entry}`" in TEXT
    for entry in SCHEMA["properties"]:
        assert f"`{entry}`" in TEXT or f"`{entry}." in TEXT


def changed(path, value):
    values = copy.deepcopy(EXAMPLE)
    place = values
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return values


WRONG = [
    (("format",), "other"),
    (("format_version",), 2),
    (("labels",), ...),
    (("labels",), [0, 1]),
    (("labels",), ["1", "2"]),
    (("feature_names",), [1, 2]),
    (("features", "colour_space"), "auto"),
    (("features", "position"), -1),
    (("features", "bands"), [0]),
    (("features", "local_std"), [0.0]),
    (("features", "more"), 1),
    (("mixture", "weights"), ["a", "b"]),
    (("mixture", "weights"), [-0.5, 1.5]),
    (("mixture", "covariances"), [1.0, 2.0]),
    (("mixture", "covariance_type"), "odd"),
    (("mixture", "means"), [14.5, 11.0]),
    (("regions",), ...),
    (("regions", "min_area"), "5 apples"),
    (("regions", "max_hole"), -1),
    (("regions", "connectivity"), 5),
    (("regions", "n_regions"), 0),
    (("regions", "more"), 1),
    (("provenance",), []),
    (("more",), 1),
]


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_the_schema_and_the_reader_refuse_the_same(path, value):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(EXAMPLE, SCHEMA)
    wrong = changed(path, value)
    with pytest.raises(ModelFormatError):
        Model.from_dict(wrong)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_models_that_are_written_suit_the_schema(kind):
    jsonschema = pytest.importorskip("jsonschema")
    covariances = {
        "full": [[[2.0, 0.5], [0.5, 1.0]]] * 2,
        "tied": [[2.0, 0.5], [0.5, 1.0]],
        "diag": [[1.0, 2.0]] * 2,
        "spherical": [1.0, 2.0],
        "tied_diag": [1.0, 2.0],
        "tied_spherical": 2.0,
    }[kind]
    values = changed(("mixture", "covariances"), covariances)
    values["mixture"]["covariance_type"] = kind
    jsonschema.validate(json.loads(Model.from_dict(values).to_json()), SCHEMA)
