"""Label maps as polygons and tables."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")
shapely = pytest.importorskip("shapely")
pyogrio = pytest.importorskip("pyogrio")
pyproj = pytest.importorskip("pyproj")

from scene_files import PLACE, UTM, write  # noqa: E402

import gmmseg  # noqa: E402
from gmmseg.errors import InvalidDataError, InvalidParameterError, ReadError  # noqa: E402
from gmmseg.georeference import Georeference  # noqa: E402
from gmmseg.io.ground import pixel_areas  # noqa: E402
from gmmseg.outputs import write_output  # noqa: E402
from gmmseg.vectors import (  # noqa: E402
    VectorOptions,
    export_polygons,
    label_polygons,
)
from gmmseg.zonal import export_table  # noqa: E402

GEO = Georeference(crs=rasterio.crs.CRS.from_string(UTM).to_wkt(), transform=tuple(PLACE)[:6])
DEGREES = rasterio.Affine(0.01, 0.0, 10.0, 0.0, -0.01, 60.0)
LATLON = Georeference(crs=rasterio.crs.CRS.from_epsg(4326).to_wkt(), transform=tuple(DEGREES)[:6])


def fields(rows=40, cols=50, k=3, seed=0):
    """Patches of classes, with some pixels not used."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, k + 1, (rows // 5, cols // 5)).repeat(5, 0).repeat(5, 1)
    labels[rng.random(labels.shape) < 0.05] = 1
    labels[:3, :4] = 0
    return labels.astype(np.uint8)


def burnt(found, georeference, shape):
    """The polygons as a label map again."""
    pairs = zip(found.geometries, found.labels.tolist(), strict=True)
    place = rasterio.Affine(*georeference.transform)
    return rasterio.features.rasterize(pairs, out_shape=shape, transform=place, dtype="uint8")


@pytest.mark.parametrize("dissolve", [False, True])
def test_polygons_are_the_label_map(dissolve):
    labels = fields()
    found = label_polygons(labels, GEO, VectorOptions(dissolve=dissolve))
    assert np.array_equal(burnt(found, GEO, labels.shape), labels)
    assert found.pixels.sum() == np.count_nonzero(labels)
    assert found.areas == pytest.approx(found.pixels * 900.0)
    if dissolve:
        assert found.labels.tolist() == [1, 2, 3]


def test_without_a_place_coordinates_are_columns_and_rows():
    found = label_polygons(np.array([[1, 1, 2]], np.uint8))
    assert found.areas is None
    assert shapely.bounds(found.geometries[1]).tolist() == [2, 0, 3, 1]


@pytest.mark.parametrize("tolerance", [2.0, 4.0])
def test_simpler_polygons_have_neither_gaps_nor_overlaps(tolerance):
    stripes = np.add.outer(2 * np.arange(40), np.arange(50)) // 15 % 3
    labels = (1 + stripes).astype(np.uint8)
    labels[10:20, 10:20] = 1
    plain = label_polygons(labels, GEO)
    found = label_polygons(labels, GEO, VectorOptions(simplify=tolerance))
    polygons = np.array(found.geometries)
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)
    assert shapely.area(polygons).sum() == pytest.approx(labels.size * 900.0)
    assert (
        shapely.get_num_coordinates(polygons).sum()
        < shapely.get_num_coordinates(np.array(plain.geometries)).sum()
    )
    assert found.pixels.tolist() == plain.pixels.tolist()


@pytest.mark.parametrize("least", [6, "0.54 ha"])
def test_the_smallest_mapping_unit(least):
    found = label_polygons(fields(), GEO, VectorOptions(min_area=least))
    assert found.pixels.min() >= 6
    assert found.pixels.sum() == np.count_nonzero(fields())


def test_a_map_of_nothing():
    with pytest.raises(InvalidDataError, match="has no classes: all of it is 0"):
        label_polygons(np.zeros((3, 3), np.uint8))


def test_areas_of_degrees_are_geodesic():
    areas = pixel_areas((40, 50), LATLON)
    geod = pyproj.Geod(ellps="WGS84")
    lon, lat = [10.0, 10.01, 10.01, 10.0], [60.0, 60.0, 59.99, 59.99]
    assert areas[0] == pytest.approx(abs(geod.polygon_area_perimeter(lon, lat)[0]), rel=1e-9)
    assert areas[-1] > areas[0]
    labels = fields()
    found = label_polygons(labels, LATLON)
    expected = sum((areas * (labels == j).sum(axis=1)).sum() for j in (1, 2, 3))
    assert found.areas.sum() == pytest.approx(expected, rel=1e-6)


