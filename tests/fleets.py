"""Made-up fleets, for the tests of what is said of their members."""

from __future__ import annotations

import math
import random

from gemmscope.records.fleet import DeviceReading, FleetDevice, FleetRun, FleetSettings, FleetTurn
from gemmscope.records.model import Launched, Measurement
from tests.builders import make_machine

COMPUTE, MEMORY = (4096, 4096, 4096), (8192, 1, 8192)


def make_launched(node, rank=0, **changes):
    fields = {"launcher": "Slurm", "job": "7.0", "node": node, "rank": rank, "size": 4}
    return Launched(**fields | changes)


def make_fleet_run(
    count=4, *, slower=None, slower_memory=None, alone=None, sets=5, windows=3, scatter=0.001, drift=0.0, readings=(),
    kind="gpu", seed=0, node="", cpu_share=None, disturbed=None, **changes,
):  # fmt: skip
    """A fleet's file.

    Args:
        count: How many devices.
        slower, slower_memory: By what factor a device is slower, by its number, while all are at work.
        alone: The same while it is alone; as together unless told.
        scatter: Of a process, as a relative standard deviation.
        drift: Of the whole host between windows.
        readings: Fields of readings by device, taken once in every window.
        cpu_share: What a device's worker gets of its processor.
        disturbed: By what factor a device is slower in the third set.
    """
    chance = random.Random(seed)
    slower, slower_memory, cpu_share = slower or {}, slower_memory or {}, cpu_share or {}
    turns, taken, number = [], [], 0
    for (m, n, k), factors in ((COMPUTE, slower), (MEMORY, slower_memory)):
        processes = {(d, s): chance.gauss(0, scatter) for d in range(count) for s in range(sets)}
        for window in range(windows * sets):
            set_ = window % sets
            common = chance.gauss(0, drift)
            for together in (True, False):
                for device in range(count):
                    factor = factors.get(device, 1.0) if together or alone is None else alone.get(device, 1.0)
                    if disturbed and set_ == 2:
                        factor *= disturbed.get(device, 1.0)
                    call = 2.7e-3 * factor * math.exp(common + processes[device, set_] + chance.gauss(0, scatter / 3))
                    samples = [
                        Measurement(start=number + 0.1 * i, first_pair=0, loops=4, seconds=4 * call,
                                    cpu_seconds=4 * call * cpu_share.get(device, 1.0))
                        for i in range(3)
                    ]  # fmt: skip
                    turns.append(FleetTurn(backend="torch-gpu", m=m, n=n, k=k, device=device, set=set_, round=number,
                                           together=together, samples=samples))  # fmt: skip
                    if not together:
                        number += 1
                if together:
                    taken += [DeviceReading(device=device, at=number + 0.15, **fields) for device, fields in readings]
                    number += 1
    devices = [
        FleetDevice(name=f"{kind}:{i}", kind=kind, model="Example GPU", selector=str(i + 4)) for i in range(count)
    ]  # fmt: skip
    fields = {
        "gemmscope": "0.1.0", "started": "2026-01-02T03:04:05+00:00", "status": "complete",
        "machine": make_machine(launched=make_launched(node) if node else None),
        "settings": FleetSettings(devices=[one.name for one in devices], backends=["torch-gpu"],
                                  compute="x".join(map(str, COMPUTE)), memory="x".join(map(str, MEMORY)), sets=sets),
        "devices": devices, "turns": turns, "readings": taken,
    }  # fmt: skip
    return FleetRun(**fields | changes)
