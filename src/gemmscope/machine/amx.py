"""AMX, the undocumented matrix unit of Apple's M1 to M3: measured for those who ask for it, in a process of its own.

Instructions that nobody has documented may end the process that executes them. Never run on macOS: the machine code is
executed in the emulator of ``ci/macos``.
"""

from __future__ import annotations

import platform
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from gemmscope.errors import WorkerLost
from gemmscope.machine import sources

if TYPE_CHECKING:
    from collections.abc import Iterable

# By github.com/corsix/amx. From M4 on there is SME, which is documented.
_CHIPS = re.compile(r"Apple M[1-3]\b")
# Milliseconds of work, and the start of an interpreter.
_TIMEOUT = 60.0


def why_not(reader: sources.Reader = sources.sysctl, system: str = sys.platform, architecture: str = "") -> str:
    """Why AMX cannot be measured here; empty where it can.

    Args:
        reader: What macOS's sysctls say.
        system: As ``sys.platform`` has it.
        architecture: As ``platform.machine`` has it, which is asked unless told.
    """
    if system != "darwin":
        return "only Macs with an Apple M1, M2 or M3 have it, and this system is not macOS"
    if sources.sysctl_number(reader, "hw.optional.arm.FEAT_SME"):
        return "this processor has SME in its place, which is documented and measured without being asked for"
    chip = sources.sysctl_text(reader, "machdep.cpu.brand_string") or "an unknown processor"
    if not _CHIPS.match(chip):
        return f"only an Apple M1, M2 or M3 is known to have it, and this is {chip}"
    if (architecture or platform.machine()) != "arm64":
        return "this Python is an x86 program, which Rosetta translates: install one for arm64"
    return ""


def peaks(threads: Iterable[int]) -> dict[int, float]:
    """The peak of AMX's outer products by number of threads, in GFLOP/s, measured by a process that may end of it.

    Raises:
        WorkerLost: It did.
    """
    command = [sys.executable, "-P", "-m", __name__, *map(str, sorted(threads, reverse=True))]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise WorkerLost(f"its process did not end within {_TIMEOUT:.0f} s") from None
    except OSError as error:
        raise WorkerLost(f"its process could not be started: {error.strerror}") from error
    if done.returncode < 0:
        raise WorkerLost(f"its process was killed by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise WorkerLost(f"its process ended with status {done.returncode}: {last}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=dict[int, float])


def main() -> None:
    """Measures, and prints the peaks as JSON."""
    from gemmscope import _kernels  # not with the module: whoever asks why not needs no extension

    measured = {threads: _kernels.amx_peak_flops(threads) / 1e9 for threads in map(int, sys.argv[1:])}
    sys.stdout.write(msgspec.json.encode(measured).decode())


if __name__ == "__main__":
    main()
