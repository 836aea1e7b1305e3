"""Settings and versions, as pairs of a name and a value that a page lists."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

import gmmseg
from gmmseg.io import printable
from gmmseg.model import Model

__all__ = ["flattened", "model_settings", "versions"]

_PACKAGES = ("numpy", "numba", "pillow")


def versions() -> list[tuple[str, str]]:
    """Of what made the page."""
    found = [("gmmseg", gmmseg.__version__), ("Python", platform.python_version())]
    found += [(name, metadata.version(name)) for name in _PACKAGES]
    return [(f"version of {name}", version) for name, version in found]


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested options as dotted names; empty objects, lists and nulls are left out.

    Examples
    --------
    >>> list(flattened({"em": {"tol": 1e-6, "prior": None}, "k": 3}))
    [('em.tol', '1e-06'), ('k', '3')]
    """
    for key, value in values.items():
        name = f"{prefix}{printable(key)}"
        if isinstance(value, Mapping):
            yield from flattened(value, f"{name}.")
        elif value is not None and value != []:
            yield name, _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return printable(value)


def model_settings(model: Model) -> list[tuple[str, str]]:
    """How the pixels of a model are described, smoothed and cleaned."""
    parts = {
        "covariance": model.mixture.covariance_type,
        "features": _options(model.features),
        "smoothing": _options(model.smoothing) if model.smoothing.is_on else None,
        "regions": _options(model.regions),
        "fit": model.provenance.get("fit", {}),
    }
    return list(flattened(parts))


def _options(options: Any) -> dict[str, Any]:
    """What differs from the defaults."""
    usual = type(options)()
    return {
        name: value
        for name, value in vars(options).items()
        if value != getattr(usual, name, None) and not name.startswith("_")
    }
