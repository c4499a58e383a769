"""The orchestrator ends before its time: killed, interrupted, or in the way of another run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from gemmscope.records.events import SetFinished
from gemmscope.storage.journal import holds_run

from .program import (
    PATIENCE,
    PLAIN,
    QUICK,
    Fault,
    Program,
    events_in,
    nothing_lost,
    require,
    resume,
    sampled,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gemmscope.records.events import Event
    from gemmscope.records.model import Result


def killed_again_and_again(folder: Path, moments: Sequence[float]) -> tuple[int, Result]:
    """One run that is killed after each of so many seconds and resumed, and at last left in peace.

    Returns:
        How often it was killed before it had ended by itself, and its result.
    """
    out = folder / "out"
    begin = [*QUICK, *PLAIN, "--sets", "3", "--seconds", "4", "--experiments", "25%", "--out", out]
    killed = 0
    before: list[Event] = []
    for moment in moments:
        program = Program(folder, *(("run", "--resume", out) if holds_run(out / "journal.jsonl") else begin))
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.process.wait(moment)
        killed += program.process.poll() is None
        program.kill()
        program.process.communicate()
        program.leaves_nothing()
        now = events_in(out)
        require(now[: len(before)] == before, "a finished sample was lost")
        before = now
    if not holds_run(out / "journal.jsonl"):
        Program(folder, *begin).finish(0)
    result = resume(folder, out, before)
    finished = {event.set for event in events_in(out) if isinstance(event, SetFinished)}
    # A machine that is slow for its budget measures two, and says so.
    require(len(finished) >= 2, f"only {len(finished)} set was finished")
    # What the machine's own variables are suspected of may have been tried as well.
    tried = {backend.name for backend in result.backends if backend.experiment}
    require({(cell.backend, cell.m, cell.mode) for cell in result.cells if cell.backend not in tried}
            == {("numpy-cpu", 16, "latency"), ("cblas", 16, "latency")}, "not the cells of a run in one piece")  # fmt: skip  # noqa: E501
    return killed, result


def interrupted(number: signal.Signals) -> Callable[[Path], str]:
    """The signal comes to the whole process group, twice, as from a terminal."""

    def inject(folder: Path) -> str:
        out = folder / "out"
        program = Program(folder, *QUICK, *PLAIN, "--seconds", "60", "--out", out)
        wait_for(lambda: sampled(out, count=2), PATIENCE)
        for _ in range(2):
            os.killpg(program.process.pid, number)
            time.sleep(0.02)
        program.finish(130)
        require(nothing_lost(out).status == "partial", "it does not say that it is partial")
        return "partial results and status 130"

    return inject


def interrupted_at_the_end(folder: Path) -> str:
    """Ctrl-C when all is measured, while the results are put together and drawn."""
    out = folder / "out"
    program = Program(folder, *QUICK, *PLAIN, "--out", out)
    wait_for(lambda: '"type":"run finished"' in _text(out / "journal.jsonl"), PATIENCE)
    program.kill(signal.SIGINT)
    program.finish(0)
    require(nothing_lost(out).status == "complete", "a whole run is called partial")
    require((out / "figures" / "speedup.png").stat().st_size > 0, "a figure is missing")
    return "complete results, with their figures"


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def killed_at_random(folder: Path) -> str:
    """Three kills; bench/reliability.py makes many more."""
    killed, _ = killed_again_and_again(folder, [random.uniform(0, 3) for _ in range(3)])
    return "nothing lost, nothing twice, and the run ended well" if killed else "it had ended before it was killed"


def two_into_one_folder(folder: Path) -> str:
    """The second is refused, the first goes on; when it has ended, a third is refused as well."""
    out = folder / "out"
    arguments = (*QUICK, *PLAIN, "--out", out)
    first = Program(folder, *arguments)
    wait_for(lambda: sampled(out), PATIENCE)
    for second in (arguments, ("run", "--resume", out)):
        _, words = Program(folder, *second).finish(2)
        require("another run is writing" in words or "holds a run already" in words, f"it said {words!r}")
    first.finish(0)
    before = events_in(out)
    Program(folder, *arguments).finish(2)
    require(events_in(out) == before, "the journal was touched")
    require(nothing_lost(out).status == "complete", "the first run was disturbed")
    return "the second was refused with words, the first ended well"


def two_at_once(folder: Path) -> str:
    """Without --out, in one second, from one folder."""
    programs = [Program(folder, *QUICK, *PLAIN) for _ in range(3)]
    for program in programs:
        program.process.communicate()
        require(program.process.returncode == 0, f"status {program.process.returncode}")
    for program in programs:
        program.leaves_nothing()
    outs = list((folder / "gemmscope-results").iterdir())
    require(len(outs) == len(programs), f"{len(outs)} folders for {len(programs)} runs")
    for out in outs:
        require(nothing_lost(out).status == "complete", "a run is not complete")
    return "each had a folder of its own"


FAULTS = [
    Fault(
        "the orchestrator is killed (SIGKILL) at random moments, and resumed",
        "nothing lost, nothing twice",
        killed_at_random,
    ),
    *(
        Fault(f"the run is interrupted by {number.name}", "partial results, status 130", interrupted(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ),
    Fault("Ctrl-C after the last sample", "the results are written all the same", interrupted_at_the_end),
    Fault("two runs into one folder", "the second is refused", two_into_one_folder),
    Fault("three runs at once without --out", "a folder for each", two_at_once),
]
