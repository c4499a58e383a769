"""Which members of a fleet are slower than their peers, by how much, and how sure that is."""

from __future__ import annotations

import collections
import math
import statistics
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis.runs.fleet import peers
from gemmscope.analysis.runs.fleet.members import log_seconds
from gemmscope.analysis.runs.fleet.reasons import reasons, sentence
from gemmscope.analysis.runs.model import Deviation, Spread, Straggler
from gemmscope.analysis.statistics import Estimate, apart, verdict, without

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gemmscope.analysis.runs.fleet.members import Member
    from gemmscope.analysis.runs.model import FleetMember
    from gemmscope.records.base import CellKey
    from gemmscope.records.fleet import FleetRun


class Away(NamedTuple):
    """How far a member is from its peers in one cell: of the logarithm, before anything is said of all together."""

    member: int
    key: CellKey
    seconds: float
    estimate: Estimate
    sets: int
    left_out: list[int]


def independent(members: Sequence[Member]) -> list[list[Away]]:
    """Members that were measured each for itself, such as hosts: for every cell that peers share, each one's place."""
    groups: dict[tuple[str, CellKey], list[int]] = collections.defaultdict(list)
    for i, member in enumerate(members):
        for key in member.logs:
            groups[member.record.hardware, key].append(i)
    found: list[list[Away]] = []
    for (_, key), peers_ in groups.items():
        if len(peers_) < 2:
            continue
        logs = [members[i].logs[key] for i in peers_]
        estimates, left_out = zip(*map(_over_sets, logs), strict=True)
        deviations = peers.from_centre(peers.pooled(estimates))
        found.append([
            Away(i, key, math.exp(one.mean), deviation, len(values), out)
            for i, one, deviation, values, out in zip(peers_, estimates, deviations, logs, left_out, strict=True)
        ])  # fmt: skip
    return found


def simultaneous(run: FleetRun, members: Sequence[Member]) -> list[list[Away]]:
    """Devices that were measured in windows together: deviations are taken inside each, where drift is common."""
    index = {device.name: i for i, device in enumerate(run.devices)}
    member_of = {index[member.record.device]: i for i, member in enumerate(members)}
    windows: dict[CellKey, dict[tuple[int, int], dict[int, float]]] = {}
    for turn in run.turns:
        if turn.together and turn.device in member_of:
            window = windows.setdefault(turn.key, {}).setdefault((turn.set, turn.round), {})
            window[member_of[turn.device]] = log_seconds(turn)
    found: list[list[Away]] = []
    for key, by_window in windows.items():
        away: dict[int, dict[int, list[float]]] = {}
        for (set_, _), logs in by_window.items():
            for member, centre in peers.peers_medians(logs).items():
                away.setdefault(member, {}).setdefault(set_, []).append(logs[member] - centre)
        medians = {
            member: {set_: statistics.median(values) for set_, values in sets.items()} for member, sets in away.items()
        }
        judged = {member: _over_sets(values) for member, values in medians.items()}
        estimates = peers.pooled([estimate for estimate, _ in judged.values()])
        if estimates:
            found.append([
                Away(member, key, math.exp(statistics.fmean(members[member].logs[key].values())), estimate,
                     len(medians[member]), judged[member][1])
                for member, estimate in zip(judged, estimates, strict=True)
            ])  # fmt: skip
    return found


def deviations(cells: Sequence[Sequence[Away]], margin: float) -> tuple[list[Deviation], int]:
    """Every deviation with its simultaneous interval and verdict, and for how many of them the intervals hold."""
    tests = sum(peers.comparisons(len(cell)) for cell in cells)
    found: list[Deviation] = []
    for one in (one for cell in cells for one in cell):
        ratio = peers.interval(one.estimate, tests)
        found.append(Deviation(**one.key.fields, member=one.member, seconds=one.seconds, ratio=ratio,
                               verdict=verdict(ratio, margin), sets=one.sets, left_out=one.left_out))  # fmt: skip
    return found, tests


def spreads(cells: Sequence[Sequence[Away]], members: Sequence[FleetMember]) -> list[Spread]:
    """What the peers differ by, for every cell."""
    return [
        Spread(**cell[0].key.fields, hardware=members[cell[0].member].hardware, members=len(cell),
               seconds=math.exp(statistics.median(math.log(one.seconds) for one in cell)),
               deviation=peers.spread([math.log(one.seconds) for one in cell]))
        for cell in cells
    ]  # fmt: skip


def beyond(found: Iterable[Deviation], limit: float) -> dict[int, list[Deviation]]:
    """Members that are shown to be slower by more than a share, each with the cells, the clearest first."""
    slow: dict[int, list[Deviation]] = {}
    for one in found:
        if one.ratio.low is not None and one.ratio.low > 1 + limit:
            slow.setdefault(one.member, []).append(one)
    for cells in slow.values():
        cells.sort(key=_clearness, reverse=True)
    return dict(sorted(slow.items(), key=lambda item: _clearness(item[1][0]), reverse=True))


def stragglers(found: Sequence[Deviation], members: Sequence[FleetMember], margin: float) -> list[Straggler]:
    """The members that are shown to be slower, the slowest first, each with a sentence."""
    by_member: Mapping[int, list[Deviation]] = collections.defaultdict(list)
    for one in found:
        by_member[one.member].append(one)
    told: list[Straggler] = []
    for member, cells in beyond(found, margin).items():
        others = [one for one in members if one.hardware == members[member].hardware and one is not members[member]]
        why = reasons(cells[0], by_member[member], members[member], others)
        told.append(Straggler(
            **cells[0].key.fields, member=member, ratio=cells[0].ratio, slower=len(cells),
            cells=len(by_member[member]), reasons=why,
            text=sentence(cells, len(by_member[member]), members[member], others, why),
        ))  # fmt: skip
    return told


def _clearness(one: Deviation) -> float:
    return one.ratio.low or 0.0


def _over_sets(values: Mapping[int, float]) -> tuple[Estimate, list[int]]:
    out = apart(list(values.values()))
    return without(list(values.values()), out), [list(values)[i] for i in out]
