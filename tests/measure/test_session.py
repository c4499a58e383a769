"""The schedule, under a clock of its own: who takes turns, how often, and what is done when time runs out."""

from __future__ import annotations

import collections

import pytest

from gemmscope.errors import RunInterrupted
from gemmscope.measure import schedule
from gemmscope.measure.experiments import Wanted
from gemmscope.measure.protocol import MakeOperands, Open, Prepare, TakeTurn, TraceKernels
from gemmscope.measure.resume import ResumePoint
from gemmscope.measure.survey import plan_workers
from gemmscope.records.base import CellKey
from gemmscope.records.events import (
    BackendProbed,
    BackendsAdded,
    CellFailed,
    CellPrepared,
    InstructionsSampled,
    KernelsTraced,
    RunFinished,
    SamplesTaken,
    SetFinished,
    SetStarted,
    TurnStarted,
    Warned,
    WorkerEnded,
)
from gemmscope.records.model import REFERENCE
from gemmscope.workload.shapes import Shape
from tests.builders import make_backend
from tests.fakes import KNOWN, World, content

THREE = ("numpy-cpu", "torch-cpu", "cblas")
SMALL = Shape(64, 64, 64)


@pytest.fixture(autouse=True)
def as_many_sets_as_were_asked_for(monkeypatch):
    """Fakes cost nothing, so that more would always be planned; one test in test_schedule.py is about that."""
    monkeypatch.setattr(schedule, "_MOST_PLANNED", 5)


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def samples_of(events, backend, mode="latency"):
    return [s for e in of(events, SamplesTaken) if (e.backend, e.mode) == (backend, mode) for s in e.samples]


def test_every_set_has_fresh_workers_and_operands_are_made_once():
    world = World()
    events = world.run(THREE, sets=3)
    opened = [name for name, request in world.log if isinstance(request, Open)]
    assert collections.Counter(opened) == {"numpy": 3, "torch": 3, "cblas": 3}
    assert sum(isinstance(request, MakeOperands) for _, request in world.log) == 1
    assert all(worker.closed for worker in world.workers)
    assert [event.set for event in of(events, SetFinished)] == [0, 1, 2]


def test_every_worker_has_one_turn_a_round_in_random_order():
    events = World().run(THREE)
    turns = collections.defaultdict(list)
    for event in of(events, TurnStarted):
        turns[event.set, event.round].append(event.worker)
    assert len(turns) > 8
    assert all(sorted(names) == ["cblas", "numpy", "torch"] for names in turns.values())
    assert len({tuple(names) for names in turns.values()}) > 2


def order_of(events):
    """Who was at work, sample by sample: what a results file has of the order."""
    return [
        (s.set, s.round, s.turn, e.backend, e.mode, s.first_pair, s.loops)
        for e in of(events, SamplesTaken)
        for s in e.samples
    ]


