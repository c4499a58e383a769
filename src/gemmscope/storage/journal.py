"""The journal: every event of a run as a line of JSON, written as it happens. A killed run has lost nothing else."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

import msgspec

from gemmscope.errors import OutputError, ResultsError, UsageError
from gemmscope.files import read_file, write_all
from gemmscope.records.events import Event, SetFinished, ShapeStarted, TurnStarted

if TYPE_CHECKING:
    from pathlib import Path

JOURNAL = "journal.jsonl"

# Not to wait for a reader where the file is a pipe.
_OPEN = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK

_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class Journal:
    """An observer that appends events to a file; only one run at a time may hold it.

    Args:
        path: The file. It is made if it is not there.
        new: Whether it must hold nothing yet.

    Raises:
        UsageError: If it cannot be written, another run writes it, or it holds a run and must not.
    """

    def __init__(self, path: Path, *, new: bool = False) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, _OPEN, 0o666)
        except OSError as error:
            raise UsageError(
                f"cannot write to {path.parent}: {error.strerror}; name another folder with --out"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise UsageError(f"another run is writing to {path.parent}; name another folder with --out") from None
        if new and holds_run(path):
            self.close()
            raise UsageError(
                f"{path.parent} holds a run already: name another folder with --out, or go on with --resume"
            )
        self._mend(path)

    def _mend(self, path: Path) -> None:
        """Ends the last line, or takes it away if a killed run wrote only half of it."""
        data = path.read_bytes()
        begin = data.rfind(b"\n") + 1
        if not data[begin:]:
            return
        if _event(data[begin:]) is None:
            os.ftruncate(self._descriptor, begin)
        else:
            os.write(self._descriptor, b"\n")

    def __call__(self, event: Event) -> None:
        """Appends an event; those that only say what is about to happen are not kept."""
        if isinstance(event, TurnStarted | ShapeStarted):
            return
        try:
            write_all(self._descriptor, msgspec.json.encode(event) + b"\n")
            if isinstance(event, SetFinished):
                os.fsync(self._descriptor)
        except OSError as error:
            raise OutputError(
                f"the journal cannot be written: {error.strerror}; what was written before is whole"
            ) from error

    def close(self) -> None:
        """Lets go of the file, and so of its lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def holds_run(path: Path) -> bool:
    """Whether there is a journal with anything in it: a run that was killed before its first event has left none."""
    return path.is_file() and path.stat().st_size > 0


def read_journal(path: Path) -> list[Event]:
    """All events of a journal. A last line that was cut off in the middle is left out.

    Raises:
        ResultsError: If the file cannot be read, or a whole line is no event.
    """
    events, damaged = read_what_is_whole(path)
    if damaged:
        raise ResultsError(
            f"{path}: line {damaged[0]} is not an event of a run, so the journal is damaged; "
            f"what is left of it is shown by: gemmscope report {path}"
        )
    return events


def read_what_is_whole(path: Path) -> tuple[list[Event], list[int]]:
    """The events of a journal that may be damaged, and the numbers of its lines that are none.

    Raises:
        ResultsError: If the file cannot be read.
    """
    *whole, last = read_file(path).split(b"\n")
    events: list[Event] = []
    damaged: list[int] = []
    for number, line in enumerate(whole, 1):
        event = _event(line)
        if event is None:
            damaged.append(number)
        else:
            events.append(event)
    unfinished = _event(last)
    return events if unfinished is None else [*events, unfinished], damaged


def _event(line: bytes) -> Event | None:
    try:
        return _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
