"""What is around the program fails it: disks, files, clocks, terminals."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import os
import pty
import random
import resource
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from typing import TYPE_CHECKING

import psutil
from click.testing import CliRunner

from gemmscope.cli import main
from gemmscope.storage.journal import JOURNAL, packed

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
    resume,
    sampled,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COPIES = 25


def disk_full(folder: Path) -> str:
    """No file may grow beyond what the journal has, from some moment on: a write fails, as on a full disk."""
    out = folder / "out"
    program = Program(folder, *QUICK, *PLAIN, "--seconds", "8", "--out", out)
    wait_for(lambda: sampled(out, count=2), PATIENCE)
    size = (out / "journal.jsonl").stat().st_size + 500
    psutil.Process(program.process.pid).rlimit(resource.RLIMIT_FSIZE, (size, size))
    _, words = program.finish(1)
    require("the journal cannot be written" in words, f"it said {words!r}")
    resume(folder, out, events_in(out))
    return "it ended with words and went on when there was room"


def really_full(folder: Path) -> str:
    """The same on a file system of 64 KiB, which must be allowed to be mounted."""
    with _mounted(folder / "small", "size=64k") as small:
        out = small / "out"
        program = Program(folder, *QUICK, *PLAIN, "--seconds", "600", "--out", out)
        _, words = program.finish(1)
        require("No space left on device" in words, f"it said {words!r}")
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)  # noqa: S607
        # What is left of the 600 s is not waited for: an interrupted run is whole as well.
        before = events_in(out)
        program = Program(folder, "run", "--resume", out)
        wait_for(lambda: len(events_in(out)) > len(before) + 20, PATIENCE)
        program.kill(signal.SIGINT)
        program.finish(130)
        nothing_lost(out, before)
    return "it ended with words and went on when there was room"


@contextlib.contextmanager
def _mounted(place: Path, options: str) -> Iterator[Path]:
    if os.geteuid() != 0 or sys.platform != "linux":
        raise ImpossibleError("mounting a file system needs Linux and root")
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)  # noqa: S607
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)  # noqa: S607


def read_only(folder: Path) -> str:
    """Root may write where the permissions say no; there a read-only file system is mounted."""
    with contextlib.ExitStack() as stack:
        place = folder / "place"
        if os.geteuid() == 0:
            stack.enter_context(_mounted(place, "ro"))
        else:
            place.mkdir(mode=0o555)
        _, words = Program(folder, *QUICK, *PLAIN, "--out", place / "out").finish(2)
    require("cannot write to" in words, f"it said {words!r}")
    require("name another folder with --out" in words, f"it said {words!r}")
    return "refused before anything was measured"


def standard_output(place: str, *statuses: int) -> str:
    """``gemmscope shapes`` is all words, and quick."""
    program = f"{sys.executable} -m gemmscope shapes"
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {program} {place}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    require(done.returncode in statuses, f"status {done.returncode}")
    require("Traceback" not in done.stderr, done.stderr)
    return done.stderr.strip() or "a quiet end"


def damaged_file(folder: Path, name: str, command: list[str]) -> str:
    """Bytes of a file of a small run are changed or cut off, and it is read: words, and never a traceback."""
    out = folder / "out"
    Program(folder, *QUICK, *PLAIN, "--out", out).finish(0)
    path = out / name
    whole = gzip.decompress(packed(path).read_bytes()) if packed(path).exists() else path.read_bytes()
    refused = 0
    for _ in range(COPIES):
        copy = bytearray(whole)
        for _ in range(random.randint(1, 5)):
            copy[random.randrange(len(copy))] = random.randrange(256)
        packed(out / JOURNAL).unlink(missing_ok=True)  # of the copy before, where that ran to its end
        path.write_bytes(copy[: random.randrange(len(copy))] if random.choice([True, False]) else copy)
        done = CliRunner().invoke(main, [*command, str(out)])
        known = done.exception is None or isinstance(done.exception, SystemExit)
        require(known and done.exit_code in (0, 1, 2), f"{done.exception!r}")
        require(done.exit_code == 0 or "gemmscope: " in done.output, "an error without words")
        refused += done.exit_code != 0
    return "read, or refused with words" if refused else "always read"


def no_file(folder: Path) -> str:
    """What is named as results never begins, or never ends: it is refused before it is read."""
    pipe, sparse = folder / "pipe", folder / "sparse.json"
    os.mkfifo(pipe)
    with sparse.open("wb") as file:
        file.truncate(2**40)
    for path in (pipe, sparse, "/dev/zero", "/dev/urandom"):
        for command in ("report", "explain"):
            done = CliRunner().invoke(main, [command, str(path)])
            require(done.exit_code == 2, f"exit status {done.exit_code}: {done.exception!r}")
            require(f"{path}: cannot be read" in done.output, f"it said {done.output!r}")
    return "refused with words"


def clock_jumps(folder: Path) -> str:
    """Every look at the wall clock, in every process, is off by up to ten days; the steady clock is let alone."""
    (folder / "sitecustomize.py").write_text(
        "import random, time\n_time, _ns = time.time, time.time_ns\n"
        "time.time = lambda: _time() + random.uniform(-864000, 864000)\n"
        "time.time_ns = lambda: _ns() + random.randint(-864000, 864000) * 10**9\n"
    )
    out = folder / "out"
    Program(folder, *QUICK, *PLAIN, "--out", out, PYTHONPATH=str(folder)).finish(0)
    result = nothing_lost(out)
    starts = [sample.start for cell in result.cells for sample in cell.samples]
    require(0 <= min(starts) <= max(starts) < PATIENCE, f"samples from {min(starts)} to {max(starts)} s")
    require(result.time_spent.total < PATIENCE, "the account is off")
    return "a run like any other"


class Terminal:
    """A pseudo-terminal whose screen is read and thrown away."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while os.read(self._ours, 65536):
                pass

    def resize(self, rows: int, columns: int) -> None:
        """Gives it another size, and says so as a terminal does."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        """Closes the window: the reader's end is gone, and so is the terminal."""
        os.close(self.theirs)
        os.close(self._ours)


