"""The table that fills while a run goes on."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from rich.console import Console

from gemmscope.analysis import statistics
from gemmscope.analysis.assemble import assemble
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
from gemmscope.records.model import SCHEMA, BackendRecord, Sample
from gemmscope.records.words import MICRO, TIMES
from gemmscope.report.live import LiveTable
from gemmscope.report.progress import Progress
from tests.builders import make_backend, make_machine, make_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gemmscope.records.events import Event

SIZES = (64, 256, 1024)
# Each backend's seconds of one product of 64; three times as long at every next size.
SECONDS = {"numpy-cpu": 4e-6, "numpy-cpu:out": 4.01e-6, "torch-cpu": 2e-6, "cblas": 8e-6}
WORKERS = {"numpy-cpu": "numpy", "numpy-cpu:out": "numpy", "torch-cpu": "torch", "cblas": "cblas"}


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """As much of a terminal as is needed to know what stands on its screen, and above it."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self.width, self.height = width, height
        self.rows = [""]
        self.row = self.column = 0
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        for token in re.findall(r"\x1b\[[?\d;]*[a-zA-Z]|.|\n", text):
            if token == "\n":
                self.row, self.column = self.row + 1, 0
            elif token == "\r":
                self.column = 0
            elif token.startswith("\x1b"):
                self._control(token[2:])
            else:
                self._put(token)
            self.rows += [""] * (self.row + 1 - len(self.rows))
        return len(text)

    def _control(self, code: str) -> None:
        if code.endswith("A"):
            self.row = max(self.row - int(code[:-1]), len(self.rows) - self.height, 0)
        elif code == "2K":
            self.rows[self.row] = ""
        else:
            assert code in ("?25l", "?25h") or code.endswith("m"), code

    def _put(self, character: str) -> None:
        if self.column == self.width:
            self.row, self.column = self.row + 1, 0
            self.rows += [""] * (self.row + 1 - len(self.rows))
        line = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    def fold(self, width: int) -> None:
        """Becomes narrower, and folds what stands there, as terminals do."""
        folded = [[row[i : i + width] for i in range(0, len(row), width)] or [""] for row in self.rows]
        self.row = sum(map(len, folded[: self.row + 1])) - 1
        self.rows = [row for rows in folded for row in rows]
        self.column = len(self.rows[self.row])
        self.width = width

    @property
    def lines(self) -> list[str]:
        return [row.rstrip() for row in self.rows]


class Screen:
    """A terminal with the progress of a run on it, which is drawn at every event unless the clock stands still."""

    def __init__(self, width: int = 160, height: int = 40) -> None:
        self.terminal = Terminal(width, height)
        self.console = Console(
            file=self.terminal, width=width, height=height, force_terminal=True, color_system=None, _environ={}
        )
        self.clock = Clock()
        self.progress = Progress(self.console, self.clock)
        self.heights: set[int] = set()

    def show(self, *events: Event, seconds: float = 1.0) -> None:
        for event in events:
            self.clock.now += seconds
            self.progress(event)
            self.heights.add(len(self.terminal.rows))

    def resize(self, width: int, height: int) -> None:
        if width < self.terminal.width:
            self.terminal.fold(width)
        self.terminal.width, self.terminal.height = width, height
        self.console.size = (width, height)

    @property
    def lines(self) -> list[str]:
        return self.terminal.lines

    def row(self, name: str) -> str:
        """A row of the table, beneath its header: notes above it can begin with a name too."""
        (header,) = [i for i, line in enumerate(self.lines) if line.startswith("backend ")]
        (found,) = [line for line in self.lines[header:] if line.startswith(f"{name} ")]
        return " ".join(found.split()[1:])


@pytest.fixture
def screen() -> Iterator[Screen]:
    screen = Screen()
    with screen.progress:
        yield screen


def started(*more: BackendRecord, sizes: Sequence[int] = SIZES, **settings: Any) -> RunStarted:
    backends = [make_backend(name, worker=worker) for name, worker in WORKERS.items()]
    return RunStarted(
        schema=SCHEMA,
        gemmscope="0.1.0",
        started="2026-01-02T03:04:05Z",
        machine=make_machine(),
        settings=make_settings(*(shape(size) for size in sizes), **{"sets": 5, "seconds": 100.0} | settings),
        backends=[*backends, *more],
    )


def shape(size: int) -> str:
    return f"{size}x{size}x{size}"


