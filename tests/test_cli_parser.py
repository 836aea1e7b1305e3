"""The parsers: every option, its default and its documentation; and that help loads little."""

import re
import subprocess
import sys
from argparse import SUPPRESS
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import gmmseg
from gmmseg.__main__ import main
from gmmseg.cli.option_groups import options_of
from gmmseg.cli.parser import COMMANDS, command_parser, parse
from gmmseg.cli.segment_options import segment_options
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.io import ReadOptions
from gmmseg.mixture.merging import MergeOptions
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.selection import SelectOptions
from gmmseg.outputs import OutputOptions
from gmmseg.presets import DEFAULT, PRESETS, options_for
from gmmseg.regions import RegionOptions
from gmmseg.smoothing import SmoothingOptions

MANUAL = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
HEAVY = ("numpy", "numba", "cv2", "scipy", "skimage", "PIL", "tqdm", "tifffile")
GREY = Image.from_array(np.zeros((4, 5), np.uint8))
REQUIRED = {
    "segment": ["a.png", "-k", "2"],
    "apply": ["m.gmm.json", "a.png"],
    "fit": ["a.png", "-k", "2", "-o", "m.gmm.json"],
    "select": ["a.png"],
    "info": ["a.png"],
    "describe": ["m.gmm.json"],
    "report": ["out"],
    "export": ["a_labels.png", "--to", "coco.json"],
    "convert": ["m.gmm.json", "m.gsg"],
    "plot": ["m.gmm.json", "-o", "m.png"],
    "sample": ["m.gmm.json", "-n", "5", "-o", "rows.csv"],
    "doctor": [],
    "completion": ["bash"],
    "warmup": [],
    "batch": ["scans", "-o", "out", "-k", "2"],
}


def parsed(command, *words):
    return parse([command, *REQUIRED[command], *words])[1]


