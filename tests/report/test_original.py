"""The original comparison's figures beside gemmscope's."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gemmscope.measure.original import Mean, Protocol
from gemmscope.report.original import document, rows
from gemmscope.report.terminal import print_document
from tests.builders import make_cell, make_comparison, make_result

MEANS = [
    Mean(backend=name, size=64, seconds=seconds)
    for name, seconds in {"numpy-cpu": 2e-5, "torch-cpu": 1e-5, "mlx-cpu": 1e-3}.items()
]


def printed(made, protocol, **more):
    console = Console(file=io.StringIO(), width=200)
    print_document(document(made, protocol, **more), console)
    return console.file.getvalue()


def test_its_means_stand_beside_gemmscopes_figures():
    result = make_result(
        [make_cell("numpy-cpu", 1e-5), make_cell("torch-cpu", 2e-5),
         make_cell("mlx-cpu", None, status="skipped", reason="one call is expected to take 3 s")],
        [make_comparison("torch-cpu", 2.0, "slower")],
    )  # fmt: skip
    made = {row.backend: row for row in rows(MEANS, result)}
    assert made["numpy-cpu"].difference == pytest.approx(1.0)
    assert made["torch-cpu"].difference == pytest.approx(-0.5)
    assert made["torch-cpu"].speedup == pytest.approx(2.0)
    assert made["torch-cpu"].paired == 0.5
    assert made["mlx-cpu"].seconds is None
    assert made["mlx-cpu"].difference is None
    text = printed(list(made.values()), Protocol(backends=["numpy-cpu"], sizes=[64]))
    for expected in ("+100 %", "-50 %", "one call is expected to take 3 s", "medians"):
        assert expected in text
    assert not {"--copies", "--no-sync", "TF32"} & set(text.split())


def test_without_gemmscope_its_figures_stand_alone():
    made = rows(MEANS, None)
    assert made[0].difference is None
    text = printed(made, Protocol(backends=["numpy-cpu"], sizes=[64]), beside=False)
    assert "20.0" in text
    assert "gemmscope" not in text


def test_the_reasons_are_those_that_apply():
    text = printed(rows(MEANS, None), Protocol(backends=["mlx-gpu"], sizes=[64], copies=True, sync=False))
    assert all(word in text for word in ("--copies", "--no-sync", "TF32"))
