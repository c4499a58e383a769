"""Figures and their units as words, the same in every report."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.records.base import Interval
    from gemmscope.workload.shapes import Shape

MICRO = "\N{MICRO SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"

# What is said in place of a figure that is none: a NaN or an infinity that came out of a division.
UNKNOWN = "unknown"

_UNITS = ((1e-9, "ns"), (1e-6, f"{MICRO}s"), (1e-3, "ms"), (1.0, "s"))
_NEXT_UNIT = 1000.0
_LEAST_SECONDS = 0.5e-12
_DIGITS = 3
_ASCII = {ord(MICRO): "u", ord(TIMES): "x", ord("\N{RIGHTWARDS ARROW}"): ">"}
_PARTS = {"binding": "Python call overhead", "launch": "launch and wait"}
_TERA = 10_000.0
_SPAN_IN_SECONDS = 0.95
_FAR = 1e6
_MOST_DECIMALS = 6
# Bounds that lie farther from 0 than so many times the estimate say how noisy it was, and nothing of its size: two sets
# can be worlds apart.
_TOO_FAR = 5.0
TOO_NOISY = "[too noisy]"


def duration(seconds: float) -> str:
    """Three digits in the unit that suits: ``'24.1 ns'``, ``'434 ms'``. A picosecond is the least that is shown."""
    if not math.isfinite(seconds):
        return UNKNOWN
    scale, unit, decimals = _unit(seconds)
    return f"{_fixed(seconds / scale, decimals)} {unit}"


def interval(seconds: Interval) -> str:
    """A time and its interval in one unit: ``'1.03 µs [1.01, 1.06]'``; without one the time alone."""
    bounds = time_bounds(seconds)
    return f"{duration(seconds.estimate)} {bounds}" if bounds else duration(seconds.estimate)


def time_bounds(seconds: Interval) -> str:
    """The interval of a time, to stand behind its ``duration``: ``'[1.01, 1.06]'``, or nothing where there is none."""
    if not math.isfinite(seconds.estimate):
        return ""
    scale, _, decimals = _unit(seconds.estimate)
    return _bounds(seconds, scale, decimals)


def is_too_wide(value: Interval) -> bool:
    """Whether an interval is so wide that its bounds are no figures for a reader."""
    if value.low is None or value.high is None:
        return False
    return max(abs(value.low), abs(value.high)) > _TOO_FAR * abs(value.estimate) > 0


def ratio(value: Interval) -> str:
    """A ratio and its interval: ``'0.52 [0.50, 0.55]'``, ``'10.4 [10.1, 10.8]'``."""
    bounds = ratio_bounds(value)
    return f"{ratio_median(value)} {bounds}" if bounds else ratio_median(value)


def ratio_median(value: Interval) -> str:
    """A ratio alone: hundredths around 1, two digits far below, three far above."""
    return _fixed(value.estimate, _ratio_decimals(value.estimate)) if math.isfinite(value.estimate) else UNKNOWN


def ratio_bounds(value: Interval) -> str:
    """The interval of a ratio, with as many decimals as :func:`ratio_median`, or nothing where there is none.

    Of one that is too wide to say more, that it lies above 1 or below: ``'[> 8]'``.
    """
    if not math.isfinite(value.estimate):
        return ""
    decimals = _ratio_decimals(value.estimate)
    if is_too_wide(value) and value.low is not None and value.high is not None:
        if value.low > 1:
            return f"[> {_fixed(value.low, decimals)}]"
        if value.high < 1:
            return f"[< {_fixed(value.high, decimals)}]"
    return _bounds(value, 1.0, decimals)


def speedup(value: float) -> str:
    """How many times as fast, with the sign for it: 3.2, 83 or 0.52; hundredths from 1 to 2, where they matter."""
    if not math.isfinite(value):
        return UNKNOWN
    digits = _DIGITS if 0.995 <= value < 1.995 else 2
    return f"{_significant(value, digits)}{TIMES}"


def rate(gflops: float) -> str:
    """``'189 GFLOP/s'``, ``'3.4 GFLOP/s'``, and ``'12.3 TFLOP/s'`` from 10 TFLOP/s on."""
    if not math.isfinite(gflops):
        return UNKNOWN
    if gflops >= _TERA:
        return f"{_significant(gflops / 1000, _DIGITS)} TFLOP/s"
    return f"{rate_number(gflops)} GFLOP/s"


def rate_number(gflops: float) -> str:
    """A rate for a column of GFLOP/s: two digits below 10, three up to 1000, whole numbers above."""
    if not math.isfinite(gflops):
        return UNKNOWN
    return _significant(gflops, 2 if gflops < 9.95 else _DIGITS)


def bandwidth(bytes_per_second: float) -> str:
    """``'21.3 GB/s'``."""
    return f"{_significant(bytes_per_second / 1e9, _DIGITS)} GB/s" if math.isfinite(bytes_per_second) else UNKNOWN


def error(relative_error: float) -> str:
    """``'3.1e-07'``, or ``'0'`` for a product that is exact."""
    if not math.isfinite(relative_error):
        return UNKNOWN
    return f"{relative_error:.1e}" if relative_error else "0"


def percent(share: float, *, signed: bool = False) -> str:
    """``'71 %'``, ``'2.1 %'`` below ten; with a sign where the direction matters."""
    if not math.isfinite(share):
        return UNKNOWN
    value = 100 * share
    decimals = 0 if abs(value) >= 9.95 or value == round(value) else 1
    return f"{value:{'+' if signed else ''}.{decimals}f} %"


def percent_bounds(share: Interval) -> str:
    """The interval of a share in percent, to stand behind its ``percent``: ``'[20, 36]'``, or nothing."""
    bounds = (share.low, share.high)
    if any(bound is None or not math.isfinite(bound) for bound in bounds):
        return ""
    if share.low is not None and share.high is not None and share.low < 0 < share.high and share.high - share.low > 1:
        return TOO_NOISY
    return f"[{', '.join(str(round(100 * bound)) for bound in bounds if bound is not None)}]"


def count(number: int, noun: str, plural: str = "") -> str:
    """``'1 set'``, ``'5 sets'``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def batches(number: int) -> str:
    """Sets, as a reader knows them: ``'5 batches of fresh processes'``."""
    return count(number, "batch of fresh processes", "batches of fresh processes")


