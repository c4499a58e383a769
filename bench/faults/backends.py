"""Backends and workers that misbehave: whatever they do costs their own cells, and nothing else."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

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
    worker_pids,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmscope.records.model import Result

BACKEND = """
import ctypes, gc, os, resource, signal, sys, time
import numpy as np
from gemmscope.backends.base import Backend

class Mine(Backend):
    name, library, device, entry, summary = "mine", "mine", "cpu", "python", "a product of mine"
    timed = 0

    def probe(self): pass
    def prepare(self, operands): self.pairs = operands.pairs
    def product(self, pair): return self.pairs[pair].a @ self.pairs[pair].b
    def run(self, loops, first):
        Mine.timed += not gc.isenabled()  # off during a turn, and only then
        if Mine.timed > 3:
            open(__file__ + ".injected", "w").close()
            self.fault()
        start = time.perf_counter()
        for i in range(loops): Mine.right(self, (first + i) % len(self.pairs))
        return time.perf_counter() - start
    def right(self, pair): return self.pairs[pair].a @ self.pairs[pair].b
    def fault(self): pass
"""
LIMIT = (
    "pages = int(open('/proc/self/statm').read().split()[0])\n"
    "    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**28,) * 2)"
)
RIGHT_LOOP = "start = time.perf_counter(); [self.right(0) for _ in range(args[0])]"
SLOWER_CLOCK = (
    "if not hasattr(Mine, 'clock'):\n        Mine.clock = time.perf_counter\n"
    "        time.perf_counter = lambda: Mine.clock() / 100"
)
FORK = "if os.fork() == 0:\n        while True: time.sleep(1)"
FORK_APART = (
    "if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n            while True: time.sleep(1)\n"
    "        os._exit(0)\n    os.wait()\n    Mine.timed = -10**9"
)


def _with_backend(folder: Path, fault: str, method: str = "fault") -> tuple[Path, list[object]]:
    path = folder / "mine.py"
    path.write_text(f"{BACKEND}\ndef {method}(self, *args):\n    {fault}\nMine.{method} = {method}\n")
    out = folder / "out"
    return out, [*QUICK, "--backend-file", path, "--backends", "numpy-cpu,mine", "--out", out]


def _failing(words: str, fault: str, method: str = "fault") -> Callable[[Path], str]:
    """A backend that fails while it is timed; the other must be measured to the end."""

    def inject(folder: Path) -> str:
        out, arguments = _with_backend(folder, fault, method)
        Program(folder, *arguments).finish(1)
        result = nothing_lost(out)
        cells = {cell.backend: cell for cell in result.cells}
        require(re.search(words, cells["mine"].reason), f"its reason is {cells['mine'].reason!r}")
        require(cells["mine"].status == "failed", f"it is {cells['mine'].status}")
        if method == "product":
            require(not cells["mine"].samples, "a wrong product was timed")
        _measured(result, "numpy-cpu")
        return f"its cells failed: “{_short(cells['mine'].reason)}”"

    return inject


def eats_until_killed(folder: Path) -> str:
    """The kernel's own out-of-memory killer, set off in a group of 256 MiB that the worker enters by itself."""
    group = _memory_group(f"gemmscope-fault-{os.getpid()}")
    eat = (
        f"open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n    kept = []\n"
        "    while True: kept.append(b'1' * 2**24)"
    )
    try:
        return _failing("killed by SIGKILL, which the system also sends when memory runs out", eat)(folder)
    finally:
        group.rmdir()


def _memory_group(name: str) -> Path:
    """A new control group whose memory is limited, of either version.

    Raises:
        ImpossibleError: If this user can make none.
    """
    root = Path("/sys/fs/cgroup")
    for parent, limit in ((root / "memory", "memory.limit_in_bytes"), (root, "memory.max")):
        group = parent / name
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(2**28))
        except OSError:
            group.rmdir()
            continue
        return group
    raise ImpossibleError("a control group with a limit of memory needs Linux, and root as a rule")


def _measured(result: Result, name: str) -> None:
    (cell,) = [cell for cell in result.cells if cell.backend == name]
    require(cell.status == "ok", f"{name} is {cell.status}: {cell.reason}")
    require({sample.set for sample in cell.samples} >= {0, 1}, f"{name} was not measured in every set")


def _short(reason: str) -> str:
    return re.sub(r"\d[\d.e-]* (?=s\b|calls\b)", "… ", reason.partition(";")[0])


def _harmless(fault: str) -> Callable[[Path], str]:
    def inject(folder: Path) -> str:
        out, arguments = _with_backend(folder, fault)
        Program(folder, *arguments).finish(0)
        require((folder / "mine.py.injected").exists(), "the fault was not injected")
        _measured(nothing_lost(out), "mine")
        return "it was measured like any other, and nothing is left running"

    return inject