def test_the_same_seed_gives_the_same_order_and_another_one_another():
    """With a clock that goes the same way, a run is replayed by its seed."""
    first, again, other = (order_of(World().run(THREE, reference=True, sets=3, seed=seed)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_the_order_can_be_read_from_the_samples():
    """Set, round, turn and start are those of the samples, and agree: a results file says who came after whom."""
    events = World().run(THREE, reference=True, sets=3)
    samples = [(s.set, s.round, s.turn, s.start, e.backend) for e in of(events, SamplesTaken) for s in e.samples]
    by_start = sorted(samples, key=lambda sample: sample[3])
    assert [sample[:3] for sample in by_start] == sorted(sample[:3] for sample in samples)
    workers = {"numpy-cpu": "numpy", "torch-cpu": "torch", "cblas": "cblas", "canary": REFERENCE}
    announced = [(e.set, e.round, e.worker) for e in of(events, TurnStarted)]
    recorded = list(dict.fromkeys((s, r, workers[name]) for s, r, _, _, name in by_start))
    assert recorded == announced


def test_samples_within_a_turn_are_in_blocks_of_balanced_order():
    world = World()
    world.run(("numpy-cpu", "numpy-cpu:out"), seconds=20.0)
    orders = [tuple(request.order) for _, request in world.log if isinstance(request, TakeTurn)]
    for order in orders:
        assert len(order) % 2 == 0
        assert all(set(order[i : i + 2]) == {0, 1} for i in range(0, len(order), 2)), "a block has a sample of each"
    # Each follows the other as often as itself.
    assert set(orders) <= {tuple([0, 1, 1, 0] * 10)[: len(order)] for order in orders} | {
        tuple([1, 0, 0, 1] * 10)[: len(order)] for order in orders
    }
    assert len(set(orders)) == 2


def test_the_same_seed_is_the_same_order():
    def order(seed):
        return [(e.set, e.round, e.worker) for e in of(World().run(THREE, seed=seed), TurnStarted)]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_pairs_go_round():
    events = World(rates={"numpy-cpu": 1e-8}).run(("numpy-cpu",), pairs=10)
    starts = [sample.first_pair for sample in samples_of(events, "numpy-cpu")]
    assert set(starts) <= set(range(10))
    assert len(set(starts)) > 3


@pytest.mark.parametrize("seconds", [5.0, 30.0, 120.0])
@pytest.mark.parametrize("shapes", [["64x64x64"], ["16x16x16", "64x64x64", "256x256x256"]])
def test_a_run_ends_at_about_its_budget(seconds, shapes):
    world = World(rates={"torch-cpu": 1e-10})
    begin = world.clock.now
    world.run(THREE, seconds=seconds, shapes=shapes, sets=5)
    assert seconds * 0.8 <= world.clock.now - begin <= seconds * 1.2


def test_sets_and_backends_share_the_time_evenly():
    world = World()
    events = world.run(THREE, seconds=60.0, sets=5)
    spent = collections.Counter()
    for event in of(events, SamplesTaken):
        for sample in event.samples:
            spent[event.backend] += sample.seconds
            spent[sample.set] += sample.seconds
    by_backend = [spent[name] for name in THREE]
    by_set = [spent[number] for number in range(5)]
    assert max(by_backend) < 1.5 * min(by_backend)
    assert max(by_set) < 1.5 * min(by_set)


def test_a_slow_kernel_neither_starves_the_others_nor_is_left_out():
    # A thousand times slower: one product takes a quarter of a second, of ten seconds in all.
    world = World(rates={"mlx-cpu": 5e-7})
    events = world.run((*THREE, "mlx-cpu"), seconds=20.0, sets=2)
    slow = samples_of(events, "mlx-cpu")
    assert {sample.set for sample in slow} == {0, 1}
    assert sum(sample.seconds for sample in slow) < 0.6 * 20
    for name in THREE:
        assert len(samples_of(events, name)) > 30


def test_a_product_that_takes_longer_than_its_share_is_still_measured_once_in_every_set():
    world = World(rates={"mlx-cpu": 1.0 / (2 * 64**3)})  # one second, where a cell's share of a round is far less
    events = world.run(("numpy-cpu", "mlx-cpu"), seconds=60.0, sets=2)
    slow = samples_of(events, "mlx-cpu")
    assert {sample.set for sample in slow} == {0, 1}
    assert all(sample.loops == 1 for sample in slow)


def test_a_cell_too_slow_for_the_run_is_skipped_with_an_estimate():
    world = World(rates={"mlx-cpu": 1e-6})
    events = world.run(("numpy-cpu", "mlx-cpu"), seconds=10.0, shapes=["64x64x64", "512x512x512"])
    (skipped,) = [e for e in of(events, CellPrepared) if e.status == "skipped" and e.m == 512]
    assert (skipped.backend, skipped.set) == ("mlx-cpu", 0)
    assert skipped.estimate == pytest.approx(1e-6 * 2 * 512**3)
    assert "--seconds" in skipped.reason
    assert samples_of(events, "mlx-cpu")
    assert not [e for e in of(events, SamplesTaken) if e.backend == "mlx-cpu" and e.m == 512]
    assert world.clock.now < 1000 + 60


def test_a_backend_is_measured_at_the_shapes_that_it_is_asked_for():
    world = World()
    events = world.run(THREE, shapes=["32x32x32", "64x64x64"], only_at={"cblas": ["64x64x64"]}, sets=2)
    measured = {(e.backend, e.m) for e in of(events, SamplesTaken) if e.backend != REFERENCE}
    assert measured == {(name, size) for name in THREE for size in (32, 64)} - {("cblas", 32)}
    assert not [e for e in of(events, CellPrepared) if (e.backend, e.m) == ("cblas", 32)], "nor is it a loss"


def test_overhead_at_a_small_shape_does_not_condemn_a_large_one():
    """A launch of 20 µs makes a tiny product look slow per flop; the large one is tried, in every set."""

    class Launching(World):
        def launch(self, spec, memory):
            worker = super().launch(spec, memory)
            worker.seconds = lambda backend, mode="latency": 20e-6 + 1e-12 * worker.block.shape.flops
            return worker

    shapes = ["3x5x7", "64x64x64", "1024x1024x1024"]
    events = Launching().run(("numpy-cpu", "mlx-cpu"), shapes=shapes, sets=3, seconds=15.0)
    assert not [event for event in of(events, CellPrepared) if event.status == "skipped"]
    large = [s.set for e in of(events, SamplesTaken) if (e.backend, e.m) == ("mlx-cpu", 1024) for s in e.samples]
    assert set(large) == {0, 1, 2}


def test_loops_make_samples_long_enough_for_the_clock():
    events = World(rates={"numpy-cpu": 1e-12}).run(("numpy-cpu",), shapes=["8x8x8"])
    assert all(sample.seconds >= 0.4e-3 for sample in samples_of(events, "numpy-cpu"))


def test_throughput_waits_for_many_products():
    events = World().run(("mlx-cpu",), seconds=20.0)
    assert all(sample.loops >= 10 for sample in samples_of(events, "mlx-cpu", "throughput"))


def test_throughput_products_fit_in_memory():
    events = World(rates={"mlx-cpu": 1e-13}).run(("mlx-cpu",), shapes=["4096x4096x1"], seconds=20.0, pairs=1)
    samples = samples_of(events, "mlx-cpu", "throughput")
    assert samples
    assert all(2 <= sample.loops <= 4 for sample in samples)


def test_the_reference_has_a_turn_in_every_round():
    events = World().run(THREE, reference=True)
    rounds = {(event.set, event.round) for event in of(events, TurnStarted)}
    timed = {(s.set, s.round) for e in of(events, SamplesTaken) if e.backend == REFERENCE for s in e.samples}
    assert timed == rounds
    assert not [event for event in of(events, BackendProbed) if event.backend == "cblas" and event.status != "ok"]
    shapes = {(e.m, e.n, e.k) for e in of(events, SamplesTaken) if e.backend == REFERENCE}
    assert shapes == {(192, 192, 192)}


def test_the_references_figures_do_not_stand_for_cblas():
    """It is a cblas too, in another worker and of another shape."""
    for seed in range(6):
        world = World()
        world.run(("numpy-cpu", "cblas"), reference=True, shapes=["16x16x16", "512x512x512"], sets=3, seed=seed)
        for name, request in world.log:
            if not isinstance(request, Prepare):
                continue
            if name == REFERENCE:
                assert request.known == {}
            elif request.known:
                (seconds,) = request.known[request.backends[0]].values()
                assert seconds == pytest.approx(1e-9 * request.block.shape.flops)


def test_a_lost_reference_leaves_cblas_alone_and_the_other_way_round():
    events = World(lose={(REFERENCE, "TakeTurn")}).run(("numpy-cpu", "cblas"), reference=True, sets=3)
    assert {sample.set for sample in samples_of(events, "cblas")} == {0, 1, 2}
    events = World(lose={("cblas", "TakeTurn")}).run(("numpy-cpu", "cblas"), reference=True, sets=3)
    assert {sample.set for sample in samples_of(events, REFERENCE)} == {0, 1, 2}


def test_sets_that_do_not_fit_into_the_budget_are_left_out_and_said():
    world = World(start_seconds=2.0)
    begin = world.clock.now
    events = world.run(THREE, sets=1000, seconds=20.0)
    assert world.clock.now - begin < 45
    assert 2 <= len(of(events, SetFinished)) < 10
    (warning,) = of(events, Warned)
    assert "of 1000 batches of fresh processes fitted into 20 s" in warning.text


def test_a_lost_reference_is_a_warning():
    events = World(lose={(REFERENCE, "TakeTurn")}).run(THREE, reference=True)
    (warning,) = of(events, Warned)
    assert "the reference workload was lost" in warning.text
    assert samples_of(events, "numpy-cpu")


def test_what_cannot_run_here_is_asked_once():
    world = World(unavailable={"torch-gpu"})
    events = world.run(("numpy-cpu", "torch-cpu", "torch-gpu"), sets=3)
    (probed,) = [event for event in of(events, BackendProbed) if event.backend == "torch-gpu"]
    assert (probed.status, probed.reason, probed.remedy) == ("unavailable", "not here", "buy one")
    assert samples_of(events, "torch-cpu")


def test_a_wrong_product_is_never_timed():
    events = World(wrong={"torch-cpu"}).run(THREE, sets=3)
    assert not samples_of(events, "torch-cpu")
    assert samples_of(events, "cblas")


def test_a_backend_that_raises_costs_only_itself():
    events = World(raising={"numpy-cpu:out"}).run(("numpy-cpu", "numpy-cpu:out"), sets=3)
    (failed,) = of(events, CellFailed)
    assert (failed.backend, failed.reason) == ("numpy-cpu:out", "ValueError: on purpose")
    assert {sample.set for sample in samples_of(events, "numpy-cpu")} == {0, 1, 2}


@pytest.mark.parametrize("moment", ["Open", "Prepare", "TakeTurn", "Release"])
def test_a_lost_worker_costs_only_its_own_backends(moment):
    events = World(lose={("torch", moment)}).run(THREE, sets=3)
    (ended,) = of(events, WorkerEnded)
    assert ended.worker == "torch"
    assert "lost on purpose" in ended.reason
    for name in ("numpy-cpu", "cblas"):
        assert {sample.set for sample in samples_of(events, name)} == {0, 1, 2}
    assert of(events, RunFinished)[0].status == "complete"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RunInterrupted])
