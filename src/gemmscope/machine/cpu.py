"""The processor: its name, its kinds of cores and its clock.

Each fact is looked for where Linux keeps it, below ``root``, and then where macOS keeps it, in ``reader``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import psutil

from gemmscope.machine import sources
from gemmscope.machine.sources import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# Arm's cores do not know their own name. (implementer, part) as the MIDR register has them: Linux's asm/cputype.h.
_ARM_CORES = {
    (0x41, 0xD03): "Arm Cortex-A53",
    (0x41, 0xD08): "Arm Cortex-A72",
    (0x41, 0xD0B): "Arm Cortex-A76",
    (0x41, 0xD0C): "Arm Neoverse N1",
    (0x41, 0xD40): "Arm Neoverse V1",
    (0x41, 0xD49): "Arm Neoverse N2",
    (0x41, 0xD4F): "Arm Neoverse V2",
    (0x41, 0xD84): "Arm Neoverse V3",
    (0x41, 0xD8E): "Arm Neoverse N3",
    (0x46, 0x001): "Fujitsu A64FX",
    (0xC0, 0xAC3): "Ampere-1",
    (0xC0, 0xAC4): "Ampere-1A",
}
# What kernels and emulators write where nobody knows a name: "ARMv8 Processor rev 1 (v8l)", "aarch64".
_NO_NAME = re.compile(r"(?i)(armv\d|aarch64|arm64).*")

# The middle ones of three kinds of Arm's cores are rated above this share of the fastest, and so is a slow bin of one.
_EFFICIENCY_CAPACITY = 0.5

# Outside of these a frequency is a unit mistaken, or a 0 that stands for "unknown".
_SLOWEST_HZ = 100e6
_FASTEST_HZ = 20e9


# Those by which libraries choose their float32 kernels, as Linux names them.
_VECTOR_FLAGS = re.compile(r"sse(4_2)?|avx(2|512\w*|_vnni)?|fma|amx_\w+|asimd|sve2?|sme2?")
# What macOS has instead, by the name of its sysctl.
_APPLE_FLAGS = {"sme": "hw.optional.arm.FEAT_SME", "sme2": "hw.optional.arm.FEAT_SME2"}


@dataclass(frozen=True)
class CoreKinds:
    """Logical processors of a hybrid by kind; both None where all cores are of one kind, or it is not known."""

    performance: int | None = None
    efficiency: int | None = None


def cpuinfo(root: Path = ROOT) -> dict[str, str]:
    """The first block of ``/proc/cpuinfo`` only: the kernel makes each block when it is read, and that can be slow."""
    try:
        with (root / "proc/cpuinfo").open(errors="replace") as lines:
            parts = [line.partition(":") for line in takewhile(str.strip, lines)]
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in parts}


def flags(root: Path = ROOT) -> frozenset[str]:
    """The processor's features as Linux names them: ``flags`` on x86, ``Features`` on Arm; elsewhere empty."""
    info = cpuinfo(root)
    return frozenset((info.get("flags") or info.get("Features") or "").split())


def is_emulated(architecture: str, root: Path = ROOT) -> bool:
    """Whether ``/proc/cpuinfo`` describes an x86 processor to a program for Arm: qemu-user shows its host's.

    Args:
        architecture: The program's, as ``platform.machine`` has it.
        root: Where Linux keeps its files.
    """
    return architecture in ("aarch64", "arm64") and "flags" in cpuinfo(root)


def vector_flags(root: Path = ROOT, reader: sources.Reader = sources.sysctl) -> list[str]:
    """The processor's vector instructions, sorted; empty where the system does not name them."""
    found = {flag for flag in flags(root) if _VECTOR_FLAGS.fullmatch(flag)}
    return sorted(found | {flag for flag, name in _APPLE_FLAGS.items() if sources.sysctl_number(reader, name)})


def vendor(root: Path = ROOT, reader: sources.Reader = sources.sysctl) -> str | None:
    """The processor's maker as it names itself: ``AuthenticAMD``, ``GenuineIntel``, ``Apple``; None on other Arm."""
    found = cpuinfo(root).get("vendor_id") or sources.sysctl_text(reader, "machdep.cpu.vendor")
    brand = sources.sysctl_text(reader, "machdep.cpu.brand_string") or ""
    return found or ("Apple" if brand.startswith("Apple") else None)


def is_translated(reader: sources.Reader = sources.sysctl) -> bool | None:
    """Whether Rosetta runs this process, an x86 program on Apple silicon; None where there is no Rosetta."""
    number = sources.sysctl_number(reader, "sysctl.proc_translated")
    return None if number is None else bool(number)


def sve_bits(root: Path = ROOT) -> int | None:
    """The length of SVE's vectors that programs get on Linux; None without SVE. See the kernel's arch/arm64/sve.rst."""
    size = sources.number(root / "proc/sys/abi/sve_default_vector_length")
    return None if size is None or "sve" not in flags(root) else 8 * size


def name(root: Path = ROOT, reader: sources.Reader = sources.sysctl) -> str | None:
    """The processor's name. On Arm under Linux the name of its cores, else of its board, else its numbers."""
    info = cpuinfo(root)
    model = " ".join(info.get("model name", "").split())
    if model and not _NO_NAME.fullmatch(model):
        return model
    # Arm has these where x86 has a name.
    implementer, part = _integer(info.get("CPU implementer")), _integer(info.get("CPU part"))
    if implementer is not None and part is not None:
        return (
            _ARM_CORES.get((implementer, part))
            or sources.text(root / "proc/device-tree/model")
            or f"Arm, implementer {implementer:#04x}, part {part:#05x}"
        )
    return sources.sysctl_text(reader, "machdep.cpu.brand_string") or model or None


