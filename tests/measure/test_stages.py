"""A worker's stages, by a clock that moves only when a backend is at work, with backends that misbehave."""

from __future__ import annotations

import gc
import itertools
import math
import re
import sys

import numpy as np
import pytest

from gemmscope import _kernels
from gemmscope.backends.base import Backend
from gemmscope.errors import BackendUnavailable
from gemmscope.machine import usage
from gemmscope.measure import loops, stages, washing
from gemmscope.measure.pacing import CellPace
from gemmscope.measure.protocol import TurnCell
from gemmscope.workload.operands import OperandPair, Operands
from tests.bounds import comparison, matrices

PAIRS = [OperandPair(*matrices(6, 5, 4, seed)) for seed in range(3)]
COMPARISONS = [comparison(pair) for pair in PAIRS]


class Time:
    """Stands for the module ``time``: nothing takes time but a backend's calls, and a microsecond to read the clock."""

    def __init__(self):
        self.now = 0.0
        self.processor = 0.0
        self.spins_until = 0.0

    def perf_counter(self):
        self.now += 1e-6
        return self.now

    def process_time(self):
        return self.processor

    def sleep(self, seconds):
        """Others sleep, but a pool that spins uses a whole processor meanwhile."""
        self.processor += min(seconds, max(0.0, self.spins_until - self.now))
        self.now += seconds


@pytest.fixture(autouse=True)
def time(monkeypatch):
    fake = Time()
    for module in (loops, stages, washing):
        for clock in {"perf_counter", "process_time", "sleep"} & vars(module).keys():
            monkeypatch.setattr(module, clock, getattr(fake, clock))
    monkeypatch.setattr(Plain, "clock", fake)
    return fake


class Plain(Backend):
    name = "plain"
    library = "plain"
    device = "cpu"
    entry = "python"
    summary = "for tests"
    seconds = 1e-4
    clock = None

    def probe(self): ...

    def prepare(self, operands):
        self.operands = operands
        self.calls = []

    def run(self, loops, first):
        self.calls.append((loops, first))
        Plain.clock.now += loops * self.seconds
        return loops * self.seconds

    run_throughput = run

    def product(self, pair):
        a, b = self.operands.pairs[pair]
        return a @ b


def made(kind, **attributes):
    backend = type("Made", (kind,), attributes)()
    backend.prepare(Operands(PAIRS))
    return backend


def prepared(backend, known=None):
    return stages.prepare_cells("x", backend, COMPARISONS, 4, 0, known or {})[0]


def taken(backend, samples=2, mode="latency", loops=3, seconds=1e-4):
    cells = [TurnCell(backend="x", mode=mode, seconds=seconds, loops=loops, samples=samples, first_pair=1)]
    return stages.take_turn(cells, [0] * samples, {"x": backend}, 3)


def test_a_right_product_is_calibrated():
    (cell,) = prepared(made(Plain))
    assert (cell.status, cell.precision, cell.pairs_compared) == ("ok", "float32", 3)
    assert cell.relative_error < 1e-6
    assert cell.seconds == pytest.approx(1e-4)


@pytest.mark.parametrize("held_up", [0.03, 5.0])
def test_a_call_that_was_held_up_once_is_not_taken_for_slow(time, held_up):
    def run(self, loops, first):
        time.now += held_up if not self.calls else 0.0
        return Plain.run(self, loops, first)

    (cell,) = prepared(made(Plain, run=run))
    assert cell.seconds == pytest.approx(1e-4, rel=0.05)


@pytest.mark.parametrize("inside", [True, False], ids=["in a call", "between calls"])
@pytest.mark.parametrize("seconds", [1e-7, 1e-5, 1e-3, 0.02])
def test_a_stall_is_not_a_speed(time, seconds, inside):
    """Whichever call of the calibration it hits: with one look, a stall late in a warm-up became 7 ms a call."""
    total = len(called(time, seconds, None, inside)[1].calls)
    for hit in [*range(min(total, 30)), *range(30, total, 37), total - 1]:
        cell, _ = called(time, seconds, hit, inside)
        assert cell.seconds < 2 * called(time, seconds, None, inside)[0].seconds, hit


def called(time, seconds, hit, inside):
    """A calibrated cell where a call is held up for 1.5 s."""

    def run(self, loops, first):
        held_up = 1.5 if len(self.calls) == hit else 0.0
        time.now += held_up
        return Plain.run(self, loops, first) + (held_up if inside else 0.0)

    backend = made(Plain, run=run, seconds=seconds)
    return prepared(backend)[0], backend