def test_an_interrupted_run_ends_its_workers_and_says_that_it_is_partial(error):
    world = World()
    events = []

    def observe(event):
        events.append(event)
        if len(of(events, SamplesTaken)) == 5 and isinstance(event, SamplesTaken):
            raise error

    world.session(observe, THREE).run()
    assert of(events, RunFinished)[0].status == "partial"
    assert isinstance(events[-1], RunFinished)
    assert all(worker.closed for worker in world.workers)


def test_any_other_error_ends_the_workers_too():
    world = World()

    def observe(event):
        if isinstance(event, SamplesTaken):
            raise RuntimeError("a defect")  # noqa: TRY004

    with pytest.raises(RuntimeError, match="a defect"):
        world.session(observe, THREE).run()
    assert all(worker.closed for worker in world.workers)


def test_a_run_goes_on_where_it_was_cut_off():
    lost = {CellKey("torch-cpu", SMALL)}
    resume = ResumePoint(next_set=3, finished_sets=2, lost=lost, absent={"cblas"}, elapsed=50.0)
    world = World()
    begin = world.clock.now
    events = world.run(THREE, sets=5, seconds=100.0, resume=resume)
    assert [event.set for event in of(events, SetStarted)] == [3, 4, 5]
    assert {event.backend for event in of(events, SamplesTaken)} == {"numpy-cpu"}
    assert 40 < world.clock.now - begin < 75, "three fifths of the budget are left"
    assert min(sample.start for sample in samples_of(events, "numpy-cpu")) > 50


