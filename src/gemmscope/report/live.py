"""The table of a run that goes on: what is known so far of every backend at every shape.

Pure: events go in and lines come out; when to draw is for :mod:`gemmscope.report.progress` to say. Between two drawings
an event costs next to nothing, and a drawing computes only the cells that have had samples since the last one: all of
this happens between turns, where time spent is the harness's overhead.
"""

from __future__ import annotations

import bisect
import math
import statistics as stdlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

from gemmscope.analysis import statistics
from gemmscope.records import words
from gemmscope.records.base import Interval
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
from gemmscope.records.model import BASELINE, REFERENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

    from gemmscope.records.events import Event
    from gemmscope.records.model import BackendRecord, Sample, Verdict

# Widths that never change, so that no figure jumps: '0.296 ns', '±<0.1 %', '0.052', 'unclear'. Two shapes and names as
# long as 'torch-cpu:out' fit into 80 columns.
_TIME, _HALF, _RATIO, _WORD = 8, 7, 5, 7
_BLOCK = _TIME + 1 + _HALF + 1 + _RATIO + 1 + _WORD
_GAP = 3
_LEAST_NAME, _MOST_NAME = 8, 28
# Two headers, the line that says what is not shown, and the status.
_LINES_BESIDE_ROWS = 4

_PLAIN = Style()
_DIM = Style(dim=True)
_BOLD = Style(bold=True)
_RED = Style(color="red")
# As in the final table, but faint: these verdicts are provisional.
_VERDICTS: dict[Verdict, Style] = {
    "faster": Style(color="green", dim=True),
    "slower": Style(color="red", dim=True),
    "unclear": Style(color="yellow", dim=True),
    "same": _DIM,
}
_NONE_YET = "…"
_HERE = "▸"
# One character for one, as in_ascii does: widths stay.
_ASCII = {ord(_NONE_YET): ".", ord(_HERE): ">", ord("±"): "~"}

_Round = tuple[int, int]  # set, round


class Part(NamedTuple):
    """A part of the line beneath the table.

    Where the parts do not all fit, those of the highest rank are left out first, and rank 0 never is. Each is taken to
    be at least as wide as its ``room``, so that a part does not come and go as the figures in it grow and shrink.
    """

    text: str
    rank: int = 0
    room: int = 0


@dataclass
class _Cell:
    """What is known of one backend at one shape, in latency.

    ``rounds`` has the turn of each round and the seconds of one product of its samples; ``seconds`` the same by set,
    sorted, so that a median is at hand; ``logs``, sorted too, the logarithms of the ratios to the baseline. ``new`` are
    samples that came since the last drawing; ``unpaired`` rounds in which the baseline has none yet.
    """

    lost: str = ""
    dirty: bool = True
    new: list[Sample] = field(default_factory=list)
    rounds: dict[_Round, tuple[int, list[float]]] = field(default_factory=dict)
    unpaired: list[_Round] = field(default_factory=list)
    seconds: dict[int, list[float]] = field(default_factory=dict)
    logs: dict[int, list[float]] = field(default_factory=dict)
    drawn: list[Segment] = field(default_factory=list)

    @property
    def measured(self) -> bool:
        """Whether there are samples."""
        return bool(self.rounds or self.new)

    def take_in(self) -> None:
        """Sorts new samples into their sets and rounds."""
        for sample in self.new:
            value = statistics.per_call(sample)
            if not 0 < value < math.inf:
                continue  # no product takes that time, and it has no logarithm
            key = (sample.set, sample.round)
            if key not in self.rounds:
                self.rounds[key] = (sample.turn, [])
                self.unpaired.append(key)
            self.rounds[key][1].append(value)
            bisect.insort(self.seconds.setdefault(sample.set, []), value)
        self.new.clear()

    def pair(self, baseline: _Cell) -> None:
        """Takes the ratios of rounds in which both have samples now, as ``statistics.set_ratios`` does."""
        missing: list[_Round] = []
        for key in self.unpaired:
            if key not in baseline.rounds:
                missing.append(key)
                continue
            (turn, mine), (other_turn, others) = self.rounds[key], baseline.rounds[key]
            pairs = [(stdlib.median(mine), stdlib.median(others))]
            if turn == other_turn:
                pairs = list(zip(mine, others, strict=False))
            logs = self.logs.setdefault(key[0], [])
            for one, other in pairs:
                bisect.insort(logs, math.log(one / other))
            self.dirty = True
        self.unpaired = missing

    def forget_pairs(self) -> None:
        """As if nothing had been paired yet: the baseline is another."""
        self.logs.clear()
        self.unpaired = list(self.rounds)
        self.dirty = True


