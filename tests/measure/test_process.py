"""Real worker processes: how they answer, how they end, and that only one is at work."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmscope.backends import registry
from gemmscope.errors import WorkerLost
from gemmscope.measure import process
from gemmscope.measure.guard import VARIABLE, Guard
from gemmscope.measure.process import WorkerProcess, WorkerSpec, worker_environment
from gemmscope.measure.protocol import (
    Decoder,
    Describe,
    Described,
    Done,
    MakeOperands,
    Message,
    Open,
    Opened,
    OperandsMade,
    Prepare,
    Prepared,
    Release,
    TakeTurn,
    TurnCell,
    Turned,
    frame,
)
from gemmscope.measure.survey import plan_workers
from gemmscope.workload.operands import SharedMemory
from gemmscope.workload.placement import Placement
from gemmscope.workload.shapes import Shape, layout

KNOWN = registry.built_in()
BLOCKS = layout([Shape(48, 48, 48), Shape(256, 256, 256)], 10)


@pytest.fixture(scope="module")
def memory():
    shared = SharedMemory.create(BLOCKS[-1].end)
    with started(WorkerSpec("reference", "reference", {}, []), shared) as worker:
        worker.send(MakeOperands(blocks=BLOCKS, seed=0))
        worker.receive(OperandsMade, 600)
    yield shared
    shared.close()


@contextlib.contextmanager
def started(spec, memory):
    worker = WorkerProcess(spec, memory)
    try:
        yield worker
    finally:
        worker.close()


def worker_for(*texts):
    (spec,) = plan_workers(KNOWN.variants(texts), KNOWN, {})
    return spec


def ask(worker, request, expected, timeout=600):
    worker.send(request)
    return worker.receive(expected, timeout)


def prepared(worker, block=BLOCKS[0]):
    opened = ask(worker, Open(variants=worker.spec.variants), Opened)
    names = [probed.backend for probed in opened.backends if probed.status == "ok"]
    return ask(worker, Prepare(block=block, backends=names, placement=Placement.aligned(block.pairs)), Prepared)


def turn(backend, *, samples=2, loops=5, mode="latency"):
    cell = TurnCell(backend=backend, mode=mode, seconds=1e-4, loops=loops, samples=samples, first_pair=0)
    return TakeTurn(cells=[cell], order=[0] * samples)


def test_a_worker_goes_through_its_stages(memory):
    with started(worker_for("numpy-cpu", "numpy-cpu:out"), memory) as worker:
        cells = prepared(worker).cells
        assert [(cell.backend, cell.status, cell.precision) for cell in cells] == [
            ("numpy-cpu", "ok", "float32"),
            ("numpy-cpu:out", "ok", "float32"),
        ]
        assert all(cell.relative_error < 1e-6 and cell.pairs_compared == 10 for cell in cells)
        assert all(cell.seconds > 0 and cell.provenance["alignment"] >= 16 for cell in cells)
        before = time.perf_counter()
        turned = ask(worker, turn("numpy-cpu:out", samples=3, loops=7), Turned)
        after = time.perf_counter()
        assert [(m.loops, m.first_pair) for m in turned.cells[0].samples] == [(7, 0), (7, 7), (7, 4)]
        for measurement in turned.cells[0].samples:
            assert before < measurement.start < after, "one steady clock for all processes"
            assert 0 < measurement.seconds < after - before
            assert measurement.cpu_seconds > 0
        assert turned.warming > 0
        ask(worker, Release(), Done)
        with pytest.raises(WorkerLost, match="KeyError"):
            ask(worker, turn("numpy-cpu"), Turned)


class Stopped:
    """A clock for an orchestrator that is stopped for an hour at every look."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 3600.0
        return self.now


def test_a_worker_is_not_blamed_for_the_time_that_the_orchestrator_was_stopped(memory, monkeypatch):
    with started(worker_for("numpy-cpu"), memory) as worker:
        worker.send(Open(variants=worker.spec.variants))
        monkeypatch.setattr(process, "time", Stopped())
        assert worker.receive(Opened, 600).backends[0].status == "ok"


def test_what_a_worker_has_sent_is_read_before_it_is_judged(memory):
    with started(worker_for("numpy-cpu"), memory) as worker:
        ask(worker, Open(variants=worker.spec.variants), Opened)
        worker.send(Release())
        assert select.select([worker._replies], [], [], 60)[0]
        assert worker.receive(Done, 0.0) == Done()


