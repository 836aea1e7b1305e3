"""A segmentation as files: names, checks, and all of them or none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gmmseg
from gmmseg import outputs
from gmmseg.errors import InvalidParameterError, OutputExistsError, WriteError
from gmmseg.io import read_image
from gmmseg.outputs import (
    OutputOptions,
    check_outputs,
    planned_outputs,
    stem_of_output,
    write_outputs,
)

ALL = {"masks": True, "entropy": True, "novelty": True, "save_model": True}


@pytest.fixture(scope="module")
def segmentation():
    values = np.random.default_rng(1).integers(0, 255, (20, 30, 3), np.uint8)
    values[:, 10:20] //= 4
    return gmmseg.segment(values, k=2)


def everything_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@given(
    stem=st.text(st.characters(exclude_characters="/\\\0\n", codec="utf-8"), min_size=1).filter(
        lambda text: text not in (".", "..")
    ),
    k=st.integers(1, 12),
    probabilities=st.sampled_from([None, "tif", "npz", "png"]),
    volume=st.booleans(),
)
def test_every_planned_name_tells_its_stem(stem, k, probabilities, volume):
    options = OutputOptions(probabilities=probabilities, **ALL)
    plan = planned_outputs(f"out/{stem}", k, options, volume=volume)
    assert {stem_of_output(path.name) for path in plan.values()} == {stem}
    assert len(set(plan.values())) == len(plan)


@pytest.mark.parametrize("name", ["photo.png", "labels.png", "_labels.png", "a_mask_x.png", ""])
def test_other_names_are_no_outputs(name):
    assert stem_of_output(name) is None


def test_options_are_checked():
    with pytest.raises(InvalidParameterError, match=r"probabilities must be one of 'tif', 'npz'"):
        OutputOptions(probabilities="jpg")


def test_a_volume_is_not_planned_as_png():
    plan = planned_outputs("v", 2, OutputOptions(probabilities="png", **ALL), volume=True)
    suffixes = {name: path.suffix for name, path in plan.items()}
    assert {name for name, suffix in suffixes.items() if suffix == ".png"} == {"overlay"}
    with pytest.raises(InvalidParameterError, match=r"of a volume cannot be seg\.png.*Name it"):
        planned_outputs("v", 2, volume=True, labels="seg.png")


def test_two_outputs_of_one_name():
    with pytest.raises(InvalidParameterError, match="overlay and model would both be written"):
        planned_outputs("a", 2, OutputOptions(save_model=True), model="a_overlay.png")


def test_all_are_written(segmentation, tmp_path):
    plan = planned_outputs(tmp_path / "new" / "a", 2, OutputOptions(probabilities="tif", **ALL))
    write_outputs(segmentation, plan)
    assert {path.name for path in plan.values()} == set(everything_in(tmp_path / "new"))
    assert (read_image(plan["labels"]).data[..., 0] == segmentation.labels).all()
    assert (read_image(plan["entropy"]).data[..., 0] == segmentation.entropy).all()
    assert (read_image(plan["novelty"]).data[..., 0] == segmentation.novelty).all()
    assert (read_image(plan["probabilities"]).data == segmentation.probabilities).all()
    assert gmmseg.load_model(plan["model"]).k == 2


def test_unused_pixels_are_nan_in_maps(tmp_path):
    values = np.random.default_rng(1).random((20, 30)).astype(np.float32)
    values[3, 4] = np.nan
    plan = planned_outputs(tmp_path / "a", 2, OutputOptions(entropy=True), tiff=True)
    write_outputs(gmmseg.segment(values, k=2), plan)
    assert read_image(plan["labels"]).data[3, 4, 0] == 0
    written = read_image(plan["entropy"]).data[..., 0]
    assert np.isnan(written).sum() == 1
    assert np.isnan(written[3, 4])


def test_existing_files_are_kept_and_nothing_is_added(segmentation, tmp_path):
    (tmp_path / "a_overlay.png").write_text("mine")
    plan = planned_outputs(tmp_path / "a", 2)
    with pytest.raises(OutputExistsError, match=r"a_overlay\.png exists already.*--overwrite"):
        write_outputs(segmentation, plan)
    assert everything_in(tmp_path) == {"a_overlay.png": b"mine"}
    write_outputs(segmentation, plan, overwrite=True)
    assert len(everything_in(tmp_path)) == 2


def test_a_file_that_appears_meanwhile_is_kept(segmentation, tmp_path, monkeypatch):
    plan = planned_outputs(tmp_path / "a", 2)
    write = outputs.write_png

    def write_and_meet_another(path, array):
        write(path, array)
        plan["overlay"].write_text("mine")

    monkeypatch.setattr(outputs, "write_png", write_and_meet_another)
    with pytest.raises(OutputExistsError):
        write_outputs(segmentation, plan)
    assert everything_in(tmp_path) == {"a_overlay.png": b"mine"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_none_is_written_when_one_fails(segmentation, tmp_path, monkeypatch, error):
    def full(*_, **__):
        raise error

    monkeypatch.setattr(outputs, "write_text", full)
    (tmp_path / "a_labels.png").write_text("old")
    plan = planned_outputs(tmp_path / "a", 2, OutputOptions(**ALL))
    with pytest.raises((WriteError, KeyboardInterrupt)) as caught:
        write_outputs(segmentation, plan, overwrite=True)
    if isinstance(error, OSError):
        assert str(caught.value) == f"cannot write into {tmp_path}: No space left on device."
    assert everything_in(tmp_path) == {"a_labels.png": b"old"}


def test_a_link_is_replaced_not_followed(segmentation, tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a_labels.png").symlink_to("precious")
    plan = planned_outputs(tmp_path / "a", 2)
    with pytest.raises(OutputExistsError):
        write_outputs(segmentation, plan)
    write_outputs(segmentation, plan, overwrite=True)
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "a_labels.png").is_symlink()


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"cannot write into .*sub: file is a file"):
        check_outputs(planned_outputs(tmp_path / "file" / "sub" / "a", 2))
    (tmp_path / "a_labels.png").mkdir()
    with pytest.raises(WriteError, match=r"a_labels\.png: it is a folder"):
        check_outputs(planned_outputs(tmp_path / "a", 2), overwrite=True)
    monkeypatch.setattr(outputs.os, "access", lambda *_: False)
    with pytest.raises(WriteError, match="it is not permitted"):
        check_outputs(planned_outputs(tmp_path / "b", 2))
