"""What a plant needs of the machine, and the conditions in which its processes run."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

import click

from gemmscope.machine import environment, known_kernels
from gemmscope.machine.cpu import cpuinfo, flags
from gemmscope.machine.limits import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .plants import Plant

PROGRAM = Path(__file__).parent.with_name("planted_program.py")
# Where programs find their files, and which GPU is meant.
_KEPT = {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "CUDA_VISIBLE_DEVICES", "CUDA_MODULE_LOADING"}


@functools.cache
def available() -> dict[str, str]:
    """The backends that gemmscope can run here, each with its status."""
    command = [sys.executable, "-m", "gemmscope", "backends", "--json"]
    found = json.loads(subprocess.run(command, env=clean(), check=True, capture_output=True).stdout)
    return {one["backend"]["name"]: one["backend"]["status"] for one in found}


@functools.cache
def quota_folder() -> Path | None:
    """The cgroup below which a quota can be set by this process, of version 2 or 1; None if there is none."""
    root = Path("/sys/fs/cgroup")
    lines = Path("/proc/self/cgroup").read_text().splitlines() if sys.platform == "linux" else []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        folders = [root, root / "unified"] if not controllers else [root / controllers]
        if controllers and "cpu" not in controllers.split(","):
            continue
        for folder in (each / path.lstrip("/") for each in folders):
            with contextlib.suppress(OSError), new_cgroup(folder, 1.0):
                return folder
    return None


@contextlib.contextmanager
def new_cgroup(parent: Path, quota: float) -> Iterator[Path]:
    """A cgroup that may use so many processors' worth of time, for a while.

    Raises:
        OSError: If it cannot be made, or takes no quota.
    """
    period = 100_000
    folder = parent / f"truth-causes-{os.getpid()}"
    folder.mkdir()
    try:
        if (folder / "cpu.max").exists():
            (folder / "cpu.max").write_text(f"{round(quota * period)} {period}")
        elif (folder / "cpu.cfs_quota_us").exists():
            (folder / "cpu.cfs_period_us").write_text(str(period))
            (folder / "cpu.cfs_quota_us").write_text(str(round(quota * period)))
        else:
            raise OSError(f"{folder} takes no quota")
        yield folder
    finally:
        # A process that has just ended may hold it a little longer.
        for _ in range(50):
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            sleep(0.1)


NEEDS: dict[str, Callable[[], bool]] = {
    "Linux": lambda: sys.platform == "linux",
    "two processors": lambda: len(processors()) > 1,
    "x86": lambda: sys.platform == "linux" and "sse2" in flags(),
    "AVX-512": lambda: known_kernels.cpu_level(flags()) == "AVX-512",
    "AMD": lambda: cpuinfo().get("vendor_id") == "AuthenticAMD",
    "cgroup": lambda: quota_folder() is not None,
    "torch-cpu": lambda: available().get("torch-cpu") == "ok",
    "mlx-cpu": lambda: available().get("mlx-cpu") == "ok",
    "torch-gpu": lambda: available().get("torch-gpu") == "ok",
}


def why_not(plant: Plant) -> str:
    """What the machine lacks for a plant; empty if it has everything."""
    lacking = [need for need in plant.needs if not NEEDS[need]()]
    words = {"cgroup": "a cgroup whose quota this user may set"}
    return ", ".join(words.get(need, need) for need in lacking)


def clean(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """An environment without the variables that libraries obey."""
    return {name: value for name, value in environ.items() if name in _KEPT or environment.variable(name) is None}


def surroundings(plant: Plant) -> dict[str, str]:
    """The environment in which a plant's processes start."""
    known = {"cpu": processors()[0], "cpus": len(processors())}
    return clean() | {name: value.format(**known) for name, value in plant.environment.items()}


@contextlib.contextmanager
def planted(plant: Plant) -> Iterator[list[str]]:
    """The plant's conditions other than its environment, and the command with which its processes begin."""
    with contextlib.ExitStack() as stack:
        begin: list[str] = []
        if plant.quota:
            folder = quota_folder()
            assert folder is not None
            group = stack.enter_context(new_cgroup(folder, plant.quota))
            begin += ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs")]
        if plant.processors:
            begin += ["taskset", "--cpu-list", ",".join(map(str, processors()[: plant.processors]))]
        for _ in range(round(plant.neighbours * len(processors()))):
            process = subprocess.Popen([sys.executable, str(PROGRAM), "spin", str(os.getpid())], env=clean())
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield begin


def can_be_planted(plants: Sequence[Plant]) -> list[Plant]:
    """Those for which the machine has what it takes; the others are named with the reason."""
    left = []
    for plant in plants:
        lacking = why_not(plant)
        if lacking:
            click.echo(f"skipped: {plant.name} (needs {lacking})", err=True)
        else:
            left.append(plant)
    return left
