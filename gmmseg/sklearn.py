"""scikit-learn's GaussianMixture, with this package's EM inside.

Everything around the fit is inherited: parameters, defaults, their checks, the starts, what is
printed. So it is that of the installed scikit-learn, 1.6 or later.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmmseg._optional import import_optional
from gmmseg.mixture import Mixture
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.em import Fit, fit_rows, start_rows
from gmmseg.mixture.loop import Progress
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.seeding import SAMPLE_SIZE
from gmmseg.mixture.statistics import SMALLEST_VARIANCE

__all__ = ["GaussianMixture"]

_base = import_optional("sklearn.base")
_exceptions = import_optional("sklearn.exceptions")
_theirs = import_optional("sklearn.mixture")
_utils = import_optional("sklearn.utils")
_validation = import_optional("sklearn.utils.validation")

Array = NDArray[Any]

#: What X may hold, in scikit-learn's words: True, or "allow-nan" where gaps are fitted.
_FINITE: dict[str, Any] = {"ensure_all_finite": "allow-nan"}

# A variance so small beside that of all data is one that the M-step had to repair.
_COLLAPSED = 8 * SMALLEST_VARIANCE

_ILL_DEFINED = (
    "Fitting the mixture model failed because some components have ill-defined empirical "
    "covariance (for instance caused by singleton or collapsed samples). Try to decrease the "
    "number of components, increase reg_covar, or scale the input data."
)
_NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or "
    "increase max_iter, tol, or check for degenerate data."
)


class GaussianMixture(_theirs.GaussianMixture):  # type: ignore[misc,name-defined]
    """`sklearn.mixture.GaussianMixture`, faster, and with sample weights.

    Parameters, attributes, warnings and errors are scikit-learn's, and documented there; so are
    the units (`reg_covar` is absolute). Up to 131 072 rows without weights start where
    scikit-learn would with the same `random_state`, and take the same steps to the same result,
    component for component. More rows, or rows with weights, start by this package's method
    of the same name.

    Parameters
    ----------
    n_components : int, default=1
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
    tol : float, default=1e-3
    reg_covar : float, default=1e-6
    max_iter : int, default=100
    n_init : int, default=1
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default="kmeans"
    weights_init, means_init, precisions_init : array-like, optional
    random_state : int, RandomState instance or None, default=None
    warm_start : bool, default=False
    verbose, verbose_interval : int, default=0 and 10

    Attributes
    ----------
    weights_, means_, covariances_, precisions_, precisions_cholesky_ : ndarray
        Of the type of X: float32 or float64.
    converged_ : bool
    n_iter_ : int
    lower_bound_ : float
    lower_bounds_ : list of float
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
    mixture_ : gmmseg.mixture.Mixture
        The same as a value of this package.

    Raises
    ------
    MissingDependencyError
        On import, when scikit-learn is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from gmmseg.sklearn import GaussianMixture
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> gm = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> gm.means_[gm.predict([[0, 0], [12, 3]])]
    array([[ 1.,  2.],
           [10.,  2.]])
    """

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate the parameters by EM.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), optional
            Not negative. A row of weight 3 equals three rows.

        Returns
        -------
        self
        """
        self.fit_predict(X, y, sample_weight=sample_weight)
        return self

    @_base._fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit_predict(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Array:
        """`fit`, and the most probable component (n_samples,) of every row."""
        rows = self._rows_to_fit(X)
        weights = self._weights(sample_weight, rows)
        goes_on = self.warm_start and hasattr(self, "converged_")
        rng = _utils.check_random_state(self.random_state)
        fits = [
            self._run(rows, weights, rng, number, goes_on)
            for number in range(1 if goes_on else self.n_init)
        ]
        # without iterations there is nothing to compare: scikit-learn takes the last start
        best = max(fits, key=_lower_bound) if self.max_iter else fits[-1]
        if self.max_iter and not best.converged:
            warnings.warn(_NOT_CONVERGED, _exceptions.ConvergenceWarning, stacklevel=2)
        self._keep(best, rows.dtype)
        return self.mixture_.predict(rows).astype(np.intp)

    def _rows_to_fit(self, X: ArrayLike) -> Array:
        rules = {"dtype": [np.float64, np.float32], "ensure_min_samples": 2, **_FINITE}
        rows: Array = _validation.validate_data(self, X, **rules)
        if len(rows) < self.n_components:
            raise ValueError(
                "Expected n_samples >= n_components but got n_components = "
                f"{self.n_components}, n_samples = {len(rows)}"
            )
        known = inspect.signature(self._check_parameters).parameters
        self._check_parameters(rows, **({"xp": np} if "xp" in known else {}))  # 1.8 and later
        return rows

    def _weights(self, sample_weight: ArrayLike | None, rows: Array) -> Array | None:
        if sample_weight is None:
            return None
        weights: Array = _validation._check_sample_weight(
            sample_weight, rows, dtype=np.float64, ensure_non_negative=True
        )
        return weights

    def _run(
        self,
        rows: Array,
        weights: Array | None,
        rng: np.random.RandomState,
        number: int,
        goes_on: bool,
    ) -> Fit:
        """EM from the start with this number, or from the last result."""
        self._print_verbose_msg_init_beg(number)
        start = self.mixture_ if goes_on else self._start(rows, weights, rng)
        if self.max_iter == 0:
            return Fit(mixture=start, log_likelihood=-np.inf, history=(), converged=False, n_iter=0)
        change = np.inf
        if goes_on:
            total = len(rows) if weights is None else weights.sum()
            change = start.log_likelihood(rows, weights) / total - self.lower_bound_
        fit = fit_rows(
            rows,
            self.n_components,
            self._options(max_iter=self.max_iter),
            sample_weight=weights,
            start=start,
            ridge=self.reg_covar,
            at_rest=self._rest(change),
        )
        self._print_verbose_msg_init_end(_lower_bound(fit), fit.converged)
        return fit

    def _options(self, **more: Any) -> EMOptions:
        """EM step by step over all rows: `n_iter_`, `tol` and `max_iter` mean what they mean."""
        return EMOptions(covariance_type=self.covariance_type, accelerate=False, gap=0.0, **more)

    def _rest(self, change: float) -> Callable[[Progress], bool]:
        """scikit-learn's rule, which looks at the parameters *before* the step.

        `change` is that of the likelihood from before the fit to its start.
        """
        n_iter = 0

        def at_rest(progress: Progress) -> bool:
            nonlocal change, n_iter
            n_iter += 1
            self._print_verbose_msg_iter_end(n_iter, change)
            last, change = change, progress.gain
            return abs(last) < self.tol

        return at_rest

    def _start(self, rows: Array, weights: Array | None, rng: np.random.RandomState) -> Mixture:
        """scikit-learn's own start wherever it has one and can afford it."""
        given = (self.weights_init, self.means_init, self.precisions_init)
        all_given = all(value is not None for value in given)
        # the least of the rows is NaN when any is
        plain = weights is None and len(rows) <= SAMPLE_SIZE and not np.isnan(rows.min())
        if all_given or plain:
            self._initialize_parameters(rows, rng)
            return self.mixture_
        options = self._options(init=self.init_params, rng=int(rng.randint(2**31)))
        start = start_rows(
            rows,
            self.n_components,
            options,
            sample_weight=weights,
            metric=np.ones_like,  # distances in the units of the data, as scikit-learn takes them
            ridge=self.reg_covar,
        )
        weights_init, means_init, precisions_init = given
        return Mixture.trusted(
            start.weights if weights_init is None else np.asarray(weights_init, float),
            start.means if means_init is None else np.asarray(means_init, float),
            start.covariances if precisions_init is None else _inverse(precisions_init, start),
            self.covariance_type,
        )

    def _keep(self, fit: Fit, dtype: np.dtype[Any]) -> None:
        """Set the attributes of a fitted mixture."""
        mixture = fit.mixture
        if self.max_iter and self.reg_covar == 0 and _has_collapsed(mixture):
            raise ValueError(_ILL_DEFINED)
        factors = _factors(mixture)
        self.weights_ = mixture.weights.astype(dtype)
        self.means_ = mixture.means.astype(dtype)
        self.covariances_ = mixture.covariances.astype(dtype)
        self.precisions_cholesky_ = factors.astype(dtype)
        squared = factors @ factors.swapaxes(-1, -2) if _is_matrix(mixture) else factors**2
        self.precisions_ = squared.astype(dtype)
        self.converged_ = fit.converged
        self.n_iter_ = fit.n_iter
        self.lower_bound_ = _lower_bound(fit)
        self.lower_bounds_ = list(fit.history[:-1])

    @property
    def mixture_(self) -> Mixture:
        """The mixture of the attributes `weights_`, `means_` and `precisions_cholesky_`.

        These may have been set by hand, which is how scikit-learn's users load their models.
        """
        factors = np.asarray(self.precisions_cholesky_, dtype=np.float64)
        return Mixture.trusted(
            np.asarray(self.weights_, dtype=np.float64),
            np.asarray(self.means_, dtype=np.float64),
            _covariances(factors, self.covariance_type),
            self.covariance_type,
        )

    def _rows_to_read(self, X: ArrayLike) -> Array:
        _validation.check_is_fitted(self)
        rows: Array = _validation.validate_data(self, X, reset=False, **_FINITE)
        return rows.astype(np.result_type(rows, self.means_), copy=False)

    # documented by the methods they override

    def predict(self, X: ArrayLike) -> Array:
        rows = self._rows_to_read(X)
        return self.mixture_.predict(rows).astype(np.intp)

    def predict_proba(self, X: ArrayLike) -> Array:
        rows = self._rows_to_read(X)
        return self.mixture_.posterior(rows)

    def score_samples(self, X: ArrayLike) -> Array:
        rows = self._rows_to_read(X)
        return self.mixture_.log_density(rows)

    def score(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Mean log density of the rows (n_samples, n_features), by their weights (n_samples,)."""
        density = self.score_samples(X)
        return float(np.average(density, weights=self._weights(sample_weight, density)))

    def bic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Bayesian information criterion, lower is better; its n is the sum of the weights."""
        rows = self._rows_to_read(X)
        return self.mixture_.bic(rows, self._weights(sample_weight, rows))

    def aic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Akaike information criterion, lower is better."""
        rows = self._rows_to_read(X)
        return self.mixture_.aic(rows, self._weights(sample_weight, rows))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = _FINITE["ensure_all_finite"] == "allow-nan"
        tags.array_api_support = False
        return tags


def _lower_bound(fit: Fit) -> float:
    """The likelihood before the last step: scikit-learn does not evaluate what it returns."""
    return fit.history[-2] if fit.history else -np.inf


def _factors(mixture: Mixture) -> Array:
    """`precisions_cholesky_`: upper factors ``U`` with ``U U' = precision``, or their diagonals."""
    if not _is_matrix(mixture):
        return 1.0 / np.sqrt(mixture.covariances)
    try:
        return np.linalg.inv(np.linalg.cholesky(mixture.covariances)).swapaxes(-1, -2)
    except np.linalg.LinAlgError:
        raise ValueError(_ILL_DEFINED) from None


def _covariances(factors: Array, covariance_type: str) -> Array:
    """The inverse of `_factors`."""
    if not COVARIANCE_TYPES[covariance_type].is_matrix:
        return factors**-2.0
    inverse = np.linalg.inv(factors)
    return inverse.swapaxes(-1, -2) @ inverse


def _inverse(precisions: ArrayLike, like: Mixture) -> Array:
    """Covariances from precisions."""
    values = np.asarray(precisions, dtype=np.float64)
    return np.linalg.inv(values) if _is_matrix(like) else 1.0 / values


def _is_matrix(mixture: Mixture) -> bool:
    return COVARIANCE_TYPES[mixture.covariance_type].is_matrix


def _has_collapsed(mixture: Mixture) -> bool:
    """Whether a component kept no width in some feature.

    One variance for all features scikit-learn lets pass: its rounding errors keep it above 0.
    """
    if COVARIANCE_TYPES[mixture.covariance_type].is_isotropic:
        return False
    deviations = mixture.in_frame(mixture._frame).standard_deviations
    return bool((deviations**2 < _COLLAPSED).any())
