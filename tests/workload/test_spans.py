"""Sizes as spans and seconds with units, as people type them."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from click.testing import CliRunner

from gemmscope.cli import main
from gemmscope.errors import UsageError
from gemmscope.measure.settings import make_settings
from gemmscope.workload import spans

ASKED = {"pairs": 1, "sets": 1, "margin": 0.01, "seed": 0}


@pytest.mark.parametrize(("asked", "sizes"), [
    (64, [64]),
    (np.int64(64), [64]),
    (np.array([64, 256]), [64, 256]),
    ("64", [64]),
    ("64,256, 1024", [64, 256, 1024]),
    ("64:4096:2x", [64, 128, 256, 512, 1024, 2048, 4096]),
    ("64:4000:2x", [64, 128, 256, 512, 1024, 2048]),
    ("10:1000:10x", [10, 100, 1000]),
    ("128:512:128", [128, 256, 384, 512]),
    ("5:5:1", [5]),
    ([64, "128:512:2x", "64"], [64, 128, 256, 512]),
])  # fmt: skip
def test_sizes(asked, sizes):
    assert spans.sizes(asked) == sizes
    assert make_settings(sizes=asked, **ASKED).shapes == [f"{size}x{size}x{size}" for size in sizes]


@pytest.mark.parametrize(
    "asked",
    ["a", "64x", "64:", "64:128", "64:128:1x", "64:128:0", "128:64:2x", "0:64:2x", "1:1000:1", "-4", "6.5", 6.5],
)
def test_what_is_no_size_is_said(asked):
    with pytest.raises(UsageError, match=r"^size "):
        spans.sizes(asked)


@pytest.mark.parametrize(("text", "seconds"), [
    (90, 90.0), (1.5, 1.5), ("90", 90.0), ("90s", 90.0), ("2m", 120.0), ("1.5 min", 90.0), ("1h", 3600.0),
    ("500ms", 0.5), ("2M", 120.0),
])  # fmt: skip
def test_seconds(text, seconds):
    assert spans.seconds(text) == seconds
    assert make_settings(sizes=4, seconds=text, **ASKED).seconds == seconds


@pytest.mark.parametrize("text", ["", "m", "2 days", "1:30", "2m30s", "nan", "--3", "1.2.3"])
def test_what_is_no_duration_is_said(text):
    with pytest.raises(UsageError, match=r"^duration "):
        spans.seconds(text)


@pytest.mark.parametrize("text", ["inf", "0", "0s", math.inf])
def test_a_budget_must_be_finite_and_above_zero(text):
    with pytest.raises(UsageError, match="expected a number above 0"):
        make_settings(sizes=4, seconds=text, **ASKED)


@pytest.mark.parametrize("shape", ["0x4x4", "4x0x4", "4x4x0", "0"])
def test_shapes_without_arithmetic_are_no_benchmarks(shape):
    with pytest.raises(UsageError, match="there is no arithmetic in it to time"):
        make_settings(shapes=[shape], **ASKED)


def test_a_preset_that_is_misspelt_is_hinted_at():
    with pytest.raises(UsageError, match=r"no preset 'gemvv': did you mean gemv\?"):
        make_settings(shapes=["gemvv"], **ASKED)
    with pytest.raises(UsageError, match="expected one size"):
        make_settings(shapes=["nothing like it"], **ASKED)


def test_a_quick_look_has_the_plain_backends_and_what_else_is_asked_for():
    quick = make_settings(quick=True, pairs=10, sets=5, margin=0.01, seed=0)
    assert (quick.seconds, quick.sets, quick.experiments) == (15.0, 3, 0.0)
    assert quick.shapes == ["64x64x64", "256x256x256", "1024x1024x1024"]
    assert {"numpy-cpu", "torch-cpu", "mlx-gpu", "cblas-call"} <= set(quick.backends)
    assert not any("kernel" in name or "null" in name for name in quick.backends)
    asked = make_settings(quick=True, sizes=8, backends="numpy", seconds="1m", **ASKED)
    assert (asked.seconds, asked.sets, asked.backends, asked.shapes) == (60.0, 1, ["numpy"], ["8x8x8"])


def test_one_text_will_do_for_a_list():
    settings = make_settings(sizes=4, shapes="gemv", backends="numpy-cpu, torch", **ASKED)
    assert settings.backends == ["numpy-cpu", "torch"]
    assert settings.shapes[:2] == ["4x4x4", "1x1024x1024"]
    with pytest.raises(UsageError, match="no backends"):
        make_settings(sizes=4, backends=" ,", **ASKED)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("5%", 0.05),
        ("5", 0.05),
        (" 5 % ", 0.05),
        ("0.5%", 0.005),
        ("1", 0.01),
        ("1.5", 0.015),
        ("0", 0.0),
        ("-1%", -0.01),
    ],
)
def test_a_percentage_is_one_with_its_sign_or_without(text, share):
    assert spans.share(text) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "words"),
    [("0.05", "'0.05' may be 0.05 % or 5 %: write 0.05% or 5%"), ("-.5", "may be -.5 % or -50 %"),
     ("much", "write 5% or 5"), ("", "is no percentage"), ("5%%", "is no percentage")],
)  # fmt: skip
def test_what_may_be_meant_as_a_share_is_refused(text, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        spans.share(text)


def test_every_option_that_takes_a_percentage_refuses_a_share():
    options = [
        (command.name, option.opts[0])
        for command in main.commands.values() for option in command.params
        if option.opts[0] in ("--margin", "--width", "--experiments", "--fail-slower-than")
    ]  # fmt: skip
    assert {"run", "compare"} <= {command for command, _ in options}
    for command, option in options:
        done = CliRunner().invoke(main, [command, option, "0.05"])
        assert done.exit_code == 2
        assert "write 0.05% or 5%" in done.output
