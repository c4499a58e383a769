"""What is measured where nothing is named."""

from __future__ import annotations

import pytest

from gemmscope.backends.registry import INSTRUMENTS, PLAIN, SLOW_INSTRUMENTS, built_in
from gemmscope.errors import UsageError
from gemmscope.machine import gpu, limits
from gemmscope.measure import settings
from gemmscope.measure.defaults import SIZES, default_sizes, telling_shapes
from gemmscope.workload.shapes import Shape

_GIB = 2**30


def make(**asked):
    return settings.make_settings(**{"pairs": 10, "sets": 5, "margin": 0.01, "seed": 0} | asked)


@pytest.fixture
def machine(monkeypatch):
    """Sets the free memory, in bytes, and the names of the GPUs."""

    def has(memory, *gpus):
        monkeypatch.setattr(limits, "available_bytes", lambda: memory)
        monkeypatch.setattr(gpu, "names", lambda: list(gpus))

    return has


@pytest.mark.parametrize(
    ("gib", "gpus", "sizes"),
    [
        (16, [], [*SIZES]),
        (64, ["NVIDIA H100"], [*SIZES, 8192]),
        (8, ["Apple M1 GPU"], [*SIZES]),
        (3, [], [*SIZES[:-2]]),
        (0.1, [], [64, 128, 256, 512, 1024]),
    ],
)
def test_sizes_double_as_far_as_memory_and_processors_reach(machine, gib, gpus, sizes):
    machine(int(gib * _GIB), *gpus)
    assert set(default_sizes(has_gpu=bool(gpus))) <= set(sizes)
    assert {64, 256, 1024} <= set(default_sizes(has_gpu=bool(gpus)))
    if gib >= 3:
        assert default_sizes(has_gpu=bool(gpus)) == sizes


def test_instruments_are_at_three_sizes_where_overhead_counts(machine):
    machine(64 * _GIB)
    asked = make()
    assert asked.shapes == [f"{n}x{n}x{n}" for n in SIZES]
    assert set(asked.only_at) == set(INSTRUMENTS)
    assert asked.only_at["kernel-numpy"] == ["64x64x64", "256x256x256", "1024x1024x1024"]
    assert all(asked.asks_for(name, shape) for name in PLAIN for shape in asked.shapes)
    assert not asked.asks_for("kernel-numpy", "4096x4096x4096")
    for name in SLOW_INSTRUMENTS:
        assert asked.only_at[name] == ["64x64x64", "128x128x128", "256x256x256"]


@pytest.mark.parametrize("asked", [{"deep": True}, {"backends": "kernel-numpy"}, {"grid": True}])
def test_instruments_that_were_asked_for_are_at_all_sizes(asked):
    assert make(**asked).only_at == {}


def test_an_instrument_tells_something_at_one_shape_at_least():
    large = Shape(8192, 8192, 8192)
    assert set(telling_shapes([large])["kernel-numpy"]) == {str(large)}
    assert telling_shapes([Shape(2, 2, 2), large])["kernel-numpy"] == ["2x2x2"]


def test_the_largest_size_is_for_gpus(machine):
    machine(64 * _GIB, "NVIDIA H100")
    asked = make()
    assert asked.seconds == 120
    assert asked.asks_for("torch-gpu", "8192x8192x8192")
    assert asked.asks_for("cublas", "8192x8192x8192")
    assert not asked.asks_for("numpy-cpu", "8192x8192x8192")
    assert asked.asks_for("numpy-cpu", "4096x4096x4096")
    only = make(sizes=[1024, 8192])
    assert only.asks_for("numpy-cpu", "8192x8192x8192"), "where it was asked for, it is measured"


def test_the_default_names_backends_that_there_are():
    known = built_in()
    assert [known.variant(name).name for name in (*PLAIN, *INSTRUMENTS)] == [*PLAIN, *INSTRUMENTS]


@pytest.mark.parametrize(
    ("asked", "seconds"), [({}, 75), ({"quick": True}, 15), ({"deep": True}, 240), ({"grid": True}, 300)]
)
def test_the_budget_is_what_the_question_takes(asked, seconds, machine):
    machine(64 * _GIB)
    assert make(**asked).seconds == seconds
    assert make(**asked, seconds="2m").seconds == 120


def test_a_quick_run_is_of_plain_backends_at_three_sizes():
    asked = make(quick=True)
    assert (asked.backends, len(asked.shapes), asked.sets) == ([*PLAIN], 3, 3)
    assert make(quick=True, sizes=[32]).shapes == ["32x32x32"]


@pytest.mark.parametrize("seconds", [None, 60])
def test_a_run_is_not_quick_and_deep(seconds):
    with pytest.raises(UsageError, match="one of them"):
        make(quick=True, deep=True, seconds=seconds)


def test_many_cells_share_the_budget_of_sizes_that_nobody_named():
    assert make().largest_share < make(sizes=[4096]).largest_share