@pytest.mark.parametrize(
    ("seconds", "seen", "calls"), [(0.2, 0.25, 1), (0.04, 0.09, 2), (0.01, 0.15, 2), (0.2, 0.12, 2)]
)
def test_a_slow_call_is_timed_once_where_its_comparison_took_as_long(time, seconds, seen, calls):
    def run(self, loops, first):
        self.calls.append((loops, first))
        time.now += loops * seconds
        return loops * seconds

    def product(self, pair):
        time.now += seen  # with bringing the result to the host
        return Plain.product(self, pair)

    backend = made(Plain, run=run, product=product)
    (cell,) = prepared(backend)
    assert cell.seconds == pytest.approx(seconds, rel=0.01)
    assert len(backend.calls) == calls


def test_a_call_that_is_held_up_once_is_not_taken_for_slow_where_its_result_comes_slowly(time):
    """A call of 10 ms on a GPU, whose result takes 0.15 s to the host."""

    def run(self, loops, first):
        time.now += 1.0 if not self.calls else 0.0
        self.calls.append((loops, first))
        time.now += loops * 0.01
        return loops * 0.01

    def product(self, pair):
        time.now += 0.15
        return Plain.product(self, pair)

    (cell,) = prepared(made(Plain, run=run, product=product))
    assert cell.seconds == pytest.approx(0.01, rel=0.05)


def test_what_is_known_is_not_calibrated_again():
    backend = made(Plain)
    (cell,) = prepared(backend, known={"latency": 0.25})
    assert cell.seconds == 0.25
    assert cell.pairs_compared == 1, "but it is compared"
    assert backend.calls == []


@pytest.mark.parametrize(
    "product",
    [lambda self, pair: Plain.product(self, pair) * 2, lambda self, pair: np.full((6, 5), np.nan, np.float32)],
    ids=["twice", "NaN"],
)
def test_a_wrong_product_is_not_timed(product):
    backend = made(Plain, product=product)
    (cell,) = prepared(backend)
    assert (cell.status, cell.precision, cell.seconds) == ("failed", "wrong", None)
    assert "wrong product" in cell.reason
    assert cell.relative_error is None or math.isfinite(cell.relative_error)
    assert backend.calls == []


def test_one_wrong_pair_is_enough():
    backend = made(Plain, product=lambda self, pair: Plain.product(self, pair) * (1 if pair < 2 else 2))
    assert prepared(backend)[0].status == "failed"


def test_a_backend_that_returns_the_mean_of_its_calls_is_not_asked_for_ever_more_of_them():
    """Each time it would seem faster than before, so that more calls seem to fit into a sample."""
    backend = made(Plain, run=lambda self, loops, first: Plain.run(self, loops, first) / loops)
    with pytest.raises(ValueError, match="by the wall clock it took"):
        prepared(backend)
    pace = CellPace(1e-4, throughput=False, product_bytes=4, slot=0.01)
    for _ in range(20):
        ((turned,), _, _) = taken(backend, samples=1, loops=pace.loops, seconds=pace.seconds)
        pace.took_turn(pace.cost, [sample.seconds / sample.loops for sample in turned.samples])
    assert "by the wall clock it took" in turned.reason
    assert max(loops for loops, _ in backend.calls) < 1000


def test_a_slow_backend_is_not_asked_for_throughput():
    latency, throughput = prepared(made(Plain, seconds=0.12, modes=("latency", "throughput")))
    assert latency.status == "ok"
    assert (throughput.status, throughput.seconds) == ("skipped", None)
    assert "see latency" in throughput.reason


@pytest.mark.parametrize(
    ("seconds", "calls"),
    [(1e-5, 91), (1e-3, 3), (8e-3, 3), (0.03, 1)],
    ids=["a millisecond", "a rotation", "a rotation of slow calls", "one call"],
)
def test_a_warm_up_is_a_rotation_and_a_millisecond(seconds, calls):
    backend = made(Plain, seconds=seconds)
    assert stages.warm_up(backend.run, 3, 0) == pytest.approx(seconds, rel=0.2)
    assert [first for _, first in backend.calls] == list(range(len(backend.calls)))
    assert len(backend.calls) == pytest.approx(calls, abs=1)


def test_verifying_stops_after_a_while_and_compares_one_pair_in_any_case(time):
    def product(self, pair):
        time.now += 0.3
        return Plain.product(self, pair)

    (cell,) = prepared(made(Plain, product=product))
    assert cell.pairs_compared == 1