def test_a_silent_worker_that_talks_to_standard_error_is_ended_nevertheless(memory, tmp_path):
    file = tmp_path / "talks.py"
    file.write_text("import os\nwhile True: os.write(2, b'x' * 4096)\n")
    with started(WorkerSpec("talks", "talks", {}, []), memory) as worker:
        worker.send(Describe(origin=f"file:{file}"))
        with pytest.raises(WorkerLost, match="no answer within 1 s"):
            worker.receive(Described, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's; to run this, use Linux")
@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ("numpy-cpu:LD_PRELOAD=/no/such.so", "LD_PRELOAD names /no/such.so, and the loader has not loaded it (ERROR: "),
        ("numpy-cpu:OPENBLAS_CORETYPE=Hasswell", "OPENBLAS_CORETYPE=Hasswell was not heeded: OpenBLAS has taken its"),
    ],
)
def test_a_variant_whose_variable_changes_nothing_fails(variant, words, memory):
    with started(worker_for(variant), memory) as worker:
        opened = ask(worker, Open(variants=worker.spec.variants), Opened)
        if not any(pool.kind == "OpenBLAS" for pool in opened.libraries):
            pytest.skip("NumPy has no OpenBLAS here; to run this, install its wheel for Linux")
        (probed,) = opened.backends
        assert probed.status == "failed"
        assert probed.reason.startswith(words)
        assert opened.without_effect == []


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's; to run this, use Linux")
def test_a_users_variable_that_changes_nothing_is_said(memory, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "/no/such.so")
    with started(worker_for("numpy-cpu"), memory) as worker:
        opened = ask(worker, Open(variants=worker.spec.variants), Opened)
        assert opened.backends[0].status == "ok"
        assert [text.partition(",")[0] for text in opened.without_effect] == ["LD_PRELOAD names /no/such.so"]
        (complaint,) = worker.complaints()
        assert complaint in opened.without_effect[0]


def test_a_worker_changes_operands_and_what_they_are_compared_with(memory):
    names = ["numpy-cpu", "numpy-cpu:self", "numpy-cpu:subnormal", "numpy-cpu:pitch=50",
             "numpy-cpu:subnormal+reused", "numpy-cpu:pitch=47"]  # fmt: skip
    with started(worker_for(*names), memory) as worker:
        cells = {cell.backend: cell for cell in prepared(worker).cells}
        refused = cells.pop("numpy-cpu:pitch=47")
        assert (refused.status, "cannot lie 47 elements apart" in refused.reason) == ("unavailable", True)
        assert {cell.precision for cell in cells.values()} == {"float32"}
        assert cells["numpy-cpu:self"].pairs_compared == 10
        assert cells["numpy-cpu:subnormal+reused"].pairs_compared == 1
        for name in cells:
            assert ask(worker, turn(name), Turned).cells[0].samples


@pytest.mark.parametrize("option", ["strided", "heap=warm"])
def test_what_changes_the_heap_has_a_worker_of_its_own(memory, option):
    spec = worker_for(f"numpy-cpu:{option}", f"numpy-cpu:out+{option}")
    with started(spec, memory) as worker:
        assert {cell.status for cell in prepared(worker).cells} == {"ok"}
    assert len(plan_workers(KNOWN.variants(["numpy-cpu", f"numpy-cpu:{option}"]), KNOWN, {})) == 2


def test_a_worker_has_a_neighbour(memory):
    pytest.importorskip("torch")
    spec = worker_for("numpy-cpu:beside=torch", "numpy-cpu:out+beside=torch")
    with started(spec, memory) as worker:
        assert {cell.status for cell in prepared(worker).cells} == {"ok"}
        for variant in spec.variants:
            assert ask(worker, turn(variant.name), Turned).cells[0].samples
    apart = plan_workers(KNOWN.variants(["numpy-cpu", "numpy-cpu:beside=torch"]), KNOWN, {})
    assert len(apart) == 2, "nobody else has its threads beside him"


# The kernel counts processor time in steps of 10 ms.
A_STEP = 0.02


def processor_seconds(worker):
    return sum(psutil.Process(worker.pid).cpu_times()[:2])


def once(attempt, attempts=20):
    """True if an attempt succeeds. On a busy machine a pool may be taken for quiet too soon, but not every time."""
    return any(attempt() for _ in range(attempts))


@pytest.mark.slow
def test_only_one_worker_is_at_work(memory):
    """While one takes its turn, the others wait on their pipes and use no processor time, thread pools included.

    A pool that spins would use all of what is sampled, and more, in every attempt.
    """
    specs = [worker_for(name) for name in ("numpy-cpu", "cblas", "torch-cpu", "mlx-cpu")]
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(started(spec, memory)) for spec in specs]
        for worker in workers:
            prepared(worker, BLOCKS[1])
        for busy in workers:
            others = [worker for worker in workers if worker is not busy]

            def alone(busy=busy, others=others):
                before = [processor_seconds(worker) for worker in others]
                sampled = 0.0
                while sampled < 5 * A_STEP:
                    turned = ask(busy, turn(busy.spec.variants[0].name, samples=10, loops=40), Turned)
                    sampled += sum(m.seconds for m in turned.cells[0].samples)
                return all(processor_seconds(worker) - b <= A_STEP for worker, b in zip(others, before, strict=True))

            assert once(alone), f"others were at work while {busy.spec.name} had its turns"


