"""Layout: a planted effect of placement is found with its size, and none in its absence, whatever else changes."""

from __future__ import annotations

import math
import random

import msgspec
import pytest

from gemmscope.analysis import placement
from gemmscope.analysis.assemble import assemble
from gemmscope.analysis.findings import placement as findings
from gemmscope.analysis.view import View
from gemmscope.records.base import CellKey
from gemmscope.records.events import CellPrepared, RunStarted, SamplesTaken
from gemmscope.records.model import Sample
from gemmscope.workload.shapes import Shape
from tests.builders import make_backend, make_machine, make_result, make_sampled_cell, make_samples, make_settings

PAIRS = 10


def placed(
    backend="numpy-cpu", size=384, *, slow=0.0, spread=0.0, seed=0, sets=5, rounds=8, each=15, loops=1, noise=0.02,
    drift=0.0, turn=0.0, first=0.0, changes=None,
):  # fmt: skip
    """A cell whose pairs are placed anew in every set.

    Args:
        backend: Its name.
        size: Of its square.
        slow: How much longer a pair with a slow placement takes; half of the pairs have one.
        spread: The standard deviation over placements, where they are of no two kinds.
        seed: Of all that is random.
        sets: How many.
        rounds: In each set.
        each: Samples of a turn.
        loops: Calls of a sample.
        noise: The relative standard deviation of a sample.
        drift: How much slower a set is at its end, steadily.
        turn: The relative standard deviation of a turn.
        first: How much longer the first sample of each turn takes.
        changes: Of the cell.
    """
    chance = random.Random(f"{seed}/{backend}/{size}")
    samples = []
    clock = 0.0
    for set_ in range(sets):
        kinds = chance.sample([0.0, slow] * (PAIRS // 2), PAIRS)
        effects = [kind + chance.gauss(0, spread) for kind in kinds]
        pair = chance.randrange(PAIRS)
        for round_ in range(rounds):
            machine = drift * round_ / rounds + chance.gauss(0, turn)
            for number in range(each):
                calls = [math.exp(effects[(pair + i) % PAIRS]) for i in range(loops)]
                other = 1 + machine + chance.gauss(0, noise) + (first if number == 0 else 0.0)
                samples.append(Sample(set=set_, round=round_, turn=1, start=clock, first_pair=pair, loops=loops,
                                      seconds=5e-4 * sum(calls) * other))  # fmt: skip
                clock += 1.0
                pair = (pair + loops) % PAIRS
    return make_sampled_cell(backend, (), size, **{"samples": samples, "placed": True} | (changes or {}))


def find(*cells):
    return placement.find(cells, PAIRS)


@pytest.mark.parametrize(
    ("each", "loops", "rounds"), [(15, 1, 8), (10, 1, 8), (2, 1, 40), (1, 1, 40), (15, 3, 8), (15, 7, 16), (3, 2, 30)]
)
def test_a_planted_effect_is_found_with_its_size(each, loops, rounds):
    (one,) = find(placed(slow=0.12, each=each, loops=loops, rounds=rounds, noise=0.01))
    assert one.cell == CellKey("numpy-cpu", Shape(384, 384, 384))
    assert one.sets == 5
    assert one.size.estimate == pytest.approx(0.13, abs=0.03)
    assert 0 < one.size.low < one.size.estimate < one.size.high


def test_the_size_is_twice_the_standard_deviation_over_placements():
    (one,) = find(placed(spread=0.05, sets=30, noise=0.05))
    assert one.size.low < math.expm1(2 * 0.05) < one.size.high


@pytest.mark.parametrize(
    "disturbed",
    [
        {"noise": 0.1},
        {"drift": 0.3, "each": 1, "rounds": 40},
        {"drift": 0.3, "each": 3, "rounds": 20},
        {"turn": 0.1, "each": 15},
        {"turn": 0.1, "each": 4, "rounds": 20},
        {"first": 0.1, "each": 10},
        {"first": 0.1, "each": 2, "rounds": 40},
        {"noise": 0.1, "loops": 3},
    ],
)
def test_nothing_is_found_in_its_absence(disturbed):
    """Not from noise, a machine that drifts, slow turns, or first samples that are always of the same pairs."""
    found = [bool(find(placed(seed=seed, **{"noise": 0.02} | disturbed))) for seed in range(40)]
    assert sum(found) <= 3


def test_noise_in_many_cells_is_corrected_for():
    runs = [[placed(f"numpy-cpu:threads={i}", seed=seed, noise=0.1) for i in range(1, 9)] for seed in range(30)]
    assert sum(bool(find(*cells)) for cells in runs) <= 3


def test_what_is_not_worth_it_is_not_told():
    assert find(placed(slow=0.02, noise=0.001)) == []
    halves = placement.compared(placed(slow=0.02, noise=0.001).samples, PAIRS)[0]
    assert halves.deviation == pytest.approx(0.01, rel=0.1)
    assert halves.correlation == pytest.approx(1, abs=0.02)
    assert halves.dimensions == pytest.approx(PAIRS - 1)


@pytest.mark.parametrize(
    "cell",
    [
        placed(slow=0.12, changes={"placed": False}),
        placed(slow=0.12, sets=2),
        placed(slow=0.12, loops=PAIRS),  # every sample covers all pairs alike
        placed(slow=0.12, rounds=1),  # nothing to compare with
        placed(slow=0.12, loops=5, each=2, changes={"samples": make_samples([1e-3] * 5, loops=5)}),  # one window
    ],
)
def test_where_placements_are_not_known_apart_nothing_is_said(cell):
    assert find(cell) == []
    assert findings.layout(View(make_result([cell]))) == []


def test_sets_without_enough_samples_are_left_out():
    cell = placed(slow=0.12, sets=4)
    short = [one for one in cell.samples if one.set != 2 or one.round == 0]
    assert sorted(placement.compared(short, PAIRS)) == [0, 1, 3]


def test_one_finding_names_all_cells_the_largest_first():
    cells = [placed(slow=0.06, noise=0.005), placed("torch-cpu", slow=0.2, noise=0.005), placed("mlx-cpu")]
    (finding,) = findings.layout(View(make_result(cells, settings=make_settings(pairs=PAIRS))))
    assert (finding.id, finding.verdict) == ("layout", "found")
    assert " times vary: torch-cpu at 384 by 2" in finding.text
    assert " and numpy-cpu at 384 by 6" in finding.text
    assert finding.backends == ["torch-cpu", "numpy-cpu"]
    assert finding.evidence["numpy-cpu at 384"] == pytest.approx(0.06, abs=0.01)


def test_a_cell_is_placed_if_a_set_has_placed_it():
    where = {"backend": "numpy-cpu", "m": 64, "n": 64, "k": 64}
    start = RunStarted(schema=1, gemmscope="0.1.0", started="2026-01-02T03:04:05+00:00", machine=make_machine(),
                       settings=make_settings(), backends=[make_backend("numpy-cpu")])  # fmt: skip
    prepared = CellPrepared(**where, set=0, status="ok")
    samples = SamplesTaken(**where, samples=make_samples([1e-6]))
    again = msgspec.structs.replace(prepared, set=1)
    for first, second in ((False, False), (True, False), (False, True)):
        events = [start, msgspec.structs.replace(prepared, placed=first), samples,
                  msgspec.structs.replace(again, placed=second)]  # fmt: skip
        (cell,) = assemble(events).cells
        assert cell.placed is (first or second)