def test_samples_follow_each_other_round_the_pairs():
    backend = made(Plain)
    (cell,), warming, sampling = taken(backend, samples=3, loops=4)
    assert [(m.loops, m.first_pair) for m in cell.samples] == [(4, 1), (4, 2), (4, 0)]
    assert warming == pytest.approx((len(backend.calls) - 3) * 1e-4, rel=0.05)
    assert sampling == pytest.approx(3 * 4 * 1e-4, rel=0.05)


def test_throughput_warms_up_its_own_path():
    backend = made(Plain, modes=("latency", "throughput"))
    taken(backend, mode="throughput", loops=10)
    assert backend.calls[0] == (3, 1)


def test_garbage_collection_is_off_while_sampling():
    seen = []

    def run(self, loops, first):
        seen.append(gc.isenabled())
        return Plain.run(self, loops, first)

    taken(made(Plain, run=run))
    assert set(seen) == {False}
    assert gc.isenabled()


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, math.inf, None, "1", 5e-324, 1e300])
def test_a_duration_that_is_none_fails_the_cell(seconds):
    backend = made(Plain, run=lambda self, loops, first: seconds)
    (cell,), _, _ = taken(backend)
    assert cell.samples == []
    assert cell.reason.startswith("ValueError: run() returned ")


@pytest.mark.parametrize(
    "claimed", [lambda true: 1e-9, lambda true: true / 100, lambda true: 3 * true], ids=["none", "1 %", "triple"]
)
@pytest.mark.parametrize("seconds", [1e-5, 1e-3, 0.3])
def test_a_duration_that_the_wall_clock_contradicts_fails_the_cell(claimed, seconds):
    """When it is calibrated already, so that no sample of that many calls is taken; or in a turn, if it begins then."""

    def run(self, loops, first):
        return claimed(Plain.run(self, loops, first))

    (cell,), _, _ = taken(made(Plain, run=run, seconds=seconds), loops=max(1, int(1e-3 / seconds)))
    assert cell.samples == []
    assert re.match(r"ValueError: run\(\) returned \S+ s for \d+ calls, but by the wall clock it took ", cell.reason)
    if seconds < 5e-4:
        with pytest.raises(ValueError, match="by the wall clock"):
            prepared(made(Plain, run=run, seconds=seconds))


def test_a_stall_is_no_excuse_for_a_backend_that_returns_nothing(time):
    """It looks like long preparations, once; believed for good, more and more calls would seem to take no time."""
    calls = len(stalled_liar(time, None).calls)
    for hit in range(calls):
        assert max(loops for loops, _ in stalled_liar(time, hit).calls) < 200_000  # a third of a second


def stalled_liar(time, hit):
    """A backend that returns 1 ns, calibrated until it is found out; one of its calls is held up."""

    def run(self, loops, first):
        time.now += 0.005 if len(self.calls) == hit else 0.0
        Plain.run(self, loops, first)
        return 1e-9

    backend = made(Plain, run=run, seconds=1.5e-6)
    with pytest.raises(ValueError, match="by the wall clock"):
        prepared(backend)
    return backend


@pytest.mark.parametrize("seconds", [1e-6, 1e-4, 0.05])
def test_what_a_backend_does_before_its_own_clock_starts_is_its_own_affair(time, seconds):
    def run(self, loops, first):
        time.now += 0.3  # however many calls
        return Plain.run(self, loops, first)

    (cell,), _, _ = taken(made(Plain, run=run, seconds=seconds), samples=4)
    assert not cell.reason
    assert [m.seconds for m in cell.samples] == pytest.approx([3 * seconds] * 4)


def test_a_process_that_was_stopped_outside_of_the_backends_clock_is_asked_again(time):
    def run(self, loops, first):
        time.now += 1.5 if len(self.calls) % 5 == 2 else 0.0
        return Plain.run(self, loops, first)

    (cell,), _, _ = taken(made(Plain, run=run), samples=10)
    assert not cell.reason
    assert [m.seconds for m in cell.samples] == pytest.approx([3e-4] * 10)


def test_calls_that_somebody_counts_are_made_once(time):
    def run(self, loops, first):
        time.now += 1.5
        return Plain.run(self, loops, first)

    calls = []
    for checked in (False, True):
        backend = made(Plain, run=run)
        loops.Loop(backend, "latency", checked=checked)(3, 0)
        calls.append(len(backend.calls))
    assert calls[0] == 1 < calls[1]


