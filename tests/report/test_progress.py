"""What a person sees while a run goes on."""

from __future__ import annotations

import io
import re
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from rich.console import Console

from gemmscope.records.events import (
    BackendProbed,
    CellFailed,
    CellPrepared,
    RunFinished,
    RunStarted,
    SamplesTaken,
    SetFinished,
    SetStarted,
    ShapeStarted,
    TurnStarted,
    Warned,
    WorkerEnded,
)
from gemmscope.records.model import SCHEMA, Sample, TimeSpent
from gemmscope.records.words import TIMES
from gemmscope.report.live import LiveTable
from gemmscope.report.progress import Progress
from tests.builders import make_backend, make_machine, make_settings

if TYPE_CHECKING:
    from gemmscope.records.events import Event

SHAPE = f"64{TIMES}64{TIMES}64"


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def started(**settings: Any) -> RunStarted:
    return RunStarted(
        schema=SCHEMA,
        gemmscope="0.1.0",
        started="2026-01-02T03:04:05Z",
        machine=make_machine(),
        settings=make_settings(**{"sets": 5, "seconds": 100.0} | settings),
        backends=[],
    )


def unavailable(set_: int = 0) -> BackendProbed:
    return BackendProbed(
        set=set_, backend="torch-gpu", status="unavailable", reason="[red]none[/red]", remedy="get one"
    )


def prepared(status: Any, reason: str = "", set_: int = 0) -> CellPrepared:
    return CellPrepared(set=set_, backend="cblas", m=64, n=64, k=64, mode="latency", status=status, reason=reason)


def turn(round_: int, worker: str = "torch") -> TurnStarted:
    return TurnStarted(set=1, round=round_, shape="64x64x64", worker=worker)


def told(*events: Event, **options: Any) -> str:
    """What is written of events where there is no terminal."""
    file = io.StringIO()
    with Progress(Console(file=file, width=40, force_terminal=False, _environ={}, **options), Clock()) as progress:
        for event in events:
            progress(event)
    return file.getvalue()


def test_without_a_terminal_every_set_has_a_line() -> None:
    sets: list[Event] = []
    for i in range(2):
        sets += [SetStarted(set=i, workers=["numpy", "torch"]), ShapeStarted(set=i, shape="64x64x64"), turn(0)]
        sets += [prepared("ok"), SetFinished(set=i)]
    assert told(started(), *sets, RunFinished(status="complete", time_spent=TimeSpent())) == (
        "batch 1 of 5: starting 2 workers; about 1 min 40 s to go\n"
        "batch 2 of 5: starting 2 workers; about 1 min 40 s to go\n"
    )


def test_a_run_that_goes_on_counts_beyond_the_sets_asked_for() -> None:
    assert told(started(), SetStarted(set=5, workers=["numpy"])).startswith("batch 6: starting 1 worker;")


def test_without_a_terminal_what_is_missing_is_said_once_and_markup_is_text() -> None:
    text = told(started(), unavailable(0), unavailable(1))
    assert text == "torch-gpu: unavailable: [red]none[/red] (get one)\n"


def test_cells_that_fail_or_are_skipped_are_said_once() -> None:
    text = told(
        started(),
        prepared("skipped", "too slow"),
        prepared("skipped", "too slow", 1),
        CellFailed(set=1, backend="cblas", m=64, n=64, k=64, mode="throughput", reason="ValueError: \n no"),
    )
    assert text.splitlines() == [
        f"cblas at {SHAPE}: skipped: too slow",
        f"cblas, throughput at {SHAPE}: failed: ValueError: no",
    ]


def test_lost_workers_warnings_and_the_end_of_a_partial_run_are_said() -> None:
    text = told(
        started(),
        WorkerEnded(set=0, worker="mlx", reason="killed by signal 9"),
        Warned(text="others are at work"),
        RunFinished(status="partial", time_spent=TimeSpent()),
    )
    assert text.splitlines() == [
        "worker mlx was lost: killed by signal 9",
        "warning: others are at work",
        "the run was cut off after 0 s",
    ]


def test_without_a_terminal_there_are_no_codes_and_no_folds() -> None:
    text = told(started(), Warned(text="word " * 40), color_system="truecolor")
    assert "\x1b" not in text
    assert text.count("\n") == 1


def test_without_a_terminal_no_figure_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveTable, "note", None)
    monkeypatch.setattr(LiveTable, "update", None)
    assert told(started(), SetFinished(set=0), turn(0)) == ""


def test_an_encoding_without_other_characters_gets_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    Progress(Console(file=file, _environ={}))(prepared("failed", "no"))
    file.flush()
    assert raw.getvalue() == b"cblas at 64x64x64: failed: no\n"


class Screen:
    """A terminal, and what was written to it since it was last looked at."""

    def __init__(self, width: int = 120) -> None:
        self.file = io.StringIO()
        self.console = Console(file=self.file, width=width, force_terminal=True, color_system=None, _environ={})

    def written(self) -> str:
        text = self.file.getvalue()
        self.file.seek(0)
        self.file.truncate()
        return text


def test_on_a_terminal_the_line_says_where_the_run_is() -> None:
    screen, clock = Screen(), Clock()
    with Progress(screen.console, clock) as progress:
        progress(started())
        clock.now = 34.0
        progress(turn(11))
        assert f"batch 2 of 5  {SHAPE}  round 12  torch      34 s elapsed, about 1 min 6 s to go" in screen.written()
        clock.now = 101.0
        progress(turn(12))
        assert "1 min 41 s elapsed, should end soon" in screen.written()


