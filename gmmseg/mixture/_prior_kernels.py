"""The kernel of rows that have priors of their own: loops and nothing else."""

from gmmseg.mixture._jit import kernel
from gmmseg.mixture._kernels import log2


@kernel
def prior_pass(shares, log2_density, maps, first, own, weights, work, foreseen, log2_likelihood):
    """Turn posteriors under equal weights into responsibilities under priors, in place.

    shares (K, n) are the posteriors of rows first:first + n, of densities `log2_density`. The prior
    of a row is `own` (K,) times maps[:, row], normalised. `weights` are those of the rows, or of
    size 0. Sums of the priors go to foreseen (K,), those of the log densities to log2_likelihood.
    """
    n_classes, n = shares.shape
    norm, total = work[0, :n], work[1, :n]
    for i in range(n):
        norm[i] = 0
        total[i] = 0
    for k in range(n_classes):
        row = maps[k, first : first + n]
        for i in range(n):
            norm[i] += own[k] * row[i]
    for i in range(n):
        norm[i] = 1 / norm[i]
    for k in range(n_classes):
        row, share = maps[k, first : first + n], shares[k]
        found = 0.0
        for i in range(n):
            prior = own[k] * row[i] * norm[i]
            share[i] *= prior
            total[i] += share[i]  # not 0 in the end: no posterior is less than 2**-90
            found += prior * weights[i] if weights.size else prior
        foreseen[k] += found
    found = 0.0
    for i in range(n):
        log2_density[i] += log2(total[i])
        total[i] = 1 / total[i]
    if weights.size:
        for i in range(n):
            log2_density[i] *= weights[i]
            total[i] *= weights[i]
    for i in range(n):
        found += log2_density[i]
    log2_likelihood[0] += found
    for k in range(n_classes):
        share = shares[k]
        for i in range(n):
            share[i] *= total[i]