def title(size: int) -> str:
    return shape(size).replace("x", TIMES)


def samples(
    backend: str,
    size: int,
    set_: int,
    round_: int,
    *,
    seconds: float | None = None,
    turn: int | None = None,
    **more: Any,
) -> SamplesTaken:
    one = SECONDS.get(backend, 1e-6) * 3 ** SIZES.index(size) if seconds is None else seconds
    turns = list(dict.fromkeys(WORKERS.values()))
    return SamplesTaken(
        **{"backend": backend, "m": size, "n": size, "k": size, "mode": "latency"} | more,
        samples=[
            Sample(
                set=set_, round=round_, turn=turns.index(WORKERS.get(backend, "cblas")) if turn is None else turn,
                start=0.0, first_pair=0, loops=100, seconds=100 * one * (1 + 0.002 * i),
            )
            for i in range(3)
        ],
    )  # fmt: skip


def a_round(size: int, set_: int, round_: int, factor: float = 1.0) -> list[Event]:
    """A turn for every worker; all but NumPy take longer by a factor."""
    events: list[Event] = []
    worker = ""
    for name, its_worker in WORKERS.items():
        if worker != its_worker:
            worker = its_worker
            events.append(TurnStarted(set=set_, round=round_, shape=shape(size), worker=worker))
        one = SECONDS[name] * 3 ** SIZES.index(size) * (1.0 if worker == "numpy" else factor)
        events.append(samples(name, size, set_, round_, seconds=one))
    return events


def a_shape(size: int, set_: int, rounds: int = 2, factor: float = 1.0) -> list[Event]:
    events: list[Event] = [ShapeStarted(set=set_, shape=shape(size))]
    events += [prepared(name, size, set_) for name in WORKERS]
    for round_ in range(rounds):
        events += a_round(size, set_, round_, factor)
    return events


def a_set(set_: int, factor: float = 1.0, sizes: Sequence[int] = SIZES) -> list[Event]:
    shapes = [event for size in sizes for event in a_shape(size, set_, factor=factor)]
    return [SetStarted(set=set_, workers=list(dict.fromkeys(WORKERS.values()))), *shapes, SetFinished(set=set_)]


def prepared(backend: str, size: int = 64, set_: int = 0, **more: Any) -> CellPrepared:
    return CellPrepared(
        **{"set": set_, "backend": backend, "m": size, "n": size, "k": size, "mode": "latency", "status": "ok"} | more
    )


def absent(name: str, **more: Any) -> BackendProbed:
    return BackendProbed(set=0, backend=name, status="unavailable", reason="no gpu", **more)


def failed(name: str) -> BackendProbed:
    return BackendProbed(set=0, backend=name, status="failed", reason="no gpu")


class Ascii(io.StringIO):
    encoding = "ascii"


def table_of(*events: Event, status: Sequence[str] = ("status",)) -> LiveTable:
    table = LiveTable()
    for event in events:
        table.note(event)
    table.update(status)
    return table


def drawn(*events: Event, width: int = 160, height: int = 40, file: io.StringIO | None = None) -> list[str]:
    """The lines of the table itself."""
    file = file or io.StringIO()
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system=None, _environ={})
    console.print(table_of(*events), end="")
    return file.getvalue().split("\n")


def styles_of(table: LiveTable) -> dict[str, str]:
    """The style of every piece of text, the last where a text occurs more than once."""
    console = Console(file=io.StringIO(), width=160, height=20, force_terminal=True, _environ={})
    return {segment.text.strip(): str(segment.style) for segment in console.render(table)}


def half_widths(row: str) -> list[float]:
    return [float(text) for text in re.findall(r"±<?([\d.]+) %", row)]


# --- What it says -----------------------------------------------------------------------------------------------------


def test_before_the_first_sample_every_cell_waits(screen: Screen) -> None:
    screen.show(started(), SetStarted(set=0, workers=["numpy"]), ShapeStarted(set=0, shape=shape(64)))
    for name in WORKERS:
        assert screen.row(name) == "… … …"


def test_figures_appear_with_the_first_round_of_every_backend(screen: Screen) -> None:
    screen.show(started(), ShapeStarted(set=0, shape=shape(64)))
    screen.show(samples("cblas", 64, 0, 0))
    assert screen.row("cblas") == f"8.02 {MICRO}s … …"
    screen.show(samples("numpy-cpu", 64, 0, 0))
    assert screen.row("numpy-cpu") == f"4.01 {MICRO}s 1 … …"
    assert screen.row("cblas") == f"8.02 {MICRO}s 2.00 … …"
    screen.show(samples("torch-cpu", 64, 0, 0))
    assert screen.row("torch-cpu") == f"2.00 {MICRO}s 0.50 … …"
    assert screen.row("numpy-cpu:out") == "… … …"


