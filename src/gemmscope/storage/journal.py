"""The journal: every event of a run as a line of JSON, written as it happens. A killed run has lost nothing else.

That of a run that is complete is packed into a file beside its place: its samples are in the results as well. A packed
journal is the journal, whatever else may be left of it.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import zlib
from typing import TYPE_CHECKING, Self

import msgspec

from gemmscope.errors import OutputError, ResultsError, UsageError
from gemmscope.files import MOST_BYTES, read_file, write_all, write_whole
from gemmscope.records.events import Event, SetFinished, ShapeStarted, TurnStarted

if TYPE_CHECKING:
    from pathlib import Path

JOURNAL = "journal.jsonl"
SUFFIXES = (".jsonl", ".jsonl.gz")

_PACKED = ".gz"
# Of zlib's nine. The last ones take several times as long, and save a hundredth.
_LEVEL = 6
# For zlib: the largest window, and gzip's header.
_GZIP = 16 + zlib.MAX_WBITS

# Not to wait for a reader where the file is a pipe.
_OPEN = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK

_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class Journal:
    """An observer that appends events to a file; only one run at a time may hold it.

    Args:
        path: The file. It is made if it is not there. Where the packed one is, that stays as it is until an event is
            added: a run that is refused after all has changed nothing.
        new: Whether it must hold nothing yet.

    Raises:
        UsageError: If it cannot be written, another run writes it, or it holds a run and must not.
    """

    def __init__(self, path: Path, *, new: bool = False) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, _OPEN, 0o666)
        except OSError as error:
            # mkdir tells a place where something else is by that it exists.
            what = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
            raise UsageError(f"cannot write to {path.parent}: {what}; name another folder with --out") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # One that has just ended may have packed the file away that was opened here.
            if not os.path.samestat(os.fstat(self._descriptor), path.stat()):
                raise BlockingIOError
        except OSError:
            os.close(self._descriptor)
            raise UsageError(f"another run is writing to {path.parent}; name another folder with --out") from None
        if new and holds_run(path):
            self.close()
            raise UsageError(
                f"{path.parent} holds a run already: name another folder with --out, or go on with --resume"
            )
        self._is_ready = False

    def _make_ready(self) -> None:
        """For the first event that is added."""
        if not self._is_ready:
            self._unpack()
            self._mend()
            self._is_ready = True

    def _unpack(self) -> None:
        """Writes out what was packed. Until that is whole the packed file is the journal."""
        if not packed(self._path).exists():
            return
        content = _content(self._path)
        try:
            os.ftruncate(self._descriptor, 0)
            write_all(self._descriptor, content)
            os.fsync(self._descriptor)
        except OSError as error:
            raise UsageError(f"{self._path}: cannot be written: {error.strerror}") from error
        packed(self._path).unlink()

    def _mend(self) -> None:
        """Ends the last line, or takes it away if a killed run wrote only half of it."""
        data = self._path.read_bytes()
        begin = data.rfind(b"\n") + 1
        if not data[begin:]:
            return
        if _event(data[begin:]) is None:
            os.ftruncate(self._descriptor, begin)
        else:
            os.write(self._descriptor, b"\n")

    def __call__(self, event: Event) -> None:
        """Appends an event; those that only say what is about to happen are not kept.

        Raises:
            OutputError: If it cannot be written.
            ResultsError: If the journal is packed and damaged.
        """
        if isinstance(event, TurnStarted | ShapeStarted):
            return
        self._make_ready()
        try:
            write_all(self._descriptor, msgspec.json.encode(event) + b"\n")
            if isinstance(event, SetFinished):
                os.fsync(self._descriptor)
        except OSError as error:
            raise OutputError(
                f"the journal cannot be written: {error.strerror}; what was written before is whole"
            ) from error

    def pack(self) -> None:
        """Compresses what a run that is complete has written: it takes a tenth of the space then.

        Raises:
            UsageError: If the packed file cannot be written; the journal is as it was.
        """
        if not self._is_ready:
            return
        write_whole(packed(self._path), lambda: gzip.compress(self._path.read_bytes(), _LEVEL))
        self._path.unlink()

    def close(self) -> None:
        """Lets go of the file, and so of its lock. What was made and never written to beside a packed one is gone."""
        if self._descriptor >= 0:
            if packed(self._path).exists() and os.fstat(self._descriptor).st_size == 0:
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def packed(path: Path) -> Path:
    """Where a journal is once its run is complete."""
    return path.with_name(path.name + _PACKED)


def has_journal(path: Path) -> bool:
    """Whether there is a journal at a path, packed or not."""
    return path.is_file() or packed(path).is_file()


def holds_run(path: Path) -> bool:
    """Whether there is a journal with anything in it: a run that was killed before its first event has left none."""
    return any(file.is_file() and file.stat().st_size > 0 for file in (path, packed(path)))


def read_journal(path: Path) -> list[Event]:
    """All events of a journal, packed or not. A last line that was cut off in the middle is left out.

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
        ResultsError: If the file cannot be read, or is packed and damaged.
    """
    *whole, last = _content(path).split(b"\n")
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


def _content(path: Path) -> bytes:
    file = packed(path) if packed(path).exists() else path
    data = read_file(file)
    if file.suffix != _PACKED:
        return data
    unpacking = zlib.decompressobj(wbits=_GZIP)
    try:
        content = unpacking.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise ResultsError(f"{file}: it is no journal of gemmscope, or it is damaged: {error}") from error
    if not unpacking.eof:
        raise ResultsError(f"{file}: it is cut short, or unpacks to more than any run writes")
    return content


def _event(line: bytes) -> Event | None:
    try:
        return _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
