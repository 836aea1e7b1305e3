"""Small GeoTIFFs for tests, made on the spot."""

import rasterio
from landscapes import landscape

__all__ = ["PLACE", "UTM", "landscape", "write"]

UTM = "EPSG:32633"
PLACE = rasterio.Affine(30.0, 0.0, 500_000.0, 0.0, -30.0, 4_600_000.0)


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