def test_intervals_and_verdicts_need_two_sets_in_which_the_shape_is_done(screen: Screen) -> None:
    screen.show(started(sizes=[64, 256]), *a_set(0, sizes=[64, 256]), *a_shape(64, 1, factor=1.001))
    for name in WORKERS:
        assert not re.search("±|faster|slower|same|unclear", screen.row(name))
    screen.show(ShapeStarted(set=1, shape=shape(256)))
    assert screen.row("numpy-cpu") == f"4.01 {MICRO}s ±<0.1 % 1 12.0 {MICRO}s 1"
    assert screen.row("numpy-cpu:out") == f"4.02 {MICRO}s ±<0.1 % 1.00 same 12.1 {MICRO}s 1.00"
    assert screen.row("torch-cpu") == f"2.01 {MICRO}s ±0.6 % 0.50 faster 6.01 {MICRO}s 0.50"
    assert screen.row("cblas") == f"8.02 {MICRO}s ±0.6 % 2.00 slower 24.0 {MICRO}s 2.00"
    screen.show(*a_shape(256, 1, factor=1.2), SetFinished(set=1))
    assert screen.row("cblas").endswith("±116 % 2.19 unclear")


def test_the_half_width_shrinks_while_sets_agree(screen: Screen) -> None:
    screen.show(started(sizes=[64]))
    widths: list[float] = []
    for set_, factor in enumerate((1.00, 1.02, 1.01, 1.01, 1.01)):
        screen.show(*a_set(set_, factor, [64]))
        widths += half_widths(screen.row("cblas"))
    assert len(widths) == 4
    assert widths == sorted(set(widths), reverse=True)


def test_a_run_that_is_over_is_shown_as_the_results_have_it() -> None:
    events = [started(sizes=[64, 256]), *(event for i in range(3) for event in a_set(i, 1 + 0.01 * i, [64, 256]))]
    lines = drawn(*events)
    result = assemble(events)
    compared = {(c.backend, c.m): c for c in result.comparisons}
    for cell in result.cells:
        assert cell.seconds is not None
        (line,) = [line for line in lines if line.startswith(f"{cell.backend} ")]
        words = line[16:][33 * (cell.m == 256) :][:30].split()
        comparison = compared.get((cell.backend, cell.m))
        assert words[0] == f"{cell.seconds.estimate * 1e6:#.3g}"
        assert words[-2:] == ([f"{comparison.ratio.estimate:.2f}", comparison.verdict] if comparison else ["%", "1"])


def test_rounds_are_paired_as_in_the_results_whatever_the_order_of_turns() -> None:
    start = started(sizes=[64])
    events: list[Event] = [start, *(prepared(name) for name in ("numpy-cpu", "numpy-cpu:out", "torch-cpu"))]
    for set_ in range(2):
        for round_, slow in enumerate((1.0, 3.0, 2.0)):
            taken = [
                samples("torch-cpu", 64, set_, round_, seconds=1e-6 * slow, turn=1 - round_ % 2),
                samples("numpy-cpu", 64, set_, round_, seconds=2e-6 * slow, turn=round_ % 2),
                samples("numpy-cpu:out", 64, set_, round_, seconds=2.2e-6 * slow, turn=round_ % 2),
            ]
            events += taken if round_ % 2 else taken[::-1]
    events.append(SetFinished(set=1))
    lines = drawn(*events)
    for comparison in assemble(events).comparisons:
        (line,) = [line for line in lines if line.startswith(f"{comparison.backend} ")]
        assert line.split()[-2:] == [f"{comparison.ratio.estimate:.2f}", comparison.verdict]


def test_the_shape_in_hand_is_marked(screen: Screen) -> None:
    screen.show(started(), ShapeStarted(set=0, shape=shape(256)))
    assert f"  {title(64)} " in screen.lines[0]
    assert f"▸ {title(256)} " in screen.lines[0]


