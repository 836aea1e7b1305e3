"""A sample in the place of all rows, completed by what it lacks (docs/math.md, eq. 65)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gmmseg.mixture.hinted import HintedRows
from gmmseg.mixture.mixture import Mixture
from gmmseg.mixture.patterns import AnyRows
from gmmseg.mixture.prior_rows import PriorRows
from gmmseg.mixture.statistics import Statistics

__all__ = ["HeldRows", "StandIn"]

#: Rows that are there.
HeldRows = AnyRows | HintedRows | PriorRows


@dataclass(frozen=True, eq=False)
class StandIn:
    """A sample, and what all rows have beside it in their statistics under one mixture.

    EM over it maximises the sample's likelihood plus the expected likelihood of the difference,
    whose value and gradient at that mixture are those of all rows (Jordan, Lee and Yang, J. Amer.
    Statist. Assoc. 114 (2019) 668-681; for EM Chen, Zhu, Teh and Zhang, NeurIPS 2018).

    Attributes
    ----------
    sample : rows of any kind
        Weighted as all rows are in sum.
    lacking : Statistics
        Those of all rows less those of the sample, under one mixture. The log-likelihood is what
        its expectation under that mixture does not explain.
    """

    sample: HeldRows
    lacking: Statistics

    @classmethod
    def of(cls, sample: HeldRows, at: Mixture, own: Statistics, known: Statistics) -> StandIn:
        """From the statistics of the sample and of all rows, both under `at`."""
        lacking = known - own
        rest = lacking.log_likelihood - lacking.expected(at)
        return cls(sample, replace(lacking, log_likelihood=rest))

    @property
    def n_samples(self) -> int:
        return self.sample.n_samples

    @property
    def log_scale(self) -> float:
        """As of `Rows`."""
        return self.sample.log_scale

    def completed(self, own: Statistics, mixture: Mixture) -> Statistics:
        """An estimate of the statistics of all rows from those of the sample."""
        more = self.lacking.moved(own.about)
        found = own + replace(
            more, log_likelihood=more.log_likelihood + self.lacking.expected(mixture)
        )
        return replace(found, nk=np.maximum(found.nk, 0.0))
