from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmscope.measure.pacing import ROUNDS, CellPace, budget_for, divide, round_count, too_slow
from gemmscope.measure.stages import MOST_LOOPS, SLOW_CALL


@given(
    seconds=st.floats(1e-20, 100),
    slot=st.floats(0, 100),
    throughput=st.booleans(),
    product_bytes=st.integers(0, 2**36),
)
def test_a_turn_always_has_a_sample_and_a_sample_a_product(seconds, slot, throughput, product_bytes):
    pace = CellPace(seconds, throughput, product_bytes, slot)
    assert (2 if throughput else 1) <= pace.loops <= MOST_LOOPS
    assert 1 <= pace.samples <= 15
    assert pace.cost >= seconds


def test_a_cell_keeps_to_its_slot():
    pace = CellPace(seconds=1e-5, throughput=False, product_bytes=4, slot=0.04)
    assert 0.5 * 0.04 < pace.cost < 1.5 * 0.04


@pytest.mark.parametrize("slot", [0.004, 0.1, 3.0])
def test_a_smaller_weight_means_fewer_turns_like_those_of_others(slot):
    pace = CellPace(seconds=1e-4, throughput=False, product_bytes=4, slot=slot, weight=0.3)
    whole = CellPace(seconds=1e-4, throughput=False, product_bytes=4, slot=slot)
    assert (pace.loops, pace.samples) == (whole.loops, whole.samples)
    taken = []
    for round_ in range(20):
        if pace.is_due(round_):
            pace.took_turn(pace.cost, [1e-4])
            taken.append(round_)
        assert whole.is_due(round_)
        whole.took_turn(whole.cost, [1e-4])
    assert taken == [0, 3, 6, 10, 13, 16]


def test_all_take_part_in_the_first_round_and_slow_ones_wait_after_it():
    pace = CellPace(seconds=1.0, throughput=False, product_bytes=4, slot=0.1)
    assert pace.is_due(0)
    pace.took_turn(pace.cost, [1.0])
    assert not pace.is_due(1)
    due = next(r for r in range(1, 1000) if pace.is_due(r))
    assert due == pytest.approx(2 * pace.cost / (1.5 * 0.1), abs=2)


def test_samples_correct_the_estimate():
    pace = CellPace(seconds=1.0, throughput=False, product_bytes=4, slot=0.1)
    pace.took_turn(0.1, [0.0005])
    assert pace.seconds == 0.0005
    pace.took_turn(0.1, [])
    assert pace.seconds == 0.0005


@pytest.mark.parametrize("samples", [1, 2, 15])
@pytest.mark.parametrize("turns_before", [0, 1, 4])
def test_a_stall_is_not_a_speed(samples, turns_before):
    """A process that was stopped for 1.5 s in one sample: what it takes as a call's time would skip cells."""
    pace = CellPace(seconds=1e-3, throughput=False, product_bytes=4, slot=0.1)
    for _ in range(turns_before):
        pace.took_turn(0.1, [1e-3] * samples)
    pace.took_turn(0.1, [1.5] + [1e-3] * (samples - 1))
    assert pace.seconds == 1e-3


def test_a_machine_that_became_slower_is_followed():
    pace = CellPace(seconds=1e-3, throughput=False, product_bytes=4, slot=0.1)
    for _ in range(3):
        pace.took_turn(0.1, [2e-3] * 5)
    assert pace.seconds == 2e-3


def paced(*seconds, weights=()):
    """Cells whose least turn takes so long."""
    made = [CellPace(max(each, SLOW_CALL), throughput=False, product_bytes=4, slot=0.0) for each in seconds]
    for pace, weight in zip(made, weights, strict=bool(weights)):
        pace.weight = weight
    return made


def test_slots_are_even_where_all_are_fast():
    assert divide(80.0, paced(*[0.1] * 10), 8) == pytest.approx(1.0)


def test_what_takes_part_in_fewer_rounds_leaves_its_time():
    assert divide(80.0, paced(0.1, 0.1, 0.1, weights=[1.0, 1.0, 0.5]), 8) == pytest.approx(4.0)
    assert divide(80.0, paced(0.1, weights=[0.3]), 8) == 10.0, "and no slot is more than a round"


def test_a_slow_cell_has_its_turn_set_aside():
    assert divide(90.0, paced(*[0.1] * 10, 10.0), 8) == pytest.approx(1.0)
    assert divide(90.0, paced(*[0.1] * 10, 10.0, weights=[*[1.0] * 10, 0.3]), 8) == pytest.approx(1.0)
    assert divide(0.5, paced(1.0, 1.0), 8) > 0
    assert divide(-1.0, paced(1.0), 8) == 0
    assert divide(1.0, [], 8) > 0


@given(
    st.floats(0, 1000),
    st.lists(st.tuples(st.floats(SLOW_CALL, 100), st.sampled_from([0.3, 1.0])), max_size=12),
)
def test_slots_never_promise_more_than_there_is(seconds, cells):
    paces = paced(*[each for each, _ in cells], weights=[weight for _, weight in cells])
    assert 0 <= divide(seconds, paces, ROUNDS) * ROUNDS <= seconds * (1 + 1e-9)


def test_what_is_too_slow_fits_in_the_budget_that_is_named():
    assert not too_slow(0.05, sets=5, most=0.1), "a fast product is never too slow"
    assert too_slow(10.0, sets=5, most=90)
    assert not too_slow(10.0, sets=5, most=0.2 * budget_for(10.0, sets=5, share=0.2))


def test_warming_up_takes_its_share_of_a_shapes_time_and_no_more():
    assert round_count(4.0, [1e-3] * 10) == 8
    assert round_count(4.2, [25e-3] * 4) == 6
    assert round_count(4.0, [20e-3] * 20) == 3, "with fewer there would be nothing to pair"
    assert round_count(0.0, []) == 3


def test_slow_calls_are_not_warmed_up():
    fast, slow = (CellPace(seconds, throughput=False, product_bytes=4, slot=1.0) for seconds in (1e-3, 0.2))
    assert fast.warm_up == pytest.approx(10e-3)
    assert slow.warm_up == 0
    assert slow.least == pytest.approx(0.2)