def test_unavailable_failed_and_skipped_cells_say_so(screen: Screen) -> None:
    screen.show(started(make_backend("mlx-gpu", worker="mlx"), make_backend("null-python", worker="null")))
    screen.show(
        absent("mlx-gpu"),
        prepared("cblas", 64),
        prepared("cblas", 1024, status="skipped", reason="slow"),
        prepared("torch-cpu", 64, status="failed", reason="wrong"),
        samples("numpy-cpu", 256, 0, 0),
        samples("null-python", 256, 0, 0, seconds=5e-8),
        CellFailed(set=0, backend="numpy-cpu", m=256, n=256, k=256, mode="latency", reason="hung"),
        CellFailed(set=0, backend="cblas", m=64, n=64, k=64, mode="throughput", reason="no room"),
    )
    assert screen.row("mlx-gpu") == "unavailable unavailable unavailable"
    assert screen.row("cblas") == "… … skipped"
    assert screen.row("torch-cpu") == "failed … …"
    assert screen.row("numpy-cpu") == "… failed …"
    assert screen.row("null-python") == "… 50.1 ns …"
    # What failed in one set stays failed.
    screen.show(prepared("torch-cpu", 64, 1))
    assert screen.row("torch-cpu") == "failed … …"


def test_all_that_a_lost_worker_hosts_has_failed(screen: Screen) -> None:
    screen.show(started(), absent("numpy-cpu:out"), *a_shape(64, 0)[:-6], samples("numpy-cpu", 64, 0, 0))
    screen.show(WorkerEnded(set=0, worker="numpy", reason="killed"))
    assert screen.row("numpy-cpu") == "failed failed failed"
    assert "failed" not in screen.row("cblas")


def test_a_backend_that_is_lost_later_keeps_its_figures(screen: Screen) -> None:
    screen.show(started(), samples("cblas", 64, 0, 0), absent("cblas"))
    assert screen.row("cblas") == f"8.02 {MICRO}s unavailable unavailable"


def test_without_numpy_the_others_are_compared_with_the_first_that_can_be_measured(screen: Screen) -> None:
    screen.show(started(sizes=[64]), absent("numpy-cpu:out"))
    screen.show(*(event for event in a_shape(64, 0) if getattr(event, "backend", "") != "numpy-cpu:out"))
    assert "/ numpy-cpu" in screen.lines[1]
    assert screen.row("cblas").endswith(" 2.00")
    screen.show(CellFailed(set=0, backend="numpy-cpu", m=64, n=64, k=64, mode="latency", reason="hung"))
    assert "/ torch-cpu" in screen.lines[2]
    # Rounds that are past count too.
    assert screen.row("cblas").endswith(" 4.00")
    assert screen.row("torch-cpu").endswith(" 1")


def test_the_baseline_is_that_of_the_results() -> None:
    start = msgspec.structs.replace(
        started(sizes=[64]), backends=[make_backend(name) for name in ("null-python", "torch-cpu", "cblas")]
    )
    taken = [samples(backend.name, 64, set_, 0) for set_ in range(2) for backend in start.backends]
    (comparison,) = assemble([start, *(prepared(backend.name) for backend in start.backends), *taken]).comparisons
    assert comparison.baseline == "torch-cpu"
    assert "/ torch-cpu" in drawn(start, *taken)[1]


def test_the_reference_throughput_and_what_was_not_asked_for_are_not_shown() -> None:
    before = drawn(started())
    after = drawn(
        started(),
        samples("canary", 64, 0, 0),
        samples("cblas", 64, 0, 0, mode="throughput"),
        samples("cblas", 64, 0, 0, m=7),
        samples("others", 64, 0, 0),
        TurnStarted(set=0, round=0, shape=shape(7), worker="cblas"),
    )
    assert after == before


def test_times_that_cannot_be_are_left_out() -> None:
    zero, endless = samples("cblas", 64, 0, 0, seconds=0.0), samples("torch-cpu", 64, 0, 0, seconds=float("inf"))
    assert drawn(started(), zero, endless) == drawn(started(), ShapeStarted(set=0, shape=shape(64)))


def test_extreme_figures_keep_their_width() -> None:
    extremes = {"numpy-cpu:out": 1.23e-12, "numpy-cpu": 1e-6, "torch-cpu": 1.2e5, "cblas": 0.999_96e-3}
    events: list[Event] = [started(sizes=[64])]
    for set_ in range(2):
        events += [samples(name, 64, set_, 0, seconds=one * 100**set_) for name, one in extremes.items()]
    lines = drawn(*events, SetFinished(set=1))
    header = lines[1]
    column = header.index("±")
    for name in WORKERS:
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        assert re.match(r".*%$", line[: column + 1]), line
    assert lines[2].split()[3:] == ["±>999", "%", "1"]
    assert lines[3].split()[1:] == ["0.012", "ns", "±>999", "%", "<0.01", "faster"]
    assert lines[4].split()[-2:] == ["1e+11", "slower"]
    assert lines[5].split()[-2:] == ["1000", "slower"]


