"""Machines or devices beside each other, and against their peers: who is slower, by how much, and how sure that is."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Literal

from gemmscope.analysis.runs.changes import label_run
from gemmscope.analysis.runs.comparable import measured
from gemmscope.analysis.runs.fleet import verdicts
from gemmscope.analysis.runs.fleet.members import GOT, member_of_run, members_of_fleet
from gemmscope.analysis.runs.model import ComparedRun, Fleet, FleetCell
from gemmscope.analysis.view import View
from gemmscope.errors import UsageError
from gemmscope.records import words
from gemmscope.records.base import CellKey
from gemmscope.records.fleet import FleetRun

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.analysis.runs.fleet.members import Member
    from gemmscope.analysis.runs.fleet.verdicts import Away
    from gemmscope.analysis.runs.model import FleetMember
    from gemmscope.records.model import Result

# What makes a difference that is not the machine's.
_SAME = ("threads", "seed", "pairs")
# Rankings take a while, and nobody reads those of a hundred machines.
_MOST_RANKED = 12
# What a worker gets of a processor that nobody else wants; waits for memory count as its own.
_NEARLY_ALL = 0.95


def gather(
    runs: Iterable[tuple[str, Result | FleetRun]], *, margin: float = 0.02, limit: float | None = None, count: int = 0
) -> Fleet:
    """Puts the cells of all runs together, and each member against its peers: those of the same hardware.

    Runs are taken one by one, so that a thousand files need not be in memory.

    Args:
        runs: Each with its label.
        margin: The smallest relative difference worth naming.
        limit: The slow-down that a gate looks for; where it is smaller than the margin, it is the margin.
        count: How many runs there are; rankings are made for a few only.

    Raises:
        UsageError: If nothing was measured in any of them.
    """
    margin = margin if limit is None else min(margin, limit)
    compared: list[ComparedRun] = []
    cells: list[FleetCell] = []
    members: list[Member] = []
    doubts = _Doubts()
    alone: FleetRun | None = None
    for number, (label, run) in enumerate(runs):
        doubts.look(label, run)
        if isinstance(run, FleetRun):
            alone = run
            compared.append(_label_fleet(label, run))
            members += members_of_fleet(number, run)
        else:
            compared.append(label_run(label, run))
            members.append(member_of_run(label, number, run))
            cells += _cells(number, run, ranked=count <= _MOST_RANKED)
    if not cells and not any(member.logs for member in members):
        raise UsageError("nothing was measured in any of the runs, so there is nothing to put side by side")
    at_once = alone is not None and len(compared) == 1
    away = verdicts.simultaneous(alone, members) if at_once and alone else verdicts.independent(members)
    records = _told_apart([member.record for member in members])
    warnings = [*doubts.found(), *_held_up(records)]
    fleet = Fleet(runs=compared, warnings=warnings, cells=cells, members=records, margin=margin, limit=limit,
                  simultaneous=at_once)  # fmt: skip
    return _judged(fleet, away)


def _held_up(members: Sequence[FleetMember]) -> list[str]:
    """Processors that the fleet did not have to itself: what their members differ by is then somebody else's doing."""
    held = [one for one in members if one.readings.get(GOT, 1.0) < _NEARLY_ALL]
    if not held:
        return []
    got = words.percent(min(one.readings[GOT] for one in held))
    labels = words.listed([one.label for one in held])
    return [f"other programs ran on {labels}: a worker got down to {got} of its processor's time"]


def _judged(fleet: Fleet, away: Sequence[Sequence[Away]]) -> Fleet:
    import msgspec

    deviations, tests = verdicts.deviations(away, fleet.margin)
    over = list(verdicts.beyond(deviations, fleet.limit)) if fleet.limit is not None else []
    slow = verdicts.stragglers(deviations, fleet.members, fleet.margin)
    named = over if fleet.limit is not None else [one.member for one in slow]
    return msgspec.structs.replace(
        fleet, deviations=deviations, tests=tests, spreads=verdicts.spreads(away, fleet.members), stragglers=slow,
        over_limit=over, exclude=_exclude(fleet, named),
    )  # fmt: skip


