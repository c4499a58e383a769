"""The real program with a fault on its way: started, watched, and looked at afterwards."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

import gemmscope
from gemmscope.records.events import SamplesTaken, WorkerReady
from gemmscope.storage.journal import has_journal, read_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gemmscope.records.events import Event
    from gemmscope.records.model import Result

TAG = "GEMMSCOPE_FAULT"
# Without experiments, which depend on the machine's own variables: their cells are not measured in every set.
QUICK = ("run", "--sizes", "16", "--pairs", "2", "--sets", "2", "--seconds", "2", "--experiments", "0")
PLAIN = ("--backends", "numpy-cpu,cblas")
# Nothing takes so long, on a machine however busy: what has not happened by then hangs.
PATIENCE = 250.0


class BrokenError(AssertionError):
    """Something was lost, left behind, or not said."""


class ImpossibleError(Exception):
    """A fault that cannot be injected here; it says why."""


class Fault(NamedTuple):
    """A fault: what is done, what should come of it, and the function that does it."""

    name: str
    expected: str
    inject: Callable[[Path], str]


def injected(fault: Fault, folder: Path) -> str:
    """Injects a fault into an empty folder; what happened, in words. Nothing is left running, however it went.

    Raises:
        BrokenError: If it did not go as it should.
        ImpossibleError: If it cannot be injected here.
    """
    try:
        return fault.inject(folder)
    finally:
        while _started:
            _started.pop().end()


def require(condition: object, otherwise: str) -> None:
    """Raises BrokenError unless the condition holds."""
    if not condition:
        raise BrokenError(otherwise)


def _heed_signals(but: int | None) -> None:
    """Whoever calls this may ignore some signals, as nohup does; that is inherited."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number == but else signal.SIG_DFL)


_started: list[Program] = []


class Program:
    """``gemmscope`` at work, with a folder for temporary files of its own and a tag that all its processes inherit."""

    def __init__(self, folder: Path, *arguments: object, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE,
                 ignoring: int | None = None, **environment: str) -> None:  # fmt: skip
        self.temporary = folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self._tag = uuid.uuid4().hex
        self._segments = shared_memory()
        _started.append(self)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gemmscope", *map(str, arguments)], stdout=stdout, stderr=stderr, text=True,
            start_new_session=True, preexec_fn=lambda: _heed_signals(ignoring), cwd=folder,  # noqa: PLW1509  (no threads here)
            env=os.environ | {TAG: self._tag, "TMPDIR": str(self.temporary)} | environment,
        )  # fmt: skip

    def finish(self, *statuses: int) -> tuple[str, str]:
        """Waits for its end with one of the statuses, sees that nothing is left, and returns what it printed."""
        out, err = (words or "" for words in self.process.communicate(timeout=PATIENCE))
        status = self.process.returncode
        require(status in statuses, f"exit status {status}, expected {statuses}: {err[-2000:]}")
        require("Traceback" not in err, f"a traceback: {err[-2000:]}")
        self.leaves_nothing()
        return out, err

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends a signal to the orchestrator alone."""
        self.process.send_signal(number)

    def running(self) -> list[psutil.Process]:
        """Its processes that are alive, whatever their parents and sessions."""
        return [process for process in psutil.process_iter() if _has_tag(process, self._tag)]

    def workers(self) -> list[psutil.Process]:
        """Its workers that are alive."""
        return [process for process in self.running() if "gemmscope.measure.worker" in _command(process)]

    def end(self) -> None:
        """Ends whatever of it is still running, after a fault that was not as it should be."""
        for process in self.running():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.communicate()

    def leaves_nothing(self) -> None:
        """Sees that no process is left, nor a shared-memory segment, nor a temporary file."""
        wait_for(lambda: not self.running(), 15, lambda: f"still running: {[_command(p) for p in self.running()]}")
        left = shared_memory() - self._segments
        require(not left, f"shared memory is left: {left}")
        files = list(self.temporary.iterdir())
        require(not files, f"temporary files are left: {files}")


def shared_memory() -> set[str]:
    """The names of shared-memory segments, where the system shows them; without those of programs that are running."""
    folder = Path("/dev/shm")  # noqa: S108  (only looked at)
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    # Intel's OpenMP names them by the process. Ours have ended when this is asked for the second time.
    owners = {name: re.match(r"__KMP_REGISTERED_LIB_(\d+)_", name) for name in names}
    return {name for name, owner in owners.items() if owner is None or not psutil.pid_exists(int(owner[1]))}


def _has_tag(process: psutil.Process, tag: str) -> bool:
    try:
        inherited = process.environ().get(TAG) == tag
        return inherited and process.status() != psutil.STATUS_ZOMBIE  # type: ignore[no-any-return]
    except (psutil.Error, OSError):
        return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def wait_for(condition: Callable[[], object], seconds: float, otherwise: Callable[[], str] | None = None) -> None:
    """Waits until the condition holds."""
    stop = time.monotonic() + seconds
    while not condition():
        require(time.monotonic() < stop, otherwise() if otherwise else "it did not happen in time")
        time.sleep(0.02)


def events_in(out: Path) -> list[Event]:
    """The journal of an output folder, as far as it goes."""
    journal = out / "journal.jsonl"
    return read_journal(journal) if has_journal(journal) else []


def samples_of(events: Iterable[Event]) -> collections.Counter[tuple[object, ...]]:
    """Every sample of a journal, with how often it is there."""
    return collections.Counter(
        (e.backend, e.m, e.n, e.k, e.mode, sample.set, sample.round, sample.start, sample.seconds)
        for e in events
        if isinstance(e, SamplesTaken)
        for sample in e.samples
    )


def samples_in(result: Result) -> collections.Counter[tuple[object, ...]]:
    """Every sample of a results file, the canary's too."""
    cells = [((cell.backend, cell.m, cell.n, cell.k, cell.mode), cell.samples) for cell in result.cells]
    if result.reference is not None:
        m, n, k = (int(size) for size in result.reference.shape.split("x"))
        cells.append((("canary", m, n, k, "latency"), result.reference.samples))
    return collections.Counter((*key, s.set, s.round, s.start, s.seconds) for key, samples in cells for s in samples)


def nothing_lost(out: Path, before: Sequence[Event] = ()) -> Result:
    """Sees that the results hold every sample of the journal once, and that the journal begins as it was before."""
    events = events_in(out)
    require(events[: len(before)] == list(before), "the journal does not begin as it was before")
    result = gemmscope.load(out)
    journal, results = samples_of(events), samples_in(result)
    require(journal == results, f"{len(journal - results)} samples lost, {len(results - journal)} made up")
    require(all(count == 1 for count in results.values()), "a sample is there twice")
    return result


def sampled(out: Path, backend: str = "cblas", count: int = 1) -> bool:
    """Whether so many turns of a backend are in the journal."""
    return sum(isinstance(e, SamplesTaken) and e.backend == backend for e in events_in(out)) >= count


def worker_pids(out: Path, name: str) -> list[int]:
    """The process ids of the workers of that name, a set each."""
    return [e.worker.pid for e in events_in(out) if isinstance(e, WorkerReady) and e.worker.worker == name]


def resume(folder: Path, out: Path, before: Sequence[Event]) -> Result:
    """Goes on with a run to its end; the result is complete, and nothing of before is lost."""
    Program(folder, "run", "--resume", out).finish(0)
    result = nothing_lost(out, before)
    require(result.status == "complete", f"the resumed run is {result.status}")
    require(all(cell.status == "ok" and cell.samples for cell in result.cells), "a cell was not measured")
    return result
