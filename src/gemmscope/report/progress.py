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
    BackendsAdded,
    CellFailed,
    CellPrepared,
    RunFinished,
    RunStarted,
    SetFinished,
    SetsPlanned,
    SetStarted,
    ShapeStarted,
    TurnStarted,
    Warned,
    WorkerEnded,
)
from gemmscope.records.model import REFERENCE
from gemmscope.report.live import LiveTable
from gemmscope.report.output import Console
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console as RichConsole

    from gemmscope.records.events import Event
    from gemmscope.records.model import Status

_REFRESH_SECONDS = 0.25
# Where drawing takes long, it is done less often: it never takes more than this share of the time.
_MAX_SHARE = 0.01
# What the worker of the reference workload is called.
_REFERENCE_NAME = "reference"


class Progress:
    """An observer that shows how far a run is, on standard error, so that standard output can be piped.

    On a terminal that is a table which fills, see :class:`gemmscope.report.live.LiveTable`; elsewhere it is a line for
    each set. What goes wrong has a line of its own on both. Nothing is shown but inside a call, which is between turns:
    a thread that refreshes would disturb the measurement.

    Args:
        console: Where it is shown; by default on standard error.
        clock: A steady clock, in seconds.
        earlier: The events of the earlier part of a resumed run: the table begins with them.
    """

    def __init__(
        self,
        console: RichConsole | None = None,
        clock: Callable[[], float] = time.monotonic,
        earlier: Sequence[Event] = (),
    ) -> None:
        self._console = console or Console(stderr=True)
        self._earlier = earlier
        self._clock = clock
        self._live: Live | None = None
        self._table = LiveTable()
        self._next = float("-inf")
        self._reported: set[tuple[str, Status]] = set()
        self._started = clock()
        self._seconds = 0.0
        self._sets = 0
        # The widths of the widest shape and worker: what stands behind them must not move.
        self._shape_width = self._worker_width = 0
        # The set, shape, step and worker in hand, as they are shown.
        self._activity = ("", "", "starting", "")

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            # Standard output stays as it is: what is printed there may go to another program.
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
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
            self._next = max(now + _REFRESH_SECONDS, done + (done - now) / _MAX_SHARE)

    def _unfold(self) -> None:
        """Erases the lines that the table has more than was drawn, since the terminal became narrower and folded it.

        rich goes up by as many lines as it drew.
        """
        if lines := self._table.folds_at(self._console.width):
            up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2))
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), *up * lines))

    def _note(self, event: Event) -> None:  # noqa: C901, PLR0912  (one case for each kind of event)
        match event:
            case RunStarted():
                self._started = self._clock()
                self._seconds, self._sets = event.settings.seconds, event.settings.sets
                self._shape_width = max(map(len, event.settings.shapes), default=0)
                self._worker_width = max(map(len, [_REFERENCE_NAME, *(backend.worker for backend in event.backends)]))
            case BackendsAdded():
                names = words.listed([backend.name for backend in event.backends], 10)
                self._print(f"trying possible causes: {names}")
            case SetStarted():
                starting = f"starting {words.count(len(event.workers), 'worker')}"
                self._activity = (self._set(event.set), "", starting, "")
                if self._live is None:
                    self._print(f"{self._set(event.set)}: {starting}; {self._remaining(self._clock())}")
            case SetsPlanned():
                self._sets = event.sets
            case ShapeStarted():
                self._activity = (self._set(event.set), self._shape(event.shape), "preparing", "")
            case TurnStarted():
                worker = _REFERENCE_NAME if event.worker == REFERENCE else words.line(event.worker)
                step = f"round {event.round + 1:>2}"
                self._activity = (
                    self._set(event.set), self._shape(event.shape), step, f"{worker:{self._worker_width}}",
                )  # fmt: skip
            case SetFinished():
                self._activity = (self._set(event.set), "", "done", "")
            case BackendProbed() if event.status != "ok":
                remedy = f" ({words.line(event.remedy)})" if event.remedy else ""
                self._print_once(event.backend, event.status, f"{event.reason}{remedy}", "yellow")
            case CellPrepared() if event.status != "ok":
                self._print_once(_where(event), event.status, event.reason)
            case CellFailed():
                self._print_once(_where(event), "failed", event.reason)
            case WorkerEnded():
                self._print(f"worker {event.worker} was lost: {event.reason}", "red")
            case Warned():
                self._print(f"warning: {event.text}", "yellow")
            case RunFinished() if event.status == "partial":
                self._print(f"the run was cut off after {words.span(self._clock() - self._started)}", "yellow")
            case _:
                pass

    # --- The line beneath the table -----------------------------------------------------------------------------------

    def _set(self, index: int) -> str:
        # A resumed run measures the set that was cut off under a new number, beyond those asked for.
        return f"batch {index + 1} of {self._sets}" if index < self._sets else f"batch {index + 1}"

    def _shape(self, text: str) -> str:
        return f"{Shape.parse(text).full_title:{self._shape_width}}"

    def _status(self, now: float) -> list[str]:
        """The line beneath the table, and what is left of it in terminals that are narrower and narrower.

        The shape goes first: the table shows it too. Times have a fixed width, so that no part comes and goes as they
        grow and shrink.
        """
        set_, _, step, worker = self._activity
        left = f"{self._remaining(now):{len('about 59 min 59 s to go')}}"
        times = f"{words.span(now - self._started)} elapsed, {left}"
        times = f"{times:{len('59 min 59 s elapsed, about 59 min 59 s to go')}}"
        lines = (
            (*self._activity, times),
            (set_, step, worker, times),
            (set_, step, worker, left),
            (set_, step, left),
        )
        return ["  ".join(filter(None, line)) for line in lines]

    def _remaining(self, now: float) -> str:
        left = self._seconds - (now - self._started)
        return f"about {words.span(left)} to go" if left >= 1 else "should end soon"

    # --- Lines that stay ----------------------------------------------------------------------------------------------

    def _print_once(self, what: str, status: Status, why: str, style: str = "") -> None:
        """Prints what is missing, failed or left out: every set finds the same.

        Beneath a table only what failed: it shows what else has no figures, and the end of the run says why.
        """
        if (what, status) not in self._reported and (self._live is None or status == "failed"):
            self._reported.add((what, status))
            self._print(f"{what}: {status}: {why}", style or ("red" if status == "failed" else ""))

    def _print(self, text: str, style: str = "") -> None:
        """Prints a line that stays, above the table."""
        if self._live is not None:
            self._unfold()
        line = words.line(text)
        if self._console.options.ascii_only:
            line = words.in_ascii(line)
        self._console.print(Text(line, style if self._console.is_terminal else ""), soft_wrap=True)


def _where(event: CellPrepared | CellFailed) -> str:
    return f"{event.key.label} at {event.shape.full_title}"
