"""What tempts the program into a wrong statement: figures that cannot be, changes in the middle, variables in vain."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil

from .backends import BACKEND
from .program import (
    PATIENCE,
    PLAIN,
    QUICK,
    Fault,
    ImpossibleError,
    Program,
    events_in,
    nothing_lost,
    require,
    sampled,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmscope.records.model import Result

# Longer than a worker is given for a turn of some milliseconds.
STOPPED = 20.0


def no_blas_called(folder: Path) -> str:
    """At K = 1 the results of any routine are NumPy's to the last bit, and NumPy calls none."""
    out = folder / "out"
    names = "numpy-cpu,numpy-cpu:out,kernel-numpy"
    Program(folder, "run", "--shape", "512x512x1", "--backends", names, "--sets", "2", "--seconds", "2",
            "--experiments", "0", "--out", out).finish(0)  # fmt: skip
    result = nothing_lost(out)
    (kernel,) = [cell for cell in result.cells if cell.backend == "kernel-numpy"]
    require("kernel not identified" in kernel.reason, f"its kernel is {kernel.status}: {kernel.reason}")
    require(not [finding for finding in result.findings if finding.id == "overhead"], "an overhead was claimed")
    return "“kernel not identified”, and no overhead"


def _cut_off(folder: Path) -> Path:
    """A run with a backend file that was killed in the middle."""
    out = folder / "out"
    (folder / "mine.py").write_text(BACKEND)
    program = Program(folder, *QUICK, "--backend-file", folder / "mine.py", "--backends", "numpy-cpu,mine",
                      "--seconds", "20", "--out", out)  # fmt: skip
    wait_for(lambda: sampled(out, "mine"), PATIENCE)
    program.kill()
    program.process.communicate()
    program.leaves_nothing()
    return out


def _resumed_after(words: str, change: Callable[[Path], dict[str, Any]]) -> Callable[[Path], str]:
    """A run that something has changed for is refused; told to go on it does, and says so."""

    def inject(folder: Path) -> str:
        out = _cut_off(folder)
        before = events_in(out)
        environment = change(folder)
        _, said = Program(folder, "run", "--resume", out, **environment).finish(2)
        require(words in said and "--anyway" in said, f"it said {said!r}")
        require(events_in(out) == before, "the journal was touched")
        program = Program(folder, "run", "--resume", out, "--anyway", **environment)
        wait_for(lambda: len(events_in(out)) > len(before) + 20, PATIENCE)
        program.kill(signal.SIGINT)  # what is left of its 20 s is not waited for
        program.finish(130)
        result = nothing_lost(out, before)
        require(any(words in warning for warning in result.warnings), f"its warnings are {result.warnings}")
        return "refused with words; with --anyway it went on and said so"

    return inject


def _edit(folder: Path) -> dict[str, Any]:
    (folder / "mine.py").write_text(f"{BACKEND}\n# another product\n")
    return {}


def _upgrade(folder: Path) -> dict[str, Any]:
    """Another version's metadata before NumPy's own, which is what an upgrade changes first."""
    info = folder / "newer" / "numpy-99.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 99.0\n")
    return {"PYTHONPATH": str(folder / "newer")}


def more_threads_than_taken(folder: Path) -> str:
    """OpenBLAS takes no more threads than there are processors, whatever it is asked for."""
    out = folder / "out"
    asked = 4 * (psutil.cpu_count() or 1)
    Program(folder, *QUICK, "--backends", "numpy-cpu,torch-gpu", "--threads", asked, "--out", out).finish(0)
    result = nothing_lost(out)
    pools = [pool for worker in result.workers if worker.worker == "numpy" for pool in worker.libraries]
    if not any(pool.kind == "OpenBLAS" and pool.threads and pool.threads < asked for pool in pools):
        raise ImpossibleError("NumPy's BLAS takes as many threads as it is asked for")
    said = {finding.id: finding for finding in result.findings}
    require("too-many-threads" not in said, "it claims threads that nobody has started")
    named = said.get("other-threads-than-asked")
    require(named is not None and named.backends == ["numpy-cpu"], "it does not say how many there were")
    return "the library's own count was said, of the backend that ran"


