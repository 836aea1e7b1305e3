"""OpenCV's cv::ml::EM as its FileStorage writes it in YAML, for EM.save and cv2.ml.EM_load.

OpenCV 5 has no ml module any more: here its models live on. Only the part of YAML that OpenCV
writes is understood: block maps and lists, scalars, and matrices with flow sequences of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gmmseg._files import printable
from gmmseg.bridges.signatures import band_model, count, numbers
from gmmseg.errors import ModelFormatError
from gmmseg.mixture.covariance import COVARIANCE_TYPES
from gmmseg.mixture.mixture import Mixture
from gmmseg.model import Model

__all__ = ["parse", "recognise", "text"]

_NAME = "opencv_ml_em"  # what EM.save calls it; a program may use another name
_MATRIX = "!!opencv-matrix"
_DEEPEST = 12
_ENTRY = re.compile(r"""("?)([A-Za-z_][\w .-]{0,99})\1:(?:\s+(.*))?$""")

#: Names of covariance types there and here.
_TYPES = {"spherical": "spherical", "diagonal": "diag", "generic": "full"}

#: What is written: OpenCV knows no tied covariances, and its densities of spherical ones count the
#: variance once instead of D times (4.14: too high by (D - 1)/2 log variance), diagonal ones not.
_WRITTEN = {True: "generic", False: "diagonal"}  # by whether there are correlations


def recognise(content: str) -> bool:
    """Whether it is YAML with matrices of OpenCV."""
    return content.lstrip().startswith("%YAML") or _MATRIX in content[:10_000]


# --- reading ---------------------------------------------------------------------------------


def parse(content: str) -> Model:
    """The model in a YAML file that cv::ml::EM wrote.

    Raises
    ------
    ModelFormatError
        When it is not one.
    """
    root = _Reader(content).read()
    candidates = [value for value in root.values() if isinstance(value, dict) and "covs" in value]
    if len(candidates) != 1:
        raise ModelFormatError(
            f"there must be one model of cv::ml::EM with its covs, got {len(candidates)}."
        )
    (model,) = candidates
    means = _matrix(model, "means")
    k, d = len(means), len(means[0])
    weights = _matrix(model, "weights")
    if [len(row) for row in weights] != [k]:
        raise ModelFormatError(f"weights must be a matrix of 1 x {k}.")
    covariances = _covariances(model["covs"], k, d)
    training = model.get("training_params")
    kind = training.get("cov_mat_type") if isinstance(training, dict) else None
    if kind not in _TYPES:
        raise ModelFormatError(
            f"cov_mat_type must be one of {', '.join(_TYPES)}, got {_shown(kind)}."
        )
    mixture = Mixture.from_dict(
        {
            "covariance_type": _TYPES[kind],
            "weights": weights[0],
            "means": means,
            "covariances": _reduced(covariances, kind),
        }
    )
    return band_model(mixture, [f"band {i + 1}" for i in range(d)], "opencv")


def _matrix(model: dict[str, Any], key: str) -> list[list[float]]:
    if not isinstance(model.get(key), _Matrix):
        raise ModelFormatError(f"{key} must be a matrix.")
    rows: list[list[float]] = model[key].rows
    return rows


def _covariances(found: Any, k: int, d: int) -> Any:
    if not isinstance(found, list) or len(found) != k:
        raise ModelFormatError(f"covs must be a list of {k} matrices, as means has {k} rows.")
    for matrix in found:
        if not isinstance(matrix, _Matrix) or [len(row) for row in matrix.rows] != [d] * d:
            raise ModelFormatError(f"each of covs must be a matrix of {d} x {d}.")
    return np.array([matrix.rows for matrix in found])


def _reduced(matrices: Any, kind: str) -> Any:
    """Covariances in the shape of their type, of which OpenCV writes whole matrices."""
    if kind == "generic":
        return matrices
    variances = np.einsum("kdd->kd", matrices)
    if np.count_nonzero(matrices) > np.count_nonzero(variances):
        raise ModelFormatError(f"covs must be diagonal for cov_mat_type {kind}.")
    if kind == "diagonal":
        return variances
    if (variances != variances[:, :1]).any():
        raise ModelFormatError("covs must be multiples of the identity for cov_mat_type spherical.")
    return variances[:, 0]


@dataclass(frozen=True)
class _Matrix:
    rows: list[list[float]]


def _shown(value: Any) -> str:
    return repr(printable(value[:30])) if isinstance(value, str) else "nothing of the kind"