def test_a_devices_own_time_is_no_wall_clocks():
    backend = made(Plain, run_device=lambda self, loops, first: 1e-3 * Plain.run(self, loops, first))
    (cell,), _, _ = taken(backend, mode="device")
    assert [m.seconds for m in cell.samples] == pytest.approx([3e-7] * 2)


def test_what_raises_in_the_middle_keeps_what_was_sampled():
    def run(self, loops, first):
        if len(self.calls) > 20:
            raise MemoryError("no more")
        return Plain.run(self, loops, first)

    (cell,), _, _ = taken(made(Plain, run=run, seconds=1e-3), samples=100)
    assert 0 < len(cell.samples) < 100
    assert cell.reason == "MemoryError: no more"
    assert gc.isenabled()


def test_an_exit_is_an_error_like_any_other():
    def run(self, loops, first):
        raise SystemExit("enough")

    (cell,), _, _ = taken(made(Plain, run=run))
    assert cell.reason == "SystemExit: enough"


def test_a_number_of_numpys_is_a_number():
    (cell,), _, _ = taken(made(Plain, run=lambda self, loops, first: np.float32(Plain.run(self, loops, first))))
    assert [m.seconds for m in cell.samples] == pytest.approx([3e-4, 3e-4])


def test_errors_become_one_line():
    assert stages.describe(ValueError("two\n  lines")) == "ValueError: two lines"
    assert stages.describe(KeyboardInterrupt()) == "KeyboardInterrupt"


def washed_out(time, seconds_at, clock_at=lambda now: None):
    """How long a wash-out takes of a call whose seconds, and a clock that, depend on the time since it began."""
    begin = time.now

    def run(loops, first):
        seconds = seconds_at(time.now - begin)
        time.now += seconds
        return seconds

    washing.wash_out(run, 1, 0, lambda: clock_at(time.now - begin))
    return time.now - begin


def test_a_gpu_is_washed_out_when_timings_have_come_back(time):
    """As on an H100: a call that takes 21 ms takes 26 right after another that drew all of its power."""
    calm = washed_out(time, lambda since: 0.021)
    after = washed_out(time, lambda since: 0.021 + 0.005 * math.exp(-since / 0.04))
    assert 0.15 <= calm < 0.2
    assert calm + 0.05 < after < 0.5


def test_a_gpu_is_not_washed_out_while_its_clock_rises(time):
    waited = washed_out(time, lambda since: 0.002, lambda since: 1500 if since < 0.1 else 1980)
    assert 0.24 < waited < 0.28


def test_a_wash_out_ends(time):
    assert 1.05 < washed_out(time, lambda since: 0.01 + 0.01 * since) < 1.1


def test_on_a_gpu_the_samples_of_a_cell_are_taken_in_a_row_behind_those_of_the_processor():
    log = []

    def logged(name, device):
        backend = made(Plain, device=device, seconds=1e-3)
        backend.run = lambda loops, first: log.append(name) or Plain.run(backend, loops, first)
        return backend

    backends = {"one": logged("one", "gpu"), "other": logged("other", "gpu"), "cpu": logged("cpu", "cpu")}
    cells = [
        TurnCell(backend=name, mode="latency", seconds=1e-3, loops=1, samples=2, first_pair=0) for name in backends
    ]
    turned, _, _ = stages.take_turn(cells, [0, 2, 1, 1, 0, 2], backends, 3)
    assert [len(cell.samples) for cell in turned] == [2, 2, 2]
    kinds = [name for name, _ in itertools.groupby(log)]
    assert kinds == ["cpu", "one", "other"]


@pytest.mark.parametrize(
    ("spinning", "waited"), [(0.0, 0.001), (0.2, 0.2), (1e9, 1.0)], ids=["quiet", "spinning", "for ever"]
)
def test_a_turn_passes_on_when_pools_have_gone_quiet(time, spinning, waited):
    time.spins_until = spinning
    assert stages.wait_until_quiet() == pytest.approx(waited, abs=2e-3)


@pytest.mark.parametrize(("device", "more"), [("cpu", False), ("gpu", True)])
def test_only_gpus_are_washed_out(time, device, more):
    backend = made(Plain, device=device, modes=("latency", "throughput"), seconds=2e-3)
    taken(backend, mode="throughput", loops=10, samples=1)
    assert (len(backend.calls) > 2) is more


# --- Variants that a worker sees to -----------------------------------------------------------------------------------


