"""DataArrays in, Datasets out, with the coordinates and the place kept."""

import numpy as np
import pytest

import gmmseg
from gmmseg.errors import InvalidDataError, InvalidParameterError
from gmmseg.model import Model

xr = pytest.importorskip("xarray")
xarrays = pytest.importorskip("gmmseg.xarrays")

NAMES = ("blue", "red", "nir")


def values():
    rng = np.random.default_rng(0)
    x = rng.normal(100, 5, (3, 40, 50))
    x[:, :, 25:] += 60
    x[1:, 20:] += 40
    return x


def array(**attrs):
    return xr.DataArray(
        values(),
        dims=("band", "y", "x"),
        coords={
            "band": list(NAMES),
            "y": 5e6 - 30.0 * np.arange(40),
            "x": 4e5 + 30.0 * np.arange(50),
            "time": np.datetime64("2020-07-01", "ns"),
        },
        attrs=attrs,
    )


def test_coordinates_are_kept_and_bands_are_dropped():
    found = xarrays.segment(array(), 4, "plain")
    assert found.labels.dims == ("y", "x")
    assert found.probabilities.dims == ("y", "x", "class")
    np.testing.assert_array_equal(found.x, array().x)
    assert found.time == array().time
    assert "band" not in found.coords
    np.testing.assert_allclose(found.probabilities.sum("class"), 1, atol=1e-5)
    assert set(np.unique(found.labels)) == {1, 2, 3, 4}
    assert found.sel({"class": 2}).probabilities.shape == (40, 50)


def test_the_model_travels_and_labels_others():
    import json

    found = xarrays.segment(array(), 4, "plain")
    model = Model.from_dict(json.loads(found.attrs["gmmseg_model"]))
    again = xarrays.apply(model, array().transpose("x", "band", "y"))
    assert again.labels.dims == ("y", "x")
    np.testing.assert_array_equal(again.labels, found.labels)


def test_the_doors_take_a_data_array():
    seg = gmmseg.segment(array(units="1"), 4, "plain")
    assert seg.image.band_names == NAMES
    assert seg.image.spacing == (30.0, 30.0)
    assert seg.table[0].area is not None
    with pytest.raises(InvalidParameterError, match="a DataArray names its dimensions"):
        gmmseg.segment(array(), 2, axes="CYX")


def test_nodata_and_nan_are_not_used():
    a = array(_FillValue=-1.0)
    a[:, :2] = -1.0
    a[:, 2] = np.nan
    found = xarrays.segment(a, 4, "plain")
    assert (found.labels[:3] == 0).all()
    assert (found.labels[3:] > 0).all()


def test_coordinates_that_are_not_even_are_no_spacing():
    a = array().assign_coords(x=np.arange(50.0) ** 2)
    assert gmmseg.segment(a, 2, "plain").image.spacing is None


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # rioxarray's own
def test_the_place_on_earth_is_kept():
    pytest.importorskip("rioxarray")
    a = array().rio.write_crs("EPSG:32633")
    found = xarrays.segment(a, 3, "plain")
    assert found.rio.crs.to_epsg() == 32633
    assert found.labels.rio.transform() == a.rio.transform()
    assert gmmseg.segment(a, 3, "plain").image.georeference.transform[:3] == (30, 0, 4e5 - 15)


def test_a_volume():
    a = xr.DataArray(np.tile(values()[0], (3, 1, 1)), dims=("z", "lat", "lon"))
    assert xarrays.segment(a, 2, "plain").labels.dims == ("z", "lat", "lon")


@pytest.mark.parametrize("dims", [("time", "y", "x"), ("band", "y", "q")])
def test_dimensions_that_are_not_understood_are_told(dims):
    with pytest.raises(InvalidDataError, match="must have the dimensions y and x"):
        xarrays.segment(xr.DataArray(values(), dims=dims), 2)


def test_what_dask_backs_is_computed_when_it_is_asked_for():
    da = pytest.importorskip("dask.array")
    lazy = array().chunk({"y": 10, "x": 20})
    found = xarrays.segment(lazy, 4, "plain")
    assert isinstance(found.labels.data, da.Array)
    wanted = xarrays.segment(array(), 4, "plain")
    np.testing.assert_array_equal(found.labels.compute(), wanted.labels)
    np.testing.assert_array_equal(found.x, lazy.x)
    with pytest.raises(InvalidParameterError, match="k must be a number"):
        xarrays.segment(lazy, "auto", "plain")
