"""The file formats of models, in one table, and the way from any to any."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gmmseg._check import check_choice
from gmmseg._files import printable, write_text
from gmmseg.bridges import arcgis, grass, opencv
from gmmseg.errors import GmmsegWarning, InvalidParameterError, ModelFormatError
from gmmseg.model import Model, model_text, parse_model

__all__ = ["FORMATS", "Format", "dumps", "loads", "read_model", "write_model"]


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way to write a model down.

    Attributes
    ----------
    summary : str
        What it is, in a few words.
    endings : tuple of str
        Of file names, with the dot; the first one is the usual.
    recognise : callable
        Whether a text is likely to be of this format.
    parse : callable
        From the text to the model; raises `ModelFormatError`.
    text : callable
        From the model to the text.
    is_complete : bool
        The format tells how features are made of pixels.
    """

    summary: str
    endings: tuple[str, ...]
    recognise: Callable[[str], bool]
    parse: Callable[[str], Model]
    text: Callable[[Model], str]
    is_complete: bool = False


#: Formats by name; the first one that recognises a text reads it.
FORMATS: dict[str, Format] = {
    "json": Format(
        summary="gmmseg's own, docs/model-format.md",
        endings=(".json",),
        recognise=lambda text: text.lstrip().startswith("{"),
        parse=parse_model,
        text=Model.to_json,
        is_complete=True,
    ),
    "opencv": Format(
        summary="OpenCV's cv::ml::EM in YAML",
        endings=(".yml", ".yaml"),
        recognise=opencv.recognise,
        parse=opencv.parse,
        text=opencv.text,
    ),
    "arcgis": Format(
        summary="signature file of ArcGIS",
        endings=(".gsg",),
        recognise=arcgis.recognise,
        parse=arcgis.parse,
        text=arcgis.text,
    ),
    "grass": Format(
        summary="signature file of GRASS 8 (i.maxlik)",
        endings=(".sig",),
        recognise=grass.recognise,
        parse=grass.parse,
        text=grass.text,
    ),
    "grass7": Format(
        summary="signature file of GRASS up to 7",
        endings=(),
        recognise=grass.recognise_old,
        parse=grass.parse_old,
        text=grass.text_old,
    ),
}


def loads(text: str, format: str | None = None) -> Model:  # noqa: A002 - it is what it is called
    """A model from text.

    Parameters
    ----------
    text : str
    format : str, optional
        One of `FORMATS`; recognised by the text when not given.

    Returns
    -------
    Model
        Over raw bands, with the classes in the order of the text, unless the format is "json".

    Raises
    ------
    ModelFormatError
        When the text is not a valid model of the format.
    """
    if format is None:
        format = next((name for name in FORMATS if FORMATS[name].recognise(text)), None)  # noqa: A001
        if format is None:
            raise ModelFormatError(
                f"not a model of a known format: {', '.join(FORMATS)}. "
                "If it is one of them, say which with format= (--from)."
            )
    check_choice(format, "format", FORMATS)
    return FORMATS[format].parse(text)


def dumps(model: Model, format: str = "json") -> str:  # noqa: A002
    """The text of a model.

    Parameters
    ----------
    model : Model
    format : str
        One of `FORMATS`.

    Warns
    -----
    GmmsegWarning
        When the model is not over raw bands, which no other format can say.

    Examples
    --------
    >>> from gmmseg.feature_spec import FeatureSpec
    >>> from gmmseg.mixture import Mixture
    >>> model = Model(features=FeatureSpec(colour_space="raw"), feature_names=("red",),
    ...               mixture=Mixture(weights=[1.0], means=[[2.0]], covariances=[[[4.0]]]),
    ...               labels=(1,))
    >>> print(dumps(model, "grass7"), end="")
    #written by gmmseg
    #Class 1
    1000000
    2.0
    4.0
    """
    chosen = FORMATS[check_choice(format, "format", FORMATS)]
    is_raw = model.features.is_raw
    if not (chosen.is_complete or is_raw):
        warnings.warn(
            f"the model is over {', '.join(model.feature_names)}, which gmmseg makes of the "
            "pixels: the other program must be given images of these. To get a model of the "
            "bands themselves fit with colour_space='raw' and power=1 (--colour-space raw "
            "--power 1).",
            GmmsegWarning,
            stacklevel=2,
        )
    return chosen.text(model)


def read_model(path: str | os.PathLike[str], format: str | None = None) -> Model:  # noqa: A002
    """Read a model that gmmseg or another program wrote.

    Nothing in the file is run; sizes that it declares are checked against what is there.

    Parameters
    ----------
    path : path-like
    format : str, optional
        One of `FORMATS`; recognised by the content when not given.

    Raises
    ------
    MissingFileError, ReadError
        When it cannot be read.
    ModelFormatError
        When it is not a valid model.
    """
    text = model_text(path)
    try:
        return loads(text, format)
    except ModelFormatError as error:
        raise ModelFormatError(f"{printable(Path(path).name)}: {error}") from error


def write_model(
    model: Model,
    path: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002
    *,
    overwrite: bool = False,
) -> None:
    """Write a model for another program.

    Parameters
    ----------
    model : Model
    path : path-like
    format : str, optional
        One of `FORMATS`; chosen by the ending of the name when not given.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    InvalidParameterError
        When the ending tells no format.
    OutputExistsError, WriteError
        When it cannot be written.
    """
    write_text(path, dumps(model, format or format_by_ending(path)), overwrite=overwrite)


def format_by_ending(path: str | os.PathLike[str]) -> str:
    """The format that a file name means.

    Examples
    --------
    >>> format_by_ending("scan.gsg")
    'arcgis'
    """
    ending = Path(path).suffix.lower()
    for name, format_ in FORMATS.items():
        if ending in format_.endings:
            return name
    known = ", ".join(ending for format_ in FORMATS.values() for ending in format_.endings)
    raise InvalidParameterError(
        f"the name {printable(Path(path).name)} tells no format: end it in one of {known}, or "
        "say which with format= (--to)."
    )
