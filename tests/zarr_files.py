"""Small Zarr and OME-Zarr for tests, made on the spot, with metadata written out by hand."""

import json

import landscapes
import zarr

LENGTHS = {"z": "micrometer", "y": "micrometer", "x": "micrometer"}
TYPES = {"t": "time", "c": "channel"}


def landscape(rows=90, cols=120, *more, **named):
    """`landscapes.landscape`, larger."""
    return landscapes.landscape(rows, cols, *more, **named)


def axis(name, units=LENGTHS):
    found = {"name": name, "type": TYPES.get(name, "space")}
    return {**found, "unit": units[name]} if name in units else found


def ome_zarr(
    path, array, axes="cyx", *, version="0.5", levels=3, scale=None, shift=None, names=(),
    units=LENGTHS, chunk=32, colours=(),
):  # fmt: skip
    """An image of OME-Zarr; `scale` and `shift` by axis."""
    form = 3 if version == "0.5" else 2
    scale, shift = scale or {}, shift or {}
    group = zarr.create_group(str(path), zarr_format=form)
    datasets = []
    for i in range(levels):
        step = 2**i
        thin = array[tuple(slice(None, None, step if a in "yx" else 1) for a in axes)]
        chunks = tuple(
            min(chunk, n) if a in "yx" else 1 for a, n in zip(axes, thin.shape, strict=True)
        )
        names_of_axes = {"dimension_names": tuple(axes)} if form == 3 else {}
        own = group.create_array(
            f"s{i}", shape=thin.shape, chunks=chunks, dtype=thin.dtype,
            chunk_key_encoding={"name": "v2" if form == 2 else "default", "separator": "/"},
            **names_of_axes,
        )  # fmt: skip
        own[...] = thin
        sizes = [float(scale.get(a, 1)) * (step if a in "yx" else 1) for a in axes]
        told = [{"type": "scale", "scale": sizes}]
        if shift:
            values = [float(shift.get(a, 0)) for a in axes]
            told.append({"type": "translation", "translation": values})
        datasets.append({"path": f"s{i}", "coordinateTransformations": told})
    image = {"axes": [axis(a, units) for a in axes], "datasets": datasets, "name": "made by hand"}
    ome = {"multiscales": [image]}
    if names or colours:
        window = {"min": 0, "max": 1, "start": 0, "end": 1}
        pairs = zip(names or [""] * len(colours), colours or ["FFFFFF"] * len(names), strict=True)
        channels = [{"label": n, "color": c, "window": window} for n, c in pairs]
        ome["omero"] = {"channels": channels}
    if form == 3:
        group.attrs.update({"ome": {"version": version, **ome}})
    else:
        image["version"] = version
        group.attrs.update(ome)
    return path


def metadata(path, name="zarr.json"):
    return json.loads((path / name).read_text())


def rewrite(path, change, name="zarr.json"):
    """Change metadata as they lie in a file."""
    found = metadata(path, name)
    change(found)
    (path / name).write_text(json.dumps(found))
    return path


def levels_of(path):
    """The arrays of a group that we wrote, and its attributes."""
    group = zarr.open_group(str(path), mode="r")
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    datasets = ome["multiscales"][0]["datasets"]
    return [group[entry["path"]][...] for entry in datasets], attributes, ome
