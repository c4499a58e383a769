"""What a run rests on, as pairs of a word and a value: machine, settings, what the workers had loaded."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis.roofline import best_rates
from gemmscope.records import words
from gemmscope.records.model import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.records.model import Ceilings, Machine, Result, Settings, WorkerRecord

_Value = str | int | list[str]
_GIB = 2**30


class Fact(NamedTuple):
    """A word, and one line or several."""

    word: str
    lines: list[str]


class Loaded(NamedTuple):
    """What a worker had loaded, and under the name of each of its backends what that says of itself."""

    worker: str
    library: str
    facts: list[Fact]
    backends: list[tuple[str, list[Fact]]]


def machine_table(machine: Machine) -> list[Fact]:
    """All that is known of the machine."""
    frequency = machine.max_frequency_hz
    resolution = machine.clock_resolution_seconds
    loads = machine.load_average
    known: dict[str, _Value | None] = {
        "name": machine.name,
        "processor": machine.cpu,
        "architecture": machine.architecture,
        "logical CPUs": machine.logical_cpus,
        "physical cores": machine.physical_cpus,
        "performance cores": machine.performance_cpus,
        "efficiency cores": machine.efficiency_cpus,
        "usable CPUs": None if machine.usable_cpus is None else f"{machine.usable_cpus:g}",
        "highest clock": None if frequency is None else f"{frequency / 1e9:.3g} GHz",
        "governor": machine.governor,
        "memory": f"{machine.memory_bytes / _GIB:.3g} GiB",
        "memory limit": None if machine.memory_limit_bytes is None else f"{machine.memory_limit_bytes / _GIB:.3g} GiB",
        "GPUs": machine.gpus,
        "system": machine.system,
        "Python": machine.python,
        "container": machine.container,
        "virtual machine": machine.virtual,
        "power": machine.power_source,
        "load average before": None if loads is None else ", ".join(f"{load:.1f}" for load in loads),
        "clock's resolution": None if resolution is None else words.duration(resolution),
    }
    return _facts(known)


def ceilings_table(found: Ceilings | None) -> list[Fact]:
    """The processor's ceilings, as measured."""
    if found is None:
        return []
    threads = words.count(found.threads, "thread")
    return _facts({
        "instructions": found.instructions,
        f"peak, {threads}": words.rate(found.peak_gflops),
        "peak, 1 thread": words.rate(found.peak_gflops_one_thread),
        f"bandwidth, {threads}": words.bandwidth(found.bandwidth),
        "bandwidth, 1 thread": words.bandwidth(found.bandwidth_one_thread),
        "note": found.note,
    })  # fmt: skip


def reached_table(result: Result) -> list[Fact]:
    """What every backend reached of the processor's peak; nothing where that was not measured."""
    return _facts({
        one.backend: f"{words.rate(one.gflops)} at {one.shape.full_title}, {words.percent(one.peak_share)} of the peak"
        for one in best_rates(result)
        if one.peak_share is not None
    })  # fmt: skip


def settings_table(settings: Settings) -> list[Fact]:
    """What was asked for."""
    return _facts({
        "shapes": words.listed([words.dimensions(shape) for shape in settings.shapes], 40),
        "backends": words.listed(settings.backends, 100),
        "backend files": settings.backend_files,
        "threads": "as many as each library takes" if settings.threads is None else settings.threads,
        "operand pairs": settings.pairs,
        "batches of fresh processes": settings.sets,
        "time budget": words.span(settings.seconds),
        "margin": words.percent(settings.margin),
        "interval narrow enough": f"\N{PLUS-MINUS SIGN}{words.percent(settings.width)}",
        "seed": settings.seed,
    })  # fmt: skip


def command_of(settings: Settings) -> str:
    """The command that measures the same again, quoted for a shell: as it was given, or made from the settings."""
    if settings.command:
        return settings.command
    parts = ["gemmscope", "run"]
    for shape in settings.shapes:
        parts += ["--shape", shape]
    if settings.backends:
        parts += ["--backends", ",".join(settings.backends)]
    for file in settings.backend_files:
        parts += ["--backend-file", file]
    if settings.threads is not None:
        parts += ["--threads", str(settings.threads)]
    for option in ("pairs", "sets", "seconds", "margin", "width", "seed"):
        parts += [f"--{option}", f"{getattr(settings, option):.12g}"]
    return shlex.join(parts)


def loaded(workers: Sequence[WorkerRecord]) -> list[Loaded]:
    """What every worker had loaded, once where it was the same in all sets."""
    found: list[Loaded] = []
    for name in dict.fromkeys(worker.worker for worker in workers if worker.worker != REFERENCE):
        records = [worker for worker in workers if worker.worker == name]
        general = _agreed([
            (one.set, {**one.provenance, **_outside(one)}) for one in records
        ])  # fmt: skip
        backends = [
            (backend, _agreed([(one.set, dict(one.backends[backend])) for one in records if backend in one.backends]))
            for backend in dict.fromkeys(backend for one in records for backend in one.backends)
        ]
        found.append(Loaded(name, records[0].library, general, backends))
    return found


def _outside(worker: WorkerRecord) -> dict[str, _Value]:
    """What the worker was started with."""
    outside: dict[str, _Value] = {}
    if worker.environment:
        outside["environment"] = [f"{name}={value}" for name, value in sorted(worker.environment.items())]
    if worker.interpreter:
        outside["interpreter"] = worker.interpreter
    return outside


def _agreed(sets: Sequence[tuple[int, dict[str, _Value]]]) -> list[Fact]:
    """A fact for every word; where sets differ, a line for each value, with the sets that had it."""
    facts: list[Fact] = []
    for word in dict.fromkeys(word for _, values in sets for word in values):
        said: dict[tuple[str, ...], list[int]] = {}
        for number, values in sets:
            if word in values:
                said.setdefault(tuple(_lines(values[word])), []).append(number)
        if len(said) == 1:
            facts.append(Fact(word, list(next(iter(said)))))
        else:
            facts.append(Fact(word, [f"{_sets(numbers)}: {', '.join(lines)}" for lines, numbers in said.items()]))
    return facts


def _sets(numbers: Iterable[int]) -> str:
    # Counted from 1 wherever a reader sees them.
    return "batch " + words.listed([str(number + 1) for number in numbers], 20)


def _facts(values: dict[str, _Value | None]) -> list[Fact]:
    return [Fact(word, _lines(value)) for word, value in values.items() if value not in (None, "", [])]


def _lines(value: _Value | None) -> list[str]:
    return [str(line) for line in value] if isinstance(value, list) else [str(value)]