def own_actions(name):
    return [action for action in command_parser(name)._actions if action.dest != "help"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_manual(name):
    documented = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", MANUAL))
    given = {flag for action in own_actions(name) for flag in action.option_strings}
    assert given - documented == set()


def test_the_manual_names_no_option_that_is_not_there():
    documented = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", MANUAL)) - {"--help", "--version"}
    known = {f for name in COMMANDS for a in own_actions(name) for f in a.option_strings}
    assert documented - known == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_has_a_help_text(name):
    assert all(action.help and action.help != SUPPRESS for action in own_actions(name))


@pytest.mark.parametrize(
    "kind", [FeatureSpec, EMOptions, SelectOptions, ReadOptions, OutputOptions]
)
def test_every_field_of_the_options_has_an_argument_with_its_default(kind):
    given = {action.dest for action in own_actions("segment")}
    found = {"roles", "band_names", "sensor"}  # --bands tells roles, images the others
    assert {field.name for field in fields(kind)} - given - found == set()
    assert options_of(parsed("segment"), kind) == kind()


@pytest.mark.parametrize("name", ["segment", "fit"])
def test_help_tells_the_defaults(name, capsys):
    assert main([name, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    default = EMOptions()
    for flag, value in {
        "--covariance": default.covariance_type,
        "--init": default.init,
        "--n-init": default.n_init,
        "--tol": default.tol,
        "--max-iter": default.max_iter,
        "--reg-covar": default.reg_covar,
        "--seed": default.rng,
        "--colour-space": FeatureSpec().colour_space,
    }.items():
        after = text[text.rindex(f" {flag}") :]
        assert re.search(r"\(plain: ([^)]*)\)", after)[1] == str(value)


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--colour-space", "luv"], "colour_space", "luv"),
        (["--color-space", "raw"], "colour_space", "raw"),
        (["--bands", "4,3,2"], "bands", (4, 3, 2)),
        (["--bands", "B8A, red"], "bands", ("B8A", "red")),
        (["--bands", "1,red=3,nir=B08"], "bands", (1, 3, "B08")),
        (["--bands", "1,red=3,nir=B08"], "roles", (("red", 3), ("nir", "B08"))),
        (["--index", "ndvi,ndwi"], "indices", ("ndvi", "ndwi")),
        (["--position", "0.5"], "position", 0.5),
        (["--local-mean", "2"], "local_mean", (2.0,)),
        (["--local-std", "1,4"], "local_std", (1.0, 4.0)),
        (["--power", "0.5"], "power", 0.5),
        (["--blur", "2"], "blur", 2.0),
        (["--background", "12"], "background", 12.0),
        (["--local-gain", "10"], "local_gain", 10.0),
        (["--covariance", "diag"], "covariance_type", "diag"),
        (["--init", "k-means++"], "init", "k-means++"),
        (["--n-init", "3"], "n_init", 3),
        (["--tol", "1e-3"], "tol", 1e-3),
        (["--criterion", "parameters"], "criterion", "parameters"),
        (["--max-iter", "7"], "max_iter", 7),
        (["--no-accelerate"], "accelerate", False),
        (["--reg-covar", "1e-4"], "reg_covar", 1e-4),
        (["--seed", "5"], "rng", 5),
        (["--axes", "ZYX"], "axes", "ZYX"),
        (["--frame", "2"], "frame", 2),
        (["--nodata", "-9999"], "nodata", -9999.0),
        (["--nodata", "-3.4e38"], "nodata", -3.4e38),
        (["--no-exif"], "exif", False),
        (["--keep-alpha"], "keep_alpha", True),
        (["--indexed"], "indexed", True),
        (["--max-pixels", "99"], "max_pixels", 99),
        (["--masks"], "masks", True),
        (["--probabilities"], "probabilities", "tif"),
        (["--posteriors", "npz"], "probabilities", "npz"),
        (["--probabilities=png"], "probabilities", "png"),
        (["--entropy"], "entropy", True),
        (["--novelty"], "novelty", True),
        (["--no-overlay"], "overlay", False),
        (["--save-model"], "save_model", True),
        (["--smooth", "1.5"], "beta", 1.5),
        (["--smooth", "auto"], "beta", "auto"),
        (["--neighbours", "4"], "neighbours", 4),
        (["--neighbors", "26"], "neighbours", 26),
        (["--contrast", "0.5"], "contrast", 0.5),
        (["--sweeps", "3"], "sweeps", 3),
        (["--smooth-method", "icm"], "method", "icm"),
        (["--smooth-inside"], "inside", True),
        (["--gaussians-per-segment", "3"], "gaussians_per_segment", 3),
        (["--merge-by", "misclassification"], "merge_by", "misclassification"),
        (["--merge-touching"], "merge_touching", True),
        (["--min-area", "20"], "min_area", 20.0),
        (["--min-area", "5 mm2"], "min_area", "5 mm2"),
        (["--max-hole", "0.5%"], "max_hole", "0.5%"),
        (["--connectivity", "8"], "connectivity", 8),
        (["--merge-distance", "1.5"], "merge_distance", 1.5),
        (["--n-regions", "9"], "n_regions", 9),
        (["--regions"], "regions", True),
    ],
)
def test_an_option_sets_its_field(words, field, value):
    args = parsed("segment", *words)
    kinds = (FeatureSpec, EMOptions, SmoothingOptions, MergeOptions, RegionOptions)
    for kind in (*kinds, ReadOptions, OutputOptions):
        if field in {f.name for f in fields(kind)}:
            assert getattr(options_of(args, kind), field) == value
            return
    pytest.fail(f"{field} belongs to no options")


def test_both_tolerances_have_an_option():
    args = parsed("segment", "--tol", "0.1", "--smooth-tol", "0.2")
    options = segment_options(args)(GREY)
    assert (options.em.tol, options.smoothing.tol) == (0.1, 0.2)


def test_no_option_gives_the_preset_as_it_is():
    for name in PRESETS:
        assert segment_options(parsed("segment", "--preset", name))(GREY) == options_for(name, GREY)
    assert segment_options(parsed("segment"))(GREY) == options_for(DEFAULT, GREY)


def test_options_win_over_the_preset_and_leave_the_rest_of_it():
    words = ["--preset", "mri", "--smooth", "0", "--local-mean", "2", "--no-smooth-inside"]
    preset = PRESETS["mri"]
    options = segment_options(parsed("segment", *words))(GREY)
    assert options == replace(
        preset,
        features=replace(preset.features, local_mean=(2.0,)),
        smoothing=replace(preset.smoothing, beta=0.0, inside=False),
    )


def test_an_option_that_breaks_its_rule_is_told_before_any_image_is_read():
    with pytest.raises(gmmseg.errors.InvalidParameterError, match="blur must be at least 0"):
        segment_options(parsed("segment", "--blur", "-1"))


def test_nodata_may_be_nan():
    assert str(options_of(parsed("segment", "--nodata", "NaN"), ReadOptions).nodata) == "nan"


@pytest.mark.parametrize("flag", ["-k", "--components", "-n", "--classes"])
def test_the_number_of_classes_has_many_names(flag):
    assert parse(["segment", "a.png", flag, "4"])[1].k == 4


def test_inputs_and_options_mix():
    args = parse(["segment", "a.png", "-k", "2", "b.png", "--masks", "c.png"])[1]
    assert args.inputs == ["a.png", "b.png", "c.png"]
    assert args.masks


def test_a_value_that_may_be_left_out_swallows_no_input():
    args = parse(["segment", "-k", "2", "--probabilities", "photo.png"])[1]
    assert (args.inputs, args.probabilities) == (["photo.png"], "tif")


def test_what_follows_two_dashes_is_a_file():
    args = parse(["segment", "a.png", "-k", "2", "--", "-k", "--masks", "-"])[1]
    assert [Path(word) for word in args.inputs] == [
        Path(w) for w in ("a.png", "-k", "--masks", "-")
    ]
    assert not args.masks


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "usage: gmmseg COMMAND"),
        (["segmnt"], "invalid choice: 'segmnt'"),
        (["-q", "segment"], "unrecognized arguments: -q"),
        (["--", "segment"], "the command comes first"),
        (["segment", "a.png"], "the number of classes is missing: give -k K"),
        (["segment", "-k", "2"], "required: INPUT"),
        (["segment", "a", "-k", "0"], "must be a whole number, at least 1, or auto, got '0'"),
        (["segment", "a", "-k", "x"], "must be a whole number, at least 1, or auto, got 'x'"),
        (["select", "a", "--k-range", "3-"], "must be numbers such as 1-10 or 2,3,5, got '3-'"),
        (["select", "a", "--k-range", "1-9999999"], "must be numbers such as 1-10 or 2,3,5"),
        (["select", "a", "--k-range", "5-2"], "must be whole numbers from 1, the smaller first"),
        (["select", "a", "--k-range", "0"], "must be whole numbers from 1, the smaller first"),
        (["select", "a", "--k-range", "a,b"], "must be numbers such as 1-10 or 2,3,5"),
        (["select", "a", "--by", "taste"], "invalid choice: 'taste'"),
        (["segment", "a", "-k", "2", "--cov", "full"], "unrecognized arguments: --cov"),
        (["segment", "a", "-k", "2", "--covariance", "round"], "invalid choice: 'round'"),
        (
            ["segment", "a", "-k", "2", "--bands", "1;2"],
            "must be bands such as 4,3,2 or red=3,nir=4",
        ),
        (["segment", "a", "-k", "2", "--nodata", "none"], "must be a number or nan, got 'none'"),
        (["segment", "a", "-k", "2", "--min-area", "5mm"], "must be a number of pixels, or a text"),
        (["segment", "a", "-k", "2", "--smooth", "x"], "must be a number or auto, got 'x'"),
        (["segment", "a", "-k", "2", "--spacing", "1,b"], "must be sizes of a pixel such as"),
        (["segment", "a", "-k", "2", "-q", "-v"], "not allowed with argument"),
        (["apply", "m.gmm.json"], "required: INPUT"),
        (["fit", "a", "-k", "2"], "required: -o"),
    ],
)
def test_wrong_usage_exits_with_2(words, message, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) < 40


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--reg-covar", "-1"], "reg_covar must be at least 0, got -1.0."),
        (["--bands", "0"], "each of bands must be at least 1, got 0."),
        (["--seed", "-1"], "rng must be at least 0, got -1."),
        (["--position", "-1"], "position must be at least 0, got -1.0."),
        (["--frame", "-1"], "frame must be at least 0, got -1."),
    ],
)
def test_an_option_that_breaks_its_rule_exits_with_2(words, message, capsys):
    assert main(["segment", "not-there.png", "-k", "2", *words]) == 2
    assert capsys.readouterr().err == f"gmmseg: error: {message}\n"


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gmmseg {gmmseg.__version__}\n"


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


def modules_after(code):
    text = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return set(text.splitlines()[-1].split())


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["nonsense"], []])
def test_the_top_level_loads_nothing_heavy(words):
    loaded = modules_after(f"from gmmseg.__main__ import main; main({words})")
    assert loaded & set(HEAVY) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_compiles_and_reads_nothing(name):
    loaded = modules_after(f"from gmmseg.__main__ import main; main(['{name}', '--help'])")
    assert loaded & (set(HEAVY) - {"numpy"}) == set()