def test_feet_are_not_metres():
    feet = Georeference(crs=rasterio.crs.CRS.from_epsg(2263).to_wkt(), transform=GEO.transform)
    assert pixel_areas((2, 2), feet)[0] == pytest.approx(900 * (1200 / 3937) ** 2)


@pytest.mark.parametrize("ending", ["gpkg", "geojson"])
def test_files_keep_system_and_attributes(tmp_path, ending):
    path = write(tmp_path / "a_labels.tif", fields()[np.newaxis], nodata=0)
    out = tmp_path / f"a.{ending}"
    n = export_polygons(path, out, VectorOptions(names=("water", "forest")))
    meta, _, geometry, columns = pyogrio.raw.read(out)
    assert pyproj.CRS.from_user_input(meta["crs"]).to_epsg() == 32633
    assert len(geometry) == n
    values = dict(zip(meta["fields"], columns, strict=True))
    assert set(values["name"]) == {"water", "forest", "class 3"}
    assert values["colour"][values["class"] == 1][0] == "#306fd8"
    assert values["area_ha"] == pytest.approx(values["pixels"] * 0.09)
    with pytest.raises(OSError, match=r"exists already. Replace it with overwrite="):
        export_polygons(path, out)
    export_polygons(path, out, overwrite=True)


def test_a_geojson_without_a_place(tmp_path):
    from gmmseg.io import write_png

    write_png(tmp_path / "a.png", fields())
    export_polygons(tmp_path / "a.png", tmp_path / "a.geojson")
    first = json.loads((tmp_path / "a.geojson").read_text())["features"][0]
    assert first["properties"]["area_m2"] is None


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_of_all(tmp_path):
    labels = fields()
    path = write(tmp_path / "a.tif", labels[np.newaxis], crs="EPSG:4326", transform=DEGREES)
    export_table(path, tmp_path / "a.csv", VectorOptions(names=("=1+1", 'a "b", c')))
    table = rows_of(tmp_path / "a.csv")
    assert [row["name"] for row in table] == ["'=1+1", 'a "b", c', "class 3"]
    assert [int(row["pixels"]) for row in table] == np.bincount(labels.ravel())[1:].tolist()
    assert sum(float(row["share"]) for row in table) == pytest.approx(1, abs=1e-5)
    areas = pixel_areas(labels.shape, LATLON)
    expected = (areas * (labels == 1).sum(axis=1)).sum()
    assert float(table[0]["area_m2"]) == pytest.approx(expected, rel=1e-9)


def test_the_table_of_zones(tmp_path):
    labels = fields()
    path = write(tmp_path / "a.tif", labels[np.newaxis])
    left, right = (shapely.box(*box) for box in ((0, 0, 20, 40), (20, 0, 50, 40)))
    place = [shapely.transform(b, lambda p: np.column_stack(
        [PLACE.c + 30 * p[:, 0], PLACE.f - 30 * p[:, 1]])) for b in (left, right)]  # fmt: skip
    to_degrees = pyproj.Transformer.from_crs(UTM, 4326, always_xy=True).transform
    zones = [shapely.transform(p, lambda c: np.column_stack(to_degrees(*c.T))) for p in place]
    pyogrio.raw.write(
        tmp_path / "zones.gpkg", geometry=shapely.to_wkb(np.array(zones)), field_data=[],
        fields=np.array([], object), crs="EPSG:4326", geometry_type="Polygon",
    )  # fmt: skip
    assert export_table(path, tmp_path / "a.csv", zones=tmp_path / "zones.gpkg") == 2
    table = rows_of(tmp_path / "a.csv")
    halves = labels[:, :20], labels[:, 20:]
    expected = [n for half in halves for n in np.bincount(half.ravel(), minlength=4)[1:]]
    assert [int(row["pixels"]) for row in table] == expected


def parcels(path, names, crs=UTM):
    """Two parcels side by side, in the columns 0..20 and 20..50."""
    boxes = [
        shapely.box(PLACE.c + 30 * left, PLACE.f - 1200, PLACE.c + 30 * right, PLACE.f)
        for left, right in ((0, 20), (20, 50))
    ]
    pyogrio.raw.write(
        path, geometry=shapely.to_wkb(np.array(boxes)), field_data=[np.array(names, object)],
        fields=np.array(["owner"], object), crs=crs, geometry_type="Polygon",
    )  # fmt: skip
    return path


