"""What a schedule decides, without any worker: sets, shares of the time, rounds, and orders."""

from __future__ import annotations

import collections
import itertools

import pytest

from gemmscope.measure import schedule
from gemmscope.measure.pacing import CellPace
from gemmscope.measure.protocol import PreparedCell
from gemmscope.measure.resume import ResumePoint
from gemmscope.measure.roles import Role
from gemmscope.measure.schedule import Budget, Schedule, SetPlan, ShapePlan, balanced_orders
from gemmscope.records.base import CellKey
from gemmscope.workload.shapes import Shape
from tests.builders import make_settings
from tests.fakes import Clock, content

SMALL, LARGE = Shape(32, 32, 32), Shape(64, 64, 64)


@pytest.fixture(autouse=True)
def as_many_sets_as_were_asked_for(monkeypatch):
    """Fakes cost nothing, so that more would always be planned; one test in test_schedule.py is about that."""
    monkeypatch.setattr(schedule, "_MOST_PLANNED", 5)


def scheduled(clock, *, judge=None, resume=None, shapes=(LARGE, SMALL), **settings):
    asked = make_settings(*map(str, shapes), **{"sets": 5, "seconds": 100.0} | settings)
    return Schedule(asked, shapes, resume or ResumePoint(), judge, clock)


def run(made, clock, start_seconds=1.0, overrun=0.0):
    """Lets every set take exactly the time that it is given, and so much more; returns each set with its shapes."""
    done = []
    for plan in made.sets():
        clock.now += start_seconds
        shapes = []
        for shape in made.shapes(plan, start_seconds):
            shapes.append(shape)
            clock.now = max(clock.now, shape.end) + overrun
        done.append((plan, shapes))
    return done


def test_without_a_judge_the_sets_share_the_whole_budget():
    clock = Clock()
    sets = run(scheduled(clock), clock)
    assert [plan.number for plan, _ in sets] == [0, 1, 2, 3, 4]
    assert clock.now == pytest.approx(1100)
    lengths = [shape.end - shape.begin for _, shapes in sets for shape in shapes]
    assert lengths == pytest.approx([95 / 10] * 10)


def test_every_set_goes_from_small_outputs_to_large_ones():
    clock = Clock()
    orders = {tuple(shape.shape for shape in shapes) for _, shapes in run(scheduled(clock, sets=20), clock)}
    assert orders == {(SMALL, LARGE)}
    # One with more work, but a smaller output, comes first: what is freed there leaves malloc as it is.
    long = Shape(16, 16, 10_000)
    plan = next(scheduled(clock, shapes=(SMALL, long)).sets())
    assert [each.shape for each in scheduled(clock, shapes=(SMALL, long)).shapes(plan, 1.0)] == [long, SMALL]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_every_item_follows_every_other_equally_often(count):
    orders = balanced_orders(count)
    assert all(sorted(order) == list(range(count)) for order in orders)
    followed = collections.Counter(pair for order in orders for pair in itertools.pairwise(order))
    assert set(followed) == set(itertools.permutations(range(count), 2))
    assert len(set(followed.values())) == 1


def test_places_are_drawn_by_seed_set_and_shape_alone():
    clock = Clock()
    one, other = scheduled(clock, pairs=3), scheduled(clock, pairs=3, shapes=(SMALL,))
    assert one.placement(2, SMALL) == other.placement(2, SMALL)
    drawn = {scheduled(clock, pairs=3, seed=seed).placement(set_, shape).out
             for seed in range(3) for set_ in range(9) for shape in (SMALL, LARGE)}  # fmt: skip
    assert len(drawn) > 20
    assert all(place % 64 == 0 and 0 <= place < 4096 for place in drawn)


def test_with_a_judge_further_sets_follow_for_what_is_open():
    clock = Clock()
    only = {LARGE: {"a", "b"}, SMALL: {"a"}}
    sets = run(scheduled(clock, judge=lambda **_: only), clock)
    assert [plan.planned_left for plan, _ in sets] == [5, 4, 3, 2, 1, 0, 0, 0]
    assert [plan.only for plan, _ in sets[5:]] == [{LARGE: {"a", "b"}}] * 3, "a baseline alone settles nothing"
    assert all([shape.shape for shape in shapes] == [LARGE] for _, shapes in sets[5:])
    assert clock.now == pytest.approx(1100)


def test_with_a_judge_that_is_content_a_part_of_the_budget_is_left():
    clock = Clock()
    sets = run(scheduled(clock, judge=content), clock)
    assert len(sets) == 5
    assert 1050 < clock.now < 1070


