"""What a run rests on, as lines under words: machine, settings, what the workers had loaded."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis import gpu_states
from gemmscope.analysis.neighbourhood import neighbourhood
from gemmscope.analysis.roofline import best_rates
from gemmscope.machine import environment, known_kernels
from gemmscope.records import words
from gemmscope.records.model import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from gemmscope.records.evidence import Surroundings
    from gemmscope.records.model import Ceilings, Machine, Result, Settings, WorkerRecord

_Value = str | int | list[str]
# The lines under every word.
Facts = dict[str, list[str]]
_GIB = 2**30


class Loaded(NamedTuple):
    """What a worker had loaded, and under the name of each of its backends what that says of itself."""

    worker: str
    library: str
    facts: Facts
    backends: dict[str, Facts]


def machine_table(machine: Machine) -> Facts:
    """All that is known of the machine."""
    frequency, resolution = machine.max_frequency_hz, machine.clock_resolution_seconds
    limit, loads = machine.memory_limit_bytes, machine.load_average
    return _facts({
        "name": machine.name,
        "processor": machine.cpu,
        "architecture": machine.architecture,
        "vector instructions": known_kernels.cpu_level(machine.cpu_flags) or (
            f"SVE, {machine.sve_bits} bits" if machine.sve_bits else None
        ),
        "logical CPUs": machine.logical_cpus,
        "physical cores": machine.physical_cpus,
        "performance cores": machine.performance_cpus,
        "efficiency cores": machine.efficiency_cpus,
        "usable CPUs": None if machine.usable_cpus is None else f"{machine.usable_cpus:g}",
        "highest clock": None if frequency is None else f"{frequency / 1e9:.3g} GHz",
        "governor": machine.governor,
        "memory": f"{machine.memory_bytes / _GIB:.3g} GiB",
        "memory limit": None if limit is None else f"{limit / _GIB:.3g} GiB",
        "GPUs": machine.gpus,
        "GPUs as set up": [f"{one.name}: {one.summary}" for one in machine.gpu_limits if one.summary],
        "system": machine.system,
        "Python": machine.python,
        "container": machine.container,
        "virtual machine": machine.virtual,
        "power": machine.power_source,
        "load average before": None if loads is None else ", ".join(f"{load:.1f}" for load in loads),
        "clock's resolution": None if resolution is None else words.duration(resolution),
    })  # fmt: skip


def ceilings_table(found: Ceilings | None) -> Facts:
    """The processor's ceilings, as measured."""
    if found is None:
        return {}
    threads = words.count(found.threads, "thread")
    return _facts({
        "instructions": found.instructions,
        f"peak, {threads}": words.rate(found.peak_gflops),
        "peak, 1 thread": words.rate(found.peak_gflops_one_thread),
        f"bandwidth, {threads}": words.bandwidth(found.bandwidth),
        "bandwidth, 1 thread": words.bandwidth(found.bandwidth_one_thread),
        "threads that saturate the matrix units": found.saturating_threads or None,
        "note": found.note,
    })  # fmt: skip


def reached_table(result: Result) -> Facts:
    """What every backend reached of the processor's peak; nothing where that was not measured."""
    return _facts({
        one.backend: f"{words.rate(one.gflops)} at {one.shape.full_title}, {words.percent(one.peak_share)} of the peak"
        for one in best_rates(result)
        if one.peak_share is not None
    })  # fmt: skip


def settings_table(settings: Settings) -> Facts:
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
    for option in ("pairs", "sets", "seconds"):
        parts += [f"--{option}", f"{getattr(settings, option):.12g}"]
    for option in ("margin", "width"):
        parts += [f"--{option}", f"{100 * getattr(settings, option):.12g}%"]
    parts += ["--seed", str(settings.seed)]
    return shlex.join(parts)


def variables_of(result: Result) -> list[str]:
    """The variables that the user had set and libraries obey, as lines for a shell: they belong to the command."""
    set_ = {
        name: value for worker in result.workers for name, value in worker.variables.items()
        if name not in worker.environment and environment.variable(name) is not None
    }  # fmt: skip
    return [
        f"{'# cut off: ' if value.endswith('…') else ''}export {name}={shlex.quote(value)}"
        for name, value in sorted(set_.items())
    ]


