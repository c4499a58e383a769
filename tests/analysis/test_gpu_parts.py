"""Parts of a call on a GPU, from made-up samples of which every part is known."""

from __future__ import annotations

import msgspec
import pytest

from gemmscope.analysis.breakdown.gpu import derive
from tests.analysis.test_parts import MICRO, of, samples
from tests.builders import make_backend, make_cell


def cell(backend, seconds, mode="latency", size=64, **changes):
    given = samples(seconds) if seconds else []
    return make_cell(backend, seconds, size=size, mode=mode, samples=given, **changes)


def named(*names):
    return {name: make_backend(name) for name in names}


def test_launch_is_what_the_call_takes_beyond_the_device():
    parts = of(derive([cell("torch-gpu", 10 * MICRO), cell("torch-gpu", 3 * MICRO, "device")], named("torch-gpu")),
               "torch-gpu")  # fmt: skip
    assert list(parts) == ["device", "launch"]
    assert parts["device"].seconds.estimate == pytest.approx(3 * MICRO)
    assert parts["launch"].seconds.estimate == pytest.approx(7 * MICRO)
    assert [(part.status, part.reason) for part in parts.values()] == [("ok", "")] * 2


def test_a_device_that_arithmetic_does_not_keep_busy_gives_an_upper_bound():
    """At 64 and at 1024 the device takes nearly as long: the time does not grow with the work, which grew 4096-fold."""
    cells = [
        cell("mlx-gpu", 30 * MICRO), cell("mlx-gpu", 20 * MICRO, "device"),
        cell("mlx-gpu", 40 * MICRO, size=1024), cell("mlx-gpu", 25 * MICRO, "device", size=1024),
    ]  # fmt: skip
    small, _, large, _ = parts = derive(cells, named("mlx-gpu"))
    assert "upper bound" in small.reason
    assert "lower bound" in parts[1].reason
    assert large.reason == ""


def test_without_the_devices_time_the_reason_is_said():
    skipped = cell("mlx-gpu", None, "device", status="skipped", reason="needs K = N")
    for cells, reason in (([skipped], "needs K = N"), ([], "was not measured")):
        parts = derive([cell("mlx-gpu", 10 * MICRO), *cells], named("mlx-gpu"))
        assert [part.part for part in parts] == ["device", "launch"]
        assert {part.status for part in parts} == {"unknown"}
        assert all(reason in part.reason for part in parts)


def test_the_binding_is_what_python_takes_beyond_cpp():
    backends = named("mlx-cpp-gpu") | {"mlx-gpu": make_backend("mlx-gpu", part="binding", inside="mlx-cpp-gpu")}
    cells = [cell("mlx-gpu", 12 * MICRO), cell("mlx-cpp-gpu", 11 * MICRO)]
    binding = of(derive(cells, backends), "mlx-gpu")["binding"]
    assert binding.seconds.estimate == pytest.approx(1 * MICRO)
    assert (binding.minuend, binding.subtrahend) == ("mlx-gpu", "mlx-cpp-gpu")


@pytest.mark.parametrize(
    ("outer", "inner"),
    [("torch-gpu:from-host=pinned", "torch-gpu"), ("torch-gpu:tf32+from-host=pageable", "torch-gpu:tf32")],
)
def test_copies_are_what_host_memory_adds(outer, inner):
    (copies,) = of(derive([cell(outer, 50 * MICRO), cell(inner, 10 * MICRO)], named(outer, inner)), outer).values()
    assert copies.part == "copies"
    assert copies.seconds.estimate == pytest.approx(40 * MICRO)
    (copies,) = derive([cell(outer, 50 * MICRO)], named(outer))
    assert (copies.status, copies.reason) == ("unknown", f"{inner} was not measured at this shape")


def test_the_processor_and_what_failed_have_no_parts_here():
    cells = [cell("numpy-cpu", 1 * MICRO), cell("torch-gpu", None, status="failed", reason="out of memory")]
    assert derive(cells, named("numpy-cpu", "torch-gpu")) == []


def test_what_cupti_timed_is_the_kernels_own_at_any_size():
    """In a turn of its own, so that the two are paired by their sets alone."""
    cells = [
        cell("mlx-gpu", 30 * MICRO), traced("mlx-gpu", 20 * MICRO),
        cell("mlx-gpu", 40 * MICRO, size=1024), traced("mlx-gpu", 25 * MICRO, size=1024),
    ]  # fmt: skip
    parts = derive(cells, named("mlx-gpu"))
    assert [(part.part, part.reason, part.status) for part in parts] == [("device", "", "ok"), ("launch", "", "ok")] * 2
    assert [part.seconds.estimate for part in parts] == pytest.approx([MICRO * x for x in (20, 10, 25, 15)])


def traced(backend, seconds, size=64):
    elsewhere = [msgspec.structs.replace(sample, round=99, turn=7) for sample in samples(seconds)]
    return make_cell(backend, seconds, size=size, mode="device", clock="CUPTI", samples=elsewhere)
