"""Signature files of ArcGIS (.gsg): written by Iso Cluster and Create Signatures, read by Maximum
Likelihood Classification.

The format is that of Esri's manual, "How Create Signatures works". Counts become weights, and
weights counts: what ArcGIS calls a priori weights by sample.
"""

from __future__ import annotations

from collections.abc import Sequence

from gmmseg.bridges.signatures import Signature, count, identifier, numbers, signatures, to_model
from gmmseg.errors import ModelFormatError
from gmmseg.model import Model

__all__ = ["parse", "recognise", "text"]

_RULE = "# " + "-" * 70
_LONGEST_NAME = 14  # of a class; letters and digits

#: Comments that say what follows them, as they begin.
_SECTIONS = {
    "layer-number": "names",
    "type": "sizes",
    "class id": "class",
    "means": "means",
    "covariance": "covariance",
}

Section = list[str]


def recognise(content: str) -> bool:
    """Whether the comments are there that ArcGIS writes."""
    head = content[:100_000].lower()
    return head.lstrip().startswith("#") and "number of classes" in head and "class id" in head


def parse(content: str) -> Model:
    """The model in a signature file of ArcGIS.

    Raises
    ------
    ModelFormatError
        When it is not one, or has means only.
    """
    general, classes = _sections(content)
    sizes = [count(word, "the numbers of classes and layers") for word in general["sizes"]]
    if len(sizes) != 4:
        raise ModelFormatError(
            "there must be a line of type, classes, layers and parametric layers, four numbers."
        )
    _, n_classes, n_layers, n_parametric = sizes
    if n_parametric != n_layers or n_layers == 0:
        raise ModelFormatError(
            f"all layers must be parametric, at least one, got {n_parametric} of {n_layers}."
        )
    if n_classes != len(classes):
        raise ModelFormatError(f"it declares {n_classes} classes, but holds {len(classes)}.")
    found = [_signature(sections, n_layers) for sections in classes]
    return to_model(found, _layer_names(general["names"], n_layers), "arcgis")


def _sections(content: str) -> tuple[dict[str, Section], list[dict[str, Section]]]:
    """The words below each comment, for the whole file and for every class."""
    general: dict[str, Section] = {"names": [], "sizes": []}
    classes: list[dict[str, Section]] = []
    section: Section = []
    for line in content.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            title = stripped[1:].strip().lower()
            key = next((key for start, key in _SECTIONS.items() if title.startswith(start)), None)
            if key == "class":
                classes.append({"means": [], "covariance": []})
            section = []
            if key is not None:
                (general if key in general or not classes else classes[-1])[key] = section
        else:
            section += stripped.removeprefix("/*").split()
    return general, classes


def _layer_names(words: Section, n_layers: int) -> list[str]:
    """Names from pairs of number and name; a file without them gets numbers."""
    numbered = words[::2] == [str(i + 1) for i in range(n_layers)]
    if numbered and len(words) == 2 * n_layers:
        return words[1::2]
    return [f"band {i + 1}" for i in range(n_layers)]


def _signature(sections: dict[str, Section], n: int) -> Signature:
    words = sections["class"]
    if len(words) < 2:
        raise ModelFormatError("a class must have a number and a number of cells.")
    number = count(words[0], "the number of a class")
    what = f"class {number}"
    if not sections["covariance"]:
        raise ModelFormatError(
            f"{what} has no covariance matrix. Create the signatures with covariance matrices."
        )
    for key, size in (("means", n), ("covariance", n * (n + 1))):
        if len(sections[key]) != size:
            raise ModelFormatError(
                f"the {key} of {what} must be {size} numbers for {n} layers, "
                f"got {len(sections[key])}."
            )
    rows = [sections["covariance"][i : i + n + 1] for i in range(0, n * (n + 1), n + 1)]
    if [row[0] for row in rows] != [str(i + 1) for i in range(n)]:
        raise ModelFormatError(f"the rows of the covariance of {what} must be numbered from 1.")
    return Signature(
        name=" ".join(words[2:]) or f"Class {number}",
        count=count(words[1], f"the number of cells of {what}"),
        mean=numbers(sections["means"], f"the means of {what}"),
        covariance=[numbers(row[1:], f"the covariance of {what}") for row in rows],
    )


def text(model: Model) -> str:
    """The signature file of a model."""
    found = signatures(model)
    bands = [identifier(name, 254) for name in model.feature_names]
    n = len(bands)
    lines = [
        "# Signatures Produced by gmmseg",
        "# Number of selected grids",
        f"/* {n:8d}",
        "# Layer-Number        Grid-name",
        *(f"/* {i + 1:8d}            {name}" for i, name in enumerate(bands)),
        "",
        "# Type  Number of Classes  Number of Layers  Number of Parametric Layers",
        f"  1  {len(found):12d}  {n:16d}  {n:16d}",
        _RULE,
    ]
    for number, signature in enumerate(found, start=1):
        lines += _class_lines(number, signature)
    return "\n".join(lines) + "\n"


def _class_lines(number: int, signature: Signature) -> list[str]:
    name = identifier(signature.name, _LONGEST_NAME).replace(".", "_")
    layers = " ".join(f"{i + 1:12d}" for i in range(len(signature.mean)))
    return [
        "",
        "# Class ID    Number of Cells   Class Name",
        f"  {number:6d}  {signature.count:18d}   {name}",
        f"# Layers {layers}",
        "# Means",
        f"         {_row(signature.mean)}",
        "# Covariance",
        *(f"  {i + 1:6d} {_row(row)}" for i, row in enumerate(signature.covariance)),
        _RULE,
    ]


def _row(values: Sequence[float]) -> str:
    return " ".join(f"{value!r:>12}" for value in values)