class TestStopping:
    """The sets that were asked for take a part of the budget; the rest is for what is still open."""

    @staticmethod
    def run(opened, sets=5, seconds=100.0, shapes=("64x64x64", "32x32x32")):
        """``opened`` is asked how many sets are finished, and says what is open then."""
        world = World(start_seconds=0.1)
        begin = world.clock.now
        events = []
        judge = lambda **_: opened(len(of(events, SetFinished)))  # noqa: E731
        world.session(events.append, THREE, judge=judge, sets=sets, seconds=seconds, shapes=list(shapes)).run()
        return events, world.clock.now - begin

    def test_a_run_whose_verdicts_are_settled_ends_early(self):
        events, seconds = self.run(lambda finished: {})
        assert len(of(events, SetFinished)) == 5
        assert 50 < seconds < 70

    def test_open_verdicts_get_further_sets_until_the_budget_is_spent(self):
        events, seconds = self.run(lambda finished: {SMALL: {"numpy-cpu", "cblas"}})
        further = [e for e in of(events, SamplesTaken) if e.samples[0].set >= 5]
        assert {(e.backend, e.m) for e in further} == {("numpy-cpu", 64), ("cblas", 64)}
        assert len(of(events, SetFinished)) == 8
        assert 90 < seconds < 110

    def test_further_sets_end_when_the_last_verdict_is_settled(self):
        events, seconds = self.run(lambda finished: {SMALL: {"numpy-cpu", "cblas"}} if finished < 6 else {})
        assert len(of(events, SetFinished)) == 6
        assert seconds < 90

    def test_settled_shapes_leave_their_time_to_open_ones(self):
        events, _ = self.run(lambda finished: {SMALL: {"numpy-cpu", "cblas"}})
        spent = collections.Counter()
        for event in of(events, SamplesTaken):
            for sample in event.samples:
                spent[event.m, sample.set] += sample.seconds
        assert spent[64, 1] < 1.5 * spent[32, 1], "before the third set nothing can be told"
        assert spent[64, 4] > 2 * spent[32, 4]
        assert spent[32, 4] > 0, "but every set that was asked for measures everything"

    def test_a_backend_that_is_lost_does_not_keep_a_run_alive(self):
        world = World(raising={"torch-cpu"})
        judge = lambda **_: {SMALL: {"torch-cpu"}}  # noqa: E731
        events = []
        world.session(events.append, THREE, judge=judge, seconds=100.0).run()
        assert of(events, RunFinished)
        assert len(of(events, SetFinished)) <= 3


