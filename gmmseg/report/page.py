"""Cards to one HTML file that needs nothing else: no network, no file beside it.

Whatever comes from names, files or messages goes in as JSON, in which nothing can end a script,
and the scripts put it on the page as text only. The policy in the page's head forbids
everything but its own style and scripts, known by their hashes, and pictures held in the page.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, BinaryIO

from gmmseg.labels import palette
from gmmseg.report.cards import Card
from gmmseg.report.outliers import outlier_reasons

__all__ = ["embedded_json", "write_page"]

#: In the order in which they are joined: what is used stands before what uses it.
_SCRIPTS = ("elements", "charts", "viewer", "details", "gallery", "table", "page")

_POLICY = (
    "default-src 'none'; img-src data:; style-src '{style}'; script-src '{script}'; "
    "base-uri 'none'; form-action 'none'"
)

_MOST_COLOURS = 256


def write_page(
    file: BinaryIO,
    cards: Iterable[Card],
    *,
    title: str,
    summary: Mapping[str, Any],
    settings: Sequence[tuple[str, str]],
) -> None:
    """Write the page, each card as it comes: they need not all be in memory.

    Parameters
    ----------
    file : binary file
    cards : iterable of Card
    title : str
    summary : dict
        Plain values about the whole: ``single``, ``subtitle``, ``seconds``.
    settings : sequence of (name, value)
        What is listed at the end of the page.
    """
    head, tail = _template().split("$details")
    style, script = _text("page.css"), _script()
    policy = _POLICY.format(style=_hash(style), script=_hash(script))
    inserted = {
        "title": html.escape(title),
        "policy": html.escape(policy),
        "style": style,
        "script": script,
    }
    _write(file, _filled(head, inserted))
    facts = []
    for number, card in enumerate(cards):
        facts.append(card.facts)
        if card.details:
            _write(file, _block(f"details-{number}", card.details))
    for fact, reasons in zip(facts, outlier_reasons(facts), strict=True):
        fact["reasons"] = [*fact.get("reasons", ()), *reasons]
    most = max((fact.get("k", 1) for fact in facts), default=1)
    colours = palette(min(max(most, 1), _MOST_COLOURS))
    report = {
        "title": title,
        **summary,
        "settings": [list(pair) for pair in settings],
        "colours": [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in colours.tolist()],
        "files": facts,
    }
    _write(file, _block("report", report))
    _write(file, _filled(tail, inserted))


def _block(name: str, values: Any) -> str:
    return f'<script type="application/json" id="{name}">{embedded_json(values)}</script>\n'


def embedded_json(values: Any) -> str:
    r"""JSON in ASCII that can stand in a script element: without <, > and &.

    Examples
    --------
    >>> print(embedded_json({"name": "</script><b>"}))
    {"name":"\u003c/script\u003e\u003cb\u003e"}
    """
    text = json.dumps(values, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _template() -> str:
    return _text("page.html")


def _script() -> str:
    """All scripts as one, which keeps its names to itself."""
    parts = "\n".join(_text(f"{name}.js") for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _filled(template: str, inserted: Mapping[str, str]) -> str:
    """The template with its $names replaced, once: what was put in is left alone."""
    return "".join(_parts(template, inserted))


def _parts(template: str, inserted: Mapping[str, str]) -> Iterator[str]:
    rest = template
    while True:
        places = {name: rest.find(f"${name}") for name in inserted}
        found = {name: place for name, place in places.items() if place >= 0}
        if not found:
            yield rest
            return
        name = min(found, key=lambda key: found[key])
        yield rest[: found[name]]
        yield inserted[name]
        rest = rest[found[name] + len(name) + 1 :]


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _write(file: BinaryIO, text: str) -> None:
    file.write(text.encode("utf-8"))
