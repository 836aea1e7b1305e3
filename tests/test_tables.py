"""Tables of text, NPY and Parquet: read as numbers, written back to the letter."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmseg.errors import (
    InvalidDataError,
    InvalidParameterError,
    MissingDependencyError,
    MissingFileError,
    OutputExistsError,
    ReadError,
)
from gmmseg.io import Table, TableOptions, delimited, is_table_name, read_table, tables, write_table
from gmmseg.io.delimited import read_delimited

nan = np.nan


@pytest.fixture
def read(tmp_path):
    def call(content, name="t.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(path, TableOptions(**options))

    return call


def values(table):
    return table.values.tolist()


# Reading


def test_a_plain_table(read):
    table = read("x,y\n1,2\n3,4.5\n")
    assert isinstance(table, Table)
    assert table.names == ("x", "y")
    assert values(table) == [[1, 2], [3, 4.5]]
    assert table.values.dtype == np.float64
    assert table.notes == ()


@pytest.mark.parametrize("cell", ["", " ", "NA", "n/a", "NaN", "null", "None"])
def test_gaps(read, cell):
    table = read(f"x,y\n1,2\n{cell},4\n5,6\n")
    np.testing.assert_array_equal(table.values, [[1, 2], [nan, 4], [5, 6]])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found(read, delimiter):
    text = f"x{delimiter}y{delimiter}z\n1{delimiter}2{delimiter}3\n4{delimiter}5{delimiter}6\n"
    assert values(read(text)) == [[1, 2, 3], [4, 5, 6]]


def test_the_delimiter_is_looked_for_outside_of_quotes(read):
    table = read('"a,b,c";y\n"p,q";2\n"r";4\n')
    assert table.names == ("y",)
    assert values(table) == [[2], [4]]
    assert values(read("x;y\n1,5;2,5\n3,5;4,5\n", decimal=",")) == [[1.5, 2.5], [3.5, 4.5]]


def test_one_column(read):
    assert values(read("x\n1\n\n2\n")) == [[1], [2]]
    assert values(read("1\n2\n")) == [[1], [2]]


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a,b\n1,2\n", True),
        ("1,2\n3,4\n", False),
        ("setosa,5.1\nvirginica,6.2\n", False),
        ("name,2019\nx,1\ny,2\n", False),  # told by header=True
        ("id,2019\n1,5\n2,6\n", True),
        ("1,,3\n4,5,6\n", False),
        ("NA,2\n4,5\n", False),
        ("name,length\nsetosa,5.1\n", True),
    ],
)
def test_the_header_is_found(read, text, header):
    table = read(text)
    assert len(table.values) == text.count("\n") - header


def test_the_header_is_told(read):
    assert values(read("name,2019\nx,1\ny,2\n", header=True)) == [[1], [2]]
    assert values(read("1,2\n3,4\n", header=True)) == [[3, 4]]
    with pytest.raises(ReadError, match=r"no column is numeric: column 1 \('a' near line 1\)"):
        read("a,b\n1,2\n", header=False)


def test_names_of_columns_without(read):
    assert read("1,2\n3,4\n").names == ("column 1", "column 2")
    assert read(" x ,\n3,4\n").names == ("x", "column 2")


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfx,y\r\n1,2\r\n",
        "x,y\n1,2\n".encode("utf-16"),
        "\ufeffx,y\n1,2\n".encode("utf-16-be"),
        b"x,y\r1,2\r",
        b'"x","y"\n"1","2"',
        b'x,y\n" 1 ",2\n\n\n',
    ],
)
def test_encodings_line_ends_and_quotes(read, content):
    table = read(content)
    assert table.names == ("x", "y")
    assert values(table) == [[1, 2]]


def test_text_columns_are_left_out_and_named(read):
    table = read("id,name,x,none\n2024_01,p,1,\n2024_02,q,2,\n")
    assert table.names == ("x",)
    assert table.notes == (
        "left out, not numeric: id ('2024_01' near line 2), name ('p' near line 2), "
        "none (no number in any row)",
    )


def test_a_column_that_turns_to_text_late(read, monkeypatch):
    monkeypatch.setattr(delimited, "_CHUNK", 7)
    text = "x,y\n" + "".join(f"{i},{i}\n" for i in range(40)) + "40,oops\n"
    table = read(text)
    assert table.names == ("x",)
    assert table.values[:, 0].tolist() == list(range(41))
    assert "'oops' near line 42" in table.notes[0]


def test_columns_are_chosen(read):
    text = 'a,"b, mm",c,3\n1,2,x,4\n5,6,y,8\n'
    assert values(read(text, columns=("b, mm", "a"))) == [[2, 1], [6, 5]]
    assert values(read(text, columns=("3", "1"))) == [[4, 1], [8, 5]]  # a name comes first
    with pytest.raises(ReadError, match=r"column 'c' is not numeric: 'x' near line 2\.$"):
        read(text, columns=("c",))
    with pytest.raises(InvalidParameterError, match=r"^columns must be names or numbers 1\.\.4 of"):
        read(text, columns=("5",))
    with pytest.raises(InvalidParameterError, match=r"has 2 columns called 'a'. Choose by number"):
        read("a,a\n1,2\n", columns=("a",))
    assert tables.split_columns('a,"b, mm", 3') == ("a", "b, mm", "3")


def test_decimal_commas_are_told(read):
    hint = r"column 'x' is not numeric: '1,5' near line 2. If that is a decimal comma, say so"
    with pytest.raises(ReadError, match=hint):
        read("x;y\n1,5;2\n", columns=("x",))
    assert "decimal comma" in read("x;y\n1,5;2\n").notes[0]
    assert values(read("x;y\n-1,5e3;\n2;3\n", decimal=","))[1] == [2, 3]
    assert read("x;y\n1.000,5;2\n", decimal=",").names == ("y",)  # not guessed
    with pytest.raises(InvalidParameterError, match=r"^decimal must differ from delimiter"):
        TableOptions(decimal=",", delimiter=",")


# Malformed files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"the file is empty\.$"),
        ("\n\n", r"the table is empty\.$"),
        ("x,y\n", r"the table has a header and no rows\.$"),
        ("x,y\n1,2\n3,4,5\n", r"line 3 has 3 fields, but the first record has 2\. Correct it"),
        ("x,y\n1,2\n3\n", r"line 3 has 1 fields"),
        ('x,y\n"a\nb",2\n3\n', r"line 4 has 1 fields"),
        ('x,y\n1,"2\n', r"line 2: unexpected end of data\. Quotes in a quoted field"),
        ('x,y\n1,"2"3\n', r"line 2: ',' expected after '\"'"),
        ("x,y\n1," + "9" * 200_000 + "\n", r"line 2: field larger than field limit"),
        ("a,b\nc,d\n", r"no column is numeric: a \('c' near line 2\)"),
        (b"x,y\n1,\0\0\n", r"it is not a text table but binary data\.$"),
        (b"\xff\xfex\0\n\0\x00\xd8", r"its UTF-16 text is damaged\.$"),
    ],
)
def test_malformed_text(read, content, message):
    with pytest.raises(ReadError, match=message):
        read(content)


def test_a_name_cannot_steer_the_terminal(read):
    table = read("x,\x1b[2Jy\n1,\x1b[31mred\n")
    assert table.notes[0].isprintable()


def test_too_large_for_the_memory(read, monkeypatch):
    monkeypatch.setattr(tables, "free_memory", lambda: 10)
    with pytest.raises(ReadError, match=r"a table of 8 bytes needs more memory than is free"):
        read("x,y\n1,2\n")


def test_no_such_file(tmp_path):
    with pytest.raises(MissingFileError, match=r"none\.csv"):
        read_table(tmp_path / "none.csv")


@given(
    data=st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
        min_size=1,
        max_size=20,
    ),
    delimiter=st.sampled_from([",", ";", "\t"]),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_numbers_read_back_exactly(data, delimiter, newline):
    lines = [delimiter.join("pqr"), *(delimiter.join(map(repr, row)) for row in data)]
    parsed = read_delimited(
        newline.join(lines).encode(), "t", header=None, delimiter=None, decimal="."
    )
    np.testing.assert_array_equal(np.stack(list(parsed.columns.values()), 1), data)
    assert parsed.newline == newline


@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    try:
        found = read_delimited(content, "t", header=None, delimiter=None, decimal=".")
    except ReadError:
        return
    assert {len(column) for column in found.columns.values()} <= {len(found.records)}


def test_progress_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "_CHUNK", 10)
    path = tmp_path / "t.csv"
    path.write_text("x\n" + "1\n" * 35)
    seen = []
    read_table(path, progress=seen.append)
    assert seen == sorted(seen)
    assert len(seen) == 4
    assert seen[-1] == 1


# Writing


def test_text_is_kept_to_the_letter(read, tmp_path):
    text = 'name;x;note\n"a ""b""";01.50;=1+1\n\'c\';2e0;"two\nlines"\n'
    table = read(text)
    write_table(tmp_path / "out.csv", table, {"cluster": np.array([1, 2], np.uint8)})
    assert (tmp_path / "out.csv").read_bytes().decode() == (
        'name;x;note;cluster\n"a ""b""";01.50;=1+1;1\n\'c\';2e0;"two\nlines";2\n'
    )


