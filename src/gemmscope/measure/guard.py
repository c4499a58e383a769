"""A process that waits for the orchestrator's end, however it ends, and then ends what its workers left running.

Workers end with the orchestrator by themselves. What a backend has started need not: a child in a session of its own
outlives the worker, and where a system has no signal for a parent's death a stopped worker outlives the orchestrator.
All of them have inherited a variable of the run's own, and by that the guard knows them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

import psutil

from gemmscope.errors import WorkerLost
from gemmscope.measure.process import WorkerProcess, no_process

if TYPE_CHECKING:
    from gemmscope.measure.process import WorkerSpec
    from gemmscope.workload.operands import SharedMemory

VARIABLE = "GEMMSCOPE_RUN"

# How often to search again: a process may start others while the first are being ended.
_TIMES = 50
_PAUSE_SECONDS = 0.01
_GRACE_SECONDS = 10.0


class Guard:
    """The orchestrator's side: starts the guard, and workers whose every descendant it will know.

    Raises:
        WorkerLost: If the system starts no process.
    """

    def __init__(self) -> None:
        self._tag = secrets.token_hex(16)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "gemmscope.measure.guard", self._tag],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # What ends the orchestrator by its terminal must not end the guard as well.
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerLost(no_process(error)) from error

    def launch(self, spec: WorkerSpec, memory: SharedMemory) -> WorkerProcess:
        """Starts a worker."""
        return WorkerProcess(spec, memory, {VARIABLE: self._tag})

    def close(self) -> None:
        """Ends whatever workers have left running, and returns when it is gone."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=_GRACE_SECONDS)  # closes the pipe, and waits
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def end_all(tag: str) -> None:
    """Ends every process that has inherited the tag, stopped or not."""
    for _ in range(_TIMES):
        found = [process for process in psutil.process_iter() if _belongs(process, tag)]
        if not found:
            return
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(_PAUSE_SECONDS)


def _belongs(process: psutil.Process, tag: str) -> bool:
    try:
        inherited = process.environ().get(VARIABLE) == tag
        return inherited and process.status() != psutil.STATUS_ZOMBIE  # type: ignore[no-any-return]
    except (psutil.Error, OSError):  # gone, or somebody else's
        return False


def main(tag: str) -> None:
    """Waits for the end of standard input, which only the orchestrator holds."""
    os.read(0, 1)
    end_all(tag)


if __name__ == "__main__":
    main(sys.argv[1])
