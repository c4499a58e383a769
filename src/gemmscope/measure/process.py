"""A worker as the orchestrator sees it: a process that answers requests, or is lost for a reason."""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from gemmscope import _build
from gemmscope.backends import preload
from gemmscope.errors import WorkerLost, WorkerUnavailable
from gemmscope.machine import blas_libraries, environment, heeded, threads
from gemmscope.machine.surroundings import WORKER
from gemmscope.measure.protocol import OTHER_PROTOCOL, PROTOCOL, Decoder, Refused, Reply, Request, frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmscope.backends.variant import Variant
    from gemmscope.workload.operands import SharedMemory

# OpenBLAS's idle threads spin for 2²⁶ ticks of the processor's clock, some 30 to 120 ms, before they sleep. Calls in a
# sample follow each other without a gap, so a shorter wait does not change them; it lets a turn pass on sooner.
# A user's own setting wins.
_HARNESS_ENVIRONMENT = {"OPENBLAS_THREAD_TIMEOUT": "22"}

# Where an interpreter finds its packages: python(1); the last is set by the launcher of macOS's framework builds
# (never run on macOS).
_INTERPRETER_VARIABLES = frozenset({"PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__"})

_PRELOAD = "LD_PRELOAD"

# The interpreter's message where gemmscope is not installed, or one that has no workers.
_NO_GEMMSCOPE = re.compile(r"No module named '?gemmscope")

# Too many descriptors, here or in the whole system; too many processes; no memory for another.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)

_LAST_WORDS = 4096
_GRACE_SECONDS = 5.0
# A worker reads a request at once, unless it is still starting.
_SEND_SECONDS = 120.0
# How often to check whether a silent worker is still there.
_CHECK_SECONDS = 1.0


@dataclass(frozen=True)
class WorkerSpec:
    """One worker: its name, its library, its environment, the variants that it hosts, and their origin.

    An empty value in ``environment`` is a variable that the worker must not have.

    ``python`` is the interpreter that it is started with, if it is not the orchestrator's own.
    """

    name: str
    library: str
    environment: dict[str, str]
    variants: list[Variant]
    origin: str = ""
    python: str = ""


ReplyType = TypeVar("ReplyType", bound=Reply)