def test_names_are_text() -> None:
    name = "[red]x[/red]\x1b[2J\nend"
    lines = drawn(started(make_backend(name)), samples(name, 64, 0, 0))
    assert any(line.startswith("[red]x[/red] [2J end") for line in lines)
    assert len(lines) == 2 + len(WORKERS) + 1 + 2


def test_a_backend_with_a_short_name_has_a_row_by_itself() -> None:
    alone = msgspec.structs.replace(started(sizes=[64]), backends=[make_backend("cblas")])
    assert any(line.startswith("cblas") for line in drawn(alone, samples("cblas", 64, 0, 0)))


def test_wide_characters_count_as_two() -> None:
    lines = drawn(started(make_backend("行列"), sizes=[64]), samples("行列", 64, 0, 0), samples("cblas", 64, 0, 0))
    (wide,) = [line for line in lines if line.startswith("行列")]
    (narrow,) = [line for line in lines if line.startswith("cblas")]
    assert wide.index(f"{MICRO}s") + 2 == narrow.index(f"{MICRO}s")


def test_a_terminal_that_has_only_ascii_gets_it() -> None:
    sets = [event for set_ in range(2) for event in a_set(set_)]
    text = "\n".join(drawn(started(), *sets, file=Ascii()))
    assert text.isascii()
    assert "4.01 us" in text
    assert [len(line) for line in text.split("\n")] == [len(line) for line in drawn(started(), *sets)]


@pytest.mark.parametrize(
    ("status", "style"), [("failed", "red"), ("skipped", "dim"), ("unavailable", "dim"), ("ok", "dim")]
)
def test_what_is_missing_is_grey_and_what_failed_is_red(status: Any, style: str) -> None:
    styles = styles_of(table_of(started(sizes=[64]), prepared("cblas", status=status)))
    assert styles["…" if status == "ok" else status] == style


def test_verdicts_are_marked_as_provisional_by_being_faint() -> None:
    styles = styles_of(table_of(started(), *a_set(0), *a_set(1)))
    assert styles["faster"] == "dim green"
    assert styles["slower"] == "dim red"
    assert styles["same"] == "dim"


# --- Where it stands --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 160, 200])
def test_it_is_never_wider_than_the_terminal_and_never_changes_its_height(width: int) -> None:
    screen = Screen(width)
    with screen.progress:
        screen.show(started())
        screen.heights.clear()
        for set_ in range(3):
            screen.show(*a_set(set_))
            assert max(map(len, screen.lines)) < width
    assert len(screen.heights) == 1


def test_a_narrow_terminal_has_the_times_of_all_shapes() -> None:
    lines = drawn(started(sizes=[64, 128, 256, 512, 1024, 2048, 4096]), ShapeStarted(set=0, shape=shape(256)), width=80)
    assert lines[0].split() == ["backend", "64", "128", "▸", "256", "512", "1024", "2048", "4096"]
    assert lines[-2:] == ["", "status"]
    (row,) = [line for line in drawn(started(), *a_set(0), width=60) if line.startswith("numpy-cpu ")]
    assert row.split()[1::2] == ["4.01", "12.0", "36.1"]


def test_the_shortest_time_is_green_where_times_stand_alone() -> None:
    table = table_of(started(sizes=[64]), *a_set(0, sizes=[64]))
    console = Console(file=io.StringIO(), width=30, height=20, force_terminal=True, _environ={})
    styles = {segment.text.strip(): str(segment.style) for segment in console.render(table)}
    assert [text for text, style in styles.items() if style == "green"] == [f"2.00 {MICRO}s"]


def test_a_shape_with_a_long_name_is_not_cut() -> None:
    asked = started()
    asked = msgspec.structs.replace(
        asked, settings=msgspec.structs.replace(asked.settings, shapes=["96x640x1280", "64x64x64"])
    )
    assert drawn(asked, width=60)[0].split() == ["backend", "▸", f"96{TIMES}640{TIMES}1280", "64"]


