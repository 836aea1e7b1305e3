"""The layers of docs/architecture.md: imports go down only, files and functions stay small."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

import gmmseg

PACKAGE = Path(gmmseg.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

# The first rule that fits decides: a file, or a folder with a slash at its end. A module may
# import modules of its own layer and of lower ones. The package's own __init__ gives public names
# out and is imported by nobody.
LAYERS = (
    ("__init__.py", 7),
    ("errors.py", 0),
    ("_check.py", 0),
    ("_entries.py", 0),
    ("_optional.py", 0),
    ("_files.py", 0),
    ("mixture/", 1),
    ("quantiles.py", 2),
    ("placement.py", 2),
    ("image.py", 2),
    ("georeference.py", 2),
    ("pixel_grid.py", 2),
    ("banded.py", 2),
    ("splines.py", 2),
    ("cubes.py", 2),
    ("bias.py", 2),
    ("feature_spec.py", 2),
    ("chosen_bands.py", 2),
    ("band_roles.py", 2),
    ("spectral_indices.py", 2),
    ("features.py", 2),
    ("_colour.py", 2),
    ("_texture.py", 2),
    ("smoothing.py", 2),
    ("cascade.py", 2),
    ("_smoothing_kernels.py", 2),
    ("lattice.py", 2),
    ("area.py", 2),
    ("regions.py", 2),
    ("_region_kernels.py", 2),
    ("random_field.py", 2),
    ("priors.py", 2),
    ("fractions.py", 2),
    ("_fraction_kernels.py", 2),
    ("model.py", 2),
    ("labels.py", 2),
    ("classes.py", 2),
    ("_class_kernels.py", 2),
    ("overlay.py", 2),
    ("_overlay_kernels.py", 2),
    ("legend.py", 2),
    ("pixels.py", 2),
    ("used_pixels.py", 2),
    ("working_grid.py", 2),
    ("_grid_kernels.py", 2),
    ("_texture_kernels.py", 2),
    ("enlarged.py", 2),
    ("hints.py", 2),
    ("autocorrelation.py", 2),
    ("uncertainty.py", 2),
    ("anomaly.py", 2),
    ("heatmap.py", 2),
    ("tiles.py", 2),
    ("components.py", 2),
    ("contours.py", 2),
    ("_contour_kernels.py", 2),
    ("opencv.py", 2),
    ("stability.py", 2),
    ("segmentation.py", 2),
    ("io/", 3),
    ("bridges/", 3),
    ("options.py", 4),
    ("modalities.py", 2),
    ("mosaic.py", 2),
    ("many_images.py", 4),
    ("adapted.py", 4),
    ("folder_modes.py", 4),
    ("pooling.py", 4),
    ("tissue.py", 4),
    ("presets.py", 4),
    ("given.py", 4),
    ("pipeline.py", 4),
    ("diagnosis.py", 4),
    ("outputs.py", 4),
    ("staging.py", 4),
    ("export.py", 4),
    ("detection.py", 4),
    ("tabular.py", 4),
    ("streaming.py", 4),
    ("scene_outputs.py", 4),
    ("map_layouts.py", 4),
    ("vectors.py", 4),
    ("zonal.py", 4),
    ("scattered_scenes.py", 4),
    ("distributed.py", 4),
    ("scattered_outputs.py", 4),
    ("schedulers.py", 4),
    ("xarrays.py", 5),
    ("batch/", 5),
    ("report/", 5),
    ("plots/", 5),
    ("tissue_files.py", 5),
    ("cli/", 6),
    ("__main__.py", 6),
    ("sklearn.py", 6),
    ("napari.py", 6),
)

MIXTURE_MAY_IMPORT = {"numpy", "numba", "llvmlite", "gmmseg"}  # beside the standard library
NOT_IN_THE_LIBRARY = {"tqdm", "argparse"}
LINES_OF_A_FILE = 500
LONGER = {
    "mixture/_kernels.py": 700,  # Numba's cache does not see changes in other files
    "mixture/mixture.py": 600,  # one thin door after another: two lines of three are docstrings
}
LINES_OF_A_FUNCTION = 80


def layer_of(path):
    """The layer of a file given relative to the package, or None."""
    for rule, layer in LAYERS:
        if path == rule or (rule.endswith("/") and path.startswith(rule)):
            return layer
    return None


def tree_of(path):
    return ast.parse((PACKAGE / path).read_text(encoding="utf-8"), filename=path)


def file_of(dotted):
    """The file of a module of this package, or None when it is no module."""
    inside = Path(*dotted.split(".")[1:])
    for path in (inside.with_suffix(".py") if inside.parts else None, inside / "__init__.py"):
        if path is not None and (PACKAGE / path).is_file():
            return path.as_posix()
    return None


def imported(path):
    """Dotted names of all that a file imports, inside functions or not, for types or not."""
    package = ["gmmseg", *Path(path).parent.parts]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:  # a submodule, or a name in the module
                inner = f"{module}.{alias.name}"
                is_module = module.startswith("gmmseg") and file_of(inner) is not None
                yield inner if is_module else module


@pytest.mark.parametrize("path", MODULES)
def test_every_module_has_a_layer(path):
    assert layer_of(path) is not None, f"{path}: give it a layer in LAYERS"


@pytest.mark.parametrize("path", MODULES)
def test_imports_go_down_only(path):
    wrong = []
    for name in imported(path):
        if name.split(".")[0] != "gmmseg" or name == "gmmseg":
            continue
        other = file_of(name)
        assert other is not None, f"{path} imports {name}, which is not there"
        if (layer_of(other) or 0) > layer_of(path):
            wrong.append(f"{path} (layer {layer_of(path)}) imports {other} ({layer_of(other)})")
    assert wrong == []


def names_taken_from_the_package(path):
    """What a file uses of ``gmmseg`` itself: submodules, ``__version__`` or public names."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "gmmseg":
            yield from (alias.name for alias in node.names)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "gmmseg"
        ):
            yield node.attr