class WorkerProcess:
    """A worker process. Whatever goes wrong with it is a :class:`~gemmscope.errors.WorkerLost` with the reason.

    Args:
        spec: What the worker is.
        memory: The run's shared memory, which the worker inherits.
        more: Environment variables of the harness's own, over all others.

    Raises:
        WorkerUnavailable: If the interpreter that the worker asks for cannot be started.
        WorkerLost: If the system allows no further process or descriptor.
    """

    def __init__(self, spec: WorkerSpec, memory: SharedMemory, more: Mapping[str, str] | None = None) -> None:
        self.spec = spec
        self._decoder = Decoder("replies")
        self._words: collections.deque[bytes] = collections.deque(maxlen=64)
        pipes: list[int] = []
        try:
            for _ in range(3):
                pipes += os.pipe()
            requests_read, self._requests, self._replies, replies_write, lifeline_read, self._lifeline = pipes
            inherited = (requests_read, replies_write, lifeline_read, memory.descriptor)
            self._process = subprocess.Popen(
                # -P: a file in the current folder must not stand in for a library.
                [spec.python or sys.executable, "-P", "-m", WORKER, str(PROTOCOL), *map(str, inherited)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=inherited,
                env=worker_environment(spec.environment, spec.python) | dict(more or {}),
                # Ctrl-C is for the orchestrator, which ends its workers itself.
                start_new_session=True,
            )
        except OSError as error:
            for descriptor in pipes:
                os.close(descriptor)
            raise _not_started(spec, error) from error
        for descriptor in inherited[:3]:
            os.close(descriptor)
        self.pid = self._process.pid
        assert self._process.stderr is not None
        self._errors = self._process.stderr.fileno()
        for descriptor in (self._requests, self._replies, self._errors):
            os.set_blocking(descriptor, False)

    def send(self, request: Request) -> None:
        """Sends a request without waiting for the reply.

        Raises:
            WorkerLost: If the worker has ended, or does not take a request that is longer than its pipe.
        """
        view = memoryview(frame(request))
        with selectors.DefaultSelector() as selector:
            selector.register(self._requests, selectors.EVENT_WRITE)
            while view:
                if not selector.select(_SEND_SECONDS):
                    raise self._lose(f"it read no request within {_SEND_SECONDS:.0f} s, so it was ended")
                try:
                    view = view[os.write(self._requests, view) :]
                except BrokenPipeError:
                    raise self._ended() from None

    def receive(self, expected: type[ReplyType], timeout: float) -> ReplyType:
        """Waits for the reply to the request that was sent last.

        Raises:
            WorkerLost: If the worker ends, refuses, sends something else, or is silent for ``timeout`` seconds; it is
                ended then.
        """
        waited = 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(self._replies, selectors.EVENT_READ)
            selector.register(self._errors, selectors.EVENT_READ)
            while True:
                reply = self._next_reply()
                if isinstance(reply, expected):
                    return reply
                if reply is not None:
                    reason = reply.reason if isinstance(reply, Refused) else "it sent the reply to another request"
                    raise self._lose(reason)
                # At least one look into the pipe: what the worker has sent is there, however late this process looks.
                asked = max(0.0, min(timeout - waited, _CHECK_SECONDS))
                before = time.perf_counter()
                ready = {key.fd for key, _ in selector.select(asked)}
                # Where this process was stopped meanwhile, more has passed than it asked for: not the worker's doing.
                waited += min(time.perf_counter() - before, asked)
                if not ready and self._process.poll() is not None:
                    # A child that it has forked holds the pipes, so that they have no end.
                    raise self._ended()
                if self._errors in ready and not self._read_errors():
                    selector.unregister(self._errors)
                if self._replies in ready:
                    if not self._read_replies():
                        raise self._ended()
                elif waited >= timeout:
                    raise self._lose(f"no answer within {timeout:.0f} s, so it was ended")

    def complaints(self) -> list[str]:
        """What its loader and its libraries have said on standard error so far of variables that it has."""
        self._read_errors()
        lines = b"".join(self._words).decode(errors="replace").splitlines()
        return heeded.complaints(lines, worker_variables(self.spec))

    def close(self) -> None:
        """Ends the worker: by the end of its pipe, or by force if that does not end it. Safe to call twice."""
        for name in ("_requests", "_lifeline", "_replies"):
            descriptor = getattr(self, name)
            if descriptor >= 0:
                os.close(descriptor)
                setattr(self, name, -1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_SECONDS)
        self._kill()
        threads.forget(self.pid)
        if self._process.stderr is not None and not self._process.stderr.closed:
            self._process.stderr.close()

    def _next_reply(self) -> Reply | None:
        try:
            return self._decoder.next()  # type: ignore[return-value]
        except WorkerLost as error:
            raise self._lose(str(error)) from None

    def _read_replies(self) -> bool:
        data = os.read(self._replies, 2**20)
        self._decoder.feed(data)
        return bool(data)

    def _read_errors(self) -> bool:
        """Keeps the end of what the worker writes to standard error; false at the end of it."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._errors, 65536)
            self._words.append(data[-_LAST_WORDS:])
            return bool(data)
        return True

    def _lose(self, reason: str) -> WorkerLost:
        self._kill()
        return WorkerLost(reason)

    def _kill(self) -> None:
        # The whole session: a backend may have started processes of its own.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def _ended(self) -> WorkerLost:
        """How the worker ended, in words, with the last line that it said."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_SECONDS)
        self._kill()
        for _ in range(self._words.maxlen or 0):
            if not self._read_errors():
                break
        code = self._process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        if code == -signal.SIGKILL:
            how += ", which the system also sends when memory runs out"
        lines = b"".join(self._words)[-_LAST_WORDS:].decode(errors="replace").strip().splitlines()
        last = lines[-1].strip() if lines else ""
        if self.spec.python and (code == OTHER_PROTOCOL or _NO_GEMMSCOPE.search(last)):
            return WorkerUnavailable(
                f"{self.spec.python}: {last}",
                f"install the same gemmscope there: {self.spec.python} -m pip install gemmscope=={_build.VERSION}",
            )
        return WorkerLost(f"its process {how}" + (f"; its last words: {last}" if last else ""))


def _not_started(spec: WorkerSpec, error: OSError) -> WorkerLost:
    """Why there is no process: what the system refuses to anybody is not the fault of the interpreter asked for."""
    if spec.python and error.errno not in _EXHAUSTED:
        return WorkerUnavailable(
            f"{spec.python} cannot be started: {error.strerror}",
            "name a Python interpreter, such as bin/python of a virtual environment, with gemmscope installed",
        )
    return WorkerLost(no_process(error))


def no_process(error: OSError) -> str:
    """Why the system starts no process for us, and what to do about it."""
    limits = "; allow more open files (ulimit -n) or processes (ulimit -u)" if error.errno in _EXHAUSTED else ""
    return f"no process can be started: {error.strerror}{limits}"


def open_standard_descriptors() -> None:
    """Fills descriptors 0 to 2 where the caller closed them, as daemons do: ours would land there, and be replaced."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return


def _with_blas(own: Mapping[str, str]) -> Mapping[str, str]:
    """A variant's environment with the file of the BLAS that it names; where that is not here, the worker says so."""
    if not own.get(preload.TARGET):
        return own
    if file := blas_libraries.find(own[preload.TARGET]):
        return {**own, preload.TARGET: file}
    return {name: value for name, value in own.items() if name not in (preload.TARGET, _PRELOAD)}


def worker_variables(spec: WorkerSpec) -> dict[str, str]:
    """The variables in a worker's environment that libraries obey, but those that only the harness has set."""
    own = worker_environment(spec.environment, spec.python)
    meant = {*os.environ, *spec.environment}
    return environment.relevant(
        {name: value for name, value in own.items() if name not in _HARNESS_ENVIRONMENT or name in meant}
    )


def worker_environment(own: Mapping[str, str], python: str = "") -> dict[str, str]:
    """The environment of a worker: the user's, the harness's under it, and the variant's over it.

    An empty value of the variant's unsets the variable. LD_PRELOAD is a list: what the variant loads comes before what
    the user loads, which may be an allocator or a tool that must stay.

    Variables that tell our interpreter where its packages are do not reach another one, which would load our packages
    instead of its own.
    """
    users = {name: value for name, value in os.environ.items() if not python or name not in _INTERPRETER_VARIABLES}
    own = _with_blas(own)
    environment = _HARNESS_ENVIRONMENT | users | dict(own)
    if own.get(_PRELOAD) and users.get(_PRELOAD):
        environment[_PRELOAD] = f"{own[_PRELOAD]}:{users[_PRELOAD]}"
    return {name: value for name, value in environment.items() if value or name not in own}
