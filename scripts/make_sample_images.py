"""Make the pictures in sample_images/ from public data sets.

    python scripts/make_sample_images.py DATA [--out sample_images]

DATA is a folder with dsb2018/images, mni152_nilearn, landsat5_rstoolbox, landsat8_cloudmask and
sentinel2_eolearn, laid out as their sources publish them (sample_images/README.md names these); the
photo comes with scikit-image. Needs rasterio and nibabel: pip install 'gmmseg[geo,medical]'.
"""

import argparse
from pathlib import Path

import nibabel
import numpy as np
import rasterio
import skimage.data
from PIL import Image
from rasterio.windows import Window

LARGEST = 400_000  # bytes of one file

STAINED = "4193474b2f1c72f735b13633b219d9cabdd43c21d9c2bb4dfc4809f104ba4c06.png"
TEMPLATE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
LANDSAT5 = "LT52240631988227CUB02_B{}.TIF"
LANDSAT8_NEAR_INFRARED = "LC80130312015295LGN00_B5_toa.tif"

#: Clear dates of eo-learn's TestEOPatch by their place in REFERENCE_SCENES, where its bands are
#: there, and where it lies (bbox.geojson): left, bottom, right, top.
SENTINEL2_DATES = {4: "20150711", 3: "20150830", 2: "20150909"}
SENTINEL2_BANDS = {"B02": 1, "B03": 2, "B04": 3, "B08": 7, "B11": 11, "B12": 12}
SENTINEL2_BOX = (465181.0522318204, 5079244.8912012065, 466180.53145382757, 5080254.63349641)

#: Landsat 5 TM bands of reflected light; band 6 is heat, at a quarter of the resolution.
TM_BANDS = {
    1: "blue",
    2: "green",
    3: "red",
    4: "near infrared",
    5: "infrared 1.6",
    7: "infrared 2.2",
}


def make_photo(data: Path, out: Path) -> Path:
    path = out / "photo.jpg"
    Image.fromarray(skimage.data.coffee()).save(path, quality=92, subsampling=0, optimize=True)
    return path


def make_microscopy(data: Path, out: Path) -> Path:
    path = out / "microscopy.png"
    with Image.open(data / "dsb2018" / "images" / STAINED) as image:
        image.convert("RGB").save(path, optimize=True)  # its alpha channel is 255 everywhere
    return path


def make_mri(data: Path, out: Path) -> Path:
    path = out / "mri.png"
    volume = nibabel.load(data / "mni152_nilearn" / TEMPLATE)
    height = round(12 - volume.affine[2, 3])  # 12 mm above the anterior commissure, 1 mm voxels
    axial = np.asarray(volume.dataobj[:, :, height], np.uint8)
    # Stored left to right and back to front. Radiologists look from the feet: front up, the
    # patient's left on the right hand side.
    Image.fromarray(np.ascontiguousarray(axial.T[::-1, ::-1])).save(path, optimize=True)
    return path


def make_satellite(data: Path, out: Path) -> Path:
    path = out / "satellite.tif"
    scene = data / "landsat5_rstoolbox"
    with rasterio.open(scene / LANDSAT5.format(1)) as first:
        profile = first.profile
    profile.update(
        count=len(TM_BANDS),
        compress="deflate",
        zlevel=9,
        predictor=2,
        interleave="band",
        tiled=False,
    )
    profile.pop("blockysize", None)
    with rasterio.open(path, "w", **profile) as target:
        for index, (number, name) in enumerate(TM_BANDS.items(), start=1):
            with rasterio.open(scene / LANDSAT5.format(number)) as source:
                target.write(source.read(1), index)
            target.set_band_description(index, name)
    return path


def make_satellite_gaps(data: Path, out: Path) -> Path:
    """`make_satellite` with stripes lost in the infrared bands.

    Tilted 9 degrees, wider to the sides, as those of Landsat 7 after 2003, but others in the near
    infrared than in the rest, as where scenes of two dates are joined.
    """
    path = out / "satellite_gaps.tif"
    with rasterio.open(make_satellite(data, out)) as source:
        profile, bands, names = source.profile, source.read(), source.descriptions
    rows, cols = np.mgrid[: source.height, : source.width]
    width = 4 + 8 * np.abs(cols / source.width - 0.5)
    for band, shift in zip(bands[3:], (0, 9, 11), strict=True):
        band[(rows + 0.16 * cols + shift) % 20 < width] = 0
    profile.update(nodata=0)
    with rasterio.open(path, "w", **profile) as target:
        target.write(bands)
        target.descriptions = names
    return path


def make_grey16(data: Path, out: Path) -> Path:
    path = out / "grey16.png"
    with rasterio.open(data / "landsat8_cloudmask" / LANDSAT8_NEAR_INFRARED) as source:
        reflectance = source.read(1, window=Window(0, 0, 460, 350))  # beyond it the scene ends
    Image.fromarray(np.rint(reflectance * 10_000).astype(np.uint16)).save(path, optimize=True)
    return path


def make_sentinel2(data: Path, out: Path) -> Path:
    """Three dates of one place: reflectances as numbers with their scale, as they are delivered."""
    scenes = np.load(data / "sentinel2_eolearn" / "REFERENCE_SCENES.npy")
    rows, cols = scenes.shape[1:3]
    (out / "sentinel2").mkdir(exist_ok=True)
    for frame, date in SENTINEL2_DATES.items():
        path = out / "sentinel2" / f"S2A_{date}.tif"
        planes = np.moveaxis(scenes[frame], -1, 0)[list(SENTINEL2_BANDS.values())]
        with rasterio.open(
            path, "w", driver="GTiff", width=cols, height=rows, count=len(planes), dtype="uint16",
            crs="EPSG:32633", transform=rasterio.transform.from_bounds(*SENTINEL2_BOX, cols, rows),
            compress="deflate", zlevel=9, predictor=2, interleave="band",
        ) as target:  # fmt: skip
            target.write(np.rint(planes * 10_000).astype(np.uint16))
            target.descriptions = tuple(SENTINEL2_BANDS)
            target.scales = (1e-4,) * len(planes)
    return path


MAKERS = (
    make_photo,
    make_microscopy,
    make_mri,
    make_satellite,
    make_satellite_gaps,
    make_grey16,
    make_sentinel2,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with the data sets")
    parser.add_argument("--out", type=Path, default=Path("sample_images"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for make in MAKERS:
        path = make(options.data, options.out)
        size = path.stat().st_size
        print(f"{path}  {size / 1000:.0f} kB")
        if size > LARGEST:
            raise SystemExit(f"{path} is larger than {LARGEST / 1000:.0f} kB.")


if __name__ == "__main__":
    main()
