"""DataArrays in, Datasets out: the doors for who works with xarray. The extra "xarray".

What is backed by Dask stays so: its labels are computed where they are asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import gmmseg.pipeline as doors
from gmmseg._optional import import_optional
from gmmseg.errors import InvalidParameterError
from gmmseg.io.data_arrays import BAND_DIMS, dimensions, image_of_data_array
from gmmseg.model import Model
from gmmseg.options import SegmentOptions
from gmmseg.presets import DEFAULT, options_for
from gmmseg.segmentation import Segmentation

__all__ = ["apply", "segment", "to_dataset"]


def segment(
    array: Any,
    k: int | str | None = None,
    options: SegmentOptions | str = DEFAULT,
    *,
    threads: int | None = None,
) -> Any:
    """Segment a DataArray; as `gmmseg.segment`, with the coordinates kept.

    Parameters
    ----------
    array : xarray.DataArray
        Dimensions y and x (or lat, lon; rows, cols), perhaps z, perhaps band, in any order.
    k, options, threads
        As in `gmmseg.segment`; a DataArray that is backed by Dask needs a number for `k`.

    Returns
    -------
    xarray.Dataset
        As `to_dataset`; of what is backed by Dask ``labels`` only, not computed yet.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> picture = xr.DataArray(np.zeros((4, 6)), dims=("y", "x"), coords={"x": np.arange(6) * 2.0})
    >>> picture[:, 3:] = 9.0
    >>> segment(picture, 2, "plain").labels.sel(x=6.0).values
    array([2, 2, 2, 2], dtype=uint8)
    """
    if _is_chunked(array):
        return apply(_fitted(array, k, options), array)
    image = image_of_data_array(array)
    return to_dataset(doors.segment(image, k, options, threads=threads), array)


def apply(model: Model, array: Any, *, threads: int | None = None) -> Any:
    """Label a DataArray by a model: a label means the same in all of them.

    Returns
    -------
    xarray.Dataset
        As in `segment`.
    """
    if not _is_chunked(array):
        return to_dataset(doors.apply(model, image_of_data_array(array), threads=threads), array)
    from gmmseg import distributed

    labels = distributed.apply(model, _scene_of(array), _reading(array))
    return _dataset(array, {"labels": labels}, model)


def to_dataset(segmentation: Segmentation, like: Any) -> Any:
    """A segmentation with the coordinates of the DataArray that it was made of.

    Returns
    -------
    xarray.Dataset
        ``labels`` (0 = not used), ``probabilities`` with the dimension ``class``, ``entropy`` and
        ``novelty``; the model's JSON is the attribute ``gmmseg_model``.
    """
    planes = {
        "labels": segmentation.labels,
        "entropy": segmentation.entropy,
        "novelty": segmentation.novelty,
        "probabilities": segmentation.probabilities,
    }
    return _dataset(like, planes, segmentation.model)


def _dataset(like: Any, planes: dict[str, NDArray[Any]], model: Model) -> Any:
    xr = import_optional("xarray")
    space, band = dimensions(like)
    kept = {
        name: values
        for name, values in like.coords.items()
        if band not in values.dims and name not in BAND_DIMS
    }
    variables = {}
    for name, values in planes.items():
        dims = (*space, "class") if values.ndim > len(space) else space
        variables[name] = (dims, values)
    found = xr.Dataset(variables, coords={**kept, "class": np.arange(1, model.k + 1)})
    found.labels.attrs = {"long_name": "class, 1 = darkest", "_FillValue": 0}
    return found.assign_attrs(gmmseg_model=model.to_json())


def _is_chunked(array: Any) -> bool:
    """Whether Dask does the work: of flat scenes; a volume is loaded."""
    return getattr(array, "chunks", None) is not None and len(dimensions(array)[0]) == 2


def _fitted(array: Any, k: int | str | None, options: SegmentOptions | str) -> Model:
    from gmmseg import distributed

    first = array.isel({dim: slice(0, 64) for dim in dimensions(array)[0]})
    chosen = options_for(options, image_of_data_array(first))
    number = 3 if k is None else k
    if isinstance(number, str):
        raise InvalidParameterError(
            "k must be a number for a DataArray that is backed by Dask. Choose it on a part: "
            "gmmseg.select_k(array.isel(y=slice(0, 1000)).compute())."
        )
    return distributed.fit(_scene_of(array), number, chosen, _reading(array))


def _scene_of(array: Any) -> Any:
    """The Dask array with rows, columns and bands in that order."""
    space, band = dimensions(array)
    return array.transpose(*space, *([band] if band else [])).data


def _reading(array: Any) -> Any:
    from gmmseg.scattered_scenes import ScatteredOptions

    few = array.isel({dim: slice(0, 2) for dim in dimensions(array)[0]})
    like = image_of_data_array(few)
    nodata = array.attrs.get("_FillValue", array.attrs.get("nodata"))
    return ScatteredOptions(
        nodata=nodata,
        band_names=like.band_names,
        spacing=like.spacing,
        unit=like.unit,
        sensor=like.sensor,
    )
