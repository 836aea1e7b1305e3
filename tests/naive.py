"""The mixture in plain NumPy and float64: slow, short and obviously right.

Everything of the library is tested against this. Covariances are inverted and their determinants
taken as the textbook says; moments are about the new means; nothing is shared with the library.
"""

import numpy as np

TYPES = ("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical")


def matrices(covariances, covariance_type, n_components, n_features):
    """Covariance matrices (K, D, D) of any of the types."""
    identity = np.eye(n_features)
    covariances = np.asarray(covariances, dtype=np.float64)
    if covariance_type == "full":
        return covariances
    if covariance_type == "tied":
        return np.stack([covariances] * n_components)
    if covariance_type == "diag":
        return np.stack([np.diag(variances) for variances in covariances])
    if covariance_type == "spherical":
        return np.stack([variance * identity for variance in covariances])
    if covariance_type == "tied_diag":
        return np.stack([np.diag(covariances)] * n_components)
    return np.stack([covariances * identity] * n_components)


def of_type(full, covariance_type):
    """Parameters of a type from matrices (K, D, D); the tied ones take the first."""
    full = np.asarray(full, dtype=np.float64)
    diagonals = np.stack([np.diag(matrix) for matrix in full])
    return {
        "full": full,
        "tied": full[0],
        "diag": diagonals,
        "spherical": diagonals.mean(axis=1),
        "tied_diag": diagonals[0],
        "tied_spherical": diagonals[0].mean(),
    }[covariance_type]


def component_log_densities(X, weights, means, covariances, covariance_type):
    """log (weight_k N(x_i; mean_k, covariance_k)), shape (N, K)."""
    X = np.asarray(X, dtype=np.float64)
    means = np.asarray(means, dtype=np.float64)
    n_components, n_features = means.shape
    columns = []
    for k, matrix in enumerate(matrices(covariances, covariance_type, n_components, n_features)):
        difference = X - means[k]
        squared = (difference @ np.linalg.inv(matrix) * difference).sum(axis=1)
        _, log_determinant = np.linalg.slogdet(matrix)
        log_density = -0.5 * (n_features * np.log(2 * np.pi) + log_determinant + squared)
        with np.errstate(divide="ignore"):
            columns.append(np.log(weights[k]) + log_density)
    return np.stack(columns, axis=1)


def log_density(X, weights, means, covariances, covariance_type):
    """log p(x_i), shape (N,)."""
    joint = component_log_densities(X, weights, means, covariances, covariance_type)
    top = joint.max(axis=1)
    return top + np.log(np.exp(joint - top[:, None]).sum(axis=1))


def posterior(X, weights, means, covariances, covariance_type):
    """P(k | x_i), shape (N, K)."""
    joint = component_log_densities(X, weights, means, covariances, covariance_type)
    relative = np.exp(joint - joint.max(axis=1, keepdims=True))
    return relative / relative.sum(axis=1, keepdims=True)


def log_likelihood(X, weights, means, covariances, covariance_type, sample_weight=None):
    """Sum of w_i log p(x_i)."""
    density = log_density(X, weights, means, covariances, covariance_type)
    return float(density.sum() if sample_weight is None else (sample_weight * density).sum())


def m_step(X, responsibilities, covariance_type, ridge=0.0):
    """Weights, means and covariances from (weighted) responsibilities (N, K)."""
    X = np.asarray(X, dtype=np.float64)
    n_features = X.shape[1]
    ridge = np.diag(np.broadcast_to(np.asarray(ridge, dtype=np.float64), (n_features,)))
    nk = responsibilities.sum(axis=0)
    means = np.stack([r @ X / r.sum() for r in responsibilities.T])
    scatter = np.stack(
        [
            (r[:, None] * (X - mean)).T @ (X - mean)
            for r, mean in zip(responsibilities.T, means, strict=True)
        ]
    )
    tied = [scatter.sum(axis=0) / nk.sum() + ridge]
    own = scatter / nk[:, None, None] + ridge
    covariances = of_type(tied if covariance_type.startswith("tied") else own, covariance_type)
    return nk / nk.sum(), means, covariances


def em_step(X, weights, means, covariances, covariance_type, sample_weight=None, ridge=0.0):
    """One iteration of EM: new weights, means and covariances."""
    r = posterior(X, weights, means, covariances, covariance_type)
    if sample_weight is not None:
        r = r * np.asarray(sample_weight, dtype=np.float64)[:, None]
    return m_step(X, r, covariance_type, ridge)


