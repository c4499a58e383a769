"""What an hour's run would show, with a clock that only pretends, or with sets as short as they can be."""

from __future__ import annotations

import functools
import gc
import gzip
import itertools
import random
import tracemalloc

import psutil
import pytest

import gemmscope
from gemmscope import job
from gemmscope.analysis.assemble import assemble
from gemmscope.measure.session import Session
from gemmscope.records.events import RunStarted, SamplesTaken, SetFinished, SetStarted
from gemmscope.records.model import SCHEMA, Settings
from gemmscope.report.charts.render import rendered
from gemmscope.storage.journal import Journal, read_journal
from tests.builders import make_backend, make_machine
from tests.fakes import World

pytestmark = pytest.mark.slow

THREE = ("numpy-cpu", "torch-cpu", "cblas")
HOUR = 3600.0
SETS = 60


class Wavering(World):
    """Every product takes a little more or less, as on a real machine that does not drift."""

    def __init__(self):
        super().__init__(start_seconds=1.0)
        self._random = random.Random(0)

    def launch(self, spec, memory):
        worker = super().launch(spec, memory)
        # A few per cent between processes, as a set's workers differ.
        level = self._random.gauss(1, 0.01)
        plain = worker.seconds
        worker.seconds = lambda *cell: plain(*cell) * level * self._random.uniform(0.97, 1.05)
        worker.world = self
        return worker


def an_hour(observer, share=1.0):
    world = Wavering()
    session = world.session(observer, THREE, reference=True, sets=round(SETS * share), seconds=HOUR * share)
    world.log = Nothing()  # what the pretence itself would gather
    world.workers = Nothing()
    session.run()


class Ticking:
    """A clock by which every reading takes the same time, and nothing else takes any."""

    def __init__(self, seconds):
        self._readings = itertools.count()
        self._seconds = seconds

    def __call__(self):
        return next(self._readings) * self._seconds


class Nothing(list[object]):
    def append(self, item):
        pass


def test_the_schedule_of_a_long_run_keeps_nothing():
    """Whatever the session holds, it holds after the first sets: samples go to the observer, and are forgotten."""
    held = []

    def observe(event):
        if isinstance(event, SetFinished):
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        an_hour(observe, share=1 / 3)  # looking at every allocation takes its time
    finally:
        tracemalloc.stop()
    assert len(held) == SETS // 3
    assert max(held[5:]) - min(held[5:]) < 100_000


def test_the_journal_of_an_hour_is_linear_and_its_reference_did_not_drift(tmp_path):
    path = tmp_path / "journal.jsonl"
    sizes, counts = [], []
    samples = 0
    names = [make_backend(name, worker=name.partition("-")[0]) for name in THREE]
    start = RunStarted(schema=SCHEMA, gemmscope="0", started="2026-01-01T00:00:00+00:00", machine=make_machine(),
                       settings=Settings(shapes=["64x64x64"], backends=list(THREE)), backends=names)  # fmt: skip
    with Journal(path) as journal:
        journal(start)

        def observe(event):
            nonlocal samples
            journal(event)
            samples += len(event.samples) if isinstance(event, SamplesTaken) else 0
            if isinstance(event, SetFinished):
                sizes.append(path.stat().st_size)
                counts.append(samples)

        an_hour(observe)
    for i in (10, SETS // 2):
        assert abs(sizes[-1] / sizes[i] / (counts[-1] / counts[i]) - 1) < 0.05, "so many bytes a sample, early and late"
    result = assemble(read_journal(path))
    assert result.reference.drift is not None
    assert not [found for found in result.findings if found.id == "drift" and found.verdict == "found"]
    assert result.status == "complete"


def test_a_run_of_many_sets_holds_no_descriptors_children_or_memory(tmp_path, monkeypatch):
    me = psutil.Process()
    seen = []

    def observe(event):
        if isinstance(event, SetStarted):
            gc.collect()
            seen.append((me.num_fds(), len(me.children()), me.memory_info().rss))

    # What libraries that draw keep open for good is open before anything is counted.
    rendered('{"mark": "point", "data": {"values": []}}', ".png")
    pipes = lambda: me.num_fds() - len(me.open_files())  # noqa: E731
    before = pipes(), len(me.children())
    # By a clock that counts its readings, all sets fit into the budget however busy the machine is.
    monkeypatch.setattr(job, "Session", functools.partial(Session, clock=Ticking(0.01)))
    gemmscope.run(sizes=[8], backends=["null-python", "cblas"], pairs=2, sets=10, seconds=5, out=tmp_path / "out",
                  experiments=0, observer=observe)  # fmt: skip
    assert len(seen) == 10
    later = seen[2:]
    assert len({fds for fds, _, _ in later}) == 1
    assert len({children for _, children, _ in later}) == 1
    # What is kept is what was measured; the journal says how much that is.
    kept = len(gzip.decompress((tmp_path / "out" / "journal.jsonl.gz").read_bytes()))
    assert later[-1][2] - later[0][2] < 20 * kept + 4 * 2**20
    gc.collect()
    assert (pipes(), len(me.children())) == before