@pytest.mark.parametrize("path", [p for p in MODULES if layer_of(p) not in (6, 7)])
def test_public_names_are_not_used_below_the_command_line(path):
    """They load everything: what lies below would import what lies above it."""
    taken = {n for n in names_taken_from_the_package(path) if file_of(f"gmmseg.{n}") is None}
    assert taken <= {"__version__"}


@pytest.mark.parametrize("path", [p for p in MODULES if p.startswith("mixture/")])
def test_the_mixture_knows_arrays_only(path):
    packages = {name.split(".")[0] for name in imported(path)}
    assert packages - set(sys.stdlib_module_names) <= MIXTURE_MAY_IMPORT
    for name in imported(path):
        if name.startswith("gmmseg."):
            assert layer_of(file_of(name)) <= 1


@pytest.mark.parametrize("path", [p for p in MODULES if (layer_of(p) or 0) < 5])
def test_the_library_neither_prints_nor_parses_arguments(path):
    packages = {name.split(".")[0] for name in imported(path)}
    assert not packages & NOT_IN_THE_LIBRARY
    calls = [node.func for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    printing = [f for f in calls if isinstance(f, ast.Name) and f.id in ("print", "input", "exit")]
    assert [f"{path}:{f.lineno}" for f in printing] == []


def declared(path):
    """The names in __all__, or None."""
    for node in tree_of(path).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                return ast.literal_eval(node.value)
    return None


def needs_no_all(path):
    """Private modules have no public names, and __main__ only starts other code."""
    name = path.rsplit("/", 1)[-1]
    return name == "__main__.py" or (name.startswith("_") and name != "__init__.py")


@pytest.mark.parametrize("path", MODULES)
def test_all_is_sorted_and_true(path):
    names = declared(path)
    tree = tree_of(path)
    is_empty = all(isinstance(node, ast.Expr) for node in tree.body)
    if names is None:
        assert is_empty or needs_no_all(path), f"{path} has no __all__"
        return
    assert names == sorted(names, key=_as_ruff_sorts)
    assert len(names) == len(set(names))
    parts = Path(path).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    try:
        module = importlib.import_module(".".join(["gmmseg", *parts]))
    except ModuleNotFoundError as error:
        if error.name == parts[-1]:  # napari.py where napari is not installed
            return
        raise
    assert [name for name in names if not hasattr(module, name)] == []


def _as_ruff_sorts(name):
    """Constants, then classes, then the rest."""
    rank = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return rank, name


@pytest.mark.parametrize("path", MODULES)
def test_files_and_functions_are_short(path):
    text = (PACKAGE / path).read_text(encoding="utf-8")
    assert len(text.splitlines()) < LONGER.get(path, LINES_OF_A_FILE)
    long = [
        f"{path}:{node.lineno} {node.name}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and lines_of_code(node) > LINES_OF_A_FUNCTION
    ]
    assert long == []


def lines_of_code(function):
    """Lines of a function without its docstring."""
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_the_table_names_no_folder_twice():
    rules = [rule for rule, _ in LAYERS]
    assert len(rules) == len(set(rules))