def dimensions(shape: str) -> str:
    """A shape as files have it, for a reader: ``'64×64×64'``."""
    return line(shape).replace("x", TIMES)


def span(seconds: float) -> str:
    """A time to wait for, to the second: ``'1 min 40 s'``, ``'2 h 3 min'``; of less than one to the millisecond."""
    if not math.isfinite(seconds):
        return UNKNOWN
    if 0 < seconds < _SPAN_IN_SECONDS:
        return duration(seconds)
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes_rest = divmod(minutes, 60)
    words = [(hours, "h"), (minutes_rest, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in words if number) or "0 s"


def listed(names: list[str], most: int = 4) -> str:
    """``'a'``, ``'a and b'``, ``'a, b, c, d and 3 others'``."""
    if len(names) > most + 1:
        names = [*names[:most], count(len(names) - most, "other")]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``'did you mean numpy-cpu? '``, to stand in an error before where all names are; empty where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}? " if near else ""


def shapes(those: Sequence[Shape]) -> str:
    """Shapes in a sentence: ``"64"``, ``"64 and 256"``, ``"64, 256 and 1024"``."""
    return listed([shape.title for shape in those], len(those))


def part(name: str) -> str:
    """What a part of a call is called in text for users; files say ``binding``."""
    return _PARTS.get(name, name)


def line(text: str) -> str:
    """A text from elsewhere, such as an exception's, as one line without characters that would move a cursor."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def utf8(text: str) -> str:
    """A text with question marks for what is no UTF-8: names of files may hold any bytes, and records may not."""
    return text.encode(errors="replace").decode()


def in_ascii(text: str) -> str:
    """A text for a terminal or a file that has no other characters."""
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def _unit(seconds: float) -> tuple[float, str, int]:
    """The unit in which a time has three digits after rounding, and the decimals that this takes."""
    if abs(seconds) < _LEAST_SECONDS:
        return 1e-9, "ns", 0
    scale, unit = next(
        (unit for unit in _UNITS if abs(float(f"{seconds / unit[0]:.{_DIGITS}g}")) < _NEXT_UNIT), _UNITS[-1]
    )
    return scale, unit, min(3, _decimals(seconds / scale, _DIGITS))


def _decimals(value: float, digits: int) -> int:
    """The decimals with which a value has so many digits, once it is rounded to them: 2 for 9.994, 1 for 9.996."""
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return max(0, digits - 1 - exponent)


def _significant(value: float, digits: int) -> str:
    return _fixed(value, _decimals(value, digits)) if value else "0"


def _ratio_decimals(value: float) -> int:
    """Hundredths from 0.1 to 10, since verdicts turn on them; two digits below, three above."""
    return max(_decimals(value, 2), min(2, _decimals(value, _DIGITS)))


def _bounds(value: Interval, scale: float, decimals: int) -> str:
    if value.low is None or value.high is None:
        return ""
    if is_too_wide(value):
        return TOO_NOISY
    return f"[{_fixed(value.low / scale, decimals)}, {_fixed(value.high / scale, decimals)}]"


def _fixed(value: float, decimals: int) -> str:
    """With so many decimals, as far as that can be read."""
    return f"{value:.{decimals}f}" if abs(value) < _FAR and decimals <= _MOST_DECIMALS else f"{value:.0e}"