def test_zones_are_named_by_an_attribute(tmp_path):
    labels = fields()
    path = write(tmp_path / "a.tif", labels[np.newaxis], nodata=0)
    zones = parcels(tmp_path / "z.gpkg", ["=Ann", "Bob"])
    assert export_table(path, tmp_path / "a.csv", zones=zones, zone_field="owner") == 2
    table = rows_of(tmp_path / "a.csv")
    assert [row["zone"] for row in table] == ["'=Ann"] * 3 + ["Bob"] * 3
    expected = np.bincount(labels[:, 20:].ravel(), minlength=4)[1:]
    assert [int(row["pixels"]) for row in table[3:]] == expected.tolist()
    assert float(table[3]["area_ha"]) == pytest.approx(expected[0] * 0.09)
    same = parcels(tmp_path / "same.gpkg", ["Ann", "Ann"])
    assert export_table(path, tmp_path / "b.csv", zones=same, zone_field="owner") == 1
    whole = [int(row["pixels"]) for row in rows_of(tmp_path / "b.csv")]
    assert whole == np.bincount(labels.ravel())[1:].tolist()
    with pytest.raises(InvalidParameterError, match=r"attribute of .*, which has owner, got 'x'"):
        export_table(path, tmp_path / "c.csv", zones=zones, zone_field="x")


@pytest.mark.parametrize("nodata", [None, 0, 7])
def test_zones_of_a_raster(tmp_path, nodata):
    labels = fields()
    path = write(tmp_path / "a.tif", labels[np.newaxis], nodata=0)
    zones = np.repeat([0, 7, 3, 3, 1000], 10) * np.ones((40, 1), int)
    raster = write(tmp_path / "z.tif", zones.astype(np.int16)[np.newaxis], nodata=nodata)
    expected = [zone for zone in (0, 3, 7, 1000) if zone != (nodata or 0)]
    assert export_table(path, tmp_path / "a.csv", zones=raster) == len(expected)
    table = rows_of(tmp_path / "a.csv")
    assert [int(row["zone"]) for row in table] == list(np.repeat(expected, 3))
    counts = [np.bincount(labels[zones == zone], minlength=4)[1:] for zone in expected]
    assert [int(row["pixels"]) for row in table] == np.concatenate(counts).tolist()
    shares = np.array([float(row["share"]) for row in table]).reshape(-1, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)


def test_zones_of_another_grid_count_by_the_nearest_pixel(tmp_path):
    labels = fields()
    path = write(tmp_path / "a.tif", labels[np.newaxis], nodata=0)
    coarse = np.array([[1, 2]], np.uint8).repeat(20, 0).repeat(10, 1)  # to column 40
    place = rasterio.Affine(60.0, 0.0, PLACE.c, 0.0, -60.0, PLACE.f)
    raster = write(tmp_path / "z.tif", coarse[np.newaxis], transform=place)
    assert export_table(path, tmp_path / "a.csv", zones=raster) == 2
    expected = [np.bincount(p.ravel(), minlength=4)[1:] for p in (labels[:, :20], labels[:, 20:40])]
    found = [int(row["pixels"]) for row in rows_of(tmp_path / "a.csv")]
    assert found == np.concatenate(expected).tolist()


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_zones_and_labels_without_a_place(tmp_path):
    from gmmseg.io import write_png

    labels = fields()
    write_png(tmp_path / "a.png", labels)
    with rasterio.open(
        tmp_path / "z.tif", "w", driver="GTiff", width=50, height=40, count=1, dtype="uint8"
    ) as file:
        file.write(np.full((1, 40, 50), 4, np.uint8))
    assert export_table(tmp_path / "a.png", tmp_path / "a.csv", zones=tmp_path / "z.tif") == 1
    table = rows_of(tmp_path / "a.csv")
    assert [row["area_m2"] for row in table] == [""] * 3
    assert [int(row["pixels"]) for row in table] == np.bincount(labels.ravel())[1:].tolist()


def test_zones_that_are_none(tmp_path):
    path = write(tmp_path / "a.tif", fields()[np.newaxis])
    (tmp_path / "z.gpkg").write_text("no")
    with pytest.raises(ReadError, match=r"cannot read .*z.gpkg"):
        export_table(path, tmp_path / "a.csv", zones=tmp_path / "z.gpkg")
    path = write(tmp_path / "b.tif", np.full((1, 40, 50), 0.5, np.float32))
    with pytest.raises(InvalidDataError, match=r"b.tif holds no zones .* got 1 of float32"):
        export_table(tmp_path / "a.tif", tmp_path / "a.csv", zones=path)
    with pytest.raises(InvalidParameterError, match=r"is of polygons, and .*b.tif is a raster"):
        export_table(tmp_path / "a.tif", tmp_path / "a.csv", zones=path, zone_field="x")


