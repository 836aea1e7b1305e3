"""Files that are not what they should be: one clear error, nothing run, nothing huge allocated."""

import contextlib
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmseg.bridges import FORMATS, read_model
from gmmseg.bridges.formats import loads
from gmmseg.errors import ModelFormatError

DATA = Path(__file__).parent / "data"
WHOLE = {
    "opencv": (DATA / "opencv_em_generic.yml").read_text(encoding="utf-8"),
    "arcgis": (DATA / "arcgis.gsg").read_text(encoding="utf-8"),
    "grass": (DATA / "grass_v2.sig").read_text(encoding="utf-8"),
    "grass7": (DATA / "grass7.sig").read_text(encoding="utf-8"),
}

junk = st.text(max_size=12) | st.sampled_from(
    ["nan", "-1", "1e999", "9" * 30, "[", "]", "- ", ": ", "\n", "#", "/*", "!!python/object:os",
     "rows: 99999999999", "\t", "   covs:\n", "&a", "*a", "1_0", "0x10", "\x00", "\x1b[2J"]
)  # fmt: skip


@settings(max_examples=300)
@given(name=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_a_changed_text_is_a_model_or_a_refusal(name, data):
    text = WHOLE[name]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        until = data.draw(st.integers(at, min(len(text), at + 40)))
        text = text[:at] + data.draw(junk) + text[until:]
    with contextlib.suppress(ModelFormatError):
        loads(text, name)
    with contextlib.suppress(ModelFormatError):
        loads(text)


@settings(max_examples=200)
@given(name=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_changed_words_and_lines_are_a_model_or_a_refusal(name, data):
    lines = WHOLE[name].splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    action = data.draw(st.sampled_from(["drop", "double", "swap", "word"]))
    if action == "drop":
        del lines[at]
    elif action == "double":
        lines.insert(at, lines[at])
    elif action == "swap":
        lines[at], lines[-1] = lines[-1], lines[at]
    else:
        words = lines[at].split(" ")
        words[data.draw(st.integers(0, len(words) - 1))] = data.draw(junk)
        lines[at] = " ".join(words)
    with contextlib.suppress(ModelFormatError):
        loads("\n".join(lines), name)


@given(text=st.text(max_size=200), name=st.sampled_from(sorted(FORMATS)))
def test_any_text_is_refused(text, name):
    with pytest.raises(ModelFormatError):
        loads(text, name)


BOMBS = {
    "opencv rows": (
        "opencv",
        WHOLE["opencv"]
        .replace("rows: 1\n", "rows: 9999999999\n")
        .replace("cols: 2", "cols: 99999"),
    ),
    "opencv nested": ("opencv", "a:\n" + "".join(" " * i + "- \n" for i in range(1, 3000))),
    "opencv dashes": ("opencv", "a: " + "[" * 500_000),
    "arcgis layers": ("arcgis", WHOLE["arcgis"].replace(" 3      ", " 99999999 ", 2)),
    "grass bands": ("grass", "1\n#t\n" + "b " * 50_000 + "\n#c\n1\n1 1\n"),
    "grass classes": ("grass", "1\n#t\nb\n" + "#\n" * 200_000),
    "grass7 bands": ("grass7", "#t\n#c\n1\n" + "1 " * 50_000),
    "json nested": ("json", "{" + '"a":[' * 100_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_nothing_huge_is_allocated(name):
    format_, text = BOMBS[name]
    tracemalloc.start()
    try:
        with pytest.raises(ModelFormatError):
            loads(text, format_)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * len(text) + 2_000_000


def without(name, *changes):
    text = WHOLE[name]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


MESSAGES = [
    ("opencv", "covs:", "cavs:", "there must be one model of cv::ml::EM with its covs, got 0."),
    ("opencv", "means: !!opencv-matrix", "mean: !!opencv-matrix", "means must be a matrix."),
    ("opencv", "generic", "weird", "cov_mat_type must be one of spherical.*, got 'weird'."),
    ("opencv", "generic", "diagonal", "covs must be diagonal for cov_mat_type diagonal."),
    ("opencv", "rows: 1", "rows: 7", "a matrix of 7 x 2 must have as many numbers, .* got 2."),
    ("opencv", "rows: 1\n", "rows: -1\n", "rows of a matrix must be a whole number .*, got '-1'."),
    ("opencv", "dt: d", "dt: 3f", "dt of a matrix must be d or f, numbers of one channel."),
    ("opencv", "      dt: d\n", "", "a matrix must have the entries rows, cols, dt and data."),
    ("opencv", "[ 0.606", "[ .Nan, 0.606", "data of a matrix must be finite .*, got '.Nan'."),
    ("opencv", "0.3936", "oops", "data of a matrix must be finite numbers, got 'oops.*'."),
    ("opencv", "   means:", "   : means:", "cannot understand the YAML at ': means: !!open.*'."),
    ("opencv", " 0.606", " -0.606", "the mixture is not valid: weights must not be negative .*"),
    ("arcgis", "   1           2", "   1           3", "it declares 3 classes, but holds 2."),
    (
        "arcgis",
        "3                   3",
        "3                   2",
        "all layers must be para.* 2 of 3.",
    ),
    ("arcgis", "3                   3", "3", "there must be a line of type, .*, four numbers."),
    ("arcgis", "170.4908", "", "the means of class 1 must be 3 numbers for 3 layers, got 2."),
    ("arcgis", "292.6546", "wrong", "the covariance of class 1 must be finite .*, got 'wrong'."),
    (
        "arcgis",
        "      2      182.3661",
        "      5      182.3661",
        "the rows .* of class 1 must be num.*",
    ),
    ("arcgis", " 654 ", " some ", "the number of cells of class 1 must be a whole .* got 'some'."),
    ("grass", "2\n#", "3\n#", "the first line must be the version of the signatures, 1 or 2."),
    ("grass", "#cluster", "cluster", "after the version there must be a title that begins .*"),
    ("grass", "TM_1 TM_2 ", " ", "after the title there must be the semantic labels of the bands."),
    ("grass", "\n1\n#Class", "\n5\n#Class", "after the bands there must be 0 or 1: original .*"),
    ("grass", "10.5 20.25", "10.5", "class 'Class 1' must have 7 numbers .*, or 10 .*, got 9."),
    ("grass", "300", "-300", "the number of pixels of class 'Class 1' must be a .* got '-300'."),
    ("grass", "7.5e+01", "inf", "the statistics of class 'water' must be finite .*, got 'inf'."),
    ("grass", "#Class 1", "Class 1", "a class must begin with #, got 'Class 1'."),
    ("grass7", "#title\n", "title\n", "the first line must be a title that begins with #."),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), MESSAGES)
def test_messages(name, old, new, message):
    with pytest.raises(ModelFormatError, match=f"^{message}$"):
        loads(without(name, (old, new)), name)


def test_means_alone_are_no_model():
    lines = WHOLE["arcgis"].splitlines()
    start = lines.index("# Covariance")
    del lines[start : start + 4]
    with pytest.raises(
        ModelFormatError, match=r"^class 1 has no covariance matrix. Create the sig"
    ):
        loads("\n".join(lines), "arcgis")


def test_no_class_at_all():
    with pytest.raises(ModelFormatError, match=r"^there is no class in it.$"):
        loads("1\n#t\na b\n\n\n", "grass")


def test_a_file_that_is_not_text_or_far_too_large(tmp_path):
    path = tmp_path / "a.gsg"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelFormatError, match=r"^a.gsg is not a model file: it is not text.$"):
        read_model(path)
    with path.open("wb") as file:
        file.truncate(40 << 20)
    with pytest.raises(ModelFormatError, match=r"^a.gsg is not a model file: it has over"):
        read_model(path)
