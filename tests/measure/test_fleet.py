"""A fleet's session with workers that pretend: who takes part in which window, and what a lost worker costs."""

from __future__ import annotations

import collections
import itertools
import time
from typing import ClassVar

import pytest

from gemmscope.backends import registry
from gemmscope.errors import RunInterrupted, WorkerLost
from gemmscope.machine.devices import Device
from gemmscope.measure import loops, window
from gemmscope.measure.fleet import FleetSession
from gemmscope.measure.protocol import (
    Done,
    MakeOperands,
    Open,
    Opened,
    OperandsMade,
    Prepare,
    Prepared,
    PreparedCell,
    Probed,
    Release,
    SampleBetween,
    Turned,
    TurnedCell,
)  # fmt: skip
from gemmscope.records.fleet import FleetSettings
from gemmscope.records.model import Measurement

KNOWN = registry.built_in()
COMPUTE, MEMORY = "64x64x64", "128x1x128"


class Pretender:
    """Answers like a worker, at once."""

    def __init__(self, spec, world):
        self.spec, self.world = spec, world
        self.device = spec.environment.get("CUDA_VISIBLE_DEVICES", "")
        self.closed = False

    def send(self, request):
        assert not self.closed
        self.request = request
        self.world.sent.append((self.device, request))

    def receive(self, expected, timeout):
        request = self.request
        key = (self.device, type(request))
        self.world.received[key] += 1
        if self.world.lost.get(key) == self.world.received[key]:
            raise WorkerLost("its process was killed")
        if self.world.interrupt and isinstance(request, SampleBetween):
            raise RunInterrupted
        match request:
            case MakeOperands():
                return OperandsMade(needed=[0.0] * len(request.blocks))
            case Release():
                return Done()
            case Open():
                bad = self.device in self.world.unavailable
                probed = Probed(backend="torch-gpu", status="unavailable" if bad else "ok", reason="no such device")
                return Opened(backends=[probed], provenance={})
            case Prepare():
                cells = [
                    PreparedCell(backend=name, mode=mode, status="ok", seconds=0.01)
                    for name in request.backends for mode in ("latency", "throughput")
                ]  # fmt: skip
                return Prepared(cells=cells, preparing=0, calibrating=0, settling=0)
            case SampleBetween():
                sample = Measurement(start=time.perf_counter(), first_pair=0, loops=request.loops, seconds=0.01)
                failed = self.device in self.world.failing
                cell = TurnedCell(samples=[] if failed else [sample], reason="out of memory" if failed else "")
                return Turned(cells=[cell], warming=0, sampling=0, settling=0)

    def close(self):
        self.closed = True


class World:
    def __init__(self):
        self.sent, self.workers = [], []
        self.received = collections.Counter()
        self.lost, self.unavailable, self.failing, self.interrupt = {}, set(), set(), False

    def run(self, devices=3, sets=3, together=True, seconds=0.2, memory=MEMORY):
        names = [Device(f"gpu:{i}", "gpu", "H100", visible=str(i)) for i in range(devices)]
        settings = FleetSettings(devices=[one.name for one in names], backends=["torch-gpu"], compute=COMPUTE,
                                 memory=memory, sets=sets, seconds=seconds)  # fmt: skip

        def launch(spec, memory):
            self.workers.append(Pretender(spec, self))
            return self.workers[-1]

        session = FleetSession(settings, names, KNOWN.variants(["torch-gpu"]), KNOWN, launch,
                               epoch=time.perf_counter(), together=together)  # fmt: skip
        self.whole = session.run()
        assert all(worker.closed for worker in self.workers)
        return session


def windows(session, together=True):
    found = collections.defaultdict(set)
    for turn in session.turns:
        if turn.together == together:
            found[turn.round].add((turn.device, turn.set, str(turn.shape)))
    return list(found.values())


def test_all_devices_are_in_every_window_with_the_same_set_at_both_shapes():
    session = World().run()
    together = windows(session)
    for those in together:
        assert len(those) == 3
        assert len({(set_, shape) for _, set_, shape in those}) == 1
    assert {(set_, shape) for those in together for _, set_, shape in those} == {
        (set_, shape) for set_ in range(3) for shape in (COMPUTE, MEMORY)
    }


def test_the_workers_of_a_window_have_the_same_times():
    world = World()
    world.run(seconds=0.05, memory="")
    sampled = [request for _, request in world.sent if isinstance(request, SampleBetween)]
    begins = collections.Counter((request.begin, request.end) for request in sampled)
    assert max(begins.values()) == 3
    assert all(request.mode == "throughput" for request in sampled)


