"""What a run was made on, what is missing from it, and where its time went, in words."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis.findings.quality import is_notable, unclear
from gemmscope.analysis.sequential import first_look
from gemmscope.records import words
from gemmscope.records.model import ORIGINAL, sets_planned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.model import BackendRecord, Cell, Machine, Result

_GIB = 2**30


class Missing(NamedTuple):
    """A backend without figures, why, and what to do about it."""

    name: str
    reason: str
    remedy: str


def machine_title(machine: Machine) -> str:
    """A machine by its name and its GPUs: ``"AMD EPYC, 2 cores, Linux, with 2 NVIDIA H200"``."""
    # On Apple silicon the GPU is a part of what is named already.
    further = [gpu for gpu in _gpus(machine) if gpu not in machine.name]
    return words.line(machine.name) + (f", with {words.listed(further)}" if further else "")


def _gpus(machine: Machine) -> list[str]:
    counts = collections.Counter(map(words.line, machine.gpus))
    return [f"{count} {name}" if count > 1 else name for name, count in counts.items()]


def machine_facts(machine: Machine) -> list[str]:
    """Processor, memory, GPUs, system and Python of a machine."""
    cpus = [words.count(machine.logical_cpus, "logical CPU")]
    if machine.usable_cpus is not None and machine.usable_cpus < machine.logical_cpus:
        cpus.append(f"{machine.usable_cpus:g} usable")
    if machine.performance_cpus and machine.efficiency_cpus:
        cpus.append(f"{machine.performance_cpus} performance and {machine.efficiency_cpus} efficiency cores")
    memory = min(machine.memory_bytes, machine.memory_limit_bytes or machine.memory_bytes)
    held_back = ["low-power mode"] if machine.low_power_mode else []
    held_back += ["background work"] if machine.background else []
    if machine.thermal_state not in (None, "nominal"):
        held_back.append(f"thermal state {machine.thermal_state}")
    facts = [
        machine.cpu,
        *cpus,
        f"{memory / _GIB:.3g} GiB",
        *_gpus(machine),
        machine.system,
        f"Python {machine.python}",
    ]
    return [words.line(fact) for fact in (*facts, *held_back)]


def sets_measured(result: Result) -> int:
    """How many sets have samples: fewer than were asked for where the time was up, or the differences were plain."""
    return len({sample.set for cell in result.cells for sample in cell.samples})


def cut_off(result: Result) -> str:
    """What the figures of a run that was cut off rest on; empty for a complete one."""
    if result.status != "partial":
        return ""
    return (
        f"the run was cut off. These figures rest on {sets_measured(result)} of {words.batches(sets_planned(result))}, "
        "as far as they had been measured."
    )  # fmt: skip


def reference(result: Result) -> str:
    """What the reference workload says of the machine; empty where there was none."""
    found = result.reference
    if found is None or found.seconds is None:
        return ""
    drift = "its drift is unknown: fewer than two batches timed it three times"
    if found.drift is not None:
        drift = f"drift {words.percent(found.drift, signed=True)}"
    return f"Reference workload {words.dimensions(found.shape)}: {words.interval(found.seconds)}; {drift}."


def carried_over(result: Result) -> str:
    """That no time is shown to depend on what ran just before; empty where one is, or where that was not tested."""
    found = (one for one in result.findings if one.id == "carry-over" and one.verdict == "not found")
    return next((one.text for one in found), "")


def in_short(result: Result) -> str:
    """One sentence: what the figures rest on, how many verdicts are open, and whether the machine changed."""
    said = [f"measured in {words.batches(sets_measured(result))}"]
    if result.comparisons:
        open_ = sum(unclear(result.comparisons).values())
        said.append(f"{open_} of {words.count(len(result.comparisons), 'comparison')} unclear" if open_ else
                    "every comparison settled")  # fmt: skip
    drift = result.reference.drift if result.reference is not None else None
    if drift is not None:
        noted = is_notable(drift)
        said.append(
            f"the machine's speed changed by up to {words.percent(abs(drift))} meanwhile; ratios are paired"
            if noted
            else "a steady machine"
        )
    text = "; ".join(said)
    return text[0].upper() + text[1:]


def missing(result: Result) -> list[Missing]:
    """Every backend without figures; those of the original comparison are named whatever was asked for."""
    records = {backend.name: backend for backend in result.backends}
    found = [Missing(words.line(name), *_why_missing(result, record)) for name, record in records.items()]
    found += [Missing(name, "not asked for", "") for name in ORIGINAL if name not in records]
    return [one for one in found if one.reason]


def _why_missing(result: Result, backend: BackendRecord) -> tuple[str, str]:
    """Why a backend is missing, and what to do about it; empty if it is not."""
    cells = [cell for cell in result.cells if cell.backend == backend.name]
    remedy = words.line(backend.remedy)
    if backend.status != "ok":
        failed = dict.fromkeys(cell.shape.full_title for cell in cells if cell.status == "failed")
        if failed:
            return f"failed at {words.listed(list(failed))}: see there", remedy
        return f"{backend.status}: {words.line(backend.reason) or 'no reason is known'}", remedy
    return ("", "") if cells else ("not measured: the run ended before its turn", remedy)


def lost(result: Result) -> list[Missing]:
    """What failed or was left out, a line per backend and reason: for where no table of cells says so.

    A mode besides latency that was left out is no loss: the call has its time.
    """
    found: list[Missing] = []
    for backend in result.backends:
        if backend.experiment:
            continue
        cells = [
            cell for cell in result.cells
            if cell.backend == backend.name
            and (cell.status == "failed" or (cell.status != "ok" and cell.mode == "latency"))
        ]  # fmt: skip
        groups: dict[tuple[str, str, str], list[Cell]] = {}
        for cell in cells:
            # Calls that take too long are one reason, however long each is.
            reason = "" if cell.estimate else words.line(cell.reason)
            groups.setdefault((cell.key.label, cell.status, reason), []).append(cell)
        for (label, status, reason), those in groups.items():
            at = words.listed([cell.shape.title for cell in those])
            why = reason or _too_slow(those)
            found.append(Missing(label, f"{status} at {at}: {why}", words.line(backend.remedy)))
        if not cells and backend.status != "ok":
            found.append(Missing(words.line(backend.name), *_why_missing(result, backend)))
    return found


def _too_slow(cells: Sequence[Cell]) -> str:
    """Why cells were skipped whose calls take too long: the reason of the one with the shortest call."""
    ordered = sorted(cells, key=lambda cell: cell.estimate or 0.0)
    reason = words.line(ordered[0].reason)
    return reason if len(cells) == 1 else f"{reason} at {ordered[0].shape.title}"


def rules(result: Result) -> str:
    """By which rules verdicts are judged, today's, whatever gemmscope made the run."""
    return (
        "Verdicts hold whenever the run stops: the error rate is spent over several looks (alpha spending), the "
        f"first after {words.batches(first_look(sets_planned(result)))}. A batch that lies apart from all others does "
        "not count."
    )


def time_spent(result: Result) -> str:
    """Where the wall time went. The harness's share is all in which no backend computed, once workers had started."""
    spent = result.time_spent
    rest = spent.total - spent.starting
    if rest <= 0:
        return "Where the time went is not known: the run was cut off."
    shares = [
        f"{words.percent(seconds / rest)} {word}"
        for word, seconds in (
            ("sampling", spent.sampling),
            ("warm-up", spent.warming),
            ("preparing and checking", spent.preparing),
            ("calibrating", spent.calibrating),
        )
    ]
    waiting = f" ({words.percent(spent.settling / rest)} waiting for idle thread pools)" if spent.settling else ""
    return (
        f"The run took {spent.total:.0f} s: {spent.starting:.0f} s to start workers; of the rest, {', '.join(shares)} "
        f"and {words.percent(spent.harness_share)} harness{waiting}."
    )