@pytest.mark.slow
def test_a_turn_passes_on_when_pools_have_gone_quiet(memory):
    with started(worker_for("torch-cpu"), memory) as worker:
        prepared(worker, BLOCKS[1])

        def quiet():
            ask(worker, turn("torch-cpu", loops=100), Turned)
            before = processor_seconds(worker)
            time.sleep(0.3)
            return processor_seconds(worker) - before <= A_STEP

        assert once(quiet)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_killed_worker_is_lost_with_its_signal(memory, number):
    with started(worker_for("cblas"), memory) as worker:
        prepared(worker)
        os.kill(worker.pid, number)
        with pytest.raises(WorkerLost, match=f"its process was killed by {number.name}"):
            ask(worker, turn("cblas"), Turned)


def test_a_silent_worker_is_ended(memory):
    with started(worker_for("cblas"), memory) as worker:
        prepared(worker)
        os.kill(worker.pid, signal.SIGSTOP)
        with pytest.raises(WorkerLost, match="no answer within 1 s, so it was ended"):
            ask(worker, turn("cblas"), Turned, timeout=1)
        assert not psutil.pid_exists(worker.pid)


def test_a_silent_worker_does_not_hold_up_a_long_request(memory, monkeypatch):
    monkeypatch.setattr(process, "_SEND_SECONDS", 0.2)
    with started(worker_for("cblas"), memory) as worker:
        prepared(worker)
        os.kill(worker.pid, signal.SIGSTOP)
        while psutil.Process(worker.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)
        with pytest.raises(WorkerLost, match="it read no request within 0 s, so it was ended"):
            worker.send(MakeOperands(blocks=BLOCKS * 10_000, seed=0))
        assert not psutil.pid_exists(worker.pid)


def test_a_worker_whose_child_holds_its_pipes_is_still_seen_to_end(memory):
    """A child of its own inherits the pipe of replies, which so has no end."""
    with started(worker_for("cblas"), memory) as worker:
        prepared(worker)
        descriptor = os.dup(worker._replies)
        holder = os.open(f"/proc/{worker.pid}/fd/{reply_descriptor(worker.pid, worker._replies)}", os.O_WRONLY)
        try:
            os.kill(worker.pid, signal.SIGKILL)
            with pytest.raises(WorkerLost, match="SIGKILL"):
                worker.receive(Turned, 600)
        finally:
            os.close(descriptor)
            os.close(holder)


def reply_descriptor(pid, ours):
    """The worker's number for the pipe whose other end is ours."""
    pipe = os.readlink(f"/proc/self/fd/{ours}")
    return next(number for number in os.listdir(f"/proc/{pid}/fd") if os.readlink(f"/proc/{pid}/fd/{number}") == pipe)


@pytest.mark.parametrize("apart", [False, True], ids=["in its session", "in a session of its own"])
def test_the_guard_ends_what_a_worker_has_started(memory, apart):
    sleep = ["sleep", "100"]
    with Guard() as guard, started_by(guard, memory) as worker:
        child = subprocess.Popen(sleep, env=os.environ | {VARIABLE: guard._tag}, start_new_session=apart)
        other = subprocess.Popen(sleep, env=os.environ | {VARIABLE: "another run's"})
        prepared(worker)
        psutil.Process(worker.pid).suspend()
        guard.close()
        assert child.wait(10) == -signal.SIGKILL
        assert other.poll() is None, "another run's are let alone"
        other.kill()
        other.wait()
        with pytest.raises(WorkerLost, match="SIGKILL"):
            ask(worker, Open(variants=[]), Opened)


@contextlib.contextmanager
def started_by(guard, memory):
    worker = guard.launch(worker_for("cblas"), memory)
    try:
        yield worker
    finally:
        worker.close()


def test_a_closed_worker_is_gone(memory):
    worker = WorkerProcess(worker_for("numpy-cpu"), memory)
    prepared(worker)
    worker.close()
    worker.close()
    assert not psutil.pid_exists(worker.pid)


def test_a_worker_at_work_ends_with_its_orchestrator(memory):
    """The orchestrator is killed in the middle of a long turn: the worker does not finish it first."""
    code = (
        "import os, sys, time\n"
        "from tests.measure.test_process import *\n"
        "blocks = layout([Shape(256, 256, 256)], 10)\n"
        "memory = SharedMemory.create(blocks[-1].end)\n"
        "worker = WorkerProcess(worker_for('cblas'), memory)\n"
        "worker.send(MakeOperands(blocks=blocks, seed=0)); worker.receive(OperandsMade, 600)\n"
        "prepared(worker, blocks[0])\n"
        "worker.send(turn('cblas', samples=1, loops=10**9))\n"
        "print(worker.pid, flush=True); time.sleep(60)\n"
    )
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    orchestrator = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=here, text=True)
    with orchestrator:
        pid = int(orchestrator.stdout.readline())
        assert psutil.pid_exists(pid)
        orchestrator.kill()
    wait_until(lambda: not psutil.pid_exists(pid))


