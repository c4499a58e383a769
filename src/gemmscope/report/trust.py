"""What a run was made on, what is missing from it, and where its time went, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.backends.registry import ORIGINAL
from gemmscope.records import words
from gemmscope.report.shapes import shape_of, with_times

if TYPE_CHECKING:
    from gemmscope.records.model import BackendRecord, Machine, Result


_GIB = 2**30


def machine_facts(machine: Machine) -> list[str]:
    """Processor, memory, GPUs, system and Python of a machine."""
    cpus = [words.count(machine.logical_cpus, "logical CPU")]
    if machine.usable_cpus is not None and machine.usable_cpus < machine.logical_cpus:
        cpus.append(f"{machine.usable_cpus:g} usable")
    if machine.performance_cpus and machine.efficiency_cpus:
        cpus.append(f"{machine.performance_cpus} performance and {machine.efficiency_cpus} efficiency cores")
    memory = min(machine.memory_bytes, machine.memory_limit_bytes or machine.memory_bytes)
    held = ["low-power mode"] if machine.low_power_mode else []
    if machine.thermal_state not in (None, "nominal"):
        held.append(f"thermal state {machine.thermal_state}")
    facts = [machine.cpu, *cpus, f"{memory / _GIB:.3g} GiB", *machine.gpus, machine.system, f"Python {machine.python}"]
    facts += held
    return [words.line(fact) for fact in facts]


def cut_off_words(result: Result) -> str:
    """What the figures of a run that was cut off rest on; nothing for a whole one."""
    if result.status != "partial":
        return ""
    begun = len({sample.set for cell in result.cells for sample in cell.samples})
    sets = words.count(result.settings.sets, "set")
    return f"the run was cut off. These figures rest on what {begun} of {sets} had measured till then."


def reference_words(result: Result) -> str:
    """What the product that was timed once a round says of the machine; nothing where there was none."""
    reference = result.reference
    if reference is None or reference.seconds is None:
        return ""
    drift = "drift is not known from one set"
    if reference.drift is not None:
        drift = f"drift {words.percent(reference.drift, signed=True)}"
    return f"Canary {with_times(reference.shape)}: {words.interval(reference.seconds)}; {drift}."


def missing_of(result: Result) -> list[tuple[str, str, str]]:
    """Name, reason and remedy of every backend that is missing, those of the original comparison among them."""
    records = {backend.name: backend for backend in result.backends}
    missing = [(words.line(name), *_missing(result, record)) for name, record in records.items()]
    missing += [(name, "not asked for", "") for name in ORIGINAL if name not in records]
    return [(name, reason, remedy) for name, reason, remedy in missing if reason]


def _missing(result: Result, backend: BackendRecord) -> tuple[str, str]:
    """Why a backend is missing, and what to do about it; nothing if it is not."""
    cells = [cell for cell in result.cells if cell.backend == backend.name]
    remedy = words.line(backend.remedy)
    if backend.status != "ok":
        failed = dict.fromkeys(with_times(shape_of(cell)) for cell in cells if cell.status == "failed")
        if failed:
            return f"failed at {words.listed(list(failed))}: see there", remedy
        return f"{backend.status}: {words.line(backend.reason) or 'no reason is known'}", remedy
    return ("", "") if cells else ("not measured: the run ended before its turn", remedy)


def account_words(result: Result) -> str:
    """Where the wall time went. The harness's share is all in which no backend computed, once workers had started."""
    account = result.time_spent
    rest = account.total - account.starting
    if rest <= 0:
        return "Where the time went is not known: the run was cut off."
    shares = [
        f"{words.percent(seconds / rest)} {word}"
        for word, seconds in (
            ("sampling", account.sampling),
            ("warm-up", account.warming),
            ("preparing and comparing", account.preparing),
            ("calibrating", account.calibrating),
        )
    ]
    settling = f", of which {words.percent(account.settling / rest)} until pools were quiet" if account.settling else ""
    return (
        f"Wall {account.total:.0f} s: starting {account.starting:.0f} s; of the rest {', '.join(shares)}, "
        f"{words.percent(account.harness_share)} harness{settling}."
    )