def test_nothing_is_left_of_a_finished_run():
    events = World().run(THREE, sets=2, resume=ResumePoint(next_set=2, finished_sets=2))
    assert not of(events, SetStarted)
    assert of(events, RunFinished)[0].status == "complete"


class TestExperiments:
    """After the sets that were asked for, further ones try what is suspected, for a share of the budget."""

    UNSET = "numpy-cpu:OPENBLAS_CORETYPE="

    def run(self, rounds, *, seconds=100.0, experiments=0.25, **changes):
        """``rounds`` says how often an experiment is wanted."""
        world = World(start_seconds=0.1, **changes)
        begin, asked = world.clock.now, []
        variant = KNOWN.variant(self.UNSET)
        (spec,) = plan_workers([variant], KNOWN, {})
        record = make_backend(self.UNSET, worker=spec.name, experiment=True)

        def investigate():
            asked.append(world.clock.now - begin)
            if len(asked) > rounds:
                return Wanted()
            first = len(asked) == 1
            return Wanted({SMALL: {"numpy-cpu", self.UNSET}}, [spec] if first else [], [record] if first else [])

        events = []
        world.session(events.append, THREE, judge=content, investigate=investigate, sets=5, seconds=seconds,
                      experiments=experiments).run()  # fmt: skip
        return events, asked

    def test_they_follow_the_sets_that_were_asked_for_and_measure_the_pair_alone(self):
        events, asked = self.run(2)
        taken = [event for event in of(events, SamplesTaken) if event.samples[0].set >= 5]
        assert {event.backend for event in taken} == {"numpy-cpu", self.UNSET}
        assert len(of(events, SetStarted)) == 7
        assert len(asked) == 3
        (added,) = of(events, BackendsAdded)
        assert [backend.name for backend in added.backends] == [self.UNSET]

    def test_they_take_their_share_and_no_more(self):
        events, _ = self.run(1000)
        taken = [sample for event in of(events, SamplesTaken) for sample in event.samples if sample.set >= 5]
        assert 20 < max(sample.start for sample in taken) - min(sample.start for sample in taken) < 27

    def test_without_a_share_nobody_is_asked(self):
        _, asked = self.run(1000, experiments=0.0)
        assert asked == []

    def test_none_is_begun_where_two_sets_do_not_fit(self):
        _, asked = self.run(1000, seconds=1.0)
        assert asked == []

    def test_one_that_cannot_run_here_costs_only_itself(self):
        events, _ = self.run(1000, unavailable={self.UNSET})
        assert of(events, RunFinished)[0].status == "complete"
        assert not [event for event in of(events, SamplesTaken) if event.backend == self.UNSET]

    def test_a_backend_may_be_compared_with_itself_in_another_mode(self):
        world, asked, events = World(start_seconds=0.1), [], []

        def investigate():
            asked.append(1)
            return Wanted({SMALL: {"mlx-cpu"}} if len(asked) < 3 else {})

        world.session(events.append, ["mlx-cpu"], investigate=investigate, seconds=100.0, experiments=0.25).run()
        taken = [event for event in of(events, SamplesTaken) if event.samples[0].set >= 2]
        assert {(event.backend, event.mode) for event in taken} == {("mlx-cpu", "latency"), ("mlx-cpu", "throughput")}

    def test_variants_join_a_worker_that_is_there(self):
        world = World()
        team = world.session(lambda event: None, THREE)._team
        (spec,) = plan_workers(KNOWN.variants(["numpy-cpu", "numpy-cpu:pitch=80"]), KNOWN, {})
        team.add([(spec, None)])
        assert [[one.name for one in known.variants] for known, _ in team._workers if known.name == "numpy"] == [
            ["numpy-cpu", "numpy-cpu:pitch=80"]
        ]


