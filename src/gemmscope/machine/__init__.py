"""What machine this is, as far as it bears on the figures, and which libraries a process has loaded.

``describe()`` imports no framework: they start threads, and read their settings when they are imported.
"""

from __future__ import annotations

import os
import platform
import time
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import psutil

from gemmscope.machine import cpu, gpu, launcher, limits, nvml, power, sources
from gemmscope.machine.sources import ROOT
from gemmscope.records.model import Machine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["describe"]

_CLOCK_READS = 1000

T = TypeVar("T")


def describe(root: Path = ROOT, reader: sources.Reader = sources.sysctl) -> Machine:
    """This machine, now. Never raises: a fact that cannot be had is None, or empty where the record allows no None.

    Args:
        root: Where Linux keeps its files.
        reader: What macOS's sysctls say.
    """
    system = _fact(_system) or platform.system()
    architecture = platform.machine()
    # What an emulator's host is says nothing of the processor that it makes up.
    emulated = bool(_fact(lambda: cpu.is_emulated(architecture, root)))
    named = f"emulated {architecture} processor" if emulated else _fact(lambda: cpu.name(root, reader))
    processor = named or platform.processor() or architecture
    logical = _fact(cpu.logical_count) or 1
    physical = _fact(cpu.physical_count)
    kinds = _fact(lambda: cpu.core_kinds(root, reader)) or cpu.CoreKinds()
    return Machine(
        name=f"{processor}, {_cores(physical, logical)}, {platform.system().replace('Darwin', 'macOS')}",
        system=system,
        architecture=architecture,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        cpu=processor,
        logical_cpus=logical,
        physical_cpus=physical,
        performance_cpus=kinds.performance,
        efficiency_cpus=kinds.efficiency,
        usable_cpus=_fact(lambda: limits.usable_cpus(root)),
        max_frequency_hz=_fact(lambda: _max_frequency_hz(root, reader)),
        governor=_fact(lambda: cpu.governor(root)),
        memory_bytes=_fact(lambda: int(psutil.virtual_memory().total)) or 0,
        memory_limit_bytes=_fact(lambda: limits.memory_limit_bytes(root)),
        container=_fact(lambda: limits.container(root)),
        virtual="an emulator" if emulated else _fact(lambda: limits.virtual(root, reader)),
        load_average=_fact(os.getloadavg),
        power_source=_fact(power.source),
        low_power_mode=_fact(power.low_power_mode),
        thermal_state=_fact(power.thermal_state),
        background=_fact(power.is_background),
        niceness=_fact(power.niceness) or 0,
        gpus=_fact(lambda: gpu.names(root, reader)) or [],
        clock_resolution_seconds=_fact(clock_resolution_seconds),
        vendor=None if emulated else _fact(lambda: cpu.vendor(root, reader)),
        cpu_flags=[] if emulated else _fact(lambda: cpu.vector_flags(root, reader)) or [],
        sve_bits=_fact(lambda: cpu.sve_bits(root)),
        translated=_fact(lambda: cpu.is_translated(reader)),
        scaling_driver=_fact(lambda: cpu.scaling_driver(root)),
        gpu_limits=_fact(nvml.limits) or [],
        launched=_fact(launcher.launched),
    )


def clock_resolution_seconds(clock: Callable[[], float] = time.perf_counter, reads: int = _CLOCK_READS) -> float | None:
    """The smallest step above zero between readings of a clock in a row, in seconds; None if it never moved.

    It is what the clock resolves in use: the larger of its tick and of the time that reading it takes. What the system
    says of its clock (``time.get_clock_info``) is its unit, which need be neither.
    """
    times = [clock() for _ in range(reads)]
    steps = (later - earlier for earlier, later in pairwise(times))
    return min((step for step in steps if step > 0), default=None)


def _fact(read: Callable[[], T | None]) -> T | None:
    """What a reader says, or None: an odd machine's odd file must not stop a measurement that does not need it."""
    try:
        return read()
    except Exception:  # noqa: BLE001  (see above)
        return None


def _cores(physical: int | None, logical: int) -> str:
    count, what = (logical, "processor") if physical is None else (physical, "core")
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _system() -> str:
    """Such as ``macOS 15.5`` or ``Ubuntu 24.04.2 LTS, Linux 6.8.0``: MLX's and Accelerate's speed go by the former."""
    release = platform.mac_ver()[0]
    if release:
        return f"macOS {release}"
    kernel = f"{platform.system()} {platform.release()}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {kernel}"
    except (OSError, KeyError):
        return kernel


def _max_frequency_hz(root: Path, reader: sources.Reader) -> float | None:
    known = cpu.max_frequency_hz(root, reader)
    # Elsewhere psutil goes by /proc/cpuinfo, which has the frequency of the moment.
    return cpu.apple_frequency_hz() if known is None and platform.system() == "Darwin" else known