def test_settled_shapes_have_less_time_from_the_third_set_on():
    clock = Clock()
    opened = lambda **_: {LARGE: {"a", "b"}}  # noqa: E731
    sets = run(scheduled(clock, judge=opened), clock)[:5]
    share = [{shape.shape: shape.end - shape.begin for shape in shapes} for _, shapes in sets]
    assert [each[SMALL] / each[LARGE] for each in share] == pytest.approx([1, 1, 1, 0.3, 0.3])


def test_settled_backends_have_less_time_from_the_third_set_on():
    clock = Clock()
    asked = []

    def judge(*, provisional=False):
        asked.append(provisional)
        return {LARGE: {"a", "b"}}

    made = scheduled(clock, judge=judge)
    weights = []
    for plan in made.sets():
        weights.append({(shape, name): made.weight(shape, name) for shape in (LARGE, SMALL) for name in "abc"})
        for shape in made.shapes(plan, 1.0):
            clock.now = shape.end
    assert all(set(each.values()) == {1.0} for each in weights[:3]), "before the third set nothing can be told"
    settled = {(LARGE, "c"): 0.3}
    assert weights[3] == dict.fromkeys(weights[3], 1.0) | settled, "of a settled shape no backend is in front"
    assert set(weights[5].values()) == {1.0}, "a further set measures what is open alone"
    assert asked[:3] == [True, True, True]
    assert not any(asked[3:])


def test_a_run_that_goes_on_knows_what_is_settled():
    clock = Clock()
    point = ResumePoint(next_set=3, finished_sets=3, elapsed=30.0)
    made = scheduled(clock, judge=lambda **_: {LARGE: {"a", "b"}}, resume=point)
    next(made.sets())
    assert [made.weight(LARGE, name) for name in "abc"] == [1.0, 1.0, 0.3]


def test_sets_that_do_not_fit_are_left_out_but_for_the_fewest():
    clock = Clock()
    made = scheduled(clock, sets=9, seconds=10.0)
    assert len(run(made, clock, overrun=20.0)) == 2
    assert made.cut_short == "only 2 of 9 batches of fresh processes"


def test_a_run_that_goes_on_has_what_is_left_of_sets_and_time():
    clock = Clock()
    made = scheduled(clock, resume=ResumePoint(next_set=3, finished_sets=2, elapsed=50.0))
    assert made.budget.epoch == 950
    assert [plan.number for plan, _ in run(made, clock)] == [3, 4, 5]
    assert clock.now == pytest.approx(1060)
    assert not made.cut_short


def test_rounds_go_on_until_the_time_is_up():
    clock = Clock()
    taken = 0
    for number in scheduled(clock).rounds(ShapePlan(SMALL, clock.now, clock.now + 10)):
        assert number == taken
        taken += 1
        clock.now += 2.0
    assert taken == 5


@pytest.mark.parametrize(("length", "rounds"), [(100.0, 2), (5.0, 2)])
def test_two_rounds_are_taken_however_slow(length, rounds):
    clock = Clock()
    taken = 0
    for _ in scheduled(clock).rounds(ShapePlan(SMALL, clock.now, clock.now + 6.0)):
        taken += 1
        clock.now += length
    assert taken == rounds


def test_what_a_shape_costs_besides_its_rounds_is_set_aside_in_the_next_set():
    clock = Clock()
    made = scheduled(clock, sets=2)
    first, second = made.sets(), []
    for shape in made.shapes(next(first), 0.0):
        clock.now += 8.0 if shape.shape == LARGE else 0.0  # it takes that long to prepare
        made.give_slots(shape, [CellPace(1e-5, throughput=False, product_bytes=4, slot=0.0)])
        clock.now = shape.end
    for shape in made.shapes(next(first), 0.0):
        second.append(shape)
        clock.now = shape.end
    length = {shape.shape: shape.end - shape.begin for shape in second}
    assert length[LARGE] - length[SMALL] == pytest.approx(8.0)


def test_a_turn_has_blocks_with_a_sample_of_each_cell():
    order = scheduled(Clock()).sample_order([3, 1, 3])
    assert collections.Counter(order) == {0: 3, 1: 1, 2: 3}
    assert sorted(order[:3]) == [0, 1, 2]
    assert sorted(order[3:5]) == sorted(order[5:]) == [0, 2]


def test_a_set_measures_what_is_open():
    plan = SetPlan(7, only={LARGE: {"a", "b"}})
    assert plan.measures("a")
    assert plan.measures("a", LARGE)
    assert not plan.measures("a", SMALL)
    assert not plan.measures("c")
    assert SetPlan(0).measures("c", SMALL)


def test_a_budget_runs_from_the_moment_when_it_is_made():
    clock = Clock()
    budget = Budget(clock, 10.0, elapsed=5.0)
    clock.now += 4.0
    assert (budget.used, budget.left) == (4.0, 6.0)
    assert clock.now - budget.epoch == 9.0


