"""Parts of a call, from made-up samples of which every part is known."""

from __future__ import annotations

import random

import pytest

from gemmscope.analysis.breakdown.cpu import derive
from gemmscope.backends import registry
from gemmscope.records.model import Sample
from tests.builders import make_backend, make_cell

KNOWN = registry.built_in()
MICRO = 1e-6


def samples(seconds, sets=5, noise=0.0, seed=0, turn=0):
    """Three samples of ten products in each of two rounds a set; ``seconds`` may depend on the set."""
    generator = random.Random(seed)
    at = seconds if callable(seconds) else lambda _: seconds
    return [
        Sample(set=set_, round=round_, turn=turn, start=0.0, first_pair=0, loops=10,
               seconds=10 * (at(set_) + noise * generator.uniform(-1, 1)))
        for set_ in range(sets) for round_ in range(2) for _ in range(3)
    ]  # fmt: skip


def chain(call, out, kernel, **kernel_changes):
    cells = [
        make_cell("numpy-cpu", 1e-6, samples=samples(call)),
        make_cell("numpy-cpu:out", 1e-6, samples=samples(out)),
        make_cell("kernel-numpy", 1e-6, samples=samples(kernel) if kernel else [], **kernel_changes),
    ]
    backends = {
        "numpy-cpu": make_backend("numpy-cpu", part="allocation", inside="numpy-cpu:out"),
        "numpy-cpu:out": make_backend("numpy-cpu:out", part="binding", inside="kernel-numpy"),
        "kernel-numpy": make_backend("kernel-numpy"),
    }
    return cells, backends


def of(parts, backend="numpy-cpu"):
    return {part.part: part for part in parts if part.backend == backend}


def test_every_layer_is_found_where_it_lies():
    parts = of(derive(*chain(5 * MICRO, 4 * MICRO, 1 * MICRO)))
    assert list(parts) == ["allocation", "binding", "kernel"]
    assert parts["allocation"].seconds.estimate == pytest.approx(1 * MICRO)
    assert parts["binding"].seconds.estimate == pytest.approx(3 * MICRO)
    assert parts["kernel"].minuend == "kernel-numpy"
    assert (parts["binding"].minuend, parts["binding"].subtrahend) == ("numpy-cpu:out", "kernel-numpy")
    assert {part.status for part in parts.values()} == {"ok"}


def test_a_call_inside_another_has_parts_of_its_own():
    assert list(of(derive(*chain(5 * MICRO, 4 * MICRO, MICRO)), "numpy-cpu:out")) == ["binding", "kernel"]


def test_what_all_sets_have_in_common_is_told_from_what_differs_between_processes():
    """Processes are twice as slow as others, and still the difference inside of each is the same."""
    slow = lambda base: lambda set_: base + (set_ % 2) * 10 * MICRO  # noqa: E731
    parts = of(derive(*chain(slow(5 * MICRO), slow(4 * MICRO), slow(1 * MICRO))))
    assert parts["allocation"].seconds.low == pytest.approx(1 * MICRO, rel=1e-6)
    assert parts["allocation"].seconds.high == pytest.approx(1 * MICRO, rel=1e-6)


def test_a_difference_whose_interval_holds_zero_is_below_resolution():
    cells, backends = chain(lambda set_: (4 + (set_ - 2) * 0.5) * MICRO, 4 * MICRO, MICRO)
    part = of(derive(cells, backends))["allocation"]
    assert part.status == "below resolution"
    assert part.resolution == pytest.approx(max(-part.seconds.low, part.seconds.high))
    assert part.resolution > 0


def test_a_difference_wholly_below_zero_is_inconsistent_and_stays_signed():
    part = of(derive(*chain(3 * MICRO, 4 * MICRO, MICRO)))["allocation"]
    assert part.status == "inconsistent"
    assert part.seconds.estimate == pytest.approx(-1 * MICRO)


def test_a_kernel_that_was_not_identified_ends_the_parts():
    parts = of(derive(*chain(5 * MICRO, 4 * MICRO, None, status="unavailable", reason="kernel not identified: why")))
    assert list(parts) == ["allocation", "binding"]
    assert (parts["binding"].status, parts["binding"].reason) == ("unknown", "kernel not identified: why")
    assert parts["binding"].seconds is None


def test_without_the_backend_inside_there_are_no_parts():
    cells, backends = chain(5 * MICRO, 4 * MICRO, MICRO)
    del backends["numpy-cpu:out"]
    assert of(derive(cells, backends)) == {}


def test_one_set_tells_nothing():
    cells, backends = chain(5 * MICRO, 4 * MICRO, MICRO)
    cells = [make_cell(cell.backend, 1e-6, samples=[s for s in cell.samples if s.set == 0]) for cell in cells]
    part = of(derive(cells, backends))["allocation"]
    assert (part.status, part.reason) == ("below resolution", "one set has no interval")


@pytest.mark.parametrize(
    ("name", "part", "inside"),
    [
        ("numpy-cpu", "allocation", "numpy-cpu:out"),
        ("numpy-cpu:out", "binding", "kernel-numpy"),
        ("numpy-cpu:threads=1", "allocation", "numpy-cpu:out+threads=1"),
        ("numpy-cpu:out+threads=1", "binding", "kernel-numpy:threads=1"),
        ("numpy-cpu:cold+OMP_NUM_THREADS=2", "allocation", "numpy-cpu:out+cold+OMP_NUM_THREADS=2"),
        ("torch-cpu:out", "binding", "torch-cpp-cpu"),
        ("torch-cpp-cpu", "runtime", "kernel-torch"),
        ("mlx-cpu:blas=openblas", "binding", "mlx-cpp-cpu:blas=openblas"),
        ("mlx-gpu:tf32", "binding", "mlx-cpp-gpu:tf32"),
        ("cblas-call:transposed=ab", "binding", "cblas:transposed=ab"),
    ],
)
def test_a_variant_has_the_same_options_inside(name, part, inside):
    layer = KNOWN.layer(KNOWN.variant(name))
    assert (layer.part, layer.inside) == (part, inside)


@pytest.mark.parametrize("name", ["cblas", "kernel-numpy", "null-python", "mlx-cpu:transposed=a"])
def test_the_innermost_has_nothing_inside(name):
    """MLX's C++ loop takes no transposed operands, so that nothing is known to be inside of that variant."""
    assert KNOWN.layer(KNOWN.variant(name)) is None


def test_backends_that_are_inside_of_each_other_end_somewhere():
    """No run writes such a file, but one can be edited."""
    cells = [make_cell(name, 1e-6, samples=samples(1e-6)) for name in ("a-cpu", "b-cpu")]
    records = [
        make_backend("a-cpu", part="binding", inside="b-cpu"), make_backend("b-cpu", part="runtime", inside="a-cpu")
    ]  # fmt: skip
    assert {part.backend for part in derive(cells, {record.name: record for record in records})} == {"a-cpu", "b-cpu"}
