"""Signals that ask a run to end: acted on once, and never in the middle of something that must be whole."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any, Self

from gemmscope.errors import RunInterrupted

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """While it is entered, the first of these signals raises ``RunInterrupted``; further ones are ignored.

    Once is enough: a signal that comes while workers are being ended and results written must not cost the results. A
    hang-up that is ignored already stays ignored: that is what nohup promises. Outside the main thread nothing is done,
    since signals do not arrive there.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._pending = ""
        self._holding = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _ENDS:
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # None stands for a handler that was not set from Python, and cannot be set from there again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What is inside is done to its end; a signal that came meanwhile takes effect then.

        Raises:
            RunInterrupted: At the end, if one came.
        """
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._pending:
            pending, self._pending = self._pending, ""
            raise RunInterrupted(pending)

    def ignore(self) -> None:
        """From now on nothing is interrupted."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def _interrupt(self, number: int, _frame: object) -> None:
        self.ignore()
        reason = f"ended by {signal.Signals(number).name}"
        if not self._holding:
            raise RunInterrupted(reason)
        self._pending = reason
