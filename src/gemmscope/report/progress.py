"""What a person sees while a run goes on."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Self

from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from gemmscope.records import words
from gemmscope.records.events import (
    BackendProbed,
    CellFailed,
    CellPrepared,
    RunFinished,
    RunStarted,
    SetFinished,
    SetStarted,
    ShapeStarted,
    TurnStarted,
    Warned,
    WorkerEnded,
)
from gemmscope.report.live import LiveTable, Part
from gemmscope.report.output import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from rich.console import Console as RichConsole

    from gemmscope.records.events import Event

_REFRESH_SECONDS = 0.25
# Where drawing takes long, it is done less often: it never takes more than this share of the time.
_SHARE = 0.01


class Progress:
    """An observer that shows how far a run is, on standard error, so that standard output can be piped.

    On a terminal that is a table which fills, see :class:`gemmscope.report.live.LiveTable`; elsewhere it is a line for
    each set. What goes wrong has a line of its own on both. Nothing is shown but inside a call, which is between turns:
    a thread that refreshes would disturb the measurement.

    Args:
        console: Where to; standard error unless told.
        clock: A steady clock, in seconds.
        earlier: What has happened in a run that goes on: the table begins with it.
    """

    def __init__(
        self,
        console: RichConsole | None = None,
        clock: Callable[[], float] = time.monotonic,
        earlier: Sequence[Event] = (),
    ) -> None:
        self._console = console or Console(stderr=True)
        self._earlier = earlier
        self._ascii = not self._console.encoding.startswith("utf")
        self._clock = clock
        self._live: Live | None = None
        self._table = LiveTable(in_ascii=self._ascii)
        self._next = float("-inf")
        self._told: set[tuple[str, ...]] = set()
        self._started = clock()
        self._seconds = 0.0
        self._sets = 0
        # The widths that shapes and workers are given, so that what stands behind them does not move.
        self._widest_shape = self._widest_worker = 0
        self._doing = [Part("starting")]

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            # Standard output stays as it is: what is printed there may go to another program.
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is None:
            return
        with contextlib.suppress(OSError):
            self._unfold()
            self._live.stop()
        self._live = None

    def __call__(self, event: Event) -> None:
        """Takes note of an event, and shows it if it is time to."""
        if self._console.quiet:
            return
        try:
            self._show(event)
        except OSError:
            # The terminal was closed, or the disk behind standard error is full. That must not cost the run.
            self._console.quiet = True

    def _show(self, event: Event) -> None:
        self._note(event)
        if self._live is None:
            return
        self._table.note(event)
        if isinstance(event, RunStarted):
            for past in self._earlier:
                self._table.note(past)
        now = self._clock()
        # Workers take seconds to start: what is shown then must not be left from before.
        if now >= self._next or isinstance(event, SetStarted):
            self._table.update(self._status(now))
            self._unfold()
            self._live.update(self._table, refresh=True)
            done = self._clock()
            self._next = max(now + _REFRESH_SECONDS, done + (done - now) / _SHARE)

    def _unfold(self) -> None:
        """Erases the lines that the table has more than was drawn, since the terminal became narrower and folded it.

        rich goes up by as many lines as it drew.
        """
        lines = self._table.folds_at(self._console.width)
        if lines:
            up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2))
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), *up * lines))

    def _note(self, event: Event) -> None:  # noqa: C901  (one case for each kind of event)
        match event:
            case RunStarted():
                self._started = self._clock()
                self._seconds, self._sets = event.settings.seconds, event.settings.sets
                self._widest_shape = max(map(len, event.settings.shapes), default=0)
                self._widest_worker = max((len(backend.worker) for backend in event.backends), default=0)
            case SetStarted():
                started = f"starting {words.count(len(event.workers), 'worker')}"
                self._doing = [Part(self._set(event.set)), Part(started)]
                if self._live is None:
                    self._say(f"{self._set(event.set)}: {started}; {self._remaining(self._clock())}")
            case ShapeStarted():
                self._doing = [*self._place(event), Part("preparing and comparing")]
            case TurnStarted():
                worker = f"{words.line(event.worker):{self._widest_worker}}"
                self._doing = [*self._place(event), Part(f"round {event.round + 1:>2}"), Part(worker, rank=1)]
            case SetFinished():
                self._doing = [Part(self._set(event.set)), Part("done")]
            case BackendProbed() if event.status != "ok":
                remedy = f" ({words.line(event.remedy)})" if event.remedy else ""
                self._say_once(
                    (event.status, event.backend), f"{event.backend}: {event.status}: {event.reason}{remedy}", "yellow"
                )
            case CellPrepared() | CellFailed():
                self._note_cell(event)
            case WorkerEnded():
                self._say(f"worker {event.worker} was lost: {event.reason}", "red")
            case Warned():
                self._say(f"warning: {event.text}", "yellow")
            case RunFinished() if event.status == "partial":
                self._say(f"the run was cut off after {words.span(self._clock() - self._started)}", "yellow")
            case _:
                pass

    def _note_cell(self, event: CellPrepared | CellFailed) -> None:
        status = "failed" if isinstance(event, CellFailed) else event.status
        if status == "ok":
            return
        shape = f"{event.m}{words.TIMES}{event.n}{words.TIMES}{event.k}"
        name = event.backend if event.mode == "latency" else f"{event.backend}, {event.mode}"
        self._say_once(
            (status, name, shape), f"{name} at {shape}: {status}: {event.reason}", "red" if status == "failed" else ""
        )

    def _set(self, index: int) -> str:
        # A run that goes on measures the set that was cut off under a new number, beyond those asked for.
        return f"set {index + 1} of {self._sets}" if index < self._sets else f"set {index + 1}"

    def _place(self, event: ShapeStarted | TurnStarted) -> list[Part]:
        """The set and the shape; the table says the shape too, so where there is no room for all it goes first."""
        shape = words.line(event.shape).replace("x", words.TIMES)
        return [Part(self._set(event.set)), Part(f"{shape:{self._widest_shape}}", rank=3)]

    def _status(self, now: float) -> list[Part]:
        return [
            *self._doing,
            Part(f"{words.span(now - self._started)} gone,", rank=2, room=len("59 min 59 s gone,")),
            Part(self._remaining(now), room=len("about 59 min 59 s to go")),
        ]

    def _remaining(self, now: float) -> str:
        left = self._seconds - (now - self._started)
        return f"about {words.span(left)} to go" if left >= 1 else "should end soon"

    def _say_once(self, key: tuple[str, ...], text: str, style: str) -> None:
        # Every set finds the same things missing.
        if key not in self._told:
            self._told.add(key)
            self._say(text, style)

    def _say(self, text: str, style: str = "") -> None:
        """Prints a line that stays, above the table."""
        if self._live is not None:
            self._unfold()
        self._console.print(self._text(words.line(text), style), soft_wrap=True)

    def _text(self, text: str, style: str) -> Text:
        return Text(words.in_ascii(text) if self._ascii else text, style if self._console.is_terminal else "")
