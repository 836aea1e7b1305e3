"""Options from a file and from variables, the log file, and where errors came up."""

import json
from pathlib import Path

import numpy as np
import pytest

from gmmseg.cli.parser import parse
from gmmseg.io import write_png


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write_png("photo.png", (rng.random((20, 30, 3)) * 255).astype(np.uint8))
    return tmp_path


def written(text):
    Path("gmmseg.toml").write_text(text, encoding="utf-8")
    return ["segment", "photo.png", "-k", "2", "--config", "gmmseg.toml"]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("smooth = 1.5", "beta", 1.5),
        ('smooth = "auto"', "beta", "auto"),
        ('[segment]\ncovariance = "tied"', "covariance_type", "tied"),
        ("[segment]\nmin-area = 5", "min_area", 5.0),
        ('min_area = "5 mm2"', "min_area", "5 mm2"),
        ("overlay = false", "overlay", False),
        ("no-overlay = true", "overlay", False),
        ("masks = true", "masks", True),
        ("masks = false", "masks", False),
        ("probabilities = true", "probabilities", "tif"),
        ('probabilities = "npz"', "probabilities", "npz"),
        ("bands = [3, 1]", "bands", (3, 1)),
        ("verbose = true", "verbose", 1),
        ("seed = 1\n[segment]\nseed = 2", "rng", 2),
        ("[fit]\nseed = 7", "rng", None),
        ("rows = 3", "rows", None),  # an option of another command
    ],
)
def test_an_entry_is_an_option(folder, text, name, value):
    assert getattr(parse(written(text))[1], name, None) == value


def test_k_may_stand_in_the_file(folder):
    words = [word for word in written("k = 4") if word not in ("-k", "2")]
    assert parse(words)[1].k == 4


def test_the_command_line_wins_over_variables_and_these_over_the_file(folder, monkeypatch):
    words = written("seed = 1\nmax-iter = 1\ntol = 1")
    monkeypatch.setenv("GMMSEG_SEED", "2")
    monkeypatch.setenv("GMMSEG_MAX_ITER", "2")
    args = parse([*words, "--seed", "3"])[1]
    assert (args.rng, args.max_iter, args.tol) == (3, 2, 1.0)


def test_a_variable_names_the_file(folder, monkeypatch):
    written("seed = 5")
    monkeypatch.setenv("GMMSEG_CONFIG", "gmmseg.toml")
    assert parse(["segment", "photo.png", "-k", "2"])[1].rng == 5


def test_a_variable_turns_a_switch(folder, monkeypatch):
    monkeypatch.setenv("GMMSEG_OVERLAY", "no")
    monkeypatch.setenv("GMMSEG_MASKS", "YES")
    args = parse(["segment", "photo.png", "-k", "2"])[1]
    assert (args.overlay, args.masks) == (False, True)


def test_what_is_typed_wins_over_what_excludes_it(folder):
    args = parse([*written("quiet = true"), "-v"])[1]
    assert (args.quiet, args.verbose) == (False, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smoth = 1", "there is no option 'smoth'"),
        ("[segment]\nrows = 3", "gmmseg segment has no option 'rows'"),
        ("[segmnt]\nseed = 1", "there is no command 'segmnt'; tables are named segment"),
        ("seed = ", "is not a TOML file: Invalid value"),
        ("a = " + "[" * 5000, "is not a TOML file"),
        ('masks = "yes"', "masks must be true or false, got 'yes'"),
        ("seed = -1", "rng must be at least 0"),
    ],
)
def test_what_is_wrong_in_the_file_is_told(folder, run, text, message):
    done = run(*written(text))
    assert done.status == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()[-1]) < 400


def test_a_bad_value_names_the_option(folder, run):
    done = run(*written('seed = "many"'))
    assert done.status == 2
    assert "argument --seed" in done.err


def test_a_switch_of_no_meaning_is_refused(folder, run, monkeypatch):
    monkeypatch.setenv("GMMSEG_MASKS", "perhaps")
    done = run("segment", "photo.png", "-k", "2")
    assert (done.status, "GMMSEG_MASKS must be one of 1, true" in done.err) == (2, True)