def logical_count() -> int:
    """Logical processors that are online, whether or not this process may use them. At least 1."""
    return psutil.cpu_count(logical=True) or os.cpu_count() or 1


def physical_count() -> int | None:
    """Physical cores, or None: Linux on Arm and some virtual machines do not say."""
    return psutil.cpu_count(logical=False) or None


def core_kinds(root: Path = ROOT, reader: sources.Reader = sources.sysctl) -> CoreKinds:
    """How many logical processors are on performance cores and how many on efficiency cores.

    Linux has one performance counter per kind on an Intel hybrid: ``cpu_core``, ``cpu_atom`` and, for efficiency cores
    on a die of their own, ``cpu_lowpower``. macOS has performance levels, and names each.
    """
    fast, slow = map(len, cpus_by_kind(root))
    if not (fast or slow):
        for level in range(sources.sysctl_number(reader, "hw.nperflevels") or 0):
            size = sources.sysctl_number(reader, f"hw.perflevel{level}.logicalcpu") or 0
            if _is_efficiency(sources.sysctl_text(reader, f"hw.perflevel{level}.name"), level):
                slow += size
            else:
                fast += size
    return CoreKinds(fast, slow) if fast and slow else CoreKinds()


def _is_efficiency(name: str | None, level: int) -> bool:
    """Whether a performance level of macOS is that of efficiency cores; level 0 is the fastest.

    On an M1 to M4 the second one is. An M5 Pro has "Super" and "Performance" cores alone.
    """
    return name == "Efficiency" if name else level > 0


def cpus_by_kind(root: Path = ROOT) -> tuple[frozenset[int], frozenset[int]]:
    """The numbers of a Linux hybrid's processors on performance cores and on efficiency cores; else two empty sets."""
    devices = root / "sys/devices"
    fast, *slow = (
        cpu_list(sources.text(devices / kind / "cpus") or "") for kind in ("cpu_core", "cpu_atom", "cpu_lowpower")
    )
    if fast or any(slow):
        return fast, frozenset().union(*slow)
    return _by_capacity(devices / "system/cpu")


def _by_capacity(cpus: Path) -> tuple[frozenset[int], frozenset[int]]:
    """Arm's kinds: Linux rates each processor relative to the fastest (Documentation/scheduler/sched-capacity.rst)."""
    capacities = {
        int(file.parent.name.removeprefix("cpu")): capacity
        for file in cpus.glob("cpu[0-9]*/cpu_capacity")
        if (capacity := sources.number(file)) is not None
    }
    limit = _EFFICIENCY_CAPACITY * max(capacities.values(), default=0)
    slow = frozenset(number for number, capacity in capacities.items() if capacity <= limit)
    return (frozenset(capacities) - slow, slow) if slow else (frozenset(), frozenset())


def cpu_list(text: str) -> frozenset[int]:
    """The processors that a list such as ``0-7,16`` names.

    Raises:
        ValueError: It is not such a list.
    """
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def max_frequency_hz(root: Path = ROOT, reader: sources.Reader = sources.sysctl) -> float | None:
    """The highest frequency of any core, in Hz, or None. A virtual machine seldom says, nor does macOS on Arm."""
    kilohertz = [sources.number(path) for path in _policies(root, "cpuinfo_max_freq")]
    fastest = max((1e3 * each for each in kilohertz if each is not None), default=None)
    return _plausible(fastest if fastest is not None else sources.sysctl_number(reader, "hw.cpufrequency_max"))


def apple_frequency_hz() -> float | None:
    """The highest frequency on Apple silicon, where only psutil finds one: in the I/O registry. In Hz, or None.

    It is off by 1000 from M4 on (psutil issue 2642), and no fact at all is better than that.
    """
    frequency = psutil.cpu_freq()
    return _plausible(1e6 * frequency.max) if frequency else None


def governor(root: Path = ROOT) -> str | None:
    """The frequency governor, such as ``powersave``; all of them, joined by commas, if the cores differ; or None."""
    return _said_by_policies(root, "scaling_governor")


def scaling_driver(root: Path = ROOT) -> str | None:
    """The driver of the frequency, such as ``intel_pstate``: what a governor does depends on it. As for a governor."""
    return _said_by_policies(root, "scaling_driver")


def _said_by_policies(root: Path, file: str) -> str | None:
    names = {sources.text(path) for path in _policies(root, file)}
    return ", ".join(sorted(filter(None, names))) or None


def _policies(root: Path, file: str) -> list[Path]:
    """That file of each frequency policy: cores that share a clock share one, so there are fewer than cores."""
    return sorted((root / "sys/devices/system/cpu/cpufreq").glob(f"policy*/{file}"))


def _plausible(hertz: float | None) -> float | None:
    return float(hertz) if hertz is not None and _SLOWEST_HZ <= hertz <= _FASTEST_HZ else None


def _integer(text: str | None) -> int | None:
    try:
        return int(text or "", 0)
    except ValueError:
        return None
