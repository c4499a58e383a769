"""``gemmscope fleet``: from the devices that are named to a folder with their measurement, verdicts and page."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gemmscope import _build
from gemmscope.analysis.runs.fleet import gather
from gemmscope.backends.base import thread_environment
from gemmscope.errors import RunInterrupted, UsageError, WorkerLost
from gemmscope.files import attempt
from gemmscope.job import claimed_folder
from gemmscope.machine import describe, devices, launcher, nvml
from gemmscope.machine.gpu_readings import Readings
from gemmscope.machine.limits import available_bytes, processors
from gemmscope.machine.surroundings import other_runs
from gemmscope.measure.fleet import FleetSession
from gemmscope.measure.guard import Guard
from gemmscope.measure.process import open_standard_descriptors
from gemmscope.measure.settings import check_seconds, check_seed
from gemmscope.measure.survey import discover
from gemmscope.records import words
from gemmscope.records.fleet import FleetDevice, FleetRun, FleetSettings
from gemmscope.report.html.fleet import write_fleet_page
from gemmscope.signals import Interruption
from gemmscope.storage.fleet_store import FLEET, save_fleet
from gemmscope.workload import spans
from gemmscope.workload.shapes import Shape, layout

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from gemmscope.analysis.runs.model import Fleet
    from gemmscope.backends.registry import Registry
    from gemmscope.backends.variant import Variant
    from gemmscope.machine.devices import Device
    from gemmscope.records.model import Machine

PAGE = "fleet.html"

_BACKENDS = {"gpu": "torch-gpu", "cpu": "numpy-cpu"}
# Long enough to be bound by arithmetic, and short enough for many calls in a window; a matrix far larger than caches.
_COMPUTE = {"gpu": 4096, "cpu": 512}
_MEMORY = {"gpu": 8192, "cpu": 2048}
# Fewer give no interval worth the name.
FEWEST_SETS = 3


@dataclass(frozen=True)
class FleetJob:
    """A fleet to be measured, checked and ready to start."""

    settings: FleetSettings
    devices: list[Device]
    variants: list[Variant]
    registry: Registry
    machine: Machine
    folder: Path
    unwritten: list[str] = field(default_factory=list)

    @classmethod
    def new(
        cls,
        *,
        names: Sequence[str] | None = None,
        backends: Sequence[str] | None = None,
        backend_files: Sequence[str | os.PathLike[str]] = (),
        size: int | None = None,
        memory: bool = True,
        sets: int = 5,
        seconds: str | float = 60.0,
        seed: int = 0,
        out: Path | None = None,
        command: str = "",
    ) -> FleetJob:
        """Checks what is asked for.

        Args:
            names: Devices, such as ``"gpu:0"`` or ``"cpu:1"``; all GPUs unless told. Of a job's ranks on one node each
                takes its share of them.
            backends: What to measure with: one kind of device all. PyTorch on GPUs, NumPy on processors unless told.
            backend_files: Python files with backends of your own.
            size: M = N = K of the product that is bound by arithmetic.
            memory: Whether to measure a product of a matrix and a vector as well, which is bound by memory.
            sets: Fresh processes for each device.
            seconds: The time budget, in seconds or as a text such as ``"1m"``.
            seed: Of operands and of the order.
            out: The folder; of a job's ranks each writes into one of its own in there.
            command: How it was asked for.

        Raises:
            UsageError: If that cannot be done here.
        """
        machine = describe()
        found = launcher.share(devices.named(names or ["gpu"]), machine.launched)
        kind = found[0].kind
        if sets < FEWEST_SETS:
            raise UsageError(f"sets is {sets}; an interval needs {FEWEST_SETS} fresh processes for each device or more")
        budget = spans.seconds(seconds)
        check_seconds(budget)
        check_seed(seed)
        if size is not None and size < 1:
            raise UsageError(f"size is {size}; expected at least 1")
        registry, broken = discover([Path(file) for file in backend_files])
        if broken:
            raise UsageError(f"{broken[0].name}: {broken[0].reason}")
        variants = registry.variants(backends or [_BACKENDS[kind]])
        for variant in variants:
            if registry.backend(variant.backend).device != kind:
                raise UsageError(f"{variant.name} does not compute on {kind}: name a backend that does with --backends")
        memory_size = _MEMORY[kind]
        settings = FleetSettings(
            devices=[device.name for device in found],
            backends=[variant.name for variant in variants],
            compute=str(Shape.parse(str(_COMPUTE[kind] if size is None else size))),
            memory=str(Shape(memory_size, 1, memory_size)) if memory else "",
            sets=sets, seconds=budget, seed=seed, command=command,
        )  # fmt: skip
        _check_memory(settings, len(found) * len(variants))
        path = claimed_folder(machine, out, FLEET)
        return cls(settings, found, variants, registry, machine, path)

    def execute(self, tell: Callable[[str], None], *, margin: float, limit: float | None) -> tuple[FleetRun, Fleet]:
        """Measures, judges, and writes both. A page that cannot be written is named in ``unwritten``.

        Raises:
            WorkerLost: If none of the devices could be measured.
            RunInterrupted: If it was interrupted before anything was measured.
        """
        open_standard_descriptors()
        run = self._measured(tell)
        if not run.turns and run.status == "complete":
            raise WorkerLost("; ".join(f"{device.name}: {device.reason}" for device in run.devices))
        if not run.turns:
            raise RunInterrupted("interrupted before anything was measured")
        save_fleet(run, self.folder / FLEET)
        fleet = gather([(str(self.folder), run)], margin=margin, limit=limit)
        self.unwritten.extend(attempt(lambda path: write_fleet_page(fleet, path), self.folder / PAGE))
        return run, fleet

    def _measured(self, tell: Callable[[str], None]) -> FleetRun:
        started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        epoch = time.perf_counter()
        readings = Readings(self.devices, epoch)
        with Interruption() as interruption, Guard() as guard:
            session = FleetSession(
                self.settings, self.devices, self.variants, self.registry, guard.launch, epoch=epoch,
                threads=_threads(self.devices), tell=tell,
                together=not any(card.is_exclusive() for card in readings.cards.values()),
            )  # fmt: skip
            others = other_runs(processors())
            with readings:
                whole = session.run()
                interruption.ignore()
            others = max(others, other_runs(processors()))
        warnings = list(session.warnings)
        if others:
            warnings.append(
                "another gemmscope, or another rank, was measuring on the same processors at the same time; bind each "
                "to processors of its own, or measure one after the other"
            )
        if self.devices[0].kind == "gpu" and not readings.cards:
            warnings.append(f"clocks and power are not known, and so no reasons, without NVML: {nvml.INSTALL}")
        if instances := [self.devices[i].name for i, card in readings.cards.items() if card.profile]:
            warnings.append(
                f"{words.listed(instances)}: instances of MIG, of which NVML reads the whole card's clocks, power and "
                "heat: what is seen there may be another instance's doing"
            )
        return FleetRun(
            gemmscope=_build.VERSION, started=started, status="complete" if whole else "partial", machine=self.machine,
            settings=self.settings, devices=[self._record(i, session, readings) for i in range(len(self.devices))],
            turns=session.turns, readings=readings.taken, warnings=warnings,
        )  # fmt: skip

    def _record(self, number: int, session: FleetSession, readings: Readings) -> FleetDevice:
        device = self.devices[number]
        card = readings.cards.get(number)
        measured = any(turn.device == number for turn in session.turns)
        return FleetDevice(
            name=device.name, kind=device.kind, model=device.model, selector=device.selector,
            status="ok" if measured else "failed", reason="" if measured else session.lost.get(number, "not measured"),
            limits=None if card is None else card.limits(),
        )  # fmt: skip


def _threads(bound: Sequence[Device]) -> dict[str, str]:
    """What is asked of every worker: as many threads as its device has processors."""
    return thread_environment(str(len(bound[0].processors))) if bound[0].processors else {}


def _check_memory(settings: FleetSettings, workers: int) -> None:
    shapes = [Shape.parse(text) for text in (settings.compute, settings.memory) if text]
    shared = layout(shapes, settings.pairs)[-1].end
    copies = max(settings.pairs * shape.operand_bytes + 4 * shape.product_bytes for shape in shapes)
    needed, free = shared + workers * settings.sets * copies, available_bytes()
    if needed > free:
        raise UsageError(
            f"{workers * settings.sets} processes would take {needed / 2**30:.1f} GiB for their operands, but "
            f"{free / 2**30:.1f} GiB are free; ask for fewer --devices, fewer --sets or a smaller --size"
        )
