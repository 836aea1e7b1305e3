"""What an image file or a model file holds, without decoding any pixel.

gmmseg info scan.tif
gmmseg info scan.gmm.json --json
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from gmmseg.cli.console import print_error, print_json, print_lines
from gmmseg.errors import GmmsegError
from gmmseg.io import image_info, printable
from gmmseg.model import Model, load_model

__all__ = ["add_arguments", "run"]

#: A long list of numbers that gmmseg plot draws; people would not read it.
_FOR_PLOTS = "history"


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg info`` takes."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="image or model files")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object on a line for each file"
    )


def run(args: Namespace) -> int:
    """Tell about every file on stdout."""
    status = 0
    for name in args.files:
        try:
            facts = _facts(Path(name))
        except GmmsegError as error:
            status = 1
            print_error(error)
            if args.json:
                print_json({"file": name, "error": printable(error)})
            continue
        if args.json:
            print_json({"file": name} | facts)
        else:
            print_lines([printable(name), *(f"  {line}" for line in _lines(facts))])
    return status


def _facts(path: Path) -> dict[str, Any]:
    if _is_json(path):
        return {"type": "model"} | _model_facts(load_model(path))
    return {"type": "image"} | image_info(path)


def _is_json(path: Path) -> bool:
    """Whether it begins like a model file; what cannot be read is told by the reader."""
    try:
        with path.open("rb") as file:
            return path.is_file() and file.read(512).lstrip().startswith(b"{")
    except (OSError, ValueError):
        return False


def _model_facts(model: Model) -> dict[str, Any]:
    mixture = model.mixture
    return {
        "k": model.k,
        "features": model.features.to_dict(),
        "covariance_type": mixture.covariance_type,
        "classes": [
            {
                "label": label,
                "weight": float(weight),
                "mean": dict(zip(model.feature_names, map(float, mean), strict=True)),
            }
            for label, weight, mean in zip(
                model.labels, mixture.weights, mixture.means, strict=True
            )
        ],
        "provenance": model.provenance,
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    """``name: value`` for people; what is empty is left out."""
    lines = []
    for name, value in facts.items():
        if value in (None, "", [], {}, ()) or name == _FOR_PLOTS:
            continue
        if isinstance(value, dict):
            lines += [f"{name}:", *(f"  {line}" for line in _lines(value))]
        elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
            lines.append(f"{name}:")
            lines += ["  - " + ", ".join(_lines(_flat(item))) for item in value]
        else:
            lines.append(f"{name}: {_text(value)}")
    return lines


def _flat(item: dict[str, Any]) -> dict[str, Any]:
    """Values of nested objects beside the others."""
    nested = {name: value for name, value in item.items() if isinstance(value, dict)}
    flat = {name: value for name, value in item.items() if name not in nested}
    for value in nested.values():
        flat |= value
    return flat


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return printable(value)
