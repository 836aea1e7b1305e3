"""Small GeoTIFFs for tests, made on the spot."""

import numpy as np
import rasterio

UTM = "EPSG:32633"
PLACE = rasterio.Affine(30.0, 0.0, 500_000.0, 0.0, -30.0, 4_600_000.0)


def landscape(rows=60, cols=80, bands=3, dtype=np.uint16, seed=0):
    """Fields of three kinds with noise, (bands, rows, cols)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols]
    kind = (np.sin(x / 9 + seed) + np.cos(y / 7) > 0.3).astype(int) + (x + y > rows)
    level = np.array([300.0, 700.0, 1500.0])[kind]
    values = level * (1 + 0.3 * np.arange(bands))[:, None, None]
    return (values + rng.normal(0, 40, (bands, rows, cols))).astype(dtype)


def write(path, array, *, crs=UTM, transform=PLACE, block=16, names=(), setup=None, **more):
    """A GeoTIFF; `setup` is called with the dataset before the pixels are written."""
    bands, rows, cols = array.shape
    options = {"tiled": True, "blockxsize": block, "blockysize": block, "compress": "deflate"}
    with rasterio.open(
        path, "w", driver="GTiff", width=cols, height=rows, count=bands, dtype=array.dtype,
        crs=crs, transform=transform, **(options | more),
    ) as dataset:  # fmt: skip
        for i, name in enumerate(names, start=1):
            dataset.set_band_description(i, name)
        if setup is not None:
            setup(dataset)
        dataset.write(array)
    return path