def test_alone_each_device_has_windows_of_its_own():
    # Windows of a made-up worker take no time at all, so the budget has room for all.
    session = World().run(seconds=1.0, memory="")
    alone = windows(session, together=False)
    assert alone
    assert all(len(those) == 1 for those in alone)
    assert {device for those in alone for device, _, _ in those} == {0, 1, 2}


def test_a_device_alone_has_nobody_to_be_without():
    assert windows(World().run(devices=1, memory=""), together=False) == []


def test_where_a_device_takes_one_process_the_sets_follow_each_other():
    world = World()
    session = world.run(together=False, memory="")
    assert {turn.set for turn in session.turns} == {0, 1, 2}
    requests = [type(request) for device, request in world.sent if device == "0"]
    opened = [i for i, request in enumerate(requests) if request is Open]
    # Between two of its processes the device has been sampled, and the first has let go.
    for before, after in itertools.pairwise(opened):
        assert {SampleBetween, Release} <= set(requests[before:after])


def test_a_lost_worker_costs_its_own_samples_alone():
    world = World()
    world.lost[("1", SampleBetween)] = 2
    session = world.run()
    (warning,) = session.warnings
    assert warning.startswith("gpu:1: its worker of batch")
    assert warning.endswith("was lost: its process was killed")
    sets = {device: {turn.set for turn in session.turns if turn.device == device} for device in range(3)}
    assert sets[0] == sets[2] == {0, 1, 2}


def test_a_device_that_cannot_run_says_why():
    world = World()
    world.unavailable.add("2")
    session = world.run()
    assert session.lost == {2: "torch-gpu: no such device"}
    assert {turn.device for turn in session.turns} == {0, 1}


def test_a_backend_that_fails_in_the_middle_is_not_called_again():
    world = World()
    world.failing.add("0")
    session = world.run(memory="")
    assert session.warnings == ["gpu:0: torch-gpu failed: out of memory"] * 3
    assert {turn.device for turn in session.turns} == {1, 2}


def test_an_interruption_ends_all_workers_and_keeps_what_there_is():
    world = World()
    world.interrupt = True
    session = world.run()
    assert not world.whole
    assert session.turns == []


# --- A window --------------------------------------------------------------------------------------------------------


class Multiplier:
    """A backend that lets a clock run."""

    modes = ("latency",)
    device = "cpu"
    settings: ClassVar[dict[str, str]] = {}
    run_throughput = run_device = None

    def __init__(self, now, fails_after=None):
        self.now, self.calls, self.fails_after = now, [], fails_after

    def run(self, loops, first):
        if self.fails_after is not None and len(self.calls) >= self.fails_after:
            raise RuntimeError("gone")
        self.calls.append((self.now(), first))
        self.now.seconds += 0.1 * loops
        return 0.1 * loops


class Now:
    seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def now(monkeypatch):
    clock = Now()
    for module in (window, window.stages, loops):
        monkeypatch.setattr(module, "perf_counter", clock)
    monkeypatch.setattr(window.stages, "wait_until_quiet", lambda: 0.0)
    return clock


def request(begin, end):
    return SampleBetween(backend="numpy-cpu", mode="latency", loops=2, first_pair=1, begin=begin, end=end)


def test_nothing_is_timed_before_the_window_and_nothing_begun_behind_it(now):
    backend = Multiplier(now)
    turned = window.sample_between(request(101.0, 102.0), backend, pairs=3)
    samples = turned.cells[0].samples
    assert [round(one.start, 3) for one in samples] == [101.0, 101.2, 101.4, 101.6, 101.8]
    assert len(backend.calls) == 10
    assert [one.first_pair for one in samples] == [1, 0, 2, 1, 0]
    assert (round(turned.warming, 3), round(turned.sampling, 3)) == (1.0, 1.0)


def test_a_late_worker_takes_one_sample(now):
    assert len(window.sample_between(request(90.0, 95.0), Multiplier(now), 3).cells[0].samples) == 1


def test_a_call_that_fails_costs_the_cell_and_not_the_worker(now):
    turned = window.sample_between(request(100.5, 101.5), Multiplier(now, fails_after=4), 3)
    assert turned.cells[0].reason == "RuntimeError: gone"
    assert len(turned.cells[0].samples) == 1


def test_without_any_worker_nobody_waits_for_the_end():
    world = World()
    world.unavailable = {"0", "1", "2"}
    session = world.run(seconds=3600)
    assert session.turns == []
    assert set(session.lost) == {0, 1, 2}


def test_where_every_cell_has_failed_nobody_waits_for_the_end():
    world = World()
    world.failing = {"0", "1", "2"}
    assert world.run(seconds=3600).turns == []
