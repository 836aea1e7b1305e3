"""Which files of a batch do not fit its reference, as drift.json tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["drift_flags"]

_LARGEST = 256 << 20

#: What the flags of drift.json mean to a person.
_MEANINGS = {
    "unlikely": "unlikely under the reference model",
    "novel": "many pixels are like no class of the reference",
    "moved": "a class has moved to the limit, or beyond",
}


def drift_flags(path: Path) -> dict[str, list[str]]:
    """For each input that is flagged in drift.json, why; nothing when there is no such file."""
    try:
        if path.stat().st_size > _LARGEST:
            return {}
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    rows = values.get("files") if isinstance(values, Mapping) else None
    return {row["input"]: _reasons(row) for row in rows or () if _is_row(row)}


def _is_row(row: Any) -> bool:
    return isinstance(row, Mapping) and isinstance(row.get("input"), str)


def _reasons(row: Mapping[str, Any]) -> list[str]:
    flags = row.get("flags")
    known = [flag for flag in flags if flag in _MEANINGS] if isinstance(flags, list) else []
    return [_MEANINGS[flag] for flag in known]
