"""What is known of each member of a fleet: its times by cell and set, and what else may set it apart."""

from __future__ import annotations

import collections
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.analysis.runs.comparable import measured
from gemmscope.analysis.runs.model import FleetMember
from gemmscope.analysis.statistics import set_medians

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.records.base import CellKey
    from gemmscope.records.evidence import Surroundings
    from gemmscope.records.fleet import DeviceReading, FleetRun, FleetTurn
    from gemmscope.records.model import Machine, Result

# Names of readings.
SM_CLOCK = "SM clock, MHz"
MEMORY_CLOCK = "memory clock, MHz"
POWER = "power, W"
HEAT = "temperature, °C"
PROCESSES = "processes on it"
GOT = "share of its processor that it got"
CORE_CLOCK = "clock of its processor, MHz"
OTHERS = "share of its processors that others used"
STOLEN = "share of its processors that other virtual machines got"
HELD = "held down by "
ALONE = "time beside the others over time alone"

# Facts of a worker's libraries that are the same where the same is installed.
_NO_VERSION = ("images", "python")
# What ranks of one job do not share, and should not.
_OF_RANKS = ("CUDA_VISIBLE_DEVICES",)


@dataclass(frozen=True)
class Member:
    """A member with the logarithms of its seconds, by cell and set."""

    record: FleetMember
    logs: dict[CellKey, dict[int, float]]


def member_of_run(label: str, number: int, result: Result) -> Member:
    """A host, or a rank's share of one, by its results file."""
    logs = {
        key: {set_: math.log(seconds) for set_, seconds in set_medians(cell.samples).items()}
        for key, cell in measured(result).items()
        if cell.precision in (None, "float32") and key.mode != "device"
    }
    machine = result.machine
    record = FleetMember(
        label=named(machine, label), run=number, node=node_of(machine), hardware=hardware_of(result),
        facts=_facts(result), readings=_surroundings(result.surroundings),
    )  # fmt: skip
    return Member(record, logs)


def members_of_fleet(number: int, run: FleetRun) -> list[Member]:
    """The devices of a host, by its fleet's file."""
    node = node_of(run.machine)
    found: list[Member] = []
    for i, device in enumerate(run.devices):
        turns = [turn for turn in run.turns if turn.device == i]
        logs: dict[CellKey, dict[int, list[float]]] = {}
        # A device without peers on its host has been alone all the time; that is no other kind of window then.
        for turn in (turn for turn in turns if turn.together):
            logs.setdefault(turn.key, {}).setdefault(turn.set, []).append(log_seconds(turn))
        if not logs:
            continue
        processors = device.name.partition(":")[2].split("-")
        width = 1 if device.kind == "gpu" else int(processors[-1]) - int(processors[0]) + 1
        limits = device.limits
        facts = {"power limit, W": f"{limits.power_limit:.0f}"} if limits and limits.power_limit else {}
        record = FleetMember(
            label=f"{node} {device.name}".strip(), run=number, node=node, device=device.name, selector=device.selector,
            hardware=device.model if width == 1 else f"{width} x {device.model}", facts=facts,
            readings=_readings(i, turns, run.readings, one_processor=device.kind == "cpu" and width == 1),
        )  # fmt: skip
        medians = {
            key: {set_: statistics.median(values) for set_, values in by_set.items()} for key, by_set in logs.items()
        }
        found.append(Member(record, medians))
    return found


def log_seconds(turn: FleetTurn) -> float:
    """The logarithm of the seconds of a call, over the whole window: a pause in it counts by its share."""
    return math.log(sum(one.seconds for one in turn.samples) / sum(one.loops for one in turn.samples))


def node_of(machine: Machine) -> str:
    """The node that a launcher named; empty without one."""
    return machine.launched.node if machine.launched else ""


def named(machine: Machine, label: str) -> str:
    """A member's name: of its node, with its rank where there are several on one; else what its file is called."""
    rank = machine.launched
    if rank is None:
        return label
    return rank.node if rank.local_size == 1 else f"{rank.node} rank {rank.rank}"