def surroundings_table(sets: Sequence[Surroundings]) -> Facts:
    """What other programs, other machines and a quota took from the run."""
    seen = neighbourhood(sets)
    if seen.total <= 0:
        return {}
    shared = sum(one.other_runs > 0 for one in sets)
    counted = any(one.other_seconds is not None for one in sets)
    return _facts({
        "other programs": f"{words.percent(seen.others / seen.total)} of the processors' time" if counted else None,
        "most of all": [f"{name}: {words.span(seconds)}" for name, seconds in seen.names.items() if seconds >= 1],
        "other runs of gemmscope": words.count(shared, "batch", "batches") if shared else None,
        "other virtual machines": words.percent(seen.stolen / seen.total) if seen.stolen > 0 else None,
        "stopped for its quota": f"in {seen.throttled} of {words.count(seen.periods, 'period')}" if seen.periods
        else None,
    })  # fmt: skip


def loaded(result: Result) -> list[Loaded]:
    """What every worker had loaded, once where it was the same in all sets, and what it executed."""
    workers = result.workers
    found: list[Loaded] = []
    for name in dict.fromkeys(worker.worker for worker in workers):
        records = [worker for worker in workers if worker.worker == name]
        backends = {
            backend: _agreed([(one.set, one.backends[backend]) for one in records if backend in one.backends])
            for backend in dict.fromkeys(backend for one in records for backend in one.backends)
        }
        facts = _agreed([(one.set, {**one.provenance, **_started_with(one)}) for one in records])
        facts |= _executed(result, name)
        label = "reference workload" if name == REFERENCE else name
        found.append(Loaded(label, records[0].library, facts, backends))
    return found


def _executed(result: Result, worker: str) -> Facts:
    """The instructions that a worker was seen to execute, and its first calls."""
    hosted = {backend.name for backend in result.backends if backend.worker == worker}
    facts: Facts = {}
    for one in result.instructions:
        if one.backend in hosted:
            facts[f"instructions of {one.backend} at {one.shape.full_title}"] = [
                one.profile.summary, *one.profile.examples[:1]
            ]  # fmt: skip
    facts |= _kernels(result, hosted)
    for cell in result.cells:
        if cell.backend in hosted and cell.first_calls:
            first = [words.duration(seconds) for seconds in cell.first_calls]
            facts[f"first call of {cell.backend} at {cell.shape.full_title}"] = [", ".join(first)]
    return facts


def _kernels(result: Result, hosted: Collection[str]) -> Facts:
    """What calls did on the GPU, once where it was the same in all sets, and how it was doing meanwhile."""
    facts: Facts = {}
    seen: set[object] = set()
    for one in result.kernels:
        told = (one.key, one.trace.signature)
        if one.backend in hosted and told not in seen:
            seen.add(told)
            lines = [kernel.summary for kernel in one.trace.kernels] + [copy.summary for copy in one.trace.copies]
            word = f"on the GPU, {one.backend} at {one.shape.full_title}"
            facts[word] = facts.get(word, []) + (lines or [one.trace.reason])
    for cell in result.cells:
        clocks = gpu_states.clocks([cell]) if cell.backend in hosted and cell.mode == "latency" else None
        if clocks is not None:
            facts[f"the GPU during {cell.backend} at {cell.shape.full_title}"] = [clocks.summary]
    return facts


def _started_with(worker: WorkerRecord) -> dict[str, _Value]:
    set_ = {**worker.variables, **worker.environment}
    environment = [f"{name}={value}" if value else f"{name} unset" for name, value in sorted(set_.items())]
    libraries = [
        ", ".join(filter(None, [
            one.kind, "" if one.threads is None else words.count(one.threads, "thread"),
            f"kernels for {one.core}" if one.core else "",
        ])) for one in worker.libraries
    ]  # fmt: skip
    started: dict[str, _Value] = {
        "environment": environment, "interpreter": worker.interpreter, "BLAS and OpenMP": libraries,
    }  # fmt: skip
    return {word: value for word, value in started.items() if value}


def _agreed(sets: Sequence[tuple[int, Mapping[str, _Value]]]) -> Facts:
    """The lines under every word; where sets differ, a line for each value, with the sets that had it."""
    facts: Facts = {}
    for word in dict.fromkeys(word for _, values in sets for word in values):
        said: dict[tuple[str, ...], list[str]] = {}
        for number, values in sets:
            if word in values:
                # Counted from 1 wherever a reader sees them.
                said.setdefault(tuple(_lines(values[word])), []).append(str(number + 1))
        facts[word] = [f"batch {words.listed(numbers, 20)}: {', '.join(lines)}" for lines, numbers in said.items()]
        if len(said) == 1:
            facts[word] = list(next(iter(said)))
    return facts


def _facts(values: Mapping[str, _Value | None]) -> Facts:
    return {word: _lines(value) for word, value in values.items() if value not in (None, "", [])}


def _lines(value: _Value | None) -> list[str]:
    return [str(line) for line in value] if isinstance(value, list) else [str(value)]