class _Reader:
    """Block YAML from its lines; values stay text, matrices become numbers."""

    def __init__(self, content: str) -> None:
        self.lines = [
            (len(line) - len(line.lstrip(" ")), line.strip())
            for line in content.splitlines()
            if line.strip() and not line.startswith(("%", "---", "...", "#"))
        ]
        self.at = 0

    def read(self) -> dict[str, Any]:
        root = self._block(0)
        if self.at < len(self.lines) or not isinstance(root, dict):
            raise self._error()
        return root

    def _error(self) -> ModelFormatError:
        if self.at >= len(self.lines):
            return ModelFormatError("the YAML ends too early.")
        return ModelFormatError(f"cannot understand the YAML at {_shown(self.lines[self.at][1])}.")

    def _block(self, depth: int) -> Any:
        """The map or list at the present indentation."""
        if self.at >= len(self.lines) or depth > _DEEPEST:
            raise self._error()
        if self.lines[self.at][1].startswith("-"):
            return self._list(depth)
        return self._map(depth)

    def _list(self, depth: int) -> list[Any]:
        indent, items = self.lines[self.at][0], []
        while self._goes_on(indent) and self.lines[self.at][1].startswith("-"):
            rest = self.lines[self.at][1][1:].strip()
            items.append(self._value(rest, indent, depth))
        return items

    def _map(self, depth: int) -> dict[str, Any]:
        indent = self.lines[self.at][0]
        entries: dict[str, Any] = {}
        while self._goes_on(indent):
            entry = _ENTRY.match(self.lines[self.at][1])
            if entry is None or entry[2] in entries:
                raise self._error()
            entries[entry[2]] = self._value((entry[3] or "").strip(), indent, depth)
        return entries

    def _goes_on(self, indent: int) -> bool:
        return self.at < len(self.lines) and self.lines[self.at][0] == indent

    def _value(self, rest: str, indent: int, depth: int) -> Any:
        """What stands behind a key or a dash, or in the deeper lines below it."""
        if rest.startswith("["):
            return self._flow(rest)
        here = self.at
        self.at += 1
        if rest not in ("", _MATRIX):
            return rest.strip('"')
        if self.at >= len(self.lines) or self.lines[self.at][0] <= indent:
            self.at = here
            raise self._error()
        inner = self._block(depth + 1)
        return _matrix_of(inner) if rest else inner

    def _flow(self, rest: str) -> list[str]:
        """The words between brackets, over as many lines as they take."""
        parts = [rest]
        while not parts[-1].endswith("]"):
            self.at += 1
            if self.at >= len(self.lines):
                raise self._error()
            parts.append(self.lines[self.at][1])
        self.at += 1
        words = " ".join(parts)[1:-1].split(",")
        return [word.strip() for word in words] if words != [" "] else []


def _matrix_of(entries: Any) -> _Matrix:
    """Rows of numbers; the sizes must be those of what is there."""
    if not isinstance(entries, dict) or set(entries) != {"rows", "cols", "dt", "data"}:
        raise ModelFormatError("a matrix must have the entries rows, cols, dt and data.")
    if entries["dt"] not in ("d", "f"):
        raise ModelFormatError("dt of a matrix must be d or f, numbers of one channel.")
    for key, kind in (("rows", str), ("cols", str), ("data", list)):
        if not isinstance(entries[key], kind):
            raise ModelFormatError(f"{key} of a matrix is not what it should be.")
    rows, cols = (count(entries[key], f"{key} of a matrix") for key in ("rows", "cols"))
    values = numbers(entries["data"], "data of a matrix")
    if rows * cols != len(values) or not values:
        raise ModelFormatError(
            f"a matrix of {rows} x {cols} must have as many numbers, at least one, "
            f"got {len(values)}."
        )
    return _Matrix([values[i : i + cols] for i in range(0, len(values), cols)])


# --- writing ---------------------------------------------------------------------------------


def text(model: Model) -> str:
    """The YAML file of a model, for ``cv2.ml.EM_load(path)`` of OpenCV 3 and 4.

    Tied covariances are written for every component, spherical ones as diagonal, so that OpenCV
    finds the same densities and probabilities.
    """
    mixture = model.mixture
    lines = [
        "%YAML:1.0",
        "---",
        f"{_NAME}:",
        "   format: 3",
        "   training_params:",
        f"      nclusters: {mixture.n_components}",
        f"      cov_mat_type: {_WRITTEN[COVARIANCE_TYPES[mixture.covariance_type].is_matrix]}",
        "      epsilon: 1.0e-06",
        "      iterations: 100",
        f"   weights: {_MATRIX}",
        *_matrix_lines([mixture.weights.tolist()], "      "),
        f"   means: {_MATRIX}",
        *_matrix_lines(mixture.means.tolist(), "      "),
        "   covs:",
    ]
    for matrix in mixture.full_covariances.tolist():
        lines += [f"      - {_MATRIX}", *_matrix_lines(matrix, "         ")]
    return "\n".join(lines) + "\n"


def _matrix_lines(rows: Sequence[Sequence[float]], indent: str) -> list[str]:
    values = [repr(value) for row in rows for value in row]
    parts = [", ".join(values[i : i + 4]) for i in range(0, len(values), 4)]
    data = f",\n{indent}    ".join(parts)
    return [
        f"{indent}rows: {len(rows)}",
        f"{indent}cols: {len(rows[0])}",
        f"{indent}dt: d",
        f"{indent}data: [ {data} ]",
    ]
