"""A fleet as tables: members against their peers, and what peers differ by in each cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.analysis.runs.fleet.members import ALONE, HELD
from gemmscope.records import words
from gemmscope.report.rows.cells import INTERVAL
from gemmscope.report.rows.model import Column, Group, Table
from gemmscope.report.rows.runs import OUTCOMES, TONES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.runs.model import Deviation, Fleet, FleetMember, Spread

# More runs than a reader takes in: of a large fleet the ends are shown, and the rest as a distribution.
MOST_TABULATED = 12


@dataclass(frozen=True)
class DeviationRow:
    """One deviation with its member's name."""

    label: str
    one: Deviation


@dataclass(frozen=True)
class SpreadRow:
    """What peers differ by in one cell, with the slowest and the fastest of them."""

    one: Spread
    slowest: DeviationRow
    fastest: DeviationRow


def deviations_table(fleet: Fleet, shown: Sequence[Deviation]) -> Table[DeviationRow]:
    """A row for each deviation, as they are handed in."""
    columns: list[Column[DeviationRow]] = [
        Column("member", "member", lambda row: row.label),
        Column("backend", "backend", lambda row: row.one.key.label),
        Column("shape", "shape", lambda row: row.one.shape.full_title, right=True),
        Column("time", "time", lambda row: row.one.seconds, words.duration, right=True, drop=2),
        Column("deviation", "against\nits peers", lambda row: row.one.ratio.estimate - 1, signed, right=True),
        Column("deviation-interval", INTERVAL, lambda row: row.one, bounds, name="intervals"),
        Column("verdict", "verdict", lambda row: row.one.verdict, OUTCOMES.__getitem__,
               tone=lambda row: TONES[row.one.verdict]),
        Column("sets", "batches", lambda row: row.one.sets, right=True, drop=1),
    ]  # fmt: skip
    rows = [DeviationRow(fleet.members[one.member].label, one) for one in shown]
    return Table("deviations", "Members against the median of their peers", columns, [Group("", rows)])


def spreads_table(fleet: Fleet) -> Table[SpreadRow]:
    """A row for every cell of each kind of hardware."""
    several = len({one.hardware for one in fleet.spreads}) > 1
    columns: list[Column[SpreadRow]] = [
        Column("backend", "backend", lambda row: row.one.key.label),
        Column("shape", "shape", lambda row: row.one.shape.full_title, right=True),
        Column("hardware", "hardware", lambda row: row.one.hardware if several else None, drop=1),
        Column("members", "members", lambda row: row.one.members, right=True),
        Column("typical", "typical\ntime", lambda row: row.one.seconds, words.duration, right=True),
        Column("spread", "spread", lambda row: row.one.deviation, words.percent, right=True),
        Column("slowest", "slowest", lambda row: row.slowest, _extreme),
        Column("fastest", "fastest", lambda row: row.fastest, _extreme, drop=2),
    ]
    return Table("spreads", "What the peers differ by", columns, [Group("", _spread_rows(fleet))])


def readings_table(fleet: Fleet) -> Table[FleetMember]:
    """A row for each member, and a column for each reading that any of them has."""
    names = dict.fromkeys(name for member in fleet.members for name in member.readings)
    columns: list[Column[FleetMember]] = [
        Column("member", "member", lambda member: member.label),
        *(_reading_column(name, number) for number, name in enumerate(names)),
    ]
    return Table("readings", "What was read of each member", columns, [Group("", fleet.members)])


def _reading_column(name: str, number: int) -> Column[FleetMember]:
    def text(value: float) -> str:
        if name == ALONE:
            return f"{value:.3f}"
        return words.percent(value) if name.startswith((HELD, "share")) else f"{value:,.0f}"

    # Two lines: most are longer than what stands below them.
    middle = name.find(" ", len(name) // 2)
    heading = name if middle < 0 else f"{name[:middle]}\n{name[middle + 1 :]}"
    return Column(f"reading-{number}", heading, lambda member: member.readings.get(name), text, right=True,
                  drop=number + 1, name=name)  # fmt: skip


def signed(share: float) -> str:
    """A deviation with its sign, to a tenth of a percent where it is below ten."""
    # Without the sign of what is rounded to nothing.
    return words.percent(share, signed=True) if round(share, 3) else "0 %"


def bounds(one: Deviation) -> str:
    """The simultaneous interval of a deviation in percent."""
    low, high = one.ratio.low, one.ratio.high
    if low is None or high is None:
        return "no interval"
    if words.is_too_wide(one.ratio):
        return f"[> {100 * (low - 1):+.1f}]" if low > 1 else words.TOO_NOISY
    return f"[{100 * (low - 1):+.1f}, {100 * (high - 1):+.1f}]"


def _extreme(row: DeviationRow) -> str:
    return f"{row.label} {signed(row.one.ratio.estimate - 1)}"


def _spread_rows(fleet: Fleet) -> list[SpreadRow]:
    by_cell: dict[tuple[object, str], list[DeviationRow]] = {}
    for one in fleet.deviations:
        member = fleet.members[one.member]
        by_cell.setdefault((one.key, member.hardware), []).append(DeviationRow(member.label, one))
    rows: list[SpreadRow] = []
    for spread in fleet.spreads:
        those = by_cell[spread.key, spread.hardware]
        slowest = max(those, key=lambda row: row.one.ratio.estimate)
        rows.append(SpreadRow(spread, slowest, min(those, key=lambda row: row.one.ratio.estimate)))
    return rows
