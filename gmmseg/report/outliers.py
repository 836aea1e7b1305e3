"""Files unlike the others of their folder, and in what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

__all__ = ["outlier_reasons"]

#: With fewer files nothing is usual.
_FEWEST = 10

#: Modified z-scores beyond this are outliers: Iglewicz and Hoaglin (1993), "How to Detect and
#: Handle Outliers".
_FAR = 3.5
_SCALE = 0.6745

#: What may vary without being odd, in the quantity's unit: shares of pixels and of uncertainty,
#: nats of the mean log-likelihood.
_FLOORS = {"share": 0.01, "entropy": 0.01, "score": 0.05}


def outlier_reasons(facts: Sequence[dict[str, Any]]) -> list[list[str]]:
    """For each file in what it is unlike the others, in words; most odd first.

    Compared are the shares of the classes, the mean log-likelihood and the mean uncertainty of
    files with the usual number of classes, by the median and the median absolute deviation.

    Parameters
    ----------
    facts : sequence of dict
        Of cards; failed ones are passed over.

    Examples
    --------
    >>> files = [
    ...     {"status": "done", "k": 1, "classes": [], "score": -8 + 0.1 * (i % 3), "entropy": None}
    ...     for i in range(12)
    ... ]
    >>> files[5]["score"] = -20.0
    >>> outlier_reasons(files)[5]
    ['log-likelihood -20 per pixel, usually -7.9']
    """
    found: list[list[tuple[float, str]]] = [[] for _ in facts]
    done = [i for i, fact in enumerate(facts) if fact["status"] == "done"]
    if len(done) < _FEWEST:
        return [[] for _ in facts]
    usual_k = Counter(facts[i]["k"] for i in done).most_common(1)[0][0]
    alike = [i for i in done if facts[i]["k"] == usual_k]
    for i in done:
        if facts[i]["k"] != usual_k:
            found[i].append((np.inf, f"{facts[i]['k']} classes, usually {usual_k}"))
    for kind, name, values in _quantities(facts, alike):
        for i, value, usual, distance in _far(values, _FLOORS[kind]):
            found[i].append((distance, _told(kind, name, value, usual)))
    return [[text for _, text in sorted(reasons, reverse=True)] for reasons in found]


def _quantities(
    facts: Sequence[dict[str, Any]], alike: Sequence[int]
) -> Iterator[tuple[str, str, dict[int, float]]]:
    labels = sorted({row["label"] for i in alike for row in facts[i]["classes"]})
    for label in labels:
        shares = {
            i: row["share"] for i in alike for row in facts[i]["classes"] if row["label"] == label
        }
        yield "share", f"class {label}", shares
    for kind in ("score", "entropy"):
        known = {i: facts[i].get(kind) for i in alike}
        yield kind, kind, {i: value for i, value in known.items() if value is not None}


def _far(values: dict[int, float], floor: float) -> Iterator[tuple[int, float, float, float]]:
    if len(values) < _FEWEST:
        return
    usual = float(np.median(list(values.values())))
    spread = float(np.median([abs(value - usual) for value in values.values()]))
    for i, value in values.items():
        distance = _SCALE * abs(value - usual) / max(spread, floor)
        if distance > _FAR:
            yield i, value, usual, distance


def _told(kind: str, name: str, value: float, usual: float) -> str:
    if kind == "share":
        return f"{name} covers {value:.1%}, usually {usual:.1%}".replace("%", " %")
    if kind == "entropy":
        return f"uncertainty {value:.2f}, usually {usual:.2f}"
    return f"log-likelihood {value:.4g} per pixel, usually {usual:.4g}"
