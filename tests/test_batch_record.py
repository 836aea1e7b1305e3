"""The run record, what is taken for done, temporary files, tables."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmseg.batch.planning import BatchPlan, PlannedFile
from gmmseg.batch.record import (
    RECORD_NAME,
    RunRecord,
    latest_entries,
    parse_record,
    read_record,
)
from gmmseg.batch.resume import bases_in_use, digest, is_done, remove_temporary
from gmmseg.batch.tables import class_rows, csv_text, flat_drift
from gmmseg.errors import WriteError

posix = pytest.mark.skipif(os.name != "posix", reason="locks and links of POSIX")


def test_lines_are_kept_and_added_to(tmp_path):
    for number in range(2):
        with RunRecord.opened(tmp_path / "out") as record:
            assert len(record.entries) == number
            record.append({"input": "a\u2028\udcff.png", "n": number})
    entries = read_record(tmp_path / "out")
    assert [entry["n"] for entry in entries] == [0, 1]
    assert latest_entries(entries) == {"a\u2028\udcff.png": entries[1]}
    assert (tmp_path / "out" / RECORD_NAME).read_bytes().isascii()


def test_a_torn_last_line_is_cut_off(tmp_path):
    path = tmp_path / RECORD_NAME
    path.write_bytes(b'{"input": "a"}\n{"input": "b", "sta')
    assert read_record(tmp_path) == [{"input": "a"}]
    with RunRecord.opened(tmp_path) as record:
        record.append({"input": "c"})
    assert path.read_bytes() == b'{"input": "a"}\n{"input": "c"}\n'


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record(content):
    assert all(isinstance(entry, dict) for entry in parse_record(content))


def test_nested_too_deeply_is_passed_over():
    assert parse_record(b"[" * 100_000 + b'\n{"a": 1}\n') == [{"a": 1}]


@posix
def test_only_one_run_at_a_time(tmp_path):
    with (
        RunRecord.opened(tmp_path),
        pytest.raises(WriteError, match="another run is at work in"),
        RunRecord.opened(tmp_path),
    ):
        pass
    with RunRecord.opened(tmp_path):
        pass


@posix
def test_a_link_in_place_of_the_record_is_not_followed(tmp_path):
    (tmp_path / "other").write_text("mine")
    (tmp_path / RECORD_NAME).symlink_to(tmp_path / "other")
    with pytest.raises(WriteError, match="cannot write"), RunRecord.opened(tmp_path):
        pass
    assert (tmp_path / "other").read_text() == "mine"


FILE = PlannedFile(input="s/x.png", base="s/x", size=5, mtime_ns=7)


def entry(**changes):
    values = {
        "input": "s/x.png",
        "status": "ok",
        "size": 5,
        "mtime_ns": 7,
        "settings": "abc",
        "outputs": {"labels": "s/x_labels.png", "json": "s/x_summary.json"},
        "bytes": {"labels": 3, "json": 4},
    }
    return values | changes


@pytest.fixture
def output(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/x_labels.png").write_bytes(b"abc")
    (tmp_path / "s/x_summary.json").write_bytes(b"abcd")
    return tmp_path


@pytest.mark.parametrize("status", ["ok", "skipped"])
def test_what_is_done(output, status):
    assert is_done(FILE, entry(status=status), "abc", output)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "failed"},
        {"size": 6},
        {"mtime_ns": 8},
        {"settings": "abd"},
        {"bytes": {"labels": 3, "json": 5}},
        {"bytes": {"labels": 3}},
        {"bytes": None},
        {"outputs": None},
        {"outputs": {"labels": "../x_labels.png", "json": "s/x_summary.json"}},
        {"outputs": {"labels": "/etc/passwd", "json": "s/x_summary.json"}},
        {"outputs": {"labels": 5, "json": "s/x_summary.json"}},
        {"outputs": {"labels": "s/y_labels.png", "json": "s/x_summary.json"}},
    ],
)
def test_what_is_not_done(output, changes):
    assert not is_done(FILE, entry(**changes), "abc", output)


def test_outputs_that_are_gone_are_not_done(output):
    (output / "s/x_labels.png").unlink()
    assert not is_done(FILE, entry(), "abc", output)
    assert not is_done(FILE, {}, "abc", output)


def test_what_killed_runs_have_left_is_removed_and_nothing_else(output):
    plan = BatchPlan(root=output, output=output, files=(FILE,))
    (output / "s/.gmmseg-ab12_xyz").mkdir()
    (output / "s/.gmmseg-ab12_xyz/x_labels.png").write_bytes(b"half")
    (output / "s/.x.gmm.json.123.tmp").write_bytes(b"half")
    (output / "s/notes.tmp").write_bytes(b"mine")
    (output / "s/.gmmseg-mine").mkdir()
    assert remove_temporary(plan) == 2
    left = {path.name for path in (output / "s").iterdir()}
    assert left == {"x_labels.png", "x_summary.json", "notes.tmp", ".gmmseg-mine"}


def test_bases_of_which_there_are_outputs(output):
    other = PlannedFile(input="s/z.png", base="s/z", size=1, mtime_ns=1)
    plan = BatchPlan(root=output, output=output, files=(FILE, other))
    assert bases_in_use(plan) == {"s/x"}


def test_digests_tell_values_apart():
    assert digest({"a": 1, "b": [2.5, None]}) == digest({"b": [2.5, None], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_cell_becomes_a_formula(name):
    text = csv_text([{"input": name, "shift": -2.5}])
    cell, number = text.splitlines()[1].rsplit(",", 1)
    assert cell.strip('"').startswith("'")
    assert number == "-2.5"


def test_names_cannot_break_out_of_their_cell():
    text = csv_text([{"input": 'a",=1\n\x1b[2J.png', "bänd=1": 3}])
    assert text == 'input,bänd=1\n"a"",=1\\n\\x1b[2J.png",3\n'


def test_rows_of_classes():
    one = {"label": 1, "pixels": 4, "share": 1.0, "area": None, "mean": [2.0], "std": [0.5]}
    summary = {"input": "a.png", "bands": ["grey"], "classes": [one]}
    (row,) = class_rows([summary])
    assert json.loads(json.dumps(row)) == {
        "input": "a.png",
        "class": 1,
        "pixels": 4,
        "share": 1.0,
        "area": None,
        "mean grey": 2.0,
        "std grey": 0.5,
    }


def test_the_drift_table_has_a_column_for_each_class():
    row = {"input": "a", "flags": ["novel"], "shares": [1, 0], "shifts": [2, None], "moves": [3, 4]}
    (flat,) = flat_drift([row])
    assert flat == {
        "input": "a",
        "flags": "novel",
        "share 1": 1,
        "share 2": 0,
        "shift 1": 2,
        "shift 2": None,
        "move 1": 3,
        "move 2": 4,
    }
