"""How a mixture is fitted: the options, and nothing that uses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmmseg._check import check_choice, check_integer, check_real
from gmmseg.errors import InvalidParameterError
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.seeding import STARTS

if TYPE_CHECKING:
    from gmmseg.mixture.loop import Progress

__all__ = ["CRITERIA", "EMOptions"]

#: What has to come to rest for EM to have converged.
CRITERIA = ("likelihood", "parameters")


@dataclass(frozen=True, kw_only=True)
class EMOptions:
    """How a mixture is fitted. The one place with the defaults.

    Attributes
    ----------
    covariance_type : {"full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"}
        The tied ones have one covariance for all components.
    init : {"kmeans", "k-means++", "random", "random_from_data"}
        Clusters of k-means seeded by k-means++; k-means++ seeds alone; random responsibilities;
        random rows as seeds.
    n_init : int
        Number of starts; the fit with the highest likelihood is kept.
    tol : float
        EM has converged when the mean log-likelihood per row (nats) grows by less than this in
        an EM step, or, with ``criterion="parameters"``, when no weight, no mean and no
        standard deviation (in standard deviations of the data) changes by more.
    criterion : {"likelihood", "parameters"}
    max_iter : int
        Passes over the rows, leaps included.
    accelerate : bool
        Leap between EM steps (SQUAREM) where the likelihood allows it. The same optimum in
        fewer passes; turn it off for EM step by step.
    gap : float
        Many rows (over 327 680) are first fitted by a sample; passes over all rows then go on until
        the mean log-likelihood is within about `gap` nats of the optimum, and say so in
        `Fit.certificate`. 0 = EM over all rows from the start.
    reg_covar : float
        Added to every variance, relative to the variance of that feature in the data: the
        units do not matter.
    prior : float
        Strength of the prior on means and covariances of Fraley and Raftery (2007), which keeps
        components from collapsing on few rows: its log density is multiplied by this. 1 = theirs,
        which counts for some ``2 D + 4`` rows in each component; 0 = none: maximum likelihood.
    max_ratio : float or None
        No variance of a component in any direction is more than this many times another's
        (Garcia-Escudero et al. 2008). Features are measured in their standard deviations in the
        data, so that units do not matter. None = no bound.
    rng : int
        Seed of the starts.
    """

    covariance_type: str = "full"
    init: str = "kmeans"
    n_init: int = 1
    tol: float = 1e-6
    criterion: str = "likelihood"
    max_iter: int = 500
    accelerate: bool = True
    gap: float = 1e-4
    reg_covar: float = 1e-6
    prior: float = 0.0
    max_ratio: float | None = None
    rng: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.accelerate, bool):
            raise InvalidParameterError(
                f"accelerate must be True or False, got {self.accelerate!r}."
            )
        checked = {
            "covariance_type": check_choice(
                self.covariance_type, "covariance_type", COVARIANCE_TYPES
            ),
            "init": check_choice(self.init, "init", STARTS),
            "n_init": check_integer(self.n_init, "n_init", minimum=1),
            "tol": check_real(self.tol, "tol", minimum=0.0),
            "criterion": check_choice(self.criterion, "criterion", CRITERIA),
            "max_iter": check_integer(self.max_iter, "max_iter", minimum=1),
            "gap": check_real(self.gap, "gap", minimum=0.0),
            "reg_covar": check_real(self.reg_covar, "reg_covar", minimum=0.0),
            "prior": check_real(self.prior, "prior", minimum=0.0),
            "max_ratio": self.max_ratio
            if self.max_ratio is None
            else check_real(self.max_ratio, "max_ratio", minimum=1.0),
            "rng": check_integer(self.rng, "rng", minimum=0),
        }
        for name, value in checked.items():  # plain Python numbers: they go to model files
            object.__setattr__(self, name, value)

    def at_rest(self, progress: Progress) -> bool:
        """Whether EM has converged by `criterion` and `tol`."""
        change = abs(progress.gain) if self.criterion == "likelihood" else progress.change
        return change < self.tol