def wait_until(condition, seconds=250):
    stop = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < stop, "it did not happen in time"
        time.sleep(0.02)


def test_a_worker_that_cannot_load_its_library_says_so(memory):
    spec = WorkerSpec("cblas", "cblas", {"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"}, [])
    with started(spec, memory) as worker, pytest.raises(WorkerLost, match="ended with status 1; its last words: "):
        ask(worker, Open(variants=[]), Opened)


def test_the_reply_to_another_request_is_none(memory):
    with started(worker_for("cblas"), memory) as worker, pytest.raises(WorkerLost, match="reply to another request"):
        ask(worker, Release(), Opened)


def test_the_environment_is_the_users_with_the_variants_over_it(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT", raising=False)
    environment = worker_environment({"A_VARIABLE": "1"})
    assert (environment["OMP_NUM_THREADS"], environment["A_VARIABLE"]) == ("7", "1")
    assert environment["OPENBLAS_THREAD_TIMEOUT"] == "22"
    assert worker_environment({"OMP_NUM_THREADS": "1"})["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OPENBLAS_THREAD_TIMEOUT", "26")
    assert worker_environment({})["OPENBLAS_THREAD_TIMEOUT"] == "26"


def test_an_empty_value_unsets_a_variable_of_the_users_and_of_the_harnesss(monkeypatch):
    monkeypatch.setenv("A_VARIABLE", "1")
    monkeypatch.setenv("ANOTHER", "")
    own = dict.fromkeys(("A_VARIABLE", "OPENBLAS_THREAD_TIMEOUT", "NOT_THERE"), "")
    environment = worker_environment(own)
    assert not set(own) & set(environment)
    assert environment["ANOTHER"] == "", "the user's empty one is the user's"


def test_what_the_user_preloads_stays_behind_what_the_variant_does(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "/of/the/user.so /another.so")
    assert worker_environment({"LD_PRELOAD": "/ours.so"})["LD_PRELOAD"] == "/ours.so:/of/the/user.so /another.so"
    assert worker_environment({})["LD_PRELOAD"] == "/of/the/user.so /another.so"
    assert "LD_PRELOAD" not in worker_environment({"LD_PRELOAD": ""})
    monkeypatch.delenv("LD_PRELOAD")
    assert worker_environment({"LD_PRELOAD": "/ours.so"})["LD_PRELOAD"] == "/ours.so"


def test_threads_are_obeyed(memory):
    with started(worker_for("torch-cpu:threads=1"), memory) as worker:
        (cell,) = prepared(worker, BLOCKS[1]).cells
        assert cell.provenance["threads"] == 1
        measurements = ask(worker, turn("torch-cpu:threads=1", samples=5, loops=50), Turned).cells[0].samples
        # One thread cannot use more processor time than passes, however busy the machine is.
        assert sum(m.cpu_seconds for m in measurements) < 1.3 * sum(m.seconds for m in measurements)


class TestFrames:
    def test_messages_arrive_whole_however_they_are_cut(self):
        requests = [Release(), Open(variants=[]), turn("a-b")]
        data = b"".join(map(frame, requests))
        decoder = Decoder("requests")
        arrived = []
        for i in range(len(data)):
            decoder.feed(data[i : i + 1])
            while (message := decoder.next()) is not None:
                arrived.append(message)
        assert arrived == requests

    @given(
        data=st.one_of(st.binary(max_size=200), st.binary(max_size=40).map(lambda b: len(b).to_bytes(4, "little") + b)),
        cut=st.integers(1, 50),
        direction=st.sampled_from(["requests", "replies"]),
    )
    def test_whatever_comes_is_a_message_or_is_refused(self, data, cut, direction):
        decoder = Decoder(direction)
        for start in range(0, len(data), cut):
            decoder.feed(data[start : start + cut])
            try:
                while (message := decoder.next()) is not None:
                    assert isinstance(message, Message)
            except WorkerLost as error:
                assert "something that is not a message" in str(error)
                return

    @pytest.mark.parametrize(
        "rubbish",
        [b"\xff\xff\xff\xff", b"\x03\x00\x00\x00abc", b"\x01\x00\x00\x00\xc0", frame(Release())],
        ids=["too long", "no message", "nothing", "a request"],
    )
    def test_rubbish_is_no_message(self, rubbish):
        decoder = Decoder("replies")
        decoder.feed(rubbish)
        with pytest.raises(WorkerLost, match="something that is not a message"):
            decoder.next()