@dataclass
class _Shape:
    """The cells of one shape by backend, and which backend the others are compared with."""

    text: str
    cells: dict[str, _Cell]
    baseline: str = ""
    changed: bool = True

    @property
    def title(self) -> str:
        """The shape with multiplication signs."""
        return words.line(self.text).replace("x", words.TIMES)


class LiveTable:
    """A rich renderable of a run's state: a row for every backend, and a block of columns for every shape.

    A block has the time of one product, the median so far; the relative half-width of its 95 % interval; the ratio to
    the baseline's time, and the verdict as it stands. The two that rest on an interval need two sets in which the shape
    is done: a set that has only begun moves the medians, but is no unit of the statistics yet.

    It is never wider or higher than the terminal. Shapes that do not fit are left out, never the one in hand, and rows
    too, unavailable backends first.

    Args:
        in_ascii: Whether the terminal has no other characters.
    """

    def __init__(self, *, in_ascii: bool = False) -> None:
        self._in_ascii = in_ascii
        self._backends: dict[str, BackendRecord] = {}
        self._absent: dict[str, str] = {}
        self._shapes: dict[str, _Shape] = {}
        self._margin = 0.0
        # The set and the shape in hand.
        self._running: tuple[int, str] | None = None
        self._here = ""
        self._status: list[Part] = []
        self._widths: list[int] = []

    # --- Events -------------------------------------------------------------------------------------------------------

    def note(self, event: Event) -> None:  # noqa: C901  (one case for each kind of event)
        """Takes note of an event, without computing anything."""
        match event:
            case RunStarted():
                self._start(event)
            case SetStarted():
                # The first interval would import scipy, for a third of a second: now, when no worker is alive.
                if any(cell.measured for shape in self._shapes.values() for cell in shape.cells.values()):
                    statistics.t_interval((1.0, 2.0))
            case ShapeStarted() | TurnStarted():
                self._run((event.set, event.shape))
            case SetFinished():
                self._run(None)
            case BackendProbed() if event.status != "ok":
                self._absent[event.backend] = event.status
                for shape in self._shapes.values():
                    self._change(shape, event.backend)
            case CellPrepared() | CellFailed() if event.mode == "latency":
                self._note_cell(event, "failed" if isinstance(event, CellFailed) else event.status)
            case SamplesTaken() if event.mode == "latency" and event.backend != REFERENCE:
                self._note_samples(event)
            case WorkerEnded():
                self._note_lost(event.worker)
            case _:
                pass

    def _start(self, event: RunStarted) -> None:
        self._backends = {backend.name: backend for backend in event.backends}
        self._absent = {backend.name: backend.status for backend in event.backends if backend.status != "ok"}
        self._shapes = {
            shape: _Shape(shape, {name: _Cell() for name in self._backends}) for shape in event.settings.shapes
        }
        self._margin = event.settings.margin
        self._running, self._here = None, next(iter(self._shapes), "")

    def _run(self, running: tuple[int, str] | None) -> None:
        if running == self._running:
            return
        # The shape that is left has one set more that counts in intervals.
        left = self._shapes.get(self._running[1]) if self._running else None
        for name in left.cells if left else ():
            self._change(left, name)
        self._running = running
        if running is not None and running[1] in self._shapes:
            self._here = running[1]

    def _note_cell(self, event: CellPrepared | CellFailed, status: str) -> None:
        shape = self._shapes.get(_shape_of(event))
        cell = self._change(shape, event.backend)
        if cell is not None and cell.lost != "failed":  # what failed in one set stays failed
            cell.lost = "" if status == "ok" else status

    def _note_samples(self, event: SamplesTaken) -> None:
        shape = _shape_of(event)
        cell = self._change(self._shapes.get(shape), event.backend)
        if cell is not None and event.samples:
            cell.new += event.samples
            self._run((event.samples[0].set, shape))

    def _note_lost(self, worker: str) -> None:
        for name, backend in self._backends.items():
            if backend.worker != worker or name in self._absent:
                continue
            self._absent[name] = "failed"
            for shape in self._shapes.values():
                cell = self._change(shape, name)
                if cell is not None:
                    cell.lost = cell.lost or "failed"

    def _change(self, shape: _Shape | None, backend: str) -> _Cell | None:
        """A cell that is drawn anew next time; None where there is no such row or column."""
        cell = shape.cells.get(backend) if shape is not None else None
        if shape is not None and cell is not None:
            shape.changed = cell.dirty = True
        return cell

    # --- Figures ------------------------------------------------------------------------------------------------------

    def update(self, status: Sequence[Part]) -> None:
        """Computes what has changed, to be drawn. ``status`` is the line beneath the table."""
        self._status = list(status)
        for shape in self._shapes.values():
            if shape.changed:
                self._update(shape)
                shape.changed = False

    def _update(self, shape: _Shape) -> None:
        baseline = self._baseline(shape)
        if baseline != shape.baseline:
            shape.baseline = baseline
            for cell in shape.cells.values():
                cell.forget_pairs()
        for cell in shape.cells.values():
            cell.take_in()
        other = shape.cells.get(baseline)
        running = self._running[0] if self._running and self._running[1] == shape.text else None
        for name, cell in shape.cells.items():
            if other is not None and cell is not other and self._backends[name].multiplies:
                cell.pair(other)
            if cell.dirty:
                cell.drawn = self._figures(cell, running, lost=self._lost(shape, name), is_baseline=cell is other)
                cell.dirty = False

    def _baseline(self, shape: _Shape) -> str:
        """As in the results: NumPy, or else the first that can be measured."""
        names = [name for name, backend in self._backends.items() if backend.multiplies and not self._lost(shape, name)]
        return BASELINE if BASELINE in names else next(iter(names), "")

    def _lost(self, shape: _Shape, backend: str) -> str:
        """Why a cell has no figures, in a word."""
        cell = shape.cells[backend]
        return cell.lost or ("" if cell.measured else self._absent.get(backend, ""))

    def _figures(self, cell: _Cell, running: int | None, *, lost: str, is_baseline: bool) -> list[Segment]:
        """A cell's block, without spaces at its end.

        ``running`` is the set in which it is being measured, and which therefore has no part in intervals.
        """
        if lost:
            return [self._segment(_right(lost, _TIME + 1 + _HALF), _RED if lost == "failed" else _DIM)]
        if not cell.seconds:
            return [self._segment(_right(_NONE_YET, _TIME), _DIM)]
        medians = {set_: _middle(values) for set_, values in cell.seconds.items()}
        time, half = words.duration(stdlib.geometric_mean(medians.values())), _half(_interval(medians, running))
        fields = [(_right(time, _TIME), _PLAIN), (f"{half:>{_HALF}}", _DIM)]
        if is_baseline:
            fields.append((f"{'1':>{_RATIO}}", _DIM))
        elif cell.logs:
            ratios = {set_: math.exp(_middle(logs)) for set_, logs in cell.logs.items()}
            fields.append((_right(_ratio(stdlib.geometric_mean(ratios.values())), _RATIO), _PLAIN))
            interval = _interval(ratios, running)
            if interval is not None:
                verdict = statistics.verdict(interval, self._margin)
                fields.append((verdict, _VERDICTS[verdict]))
        return [self._segment(f" {text}" if i else text, style) for i, (text, style) in enumerate(fields)]

    # --- Lines --------------------------------------------------------------------------------------------------------

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines for a terminal of that size, from the figures of the last update."""
        lines = self._lines(options.max_width - 1, options.size.height - 1)
        self._widths = [sum(cell_len(segment.text) for segment in line) for line in lines]
        for i, line in enumerate(lines):
            if i:
                yield Segment.line()
            yield from line

    def folds_at(self, width: int) -> int:
        """By how many lines what was drawn last grows, if the terminal has become so narrow that it folds lines."""
        return sum(max(0, -(-drawn // width) - 1) for drawn in self._widths)

    def _lines(self, width: int, height: int) -> list[list[Segment]]:
        status = self._status_line(width)
        names = {name: words.line(name) for name in self._backends}
        longest = min(max(cell_len(name) for name in [*names.values(), "backend"]), _MOST_NAME)
        room = height - _LINES_BESIDE_ROWS
        fit = max(1, (width - longest) // (_GAP + _BLOCK))
        name_width = min(longest, width - _GAP - _BLOCK)
        if not names or not self._shapes or room < 1 or name_width < min(longest, _LEAST_NAME):
            return [status]
        shapes = self._shown_shapes(fit)
        rows = self._shown_rows(room)
        hidden = []
        if len(rows) < len(names):
            hidden.append(f"{_NONE_YET} and {words.count(len(names) - len(rows), 'more row')}")
        if len(shapes) < len(self._shapes):
            hidden.append(f"(+{words.count(len(self._shapes) - len(shapes), 'more shape')})")
        lines = self._headers(shapes, name_width)
        for name in rows:
            line = [self._segment(_left(names[name], name_width), _DIM if self._is_absent(name) else _PLAIN)]
            short = 0  # what the block before lacks of its width
            for shape in shapes:
                drawn = shape.cells[name].drawn
                line += [Segment(" " * (short + _GAP), _PLAIN), *drawn]
                short = _BLOCK - sum(len(segment.text) for segment in drawn)
            lines.append(line)
        return [*lines, [self._segment(_cut(" ".join(hidden), width), _DIM)], status]

    def _headers(self, shapes: list[_Shape], name_width: int) -> list[list[Segment]]:
        above = [self._segment(" " * name_width, _PLAIN)]
        below = [self._segment(_left("backend", name_width), _BOLD)]
        for shape in shapes:
            here = shape.text == self._here
            title = f"{_HERE if here else ' '} {shape.title}"
            above.append(self._segment(" " * _GAP + _left(title, _BLOCK), _BOLD if here else _DIM))
            compared = f"/ {words.line(shape.baseline)}" if shape.baseline else ""
            columns = f"{'time':>{_TIME}} {'±':>{_HALF}} {_left(compared, _RATIO + 1 + _WORD)}"
            below.append(self._segment(" " * _GAP + columns, _BOLD if here else _DIM))
        for line in (above, below):
            line[-1] = Segment(line[-1].text.rstrip(), line[-1].style)
        return [above, below]

    def _shown_shapes(self, fit: int) -> list[_Shape]:
        """As many as fit, always the same together: they change only when the shape in hand is none of them."""
        shapes = list(self._shapes.values())
        at = list(self._shapes).index(self._here)
        begin = max(0, min(at // fit * fit, len(shapes) - fit))
        return shapes[begin : begin + fit]

    def _shown_rows(self, room: int) -> list[str]:
        names = list(self._backends)
        kept = set(sorted(names, key=self._is_absent)[:room])
        return [name for name in names if name in kept]

    def _is_absent(self, backend: str) -> bool:
        """Whether nothing can be expected of a backend, and nothing went wrong either."""
        return self._absent.get(backend) == "unavailable" and not any(
            shape.cells[backend].measured for shape in self._shapes.values()
        )

    def _status_line(self, width: int) -> list[Segment]:
        parts = [part for part in self._status if part.text]
        for rank in sorted({part.rank for part in parts if part.rank}, reverse=True):
            if sum(max(cell_len(part.text), part.room) + 2 for part in parts) - 2 <= width:
                break
            parts = [part for part in parts if part.rank < rank]
        return [self._segment(_cut("  ".join(part.text for part in parts), width), _DIM)]

    def _segment(self, text: str, style: Style) -> Segment:
        return Segment(words.in_ascii(text.translate(_ASCII)) if self._in_ascii else text, style)


# --- Words ------------------------------------------------------------------------------------------------------------


def _middle(values: Sequence[float]) -> float:
    """The median of values that are sorted."""
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def _interval(by_set: dict[int, float], running: int | None) -> Interval | None:
    """The interval over the sets that are done; None from fewer than two."""
    done = [value for set_, value in by_set.items() if set_ != running]
    return statistics.ratio_interval(done) if len(done) > 1 else None


def _half(seconds: Interval | None) -> str:
    if seconds is None:
        return ""
    half = statistics.half_width(seconds)
    if half < 0.0005:  # noqa: PLR2004  (rounds to 0)
        return "±<0.1 %"
    return f"±{words.percent(half)}" if half < 9.995 else "±>999 %"  # noqa: PLR2004  (rounds to 1000 %)


def _ratio(value: float) -> str:
    """A ratio in five characters."""
    if value < 0.0095:  # noqa: PLR2004  (rounds to 0.01 from here on)
        return "<0.01"
    return words.ratio_median(Interval(estimate=value)) if value < 99999.5 else f"{value:.0e}"  # noqa: PLR2004


def _shape_of(event: CellPrepared | CellFailed | SamplesTaken) -> str:
    return f"{event.m}x{event.n}x{event.k}"


def _cut(text: str, width: int) -> str:
    """A text of at most that width; one that is longer ends in an ellipsis."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + _NONE_YET


def _left(text: str, width: int) -> str:
    return set_cell_size(_cut(text, width), width)


def _right(text: str, width: int) -> str:
    cut = _cut(text, width)
    return " " * (width - cell_len(cut)) + cut