def test_a_neighbour_multiplies_between_calls_and_is_not_timed(time):
    backend = made(Plain, seconds=3e-4)
    log = []
    backend.run = lambda loops, first: log.append((loops, first)) or Plain.run(backend, loops, first)

    def multiply():
        log.append("neighbour")
        time.now += 1.0

    run = loops.with_neighbour(backend.run, multiply)
    assert run(8, 2) == pytest.approx(8 * 3e-4)
    # One call to learn how long they take, and then as many as take a millisecond.
    assert log == ["neighbour", (1, 2), "neighbour", (3, 3), "neighbour", (3, 6), "neighbour", (1, 9)]


def test_what_is_not_timed_is_not_counted_either(time, monkeypatch):
    """Neither its processor time nor its energy: those of the eviction are not the call's."""

    def evict(matrix):
        time.now += 0.1
        time.processor += 0.1

    def run(self, loops, first):
        time.processor += 2 * loops * self.seconds  # two threads
        return Plain.run(self, loops, first)

    monkeypatch.setattr(usage, "time", time)
    monkeypatch.setattr(_kernels, "evict", evict)
    monkeypatch.setattr(_kernels, "can_evict", lambda: True)
    backend = made(Plain, run=run, operand_arrays=lambda self: [(pair.a, pair.b) for pair in self.operands.pairs])
    backend.settings = {"cold": ""}
    (cell,), _, _ = taken(backend, loops=7)
    assert [m.seconds for m in cell.samples] == pytest.approx([7e-4] * 2)
    assert [m.cpu_seconds for m in cell.samples] == pytest.approx([14e-4] * 2)


def test_operands_are_evicted_again_where_a_backend_is_asked_again(time, monkeypatch):
    """What a first try has read is in the caches: the second would find it there."""
    log = []

    def run(self, loops, first):
        log.append("run")
        time.now += 1.5 if log.count("run") == 1 else 0.0  # held up once, outside of its own clock
        return Plain.run(self, loops, first)

    monkeypatch.setattr(_kernels, "evict", lambda matrix: log.append("evict"))
    monkeypatch.setattr(_kernels, "can_evict", lambda: True)
    backend = made(Plain, run=run, operand_arrays=lambda self: [(pair.a, pair.b) for pair in self.operands.pairs])
    backend.settings = {"cold": ""}
    assert loops.Loop(backend, "latency")(1, 0) == pytest.approx(1e-4)
    assert log.count("run") > 1
    assert all(before == "evict" for before, one in itertools.pairwise(["", *log]) if one == "run")


def test_a_slow_call_has_its_neighbour_before_each():
    backend = made(Plain, seconds=0.5)
    log = []
    loops.with_neighbour(backend.run, lambda: log.append(1))(3, 0)
    assert len(log) == 3
    assert backend.calls == [(1, 0), (1, 1), (1, 2)]


@pytest.mark.parametrize("name", ["numpy", "torch", "mlx"])
def test_neighbours_multiply(name):
    if name != "numpy":
        pytest.importorskip(name)
    loops.neighbour(name, "another")()


def test_nobody_is_its_own_neighbour():
    with pytest.raises(BackendUnavailable, match="plain cannot be its own neighbour"):
        loops.neighbour("plain", "plain")


@pytest.mark.parametrize(("name", "module"), [("torch", "torch"), ("mlx", "mlx.core")])
def test_a_neighbour_that_is_not_there_is_said(monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendUnavailable, match=f"the neighbour {name} cannot be imported") as caught:
        loops.neighbour.__wrapped__(name, "numpy")
    assert caught.value.remedy == f"pip install {name}"


def test_a_library_that_flushes_subnormal_numbers_is_told_so():
    backend = made(Plain, product=lambda self, pair: np.zeros((6, 5), np.float32))
    backend.settings = {"subnormal": ""}
    (cell,) = prepared(backend)
    assert cell.status == "failed"
    assert cell.reason.endswith("a library that flushes subnormal numbers to zero computes such a product")


def test_a_slow_call_is_not_warmed_up():
    backend = made(Plain, seconds=0.5)
    taken(backend, samples=1, loops=1, seconds=0.5)
    assert backend.calls == [(1, 1)]


def test_what_earlier_sets_have_measured_is_compared_on_one_pair():
    backend = made(Plain)
    assert prepared(backend)[0].pairs_compared == len(PAIRS)
    assert prepared(backend, {"latency": 1e-4})[0].pairs_compared == 1
