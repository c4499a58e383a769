"""A slow library shows by small multiplications that a large one would take too long, and is not asked for it."""

from __future__ import annotations

import numpy as np
import pytest

from gemmscope.backends.base import Backend
from gemmscope.measure.climbing import expected_seconds
from gemmscope.measure.protocol import Prepare
from gemmscope.records.events import CellPrepared, SetStarted
from gemmscope.records.model import Settings
from gemmscope.workload.operands import OperandPair, Operands
from gemmscope.workload.shapes import Shape
from tests.fakes import World


class Slow(Backend):
    """Says that a call takes so many seconds for each floating-point operation, and remembers what it was given."""

    def __init__(self, seconds_per_flop, asked):
        super().__init__({})
        self.seconds_per_flop = seconds_per_flop
        self.asked = asked

    def probe(self):
        pass

    def prepare(self, operands):
        pair = operands.pairs[0]
        self.flops = 2 * operands.m * operands.n * operands.k
        self.asked.append((operands.m, operands.n, operands.k))
        assert pair.a.flags.c_contiguous
        assert operands.same == np.shares_memory(pair.a, pair.b)

    def product(self, pair):
        raise AssertionError(pair)

    def run(self, loops, first):
        return loops * self.flops * self.seconds_per_flop


@pytest.fixture
def asked():
    return []


def operands(m, n, k):
    """Of any size without taking its memory."""
    return Operands([OperandPair(np.broadcast_to(np.float32(1), (m, k)), np.broadcast_to(np.float32(1), (k, n)))])


def test_a_slow_library_is_asked_for_the_smallest_alone(asked):
    shape = Shape(6000, 6000, 6000)
    seconds = expected_seconds(lambda: Slow(1e-10, asked), operands(6000, 6000, 6000), shape)
    assert seconds == pytest.approx(1e-10 * shape.flops)
    assert asked == [(512, 512, 512)]


def test_a_faster_one_is_asked_for_more_until_a_call_is_long_enough_to_tell(asked):
    shape = Shape(6000, 6000, 6000)
    seconds = expected_seconds(lambda: Slow(3e-12, asked), operands(6000, 6000, 6000), shape)
    assert seconds == pytest.approx(3e-12 * shape.flops)
    assert asked == [(512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048)]


def test_one_that_is_fast_at_all_of_them_is_not_judged(asked):
    assert expected_seconds(lambda: Slow(1e-16, asked), operands(6000, 6000, 6000), Shape(6000, 6000, 6000)) == 0.0
    assert asked[-1] == (2048, 2048, 2048)


def test_short_sides_are_kept(asked):
    shape = Shape(8, 20000, 20000)
    expected_seconds(lambda: Slow(1e-9, asked), operands(8, 20000, 20000), shape)
    assert asked == [(8, 512, 512), (8, 1024, 1024)]


def test_little_work_is_not_worth_a_trial(asked):
    assert expected_seconds(lambda: Slow(1e-9, asked), operands(512, 512, 512), Shape(512, 512, 512)) is None
    assert not asked


def test_one_matrix_seen_twice_stays_one(asked):
    a = np.ones((1500, 1500), np.float32)
    expected_seconds(lambda: Slow(1e-9, asked), Operands([OperandPair(a, a.T)], same=True), Shape(1500, 1500, 1500))
    assert asked == [(512, 512, 512)]


def test_a_call_that_would_take_too_long_is_skipped_without_being_made():
    world = World(rates={"mlx-cpu": 1e-10, "numpy-cpu": 1e-15})
    begin = world.clock.now
    events = world.run(("numpy-cpu", "mlx-cpu"), shapes=["6000x6000x6000"], seconds=10.0)
    (skipped,) = [event for event in events if isinstance(event, CellPrepared) and event.status == "skipped"]
    assert skipped.backend == "mlx-cpu"
    assert skipped.estimate == pytest.approx(43.2)
    assert "would make room" in skipped.reason
    assert world.clock.now - begin < 20.0


def test_one_that_was_called_at_a_smaller_shape_is_known():
    world = World()
    world.run(("numpy-cpu",), shapes=["64x64x64", "512x512x512", "1024x1024x1024"], seconds=60.0, sets=2)
    prepared = [request for _, request in world.log if isinstance(request, Prepare)]
    unknown = [(str(request.block.shape), request.unknown) for request in prepared]
    # Twice, in two sets.
    assert unknown == [
        ("64x64x64", ["numpy-cpu"]), ("512x512x512", []), ("1024x1024x1024", []),
        ("64x64x64", []), ("512x512x512", []), ("1024x1024x1024", []),
    ]  # fmt: skip


def test_a_set_in_which_nothing_could_be_measured_is_the_last():
    world = World(rates={"mlx-cpu": 1e-10})
    events = world.run(("mlx-cpu",), shapes=["6000x6000x6000"], sets=5)
    assert sum(isinstance(event, SetStarted) for event in events) == 1


def test_the_limit_leaves_room_for_what_is_rough():
    world = World()
    world.run(("numpy-cpu",), seconds=60.0, sets=2)
    longest = [request.longest for _, request in world.log if isinstance(request, Prepare)]
    share = Settings(shapes=[], backends=[]).largest_share
    assert longest == pytest.approx([2 * share * 60 / (3 * 2)] * 2)
