"""What a fleet says, as a document: who is slower, then the members against their peers, then what it rests on."""

from __future__ import annotations

import collections
import math
from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report.document import Figures, Heading, Item, Items, Paragraph
from gemmscope.report.rows.fleet import MOST_TABULATED, deviations_table, readings_table, spreads_table
from gemmscope.report.rows.runs import machines_table
from gemmscope.workload.shapes import by_work

if TYPE_CHECKING:
    from gemmscope.analysis.runs.model import ComparedRun, Deviation, Fleet, FleetCell
    from gemmscope.report.document import Block
    from gemmscope.workload.shapes import Shape

_MOST_ROWS = 40
_SLOWEST, _FASTEST = 15, 5
_MOST_TOLD = 20

_INTERVALS = (
    "Against its peers is a member's time relative to the median of all others of the same hardware. The intervals are "
    "simultaneous: with 95 % all {tests} hold at once (Student's t over batches of fresh processes, Bonferroni). "
)
_AT_ONCE = "All devices worked at the same time, and what slowed all of them in a window is taken out. "
_APART = (
    "Members were measured each for itself. What one of them met by chance during its own run is not taken out; what a "
    "slow member does again in another run, only another run shows. "
)


def headline(fleet: Fleet) -> str:
    """How many are slower than their peers, in a sentence."""
    if not fleet.deviations:
        return "No two members have the same hardware and a cell in common, so there is nothing to say of any of them."
    judged = {one.member for one in fleet.deviations}
    margin = words.percent(fleet.margin)
    if not fleet.stragglers:
        return f"None of {len(judged)} members is shown to be more than {margin} slower than its peers."
    count = len(fleet.stragglers)
    verb, whose = ("is", "its") if count == 1 else ("are", "their")
    return f"{count} of {len(judged)} members {verb} shown to be more than {margin} slower than {whose} peers."


def summary(fleet: Fleet) -> str:
    """The fleet in a sentence: who is slower, the slowest by name."""
    if not fleet.stragglers:
        return headline(fleet)
    others = len(fleet.stragglers) - 1
    return words.line(fleet.stragglers[0].text) + (f" So are {words.count(others, 'other')}." if others else "")


def gate_sentence(fleet: Fleet) -> str:
    """Whether the gate holds; empty where none was asked for."""
    if fleet.limit is None:
        return ""
    limit = words.percent(fleet.limit)
    if not fleet.over_limit:
        return f"The gate holds: no member is shown to be more than {limit} slower than its peers."
    labels = [words.line(fleet.members[i].label) for i in fleet.over_limit]
    return f"The gate does not hold: more than {limit} slower than their peers: {words.listed(labels, _MOST_TOLD)}."


def fleet_page(fleet: Fleet) -> list[Block]:
    """The page of machines or devices beside each other."""
    page: list[Block] = [Heading(f"{words.count(len(fleet.members) or len(fleet.runs), 'member')} of a fleet")]
    if fleet.limit is not None:
        page.append(Paragraph(gate_sentence(fleet), "bad" if fleet.over_limit else "good"))
    page.append(Paragraph(headline(fleet), "strong"))
    told = [Item(one.text, "bad") for one in fleet.stragglers[:_MOST_TOLD]]
    if len(fleet.stragglers) > _MOST_TOLD:
        told.append(Item(f"and {words.count(len(fleet.stragglers) - _MOST_TOLD, 'other')}: see --json", "bad"))
    told += [Item("To leave them out:", "", line) for line in fleet.exclude]
    if told:
        page.append(Items(told))
    if fleet.deviations:
        page.append(Paragraph(_how(fleet)))
    if fleet.warnings:
        page.append(Items([Item(f"Warning: {warning}", "open") for warning in fleet.warnings]))
    if fleet.deviations:
        page += [Heading(_title(fleet)), Figures(deviations_table(fleet, shown(fleet)))]
        if len(fleet.members) > 2:
            page += [Heading("What the peers differ by"), Figures(spreads_table(fleet))]
    if len(fleet.members) <= MOST_TABULATED and any(member.readings for member in fleet.members):
        page += [Heading("What was read of each"), Figures(readings_table(fleet))]
    page += _side_by_side(fleet)
    return page


def shown(fleet: Fleet) -> list[Deviation]:
    """The deviations that a table shows, the slowest first: all of a small fleet; of a large one both ends.

    Of a large fleet each member has one row, for the cell in which it is farthest from its peers.
    """
    ordered = sorted(fleet.deviations, key=lambda one: -one.ratio.estimate)
    if len(ordered) <= _MOST_ROWS:
        return ordered
    farthest: dict[int, Deviation] = {}
    for one in sorted(ordered, key=lambda one: -abs(math.log(one.ratio.estimate))):
        farthest.setdefault(one.member, one)
    members = sorted(farthest.values(), key=lambda one: -one.ratio.estimate)
    return members if len(members) <= _SLOWEST + _FASTEST else members[:_SLOWEST] + members[-_FASTEST:]


def _title(fleet: Fleet) -> str:
    if len(fleet.deviations) <= _MOST_ROWS:
        return "Each against its peers"
    members = len({one.member for one in fleet.deviations})
    if members <= _SLOWEST + _FASTEST:
        return "Each where it is farthest from its peers"
    return f"The {_SLOWEST} slowest and the {_FASTEST} fastest of {members}, where they are farthest from their peers"


def _how(fleet: Fleet) -> str:
    text = _INTERVALS.format(tests=fleet.tests) + (_AT_ONCE if fleet.simultaneous else _APART)
    if len({one.member for one in fleet.deviations}) == 2:
        text += "Of two, each is the other's only peer: the slower is named, and nobody knows which is out of line."
    return text.strip()


def _side_by_side(fleet: Fleet) -> list[Block]:
    """Times of all backends by machine, where these are few enough to be read."""
    if not fleet.cells or len(fleet.runs) > MOST_TABULATED:
        return [Heading("The runs"), Paragraph(_counted(fleet))] if len(fleet.runs) > 1 else []
    page: list[Block] = [
        Heading("Side by side"),
        Paragraph(
            "Time of one call with its 95 % interval over batches of fresh processes, and GFLOP/s. A difference down a "
            "column is the machine's."
        ),
    ]
    by_shape: dict[Shape, list[FleetCell]] = collections.defaultdict(list)
    for cell in fleet.cells:
        by_shape[cell.shape].append(cell)
    for shape in by_work(by_shape):
        page += [Heading(shape.full_title), Figures(machines_table(shape, fleet.runs, by_shape[shape]))]
    return [*page, Heading("The runs"), Items.of(*map(of_run, fleet.runs))]


def _counted(fleet: Fleet) -> str:
    days = sorted(run.started[:10] for run in fleet.runs)
    when = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    kinds = collections.Counter(member.hardware for member in fleet.members)
    of = "; ".join(f"{count} of {words.line(name)}" for name, count in kinds.most_common(5))
    return f"{words.count(len(fleet.runs), 'run')}, {when}: {of}. --json has every one."


def of_run(run: ComparedRun) -> str:
    """A run in a line: what it is called, when and with what it was measured, and where."""
    return f"{run.label}, {run.started}, gemmscope {run.gemmscope}, {words.batches(run.sets)}, on {run.machine.name}"
