"""Checks of arguments, with messages of one form: name, rule, value, remedy."""

import math
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any

import numpy as np

from gmmseg.errors import InvalidParameterError


def check_integer(value: Any, name: str, *, minimum: int | None = None) -> int:
    """Return `value` as int; it must be a whole number, at least `minimum`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise InvalidParameterError(f"{name} must be a whole number, got {value!r}.")
    if minimum is not None and value < minimum:
        raise InvalidParameterError(f"{name} must be at least {minimum}, got {value}.")
    return int(value)


def check_real(
    value: Any, name: str, *, minimum: float = -np.inf, exclusive: bool = False
) -> float:
    """Return `value` as float; it must be finite and at least (or more than) `minimum`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise InvalidParameterError(f"{name} must be a number, got {value!r}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidParameterError(f"{name} must be finite, got {number!r}.")
    if number < minimum or (exclusive and number == minimum):
        rule = "more than" if exclusive else "at least"
        raise InvalidParameterError(f"{name} must be {rule} {minimum:g}, got {value!r}.")
    return number


def check_choice(value: Any, name: str, choices: Collection[str]) -> str:
    """Return `value`; it must be one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise InvalidParameterError(f"{name} must be one of {listed}, got {value!r}.")
    return str(value)


def per_axis(value: Any, ndim: int, name: str) -> tuple[float, ...]:
    """Return `value` as `ndim` positive floats; a single number stands for all axes."""
    try:
        values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape == (1,):
        values = np.repeat(values, ndim)
    if values.shape != (ndim,):
        raise InvalidParameterError(
            f"{name} must be one number or one for each of the {ndim} axes, got {value!r}."
        )
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise InvalidParameterError(f"{name} must be positive and finite, got {value!r}.")
    return tuple(float(v) for v in values)
