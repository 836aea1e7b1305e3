"""From the text of an argument to its value, for the ``type=`` of argparse."""

from __future__ import annotations

import math
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TypeVar

from gmmseg.area import parse_area
from gmmseg.errors import InvalidParameterError

__all__ = [
    "area",
    "bands",
    "byte_count",
    "comma_separated",
    "integer_or_auto",
    "number_or_auto",
    "number_or_nan",
    "positive_integer",
    "positive_number",
    "range_of",
    "size",
]

T = TypeVar("T")

_MOST_DIGITS = len("65535")  # of a number of classes


def area(text: str) -> float | str:
    """A number of pixels, or an area or volume with its unit.

    Examples
    --------
    >>> area("20"), area("1.5 ml")
    (20.0, '1.5 ml')
    """
    try:
        found = parse_area(text, "it")
    except InvalidParameterError as error:
        raise ArgumentTypeError(str(error).removeprefix("it ").rstrip(".")) from None
    return text if found.unit else found.value


def positive_integer(text: str) -> int:
    """A whole number from 1.

    Examples
    --------
    >>> positive_integer("3")
    3
    """
    value = int(text) if text.strip().lstrip("+-").isdecimal() else 0
    if value < 1:
        raise ArgumentTypeError(f"must be a whole number, at least 1, got {text!r}")
    return value


def positive_number(text: str) -> float:
    """A number above 0.

    Examples
    --------
    >>> positive_number("0.5")
    0.5
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


#: Multiples of a byte, by the last letter.
_BYTES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def byte_count(text: str) -> int:
    """A number of bytes, with K, M, G or T for powers of 1024.

    Examples
    --------
    >>> byte_count("1.5G")
    1610612736
    """
    digits = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = _BYTES.get(digits[-1:], 1)
    try:
        return int(positive_number(digits if unit == 1 else digits[:-1]) * unit)
    except ArgumentTypeError:
        raise ArgumentTypeError(f"must be a size such as 500M or 2G, got {text!r}") from None


def integer_or_auto(text: str) -> int | str:
    """A whole number from 1, or "auto".

    Examples
    --------
    >>> integer_or_auto("auto"), integer_or_auto("3")
    ('auto', 3)
    """
    if text == "auto":
        return text
    try:
        return positive_integer(text)
    except ArgumentTypeError:
        raise ArgumentTypeError(
            f"must be a whole number, at least 1, or auto, got {text!r}"
        ) from None


def size(text: str) -> int:
    """A number of bytes, with or without a unit.

    Examples
    --------
    >>> size("1GiB"), size("500 MB"), size("2g")
    (1073741824, 500000000, 2147483648)
    """
    found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*([kmgt]?)(i?)(b?)\s*", text.lower())
    if found is None or not float(found[1]):
        raise ArgumentTypeError(f"must be a number of bytes such as 1GiB or 500MB, got {text!r}")
    number, prefix, binary, byte = found.groups()
    base = 1000 if byte and not binary else 1024
    return int(float(number) * base ** " kmgt".index(prefix or " "))


def range_of(text: str) -> tuple[int, ...]:
    """Whole numbers from 1: ranges with both ends, and single ones, with commas between them.

    Examples
    --------
    >>> range_of("2-5,8")
    (2, 3, 4, 5, 8)
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        digits = first.isdecimal() and (last.isdecimal() or not dash)
        if not digits or max(len(first), len(last)) > _MOST_DIGITS:
            raise ArgumentTypeError(f"must be numbers such as 1-10 or 2,3,5, got {text!r}")
        found += range(int(first), int(last or first) + 1)
    if not found or min(found) < 1:
        raise ArgumentTypeError(f"must be whole numbers from 1, the smaller first, got {text!r}")
    return tuple(found)


def number_or_nan(text: str) -> float:
    """A number, also "nan".

    Examples
    --------
    >>> number_or_nan("-9999"), number_or_nan("NaN")
    (-9999.0, nan)
    """
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise ArgumentTypeError(f"must be a number or nan, got {text!r}")
    return value


def number_or_auto(text: str) -> float | str:
    """A number, or the word "auto".

    Examples
    --------
    >>> number_or_auto("1.5"), number_or_auto("auto")
    (1.5, 'auto')
    """
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"must be a number or auto, got {text!r}") from None


def bands(text: str) -> tuple[int | str | tuple[str, int | str], ...]:
    """Bands with commas between them: numbers or names, some with their role before them.

    Examples
    --------
    >>> bands("4,3,2"), bands("red=B04,nir=8")
    ((4, 3, 2), (('red', 'B04'), ('nir', 8)))
    """

    def band(word: str) -> int | str:
        word = word.strip()
        digits = word.lstrip("+-")
        if digits.isdecimal() and len(digits) <= _MOST_DIGITS:
            return int(word)
        if not word or word[0].isdecimal():
            raise ArgumentTypeError(f"must be bands such as 4,3,2 or red=3,nir=4, got {text!r}")
        return word

    parts = (part.partition("=") for part in text.split(","))
    return tuple((a.strip(), band(b)) if equals else band(a) for a, equals, b in parts)


def comma_separated(kind: Callable[[str], T], what: str) -> Callable[[str], tuple[T, ...]]:
    """A type of one or more values with commas between them.

    Examples
    --------
    >>> comma_separated(int, "band numbers")("4,3,2")
    (4, 3, 2)
    """

    def parsed(text: str) -> tuple[T, ...]:
        try:
            return tuple(kind(part) for part in text.split(","))
        except ValueError:
            raise ArgumentTypeError(f"must be {what} such as 1,2 but got {text!r}") from None

    return parsed
