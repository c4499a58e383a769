"""A check-up as a document: the machine, the libraries, the variables, and what looks wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.machine import gpu, known_kernels
from gemmscope.records import words
from gemmscope.records.evidence import image_name
from gemmscope.report.document import Heading, Item, Items, Paragraph, to_paste

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.checkup import Checkup, LibraryCheckup, Suspicion, VariableCheckup
    from gemmscope.records.evidence import LibraryThreads, Throttling
    from gemmscope.records.model import Machine
    from gemmscope.report.document import Block
    from gemmscope.report.rows.model import Tone

_GIB = 2**30
_TONES: dict[str, Tone] = {"ok": "", "unavailable": "open", "skipped": "quiet", "failed": "bad"}


def document(found: Checkup) -> list[Block]:
    """The whole answer; what looks wrong stands last, where a terminal shows it."""
    blocks: list[Block] = [
        Heading("This machine"),
        Items.of(*_machine(found.machine, found.throttling)),
        Heading("Libraries"),
        Items([_library(one, found.machine) for one in found.libraries]),
    ]
    if found.variables:
        blocks += [Heading("Environment variables"), Items.of(*map(_variable, found.variables))]
    return [*blocks, *_suspicions(found.suspicions)]


def _suspicions(found: Sequence[Suspicion]) -> list[Block]:
    if not found:
        return [Heading("What looks wrong"), Paragraph("Nothing looks wrong.", "good")]
    blocks: list[Block] = [Heading("What looks wrong"), Items([_suspicion(one) for one in found])]
    confirms = list(dict.fromkeys(one.confirm for one in found if one.confirm))
    if confirms:
        commands = words.listed([f"'{command}'" for command in confirms])
        blocks.append(Paragraph(f"Nothing was measured. To learn what these cost, run {commands}.", "quiet"))
    return blocks


def _suspicion(one: Suspicion) -> Item:
    return Item(one.text, "bad" if one.id == "broken-library" else "open", to_paste(one.remedy))


def _machine(machine: Machine, throttling: Throttling) -> list[str]:
    cores = "" if machine.physical_cpus is None else f", {words.count(machine.physical_cpus, 'core')}"
    if machine.performance_cpus is not None and machine.efficiency_cpus is not None:
        cores += f" ({machine.performance_cpus} fast, {machine.efficiency_cpus} efficient)"
    lines = [f"{machine.cpu}{cores}, {_vectors(machine)}", _processors(machine, throttling)]
    where = [machine.system, machine.architecture, machine.python]
    where += [f"in a container ({machine.container})"] if machine.container else []
    where += [f"in a virtual machine ({machine.virtual})"] if machine.virtual else []
    lines.append(", ".join(where))
    memory = f"{machine.memory_bytes / _GIB:.3g} GiB of memory"
    if machine.memory_limit_bytes is not None:
        memory += f", limited to {machine.memory_limit_bytes / _GIB:.3g} GiB"
    if machine.load_average is not None:
        memory += f"; load {', '.join(f'{load:.1f}' for load in machine.load_average)} (1, 5 and 15 minutes)"
    lines.append(memory)
    driver = f" ({machine.scaling_driver})" if machine.scaling_driver else ""
    power = {
        "frequency governor": f"{machine.governor}{driver}" if machine.governor else None,
        "power": machine.power_source,
        "low-power mode": None if machine.low_power_mode is None else "on" if machine.low_power_mode else "off",
        "thermal state": machine.thermal_state,
        "background work": None if machine.background is None else "yes" if machine.background else "no",
        "niceness": str(machine.niceness) if machine.niceness else None,
    }
    known = [f"{name} {value}" for name, value in power.items() if value]
    lines += ["; ".join(known)] if known else []
    lines.append(f"GPU: {words.listed(machine.gpus)}" if machine.gpus else "no GPU found")
    lines += [f"{one.name}: {one.summary}" for one in machine.gpu_limits if one.summary]
    return lines + gpu.missing_tools(machine.gpus)


def _vectors(machine: Machine) -> str:
    level = known_kernels.cpu_level(machine.cpu_flags)
    if level is not None:
        return level
    found = [flag.upper() for flag in ("sme2", "sme", "sve2", "sve") if flag in machine.cpu_flags][:1]
    if found and machine.sve_bits is not None:
        found = [f"{machine.sve_bits}-bit {found[0]}"]
    if found or machine.architecture in ("arm64", "aarch64"):
        return " and ".join(["NEON", *found])
    return "vector instructions not known"


def _processors(machine: Machine, throttling: Throttling) -> str:
    said = f"{throttling.affinity} of {words.count(machine.logical_cpus, 'processor')} usable"
    said += f", a quota of {throttling.quota:g}" if throttling.quota is not None else ", no quota"
    if throttling.periods and throttling.throttled is not None:
        said += f"; throttled in {throttling.throttled} of {words.count(throttling.periods, 'period')} so far"
        if throttling.throttled and throttling.throttled_seconds:
            said += f", for {words.duration(throttling.throttled_seconds)}"
    return said


def _library(one: LibraryCheckup, machine: Machine) -> Item:
    title = "gemmscope's own cblas" if one.name == "cblas" else one.name
    if one.status != "ok":
        return Item(f"{title}: {one.reason or one.status}", _TONES[one.status], to_paste(one.remedy))
    versions = [f"{part} {version}" if part != one.name else version for part, version in one.versions.items()]
    if versions and next(iter(one.versions)) == one.name:
        title += f" {versions.pop(0)}"
    wheels = [tags[-1] for tags in one.wheels.values()][:1]
    details = [*versions, *(f"wheel {tag}" for tag in wheels)]
    said = f"{title} ({', '.join(details)})" if details else title
    said += f": {_blas(one.blas)}" if one.blas is not None else ": its BLAS is not known"
    for runtime in one.openmp:
        threads = f", {words.count(runtime.threads, 'thread')}" if runtime.threads is not None else ""
        said += f"; OpenMP: {image_name(runtime.image)}{threads}"
    if one.no_gpu and machine.gpus:
        said += f"; not on the GPU: {one.no_gpu}"
    return Item(said)


def _blas(blas: LibraryThreads) -> str:
    """The BLAS, its version, the kernels that it chose, its threads and its file."""
    parts = [_version(blas)]
    parts += [f"kernels for {blas.core}"] if blas.core else []
    parts.append(words.count(blas.threads, "thread") if blas.threads is not None else "as many threads as it likes")
    parts.append(f"in {blas.image.rpartition('/')[2]}")
    return ", ".join(parts)


def _version(blas: LibraryThreads) -> str:
    """The kind and the version out of the text of a BLAS, without the options that it was built with."""
    numbers = [word for word in blas.description.split() if word[:1].isdigit() and "." in word]
    return f"{blas.kind} {numbers[0].removesuffix('-Product')}" if numbers else blas.kind


def _variable(one: VariableCheckup) -> str:
    readers = words.listed(one.readers)
    here = f"; here it concerns {words.listed(one.libraries)}" if one.libraries else ""
    return f"{one.name}={words.line(one.value)} {one.effect} ({readers}{here})"
