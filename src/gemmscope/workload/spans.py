"""Short ways to write what is asked for: several names, sizes as a span, seconds with a unit, and percentages."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gemmscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MOST_SIZES = 100
_UNITS = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def comma_separated(text: str) -> list[str]:
    """The parts of a text such as ``64,256``, without empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]


def sizes(asked: int | str | Sequence[int | str]) -> list[int]:
    """Sizes of squares: numbers, and spans such as ``"64:4096:2x"`` (doubling) or ``"128:1024:128"`` (adding).

    Args:
        asked: A number, a text in which commas stand between numbers and spans, or several of either.

    Raises:
        UsageError: If a text is none of these.
    """
    # One of NumPy's is a number too; what is neither a number nor several is told as a size that is none.
    parts = asked if isinstance(asked, Iterable) and not isinstance(asked, str) else [asked]
    texts = [text for part in parts for text in comma_separated(str(part))]
    return list(dict.fromkeys(size for text in texts for size in _sizes(text)))


def _sizes(text: str) -> Iterator[int]:
    found = re.fullmatch(r"(\d+)(?::(\d+):(\d+)(x?))?", text)
    if found is None:
        raise UsageError(
            f"size {text!r}: expected one number such as 256, or a span such as 64:4096:2x or 128:1024:128; "
            "shapes such as 512x256x1024 go to --shape"
        )
    first = int(found[1])
    if found[2] is None:
        yield first
        return
    last, step, doubling = int(found[2]), int(found[3]), bool(found[4])
    if step < 1 + doubling or (doubling and first == 0) or last < first:
        raise UsageError(
            f"size {text!r}: a span goes from a size to a larger one, by a step above 0 or a factor above 1"
        )
    size = first
    for _ in range(_MOST_SIZES):
        if size > last:
            return
        yield size
        size = size * step if doubling else size + step
    raise UsageError(f"size {text!r}: a span of more than {_MOST_SIZES} sizes; take larger steps")


def seconds(text: str | float) -> float:
    """Seconds, from a number or a text such as ``"90"``, ``"90s"``, ``"2m"`` or ``"1h"``.

    Raises:
        UsageError: If the text is no such duration.
    """
    if not isinstance(text, str):
        return float(text)
    found = re.fullmatch(r"\s*([0-9.]+|inf|nan)\s*([a-z]*)\s*", text, re.IGNORECASE)
    try:
        value = float(found[1]) * _UNITS[found[2].lower()] if found else math.nan
    except (KeyError, ValueError):
        value = math.nan
    if math.isnan(value):
        raise UsageError(f"duration {text!r}: expected seconds such as 90, or a number with a unit: 90s, 2m, 1h")
    return value


def share(text: str) -> float:
    """A share, from a percentage such as ``"5%"`` or ``"5"``: both are 0.05.

    Raises:
        UsageError: If the text is no percentage; or is one below 1 without the sign, which may be meant as a share.
    """
    number = text.strip().removesuffix("%").strip()
    try:
        percentage = float(number)
    except ValueError:
        raise UsageError(f"{text!r} is no percentage: write 5% or 5") from None
    if 0 < abs(percentage) < 1 and not text.strip().endswith("%"):
        raise UsageError(
            f"{text!r} may be {number} % or {100 * percentage:g} %: write {number}% or {100 * percentage:g}%"
        )
    return percentage / 100
