"""Options as entries of a model file: the way back from a JSON object to a frozen dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from gmmseg.errors import InvalidParameterError, ModelFormatError

__all__ = ["check_entries", "options_of_entries"]

Options = TypeVar("Options")


def check_entries(kind: type[Any], entries: Any, name: str) -> None:
    """Raise `ModelFormatError` unless `entries` has exactly the fields of `kind`."""
    names = {field.name for field in fields(kind)}
    if not isinstance(entries, Mapping):
        raise ModelFormatError(f"{name} must be an object, got {type(entries).__name__}.")
    if odd := sorted(names ^ set(entries), key=str):
        state = "missing" if odd[0] in names else "not known to this version"
        raise ModelFormatError(f"{name}: the entry {odd[0]!r} is {state}.")


def options_of_entries(kind: type[Options], entries: Any, name: str) -> Options:
    """The options of `kind` with these entries; a rule that is broken is a `ModelFormatError`."""
    check_entries(kind, entries, name)
    try:
        return kind(**entries)
    except InvalidParameterError as error:
        raise ModelFormatError(f"{name}: {error}") from error