def test_what_is_no_label_map(tmp_path):
    path = write(tmp_path / "a.tif", np.zeros((3, 20, 20), np.uint16))
    with pytest.raises(InvalidDataError, match=r"is no label map: .* shape \(20, 20, 3\)"):
        export_polygons(path, tmp_path / "a.gpkg")
    with pytest.raises(InvalidParameterError, match=r"written to .gpkg or .geojson, got a.shp"):
        export_polygons(path, tmp_path / "a.shp")
    with pytest.raises(InvalidParameterError, match="simplify must be at least 0"):
        VectorOptions(simplify=-1)


# --- a real scene -----------------------------------------------------------------------------

LANDSAT = Path(__file__).parents[1] / "sample_images" / "satellite.tif"


@pytest.fixture(scope="module")
def landsat(tmp_path_factory):
    """The label map of a Landsat 5 scene, and the same in degrees."""
    folder = tmp_path_factory.mktemp("landsat")
    labels = folder / "scene_labels.tif"
    found = gmmseg.segment(LANDSAT, 4, "plain")
    write_output(found, "labels", labels)
    with rasterio.open(labels) as source, rasterio.vrt.WarpedVRT(source, crs="EPSG:4326") as turned:
        write(
            folder / "degrees.tif", turned.read(), crs=turned.crs, transform=turned.transform,
            nodata=0,
        )  # fmt: skip
    return labels, folder / "degrees.tif"


@pytest.mark.parametrize("ending", ["gpkg", "geojson"])
def test_polygons_of_a_real_scene(tmp_path, landsat, ending):
    labels, degrees = landsat
    options = VectorOptions(min_area="1 ha", simplify=1.0, names=("water",))
    out = tmp_path / f"a.{ending}"
    n = export_polygons(labels, out, options)
    meta, _, geometry, columns = pyogrio.raw.read(out)
    values = dict(zip(meta["fields"], columns, strict=True))
    assert len(geometry) == n < 2000
    assert pyproj.CRS.from_user_input(meta["crs"]).to_epsg() == 32622
    assert set(values["class"]) == {1, 2, 3, 4}
    assert set(values["name"]) == {"water", "class 2", "class 3", "class 4"}
    assert values["area_ha"].min() >= 1
    with rasterio.open(labels) as file:
        used = np.count_nonzero(file.read(1))
    assert values["area_m2"].sum() == pytest.approx(900 * used)
    polygons = shapely.from_wkb(geometry)
    assert shapely.is_valid(polygons).all()
    assert shapely.area(polygons).sum() == pytest.approx(900 * used)  # neither gaps nor overlaps
    turned = tmp_path / f"b.{ending}"
    export_polygons(degrees, turned, options)
    meta, _, _, columns = pyogrio.raw.read(turned)
    values = dict(zip(meta["fields"], columns, strict=True))
    assert pyproj.CRS.from_user_input(meta["crs"]).to_epsg() == 4326
    assert values["area_m2"].sum() == pytest.approx(900 * used, rel=3e-3)  # the scale of the map


def test_zones_of_a_real_scene(tmp_path, landsat):
    labels, _ = landsat
    zones = tmp_path / "zones.geojson"
    export_polygons(labels, zones, VectorOptions(dissolve=True))
    assert export_table(labels, tmp_path / "a.csv", zones=zones, zone_field="class") == 4
    for row in rows_of(tmp_path / "a.csv"):  # the polygons of a class hold that class alone
        assert float(row["share"]) == (row["zone"] == row["class"])
    assert export_table(labels, tmp_path / "b.csv", zones=labels) == 4
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


# --- the command ------------------------------------------------------------------------------


def test_export_on_the_command_line(tmp_path, run):
    path = write(tmp_path / "a_labels.tif", fields()[np.newaxis], nodata=0)
    done = run("export", path, "--to", tmp_path / "a.gpkg", "--min-area", "0.5 ha", "--simplify", 1)
    assert done.status == 0
    assert "polygons -> " in done.err
    done = run("export", path, "--to", tmp_path / "b.csv", "--zones", tmp_path / "a.gpkg")
    assert done.status == 0
    assert rows_of(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "a.txt"], r".gpkg, .geojson, .csv"),
        (["--to", "a.gpkg", "--zones", "z.gpkg"], "--zones belongs to tables"),
        (["--to", "a.csv", "--zone-field", "owner"], "--zone-field names the zones of --zones"),
    ],
)
def test_wrong_usage_of_export(run, words, message):
    done = run("export", "a_labels.tif", *words)
    assert done.status == 2
    assert message.replace("\\", "") in done.err