def hardware_of(result: Result) -> str:
    """What peers share: the machine's hardware, and the threads that were asked for."""
    machine = result.machine
    usable = f"{machine.logical_cpus:g}" if machine.usable_cpus is None else f"{machine.usable_cpus:g}"
    gpus = [f"{count} x {name}" for name, count in collections.Counter(machine.gpus).items()]
    asked = [f"{result.settings.threads} threads"] if result.settings.threads else []
    return ", ".join([f"{machine.cpu} ({machine.architecture})", f"{usable} processors", *gpus, *asked])


def _facts(result: Result) -> dict[str, str]:
    found = {"system": result.machine.system}
    if result.machine.governor:
        found["governor"] = result.machine.governor
    for worker in result.workers:
        found |= {
            name: value for name, value in worker.variables.items()
            if name not in worker.environment and name not in _OF_RANKS
        }  # fmt: skip
        found |= {
            name: str(value) for name, value in worker.provenance.items()
            if name not in _NO_VERSION and not name.endswith(" wheel")
        }  # fmt: skip
    return found


def _surroundings(sets: Sequence[Surroundings]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, field in ((OTHERS, "other_seconds"), (STOLEN, "stolen_seconds")):
        shares = [getattr(one, field) / (one.seconds * one.processors) for one in sets
                  if getattr(one, field) is not None and one.seconds > 0]  # fmt: skip
        if shares:
            found[name] = statistics.median(shares)
    return found


def _readings(
    device: int, turns: Sequence[FleetTurn], readings: Sequence[DeviceReading], *, one_processor: bool
) -> dict[str, float]:
    """What a device did while it was at work beside the others on arithmetic, as far as anything was read."""
    compute = max((turn.shape for turn in turns), key=lambda shape: shape.intensity)
    working = [turn for turn in turns if turn.together and turn.shape == compute]
    windows = [(turn.samples[0].start, turn.samples[-1].start + turn.samples[-1].seconds) for turn in working]
    seen = [one for one in readings if one.device == device and any(begin <= one.at <= end for begin, end in windows)]
    found: dict[str, float] = {}
    for name, field in ((SM_CLOCK, "sm_mhz"), (MEMORY_CLOCK, "memory_mhz"), (POWER, "watts"), (HEAT, "celsius")):
        values = [value for one in seen if (value := getattr(one, field)) is not None]
        if values:
            found[name] = statistics.fmean(values)
    for reason in sorted({reason for one in seen for reason in one.held_by}):
        found[HELD + reason] = sum(reason in one.held_by for one in seen) / len(seen)
    counts = [one.processes for one in readings if one.device == device and one.processes is not None]
    if counts:
        found[PROCESSES] = float(max(counts))
    return found | (_of_processor(working) if one_processor else {}) | _together_over_alone(compute, turns)


def _of_processor(turns: Iterable[FleetTurn]) -> dict[str, float]:
    samples = [sample for turn in turns for sample in turn.samples]
    used = [sample for sample in samples if sample.cpu_seconds is not None]
    found: dict[str, float] = {}
    if used:
        found[GOT] = math.fsum(one.cpu_seconds or 0.0 for one in used) / math.fsum(one.seconds for one in used)
    counted = [one for one in used if one.cycles and one.cpu_seconds]
    if counted:
        cycles = math.fsum(one.cycles or 0.0 for one in counted)
        found[CORE_CLOCK] = cycles / math.fsum(one.cpu_seconds or 0.0 for one in counted) / 1e6
    return found


def _together_over_alone(shape: object, turns: Sequence[FleetTurn]) -> dict[str, float]:
    logs = {
        together: [log_seconds(turn) for turn in turns if turn.shape == shape and turn.together == together]
        for together in (True, False)
    }
    if not all(logs.values()):
        return {}
    return {ALONE: math.exp(statistics.median(logs[True]) - statistics.median(logs[False]))}
