"""How each image of a batch fits the reference, and which do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["RULES", "drift_rows"]

#: When a file is flagged. Spreads are median absolute deviations times 1.4826: the standard
#: deviation of normal values.
RULES = {
    "unlikely": "the mean log-likelihood is more than 5 spreads, and 0.5 nats, below the median of "
    "all files",
    "novel": "more than 10 % of the pixels lie outside of what 99 % of the pixels of a Gaussian "
    "would be within",
    "moved": "a mean of the model that labels the file is at the limit (mode drift), or further "
    "than the limit from the reference's (mode independent)",
}

_SPREADS = 5.0
_LEAST_NATS = 0.5
_MOST_NOVEL = 0.1
_AT_LIMIT = 1 - 1e-6
_NORMAL = 1.4826


def drift_rows(summaries: Sequence[Mapping[str, Any]], limit: float) -> list[dict[str, Any]]:
    """One row for each image, from the summaries.

    Parameters
    ----------
    summaries : sequence of dict
        Those of images that were compared with a reference.
    limit : float
        `DriftOptions.max_drift`.

    Returns
    -------
    list of dict
        ``input``, ``log_likelihood``, ``novelty_share``, ``flags``, and lists by class: ``shares``,
        ``shifts`` and ``moves`` (`folder_modes.Comparison`).
    """
    likelihoods = np.array([summary["drift"]["log_likelihood"] for summary in summaries])
    middle = float(np.median(likelihoods)) if len(likelihoods) else 0.0
    spread = _NORMAL * float(np.median(np.abs(likelihoods - middle))) if len(likelihoods) else 0.0
    lowest = middle - max(_SPREADS * spread, _LEAST_NATS)
    return [
        {
            "input": summary["input"],
            "log_likelihood": found["log_likelihood"],
            "novelty_share": found["novelty_share"],
            "flags": [
                name
                for name, is_so in (
                    ("unlikely", found["log_likelihood"] < lowest),
                    ("novel", found["novelty_share"] > _MOST_NOVEL),
                    ("moved", max(found["moves"]) >= limit * _AT_LIMIT > 0),
                )
                if is_so
            ],
            "shares": found["shares"],
            "shifts": found["shifts"],
            "moves": found["moves"],
        }
        for summary, found in ((summary, summary["drift"]) for summary in summaries)
    ]
