"""Made-up runs with samples, for the tests of what is said of several runs."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from gemmscope.analysis.assemble import assemble
from gemmscope.records.events import (
    BackendProbed,
    CellPrepared,
    RunFinished,
    RunStarted,
    SamplesTaken,
    SetFinished,
    SetStarted,
    WorkerReady,
)
from gemmscope.records.model import Sample, TimeSpent, WorkerRecord
from tests.builders import make_backend, make_machine, make_settings

VERSIONS = {"numpy": "2.4.6", "torch": "2.13.0", "mlx": "0.32.4"}


@dataclass
class World:
    """A machine and its libraries, of which runs can be made.

    Args:
        backends: Seconds of one product at 64 by backend; they grow with the arithmetic.
        sizes: The squares.
        sets: How many sets a run has.
        scatter: The relative standard deviation of a set's median.
        drift: That of a cell between runs, beyond its sets.
        machine: By what factor the machine is slower, in all that it does.
        weather: The relative standard deviation of the machine's speed from set to set, the same for all that it does.
        slower: By what factor a backend is slower.
        versions: Of the libraries.
        changes: Of the settings.
        disturbed: By what factor a backend's time in the third set is longer.
    """

    backends: dict[str, float] = field(
        default_factory=lambda: {"numpy-cpu": 1e-6, "torch-cpu": 2e-6, "mlx-cpu": 9e-6, "cblas": 1e-6}
    )
    sizes: tuple[int, ...] = (64, 256, 1024)
    sets: int = 5
    scatter: float = 0.01
    drift: float = 0.0
    machine: float = 1.0
    weather: float = 0.0
    slower: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    changes: dict[str, object] = field(default_factory=dict)
    hardware: dict[str, object] = field(default_factory=dict)
    reference: bool = True
    disturbed: dict[str, float] = field(default_factory=dict)

    def run(self, seed=0, status="complete"):
        """A run's results, as they would be assembled from its journal."""
        chance = random.Random(f"{seed}/{self.machine}/{self.slower}")
        versions = VERSIONS | self.versions
        records = [make_backend(name, worker=name.partition("-")[0]) for name in self.backends]
        settings = make_settings(*(f"{size}x{size}x{size}" for size in self.sizes), **self.changes)
        events = [
            RunStarted(schema=1, gemmscope="0.1.0", started="2026-01-02T03:04:05+00:00", settings=settings,
                       machine=make_machine(**self.hardware), backends=records)
        ]  # fmt: skip
        lasting = {(name, size): chance.gauss(0, self.drift) for name in self.backends for size in self.sizes}
        own = chance.gauss(0, self.drift)
        for set_ in range(self.sets):
            machine = self.machine * math.exp(chance.gauss(0, self.weather) if self.weather else 0.0)
            events.append(SetStarted(set=set_, workers=list(self.backends)))
            for record in [*records, None]:
                if record is not None:
                    events.append(BackendProbed(set=set_, backend=record.name, status="ok"))
                elif not self.reference:
                    continue
                events.append(WorkerReady(worker=self.worker(set_, record, versions)))
            for i, size in enumerate(self.sizes):
                where = {"m": size, "n": size, "k": size, "mode": "latency"}
                at = 100.0 * set_ + 10.0 * i
                for name, seconds in self.backends.items():
                    if set_ == 0:
                        events.append(CellPrepared(set=set_, backend=name, status="ok", precision="float32",
                                                   relative_error=3e-7, pairs_compared=10, **where))  # fmt: skip
                    typical = seconds * (size / 64) ** 3 * machine * self.slower.get(name, 1.0)
                    if set_ == 2:
                        typical *= self.disturbed.get(name, 1.0)
                    process = chance.gauss(lasting[name, size], self.scatter)
                    samples = self.samples(chance, set_, at, typical * math.exp(process))
                    events.append(SamplesTaken(backend=name, samples=samples, **where))
                if self.reference:
                    process = chance.gauss(own, self.scatter)
                    samples = self.samples(chance, set_, at, 5e-5 * machine * math.exp(process))
                    events.append(SamplesTaken(backend="canary", m=192, n=192, k=192, mode="latency", samples=samples))
            events.append(SetFinished(set=set_))
        events.append(RunFinished(status=status, time_spent=TimeSpent(total=90.0)))
        return assemble(events)

    @staticmethod
    def samples(chance, set_, at, seconds):
        return [
            Sample(set=set_, round=round_, turn=0, start=at + round_, first_pair=0, loops=10,
                   seconds=10 * seconds * math.exp(chance.gauss(0, 0.002)))
            for round_ in range(3)
        ]  # fmt: skip

    @staticmethod
    def worker(set_, record, versions):
        library = "cblas" if record is None else record.library
        worker = "canary" if record is None else record.worker
        facts = {"python": "3.11.9", **versions, "scipy-openblas32": "0.3.30", "images": [
            f"/env{set_}/lib/python3.11/site-packages/{library}.libs/lib{library}.so"]}  # fmt: skip
        backends = {} if record is None else {record.name: {"alignment": 64 << set_, "blas": f"{library}'s own"}}
        return WorkerRecord(set=set_, worker=worker, library=library, pid=1, provenance=facts, backends=backends)