def test_line_ends_bytes_and_decimal_commas_are_kept(read, tmp_path):
    table = read(b"gr\xfc\xdfe;x\r\n\xe4;1,5\r\n\xf6;2,5", decimal=",")
    write_table(tmp_path / "out.csv", table, {"p": np.array([0.25, nan])})
    assert (tmp_path / "out.csv").read_bytes() == (
        b"gr\xfc\xdfe;x;p\r\n\xe4;1,5;0,25\r\n\xf6;2,5;\r\n"
    )


def test_tables_without_header_get_none(read, tmp_path):
    write_table(tmp_path / "out.csv", read("1,2\n3,4\n"), {"c": np.array([1, 2])})
    assert (tmp_path / "out.csv").read_text() == "1,2,1\n3,4,2\n"


def test_names_that_are_taken(read, tmp_path):
    table = read("cluster,cluster_\n1,2\n")
    write_table(tmp_path / "out.csv", table, {"cluster": np.array([7])})
    assert (tmp_path / "out.csv").read_text() == "cluster,cluster_,cluster__\n1,2,7\n"


def test_many_rows_are_written_in_pieces(read, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_ROWS", 4)
    n = 19
    table = read("x\n" + "".join(f"{i}\n" for i in range(n)))
    write_table(tmp_path / "o.csv", table, {"a": np.arange(n), "b": np.arange(n) / 8})
    rows = list(csv.reader(io.StringIO((tmp_path / "o.csv").read_text())))
    assert rows == [["x", "a", "b"], *([str(i), str(i), f"{i / 8:g}"] for i in range(n))]


def test_writing_what_does_not_fit(read, tmp_path):
    table = read("x\n1\n2\n")
    with pytest.raises(InvalidDataError, match=r"^the column c has 3 rows, but the table 2\.$"):
        write_table(tmp_path / "o.csv", table, {"c": np.arange(3)})
    with pytest.raises(OutputExistsError, match="exists already"):
        write_table(tmp_path / "t.csv", table, {"c": np.arange(2)})


# NPY and Parquet


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_npy(tmp_path, dtype):
    array = np.array([[1, 2], [3, 4]], dtype)
    np.save(tmp_path / "t.npy", array)
    table = read_table(tmp_path / "t.npy")
    assert values(table) == [[1, 2], [3, 4]]
    assert table.ending == ".csv"
    write_table(tmp_path / "o.csv", table, {"c": np.array([1, 2])})
    text = (tmp_path / "o.csv").read_text()
    assert text.replace(".0", "") == "column 1,column 2,c\n1,2,1\n3,4,2\n"


def test_npy_of_one_axis_and_of_others(tmp_path):
    np.save(tmp_path / "one.npy", np.array([1.0, nan]))
    np.testing.assert_array_equal(read_table(tmp_path / "one.npy").values, [[1], [nan]])
    np.save(tmp_path / "three.npy", np.zeros((2, 2, 2)))
    with pytest.raises(ReadError, match=r"a table has rows and columns, but the array is of shape"):
        read_table(tmp_path / "three.npy")
    np.save(tmp_path / "text.npy", np.array(["a"]))
    with pytest.raises(ReadError, match=r"it holds <U1"):
        read_table(tmp_path / "text.npy")


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"n": ["p", "q"], "x": [1, None], "y": [2.5, 3.5], "b": [True, False]})
    parquet.write_table(table, tmp_path / "t.parquet")
    found = read_table(tmp_path / "t.parquet")
    assert found.names == ("x", "y", "b")
    np.testing.assert_array_equal(found.values, [[1, 2.5, 1], [nan, 3.5, 0]])
    assert found.notes == ("left out, not numeric: n (of type string)",)
    assert found.ending == ".parquet"
    write_table(tmp_path / "o.parquet", found, {"cluster": np.array([1, 2], np.uint8)})
    again = parquet.read_table(tmp_path / "o.parquet")
    assert again.drop_columns("cluster").equals(table)
    assert again["cluster"].to_pylist() == [1, 2]
    (tmp_path / "bad.parquet").write_bytes(b"PAR1" + b"x" * 50 + b"PAR1")
    with pytest.raises(ReadError, match=r"cannot read .*bad\.parquet"):
        read_table(tmp_path / "bad.parquet")


def test_parquet_that_would_fill_the_memory(tmp_path, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"x": np.zeros(10**6)}), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 10**5
    monkeypatch.setattr(tables, "free_memory", lambda: 10**7)
    with pytest.raises(ReadError, match=r"its 1000000 rows of 1 columns need more memory than is"):
        read_table(tmp_path / "t.parquet")


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1xxxx")
    with pytest.raises(MissingDependencyError, match=r"pip install 'gmmseg\[tables\]'"):
        read_table(tmp_path / "t.parquet")


def test_names_of_tables():
    assert is_table_name("a.CSV")
    assert is_table_name("a.parquet")
    assert not is_table_name("a.tif")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": "|"}, r"^delimiter must be one of "),
        ({"decimal": ";"}, r"^decimal must be one of '\.', ',', got ';'"),
        ({"columns": "x"}, r"^columns must be a sequence of names or numbers, got 'x'"),
        ({"columns": ()}, r"^columns must be a sequence"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InvalidParameterError, match=message):
        TableOptions(**options)
