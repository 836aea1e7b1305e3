"""Scenes on the command line: the place is kept, stacks, memory, one clear line for bad input."""

import json
import shutil

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")

from scene_files import PLACE, landscape, write  # noqa: E402

SMALL = ("--memory", "1MB")  # everything is streamed
MAPS = ("labels", "prob")


def labels_of(path):
    with rasterio.open(path) as found:
        return found.read(1), found.crs, found.transform


@pytest.fixture
def scene(tmp_path):
    return write(tmp_path / "scene.tif", landscape(), names=("red", "nir", "swir"))


@pytest.mark.parametrize("more", [(), SMALL, (*SMALL, "--tile", "7"), ("--cog",)])
def test_segment_keeps_the_place(tmp_path, run, scene, more):
    done = run("segment", scene, "-k", 3, "-o", f"{tmp_path}/out/", *more)
    assert done.status == 0, done.err
    labels, crs, transform = labels_of(tmp_path / "out" / "scene_labels.tif")
    assert labels.min() == 1
    assert (crs.to_epsg(), transform) == (32633, PLACE)
    assert "nir mean +- std" in done.err
    assert "area m²" in done.err


@pytest.mark.parametrize("smooth", [(), ("--smooth", "0.8")])
def test_any_tile_gives_the_same(tmp_path, run, scene, smooth):
    found = []
    for i, more in enumerate([(), SMALL, (*SMALL, "--tile", "5"), (*SMALL, "--tile", "60")]):
        if smooth and more == SMALL:
            continue  # the field would not fit into so little
        out = tmp_path / f"{i}.tif"
        memory = ("--memory", "250MB", *more[2:]) if smooth and more else more
        done = run(
            "segment", scene, "-k", 3, "-o", out, "--json", "--preset", "plain", *smooth, *memory
        )
        assert done.status == 0, done.err
        summary = json.loads(done.out)
        assert ("read strip by strip" in summary["notes"]) is bool(more)
        found.append((labels_of(out)[0], [row["pixels"] for row in summary["classes"]]))
    for labels, pixels in found[1:]:
        assert np.array_equal(labels, found[0][0])
        assert pixels == found[0][1]


@pytest.mark.parametrize("more", [(), SMALL], ids=["held", "streamed"])
@pytest.mark.parametrize("command", ["segment", "batch"])
def test_maps_of_other_rasters_are_geotiff(tmp_path, run, command, more):
    """What GDAL reads has a place on earth, which a PNG would lose."""
    path, values = tmp_path / "scene.img", landscape()
    with rasterio.open(
        path, "w", driver="HFA", width=80, height=60, count=3, dtype="uint16", crs="EPSG:32633",
        transform=PLACE,
    ) as file:  # fmt: skip
        file.write(values)
    words = ("-k", 3, "-o", f"{tmp_path}/out/", "--preset", "plain", *more)
    done = run(command, path, *words)
    assert done.status == 0, done.err
    _, crs, transform = labels_of(tmp_path / "out" / "scene_labels.tif")
    assert (crs.to_epsg(), transform) == (32633, PLACE)


@pytest.mark.parametrize("more", [(), SMALL])
def test_fit_and_apply(tmp_path, run, scene, more):
    other = write(tmp_path / "other.tif", landscape(seed=3))
    model = tmp_path / "land.gmm.json"
    assert run("fit", scene, other, "-k", 3, "-o", model, *more).status == 0
    done = run("apply", model, scene, other, "-o", f"{tmp_path}/out/", *more)
    assert done.status == 0, done.err
    assert labels_of(tmp_path / "out" / "other_labels.tif")[0].max() == 3


@pytest.mark.parametrize("more", [(), SMALL])
def test_a_stack_of_files_and_of_a_folder(tmp_path, run, more):
    folder = tmp_path / "LC08"
    folder.mkdir()
    values = landscape()
    paths = [write(folder / f"LC08_T1_B{i}.TIF", values[i - 2 : i - 1]) for i in (2, 3, 4)]
    done = run("segment", "--stack", *paths, "-k", 3, "-o", f"{tmp_path}/a/", *more)
    assert done.status == 0, done.err
    assert "B3 mean +- std" in done.err
    assert run("segment", "--stack", folder, "-k", 3, "-o", f"{tmp_path}/b/", *more).status == 0
    first, second = (labels_of(tmp_path / d / "LC08_T1_labels.tif")[0] for d in "ab")
    assert np.array_equal(first, second)


@pytest.mark.parametrize("more", [(), SMALL])
def test_gaps_are_filled_by_other_bands_or_left_out(tmp_path, run, more):
    """As of a Landsat 7 scene without scan line corrector: stripes of one band are lost."""
    values = landscape()
    values[0, 5::10] = 0
    values[:, 55] = 0
    path = write(tmp_path / "slc.tif", values, nodata=0)
    for name, gaps in (("use", ()), ("drop", ("--gaps", "drop"))):
        out = tmp_path / f"{name}.tif"
        assert run("segment", path, "-k", 3, "-o", out, *gaps, *more).status == 0
    use, drop = labels_of(tmp_path / "use.tif")[0], labels_of(tmp_path / "drop.tif")[0]
    assert not drop[5::10].any()
    assert not use[55].any()
    assert use[5].all()


def broken(tmp_path):
    path = write(tmp_path / "cut.tif", landscape())
    path.write_bytes(path.read_bytes()[:-4000])
    return [path]


def empty(tmp_path):
    return [write(tmp_path / "empty.tif", np.zeros((3, 60, 80), np.uint16), nodata=0)]


def lacking(tmp_path):
    return ["--stack", write(tmp_path / "B1.tif", landscape(bands=1)), tmp_path / "B2.tif"]