def test_a_backend_has_no_figures_where_it_is_not_asked_for() -> None:
    asked = started(only_at={"cblas": [shape(64)]})
    for width in (60, 200):
        (row,) = [line for line in drawn(asked, *a_shape(64, 0), width=width) if line.startswith("cblas ")]
        assert row.split()[1] == "8.02"
        assert "…" not in row


def test_a_narrow_terminal_shows_the_shape_in_hand() -> None:
    screen = Screen(28)
    with screen.progress:
        screen.show(started())
        for size in (64, 1024, 256):
            screen.show(ShapeStarted(set=0, shape=shape(size)))
            assert f"▸ {size}" in screen.lines[0]
            assert screen.lines[-2] == "(+2 more shapes)"


def test_shapes_change_only_when_they_must() -> None:
    sizes = [1, 2, 3, 4, 5]
    shown = {}
    for size in sizes:
        titles = drawn(started(sizes=sizes), ShapeStarted(set=0, shape=shape(size)), width=36)[0].split()
        shown[size] = [text for text in titles if text not in ("▸", "backend")]
    assert shown[1] == shown[2] == ["1", "2"]
    assert shown[3] == shown[4] == ["3", "4"]
    assert shown[5] == ["4", "5"]


def test_a_wide_terminal_shows_all() -> None:
    lines = drawn(started(), *a_set(0), *a_set(1), width=200)
    assert all(title(size) in lines[0] for size in SIZES)
    assert lines[-2:] == ["", "status"]


def test_rows_that_do_not_fit_are_counted_and_unavailable_ones_go_first() -> None:
    more = [make_backend(name) for name in ("mlx-gpu", "mlx-cpp-gpu", "a", "b", "c", "d")]
    events = [started(*more), absent("mlx-gpu"), absent("mlx-cpp-gpu")]
    for height in range(6, 20):
        lines = drawn(*events, height=height)
        assert len(lines) == min(height - 1, 14)
    lines = drawn(*events, height=10, width=80)
    assert lines[-2] == "… and 5 more rows"
    assert [line.split()[0] for line in lines[1:-2]] == ["numpy-cpu", "numpy-cpu:out", "torch-cpu", "cblas", "a"]
    lines = drawn(*events, height=13, width=200)
    assert lines[-2] == "… and 2 more rows"
    assert [line.split()[0] for line in lines[-5:-2]] == ["b", "c", "d"]
    lines = drawn(*events, height=14, width=200)
    assert [line.split()[0] for line in lines[6:8]] == ["mlx-gpu", "a"]


@pytest.mark.parametrize(("width", "height"), [(160, 1), (160, 5), (15, 40)])
def test_a_tiny_terminal_gets_the_status_alone(width: int, height: int) -> None:
    assert drawn(started(), *a_set(0), width=width, height=height) == ["status"]


@pytest.mark.parametrize(("width", "line"), [(80, "a long line   b"), (14, "a line b"), (8, "short"), (5, "sho…")])
def test_the_first_status_that_fits_is_drawn(width: int, line: str) -> None:
    table = table_of(started(), status=["a long line   b", "a line b   ", "short"])
    console = Console(file=io.StringIO(), width=width, height=5, force_terminal=True, _environ={})
    assert "".join(segment.text for segment in console.render(table)) == line


def test_what_goes_wrong_stands_above_the_table(screen: Screen) -> None:
    screen.show(started(make_backend("mlx-gpu")), *a_set(0)[:-1], failed("mlx-gpu"), *a_set(1))
    assert screen.lines[0] == "mlx-gpu: failed: no gpu"
    assert sum(line.startswith("numpy-cpu ") for line in screen.lines) == 1


def test_nothing_of_the_table_stays(screen: Screen) -> None:
    screen = Screen()
    with screen.progress:
        screen.show(started(make_backend("mlx-gpu")), failed("mlx-gpu"), *a_set(0))
        assert len(screen.lines) == 1 + 2 + 5 + 2
    assert [line for line in screen.lines if line] == ["mlx-gpu: failed: no gpu"]
    assert screen.terminal.row == 1