def map_m_step(X, responsibilities, covariance_type, strength=1.0):
    """M-step under the prior of Fraley and Raftery (2007), to the power of `strength`.

    Tables 1 and 2 there: VVV, EEE, VVI, VII, EEI, EII; each feature of the diagonal types has the
    scale of its own variance.
    """
    n, d = X.shape
    g = responsibilities.shape[1]
    w = responsibilities.sum(axis=1)
    n = w.sum()
    mean = np.average(X, axis=0, weights=w)
    scale = (w[:, None] * (X - mean)).T @ (X - mean) / n / g ** (2 / d) * strength
    variances = np.diag(scale)
    nu, kappa = strength * (d + 2), strength * 0.01
    nk, means, scatter = responsibilities.sum(axis=0), [], []
    for r in responsibilities.T:
        own = r @ X / r.sum()
        means.append((r @ X + kappa * mean) / (r.sum() + kappa))
        pull = kappa * r.sum() / (kappa + r.sum()) * np.outer(own - mean, own - mean)
        scatter.append(pull + (r[:, None] * (X - own)).T @ (X - own))
    both = sum(scatter)
    s = strength
    if covariance_type == "full":
        found = [(scale + c) / (nu + m + s * (d + 2)) for c, m in zip(scatter, nk, strict=True)]
    elif covariance_type == "tied":
        found = (scale + both) / (nu + n + s * (d + g + 1))
    elif covariance_type == "diag":
        found = [
            (variances + np.diag(c)) / (nu + m + s * 3) for c, m in zip(scatter, nk, strict=True)
        ]
    elif covariance_type == "spherical":
        found = [
            (variances.mean() + np.trace(c)) / (nu + m * d + s * (d + 2))
            for c, m in zip(scatter, nk, strict=True)
        ]
    elif covariance_type == "tied_diag":
        found = (variances + np.diag(both)) / (nu + n + s * (g + 2))
    else:
        found = (variances.mean() + np.trace(both)) / (nu + n * d + s * (g * d + 2))
    return nk / n, np.array(means), np.array(found)


def bounded_eigenvalues(values, weights, ratio):
    """Eigenvalues (K, P) cut to m..ratio*m, m by trying many: the definition, no closed form."""
    values, weights = np.asarray(values, float), np.asarray(weights, float)

    def cost(m):
        kept = np.clip(values, m, ratio * m)
        return (weights[:, None] * (np.log(kept) + values / kept)).sum()

    low, high = np.log(values.max() / ratio) - 40, np.log(values.max())
    for _ in range(12):  # finer and finer grids
        grid = np.linspace(low, high, 400)
        best = int(np.argmin([cost(np.exp(t)) for t in grid]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 399)]
    m = np.exp(0.5 * (low + high))
    return np.clip(values, m, ratio * m)


def mahalanobis(X, means, covariances, covariance_type):
    """Distance of every row to every component, (N, K)."""
    X = np.asarray(X, dtype=np.float64)
    out = np.empty((len(X), len(means)))
    for k, matrix in enumerate(matrices(covariances, covariance_type, *np.shape(means))):
        for i, x in enumerate(X):
            out[i, k] = np.sqrt((x - means[k]) @ np.linalg.inv(matrix) @ (x - means[k]))
    return out


def n_parameters(covariance_type, n_components, n_features):
    """Free parameters: those of the covariances, the means, and all weights but one."""
    one_matrix = n_features * (n_features + 1) // 2
    covariances = {
        "full": n_components * one_matrix,
        "tied": one_matrix,
        "diag": n_components * n_features,
        "spherical": n_components,
        "tied_diag": n_features,
        "tied_spherical": 1,
    }
    return covariances[covariance_type] + n_components * n_features + n_components - 1


def bic(log_likelihood, n_parameters, n_samples):
    """Lower is better."""
    return -2 * log_likelihood + n_parameters * np.log(n_samples)


def aic(log_likelihood, n_parameters):
    """Lower is better."""
    return -2 * log_likelihood + 2 * n_parameters


def lloyd_step(X, centres, sample_weight=None):
    """Labels of the nearest centres, the clusters' means (NaN where empty), and the inertia."""
    X = np.asarray(X, dtype=np.float64)
    w = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight)
    labels = np.empty(len(X), dtype=int)
    inertia = 0.0
    for i, x in enumerate(X):
        squared = [float(((x - centre) ** 2).sum()) for centre in centres]
        labels[i] = int(np.argmin(squared))
        inertia += w[i] * squared[labels[i]]
    moved = np.full(np.shape(centres), np.nan)
    for k in range(len(centres)):
        if (labels == k).any():
            moved[k] = np.average(X[labels == k], axis=0, weights=w[labels == k])
    return labels, moved, inertia