def two_grids(tmp_path):
    other = write(tmp_path / "B2.tif", landscape(30, 40, bands=1))
    return ["--stack", write(tmp_path / "B1.tif", landscape(bands=1)), other]


def two_systems(tmp_path):
    other = write(tmp_path / "B2.tif", landscape(bands=1), crs="EPSG:32634")
    return ["--stack", write(tmp_path / "B1.tif", landscape(bands=1)), other]


BAD = [
    (broken, "cannot read"),
    (empty, "no pixel may be used"),
    (lacking, "There is no file"),
    (two_grids, "different grids"),
    (two_systems, "Reproject one of them"),
]


@pytest.mark.parametrize("more", [(), SMALL], ids=["held", "streamed"])
@pytest.mark.parametrize(("make", "message"), BAD, ids=[make.__name__ for make, _ in BAD])
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, run, make, message, more):
    words = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = run("segment", *words, "-k", 3, "-o", f"{tmp_path}/out/", *more)
    lines = [line for line in done.err.splitlines() if "compiling" not in line]
    assert done.status == 1
    assert len(lines) == 1, lines
    assert lines[0].startswith("gmmseg: error: ")
    assert message in lines[0]
    assert [p for p in sorted(tmp_path.rglob("*")) if p.is_file() and p not in before] == []


@pytest.mark.parametrize("more", [(), SMALL], ids=["held", "streamed"])
@pytest.mark.parametrize("spoil", [broken, empty], ids=["cut", "empty"])
def test_a_bad_scene_among_several_leaves_no_model(tmp_path, run, scene, spoil, more):
    model = tmp_path / "m.gmm.json"
    done = run("fit", scene, *spoil(tmp_path), "-k", 3, "-o", model, "--preset", "plain", *more)
    lines = [line for line in done.err.splitlines() if "compiling" not in line]
    assert (done.status, len(lines)) == (1, 1)
    assert "cannot read" in lines[0] or "no pixel may be used" in lines[0]
    assert not model.exists()


@pytest.mark.parametrize("more", [(), SMALL], ids=["held", "streamed"])
def test_a_scene_that_lacks_a_band_of_the_model(tmp_path, run, scene, more):
    assert run("fit", scene, "-k", 3, "-o", tmp_path / "m.gmm.json").status == 0
    other = write(tmp_path / "two.tif", landscape(bands=2))
    done = run("apply", tmp_path / "m.gmm.json", other, scene, "-o", f"{tmp_path}/out/", *more)
    assert done.status == 1
    assert done.err.count("the model was fitted on 3 features") == 1
    assert "1 of 2 inputs failed" in done.err
    made = [path.name for path in (tmp_path / "out").iterdir()]
    assert sorted(made) == ["scene_labels.tif", "scene_overlay.png"]


def test_an_output_that_cannot_be_written(tmp_path, run, scene):
    (tmp_path / "file").touch()
    done = run("segment", scene, "-k", 3, "-o", f"{tmp_path}/file/", *SMALL)
    assert done.status == 1
    assert len(done.err.splitlines()) == 1


def test_the_size_of_a_map_does_not_depend_on_the_strips(tmp_path, run):
    """Blocks that several strips reach into are written once, when they are whole."""
    path = write(tmp_path / "scene.tif", landscape(600, 520))
    sizes = []
    for name, more in (("held", ()), ("streamed", (*SMALL, "--tile", "9"))):
        words = ("-k", 3, "-o", f"{tmp_path}/{name}/", "--preset", "plain", "--probabilities")
        assert run("segment", path, *words, *more).status == 0
        sizes.append([(tmp_path / name / f"scene_{m}.tif").stat().st_size for m in MAPS])
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


def test_options_that_need_the_whole_scene(tmp_path, run, scene):
    for words in (
        ["--min-area", "9"],
        ["--smooth", "1", "--smooth-inside"],
        ["--mask", scene],
        ["--masks"],
    ):
        done = run("segment", scene, "-k", 3, "-o", f"{tmp_path}/out/", *SMALL, *words)
        assert done.status == 1
        assert "Raise memory (--memory)" in done.err


def test_a_list_of_files_has_to_be_named(tmp_path, run, scene):
    path = tmp_path / "a.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="80" rasterYSize="60"><VRTRasterBand dataType="UInt16" band="1">'
        '<SimpleSource><SourceFilename relativeToVRT="1">scene.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    done = run("segment", tmp_path / "a.v*", "-k", 2, "-o", f"{tmp_path}/out/")
    assert (done.status, "was found by a pattern" in done.err) == (1, True)
    assert run("segment", path, "-k", 2, "-o", f"{tmp_path}/out/").status == 0


def test_remote_needs_a_word(run):
    done = run("segment", "https://127.0.0.1:9/a.tif", "-k", 2)
    assert done.status == 1
    assert "--allow-remote" in done.err


def test_without_rasterio_a_geotiff_is_read_as_before(tmp_path, run, scene, monkeypatch):
    monkeypatch.setattr("gmmseg.io.raster.has_rasterio", lambda: False)
    done = run("segment", scene, "-k", 3, "-o", f"{tmp_path}/out/")
    assert done.status == 0, done.err
    _, crs, transform = labels_of(tmp_path / "out" / "scene_labels.tif")
    assert (crs.to_epsg(), transform) == (32633, PLACE)


def test_names_in_a_full_folder(tmp_path, run, scene):
    shutil.copy(scene, tmp_path / "second.tif")
    done = run("segment", f"{tmp_path}/*.tif", "-k", 2, *SMALL, "-o", f"{tmp_path}/out/")
    assert done.status == 0
    assert len(list((tmp_path / "out").glob("*_labels.tif"))) == 2
