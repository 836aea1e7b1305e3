"""The model: a mixture with the features it was fitted on and the labels it gives."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmmseg._files import printable, write_text
from gmmseg.errors import InvalidDataError, MissingFileError, ModelFormatError, ReadError
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.mixture.mixture import Mixture
from gmmseg.regions import RegionOptions
from gmmseg.smoothing import SmoothingOptions

if TYPE_CHECKING:
    from gmmseg.mixture.description import Description

__all__ = ["Model", "load_model", "model_text", "parse_model"]

FORMAT = "gmmseg-model"
FORMAT_VERSION = 1

# A model of 100 components over 100 features takes 20 MB as text; real ones take kilobytes.
_LARGEST_FILE = 32 << 20
_KEYS = frozenset(
    {
        "format",
        "format_version",
        "features",
        "feature_names",
        "mixture",
        "labels",
        "smoothing",
        "regions",
        "provenance",
    }
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """What was learnt, complete: apply it to any image and a label means the same.

    Attributes
    ----------
    features : FeatureSpec
        Resolved: how pixels become features.
    feature_names : tuple of str
    mixture : Mixture
    labels : tuple of int
        Label (from 1) of each component of the mixture.
    smoothing : SmoothingOptions
        How neighbouring pixels are taken into account.
    regions : RegionOptions
        What becomes of specks, holes and neighbouring regions.
    provenance : dict
        Where it comes from, for people: versions, options, log-likelihood. Plain JSON values.
    """

    features: FeatureSpec
    feature_names: tuple[str, ...]
    mixture: Mixture
    labels: tuple[int, ...]
    smoothing: SmoothingOptions = SmoothingOptions()
    regions: RegionOptions = RegionOptions()
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n_components, n_features = self.mixture.means.shape
        if len(self.feature_names) != n_features:
            raise ModelFormatError(
                f"a model needs a name for each of its {n_features} features, "
                f"got {len(self.feature_names)}."
            )
        in_range = len(self.labels) == n_components and self.k <= n_components
        if not in_range or set(self.labels) != set(range(1, self.k + 1)):
            raise ModelFormatError(
                f"labels must give each of the {n_components} components one of 1..k, "
                f"got {list(self.labels)[:20]}."
            )

    @property
    def k(self) -> int:
        """Number of classes."""
        return max(self.labels, default=0)

    @property
    def one_to_one(self) -> bool:
        """Whether each class is one component."""
        return self.k == len(self.labels)

    @property
    def in_order(self) -> bool:
        """Whether component j is class j, for all of them."""
        return self.labels == tuple(range(1, self.k + 1))

    def for_image(self, image: Image) -> Model:
        """The model with its bands found in an image: by their names where these are the same.

        Raises
        ------
        InvalidDataError
            When the image has not the bands that the model needs.
        """
        names = self.features.names(image)
        if len(names) != self.mixture.n_features:
            raise InvalidDataError(
                f"the model was fitted on {self.mixture.n_features} features "
                f"({', '.join(self.feature_names)}), but this image gives {len(names)} "
                f"({', '.join(names)}). Choose its bands with bands= (--bands)."
            )
        features = self.features.resolve(image)
        return self if features == self.features else replace(self, features=features)

    def describe(self) -> Description:
        """What was learnt, in terms of its features and classes: `mixture.description`."""
        from gmmseg.mixture.description import describe

        names = tuple(printable(name) for name in self.feature_names)
        return describe(self.mixture, names, self.labels)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, from which `from_dict` makes exactly the same model."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "features": self.features.to_dict(),
            "feature_names": list(self.feature_names),
            "mixture": self.mixture.to_dict(),
            "labels": list(self.labels),
            "smoothing": self.smoothing.to_dict(),
            "regions": self.regions.to_dict(),
            "provenance": self.provenance,
        }

    @classmethod
    def from_dict(cls, values: Any) -> Model:
        """The inverse of `to_dict`.

        Raises
        ------
        ModelFormatError
            When it is not a model, is newer than this version understands, or is not valid.
        """
        _check_envelope(values)
        names, labels, provenance = (
            _typed(values, key, kind, what)
            for key, kind, what in (
                ("feature_names", list, "a list"),
                ("labels", list, "a list"),
                ("provenance", dict, "an object"),
            )
        )
        if not all(isinstance(name, str) for name in names):
            raise ModelFormatError("feature_names must be a list of text.")
        if not all(isinstance(label, int) and not isinstance(label, bool) for label in labels):
            raise ModelFormatError("labels must be a list of whole numbers.")
        features = FeatureSpec.from_dict(values["features"])
        if features.colour_space == "auto":
            raise ModelFormatError("features: the colour_space of a model cannot be 'auto'.")
        return cls(
            features=features,
            feature_names=tuple(names),
            mixture=Mixture.from_dict(values["mixture"]),
            labels=tuple(labels),
            smoothing=SmoothingOptions.from_dict(values["smoothing"]),
            regions=RegionOptions.from_dict(values["regions"]),
            provenance=provenance,
        )

    def to_json(self) -> str:
        """The model file's text. Floats are written so that they read back exactly."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the model to a file, by custom named ``*.gmm.json``."""
        write_text(path, self.to_json(), overwrite=overwrite)


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model file.

    Nothing in the file is run, and files far larger than any real model are refused unread.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Model

    Raises
    ------
    MissingFileError, ReadError
        When it cannot be read.
    ModelFormatError
        When it is not a valid model, or is newer than this version understands.
    """
    text = model_text(path)
    try:
        return parse_model(text)
    except ModelFormatError as error:
        raise ModelFormatError(f"{printable(Path(path).name)}: {error}") from error


def model_text(path: str | os.PathLike[str]) -> str:
    """The text of a file that should hold a model, in whatever format.

    Raises
    ------
    MissingFileError, ReadError
        When it cannot be read.
    ModelFormatError
        When it is not text, or far larger than any real model.
    """
    file = Path(path)
    name = printable(file.name)
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise ModelFormatError(
                f"{name} is not a model file: it has over {_LARGEST_FILE} bytes."
            )
        return content.decode("utf-8")
    except ModelFormatError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no model file {printable(path)}.") from error
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{name} is not a model file: it is not text.") from error
    except OSError as error:
        raise ReadError(f"cannot read {name}: {error.strerror}.") from error
    except ValueError as error:  # a null byte in the name
        raise ReadError(f"cannot read {name}: {error}.") from error


def parse_model(text: str) -> Model:
    """The model that `Model.to_json` wrote; errors as those of `Model.from_dict`."""
    return Model.from_dict(_parse(text))


def _parse(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ModelFormatError(f"numbers must be finite, got {constant}.")

    def finite(digits: str) -> float:
        number = float(digits)
        if not math.isfinite(number):
            refuse(digits[:20])
        return number

    try:
        return json.loads(text, parse_constant=refuse, parse_float=finite)
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelFormatError):
            raise
        raise ModelFormatError(f"not a model file: not valid JSON ({error}).") from error


def _check_envelope(values: Any) -> None:
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ModelFormatError(f'not a model file: it does not say "format": "{FORMAT}".')
    version = values.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ModelFormatError(f"format_version must be a whole number from 1, got {version!r}.")
    if version > FORMAT_VERSION:
        raise ModelFormatError(
            f"the model is of format version {version}, newer than {FORMAT_VERSION}, which this "
            "version of gmmseg understands. Upgrade gmmseg: pip install -U gmmseg"
        )
    if odd := sorted(_KEYS ^ set(values)):
        state = "missing" if odd[0] in _KEYS else "not known"
        raise ModelFormatError(f"the entry {odd[0]!r} is {state}.")


def _typed(values: dict[str, Any], key: str, kind: type, what: str) -> Any:
    value = values[key]
    if not isinstance(value, kind):
        raise ModelFormatError(f"{key} must be {what}, got {type(value).__name__}.")
    return value