def test_a_terminal_that_is_resized_is_drawn_anew() -> None:
    screen = Screen(160, 60)
    with screen.progress:
        screen.show(started(make_backend("mlx-gpu")), failed("mlx-gpu"), *a_set(0))
        for width in (100, 60, 130, 45):
            screen.resize(width, 60)
            screen.show(SetStarted(set=1, workers=["numpy"]))
            assert screen.lines[0] == "mlx-gpu: failed: no gpu"
            assert sum(line.startswith("numpy-cpu ") for line in screen.lines) == 1
            assert max(map(len, screen.lines)) < width
        screen.resize(40, 60)
        screen.show(failed("torch-cpu"))
        assert screen.lines[1] == "torch-cpu: failed: no gpu"
        screen.resize(30, 60)
    assert [line for line in screen.lines if line] == ["mlx-gpu: failed: no gpu", "torch-cpu: failed: no gpu"]


# --- What it costs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, set[int]]]:
    """What is computed: the median or ratio of a cell, with the sets of its samples, and intervals."""
    found: list[tuple[str, set[int]]] = []

    def record(name: str, sets_of: Callable[..., set[int]]) -> None:
        original = getattr(statistics, name)

        def recording(*args: Any) -> Any:
            found.append((name, sets_of(*args)))
            return original(*args)

        monkeypatch.setattr(statistics, name, recording)

    def sets(*cells: Sequence[Sample]) -> set[int]:
        return {sample.set for samples in cells for sample in samples}

    record("set_medians", sets)
    record("set_ratios", sets)
    record("t_interval", lambda *_: set())
    return found


def test_between_two_drawings_nothing_is_computed_and_nothing_written(
    screen: Screen, computed: list[tuple[str, set[int]]]
) -> None:
    screen.show(started())
    computed.clear()
    writes = screen.terminal.writes
    for round_ in range(300):
        screen.show(*a_round(64, 0, round_), seconds=0.0)
    assert not computed
    assert screen.terminal.writes == writes


def test_a_drawing_computes_only_the_set_in_hand_of_cells_that_had_samples(
    screen: Screen, computed: list[tuple[str, set[int]]]
) -> None:
    screen.show(started(), *a_set(0), *a_set(1))
    computed.clear()
    events = [event for round_ in range(500) for event in a_round(64, 2, round_)]
    rate = 100  # events a second, for 35 seconds
    screen.show(*events, seconds=1 / rate)
    # Neither a set nor an interval that is done is computed again.
    assert {(name, *sets) for name, sets in computed} == {("set_medians", 2), ("set_ratios", 2)}
    drawings = len(events) / rate * 4
    assert drawings * 3 <= sum(name == "set_medians" for name, _ in computed) <= drawings * len(WORKERS)
    assert sum(name == "set_ratios" for name, _ in computed) <= drawings * (len(WORKERS) - 1)

    computed.clear()
    screen.show(TurnStarted(set=2, round=500, shape=shape(64), worker="cblas"), samples("cblas", 64, 2, 500))
    assert [name for name, _ in computed] == ["set_medians", "set_ratios"]
    computed.clear()
    screen.show(*(TurnStarted(set=2, round=i, shape=shape(64), worker="cblas") for i in range(100)))
    assert not computed


def test_a_terminal_that_is_slow_is_drawn_less_often() -> None:
    """Drawing takes a hundredth of the time at most."""
    screen = Screen()
    drawings = 0

    class Slow(Terminal):
        def write(self, text: str) -> int:
            nonlocal drawings
            if "numpy-cpu" in text:
                drawings += 1
                screen.clock.now += 0.02
            return super().write(text)

    screen.console.file = Slow(160, 40)
    with screen.progress:
        screen.show(started())
        drawings = 0
        screen.show(*(event for i in range(150) for event in a_round(64, 0, i)), seconds=0.01)
    assert 4 <= drawings <= 7  # the last is at the end


def test_the_quantiles_are_loaded_when_a_second_set_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    t_interval = statistics.t_interval

    def counting(values: Sequence[float], *confidence: float) -> Any:
        asked.append(len(values))
        return t_interval(values, *confidence)

    monkeypatch.setattr(statistics, "t_interval", counting)
    table = table_of(started(), *a_set(0))
    assert not asked
    table.note(SetStarted(set=1, workers=["numpy"]))
    assert asked == [2]


def test_nothing_heavy_is_imported_before_a_second_set() -> None:
    program = (
        "import sys\n"
        "from gemmscope.report.progress import Progress\n"
        "from gemmscope.report.live import LiveTable\n"
        "table = LiveTable()\n"
        "table.update([])\n"
        "heavy = {'scipy', 'numpy', 'torch', 'mlx', 'altair', 'vl_convert'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
