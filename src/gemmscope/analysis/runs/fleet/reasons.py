"""Why a member may be slower than its peers: what else sets it apart. It is seen, and not tried by an experiment."""

from __future__ import annotations

import collections
import math
import statistics
from typing import TYPE_CHECKING

from gemmscope.analysis.runs.fleet import members as names
from gemmscope.analysis.statistics import half_width
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.runs.model import Deviation, FleetMember

PLUS_MINUS = "\N{PLUS-MINUS SIGN}"

# What explains half of a slow-down or more is named as its reason.
_MOST_OF_IT = 0.5
# A clock that differs by less than its own steps (15 MHz of 1980) is the same.
_CLOCK_STEP = 0.008
# A limit, or other work, that is so much more frequent than at its peers.
_OFTEN = 0.1
# A program that takes less than this of a processor is the system's usual noise.
_NOTICEABLE = 0.005
_MOST_FACTS = 3
# As bound by memory as a product of a matrix and a vector: FLOP per byte.
_MEMORY_BOUND = 2.0


def reasons(
    worst: Deviation, cells: Sequence[Deviation], member: FleetMember, others: Sequence[FleetMember]
) -> list[str]:
    """What sets a slow member apart from its peers, the likeliest first; empty if nothing that is known does."""
    slowness = math.log(worst.ratio.estimate)
    found = [
        *_clock(slowness, member, others),
        *_limits(member, others),
        *_company(slowness, member, others),
        *_only_together(slowness, member, others),
        *_facts(member, others),
    ]
    return found + _memory(slowness, worst, cells)


def sentence(
    slow: Sequence[Deviation], cells: int, member: FleetMember, others: Sequence[FleetMember], why: Sequence[str]
) -> str:
    """Such as "gpu:3 is 2.1 % ± 0.2 slower than its peers (torch-gpu at 4096): SM clock, not memory."."""
    worst = slow[0]
    share, half = worst.ratio.estimate - 1, half_width(worst.ratio) * worst.ratio.estimate
    peers = others[0].label if len(others) == 1 else "its peers"
    where = f"{words.line(worst.key.label)} at {worst.shape.full_title}"
    if len(slow) > 1:
        where += f"; slower in {len(slow)} of {cells} cells"
    known = "; ".join(why) if why else "no reason was seen"
    return (
        f"{words.line(member.label)} is {100 * share:.1f} % {PLUS_MINUS} {100 * half:.1f} slower than "
        f"{words.line(peers)} ({where}): {known}."
    )


def _clock(slowness: float, member: FleetMember, others: Sequence[FleetMember]) -> list[str]:
    found: list[str] = []
    for name, what in ((names.SM_CLOCK, "SM clock"), (names.CORE_CLOCK, "clock of its processor"),
                       (names.MEMORY_CLOCK, "memory clock")):  # fmt: skip
        own, theirs = _own_and_theirs(name, member, others)
        if own and theirs and math.log(theirs / own) >= max(_CLOCK_STEP, _MOST_OF_IT * slowness):
            found.append(f"{what} ({own:,.0f} MHz against {theirs:,.0f})")
    return found


def _limits(member: FleetMember, others: Sequence[FleetMember]) -> list[str]:
    found: list[str] = []
    for name, share in member.readings.items():
        if name.startswith(names.HELD):
            theirs = statistics.median([one.readings.get(name, 0.0) for one in others] or [0.0])
            if share - theirs >= _OFTEN:
                found.append(f"{name} in {words.percent(share)} of readings, its peers in {words.percent(theirs)}")
    return found


def _company(slowness: float, member: FleetMember, others: Sequence[FleetMember]) -> list[str]:
    """Somebody else on the device, or on the host's processors."""
    found: list[str] = []
    own, theirs = _own_and_theirs(names.PROCESSES, member, others)
    if own is not None and theirs is not None and own > theirs:
        found.append(f"another process computes on it ({own:.0f} processes, {theirs:.0f} on its peers)")
    own, theirs = _own_and_theirs(names.GOT, member, others)
    if own is not None and theirs is not None and theirs - own >= max(_NOTICEABLE, _MOST_OF_IT * slowness):
        found.append(f"something else took {words.percent(theirs - own)} of its processor's time")
    for name, who in ((names.OTHERS, "other programs"), (names.STOLEN, "other virtual machines")):
        own, theirs = _own_and_theirs(name, member, others)
        if own is not None and theirs is not None and own - theirs >= max(_NOTICEABLE, _MOST_OF_IT * slowness):
            took = f"{words.percent(own)} of its processors' time"
            found.append(f"{who} took {took}, {words.percent(theirs)} at its peers")
    return found


def _only_together(slowness: float, member: FleetMember, others: Sequence[FleetMember]) -> list[str]:
    """Slow only while all are at work: what they share is power, cooling, memory or a host."""
    own, theirs = _own_and_theirs(names.ALONE, member, others)
    if own is not None and theirs is not None and math.log(own / theirs) >= _MOST_OF_IT * slowness:
        return ["only while all are at work: what they share, such as power or cooling"]
    return []


def _facts(member: FleetMember, others: Sequence[FleetMember]) -> list[str]:
    """What is set or installed otherwise than on most peers."""
    found: list[str] = []
    if len(others) < 2:
        return found  # of two nobody is the odd one
    for name in dict.fromkeys([*member.facts, *others[0].facts]):
        usual, count = collections.Counter(one.facts.get(name, "not set") for one in others).most_common(1)[0]
        own = member.facts.get(name, "not set")
        if own != usual and count > len(others) / 2:
            found.append(f"{words.line(name)} is {words.line(own)}, on its peers {words.line(usual)}")
    return found[:_MOST_FACTS]


def _memory(slowness: float, worst: Deviation, cells: Sequence[Deviation]) -> list[str]:
    """What the other probe says: whether memory is slow as well, or instead."""
    memory = [one for one in cells if one.shape.intensity < _MEMORY_BOUND and one.backend == worst.backend]
    compute = [one for one in cells if one.shape.intensity >= _MEMORY_BOUND and one.backend == worst.backend]
    if not memory or not compute:
        return []
    other, name = (compute, "arithmetic") if worst in memory else (memory, "memory")
    beside = max(other, key=lambda one: one.ratio.estimate).ratio
    if beside.low is None or beside.high is None:
        return []
    if math.log(beside.high) < _MOST_OF_IT * slowness:
        return [f"not {name}"]
    if beside.low > 1:
        return [f"{name} too ({words.percent(beside.estimate - 1, signed=True)})"]
    return []


def _own_and_theirs(name: str, member: FleetMember, others: Sequence[FleetMember]) -> tuple[float | None, float | None]:
    """A reading of a member, and the median of its peers'."""
    theirs = [one.readings[name] for one in others if name in one.readings]
    return member.readings.get(name), statistics.median(theirs) if theirs else None