@pytest.mark.parametrize("name", ["none.toml", "."])
def test_a_file_that_cannot_be_read(folder, run, name):
    done = run("segment", "photo.png", "-k", "2", "--config", name)
    assert (done.status, f"cannot read {name}: " in done.err) == (2, True)


def test_a_file_that_is_no_text_or_too_large(folder, run):
    Path("a.toml").write_bytes(b"\xff\xfe")
    Path("b.toml").write_bytes(b"#" * (1 << 20) + b"\n")
    command = ("segment", "photo.png", "-k", "2", "--config")
    assert "a.toml is not a TOML file: " in run(*command, "a.toml").err
    assert "b.toml is too large for a configuration file" in run(*command, "b.toml").err


# --- log file, tracebacks -----------------------------------------------------------------------


def test_the_log_file_has_what_is_shown_and_what_is_not(folder, run):
    for _ in range(2):
        done = run("segment", "photo.png", "-k", "2", "-q", "--overwrite", "--log-file", "a.log")
        assert (done.status, done.err) == (0, "")
    log = Path("a.log").read_text()
    assert log.count("segment photo.png -k 2 -q --overwrite --log-file a.log") == 2
    assert log.count("photo_labels.png") == 2


def test_the_log_file_has_the_way_to_an_error(folder, run):
    done = run("segment", "none.png", "-k", "2", "--log-file", "a.log")
    assert done.status == 1
    assert "Traceback" not in done.err
    log = Path("a.log").read_text()
    assert "Traceback" in log
    assert "error: There is no file none.png." in log


def test_a_log_file_that_cannot_be_written(folder, run):
    done = run("segment", "photo.png", "-k", "2", "--log-file", "no/a.log")
    assert (done.status, "cannot write no/a.log: No such file" in done.err) == (1, True)
    assert not Path("photo_labels.png").exists()


def test_very_verbose_tells_where_an_error_came_up(folder, run):
    assert "Traceback" not in run("segment", "none.png", "-k", "2", "-v").err
    assert "Traceback" in run("segment", "none.png", "-k", "2", "-vv").err
    assert "Traceback" in run("fit", "none.png", "-k", "2", "-o", "m.gmm.json", "-vv").err


# --- doctor, completion -------------------------------------------------------------------------


def test_doctor(run):
    done = run("doctor")
    assert "numba" in done.out
    assert done.status == (1 if done.err else 0)
    findings = json.loads(run("doctor", "--json").out)["findings"]
    assert {"gmmseg", "Python", "numpy", "OpenCV", "threads", "compiled kernels", "GPU"} <= {
        finding["subject"] for finding in findings
    }


def test_doctor_sees_two_wheels_of_opencv(run, monkeypatch):
    from gmmseg import diagnosis

    wheels = {"opencv-python": "5.0", "opencv-python-headless": "5.0"}
    usual = diagnosis._version
    monkeypatch.setattr(diagnosis, "_version", lambda name: wheels.get(name) or usual(name))
    done = run("doctor")
    assert done.status == 1
    assert "pip uninstall opencv-python opencv-python-headless" in done.err


def test_doctor_sees_what_is_missing_or_old(run, monkeypatch):
    from gmmseg import diagnosis

    usual = diagnosis._version
    odd = {"numpy": "1.26.4", "tqdm": ""}
    monkeypatch.setattr(diagnosis, "_version", lambda name: odd.get(name, usual(name)))
    done = run("doctor")
    assert done.status == 1
    assert "numpy 1.26.4 is older than 2.0: pip install 'numpy>=2.0'" in done.err
    assert "tqdm is missing, and needed" in done.err


def test_doctor_sees_a_cache_that_cannot_be_kept(run, monkeypatch):
    from gmmseg import diagnosis

    monkeypatch.setattr(diagnosis, "cache_folder", lambda: "")
    assert "set NUMBA_CACHE_DIR" in run("doctor").err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(run, shell):
    pytest.importorskip("shtab")
    done = run("completion", shell)
    assert done.status == 0
    for word in ("segment", "doctor", "covariance", "microscopy"):
        assert word in done.out