def _cells(number: int, result: Result, *, ranked: bool) -> list[FleetCell]:
    libraries = {backend.name: backend.library for backend in result.backends}
    standings = _standings(View(result)) if ranked else {}
    return [
        FleetCell(**key.fields, run=number, library=libraries.get(key.backend, key.backend), seconds=cell.seconds,
                  gflops=cell.gflops, standing=standings.get(key, ""))
        for key, cell in measured(result).items() if cell.seconds is not None
    ]  # fmt: skip


def _standings(view: View) -> dict[CellKey, Literal["fastest", "tied"]]:
    standings: dict[CellKey, Literal["fastest", "tied"]] = {}
    for shape, ranking in view.rankings.items():
        standings |= {CellKey(name, shape): "tied" for name in ranking.tied}
        standings |= {CellKey(name, shape): "fastest" for name in ranking.ranked[:1]}
    return standings


def _label_fleet(label: str, run: FleetRun) -> ComparedRun:
    sets = len({turn.set for turn in run.turns})
    return ComparedRun(label=label, started=run.started, gemmscope=run.gemmscope, machine=run.machine, sets=sets)


def _told_apart(members: Sequence[FleetMember]) -> list[FleetMember]:
    """Members of one label (a node that was measured twice) with their run's number behind it."""
    import msgspec

    counts = collections.Counter(member.label for member in members)
    return [
        member if counts[member.label] == 1
        else msgspec.structs.replace(member, label=f"{member.label} (run {member.run + 1})")
        for member in members
    ]  # fmt: skip


def _exclude(fleet: Fleet, slow: Sequence[int]) -> list[str]:
    """Lines that keep work away from the slow members: of several nodes by node, as Slurm has it; of one by device."""
    members = [fleet.members[i] for i in slow]
    if not members:
        return []
    if len({one.node for one in fleet.members}) > 1:
        return [f"--exclude={','.join(dict.fromkeys(one.node for one in members if one.node))}"]
    left = ",".join(one.selector for i, one in enumerate(fleet.members) if i not in slow and one.selector)
    if not left:
        return []
    return [f"CUDA_VISIBLE_DEVICES={left}" if members[0].device.startswith("gpu") else f"taskset --cpu-list {left}"]


class _Doubts:
    """What the runs of a fleet do not share, and so makes a difference that is not the machine's."""

    def __init__(self) -> None:
        self._settings: dict[str, dict[str, None]] = {name: {} for name in _SAME}
        self._versions: dict[str, None] = {}
        self._cut_off: list[str] = []
        self._shared: list[str] = []
        self._own: dict[str, list[str]] = {}

    def look(self, label: str, run: Result | FleetRun) -> None:
        """Takes a run into account."""
        self._versions[run.gemmscope] = None
        for name, values in self._settings.items():
            if hasattr(run.settings, name):
                values[str(getattr(run.settings, name))] = None
        if run.status != "complete":
            self._cut_off.append(label)
        if isinstance(run, FleetRun):
            lost = [f"{one.name} was not measured: {one.reason}" for one in run.devices if one.status != "ok"]
            self._own[label] = [*lost, *run.warnings]
        elif any(one.other_runs for one in run.surroundings):
            self._shared.append(label)

    def found(self) -> list[str]:
        """The doubts, in sentences."""
        said = [
            f"the runs do not share their {name}: {words.listed(list(values))}"
            for name, values in self._settings.items() if len(values) > 1
        ]  # fmt: skip
        if len(self._versions) > 1:
            said.append(f"measured by different versions of gemmscope: {words.listed(list(self._versions))}")
        if self._shared:
            said.append(
                f"{words.listed(self._shared)}: another gemmscope, or another rank, was measuring on the same "
                "processors at the same time; bind each to processors of its own, or measure one after the other"
            )
        if self._cut_off:
            said.append(f"{words.listed(self._cut_off)} {'was' if len(self._cut_off) == 1 else 'were'} cut off")
        for label, warnings in self._own.items():
            said += warnings if len(self._own) == 1 else [f"{label}: {warning}" for warning in warnings]
        return said
