"""What operands cost before anything is timed is predicted, and a run goes on without those that it cannot afford."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gemmscope.measure import affording
from gemmscope.measure.affording import make_affordable, making, preparing
from gemmscope.measure.protocol import MakeOperands, Prepare
from gemmscope.records.events import CellPrepared, SetStarted, Warned
from gemmscope.workload.operands import SharedMemory, operands_in
from gemmscope.workload.shapes import Shape, layout
from tests.fakes import World

SMALL, MIDDLE, LARGE = Shape(8, 8, 8), Shape(1, 3000, 1), Shape(1, 2_000_000, 1)


def only_block(shape, pairs=2):
    return layout([shape], pairs)[0]


def made(shapes, clock, **request):
    """Makes what can be afforded; returns the answer, and for each shape whether its operands were made."""
    blocks = layout(shapes, 2)
    memory = SharedMemory.create(blocks[-1].end)
    try:
        answer = make_affordable(memory.map(writable=True), MakeOperands(blocks=blocks, seed=0, **request), clock)
        return answer, [bool(operands_in(memory.map(), block).pairs[0].b.any()) for block in blocks]
    finally:
        memory.close()


def ticking(seconds):
    """A clock that goes on by so many seconds whenever it is read."""
    return map(float, itertools.count(0, seconds)).__next__


# What drawing the trial's values takes on a processor such as the predictions are for.
AS_PREDICTED = affording._PACE_VALUES * affording._DRAW


def test_what_is_affordable_is_made_and_the_rest_is_left_out_with_what_it_would_need():
    answer, is_made = made([SMALL, LARGE, MIDDLE], ticking(AS_PREDICTED), seconds=1e-2)
    assert is_made == [True, False, True]
    assert [seconds > 0 for seconds in answer.needed] == [False, True, False]
    assert answer.needed[1] == pytest.approx(sum(making(only_block(shape)) for shape in (SMALL, MIDDLE, LARGE)))
    assert made([SMALL, LARGE, MIDDLE], ticking(AS_PREDICTED), seconds=1.0)[1] == [True, True, True]


def test_the_first_block_is_made_in_any_case():
    answer, is_made = made([LARGE, SMALL], ticking(AS_PREDICTED), seconds=1e-9)
    assert is_made == [True, False]
    assert answer.needed[0] == 0.0


def test_a_machine_that_works_slowly_affords_less():
    assert made([SMALL, LARGE], ticking(AS_PREDICTED), seconds=1.0)[1] == [True, True]
    assert made([SMALL, LARGE], ticking(100 * AS_PREDICTED), seconds=1.0)[1] == [True, False]


def test_what_making_has_taken_counts_for_the_next(monkeypatch):
    monkeypatch.setattr(affording, "_LONG_ENOUGH", 0.0)
    # The trial was quick, and the first block takes a thousand times as long as that had promised.
    times = iter([*[0.0, AS_PREDICTED] * affording._PACE_LOOKS, 0.0, 1000 * making(only_block(SMALL)), 0.0, 1.0])
    assert made([SMALL, LARGE], times.__next__, seconds=1.0)[1] == [True, False]


def test_what_workers_will_take_counts_too():
    assert made([SMALL, LARGE], ticking(AS_PREDICTED), seconds=1.0, preparing=[0.0, 2.0])[1] == [True, False]


@pytest.mark.parametrize("text", ["1x30000000x1", "1x1x30000000", "30000000x1x1", "20000x1x20000", "1x20000x20000"])
def test_extreme_shapes_are_dear_and_usual_ones_are_not(text):
    def cost(shape, pairs=10):
        block = only_block(shape, pairs)
        return making(block) + 2 * preparing(block, 4, 4)

    assert cost(Shape.parse(text)) > 1.0
    assert cost(Shape(1024, 1024, 1024)) < 1.0
    assert cost(Shape(64, 64, 64)) < 0.02


def test_more_pairs_workers_and_backends_cost_more():
    assert making(only_block(SMALL, 50)) == pytest.approx(25 * making(only_block(SMALL, 2)))
    assert preparing(only_block(SMALL), 3, 1) > preparing(only_block(SMALL), 2, 1)
    assert preparing(only_block(SMALL), 2, 2) > preparing(only_block(SMALL), 2, 1)


def test_a_run_goes_on_without_a_shape_and_says_so_in_one_line():
    world = World(too_costly={"2048x2048x2048": 70.0, "4096x4096x4096": 140.0})
    events = world.run(("numpy-cpu",), shapes=["64x64x64", "2048x2048x2048", "4096x4096x4096"], seconds=10.0)
    assert {str(event.key.shape) for event in events if isinstance(event, CellPrepared)} == {"64x64x64"}
    (warned,) = [event.text for event in events if isinstance(event, Warned)]
    assert warned.startswith("left out, because making and checking the operands would take too long: 2048 and 4096;")
    assert warned.endswith("--seconds 200 would make room")


def test_a_run_without_any_shape_left_ends_after_its_first_set():
    world = World(too_costly={"64x64x64": 70.0})
    events = world.run(("numpy-cpu",), sets=5)
    assert sum(isinstance(event, SetStarted) for event in events) == 1
    assert not any(isinstance(request, Prepare) for _, request in world.log)


def test_the_operands_that_are_made_are_the_same_whatever_is_left_out():
    def first_of(shapes, **request):
        blocks = layout(shapes, 2)
        memory = SharedMemory.create(blocks[-1].end)
        make_affordable(memory.map(writable=True), MakeOperands(blocks=blocks, seed=0, **request))
        return np.array(operands_in(memory.map(), blocks[0]).pairs[1].a)

    assert np.array_equal(first_of([SMALL]), first_of([SMALL, LARGE], seconds=1e-9))