def children_of_a_killed_run(folder: Path) -> str:
    """SIGKILL for the orchestrator while a backend's child runs in a session of its own, and a worker is stopped."""
    out, arguments = _with_backend(folder, FORK_APART)
    program = Program(folder, *arguments, "--seconds", "60")
    wait_for(lambda: _strays(program), PATIENCE)
    before = events_in(out)
    program.workers()[0].suspend()
    program.kill()
    program.process.communicate()
    program.leaves_nothing()
    require(events_in(out)[: len(before)] == before, "the journal lost something")
    return "all were gone within seconds"


def _strays(program: Program) -> list[psutil.Process]:
    """Workers' descendants that are nobody's child any more."""
    with contextlib.suppress(psutil.Error):
        return [p for p in program.workers() if p.ppid() != program.process.pid]
    return []


def worker_signalled(number: signal.Signals) -> Callable[[Path], str]:
    """A worker is sent a signal from outside, in the middle of the run."""

    def inject(folder: Path) -> str:
        out = folder / "out"
        program = Program(folder, *QUICK, *PLAIN, "--seconds", "8", "--out", out)
        wait_for(lambda: sampled(out), PATIENCE)
        os.kill(worker_pids(out, "cblas")[-1], number)
        program.finish(1)
        result = nothing_lost(out)
        cells = {cell.backend: cell for cell in result.cells}
        require(cells["cblas"].status == "failed", f"cblas is {cells['cblas'].status}")
        require(cells["cblas"].samples, "what it had measured is gone")
        _measured(result, "numpy-cpu")
        return f"its cells failed, its samples stayed: “{_short(cells['cblas'].reason)}”"

    return inject


COSTS = "its cells fail with the reason; the others are measured"

FAULTS = [
    Fault("a backend is killed while it is timed", COSTS, _failing("SIGKILL", "os.kill(os.getpid(), 9)")),
    Fault("a backend segfaults", COSTS, _failing("SIGSEGV", "ctypes.string_at(0)")),
    Fault("a backend aborts", COSTS, _failing("SIGABRT", "os.abort()")),
    Fault(
        "a backend hangs without giving the interpreter back",
        COSTS,
        _failing("no answer within", "ctypes.PyDLL(None).pause()"),
    ),
    Fault(
        "a backend eats memory up to a limit (RLIMIT_AS)",
        COSTS,
        _failing(
            "MemoryError",
            f"{LIMIT}\n    kept = []\n    while True: kept.append(bytearray(2**26))",
        ),
    ),
    Fault("a backend eats memory until the kernel kills it (a control group)", COSTS, eats_until_killed),
    Fault(
        "a backend writes rubbish to its worker's pipe",
        COSTS,
        _failing("something that is not a message", "os.write(int(sys.argv[3]), b'\\xff' * 1000)\n    time.sleep(100)"),
    ),
    Fault("a backend floods standard error", "it is measured", _harmless("os.write(2, b'x' * 10**7)")),
    Fault(
        "a backend's product is NaN", COSTS, _failing("wrong product", "return np.full((16, 16), np.nan)", "product")
    ),
    Fault(
        "a backend's product is wrong in one element",
        COSTS,
        _failing("wrong product", "c = self.right(*args); c[3, 5] += 1; return c", "product"),
    ),
    Fault(
        "a backend returns a nanosecond, whatever it took",
        COSTS,
        _failing("but by the wall clock it took", f"{RIGHT_LOOP}; return 1e-9", "run"),
    ),
    Fault(
        "a backend returns more seconds than have passed",
        COSTS,
        _failing("but by the wall clock it took", f"{RIGHT_LOOP}; return 10 * (time.perf_counter() - start)", "run"),
    ),
    Fault(
        "a backend puts a slower clock in the place of Python's",
        COSTS,
        _failing("but by the wall clock it took", SLOWER_CLOCK),
    ),
    Fault(
        "a backend segfaults and leaves a child that holds its pipes",
        COSTS,
        _failing("SIGSEGV", f"{FORK}\n    ctypes.string_at(0)"),
    ),
    Fault(
        "a backend leaves a child in a session of its own", "it is measured; the child is ended", _harmless(FORK_APART)
    ),
    Fault(
        "the same, a worker stopped by SIGSTOP, and the orchestrator killed",
        "all of them end; the journal is whole",
        children_of_a_killed_run,
    ),
    Fault("a worker is killed from outside", COSTS, worker_signalled(signal.SIGKILL)),
    Fault("a worker is stopped (SIGSTOP) from outside", COSTS, worker_signalled(signal.SIGSTOP)),
]
