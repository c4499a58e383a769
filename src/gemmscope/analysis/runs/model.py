"""The records of a comparison of runs: what ``gemmscope compare --json`` prints."""

from __future__ import annotations

from typing import Literal

from gemmscope.records.base import CellRecord, Interval, Mode, Record
from gemmscope.records.model import Machine

# "machine" is a cell that moved as the machine did, so that nothing can be said of its library.
Outcome = Literal["faster", "slower", "same", "unclear", "machine"]
MachineStatus = Literal["steady", "changed", "doubtful", "unknown"]


class ComparedRun(Record, frozen=True, kw_only=True):
    """One of the runs: ``label`` is its file as it was named, ``sets`` how many sets it has."""

    label: str
    started: str
    gemmscope: str
    machine: Machine
    sets: int


class Difference(Record, frozen=True, kw_only=True):
    """One fact that two runs do not share: ``of`` names workers by their libraries, ``machine`` or ``settings``."""

    of: list[str]
    fact: str
    before: str
    after: str


class MachineChange(Record, frozen=True, kw_only=True, rename={"reference": "canary"}):
    """Whether the machine changed between two runs.

    ``reference`` is the ratio of the reference workload's times (``canary`` in JSON), ``common`` that of all cells of
    libraries that are the same in both runs, taken together. ``"changed"``: the reference workload moved, and the
    others with it, as far as there are any; ``"doubtful"``: one moved without the other; ``"unknown"``: there is
    neither. ``text`` says so in a sentence.
    """

    status: MachineStatus
    reference: Interval | None = None
    common: Interval | None = None
    text: str


class Change(CellRecord, frozen=True, kw_only=True, rename={"rests_on_reference": "rests_on_canary"}):
    """The time of one cell in the later run relative to the earlier one: a ``ratio`` above 1 is slower.

    The interval is over sets and holds what runs of one machine differ by. ``relative`` is the ratio once each time is
    divided by that of the reference workload beside it, ``beside_others`` once it is divided by what the other
    libraries that did not change took in the same sets. ``verdict`` holds when all cells are taken together (Holm's
    method). It is that of ``beside_others``; where there are too few others for it: where the machine changed, both
    other ratios must agree; else it is that of the sharper one, of ``relative`` if ``rests_on_reference``
    (``rests_on_canary`` in JSON). ``library_changed`` is True where what is recorded of the
    library of ``worker`` differs. ``before`` and ``after`` are seconds of one call.
    """

    library: str
    worker: str
    library_changed: bool
    before: float
    after: float
    ratio: Interval
    relative: Interval | None = None
    beside_others: Interval | None = None
    rests_on_reference: bool = False
    verdict: Outcome = "unclear"
    sets: tuple[int, int]


class Slowdown(Record, frozen=True, kw_only=True):
    """A cell that is slower than the gate allows, by an interval that is corrected for all cells."""

    backend: str
    shape: str
    mode: Mode
    ratio: Interval


class Gate(Record, frozen=True, kw_only=True):
    """What ``--fail-slower-than`` found: ``limit`` is a share, 0.05 for 5 %."""

    limit: float
    slower: list[Slowdown]


class RunsComparison(Record, frozen=True, kw_only=True):
    """A later run against an earlier one of the same machine. ``left_out`` says which cells are in one run only."""

    before: ComparedRun
    after: ComparedRun
    margin: float
    warnings: list[str]
    left_out: list[str]
    differences: list[Difference]
    machine: MachineChange
    changes: list[Change]
    gate: Gate | None = None


class FleetCell(CellRecord, frozen=True, kw_only=True):
    """A cell's time on one machine; ``run`` is the index of its run.

    ``standing`` is ``"fastest"`` for the first of its run's ranking at this shape, and ``"tied"`` for those that are
    tied with it; in a fleet of many runs it is empty.
    """

    run: int
    library: str
    seconds: Interval
    gflops: float | None
    standing: Literal["", "fastest", "tied"] = ""


class FleetMember(Record, frozen=True, kw_only=True):
    """A host, a rank's share of one, or a device. ``run`` is the index of its run, ``selector`` as in FleetDevice.

    Peers are members with the same ``hardware``, as a text. ``facts`` are settings and versions that peers should
    share, ``readings`` figures that they should come near to; what is not known is not there.
    """

    label: str
    run: int
    node: str = ""
    device: str = ""
    selector: str = ""
    hardware: str = ""
    facts: dict[str, str] = {}
    readings: dict[str, float] = {}


class Deviation(CellRecord, frozen=True, kw_only=True):
    """A member's time in one cell relative to its peers': to the median of them.

    ``seconds`` is one call's. ``ratio`` has the interval that, with 95 %, holds for all deviations of a fleet at once.
    ``sets`` is how many sets of fresh processes it rests on; ``left_out`` those that lie apart from the others.
    """

    member: int
    seconds: float
    ratio: Interval
    verdict: Outcome = "unclear"
    sets: int = 0
    left_out: list[int] = []


class Straggler(CellRecord, frozen=True, kw_only=True):
    """A member that is shown to be slower than its peers, in the cell where that is clearest.

    ``slower`` is in how many of its ``cells`` it is. ``reasons`` are what else sets it apart, in words; ``text`` is the
    whole in a sentence.
    """

    member: int
    ratio: Interval
    slower: int
    cells: int
    reasons: list[str] = []
    text: str = ""


class Spread(CellRecord, frozen=True, kw_only=True):
    """What peers differ by in one cell, as a robust standard deviation of their times; None for fewer than three."""

    hardware: str
    members: int
    seconds: float
    deviation: float | None = None


class Fleet(Record, frozen=True, kw_only=True):
    """Machines or devices beside each other, and against their peers.

    ``tests`` is how many deviations the simultaneous intervals hold for. ``limit`` is what was asked of
    ``--fail-slower-than``, and ``over_limit`` the members shown to be slower by more than that. ``exclude`` are lines
    that keep a scheduler away from the stragglers. ``simultaneous`` says that all were measured at the same time, so
    that what slowed all of them is no part of any deviation.
    """

    runs: list[ComparedRun]
    warnings: list[str]
    cells: list[FleetCell]
    members: list[FleetMember] = []
    deviations: list[Deviation] = []
    spreads: list[Spread] = []
    stragglers: list[Straggler] = []
    margin: float = 0.02
    tests: int = 0
    limit: float | None = None
    over_limit: list[int] = []
    exclude: list[str] = []
    simultaneous: bool = False