def test_the_worker_of_the_reference_workload_has_a_name_that_says_so() -> None:
    screen = Screen()
    with Progress(screen.console, Clock()) as progress:
        progress(turn(0, worker="canary"))
        assert "round  1  reference  0 s elapsed" in screen.written()


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (99, f"batch 2 of 5  {SHAPE}  round  1  torch      34 s elapsed, about 1 min 6 s to go"),
        (82, "batch 2 of 5  round  1  torch      34 s elapsed, about 1 min 6 s to go"),
        (62, "batch 2 of 5  round  1  torch      about 1 min 6 s to go"),
        (52, "batch 2 of 5  round  1  about 1 min 6 s to go"),
        (22, "batch 2 of 5  round …"),
    ],
)
def test_a_narrow_terminal_gets_the_most_important_of_the_line(width: int, line: str) -> None:
    screen, clock = Screen(width), Clock()
    with Progress(screen.console, clock) as progress:
        progress(started())
        clock.now = 34.0
        screen.written()
        progress(turn(0))
        assert line in [text.rstrip() for text in re.split(r"\n|\r|\x1b\[[?\d;]*[a-zA-Z]", screen.written())]


def test_on_a_terminal_a_set_that_starts_is_shown_at_once() -> None:
    screen, clock = Screen(), Clock()
    with Progress(screen.console, clock) as progress:
        progress(started())
        progress(SetStarted(set=0, workers=["numpy"]))
        assert "batch 1 of 5  starting 1 worker  0 s elapsed, about 1 min 40 s to go" in screen.written()


def test_on_a_terminal_it_is_refreshed_at_most_four_times_a_second() -> None:
    screen, clock = Screen(), Clock()
    shown = 0
    with Progress(screen.console, clock) as progress:
        progress(started())
        screen.written()
        for i in range(1000):
            clock.now = 1 + i / 100
            progress(turn(i))
            shown += bool(screen.written())
    assert 30 <= shown <= 40


def test_on_a_terminal_what_goes_wrong_stays_above_the_table() -> None:
    screen = Screen()
    with Progress(screen.console, Clock()) as progress:
        progress(started())
        screen.written()
        for set_ in (0, 1):
            progress(prepared("failed", "[red]wrong[/red]", set_))
        assert screen.written().count(f"cblas at {SHAPE}: failed: [red]wrong[/red]\n") == 1


def test_on_a_terminal_what_is_only_missing_is_told_by_the_table() -> None:
    screen = Screen()
    with Progress(screen.console, Clock()) as progress:
        progress(started())
        screen.written()
        progress(unavailable())
        progress(prepared("skipped", "too slow"))
        assert "none" not in (written := screen.written())
        assert "too slow" not in written


def test_nothing_runs_between_turns() -> None:
    """A thread that refreshes would disturb the measurement."""
    before = threading.active_count()
    screen = Screen()
    with Progress(screen.console, Clock()) as progress:
        progress(started())
        progress(turn(0))
        assert threading.active_count() == before


def test_the_cursor_comes_back_after_an_error() -> None:
    screen = Screen()

    def interrupted() -> None:
        with Progress(screen.console, Clock()) as progress:
            progress(started())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    written = screen.written()
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_a_terminal_without_cursor_movement_gets_lines() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, _environ={"TERM": "dumb"})
    with Progress(console, Clock()) as progress:
        progress(started())
        progress(turn(0))
        progress(SetStarted(set=0, workers=["numpy"]))
    assert file.getvalue() == "batch 1 of 5: starting 1 worker; about 1 min 40 s to go\n"


def test_it_writes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress(Warned(text="w"))
        print("result")
    out, err = capsys.readouterr()
    assert out == "result\n"
    assert "warning: w" in err


class Broken(io.StringIO):
    """A terminal that was closed after so many writes."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.left = writes

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(5, "Input/output error")
        return super().write(text)


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("writes", [2, 5, 20])
def test_a_terminal_that_is_closed_does_not_cost_the_run(terminal: bool, writes: int) -> None:
    file = Broken(writes)
    console = Console(file=file, width=40, force_terminal=terminal, _environ={"TERM": "xterm"})
    with Progress(console, Clock()) as progress:
        progress(started(shapes=["64x64x64"]))
        for i in range(30):
            progress(SetStarted(set=i, workers=["numpy"]))
    assert file.left < 0, "it was written to until it failed"


def test_a_run_that_goes_on_begins_with_the_table_of_its_earlier_part() -> None:
    def last_of(earlier: list[Event]) -> str:
        file = io.StringIO()
        console = Console(file=file, width=100, height=30, force_terminal=True, _environ={"TERM": "xterm"})
        backends = [make_backend("numpy-cpu")]
        start = msgspec.structs.replace(started(shapes=["64x64x64"]), backends=backends)
        with Progress(console, Clock(), earlier=[start, *earlier]) as progress:
            progress(start)
        return file.getvalue()

    sample = Sample(set=0, round=0, turn=0, start=0.0, first_pair=0, loops=1, seconds=125e-6, cpu_seconds=125e-6)
    taken = SamplesTaken(backend="numpy-cpu", m=64, n=64, k=64, mode="latency", samples=[sample])
    assert "125" in last_of([taken])
    assert "125" not in last_of([])
