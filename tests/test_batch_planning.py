"""Which files a batch takes, and what it calls its outputs."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmseg.batch import planning
from gmmseg.batch.planning import plan_batch
from gmmseg.errors import InvalidParameterError, MissingFileError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def bases(plan):
    return {file.input: file.base for file in plan.files}


def test_a_folder_without_and_with_those_in_it(folder):
    made(folder, "scans/a.png", "scans/sub/a.png", "scans/notes.txt", "scans/.hidden.png")
    made(folder, "scans/.cache/a.png")
    plan = plan_batch(["scans"], "out")
    assert bases(plan) == {"a.png": "a"}
    assert (plan.root, plan.output) == (folder / "scans", folder / "out")
    assert (plan.files[0].size, plan.words) == (1, ("scans",))
    assert bases(plan_batch(["scans"], "out", recursive=True)) == {
        "a.png": "a",
        "sub/a.png": "sub/a",
    }


def test_the_tree_is_mirrored_from_the_innermost_common_folder(folder):
    made(folder, "x/one/a.png", "x/two/a.png", "x/two/b.tif")
    assert bases(plan_batch(["x/one", "x/two"], "out")) == {
        "one/a.png": "one/a",
        "two/a.png": "two/a",
        "two/b.tif": "two/b",
    }
    assert bases(plan_batch(["x/two/b.tif"], "out")) == {"b.tif": "b"}


def test_patterns_and_names_that_look_like_them(folder):
    made(folder, "x/a[1].png", "x/a1.png", "x/sub/c.tif")
    assert bases(plan_batch(["x/a[1].png"], "out")) == {"a[1].png": "a[1]"}
    assert set(bases(plan_batch(["x/*.png"], "out"))) == {"a[1].png", "a1.png"}
    assert bases(plan_batch(["x/**/*.tif"], "out")) == {"sub/c.tif": "sub/c"}


def test_each_file_once(folder):
    made(folder, "x/a.png")
    assert len(plan_batch(["x", "x/a.png", "x/*.png"], "out").files) == 1


def test_names_that_would_clash_keep_their_endings(folder):
    made(folder, "x/a.png", "x/a.tif", "x/B.png", "x/b.tif", "x/c.png", "x/sub/a.png")
    assert bases(plan_batch(["x"], "out", recursive=True)) == {
        "B.png": "B.png",
        "a.png": "a.png",
        "a.tif": "a.tif",
        "b.tif": "b.tif",
        "c.png": "c",
        "sub/a.png": "sub/a",
    }


def test_names_that_differ_in_letter_case_only_get_numbers(folder):
    made(folder, "x/Scan.png", "x/scan.png", "x/a.png", "x/a.tif", "x/a.png.jpg")
    found = bases(plan_batch(["x"], "out"))
    assert len({base.casefold() for base in found.values()}) == 5
    assert found["Scan.png"] == "Scan.png"
    assert found["scan.png"] == "scan.png-2"


@given(
    st.lists(
        st.builds(
            "".join,
            st.tuples(
                st.sampled_from(["", "s/", "S/"]),
                st.sampled_from(["a", "A", "a.png", "é", "e\u0301", "a_labels"]),
                st.sampled_from([".png", ".PNG", ".tif", ".png.jpg"]),
            ),
        ),
        unique=True,
        min_size=1,
    )
)
def test_no_two_inputs_ever_share_a_base(names):
    found = planning._bases(sorted(names))
    keys = [planning._key(base) for base in found.values()]
    assert len(set(keys)) == len(names)
    for name, base in found.items():
        assert base.rpartition("/")[0] == name.rpartition("/")[0]


def test_outputs_are_no_inputs(folder):
    made(folder, "x/a.png", "x/a_labels.png", "x/a_overlay.png", "x/b_labels.png")
    made(folder, "x/out/c.png")
    plan = plan_batch(["x"], "x/out", recursive=True)
    assert set(bases(plan)) == {"a.png", "b_labels.png"}
    assert plan.left_out == ("a_labels.png", "a_overlay.png")


def test_outputs_beside_the_inputs(folder):
    made(folder, "x/a.png", "x/a_labels.png")
    plan = plan_batch(["x"], "x")
    assert bases(plan) == {"a.png": "a"}


@pytest.mark.skipif(os.name != "posix", reason="names and links of POSIX")
def test_odd_names_and_links(folder):
    made(folder, 'x/"><img src=x>.png', "x/line\nbreak.png", "x/..png", "x/...png", "y/z.png")
    made(folder, "x/a..%2f.png")
    (folder / "x/link").symlink_to(folder / "y")
    (folder / "x/gone.png").symlink_to(folder / "nowhere.png")
    plan = plan_batch(["x", "x/..png", "x/...png"], "out", recursive=True)
    assert "link/z.png" not in bases(plan)
    assert next(file.size for file in plan.files if file.input == "gone.png") == -1
    for file in plan.files:
        labels = f"{plan.output / file.base}_labels.png"
        assert os.path.normpath(labels).startswith(str(plan.output) + os.sep)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["nothing.png"], MissingFileError, "there is no file or folder nothing.png"),
        (["*.xyz"], MissingFileError, r"no file matches \*\.xyz"),
        (["empty"], InvalidParameterError, r"no images in empty\. Folders within folders need"),
    ],
)
def test_what_cannot_be_planned(folder, words, error, message):
    (folder / "empty").mkdir()
    with pytest.raises(error, match=message):
        plan_batch(words, "out")


def test_the_output_must_be_a_folder(folder):
    made(folder, "x/a.png", "file")
    with pytest.raises(InvalidParameterError, match=r"output must be a folder, but .*file is not"):
        plan_batch(["x"], "file")
