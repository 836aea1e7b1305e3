"""Signature files of GRASS: written by i.cluster, i.gensig and g.gui.iclass, read by i.maxlik.

The format is that of ``lib/imagery/sig.c`` of GRASS. Version 2 ("have original class" after the
bands) and version 1 are of GRASS 8; files of GRASS 7 and before have neither a version nor the
names of the bands. Counts become weights, and weights counts; i.maxlik itself takes all classes
as equally probable.
"""

from __future__ import annotations

from collections.abc import Sequence

from gmmseg._files import printable
from gmmseg.bridges.signatures import (
    Signature,
    count,
    identifier,
    numbers,
    signatures,
    symmetric,
    to_model,
)
from gmmseg.errors import ModelFormatError
from gmmseg.model import Model

__all__ = ["parse", "parse_old", "recognise", "recognise_old", "text", "text_old"]

# GRASS reads semantic labels up to this length (GNAME_MAX - 2).
_LONGEST_LABEL = 254
_TITLE = "#written by gmmseg"
_COLOUR = 3


def recognise(content: str) -> bool:
    """Whether it begins with a version and a title."""
    lines = content.lstrip().splitlines()
    return len(lines) > 1 and lines[0].strip() in ("1", "2") and lines[1].startswith("#")


def recognise_old(content: str) -> bool:
    """Whether it begins with a title and a class."""
    lines = [line.strip() for line in content.lstrip().splitlines()[:3]]
    return len(lines) > 2 and all(line.startswith("#") for line in lines[:2]) and lines[2].isdigit()


def parse(content: str) -> Model:
    """The model in a signature file of GRASS 8.

    Raises
    ------
    ModelFormatError
        When it is not one.
    """
    lines = content.strip().splitlines()
    version = lines[0].strip() if lines else ""
    if version not in ("1", "2"):
        raise ModelFormatError("the first line must be the version of the signatures, 1 or 2.")
    if len(lines) < 3 or not lines[1].startswith("#"):
        raise ModelFormatError("after the version there must be a title that begins with #.")
    bands = lines[2].split()
    if not bands:
        raise ModelFormatError("after the title there must be the semantic labels of the bands.")
    body, has_class = lines[3:], False
    if version == "2":
        if not body or body[0].strip() not in ("0", "1"):
            raise ModelFormatError("after the bands there must be 0 or 1: original classes or not.")
        has_class, body = body[0].strip() == "1", body[1:]
    found = [_signature(name, words, len(bands), has_class) for name, words in _classes(body)]
    return to_model(found, bands, "grass")


def parse_old(content: str) -> Model:
    """The model in a signature file of GRASS 7 or before; bands are called band 1, band 2 ...

    Raises
    ------
    ModelFormatError
        When it is not one.
    """
    lines = content.strip().splitlines()
    if not lines or not lines[0].startswith("#"):
        raise ModelFormatError("the first line must be a title that begins with #.")
    means = [line for line in lines[1:] if line.strip()][2:3]
    n_bands = len(means[0].split()) if means else 0
    if not n_bands:
        raise ModelFormatError("there is no class in it.")
    found = [_signature(name, words, n_bands, False) for name, words in _classes(lines[1:])]
    return to_model(found, [f"band {i + 1}" for i in range(n_bands)], "grass7")


def _classes(lines: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Name and words of every class."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("#"):
            found.append((line[1:].strip(), []))
        elif found:
            found[-1][1].extend(line.split())
        elif line.strip():
            raise ModelFormatError(f"a class must begin with #, got {printable(line[:30])!r}.")
    return found


def _signature(name: str, words: list[str], n_bands: int, has_class: bool) -> Signature:
    start = 2 if has_class else 1
    shown = repr(printable(name[:30]))
    size = start + n_bands + n_bands * (n_bands + 1) // 2
    if len(words) not in (size, size + _COLOUR):
        raise ModelFormatError(
            f"class {shown} must have {size} numbers for {n_bands} bands, or "
            f"{size + _COLOUR} with a colour, got {len(words)}."
        )
    values = numbers(words[start:], f"the statistics of class {shown}")
    return Signature(
        name=name,
        count=count(words[0], f"the number of pixels of class {shown}"),
        mean=values[:n_bands],
        covariance=symmetric(values[n_bands : size - start], n_bands),
    )


def text(model: Model) -> str:
    """The signature file of a model, of version 1, which every GRASS 8 reads.

    Digits are written that read back exactly; GRASS itself keeps six.
    """
    bands = [identifier(name, _LONGEST_LABEL) for name in model.feature_names]
    return "\n".join(["1", _TITLE, " ".join(bands), *_class_lines(model)]) + "\n"


def text_old(model: Model) -> str:
    """The signature file of a model for GRASS 7 and before."""
    return "\n".join([_TITLE, *_class_lines(model)]) + "\n"


def _class_lines(model: Model) -> list[str]:
    lines = []
    for signature in signatures(model):
        lines += [f"#{signature.name}", str(signature.count), _row(signature.mean)]
        lines += [_row(row[: i + 1]) for i, row in enumerate(signature.covariance)]
    return lines


def _row(values: Sequence[float]) -> str:
    return " ".join(map(repr, values))