def test_instructions_are_sampled_once_in_a_run_at_the_smallest_and_the_largest_shape():
    events = World().run(THREE, sets=3, shapes=["64x64x64", "128x128x128", "256x256x256", "1x4096x4096"])
    seen = of(events, InstructionsSampled)
    assert sorted((event.backend, str(event.shape)) for event in seen) == sorted(
        (name, shape) for name in THREE for shape in ("64x64x64", "256x256x256")
    )
    assert {event.profile.reason for event in seen} == {"this one has no instructions"}


def test_the_surroundings_of_every_set_are_recorded():
    events = World().run(THREE, sets=2)
    assert [event.surroundings.set for event in of(events, SetFinished)] == [0, 1]


class TestKernels:
    """What CUPTI sees of calls on a GPU."""

    ON_GPU = ("torch-gpu", "torch-gpu:tf32", "cublas")
    SHAPES = ("64x64x64", "128x128x128")

    def run(self, **world):
        self.world = World(cupti=True, reduced={"torch-gpu:tf32"}, **world)
        return self.world.run((*self.ON_GPU, "numpy-cpu"), sets=2, shapes=list(self.SHAPES))

    def test_they_are_looked_at_in_every_set_when_all_is_timed(self):
        events = self.run()
        seen = of(events, KernelsTraced)
        assert sorted((e.set, e.backend, str(e.shape), e.mode) for e in seen) == sorted(
            (set_, name, shape, "device") for set_ in (0, 1) for name in self.ON_GPU for shape in self.SHAPES
        )
        kinds = [type(event) for event in events if isinstance(event, TurnStarted | KernelsTraced | SetFinished)]
        for _ in (0, 1):
            done = kinds.index(SetFinished)
            first = kinds.index(KernelsTraced)
            assert TurnStarted not in kinds[first:done]
            del kinds[: done + 1]

    def test_what_draws_the_most_power_comes_last(self):
        self.run()
        asked = [
            cell.backend for _, request in self.world.log if isinstance(request, TraceKernels) for cell in request.cells
        ]
        one_set = asked[: len(asked) // 2]
        assert one_set[-len(self.SHAPES) :] == ["torch-gpu:tf32"] * len(self.SHAPES)
        assert "torch-gpu:tf32" not in one_set[: -len(self.SHAPES)]

    def test_the_devices_time_is_by_its_clock_and_has_no_turn(self):
        events = self.run()
        taken = samples_of(events, "cublas", "device")
        assert all(sample.seconds / sample.loops == pytest.approx(1e-6) for sample in taken)
        assert {sample.set for sample in taken} == {0, 1}
        timed = {cell.mode for _, request in self.world.log if isinstance(request, TakeTurn) for cell in request.cells}
        assert timed == {"latency", "throughput"}

    def test_one_that_cannot_be_looked_at_costs_only_its_own_time_on_the_device(self):
        events = self.run(untraceable={"cublas"})
        assert not of(events, CellFailed)
        assert {e.trace.reason for e in of(events, KernelsTraced) if e.backend == "cublas"} == {
            "ValueError: on purpose"
        }
        assert samples_of(events, "cublas")
        assert samples_of(events, "torch-gpu", "device")

    def test_without_cupti_the_device_is_timed_in_turns(self):
        events = World().run(self.ON_GPU, sets=2)
        assert not of(events, KernelsTraced)
        assert samples_of(events, "cublas", "device")

    def test_experiments_are_about_times_and_are_not_looked_at(self):
        asked = []

        def investigate():
            asked.append(None)
            return Wanted({SMALL: {"torch-gpu"}}) if len(asked) == 1 else Wanted()

        events = []
        World(cupti=True).session(
            events.append, self.ON_GPU, judge=content, investigate=investigate, sets=5, experiments=0.25, seconds=100.0
        ).run()
        assert {sample.set for sample in samples_of(events, "torch-gpu")} == set(range(6))
        assert {event.set for event in of(events, KernelsTraced)} == set(range(5))

    def test_what_could_not_be_timed_is_not_looked_at(self):
        events = self.run(raising={"cublas"})
        assert {event.backend for event in of(events, KernelsTraced)} == {"torch-gpu", "torch-gpu:tf32"}

    def test_a_run_still_ends_at_about_its_budget(self):
        self.run()
        assert self.world.clock.now - 1000.0 < 12.0


def test_what_libraries_say_of_variables_is_a_warning_once():
    line = "libgomp: Invalid value for environment variable OMP_NUM_THREADS"
    world = World(complaints=[line])
    events = world.run(["numpy-cpu", "torch-cpu:OMP_NUM_THREADS=abc"], sets=3)
    assert [event.text for event in events if isinstance(event, Warned)] == [
        line, f"torch-cpu:OMP_NUM_THREADS=abc: {line}"
    ]  # fmt: skip