def orchestrator_stopped(folder: Path) -> str:
    """Stopped and continued, as by Ctrl-Z and fg, for longer than a worker may take: the workers have answered."""
    out = folder / "out"
    program = Program(folder, *QUICK, *PLAIN, "--seconds", "8", "--out", out)
    wait_for(lambda: sampled(out), PATIENCE)
    program.kill(signal.SIGSTOP)
    time.sleep(STOPPED)
    program.kill(signal.SIGCONT)
    program.finish(0)
    return _all_measured(nothing_lost(out), "no worker was blamed")


def backend_held_up(folder: Path) -> str:
    """One call of 1.5 s among the first: in a budget of 2 s a call that took so long would be skipped."""
    out = folder / "out"
    hold_up = "def run(self, loops, first):\n    Mine.calls += 1\n    if Mine.calls == 3: time.sleep(1.5)\n    return _run(self, loops, first)"  # noqa: E501
    (folder / "mine.py").write_text(f"{BACKEND}\nMine.calls, _run = 0, Mine.run\n{hold_up}\nMine.run = run\n")
    Program(folder, *QUICK, "--backend-file", folder / "mine.py", "--backends", "numpy-cpu,mine",
            "--out", out).finish(0)  # fmt: skip
    return _all_measured(nothing_lost(out), "it was measured in every set")


def _all_measured(result: Result, otherwise: str) -> str:
    for cell in result.cells:
        require(cell.status == "ok", f"{cell.backend} is {cell.status}: {cell.reason}")
        require({sample.set for sample in cell.samples} >= {0, 1}, f"{cell.backend} was not measured in every set")
    return otherwise


def _in_vain(variable: str, words: str) -> Callable[[Path], str]:
    """A variant whose variable changes nothing fails with the reason; in the user's environment it is a warning."""

    def inject(folder: Path) -> str:
        if sys.platform != "linux":
            raise ImpossibleError("ld.so and NumPy's wheel with OpenBLAS are for Linux")
        out = folder / "out"
        Program(folder, *QUICK, "--backends", f"numpy-cpu,numpy-cpu:{variable}", "--out", out).finish(1)
        lost = {backend.name: backend for backend in nothing_lost(out).backends}[f"numpy-cpu:{variable}"]
        require(lost.status == "failed" and words in lost.reason, f"it is {lost.status}: {lost.reason}")
        name, _, value = variable.partition("=")
        users_own: dict[str, Any] = {name: value}
        users = folder / "users"
        Program(folder, *QUICK, *PLAIN, "--out", users, **users_own).finish(0)
        warnings = nothing_lost(users).warnings
        require(any(words in warning for warning in warnings), f"its warnings are {warnings}")
        return "the variant failed with the reason; in the user's environment it was a warning"

    return inject


CHANGED = "refused with words; if told to go on, said in the report"
IN_VAIN = "the variant fails, the user is warned"

FAULTS = [
    Fault("a shape at which NumPy calls no BLAS (512×512×1)", "no kernel and no overhead is claimed", no_blas_called),
    Fault("a backend file is edited before the run goes on", CHANGED, _resumed_after("mine.py was edited", _edit)),
    Fault("a library is upgraded before the run goes on", CHANGED, _resumed_after("numpy was", _upgrade)),
    Fault(
        "a variable is set before the run goes on",
        CHANGED,
        _resumed_after("MKL_CBWR was not set, and is AVX2", lambda _: {"MKL_CBWR": "AVX2"}),
    ),
    Fault(
        "four times as many threads are asked for as there are processors",
        "the libraries' own counts are said, of what ran",
        more_threads_than_taken,
    ),
    Fault("the orchestrator is stopped (SIGSTOP) for 20 s", "no worker is blamed", orchestrator_stopped),
    Fault("a backend is held up for 1.5 s while it is calibrated", "it is measured", backend_held_up),
    Fault("LD_PRELOAD names a file that is not there", IN_VAIN, _in_vain("LD_PRELOAD=/no/such.so", "/no/such.so")),
    Fault("OPENBLAS_CORETYPE is misspelt", IN_VAIN, _in_vain("OPENBLAS_CORETYPE=Hasswell", "Hasswell was not heeded")),
]