def missing_log_densities(X, weights, means, covariances, covariance_type):
    """log (weight_k N(observed part of x_i)), shape (N, K), one row after the other by SciPy."""
    from scipy.stats import multivariate_normal

    out = np.tile(np.log(weights), (len(X), 1))
    full = matrices(covariances, covariance_type, *np.shape(means))
    for i, x in enumerate(X):
        o = ~np.isnan(x)
        if o.any():
            for k, matrix in enumerate(full):
                normal = multivariate_normal(means[k][o], matrix[np.ix_(o, o)])
                out[i, k] += normal.logpdf(x[o])
    return out


def missing_log_density(X, *parameters):
    """log p(observed part of x_i), shape (N,); 0 where nothing is observed."""
    return np.log(np.exp(missing_log_densities(X, *parameters)).sum(axis=1))


def missing_posterior(X, *parameters):
    """P(k | observed part of x_i), shape (N, K)."""
    joint = np.exp(missing_log_densities(X, *parameters))
    return joint / joint.sum(axis=1, keepdims=True)


def conditional(x, mean, matrix):
    """Mean (D,) and covariance (D, D) of a Gaussian given the observed part of one row."""
    o, m = ~np.isnan(x), np.isnan(x)
    filled, rest = np.where(o, x, mean), np.zeros_like(matrix)
    if o.any():
        by = matrix[np.ix_(m, o)] @ np.linalg.inv(matrix[np.ix_(o, o)])
        filled[m] = mean[m] + by @ (x[o] - mean[o])
        rest[np.ix_(m, m)] = matrix[np.ix_(m, m)] - by @ matrix[np.ix_(o, m)]
    else:
        rest = matrix
    return filled, rest


def missing_em_step(X, weights, means, covariances, covariance_type, sample_weight=None, ridge=0.0):
    """One iteration of EM on rows with gaps, with every row completed for every component."""
    n_components, n_features = np.shape(means)
    r = missing_posterior(X, weights, means, covariances, covariance_type)
    r = r * (1.0 if sample_weight is None else np.asarray(sample_weight)[:, None])
    r[np.isnan(X).all(axis=1)] = 0.0
    nk = r.sum(axis=0)
    full = matrices(covariances, covariance_type, n_components, n_features)
    scatter = np.zeros((n_components, n_features, n_features))
    new_means = np.zeros((n_components, n_features))
    for k in range(n_components):
        completed = [conditional(x, means[k], full[k]) for x in X]
        new_means[k] = sum(r[i, k] * c[0] for i, c in enumerate(completed)) / nk[k]
        for i, (filled, rest) in enumerate(completed):
            difference = filled - new_means[k]
            scatter[k] += r[i, k] * (np.outer(difference, difference) + rest)
    added = np.diag(np.broadcast_to(np.asarray(ridge, dtype=np.float64), (n_features,)))
    expected = scatter / nk[:, None, None] + added
    by_type = {
        "full": lambda: expected,
        "tied": lambda: scatter.sum(axis=0) / nk.sum() + added,
        "diag": lambda: np.stack([np.diag(matrix) for matrix in expected]),
        "spherical": lambda: np.array([np.diag(matrix).mean() for matrix in expected]),
    }
    return nk / nk.sum(), new_means, by_type[covariance_type]()


def missing_mahalanobis(X, means, covariances, covariance_type):
    """Distance of the observed part of every row to every component, (N, K)."""
    out = np.zeros((len(X), len(means)))
    for k, matrix in enumerate(matrices(covariances, covariance_type, *np.shape(means))):
        for i, x in enumerate(X):
            o = ~np.isnan(x)
            d = (x - means[k])[o]
            out[i, k] = np.sqrt(d @ np.linalg.solve(matrix[np.ix_(o, o)], d)) if o.any() else 0.0
    return out


def impute(X, weights, means, covariances, covariance_type):
    """Conditional mean and variance (N, D) of every entry, by first and second moments."""
    r = missing_posterior(X, weights, means, covariances, covariance_type)
    full = matrices(covariances, covariance_type, *np.shape(means))
    first, second = np.zeros_like(X), np.zeros_like(X)
    for i, x in enumerate(X):
        for k, matrix in enumerate(full):
            filled, rest = conditional(x, means[k], matrix)
            first[i] += r[i, k] * filled
            second[i] += r[i, k] * (filled**2 + np.diag(rest))
    return first, second - first**2
