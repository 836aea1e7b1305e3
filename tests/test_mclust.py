"""Fits of the R package mclust, replayed from its start partitions: data/mclust/README.md."""

import csv
from pathlib import Path

import numpy as np
import pytest

from gmmseg.errors import DegenerateDataWarning
from gmmseg.mixture import fit_mixture

FOLDER = Path(__file__).parent / "data" / "mclust"

# mclust's names; with one feature it says E and V
TYPES = {
    "EII": "tied_spherical",
    "VII": "spherical",
    "EEI": "tied_diag",
    "VVI": "diag",
    "EEE": "tied",
    "VVV": "full",
    "E": "tied",
    "V": "full",
}


def table(name):
    with (FOLDER / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def rows_of(dataset):
    columns = {"diabetes": ("fpg", "glucose", "insulin"), "faithful": ("eruptions", "waiting")}
    names = columns.get(dataset, (dataset,))
    return np.array([[float(row[name]) for name in names] for row in table(dataset)])


def partition(dataset, n_components):
    """Labels from 0; mclust's begin with 1."""
    if n_components == 1:
        return np.zeros(len(rows_of(dataset)), int)
    column = f"G{n_components}"
    return np.array([int(row[column]) - 1 for row in table(f"partitions_{dataset}")])


def replay(row, **options):
    k = int(row["G"])
    return fit_mixture(
        rows_of(row["dataset"]),
        k,
        covariance_type=TYPES[row["model"]],
        init=partition(row["dataset"], k),
        reg_covar=0.0,
        max_iter=20_000,
        **options,
    )


def name_of(row):
    return f"{row['dataset']}-{row['model']}-{row['G']}"


@pytest.mark.parametrize("accelerate", [True, False])
@pytest.mark.parametrize("row", table("tight_fits"), ids=name_of)
def test_tight_fits(row, accelerate):
    fit = replay(row, tol=1e-14, accelerate=accelerate)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(float(row["loglik_tol1e-12"]), abs=1e-6)


def as_mclust_stops(row):
    """EM until the log-likelihood L grows by less than 1e-5 (1 + |L|): mclust's default."""
    n = len(rows_of(row["dataset"]))
    return replay(row, tol=1e-5 * (1 + abs(float(row["loglik"]))) / n, accelerate=False)


DEFAULT = [row for row in table("default_fits") if row["dataset"] != "acidity" or row["G"] == "1"]


@pytest.mark.parametrize("row", DEFAULT, ids=name_of)
def test_fits_that_stop_where_mclust_stops(row):
    fit = as_mclust_stops(row)
    assert fit.log_likelihood == pytest.approx(float(row["loglik"]), abs=1e-6)
    assert fit.mixture.n_parameters == int(row["df"])
    bic = fit.mixture.bic(rows_of(row["dataset"]))
    assert bic == pytest.approx(-float(row["BIC_mclust"]), abs=1e-5)


def of_table(dataset, model, k):
    return next(
        row for row in DEFAULT if (row["dataset"], row["model"], row["G"]) == (dataset, model, k)
    )


@pytest.mark.parametrize("row", table("best_models")[:2], ids=name_of)
def test_icl(row):
    X = rows_of(row["dataset"])
    mixture = as_mclust_stops(of_table(row["dataset"], row["model"], row["G"])).mixture
    assert mixture.icl(X) == pytest.approx(-float(row["ICL"]), abs=1e-4)
    doubled = np.repeat(X, 2, axis=0)
    assert mixture.icl(X, np.full(len(X), 2.0)) == pytest.approx(mixture.icl(doubled), rel=1e-12)


# The numbers printed in mclust's vignette, version 6.1.3


def test_diabetes_of_the_vignette():
    X = rows_of("diabetes")
    fit = as_mclust_stops(of_table("diabetes", "VVV", "3"))
    mixture = fit.mixture
    assert round(fit.log_likelihood, 3) == -2295.118
    assert round(mixture.bic(X), 3) == 4734.561
    assert round(mixture.icl(X), 2) == 4749.16
    assert np.bincount(mixture.predict(X)).tolist() == [82, 35, 28]
    # mclust tells the shares of the last E-step: the weights of the M-step to come
    shares = mixture.posterior(X).mean(axis=0)
    np.testing.assert_allclose(shares, [0.5553630, 0.2479432, 0.1966939], rtol=0, atol=1e-6)


def test_bootstrap_likelihood_ratios_of_the_vignette():
    found = [as_mclust_stops(of_table("diabetes", "VVV", k)).log_likelihood for k in "1234"]
    np.testing.assert_allclose(
        2 * np.diff(found), [369.98537, 121.10652, 19.90071], rtol=0, atol=1e-5
    )


def test_acidity_of_the_vignette():
    X = rows_of("acidity")
    fit = fit_mixture(X, 2, covariance_type="tied", reg_covar=0.0, tol=1e-14, max_iter=5000)
    row = next(row for row in table("best_models") if row["dataset"] == "acidity")
    # mclust stops 4e-5 short of the optimum
    assert fit.log_likelihood == pytest.approx(float(row["loglik"]), abs=1e-4)
    assert fit.log_likelihood > float(row["loglik"])
    assert fit.mixture.bic(X) == pytest.approx(392.0723, abs=2e-4)
    assert fit.mixture.icl(X) == pytest.approx(398.5554, abs=0.02)


def test_faithful_of_the_vignette():
    X = rows_of("faithful")
    fit = as_mclust_stops(of_table("faithful", "EEE", "3"))
    assert round(fit.log_likelihood, 3) == -1126.326
    assert round(fit.mixture.bic(X), 3) == 2314.316
    assert round(fit.mixture.icl(X), 3) == 2357.824


def test_what_the_ridge_costs():
    row = next(row for row in table("tight_fits") if name_of(row) == "diabetes-VVV-3")
    free = replay(row, tol=1e-14)
    ridged = fit_mixture(
        rows_of("diabetes"), 3, init=partition("diabetes", 3), tol=1e-14, max_iter=20_000
    )
    assert 0 < free.log_likelihood - ridged.log_likelihood < 1e-2


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64])
def test_partitions_of_any_integer_type(dtype):
    X, labels = rows_of("faithful"), partition("faithful", 2)
    expected = fit_mixture(X, 2, init=labels)
    found = fit_mixture(X, 2, init=labels.astype(dtype))
    assert found.history == expected.history
    assert fit_mixture(X, 2, init=labels.tolist()).history == expected.history


@pytest.mark.parametrize("covariance_type", list(TYPES.values())[:6])
def test_the_start_is_the_m_step_of_the_partition(covariance_type):
    import naive

    X, labels = rows_of("faithful"), partition("faithful", 3)
    w = np.random.default_rng(0).uniform(0, 2, len(X))
    w[::9] = 0
    weights, means, covariances = naive.m_step(X, np.eye(3)[labels] * w[:, None], covariance_type)
    first = naive.log_likelihood(X, weights, means, covariances, covariance_type, w) / w.sum()
    fit = fit_mixture(
        X, 3, covariance_type=covariance_type, sample_weight=w, init=labels, reg_covar=0.0
    )
    assert fit.history[0] == pytest.approx(first, rel=1e-9)


def test_clusters_without_rows_and_of_one_row():
    X = rows_of("faithful")
    labels = np.zeros(len(X), int)
    labels[7] = 2
    with pytest.warns(DegenerateDataWarning, match="1 of 3 components have no rows"):
        fit = fit_mixture(X, 3, init=labels, reg_covar=1e-6)
    assert np.isfinite(fit.log_likelihood)
    assert np.isfinite(fit.mixture.means).all()
