"""Figures as words."""

from __future__ import annotations

import math

import pytest

from gemmscope.records import words
from gemmscope.records.base import Interval

MICRO, TIMES = words.MICRO, words.TIMES


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "0 ns"),
        (1.2e-9, "1.20 ns"),
        (24.1e-9, "24.1 ns"),
        (999.4e-9, "999 ns"),
        (999.9e-9, f"1.00 {MICRO}s"),
        (9.996e-6, f"10.0 {MICRO}s"),
        (1.03e-6, f"1.03 {MICRO}s"),
        (0.434, "434 ms"),
        (0.9999, "1.00 s"),
        (2.1, "2.10 s"),
        (98.0, "98.0 s"),
        (1234.0, "1234 s"),
        (1e300, "1e+300 s"),
        (-24.1e-9, "-24.1 ns"),
        (math.nan, "unknown"),
        (math.inf, "unknown"),
    ],
)
def test_duration_has_three_digits_in_the_unit_that_suits_after_rounding(seconds: float, expected: str) -> None:
    assert words.duration(seconds) == expected


@pytest.mark.parametrize(
    ("median", "low", "high", "expected"),
    [
        (1.03e-6, 1.01e-6, 1.06e-6, f"1.03 {MICRO}s [1.01, 1.06]"),
        (998e-9, 994e-9, 1.002e-6, "998 ns [994, 1002]"),
        (0.434, 0.43, 0.439, "434 ms [430, 439]"),
        (-2e-9, -5e-9, 1e-9, "-2.00 ns [-5.00, 1.00]"),
        (1e-3, 1e-9, 1e300, "1.00 ms [too noisy]"),
        (1.03e-6, None, None, f"1.03 {MICRO}s"),
        (math.nan, 1.0, 2.0, "unknown"),
    ],
)
def test_interval_is_in_one_unit(median: float, low: float | None, high: float | None, expected: str) -> None:
    assert words.interval(Interval(estimate=median, low=low, high=high)) == expected


@pytest.mark.parametrize(
    ("median", "low", "high", "expected"),
    [
        (0.52, 0.5, 0.55, "0.52 [0.50, 0.55]"),
        (1.0, 0.99, 1.01, "1.00 [0.99, 1.01]"),
        (0.996, 0.984, 1.008, "1.00 [0.98, 1.01]"),
        (9.996, 9.9, 10.1, "10.0 [9.9, 10.1]"),
        (10.43, 10.1, 10.8, "10.4 [10.1, 10.8]"),
        (0.0123, 0.011, 0.013, "0.012 [0.011, 0.013]"),
        (1500.0, 1400.0, 1e308, "1500 [> 1400]"),
        (193.0, 8.0, 4640.0, "193 [> 8]"),
        (0.0048, 0.0001, 0.1629, "0.0048 [< 0.1629]"),
        (7.48, 0.0, 9e29, "7.48 [too noisy]"),
        (2.0, 0.5, 9.9, "2.00 [0.50, 9.90]"),
        (2.0, None, None, "2.00"),
        (math.inf, 1.0, 2.0, "unknown"),
    ],
)
def test_ratio_has_sensible_digits(median: float, low: float | None, high: float | None, expected: str) -> None:
    assert words.ratio(Interval(estimate=median, low=low, high=high)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3.21, "3.2"), (1.03, "1.03"), (1.996, "2.0"), (0.524, "0.52"), (82.6, "83"), (1234, "1234"), (1e30, "1e+30")],
)
def test_speedup(value: float, expected: str) -> None:
    assert words.speedup(value) == expected + TIMES


@pytest.mark.parametrize(
    ("gflops", "expected"),
    [
        (189.4, "189 GFLOP/s"),
        (3.44, "3.4 GFLOP/s"),
        (0.0341, "0.034 GFLOP/s"),
        (9.96, "9.96 GFLOP/s"),
        (9999.0, "9999 GFLOP/s"),
        (12_345.0, "12.3 TFLOP/s"),
        (0.0, "0 GFLOP/s"),
        (math.nan, "unknown"),
    ],
)
def test_rate(gflops: float, expected: str) -> None:
    assert words.rate(gflops) == expected


@pytest.mark.parametrize(("value", "expected"), [(21.34e9, "21.3 GB/s"), (4.9e12, "4900 GB/s"), (math.nan, "unknown")])
def test_bandwidth(value: float, expected: str) -> None:
    assert words.bandwidth(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(3.14e-7, "3.1e-07"), (0.0, "0"), (math.inf, "unknown")])
def test_error(value: float, expected: str) -> None:
    assert words.error(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (100, "1 min 40 s"),
        (120, "2 min"),
        (59.6, "1 min"),
        (45.2, "45 s"),
        (7380, "2 h 3 min"),
        (-3, "0 s"),
        (0.5, "500 ms"),
    ],
)
def test_span(seconds: float, expected: str) -> None:
    assert words.span(seconds) == expected


@pytest.mark.parametrize(
    ("share", "signed", "expected"),
    [
        (0.71, False, "71 %"),
        (0.0213, False, "2.1 %"),
        (0.01, False, "1 %"),
        (0.012, True, "+1.2 %"),
        (-0.2, True, "-20 %"),
    ],
)
def test_percent(share: float, signed: bool, expected: str) -> None:
    assert words.percent(share, signed=signed) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.2, 0.364, "[20, 36]"), (-0.001, 0.004, "[0, 0]"), (None, None, ""), (math.nan, 0.5, ""), (0.1, math.inf, "")],
)
def test_percent_bounds(low: float | None, high: float | None, expected: str) -> None:
    assert words.percent_bounds(Interval(estimate=0.3, low=low, high=high)) == expected


def test_dimensions_are_a_shape_for_a_reader() -> None:
    assert words.dimensions("64x32\nx16") == f"64{TIMES}32 {TIMES}16"


def test_listed_names_a_few_and_counts_the_rest() -> None:
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b"]) == "a and b"
    assert words.listed(list("abcde")) == "a, b, c, d and e"
    assert words.listed(list("abcdefg")) == "a, b, c, d and 3 others"


def test_a_name_that_is_near_is_hinted_at() -> None:
    assert words.did_you_mean("nunpy", ["torch", "numpy"]) == "did you mean numpy? "
    assert words.did_you_mean("xyz", ["torch", "numpy"]) == ""


def test_line_has_nothing_that_moves_a_cursor() -> None:
    assert words.line("a\n\tb\x1b[31mc\r") == "a b [31mc"


def test_in_ascii_replaces_what_ascii_lacks() -> None:
    assert words.in_ascii(f"1 {MICRO}s, 2{TIMES}, \N{BLACK STAR}") == "1 us, 2x, ?"


@pytest.mark.parametrize(("number", "expected"), [(1, "1 set"), (5, "5 sets")])
def test_count(number: int, expected: str) -> None:
    assert words.count(number, "set") == expected
