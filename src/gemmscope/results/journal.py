"""The journal: every event of a run as a line of JSON, written as it happens. A killed run has lost nothing else."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Self

import msgspec

from gemmscope.errors import ResultsError, UsageError
from gemmscope.results.events import Event, SetFinished, ShapeStarted, TurnStarted

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

JOURNAL = "journal.jsonl"


class Journal:
    """An observer that appends events to a file; only one run at a time may hold it.

    Args:
        path: The file. It is made if it is not there.

    Raises:
        UsageError: If it cannot be written, or another run writes it.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(
                f"cannot write to {path.parent}: {error.strerror}; name another folder with --out"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise UsageError(f"another run is writing to {path.parent}; name another folder with --out") from None
        # A line that a killed run did not finish must not be continued by ours.
        with contextlib.suppress(OSError):
            if os.fstat(self._descriptor).st_size and path.read_bytes()[-1:] != b"\n":
                os.write(self._descriptor, b"\n")

    def __call__(self, event: Event) -> None:
        """Appends an event; those that only say what is about to happen are not kept."""
        if isinstance(event, TurnStarted | ShapeStarted):
            return
        view = memoryview(msgspec.json.encode(event) + b"\n")
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
            if isinstance(event, SetFinished):
                os.fsync(self._descriptor)
        except OSError as error:
            raise ResultsError(
                f"the journal cannot be written: {error.strerror}; what was written before is whole"
            ) from error

    def close(self) -> None:
        """Lets go of the file, and so of its lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_journal(path: Path) -> list[Event]:
    """All events of a journal. A line that was cut off in the middle is left out.

    Raises:
        ResultsError: If the file cannot be read, or a whole line is no event.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from error
    decoder = msgspec.json.Decoder(Event)
    events: list[Event] = []
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            events.append(decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            # Only a kill in the middle of a write leaves half a line, and that one does not end like an object.
            if not line.rstrip().endswith(b"}"):
                continue
            raise ResultsError(f"{path}: line {number} is no event of a run: {error}") from error
    return events
