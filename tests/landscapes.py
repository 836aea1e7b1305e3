"""Made-up land, for tests of scenes in any format."""

import numpy as np


def landscape(rows=60, cols=80, bands=3, dtype=np.uint16, seed=0):
    """Fields of three kinds with noise, (bands, rows, cols)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols]
    kind = (np.sin(x / 9 + seed) + np.cos(y / 7) > 0.3).astype(int) + (x + y > rows)
    level = np.array([300.0, 700.0, 1500.0])[kind]
    values = level * (1 + 0.3 * np.arange(bands))[:, None, None]
    return (values + rng.normal(0, 40, (bands, rows, cols))).astype(dtype)
