"""The table of a run in progress: what is known so far of every backend at every shape.

Events go in and lines come out; :mod:`gemmscope.report.progress` decides when to draw. All of it happens between turns,
where time spent is the harness's overhead. So taking in an event costs next to nothing, and a drawing computes medians
and ratios only of sets that have had samples since the last one.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics as stdlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from gemmscope.analysis import statistics
from gemmscope.analysis.comparison import baseline_of
from gemmscope.records import words
from gemmscope.records.base import CellKey, Interval
from gemmscope.records.events import (
    BackendProbed,
    CellFailed,
    CellPrepared,
    RunStarted,
    SamplesTaken,
    SetFinished,
    SetStarted,
    ShapeStarted,
    TurnStarted,
    WorkerEnded,
)
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from gemmscope.records.events import Event
    from gemmscope.records.model import BackendRecord, Sample, Status

# Widths that never change, so that no figure jumps: '0.296 ns', '±<0.1 %', '0.052', 'unclear'. Two shapes and names as
# long as 'torch-cpu:out' fit into 80 columns.
_TIME, _HALF, _RATIO, _VERDICT = 8, 7, 5, 7
_BLOCK = _TIME + 1 + _HALF + 1 + _RATIO + 1 + _VERDICT
_GAP = 3
_MIN_NAME, _MAX_NAME = 8, 28
# Two headers, the line that says what is not shown, and the status.
_LINES_BESIDE_ROWS = 4

# As in the final table, but faint: these verdicts are provisional.
_VERDICT_STYLES = {"faster": "dim green", "slower": "dim red", "unclear": "dim yellow", "same": "dim"}
_NONE_YET = "…"
_CURRENT = "▸"
_SHORT = {"unavailable": "–", "skipped": "–"}
# One character for one, so that widths stay.
_ASCII = {ord(_NONE_YET): ".", ord(_CURRENT): ">", ord("±"): "~", ord("–"): "-"}


@dataclass
class _Cell:
    """One backend at one shape: samples by set, and of each set the median and the ratio to the baseline."""

    status: Status
    samples: dict[int, list[Sample]] = field(default_factory=dict)
    new: set[int] = field(default_factory=set)
    medians: dict[int, float] = field(default_factory=dict)
    ratios: dict[int, float] = field(default_factory=dict)

    def add(self, samples: Sequence[Sample]) -> None:
        """Takes in samples of one turn, without those whose time cannot be: it has no logarithm."""
        possible = [sample for sample in samples if 0 < sample.seconds < math.inf]
        if possible:
            self.samples.setdefault(possible[0].set, []).extend(possible)
            self.new.add(possible[0].set)

    @property
    def estimate(self) -> float:
        """The seconds of one call so far, where there are medians."""
        return stdlib.geometric_mean(self.medians.values())

    def update(self, baseline: _Cell | None) -> None:
        """Computes what has changed since the last time: sets with new samples, here or of the baseline."""
        for set_ in self.new:
            self.medians |= statistics.set_medians(self.samples[set_])
        if baseline is None:
            return
        for set_ in self.new | baseline.new:
            self.ratios |= statistics.set_ratios(self.samples.get(set_, ()), baseline.samples.get(set_, ()))[0]


class LiveTable:
    """A rich renderable of a run's state: a row for every backend, and a block of columns for every shape.

    A block has the time of one call, the estimate so far; the relative half-width of its 95 % interval; the ratio to
    the baseline's time, and the verdict as it stands. Interval and verdict need two sets in which the shape is done:
    a set that has only begun moves the estimates, but is no unit of the statistics yet. Where the terminal is too
    narrow for that, all shapes have their times alone, with the shortest in green.

    It is never wider or higher than the terminal. Shapes that do not fit even so are left out, never the current one,
    and rows too, unavailable backends first.
    """

    def __init__(self) -> None:
        self._backends: dict[str, BackendRecord] = {}
        self._shapes: list[Shape] = []
        # In latency only: events of other modes, and of the reference workload, find no cell here.
        self._cells: dict[CellKey, _Cell] = {}
        self._baselines: dict[Shape, str] = {}
        self._margin = 0.0
        # The set and the shape that are being measured, and the shape that is marked: it stays between two sets.
        self._running: tuple[int, Shape] | None = None
        self._current: Shape | None = None
        self._status: Sequence[str] = [""]
        self._widths: list[int] = []

    # --- Events -------------------------------------------------------------------------------------------------------

    def note(self, event: Event) -> None:  # noqa: C901, PLR0912  (one case for each kind of event)
        """Takes note of an event, without computing anything."""
        match event:
            case RunStarted():
                self._start(event)
            case SetStarted() if any(cell.samples for cell in self._cells.values()):
                # The first interval imports scipy, which takes a third of a second: now, while no worker is alive.
                statistics.t_interval((1.0, 2.0))
            case ShapeStarted() | TurnStarted():
                self._run(event.set, Shape.parse(event.shape))
            case SetFinished():
                self._running = None
            case BackendProbed() if event.status != "ok":
                for cell in self._cells_of([event.backend]):
                    if cell.status == "ok" and not cell.samples:  # one that is lost later keeps its figures
                        cell.status = event.status
            case WorkerEnded():
                hosted = [name for name, backend in self._backends.items() if backend.worker == event.worker]
                for cell in self._cells_of(hosted):
                    cell.status = "failed" if cell.status == "ok" else cell.status
            case CellPrepared() | CellFailed() if event.key in self._cells:
                cell = self._cells[event.key]
                if cell.status != "failed":  # what failed in one set stays failed
                    cell.status = event.status if isinstance(event, CellPrepared) else "failed"
            case SamplesTaken() if event.samples and event.key in self._cells:
                self._cells[event.key].add(event.samples)
                self._run(event.samples[0].set, event.shape)
            case _:
                pass

    def _start(self, event: RunStarted) -> None:
        self._backends = {backend.name: backend for backend in event.backends}
        self._shapes = [Shape.parse(shape) for shape in event.settings.shapes]
        self._cells = {
            CellKey(backend.name, shape): _Cell(backend.status)
            for backend, shape in itertools.product(self._backends.values(), self._shapes)
            if event.settings.asks_for(backend.name, str(shape))
        }
        self._margin = event.settings.margin
        self._current = next(iter(self._shapes), None)

    def _run(self, set_: int, shape: Shape) -> None:
        self._running = (set_, shape)
        if shape in self._shapes:
            self._current = shape

    def _cells_of(self, backends: Sequence[str]) -> list[_Cell]:
        return [cell for key, cell in self._cells.items() if key.backend in backends]

    # --- Figures ------------------------------------------------------------------------------------------------------

    def update(self, status: Sequence[str]) -> None:
        """Computes what has changed, to be drawn.

        Args:
            status: The line beneath the table in several lengths, the longest first: the first that fits is drawn.
        """
        self._status = status
        comparable = [name for name, backend in self._backends.items() if backend.multiplies]
        for shape in self._shapes:
            cells = {name: cell for name in self._backends if (cell := self._cells.get(CellKey(name, shape)))}
            baseline = baseline_of([name for name in comparable if name in cells and cells[name].status == "ok"])
            if baseline != self._baselines.get(shape):
                self._baselines[shape] = baseline  # and every ratio is another
                for cell in cells.values():
                    cell.ratios.clear()
                    cell.new.update(cell.samples)
            for name, cell in cells.items():
                cell.update(cells.get(baseline) if name in comparable and name != baseline else None)
            for cell in cells.values():
                cell.new.clear()

    # --- Lines --------------------------------------------------------------------------------------------------------

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines for a terminal of that size, from the figures of the last update."""
        width, height = max(1, options.max_width - 1), options.size.height - 1
        parts = Group(*self._parts(width, height))
        lines = console.render_lines(parts, options.reset_height().update(width=width), pad=False)
        lines = [_trimmed(line) for line in lines]
        self._widths = [Segment.get_line_length(line) for line in lines]
        for i, line in enumerate(lines):
            if i:
                yield Segment.line()
            for text, style, _ in line:
                yield Segment(words.in_ascii(text.translate(_ASCII)) if options.ascii_only else text, style)

    def folds_at(self, width: int) -> int:
        """By how many lines what was drawn last grows, if the terminal has become so narrow that it folds lines."""
        return sum(max(0, -(-drawn // width) - 1) for drawn in self._widths)

    def _parts(self, width: int, height: int) -> list[RenderableType]:
        """The table, what it leaves out, and the status; or the status alone where there is no room for a table."""
        status = _one_line(next((line for line in self._status if cell_len(line) <= width), self._status[-1]))
        names = {name: Text(words.line(name), "dim" if self._is_absent(name) else "") for name in self._backends}
        longest = min(max([len("backend"), *(name.cell_len for name in names.values())]), _MAX_NAME)
        in_full = (width - longest) // (_GAP + _BLOCK) >= len(self._shapes)
        widest = max(len(shape.title) for shape in self._shapes) if self._shapes else 0
        gap, block = (_GAP, _BLOCK) if in_full else (0, max(_TIME, widest + 2))
        name_width = min(longest, width - gap - block)
        room = height - _LINES_BESIDE_ROWS
        if not self._cells or room < 1 or name_width < min(longest, _MIN_NAME):
            return [status]
        shapes = self._shown_shapes(max(1, (width - longest) // (gap + block)))
        shown = sorted(self._backends, key=self._is_absent)[:room]
        rows = [name for name in self._backends if name in shown]

        table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="")
        table.add_column(Text("backend", "bold"), width=name_width, no_wrap=True, vertical="bottom")
        columns = [Text("\n").join(names[name] for name in rows)]
        for shape in shapes:
            table.add_column(self._header(shape) if in_full else self._title(shape, block), width=block, no_wrap=True)
            times = (self._block(name, shape) if in_full else self._time(name, shape, block) for name in rows)
            columns.append(Text("\n").join(times))
        # All lines are one row of the table: rich takes twice as long where every backend is a row of its own.
        table.add_row(*columns)

        left_out = []
        if len(rows) < len(names):
            left_out.append(f"{_NONE_YET} and {words.count(len(names) - len(rows), 'more row')}")
        if len(shapes) < len(self._shapes):
            left_out.append(f"(+{words.count(len(self._shapes) - len(shapes), 'more shape')})")
        return [table, _one_line(" ".join(left_out)), status]

    def _header(self, shape: Shape) -> Text:
        mark, style = (_CURRENT, "bold") if shape == self._current else (" ", "dim")
        baseline = self._baselines.get(shape)
        compared = f" / {words.line(baseline)}" if baseline else ""
        return Text(f"{mark} {shape.full_title}\n{'time':>{_TIME}} {'±':>{_HALF}}{compared}", style)

    def _title(self, shape: Shape, width: int) -> Text:
        """The header above times alone."""
        mark, style = (f"{_CURRENT} ", "bold") if shape == self._current else ("", "dim")
        return Text(f"{mark + shape.title:>{width}}", style)

    def _time(self, backend: str, shape: Shape, width: int) -> Text:
        """A cell's time alone; the shortest of those that a user can choose is green."""
        cell = self._cells.get(CellKey(backend, shape))
        if cell is None or cell.status != "ok" or not cell.medians:
            word = "" if cell is None else _NONE_YET if cell.status == "ok" else _SHORT.get(cell.status, cell.status)
            return Text(f"{word:>{width}}", "red" if cell is not None and cell.status == "failed" else "dim")
        others = (self._cells.get(CellKey(name, shape)) for name, one in self._backends.items() if one.is_choice)
        least = min((one.estimate for one in others if one is not None and one.medians), default=math.inf)
        return Text(f"{words.duration(cell.estimate):>{width}}", "green" if cell.estimate == least else "")

    def _block(self, backend: str, shape: Shape) -> Text:
        """A cell's block of columns."""
        cell = self._cells.get(CellKey(backend, shape))
        if cell is None:
            return Text("")
        if cell.status != "ok":
            return Text(f"{cell.status:>{_TIME + 1 + _HALF}}", "red" if cell.status == "failed" else "dim")
        if not cell.medians:
            return Text(f"{_NONE_YET:>{_TIME}}", "dim")
        # The set that is running at this shape has no part in intervals.
        running = self._running[0] if self._running is not None and self._running[1] == shape else None
        time, half = words.duration(cell.estimate), _half_width(cell.medians, running)
        block = Text.assemble(f"{time:>{_TIME}} ", (f"{half:>{_HALF}} ", "dim"))
        if backend == self._baselines.get(shape):
            block.append(f"{'1':>{_RATIO}}", "dim")
        elif cell.ratios:
            block.append(f"{_ratio(stdlib.geometric_mean(cell.ratios.values())):>{_RATIO}} ")
            interval = _interval(cell.ratios, running)
            if interval is not None:
                verdict = statistics.verdict(interval, self._margin)
                block.append(verdict, _VERDICT_STYLES[verdict])
        return block

    def _shown_shapes(self, fit: int) -> list[Shape]:
        """As many as fit, always the same together: they change only when the current shape is none of them."""
        at = self._shapes.index(self._current) if self._current is not None else 0
        begin = max(0, min(at // fit * fit, len(self._shapes) - fit))
        return self._shapes[begin : begin + fit]

    def _is_absent(self, backend: str) -> bool:
        """Whether nothing can be expected of a backend, and nothing went wrong either."""
        return all(cell.status == "unavailable" for cell in self._cells_of([backend]))


# --- Words and lines --------------------------------------------------------------------------------------------------


def _interval(by_set: dict[int, float], running: int | None) -> Interval | None:
    """The interval over the sets that are done; None from fewer than two."""
    done = tuple(value for set_, value in by_set.items() if set_ != running)
    return _ratio_interval(done) if len(done) > 1 else None


# Cached, since it changes only when a set is done, and takes most of the time that a cell takes.
_ratio_interval = functools.lru_cache(maxsize=1024)(statistics.ratio_interval)


def _half_width(medians: dict[int, float], running: int | None) -> str:
    interval = _interval(medians, running)
    if interval is None:
        return ""
    half = statistics.half_width(interval)
    if half < 0.0005:
        return "±<0.1 %"
    return f"±{words.percent(half)}" if half < 9.995 else "±>999 %"


def _ratio(value: float) -> str:
    """A ratio in five characters."""
    if value < 0.0095:
        return "<0.01"
    return words.ratio_median(Interval(estimate=value)) if value < 99999.5 else f"{value:.0e}"


def _one_line(text: str) -> Text:
    return Text(text.rstrip(), "dim", no_wrap=True, overflow="ellipsis")


def _trimmed(line: list[Segment]) -> list[Segment]:
    """A line without the spaces at its end: only some terminals fold those, so they would make the height uncertain."""
    while line and not line[-1].text.strip():
        line = line[:-1]
    return [*line[:-1], Segment(line[-1].text.rstrip(), line[-1].style)] if line else []