def resized(folder: Path) -> str:
    """Forty sizes, some of them absurd, while the table is drawn."""
    terminal = Terminal()
    out = folder / "out"
    program = Program(folder, *QUICK, *PLAIN, "--out", out, stderr=terminal.theirs, TERM="xterm")
    while program.process.poll() is None:
        terminal.resize(random.choice([0, 1, 2, 24, 200]), random.choice([0, 1, 5, 80, 500]))
        with contextlib.suppress(ProcessLookupError):
            program.kill(signal.SIGWINCH)
        time.sleep(0.05)
    program.finish(0)
    terminal.close()
    require(nothing_lost(out).status == "complete", "it is not complete")
    return "a run like any other"


def closed(folder: Path) -> str:
    """The terminal is gone in the middle, and no signal says so: as after ``setsid`` or ``disown``."""
    terminal = Terminal()
    out = folder / "out"
    program = Program(
        folder, *QUICK, *PLAIN, "--out", out, stdout=terminal.theirs, stderr=terminal.theirs, TERM="xterm"
    )
    wait_for(lambda: sampled(out), PATIENCE)
    terminal.close()
    program.process.wait(PATIENCE)
    require(program.process.returncode == 0, f"status {program.process.returncode}")
    program.leaves_nothing()
    require(nothing_lost(out).status == "complete", "it is not complete")
    return "the run went on to its end"


def hung_up(folder: Path) -> str:
    """Under nohup a hang-up is ignored, and must stay so."""
    out = folder / "out"
    program = Program(folder, *QUICK, *PLAIN, "--out", out, ignoring=signal.SIGHUP)
    wait_for(lambda: sampled(out), PATIENCE)
    program.kill(signal.SIGHUP)
    program.finish(0)
    require(nothing_lost(out).status == "complete", "it is not complete")
    return "the run went on to its end"


