"""All shapes at a glance: a row for every call that a user can choose, for every shape its time and its speed-up."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.records import words
from gemmscope.records.base import CellKey, is_plain
from gemmscope.report.rows.model import Column, Group, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.ranking import Ranking
    from gemmscope.analysis.view import View
    from gemmscope.records.model import Result
    from gemmscope.report.rows.model import Tone
    from gemmscope.workload.shapes import Shape

FASTEST, TIED, UNSETTLED = "*", "=", "?"
_TONES: dict[str, Tone] = {FASTEST: "good", TIED: "good", UNSETTLED: "open"}
_MOST = 10
_OURS = "cblas-call"


class Standing(NamedTuple):
    """A call at a shape: its seconds, its place in the ranking, and how many times as fast as the baseline it is."""

    seconds: float
    mark: str
    speedup: float | None

    @property
    def text(self) -> str:
        """The time, behind its mark."""
        return f"{self.mark} {words.duration(self.seconds)}".strip()


@dataclass(frozen=True)
class OverviewRow:
    """A call by shape."""

    backend: str
    standings: dict[Shape, Standing]


def overview(view: View) -> Table[OverviewRow] | None:
    """The table; None where nothing was ranked. The fastest at the largest shape stands first.

    Calls in reduced precision are left out, which answer another question, and variants that were measured at half of
    the shapes or fewer. Marks are of what is shown.
    """
    rankings = {shape: ranking for shape, ranking in view.rankings.items() if ranking.ranked}
    if not rankings:
        return None
    counts = Counter(name for ranking in rankings.values() for name in ranking.ranked)
    shown = {name for name, count in counts.items() if is_plain(name) or 2 * count > len(rankings)}
    rows: dict[str, dict[Shape, Standing]] = {}
    for shape, ranking in rankings.items():
        names = [name for name in ranking.ranked if name in shown]
        for name in names:
            mark = FASTEST if name == names[0] else _mark(ranking, name)
            comparison = view.comparisons.get(CellKey(name, shape))
            speedup = None if comparison is None or not comparison.ratio.estimate else 1 / comparison.ratio.estimate
            rows.setdefault(name, {})[shape] = Standing(view.seconds(name, shape) or math.nan, mark, speedup)
    largest = list(rankings.values())[-1].ranked
    ordered = sorted(rows, key=lambda name: largest.index(name) if name in largest else len(largest))
    kept = _kept(ordered)
    columns: list[Column[OverviewRow]] = [Column("backend", "time of one call", lambda row: row.backend)]
    for shape in rankings:
        columns += _of(shape)
    return Table(
        "overview", "Time of one call, by shape, and how many times as fast as the baseline", columns,
        [Group("", [OverviewRow(name, rows[name]) for name in kept])],
    )  # fmt: skip


def _mark(ranking: Ranking, name: str) -> str:
    return UNSETTLED if name in ranking.unsettled else TIED if name in ranking.tied else ""


class HalfRow(NamedTuple):
    """Half of what a table for narrow screens says of a call: its times, or below them its speed-ups."""

    backend: str
    texts: dict[Shape, str]
    marks: dict[Shape, str]


def stacked(view: View) -> Table[HalfRow] | None:
    """The overview for a screen too narrow for two columns a shape: speed-ups stand below times."""
    whole = overview(view)
    if whole is None:
        return None
    halves = [half for row in whole.rows for half in _halves(row)]
    columns: list[Column[HalfRow]] = [Column("backend", "time of one call", lambda row: row.backend)]
    columns += [_stacked(shape) for shape in view.rankings]
    return Table("overview-stacked", whole.caption, columns, [Group("", halves)], dense=True)


def _halves(row: OverviewRow) -> Iterator[HalfRow]:
    marks = {shape: one.mark for shape, one in row.standings.items()}
    yield HalfRow(row.backend, {shape: words.duration(one.seconds) for shape, one in row.standings.items()}, marks)
    # A baseline has no speed-up over itself.
    speedups = {
        shape: one.mark + (f"1{words.TIMES}" if one.speedup is None else words.speedup(one.speedup))
        for shape, one in row.standings.items()
    }
    yield HalfRow("", speedups, marks)


def _stacked(shape: Shape) -> Column[HalfRow]:
    return Column(
        f"at-{shape}", shape.title, lambda row: row.texts.get(shape), right=True,
        tone=lambda row: _TONES.get(row.marks.get(shape, ""), ""),
    )  # fmt: skip


def legend(result: Result, table: Table[OverviewRow]) -> dict[str, str]:
    """What the marks in the table mean, and the sign of a speed-up."""
    marks = {FASTEST: "fastest", TIED: "tied with it"}
    if any(one.mark == UNSETTLED for row in table.rows for one in row.standings.values()):
        marks[UNSETTLED] = "too noisy to tell whether slower"
    baseline = next((one.baseline for one in result.comparisons), "")
    return marks | ({words.TIMES: f"times as fast as {words.line(baseline)}"} if baseline else {})


def beside(table: Table[OverviewRow]) -> str:
    """What stands in the table and not in the headline; empty where that is nothing."""
    ours = any(row.backend.partition(":")[0] == _OURS for row in table.rows)
    return f"{_OURS} is gemmscope's own direct call from C++; the headline compares libraries." if ours else ""


def note(result: Result, table: Table[OverviewRow]) -> str:
    """How to read the table."""
    marks = legend(result, table)
    ratio = marks.pop(words.TIMES, "")
    said = ", ".join(f"{mark} {meaning}" for mark, meaning in marks.items())
    return " ".join(filter(None, [f"{said}{f'; {words.TIMES}: {ratio}' if ratio else ''}.", beside(table)]))


def _kept(names: list[str]) -> list[str]:
    """As many as fit on a screen: variants are the first to be left out, the slowest of them first."""
    plain = list(filter(is_plain, names))
    variants = [name for name in names if not is_plain(name)][: max(0, _MOST - len(plain))]
    return [name for name in names if name in plain or name in variants]


def _of(shape: Shape) -> list[Column[OverviewRow]]:
    def standing(row: OverviewRow) -> Standing | None:
        return row.standings.get(shape)

    def tone(row: OverviewRow) -> Tone:
        found = standing(row)
        return _TONES.get(found.mark, "") if found is not None else ""

    return [
        Column(f"time-{shape}", shape.title, standing, lambda one: one.text, right=True, tone=tone),
        Column(f"speedup-{shape}", "", lambda row: one.speedup if (one := standing(row)) else None,
               words.speedup, right=True, drop=1, name="speed-ups"),
    ]  # fmt: skip