class TestWhatARoleLearns:
    @pytest.fixture
    def role(self):
        return Role(make_settings(sets=5, seconds=100.0), lambda event: None)

    @staticmethod
    def admit(role, shape, seconds):
        assert role.admit(0, shape, PreparedCell(backend="a", mode="latency", status="ok", seconds=seconds))

    def test_a_rate_says_what_a_larger_shape_takes_and_never_a_smaller_one(self, role):
        assert role.expected_seconds("a", LARGE) == 0
        self.admit(role, LARGE, 0.5)
        assert role.expected_seconds("a", Shape(128, 128, 128)) == pytest.approx(4.0)
        assert role.expected_seconds("a", SMALL) == 0
        assert role.expected_seconds("b", LARGE) == 0

    def test_a_tiny_shape_that_was_held_up_says_nothing_of_a_large_one(self, role):
        self.admit(role, SMALL, 0.5)
        assert role.expected_seconds("a", Shape(1024, 1024, 1024)) == 0

    @pytest.mark.parametrize(("seconds", "expected"), [(40e-6, 0.0), (0.05, 0.4)])
    def test_a_calibration_that_was_held_up_says_nothing_once_the_shape_was_measured(self, role, seconds, expected):
        """PyTorch at 64 beside other programs: 15 ms, so that one call at 512 should have taken 7.6 s."""
        self.admit(role, SMALL, 0.5)
        assert role.expected_seconds("a", LARGE) == pytest.approx(4.0)
        role.measured(CellKey("a", SMALL), seconds)
        assert role.expected_seconds("a", LARGE) == pytest.approx(expected)

    def test_a_call_that_is_mostly_overhead_has_no_rate(self, role):
        self.admit(role, SMALL, 1e-3)
        assert role.expected_seconds("a", LARGE) == 0

    def test_a_cell_that_was_measured_is_not_skipped_later_and_others_are(self, role):
        self.admit(role, SMALL, 3.0)
        assert role.admit(1, SMALL, PreparedCell(backend="a", mode="latency", status="ok", seconds=30.0))
        assert role.worth_preparing(SetPlan(1), SMALL, ["a"]) == ["a"]
        assert role.worth_preparing(SetPlan(1), LARGE, ["a"]) == []

    def test_seconds_are_known_by_backend_and_mode(self, role):
        role.measured(CellKey("a", SMALL), 1.0)
        role.measured(CellKey("a", SMALL, "throughput"), 2.0)
        role.measured(CellKey("a", LARGE), 3.0)
        role.measured(CellKey("b", SMALL), 4.0)
        assert role.known_seconds(SMALL, ["a"]) == {"a": {"latency": 1.0, "throughput": 2.0}}


@pytest.mark.parametrize(
    ("asked", "start", "planned"), [(5, 0.5, 10), (5, 2.5, 7), (5, 10.0, 5), (7, 10.0, 7), (4, 0.1, 4)]
)
def test_more_sets_are_planned_where_they_are_cheap(monkeypatch, asked, start, planned):
    """60 s are for the sets that are planned, and 30 % of these for starting workers and preparing."""
    monkeypatch.setattr(schedule, "_MOST_PLANNED", 10)
    clock = Clock()
    made = scheduled(clock, judge=content, sets=asked)
    assert len(run(made, clock, start_seconds=start)) == made.planned == planned


def test_a_run_that_goes_on_plans_what_it_planned():
    clock = Clock()
    point = ResumePoint(next_set=3, finished_sets=3, planned_sets=8, elapsed=30.0)
    assert len(run(scheduled(clock, judge=content, resume=point), clock)) == 5


def test_a_costly_shape_rests_in_every_second_set():
    clock = Clock()
    huge = Shape(4096, 4096, 4096)
    made = scheduled(clock, shapes=(SMALL, LARGE, huge), seconds=50.0)
    measured = []
    for plan in made.sets():
        shapes = []
        for shape in made.shapes(plan, 1.0):
            shapes.append(shape.shape)
            if shape.shape == huge:  # preparing it takes most of a set
                clock.now += 6.0
                made.give_slots(shape, [CellPace(1.0, throughput=False, product_bytes=4, slot=0.0)])
            clock.now = max(clock.now, shape.end)
        measured.append(huge in shapes)
        assert shapes[:2] == [SMALL, LARGE]
    assert measured == [True, True, False, True, False]


def test_where_all_shapes_are_costly_none_rests():
    clock = Clock()
    made = scheduled(clock, seconds=10.0)
    for plan in made.sets():
        shapes = []
        for shape in made.shapes(plan, 0.1):
            shapes.append(shape)
            clock.now += 2.0
            made.give_slots(shape, [CellPace(1e-3, throughput=False, product_bytes=4, slot=0.0)])
        assert len(shapes) == 2