def few_descriptors(folder: Path) -> str:
    """The whole program may open 20 files: no worker can be started."""
    program = Program(folder, *QUICK, *PLAIN, "--out", folder / "out")
    psutil.Process(program.process.pid).rlimit(resource.RLIMIT_NOFILE, (20, 20))
    _, words = program.finish(1)
    require("Too many open files" in words, f"it said {words!r}")
    return "it ended with words"


def no_proc(folder: Path) -> str:
    """As in a chroot: nothing is mounted at /proc."""
    if os.geteuid() != 0 or sys.platform != "linux":
        raise ImpossibleError("hiding /proc needs Linux and root")
    out = folder / "out"
    command = [sys.executable, "-m", "gemmscope", *QUICK, *PLAIN, "--out", str(out)]
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh", *command]
    done = subprocess.run(hidden, check=False, capture_output=True, text=True, cwd=folder)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        raise ImpossibleError(done.stderr.strip())
    require(done.returncode == 0, f"status {done.returncode}: {done.stderr[-2000:]}")
    require("Traceback" not in done.stderr, f"a traceback: {done.stderr[-2000:]}")
    nothing_lost(out)
    return "a run like any other"


def no_utf8(folder: Path) -> str:
    """The output folder has a byte in its name that is no UTF-8, and its journal alone is left to be read."""
    out = folder / os.fsdecode(b"x\xff")
    Program(folder, *QUICK, *PLAIN, "--out", out).finish(0)
    (out / "results.json").unlink()
    Program(folder, "report", out).finish(0)
    return "the run ended well, and its journal was read"


def pipe_for_results(folder: Path) -> str:
    """To open it would wait for somebody who writes."""
    os.mkfifo(folder / "results.json")
    _, words = Program(folder, "report", folder / "results.json").finish(2)
    require("it is not a regular file" in words, f"it said {words!r}")
    return "refused with words"


def nothing_outside(folder: Path) -> str:
    """Home, temporary files and the current folder are empty ones; afterwards they are still empty."""
    home = folder / "home"
    home.mkdir()
    out = folder / "out"
    Program(folder, *QUICK, *PLAIN, "--out", out, HOME=str(home)).finish(0)
    require(not list(home.iterdir()), f"written into home: {list(home.iterdir())}")
    require({path.name for path in folder.iterdir()} == {"home", "out", "tmp"}, "written into the current folder")
    return "nothing was written elsewhere"


FAULTS = [
    Fault("the disk is full (RLIMIT_FSIZE) in the middle", "an end with words; resumed when there is room", disk_full),
    Fault(
        "the file system is full (tmpfs of 64 KiB) in the middle",
        "an end with words; resumed when there is room",
        really_full,
    ),
    Fault("the output folder is read-only", "refused with words", read_only),
    Fault("standard output is full (/dev/full)", "status 1 with words", lambda _: standard_output(">/dev/full", 1)),
    Fault(
        "the reader of standard output has gone (| head -1)",
        "a quiet end",
        lambda _: standard_output("| head -c 1 >/dev/null", 0),
    ),
    Fault(
        f"{COPIES} results files damaged at random bytes",
        "read, or refused with words",
        lambda folder: damaged_file(folder, "results.json", ["report"]),
    ),
    Fault(
        f"{COPIES} journals damaged at random bytes",
        "resumed, or refused with words",
        lambda folder: damaged_file(folder, JOURNAL, ["run", "--resume"]),
    ),
    Fault("a pipe, a device or a sparse file of 1 TiB as results", "refused with words", no_file),
    Fault("the wall clock jumps by days at every look", "a run like any other", clock_jumps),
    Fault("the terminal is resized all the time", "a run like any other", resized),
    Fault("the terminal is closed", "the run goes on", closed),
    Fault("a hang-up under nohup", "the run goes on", hung_up),
    Fault("only 20 files may be open (ulimit -n)", "an end with words", few_descriptors),
    Fault("nothing is mounted at /proc", "a run like any other", no_proc),
    Fault("an output folder whose name is no UTF-8; results are lost", "a run, and a report of its journal", no_utf8),
    Fault("a pipe as a results file", "refused with words", pipe_for_results),
    Fault("home, temporary and current folder watched", "nothing is written outside --out", nothing_outside),
]
